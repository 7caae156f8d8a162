"""`check drift`: the schema of a database, beside the one that its installed migrations make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from fnmatch import fnmatchcase

from torc_migrations.checks.findings import CheckFinding, CheckResult
from torc_migrations.checks.schemas import Made, made_by, read_schema
from torc_migrations.checks.server_drift import Drifted, find_drift
from torc_migrations.configured import open_session
from torc_migrations.databases.sqlite.database import SQLiteDatabase
from torc_migrations.databases.sqlite.schemas.settling import Difference, Schema, schema_differences
from torc_migrations.databases.sqlite.scripts.statements import canonical
from torc_migrations.errors import VersionMissing
from torc_migrations.formatting import lowered
from torc_migrations.migrator import Migrator
from torc_migrations.sources.migration import Migration

CHECK = "drift"
_AROUND = 4  # words that are shown before and after a difference


def check_drift(migrator: Migrator, ignore: Sequence[str] = ()) -> CheckResult:
    """Compare the schema of a database with that which its installed migrations make on a scratch database.

    What is pending is no difference. Spaces, comments and quotes in definitions do not matter. Writes nothing. On a
    server the definitions are those that it has made of the statements, and no SQL that would correct them is known.

    Args:
        migrator: the database and the source.
        ignore: patterns of names, such as `audit_*`; a table, view, index or trigger with such a name, or that belongs
            to a table with such a name, is not compared.

    Raises:
        VersionMissing: an installed version has no file, so that what it has made is not known.
        MigrationError: the source or the database cannot be read, or a script does not run on an empty database.
    """
    with open_session(migrator) as session:
        status = session.status()
        if status.missing:
            raise VersionMissing(status.missing[0])
        if not status.installed:
            return CheckResult(CHECK, skipped=session.why_empty() or "nothing is installed")
        if not isinstance(session.database, SQLiteDatabase):
            drifted = find_drift(session, status.installed)
            return CheckResult(CHECK, tuple(_of_server(each) for each in drifted if not _is_ignored(each, ignore)))
        with session.database.reading():
            found = read_schema(session.database, session.ledgers.tables)
        with made_by(session, status.installed, with_origins=False) as made:
            differences = schema_differences(_without(made.schema, ignore), _without(found, ignore))
        if not differences:
            return CheckResult(CHECK)
        with made_by(session, status.installed, with_origins=True) as made:
            return CheckResult(CHECK, tuple(_finding(each, made) for each in differences))


def _without(schema: Schema, ignore: Sequence[str]) -> Schema:
    patterns = tuple(map(lowered, ignore))
    kept = (each for each in schema.definitions if not _match((each.name, each.table), patterns))
    return Schema(tuple(kept), schema.columns)


def _match(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(lowered(name), pattern) for pattern in patterns for name in names)


def _is_ignored(drifted: Drifted, ignore: Sequence[str]) -> bool:
    names = (drifted.title.partition(" ")[2], *filter(None, (drifted.table,)))
    return _match(names, tuple(map(lowered, ignore)))


def _of_server(drifted: Drifted) -> CheckFinding:
    migration = drifted.migration
    details = () if drifted.wanted is None or drifted.found is None else _words(drifted.wanted, drifted.found)
    return CheckFinding(
        CHECK,
        drifted.rule,
        _message(drifted.rule, drifted.title, migration),
        path=migration.up.path if migration else None,
        version=migration.version if migration else None,
        details=tuple(details),
    )


def _finding(difference: Difference, made: Made) -> CheckFinding:
    definition = difference.definition
    title = definition.title
    origin = made.origins.get(definition.key) if difference.wanted else None
    if difference.wanted is None:
        rule = "unexpected-object"
    else:
        rule = "missing-object" if difference.found is None else "different-object"
    return CheckFinding(
        CHECK,
        rule,
        _message(rule, title, origin.migration if origin else None),
        path=origin.path if origin else None,
        line=origin.where.line if origin else None,
        column=origin.where.column if origin else None,
        version=origin.migration.version if origin else None,
        details=tuple(_word_difference(difference)),
        sql=difference.statements,
    )


def _message(rule: str, title: str, migration: Migration | None) -> str:
    if rule == "unexpected-object":
        return f"{title} is in the database, and no installed migration makes it"
    what = "is missing" if rule == "missing-object" else "is defined otherwise"
    return f"{title} {what}" + (f"; migration {migration.version} makes it" if migration else "")


def _word_difference(difference: Difference) -> Iterator[str]:
    if difference.wanted is not None and difference.found is not None:
        yield from _words(canonical(difference.wanted.sql.encode()), canonical(difference.found.sql.encode()))


def _words(wanted: Sequence[str], found: Sequence[str]) -> Iterator[str]:
    """Yield the words that differ, as `git diff --word-diff` writes them: `[-removed-]` and `{+added+}`.

    What the database has more is added, what it has less is removed.
    """
    for group in SequenceMatcher(None, wanted, found, autojunk=False).get_grouped_opcodes(_AROUND):
        words = []
        for tag, begin, end, found_begin, found_end in group:
            if tag == "equal":
                words.append(" ".join(wanted[begin:end]))
                continue
            if begin < end:
                words.append(f"[-{' '.join(wanted[begin:end])}-]")
            if found_begin < found_end:
                words.append(f"{{+{' '.join(found[found_begin:found_end])}+}}")
        before = "" if group[0][1] == 0 else "... "
        after = "" if group[-1][2] == len(wanted) else " ..."
        yield f"{before}{' '.join(words)}{after}"
