"""Databases that are created for a while: empty ones, and copies of a schema without its rows."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from torc_migrations.databases.mysql.connection import ACCESS, code_of, is_of_driver, quote_identifier, run, translate
from torc_migrations.databases.mysql.schema import SELECT_TABLES
from torc_migrations.databases.servers.recording import RecordedServerEffects, not_rehearsable
from torc_migrations.errors import CannotOpen, NotSupported
from torc_migrations.log import log

if TYPE_CHECKING:
    from torc_migrations.databases.mysql.connection import MySqlSession
    from torc_migrations.history.steps import Step

_PREFIX = "torc_scratch_"
_HINT = r"grant it: GRANT ALL ON `torc\_scratch\_%`.* TO ..."
# The node of a cluster is named too, because `GET_LOCK` is known on one node only.
SELECT_SERVER = "SELECT CONCAT_WS(' ', @@hostname, @@port, @@datadir)"
SELECT_NODE = "SHOW VARIABLES LIKE 'wsrep_node_name'"
SELECT_DATABASES = "SELECT schema_name FROM information_schema.schemata"
SELECT_CHARSET = """
    SELECT default_character_set_name, default_collation_name
    FROM information_schema.schemata
    WHERE schema_name = :schema
"""
SELECT_ROUTINES = """
    SELECT routine_type, routine_name
    FROM information_schema.routines
    WHERE routine_schema = :schema
    AND routine_type IN ('FUNCTION', 'PROCEDURE')
"""
SELECT_TRIGGERS = """
    SELECT trigger_name
    FROM information_schema.triggers
    WHERE trigger_schema = :schema
    ORDER BY event_object_table, action_order
"""
SELECT_OWNED = """
    SELECT DISTINCT CONCAT('index ', index_name), table_name
    FROM information_schema.statistics
    WHERE table_schema = :schema
    UNION
    SELECT CONCAT('trigger ', trigger_name), event_object_table
    FROM information_schema.triggers
    WHERE trigger_schema = :schema
"""
_OURS = (
    "SET SESSION foreign_key_checks = 0, SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', SESSION sql_quote_show_create = 1"
)
_DEFINER = re.compile(r"\bDEFINER=(?:`[^`]*`|\S+?)@(?:`[^`]*`|\S+)\s*")
_DROPS = re.compile(r"\bdrop\s+table\b([^;]*)", re.IGNORECASE)
_COMMENTS = re.compile(r"(?:--[ \t]|#)[^\n]*|/\*(?!M?!).*?\*/", re.DOTALL)
# What has an effect on the server and not on the copy alone, also in a text that is prepared. What can also be a name
# is looked for where a statement or a text begins; reserved words are names in backquotes only.
_SERVER_WIDE = re.compile(
    r"(?<![\w$`.@])(?P<words>(?:create|alter|drop|rename)\s+(?:or\s+replace\s+)?"
    r"(?:user|role|database|schema|server|tablespace)\b|(?:grant|revoke|kill|purge)\s+[\w`'\"]"
    r"|set\s+(?:global|password|default\s+role)\b|(?:un)?install\s+(?:plugin|soname|component)\b"
    r"|into\s+(?:outfile|dumpfile)\b|change\s+master\b|reset\s+(?:master|slave|replica)\b)"
    r"|(?:\A|[;'\"]|\b(?:begin|do|else|then)\b)\s*(?P<begins>(?:flush|shutdown)\b|use\s+(?:`[^`]+`|\w+)\s*(?:[;'\"]|\Z))"
    r"|(?P<variable>@@global\.)",
    re.IGNORECASE,
)


class Copied(Protocol):
    """What is used here of a `MySqlConnection`."""

    name: str
    session: MySqlSession
    schema: str


@contextmanager
def created(database: Copied, connect: Callable[[], Any]) -> Iterator[str]:
    """Create an empty database, and yield its name; drop it at the end.

    A lock of the session of `database` says that it is in use; those that killed processes have left are dropped first.

    Raises:
        NotSupported: this user may not create it.
    """
    session = database.session
    prefix = _PREFIX + _server(session)
    _drop_leftovers(session, prefix)
    name = f"{prefix}_{secrets.token_hex(6)}"
    session.run("SELECT GET_LOCK(:name, 0)", {"name": name})
    is_refused = False
    try:
        charset, collation = session.run(SELECT_CHARSET, {"schema": database.schema}).fetchone()
        try:
            _create(database, f"CREATE DATABASE {name} CHARACTER SET {charset} COLLATE {collation}")
        except (CannotOpen, NotSupported):
            is_refused = True
            raise
        yield name
    finally:
        if not is_refused:
            _drop(session, name, connect)


def _server(session: MySqlSession) -> str:
    node = session.run(SELECT_NODE).fetchone()
    text = f"{session.run(SELECT_SERVER).fetchone()[0]} {node[1] if node else ''}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _create(database: Copied, statement: str) -> None:
    try:
        database.session.run(statement)
    except Exception as error:
        if not is_of_driver(error):
            raise
        if code_of(error) in ACCESS:
            reason = "this user may not create a scratch database"
            raise NotSupported(database.name, reason, hint=_HINT) from error
        raise translate(error, database.name) from error


def _drop(session: MySqlSession, name: str, connect: Callable[[], Any]) -> None:
    """Drop a database, also where the session of the caller is lost."""
    statement = f"DROP DATABASE IF EXISTS {name}"
    try:
        if session.connection.open:
            session.run(statement)
            session.run("SELECT RELEASE_LOCK(:name)", {"name": name})
            return
        other = connect()
        try:
            run(other, statement)
        finally:
            other.close()
    except Exception as error:
        log().warning("%s failed, and the next rehearsal tries it again: %s", statement, error)


def _drop_leftovers(session: MySqlSession, prefix: str) -> None:
    """Drop the databases whose lock nobody holds."""
    for (name,) in session.run(SELECT_DATABASES).fetchall():
        if (
            str(name).startswith(f"{prefix}_")
            and session.run("SELECT IS_FREE_LOCK(:name)", {"name": name}).fetchone()[0]
        ):
            session.run(f"DROP DATABASE IF EXISTS {quote_identifier(str(name))}")


def copy_schema(schema: str, source: Any, connection: Any, with_rows: Collection[str]) -> tuple[str, ...]:
    """Make the tables, views, functions, procedures and triggers of a database again, read on the connection `source`.

    Only the rows of the ledgers, the tables `with_rows`, are copied. Events are left out, because they would run.

    Returns:
        What was left out, in sentences.
    """
    for each in (source, connection):
        run(each, _OURS)
    copier = _Copier(schema, source, connection)
    copier.copy_tables(with_rows)
    copier.copy_routines()
    copier.copy_views()
    copier.copy_triggers()
    return tuple(copier.left_out)


class _Copier:
    """Makes the objects of a database again, where the connection is; `left_out` says what could not be made."""

    def __init__(self, schema: str, source: Any, connection: Any) -> None:
        self._source = source
        self._schema = schema
        self._connection = connection
        self._names = tuple(self._rows(SELECT_TABLES))
        self.left_out: list[str] = []

    def copy_tables(self, with_rows: Collection[str]) -> None:
        for name, kind in self._names:
            if kind == "VIEW":
                continue
            word = "SEQUENCE" if kind == "SEQUENCE" else "TABLE"
            self._run(self._definition(word, name))
            if name in with_rows:
                place = f"{quote_identifier(self._schema)}.{quote_identifier(name)}"
                self._run(f"INSERT INTO {quote_identifier(name)} SELECT * FROM {place}")

    def copy_routines(self) -> None:
        for kind, name in self._rows(SELECT_ROUTINES):
            self._make(f"{kind.lower()} {name}", self._definition(kind, name, place=2))

    def copy_triggers(self) -> None:
        for (name,) in self._rows(SELECT_TRIGGERS):
            self._make(f"trigger {name}", self._definition("TRIGGER", name, place=2))

    def copy_views(self) -> None:
        """Make the views, one that needs another after it; what is still missing then does not work in the original."""
        waiting = {name: self._definition("VIEW", name) for name, kind in self._names if kind == "VIEW"}
        while waiting:
            made = [name for name, definition in waiting.items() if self._try(definition)]
            if not made:
                self.left_out += [f"view {name} is not on the copy: it cannot be made there" for name in waiting]
                return
            for name in made:
                del waiting[name]

    def _make(self, title: str, definition: str) -> None:
        """Make a program, unless it names the database that is copied, which it would then change."""
        if names_database(definition, (self._schema,)) is not None:
            self.left_out.append(f"{title} is not on the copy: it names the database {self._schema}")
        elif not self._try(definition):
            self.left_out.append(f"{title} is not on the copy: it cannot be made there")

    def _try(self, definition: str) -> bool:
        try:
            self._run(definition)
        except Exception as error:
            if not is_of_driver(error):
                raise
            return False
        return True

    def _run(self, statement: str) -> None:
        run(self._connection, statement)

    def _rows(self, sql: str) -> list[tuple[str, ...]]:
        rows = run(self._source, sql, {"schema": self._schema}).fetchall()
        return [tuple(str(value) for value in row) for row in rows]

    def _definition(self, kind: str, name: str, *, place: int = 1) -> str:
        row = run(self._source, f"SHOW CREATE {kind} {quote_identifier(name)}").fetchone()
        return _DEFINER.sub("", str(row[place]))


def names_database(text: str, databases: Collection[str]) -> int | None:
    """Return where a text names one of these databases in front of a dot, or None."""
    for database in databases:
        name = re.escape(database)
        if found := re.search(rf"(?:(?<![\w$`.@]){name}|`{name}`)\s*\.", text, re.IGNORECASE):
            return found.start()
    return None


def refuse_server_wide(database: Copied, step: Step) -> None:
    """Refuse a script that would change more than the copy.

    Raises:
        NotRehearsable: it names another database, or changes users, rights or the server.
    """
    script = step.script
    assert script is not None
    text = script.sql.decode()
    plain = _COMMENTS.sub(lambda found: " " * len(found[0]), text)
    others = [str(name) for (name,) in database.session.run(SELECT_DATABASES).fetchall() if name != database.schema]
    if (at := names_database(plain, others)) is not None:
        reason = "it names another database, which is not copied"
    elif found := _SERVER_WIDE.search(plain):
        named = str(found.lastgroup)
        words = " ".join(re.findall(r"[\w@.]+", found[named])[:2])
        at, reason = found.start(named), f"{words.upper()} has an effect outside of the copy"
    else:
        return
    raise not_rehearsable(step, script, len(text[:at].encode()), reason)


def dropped_by(database: Copied, step: Step) -> set[str]:
    """Return the indexes and triggers that do not go with a table which a script drops."""
    assert step.script is not None
    text = " ".join(_DROPS.findall(step.script.sql.decode())).lower()
    rows = database.session.run(SELECT_OWNED, {"schema": database.schema}).fetchall()
    return {str(title) for title, table in rows if str(table).lower() not in text}


def recorded(words: frozenset[str], database: Copied, step: Step) -> RecordedServerEffects:
    """Return what a script may have done on a copy; all tables are read again after it."""
    return RecordedServerEffects(words, all_tables=True, dropped_objects=dropped_by(database, step))
