"""Find out whose migrations a directory has, and read them into scripts."""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8 as BOM
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torc_migrations.errors import Problem, SourceError
from torc_migrations.sources.converting import flyway
from torc_migrations.sources.converting.one_file.dbmate import read_dbmate
from torc_migrations.sources.converting.one_file.goose import read_goose
from torc_migrations.sources.converting.one_file.sql_migrate import read_sql_migrate
from torc_migrations.sources.converting.one_file.tern import read_tern
from torc_migrations.sources.converting.scripts import CannotConvert, Scripts, as_file, has_statement
from torc_migrations.sources.converting.yoyo.steps import read_python
from torc_migrations.sources.directives import Directives, read_directives
from torc_migrations.sources.files import find_bad_byte, read_bytes
from torc_migrations.sources.one_file_formats import find_mark
from torc_migrations.sources.text import place

YOYO, FLYWAY = "yoyo", "Flyway"
_READERS: dict[str, Callable[[bytes], Scripts]] = {
    "goose": read_goose,
    "dbmate": read_dbmate,
    "sql-migrate": read_sql_migrate,
    "tern": read_tern,
}
# Names that no migration of yoyo has.
_NO_MIGRATION = ("__init__.py", "_tmp_yoyonew")
_ROLLBACK = ".rollback.sql"
_NUMBERED = re.compile(r"(\d+)[_.-]?(.*)", re.DOTALL)
_GO_MIGRATION = re.compile(r"\d+_.*(?<!_test)\.go", re.DOTALL)


class Unit(NamedTuple):
    """A migration that was read: the number and the words of its name, its files, and its scripts as files."""

    stem: str
    version: int | None
    origins: tuple[str, ...]
    up: bytes
    down: bytes | None
    notes: tuple[str, ...] = ()

    @property
    def is_hook(self) -> bool:
        """Whether it is a post-apply script of yoyo, which has no version and no down script."""
        return self.version is None and self.stem.startswith("post-apply")


class Directory:
    """The files of a directory, by their names; what cannot be converted becomes a problem."""

    def __init__(self, name: str, paths: dict[str, str]) -> None:
        self.name = name
        self.paths = paths
        self.problems: list[Problem] = []

    def text(self, name: str) -> bytes | None:
        """Return the bytes of a file without a byte order mark; None, and a problem, where they are no UTF-8."""
        sql = self.read(name)
        if (offset := find_bad_byte(sql)) is not None:
            self.note(name, place(sql, offset).line, "it is not UTF-8, or has a NUL byte in it")
            return None
        return sql.removeprefix(BOM)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            SourceError: it cannot be read.
        """
        path = self.paths[name]
        try:
            return read_bytes(path)
        except OSError as error:
            raise SourceError(path, f"cannot read {path}: {error.strerror or error}") from error

    def note(self, name: str, line: int | None, reason: str) -> None:
        """Note what cannot be converted."""
        self.problems.append(Problem(self.paths[name], line, reason))


def find_tool(directory: Directory) -> str:
    """Return the tool that a directory is written for, by the names of the files and the marks in them.

    Raises:
        SourceError: it is plain SQL, or of several tools, or of one that cannot be converted.
    """
    found: dict[str, str] = {}
    for name in directory.paths:
        if _is_python(name):
            found.setdefault(YOYO, name)
        elif flyway.is_flyway(name):
            found.setdefault(FLYWAY, name)
        elif name.endswith(".sql") and (mark := find_mark(directory.read(name))):
            found.setdefault(mark[0], name)
    if len(found) > 1:
        (one, its), (two, others) = sorted(found.items())[:2]
        raise SourceError(
            directory.name,
            f"{directory.name} has migrations of {one} ({its}) and of {two} ({others})",
            hint="put them into a directory for each tool",
        )
    for tool, name in found.items():
        if tool in (YOYO, FLYWAY, *_READERS):
            return tool
        path = directory.paths[name]
        raise SourceError(path, f"{path} is written for {tool}, which cannot be converted", hint="split it by hand")
    raise SourceError(
        directory.name,
        f"there is nothing to convert in {directory.name}",
        hint="plain SQL is run as it is; migrations of yoyo in Python, and those of goose, dbmate, sql-migrate, tern "
        "and Flyway can be converted",
    )


def _is_python(name: str) -> bool:
    return name.endswith(".py") and not name.startswith(_NO_MIGRATION)


def read_units(directory: Directory, tool: str) -> list[Unit]:
    """Return the migrations of a tool; what cannot be converted is noted in the directory."""
    if tool == YOYO:
        return list(_read_yoyo(directory))
    if tool == FLYWAY:
        return list(_read_flyway(directory))
    return list(_read_one_file(directory, tool))


def _read_yoyo(directory: Directory) -> Iterator[Unit]:
    for name, path in directory.paths.items():
        stem, end = os.path.splitext(name)
        if end == ".sql" and not name.endswith(_ROLLBACK):
            down = stem + _ROLLBACK
            if f"{stem}.py" in directory.paths:
                directory.note(name, None, f"{stem}.py has the same id")
                continue
            there = down in directory.paths
            origins = (path, directory.paths[down]) if there else (path,)
            yield Unit(stem, None, origins, directory.read(name), directory.read(down) if there else None)
        elif _is_python(name):
            scripts, problems = read_python(directory.read(name))
            for problem in problems:
                directory.note(name, problem.line, problem.reason)
            if scripts is not None and (unit := _unit(directory, name, stem, None, (path,), scripts)):
                yield unit


def _read_one_file(directory: Directory, tool: str) -> Iterator[Unit]:
    for name, path in directory.paths.items():
        if tool == "goose" and _GO_MIGRATION.fullmatch(name):
            directory.note(name, None, "a migration in Go is no SQL")
        if not name.endswith(".sql") or name.startswith("."):
            continue
        found = _NUMBERED.fullmatch(name.removesuffix(".sql"))
        if found is None:
            directory.note(name, None, "its name does not begin with a number")
            continue
        text = directory.text(name)
        if text is None:
            continue
        try:
            scripts = _READERS[tool](text)
        except CannotConvert as error:
            directory.note(name, error.line, error.reason)
            continue
        stem = f"{found[1]}_{_words(found[2])}"
        if unit := _unit(directory, name, stem, int(found[1]), (path,), scripts):
            yield unit


def _read_flyway(directory: Directory) -> Iterator[Unit]:
    named: dict[str, flyway.FlywayName] = {}
    for name in directory.paths:
        try:
            read = flyway.read_flyway_name(name)
        except CannotConvert as error:
            directory.note(name, error.line, error.reason)
            continue
        if read is not None:
            named[name] = read
    integers = flyway.integers_of({each.version for each in named.values()})
    undo = {each.version: name for name, each in named.items() if each.kind == "U"}
    for name, each in named.items():
        if each.kind != "V":
            continue
        down = undo.pop(each.version, None)
        unit = _flyway_unit(directory, name, down, integers[each.version], each.words)
        if unit is not None:
            yield unit
    for name in undo.values():
        directory.note(name, None, "it has no versioned migration of the same version, or a second one uses it")


def _flyway_unit(directory: Directory, name: str, down: str | None, version: int, words: str) -> Unit | None:
    up_text = directory.text(name)
    down_text = directory.text(down) if down else None
    if up_text is None or (down and down_text is None):
        return None
    settings = [
        directory.read(f"{each}.conf") if each and f"{each}.conf" in directory.paths else b"" for each in (name, down)
    ]
    try:
        flyway.check_integer(version)
        scripts = flyway.read_flyway(up_text, down_text, settings[0], settings[1])
    except CannotConvert as error:
        directory.note(name, error.line, error.reason)
        return None
    origins = tuple(directory.paths[each] for each in (name, down) if each)
    return _unit(directory, name, f"{version}_{_words(words)}", version, origins, scripts)


def _words(text: str) -> str:
    return re.sub(r"\s", "_", text)


def _unit(
    directory: Directory, name: str, stem: str, version: int | None, origins: tuple[str, ...], scripts: Scripts
) -> Unit | None:
    """Return the bytes of both files; a down script without a statement would only pretend to roll back."""
    up = as_file(scripts.up, transactional=scripts.transactional_up, depends=scripts.depends)
    notes = [f"{origins[0]}: {note}" for note in scripts.notes]
    down = None
    if scripts.down is not None and has_statement(scripts.down):
        down = as_file(scripts.down, transactional=scripts.transactional_down)
    elif scripts.down is not None:
        notes.append(f"{origins[0]}: its down script has no statement and is left out, so it cannot be rolled back")
    wanted = Directives(scripts.transactional_up, depends=scripts.depends)
    misread = _misread(up, wanted) or (down and _misread(down, Directives(scripts.transactional_down)))
    if misread:
        directory.note(name, None, misread)
        return None
    return Unit(stem, version, origins, up, down, tuple(notes))


def _misread(sql: bytes, wanted: Directives) -> str | None:
    """Return what a comment would mean in a file of its own that it does not mean to the tool."""
    if mark := find_mark(sql):
        return f"a comment in it is a mark of {mark[0]}"
    try:
        read = read_directives(sql)._replace(foreign_keys=wanted.foreign_keys)
    except ValueError as error:
        return f"a comment at its head would be a directive: {error}"
    return None if read == wanted else "a comment at its head would be a directive"
