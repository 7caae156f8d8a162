"""A database that stock yoyo, sqlx and we take turns at, the same migrations in two layouts, and the truth of it."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from paired_databases import opened
from preloaded_programs import KILLED, Preloaded, Said
from sqlx_program import Sqlx

# Deeds that run no script, and what each deed makes of a migration.
CLAIMS = {"mark", "unmark", "skip"}
INSTALLS = {"apply", "mark", "run", "skip"}

# Why the tables alone may not tell what is installed. Where nothing in them shows that there is a second possibility,
# the verdict may even be the wrong one; else it has to say that it is out of step.
IN_ONE_SECOND = "two tools wrote within one second"
A_CLAIM = "a tool claimed without running a script, and another wrote too"
AN_UNSEEN_REVERT = "after a claim sqlx reverted what it had run, and that leaves no trace"
REPEATABLE = "two tools wrote, and the scripts may run twice"
KILLED_BEFORE_LEDGER = "yoyo was killed before it wrote its ledger"
KILLED_BEFORE_LOG = "yoyo was killed before it wrote anything"
UNSEEN = {AN_UNSEEN_REVERT, REPEATABLE, KILLED_BEFORE_LOG}

# Every place where a moment is written; the comment of a log line of ours holds one of sqlx's row.
MOMENTS = (
    ("_sqlx_migrations", "installed_on"),
    ("_yoyo_migration", "applied_at_utc"),
    ("_yoyo_log", "created_at_utc"),
    ("_yoyo_log", "comment"),
)
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
SQLX_LINE = re.compile(r"^(?:Applied|(Skipped on request)) (-?\d+)/(migrate|revert)", re.MULTILINE)

SELECT_LOG = """
    SELECT rowid, CAST(migration_id AS INTEGER), operation, coalesce(comment, '')
    FROM _yoyo_log
    WHERE rowid > ?
    ORDER BY rowid
"""
SELECT_SECONDS = """
    SELECT 1
    FROM _sqlx_migrations
    WHERE version = :version
    AND substr(installed_on, 1, 19) = (
        SELECT replace(substr(created_at_utc, 1, 19), 'T', ' ')
        FROM _yoyo_log
        WHERE CAST(migration_id AS INTEGER) = :version
        ORDER BY rowid DESC
        LIMIT 1
    )
"""


class Programs(NamedTuple):
    """The three that take turns."""

    sqlx: Sqlx
    yoyo: Preloaded
    ours: Preloaded


class Migration(NamedTuple):
    """One migration: its version, its name, whether its scripts may run twice, and whether in no transaction."""

    version: int
    name: str
    repeatable: bool = False
    outside: bool = False

    @property
    def id(self) -> str:
        """The stem of its files, and its id in yoyo's ledger."""
        return f"{self.version}_{self.name}"

    @property
    def table(self) -> str:
        """The table that its script makes."""
        return f"t{self.version}"

    def files(self) -> dict[str, str]:
        """Return its files in both layouts."""
        head = "-- no-transaction\n-- transactional: false\n" if self.outside else ""
        up = f"{head}CREATE TABLE {'IF NOT EXISTS ' if self.repeatable else ''}{self.table} (x INTEGER);\n"
        down = f"{head}DROP TABLE {'IF EXISTS ' if self.repeatable else ''}{self.table};\n"
        return _named(self.id, up, down)


def _named(stem: str, up: str, down: str) -> dict[str, str]:
    return {
        f"yoyo/{stem}.sql": up,
        f"yoyo/{stem}.rollback.sql": down,
        f"sqlx/{stem}.up.sql": up,
        f"sqlx/{stem}.down.sql": down,
    }


class Deed(NamedTuple):
    """What yoyo did to a migration, as its log calls it, or `killed before ...`; or sqlx: `run`, `revert`, `skip`."""

    tool: Literal["yoyo", "sqlx"]
    name: str


class Known(NamedTuple):
    """What we know of one migration.

    `installed` is the truth: what the last script or claim made of it. `scripted` tells that it was a script.
    `deeds` are those of the others since our last word.
    """

    installed: bool = False
    scripted: bool = True
    deeds: tuple[Deed, ...] = ()


class World:
    """The database, both folders, and what is true."""

    def __init__(self, root: Path, migrations: tuple[Migration, ...], programs: Programs) -> None:
        self.root = root
        self.database = root / "app.db"
        self.migrations = {migration.version: migration for migration in migrations}
        self.known = dict.fromkeys(self.migrations, Known())
        self._programs = programs
        self.sqlx_program = programs.sqlx
        self._lines_seen = 0
        for layout in ("yoyo", "sqlx"):
            (root / layout).mkdir()
        for migration in migrations:
            for name, text in migration.files().items():
                (root / name).write_text(text)
        programs.sqlx.create(self.database)

    def write(self, stem: str, up: str, down: str) -> None:
        """Write a migration's files again, in both layouts."""
        for name, text in _named(stem, up, down).items():
            (self.root / name).write_text(text)

    def yoyo(
        self, verb: str, *arguments: str, source: str = "yoyo", scheme: str = "sqlite", dies_in: str | None = None
    ) -> Said:
        """Let stock yoyo do something; before it, clear the lock of one that was killed, as yoyo asks people to."""
        if self.rows("yoyo_lock"):
            self._yoyo("break-lock", "-d", f"sqlite:///{self.database}")
        said = self._yoyo(verb, "-d", f"{scheme}:///{self.database}", *arguments, source, dies_in=dies_in)
        self._read_log()
        return said

    def _yoyo(self, verb: str, *arguments: str, dies_in: str | None = None) -> Said:
        return self._programs.yoyo(verb, "-b", "--no-config-file", *arguments, folder=self.root, dies_in=dies_in)

    def kill_yoyo(self, verb: Literal["apply", "rollback"], version: int, *, before: Literal["log", "ledger"]) -> None:
        """Have stock yoyo killed after its script ran: before it writes its log, or between that and its ledger."""
        marking = "mark_one" if verb == "apply" else "unmark_one"
        method = "log_migration" if before == "log" else marking
        said = self.yoyo(verb, "-r", self.migrations[version].id, dies_in=method)
        if said.status == KILLED:
            self._note(version, Deed("yoyo", f"killed before its {before}"), installed=verb == "apply")

    def sqlx(self, *arguments: str) -> Said:
        """Let sqlx do something."""
        said = self._programs.sqlx(*arguments, "--source", "sqlx", "-D", "sqlite:app.db", folder=self.root)
        for skipped, version, label in SQLX_LINE.findall(said.out):
            name = "skip" if skipped else "run" if label == "migrate" else "revert"
            self._note(int(version), Deed("sqlx", name), installed=name in INSTALLS)
        return said

    def _note(self, version: int, deed: Deed, *, installed: bool) -> None:
        before = self.known[version]
        self.known[version] = Known(installed, deed.name not in CLAIMS, (*before.deeds, deed))

    def ours(self, verb: str, *arguments: str, layout: str = "yoyo") -> Said:
        """Let us do something."""
        said = self._programs.ours(
            verb, "-d", "sqlite:app.db", "-s", layout, "--no-dotenv", *arguments, folder=self.root
        )
        self._read_log()
        return said

    def _read_log(self) -> None:
        """Learn from yoyo's log what yoyo and we did."""
        for rowid, version, operation, comment in self._query(SELECT_LOG, (self._lines_seen,)):
            self._lines_seen = rowid
            if version not in self.known:
                continue
            installed = operation in INSTALLS
            if comment.startswith("torc_migrations"):
                self.known[version] = Known(installed, operation not in CLAIMS)
            else:
                self._note(version, Deed("yoyo", operation), installed=installed)

    def let_pass(self, seconds: int) -> None:
        """Make everything that is written that much older, so that nobody needs to sleep."""

        def aged(text: str) -> str:
            return MOMENT.sub(lambda found: _earlier(found[0], seconds), text)

        with opened(self.database) as connection:
            connection.create_function("aged", 1, aged)
            there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            for table, column in MOMENTS:
                if table in there:
                    connection.execute(f"UPDATE {table} SET {column} = aged({column}) WHERE {column} IS NOT NULL")

    def status(self, layout: str = "yoyo") -> dict[int, str]:
        """Return our verdict on each migration: installed, pending or out of step."""
        entries = self.facts(layout)["migrations"]
        return {entry["version"]: "out of step" if entry["out_of_step"] else entry["state"] for entry in entries}

    def facts(self, layout: str = "yoyo") -> dict[str, Any]:
        """Return all that our status tells."""
        said = self.ours("status", "--json", layout=layout)
        assert said.status == 0, said.err
        return dict(json.loads(said.out))

    def listed_by_sqlx(self) -> dict[int, str]:
        """Return what `sqlx migrate info` lists."""
        return {
            int(version): state for version, state in re.findall(r"^(\d+)/(\S+) ", self.sqlx("info").out, re.MULTILINE)
        }

    def listed_by_yoyo(self, *arguments: str) -> dict[int, str]:
        """Return what `yoyo list` lists, in our words."""
        words = {"A": "installed", "U": "pending"}
        said = self.yoyo("list", *arguments)
        assert said.status == 0, said.err
        return {int(version): words[flag] for flag, version in re.findall(r"^([AU]) +(\d+)_", said.out, re.MULTILINE)}

    def tables(self) -> dict[int, bool]:
        """Return whether each migration's table exists."""
        there = {name for (name,) in self._query("SELECT name FROM sqlite_master")}
        return {version: migration.table in there for version, migration in self.migrations.items()}

    def ledgers(self) -> list[tuple[Any, ...]]:
        """Return everything that the ledgers hold."""
        return [row for table in dict.fromkeys(name for name, _ in MOMENTS) for row in self.rows(table)]

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Return what a table holds; nothing where there is none."""
        return self._query(f"SELECT * FROM {table}")

    def excuses(self, version: int) -> set[str]:
        """Return why the tables alone may not tell whether a migration is installed."""
        deeds = self.known[version].deeds
        names = {deed.name for deed in deeds}
        both = {deed.tool for deed in deeds} == {"yoyo", "sqlx"}
        claimed = both and bool(names & CLAIMS)
        found = {
            IN_ONE_SECOND: both and bool(self._query(SELECT_SECONDS, {"version": version})),
            A_CLAIM: claimed,
            AN_UNSEEN_REVERT: claimed and deeds[-1].name == "revert",
            REPEATABLE: both and self.migrations[version].repeatable,
            KILLED_BEFORE_LEDGER: "killed before its ledger" in names,
            KILLED_BEFORE_LOG: "killed before its log" in names,
        }
        return {excuse for excuse, holds in found.items() if holds}

    def _query(self, sql: str, parameters: object = ()) -> list[tuple[Any, ...]]:
        with opened(self.database) as connection:
            try:
                return connection.execute(sql, parameters).fetchall()
            except Exception as error:
                if "no such table" in str(error):
                    return []
                raise


def _earlier(moment: str, seconds: int) -> str:
    """Return a moment some seconds before, in the form it had."""
    blank = moment[10]
    return (datetime.fromisoformat(moment) - timedelta(seconds=seconds)).isoformat(blank)
