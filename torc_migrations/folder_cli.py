"""The verbs `new` and `export` of the command."""

from __future__ import annotations

from torc_migrations import folder
from torc_migrations.config import MIGRATIONS
from torc_migrations.errors import SourceError
from torc_migrations.migration import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import SimpleNamespace as Namespace

    from torc_migrations.config import Settings
    from torc_migrations.migration import Source
    from torc_migrations.terminal import Terminal


def new(options: Namespace, terminal: Terminal, settings: Settings) -> int:
    """Write the files of a new migration, and return the command's exit status.

    Raises:
        SourceError: the settings name several folders, or the one cannot be written.
    """
    if len(settings.sources) > 1:
        origin = settings.sources[0].origin
        raise SourceError(origin, f"{origin} names several folders", hint="say with --source which one to write to")
    paths = folder.new_migration(
        settings.sources[0].value if settings.sources else MIGRATIONS,
        options.description,
        reversible=settings.reversible if options.reversible is None else options.reversible,
        sequential=settings.sequential if options.sequential is None else options.sequential,
    )
    return _created(paths, options, terminal)


def export(options: Namespace, terminal: Terminal, source: Source) -> int:
    """Write a source into a folder in another layout, and return the command's exit status.

    Raises:
        SourceError: the folder is not empty, or cannot be written.
    """
    return _created(folder.export(source, Layout(options.layout), options.folder), options, terminal)


def _created(paths: tuple[str, ...], options: Namespace, terminal: Terminal) -> int:
    if options.json:
        terminal.write_json({"created": list(paths)})
    else:
        terminal.write_listing("".join(f"Creating {path}\n" for path in paths))
    return 0
