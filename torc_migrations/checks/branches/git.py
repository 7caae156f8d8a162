"""Ask git which files another commit has, and compare their texts."""

from __future__ import annotations

import os
import subprocess
from hashlib import new

from torc_migrations.errors import SourceError

_SHA1_DIGITS = 40
_PUTS_ON_HEAD = ("rebase-merge", "rebase-apply", "CHERRY_PICK_HEAD", "SQUASH_MSG")


def files_in(ref: str, directory: str) -> dict[str, str]:
    """Return the files of a directory in a commit, without subdirectories: the id of each text, by name.

    Raises:
        SourceError: git is not installed, the directory is in no repository, or there is no such commit.
    """
    # Without a path the root of the repository is meant.
    path = _prefix(directory) or "./"
    listed = _git(directory, "ls-tree", "-z", "--full-tree", _commit(ref, directory), "--", path)
    found = {}
    for entry in listed.split(b"\0"):
        facts, _, name = entry.partition(b"\t")
        if facts.split(b" ")[1:2] == [b"blob"]:
            found[os.path.basename(os.fsdecode(name))] = facts.split(b" ")[2].decode()
    return found


def is_text_of(blob: str, text: bytes) -> bool:
    """Return whether the id of a text in a commit is that of a text, whatever its line endings.

    https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    """
    unix = text.replace(b"\r\n", b"\n")
    algorithm = "sha1" if len(blob) == _SHA1_DIGITS else "sha256"
    forms = (text, unix, unix.replace(b"\n", b"\r\n"))
    return any(new(algorithm, b"blob %d\0%b" % (len(form), form)).hexdigest() == blob for form in forms)


def merged_ref(directory: str) -> str | None:
    """Return the commit that has the migrations of others, while git stands still at a conflict; else None.

    In a merge it is the branch that is merged. In a rebase, in a cherry-pick and after `merge --squash` it is HEAD, on
    which commits are put: in a rebase it has those that were put there before, too.

    Raises:
        SourceError: git is not installed, or the directory is in no repository.
    """
    if merged := _path(directory, "MERGE_HEAD"):
        with open(merged, encoding="ascii") as file:
            return file.read().split()[0]
    return "HEAD" if any(_path(directory, name) for name in _PUTS_ON_HEAD) else None


def _path(directory: str, name: str) -> str | None:
    """Return the path of a file of git's own, where it is there."""
    path = os.path.join(directory, os.fsdecode(_git(directory, "rev-parse", "--git-path", name).strip()))
    return path if os.path.exists(path) else None


def _commit(ref: str, directory: str) -> str:
    hint = "name a branch, a tag or a commit with --base; `git fetch` brings those of a remote repository"
    found = _git(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", missing=b"")
    if not found:
        raise SourceError(directory, f"git has no commit {ref!r}", hint=hint)
    return found.decode().strip()


def _prefix(directory: str) -> str:
    """Return the path of a directory inside of its repository."""
    return os.fsdecode(_git(directory, "rev-parse", "--show-prefix").removesuffix(b"\n"))


def _git(directory: str, *words: str, missing: bytes | None = None) -> bytes:
    """Return what git prints; `missing` where it fails, if that is given."""
    command = ["git", "-C", directory, *words]
    english = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, check=False, env=english)  # noqa: S603  # no shell
    except OSError as error:
        raise SourceError(directory, f"cannot run git: {error.strerror}", hint="install git") from error
    if done.returncode == 0:
        return done.stdout
    if missing is not None:
        return missing
    reason = done.stderr.decode(errors="replace").strip().splitlines()
    is_outside = "not a git repository" in "".join(reason)
    hint = "this compares with a commit of git: make a repository, or name a directory in one" if is_outside else None
    raise SourceError(directory, f"git fails in {directory}: {reason[0] if reason else done.returncode}", hint=hint)
