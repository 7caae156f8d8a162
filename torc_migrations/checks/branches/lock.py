"""`migrations.lock`: one line that two branches cannot both change without a conflict."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from torc_migrations.checks.findings import CheckFinding, CheckResult
from torc_migrations.checks.overwriting import overwrite
from torc_migrations.errors import SourceError
from torc_migrations.sources.migration import Migration, Script
from torc_migrations.sources.names import LOCK
from torc_migrations.sources.source import Source

CHECK = "lock"
_LINE = re.compile(r"(?P<version>[+-]?\d+) (?P<description>.*) sha256:(?P<digest>[0-9a-f]{64})\n?")
_REWRITE = "`torc-migrations check lock --write` rewrites it; commit it together with the scripts"
_RENUMBER = "`torc-migrations renumber` moves the migrations of this branch above the others, and rewrites it"


class _Locked(NamedTuple):
    """A directory with the file, and its migrations by ascending version."""

    path: str
    migrations: tuple[Migration, ...]


def chained_digest(scripts: Iterable[Script]) -> str:
    """Return a SHA-256 in hexadecimal over names and texts of scripts, each chained to those before it.

    A script with other line endings has the same digest, because git may change them.

    Raises:
        BadScript: a script cannot be read.
    """
    digest = b""
    for script in scripts:
        name = os.path.basename(script.path).encode("utf-8", "surrogateescape")
        digest = sha256(b"\0".join((digest, name, script.sql.replace(b"\r\n", b"\n")))).digest()
    return digest.hex()


def lock_line(migrations: Iterable[Migration]) -> str:
    """Return the line for migrations: the newest version, its description, and a digest of all scripts."""
    known = tuple(migrations)
    digest = chained_digest(script for each in known for script in (each.up, each.down) if script)
    newest = known[-1]
    return f"{newest.version} {' '.join(newest.description.split())} sha256:{digest}\n"


def check_lock(source: Source) -> CheckResult:
    """Check that `migrations.lock` in each directory of a source is the line for the scripts there.

    A directory without the file is not checked.

    Raises:
        SourceError: the file or a script cannot be read.
    """
    locked = [each for each in _directories(source) if os.path.lexists(each.path)]
    if not locked:
        return CheckResult(CHECK, skipped=f"there is no {LOCK}; `torc-migrations check lock --write` writes one")
    return CheckResult(CHECK, tuple(finding for each in locked for finding in _check(each)))


def write_lock(source: Source, *, create: bool = True, resolve: bool = False) -> tuple[str, ...]:
    """Write `migrations.lock` into each directory of a source where it is not right, and return the paths.

    Without `create` only files that exist are written; with `resolve` also those that have a conflict.

    Raises:
        SourceError: a directory cannot be written, or a script cannot be read.
    """
    written = []
    for path, migrations in _directories(source):
        line = lock_line(migrations)
        text = _read(path) if os.path.lexists(path) else None
        if text == line or (text is None and not create) or (text and has_conflict(text) and not resolve):
            continue
        _write(path, line)
        written.append(path)
    return tuple(written)


def has_conflict(text: str) -> bool:
    """Return whether git has left the lines of two branches in a text."""
    return text.startswith("<<<<<<< ") and "\n=======\n" in text


def _directories(source: Source) -> Iterator[_Locked]:
    """Yield the directories of a source; migrations in a package or in an archive have none."""
    found: dict[str, list[Migration]] = {}
    for migration in source.migrations:
        if os.path.isfile(migration.up.path):
            found.setdefault(os.path.dirname(migration.up.path), []).append(migration)
    for directory, migrations in found.items():
        yield _Locked(os.path.join(directory, LOCK), tuple(migrations))


def _check(locked: _Locked) -> Iterator[CheckFinding]:
    path, text = locked.path, _read(locked.path)
    expected = lock_line(locked.migrations)
    if text == expected:
        return
    if has_conflict(text):
        message = f"{LOCK} has a conflict: two branches have added or changed migrations"
        yield CheckFinding(CHECK, "lock-conflict", message, path, 1, 1, hint=_RENUMBER)
        return
    found = _LINE.fullmatch(text)
    if found is None:
        yield CheckFinding(CHECK, "bad-lock", f"{LOCK} is not one line of this command", path, 1, 1, hint=_REWRITE)
    else:
        newest = locked.migrations[-1].version
        yield CheckFinding(CHECK, "stale-lock", _stale(int(found["version"]), newest), path, 1, 1, hint=_REWRITE)


def _stale(recorded: int, newest: int) -> str:
    if recorded != newest:
        return f"{LOCK} is for version {recorded}, and the newest one is {newest}"
    return f"{LOCK} was written for other names or texts: a script was added, removed, renamed or edited since"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read().replace("\r\n", "\n")  # git may have changed its end
    except OSError as error:
        raise SourceError(path, f"cannot read {path!r}: {error.strerror}") from error


def _write(path: str, line: str) -> None:
    overwrite(path, line.encode("utf-8", "surrogateescape"))
