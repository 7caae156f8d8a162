"""Random rebuilds of random small schemas, beside what really works and really stands afterwards."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest, sized, write_folder

from torc_migrations import errors, upgrade

SEEDS = range(sized(60, 1000))


def random_schema(rng: random.Random) -> list[str]:
    """Return tables p, c and d with rows, of which c and d may point to p, and perhaps views and triggers."""
    action = rng.choice(["", " ON DELETE CASCADE"])
    mark = rng.choice(["", " AUTOINCREMENT"])
    schema = [
        f"CREATE TABLE p (id INTEGER PRIMARY KEY{mark}, a)",
        f"CREATE TABLE c (id INTEGER{rng.choice(['', ' PRIMARY KEY'])}, p {rng.choice(['', 'REFERENCES p' + action])})",
        f"CREATE TABLE d (p {rng.choice(['', 'REFERENCES p' + action, 'REFERENCES nowhere'])}, x)",
        "CREATE TABLE audit (x)",
        "INSERT INTO p VALUES (1, 'a'), (2, 'b'), (9, 'c')",
        "DELETE FROM p WHERE id = 9",
        "INSERT INTO c VALUES (1, 1), (2, 2), (3, 1)",
        "INSERT INTO d VALUES (NULL, 1), (NULL, 2)",
    ]
    extras = [
        "CREATE VIEW v AS SELECT * FROM p",
        "CREATE VIEW w (x, y) AS SELECT * FROM p",
        "CREATE VIEW broken AS SELECT * FROM gone",
        "CREATE TRIGGER one AFTER INSERT ON c BEGIN INSERT INTO audit VALUES (new.id); END",
        "CREATE TRIGGER two AFTER DELETE ON d BEGIN UPDATE p SET a = 1; END",
        "CREATE TRIGGER three BEFORE UPDATE ON audit BEGIN DELETE FROM gone; END",
    ]
    return schema + rng.sample(extras, rng.randrange(len(extras) + 1))


def random_script(rng: random.Random) -> str:
    """Return a few changes, some of which save rows, rebuild or drop what others point to, and put rows back."""
    parts = [
        (
            "CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, a, more);\n"
            "INSERT INTO n (id, a) SELECT id, a FROM p;\nDROP TABLE p;\nALTER TABLE n RENAME TO p;"
        ),
        (
            "ALTER TABLE p RENAME TO o;\nCREATE TABLE p (id INTEGER PRIMARY KEY AUTOINCREMENT, a);\n"
            "INSERT INTO p SELECT id, a FROM o;\nDROP TABLE o;"
        ),
        "DROP TABLE audit;",
        "ALTER TABLE audit ADD COLUMN y;",
        "ALTER TABLE p ADD COLUMN extra;",
        "DROP TABLE IF EXISTS d;",
        "ALTER TABLE c RENAME TO kid;\nALTER TABLE kid RENAME TO c;",
        "DROP VIEW IF EXISTS w;",
    ]
    chosen = rng.sample(parts, rng.randrange(1, 4))
    if rng.random() < 0.5:
        order = rng.choice(["SELECT * FROM saved", "SELECT id, p FROM saved WHERE 1"])
        chosen = ["CREATE TEMP TABLE saved AS SELECT * FROM c;", *chosen, f"INSERT INTO c {order};\nDROP TABLE saved;"]
    if rng.random() < 0.3:
        chosen.insert(0, "PRAGMA legacy_alter_table = ON;")
    return "\n".join(chosen)


def works(connection: sqlite3.Connection, sql: str) -> bool:
    """Tell whether a statement can be prepared with foreign keys on, by running it and undoing that."""
    connection.execute("SAVEPOINT probe")
    try:
        connection.execute(sql)
    except sqlite3.IntegrityError:
        return True
    except sqlite3.OperationalError:
        return False
    finally:
        connection.execute("ROLLBACK TO probe")
        connection.execute("RELEASE probe")
    return True


def what_works(path: Path) -> dict[str, bool]:
    """Return whether each view can be read and each table be written, by trying."""
    with closing(sqlite3.connect(path, isolation_level=None, cached_statements=0)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        rows = connection.execute("SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
        probes: dict[str, bool] = {}
        for kind, name in rows:
            if name.startswith(("sqlite_", "_yoyo", "_sqlx", "yoyo")):
                continue
            if kind == "view":
                probes[f"view {name}"] = works(connection, f"SELECT * FROM {name}")
                continue
            first = connection.execute(f"SELECT name FROM pragma_table_info('{name}')").fetchone()[0]
            probes[f"insert {name}"] = works(connection, f"INSERT INTO {name} ({first}) VALUES (NULL)")
            probes[f"update {name}"] = works(connection, f"UPDATE {name} SET {first} = {first}")
            probes[f"delete {name}"] = works(connection, f"DELETE FROM {name}")
        return probes


def rows_of(database: SQLiteUnderTest, table: str) -> int | None:
    """Return the number of rows of a table, or None where there is none."""
    there = database.execute(f"SELECT 1 FROM sqlite_master WHERE name = '{table}'")
    return int(database.execute(f"SELECT count(*) FROM {table}")[0][0]) if there else None


def marks_of(database: SQLiteUnderTest) -> dict[str, int]:
    """Return AUTOINCREMENT's marks of tables that are there."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"):
        return {}
    return dict(database.execute("SELECT name, seq FROM sqlite_sequence"))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_kept_works_and_what_is_refused_does_not(tmp_path: Path, seed: int):
    """Nothing that worked fails after a script that is kept, and no row is lost or stands twice; else it is refused."""
    rng = random.Random(seed)
    schema, script = random_schema(rng), random_script(rng)
    ours, plain = SQLiteUnderTest(tmp_path / "ours.db"), SQLiteUnderTest(tmp_path / "plain.db")
    for database in (ours, plain):
        database.execute(*schema)
    before, counts, marks = what_works(ours.path), {name: rows_of(ours, name) for name in "pcd"}, marks_of(ours)
    failed = _run_plainly(plain, script)
    after = what_works(plain.path)
    lost = [probe for probe, worked in before.items() if worked and not after.get(probe, True)]
    doubled = (rows_of(plain, "c") or 0) > (counts["c"] or 0)

    try:
        upgrade(ours.path, write_folder(tmp_path / "migrations", {"1_a": script}))
    except errors.StepFailed as error:
        told = error
    else:
        told = None

    if failed:
        assert isinstance(told, errors.ExecutionFailed), (schema, script, told)
    elif told is None:
        assert lost == [], (schema, script)
        assert not (doubled and _drops_above_c(schema, script)), (schema, script)
        assert all(marks_of(ours).get(name, mark) >= mark for name, mark in marks.items()), (schema, script)
        assert rows_of(ours, "p") == counts["p"]
    else:
        assert what_works(ours.path) == before
        if isinstance(told, errors.SchemaBroken):
            assert lost, (schema, script, told)
        elif isinstance(told, errors.RowsDoubled):
            assert doubled, (schema, script, told)
        else:
            assert isinstance(told, errors.ForeignKeyViolations), (schema, script, told)
            assert plain.execute("PRAGMA foreign_key_check"), (schema, script, told)


def _run_plainly(database: SQLiteUnderTest, script: str) -> bool:
    """Run a script with foreign keys off, in one transaction, and return whether it failed."""
    with closing(database.connect()) as connection:
        try:
            connection.executescript(f"BEGIN;\n{script}\nCOMMIT;")
        except sqlite3.Error:
            connection.execute("ROLLBACK")
            return True
    return False


def _drops_above_c(schema: list[str], script: str) -> bool:
    return "REFERENCES p" in schema[1] and ("DROP TABLE p" in script or "DROP TABLE o" in script)
