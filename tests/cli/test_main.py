"""`main()` inside a program: called again and again, and outside of the main thread."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import PAIRS, python, run, write_files


@pytest.fixture
def noisy(here: Path) -> Path:
    """Migrations about one of which the package's log has a warning."""
    return write_files(here / "migrations", {**PAIRS, "0004_pragma.sql": "PRAGMA foreign_keys = OFF;\nSELECT 1;\n"})


@pytest.mark.usefixtures("noisy")
def test_four_calls_print_each_line_of_the_log_once(here: Path) -> None:
    """Each call prints its own notes, once, and leaves the logger as it was."""
    script = python(
        "import logging",
        "from torc_migrations.cli import main",
        "log = logging.getLogger('torc_migrations')",
        "log.setLevel(logging.ERROR)",
        "before = log.level, log.propagate, list(log.handlers)",
        "codes = [main(['-d', f'{number}.db', 'upgrade']) for number in range(4)]",
        "print(codes, before == (log.level, log.propagate, log.handlers))",
    )

    result = run(script, here)

    assert result.out.splitlines()[-1] == "[0, 0, 0, 0] True"
    assert result.err.count("its PRAGMA foreign_keys does nothing") == 4
    assert len(result.err.splitlines()) == 4


@pytest.mark.usefixtures("migrations")
def test_main_runs_in_any_thread(here: Path) -> None:
    """Outside of the main thread no signal is watched, and everything else is the same."""
    script = python(
        "import threading",
        "from torc_migrations.cli import main",
        "codes = []",
        "words = ['-d', 'app.db', 'upgrade'], ['-d', 'app.db', 'rollback', '--target', '0', '--yes'], ['x']",
        "for each in words:",
        "    thread = threading.Thread(target=lambda: codes.append(main(each)))",
        "    thread.start()",
        "    thread.join()",
        "print(codes)",
    )

    result = run(script, here)

    assert result.out.splitlines()[-1] == "[0, 0, 2]"
    assert result.out.count("Applied ") == 6
    assert "Traceback" not in result.err


@pytest.mark.usefixtures("migrations")
def test_main_leaves_the_handling_of_signals_as_it_was(here: Path) -> None:
    """A host's own wake-up descriptor is there again afterwards."""
    script = python(
        "import os, signal",
        "from torc_migrations.cli import main",
        "reading, writing = os.pipe()",
        "os.set_blocking(writing, False)",
        "signal.set_wakeup_fd(writing)",
        "main(['-d', 'app.db', 'upgrade'])",
        "print(signal.set_wakeup_fd(-1) == writing)",
    )

    assert run(script, here).out.splitlines()[-1] == "True"


def test_the_package_is_a_command(here: Path, migrations: Path) -> None:
    """`python -m torc_migrations` is `torc-migrations`."""
    words = [*python()[:1], "-m", "torc_migrations"]

    listed = run([*words, "-d", "app.db", "-s", str(migrations), "status"], here)
    helped = run([*words, "--help"], here)

    assert (listed.status, listed.out.splitlines()[0]) == (0, "1/pending create book")
    assert helped.out.startswith("usage: torc-migrations [OPTION ...] VERB ...\n")


@pytest.mark.usefixtures("migrations")
def test_standard_output_may_be_a_stream_of_text(here: Path) -> None:
    """A program collects the output in a `StringIO`, and a notebook has a stream without bytes."""
    script = python(
        "import io, sys",
        "from torc_migrations.cli import main",
        "real, sys.stdout = sys.stdout, io.StringIO()",
        "statuses = [main(['-d', 'app.db', *words]) for words in (['status'], ['upgrade', '--json'])]",
        "text, sys.stdout = sys.stdout.getvalue(), real",
        "print(statuses, text.splitlines()[0])",
    )

    result = run(script, here)

    assert (result.out, "Traceback" in result.err) == ("[0, 0] 1/pending create book\n", False)


@pytest.mark.usefixtures("migrations")
def test_a_nul_in_an_argument_is_an_error_of_the_command_line(here: Path) -> None:
    """A program may pass what a shell cannot; no verb ends with a traceback."""
    script = python(
        "from torc_migrations.cli import main",
        "words = ['status -s m\\0', 'report --html r\\0', 'check queries --previous q\\0', 'status\\0']",
        "print([main(['-d', 'app.db', *each.split(' ')]) for each in words])",
    )

    result = run(script, here)

    assert result.out == "[2, 2, 2, 2]\n"
    assert result.err == 4 * "error: an argument holds a NUL, which no path and no name can have\nhint: leave it out\n"
