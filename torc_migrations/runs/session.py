"""One operation on one open database: its ledgers, compared with one source. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import cached_property

from torc_migrations.databases.interface import Database
from torc_migrations.databases.waiting import Wait
from torc_migrations.errors import DatabaseFailed, OtherSchema
from torc_migrations.history.comparison import compare, with_kept
from torc_migrations.history.evidence import Trial
from torc_migrations.history.records import Recorded
from torc_migrations.history.status import State, Status
from torc_migrations.history.steps import Action, Direction, Plan, Step
from torc_migrations.ledgers.ledgers import Ledgers
from torc_migrations.log import log
from torc_migrations.runs.feed import Feed
from torc_migrations.sources.one_file_formats import refuse_one_file_format
from torc_migrations.sources.source import Source

_MOST_RECONNECTIONS, _MOST_CONFLICTS = 3, 10
_FEW = 5


class Session:
    """One operation on one open database.

    Attributes:
        database: the database that the operation is on. ledgers: its two ledgers. source: the migrations.
        strict: whether scripts that commit by themselves are refused.
        accept_losses: whether rows that a script loses or doubles, and does not say so, are only logged.
        allow_broken_schema: whether objects that do not work any more are only logged.
        latest: the newest version that was installed when the ledgers were read last.
        runner: the living process that runs a script outside a transaction, when the ledgers were read last, or None.
        feed: hears of what happens in a run.
        trial: what the migrations make, once that was looked up on a scratch database.
        made: by the lower names of what scripts have created, the step that did; it may wait for a later one to work.
        is_piecewise: whether a run is a part of a longer one, at whose end only it shows what does not work yet.
        expected: how many instructions a rehearsal of the scripts has counted, or None.
        read_at: what `Database.last_change` was when the ledgers were read last.
    """

    def __init__(
        self,
        database: Database,
        source: Source,
        ledgers: Ledgers,
        *,
        strict: bool = False,
        accept_losses: bool = False,
        allow_broken_schema: bool = False,
        feed: Feed | None = None,
    ) -> None:
        self.database = database
        self.source = source
        self.ledgers = ledgers
        self.strict = strict
        self.accept_losses = accept_losses
        self.allow_broken_schema = allow_broken_schema
        self.latest: int | None = None
        self.runner: str | None = None
        self.feed = feed or Feed()
        self.feed.attach(database)
        self.trial: Trial | None = None
        self.made: dict[str, str] = {}
        self.is_piecewise = False
        self.expected: int | None = None
        self._reconnections = self._conflicts = 0
        self._original: Session | None = None  # whose database was copied
        self._planned_from: Recorded | None = None  # what the plan was made from, unless a step was written since
        self.read_at: Hashable = None
        self._found_at: Hashable = None  # `read_at` when the ledgers were there as a transaction began

    def on(self, database: Database) -> Session:
        """Return the same operation on another database."""
        session = Session(
            database,
            self.source,
            self.ledgers.of(database),
            strict=self.strict,
            accept_losses=self.accept_losses,
            allow_broken_schema=self.allow_broken_schema,
            feed=self.feed.on_copy(),
        )
        session.trial = self.trial
        session._original = self
        return session

    @property
    def is_copy(self) -> bool:
        """Whether the database is a copy, or an empty one, on which scripts are tried."""
        return self._original is not None

    def note_instructions(self, counted: int) -> None:
        """Note how many instructions the scripts of a run were; the original of a copy expects as many."""
        if self._original is not None:
            self._original.expected = counted

    def status(self) -> Status:
        """Read both ledgers as of one moment."""
        status = self._read_at_once()
        if self.runner is not None or not any(entry.half_done for entry in status.entries):
            return status
        # Who has begun it may have ended it after the ledgers were read, and before it was looked for.
        return self._read_at_once()

    def why_empty(self) -> str | None:
        """Return that there is no database yet, which may be a mistyped name; else None."""
        return f"there is no database {self.database.name!r} yet" if self.database.is_missing else None

    def _read_at_once(self) -> Status:
        """Read both ledgers as of one moment.

        Again where a change of the schema on another node has ended the read, or where the connection was lost.
        """
        while True:
            try:
                with self.database.reading():
                    return self._read_to_plan()
            except DatabaseFailed as error:
                if not self.may_go_on_after(error):
                    raise

    def read(self) -> Status:
        """Read both ledgers, in the caller's transaction."""
        status = self._read_to_plan()
        self._planned_from = None
        return status

    def _read_to_plan(self) -> Status:
        self.read_at = self.database.last_change()
        self._planned_from = self.ledgers.read()
        status = compare(self.source, self._planned_from)
        if status.missing:
            kept = self.ledgers.read_kept(status.missing, self._planned_from)
            status = with_kept(status, map(self.source.as_chosen, kept), self._planned_from)
        self.latest = status.latest
        self.runner = next(iter(self._planned_from.running.values()), self._planned_from.runner)
        return status

    def refresh(self) -> Status | None:
        """Read both ledgers again, in the caller's transaction, if another connection has written since.

        Returns:
            The status to plan from again, or None where the ledgers say what they said before.
        """
        if self.database.last_change() == self.read_at:
            return None
        before = self._planned_from
        status = self._read_to_plan()
        # Where the schema was looked at, it may have changed though the ledgers have not.
        return None if self._planned_from == before and self.trial is None else status

    def create_ledgers(self) -> None:
        """Create the ledgers where they are missing, in a transaction that has just begun.

        They are looked for again once another connection has written, and after `look_again`.
        """
        if self.keeps or self._found_at is None or self._found_at != self.read_at:
            was_there = self.ledgers.create(keeps=self.keeps)
            self._found_at = self.read_at if was_there else None

    def look_again(self) -> None:
        """Note that a script may have dropped a ledger."""
        self._found_at = None

    @cached_property
    def keeps(self) -> bool:
        """Whether a migration of the source says to older releases what they need."""
        return any(migration.compatible_from is not None for migration in self.source.migrations)

    def wait_for_runner(self) -> Status:
        """Wait while another process runs a script outside a transaction; return the status after it.

        Raises:
            LockTimeout: it runs for longer than `lock_timeout` seconds.
        """
        wait = Wait(self.database.name, self.database.lock_timeout, self.database.monitor)
        status = self.status()
        while runner := self.runner:
            wait.pause(runner.__str__)
            status = self.status()
        return status

    def may_go_on_after(self, error: DatabaseFailed) -> bool:
        """Return whether a run may go on from what the ledgers say now, on a new connection where the old one was lost.

        Where the connection was lost, it is not known what was committed last. In a conflict with another transaction
        nothing was.
        """
        if error.is_lost:
            if self._reconnections == _MOST_RECONNECTIONS or not self.database.reconnect():
                return False
            self._reconnections += 1
            log().warning("%s; connected again, and what is installed is read again", error)
            return True
        self._conflicts += error.is_conflict
        return error.is_conflict and self._conflicts <= _MOST_CONFLICTS

    def note_writing(self) -> None:
        """Note that a step is written, so that the ledgers no longer say what was read."""
        self._planned_from = None

    def write(self, step: Step, elapsed_ns: int) -> bool:
        """Write what a step leaves in the ledgers, after its script has taken so many nanoseconds.

        Returns:
            Whether triggers have changed other rows then.
        """
        self.note_writing()
        before = self.database.rows_changed_besides()
        if step.action is Action.APPLY:
            self.ledgers.record(step, elapsed_ns)
        elif step.action is Action.RECORD:
            self.ledgers.record(step)
        elif step.action is Action.REPAIR:
            self.ledgers.repair(step)
        elif step.action is Action.RENAME:
            self.ledgers.rename(step)
        elif step.action is Action.HOOK:
            self.ledgers.log_hook(step)
        else:
            self.ledgers.erase(step)
        return self.database.rows_changed_besides() != before

    def refuse_disturbed(self, step: Step) -> None:
        """Refuse what a trigger on a ledger has done to the records of other migrations.

        Raises:
            DatabaseFailed: the ledgers do not agree any more.
        """
        wrong = [entry.migration.version for entry in self.read().entries if not (entry.in_step or entry.dirty)]
        if wrong:
            versions = ", ".join(map(str, wrong[:_FEW])) + (" and more" if len(wrong) > _FEW else "")
            raise DatabaseFailed(
                self.database.name, f"a trigger changes the records of {versions} when that of {step.name} is written"
            )

    def warnings(self, plan: Plan) -> Iterator[str]:
        """Yield what a run says about names of files, if it applies any, and about directives in its scripts."""
        scripts = [step.script for step in plan.steps if step.script is not None]
        if scripts and plan.direction is Direction.UP:
            yield from self.source.warnings
        for script in scripts:
            yield from script.warnings

    def without_other_formats(self, plan: Plan) -> Plan:
        """Return a plan, and refuse the scripts of other tools in it, as a run does before its first step.

        Raises:
            BadScript: the up and the down script are in one file.
        """
        for script in (step.script for step in plan.steps if step.script is not None):
            refuse_one_file_format(script.path, script.sql)
        return plan

    def object_names(self) -> frozenset[str]:
        """Return the names of everything in the schema: `table job`, `column job.name`, `index i`."""
        with self.database.reading():
            return self.database.read_contents(self.ledgers.tables).names

    def yoyo_holder(self) -> str | None:
        """Describe the living process that holds yoyo's lock, or return None."""
        with self.database.reading():
            return self.database.yoyo_holder()

    def refuse_other_schema(self, status: Status) -> None:
        """Keep the shipped schema out of a database that carries another one.

        Raises:
            OtherSchema: nothing of the shipped schema is installed, but something else is there.
        """
        if evidence := self.other_schema(status):
            raise OtherSchema(self.database.name, evidence)

    def other_schema(self, status: Status) -> str | None:
        """Say what shows that a database carries another schema than the shipped one, or return None."""
        if any(entry.state is State.INSTALLED for entry in status.entries):
            return None
        for entry in status.entries:
            if entry.changed:
                return f"its migration {entry.migration.version} has another text"
        if status.missing:
            return f"its migration {status.missing[0]} is not among ours"
        with self.database.reading():
            tables = sorted(self.database.tables() - self.ledgers.tables)
        return f"it has a table {tables[0]!r}" if tables else None
