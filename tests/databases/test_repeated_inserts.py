"""SQLite is not asked about an INSERT of values that is like the one before; what is noted of a script is the same."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from builders import Text, migration
from hypothesis import example, given, settings
from hypothesis import strategies as st

from torc_migrations.databases.interface import ScriptMode
from torc_migrations.databases.opening import open_database
from torc_migrations.databases.sqlite.scripts.effects import ScriptEffects
from torc_migrations.errors import BadScript
from torc_migrations.history.steps import Action, Step
from torc_migrations.sources.migration import Script

SETUP = (
    "CREATE TABLE a (x INTEGER PRIMARY KEY, y)",
    "CREATE TABLE b (x INTEGER PRIMARY KEY, y)",
    "CREATE TABLE k (x REFERENCES a, y)",
    "CREATE TABLE log (y)",
    "INSERT INTO b VALUES (-1, 1), (-2, 2)",
    "INSERT INTO k VALUES (NULL, 1)",
)
# {} is a number that no other statement has; what is copied gets numbers below 0.
STATEMENTS = (
    *("INSERT INTO a VALUES ({}, 1)", "INSERT INTO a (x, y) VALUES ({}, 1)", 'INSERT INTO "a" (x, y) VALUES ({}, 1)'),
    *("INSERT INTO a VALUES ({}, (SELECT max(y) FROM b))", "INSERT INTO a VALUES ({}, 1) RETURNING y"),
    "INSERT INTO a VALUES ({0}, 1), ({0}, 2) ON CONFLICT (x) DO UPDATE SET y = 3",
    *(
        "INSERT INTO a SELECT x - {0}0, y FROM b",
        "INSERT INTO k SELECT * FROM stage",
        "INSERT INTO k VALUES (NULL, {})",
    ),
    *("CREATE TABLE IF NOT EXISTS stage AS SELECT * FROM k", "INSERT INTO stage VALUES (NULL, {})"),
    "CREATE TRIGGER IF NOT EXISTS t AFTER INSERT ON a BEGIN DELETE FROM log; INSERT INTO log VALUES (1); END",
    *("DELETE FROM a", "DELETE FROM log", "UPDATE b SET y = {}", "DROP TRIGGER IF EXISTS t"),
    *("ALTER TABLE b ADD COLUMN z{}", "PRAGMA case_sensitive_like = ON", "SELECT * FROM b"),
)


def noted(effects: ScriptEffects) -> dict[str, object]:
    """Return what is noted of a script."""
    names = ("tables", "deleted_from", "deletes", "updated", "dropped", "created", "objects", "stood", "renames")
    return {name: getattr(effects, name) for name in (*names, "may_break", "all_tables", "unindexed")}


def step_of(sql: str) -> Step:
    """Return the step that runs a script."""
    return Step(replace(migration(1), up=Script(Text("1_a.sql", sql))), Action.APPLY)


def run(sql: str, path: Path) -> ScriptEffects:
    """Run a script on a new database, where SQLite is not asked about what repeats itself."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(";".join(SETUP))
    connection.close()
    with open_database(path, lock_timeout=0) as database:
        database.prepare_to_write()
        with database.transaction():
            return database.run_script(step_of(sql), ScriptMode.WHOLE)


def run_asked(sql: list[str]) -> ScriptEffects:
    """Run the same where SQLite is asked about everything."""
    with sqlite3.connect(":memory:", isolation_level=None) as connection:
        connection.executescript(";".join(SETUP))
        with open_database(connection, lock_timeout=0) as database, database.copy() as copy:
            copy.prepare_to_write()
            with copy.transaction():
                return copy.run_script(step_of(";\n".join(sql)), ScriptMode.WHOLE)


COPIES = "CREATE TABLE IF NOT EXISTS copy AS SELECT * FROM a"
READS_COPY = "CREATE TRIGGER IF NOT EXISTS u AFTER INSERT ON a BEGIN INSERT INTO log SELECT y FROM copy; END"
INSERT, UPSERT = STATEMENTS[0], STATEMENTS[5]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(STATEMENTS), max_size=14))
@example([INSERT, INSERT, UPSERT])
@example([INSERT, COPIES, READS_COPY, INSERT, INSERT, INSERT, INSERT])
@example([*[INSERT] * 3, "DELETE FROM a", INSERT, "DELETE FROM log"])
@example(["INSERT INTO k VALUES (NULL, {})"] * 3 + [STATEMENTS[9], "INSERT INTO k SELECT * FROM stage"])
@example([INSERT, INSERT, STATEMENTS[11], INSERT, INSERT, INSERT])
def test_what_is_noted_of_a_script_is_the_same(tmp_path_factory: pytest.TempPathFactory, templates):
    """However its statements repeat themselves, and whatever stands between them."""
    if "INSERT INTO k SELECT * FROM stage" in templates or "INSERT INTO stage VALUES (NULL, {})" in templates:
        templates = ["CREATE TABLE IF NOT EXISTS stage AS SELECT * FROM k", *templates]
    sql = [template.format(number) for number, template in enumerate(templates, 1)]
    path = tmp_path_factory.getbasetemp() / "repeated.db"

    assert noted(run(";\n".join(sql), path)) == noted(run_asked(sql))


def test_what_ends_the_transaction_is_refused_after_repeated_inserts(tmp_path: Path):
    """SQLite is asked again about the first statement that is another one."""
    inserts = [f"INSERT INTO a VALUES ({number}, 1)" for number in range(5)]

    with pytest.raises(BadScript) as failure:
        run(";\n".join([*inserts, "SAVEPOINT s", "ROLLBACK"]), tmp_path / "a.db")

    assert "ROLLBACK" in str(failure.value)
