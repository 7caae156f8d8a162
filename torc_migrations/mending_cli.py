"""The verbs `doctor`, `repair` and `baseline` of the command."""

from __future__ import annotations

from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from types import SimpleNamespace as Namespace

    from torc_migrations.migrator import Migrator
    from torc_migrations.plan import Report
    from torc_migrations.terminal import Terminal

SICK = 3

_DOCTOR_EXAMPLES = """\
examples:
  torc-migrations -d torc.db doctor
  torc-migrations -d torc.db doctor --trust sqlx --dry-run
  torc-migrations -d torc.db doctor --trust yoyo

exit status: 0 nothing needs to be done; 3 something does, and it says what.
"""
_REPAIR_EXAMPLES = """\
examples:
  torc-migrations -d torc.db repair 20251105030141 --reason "a comment only"
  torc-migrations -d torc.db repair --line-endings
"""
_BASELINE_EXAMPLES = """\
examples:
  torc-migrations -d torc.db -s migrations baseline 20251105030141

Refused where the database lacks anything that those migrations make.
"""


def add_arguments(
    add_verb: Callable[[str, None, str, str, str], ArgumentParser],
    add_waiting: Callable[[ArgumentParser], None],
    version: Callable[[str], int],
) -> None:
    """Add the three verbs; `add_verb` takes a name, no alias, a purpose, examples, and the short flag of --source."""
    purpose = "explain what is amiss with a database and a folder, and what to type"
    doctor = add_verb("doctor", None, purpose, _DOCTOR_EXAMPLES, "-s")
    doctor.add_argument("--trust", choices=("yoyo", "sqlx"), help="settle what is out of step by this ledger")
    doctor.add_argument("--dry-run", action="store_true", help="say what --trust would settle, and write nothing")
    repair = add_verb("repair", None, "accept that an installed migration was edited", _REPAIR_EXAMPLES, "-s")
    repair.add_argument("versions", metavar="VERSION", type=version, nargs="*", help="the edited migration's number")
    why = repair.add_mutually_exclusive_group(required=True)
    why.add_argument("--reason", metavar="WORDS", help="why the edit changes nothing; goes to yoyo's log")
    why.add_argument(
        "--line-endings", action="store_true", help="accept files that differ in line endings or a byte order mark only"
    )
    purpose = "record migrations as installed, up to a version, and run nothing"
    baseline = add_verb("baseline", None, purpose, _BASELINE_EXAMPLES, "-s")
    baseline.add_argument("version", metavar="VERSION", type=version, help="the newest one that the database has")
    for parser in (doctor, repair, baseline):
        add_waiting(parser)


def run(options: Namespace, terminal: Terminal, migrator: Migrator) -> int:
    """Run one of the verbs and return the command's exit status.

    Raises:
        MigrationError: it cannot be done.
    """
    return _VERBS[options.verb](options, terminal, migrator)


def _doctor(options: Namespace, terminal: Terminal, migrator: Migrator) -> int:
    if options.trust and options.dry_run:
        plan = migrator.plan_trust(options.trust)
        if options.json:
            terminal.write_json(plan.as_dict())
        for step in plan.steps:
            terminal.say("note", f"{step.migration.id} would be {step.action.done} in the ledgers")
        return 0
    if options.trust:
        return _told(migrator.trust(options.trust), options, terminal)
    diagnosis = migrator.diagnose()
    if options.json:
        terminal.write_json(diagnosis.as_dict())
    else:
        terminal.write_listing(diagnosis.as_text())
    return 0 if diagnosis.healthy else SICK


def _repair(options: Namespace, terminal: Terminal, migrator: Migrator) -> int:
    if options.line_endings:
        return _told(migrator.repair_line_endings(*options.versions), options, terminal)
    return _told(migrator.repair(*options.versions, reason=options.reason), options, terminal)


def _baseline(options: Namespace, terminal: Terminal, migrator: Migrator) -> int:
    return _told(migrator.baseline(options.version), options, terminal)


def _told(report: Report, options: Namespace, terminal: Terminal) -> int:
    if options.json:
        terminal.write_json(report.as_dict())
        return 0
    for outcome in report.outcomes:
        terminal.say("note", outcome.note)
    if not report.outcomes:
        terminal.say("note", "nothing to do")
    return 0


_VERBS = {"doctor": _doctor, "repair": _repair, "baseline": _baseline}
