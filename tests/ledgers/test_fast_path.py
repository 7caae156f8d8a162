"""The fast path says *nothing to do* only where the full comparison says so."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from hashlib import sha256, sha384
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest, ladder, sized

from torc_migrations import Migrator, errors, rollback, upgrade
from torc_migrations.databases.opening import open_database
from torc_migrations.ledgers import fast_path
from torc_migrations.ledgers.tables import SQLX_TABLE, YOYO_TABLE
from torc_migrations.sources.source import Source, discover


def settled(database: Path, source: Path | str | None) -> bool:
    """Return whether the fast path finds nothing to do; for a source that was read already it finds that too."""
    tables = {"yoyo_table": YOYO_TABLE, "sqlx_table": SQLX_TABLE}
    try:
        found = fast_path.nothing_to_do(database, source, lock_timeout=10, **tables)
        read = discover(source)
        with open_database(database, lock_timeout=10) as opened:
            found_for_read = fast_path.has_everything(opened, read, **tables)
        assert found_for_read or not found
        assert not found_for_read or nothing_to_do(database, read)
        return found
    except errors.SourceError:
        return False  # which the closer look raises too


def nothing_to_do(database: Path, source: Path | str | Source) -> bool:
    """Look closely, and tell whether there is no step, nothing to say and nothing wrong."""
    try:
        plan = Migrator(database, source, lock_timeout=10).plan()
    except errors.MigrationError:
        return False
    return not (plan.steps or plan.notes or plan.skipped)


@pytest.fixture
def installed(sqlite: SQLiteUnderTest, folder) -> SQLiteUnderTest:
    """Three migrations, all installed; their folder is `migrations` beside the database."""
    upgrade(sqlite.path, folder(ladder(3)))
    return sqlite


UP = "CREATE TABLE t1 (x); -- \N{GREEK SMALL LETTER ALPHA}\n"
LAYOUTS = {
    "yoyo": {"1_a": UP, "1_a.rollback": "DROP TABLE t1;", "2_": "SELECT 1;", "0003_b_c": "SELECT 1;"},
    "sqlx": {"1_a.up": UP, "1_a.down": "DROP TABLE t1;", "002_b.up": "SELECT 1;"},
    "simple": {"1_a": UP, "20251105030141_add-\N{LATIN SMALL LETTER E WITH ACUTE}": "SELECT 1;" * 20_000},
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_what_is_installed_is_seen(sqlite: SQLiteUnderTest, folder, files):
    """In each layout, with names and texts beyond ASCII, and with a script of any length."""
    source = folder(files)
    upgrade(sqlite.path, source)

    assert settled(sqlite.path, source)
    assert nothing_to_do(sqlite.path, source)


def test_the_shipped_schema_is_seen(sqlite: SQLiteUnderTest):
    """What most services will start with."""
    upgrade(sqlite.path)

    assert settled(sqlite.path, None)


def test_what_was_rolled_back_and_applied_again_is_seen(sqlite: SQLiteUnderTest, folder):
    """As on the machine of a developer who writes migrations."""
    source = folder(ladder(3))
    upgrade(sqlite.path, source)
    rollback(sqlite.path, source, target=1)
    assert not settled(sqlite.path, source)

    upgrade(sqlite.path, source)

    assert settled(sqlite.path, source)


def test_what_is_no_sql_is_not_in_the_way(installed: SQLiteUnderTest):
    """As `status` only notes that it is ignored."""
    source = installed.path.parent / "migrations"
    for name in ("README.md", ".gitkeep", "__init__.py", "no ending"):
        (source / name).write_text("words")

    assert settled(installed.path, source)
    assert nothing_to_do(installed.path, source)


LOG = "INSERT INTO _yoyo_log (migration_hash, operation) SELECT migration_hash, '{}' FROM _yoyo_migration LIMIT 1"
# What somebody else may have left in the ledgers.
DISTURBANCES = (
    "UPDATE _sqlx_migrations SET success = 0 WHERE version = 2",
    "UPDATE _sqlx_migrations SET success = 'no' WHERE version = 1",
    "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 2",
    "UPDATE _sqlx_migrations SET checksum = CAST(checksum AS TEXT) WHERE version = 2",
    "INSERT INTO _sqlx_migrations VALUES (9, 'late', '2026-01-01', 1, x'00', 5)",
    "INSERT INTO _sqlx_migrations VALUES (-9, 'early', '2026-01-01', 1, x'00', 5)",
    "UPDATE _sqlx_migrations SET version = 7 WHERE version = 2",
    "DELETE FROM _sqlx_migrations WHERE version = 1",
    "DELETE FROM _sqlx_migrations",
    "DELETE FROM _yoyo_migration WHERE migration_id = '2_make_t2'",
    "UPDATE _yoyo_migration SET migration_hash = 'another' WHERE migration_id = '3_make_t3'",
    "UPDATE _yoyo_migration SET migration_id = 'another' WHERE migration_id = '3_make_t3'",
    "INSERT INTO _yoyo_migration VALUES ('foreign', 'foreign', '2026-01-01')",
    "DELETE FROM _yoyo_log",
    "DELETE FROM _yoyo_log WHERE migration_id = '1_make_t1'",
    *(LOG.format(operation) for operation in ("apply", "mark", "rollback", "unmark", "odd")),
    "UPDATE _yoyo_log SET operation = NULL",
    "UPDATE _yoyo_log SET comment = NULL",
    "UPDATE _sqlx_migrations SET execution_time = 1.5, installed_on = '' WHERE version = 1",
    "DROP TABLE _yoyo_log",
    "DROP TABLE _yoyo_migration",
    "DROP TABLE _sqlx_migrations",
)


def _rename(old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: (folder / old).rename(folder / new)


def _write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def _append(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes() + content)


def _remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


# What somebody may have done to the folder.
CHANGES = {
    "edited": _append("2_make_t2.sql", b"-- more\n"),
    "another pending": _write("4_more.sql", b"SELECT 1;"),
    "an old one pending": _write("0_more.sql", b"SELECT 1;"),
    "removed": _remove("2_make_t2.sql"),
    "no down": _remove("2_make_t2.rollback.sql"),
    "renamed": lambda folder: [
        (folder / f"2_make_t2{end}").rename(folder / f"2_other{end}") for end in (".sql", ".rollback.sql")
    ],
    "version renamed": _rename("3_make_t3.sql", "5_make_t3.sql"),
    "written otherwise": _rename("3_make_t3.sql", "03_make_t3.sql"),
    "twice": _write("01_again.sql", b"SELECT 1;"),
    "down twice": _write("01_again.rollback.sql", b"SELECT 1;"),
    "lone down": _write("8_lone.rollback.sql", b"SELECT 1;"),
    "hook": _write("post-apply.sql", b"SELECT 1;"),
    "in Python": _write("4_more.py", b"steps = []"),
    "read me": _write("README.md", b"hello"),
    "hidden": _write(".hidden.sql", b"hello"),
    "no version": _write("hello.sql", b"SELECT 1;"),
    "no description": _write("6.sql", b"SELECT 1;"),
    "mixed layouts": _write("6_b.up.sql", b"SELECT 1;"),
    "a down file of the other layout": _write("1_make_t1.down.sql", b"SELECT 1;"),
    "a digit of no number": _write("\N{SUPERSCRIPT TWO}_b.sql", b"SELECT 1;"),
    "other digits": _write("\N{ARABIC-INDIC DIGIT TWO}_b.sql", b"SELECT 1;"),
    "too large a version": _write("99999999999999999999_b.sql", b"SELECT 1;"),
    "one of yoyo's own names": _write("20230101_01_AbCdE-words.sql", b"SELECT 1;"),
    "a folder": lambda folder: (folder / "4_more.sql").mkdir(),
    "a link to nowhere": lambda folder: (folder / "4_more.sql").symlink_to(folder / "nowhere"),
    "one is a link to nowhere": lambda folder: (_remove("3_make_t3.sql")(folder), _link(folder)),
    "empty": lambda folder: [path.unlink() for path in folder.iterdir()],
}


def _link(folder: Path) -> None:
    (folder / "3_make_t3.sql").symlink_to(folder / "nowhere")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_folder_is_not_overlooked(installed: SQLiteUnderTest, change):
    """After any change of the directory, the fast path finds nothing to do only where the full comparison does."""
    source = installed.path.parent / "migrations"
    change(source)

    try:
        seen = settled(installed.path, source)
    except errors.MigrationError:
        seen = False

    assert not seen or nothing_to_do(installed.path, source)


@pytest.mark.parametrize(
    "text",
    [b"-- depends: 9_none\nSELECT 1;", b"SELECT 1;\0", b"SELECT '\xe4';", b"SELECT 1; " * 9_000 + b"\0"],
    ids=["unmet dependency", "NUL", "no UTF-8", "NUL far behind"],
)
def test_a_file_that_cannot_be_run_is_not_overlooked(installed: SQLiteUnderTest, text):
    """Though its checksum be what sqlx has recorded: it may have run such a file."""
    source = installed.path.parent / "migrations"
    (source / "3_make_t3.sql").write_bytes(text)
    installed.execute(f"UPDATE _sqlx_migrations SET checksum = x'{sha384(text).hexdigest()}' WHERE version = 3")

    assert not settled(installed.path, source)
    with pytest.raises(errors.MigrationError):
        upgrade(installed.path, source)


@pytest.mark.parametrize(
    ("name", "version"), [("6", "6"), ("20230101_01_AbCdE-words", "20230101"), ("100000000000000000000_b", "1e20")]
)
def test_a_name_is_not_taken_for_what_it_is_not(installed: SQLiteUnderTest, name, version):
    """Though the ledgers have what a shorter look would take it for."""
    source = installed.path.parent / "migrations"
    (source / f"{name}.sql").write_text("SELECT 1;")
    digest, key = sha384(b"SELECT 1;").hexdigest(), sha256(name.encode()).hexdigest()
    installed.execute(
        f"INSERT INTO _sqlx_migrations VALUES ({version}, 'b', '2026-01-01', 1, x'{digest}', 5)",
        f"INSERT INTO _yoyo_migration VALUES ('{key}', '{name}', '2026-01-01')",
    )

    assert not settled(installed.path, source)
    assert not nothing_to_do(installed.path, source)


def test_an_empty_folder_is_not_overlooked(installed: SQLiteUnderTest, tmp_path: Path):
    """Though nothing be installed either."""
    installed.execute("DELETE FROM _sqlx_migrations", "DELETE FROM _yoyo_migration", "DELETE FROM _yoyo_log")
    (tmp_path / "empty").mkdir()

    assert not settled(installed.path, tmp_path / "empty")


@pytest.mark.parametrize("statement", DISTURBANCES)
def test_a_change_of_the_ledgers_is_not_overlooked(installed: SQLiteUnderTest, statement):
    """After any change of the ledgers, the fast path finds nothing to do only where the full comparison does."""
    source = installed.path.parent / "migrations"
    installed.execute(statement)

    assert not settled(installed.path, source) or nothing_to_do(installed.path, source)


def test_two_rows_of_one_version_are_not_overlooked(installed: SQLiteUnderTest):
    """In a ledger that was copied without its key, whichever of them an index would give first."""
    installed.execute(
        "CREATE TABLE copied AS SELECT * FROM _sqlx_migrations",
        "INSERT INTO copied SELECT version, description, installed_on, 0, checksum, 5 FROM copied",
        "DROP TABLE _sqlx_migrations",
        "ALTER TABLE copied RENAME TO _sqlx_migrations",
        "CREATE INDEX covering ON _sqlx_migrations (version, success, checksum)",
    )

    assert not settled(installed.path, installed.path.parent / "migrations")


@pytest.mark.slow
def test_many_changes_together_are_not_overlooked(installed: SQLiteUnderTest, tmp_path: Path):
    """The same for changes of ledgers and folder in any order; and often enough there is nothing to do all the same."""
    draw = random.Random(20251105)
    seen = {True: 0, False: 0}
    for number in range(sized(300, 3_000)):
        copy, source = SQLiteUnderTest(tmp_path / f"{number}.db"), tmp_path / f"source{number}"
        shutil.copy(installed.path, copy.path)
        shutil.copytree(installed.path.parent / "migrations", source)
        for change in draw.sample((*DISTURBANCES, *CHANGES.values()), draw.choice((1, 1, 2, 3))):
            try:
                copy.execute(change) if isinstance(change, str) else change(source)
            except (OSError, sqlite3.Error):  # a change for which another has left nothing
                continue
        try:
            fast = settled(copy.path, source)
        except errors.MigrationError:
            fast = False
        seen[fast] += 1

        assert not fast or nothing_to_do(copy.path, source), number

    assert min(seen.values()) > 10
