"""How a script relates to a transaction, and what in it is refused for that."""

from __future__ import annotations

from torc_migrations.databases.interface import ScriptMode
from torc_migrations.databases.sqlite.scripts.statements import Statement, first_token, transaction_words
from torc_migrations.errors import BadScript
from torc_migrations.sources.migration import Script
from torc_migrations.sources.text import bad_script

ENDS_OURS = "in a script would end the transaction that makes it all or nothing"
REMOVE_IT = "remove it: every script runs in a transaction already"


def script_mode(script: Script) -> ScriptMode:
    """Return how a script relates to a transaction; a BEGIN before its first COMMIT is an error when it runs."""
    if not script.directives.transactional:
        return ScriptMode.OUTSIDE
    first = next(transaction_words(script.sql), None)
    return ScriptMode.OWN_COMMITS if first is not None and first.commits else ScriptMode.WHOLE


def commit_in(script: Script) -> BadScript:
    """Return the error for a script that ends the transaction that would make it all or nothing."""
    found = next(found for found in transaction_words(script.sql) if found.commits)
    return refused(script, found.statement, f"{found.word} {ENDS_OURS}", REMOVE_IT)


def refused(script: Script, statement: Statement, reason: str, hint: str) -> BadScript:
    """Return the error for a statement that a script must not have."""
    offset = first_token(script.sql, statement.offset)
    return bad_script(script.path, script.sql, offset, f"{script.path}: {reason}", hint=hint)
