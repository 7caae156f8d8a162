"""Ctrl-C and SIGTERM: the command ends soon, and nothing is half-done."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import (
    COMMAND,
    HOLD,
    Torc,
    everything_in,
    interrupt_when,
    outcome_of,
    run,
    start,
    tables,
    write_files,
)

LONG_STATEMENT = (
    "INSERT INTO cut WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) "
    "SELECT count(*) FROM n;\n"
)


def is_cutting(database: Path) -> Callable[[], bool]:
    """Return a question: is the first migration of `slow` done, and the second one at work?"""
    journal = database.with_name(f"{database.name}-journal")
    return lambda: journal.exists() and database.exists() and tables(database) == {"quick"}


@pytest.fixture
def slow(here: Path) -> Path:
    """A migration that is done at once, and one that runs until it is stopped, in one long statement."""
    files = {
        "0001_quick.sql": "CREATE TABLE quick (x);\n",
        "0002_cut.sql": "CREATE TABLE cut (x);\n" + LONG_STATEMENT,
    }
    return write_files(here / "migrations", files)


@pytest.mark.usefixtures("slow")
def test_ctrl_c_ends_a_long_statement_and_keeps_nothing_of_its_migration(torc: Torc, here: Path) -> None:
    """Ctrl-C is heeded while SQLite computes; the running migration is rolled back, the finished one stays."""
    process = start([COMMAND, "-d", "app.db", "upgrade", "--group", "0"], here)

    result = interrupt_when(process, is_cutting(here / "app.db"))

    assert (result.status, result.lines) == (130, "Applied 1/migrate quick (TIME)\n")
    assert result.err.splitlines() == [
        "error: interrupted",
        "hint: `torc-migrations -d app.db status` lists what is installed",
        "note: done before it, and kept: 1",
    ]
    assert tables(here / "app.db") == {"quick"}
    assert torc("-d", "app.db", "status").out == "1/installed quick\n2/pending cut\n"
    assert sorted(everything_in(here)) == ["app.db", "migrations/0001_quick.sql", "migrations/0002_cut.sql"]


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_in_a_group_was_not_reported(torc: Torc, here: Path, number: int) -> None:
    """SQLite rolls the whole transaction back, which takes 50 ms at most with it; what was reported is installed."""
    process = start([COMMAND, "-d", "app.db", "upgrade"], here)

    result = interrupt_when(process, (here / "app.db-journal").exists, number)

    installed = torc("-d", "app.db", "status").out == "1/installed quick\n2/pending cut\n"
    assert result.lines in ("Applied 1/migrate quick (TIME)\n" if installed else "", "")
    assert tables(here / "app.db") == ({"quick"} if installed else set())


@pytest.mark.usefixtures("slow")
def test_json_tells_of_ctrl_c(here: Path) -> None:
    """An interruption is a document too, with what was done before it."""
    process = start([COMMAND, "-d", "app.db", "upgrade", "--group", "0", "--json"], here)

    result = interrupt_when(process, is_cutting(here / "app.db"))

    document = outcome_of(result)
    assert (result.status, document["done"]) == (130, [1])


def test_ctrl_c_ends_a_script_of_many_statements(torc: Torc, here: Path) -> None:
    """Between statements Ctrl-C is heeded as well."""
    many = "CREATE TABLE many (x);\n" + "INSERT INTO many SELECT count(*) FROM sqlite_master;\n" * 1_000_000
    write_files(here / "migrations", {"0001_many.sql": many})
    process = start([COMMAND, "-d", "app.db", "upgrade"], here)

    result = interrupt_when(process, (here / "app.db-journal").exists)

    assert (result.status, result.out) == (130, "")
    assert tables(here / "app.db") == set()
    assert torc("-d", "app.db", "status").out == "1/pending many\n"


@pytest.mark.usefixtures("migrations")
def test_ctrl_c_ends_the_wait_for_a_lock(here: Path) -> None:
    """Who waits for somebody else can be interrupted at once."""
    run([COMMAND, "-d", "app.db", "upgrade"], here)
    holder = start([sys.executable, "-c", f"{HOLD}; time.sleep(60)"], here)
    assert holder.stdout is not None
    holder.stdout.readline()
    process = start([COMMAND, "-d", "app.db", "rollback", "-v"], here)

    process_errors = process.stderr
    assert process_errors is not None
    first = next(line for line in process_errors if b"waiting" in line)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=10)
    holder.kill()
    holder.communicate()

    assert first.startswith(b"note: ")
    assert process.returncode == 130
    assert rest.startswith(b"error: interrupted\n")
    assert tables(here / "app.db") == {"book", "author"}


@pytest.mark.usefixtures("slow")
def test_sigterm_ends_the_command_at_once_and_nothing_is_half_done(torc: Torc, here: Path) -> None:
    """A process manager that stops the command gets its way; the database is whole for whoever opens it next."""
    process = start([COMMAND, "-d", "app.db", "upgrade", "--group", "0"], here)

    result = interrupt_when(process, is_cutting(here / "app.db"), signal.SIGTERM)

    assert result.status == -signal.SIGTERM
    assert torc("-d", "app.db", "status").out == "1/installed quick\n2/pending cut\n"
    assert tables(here / "app.db") == {"quick"}
