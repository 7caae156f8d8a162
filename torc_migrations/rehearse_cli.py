"""The verb `rehearse` of the command, and the flags by which other verbs rehearse."""

from __future__ import annotations

from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from types import SimpleNamespace as Namespace

    from torc_migrations.migrator import Migrator
    from torc_migrations.rehearsal_report import Rehearsal
    from torc_migrations.round_trips import RoundTrip
    from torc_migrations.terminal import Terminal

_EXAMPLES = """\
examples:
  torc-migrations -d torc.db rehearse
  torc-migrations -d torc.db rehearse --rollback --target 20251023160238
  torc-migrations -d torc.db upgrade --on-loss=refuse
  torc-migrations -d torc.db rehearse --round-trip
  torc-migrations -s migrations rehearse --round-trip --fresh

The copy lies beside the database, wants twice its size on the disk, and is
removed afterwards; one that a killed rehearsal left, by the next. Which tables
a script names in a DELETE or DROP TABLE is told by SQLite's parser.

exit status: with --round-trip 1 where something does not come back; else as
for `upgrade`.
"""

FAILED = 1


def add_arguments(
    add_verb: Callable[[str, None, str, str, str], ArgumentParser],
    add_waiting: Callable[[ArgumentParser], None],
    version: Callable[[str], int],
) -> None:
    """Add the verb; `add_verb` takes a name, no alias, a purpose, examples, and the short flag of --source."""
    purpose = "run what is pending on a copy, and tell what comes of it"
    parser = add_verb("rehearse", None, purpose, _EXAMPLES, "-s")
    parser.add_argument("--rollback", action="store_true", help="what `rollback` would run instead")
    parser.add_argument(
        *("--target", "--target-version"), metavar="VERSION", type=version, help="the version to end at"
    )
    parser.add_argument(
        "--round-trip", action="store_true", help="take each one up, down and up again; say what does not come back"
    )
    parser.add_argument("--fresh", action="store_true", help="take all of them, on an empty database in memory")
    _add_on_loss(parser, "end with 6 where a table loses rows that its script does not delete itself")
    add_waiting(parser)


def add_flags(parser: ArgumentParser) -> None:
    """Add the flags to a verb that changes a database."""
    parser.add_argument("--rehearse", action="store_true", help="run them on a copy, and tell what comes of it")
    _add_on_loss(parser, "rehearse first, and mind a table that loses rows which its script does not delete itself")


def _add_on_loss(parser: ArgumentParser, purpose: str) -> None:
    parser.add_argument("--on-loss", choices=("refuse", "warn"), help=purpose)


def run(options: Namespace, terminal: Terminal, migrator: Migrator) -> int:
    """Rehearse what a verb would do, and return the command's exit status.

    Raises:
        MigrationError: it cannot be done, or the rehearsal failed as the real run would.
    """
    if options.verb == "rehearse" and options.round_trip:
        return _show_round_trip(migrator.round_trip(fresh=options.fresh), options, terminal)
    goes_down = options.verb == "rollback" or (options.verb == "rehearse" and options.rollback)
    rehearsal = migrator.rehearse(options.target, operation="rollback" if goes_down else "upgrade")
    return _show(rehearsal, options, terminal)


def _show_round_trip(round_trip: RoundTrip, options: Namespace, terminal: Terminal) -> int:
    if options.json:
        terminal.write_json(round_trip.as_dict())
    elif round_trip.trips:
        terminal.write_listing(round_trip.as_text())
    if not round_trip.trips:
        terminal.say("note", "nothing is pending; with --fresh every migration is tried, on an empty database")
    return 0 if round_trip.ok else FAILED


def _show(rehearsal: Rehearsal, options: Namespace, terminal: Terminal) -> int:
    if options.json:
        terminal.write_json(rehearsal.as_dict())
    else:
        terminal.write_listing(rehearsal.as_text())
    if not rehearsal.steps:
        terminal.say("note", "nothing to do")
        return 0
    refusal = rehearsal.refusal if options.on_loss == "refuse" else None
    if refusal:
        terminal.say("error", str(refusal))
        terminal.say("hint", refusal.hint or "")
    terminal.say("note", f"this was a rehearsal on a copy: nothing is kept, and {rehearsal.database} was not touched")
    return refusal.exit_code if refusal else 0
