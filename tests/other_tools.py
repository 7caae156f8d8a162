"""Do to a database what stock yoyo and sqlx do to it, and ask what they think of it."""

from __future__ import annotations

from contextlib import closing
from hashlib import sha256, sha384
from pathlib import Path

from database_under_test import SQLiteUnderTest, stock_yoyo

from torc_migrations import Migrator
from torc_migrations.databases.sqlite.ledger_sql import LEDGER_SQL


def yoyo(database: SQLiteUnderTest, verb: str, source: str, *options: str) -> str:
    """Run one of stock yoyo's commands, which has to succeed, and return what it printed."""
    done = stock_yoyo(verb, "-b", "-d", f"sqlite:///{database.path}", *options, source)
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(database: SQLiteUnderTest, source: str, *options: str) -> str:
    """Return stock yoyo's opinion: a letter for each migration, A for applied and U for not."""
    lines = yoyo(database, "list", source, *options).splitlines()
    return "".join(line.split()[0] for line in lines if line[:1] in "AU" and line[1:2] == " ")


def told(database: SQLiteUnderTest, source: str, **options: str) -> str:
    """Return our opinion in the same letters, and `?` for out of step."""
    entries = Migrator(database.path, source, **options).status().entries
    return "".join("?" if entry.out_of_step else "A" if entry.installed else "U" for entry in entries)


def sqlx_run(database: SQLiteUnderTest, source: str, name: str, installed_on: str = "CURRENT_TIMESTAMP") -> None:
    """Apply one migration as sqlx does: script and row in one transaction, the time in a second one."""
    script = Path(source, f"{name}.sql").read_bytes()
    version, _, description = name.partition("_")
    with closing(database.connect()) as connection:
        connection.execute(LEDGER_SQL.create_sqlx_table.format(sqlx="_sqlx_migrations"))
        connection.executescript(f"BEGIN; {script.decode()}")
        connection.execute(
            f"INSERT INTO _sqlx_migrations VALUES (?, ?, {installed_on}, TRUE, ?, -1)",
            (int(version), description.replace("_", " "), sha384(script).digest()),
        )
        connection.execute("COMMIT")
        connection.execute("UPDATE _sqlx_migrations SET execution_time = 4711 WHERE version = ?", (int(version),))


def sqlx_revert(database: SQLiteUnderTest, source: str, name: str) -> None:
    """Revert one migration as sqlx does."""
    script = Path(source, f"{name}.rollback.sql").read_text()
    with closing(database.connect()) as connection:
        connection.executescript(f"BEGIN; {script}")
        connection.execute("DELETE FROM _sqlx_migrations WHERE version = ?", (int(name.partition("_")[0]),))
        connection.execute("COMMIT")


def key(name: str) -> str:
    """Return yoyo's key of a migration."""
    return sha256(name.encode()).hexdigest()


def log(database: SQLiteUnderTest, operation: str, name: str, moment: str) -> None:
    """Write a line of yoyo's log."""
    count = database.execute("SELECT count(*) FROM _yoyo_log")[0][0]
    database.execute(
        "INSERT INTO _yoyo_log (id, migration_hash, migration_id, operation, created_at_utc)"
        f" VALUES ('line {count}', '{key(name)}', '{name}', '{operation}', '{moment}')"
    )
