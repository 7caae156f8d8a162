"""The verb `export`: write a source into a new directory, in the layout of sqlx or of yoyo."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from torc_migrations.cli.context import settings_of, source_of
from torc_migrations.cli.verbs.new import print_created
from torc_migrations.errors import BadOrder, SourceError
from torc_migrations.sources.converting.writing import write_directory
from torc_migrations.sources.names import SUFFIXES, Layout
from torc_migrations.sources.yoyo_names import first_difference

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.sources.migration import Migration
    from torc_migrations.sources.source import Source

_EXAMPLES = """\
examples:
  torc-migrations -s migrations export --layout yoyo for-yoyo
  torc-migrations --torc export --layout sqlx exported
"""
_NUMBER = re.compile(r"([+-]?)([0-9]*)")
# The names that sqlx reads as we do.
_PLAIN_ID = re.compile(r"[+-]?[0-9]+_")


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "export",
        parents=[parents.common],
        help="write the migrations anew, named for sqlx or for yoyo",
        description="Write the migrations into a new directory, under the names that sqlx or yoyo expects. The "
        "bytes of the files stay the same.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--layout", choices=("sqlx", "yoyo"), required=True, help="how the files are named")
    parser.add_argument("directory", metavar="DIR", help="a directory that is new or empty")
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    from torc_migrations.sources.source import discover

    source = discover(source_of(settings_of(options, terminal), options, terminal))
    if options.layout == "sqlx":
        for hook in source.hooks:
            terminal.print_note(f"{hook.up.path} is left out: sqlx has no scripts that run after migrations")
    print_created(export(source, Layout(options.layout), options.directory), options, terminal)
    stems = zip(source.migrations, _stems(source, Layout(options.layout)), strict=True)
    renamed = {each.id: stem for each, stem in stems if each.id != stem}
    if renamed and options.layout == "yoyo":
        old, new = next(iter(renamed.items()))
        terminal.print_note(
            f"{old} is {new} now, which is another migration for yoyo: where it is installed, "
            f"upgrade with `--source {options.directory}` before yoyo"
        )
    for migration in source.migrations:
        for old in filter(renamed.__contains__, migration.depends):
            terminal.print_note(
                f"{migration.up.path} names {old} in `-- depends:`, which is {renamed[old]} in {options.directory}: "
                "sqlx does not read that line, and this package and yoyo refuse the directory until it is changed"
            )
    return 0


def export(source: Source, layout: Layout, directory: str) -> tuple[str, ...]:
    """Write every migration of a source into an empty or new directory, in a layout, and return the paths.

    yoyo's post-apply scripts are written in its own layout only.

    The bytes stay the same, and with them sqlx's checksums. So do the names, except for their ends, and for names that
    sqlx would not read as we do.

    Raises:
        SourceError: the directory is not empty, or cannot be written.
    """
    if os.path.isdir(directory) and os.listdir(directory):
        raise SourceError(directory, f"{directory!r} is not empty", hint="name a new directory")
    stems = _stems(source, layout)
    texts = {
        name: sql
        for migration, stem in zip(source.migrations, stems, strict=True)
        for name, sql in _files(migration, layout, stem).items()
    }
    texts |= {f"{hook.id}.sql": hook.up.sql for hook in source.hooks if layout is Layout.YOYO}
    return write_directory(directory, {os.path.join(directory, name): sql for name, sql in texts.items()})


def _stems(source: Source, layout: Layout) -> list[str]:
    """Return the names without their ends; for yoyo with zeros before the numbers, if it would else run another order.

    Raises:
        SourceError: the zeros would change an id that a `-- depends:` line names.
        BadOrder: there is no name with which yoyo keeps the order.
    """
    if layout is Layout.SQLX:
        return [_sqlx_stem(migration) for migration in source.migrations]
    stems = [migration.id for migration in source.migrations]
    if _difference(stems) is None:
        return stems
    width = max(len(_NUMBER.match(stem)[2]) for stem in stems)  # type: ignore[index]  # it may be empty
    padded = [_NUMBER.sub(lambda found: found[1].strip("+") + found[2].zfill(width), stem, count=1) for stem in stems]
    if difference := _difference(padded):
        raise BadOrder(source.name, difference)
    changed = {stem for stem, new in zip(stems, padded, strict=True) if stem != new}
    for migration in source.migrations:
        if named := changed.intersection(migration.depends):
            raise SourceError(
                source.name,
                f"yoyo needs zeros before the number in {min(named)!r}, which {migration.up.path} names in "
                "`-- depends:`",
                hint="rename the files and the ids in `-- depends:` by hand",
            )
    return padded


def _difference(stems: list[str]) -> tuple[str, str] | None:
    return first_difference([f"{stem}.sql" for stem in stems])


def _files(migration: Migration, layout: Layout, stem: str) -> dict[str, bytes]:
    up, down = SUFFIXES[layout]
    if migration.down is None:
        stays_reversible = layout is Layout.SQLX and migration.up.path.endswith(up)
        return {stem + up if stays_reversible else f"{stem}.sql": migration.up.sql}
    return {stem + up: migration.up.sql, stem + down: migration.down.sql}


def _sqlx_stem(migration: Migration) -> str:
    """Return an id that sqlx reads as we do: `0001.create-foo` and `20230101_01_AbCdE-foo` are names of yoyo only."""
    number, _, rest = migration.id.partition("_")
    if _PLAIN_ID.match(migration.id) and int(number) == migration.version:
        return migration.id if rest else f"{number}_"
    return f"{migration.version}_{migration.description.replace(' ', '_')}"
