"""The class `Migrator`: read the status of a database, upgrade it, roll it back, repair its ledgers."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Unpack

from torc_migrations import options
from torc_migrations.configured import Configured
from torc_migrations.databases.opening import is_server
from torc_migrations.errors import BadOptionType
from torc_migrations.options import Ledger, Operation, Planned
from torc_migrations.sources.files import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torc_migrations.history.status import Status
    from torc_migrations.history.steps import Action, Plan, Report
    from torc_migrations.indexes.verify import Finding
    from torc_migrations.options.keywords import Repair
    from torc_migrations.rehearsals.report import Rehearsal
    from torc_migrations.rehearsals.round_trips import RoundTrip
    from torc_migrations.runs.diagnosis import Diagnosis
    from torc_migrations.runs.run import Observer
    from torc_migrations.snapshots.restore import Restoration


class Migrator(Configured):
    """Read which migrations a database has, and bring it to another version.

    Nothing is opened until a method is called, and nothing stays open after it; many threads may use one object. Each
    method raises BadOption for a wrong argument.

    Args:
        database: a URL (`sqlite:///torc.db`, `postgresql://host/app`) or path, an open connection of `sqlite3` or
            `psycopg`, a `sqlite_utils.Database`, or an engine or a connection of SQLAlchemy. A connection stays open,
            and its settings are put back (but SQLite cannot give back an authorizer); one in a transaction is refused.
        source: a directory of migrations, `"package:name:directory"`, a `Traversable`, or None for the torc schema.
        lock_timeout: how long to wait for other processes, in seconds.
        ignore_missing: go on where an installed version has no file in the source.
        on_newer: what to do where an installed version is newer than every file, as when an older release starts again
            during a rolling deployment: `"accept"` it with a warning in the log, or `"refuse"`.
        out_of_order: what to do with a pending migration that is older than an installed one: `"apply"`, or `"refuse"`.
        migration_table: the name of yoyo's ledger.
        sqlx_table: the name of sqlx's ledger, quoted as in SQL; `table-name` in sqlx.toml.
        ignored_chars: characters that are left out of checksums; `ignored-chars` in sqlx.toml.
        strict: refuse scripts that commit by themselves. Otherwise they run as sqlx runs them, with a warning in the
            log, because such a script cannot be rolled back as a whole.
        snapshot: copy the database before the first write of a run: True for a copy next to it, or a directory. If a
            script fails half-way outside our transaction, and nobody else has written since, the copy is restored.
        keep: how many snapshots of the database stay in the directory.
        on_loss: rehearse on a copy first; if a table would lose rows that the script itself does not name in a DELETE
            or DROP TABLE, `"warn"` in the log, or `"refuse"` to begin. With `"warn"` the run accepts such losses too.
        group: for how many seconds steps share a transaction; 0: each has its own. A step that fails is undone alone.
        foreign_keys: `"on"` or `"off"` while scripts run, or as each `"script"` says; or a mapping of versions to these
            words, where 0 stands for hooks. sqlx has them on; a script that counts on cascades needs that.
        allow_broken_schema: only warn in the log if a view, a trigger or a key does not work any more after a script.
        functions: called with each connection that is opened, also to a copy, to register functions, collations and
            extensions of SQL. A lent connection has those of its owner, and only copies of its database get these.
        server: how a server is used.
        statement_timeout: how many seconds a statement of a script may take, or None; one that takes longer is stopped.
        on_event: called with each event of a run (`torc_migrations.events`), in its thread. What it raises is raised
            once the migration that is running is committed; no other one begins.
    """

    def status(self) -> Status:
        """Return what is installed. Writes nothing: no table, no file, no lock, no setting.

        If a writer was killed, SQLite first repairs the file, as for every reader: it rolls back what was cut off.

        Raises:
            SourceError, UrlError: the source or the database cannot be read.
        """
        from dataclasses import replace

        with self._session() as session:
            status, missing = session.status(), session.why_empty()
            evidence = session.other_schema(status) if self.source is None else None
        notes = [f"{missing}; upgrade creates it"] if missing else []
        if evidence is not None:
            notes.append(f"this is not a database of {SHIPPED} ({evidence}); name the source of its own migrations")
        return replace(status, notes=(*status.notes, *notes)) if notes else status

    def plan(
        self,
        operation: Planned = "upgrade",
        target: int | None = None,
        *,
        ledger: Ledger | None = None,
        steps: int | None = None,
    ) -> Plan:
        """Return what `upgrade(target)`, `rollback(target, steps=steps)` or `repair(trust=ledger)` would do.

        Writes nothing.

        Raises:
            MigrationError: the one with which the operation would end before its first step.
        """
        from torc_migrations.history.planning import plan_trust

        options.check_plan(operation, target, ledger, steps)
        with self._session() as session:
            if operation == "trust":
                return plan_trust(session.status(), ledger or "yoyo")
            return session.without_other_formats(self._plan(session, self._planner(operation, target, steps)))

    def upgrade(self, target: int | None = None, *, observer: Observer | None = None, atomic: bool = False) -> Report:
        """Apply what is pending, up to `target` or to the newest version.

        Idempotent, and safe from many processes at once: each migration is applied once, by one of them, together with
        its records in both ledgers; with `atomic` all are one transaction. With nothing to do it writes nothing.

        Raises:
            MigrationError: any of them; its `report` says what was done before.
            BadScript: with `atomic`, also where a script cannot be part of one transaction; nothing was run then.
        """
        report = self._upgrade(target, observer, atomic=atomic)
        if report is None:
            from torc_migrations.history.steps import Direction, Plan, Report

            return Report(Plan(Direction.UP, ()), ())
        return report

    def _upgrade(self, target: int | None, observer: Observer | None, *, atomic: bool) -> Report | None:
        """Do what `upgrade` does; None if a quick look shows that there is nothing to do."""
        options.check_run(target, observer, atomic)
        looks_first = target is None and self.on_event is None
        if looks_first and self._is_settled():
            return None
        return self._run(self._planner("upgrade", target), observer, atomic=atomic, looks_first=looks_first)

    def apply(self, *versions: int, observer: Observer | None = None) -> Report:
        """Apply exactly these migrations; those that are installed already are left alone.

        Raises:
            MigrationError: as for `upgrade`.
        """
        from torc_migrations.history.steps import Action

        return self.perform(Action.APPLY, versions, observer=observer)

    def perform(self, action: Action, versions: Iterable[int], *, observer: Observer | None = None) -> Report:
        """Apply or roll back exactly these migrations, or only record or erase them, where they are not so already.

        Raises:
            MigrationError: as for `upgrade`.
        """
        from torc_migrations.history.planning import plan_exactly
        from torc_migrations.history.steps import Action

        if not isinstance(action, Action):
            raise BadOptionType("action", action, "an Action")
        wanted = options.check_versions(versions)
        options.check_observer(observer)
        return self._run(lambda status: plan_exactly(status, action, wanted, **self._leniency()), observer)

    def rollback(
        self,
        target: int | None = None,
        *,
        steps: int | None = None,
        observer: Observer | None = None,
        atomic: bool = False,
    ) -> Report:
        """Roll back the newest migration, or all above `target`, which stays, or all for 0; with `atomic` all or none.

        With `steps` the newest so many are rolled back, and `target` must be None.

        Raises:
            Irreversible: a migration on the way has no down script; nothing was rolled back then.
            TooFewInstalled: fewer than `steps` are installed; nothing was rolled back then.
            MigrationError: as for `upgrade`.
        """
        options.check_run(target, observer, atomic)
        options.check_steps("rollback", target, steps)
        return self._run(self._planner("rollback", target, steps), observer, atomic=atomic)

    def rehearse(
        self,
        target: int | None = None,
        *,
        operation: Operation = "upgrade",
        atomic: bool = False,
        steps: int | None = None,
    ) -> Rehearsal:
        """Run what `upgrade` or `rollback` would run on a copy of the database, and report the result.

        The copy is next to the database's file, or in memory if it has none, and is removed at the end. The database is
        only read; without WAL, writers wait until it is copied. With nothing to do nothing is copied. On PostgreSQL it
        is a database of the server, or a transaction that is rolled back; on MariaDB it has no rows: `place` says so.

        Raises:
            NotEnoughSpace: the disk has less free space than twice the size of the database.
            CannotOpen: the database's directory cannot be written.
            MigrationError: the one that the real run would end with; its `rehearsed` is set.
        """
        from torc_migrations.rehearsals.rehearsal import rehearse

        options.check_choice("operation", operation, options.OPERATIONS)
        options.check_version("target", target, optional=True)
        options.check_flag("atomic", atomic)
        options.check_steps(operation, target, steps)
        planner = self._planner(operation, target, steps)
        with self._session() as session:
            return rehearse(session, self._first_plan(session, planner), planner, atomic=atomic)

    def round_trip(self, *, fresh: bool = False, allow_irreversible: bool = False) -> RoundTrip:
        """Apply each pending migration on a copy, roll it back and apply it again; report what is not as before.

        Compares the schema, all rows, `foreign_key_check` and `integrity_check`. With `fresh`, or where nothing is yet,
        every migration is tried, in memory or on an empty database of the server. One without a down script is a
        finding, unless `allow_irreversible`.

        Raises:
            MigrationError: the source or the database cannot be used; what is wrong with a script is a finding.
        """
        from dataclasses import replace

        from torc_migrations.history.steps import Action
        from torc_migrations.rehearsals.rehearsal import copied
        from torc_migrations.rehearsals.round_trips import make_round_trip, on_scratch

        options.check_flag("fresh", fresh)
        options.check_flag("allow_irreversible", allow_irreversible)
        with self._session() as session:
            if fresh or not (session.object_names() or session.status().installed):
                scene, chosen = on_scratch(session), session.source.migrations
            else:
                steps = self._first_plan(session, self._planner("upgrade", None)).steps
                scene, chosen = copied(session), tuple(s.migration for s in steps if s.action is Action.APPLY)
            with scene as copy:
                trip = make_round_trip(copy, session.database.name, chosen, self._leniency())
                return replace(trip, irreversible_allowed=allow_irreversible)

    def baseline(self, version: int) -> Report:
        """Record everything up to `version` as installed, and run nothing: the database has it all already.

        What the migrations create is looked up first, by running them on an empty database.

        Raises:
            NotThere: the database lacks something that those migrations create; nothing was recorded then.
            MigrationError: as for `upgrade`.
        """
        from torc_migrations.history.steps import Action
        from torc_migrations.runs.evidence import check_objects

        options.check_version("version", version)
        with self._session() as session:
            versions = check_objects(session, version)
        return self.perform(Action.RECORD, versions)

    def repair(self, *versions: int, observer: Observer | None = None, **way: Unpack[Repair]) -> Report:
        """Correct the ledgers, by exactly one way of `options.Repair`; runs no script, except with `resume_after`.

        `versions` are the migrations to repair; none means all with `line_endings`; `trust` and `renamed` take none.

        Raises:
            VersionNotPresent, NothingToResume: the source has no such version, or no script of it is half-done.
            MigrationError: as for `upgrade`.
        """
        from torc_migrations.history.corrections import plan_correction

        name, value = options.check_repair(versions, **way)
        options.check_observer(observer)
        correct = partial(plan_correction, way=name, value=value, versions=versions, leniency=self._leniency())
        return self._run(correct, observer, atomic=name == "renamed", resumes=name == "resume_after")

    def diagnose(self) -> Diagnosis:
        """Explain the state of the database and of the directory, with what to type. Writes nothing.

        Raises:
            SourceError, UrlError: the source or the database cannot be read.
        """
        from torc_migrations.runs.diagnosis import diagnose

        with self._session() as session:
            return diagnose(session, lambda status: self._plan(session, self._planner("upgrade", None), status))

    def restore(self, snapshot: str | os.PathLike[str]) -> Restoration:
        """Overwrite the database with a snapshot; see `torc_migrations.restore`.

        Raises:
            MigrationError: as for `torc_migrations.restore`.
        """
        from torc_migrations.snapshots.restore import restore

        options.check_path("snapshot", snapshot)
        return restore(self.database, snapshot, lock_timeout=self.lock_timeout)

    def verify(self, *, fresh: bool = False) -> tuple[Finding, ...]:
        """Compare the plan of every query in the source's `verify` directory with its expectation; runs no query.

        The database is only read. With `fresh` the plans come from an empty database, upgraded from the
        source: about the schema, not about today's rows. Returns a finding for each expectation.

        Raises:
            SourceError: the expectations cannot be read, or with `fresh` the migrations.
            UrlError: the database cannot be opened, or does not exist.
        """
        from copy import copy

        from torc_migrations.history.planning import plan_upgrade
        from torc_migrations.indexes.expectations import find_expectations
        from torc_migrations.indexes.verify import verify_existing
        from torc_migrations.rehearsals.round_trips import on_scratch
        from torc_migrations.runs.evidence import on_empty_database
        from torc_migrations.runs.run import Run

        options.check_flag("fresh", fresh)
        expectations = find_expectations(self.source)
        if fresh:
            in_memory = copy(self)
            if not is_server(self.database):
                in_memory.database = ":memory:"
            with on_empty_database(None), in_memory._session() as opened, on_scratch(opened) as session:
                Run(session, plan_upgrade, lambda _: None).perform(plan_upgrade(session.status()))
                return verify_existing(session.database, expectations)
        with self._opened() as database:
            return verify_existing(database, expectations)
