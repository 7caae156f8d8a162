"""Give the migrations of one branch new numbers, above those of another one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from errno import EEXIST
from typing import NamedTuple

from torc_migrations.checks.branches.git import files_in, merged_ref
from torc_migrations.checks.branches.lock import write_lock
from torc_migrations.checks.branches.numbering import Known, next_stem
from torc_migrations.checks.overwriting import overwrite
from torc_migrations.errors import InstalledAlready, SourceError, VersionNotPresent
from torc_migrations.history.records import Recorded
from torc_migrations.sources.checksums import checksum, yoyo_hash
from torc_migrations.sources.files import File, list_files, read_bytes
from torc_migrations.sources.names import Layout, Named, Names, read_names
from torc_migrations.sources.source import discover

_DEPENDS = re.compile(rb"(?m)^[ \t]*--[ \t]*depends[ \t]*:.*$")


class _Edit(NamedTuple):
    """The text of a file before and after."""

    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class Renumbered:
    """A migration that has a new number: its ids before and after, and its files by their paths before."""

    old_id: str
    new_id: str
    paths: dict[str, str]

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {"old_id": self.old_id, "new_id": self.new_id, "paths": dict(self.paths)}


def renumber(
    directory: str, versions: Collection[int] = (), *, base: str | None = None, recorded: Recorded | None = None
) -> tuple[Renumbered, ...]:
    """Give migrations new numbers above all others of a directory, in their order, and return what was renamed.

    Those that are above all others already keep their numbers. Ids in `-- depends:` lines follow, and so does
    `migrations.lock`, where the directory has it.

    Args:
        directory: a directory of migrations, with two of one version perhaps.
        versions: the migrations to move; none means those that the commit `base` does not have.
        base: a commit of git; None means the other branch of a merge that stands still, and in a rebase, in a
            cherry-pick and after `merge --squash` HEAD.
        recorded: what the ledgers of a database say, which none of the moved ones may be in.

    Raises:
        InstalledAlready: one of them is installed; nothing was renamed.
        VersionNotPresent: there is no such version.
        SourceError: which ones to move is not known, or a file cannot be read, renamed or written. All files have their
            names and texts of before then.
    """
    _, files = list_files(directory)
    moved = _chosen(directory, files, versions) if versions else _only_here(directory, files, base)
    names = {os.path.basename(str(location)) for each in moved for location in (each.up, each.down) if location}
    others = read_names(directory, [file for file in files if file[0] not in names])
    stems = _new_stems(directory, others, moved)
    if recorded is not None:
        _refuse_installed([each for each in moved if each.id in stems], recorded)
    renamed = tuple(_renumbered(directory, each, stems[each.id]) for each in moved if each.id in stems)
    # The highest number first, and down scripts before up scripts: if the process is killed in between, no number is
    # used twice, and the next call does the rest, where the versions are not times.
    paths = [pair for each in reversed(renamed) for pair in reversed(each.paths.items())]
    with ExitStack() as undo:
        _write(_edited(directory, files, stems), undo)
        _rename(paths, undo)
        write_lock(discover(directory), create=False, resolve=True)
        undo.pop_all()
    return renamed


def _chosen(directory: str, files: list[File], versions: Collection[int]) -> list[Named]:
    names = read_names(directory, files)
    if unknown := set(versions) - {each.version for each in names.migrations}:
        raise VersionNotPresent(min(unknown))
    return [each for each in names.migrations if each.version in set(versions)]


def _only_here(directory: str, files: list[File], base: str | None) -> list[Named]:
    """Return the migrations that a commit does not have."""
    ref = base or merged_ref(directory)
    if ref is None:
        raise SourceError(
            directory,
            "which migrations are to be renumbered is not known: no merge, rebase or cherry-pick stands still here",
            hint="name the versions, or the branch that has the others with base=",
            command_hint="name the versions, or the branch that has the others with --base",
        )
    known = files_in(ref, directory)
    return read_names(directory, [file for file in files if file[0] not in known]).migrations


def _new_stems(directory: str, others: Names, moved: Sequence[Named]) -> dict[str, str]:
    """Return the new ids by the old ones; one that is above all before it keeps its own."""
    known = [Known(each.version, each.id) for each in others.migrations]
    stems: dict[str, str] = {}
    for each in moved:
        if known and each.version <= known[-1].version:
            stem = next_stem(directory, _layout(others, each), known, _words(each))
            stems[each.id] = stem
            (read,) = read_names(directory, [(f"{stem}.sql", f"{stem}.sql")]).migrations
            known.append(Known(read.version, stem))
        else:
            known.append(Known(each.version, each.id))
    return stems


def _words(named: Named) -> str:
    """Return the words of a name, as they are written where the number ends with an underscore."""
    number, _, words = named.id.partition("_")
    return words if number.isdecimal() and int(number) == named.version else named.description.replace(" ", "_")


def _layout(others: Names, moved: Named) -> Layout:
    has_yoyo_pair = moved.down is not None and str(moved.down).endswith(".rollback.sql")
    return Layout.YOYO if has_yoyo_pair else others.layout


def _refuse_installed(moved: Sequence[Named], recorded: Recorded) -> None:
    for each in moved:
        row = recorded.sqlx.get(each.version)
        in_sqlx = row is not None and row.checksum == checksum(_read(os.path.dirname(str(each.up)), str(each.up)))
        if in_sqlx or yoyo_hash(each.id) in recorded.yoyo:
            raise InstalledAlready(each.version)


def _renumbered(directory: str, named: Named, stem: str) -> Renumbered:
    paths = {}
    for location in filter(None, (named.up, named.down)):
        name = os.path.basename(str(location))
        end = name[len(named.id) :] if name.startswith(named.id) else _end(name)
        paths[str(location)] = os.path.join(directory, stem + end)
    return Renumbered(named.id, stem, paths)


def _end(name: str) -> str:
    """Return how the name of a file ends, whose description is not that of its up file."""
    return next(end for end in (".rollback.sql", ".down.sql", ".up.sql", ".sql") if name.endswith(end))


def _rename(paths: list[tuple[str, str]], undo: ExitStack) -> None:
    for old, new in paths:
        try:
            if os.path.lexists(new):
                raise FileExistsError(EEXIST, os.strerror(EEXIST), new)
            os.rename(old, new)
        except OSError as error:
            raise SourceError(new, f"cannot rename {old!r} to {new!r}: {error.strerror}") from error
        undo.callback(_undo, os.rename, new, old)


def _edited(directory: str, files: list[File], stems: dict[str, str]) -> dict[str, _Edit]:
    """Return the scripts of a directory whose `-- depends:` lines name other ids now, by their paths."""
    ids = {old.encode(): new.encode() for old, new in stems.items()}

    def with_new_ids(line: re.Match[bytes]) -> bytes:
        head, colon, value = line[0].partition(b":")
        return head + colon + re.sub(rb"\S+", lambda word: ids.get(word[0], word[0]), value)

    edits = {}
    for path in [str(location) for name, location in files if stems and name.endswith(".sql")]:
        old = _read(directory, path)
        new = _DEPENDS.sub(with_new_ids, old)
        if new != old:
            edits[path] = _Edit(old, new)
    return edits


def _read(directory: str, path: str) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise SourceError(directory, f"cannot read {path}: {error.strerror}") from error


def _write(edits: dict[str, _Edit], undo: ExitStack) -> None:
    for path, edit in edits.items():
        overwrite(path, edit.new)
        undo.callback(_undo, overwrite, path, edit.old)


def _undo(act: Callable[..., object], *arguments: object) -> None:
    """Undo what can be; the error that asks for it is the one that is raised."""
    with suppress(OSError, SourceError):
        act(*arguments)
