"""Find out whether the queries of an application work on the schema that a MariaDB or MySQL database has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torc_migrations.databases.mysql.connection import code_of, is_of_driver, message_of
from torc_migrations.databases.mysql.scripts.statements import statements
from torc_migrations.databases.results.queries import SavedQuery, inserts
from torc_migrations.databases.servers.queries import with_parameters

if TYPE_CHECKING:
    from torc_migrations.databases.mysql.transactions import MySqlConnection

# https://mariadb.com/kb/en/mariadb-error-code-reference/
_WRONG_ARGUMENTS, _NO_DEFAULT = 1210, 1364
_FIELD = re.compile(r"Field '(?P<column>.+)' doesn't have a default value")


class MySqlQueries:
    """Tries queries on one database: a `QueryTester`."""

    def __init__(self, database: MySqlConnection) -> None:
        self._database = database

    def cut(self, text: bytes) -> Iterator[SavedQuery]:
        """Yield the queries of a file."""
        for each in statements(text):
            yield SavedQuery(each.text, each.begin)

    def schema_version(self) -> None:
        """Return None: it is not known whether the schema has changed."""

    def why_not(self, sql: str) -> str | None:
        """Return why a query does not work, in the server's words, or None; an INSERT runs, and is rolled back."""
        session = self._database.session
        text = with_parameters(sql, lambda _, __: "?")
        if error := self._failure("PREPARE torc_query FROM :text", {"text": text}):
            return message_of(error).replace(f"{self._database.schema}.", "")
        try:
            found = self._missing(text.count("?")) if inserts(text) else None
        finally:
            session.run("DEALLOCATE PREPARE torc_query")
        return f"column {found} needs a value" if found else None

    def _missing(self, marks: int) -> str | None:
        """Return the column that an INSERT leaves out though it needs a value; a mark may stand in a text too."""
        session = self._database.session
        session.run("SET @torc_value = 1")
        for number in range(marks, -1, -1):
            using = f" USING {', '.join(['@torc_value'] * number)}" if number else ""
            session.run("START TRANSACTION")
            try:
                error = self._failure(f"EXECUTE torc_query{using}")
            finally:
                session.run("ROLLBACK")
            if error is None or code_of(error) != _WRONG_ARGUMENTS:
                break
        found = _FIELD.search(message_of(error)) if error is not None and code_of(error) == _NO_DEFAULT else None
        return found["column"] if found else None

    def _failure(self, sql: str, values: dict[str, object] | None = None) -> Exception | None:
        try:
            self._database.session.run(sql, values).fetchall()
        except Exception as error:
            if not is_of_driver(error):
                raise
            return error
        return None
