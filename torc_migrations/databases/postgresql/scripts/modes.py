"""How a script relates to a transaction, and what in it is refused for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.databases.postgresql.scripts import statements as cut
from torc_migrations.databases.postgresql.scripts.statements import Statement
from torc_migrations.databases.values import ScriptMode
from torc_migrations.errors import BadScript
from torc_migrations.sources.text import bad_script

if TYPE_CHECKING:
    from torc_migrations.sources.migration import Script

ENDS_OURS = "in a script would end the transaction that makes it all or nothing"
REMOVE_IT = "remove it: every script runs in a transaction already"


def script_mode(script: Script) -> ScriptMode:
    """Return how a script relates to a transaction; one that is wrapped in BEGIN and COMMIT is one in ours."""
    if not script.directives.transactional:
        return ScriptMode.OUTSIDE
    if not cut.needs_a_look(script.sql):
        return ScriptMode.WHOLE
    found = [each.control for each in cut.statements(script.sql) if each.control in ("COMMIT", "ROLLBACK", "PREPARE")]
    if not found or wrapping(script.sql):
        return ScriptMode.WHOLE
    return ScriptMode.OWN_COMMITS if found[0] == "COMMIT" else ScriptMode.WHOLE


def wrapping(sql: bytes) -> tuple[Statement, Statement] | None:
    """Return the BEGIN and the COMMIT between which a whole script stands, if they say nothing else, or None."""
    found = list(cut.statements(sql))
    if len(found) < 2 or found[0].control != "BEGIN" or found[-1].control != "COMMIT":
        return None
    if not (found[0].is_plain and found[-1].is_plain) or any(each.control for each in found[1:-1]):
        return None
    return found[0], found[-1]


def commit_in(script: Script) -> BadScript:
    """Return the error for a script that ends the transaction that would make it all or nothing."""
    found = next(each for each in cut.statements(script.sql) if each.control == "COMMIT")
    return refused(script, found, f"COMMIT {ENDS_OURS}", REMOVE_IT)


def refused(script: Script, statement: Statement, reason: str, hint: str) -> BadScript:
    """Return the error for a statement that a script must not have."""
    return bad_script(script.path, script.sql, statement.begin, f"{script.path}: {reason}", hint=hint)
