"""Run Python commands as processes of their own, forked from one that has loaded their modules already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, NoReturn

OURS = "torc_migrations.cli:main"
YOYO = "yoyo.scripts.main:main"
# What is loaded ahead: all that a command needs when it writes.
MODULES = {
    OURS: (
        "torc_migrations.cli",
        "torc_migrations.cli.arguments",
        "torc_migrations.cli.configuration",
        "torc_migrations.ledgers.yoyo",
    ),
    YOYO: (
        "yoyo.scripts.main",
        "yoyo.scripts.migrate",
        "yoyo.backends.core.sqlite3",
        "yoyo.backends.core.postgresql",
        "yoyo.internalmigrations",
    ),
}
KILLED = 137


class Said(NamedTuple):
    """What a command printed, and the status that it ended with."""

    out: str
    err: str
    status: int


class Preloaded:
    """A command whose every call is a new process, at the price of a fork instead of a start of Python."""

    def __init__(self, entry: str) -> None:
        self._entry = entry
        self._server = subprocess.Popen(
            [sys.executable, __file__, entry], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def __enter__(self) -> Preloaded:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.__exit__(kind, error, at)  # closes the pipes and waits for the end

    def __call__(self, *arguments: str, folder: Path, dies_in: str | None = None) -> Said:
        """Run the command in a folder; `dies_in` names a method of yoyo's backend at whose first call it is killed."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        if self._entry == OURS and {"revert", "rollback"}.intersection(arguments):
            arguments = (*arguments, "--yes")  # the other programs ask for no confirmation
        print(json.dumps([arguments, str(folder), dies_in]), file=self._server.stdin, flush=True)
        return Said(*json.loads(self._server.stdout.readline()))


def _serve(entry: str) -> None:
    for module in MODULES[entry]:
        import_module(module)
    for line in sys.stdin:
        arguments, folder, dies_in = json.loads(line)
        print(json.dumps(_run_forked(entry, arguments, folder, dies_in)), flush=True)


def _run_forked(entry: str, arguments: list[str], folder: str, dies_in: str | None) -> Said:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _be_the_command(entry, arguments, folder, dies_in, (out, err))
        _, status = os.waitpid(child, 0)
        return Said(_text(out), _text(err), os.waitstatus_to_exitcode(status))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _be_the_command(
    entry: str, arguments: list[str], folder: str, dies_in: str | None, streams: Sequence[IO[bytes]]
) -> NoReturn:
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, stream in enumerate(streams, start=1):
            os.dup2(stream.fileno(), number)
        os.chdir(folder)
        if dies_in:
            _arrange_death(dies_in)
        module, _, name = entry.partition(":")
        status = int(getattr(sys.modules[module], name)(arguments) or 0)
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:  # a command that fails so ends with a traceback and a 1, as Python does
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _arrange_death(method: str) -> None:
    from yoyo.backends.base import DatabaseBackend

    def die(*_: object, **__: object) -> None:
        os._exit(KILLED)

    setattr(DatabaseBackend, method, die)


if __name__ == "__main__":
    _serve(sys.argv[1])
