"""`check drift`: the schema of a database, beside the one that its installed migrations make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from fnmatch import fnmatchcase

from torc_migrations.checks.findings import CheckFinding, CheckResult
from torc_migrations.checks.schemas import Made, Origin, made_by, read_schema
from torc_migrations.configured import open_session
from torc_migrations.databases.sqlite.schemas.settling import Difference, Schema, schema_differences
from torc_migrations.databases.sqlite.scripts.statements import canonical
from torc_migrations.errors import VersionMissing
from torc_migrations.formatting import lowered
from torc_migrations.migrator import Migrator

CHECK = "drift"
_AROUND = 4  # words that are shown before and after a difference


def check_drift(migrator: Migrator, ignore: Sequence[str] = ()) -> CheckResult:
    """Compare the schema of a database with that which its installed migrations make on a scratch database.

    What is pending is no difference. Spaces, comments and quotes in definitions do not matter. Writes nothing.

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
            return CheckResult(CHECK, skipped="nothing is installed")
        with session.database.reading():
            found = read_schema(session.database, session.ledgers.tables)
        with made_by(session, status.installed) as made:
            wanted = made.schema
            differences = schema_differences(_without(wanted, ignore), _without(found, ignore))
            return CheckResult(CHECK, tuple(_finding(each, made) for each in differences))


def _without(schema: Schema, ignore: Sequence[str]) -> Schema:
    patterns = tuple(map(lowered, ignore))
    kept = (
        each
        for each in schema.definitions
        if not any(fnmatchcase(lowered(name), pattern) for pattern in patterns for name in (each.name, each.table))
    )
    return Schema(tuple(kept), schema.columns)


def _finding(difference: Difference, made: Made) -> CheckFinding:
    definition = difference.definition
    title = definition.title
    origin = made.origins.get(definition.key) if difference.wanted else None
    if difference.wanted is None:
        rule, message = "unexpected-object", f"{title} is in the database, and no installed migration makes it"
    elif difference.found is None:
        rule, message = "missing-object", f"{title} is missing{_made_by(origin)}"
    else:
        rule, message = "different-object", f"{title} is defined otherwise{_made_by(origin)}"
    return CheckFinding(
        CHECK,
        rule,
        message,
        path=origin.path if origin else None,
        line=origin.where.line if origin else None,
        column=origin.where.column if origin else None,
        version=origin.migration.version if origin else None,
        details=tuple(_word_difference(difference)),
        sql=difference.statements,
    )


def _made_by(origin: Origin | None) -> str:
    return f"; migration {origin.migration.version} makes it" if origin else ""


def _word_difference(difference: Difference) -> Iterator[str]:
    """Yield the words that differ, as `git diff --word-diff` writes them: `[-removed-]` and `{+added+}`.

    What the database has more is added, what it has less is removed.
    """
    if difference.wanted is None or difference.found is None:
        return
    wanted, found = (canonical(each.sql.encode()) for each in (difference.wanted, difference.found))
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
