"""What a rehearsal tells is what the run does: random scripts, rehearsed and then run."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from book_shop import MADE
from database_under_test import LEDGER_TABLES, sized, write_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torc_migrations import errors, rehearse, upgrade

NAMES = st.sampled_from(["shelf", "book", "loan", "loan", "a", "B"])
COLUMNS = st.sampled_from(["id", "shelf", "title", "book", "x"])
STATEMENTS = st.one_of(
    st.builds('CREATE TABLE IF NOT EXISTS "{}" (x, y);'.format, NAMES),
    st.builds('CREATE TABLE IF NOT EXISTS "{}" AS SELECT * FROM "{}";'.format, NAMES, NAMES),
    st.builds('INSERT OR IGNORE INTO "{0}" SELECT * FROM "{0}";'.format, NAMES),
    st.builds('REPLACE INTO "{0}" SELECT * FROM "{0}" LIMIT 1;'.format, NAMES),
    st.builds('DELETE FROM "{}" WHERE rowid = 1;'.format, NAMES),
    st.builds('DELETE FROM "{}";'.format, NAMES),
    st.builds('DROP TABLE IF EXISTS "{}";'.format, NAMES),
    st.builds('ALTER TABLE "{}" RENAME TO "{}";'.format, NAMES, NAMES),
    st.builds('ALTER TABLE "{}" RENAME COLUMN "{}" TO "{}";'.format, NAMES, COLUMNS, COLUMNS),
    st.builds('ALTER TABLE "{}" DROP COLUMN "{}";'.format, NAMES, COLUMNS),
    st.builds('ALTER TABLE "{}" ADD COLUMN "{}";'.format, NAMES, COLUMNS),
    st.builds('CREATE TRIGGER IF NOT EXISTS t AFTER INSERT ON "{}" BEGIN DELETE FROM "{}"; END;'.format, NAMES, NAMES),
)
HEADS = st.sampled_from(["", "", "-- foreign-keys: on\n", "-- transactional: false\n"])
SCRIPTS = st.builds(lambda head, lines: head + "\n".join(lines), HEADS, st.lists(STATEMENTS, min_size=1, max_size=3))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with nine rows, and its migration."""
    folder = tmp_path_factory.mktemp("start")
    upgrade(folder / "app.db", write_folder(folder / "migrations", MADE))
    return folder


def counts(path: Path) -> dict[str, int]:
    """Return the rows of each table by its lower name, ledgers left out."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name.lower(): connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in names
            if name not in LEDGER_TABLES
        }


def outcome(operation, path: Path, source: str) -> tuple[object, str | None]:
    """Return what an operation returns, and the sentence of the error that it ends with instead."""
    try:
        return operation(path, source), None
    except errors.MigrationError as error:
        return None, str(error)


@pytest.mark.slow
@settings(max_examples=sized(60, 2000), deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts=st.lists(SCRIPTS, min_size=1, max_size=2))
def test_a_rehearsal_reports_what_the_run_does(start: Path, scripts: list[str]):
    """The same error, or the same rows in every table; and whatever loses rows without a word of its own is told."""
    with TemporaryDirectory() as name:
        here = Path(name)
        shutil.copytree(start, here, dirs_exist_ok=True)
        path = here / "app.db"
        source = write_folder(here / "migrations", {f"{n + 2}_s": script for n, script in enumerate(scripts)})
        before, content = counts(path), path.read_bytes()

        rehearsal, foretold = outcome(rehearse, path, source)
        assert (path.read_bytes(), sorted(each.name for each in here.iterdir())) == (content, ["app.db", "migrations"])
        report, failed = outcome(upgrade, path, source)

        assert foretold == failed
        if report is None:
            return
        after = counts(path)
        assert {
            (each.now or each.table).lower(): each.after for each in rehearsal.rows if each.after is not None
        } == after
        assert {each.table.lower(): each.before for each in rehearsal.rows if each.before is not None} == before
        deletes = any("DELETE" in script or "DROP" in script or "REPLACE" in script for script in scripts)
        assert deletes or rehearsal.losses == ()
