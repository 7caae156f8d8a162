"""What a run costs, in counts that are the same on every machine: a slower one cannot fail these tests."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from database_under_test import python
from process_counts import ROOT, Counted, Installed, run, write_migrations

import torc_migrations
import torc_migrations.databases.sqlite.connection
import torc_migrations.databases.sqlite.scripts.statements
from torc_migrations import Migrator, upgrade
from torc_migrations.databases.sqlite.scripts.statements import statements
from torc_migrations.databases.urls import Address

Install = Callable[[int], Installed]

PACKAGE = str(Path(torc_migrations.__file__).parent)

# What takes long to load, and what a run with nothing to do has no use for.
FORBIDDEN = {
    *("asyncio", "click", "configparser", "dotenv", "importlib.metadata", "importlib.resources", "json", "rich"),
    *("shutil", "socket", "sqlite_utils", "sqlparse", "ssl", "subprocess", "tabulate", "tempfile", "urllib.parse"),
    *("urllib.request", "uuid", "yoyo", "zipfile"),
}
CALLS = [({"group": 1000}, 355), ({"group": 0}, 412), ({"atomic": True}, 336)]
CALLS_OF_AN_INSERT = 3
# For each migration, its own two statements among them.
STATEMENTS = [({"group": 1000}, 7), ({"group": 0}, 11), ({"atomic": True}, 7)]

LOADED = "import torc_migrations.history.steps"  # the package, and the class of the report
NOTHING_TO_DO = "from torc_migrations import upgrade; assert not upgrade({database!r}, {source!r}).outcomes"
GLANCE = """
tables = dict(yoyo_table="_yoyo_migration", sqlx_table="_sqlx_migrations")
assert not nothing_to_do({database!r}, {source!r}, lock_timeout=9, **tables)
"""
COMMAND_WITH_NOTHING_TO_DO = """
import os
os.chdir({folder!r})
from torc_migrations.cli.command import main
assert main(["-d", {database!r}, "-s", {source!r}, "upgrade"]) == 0
"""


def nothing_to_do(installed: Installed, *, loaded: bool = False) -> Counted:
    """Run an upgrade with nothing to do, with the package loaded before or not."""
    code = NOTHING_TO_DO.format(database=str(installed.database), source=str(installed.source))
    return run(code, before_watching=LOADED if loaded else "")


def test_the_import_loads_little():
    """`from torc_migrations import upgrade` loads nothing that takes long to load."""
    counted = run("from torc_migrations import upgrade")

    assert counted.modules & FORBIDDEN == set()


COMPILED = """
def watch_compilation(event, facts):
    if event == "compile" and facts[0] is not None and facts[1] == "<string>":  # else a module without bytecode
        events.append((event, str(facts[0], "utf-8")))
sys.addaudithook(watch_compilation)
from torc_migrations.cli import main
"""


def test_no_annotation_is_compiled_at_a_start():
    """`typing` would compile each annotation of a NamedTuple that is a string, and the first takes 2 ms.

    What `collections.namedtuple` compiles is a lambda.
    """
    compiled = run(COMPILED).of("compile")

    assert compiled != []
    assert [text for text in compiled if not text.startswith("lambda ")] == []


def test_an_upgrade_with_nothing_to_do_loads_nothing_more(install: Install):
    """An upgrade that finds nothing to do loads neither yoyo nor a library that it has no use for."""
    counted = nothing_to_do(install(3))

    assert counted.modules & FORBIDDEN == set()


@pytest.mark.parametrize("verb", ["upgrade", "status"])
def test_the_command_with_nothing_to_do_loads_little(install: Install, tmp_path: Path, verb):
    """The command loads no library that an upgrade with nothing to do, or a listing, has no use for."""
    installed = install(3)
    code = COMMAND_WITH_NOTHING_TO_DO.replace('"upgrade"', repr(verb))

    counted = run(code.format(folder=str(tmp_path), database=str(installed.database), source=str(installed.source)))

    assert counted.modules & FORBIDDEN == set()


def test_each_up_script_is_opened_once(install: Install):
    """With nothing to do every up script is read once, no down script is, and the folder and the database are too."""
    installed = install(5)

    counted = nothing_to_do(installed, loaded=True)

    ups = sorted(str(path) for path in installed.source.glob("*.sql") if ".rollback" not in path.name)
    assert sorted(counted.of("open")) == ups
    assert counted.of("os.scandir") == [str(installed.source)]
    assert counted.of("os.listdir") == []
    assert len(counted.of("sqlite3.connect")) == 1


def test_a_glance_opens_no_script_where_one_is_pending(install: Install):
    """So that each up script is read once, whether there is something to do or not."""
    installed = install(5)
    write_migrations(installed.source, [6])
    code = GLANCE.format(database=str(installed.database), source=str(installed.source))

    counted = run(code, before_watching="from torc_migrations.ledgers.fast_path import nothing_to_do")

    assert counted.of("open") == []


def executed(database: Path, source: Path, **options: object) -> list[str]:
    """Return the statements that an upgrade has SQLite execute, those in triggers left out."""
    seen: list[str] = []
    opened = torc_migrations.databases.sqlite.connection._open

    def watched(address: Address, how: str) -> sqlite3.Connection:
        connection = opened(address, how)
        connection.set_trace_callback(seen.append)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torc_migrations.databases.sqlite.connection, "_open", watched)
        upgrade(database, source, **options)
    return [statement for statement in seen if not statement.startswith("-- ")]


def test_nothing_to_do_takes_as_many_statements_for_any_number(install: Install):
    """Both ledgers are read with one statement a table, however many migrations there are."""
    few, many = install(2), install(40)

    counts = [len(executed(each.database, each.source)) for each in (few, many)]

    assert counts[0] == counts[1] <= 16


@pytest.mark.parametrize(("options", "most"), STATEMENTS)
def test_each_migration_takes_the_same_few_statements(tmp_path: Path, options, most):
    """Its own two, those that write its records, and those that make sure that nobody else has written."""
    counts = []
    for count in (5, 15):
        source = write_migrations(tmp_path / f"source{count}", range(1, count + 1))
        counts.append(len(executed(tmp_path / f"{count}.db", source, **options)))

    assert (counts[1] - counts[0]) / 10 <= most


def calls(act: Callable[[], object]) -> int:
    """Return how often Python code of the package is called, or goes on, while something is done the second time."""
    act()
    count = 0

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def calls_for_each(make: Callable[[int], Path], tmp_path: Path, **options: object) -> float:
    """Return how many calls each further thing takes that `make` writes into a directory of migrations."""
    counts = []
    for size in (5, 15):
        source = make(size)

        def apply(source: Path = source) -> None:
            (tmp_path / "counted.db").unlink(missing_ok=True)
            upgrade(tmp_path / "counted.db", source, **options)

        counts.append(min(calls(apply) for _ in range(3)))  # a garbage collection in between adds some
    return (counts[1] - counts[0]) / 10


@pytest.mark.parametrize(("options", "most"), CALLS)
def test_each_migration_takes_few_calls(tmp_path: Path, options, most):
    """Also those of SQLite's authorizer, which asks 13 questions about a table with an index."""

    def make(count: int) -> Path:
        return write_migrations(tmp_path / f"source{count}", range(1, count + 1))

    assert calls_for_each(make, tmp_path, **options) <= most


def test_each_insert_takes_few_calls(tmp_path: Path):
    """Most statements of a long script are like the one before."""

    def make(count: int) -> Path:
        source = tmp_path / f"script{count}"
        source.mkdir()
        (source / "1_fill.sql").write_text("CREATE TABLE t (x INTEGER);\n" + "INSERT INTO t VALUES (1);\n" * count)
        return source

    assert calls_for_each(make, tmp_path) <= CALLS_OF_AN_INSERT


FLUSHES = re.compile(r"\b(?:fsync|fdatasync)\(")


UPGRADE = "from torc_migrations import upgrade; upgrade({database!r}, {source!r})"
LINT = "from torc_migrations.checks import check; assert check('lint', database={database!r}, source={source!r}).ok"


def flushes(tmp_path: Path, database: Path, source: Path, code: str = UPGRADE) -> int:
    """Return how often an upgrade, or something else, has the disk flushed."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace, which counts the flushes of a process")
    trace = tmp_path / "trace.txt"
    command = [strace, "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(trace), sys.executable, "-c"]
    command.append(code.format(database=str(database), source=str(source)))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr:
        pytest.skip(f"strace may not look: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return len(FLUSHES.findall(trace.read_text()))


def test_a_migration_flushes_the_disk_four_times(tmp_path: Path):
    """As often as any transaction beside a rollback journal: the folder once, the journal twice, the file once."""
    counts = []
    for count in (5, 15):
        source = write_migrations(tmp_path / f"source{count}", range(1, count + 1))
        counts.append(flushes(tmp_path, tmp_path / f"{count}.db", source))

    assert (counts[1] - counts[0]) / 10 <= 4


def test_a_check_of_down_scripts_flushes_only_what_is_measured(tmp_path: Path):
    """Each pending migration is measured once, as an upgrade runs it; the way down and up again flushes nothing."""
    counts = []
    for count in (5, 15):
        source = write_migrations(tmp_path / f"source{count}", range(1, count + 1))
        database = tmp_path / f"{count}.db"
        upgrade(database, source, target=1)
        counts.append(flushes(tmp_path, database, source, LINT))

    assert (counts[1] - counts[0]) / 10 <= 4


def test_nothing_to_do_flushes_nothing(tmp_path: Path, install: Install):
    """What reads does not write."""
    installed = install(3)

    assert flushes(tmp_path, installed.database, installed.source) == 0


def peak_bytes(act: Callable[[], object]) -> int:
    """Return the most bytes that Python had allocated at once while something was done, the second time it was."""
    act()
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_nothing_to_do_takes_little_memory(install: Install):
    """Each migration takes 3 KB at most while it is looked at, its text among them."""
    few, many = install(20), install(120)

    small, large = (peak_bytes(lambda each=each: upgrade(each.database, each.source)) for each in (few, many))

    assert (large - small) / 100 <= 3_000


def test_a_long_script_is_held_once(tmp_path: Path):
    """The text of a script is there once, as bytes; as a string it may be four times as long."""
    source = tmp_path / "source"
    source.mkdir()
    line = "INSERT INTO item (name) VALUES ('a name that is \N{GRINNING FACE}');\n"
    text = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);\n" + line * 40_000
    (source / "1_fill.sql").write_text(text, encoding="utf-8")

    def fill() -> None:
        (tmp_path / "long.db").unlink(missing_ok=True)
        upgrade(tmp_path / "long.db", source)

    assert peak_bytes(fill) <= 2.2 * len(text.encode())


@pytest.mark.parametrize(
    "script",
    {
        "many statements": b"INSERT INTO item VALUES (1);\n" * 5_000,
        "one trigger": b"CREATE TRIGGER t AFTER INSERT ON a BEGIN\n" + b"SELECT 1;\n" * 15_000 + b"END;",
        "one literal": b"INSERT INTO item VALUES ('" + b";\n" * 70_000 + b"');",
        "one comment": b"/*" + b";\n" * 70_000 + b"*/ SELECT 1;",
    }.values(),
)
def test_splitting_is_linear(script, monkeypatch: pytest.MonkeyPatch):
    """SQLite is asked about every byte once at most, whatever lies between the semicolons."""
    asked = []
    complete = torc_migrations.databases.sqlite.scripts.statements.complete_statement
    monkeypatch.setattr(
        torc_migrations.databases.sqlite.scripts.statements,
        "complete_statement",
        lambda text: asked.append(len(text)) or complete(text),
    )

    found = list(statements(script))

    assert sum(asked) <= len(script)
    assert sum(len(statement.text.encode()) for statement in found) <= len(script)


def test_yoyo_is_not_asked_for_its_tables_again(install: Install, tmp_path: Path):
    """The ledgers' tables are looked up once a migration, and made once a run."""
    source = write_migrations(tmp_path / "source", range(1, 6))

    seen = executed(tmp_path / "new.db", source)

    assert sum("CREATE TABLE" in statement and "_sqlx_migrations" in statement for statement in seen) == 1
    assert sum("_yoyo_log" in statement and "CREATE" in statement for statement in seen) == 1
    assert Migrator(tmp_path / "new.db", source).status().clean


OVERTAKEN = """
import sqlite3, subprocess, sys
from torc_migrations import upgrade
path, source = sys.argv[1:]
other = "import sys; from torc_migrations import upgrade; upgrade(*sys.argv[1:])"
connection = sqlite3.connect(path)
def watch(sql):
    if sql == "BEGIN IMMEDIATE":
        connection.set_trace_callback(None)
        subprocess.run([sys.executable, "-c", other, path, source], check=True)
connection.set_trace_callback(watch)
print(upgrade(connection, source).applied, connection.total_changes, "yoyo" in sys.modules)
"""


def test_whoever_is_overtaken_loads_no_yoyo(tmp_path: Path):
    """Of many workers that start at once one applies; the others find that out before they load what writes."""
    source = write_migrations(tmp_path / "source", range(1, 6))

    assert python(OVERTAKEN, tmp_path / "new.db", source) == "() 0 False\n"
    assert Migrator(tmp_path / "new.db", source).status().clean
