"""Many databases with the same migrations: what is counted, what fails, and what a second run does."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from servers import Server
from shell import COMMAND, Torc, environment, ledgers, run, run_on_terminal, start, write_files

from torc_migrations import Fleet, errors, upgrade
from torc_migrations.services.fleets import FleetReport
from torc_migrations.services.tenants import TenantResult, TenantState
from torc_migrations.services.workers import Answer, Job, _next_size, perform_batch

WAYS = ("locked", "edited", "no database", "read-only", "foreign")


@pytest.fixture
def tenants(here: Path, migrations: Path) -> Path:
    """A directory with twenty databases, in which the newest migration is pending."""
    upgrade(here / "template", str(migrations), target=2)
    (here / "tenants").mkdir()
    for number in range(20):
        shutil.copyfile(here / "template", here / "tenants" / f"{number:02}.db")
    return here / "tenants"


@pytest.fixture
def fleet(tenants: Path, migrations: Path) -> Fleet:
    """The same as a fleet."""
    return Fleet(f"{tenants}/*.db", str(migrations), lock_timeout=0.2)


def installed(tenants: Path) -> Counter[tuple[int, ...]]:
    """Return how many databases have which versions."""
    return Counter(tuple(sorted(ledgers(path)[1])) for path in tenants.glob("*.db"))


def installed_in_order(tenants: Path) -> list[tuple[int, ...]]:
    """Return which versions each database has that is one."""
    paths = (path for path in sorted(tenants.glob("*.db")) if path.read_bytes().startswith(b"SQLite format 3"))
    return [tuple(sorted(ledgers(path)[1])) for path in paths]


@contextmanager
def broken(tenants: Path, addresses: list[str], migrations: Path) -> Iterator[dict[str, str]]:
    """Break one database in each way, by its place; yield the addresses by their way, and put right what can be."""
    chosen = dict(zip(WAYS, addresses, strict=False))
    paths = {way: Path(address) for way, address in chosen.items()}
    before = {way: path.read_bytes() for way, path in paths.items()}
    paths["no database"].write_text("This is no database. " * 300)
    for way, sql in {
        "edited": "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1",
        "foreign": "UPDATE _sqlx_migrations SET version = 0, checksum = x'01' WHERE version = 1",
    }.items():
        with closing(sqlite3.connect(paths[way])) as connection:
            connection.execute(sql)
            connection.commit()
    with closing(sqlite3.connect(paths["locked"], isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield chosen
        holder.execute("ROLLBACK")
    for way in ("edited", "foreign", "no database"):
        paths[way].write_bytes(before[way])


@pytest.mark.parametrize("workers", [1, 2])
def test_everything_is_upgraded(fleet: Fleet, tenants: Path, workers: int) -> None:
    """Before, everything is pending; afterwards nothing is, and nothing is done again."""
    before = fleet.status(workers=workers)
    first = fleet.upgrade(workers=workers)
    after = fleet.status(workers=workers)
    second = fleet.upgrade(workers=workers)

    assert before.as_text() == "0 at 3, 20 pending\n"
    assert before.named(TenantState.PENDING) == tuple(str(tenants / f"{number:02}.db") for number in range(20))
    assert (first.as_text(), second.as_text()) == (
        "20 upgraded, 0 unchanged, 0 failed\n",
        "0 upgraded, 20 unchanged, 0 failed\n",
    )
    assert (before.ok, first.ok, after.ok, second.ok) == (False, True, True, True)
    assert installed(tenants) == {(1, 2, 3): 20}
    assert [path for path in tenants.iterdir() if path.suffix != ".db"] == []


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_broken_is_named_and_stops_no_other(tenants: Path, migrations: Path, workers: int) -> None:
    """Five ways to be broken; the second run ends what the first could not."""
    addresses = [str(path) for path in sorted(tenants.glob("*.db"))]
    with broken(tenants, addresses, migrations) as chosen:
        given = [f"sqlite:///{a}?mode=ro" if a == chosen["read-only"] else a for a in addresses]
        fleet = Fleet(given, str(migrations), lock_timeout=0.2)
        status = fleet.status(workers=workers)
        report = fleet.upgrade(workers=workers, on_error="continue")

    kinds = {Path(failure.name.split("?")[0]).name: type(failure.error) for failure in report.failures}
    assert kinds == {
        "00.db": errors.LockTimeout,
        "01.db": errors.VersionMismatch,
        "02.db": errors.CannotOpen,
        "03.db": errors.CannotOpen,
        "04.db": errors.VersionMissing,
    }
    assert (report.upgraded, report.complete, report.ok) == (15, True, False)
    assert [len(status.named(state)) for state in TenantState] == [0, 17, 1, 1, 1]
    assert status.as_text().splitlines()[0] == "0 at 3, 17 pending, 1 edited, 1 wrong, 1 unreachable"

    second = Fleet(f"{tenants}/*.db", str(migrations)).upgrade(workers=workers)

    assert (second.upgraded, second.unchanged, second.failures) == (5, 15, ())
    assert installed(tenants) == {(1, 2, 3): 20}


def test_the_first_failure_stops(fleet: Fleet, tenants: Path) -> None:
    """Without `continue` no other database is begun; with `stop_after` so many may fail."""
    for number in (3, 7, 9):
        (tenants / f"{number:02}.db").write_text("This is no database. " * 300)

    first = fleet.upgrade()
    assert (first.upgraded, len(first.failures), first.complete) == (3, 1, False)
    assert first.as_text().startswith("3 upgraded, 0 unchanged, 1 failed; stopped before the others\n")
    second = fleet.upgrade(on_error="continue", stop_after=2)
    assert (second.upgraded, second.unchanged, len(second.failures), second.complete) == (3, 3, 2, False)
    third = fleet.upgrade(on_error="continue", stop_after=9, workers=2)
    assert (third.upgraded, third.unchanged, len(third.failures), third.complete) == (11, 6, 3, True)
    fourth = fleet.upgrade(workers=2)
    assert not fourth.complete
    assert len(fourth.failures) >= 1


def test_a_failure_stops_every_process(fleet: Fleet, tenants: Path) -> None:
    """What was not handed to a process by then is not begun. At first each of the two has two databases."""
    for number in range(4):
        (tenants / f"{number:02}.db").write_text("This is no database. " * 300)
    report = fleet.upgrade(workers=2)

    assert (report.upgraded, report.unchanged, report.complete) == (0, 0, False)
    assert 1 <= len(report.failures) <= 4


def test_a_batch_ends_where_it_is_to_stop(fleet: Fleet, tenants: Path) -> None:
    """Before the database that would be next, and after the first failure where that ends everything."""
    (tenants / "03.db").write_text("This is no database. " * 300)
    migrator, newest = fleet._prepared()
    job = Job(migrator, newest, upgrades=True, first_failure_ends=True)
    batch = list(fleet.tenants())
    answers = iter([False, False, True])

    assert len(perform_batch(job, batch, lambda: next(answers)).results) == 2
    assert installed_in_order(tenants) == [(1, 2, 3)] * 2 + [(1, 2)] * 17
    ended = perform_batch(job, batch, lambda: False).results
    assert [result.error is None for result in ended] == [True, True, True, False]
    rest = perform_batch(job._replace(first_failure_ends=False), batch, lambda: False).results
    assert len(rest) == 20


@pytest.mark.parametrize(("number", "elapsed", "size"), [(1, 0.002, 25), (64, 0.032, 64), (25, 60.0, 1), (0, 0.0, 64)])
def test_a_batch_takes_little_time(number: int, elapsed: float, size: int) -> None:
    """What is quick is handed over together; what is slow, one by one."""
    assert _next_size(Answer([None] * number, elapsed)) == size


def test_a_canary_that_fails_stops_everything(fleet: Fleet, tenants: Path) -> None:
    """The first ones are upgraded alone, whatever else is to be done after a failure."""
    (tenants / "02.db").write_text("This is no database. " * 300)

    failed = fleet.upgrade(canary=5, workers=2, on_error="continue")
    assert (failed.upgraded, len(failed.failures), failed.complete) == (2, 1, False)
    assert fleet.upgrade(canary=2, workers=2, on_error="continue").upgraded == 17
    assert fleet.upgrade(canary=50, on_error="continue").complete is False


def test_a_target_and_each_result(fleet: Fleet, tenants: Path, migrations: Path) -> None:
    """`target` is the last version; `on_result` is called with each result, also from other processes."""
    write_files(migrations, {"0004_add_shelf.sql": "CREATE TABLE shelf (id INTEGER PRIMARY KEY);\n"})
    seen: list[TenantResult] = []

    assert fleet.upgrade(target=3, workers=2, on_result=seen.append).upgraded == 20
    assert {result.applied for result in seen} == {(3,)}
    assert len({result.name for result in seen}) == 20
    assert installed(tenants) == {(1, 2, 3): 20}


def test_databases_are_given_in_many_ways(tenants: Path, migrations: Path) -> None:
    """A pattern, paths, URLs, pairs with a name, and a function that is asked each time."""
    files = sorted(tenants.glob("*.db"))
    given: list[tuple[str, str]] = []

    assert Fleet(files, str(migrations)).status().named(TenantState.PENDING)[0] == str(files[0])
    assert len(Fleet((f"sqlite:///{path}" for path in files), str(migrations)).status().others) == 20
    asked = Fleet(lambda: given, str(migrations))
    assert asked.status().others == ()
    given.append(("acme", str(files[0])))
    assert [each.name for each in asked.status().others] == ["acme"]
    assert asked.upgrade().as_dict() == {"ok": True, "upgraded": 1, "unchanged": 0, "complete": True, "failures": []}
    once = Fleet(iter(files[:2]), str(migrations))
    assert [len(once.status().others), once.upgrade().unchanged] == [1, 1]
    numbered = Fleet([(7, files[2])], str(migrations))  # type: ignore[list-item]
    assert numbered.open("7") == str(files[2])
    for wrong in (3, [3], [("a", 3)], [("a", "b", "c")]):
        with pytest.raises(errors.BadOption):
            Fleet(wrong, str(migrations)).status()  # type: ignore[arg-type]


def test_wrong_arguments_raise_at_once(fleet: Fleet) -> None:
    """Nothing is begun."""
    for wrong in (
        {"workers": 0},
        {"workers": True},
        {"canary": -1},
        {"on_error": "ignore"},
        {"stop_after": 0},
        {"target": "3"},
        {"on_result": 3},
    ):
        with pytest.raises(errors.BadOption):
            fleet.upgrade(**wrong)  # type: ignore[arg-type]
    with pytest.raises(errors.SourceError):
        Fleet("*.db", "nowhere").status()
    with pytest.raises(errors.BadOption):
        Fleet("*.db", "nowhere", keep=0)


def test_a_tenant_is_upgraded_at_its_first_use(fleet: Fleet, tenants: Path, migrations: Path) -> None:
    """Many threads open the same ones; a new name makes a new file; a name is no path."""
    with ThreadPoolExecutor(8) as threads:
        opened = list(threads.map(fleet.open, ["03", "04", "new"] * 8))

    assert set(opened) == {str(tenants / f"{name}.db") for name in ("03", "04", "new")}
    assert installed(tenants) == {(1, 2): 18, (1, 2, 3): 3}
    for name in ("../x", "", ".hidden", "a\0b"):
        with pytest.raises(errors.UrlError):
            fleet.open(name)
    named = Fleet([("acme", tenants / "05.db")], str(migrations))
    assert named.open("acme") == str(tenants / "05.db")
    with pytest.raises(errors.UrlError, match="there is no database 'globex' in the fleet"):
        named.open("globex")


def register(connection: sqlite3.Connection) -> None:
    """Register a function of SQL."""
    connection.create_function("twice", 1, lambda number: 2 * number)
    print("this is printed on standard error in a worker")  # noqa: T201


@pytest.mark.parametrize("local", [False, True])
def test_functions_of_the_application_are_registered(tenants: Path, migrations: Path, local: bool) -> None:
    """Also in other processes; a function that cannot be sent there is used in this one."""
    write_files(migrations, {"0004_twice.sql": "CREATE TABLE number AS SELECT twice(2) AS value;\n"})
    functions = (lambda connection: register(connection)) if local else register
    fleet = Fleet(f"{tenants}/*.db", str(migrations), functions=functions)

    assert fleet.upgrade(workers=2).upgraded == 20


MAIN = """
from functools import partial
from torc_migrations import Fleet

def register(name, connection):
    connection.create_function(name, 1, lambda number: 2 * number)

def on_event(event):
    pass

if __name__ == "__main__":
    functions = partial(register, "twice")
    print(Fleet("tenants/*.db", "migrations", functions=functions).upgrade(workers=2).upgraded)
    print(Fleet("tenants/*.db", "migrations", on_event=on_event).upgrade(workers=2).unchanged)
"""


def test_what_is_of_the_main_program_is_used_in_its_process(here: Path, tenants: Path) -> None:
    """A process of ours has another main program, so everything is done in the first one."""
    write_files(here, {"main.py": MAIN})

    result = run([sys.executable, "main.py"], here)

    assert (len(list(tenants.glob("*.db"))), result.out, result.err) == (20, "20\n20\n", "")


def test_a_process_that_is_killed_is_an_error(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says so, no process is left, and the next run continues."""

    def kill(result: TenantResult) -> None:
        children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
        for pid in {int(pid) for child in children for pid in child.read_text().split()}:
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(errors.WorkerLost) as failure:
        fleet.upgrade(workers=2, on_result=kill)

    assert failure.value.status == -signal.SIGKILL
    assert fleet.upgrade(workers=2).ok


def test_a_run_that_is_killed_is_continued(here: Path, tenants: Path, migrations: Path, torc: Torc) -> None:
    """Its processes end with it; what they have done is done, and the second run does the rest."""
    for number in range(20, 400):
        shutil.copyfile(here / "template", tenants / f"{number:03}.db")
    words = [COMMAND, "fleet", "upgrade", "tenants/*.db", "--workers", "2"]
    with start(words, here) as process:
        deadline = time.monotonic() + 60
        while installed(tenants)[1, 2, 3] < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.communicate(timeout=60)  # both pipes end when the last process has ended
    result = torc(*words[1:])

    assert result.status == 0, result.err
    assert installed(tenants) == {(1, 2, 3): 400}


def test_ctrl_c_ends_what_was_begun(here: Path, tenants: Path) -> None:
    """A terminal sends it to every process; no database is left half-way."""
    for number in range(20, 400):
        shutil.copyfile(here / "template", tenants / f"{number:03}.db")
    words = [COMMAND, "fleet", "upgrade", "tenants/*.db"]
    with subprocess.Popen(
        words, cwd=here, env=environment(here), stdout=-1, stderr=-1, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while installed(tenants)[1, 2, 3] < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert set(installed(tenants)) <= {(1, 2), (1, 2, 3)}
    assert [path for path in tenants.iterdir() if path.suffix != ".db"] == []


def test_the_command(here: Path, tenants: Path, torc: Torc) -> None:
    """Text, JSON and exit status; a pattern without a file is an error."""
    (tenants / "05.db").write_text("This is no database. " * 300)

    looked = torc("fleet", "status", "tenants/*.db")
    stopped = torc("fleet", "upgrade", "tenants/*.db", "--workers", "1")
    went_on = torc("fleet", "upgrade", "tenants/*.db", "--on-error", "continue", "--json", "--canary", "2")

    assert (looked.status, stopped.status, went_on.status) == (1, 1, 1)
    assert looked.out.splitlines()[0] == "0 at 3, 19 pending, 1 unreachable"
    assert stopped.out.splitlines()[0] == "5 upgraded, 0 unchanged, 1 failed; stopped before the others"
    assert json.loads(went_on.out)["upgraded"] == 14
    assert json.loads(went_on.out)["failures"][0]["error"]["code"] == "cannot-open"
    assert torc("fleet", "upgrade", "tenants/0[0-4].db", f"sqlite:///{tenants}/06.db").status == 0
    assert torc("fleet", "status", "nothing/*.db").status == 2
    assert torc("fleet", "status", "tenants/*.db", "--workers", "0").status == 2
    assert torc("fleet", "look", "tenants/*.db").status == 2


def test_no_more_processes_are_started_than_there_are_databases(fleet: Fleet) -> None:
    """A number that is typed too large does not use up the memory."""
    threads = set[str]()

    def note(_: TenantResult) -> None:
        threads.update(each.name + str(each.ident) for each in threading.enumerate() if "fleet" in each.name)

    fleet.databases = sorted(Path(str(fleet.databases)).parent.iterdir())[:2]
    report = fleet.upgrade(workers=40, on_result=note)

    assert report.upgraded == 2
    assert len(threads) == 2


def test_a_database_that_two_patterns_match_is_one(tenants: Path, torc: Torc) -> None:
    """It is counted once, and upgraded by one process."""
    listed = torc("fleet", "status", "tenants/0*.db", "tenants/*1.db")

    assert listed.out.splitlines()[0] == "0 at 3, 11 pending"


def test_how_many_are_done_is_shown(here: Path, tenants: Path) -> None:
    """On a terminal in one line, which is removed at the end; or each database as a line of JSON."""
    holder = sqlite3.connect(tenants / "07.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    words = [COMMAND, "fleet", "upgrade", "tenants/*.db", "--workers", "1", "--on-error", "continue"]
    on_terminal = run_on_terminal([*words, "--lock-timeout", "1"], here, keep_line=True)
    holder.close()
    again = run([*words, "--progress", "json"], here)
    quiet = run([*words, "--progress", "off"], here)
    events = [json.loads(line) for line in again.err.splitlines()]

    assert re.search(r"\r\d+ s: 7 upgraded, 0 unchanged, 1 failed\x1b\[K", on_terminal.out), on_terminal.out
    assert "19 upgraded, 0 unchanged, 1 failed\n" in on_terminal.out
    assert [event["applied"] for event in events] == [[]] * 7 + [[3]] + [[]] * 12
    assert {event["event"] for event in events} == {"database"}
    assert quiet.err == ""


def test_a_report_names_what_failed() -> None:
    """A line for each, whatever its error says."""
    failed = TenantResult("a.db", (1,), errors.CannotOpen("a.db", "two\nlines"))

    assert FleetReport(1234, 0, (failed,)).as_text() == "1,234 upgraded, 0 unchanged, 1 failed\na.db: two\\nlines\n"


def test_a_schema_for_each_tenant(postgresql_server: Server, here: Path) -> None:
    """On PostgreSQL a tenant may be a schema; their names come from a query, which is asked for each operation."""
    source = write_files(here / "migrations", {"1_a.sql": "CREATE TABLE a (x int);\n"})
    database = postgresql_server.create_database()
    with postgresql_server.connect(database) as connection:
        connection.execute("CREATE TABLE tenant (name text PRIMARY KEY)")
        for name in ("acme", "globex", "initech"):
            connection.execute(f"CREATE SCHEMA {name}")
            connection.execute("INSERT INTO tenant VALUES (%s)", (name,))

    def tenants() -> Iterator[tuple[str, str]]:
        with postgresql_server.connect(database) as connection:
            names = connection.execute("SELECT name FROM tenant ORDER BY name").fetchall()
        yield from ((name, postgresql_server.url(database, schema=name)) for (name,) in names)

    fleet = Fleet(tenants, str(source))
    before = fleet.status()
    first = fleet.upgrade(canary=1, workers=2)
    with postgresql_server.connect(database) as connection:
        connection.execute("CREATE SCHEMA hooli")
        connection.execute("INSERT INTO tenant VALUES ('hooli'), ('lost')")
        second = fleet.upgrade(on_error="continue")
        rows = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'a' ORDER BY 1").fetchall()

    assert before.as_text() == "0 at 1, 3 pending\n"
    assert first.as_text() == "3 upgraded, 0 unchanged, 0 failed\n"
    assert second.as_text().splitlines()[0] == "1 upgraded, 3 unchanged, 1 failed"
    assert second.failures[0].name == "lost"
    assert rows == [("acme",), ("globex",), ("hooli",), ("initech",)]
    assert fleet.open("acme") == postgresql_server.url(database, schema="acme")
