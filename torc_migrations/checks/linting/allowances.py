"""Read `-- torc: allow RULE, because REASON` in a script."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from torc_migrations.checks.findings import CheckFinding
from torc_migrations.sources.migration import Migration
from torc_migrations.sources.text import comment_lines, place

_MARK = re.compile(rb"--\s*torc\s*:", re.IGNORECASE)
_ALLOW = re.compile(r"--\s*torc\s*:\s*allow\s+(?P<rule>[\w-]+)\s*(?:,\s*because\s*:?\s*(?P<reason>.*))?", re.IGNORECASE)
SQUAWK = "squawk-"  # what the names of squawk's rules begin with; which there are depends on its version
_HINT = "write `-- torc: allow RULE, because REASON`"


class Allowances(NamedTuple):
    """The rules that the scripts of a migration allow, and what is wrong with the comments that say so."""

    rules: frozenset[str]
    findings: tuple[CheckFinding, ...]


def read_allowances(check: str, migration: Migration, known: Collection[str]) -> Allowances:
    """Read what the scripts of a migration allow; a comment without a rule that exists, or a reason, is a finding."""
    rules: set[str] = set()
    findings = []
    for path, line, column, text in _comments(migration):
        found = _ALLOW.fullmatch(text)
        if found is None:
            message = f"`{text}` is not understood"
        elif found["rule"] not in known and not found["rule"].startswith(SQUAWK):
            message = f"there is no rule {found['rule']!r}"
        elif not (found["reason"] or "").strip(" ."):
            message = f"{found['rule']} is allowed without a reason"
        else:
            rules.add(found["rule"])
            continue
        where = {"path": path, "line": line, "column": column, "version": migration.version}
        findings.append(CheckFinding(check, "bad-allowance", message, hint=_HINT, **where))  # type: ignore[arg-type]  # by name
    return Allowances(frozenset(rules), tuple(findings))


def _comments(migration: Migration) -> Iterator[tuple[str, int, int, str]]:
    for script in filter(None, (migration.up, migration.down)):
        for offset, line in comment_lines(script.sql, _MARK.match):
            where = place(script.sql, offset)
            yield script.path, where.line, where.column, line.decode()
