"""The verb `new`: write the files of a new migration."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torc_migrations.cli.configuration import MIGRATIONS
from torc_migrations.cli.context import settings_of
from torc_migrations.cli.listing import has_control_characters
from torc_migrations.errors import BadArguments, SourceError
from torc_migrations.formatting import escaped
from torc_migrations.sources.converting.writing import write_files
from torc_migrations.sources.names import LOCK, SUFFIXES, Layout, read_names

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from torc_migrations.cli.configuration import Settings
    from torc_migrations.cli.options import Parents
    from torc_migrations.cli.terminal import Terminal
    from torc_migrations.sources.source import Source

_EXAMPLES = """\
examples:
  torc-migrations new "add users"
  torc-migrations --source db/migrations new "add users"
  torc-migrations new -r --sequential "add users"
  EDITOR=nano torc-migrations new --edit "add users"

Without a source the files are written into ./migrations, which is created if it is missing.
After `new` and `add`, -s means --sequential, as it does for sqlx. Name the directory with --source, or with -s before \
the verb.
"""
# With what a description makes no name of a file, or one that means something else.
_NO_FILE_NAME = re.compile(r"\A_*\Z|[/\\]|\.(up|down|rollback|sql|py)\Z")
_UP_TEXT = "-- Up: {description}\n"
_DOWN_TEXT = "-- Down: undo the up script, in the opposite order\n"


def add_parser(subparsers: _SubParsersAction[Any], parents: Parents) -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "new",
        aliases=["add"],
        parents=[parents.without_s],
        help="write the files of a new migration",
        description="Write the files of a new migration, named and numbered like the newest one.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("description", metavar="DESCRIPTION", help="what it does, in a few words")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(*("-r", "--reversible"), action="store_const", const=True, help="write an up and a down file")
    kind.add_argument(
        "--simple", dest="reversible", action="store_const", const=False, help="write one file, which cannot be undone"
    )
    number = parser.add_mutually_exclusive_group()
    number.add_argument(
        *("-s", "--sequential"), action="store_const", const=True, help="the version is the next number"
    )
    number.add_argument(
        *("-t", "--timestamp"),
        dest="sequential",
        action="store_const",
        const=False,
        help="the version is the time, in UTC",
    )
    parser.add_argument(
        *("-e", "--edit"), action="store_true", help="open the files in the editor that VISUAL or EDITOR names"
    )
    parser.set_defaults(run=run)


def run(options: Namespace, terminal: Terminal) -> int:
    """Run the verb and return the exit status."""
    if (
        options.sequential
        and options.description == _word_after_s(options.words)
        and _is_like_directory(options.description)
    ):
        word = options.description
        raise BadArguments(
            f"`-s {word}` has two meanings: after `new`, -s is --sequential, and {word!r} looks like a directory",
            hint=f"use --source {word} and a DESCRIPTION to write into that directory, "
            f"or --sequential {word} for a migration of that name",
        )
    editor = _editor() if options.edit else ()
    settings = settings_of(options, terminal)
    directory = _directory(settings, options)
    paths = new_migration(
        directory,
        options.description,
        reversible=settings.reversible if options.reversible is None else options.reversible,
        sequential=settings.sequential if options.sequential is None else options.sequential,
        prefix=settings.prefix,
    )
    print_created(paths, options, terminal)
    if editor:
        _edit(editor, directory, paths)
    return 0


def _editor() -> Sequence[str]:
    """Return the words of the command in VISUAL or EDITOR.

    Raises:
        BadArguments: neither is set, or it cannot be split into words.
    """
    import shlex

    written = os.environ.get("VISUAL", "").strip() or os.environ.get("EDITOR", "").strip()
    try:
        words = shlex.split(written)
    except ValueError as error:
        raise BadArguments(f"cannot read the editor {written!r}: {error}", hint="set VISUAL or EDITOR") from error
    if not words:
        raise BadArguments("--edit needs an editor", hint="set VISUAL or EDITOR, as in EDITOR='code --wait'")
    return words


def _edit(editor: Sequence[str], directory: str, paths: tuple[str, ...]) -> None:
    """Open files in an editor, and wait until it ends.

    Raises:
        BadArguments: the editor fails, or cannot be started; the files stay.
    """
    import subprocess

    name = " ".join(editor)
    hint = f"the new files stay: {', '.join(paths)}"
    try:
        status = subprocess.run([*editor, *paths], check=False).returncode  # noqa: S603  # no shell; the user's editor
    except OSError as error:
        raise BadArguments(f"cannot start the editor {name!r}: {error.strerror}", hint=hint) from error
    if status:
        raise BadArguments(f"the editor {name!r} has ended with status {status}", hint=hint)
    _write_lock(directory)


def _write_lock(directory: str) -> None:
    """Write `migrations.lock` again, where it is."""
    if os.path.lexists(os.path.join(directory, LOCK)):
        from torc_migrations.checks.branches.lock import write_lock  # loads git, which no other verb needs
        from torc_migrations.sources.source import discover

        write_lock(discover(directory), create=False)


def several_words(verb: str, word: str, words: Sequence[str]) -> BadArguments:
    """Return the error for a second word after the description, in a command line of these words."""
    after_s = _word_after_s(words)
    if after_s is None or after_s.startswith("-"):
        return BadArguments(f"{verb} does not take {word!r}", hint="put the description into quotes")
    return BadArguments(
        f"{verb} does not take {word!r}: after `{verb}`, -s is --sequential, as for sqlx, and has no value",
        hint=f"use --source {after_s} for a directory; put a description of several words into quotes",
    )


def s_with_value() -> BadArguments:
    """Return the error for `-sDIR`."""
    return BadArguments(
        "after `new`, -s is --sequential, as for sqlx, and has no value", hint="use --source DIR for a directory"
    )


def _word_after_s(words: Sequence[str]) -> str | None:
    """Return the word after the `-s` that follows the verb, or None."""
    for index in range(len(words) - 2, 0, -1):
        if words[index] == "-s" and {"new", "add"}.intersection(words[:index]):
            return words[index + 1]
    return None


def _is_like_directory(word: str) -> bool:
    if word in (MIGRATIONS, os.curdir, os.pardir) or "/" in word or os.sep in word:
        return True
    try:
        names = os.listdir(word)
    except OSError:
        return False
    return not names or any(name.endswith(".sql") for name in names)


def _directory(settings: Settings, options: Namespace) -> str:
    if options.torc:
        raise SourceError("", "the torc schema is part of this package: nothing is written there", hint="use --source")
    if len(settings.sources) > 1:
        origin = settings.sources[0].origin
        raise SourceError(origin, f"{origin} names several directories", hint="name one of them with --source")
    return settings.sources[0].value if settings.sources else MIGRATIONS


def new_migration(
    directory: str,
    description: str,
    *,
    reversible: bool | None = None,
    sequential: bool | None = None,
    prefix: str | None = None,
) -> tuple[str, ...]:
    """Write the file or files of a new migration, of the kind of the newest one, and return their paths.

    An empty directory gets a pair in yoyo's layout; `reversible` says otherwise. The version is the time in UTC, or the
    next number where the last two versions differ by one; `sequential` says otherwise. Where the newest migration has a
    name that `yoyo new` writes, or the directory is empty and yoyo.ini has a `prefix`, the new one has such a name too.
    Where the directory has a `migrations.lock`, it is written again.

    Raises:
        SourceError: the directory cannot be read or written, or the description makes no file name.
        BadOrder: yoyo would run the new migration before another one.
    """
    from torc_migrations.checks.branches.numbering import Known, next_stem

    if has_control_characters(description):
        raise SourceError(
            directory, f"{description!r} contains a control character", hint="describe the change in a few words"
        )
    if not _is_unicode(description):
        raise SourceError(
            directory, f"{description!r} has bytes that are not UTF-8", hint="describe the change in a few words"
        )
    words = re.sub(r"\s", "_", description)
    if found := _NO_FILE_NAME.search(words):
        hint = f"leave out {found[0]}" if words.strip("_/\\") else "describe the change in a few words"
        raise SourceError(directory, f"{description!r} cannot be a file name", hint=hint)
    source = _existing(directory)
    known = [Known(migration.version, migration.id) for migration in source.migrations]
    name = next_stem(source.name, source.layout, known, words, sequential=sequential, prefix=prefix)
    up, down = _kind(source, reversible)
    _check_order(source, name + up)
    stem = os.path.join(directory, name)
    texts = {stem + up: _UP_TEXT.format(description=" ".join(words.replace("_", " ").split())).encode()}
    if down:
        texts[stem + down] = _DOWN_TEXT.encode()
    paths = write_files(directory, texts)
    _write_lock(directory)
    return paths


def _is_unicode(text: str) -> bool:
    """Return whether a text has no bytes that Python could not decode (PEP 383)."""
    return not any("\udc80" <= letter <= "\udcff" for letter in text)


def _existing(directory: str) -> Source:
    """Read a directory; one that is missing or has no SQL is empty."""
    from torc_migrations.sources.source import Source, discover

    if directory.startswith("package:"):
        raise SourceError(
            directory, f"{directory!r} is not a directory to write to", hint="name the directory itself with --source"
        )
    try:
        empty = not any(name.endswith(".sql") for name in os.listdir(directory))
    except FileNotFoundError:
        empty = True
    except OSError:
        empty = False  # discover() says what is wrong with it
    return Source(directory, (), Layout.YOYO) if empty else discover(directory)


def _kind(source: Source, reversible: bool | None) -> tuple[str, str | None]:
    newest = source.migrations[-1] if source.migrations else None
    if reversible is None:
        reversible = newest is None or newest.reversible
    if not reversible:
        return ".sql", None
    return SUFFIXES[Layout.YOYO if source.layout is Layout.YOYO else Layout.SQLX]


def _check_order(source: Source, name: str) -> None:
    """Refuse a name that yoyo would not run as the last one, in a directory with names that only yoyo's users have.

    Raises:
        BadOrder: yoyo would run it before another one.
    """
    if source.layout is Layout.SQLX or not source.migrations:
        return
    files = [(os.path.basename(migration.up.path), migration.up.path) for migration in source.migrations]
    read_names(source.name, sorted([*files, (name, name)]))


def print_created(paths: tuple[str, ...], options: Namespace, terminal: Terminal) -> None:
    """Print the paths of the files that were written, as sqlx does."""
    if options.json:
        terminal.print_json({"created": list(paths)})
    else:
        terminal.print_text("".join(f"Creating {escaped(path)}\n" for path in paths))
