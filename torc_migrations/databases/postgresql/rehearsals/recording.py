"""Record what the statements of a script do: their time, the rows they change, their locks, the tables they rewrite."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from torc_migrations.databases.postgresql.catalog import read_catalog
from torc_migrations.databases.postgresql.rehearsals.named import names_in, server_wide
from torc_migrations.databases.results.statements import RowCounts, StatementTime, TableLock
from torc_migrations.databases.servers.recording import RecordedServerEffects, not_rehearsable, words_of
from torc_migrations.formatting import lowered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torc_migrations.databases.postgresql.catalog import Catalog, CatalogedConnection
    from torc_migrations.history.steps import Step
    from torc_migrations.sources.migration import Script

_OURS = "n.nspname NOT LIKE 'pg!_%' ESCAPE '!' AND n.nspname <> 'information_schema'"
# The counts of rows are those of the transaction, and outside of one those that the server has not yet added up:
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-FUNCTIONS
SELECT_STATE = f"""
    SELECT
        c.oid::bigint,
        n.nspname,
        c.relname,
        c.relkind::text,
        coalesce(pg_relation_filenode(c.oid), 0)::bigint,
        pg_stat_get_xact_tuples_inserted(c.oid),
        pg_stat_get_xact_tuples_updated(c.oid),
        pg_stat_get_xact_tuples_deleted(c.oid),
        coalesce(l.modes, '{{}}')
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN (
        SELECT l.relation, array_agg(DISTINCT l.mode) AS modes
        FROM pg_catalog.pg_locks l
        WHERE l.pid = pg_backend_pid()
        AND l.locktype = 'relation'
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
        AND l.granted
        GROUP BY l.relation
    ) l ON l.relation = c.oid
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f')
    AND {_OURS}
    ORDER BY n.nspname, c.relname
"""
SELECT_COUNTS = "SELECT current_setting('track_counts') = 'on'"
_MODES = (
    *("AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock"),
    *("ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"),
)
_WITH_ROWS, _FOREIGN = "rpmf", "f"
_WITH_OWNER = ("index", "constraint", "trigger")  # and they are named as `schema.py` names them
_NO_LOCKS = frozenset({"AccessShareLock"})  # what a SELECT takes, and nearly nothing waits for


def recorder_of(database: CatalogedConnection, step: Step, *, is_undone: bool, is_outside: bool) -> ScriptRecorder:
    """Return what records the script of a step; on a copy, where it is not undone, one of the server is refused.

    Raises:
        NotRehearsable: it would change more than its database, as CREATE ROLE does.
    """
    script = step.script
    assert script is not None
    if found := server_wide(script.sql, is_undone=is_undone):
        offset, words = found
        raise not_rehearsable(step, script, offset, f"{words} has an effect outside of the copy")
    catalog, database.catalog = database.catalog or read_catalog(database), None
    if not is_undone:
        foreign = {str(name) for _, name, kind, *_ in catalog.columns if kind == _FOREIGN}
        for name in sorted(foreign):
            if (at := script.sql.lower().find(name.lower().encode())) >= 0:
                raise not_rehearsable(step, script, at, f"the rows of the foreign table {name} are elsewhere")
    names = {each.rpartition(".")[2].strip('"').lower() for each in database.watched}
    return ScriptRecorder(database, script, catalog, frozenset(names | {"yoyo_lock"}), is_outside=is_outside)


class _Relation(NamedTuple):
    """A table or view at one moment; the counts are those of the current transaction."""

    name: str
    kind: str
    file: int
    inserted: int
    updated: int
    deleted: int
    modes: frozenset[str]


# All tables and views by their numbers.
_State: TypeAlias = dict[int, _Relation]


class ScriptRecorder:
    """Records one script: it is called after each statement, and `finish` returns a `RecordedEffects`.

    Args:
        catalog: what there is before the script.
        ignored: the ledgers' names, in lower case.
        is_outside: whether the script is not one transaction, so that its statements have transactions of their own.
    """

    def __init__(
        self,
        database: CatalogedConnection,
        script: Script,
        catalog: Catalog,
        ignored: frozenset[str],
        *,
        is_outside: bool,
    ) -> None:
        self._database = database
        self._script = script
        self._ignored = ignored
        self._is_outside = is_outside
        self._statements: list[StatementTime] = []
        self._written: set[str] = set()
        cursor = database.run(f"{SELECT_COUNTS}; {SELECT_STATE}")
        self._counts = bool(cursor.fetchall()[0][0])
        cursor.nextset()
        self._state = self._first = self._state_of(cursor.fetchall())
        self._names = {number: {each.name} for number, each in self._first.items()}
        self._columns = _columns_of(catalog)
        self._owned = {
            f"{kind} {self._named(schema, name)}": int(table)
            for kind, schema, name, _, _, table in catalog.objects
            if kind in _WITH_OWNER
        }
        self._line = (0, 1)

    def begin(self) -> None:
        """Read what there is before a statement, in its transaction; in one transaction that is known already."""
        if self._is_outside:
            self._state = self._read()

    def __call__(self, script: Script, begin: int, end: int, elapsed_ns: int) -> None:
        """Record a statement that was run."""
        before, now = self._state, self._read()
        self._state = now
        for number, each in now.items():
            self._names.setdefault(number, set()).add(each.name)
        rows = tuple(self._row_counts(before, now))
        rewritten = tuple(self._rewritten(before, now))
        self._written |= {each.table for each in rows} | set(rewritten)
        truncates = script.sql[begin:end].lstrip().upper().startswith(b"TRUNCATE")
        self._statements.append(
            StatementTime(
                script.path,
                self._line_of(begin),
                words_of(script, begin, end),
                elapsed_ns,
                rows,
                tuple(self._locks(before, now)),
                () if truncates else rewritten,
            )
        )

    def annotate(self, begin: int, end: int, note: str) -> None:
        """Say something about the statement that was recorded last, or record one that was not run."""
        line, words = self._line_of(begin), words_of(self._script, begin, end)
        if self._statements and (self._statements[-1].line, self._statements[-1].words) == (line, words):
            self._statements[-1] = replace(self._statements[-1], note=note)
        else:
            self._statements.append(StatementTime(self._script.path, line, words, 0, note=note))

    def finish(self, *, read_again: bool) -> RecordedServerEffects:
        """Return what the script did; one outside a transaction may have written to any table.

        With `read_again` something has run after the last statement, such as triggers at the end of the transaction.
        """
        first, now = self._first, self._read() if read_again else self._state
        self._database.catalog = catalog = read_catalog(self._database)
        columns = _columns_of(catalog)
        gone = {each.name for number, each in first.items() if number not in now}
        new = {each.name for number, each in now.items() if number not in first}
        moved = {each.name: now[n].name for n, each in first.items() if n in now and now[n].name != each.name}
        changed = {each.name for n, each in now.items() if columns.get(n) != self._columns.get(n)}
        written = self._written | gone | new | changed | set(moved) | set(moved.values())
        if self._is_outside or not self._counts:
            written |= {each.name for relations in (first, now) for each in relations.values()}
        deletes, drops = names_in(self._script.sql, self._database.schema)
        deletes, drops = self._as_at_first(deletes), self._as_at_first(drops)
        text = self._script.sql.lower()
        ledgers = frozenset(name for name in self._ignored if name.encode() in text)
        return RecordedServerEffects(
            tables=frozenset(map(lowered, written)) | ledgers,
            all_tables=b"drop" in text,
            created=frozenset(map(lowered, new)),
            deleted_from=frozenset(deletes | drops),
            statements=self._statements,
            written=written,
            deletes=deletes,
            dropped_objects={title for title, number in self._owned.items() if number in now},
            renamed_tables=moved,
            renamed_columns={
                each.name: {
                    lowered(old): lowered(columns[n][number][0])
                    for number, (old, _) in self._columns.get(n, {}).items()
                    if number in columns[n]
                }
                for n, each in first.items()
                if n in columns
            },
        )

    def _as_at_first(self, named: set[str]) -> set[str]:
        """Return names, and with those that tables had later in the script the ones that they had at first."""
        first = {each.name for n, each in self._first.items() if self._names[n] & named}
        in_schemas = {each.name for each in self._first.values() if each.name.partition(".")[0] + ".*" in named}
        return named | first | in_schemas

    def _read(self) -> _State:
        return self._state_of(self._database.run(SELECT_STATE).fetchall())

    def _state_of(self, rows: list[tuple[Any, ...]]) -> _State:
        return {
            int(number): _Relation(
                self._named(schema, name), kind, int(file), int(inserted), int(updated), int(deleted), frozenset(modes)
            )
            for number, schema, name, kind, file, inserted, updated, deleted, modes in rows
            if lowered(name) not in self._ignored
        }

    def _named(self, schema: object, name: object) -> str:
        return str(name) if schema in ("", self._database.schema) else f"{schema}.{name}"

    def _row_counts(self, before: _State, now: _State) -> Iterator[RowCounts]:
        if not self._database.in_transaction:
            return  # the counts are those of the statement's transaction, which has ended
        for number, each in now.items():
            old = before.get(number)
            counts = (each.inserted, each.updated, each.deleted)
            if old is not None:
                counts = (each.inserted - old.inserted, each.updated - old.updated, each.deleted - old.deleted)
            if any(count > 0 for count in counts):
                yield RowCounts(each.name, *(max(0, count) for count in counts))

    def _rewritten(self, before: _State, now: _State) -> Iterator[str]:
        for number, each in now.items():
            old = before.get(number)
            if old is not None and each.kind in _WITH_ROWS and old.file != each.file:
                yield each.name

    def _locks(self, before: _State, now: _State) -> Iterator[TableLock]:
        """Yield the strongest new lock on each table that others can see."""
        for number, each in now.items():
            if number not in self._first:
                continue
            held = before[number].modes if number in before else frozenset()
            if new := each.modes - held - _NO_LOCKS:
                yield TableLock(each.name, max(new, key=_MODES.index))

    def _line_of(self, begin: int) -> int:
        offset, line = self._line
        line += self._script.sql.count(b"\n", offset, begin)
        self._line = (begin, line)
        return line


def _columns_of(catalog: Catalog) -> dict[int, dict[int, tuple[str, str]]]:
    """Return the names and types of the columns, by the numbers of their tables and their own."""
    found: dict[int, dict[int, tuple[str, str]]] = {}
    for _, _, kind, name, _, table, number, type_name in catalog.columns:
        if kind in _WITH_ROWS and number is not None:
            found.setdefault(int(table), {})[int(number)] = (str(name), str(type_name))
    return found
