"""The rules: each takes what a migration has done, and yields findings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from torc_migrations.checks.findings import CheckFinding, Level
from torc_migrations.checks.linting.facts import Fact, words
from torc_migrations.checks.linting.states import State
from torc_migrations.databases.results.statements import StatementTime
from torc_migrations.databases.results.tables import Column, Index, TableState
from torc_migrations.databases.results.violations import BrokenObject
from torc_migrations.databases.sqlite.catalog.definitions import Definition
from torc_migrations.databases.sqlite.scripts.statements import names_in
from torc_migrations.formatting import counted, duration_text, lowered

CHECK = "lint"
_MANY_ROWS = 10_000
_DELETES = ("delete", "truncate", "drop")
_LONG_NS = 1_000_000_000
# Who waits for a lock: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
_KEEP_WAITING = {
    **dict.fromkeys(("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock"), "writers"),
    "AccessExclusiveLock": "readers and writers",
}
_SPLIT = "the lock is held until the transaction ends; put what takes long into a migration of its own"


class Scene(NamedTuple):
    """What a migration ran on.

    Attributes:
        has_rows: whether it has rows of the user's. last: the database after all migrations.
        locks_tables: whether a script locks the tables that it changes, and not the whole database.
    """

    has_rows: bool
    last: State
    locks_tables: bool = False


Rule: TypeAlias = Callable[[Fact, Scene], Iterator[CheckFinding]]


def finding(
    rule: str,
    fact: Fact,
    message: str,
    *names: str,
    verbs: Collection[str] = (),
    level: Level = "error",
    hint: str | None = None,
) -> CheckFinding:
    """Return a finding about a migration, at the statement that has one of the names, best with one of the verbs."""
    migration = fact.migration
    line = fact.line(*names, verbs=verbs)
    return CheckFinding(
        CHECK, rule, message, migration.up.path, line, version=migration.version, level=level, hint=hint
    )


def loses_data(fact: Fact, scene: Scene) -> Iterator[CheckFinding]:
    """Find rows, columns, indexes, triggers and marks that go; what the script itself deletes or drops is a warning."""
    for key, table in fact.before.tables.items():
        now = fact.after.tables.get(fact.name_after(key))
        if now is table:
            continue
        yield from _lost_rows(fact, key, table, now, scene.has_rows)
        if now is not None and (table.rows or not scene.has_rows):
            yield from _lost_columns(fact, key, table, now)
            yield from _left_out(fact, key, table, now, has_rows=scene.has_rows)
    yield from _lost_objects(fact)


def _lost_rows(
    fact: Fact, key: str, table: TableState, now: TableState | None, has_rows: bool
) -> Iterator[CheckFinding]:
    effects = fact.effects
    if now is None and not has_rows:
        message = f"table {table.name} is dropped with its rows"
        yield finding("loses-data", fact, message, key, verbs=_DELETES, level="warning")
        return
    left = now.rows if now is not None else 0
    if table.rows is None or left is None or left >= table.rows:
        return
    names = {key, effects.renamed_tables.get(key, key)}
    named = bool(names & (effects.deletes if _is_made_again(fact, key) else effects.deleted_from))
    how = "which the script deletes" if named else "which the script does not delete itself"
    message = f"table {table.name} loses {table.rows - left} of {table.rows} rows, {how}"
    yield finding("loses-data", fact, message, key, verbs=_DELETES, level="warning" if named else "error")


def _lost_columns(fact: Fact, key: str, table: TableState, now: TableState) -> Iterator[CheckFinding]:
    lost = [
        column.name
        for column in _gone(fact, key, table, now)
        if column.is_written and not _is_moved(fact, key, column, table, now)
    ]
    if lost:
        names = ", ".join(f"{table.name}.{name}" for name in lost)
        message = f"column {names} goes with its values" if len(lost) == 1 else f"columns {names} go with their values"
        yield finding("loses-data", fact, message, lost[0], key, verbs=("drop",), level="warning")


def _left_out(fact: Fact, key: str, table: TableState, now: TableState, *, has_rows: bool) -> Iterator[CheckFinding]:
    """Find columns that a table still has after it was made again, and whose values the script has not copied."""
    kept = [column.name for column in table.columns if column.is_written and column not in _gone(fact, key, table, now)]
    lost = [name for name in kept if lowered(name) in fact.effects.left_out.get(key, ())]
    if lost and lost == kept and not (has_rows or table.rows):
        message = f"table {table.name} is dropped with its rows, and made again"
        yield finding("loses-data", fact, message, key, verbs=("drop",), level="warning")
    elif lost and lost != kept:
        names = ", ".join(f"{table.name}.{name}" for name in lost)
        message = f"the values of {names} go, because the script makes the table again and does not copy them"
        yield finding("loses-data", fact, message, key, verbs=("drop",))


def _is_moved(fact: Fact, key: str, column: Column, table: TableState, now: TableState) -> bool:
    """Return whether a rebuild has copied a column, and the table has one that it did not have."""
    old = {fact.column_after(key, each.name) for each in table.columns}
    left_out = fact.effects.left_out.get(key)
    name = lowered(column.name)
    is_copied = left_out is not None and name not in left_out and fact.column_after(key, name) == name
    return is_copied and any(lowered(each.name) not in old for each in now.columns)


def _gone(fact: Fact, key: str, table: TableState, now: TableState) -> list[Column]:
    return [column for column in table.columns if not now.has(fact.column_after(key, column.name))]


def _lost_objects(fact: Fact) -> Iterator[CheckFinding]:
    """Find the indexes and triggers that went with a table that was made again, though it has their columns."""
    for key, definition in fact.before.objects.items():
        if key in fact.after.objects:
            continue
        table = fact.before.key_of(definition.table)
        old, now = fact.before.tables.get(table), fact.after.tables.get(fact.name_after(table))
        if now is not None and _is_there_by_another_name(fact.after, now, definition):
            continue
        is_dropped = f"{definition.kind} {definition.name}" in fact.effects.dropped_objects
        if is_dropped or old is None or now is None or definition.kind == "view":
            continue
        if definition.kind == "index" and _is_covered(fact, table, definition.name):
            continue
        gone = {lowered(column.name) for column in _gone(fact, table, old, now)}
        if definition.kind == "trigger" or not gone.intersection(names_in(definition.sql)):
            message = f"{definition.title} goes with table {definition.table}, which is made again without it"
            yield finding("loses-data", fact, message, definition.table)


def _is_covered(fact: Fact, table: str, name: str) -> bool:
    """Return whether the columns of an index that went begin another one now, which is unique if it was."""
    old, now = fact.before.tables[table], fact.after.tables[fact.name_after(table)]
    index = next((each for each in old.indexes if each.name == name), None)
    if index is None or None in index.columns:
        return False
    columns = [fact.column_after(table, each) for each in index.columns if each is not None]
    others = (each for each in now.indexes if not each.is_partial and _begins(each, columns))
    if any(not index.is_unique or (each.is_unique and len(each.columns) == len(columns)) for each in others):
        return True
    return columns == [lowered(each.name) for each in now.columns if each.is_key]


def _begins(index: Index, columns: list[str]) -> bool:
    return [lowered(each or "") for each in index.columns[: len(columns)]] == columns


def _is_there_by_another_name(state: State, table: TableState, definition: Definition) -> bool:
    """Return whether a table has an object with the same definition, which on a server does not name it."""
    same = (definition.kind, table.name, definition.sql)
    return any((each.kind, each.table, each.sql) == same for each in state.objects.values())


def _is_made_again(fact: Fact, table: str) -> bool:
    """Return whether a script drops a table and makes it again, by the lower name that it had before."""
    effects = fact.effects
    names = {table, effects.renamed_tables.get(table, table)}
    return fact.name_after(table) in fact.after.tables and bool(names & (effects.deleted_from - effects.deletes))


def breaks_schema(fact: Fact, _: Scene) -> Iterator[CheckFinding]:
    """Find views, triggers and keys that worked before, and do not work after it."""
    for each in fact.broken:
        was_there = lowered(each.name) in fact.before.tables or (each.kind, each.name) in fact.before.objects
        message = f"{each.what_is_wrong(is_new=not was_there)}: {each.reason}"
        found = finding("breaks-schema", fact, message, each.target or each.table, each.name)
        yield replace(found, line=_line_of_drop(fact, each) or found.line)


def _line_of_drop(fact: Fact, broken: BrokenObject) -> int | None:
    """Return the line of the last DROP of what a view or a key needs that went by its CASCADE; None if it is there."""
    key = (broken.kind, broken.name)
    definition = fact.before.objects.get(key)
    if definition is None or key in fact.after.objects:
        return None
    names = {lowered(name).rpartition(".")[2] for name in (*fact.before.tables, *(n for _, n in fact.before.objects))}
    needed = names.intersection(words(definition.sql))
    drops = [each for each in fact.effects.statements if "drop" in words(each.words)]
    naming = [each for each in drops if needed.intersection(words(each.words))]
    return next((each.line for each in reversed(naming or drops)), None)


def rewrites_table(fact: Fact, scene: Scene) -> Iterator[CheckFinding]:
    """Find large tables that are copied whole."""
    for key, table in fact.before.tables.items():
        if scene.has_rows and (table.rows or 0) >= _MANY_ROWS and _is_made_again(fact, key):
            message = f"table {table.name} is made again, with {table.rows} rows"
            yield finding("rewrites-table", fact, message, key, level="warning")
    for statement in fact.effects.statements:
        for name in statement.rewritten:
            old = _table_before(fact, name)
            if old is not None and (not scene.has_rows or (old.rows or 0) >= _MANY_ROWS):
                rows = f"{old.rows} rows" if scene.has_rows else "with all of its rows"
                message = f"the statement writes table {name} anew, {rows}"
                yield _at(statement, "rewrites-table", fact, message, "nobody can read or write the table meanwhile")


def _table_before(fact: Fact, name: str) -> TableState | None:
    """Return what a table was before a migration, from the name that it had in it or has after it."""
    names = {fact.name_after(key): key for key in fact.before.tables}
    return fact.before.tables.get(name) or fact.before.tables.get(names.get(name, name))


def _at(statement: StatementTime, rule: str, fact: Fact, message: str, hint: str) -> CheckFinding:
    """Return a warning about one statement of a migration."""
    version = fact.migration.version
    return CheckFinding(
        CHECK, rule, message, statement.path, statement.line, version=version, level="warning", hint=hint
    )


def holds_writers_long(fact: Fact, scene: Scene) -> Iterator[CheckFinding]:
    """Find scripts that took more than a second, in which no other process can write."""
    if not scene.has_rows or fact.elapsed_ns <= _LONG_NS:
        return
    if scene.locks_tables:
        yield from _long_locks(fact)
        return
    slowest = max(fact.effects.statements, key=lambda each: each.elapsed_ns)
    message = f"no other process can write for {_rounded(fact.elapsed_ns)}; most of it is line {slowest.line}"
    yield finding("holds-writers-long", fact, message, level="warning")


def _rounded(nanoseconds: int) -> str:
    return duration_text(nanoseconds - nanoseconds % 1_000_000)


def _long_locks(fact: Fact) -> Iterator[CheckFinding]:
    """Find the first lock on each table with rows that others wait for, from its statement to the end of the script."""
    statements = fact.effects.statements
    known = set()
    for place, statement in enumerate(statements):
        rest = statements[place:]
        held = sum(each.elapsed_ns for each in rest)
        for lock in statement.locks:
            table = _table_before(fact, lock.table)
            if lock.mode not in _KEEP_WAITING or table is None or not table.rows or lock.table in known:
                continue
            known.add(lock.table)
            if held > _LONG_NS:
                slowest = max(rest, key=lambda each: each.elapsed_ns)
                message = (
                    f"{lock.mode} on table {lock.table}, with {counted(table.rows, 'row')}, keeps "
                    f"{_KEEP_WAITING[lock.mode]} waiting for {_rounded(held)}; most of it is line {slowest.line}"
                )
                yield _at(statement, "holds-writers-long", fact, message, _SPLIT)


def not_null_without_default(fact: Fact, _: Scene) -> Iterator[CheckFinding]:
    """Find columns of older tables that need a value from now on, and have no default."""
    for key, table in fact.before.tables.items():
        now = fact.after.tables.get(fact.name_after(key))
        if now is None or now is table:
            continue
        old = {fact.column_after(key, column.name): column for column in table.columns}
        for column in now.columns:
            known = old.get(lowered(column.name))
            needs = column.not_null and not (column.has_default or column.is_key)
            if needs and (known is None or not known.not_null):
                what = "is new" if known is None else "is NOT NULL now"
                message = f"column {now.name}.{column.name} {what} and has no default"
                hint = "an INSERT of the previous release fails without it; give it a default"
                is_again = key in fact.effects.left_out or _is_made_again(fact, key)
                is_filled = known is not None or bool(table.rows and now.rows) or is_again
                level: Level = "warning" if is_filled else "error"
                yield finding("not-null-without-default", fact, message, column.name, key, level=level, hint=hint)


def foreign_key_without_index(fact: Fact, scene: Scene) -> Iterator[CheckFinding]:
    """Find new foreign keys that stay, and whose columns begin no index, also not one of a later migration."""
    olds = {fact.name_after(key): table for key, table in fact.before.tables.items()}
    for key, table in fact.after.tables.items():
        old = olds.get(key)
        last = scene.last.tables.get(key)
        if last is None:
            continue
        new = _keys_of(last) - _keys_of(old)
        for each in table.keys:
            columns = tuple(map(lowered, each.columns))
            if columns in new and not _is_indexed(last, set(columns)):
                message = f"the foreign key {table.name} ({', '.join(each.columns)}) has no index"
                hint = f"a DELETE in {each.parent} reads the whole table; create an index on its columns"
                yield finding("foreign-key-without-index", fact, message, key, level="warning", hint=hint)


def _keys_of(table: TableState | None) -> set[tuple[str, ...]]:
    return {tuple(map(lowered, each.columns)) for each in table.keys} if table is not None else set()


def _is_indexed(table: TableState, columns: set[str]) -> bool:
    keys = tuple(column.name for column in table.columns if column.is_key)
    beginnings = (index[: len(columns)] for index in (*table.indexed, keys))
    return any({lowered(each) for each in begin if each is not None} == columns for begin in beginnings)


def mixed_schema_and_data(fact: Fact, scene: Scene) -> Iterator[CheckFinding]:
    """Find scripts that change the definition of a table and the rows of a table that was there before."""
    before, after, effects = fact.before, fact.after, fact.effects
    kept = {key for key in before.tables if key in after.tables and key not in effects.created}
    changes = before.objects.keys() != after.objects.keys() or any(
        before.tables.get(key) is not table and _shape(before.tables.get(key)) != _shape(table)
        for key, table in after.tables.items()
    )
    verbs = ("insert", "update", "delete", "replace", "with")
    writes = [each for each in effects.statements if lowered(each.words.partition(" ")[0]) in verbs]
    written = {rows.table for each in writes for rows in each.rows} if scene.locks_tables else effects.written
    if changes and writes and kept & written:
        yield finding("mixed-schema-and-data", fact, "the script changes the schema and rows", level="warning")


def _shape(table: TableState | None) -> object:
    return None if table is None else (table.columns, table.keys, table.indexed)


# By name, in the order of the reference. What is wrong too often on real directories runs only on request.
RULES: dict[str, Rule] = {
    "loses-data": loses_data,
    "breaks-schema": breaks_schema,
    "rewrites-table": rewrites_table,
    "holds-writers-long": holds_writers_long,
    "not-null-without-default": not_null_without_default,
    "foreign-key-without-index": foreign_key_without_index,
    "mixed-schema-and-data": mixed_schema_and_data,
}
OTHER_RULES = ("no-down", "down-does-not-undo", "edited-after-merge", "fails", "not-run", "bad-allowance")
ON_REQUEST = frozenset({"mixed-schema-and-data"})
