"""A program that uses every public name, as mypy --strict reads it; `test_typed_program.py` also runs it."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import assert_type

import sqlite_utils
from sqlalchemy import create_engine

import torc_migrations
from torc_migrations import (
    AsyncMigrator,
    Conversion,
    Finding,
    Fleet,
    MigrationError,
    Migrator,
    Rehearsal,
    Report,
    RoundTrip,
    ServerOptions,
    Status,
    aio,
    errors,
    events,
    watch,
)
from torc_migrations.plugins.server_templates import MigratedUrlAt
from torc_migrations.plugins.templates import MigratedAt

FILES = {
    "1_create_book.sql": "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT);\n",
    "1_create_book.rollback.sql": "DROP TABLE book;\n",
    "2_add_author.sql": "ALTER TABLE book ADD COLUMN author TEXT;\n",
    "2_add_author.rollback.sql": "ALTER TABLE book DROP COLUMN author;\n",
    "verify/books.sql": "-- name: by id\n-- expect: SEARCH book USING INTEGER PRIMARY KEY\n"
    "SELECT title FROM book WHERE id = 1;\n",
}


def main(here: Path) -> str:
    """Use everything in an empty directory."""
    source = here / "migrations"
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    use_functions(here / "functions.db", source)
    use_databases(here, source)
    use_migrator(here / "migrator.db", source)
    asyncio.run(use_async(here / "async.db", source))
    asyncio.run(use_async_migrator(here / "async_migrator.db", source))
    use_fleet(here, source)
    use_watch(here / "functions.db")
    use_convert(here)
    use_errors(here / "missing")
    return assert_type(torc_migrations.__version__, str)


def use_functions(database: Path, source: Path) -> None:
    """Each function, with its result."""
    report = torc_migrations.upgrade(database, source, target=1, atomic=True, lock_timeout=5.0, group=0.1)
    assert_type(report, Report)
    assert_type(report.applied, tuple[int, ...])
    assert_type(report.as_text(), str)
    assert_type(report.as_dict(), dict[str, object])
    assert_type(torc_migrations.apply(database, source, versions=[2]), Report)
    rehearsal = torc_migrations.rehearse(database, source, operation="rollback", steps=1)
    assert_type(rehearsal, Rehearsal)
    assert_type(rehearsal.as_text(), str)
    status = torc_migrations.status(database, source)
    assert_type(status, Status)
    for entry in status.entries:
        assert_type(entry.migration.version, int)
        assert_type(entry.installed, bool)
    findings = torc_migrations.verify(database, source)
    assert_type(findings, tuple[Finding, ...])
    trip = torc_migrations.round_trip(None, source)
    assert_type(trip, RoundTrip)
    assert_type(torc_migrations.rollback(database, source, target=0), Report)
    with torc_migrations.migrated(database, source, snapshot=True) as made:
        assert_type(made, Report)
    assert_type(torc_migrations.wait(database, source, version=2, timeout=1.0, on_wait=print), Status)
    assert made.snapshot is not None
    torc_migrations.restore(database, made.snapshot, lock_timeout=5.0)
    torc_migrations.upgrade(database, source)


def use_convert(here: Path) -> None:
    """Migrations of another tool, and what could not be converted."""
    (here / "old").mkdir()
    (here / "old" / "1_a.sql").write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n")
    conversion = torc_migrations.convert(here / "old", here / "new", layout="sqlx", partial=True)
    assert_type(conversion, Conversion)
    assert_type(conversion.problems, tuple[errors.Problem, ...])
    for migration in conversion.migrations:
        assert_type(migration.version, int | None)
        assert_type(migration.down, bytes | None)


def use_databases(here: Path, source: Path) -> None:
    """Whatever names a database, and every option."""

    def register(connection: sqlite3.Connection) -> None:
        connection.create_function("twice", 1, lambda number: 2 * number)

    heard: list[events.Event] = []
    migrator = Migrator(
        f"sqlite:///{here / 'options.db'}",
        [source],
        lock_timeout=5,
        ignore_missing=False,
        on_newer="refuse",
        out_of_order="refuse",
        migration_table="_yoyo_migration",
        sqlx_table="_sqlx_migrations",
        ignored_chars="",
        strict=True,
        snapshot=here,
        keep=1,
        on_loss="refuse",
        group=0,
        foreign_keys={1: "on", 2: "script"},
        allow_broken_schema=True,
        functions=register,
        server=ServerOptions(statement_wise=True, advisory_lock=True, table_lock_timeout=1.0, lock_tries=3),
        statement_timeout=60.0,
        on_event=heard.append,
    )
    migrator.upgrade()
    assert [assert_type(describe(event), str) for event in heard]
    utils = sqlite_utils.Database(here / "utils.db")
    torc_migrations.upgrade(utils, source)
    utils.close()
    with closing(sqlite3.connect(here / "connection.db")) as connection:
        torc_migrations.upgrade(connection, source)
    engine = create_engine(f"sqlite:///{here / 'engine.db'}")
    torc_migrations.upgrade(engine, source)
    torc_migrations.status(engine.url, source)
    with engine.connect() as borrowed:
        torc_migrations.status(borrowed, source)
    engine.dispose()


def describe(event: events.Event) -> str:
    """Each kind of event, with its facts."""
    if isinstance(event, events.RunStarted):
        return f"{event.name} {event.database} {len(event.plan.steps)}"
    if isinstance(event, events.MigrationStarted):
        return f"{event.name} {event.step.migration.id} {event.number}/{event.count}"
    if isinstance(event, events.StatementStarted):
        return f"{event.name} {event.path}:{event.line} {event.number}"
    if isinstance(event, events.Progress):
        return f"{event.name} {event.percent} {event.bytes_done}/{event.bytes} {event.elapsed_ns}"
    if isinstance(event, events.Waiting):
        return f"{event.name} {event.holder} {event.waited_ns}"
    if isinstance(event, (events.Installed, events.RolledBack, events.Rehearsed)):
        return f"{event.name} {event.outcome.step.migration.id}"
    if isinstance(event, events.Failed):
        return f"{event.name} {event.error}"
    if isinstance(event, events.RunEnded):
        return f"{event.name} {event.applied} {event.error}"
    callback: events.OnEvent = print
    callback(event)
    return str(assert_type(event.as_dict(), dict[str, object])["event"])


def use_migrator(database: Path, source: Path) -> None:
    """Each method of a `Migrator`."""
    migrator = Migrator(database, source, snapshot=True)
    assert_type(migrator.plan("upgrade", 1).steps[0].migration.id, str)
    report = migrator.upgrade(1, observer=lambda outcome: str(outcome.elapsed_ns), atomic=False)
    migrator.apply(2)
    migrator.rehearse(operation="rollback")
    migrator.round_trip(fresh=True, allow_irreversible=True)
    migrator.verify(fresh=True)
    assert_type(migrator.status(), Status)
    diagnosis = migrator.diagnose()
    assert_type(diagnosis.healthy, bool)
    migrator.rollback(0)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT)")
    migrator.baseline(1)
    migrator.repair(1, reason="the same schema")
    migrator.perform(report.outcomes[0].step.action, [2])
    snapshot = migrator.rollback().snapshot
    assert snapshot is not None
    migrator.restore(snapshot)


async def use_async(database: Path, source: Path) -> None:
    """Each function of `aio`."""
    assert_type(await aio.upgrade(database, source, target=1), Report)
    assert_type(await aio.apply(database, source, versions=(2,)), Report)
    assert_type(await aio.rehearse(database, source, operation="rollback"), Rehearsal)
    assert_type(await aio.round_trip(None, source), RoundTrip)
    assert_type(await aio.verify(database, source, fresh=True), tuple[Finding, ...])
    assert_type(await aio.rollback(database, source), Report)
    lifespan: aio.AsyncMigrated = aio.migrated(database, source, snapshot=True)
    async with lifespan as report:
        assert_type(report, Report)
    async with lifespan(object()):
        pass
    assert_type(await aio.status(database, source), Status)
    assert_type(await aio.wait(database, source, timeout=1.0), Status)
    assert report.snapshot is not None
    await aio.restore(database, report.snapshot)


async def use_async_migrator(database: Path, source: Path) -> None:
    """Each method of an `AsyncMigrator`, which is the same class in both modules."""
    kind: type[aio.AsyncMigrator] = AsyncMigrator
    migrator = kind(database, source, on_cancel="interrupt", snapshot=True)
    await migrator.plan()
    report = assert_type(await migrator.upgrade(1), Report)
    await migrator.apply(2)
    await migrator.rehearse(operation="rollback")
    await migrator.round_trip(fresh=True)
    await migrator.verify(fresh=True)
    assert_type(await migrator.status(), Status)
    await migrator.diagnose()
    await migrator.rollback(0)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT)")
    await migrator.baseline(1)
    await migrator.repair(1, reason="the same schema")
    await migrator.perform(report.outcomes[0].step.action, [2])
    snapshot = (await migrator.rollback()).snapshot
    assert snapshot is not None
    await migrator.restore(snapshot)


def use_fleet(here: Path, source: Path) -> None:
    """Databases as a function of names and addresses, and as a pattern."""

    def databases() -> Iterator[tuple[str, Path]]:
        yield from ((name, here / f"{name}.tenant") for name in ("acme", "globex"))

    fleet = Fleet(databases, source)
    report = fleet.upgrade(
        target=None,
        canary=1,
        workers=1,
        on_error="continue",
        stop_after=3,
        on_result=lambda result: f"{result.name} {result.applied} {result.error}",
    )
    assert_type(report.failures[0].error if report.failures else None, MigrationError | None)
    status = fleet.status(workers=1)
    assert_type(status.ok, bool)
    assert_type(status.as_text(), str)
    assert [tenant.name for tenant in fleet.tenants()] == ["acme", "globex"]
    assert_type(Fleet(f"{here}/*.tenant", source).open("acme"), str)


class Reader(sqlite3.Connection):
    """A connection of the application."""


def use_watch(database: Path) -> None:
    """Record the queries of an application."""
    queries = watch.Watch(slow=60.0, most=10)
    derived: type[Reader] = queries.factory(Reader)
    assert issubclass(derived, Reader)
    with closing(sqlite3.connect(database, factory=queries.factory())) as connection:
        connection.execute("SELECT title FROM book").fetchall()
    with closing(queries.wrap(sqlite3.connect(database))) as wrapped:
        wrapped.execute("SELECT title FROM book").fetchall()
    seen: tuple[watch.Query, ...] = queries.queries
    assert_type(seen[0].sql, str)
    assert seen[0].sql != watch.OTHERS
    assert (queries.scans, queries.slow_queries) is not None
    assert_type(queries.as_text(), str)
    queries.clear()


def use_errors(missing: Path) -> None:
    """What each error has."""
    try:
        torc_migrations.status(missing / "app.db", missing)
    except errors.SourceError as error:
        assert_type(error.code, str)
        assert_type(error.exit_code, int)
        assert_type(error.hint, str | None)
        assert_type(error.as_dict(), dict[str, object])
    except MigrationError as error:
        if error.report is not None:
            assert_type(error.report.applied, tuple[int, ...])
        raise


def test_file(migrated_database: Path) -> None:
    """The fixtures of pytest have these types."""
    assert migrated_database.exists()


def test_memory(migrated_memory: sqlite3.Connection) -> None:
    """A connection."""
    assert migrated_memory.execute("SELECT title FROM book").fetchall() == []


def test_migration(migrated_at: Callable[[int], MigratedAt]) -> None:
    """A database at a version."""
    database = migrated_at(1)
    database.connect().execute("INSERT INTO book (title) VALUES ('Emma')")
    assert_type(database.upgrade(), Report)
    assert_type(database.rollback(), Report)
    assert_type(database.path, Path)


def use_url(migrated_at: Callable[[int], MigratedUrlAt]) -> None:
    """The same where a server is named."""
    database = migrated_at(1)
    assert_type(database.url, str)
    assert_type(database.upgrade(2), Report)
    assert_type(database.rollback(1), Report)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
