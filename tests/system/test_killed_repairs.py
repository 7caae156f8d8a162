"""SIGKILL before each statement of a repair: all of it is done or nothing, and a second call does it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from database_under_test import SQLiteUnderTest, ladder
from killed_runs import kill_before_each_statement

from torc_migrations import Migrator, upgrade

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is neither fork nor SIGKILL here")


def make_by_hand(database: SQLiteUnderTest, source: str) -> None:
    """Make the tables of 2 and 3 without a record."""
    upgrade(database.path, source, target=1)
    database.execute("CREATE TABLE t2 (x INTEGER)", "CREATE TABLE t3 (x INTEGER)")


def renumber(database: SQLiteUnderTest, source: str) -> None:
    """Install everything, and give the files of 2 and 3 the numbers 3 and 4."""
    upgrade(database.path, source)
    for number in (3, 2):
        for ending in ("", ".rollback"):
            name = f"make_t{number}{ending}.sql"
            Path(source, f"{number}_{name}").rename(Path(source, f"{number + 1}_{name}"))


def write_crlf(database: SQLiteUnderTest, source: str) -> None:
    """Install everything, and write two files with other line endings."""
    upgrade(database.path, source)
    for number in (1, 3):
        file = Path(source, f"{number}_make_t{number}.sql")
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))


def unmark_halfway(database: SQLiteUnderTest, source: str) -> None:
    """Install everything, and delete two rows of yoyo's ledger as a yoyo that was killed does."""
    upgrade(database.path, source)
    database.execute("DELETE FROM _yoyo_migration WHERE migration_id IN ('2_make_t2', '3_make_t3')")


REPAIRS = {
    "mark": (make_by_hand, "repair", {"versions": [2, 3], "mark": True}),
    "renamed": (renumber, "repair", {"renamed": True}),
    "line endings": (write_crlf, "repair", {"line_endings": True}),
    "reason": (write_crlf, "repair", {"versions": [1, 3], "reason": "CRLF"}),
    "trust": (unmark_halfway, "repair", {"trust": "sqlx"}),
    "baseline": (make_by_hand, "baseline", {"versions": [3]}),
}


@pytest.mark.slow
@pytest.mark.parametrize("repair", REPAIRS)
def test_killed_before_any_statement_a_repair_is_whole(tmp_path: Path, folder, journal, repair):
    """Both ledgers have what they had before or what they have after it; the same call ends it."""
    prepare: Callable[[SQLiteUnderTest, str], None]
    prepare, operation, options = REPAIRS[repair]
    source, start = folder(ladder(3)), SQLiteUnderTest(tmp_path / "start.db")
    start.execute(f"PRAGMA journal_mode = {journal}", "CREATE TABLE x (x)")
    prepare(start, source)
    done = SQLiteUnderTest(Path(shutil.copy(start.path, tmp_path / "done.db")))
    correct(done, source, operation, options)
    before, after = rows(start), rows(done)

    deaths = kill_before_each_statement(tmp_path / "killed", source, operation, start.path, **options)

    assert deaths > 10
    for number in range(1, deaths + 1):
        killed = SQLiteUnderTest(tmp_path / f"killed{number}")
        assert rows(killed) in (before, after)
        correct(killed, source, operation, options)
        assert rows(killed) == after
        assert Migrator(killed.path, source).status().pending == Migrator(done.path, source).status().pending


def correct(database: SQLiteUnderTest, source: str, operation: str, options: dict[str, Any]) -> None:
    """Do the repair."""
    named = {name: value for name, value in options.items() if name != "versions"}
    getattr(Migrator(database.path, source), operation)(*options.get("versions", ()), **named)


def rows(database: SQLiteUnderTest) -> tuple[object, ...]:
    """Return what the ledgers have, and the checksums."""
    return database.ledgers(), database.execute("SELECT version, hex(checksum) FROM _sqlx_migrations ORDER BY 1")
