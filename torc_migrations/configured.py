"""What the operations of `Migrator` share: its options, an open session, a plan, and a run of it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, cast

from torc_migrations.databases.opening import open_database
from torc_migrations.databases.servers.given import DEFAULT, ServerOptions
from torc_migrations.ledgers.fast_path import has_everything, nothing_to_do
from torc_migrations.ledgers.tables import SQLX_TABLE, YOYO_TABLE
from torc_migrations.log import log
from torc_migrations.options import OnLoss, OnNewer, Operation, OutOfOrder, check_options, check_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torc_migrations.databases.interface import Database, DatabaseLike, Functions
    from torc_migrations.events import OnEvent
    from torc_migrations.history.status import Status
    from torc_migrations.history.steps import Plan, Report
    from torc_migrations.runs.feed import Feed
    from torc_migrations.runs.planned import Planner
    from torc_migrations.runs.run import Observer
    from torc_migrations.runs.safeguard import Safeguard
    from torc_migrations.runs.session import Session
    from torc_migrations.sources.source import ForeignKeys, Source, SourceLike


class Configured:
    """A database and a source with the options of `Migrator`, whose docstring explains each."""

    def __init__(
        self,
        database: DatabaseLike,
        source: SourceLike = None,
        *,
        lock_timeout: float = 300.0,
        ignore_missing: bool = False,
        on_newer: OnNewer = "accept",
        out_of_order: OutOfOrder = "apply",
        migration_table: str = YOYO_TABLE,
        sqlx_table: str = SQLX_TABLE,
        ignored_chars: str = "",
        strict: bool = False,
        snapshot: bool | str | os.PathLike[str] = False,
        keep: int = 3,
        on_loss: OnLoss | None = None,
        group: float = 0.05,
        foreign_keys: ForeignKeys = "script",
        allow_broken_schema: bool = False,
        functions: Functions | None = None,
        server: ServerOptions = DEFAULT,
        statement_timeout: float | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        self.database = database
        self.source = source
        self.lock_timeout = lock_timeout
        self.ignore_missing = ignore_missing
        self.on_newer = on_newer
        self.out_of_order = out_of_order
        self.migration_table = migration_table
        self.sqlx_table = sqlx_table
        self.ignored_chars = ignored_chars
        self.strict = strict
        self.snapshot = snapshot
        self.keep = keep
        self.on_loss = on_loss
        self.group = group
        self.foreign_keys = foreign_keys
        self.allow_broken_schema = allow_broken_schema
        self.functions = functions
        self.server = server
        self.statement_timeout = statement_timeout
        self.on_event = on_event
        check_source(source)
        check_options(vars(self))

    def _is_settled(self) -> bool:
        """Return whether a quick look at files and ledgers shows that an upgrade has nothing to do."""
        if not (self.source is None or isinstance(self.source, (str, os.PathLike))):
            return False
        return nothing_to_do(
            self.database,
            self.source,
            lock_timeout=self.lock_timeout,
            yoyo_table=self.migration_table,
            sqlx_table=self.sqlx_table,
            ignored_chars=self.ignored_chars,
            server=self.server,
        )

    def _has_everything(self, database: Database) -> bool:
        """Return the same for an open database, where the source was read already, as by a fleet of databases."""
        tables = {"yoyo_table": self.migration_table, "sqlx_table": self.sqlx_table}
        return hasattr(self.source, "migrations") and has_everything(database, cast("Source", self.source), **tables)

    def _planner(self, operation: Operation, target: int | None, steps: int | None = None) -> Planner:
        from torc_migrations.history.planning import RollbackOfNewest, plan_rollback, plan_upgrade

        if operation == "upgrade":
            in_order = self.out_of_order == "refuse"
            return lambda status: plan_upgrade(status, target, in_order=in_order, **self._leniency())
        if target is None:
            return RollbackOfNewest(steps or 1, ignore_missing=self.ignore_missing)
        return lambda status: plan_rollback(status, target, ignore_missing=self.ignore_missing)

    def _leniency(self) -> dict[str, bool]:
        return {"ignore_missing": self.ignore_missing, "accept_newer": self.on_newer == "accept"}

    @contextmanager
    def _session(self) -> Iterator[Session]:
        from torc_migrations.ledgers.ledgers import Ledgers  # not needed by `nothing_to_do`, and slow to import
        from torc_migrations.runs.session import Session
        from torc_migrations.sources.source import discover

        source = discover(self.source, ignored_chars=self.ignored_chars).with_foreign_keys(self.foreign_keys)
        with self._opened() as database:
            database.statement_timeout = self.statement_timeout
            ledgers = Ledgers(database, self.migration_table, self.sqlx_table)
            tolerance = {"accept_losses": self.on_loss == "warn", "allow_broken_schema": self.allow_broken_schema}
            yield Session(database, source, ledgers, strict=self.strict, feed=self._feed(), **tolerance)

    def _feed(self) -> Feed:
        """Return what hears of a run; the command shows it."""
        from torc_migrations.runs.feed import Feed

        return Feed(self.on_event)

    def _opened(self) -> AbstractContextManager[Database]:
        return open_database(
            self.database, lock_timeout=self.lock_timeout, functions=self.functions, server=self.server
        )

    def _safeguard(self) -> Safeguard | None:
        if self.snapshot is False:
            return None
        from torc_migrations.snapshots.restore import SnapshotGuard

        return SnapshotGuard(None if self.snapshot is True else os.fspath(self.snapshot), self.keep)

    def _run(
        self,
        planner: Planner,
        observer: Observer | None = None,
        *,
        atomic: bool = False,
        resumes: bool = False,
        looks_first: bool = False,
    ) -> Report:
        """Open the database, plan and perform. With `looks_first`, an upgrade with nothing to do is found quickly."""
        from torc_migrations.history.steps import Direction, Plan, Report

        with self._session() as session:
            if looks_first and self._has_everything(session.database):
                return Report(Plan(Direction.UP, ()), ())
            if resumes:
                session.wait_for_runner()
            plan = self._first_plan(session, planner)
            if not plan.steps:
                session.feed.skip(plan)
                return Report(plan, ())
            if self.on_loss is not None:
                from torc_migrations.rehearsals.rehearsal import check_losses, rehearse

                check_losses(lambda: rehearse(session, plan, planner, atomic=atomic), self.on_loss)
            from torc_migrations.runs.atomic import run_class  # slow to import, and not needed with nothing to do

            arguments = (session, planner, observer or (lambda _: None), self._safeguard())
            return run_class(atomic=atomic)(*arguments, group=self.group).perform(plan)

    def _first_plan(self, session: Session, planner: Planner) -> Plan:
        plan = self._plan(session, planner)
        for note in (*plan.notes, *session.warnings(plan)):
            log().warning("%s", note)
        return plan

    def _plan(self, session: Session, planner: Planner, status: Status | None = None) -> Plan:
        from torc_migrations.runs.evidence import status_by_schema  # not needed by `nothing_to_do`

        status = status or status_by_schema(session)
        if self.source is None:
            session.refuse_other_schema(status)
        plan = planner(status)
        if plan.steps or not (missing := session.why_empty()):
            return plan
        from dataclasses import replace

        return replace(plan, notes=(*plan.notes, missing))


# What the packages above do with a migrator; its users have its methods.


def open_session(migrator: Configured) -> AbstractContextManager[Session]:
    """Open the database and the source of a migrator, as its operations do."""
    return migrator._session()


def leniency_of(migrator: Configured) -> dict[str, bool]:
    """Return what the plans of a migrator tolerate, as keywords of `history/planning.py`."""
    return migrator._leniency()


def has_all_installed(migrator: Configured, database: Database) -> bool:
    """Return whether a quick look at an open database shows that a source, which was read already, is installed."""
    return migrator._has_everything(database)
