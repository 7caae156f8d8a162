"""What a verb works on: the database, the source and the migrator that the options and the settings name."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, cast

from torc_migrations.cli.configuration import find_settings
from torc_migrations.cli.options import foreign_keys as parse_foreign_keys
from torc_migrations.cli.options import join_foreign_keys, server_options
from torc_migrations.databases.opening import is_server
from torc_migrations.errors import BadArguments, SourceError, UrlError
from torc_migrations.formatting import masked
from torc_migrations.migrator import Migrator
from torc_migrations.sources.files import SHIPPED

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from typing import Any

    from torc_migrations.cli.configuration import Settings
    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.databases.interface import Functions
    from torc_migrations.history.steps import Report
    from torc_migrations.runs.feed import Feed
    from torc_migrations.runs.run import Observer
    from torc_migrations.sources.source import ForeignKeys, Source, SourceLike

IN_MEMORY = ":memory:"


def settings_of(options: Namespace, terminal: Terminal) -> Settings:
    """Return what the options, the environment and the configuration files name; print it with --verbose.

    Raises:
        SourceError, UrlError: a configuration file cannot be read or followed.
    """
    settings = find_settings(options.database, options.source, torc=options.torc, dotenv=not options.no_dotenv)
    if options.verbose:
        _print_settings(settings, options, terminal)
    return settings


def _print_settings(settings: Settings, options: Namespace, terminal: Terminal) -> None:
    if settings.database:
        terminal.print_note(f"database {masked(settings.database.value)}, from {settings.database.origin}")
    if options.torc:
        terminal.print_note(f"source {SHIPPED}, from --torc")
    else:
        for source in settings.sources:
            terminal.print_note(f"source {masked(source.value)}, from {source.origin}")
    if settings.migration_table:
        terminal.print_note(f"yoyo's ledger {settings.migration_table.value}, from {settings.migration_table.origin}")
    if settings.sqlx_table:
        terminal.print_note(f"sqlx's ledger {settings.sqlx_table.value}, from {settings.sqlx_table.origin}")


def database_of(settings: Settings) -> str:
    """Return the database that is named.

    Raises:
        UrlError: none is named.
    """
    if settings.database is None:
        raise UrlError(
            "",
            "no database is named",
            hint=f"use -d sqlite:///app.db, or set {settings.url_variable} in the environment or in .env, "
            "or database in yoyo.ini",
        )
    return settings.database.value


def source_of(settings: Settings, options: Namespace, terminal: Terminal) -> SourceLike:
    """Return the source that is named; None is the torc schema.

    Where no source is named, the torc schema is meant if the database has it already: if at least one migration of the
    schema is installed with the text that ships with this package.

    Raises:
        SourceError: no source is named, and the database does not have the torc schema.
        UrlError, LockTimeout: no source is named, and the database cannot be read.
    """
    if options.torc:
        return None
    if settings.sources:
        return source_if_any(settings)
    if settings.database is None or not _has_torc_schema(settings, options):
        raise SourceError(
            "",
            "no source is named, and there is no directory ./migrations",
            hint="name a directory with --source, or pass --torc for the torc schema; "
            "`torc-migrations new DESCRIPTION` creates ./migrations",
        )
    if options.verbose:
        terminal.print_note(f"source {SHIPPED}, because the database has it")
    return None


def source_if_any(settings: Settings) -> SourceLike:
    """Return the directory that is named, or several as one source; None where none is named."""
    directories = [source.value for source in settings.sources]
    if len(directories) > 1:
        from torc_migrations.sources.source import combine, discover

        return combine(tuple(discover(each, ignored_chars=settings.ignored_chars) for each in directories))
    return directories[0] if directories else None


def _has_torc_schema(settings: Settings, options: Namespace) -> bool:
    from torc_migrations.history.status import State

    migrator = Migrator(database_of(settings), lock_timeout=options.lock_timeout, **_table_names(settings))
    return any(entry.state is State.INSTALLED for entry in migrator.status().entries)


def make_migrator(
    options: Namespace,
    terminal: Terminal,
    *,
    in_memory: bool = False,
    is_fresh: bool = False,
    settings: Settings | None = None,
) -> CommandMigrator:
    """Return a migrator with everything that the command line says; `in_memory` for an empty database of its own.

    With `is_fresh` that is one on the server that is named, and in memory where none is.

    Raises:
        SourceError, UrlError: no source or no database is named, or one cannot be read.
    """
    settings = settings or settings_of(options, terminal)
    in_memory = in_memory or (is_fresh and not _names_server(settings))
    database = IN_MEMORY if in_memory else database_of(settings)
    return CommandMigrator(
        terminal,
        database,
        source_of(settings, options, terminal),
        lock_timeout=options.lock_timeout,
        ignore_missing=options.ignore_missing,
        on_newer=options.on_newer,
        out_of_order=options.out_of_order,
        strict=options.strict,
        group=options.group,
        functions=functions_of(options),
        server=server_options(options),
        snapshot=options.snapshot,
        keep=options.keep,
        ignored_chars=settings.ignored_chars,
        **_table_names(settings),
        on_loss=options.on_loss,
        foreign_keys=_foreign_keys(options, settings),
        allow_broken_schema=options.allow_broken_schema,
        statement_timeout=options.statement_timeout,
        progress=options.progress,
    )


def refuse_among_scripts(path: str, source: Source) -> None:
    """Do nothing for a file that is written elsewhere than beside the scripts, or is no SQL.

    Raises:
        BadArguments: yoyo would run it as a migration, and nothing would go on.
    """
    directory = os.path.realpath(os.path.dirname(path) or os.curdir)
    scripts = (each.up.path for each in source.migrations)
    if path.endswith(".sql") and directory in {os.path.realpath(os.path.dirname(script)) for script in scripts}:
        sentence = f"{path!r} is not written among the migrations, because yoyo would run it as one"
        raise BadArguments(sentence, hint=f"name a file beside the directory, such as {os.path.basename(path)}")


def _names_server(settings: Settings) -> bool:
    return settings.database is not None and is_server(settings.database.value)


def _foreign_keys(options: Namespace, settings: Settings) -> ForeignKeys:
    """Return what the command line says of foreign keys, or else yoyo.ini."""
    if options.foreign_keys:
        return join_foreign_keys(options.foreign_keys)
    if settings.foreign_keys is None:
        return "script"
    value, path = settings.foreign_keys
    try:
        return parse_foreign_keys(value)
    except ArgumentTypeError as error:
        raise SourceError(path, f"cannot read foreign_keys in {path}: {error}") from error


def functions_of(options: Namespace) -> Functions | None:
    """Return what registers the functions and extensions that the command line names, or None.

    Raises:
        BadArguments: a module or a name in it does not exist, or cannot be called.
    """
    registrars = [_registrar(written) for written in options.functions or ()]
    extensions = options.load_extension or ()
    if not (registrars or extensions):
        return None

    def register(connection: Any) -> None:
        if extensions:
            _load_extensions(connection, extensions)
        for registrar in registrars:
            registrar(connection)

    return register


def _registrar(written: str) -> Functions:
    module, _, name = written.partition(":")
    hint = "write MODULE:NAME; the module is looked for on Python's path and in the current directory"
    if not (module and name):
        raise BadArguments(f"--functions {written!r} names no function", hint=hint)
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # at the end, so that no file here hides a module of Python
    try:
        found: Any = attrgetter(name)(import_module(module))
    except Exception as error:
        raise BadArguments(f"cannot import {written!r}: {type(error).__name__}: {error}", hint=hint) from error
    if not callable(found):
        raise BadArguments(f"{written!r} cannot be called", hint=hint)
    return cast("Functions", found)


def _load_extensions(connection: Any, paths: Sequence[str]) -> None:
    if not hasattr(connection, "enable_load_extension"):
        raise BadArguments("--load-extension: this Python cannot load extensions of SQLite", hint="use --functions")
    connection.enable_load_extension(True)
    try:
        for path in paths:
            connection.load_extension(path)
    finally:
        connection.enable_load_extension(False)


def _table_names(settings: Settings) -> dict[str, Any]:
    named = {"migration_table": settings.migration_table, "sqlx_table": settings.sqlx_table}
    return {name: setting.value for name, setting in named.items() if setting}


class CommandMigrator(Migrator):
    """The migrator of a command, which shows how far a run is as the command line wants it."""

    def __init__(self, terminal: Terminal, *arguments: Any, progress: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._terminal = terminal
        self._progress = progress
        if progress == "json":
            from torc_migrations.cli.progress import event_lines

            self.on_event = event_lines(terminal)

    def _feed(self) -> Feed:
        from torc_migrations.cli.progress import feed_of

        return super()._feed() if self.on_event else feed_of(self._progress, self._terminal)

    def upgrade_if_needed(self, target: int | None, *, observer: Observer, atomic: bool) -> Report | None:
        """Do what `upgrade` does; None if a quick look shows that there is nothing to do, so that no report is made."""
        return self._upgrade(target, observer, atomic=atomic)
