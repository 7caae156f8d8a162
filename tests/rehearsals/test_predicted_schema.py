"""The schema that a rehearsal predicts is the one that the run makes: random directories, rehearsed and then run."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from book_shop import MADE
from database_under_test import LEDGER_TABLES, sized, write_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torc_migrations import errors, rehearse, upgrade

NAMES = st.sampled_from(["shelf", "book", "loan", "a", "B"])
COLUMNS = st.sampled_from(["id", "shelf", "title", "book", "x"])
STATEMENTS = st.one_of(
    st.builds('CREATE TABLE IF NOT EXISTS "{}" (x, y);'.format, NAMES),
    st.builds("CREATE TABLE IF NOT EXISTS {} (id INTEGER PRIMARY KEY, x UNIQUE);".format, NAMES),
    st.builds('CREATE TABLE IF NOT EXISTS "{}" AS SELECT * FROM "{}";'.format, NAMES, NAMES),
    st.builds('CREATE INDEX IF NOT EXISTS "i_{0}" ON "{0}" ("{1}");'.format, NAMES, COLUMNS),
    st.builds('CREATE VIEW IF NOT EXISTS "v_{0}" AS SELECT * FROM "{0}";'.format, NAMES),
    st.builds('CREATE TRIGGER IF NOT EXISTS "t_{0}" AFTER INSERT ON "{0}" BEGIN SELECT 1; END;'.format, NAMES),
    st.builds('DROP INDEX IF EXISTS "i_{}";'.format, NAMES),
    st.builds('DROP VIEW IF EXISTS "v_{}";'.format, NAMES),
    st.builds('DROP TRIGGER IF EXISTS "t_{}";'.format, NAMES),
    st.builds('DROP TABLE IF EXISTS "{}";'.format, NAMES),
    st.builds('ALTER TABLE "{}" RENAME TO "{}";'.format, NAMES, NAMES),
    st.builds('ALTER TABLE "{}" RENAME COLUMN "{}" TO "{}";'.format, NAMES, COLUMNS, COLUMNS),
    st.builds('ALTER TABLE "{}" DROP COLUMN "{}";'.format, NAMES, COLUMNS),
    st.builds('ALTER TABLE "{}" ADD COLUMN "{}";'.format, NAMES, COLUMNS),
    st.builds('INSERT OR IGNORE INTO "{0}" SELECT * FROM "{0}";'.format, NAMES),
)
HEADS = st.sampled_from(["", "", "-- transactional: false\n"])
SCRIPTS = st.builds(lambda head, lines: head + "\n".join(lines), HEADS, st.lists(STATEMENTS, min_size=1, max_size=3))


class Schema(NamedTuple):
    """What SQLite says of a schema: definitions without spaces and quotes, and the columns of tables."""

    definitions: dict[str, str]
    columns: dict[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with nine rows, and its migration."""
    folder = tmp_path_factory.mktemp("start")
    upgrade(folder / "app.db", write_folder(folder / "migrations", MADE))
    return folder


def read_schema(path: Path) -> Schema:
    """Read a schema without the ledgers and without SQLite's own tables and indexes."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        rows = [row for row in rows if row[2] not in LEDGER_TABLES and not row[1].startswith("sqlite_")]
        columns = {
            f"table {name}": tuple(row[1] for row in connection.execute(f'PRAGMA table_info("{name}")'))
            for kind, name, _, _ in rows
            if kind == "table"
        }
    return Schema({f"{kind} {name}": re.sub(r'[\s"]', "", sql) for kind, name, _, sql in rows}, columns)


def difference(before: Schema, after: Schema) -> dict[str, set[str]]:
    """Return what is new, gone and changed, by names in lower case, and the columns of tables in both."""
    old, new = ({name.lower(): sql.lower() for name, sql in each.definitions.items()} for each in (before, after))
    was, now = ({name.lower(): columns for name, columns in each.columns.items()} for each in (before, after))
    signs: set[str] = set()
    for name in was.keys() & now.keys():
        table = name.removeprefix("table ")
        signs |= {f"+ {table}.{column}".lower() for column in set(now[name]) - set(was[name])}
        signs |= {f"- {table}.{column}".lower() for column in set(was[name]) - set(now[name])}
    return {
        "added": new.keys() - old.keys(),
        "removed": old.keys() - new.keys(),
        "changed": {name for name in old.keys() & new.keys() if old[name] != new[name]},
        "columns": signs,
    }


@pytest.mark.slow
@settings(max_examples=sized(60, 2000), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    scripts=st.lists(SCRIPTS, min_size=1, max_size=4),
    group=st.sampled_from([0, 0.05, 10]),
    atomic=st.booleans(),
)
def test_predicted_schema_is_that_of_the_run(start: Path, scripts: list[str], group: float, atomic: bool):
    """What a rehearsal says is added, removed and changed is what SQLite shows before and after the run."""
    with TemporaryDirectory() as name:
        here = Path(name)
        shutil.copytree(start, here, dirs_exist_ok=True)
        path = here / "app.db"
        source = write_folder(here / "migrations", {f"{n + 2}_s": script for n, script in enumerate(scripts)})
        before = read_schema(path)

        try:
            predicted = rehearse(path, source, atomic=atomic).schema
        except errors.MigrationError as error:
            with pytest.raises(type(error)):
                upgrade(path, source, atomic=atomic, group=group)
            return
        upgrade(path, source, atomic=atomic, group=group)

        found = {kind: {name.lower() for name in names} for kind, names in predicted.as_dict().items()}  # type: ignore[attr-defined]  # each is a list
        assert found == difference(before, read_schema(path))
