"""The pytest plugin: a suite of a project of somebody else's, run as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import DEVNULL, Popen

import pytest
from shell import COMMAND, Result, environment, query, run, write_files

from torc_migrations.plugins.templates import Templates, _remove_old

Suite = Callable[..., Result]

# Writes, for each template that a process makes, its number into the file `made`.
NOTE_MAKERS = """
import os, pytest

def note_maker(connection):
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    if path.endswith(".unfinished"):
        with open("made", "a") as made:
            made.write(f"{os.getpid()}\\n")

@pytest.fixture(scope="session")
def migrations_options():
    return {"functions": note_maker}
"""
MANY_TESTS = """
import pytest, sqlite3

@pytest.mark.parametrize("number", range(40))
def test_each_has_its_own(migrated_database, number):
    connection = sqlite3.connect(migrated_database)
    connection.execute("INSERT INTO book (title) VALUES (?)", [number])
    connection.commit()
    assert connection.execute("SELECT title FROM book").fetchall() == [(str(number),)]
    connection.close()
"""
# Takes some seconds.
SLOW = """
CREATE TABLE number AS
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000000)
SELECT MAX(i) AS last FROM n;
"""


@pytest.fixture
def suite(here: Path, migrations: Path) -> Suite:
    """A function that writes a test file, or another file, and runs pytest."""
    write_files(here, {"pytest.ini": "[pytest]\nfilterwarnings = error\n"})

    def run_suite(*words: str, **files: str) -> Result:
        write_files(here, {f"{name}.py": text for name, text in files.items()})
        return run(_pytest(*words), here)

    return run_suite


def _pytest(*words: str) -> list[str]:
    return [sys.executable, "-B", "-m", "pytest", "-q", f"--basetemp={'base'}", *words]


def templates(here: Path) -> list[Path]:
    """Return the templates in the cache of a project."""
    return sorted((here / ".pytest_cache" / "d" / "torc_migrations").glob("*.db"))


def makers(here: Path) -> set[str]:
    """Return the processes that have made a template, and forget them."""
    made = here / "made"
    found = set(made.read_text().split()) if made.exists() else set()
    made.unlink(missing_ok=True)
    return found


def passed(result: Result, number: int) -> bool:
    """Return whether so many tests have passed and none has failed."""
    return result.status == 0 and f"{number} passed" in result.out


def test_each_test_has_a_database_of_its_own(suite: Suite, here: Path) -> None:
    """What one test writes no other sees; the copies of tests that pass are removed."""
    result = suite(test_many=MANY_TESTS)

    assert passed(result, 40), result.out
    assert len(templates(here)) == 1
    assert list(here.glob("base/migrated*/*")) == []


def test_workers_share_a_template_and_so_do_runs(suite: Suite, here: Path) -> None:
    """Four workers of pytest-xdist make one template; the next run makes none; a changed script makes a new one."""
    first = suite("-n", "4", test_many=MANY_TESTS, conftest=NOTE_MAKERS)
    first_makers = makers(here)
    second = suite("-n", "2")
    second_makers = makers(here)
    write_files(here / "migrations", {"0004_add_shelf.sql": "CREATE TABLE shelf (id INTEGER PRIMARY KEY);\n"})
    third = suite()
    third_makers = makers(here)
    write_files(here / "migrations", {"0004_add_shelf.rollback.sql": "DROP TABLE shelf;\n"})
    fourth = suite()

    assert [passed(result, 40) for result in (first, second, third, fourth)] == [True] * 4
    assert [len(first_makers), len(second_makers), len(third_makers), len(makers(here))] == [1, 0, 1, 1]
    assert len(templates(here)) == 3
    assert {len(query(path, "SELECT * FROM _sqlx_migrations")) for path in templates(here)} == {3, 4}


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_that_blocks(suite: Suite, here: Path) -> None:
    """pytest is killed while it makes the template; the next run makes it, and removes what was left."""
    write_files(here / "migrations", {"0004_slow.sql": SLOW})
    write_files(here, {"test_many.py": MANY_TESTS})
    cache = here / ".pytest_cache" / "d" / "torc_migrations"
    with Popen(_pytest(), cwd=here, env=environment(here), stdout=DEVNULL, stderr=DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(cache.glob("*.unfinished")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    left = sorted(path.name for path in cache.iterdir())
    result = suite()

    assert any(".unfinished" in name for name in left)
    assert templates(here)
    assert passed(result, 40), result.out
    assert {path.suffix for path in cache.iterdir()} == {".db", ""}


def test_a_test_that_fails_keeps_its_database(suite: Suite, here: Path) -> None:
    """The report names the path, also where a worker has run the test; nothing else is kept."""
    files = {
        "test_it": (
            "import sqlite3\n"
            "def test_fails(migrated_database):\n"
            "    connection = sqlite3.connect(migrated_database)\n"
            "    connection.execute(\"INSERT INTO book (title) VALUES ('kept')\")\n"
            "    connection.commit()\n"
            "    connection.close()\n"
            "    raise ValueError\n"
            "def test_passes(migrated_database): pass\n"
        )
    }
    for words in ((), ("-n", "2")):
        result = suite(*words, **files)
        (path,) = [line.split(" as ")[1] for line in result.out.splitlines() if line.startswith("kept as ")]

        assert "1 failed, 1 passed" in result.out
        assert query(Path(path), "SELECT title FROM book") == [("kept",)]
        assert list(here.glob("base/**/*.db")) == [Path(path)]


def test_every_database_is_kept_if_that_is_asked_for(suite: Suite, here: Path) -> None:
    """`--migrations-keep` keeps them all, and names their directory."""
    result = suite("--migrations-keep", "-n", "2", test_many=MANY_TESTS)

    assert passed(result, 40), result.out
    assert len(list(here.glob("base/popen-gw*/migrated0/*.db"))) == 40
    assert f"migrated databases are kept in {here}/base/popen-gw0/migrated0\n" in result.out


def test_a_database_in_memory(suite: Suite, here: Path) -> None:
    """It is a connection, for every thread, also where a script has set WAL mode; none is left open."""
    write_files(here / "migrations", {"0004_wal.sql": "-- transactional: false\nPRAGMA journal_mode = WAL;\n"})
    text = """
import threading

def test_one(migrated_memory):
    write = lambda: migrated_memory.execute("INSERT INTO book (title) VALUES ('x')")
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert migrated_memory.execute("SELECT title FROM book").fetchall() == [("x",)]

def test_two(migrated_memory):
    assert migrated_memory.execute("SELECT title FROM book").fetchall() == []
    assert migrated_memory.execute("SELECT COUNT(*) FROM _sqlx_migrations").fetchone() == (4,)
"""
    result = suite(test_memory=text)

    assert passed(result, 2), result.out
    assert query(templates(here)[0], "PRAGMA journal_mode") == [("wal",)]


def test_a_migration_of_data(suite: Suite, here: Path) -> None:
    """A test fills a database at one version, upgrades it, and looks at the rows."""
    write_files(
        here / "migrations",
        {
            "0004_add_words.sql": "ALTER TABLE book ADD COLUMN words;\nUPDATE book SET words = length(title);\n",
            "0004_add_words.rollback.sql": "ALTER TABLE book DROP COLUMN words;\n",
        },
    )
    text = """
def test_words_are_counted(migrated_at):
    database = migrated_at(3)
    connection = database.connect()
    connection.execute("INSERT INTO book (title) VALUES ('abc')")

    assert database.upgrade().applied == (4,)
    assert connection.execute("SELECT words FROM book").fetchall() == [(3,)]
    assert database.rollback().applied == (4,)
    assert database.upgrade(4).applied == (4,)
    assert migrated_at(1).upgrade().applied == (2, 3, 4)
"""
    result = suite("-W", "error", test_data=text)

    assert passed(result, 1), result.out
    assert list(here.glob("base/migrated*/*")) == []


def test_source_and_options_are_fixtures(suite: Suite, here: Path) -> None:
    """A project overrides them; a function of SQL is there in every connection."""
    write_files(here / "other", {"1_make.sql": "CREATE TABLE number AS SELECT twice(2) AS value;\n"})
    conftest = """
import pytest

def register(connection):
    connection.create_function("twice", 1, lambda number: 2 * number)

@pytest.fixture(scope="session")
def migrations_options(): return {"functions": register}

@pytest.fixture(scope="session")
def migrations_source(): return "other"
"""
    text = """
def test_memory(migrated_memory):
    assert migrated_memory.execute("SELECT value, twice(value) FROM number").fetchall() == [(4, 8)]

def test_file(migrated_at):
    assert migrated_at(1).connect().execute("SELECT value, twice(value) FROM number").fetchall() == [(4, 8)]
"""
    result = suite(conftest=conftest, test_options=text)

    assert passed(result, 2), result.out


def test_the_settings_name_the_source(suite: Suite, here: Path) -> None:
    """`torc_migrations_source` is relative to the root directory; one that does not exist is an error."""
    write_files(here / "db" / "sql", {"1_make.sql": "CREATE TABLE number (value);\n"})
    text = "def test_it(migrated_memory): migrated_memory.execute('SELECT value FROM number')\n"
    found = suite("-o", "torc_migrations_source=db/sql", "tests", **{"tests/test_it": text})
    lost = suite("-o", "torc_migrations_source=nowhere", "tests")

    assert passed(found, 1), found.out
    assert lost.status == 1
    assert f"SourceError: there is no directory '{here}/nowhere'" in lost.out


def test_an_empty_setting_is_as_none(suite: Suite) -> None:
    """Without a source that is named, it is `migrations`."""
    result = suite(
        "-o", "torc_migrations_source=", "tests", **{"tests/test_it": "def test_it(migrated_memory): pass\n"}
    )

    assert passed(result, 1), result.out


@pytest.mark.parametrize("written", ["$NO_SUCH_WORD", "${NO_SUCH_WORD}"])
def test_a_variable_that_is_not_set_is_named(suite: Suite, written: str) -> None:
    """It is not taken for a password that is wrong."""
    result = suite(
        *("-o", f"torc_migrations_server=postgresql://app:{written}@localhost:1/app", "tests"),
        **{"tests/test_it": "def test_it(migrated_database): pass\n"},
    )

    assert result.status == 1
    assert "torc_migrations_server names the environment variable NO_SUCH_WORD, which is not set" in result.out


def test_without_a_cache_the_template_lasts_for_a_run(suite: Suite, here: Path) -> None:
    """`-p no:cacheprovider` and `--cache-clear` share it among the workers, and keep none."""
    for words in (("-p", "no:cacheprovider"), ("--cache-clear",)):
        result = suite("-n", "2", *words, test_many=MANY_TESTS, conftest=NOTE_MAKERS)

        assert passed(result, 40), result.out
        assert len(makers(here)) == 1
        assert templates(here) == []


def test_the_start_of_pytest_does_not_import_the_package(suite: Suite) -> None:
    """A suite that uses no fixture of the plugin pays for one small file."""
    text = "import sys\ndef test_it(): assert [n for n in sys.modules if n.startswith('torc_migrations')] == []\n"
    result = suite("-p", "no:cacheprovider", test_start=text)

    assert passed(result, 1), result.out


def test_the_migrations_are_tested_without_code(suite: Suite, here: Path) -> None:
    """With `torc_migrations_tests` each up script is a test, and each expectation of a query."""
    write_files(
        here,
        {
            "pytest.ini": "[pytest]\ntestpaths = tests\ntorc_migrations_tests = true\nfilterwarnings = error\n",
            "tests/test_one.py": "def test_one(): pass\n",
            "migrations/0004_bad.sql": "CREATE TABLE shelf (id INTEGER PRIMARY KEY);\n",
            "migrations/0004_bad.rollback.sql": "DROP TABLE author;\n",
            "migrations/0005_one_way.sql": "CREATE TABLE place (id INTEGER PRIMARY KEY);\n",
            "migrations/verify/books.sql": (
                "-- name: by title\n-- expect: SEARCH book USING COVERING INDEX idx_title\n"
                "SELECT title FROM book WHERE title = 'x';\n"
                "-- name: by author\n-- expect: SEARCH author USING INDEX idx_author\nSELECT * FROM author;\n"
            ),
        },
    )
    everything = suite("-vv")
    lines = re.findall(r"^(\S.*::.*) (PASSED|FAILED) .*%", everything.out, re.MULTILINE)

    assert everything.status == 1
    assert lines == [
        ("tests/test_one.py::test_one", "PASSED"),
        ("migrations/0001_create_book.sql::round-trip", "PASSED"),
        ("migrations/0001_create_book.sql::lint", "PASSED"),
        ("migrations/0002_add_author.sql::round-trip", "PASSED"),
        ("migrations/0002_add_author.sql::lint", "PASSED"),
        ("migrations/0003_index_titles.sql::round-trip", "PASSED"),
        ("migrations/0003_index_titles.sql::lint", "PASSED"),
        ("migrations/0004_bad.sql::round-trip", "FAILED"),
        ("migrations/0004_bad.sql::lint", "FAILED"),
        ("migrations/0005_one_way.sql::round-trip", "FAILED"),
        ("migrations/0005_one_way.sql::lint", "PASSED"),
        ("migrations/verify/books.sql::by title", "PASSED"),
        ("migrations/verify/books.sql::by author", "FAILED"),
    ]
    assert "not tried, because 4 fails" in everything.out
    assert "its down script drops table author, which was there before" in everything.out
    assert "expected  SEARCH author USING INDEX idx_author" in everything.out


def test_tests_of_migrations_are_chosen_like_others(suite: Suite, here: Path) -> None:
    """By directory, by name and with pytest-xdist; they stay out where others are named, and where nobody asked."""
    asked = ("-o", "torc_migrations_tests=true", "-o", "torc_migrations_irreversible=true", "-o", "testpaths=tests")
    write_files(here / "tests", {"test_one.py": "def test_one(): pass\n"})
    write_files(here / "migrations", {"0004_one_way.sql": "CREATE TABLE place (id INTEGER PRIMARY KEY);\n"})

    assert passed(suite(*asked), 9)
    assert passed(suite(*asked, "-n", "2"), 9)
    assert passed(suite(*asked, "migrations"), 8)
    assert passed(suite(*asked, "migrations/0002_add_author.sql::round-trip"), 1)
    assert passed(suite(*asked, "-k", "round"), 4)
    assert passed(suite(*asked, "tests"), 1)
    assert passed(suite(), 1)
    assert suite(*asked, "-o", "torc_migrations_source=nowhere").status == pytest.ExitCode.USAGE_ERROR


def test_the_lock_is_a_test(suite: Suite, here: Path) -> None:
    """Where `migrations.lock` exists, a test fails once a script is not the one that it was written for."""
    asked = ("-o", "torc_migrations_tests=true", "migrations")
    without = suite(*asked)
    run([COMMAND, "check", "lock", "--write"], here)
    fresh = suite(*asked)
    write_files(here / "migrations", {"0002_add_author.sql": "CREATE TABLE author (id INTEGER);\n"})
    edited = suite(*asked)

    assert passed(without, 6)
    assert passed(fresh, 7), fresh.out
    assert "migrations/migrations.lock::unchanged" in edited.out
    assert "1 failed, 6 passed" in edited.out


def test_lint_is_a_test_of_each_migration(suite: Suite, here: Path) -> None:
    """An error fails the migration that it is about, unless its script allows it; a warning fails nothing."""
    asked = ("-o", "torc_migrations_tests=true", "migrations", "-k", "lint")
    text = "ALTER TABLE page ADD COLUMN number INTEGER NOT NULL;\n"
    page = "CREATE TABLE page (id INTEGER PRIMARY KEY, book INTEGER REFERENCES book (id));\n"
    write_files(here / "migrations", {"0004_page.sql": page, "0005_number.sql": text})
    refused = suite(*asked)
    reason = "-- torc: allow not-null-without-default, because no release has the table\n"
    write_files(here / "migrations", {"0005_number.sql": f"{reason}{text}"})

    assert "0005_number.sql:1: error: " in refused.out
    assert "[not-null-without-default]" in refused.out
    assert "1 failed, 4 passed" in refused.out
    assert "foreign-key-without-index" not in refused.out
    assert passed(suite(*asked), 5)


def test_a_committed_dump_is_a_test(suite: Suite, here: Path) -> None:
    """`schema.sql` beside the migrations is collected, and fails once they make something else."""
    asked = ("-o", "torc_migrations_tests=true", "-o", "testpaths=tests", "-k", "schema")
    write_files(here / "tests", {"test_one.py": "def test_one(): pass\n"})
    without = suite(*asked)
    run([COMMAND, "dump", "schema.sql"], here)
    fresh = suite(*asked)
    write_files(here / "migrations", {"0004_more.sql": "CREATE TABLE page (id INTEGER PRIMARY KEY);\n"})
    stale = suite(*asked)

    assert without.status == pytest.ExitCode.NO_TESTS_COLLECTED
    assert passed(fresh, 1)
    assert "[stale-schema]" in stale.out
    assert "1 failed" in stale.out


def test_the_queries_of_the_previous_release_are_a_test(suite: Suite, here: Path) -> None:
    """Where the settings name their file, one that a migration breaks fails."""
    setting = ("-o", "torc_migrations_queries=queries.sql")
    asked = ("-o", "torc_migrations_tests=true", "-o", "testpaths=tests", *setting, "-k", "queries")
    write_files(here, {"tests/test_one.py": "def test_one(): pass\n", "queries.sql": "SELECT title FROM book;\n"})
    works = suite(*asked)
    write_files(here / "migrations", {"0004_away.sql": "DROP TABLE book;\n"})
    broken = suite(*asked)

    assert passed(works, 1), works.out
    assert "queries.sql:1: error: migration 4 breaks a query of the previous release" in broken.out


def test_drift_is_a_test_of_the_newest_migration(suite: Suite, here: Path) -> None:
    """Where the settings name a database, its schema is that of its installed migrations; it is only read."""
    setting = ("-o", "torc_migrations_database=sqlite:///$APP/app.db")
    asked = ("-o", "torc_migrations_tests=true", *setting, "migrations", "-k", "drift")

    def run_with_variable() -> Result:
        return run(_pytest(*asked), here, {"APP": str(here)})

    nothing = run_with_variable()
    run([COMMAND, "-d", "app.db", "upgrade", "--target", "2"], here)
    same = run_with_variable()
    with closing(sqlite3.connect(here / "app.db")) as connection:
        connection.execute("CREATE TABLE audit (at TEXT)")
    drifted = run_with_variable()

    assert "1 skipped" in nothing.out
    assert passed(same, 1), same.out
    assert "0003_index_titles.sql: drift" in drifted.out
    assert "[unexpected-object]" in drifted.out


def test_old_templates_are_removed(tmp_path: Path) -> None:
    """Those that were not used for a week; where there are many, for an hour; and what killed processes have left."""
    hours = {"fresh": 0, "of a day": 24, "of a month": 24 * 30}
    for name, age in hours.items():
        (tmp_path / f"{name}.db").touch()
        os.utime(tmp_path / f"{name}.db", (0, time.time() - age * 3600))
    (tmp_path / "left.db.unfinished").touch()
    (tmp_path / "lock").touch()
    _remove_old(str(tmp_path))

    assert {path.name for path in tmp_path.iterdir()} == {"fresh.db", "of a day.db", "lock"}

    for number in range(20):
        (tmp_path / f"{number}.db").touch()
    _remove_old(str(tmp_path))

    assert "of a day.db" not in {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "fresh.db").exists()


def test_a_template_is_known_by_what_it_is_made_from(tmp_path: Path, migrations: Path) -> None:
    """Another version, another option and another script give another template; the same give the same."""
    directory = str(tmp_path)
    same = [Templates(directory, str(migrations), {}).path() for _ in range(2)]
    others = [
        Templates(directory, str(migrations), {}).path(2),
        Templates(directory, str(migrations), {"foreign_keys": "on"}).path(),
        Templates(directory, [str(migrations)], {"functions": id}).path(),
    ]
    (migrations / "0002_add_author.sql").write_text("CREATE TABLE author (id INTEGER);\n")
    others.append(Templates(directory, str(migrations), {}).path())

    assert len(set(same)) == 1
    assert len({*same, *others}) == 5


def test_a_template_that_is_removed_is_made_again(tmp_path: Path, migrations: Path) -> None:
    """Another process may clear the cache while a suite runs."""
    cache = tmp_path / "cache"
    made = Templates(str(cache), str(migrations), {})
    os.unlink(made.path())
    (cache / "lock").unlink()
    cache.rmdir()
    made.copy(str(tmp_path / "copy.db"))

    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM _sqlx_migrations").fetchone() == (3,)
