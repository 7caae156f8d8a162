"""The verb `fleet`: the status and the upgrade of many databases that have the same migrations."""

from __future__ import annotations

from argparse import ArgumentTypeError
from time import monotonic
from typing import TYPE_CHECKING, Any

from torc_migrations.cli.context import make_migrator
from torc_migrations.cli.options import add_target
from torc_migrations.errors import BadArguments
from torc_migrations.options.keywords import Options

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Iterator

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.services.fleets import Fleet, FleetReport, OnResult
    from torc_migrations.services.tenants import TenantResult

FAILED = 1
_LINE_EVERY, _NOTE_EVERY = 0.5, 30.0  # seconds; on a terminal, and where standard error is none

_EXAMPLES = """\
examples:
  torc-migrations fleet status 'tenants/*.db'
  torc-migrations fleet upgrade 'tenants/*.db' --canary 5 --workers 4
  torc-migrations fleet upgrade 'tenants/*.db' --on-error continue

exit status: 0 every database has everything; 1 some have not, and are listed.
"""


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "fleet",
        parents=[parents.waiting, parents.common],
        help="status or upgrade of many databases",
        description="Read the status of many databases that have the same migrations, or upgrade each of them.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("action", metavar="ACTION", choices=("status", "upgrade"), help="status or upgrade")
    parser.add_argument("databases", metavar="PATTERN", nargs="+", help="files, as 'tenants/*.db'; or URLs")
    add_target(parser, "the last version to apply")
    parser.add_argument(
        "--canary", metavar="N", type=_count, default=0, help="upgrade so many first; if one fails, no other is begun"
    )
    parser.add_argument(
        "--workers", metavar="N", type=_count, default=4, help="how many processes work at the same time (default: 4)"
    )
    parser.add_argument(
        "--on-error",
        choices=("stop", "continue"),
        default="stop",
        help="begin no other database after one has failed (default), or continue",
    )
    parser.add_argument("--stop-after", metavar="N", type=_count, help="begin no other after so many have failed")
    parser.add_argument(
        "--progress",
        choices=("auto", "json", "off"),
        dest="fleet_progress",
        default="auto",
        help="how many are upgraded, or a line of JSON for each, on standard error (default: auto)",
    )
    parser.set_defaults(run=run, lock_timeout=10.0)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    if options.workers < 1:
        raise BadArguments("--workers needs a number from 1 on", hint="leave it out, or use --workers 1")
    fleet = _fleet(options, terminal)
    report = fleet.status(workers=options.workers) if options.action == "status" else _upgrade(fleet, options, terminal)
    terminal.print_report(report, as_json=options.json)
    return 0 if report.ok else FAILED


def _upgrade(fleet: Fleet, options: Namespace, terminal: Terminal) -> FleetReport:
    progress = _Progress(terminal)
    shown: dict[str, OnResult] = {
        "auto": progress,
        "json": lambda result: terminal.print_event({"event": "database", **result.as_dict()}),
    }
    try:
        return fleet.upgrade(
            target=options.target,
            canary=options.canary,
            workers=options.workers,
            on_error=options.on_error,
            stop_after=options.stop_after or None,
            on_result=shown.get(options.fleet_progress),
        )
    finally:
        terminal.clear_line()


class _Progress:
    """Show how many databases are done: in one line of a terminal, or else in a note every now and then."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._began = self._shown = monotonic()
        self._counts = {"upgraded": 0, "unchanged": 0, "failed": 0}

    def __call__(self, result: TenantResult) -> None:
        self._counts["failed" if result.error else "upgraded" if result.applied else "unchanged"] += 1
        now = monotonic()
        if now - self._shown < (_LINE_EVERY if self._terminal.can_redraw() else _NOTE_EVERY):
            return
        self._shown = now
        counts = ", ".join(f"{number:,} {state}" for state, number in self._counts.items())
        show = self._terminal.show_line if self._terminal.can_redraw() else self._terminal.print_note
        show(f"{now - self._began:.0f} s: {counts}")


def _fleet(options: Namespace, terminal: Terminal) -> Fleet:
    from torc_migrations.services.fleets import Fleet
    from torc_migrations.services.tenants import tenants_of

    if options.database is not None:
        raise BadArguments("fleet does not take -d", hint="name each database as a PATTERN, after the ACTION")
    migrator = make_migrator(options, terminal, in_memory=True)

    def databases() -> Iterator[tuple[str, str]]:
        """Yield the names and addresses, each address once, also if several patterns match it."""
        found = {each.address: each.name for written in options.databases for each in tenants_of(_pattern(written))}
        return ((name, address) for address, name in found.items())

    if not any(databases()):
        raise BadArguments(
            f"there is no database {' and '.join(map(repr, options.databases))}",
            hint="name files that exist, with a pattern in quotes",
        )
    settings: Any = {name: getattr(migrator, name) for name in Options.__annotations__}
    return Fleet(databases, migrator.source, **settings)


def _pattern(written: str) -> Any:
    """Return a URL as the one database that it names; a path is a pattern."""
    return [written] if "://" in written or written.startswith("sqlite:") else written


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return int(text)
