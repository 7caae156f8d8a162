"""The plugin of sqlite-utils: `sqlite-utils torc-status app.db`, and `sqlite-utils torc-upgrade app.db`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlite_utils import hookimpl

from torc_migrations.advice import text_for
from torc_migrations.errors import MigrationError

_DATABASE = click.argument("path", type=click.Path(file_okay=True, dir_okay=False, allow_dash=False))
_SOURCE = click.option(
    "-s",
    "--source",
    "sources",
    multiple=True,
    default=["migrations"],
    show_default=True,
    help="a directory of migrations",
)
# By our name of a command, the options that it has.
_OPTIONS = {"status": ("--source",), "upgrade": ("--source", "--target")}


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add both commands; `migrate` is sqlite-utils' own, for its migrations in Python."""
    cli.command(name="torc-status")(status)
    cli.command(name="torc-upgrade")(upgrade)


@_DATABASE
@_SOURCE
def status(path: str, sources: tuple[str, ...]) -> None:
    """List which SQL migrations are installed in a database."""
    from torc_migrations import status as read_status

    with _errors_of_click(path, sources, "status"):
        found = read_status(path, list(sources))
        click.echo(found.as_text(), nl=False)
        for note in found.notes:
            click.echo(f"note: {note}", err=True)


@_DATABASE
@_SOURCE
@click.option("--target", type=int, help="the last version to apply")
def upgrade(path: str, sources: tuple[str, ...], target: int | None) -> None:
    """Apply the SQL migrations that are pending."""
    from torc_migrations import upgrade as apply_pending

    with _errors_of_click(path, sources, "upgrade"):
        report = apply_pending(path, list(sources), target=target, on_newer="refuse")
        click.echo(report.as_text(), nl=False)
        if not report.outcomes:
            click.echo("note: nothing to do", err=True)


@contextmanager
def _errors_of_click(path: str, sources: tuple[str, ...], verb: str) -> Iterator[None]:
    """Let click print our errors, with the place in the script and the hint."""
    try:
        yield
    except MigrationError as error:
        ours = Namespace(database=path, source=sources, torc=False)
        raise click.ClickException(text_for("sqlite-utils", error, ours, verb, known=_OPTIONS[verb])) from error
