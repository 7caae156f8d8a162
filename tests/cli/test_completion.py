"""The scripts of `completion`, read by the shells themselves."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from select import select

import pytest
from shell import Torc, environment, python, run

# What is typed, and what is offered for the last word of it.
TYPED = {
    "roll": {"rollback"},
    "rollback --target-": {"--target-version"},
    "-d app.db rollback --target-": {"--target-version"},
    "rollback --ste": {"--steps"},
    "upgrade --on-loss ": {"refuse", "warn"},
    "convert --layout ": {"yoyo", "sqlx"},
    "completion ": {"bash", "zsh", "fish"},
    "convert some": {"some_directory"},
    "-d some_data": {"some_database.db"},
    "rollback --statement-w": {"--statement-wise"},
    "rollback --no-such": set(),
}
BASH = """
source completion
COMP_WORDS=(torc-migrations "$@"); COMP_CWORD=$#; COMPREPLY=()
_shtab_torc_migrations torc-migrations "${@: -1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def _shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on the PATH: a package of the system has it, as in `apt-get install {name}`")
    return found


@pytest.fixture
def script(torc: Torc, here: Path) -> Callable[[str], Path]:
    """Write the script of a shell into the current directory, and return its path."""

    def write(shell: str) -> Path:
        made = torc("completion", shell)
        assert (made.status, made.err) == (0, "")
        (here / "some_directory" / "inner").mkdir(parents=True)
        (here / "some_database.db").touch()
        (here / "completion").write_text(made.out)
        return here / "completion"

    return write


@pytest.mark.parametrize("typed", TYPED)
def test_bash_completes(typed: str, script: Callable[[str], Path], here: Path) -> None:
    """Verbs, options, choices, directories and files."""
    script("bash")
    words = typed.split(" ")

    offered = run([_shell("bash"), "--norc", "-c", BASH, "bash", *words], here)

    assert (offered.status, offered.err) == (0, "")
    assert {word.rstrip("/ ") for word in offered.out.split()} == TYPED[typed]


@pytest.mark.parametrize("typed", TYPED)
def test_fish_completes(typed: str, script: Callable[[str], Path], here: Path) -> None:
    """The same; fish shows a description behind each."""
    script("fish")
    ask = "source completion; complete -C $argv[1]"

    offered = run([_shell("fish"), "--no-config", "-c", ask, f"torc-migrations {typed}"], here)

    assert offered.status == 0
    assert {line.partition("\t")[0].rstrip("/ ") for line in offered.out.splitlines()} == TYPED[typed]


@pytest.mark.parametrize("typed", [typed for typed, offered in TYPED.items() if len(offered) == 1])
def test_zsh_completes(typed: str, script: Callable[[str], Path], here: Path) -> None:
    """At a terminal the Tab key completes the word, where there is one way to do it."""
    zsh = _shell("zsh")
    (here / "functions").mkdir()
    script("zsh").rename(here / "functions" / "_torc-migrations")
    (word,) = TYPED[typed]
    terminal, inner = pty.openpty()
    process = subprocess.Popen(
        [zsh, "-f", "-i"],
        cwd=here,
        env=environment(here, {"TERM": "dumb"}),
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
    )
    os.close(inner)
    try:
        os.write(terminal, b"fpath=(functions $fpath); autoload -Uz compinit; compinit -u -d dump; echo READ''Y\n")
        _wait_for(terminal, "\nREADY")
        os.write(terminal, f"torc-migrations {typed}\t".encode())
        shown = _wait_for(terminal, f"torc-migrations {typed.rpartition(' ')[0]} {word}".replace("  ", " "))
    finally:
        process.kill()
        process.wait(timeout=30)
        os.close(terminal)

    assert word in shown


def _wait_for(terminal: int, text: str) -> str:
    """Read a terminal until it shows a text."""
    shown = ""
    deadline = time.monotonic() + 60
    while text not in shown.replace("\r", ""):
        assert time.monotonic() < deadline, f"{text!r} does not come: {shown!r}"
        if select([terminal], [], [], 0.5)[0]:
            shown += os.read(terminal, 4096).decode(errors="replace")
    return shown


def test_a_missing_library_is_named(here: Path) -> None:
    """shtab is an extra; the error says how to install it."""
    program = ("import sys", "sys.modules['shtab'] = None", "from torc_migrations.cli import main", "sys.exit(main())")

    result = run([*python(*program), "completion", "bash"], here)

    assert result.status == 2
    assert result.err == (
        "error: completion needs the library shtab, which cannot be imported\n"
        'hint: pip install "torc-migrations[completion]"\n'
    )


def test_no_other_verb_imports_the_library(here: Path) -> None:
    """It is loaded where the script is written, and nowhere else."""
    program = ("import sys", "from torc_migrations.cli import main", "main()", "print('shtab' in sys.modules)")

    assert run([*python(*program), "new", "add users"], here).out.endswith("False\n")
    assert run([*python(*program), "completion", "bash"], here).out.endswith("True\n")
