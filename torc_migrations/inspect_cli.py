"""The verbs `verify`, `indexes` and `optimize` of the command."""

from __future__ import annotations

from collections.abc import Callable

from torc_migrations.errors import UrlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from types import SimpleNamespace as Namespace

    from torc_migrations.migration import SourceLike
    from torc_migrations.terminal import Terminal
    from torc_migrations.verification import Finding

FAILED = 1

_VERIFY_EXAMPLES = """\
examples:
  torc-migrations -d torc.db verify
  torc-migrations verify --fresh
  torc-migrations -s migrations verify --fresh --json

An expectation is a comment above a query, in a file of the source's folder
`verify`, which neither yoyo nor sqlx read:

  -- name: jobs of a workflow
  -- expect: SEARCH job USING INDEX idx_job_workflow_id (workflow_id=?)
  -- refuse: USE TEMP B-TREE
  SELECT * FROM job WHERE workflow_id = :workflow_id;

exit status: 0 every expectation holds; 1 one of them does not.
"""
_INDEXES_EXAMPLES = """\
examples:
  torc-migrations -d torc.db indexes
  torc-migrations -d torc.db indexes --json
"""
_OPTIMIZE_EXAMPLES = """\
examples:
  torc-migrations -d torc.db optimize
  torc-migrations -d torc.db optimize --vacuum --lock-timeout 10

ANALYZE reads every index, and keeps writers out meanwhile. VACUUM writes the
whole database anew and may need twice its size on the disk.
"""


def add_arguments(
    add_verb: Callable[[str, None, str, str, str], ArgumentParser], add_lock_timeout: Callable[[ArgumentParser], None]
) -> None:
    """Add the three verbs; `add_verb` takes a name, no alias, a purpose, examples, and the short flag of --source."""
    verify = add_verb("verify", None, "check that queries use their indexes, and write nothing", _VERIFY_EXAMPLES, "-s")
    verify.add_argument("--fresh", action="store_true", help="ask an empty database in memory, made from the source")
    purpose = "report on every index, its size, use and redundance, and write nothing"
    indexes = add_verb("indexes", None, purpose, _INDEXES_EXAMPLES, "-s")
    optimize = add_verb("optimize", None, "refresh the query planner's statistics", _OPTIMIZE_EXAMPLES, "-s")
    optimize.add_argument("--vacuum", action="store_true", help="rebuild the file too, without holes")
    for parser in (verify, indexes, optimize):
        add_lock_timeout(parser)


def run(options: Namespace, terminal: Terminal, database: str | None, source: SourceLike) -> int:
    """Run one of the verbs and return the command's exit status.

    Raises:
        MigrationError: the database or the expectations cannot be used.
    """
    return _VERBS[options.verb](options, terminal, database, source)


def _verify(options: Namespace, terminal: Terminal, database: str | None, source: SourceLike) -> int:
    from torc_migrations.verification import verify

    database = None if options.fresh else _named(database)
    findings = verify(database, source, fresh=options.fresh, lock_timeout=options.lock_timeout)
    ok = all(finding.ok for finding in findings)
    if options.json:
        terminal.write_json({"ok": ok, "findings": [finding.as_dict() for finding in findings]})
    else:
        terminal.write_listing(_findings_text(findings))
    return 0 if ok else FAILED


def _findings_text(findings: tuple[Finding, ...]) -> str:
    held = sum(finding.ok for finding in findings)
    lines = [*(finding.as_text() for finding in findings), f"{held} of {len(findings)} expectations hold"]
    return "".join(f"{line}\n" for line in lines)


def _indexes(options: Namespace, terminal: Terminal, database: str | None, source: SourceLike) -> int:
    from torc_migrations.inspection import inspect_indexes

    report = inspect_indexes(_named(database), source, lock_timeout=options.lock_timeout)
    if options.json:
        terminal.write_json(report.as_dict())
    else:
        terminal.write_listing(report.as_text())
        for note in report.notes:
            terminal.say("note", note)
    return 0


def _optimize(options: Namespace, terminal: Terminal, database: str | None, _: SourceLike) -> int:
    from torc_migrations.maintenance import optimize

    maintenance = optimize(_named(database), vacuum=options.vacuum, lock_timeout=options.lock_timeout)
    if options.json:
        terminal.write_json(maintenance.as_dict())
    else:
        terminal.write_listing(maintenance.as_text())
    return 0


_VERBS = {"verify": _verify, "indexes": _indexes, "optimize": _optimize}


def _named(database: str | None) -> str:
    if database is None:
        raise UrlError(
            "",
            "no database is named",
            hint="say -d sqlite:///torc.db, or set DATABASE_URL in the environment, in .env, or in yoyo.ini",
        )
    return database
