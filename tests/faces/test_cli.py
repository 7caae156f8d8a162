"""The command: what it prints and where, how it ends, and what it never does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import (
    COMMAND,
    NEWEST,
    Result,
    Torc,
    environment,
    everything_in,
    interrupt_when,
    query,
    run,
    run_on_terminal,
    start,
    tables,
    write_files,
)

LOCALES = {
    "UTF-8": {"LC_ALL": "C.UTF-8"},
    "C": {"LC_ALL": "C", "LANG": "C"},
    "C, not coerced": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
}

PASSWORD = "hunter2"
URLS_WITH_PASSWORD = (
    f"postgresql://ann:{PASSWORD}@db.example.com/app",
    f"mysql://ann:{PASSWORD}@db.example.com/app?charset=utf8",
    f"postgres://ann:{PASSWORD}@db.example.com:5432/app",
    f"oracle://ann:{PASSWORD}@db.example.com/app",
    f"sqlite://ann:{PASSWORD}@host/app.db?bad=1",
    f"sqlite:///app.db?password={PASSWORD}",
    f"postgresql://ann:p@{PASSWORD}@db.example.com/app",
    f"postgresql://ann:p/{PASSWORD}@db.example.com/app",
    f"postgresql://:{PASSWORD}@db.example.com/app",
    f"postgresql+psycopg://ann:{PASSWORD}@[::1]/app",
)

BAD_SQL = {
    "0001_fine.sql": "CREATE TABLE fine (x);\n",
    "0002_boom.sql": "CREATE TABLE half (x);\nSELECT 1 FROM gone;\n",
}
HOLD = "import sqlite3, sys, time; c = sqlite3.connect('app.db'); c.execute('BEGIN IMMEDIATE'); print(flush=True)"
LONG_STATEMENT = (
    "INSERT INTO cut WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) "
    "SELECT count(*) FROM n;\n"
)


def outcome_of(result: Result) -> dict[str, object]:
    """Return what stands on standard output, which must be one JSON document and nothing else."""
    document = json.loads(result.out)
    assert isinstance(document, dict)
    return document


# What sqlx 0.8.6 and 0.9.0 print for `migrate` with these words, and what our words for it are.
SQLX_SESSION = (
    ("info", "status", "1/pending make café\n2/pending make t2\n3/pending make t3\n"),
    (
        "run --dry-run --target-version 2",
        "upgrade --dry-run --target 2",
        "Can apply 1/migrate make café (TIME)\nCan apply 2/migrate make t2 (TIME)\nSkipped 3/migrate make t3 (TIME)\n",
    ),
    (
        "run --target-version 2",
        "upgrade --target 2",
        "Applied 1/migrate make café (TIME)\nApplied 2/migrate make t2 (TIME)\nSkipped 3/migrate make t3 (TIME)\n",
    ),
    ("info", "status", "1/installed make café\n2/installed make t2\n3/pending make t3\n"),
    (
        "revert --target-version 2",
        "rollback --target 2",
        "Skipped 2/revert make t2 (TIME)\nSkipped 1/revert make café (TIME)\n",
    ),
    ("revert --dry-run", "rollback --dry-run", "Can apply 2/revert make t2 (TIME)\n"),
    ("run", "upgrade", "Applied 3/migrate make t3 (TIME)\n"),
    ("run", "upgrade", ""),
    (
        "revert --dry-run --target-version 1",
        "rollback --dry-run --target 1",
        "Can apply 3/revert make t3 (TIME)\nCan apply 2/revert make t2 (TIME)\nSkipped 1/revert make café (TIME)\n",
    ),
    ("revert", "rollback", "Applied 3/revert make t3 (TIME)\n"),
    (
        "revert --target-version 0",
        "rollback --target 0",
        "Applied 2/revert make t2 (TIME)\nApplied 1/revert make café (TIME)\n",
    ),
    ("revert", "rollback", "No migrations available to revert\n"),
    ("revert --dry-run", "rollback --dry-run", "No migrations available to revert\n"),
    ("revert --target-version 0", "rollback --target 0", "No migrations available to revert\n"),
)


@pytest.fixture
def sqlx_folder(here: Path) -> Path:
    """Three pairs in sqlx's layout, one of them not in ASCII."""
    names = ("0001_make_café", "0002_make_t2", "0003_make_t3")
    ups = {f"{name}.up.sql": f"CREATE TABLE t{n} (x);\n" for n, name in enumerate(names)}
    downs = {f"{name}.down.sql": f"DROP TABLE t{n};\n" for n, name in enumerate(names)}
    return write_files(here / "migrations", {**ups, **downs})


@pytest.mark.usefixtures("sqlx_folder")
def test_each_verb_prints_what_sqlx_prints(torc: Torc) -> None:
    """Standard output is that of sqlx, byte for byte but for durations, and standard error is silent."""
    for _, words, expected in SQLX_SESSION:
        result = torc("-d", "app.db", *words.split())

        assert (words, result.status, result.lines, result.err) == (words, 0, expected, "")


@pytest.mark.skipif(shutil.which("sqlx") is None, reason="no sqlx on the PATH: `cargo install sqlx-cli` puts it there")
@pytest.mark.usefixtures("sqlx_folder")
def test_the_recorded_session_is_what_sqlx_prints(here: Path) -> None:
    """What we hold ourselves to is what the real sqlx prints."""
    sqlx = shutil.which("sqlx") or ""
    run([sqlx, "database", "create"], here, {"DATABASE_URL": "sqlite:app.db"})
    for words, _, expected in SQLX_SESSION:
        result = run([sqlx, "migrate", *words.split()], here, {"DATABASE_URL": "sqlite:app.db"})

        assert (words, result.lines) == (words, expected)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.usefixtures("sqlx_folder")
def test_standard_output_is_utf8_whatever_the_locale(torc: Torc, locale: str) -> None:
    """A description that is not ASCII is printed in UTF-8, as Rust does, under every locale."""
    env: dict[str, str | None] = dict(LOCALES[locale])

    upgraded = torc("-d", "app.db", "run", "--target-version", "1", env=env)
    listed = torc("-d", "app.db", "info", "--json", env=env)

    assert upgraded.lines.splitlines()[0] == "Applied 1/migrate make café (TIME)"
    assert '"description": "make café"' in listed.out


@pytest.mark.parametrize("locale", LOCALES)
def test_an_error_that_is_not_ascii_is_told_under_every_locale(torc: Torc, locale: str) -> None:
    """What a terminal cannot show is escaped; it never hides the error behind another."""
    result = torc("-d", "app.db", "-s", "où", "status", env=dict(LOCALES[locale]))

    assert result.status == 2
    assert result.err.startswith("error: there is no folder 'o")
    assert "Traceback" not in result.err


def test_a_changed_file_is_listed_with_both_checksums(torc: Torc, migrations: Path) -> None:
    """An edited migration has sqlx's three lines."""
    torc("-d", "app.db", "upgrade")
    (migrations / "0002_add_author.sql").write_text("CREATE TABLE author (id, born);\n")

    result = torc("-d", "app.db", "status")

    first, second, third, fourth, last = result.out.splitlines()
    assert (first, second) == ("1/installed create book", "2/installed (different checksum) add author")
    assert third.startswith("applied migration had checksum ")
    assert fourth.startswith("local migration has checksum ")
    assert {len(third.split()[-1]), len(fourth.split()[-1])} == {96}
    assert last == "3/installed index titles"


@pytest.mark.parametrize(("theirs", "ours"), [("info", "status"), ("run", "upgrade"), ("revert", "rollback")])
@pytest.mark.usefixtures("migrations")
def test_sqlx_verbs_are_other_names_of_ours(torc: Torc, theirs: str, ours: str) -> None:
    """A verb of sqlx and ours print the same."""
    torc("-d", "one.db", "upgrade", "--target", "2")
    torc("-d", "two.db", "upgrade", "--target", "2")

    assert torc("-d", "one.db", theirs).lines == torc("-d", "two.db", ours).lines


@pytest.mark.parametrize(
    "words",
    [
        "-d app.db -s other status",
        "status -d app.db -s other",
        "-D app.db --source other info",
        "info --database-url app.db --source other",
        "--database app.db status --source=other",
        "-s other status --database=app.db",
        "-d wrong.db -s wrong status -d app.db -s other",
        "--no-dotenv -d app.db -s other status",
        "-d app.db -s other status --no-dotenv",
        "-dapp.db -sother status",
    ],
)
def test_common_flags_stand_before_the_verb_and_after_it(torc: Torc, here: Path, words: str) -> None:
    """Both places mean the same; what stands after the verb wins."""
    write_files(here / "other", {"7_seven.sql": "CREATE TABLE seven (x);"})

    assert torc(*words.split()) == Result(0, "7/pending seven\n", "")


@pytest.mark.parametrize("words", ["--json -d app.db status", "-d app.db status --json", "status --json -d app.db"])
@pytest.mark.usefixtures("migrations")
def test_json_stands_before_the_verb_and_after_it(torc: Torc, words: str) -> None:
    """The flag `--json` works in both places."""
    assert outcome_of(torc(*words.split()))["pending"] == [1, 2, 3]


@pytest.mark.parametrize(
    "words",
    ["upgrade --target 2", "upgrade --target-version 2", "run --target-version=2", "apply 1 2", "apply 2 1"],
)
def test_upgrade_and_apply_reach_the_same(torc: Torc, here: Path, migrations: Path, words: str) -> None:
    """A target under either name, or exactly these versions in any order, end at the same schema."""
    result = torc("-d", "app.db", "-s", str(migrations), *words.split())

    assert result.status == 0
    assert tables(here / "app.db") == {"book", "author"}
    assert query(here / "app.db", "SELECT name FROM sqlite_master WHERE name = 'idx_title'") == []


@pytest.mark.usefixtures("migrations")
def test_apply_leaves_alone_what_is_not_named(torc: Torc, here: Path) -> None:
    """Only the version that is named is applied, though an older one is pending."""
    result = torc("-d", "app.db", "apply", "2")

    assert result.lines == "Applied 2/migrate add author (TIME)\n"
    assert tables(here / "app.db") == {"author"}


def test_a_status_of_each_kind_has_its_own_exit_code(torc: Torc, migrations: Path) -> None:
    """`status --exit-code` is 1 where something is pending, 0 where nothing is, 3 where a file was edited."""
    before = torc("-d", "app.db", "status", "--exit-code")
    torc("-d", "app.db", "upgrade")
    after = torc("-d", "app.db", "status", "--exit-code")
    (migrations / "0001_create_book.sql").write_text("CREATE TABLE book (id);\n")
    edited = torc("-d", "app.db", "status", "--exit-code")
    plain = torc("-d", "app.db", "status")

    assert [before.status, after.status, edited.status, plain.status] == [1, 0, 3, 0]


def test_every_error_has_the_exit_code_of_its_kind(torc: Torc, here: Path, migrations: Path) -> None:
    """2 for the command, 3 for the ledgers, 4 for the target, 5 for the lock, 6 for a script."""
    torc("-d", "app.db", "upgrade")
    holder = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            f"{HOLD}; sys.stdin.read()",
        ],
        cwd=here,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    locked = torc("-d", "app.db", "rollback", "--lock-timeout", "0.2")
    holder.communicate()
    write_files(here / "boom", BAD_SQL)
    failed = torc("-d", "boom.db", "-s", "boom", "upgrade")
    misspelled = torc("-d", "app.db", "upgarde")
    target = torc("-d", "app.db", "upgrade", "--target", "9")
    (migrations / "0001_create_book.sql").write_text("CREATE TABLE book (id);\n")
    edited = torc("-d", "app.db", "upgrade")

    ended = [misspelled, edited, target, locked, failed]
    assert [result.status for result in ended] == [2, 3, 4, 5, 6]
    assert [result.err.startswith("error: ") for result in ended] == [True] * 5
    assert [result.out for result in ended] == ["", "", "", "", "Applied 1/migrate fine (" + failed.out[24:]]


def test_whoever_holds_the_lock_is_named(torc: Torc, here: Path, migrations: Path) -> None:
    """A lock that is held too long is an error that says how long we waited and how to wait longer."""
    holder = start([sys.executable, "-c", f"{HOLD}; time.sleep(60)"], here)
    assert holder.stdout is not None
    holder.stdout.readline()
    result = torc("-d", "app.db", "-s", str(migrations), "upgrade", "--lock-timeout", "0.3")
    holder.kill()
    holder.communicate()

    assert result.status == 5
    assert "locked for the 0." in result.err
    assert "--lock-timeout" in result.err


def test_a_failing_script_is_shown_with_its_place(torc: Torc, here: Path) -> None:
    """The error names file, line and column, draws a caret, and says what is left of it."""
    write_files(here / "boom", BAD_SQL)

    result = torc("-d", "app.db", "-s", "boom", "upgrade")

    assert result.lines == "Applied 1/migrate fine (TIME)\n"
    assert result.err.splitlines() == [
        "error: while executing migration 2: no such table: gone",
        "  --> boom/0002_boom.sql:2:1",
        "   2 | SELECT 1 FROM gone;",
        "     | ^",
        "hint: nothing of 2 was kept",
        "note: done before it, and kept: 1",
    ]
    assert tables(here / "app.db") == {"fine"}


@pytest.mark.usefixtures("migrations")
def test_json_tells_of_every_verb(torc: Torc, here: Path) -> None:
    """With `--json` each verb prints one document and nothing else, for what it did as for what it would do."""
    planned = outcome_of(torc("-d", "app.db", "upgrade", "--dry-run", "--json"))
    upgraded = outcome_of(torc("-d", "app.db", "upgrade", "--target", "2", "--json"))
    applied = outcome_of(torc("-d", "app.db", "apply", "3", "--json"))
    listed = outcome_of(torc("-d", "app.db", "status", "--json"))
    rolled_back = outcome_of(torc("-d", "app.db", "rollback", "--target", "0", "--json"))
    idle = outcome_of(torc("-d", "app.db", "rollback", "--json"))
    made = outcome_of(torc("new", "more", "--json"))
    exported = outcome_of(torc("export", "--layout", "sqlx", "out", "--json"))

    def versions(document: dict[str, object]) -> list[int]:
        steps = document["steps"]
        assert isinstance(steps, list)
        return [step["version"] for step in steps]

    assert versions(planned) == [1, 2, 3]
    assert (versions(upgraded), upgraded["skipped"], upgraded["target"]) == ([1, 2], [3], 2)
    assert versions(applied) == [3]
    assert (listed["latest"], listed["pending"], listed["clean"]) == (3, [], True)
    assert (versions(rolled_back), rolled_back["direction"]) == ([3, 2, 1], "down")
    assert versions(idle) == []
    assert made["created"] == ["migrations/0004_more.sql", "migrations/0004_more.rollback.sql"]
    assert [(here / str(path)).exists() for path in exported["created"]] == [True] * 8  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "kind", "status"),
    [
        ("-d app.db upgrade --target 9", "VersionNotPresent", 4),
        ("-d app.db -s gone upgrade", "SourceError", 2),
        ("-d app.db -s boom upgrade", "ExecutionFailed", 6),
        ("-d mongodb:x upgrade", "UrlError", 2),
        ("upgrade", "UrlError", 2),
        ("upgarde", "BadArguments", 2),
        ("", "BadArguments", 2),
        ("upgrade --frobnicate", "BadArguments", 2),
        ("upgrade --target one", "BadArguments", 2),
    ],
)
@pytest.mark.usefixtures("migrations")
def test_json_tells_of_every_error(torc: Torc, here: Path, words: str, kind: str, status: int) -> None:
    """With `--json` an error is one document as well, and the sentence still stands on standard error."""
    write_files(here / "boom", BAD_SQL)

    result = torc(*words.split(), "--json")

    error = outcome_of(result)["error"]
    assert isinstance(error, dict)
    assert (error["type"], error["exit_code"], result.status) == (kind, status, status)
    assert f"error: {error['message']}" in result.err
    assert f"hint: {error['hint']}" in result.err


def test_json_tells_what_was_done_before_an_error(torc: Torc, here: Path) -> None:
    """The migrations that were finished before one failed are listed as done."""
    write_files(here / "boom", BAD_SQL)

    document = outcome_of(torc("-d", "app.db", "-s", "boom", "upgrade", "--json"))

    assert document["done"] == [1]


@pytest.mark.usefixtures("migrations")
def test_verbose_tells_each_statement_and_its_time(torc: Torc) -> None:
    """`-v` writes notes to standard error, and nothing more to standard output."""
    result = torc("-d", "app.db", "upgrade", "-v")

    assert result.lines == (
        "Applied 1/migrate create book (TIME)\nApplied 2/migrate add author (TIME)\n"
        "Applied 3/migrate index titles (TIME)\n"
    )
    assert all(line.startswith("note: ") for line in result.err.splitlines())
    assert "note: CREATE INDEX idx_title ON book (title); (" in result.err
    assert "note: database app.db, from --database" in result.err
    assert "note: source migrations, from the folder here" in result.err


def test_version_is_that_of_the_package(torc: Torc) -> None:
    """`--version` names the command and its version."""
    from torc_migrations._version import __version__

    assert torc("--version") == Result(0, f"torc-migrations {__version__}\n", "")


@pytest.mark.parametrize("verb", ["", "status", "upgrade", "rollback", "apply", "new", "export", "info", "add"])
def test_help_fits_a_terminal_and_teaches_by_examples(torc: Torc, verb: str) -> None:
    """Every page of help is at most 80 columns wide, and shows the verb at work."""
    result = torc(*verb.split(), "--help", env={"COLUMNS": "80"})

    assert (result.status, result.err) == (0, "")
    assert max(len(line) for line in result.out.splitlines()) <= 80
    assert len(result.out.splitlines()) <= 60
    assert "examples:\n  torc-migrations " in result.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "error: no verb is given\nhint: `torc-migrations --help` shows them\n"),
        ("statsu", "error: there is no verb 'statsu'\nhint: did you mean `status`?\n"),
        ("down", "error: there is no verb 'down'\nhint: did you mean `rollback`?\n"),
        ("migrate run", "error: there is no verb 'migrate'\nhint: did you mean `upgrade`?\n"),
        ("help", "error: there is no verb 'help'\nhint: `torc-migrations --help` shows the verbs\n"),
        ("--db x.db status", "error: there is no option '--db'\nhint: `torc-migrations --help` shows the options\n"),
        ("--db=x.db status", "error: status does not take '--db=x.db'\n"),
        ("upgrade 3", "error: upgrade does not take '3'\nhint: say --target 3\n"),
        ("run 3", "error: run does not take '3'\nhint: say --target 3\n"),
        ("status now", "error: status does not take 'now'\nhint: `torc-migrations status --help` shows"),
        ("upgrade --target last", "error: argument --target/--target-version: 'last' is no version; a version is"),
        ("upgrade --lock-timeout -1", "error: argument --lock-timeout/--connect-timeout: '-1' is not a number of sec"),
        ("upgrade --lock-timeout nan", "error: argument --lock-timeout/--connect-timeout: 'nan' is not a number of"),
        ("status sqlite:///x.db", "error: status does not take 'sqlite:///x.db'\nhint: say -d sqlite:///x.db\n"),
        ("x.db status", "error: there is no verb 'x.db'\nhint: say -d x.db, and then the verb\n"),
        ("new add users", "error: new does not take 'users'\nhint: put the description into quotes\n"),
        ("new", "error: the following arguments are required: DESCRIPTION\nhint: `torc-migrations new --help`"),
        ("new -s -t x", "error: argument -t/--timestamp: not allowed with argument -s/--sequential\n"),
        ("export out", "error: the following arguments are required: --layout\n"),
    ],
)
def test_a_wrong_command_is_answered_in_two_lines(torc: Torc, here: Path, words: str, said: str) -> None:
    """What was typed wrongly is named, with a way on, and without a page of usage."""
    result = torc(*words.split())

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(said)
    assert len(result.err.splitlines()) == 2
    assert everything_in(here) == {}


@pytest.mark.usefixtures("migrations")
def test_colours_are_for_terminals_only(torc: Torc, here: Path) -> None:
    """A terminal gets sqlx's colours, a pipe none."""
    piped = torc("-d", "app.db", "status")
    shown = run_on_terminal([COMMAND, "-d", "app.db", "status"], here)

    assert "\033" not in piped.out
    assert shown.out.splitlines()[0] == "\033[36m1\033[0m/\033[33mpending\033[0m create book"


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.usefixtures("migrations")
def test_colours_can_be_switched_off(here: Path, env: dict[str, str | None]) -> None:
    """NO_COLOR, or a dumb terminal, means the same text without colours; an empty NO_COLOR means nothing."""
    plain = run_on_terminal([COMMAND, "-d", "app.db", "status"], here, env)
    error = run_on_terminal([COMMAND, "-d", "app.db", "-s", "gone", "status"], here, env)
    coloured = run_on_terminal([COMMAND, "-d", "app.db", "status"], here, {"NO_COLOR": ""})

    assert plain.out.splitlines()[0] == "1/pending create book"
    assert error.out.startswith("error: there is no folder")
    assert "\033[36m" in coloured.out


@pytest.mark.parametrize("verb", ["status", "upgrade", "--help", "status --json"])
def test_a_reader_who_leaves_ends_the_command_quietly(here: Path, verb: str) -> None:
    """A broken pipe is no error to tell: no traceback, and the exit status of SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [COMMAND, "-d", "app.db", *verb.split()],
        cwd=here,
        env=environment(here),
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (141, b"")


def test_an_upgrade_stops_between_migrations_when_its_reader_leaves(here: Path) -> None:
    """What was applied before the pipe broke is kept whole, and the next upgrade goes on from there."""
    piped = run(["sh", "-c", f"{COMMAND} -d app.db upgrade | head -1"], here)
    again = run([COMMAND, "-d", "app.db", "upgrade"], here)

    assert piped.lines == "Applied 20251020140215/migrate create workflows (TIME)\n"
    assert piped.err == ""
    assert again.status == 0
    assert query(here / "app.db", "SELECT max(version) FROM _sqlx_migrations") == [(NEWEST,)]


@pytest.mark.usefixtures("migrations")
def test_nobody_reading_the_notes_stops_nothing(here: Path) -> None:
    """With a broken standard error the work is done all the same."""
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [COMMAND, "-v", "-d", "app.db", "upgrade"],
        cwd=here,
        env=environment(here),
        stdout=subprocess.PIPE,
        stderr=writing,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stdout.count(b"Applied ")) == (0, 3)


@pytest.mark.parametrize(
    ("closed", "words"),
    [
        ("<&-", "rollback --target 0"),
        (">&-", "status"),
        (">&-", "upgrade --target 77"),
        ("2>&-", "-v upgrade"),
        ("2>&-", "upgrade --target 77"),
        ("<&- >&- 2>&-", "-v rollback"),
        ("<&- >&- 2>&-", "upgrade --target 77"),
    ],
)
def test_closed_streams_harm_nothing(here: Path, closed: str, words: str) -> None:
    """Whichever of its streams is closed, the command does its work, and no file gets its output instead."""
    run([COMMAND, "-d", "app.db", "upgrade"], here)

    result = run(["sh", "-c", f"{COMMAND} -d app.db {words} {closed}"], here)

    assert result.status == (4 if "77" in words else 0)
    assert "Traceback" not in result.out + result.err
    assert query(here / "app.db", "PRAGMA integrity_check") == [("ok",)]
    assert list(everything_in(here)) == ["app.db"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("words", ["status", "status --json", "upgrade --target 77 --json"])
def test_a_full_disk_behind_the_output_is_told(here: Path, words: str) -> None:
    """Output that cannot be written is an error, in a sentence."""
    result = run(["sh", "-c", f"{COMMAND} -d app.db {words} > /dev/full"], here)

    assert result.status == 2
    assert "error: cannot write to standard output: No space left on device\n" in result.err
    assert "Traceback" not in result.err


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
    process = start([COMMAND, "-d", "app.db", "upgrade"], here)

    result = interrupt_when(process, is_cutting(here / "app.db"))

    assert (result.status, result.lines) == (130, "Applied 1/migrate quick (TIME)\n")
    assert result.err.splitlines() == [
        "error: interrupted",
        "hint: what was cut short is not installed; `torc-migrations status` lists what is",
        "note: done before it, and kept: 1",
    ]
    assert tables(here / "app.db") == {"quick"}
    assert torc("-d", "app.db", "status").out == "1/installed quick\n2/pending cut\n"
    assert sorted(everything_in(here)) == ["app.db", "migrations/0001_quick.sql", "migrations/0002_cut.sql"]


@pytest.mark.usefixtures("slow")
def test_json_tells_of_ctrl_c(here: Path) -> None:
    """An interruption is a document too, with what was done before it."""
    process = start([COMMAND, "-d", "app.db", "upgrade", "--json"], here)

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
    process = start([COMMAND, "-d", "app.db", "upgrade"], here)

    result = interrupt_when(process, is_cutting(here / "app.db"), signal.SIGTERM)

    assert result.status == -signal.SIGTERM
    assert torc("-d", "app.db", "status").out == "1/installed quick\n2/pending cut\n"
    assert tables(here / "app.db") == {"quick"}


@pytest.mark.parametrize(("answer", "goes"), [("y\n", True), ("yes\n", True), ("n\n", False), ("\n", False)])
@pytest.mark.usefixtures("migrations")
def test_rolling_back_everything_asks_on_a_terminal(here: Path, torc: Torc, answer: str, goes: bool) -> None:
    """Somebody who sits there is told what will go and asked; anything but yes leaves it."""
    torc("-d", "app.db", "upgrade")

    result = run_on_terminal([COMMAND, "-d", "app.db", "rollback", "--target", "0"], here, answers=[answer])

    assert result.status == 0
    assert "0002_add_author will be rolled back" in result.out
    assert "[y/N]" in result.out
    assert tables(here / "app.db") == (set() if goes else {"book", "author"})
    assert ("nothing was rolled back" in result.out) is not goes


@pytest.mark.usefixtures("migrations")
def test_end_of_input_or_ctrl_c_at_the_question_is_no(here: Path, torc: Torc) -> None:
    """Ctrl-D says no; Ctrl-C ends the command with 130."""
    torc("-d", "app.db", "upgrade")

    left = run_on_terminal([COMMAND, "-d", "app.db", "rollback", "--target", "0"], here, answers=["\x04"])
    stopped = run_on_terminal([COMMAND, "-d", "app.db", "rollback", "--target", "0"], here, answers=["\x03"])

    assert (left.status, stopped.status) == (0, 130)
    assert tables(here / "app.db") == {"book", "author"}


@pytest.mark.parametrize("yes", ["--yes", "-y"])
@pytest.mark.usefixtures("migrations")
def test_nobody_is_asked_who_said_yes_or_is_not_there(here: Path, torc: Torc, yes: str) -> None:
    """`--yes` answers beforehand, and without a terminal nobody is asked."""
    torc("-d", "one.db", "upgrade")
    torc("-d", "two.db", "upgrade")

    shown = run_on_terminal([COMMAND, "-d", "one.db", "rollback", "--target", "0", yes], here)
    piped = torc("-d", "two.db", "rollback", "--target", "0")

    assert "[y/N]" not in shown.out + piped.err
    assert (tables(here / "one.db"), tables(here / "two.db")) == (set(), set())


@pytest.mark.usefixtures("migrations")
def test_a_terminal_is_told_that_there_is_nothing_to_do(here: Path, torc: Torc) -> None:
    """Somebody who sits there gets a word; a pipe gets silence, as from sqlx."""
    torc("-d", "app.db", "upgrade")

    shown = run_on_terminal([COMMAND, "-d", "app.db", "upgrade"], here, {"NO_COLOR": "1"})
    piped = torc("-d", "app.db", "upgrade")

    assert shown.out == "note: nothing to do\n"
    assert piped == Result(0, "", "")


@pytest.fixture
def torc_server_database(here: Path) -> Path:
    """A database as torc's own server makes it: other migrations, in sqlx's ledger only."""
    folder = write_files(
        here / "server", {"20250101000000_init.sql": "CREATE TABLE workflow (id INTEGER PRIMARY KEY);"}
    )
    run([COMMAND, "-d", "server.db", "-s", str(folder), "upgrade"], here)
    shutil.rmtree(folder)
    return here / "server.db"


@pytest.mark.parametrize("verb", ["upgrade", "rollback", "apply 20251105030141", "rollback --target 0"])
def test_the_shipped_schema_refuses_somebody_elses_database(
    torc: Torc, here: Path, torc_server_database: Path, verb: str
) -> None:
    """Without a source a database that carries another schema is not touched, and the way on is named."""
    before = everything_in(here)

    result = torc("-d", str(torc_server_database), *verb.split())

    assert (result.status, result.out) == (3, "")
    assert "does not carry the torc schema that ships with this package: its migration 20250101000000" in result.err
    assert "hint: name the folder of its own migrations with --source" in result.err
    assert everything_in(here) == before


def test_listing_somebody_elses_database_says_so(torc: Torc, torc_server_database: Path) -> None:
    """`status` lists the shipped schema as pending, and notes that this is not its database."""
    result = torc("-d", str(torc_server_database), "status")

    assert result.status == 0
    assert "note: this is not a database of the torc schema" in result.err
    assert result.err.endswith("; name its migrations with --source\n")


@pytest.mark.parametrize("verb", ["status", "upgrade", "rollback", "apply 1"])
def test_a_command_without_a_database_says_how_to_name_one(torc: Torc, here: Path, verb: str) -> None:
    """No database is guessed, and none is made."""
    result = torc(*verb.split())

    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "error: no database is named\n"
        "hint: say -d sqlite:///torc.db, or set DATABASE_URL in the environment, in .env, or in yoyo.ini\n"
    )
    assert everything_in(here) == {}


def in_flag(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database with a flag."""
    return ["-d", url], {}


def in_environment(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database in the environment."""
    return [], {"DATABASE_URL": url}


def in_dotenv(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database in .env."""
    (here / ".env").write_text(f"DATABASE_URL={url}\n")
    return [], {}


def in_yoyo_ini(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database in yoyo.ini."""
    (here / "yoyo.ini").write_text(f"[DEFAULT]\nsources = migrations\ndatabase = {url}\n")
    return [], {}


def in_broken_yoyo_ini(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database in a yoyo.ini that lacks its section, so that the line itself is what is wrong."""
    (here / "yoyo.ini").write_text(f"database = {url}\n")
    return [], {}


def in_yoyo_ini_with_a_percent(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database in a yoyo.ini whose password holds a percent sign."""
    (here / "yoyo.ini").write_text(f"[DEFAULT]\ndatabase = {url.replace(PASSWORD, '%' + PASSWORD)}\n")
    return [], {}


def in_the_wrong_place(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database where the verb is expected."""
    return [url], {}


def in_an_unknown_flag(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database with a flag that there is not."""
    return ["status", f"--db={url}"], {}


def in_a_target(here: Path, url: str) -> tuple[list[str], dict[str, str | None]]:
    """Name a database where a number is expected."""
    return ["upgrade", "--target", url], {}


PLACES = (
    in_the_wrong_place,
    in_an_unknown_flag,
    in_a_target,
    in_flag,
    in_environment,
    in_dotenv,
    in_yoyo_ini,
    in_broken_yoyo_ini,
    in_yoyo_ini_with_a_percent,
)


PLACED = [
    *((place, url) for place in PLACES for url in URLS_WITH_PASSWORD[:2]),
    *((in_flag, url) for url in URLS_WITH_PASSWORD[2:]),
]


@pytest.mark.parametrize(
    ("place", "url"), PLACED, ids=[f"{place.__name__}-{PLACED.index((place, url))}" for place, url in PLACED]
)
@pytest.mark.usefixtures("migrations")
def test_a_password_is_never_shown(
    torc: Torc, here: Path, place: Callable[[Path, str], tuple[list[str], dict[str, str | None]]], url: str
) -> None:
    """Wherever a URL with a password stands, no stream shows it, not even with `-v` and `--json`."""
    words, env = place(here, url)

    result = torc(*words, "status", "-v", "--json", env=env)

    assert result.status == 2
    assert PASSWORD not in result.out + result.err
    assert "Traceback" not in result.err


@pytest.mark.usefixtures("migrations")
def test_a_holder_with_a_password_on_its_command_line_is_named_without_it(torc: Torc, here: Path) -> None:
    """The process that holds the lock is named by its command line, passwords masked."""
    torc("-d", "app.db", "upgrade")
    url = f"postgresql://ann:{PASSWORD}@db.example.com/app"
    holder = start([sys.executable, "-c", f"{HOLD}; time.sleep(60)", url], here)
    assert holder.stdout is not None
    holder.stdout.readline()

    result = torc("-d", "app.db", "rollback", "--lock-timeout", "1.2", "--json", "-v")
    holder.kill()
    holder.communicate()

    assert result.status == 5
    assert PASSWORD not in result.out + result.err
