"""`dump` and `check schema`: one file with the schema that migrations make, and an empty database made from it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from itertools import takewhile
from typing import TYPE_CHECKING

from torc_migrations.checks.branches.lock import chained_digest
from torc_migrations.checks.findings import CheckFinding, CheckResult
from torc_migrations.checks.overwriting import overwrite
from torc_migrations.checks.schemas import made_by
from torc_migrations.configured import open_session
from torc_migrations.databases.sqlite.database import sqlite_only
from torc_migrations.databases.sqlite.schemas.dumping import Dumped, dump_statements
from torc_migrations.errors import BadDump, NotEmpty, SourceError
from torc_migrations.formatting import reason_of
from torc_migrations.history.planning import plan_exactly
from torc_migrations.history.status import Status
from torc_migrations.history.steps import Action, Direction, Plan, Report
from torc_migrations.migrator import Migrator
from torc_migrations.runs.atomic import AtomicRun
from torc_migrations.runs.session import Session
from torc_migrations.sources.migration import Migration, Script

if TYPE_CHECKING:
    from torc_migrations.runs.run import Observer

CHECK = "schema"
FILE = "schema.sql"
_LEFT_OUT = "left out"
_SHOWN = 40  # lines of a difference
_HEAD = """\
-- The schema that the migrations make, written by `torc-migrations dump`. Do not edit it.
-- version: {version} {description}
-- scripts: sha256:{digest}
-- rows: {rows}
"""
_READ_HEAD = re.compile(
    r"(?:--[^\n]*\n)*?-- version: (?P<version>[+-]?\d+)[^\n]*\n-- scripts: sha256:(?P<digest>[0-9a-f]{64})\n"
    r"-- rows: (?P<rows>[^\n]*)\n"
)


@dataclass(frozen=True, slots=True)
class Dump:
    """A schema as text.

    Attributes:
        version: the newest version that it has.
        text: the statements, behind comments that say what it was made of.
        rows: how many rows the statements insert.
        left_out: how many rows of tables are not in it.
    """

    version: int
    text: str
    rows: int
    left_out: int

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {"version": self.version, "rows": self.rows, "left_out": self.left_out, "text": self.text}


def dump(migrator: Migrator, *, rows: bool = True, from_database: bool = False) -> Dump:
    """Return the schema that the migrations of a source make on an empty database, as text.

    The order of the statements depends on the objects alone, not on the order in which they were made. Comments in
    definitions are kept. Writes nothing.

    Args:
        migrator: the source; and the database, with `from_database`.
        rows: whether the rows that migrations insert are part of it.
        from_database: take the schema of the database, as it is, without rows.

    Raises:
        MigrationError: the source cannot be read, a script does not run on an empty database, or nothing is installed.
    """
    with open_session(migrator) as session:
        if not from_database:
            with made_by(session, session.source.migrations, with_origins=False) as made:
                dumped = dump_statements(made.database, session.ledgers.tables, rows=rows)
            return _as_dump(session.source.migrations, dumped)
        installed = session.status().installed
        if not installed:
            raise BadDump(session.database.name, f"nothing is installed in {session.database.name}")
        database = sqlite_only(session.database, "a dump")
        with database.reading():
            return _as_dump(installed, dump_statements(database, session.ledgers.tables, rows=False))


def _as_dump(migrations: Sequence[Migration], dumped: Dumped) -> Dump:
    newest = migrations[-1]
    head = _HEAD.format(
        version=newest.version,
        description=" ".join(newest.description.split()),
        digest=_digest(migrations),
        rows=f"{dumped.left_out} {_LEFT_OUT}" if dumped.left_out else dumped.rows,
    )
    return Dump(newest.version, head + "".join(_separated(dumped.statements)), dumped.rows, dumped.left_out)


def _separated(statements: Sequence[str]) -> Iterator[str]:
    """Yield statements with an empty line before each, but between rows of one table."""
    before = ""
    for statement in statements:
        begin = statement.partition("(")[0]
        yield f"{statement}\n" if begin.startswith("INSERT ") and begin == before else f"\n{statement}\n"
        before = begin


def _digest(migrations: Sequence[Migration]) -> str:
    return chained_digest(migration.up for migration in migrations)


def write_dump(made: Dump, file: str | os.PathLike[str]) -> None:
    """Write a dump into a file, which is new, or a dump.

    Raises:
        BadDump: the file is something else.
        SourceError: it cannot be written.
    """
    path = os.fspath(file)
    if os.path.lexists(path) and _READ_HEAD.match(_read(path)) is None:
        raise BadDump(path, f"{path} exists, and is not a dump; it is left as it is")
    overwrite(path, made.text.encode("utf-8", "surrogateescape"))


def default_file(migrator: Migrator) -> str | None:
    """Return where a dump is looked for: `schema.sql` beside the directory of migrations; None for a package."""
    source = migrator.source
    if not isinstance(source, (str, os.PathLike)) or os.fspath(source).startswith("package:"):
        return None
    return os.path.normpath(os.path.join(os.fspath(source), os.pardir, FILE))


def check_schema(migrator: Migrator, file: str | os.PathLike[str] | None = None) -> CheckResult:
    """Check that a file is the dump of the migrations of a source.

    Args:
        migrator: the source; its database is not used.
        file: the dump; None means `schema.sql` beside the directory of migrations, and where there is none, nothing.

    Raises:
        SourceError: the source or the file cannot be read.
        MigrationError: a script does not run on an empty database.
    """
    path = default_file(migrator) if file is None else os.fspath(file)
    if path is None or (file is None and not os.path.exists(path)):
        return CheckResult(CHECK, skipped=f"there is no {FILE}; `torc-migrations dump {FILE}` writes one")
    text = _read(path)
    head = _READ_HEAD.match(text)
    now = dump(migrator, rows=head is None or not head["rows"].endswith(_LEFT_OUT))
    if text == now.text:
        return CheckResult(CHECK)
    difference = tuple(_lines(text, now.text))
    same = takewhile(lambda pair: pair[0] == pair[1], zip(text.split("\n"), now.text.split("\n"), strict=False))
    finding = CheckFinding(
        CHECK,
        "stale-schema",
        f"{os.path.basename(path)} is not what the migrations make, up to version {now.version}",
        path,
        line=len(list(same)) + 1,
        details=(*difference[:_SHOWN], *(("...",) if difference[_SHOWN:] else ())),
        hint=f"`torc-migrations dump {path}` writes it again",
    )
    return CheckResult(CHECK, (finding,))


def _lines(old: str, new: str) -> Sequence[str]:
    """Return the lines that differ, without the names of files."""
    return list(unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1))[2:]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read().replace("\r\n", "\n")
    except (OSError, ValueError) as error:
        raise SourceError(path, f"cannot read {path!r}: {reason_of(error)}") from error


def upgrade_from_dump(migrator: Migrator, file: str | os.PathLike[str], *, observer: Observer | None = None) -> Report:
    """Make an empty database from a dump, with both ledgers filled, and apply what is newer than it.

    The dump and the records of its migrations are one transaction.

    Args:
        migrator: the database, which is empty or missing, and the source.
        file: what `dump` has written for this source, or for its migrations up to a version.
        observer: called with each step once it is committed.

    Raises:
        BadDump: the file is no dump, has not all rows, or was made from other scripts; nothing was done.
        NotSupported: the database is not of SQLite.
        NotEmpty: the database has something in it; nothing was done.
        MigrationError: as for `Migrator.upgrade`.
    """
    path = os.fspath(file)
    with open_session(migrator) as session:
        sqlite_only(session.database, "an upgrade from a dump")
        migrations = _dumped_migrations(path, session)
        first = _fill(path, session, migrations, observer or (lambda _: None))
    second = migrator.upgrade(observer=observer)
    plan = replace(second.plan, steps=(*first.plan.steps, *second.plan.steps))
    return replace(second, plan=plan, outcomes=(*first.outcomes, *second.outcomes))


def _dumped_migrations(path: str, session: Session) -> tuple[Migration, ...]:
    """Return the migrations that are in a dump, once it is sure that it was made of them."""
    head = _READ_HEAD.match(_read(path))
    if head is None:
        raise BadDump(path, f"{path} does not begin as `torc-migrations dump` writes it")
    if head["rows"].endswith(_LEFT_OUT):
        raise BadDump(path, f"{path} lacks rows: {head['rows']}")
    version = int(head["version"])
    migrations = tuple(each for each in session.source.migrations if each.version <= version)
    if not migrations or migrations[-1].version != version:
        raise BadDump(path, f"{path} is for version {version}, which is not in the source")
    if _digest(migrations) != head["digest"]:
        raise BadDump(path, f"{path} was made from other scripts than those of the source up to {version}")
    return migrations


def _fill(path: str, session: Session, migrations: tuple[Migration, ...], observer: Observer) -> Report:
    """Run the dump in the place of the first script, and nothing in that of the others."""
    versions = [migration.version for migration in migrations]
    scripts = [Script(path), *(Script(_Nothing(migration.up.path)) for migration in migrations[1:])]  # type: ignore[arg-type]  # it reads itself
    replaced = tuple(replace(each, up=script) for each, script in zip(migrations, scripts, strict=True))
    source = replace(session.source, migrations=replaced, hooks=())
    filling = Session(session.database, source, session.ledgers, strict=session.strict)
    names = session.object_names()
    status = filling.status()
    if names or status.installed or status.missing or status.foreign:
        raise NotEmpty(session.database.name, min(names, key=_tables_first, default="a row in a ledger"))

    def plan(status: Status) -> Plan:
        if status.installed:  # somebody else has begun meanwhile
            return Plan(Direction.UP, ())
        return plan_exactly(status, Action.APPLY, versions)

    return AtomicRun(filling, plan, observer).perform(plan(status))


def _tables_first(name: str) -> tuple[bool, str]:
    return not name.startswith("table "), name


class _Nothing:
    """A file without a text, in the place of a script that the dump has in it already."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __str__(self) -> str:
        return self._path

    def read_bytes(self) -> bytes:
        return b""
