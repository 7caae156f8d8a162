"""The verb `verify`: check that queries use their indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torc_migrations.cli.context import make_migrator
from torc_migrations.cli.options import add_lock_timeout

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.indexes.verify import Finding

FAILED = 1

_EXAMPLES = """\
examples:
  torc-migrations -d app.db verify
  torc-migrations verify --fresh
  torc-migrations verify --fresh --torc --json

An expectation is a comment above a query. It is in a file of the directory `verify` inside of the source, which \
neither yoyo nor sqlx read:

  -- name: jobs of a workflow
  -- expect: SEARCH job USING INDEX idx_job_workflow_id (workflow_id=?)
  -- refuse: USE TEMP B-TREE
  SELECT * FROM job WHERE workflow_id = :workflow_id;

On PostgreSQL a line is a node as EXPLAIN writes it, without costs: Index Scan using idx_job_workflow_id on job. On \
MariaDB: ref on job using idx_job_workflow_id. Everywhere: index idx_job_workflow_id.

exit status: 0 every expectation holds; 1 one of them does not.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "verify",
        parents=[parents.common],
        help="check that queries use their indexes",
        description="Compare the query plans of a database with the expectations of the source. Runs no query, and "
        "writes nothing.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="check an empty database, created from the source: in memory, or on the server",
    )
    add_lock_timeout(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    findings = make_migrator(options, terminal, is_fresh=options.fresh).verify(fresh=options.fresh)
    ok = all(finding.ok for finding in findings)
    if options.json:
        terminal.print_json({"ok": ok, "findings": [finding.as_dict() for finding in findings]})
    else:
        terminal.print_text(_text(findings))
    return 0 if ok else FAILED


def _text(findings: tuple[Finding, ...]) -> str:
    held = sum(finding.ok for finding in findings)
    nouns, verb = "expectation" if len(findings) == 1 else "expectations", "holds" if held == 1 else "hold"
    lines = [*(finding.as_text() for finding in findings), f"{held} of {len(findings)} {nouns} {verb}"]
    return "".join(f"{line}\n" for line in lines)
