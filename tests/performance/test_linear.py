"""Twice the tables or files take twice the statements, and a script ten times its size in memory at most."""

from __future__ import annotations

import sqlite3
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

import torc_migrations.databases.sqlite.connection
from torc_migrations import Migrator, upgrade
from torc_migrations.databases.sqlite.scripts.statements import statements
from torc_migrations.databases.urls import Address
from torc_migrations.sources.directives import read_directives
from torc_migrations.sources.one_file_formats import refuse_one_file_format

MADE = "CREATE TABLE t{0} (id INTEGER PRIMARY KEY, up REFERENCES t{0}, x);\nINSERT INTO t{0} VALUES (1, 1, 1);\n"
SEEN = (
    "CREATE VIEW v{0} AS SELECT x FROM t{0};\nCREATE TRIGGER g{0} AFTER INSERT ON t{0} BEGIN SELECT 1 FROM t{0}; END;\n"
)
REBUILT = (
    "CREATE TABLE n (id INTEGER PRIMARY KEY, up REFERENCES t{0}, x, y);\nINSERT INTO n SELECT *, 1 FROM t{0};\n"
    "DROP TABLE t{0};\nALTER TABLE n RENAME TO t{0};\n"
)
GONE = "DROP VIEW v{0};\nDROP TABLE t{0};\n"
SIZES = (8, 16, 24)


def one_file(count: int) -> dict[str, str]:
    """Return one migration that makes tables, and takes them away."""
    numbers = range(count)
    up = "".join((MADE + SEEN).format(number) for number in numbers)
    return {"1_all": up, "1_all.rollback": "".join(GONE.format(number) for number in numbers)}


def many_files(count: int) -> dict[str, str]:
    """Return a migration for each table."""
    ups = {f"{number + 1}_one": (MADE + SEEN).format(number) for number in range(count)}
    return ups | {f"{number + 1}_one.rollback": GONE.format(number) for number in range(count)}


def rebuilds(count: int) -> dict[str, str]:
    """Return a migration for each table that makes it anew, after one that made them all."""
    files = {"1_all": "".join(MADE.format(number) for number in range(count)), "1_all.rollback": "SELECT 1;"}
    files |= {f"{number + 2}_again": REBUILT.format(number) for number in range(count)}
    return files | {f"{number + 2}_again.rollback": "SELECT 1;" for number in range(count)}


OPERATIONS: dict[str, Callable[[Migrator], object]] = {
    "upgrade": lambda migrator: migrator.upgrade(),
    "upgrade in one transaction": lambda migrator: migrator.upgrade(atomic=True),
    "rehearse": lambda migrator: migrator.rehearse(),
    "rehearse in one transaction": lambda migrator: migrator.rehearse(atomic=True),
    "round trip": lambda migrator: migrator.round_trip(),
}


def executed(act: Callable[[], object]) -> int:
    """Return how many statements SQLite executes meanwhile, those in triggers left out."""
    count = 0
    opened = torc_migrations.databases.sqlite.connection._open

    def note(statement: str) -> None:
        nonlocal count
        count += not statement.startswith("-- ")

    def watched(address: Address, how: str) -> sqlite3.Connection:
        connection = opened(address, how)
        connection.set_trace_callback(note)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torc_migrations.databases.sqlite.connection, "_open", watched)
        act()
    return count


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("files", [one_file, many_files, rebuilds])
def test_each_table_takes_as_many_statements_as_the_one_before(folder, tmp_path: Path, files, operation):
    """A step reads what it has touched, and not all there is: otherwise the difference would grow with each table."""
    counts = []
    for size in SIZES:
        migrator = Migrator(tmp_path / f"{size}.db", folder(files(size)), group=0)
        counts.append(executed(lambda migrator=migrator: OPERATIONS[operation](migrator)))

    assert counts[1] - counts[0] == pytest.approx(counts[2] - counts[1], abs=SIZES[0] // 2)


def test_each_rollback_takes_as_many_statements_as_the_one_before(folder, tmp_path: Path):
    """To drop a table takes no look at all others."""
    counts = []
    for size in SIZES:
        migrator = Migrator(tmp_path / f"{size}.db", folder(many_files(size)), group=0)
        migrator.upgrade()
        counts.append(executed(lambda migrator=migrator: migrator.rollback(0)))

    assert counts[1] - counts[0] == pytest.approx(counts[2] - counts[1], abs=SIZES[0] // 2)


def called(act: Callable[[], object]) -> int:
    """Return how many functions of Python are called meanwhile."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def test_each_migration_takes_as_many_calls_as_the_one_before(folder, tmp_path: Path):
    """A plan and a run look at each migration a few times, and not once for every other one."""
    counts = []
    for size in (50, 100, 150):
        files = {f"{number + 1}_one": f"CREATE TABLE t{number} (x);" for number in range(size)}
        migrator = Migrator(tmp_path / f"{size}.db", folder(files), group=0)
        migrator.upgrade(1)  # which imports what is imported at first use
        counts.append(called(migrator.upgrade))

    assert counts[1] - counts[0] == pytest.approx(counts[2] - counts[1], rel=0.05)


def test_a_trigger_that_does_not_work_is_found_among_many(sqlite, folder):
    """It is looked for by halves, and not by leaving out all others for each."""
    count = 64
    sqlite.execute("CREATE TABLE t (x)", "CREATE TABLE audit (x)")
    for number in range(count):
        table = "audit" if number == 50 else "t"
        sqlite.execute(f"CREATE TRIGGER g{number} AFTER INSERT ON t BEGIN SELECT x FROM {table}; END")
    migrator = Migrator(sqlite.path, folder({"1_drop": "DROP TABLE audit;"}), allow_broken_schema=True)

    taken = executed(migrator.upgrade)

    assert taken < 12 * count


HEADS = {
    "blank lines": b"\n",
    "blanks": b" ",
    "comments": b"-- why\n",
    "block comments": b"/* why */ ",
    "comments and semicolons": b"-- why\n;",
    "semicolons": b";",
    "semicolon lines": b";\r\n",
}
TABLE = b"CREATE TABLE t (a);\n"
SIZE = 200_000


def peak_bytes(act: Callable[[], object]) -> int:
    """Return the most bytes that Python had allocated at once while something was done."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("before", [b"", TABLE], ids=["at the head", "before an ALTER"])
@pytest.mark.parametrize("operation", ["upgrade", "rehearse"])
def test_what_says_nothing_takes_little_memory(tmp_path: Path, head: bytes, before: bytes, operation):
    """Blanks, comments and semicolons take a few times their size, and not a hundred bytes each."""
    (tmp_path / "source").mkdir()
    script = before + head * (SIZE // len(head)) + (b"" if before else TABLE) + b"ALTER TABLE t ADD COLUMN b;\n"
    (tmp_path / "source" / "1_a.sql").write_bytes(script)
    (tmp_path / "source" / "0_warm.sql").write_bytes(b"SELECT 1;")
    upgrade(tmp_path / "a.db", tmp_path / "source", target=0)

    peak = peak_bytes(lambda: OPERATIONS[operation](Migrator(tmp_path / "a.db", tmp_path / "source")))

    assert peak <= 10 * len(script)


STARS = b"/*" + b"*a" * (SIZE // 2) + b"*/"


@pytest.mark.parametrize("alter", [b"RENAME TO u", b"ADD COLUMN b", b"RENAME a TO b"])
def test_a_comment_with_stars_takes_little_memory(tmp_path: Path, alter: bytes):
    """It ends at the first star that a slash follows, however many there are."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "1_a.sql").write_bytes(TABLE + STARS + b" ALTER " + STARS + b" TABLE t " + alter + b";")

    peak = peak_bytes(lambda: Migrator(tmp_path / "a.db", tmp_path / "source").upgrade())

    assert peak <= 10 * 2 * SIZE


def test_semicolons_alone_are_no_statements():
    """However many there are, they are skipped at once."""
    found = statements(b"SELECT 1;" + b" ;\n" * SIZE + b"SELECT 2")

    assert [each.text for each in found] == ["SELECT 1;", "\nSELECT 2"]


def test_marks_of_other_tools_are_looked_for_in_linear_time():
    """What stands after a pair of marks is looked at once, however many pairs there are."""
    marks = b"-- up\n-- down\n"

    peak = peak_bytes(lambda: refuse_one_file_format("a.sql", marks * 2_000))

    assert peak <= 10 * len(marks) * 2_000
    assert read_directives(marks).transactional
