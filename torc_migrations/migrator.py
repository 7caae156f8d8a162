"""The engine's face: status, upgrade, apply, rollback, and what mends the ledgers."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torc_migrations.connection import DatabaseLike
from torc_migrations.database import open_database
from torc_migrations.glance import is_settled
from torc_migrations.listing import SHIPPED
from torc_migrations.log import logger
from torc_migrations.plan import (
    Action,
    Direction,
    Plan,
    Report,
    plan_exactly,
    plan_repair,
    plan_rollback,
    plan_trust,
    plan_upgrade,
)
from torc_migrations.tables import SQLX_TABLE, YOYO_TABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Literal, TypeAlias

    from torc_migrations.doctor import Diagnosis
    from torc_migrations.judgement import Status
    from torc_migrations.migration import Migration, SourceLike
    from torc_migrations.rehearsal_report import Rehearsal
    from torc_migrations.restoration import Restoration
    from torc_migrations.round_trips import RoundTrip
    from torc_migrations.run import Judge, Observer, Run, Safeguard
    from torc_migrations.session import Session

OnNewer: TypeAlias = "Literal['accept', 'refuse']"
Ledger: TypeAlias = "Literal['yoyo', 'sqlx']"
OnLoss: TypeAlias = "Literal['warn', 'refuse']"
Operation: TypeAlias = "Literal['upgrade', 'rollback']"


class Migrator:
    """Bring a database to a version, and tell at which one it is.

    Nothing is opened until a method is called, and nothing stays open after it; one object may be used from many
    threads at once.

    Args:
        database: a URL (`sqlite:///torc.db`) or path, an open `sqlite3.Connection`, or a `sqlite_utils.Database`.
            A connection is left open and as it was found, but for an authorizer of its own, which SQLite cannot
            give back; it is refused inside a transaction.
        source: a folder of migrations, `"package:name:folder"`, a `Traversable`, or None for the shipped torc schema.
        lock_timeout: how long to wait for others, in seconds.
        ignore_missing: go on where an installed version has no file in the source.
        on_newer: what to do where a version is installed that is newer than every file, as happens when an older
            release starts again during a rolling deployment: `"accept"` it with a warning in the log, or `"refuse"`.
        migration_table: the name of yoyo's ledger.
        sqlx_table: the name of sqlx's ledger, as SQL has it; `table-name` in sqlx.toml.
        ignored_chars: characters that do not count in a checksum, `ignored-chars` in sqlx.toml.
        strict: refuse scripts that commit by themselves; else they are run as sqlx runs them, with a warning in the
            log, because nothing can keep them whole.
        snapshot: copy the database before the first write of a run: True for a copy beside it, or a folder. Where a
            script has failed half-way outside of our transaction, and nobody else has written since, it is put back.
        keep: how many snapshots of the database remain in the folder.
        on_loss: rehearse on a copy before anything is done, and where a table would lose rows that the script does
            not name in a DELETE or DROP TABLE of its own, `"warn"` in the log, or `"refuse"` to begin.
    """

    def __init__(
        self,
        database: DatabaseLike,
        source: SourceLike = None,
        *,
        lock_timeout: float = 300.0,
        ignore_missing: bool = False,
        on_newer: OnNewer = "accept",
        migration_table: str = YOYO_TABLE,
        sqlx_table: str = SQLX_TABLE,
        ignored_chars: str = "",
        strict: bool = False,
        snapshot: bool | str | os.PathLike[str] = False,
        keep: int = 3,
        on_loss: OnLoss | None = None,
    ) -> None:
        self.database = database
        self.source = source
        self.lock_timeout = lock_timeout
        self.ignore_missing = ignore_missing
        self.on_newer = on_newer
        self.migration_table = migration_table
        self.sqlx_table = sqlx_table
        self.ignored_chars = ignored_chars
        self.strict = strict
        self.snapshot = snapshot
        self.keep = keep
        self.on_loss = on_loss

    def status(self) -> Status:
        """Tell what is installed. Writes nothing: no table, no file, no lock, no setting.

        Raises:
            SourceError, UrlError: the source or the database cannot be read.
            LockTimeout: the database could not be read for `lock_timeout` seconds.
        """
        with self._session() as session:
            status = session.status()
            evidence = session.other_schema(status) if self.source is None else None
        if evidence is None:
            return status
        note = f"this is not a database of {SHIPPED} ({evidence}); name its migrations with --source"
        return status._replace(notes=(*status.notes, note))

    def upgrade(self, target: int | None = None, *, observer: Observer | None = None, atomic: bool = False) -> Report:
        """Apply what is pending, up to `target` or to the newest version.

        Idempotent, and safe from many processes at once: each migration is applied once, by one of them. Each
        migration, with its records in both ledgers, is kept whole or not at all; with `atomic` all of them are,
        together. With nothing to do it takes no lock and writes nothing.

        Raises:
            MigrationError: any of them; its `report` tells what was done before.
            BadScript: with `atomic`, also where a script cannot be part of one transaction; nothing is run then.
        """
        if target is None and self._is_settled():
            return Report(Plan(Direction.UP, ()), ())
        return self._run(self._judge("upgrade", target), observer, atomic=atomic)

    def apply(self, *versions: int, observer: Observer | None = None) -> Report:
        """Apply exactly these migrations; those that are installed already are left alone.

        Raises:
            MigrationError: as for `upgrade`.
        """
        return self.perform(Action.APPLY, versions, observer=observer)

    def perform(self, action: Action, versions: Iterable[int], *, observer: Observer | None = None) -> Report:
        """Do one thing with exactly these migrations: apply, roll back, or only record or erase them in both ledgers.

        Those that are so already are left alone.

        Raises:
            MigrationError: as for `upgrade`.
        """
        wanted = tuple(versions)
        return self._run(lambda status: plan_exactly(status, action, wanted, **self._leniency()), observer)

    def rollback(self, target: int | None = None, *, observer: Observer | None = None, atomic: bool = False) -> Report:
        """Roll back the newest migration, or all above `target`, which stays; 0 means everything.

        With `atomic` it is all of them or none.

        Raises:
            Irreversible: a migration on the way has no down script; nothing is rolled back then.
            MigrationError: as for `upgrade`.
        """
        return self._run(self._judge("rollback", target), observer, atomic=atomic)

    def rehearse(self, target: int | None = None, *, operation: Operation = "upgrade") -> Rehearsal:
        """Run what `upgrade` or `rollback` would run on a copy of the database, and tell what comes of it.

        The copy lies beside the database's file, or in memory where it has none, and is removed at the end. The
        database is only read; without WAL, whoever writes waits until it is copied. With nothing to do nothing is
        copied. Functions and collations that the owner of a lent connection has made are not there on the copy.

        Raises:
            NotEnoughSpace: the disk has no room for the copy, and as much again for what is done to it.
            CannotOpen: the database's folder cannot be written.
            MigrationError: the one that the real run would end with; its `rehearsed` is set.
        """
        judge = self._judge(operation, target)
        with self._session() as session:
            plan = self._plan(session, judge)
            return self._rehearse(session, plan, judge)

    def round_trip(self, *, fresh: bool = False) -> RoundTrip:
        """Take each pending migration up, down and up again on a copy, and say what does not come back.

        Compares the schema, the rows of every table, `foreign_key_check` and `integrity_check`. Where the database
        has nothing yet, or with `fresh`, every migration is taken round on an empty database in memory.

        Raises:
            MigrationError: the source or the database cannot be used; what is wrong with a script is a finding.
        """
        from torc_migrations.rehearsal import copied
        from torc_migrations.round_trips import make_round_trip, on_scratch

        with self._session() as session:
            if fresh or not (session.objects() or session.status().installed):
                scene, chosen = on_scratch(session), session.source.migrations
            else:
                plan = self._plan(session, self._judge("upgrade", None))
                scene, chosen = (
                    copied(session),
                    tuple(step.migration for step in plan.steps if step.action is Action.APPLY),
                )
            with scene as copy:
                return make_round_trip(copy, session.database.name, chosen, self._leniency(), self._writing)

    def baseline(self, version: int) -> Report:
        """Record everything up to `version` as installed, and run nothing: the database has it all already.

        What the migrations make is looked up first, by running them on a scratch database in memory.

        Raises:
            NotThere: the database lacks something that those migrations make; nothing was recorded then.
            MigrationError: as for `upgrade`.
        """
        from torc_migrations.scratch import check_objects

        with self._session() as session:
            migrations = session.source.migrations
            check_objects(session.source, version, session.objects())
        versions = [migration.version for migration in migrations if migration.version <= version]
        return self.perform(Action.RECORD, versions)

    def repair(self, *versions: int, reason: str) -> Report:
        """Accept that the files of installed migrations were edited; the reason goes to yoyo's log.

        Raises:
            MigrationError: as for `upgrade`.
        """
        return self._run(lambda status: plan_repair(status, versions, reason), None)

    def repair_line_endings(self, *versions: int) -> Report:
        """Accept files that differ from what was installed in line endings or a byte order mark only.

        Without versions, all of them. A file that differs otherwise is left alone.

        Raises:
            MigrationError: as for `upgrade`.
        """

        def judge(status: Status) -> Plan:
            twins = tuple(entry.migration.version for entry in status.entries if entry.is_twin)
            chosen = tuple(version for version in versions or twins if version in twins)
            return plan_repair(status, chosen, "line endings")

        return self._run(judge, None)

    def trust(self, ledger: Ledger) -> Report:
        """Settle what is out of step by what one ledger says.

        Raises:
            MigrationError: as for `upgrade`.
        """
        return self._run(lambda status: plan_trust(status, yoyo=ledger == "yoyo"), None)

    def plan_trust(self, ledger: Ledger) -> Plan:
        """Return what `trust` would do. Writes nothing."""
        with self._session() as session:
            return plan_trust(session.status(), yoyo=ledger == "yoyo")

    def diagnose(self) -> Diagnosis:
        """Explain the state of the database and of the folder, with what to type. Writes nothing.

        Raises:
            SourceError, UrlError: the source or the database cannot be read.
        """
        from torc_migrations.doctor import diagnose

        with self._session() as session:
            return diagnose(session.source, session.status(), session.objects(), session.yoyo_holder())

    def restore(self, snapshot: str | os.PathLike[str]) -> Restoration:
        """Put a snapshot in the place of the database; see `torc_migrations.restore`.

        Raises:
            MigrationError: as for `torc_migrations.restore`.
        """
        from torc_migrations.restoration import restore

        return restore(self.database, snapshot, lock_timeout=self.lock_timeout)

    def plan_upgrade(self, target: int | None = None) -> Plan:
        """Return what `upgrade` would do. Writes nothing."""
        with self._session() as session:
            return plan_upgrade(session.status(), target, **self._leniency())

    def plan_rollback(self, target: int | None = None) -> Plan:
        """Return what `rollback` would do. Writes nothing."""
        with self._session() as session:
            return plan_rollback(session.status(), target, ignore_missing=self.ignore_missing)

    def _is_settled(self) -> bool:
        """Tell whether it is plain to see that an upgrade has nothing to do."""
        source = self.source
        return (source is None or isinstance(source, (str, os.PathLike))) and is_settled(
            self.database,
            source,
            lock_timeout=self.lock_timeout,
            yoyo_table=self.migration_table,
            sqlx_table=self.sqlx_table,
            ignored_chars=self.ignored_chars,
        )

    def _judge(self, operation: Operation, target: int | None) -> Judge:
        if operation == "upgrade":
            return lambda status: plan_upgrade(status, target, **self._leniency())
        seen: list[tuple[Migration, ...]] = []

        def judge(status: Status) -> Plan:
            seen.append(status.installed[-1:])
            if target is None and seen[-1] != seen[0]:
                return Plan(Direction.DOWN, ())  # the newest is another by now: somebody else was faster
            return plan_rollback(status, target, ignore_missing=self.ignore_missing)

        return judge

    def _leniency(self) -> dict[str, bool]:
        return {"ignore_missing": self.ignore_missing, "accept_newer": self.on_newer == "accept"}

    @contextmanager
    def _session(self) -> Iterator[Session]:
        from torc_migrations.ledger import Ledgers  # which `is_settled` has no use for, nor for what they load
        from torc_migrations.migration import discover
        from torc_migrations.session import Session

        source = discover(self.source, ignored_chars=self.ignored_chars)
        with open_database(self.database, lock_timeout=self.lock_timeout) as database:
            ledgers = Ledgers(database, self.migration_table, self.sqlx_table)
            yield Session(database, source, ledgers, strict=self.strict)

    def _safeguard(self) -> Safeguard | None:
        if self.snapshot is False:
            return None
        from torc_migrations.restoration import SnapshotGuard

        return SnapshotGuard(None if self.snapshot is True else os.fspath(self.snapshot), self.keep)

    def _run(self, judge: Judge, observer: Observer | None, *, atomic: bool = False) -> Report:
        with self._session() as session:
            plan = self._plan(session, judge)
            if not plan.steps:
                return Report(plan, ())
            if self.on_loss is not None:
                self._mind_losses(self._rehearse(session, plan, judge))
            kind = _kind_of_run(atomic=atomic)
            with self._writing(session):
                return kind(session, judge, observer or (lambda _: None), self._safeguard()).perform(plan)

    def _plan(self, session: Session, judge: Judge) -> Plan:
        status = session.status()
        if self.source is None:
            session.refuse_other_schema(status)
        plan = judge(status)
        for note in plan.notes:
            logger().warning("%s", note)
        return plan

    def _rehearse(self, session: Session, plan: Plan, judge: Judge) -> Rehearsal:
        from torc_migrations.rehearsal import rehearse

        return rehearse(session, plan, judge, self._writing)

    def _mind_losses(self, rehearsal: Rehearsal) -> None:
        """Refuse what loses rows without saying so, or warn of it."""
        if rehearsal.refusal and self.on_loss == "refuse":
            raise rehearsal.refusal
        for step in rehearsal.steps:
            for loss in step.unnamed:
                logger().warning("%s: %s", step.outcome.step.name, loss.as_text())

    def _writing(self, session: Session) -> AbstractContextManager[None]:  # noqa: ARG002  # the command watches it
        """Return what is entered while a plan is performed."""
        return nullcontext()


def _kind_of_run(*, atomic: bool) -> type[Run]:
    """Load what performs a plan, which costs more than to find out that there is nothing to perform."""
    if atomic:
        from torc_migrations.single_transaction import AtomicRun

        return AtomicRun
    from torc_migrations.run import Run

    return Run
