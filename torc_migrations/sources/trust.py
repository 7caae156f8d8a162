"""Return whether a file that was found, and not named, may say what the command does."""

from __future__ import annotations

import os
import stat

_FOR_OTHERS = stat.S_IWOTH


def reason_for_distrust(path: str) -> str | None:
    """Return why a configuration file is not believed, or None.

    It is believed if it belongs to the caller or to root, and nobody else can write it or its directory. For root, the
    user who has called sudo counts as the caller. As with git's safe.directory it is the owner that decides; a group
    that may write is trusted, because many systems give each user a group of his own. In a sticky directory, such as
    /tmp, others cannot replace a file. Windows is not checked.
    """
    if os.name != "posix":
        return None
    path = os.path.abspath(path)
    for place in dict.fromkeys((path, os.path.realpath(path))):
        if reason := _reason_at(place):
            return reason
    return None


def _reason_at(path: str) -> str | None:
    directory = os.path.dirname(path)
    found, around = os.lstat(path), os.stat(directory)
    if found.st_uid not in _trusted():
        return f"it belongs to {_name(found.st_uid)}"
    if not stat.S_ISLNK(found.st_mode) and found.st_mode & _FOR_OTHERS:
        return f"it belongs to {_name(found.st_uid)}, and everybody can write it"
    if around.st_uid not in _trusted():
        return f"its directory {directory} belongs to {_name(around.st_uid)}"
    if around.st_mode & _FOR_OTHERS and not around.st_mode & stat.S_ISVTX:
        return f"its directory {directory} belongs to {_name(around.st_uid)}, and everybody can write it"
    return None


def reason_for_distrust_of_directory(path: str) -> str | None:
    """Return why a directory of migrations that was found is not believed, or None: others could have put it there."""
    if os.name != "posix":
        return None
    owner = os.lstat(path).st_uid
    around = os.stat(os.path.dirname(os.path.abspath(path)))
    if owner in _trusted() or not around.st_mode & _FOR_OTHERS:
        return None
    return f"it belongs to {_name(owner)}, and everybody can write the directory that it is in"


def _trusted() -> set[int]:
    """Return the users whose files are believed."""
    caller = os.geteuid()
    by_sudo = os.environ.get("SUDO_UID", "") if caller == 0 else ""
    return {0, caller, *((int(by_sudo),) if by_sudo.isdecimal() and by_sudo.isascii() else ())}


def _name(user: int) -> str:
    import pwd

    try:
        return f"user {pwd.getpwuid(user).pw_name}"
    except KeyError:  # a container has users without a name
        return f"user {user}"
