"""Operations that are awaited, on asyncio and on trio, and what a cancellation leaves."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from shell import ledgers, query, write_files

import torc_migrations
from torc_migrations import AsyncMigrator, Migrator, aio, errors, migrated
from torc_migrations.events import Event, MigrationStarted
from torc_migrations.history.steps import Action, Outcome
from torc_migrations.options.keywords import Options

# Takes seconds, unless it is interrupted.
SLOW = """
CREATE TABLE number AS
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000)
SELECT MAX(i) AS last FROM n;
"""
NO_TRANSACTION = "-- transactional: false\nPRAGMA user_version = 7;\n"


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[object]]], None]:
    """A function that runs a coroutine to its end, on each of the two; no thread of ours is left."""

    def run_on(coroutine: Callable[[], Awaitable[object]]) -> None:
        anyio.run(coroutine, backend=request.param)
        assert [each.name for each in threading.enumerate() if each.name.startswith("torc")] == []

    return run_on


@pytest.fixture
def slow(here: Path, migrations: Path) -> str:
    """A directory whose second migration takes some seconds, and the third waits behind it."""
    write_files(migrations, {"0002_add_author.sql": SLOW, "0002_add_author.rollback.sql": "DROP TABLE number;\n"})
    return str(migrations)


async def begun(path: Path) -> None:
    """Wait until a script has the write lock."""
    with anyio.fail_after(60):
        while not path.exists():
            await anyio.sleep(0.01)
        while True:
            try:
                with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("ROLLBACK")
            except sqlite3.OperationalError:
                return
            await anyio.sleep(0.01)


def public_methods(kind: type) -> dict[str, inspect.Signature]:
    """Return the methods that users call, with their arguments."""
    found = {name: method for name, method in vars(kind).items() if not name.startswith("_")}
    return {name: inspect.signature(method) for name, method in found.items() if callable(method)}


def test_both_classes_have_the_same_methods() -> None:
    """Names, arguments, defaults and results are the same, and every method of one is awaited."""
    assert public_methods(AsyncMigrator) == public_methods(Migrator)
    assert all(inspect.iscoroutinefunction(getattr(AsyncMigrator, name)) for name in public_methods(Migrator))


def test_both_constructors_take_the_same_options() -> None:
    """The options of `Migrator`, and `on_cancel`."""
    positional = ["self", "database", "source"]
    own = list(inspect.signature(AsyncMigrator.__init__).parameters)
    theirs = list(inspect.signature(Migrator.__init__).parameters)

    assert own == [*positional, "on_cancel", "options"]
    assert theirs == [*positional, *Options.__annotations__]
    with pytest.raises(errors.BadOptionValue, match="on_cancel must be 'finish' or 'interrupt', not 'stop'"):
        AsyncMigrator("app.db", on_cancel="stop")  # type: ignore[arg-type]
    with pytest.raises(errors.BadOptionValue):
        AsyncMigrator("app.db", keep=0)


def test_the_module_has_every_function() -> None:
    """`aio` has each function that opens a database, with the same arguments."""
    functions = {name for name in torc_migrations.__all__ if inspect.isfunction(getattr(torc_migrations, name))}
    names = functions - {"convert"}  # which only reads and writes files
    awaited = names - {"migrated"}

    assert names <= set(aio.__all__)
    assert {name: inspect.signature(getattr(aio, name)) for name in awaited} == {
        name: inspect.signature(getattr(torc_migrations, name)) for name in awaited
    }
    assert all(inspect.iscoroutinefunction(getattr(aio, name)) for name in awaited)
    assert inspect.signature(aio.migrated).parameters == inspect.signature(migrated).parameters


def test_everything_can_be_awaited(run: Callable[..., None], here: Path, migrations: Path) -> None:
    """Each method and each function does what its synchronous one does."""
    path, source = str(here / "app.db"), str(migrations)
    write_files(migrations, {"verify/book.sql": "-- name: books\n-- expect: SCAN book\nSELECT id FROM book;\n"})

    async def tour() -> None:
        migrator = AsyncMigrator(path, source)
        seen: list[int] = []
        assert (await migrator.status()).installed == ()
        assert len((await migrator.plan()).steps) == 3
        assert (await migrator.rehearse()).report.applied == (1, 2, 3)
        assert (await migrator.upgrade(1, observer=lambda o: seen.append(o.step.migration.version))).applied == (1,)
        assert seen == [1]
        assert (await migrator.apply(3)).applied == (3,)
        assert (await migrator.rollback()).applied == (3,)
        assert (await migrator.round_trip(fresh=True)).ok
        assert (await migrator.upgrade()).applied == (2, 3)
        assert (await migrator.perform(Action.ERASE, [3])).applied == ()
        assert (await migrator.baseline(3)).outcomes
        assert (await migrator.repair(line_endings=True)).outcomes == ()
        assert (await migrator.diagnose()).healthy
        assert [finding.ok for finding in await migrator.verify()] == [True]
        assert (await aio.rollback(path, source, target=1)).applied == (3, 2)
        assert (await aio.apply(path, source, versions=[2])).applied == (2,)
        assert (await aio.rehearse(path, source)).report.applied == (3,)
        assert (await aio.upgrade(path, source, snapshot=str(here))).applied == (3,)
        (snapshot,) = here.glob("*.snapshot")
        assert (await aio.status(path, source)).clean
        assert await aio.restore(path, snapshot)
        assert (await migrator.status()).latest == 2
        assert await migrator.restore(snapshot)
        assert (await aio.round_trip(None, source)).ok
        assert (await aio.verify(None, source, fresh=True))[0].ok
        with pytest.raises(errors.UrlError):
            await aio.verify(None, source)
        with pytest.raises(errors.VersionNotPresent):
            await migrator.upgrade(9)

    run(tour)


def test_the_loop_goes_on_while_a_migration_runs(run: Callable[..., None], here: Path, slow: str) -> None:
    """Other tasks have their turn; the operation runs in a thread of its own."""
    ticks: list[int] = []
    threads: set[str] = set()

    async def tick() -> None:
        while True:
            ticks.append(1)
            await anyio.sleep(0.01)

    async def upgrade_beside() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(tick)
            migrator = AsyncMigrator(str(here / "app.db"), slow)
            await migrator.upgrade(observer=lambda _: threads.add(threading.current_thread().name))
            group.cancel_scope.cancel()

    run(upgrade_beside)

    assert len(ticks) > 5
    assert threading.main_thread().name not in threads
    assert len(threads) == 1


def test_a_cancellation_ends_after_the_running_migration(run: Callable[..., None], here: Path, slow: str) -> None:
    """It is recorded, no other one begins, and the next upgrade continues; also where they share a transaction."""
    path = here / "app.db"
    seen: list[int] = []

    async def cancel_in_the_middle() -> None:
        migrator = AsyncMigrator(str(path), slow, group=60)
        await migrator.upgrade(1)

        def observer(outcome: Outcome) -> None:
            seen.append(outcome.step.migration.version)

        async with anyio.create_task_group() as group:
            group.start_soon(partial(migrator.upgrade, observer=observer))
            await begun(path)
            group.cancel_scope.cancel()
        assert ledgers(path)[1] == {1, 2}
        assert (await migrator.upgrade()).applied == (3,)

    run(cancel_in_the_middle)

    assert seen == [2]
    assert query(path, "SELECT last FROM number") == [(3000000,)]


def test_a_cancellation_may_interrupt_the_statement(run: Callable[..., None], here: Path, slow: str) -> None:
    """With `on_cancel="interrupt"` the migration that is running is rolled back, and the next upgrade runs it again."""
    path = here / "app.db"

    async def cancel_in_the_middle() -> None:
        migrator = AsyncMigrator(str(path), slow, on_cancel="interrupt", group=0)
        await migrator.upgrade(1)
        async with anyio.create_task_group() as group:
            group.start_soon(migrator.upgrade)
            await begun(path)
            group.cancel_scope.cancel()
        assert ledgers(path)[1] == {1}
        assert (await migrator.upgrade()).applied == (2, 3)

    run(cancel_in_the_middle)


def test_an_interrupted_group_is_no_error_in_the_log(
    run: Callable[..., None], here: Path, slow: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What shares the transaction is rolled back with the statement, as `on_cancel="interrupt"` asks for."""
    second = threading.Event()  # before it, what was done is committed

    def look(event: Event) -> None:
        if isinstance(event, MigrationStarted) and event.step.migration.version == 2:
            second.set()

    async def cancel_in_the_middle() -> None:
        migrator = AsyncMigrator(here / "app.db", slow, on_cancel="interrupt", group=60, on_event=look)
        async with anyio.create_task_group() as group:
            group.start_soon(migrator.upgrade)
            with anyio.fail_after(60):
                while not second.is_set():
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    run(cancel_in_the_middle)

    assert query(here / "app.db", "SELECT name FROM sqlite_master") == []
    assert caplog.messages == []


def test_a_cancellation_ends_waiting_for_a_lock(run: Callable[..., None], here: Path, migrations: Path) -> None:
    """A timeout is kept while another process holds the database, whatever the lock timeout is."""
    path = here / "app.db"

    async def wait_in_vain() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("CREATE TABLE mine (id)")
            holder.execute("BEGIN IMMEDIATE")
            with anyio.move_on_after(0.3) as scope:
                await aio.upgrade(str(path), str(migrations), lock_timeout=300)
            assert scope.cancelled_caught
            holder.execute("ROLLBACK")
        assert (await aio.upgrade(str(path), str(migrations))).applied == (1, 2, 3)

    run(wait_in_vain)


def test_a_script_without_a_transaction_ends_and_is_recorded(run: Callable[..., None], here: Path, slow: str) -> None:
    """A cancellation never leaves it half-done, also where it has to wait for the lock."""
    path = here / "app.db"
    write_files(Path(slow), {"0002_add_author.sql": NO_TRANSACTION})

    async def cancel_while_it_waits() -> None:
        migrator = AsyncMigrator(str(path), slow)
        await migrator.upgrade(1)
        holder = sqlite3.connect(path, isolation_level=None)
        async with anyio.create_task_group() as group:
            holder.execute("BEGIN IMMEDIATE")
            group.start_soon(migrator.upgrade)
            await anyio.sleep(0.3)
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.1)
                holder.execute("ROLLBACK")
                holder.close()
        assert ledgers(path)[1] in ({1}, {1, 2})
        assert (await migrator.diagnose()).healthy
        assert (await migrator.upgrade()).applied in ((2, 3), (3,))

    run(cancel_while_it_waits)


def test_asyncio_timeouts_and_cancelled_tasks(here: Path, slow: str) -> None:
    """asyncio's own ways: `timeout`, `wait_for`, a task that is cancelled twice, and a group that fails."""
    path = here / "app.db"
    write_files(Path(slow), {f"000{n}_more.sql": f"CREATE TABLE t{n} (id);\n" for n in range(4, 8)})

    async def cancel_each_way() -> None:
        migrator = AsyncMigrator(str(path), slow, on_cancel="interrupt", group=0)
        await migrator.upgrade(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await migrator.upgrade()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(migrator.upgrade(), 0.2)
        task = asyncio.create_task(migrator.upgrade())
        await begun(path)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ExceptionGroup) as failure:
            await upgrade_beside_a_failure(migrator)
        assert [type(each) for each in failure.value.exceptions] == [ValueError]
        assert ledgers(path)[1] == {1}
        results = await asyncio.gather(*(migrator.upgrade() for _ in range(4)))
        assert sorted(version for report in results for version in report.applied) == [2, 3, 4, 5, 6, 7]

    async def upgrade_beside_a_failure(migrator: AsyncMigrator) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(migrator.upgrade())
            group.create_task(fail_soon())

    async def fail_soon() -> None:
        await begun(path)
        raise ValueError

    asyncio.run(cancel_each_way())


def test_a_lent_connection(run: Callable[..., None], here: Path, migrations: Path) -> None:
    """A connection that other threads may use is used in one; another one is refused."""

    async def lend() -> None:
        with closing(sqlite3.connect(here / "app.db", check_same_thread=False)) as connection:
            assert (await aio.upgrade(connection, str(migrations))).applied == (1, 2, 3)
            assert connection.execute("SELECT COUNT(*) FROM book").fetchone() == (0,)
        with closing(sqlite3.connect(here / "app.db")) as connection, pytest.raises(errors.CannotOpen):
            await aio.upgrade(connection, str(migrations))

    run(lend)


def test_a_service_begins_with_a_migrated_database(run: Callable[..., None], here: Path, migrations: Path) -> None:
    """`migrated` is entered by `async with`, or called with an application as its lifespan; it may be used again."""
    lifespan = aio.migrated(str(here / "app.db"), str(migrations), target=2)

    async def serve() -> None:
        async with lifespan as report:
            assert report.applied == (1, 2)
        async with lifespan(object()) as state:
            assert state is None
        async with aio.migrated(str(here / "app.db"), str(migrations)) as report:
            assert report.applied == (3,)
        with pytest.raises(errors.SourceError):
            async with aio.migrated(str(here / "app.db"), "nowhere"):
                pytest.fail("the service begins")

    run(serve)


def test_a_synchronous_program_begins_with_a_migrated_database(here: Path, migrations: Path) -> None:
    """`with migrated(...)` upgrades, and does not run what is inside if that fails."""
    with migrated(here / "app.db", str(migrations)) as report:
        assert report.applied == (1, 2, 3)
    with pytest.raises(errors.SourceError), migrated(here / "app.db", "nowhere"):
        pytest.fail("the program begins")


def test_an_operation_that_is_stopped_says_so_in_its_thread(here: Path, migrations: Path) -> None:
    """The error has the report of what was done, and can be pickled like others."""
    from torc_migrations.databases.waiting import stoppable

    done: list[int] = []
    with pytest.raises(errors.Stopped) as failure, stoppable(lambda: bool(done)):
        Migrator(here / "app.db", str(migrations), group=0).upgrade(observer=lambda _: done.append(1))

    assert failure.value.report is not None
    assert failure.value.report.applied == (1,)
    assert failure.value.code == "stopped"
