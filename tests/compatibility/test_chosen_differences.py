"""Where we differ from sqlx on purpose: what the real sqlx does, and what we do instead.

Some are scenarios in scenarios.txt, marked with `!`; the others are here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from paired_databases import opened, show
from preloaded_programs import Preloaded, Said
from scenarios import read_scenarios
from sqlx_program import Sqlx

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"
# How each point of the list in docs/architecture.md begins, and what shows it: a scenario or a test of this file.
SHOWN_BY = {
    "Errors go to standard error": "test_errors_go_to_standard_error",
    "Two files of one version": "two files of one version",
    "Foreign keys are off": "test_foreign_keys_are_off_while_a_script_runs",
    "Every checksum is checked": "run meets an edited file above a gap",
    "`rollback` refuses at an irreversible": "revert at a simple migration",
    "`rollback --ignore-missing` refuses": "a file is missing",
    "A script outside a transaction": "without a transaction",
    "A missing SQLite file": "test_a_missing_file_is_listed_as_pending_and_created",
    "Kinds of errors have different": "test_exit_codes_tell_errors_apart",
    "Values for `?` and `:name`": "test_values_are_not_made_up",
    "In an empty directory `new`": "test_a_new_folder_is_for_yoyo_too",
}


class Both(NamedTuple):
    """What sqlx said, and what we said."""

    sqlx: Said
    ours: Said


class Pair:
    """A folder, and a database for each of the two."""

    def __init__(self, root: Path, sqlx: Sqlx, ours: Preloaded) -> None:
        self.root = root
        self.sqlx = sqlx
        self.ours = ours
        self.databases = (root / "sqlx.db", root / "ours.db")
        (root / "migrations").mkdir()

    def create(self) -> None:
        """Make both databases, as sqlx wants it."""
        for database in self.databases:
            self.sqlx.create(database)

    def write(self, name: str, text: str) -> None:
        """Write a file into the folder."""
        (self.root / "migrations" / name).write_text(text)

    def run(self, *arguments: str) -> Both:
        """Run a command with both."""
        return Both(
            self.sqlx(*arguments, "-D", "sqlite:sqlx.db", folder=self.root),
            self.ours(*arguments, "-D", "sqlite:ours.db", folder=self.root),
        )

    def ask(self, query: str) -> tuple[object, object]:
        """Return the first value of a query from both databases."""
        answers = []
        for database in self.databases:
            with opened(database) as connection:
                answers.append(connection.execute(query).fetchone()[0])
        return answers[0], answers[1]


@pytest.fixture
def pair(tmp_path: Path, sqlx: Sqlx, ours: Preloaded) -> Pair:
    """A folder with nothing in it, and two names of databases."""
    return Pair(tmp_path, sqlx, ours)


def test_every_difference_that_is_listed_is_shown() -> None:
    """The list in docs/architecture.md and what is shown here are the same."""
    _, _, listed = ARCHITECTURE.read_text("utf-8").partition("## Chosen differences from sqlx")
    points = re.findall(r"^- (.*)", listed.partition("\n## ")[0], re.MULTILINE)
    shown = {*read_scenarios(), *globals()}

    assert [[start for start in SHOWN_BY if point.startswith(start)] for point in points] == [[s] for s in SHOWN_BY]
    assert set(SHOWN_BY.values()) <= shown


def test_errors_go_to_standard_error(pair: Pair) -> None:
    """Ours goes to standard error, without sqlx's prefix, with place and hint; the listing is the same."""
    pair.create()
    pair.write("1_a.sql", "CREATE TABLE a (x);\n")
    pair.write("2_b.sql", "-- first\nDROP TABLE nowhere;\n")

    both = pair.run("run")

    error = "error: while executing migration 2: error returned from database: (code: 1) no such table: nowhere\n"
    assert (both.sqlx.out.partition("\n")[2], both.sqlx.err) == (error, "")
    assert re.fullmatch(r"Applied 1/migrate a \(.*\)\n", both.ours.out)
    assert both.ours.err.startswith("error: while executing migration 2: no such table: nowhere\n")
    assert "2_b.sql:2:1" in both.ours.err
    assert "\nhint: " in both.ours.err


def test_foreign_keys_are_off_while_a_script_runs(pair: Pair) -> None:
    """Rebuilding a table with sqlx empties its children by their cascade; with us they keep their rows."""
    pair.create()
    pair.write(
        "1_a.sql",
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);\n"
        "CREATE TABLE child (parent INTEGER REFERENCES parent ON DELETE CASCADE);\n"
        "INSERT INTO parent VALUES (1);\nINSERT INTO child VALUES (1);\n",
    )
    pair.write(
        "2_b.sql",
        "CREATE TABLE rebuilt (id INTEGER PRIMARY KEY, name TEXT);\n"
        "INSERT INTO rebuilt (id) SELECT id FROM parent;\n"
        "DROP TABLE parent;\nALTER TABLE rebuilt RENAME TO parent;\n",
    )

    both = pair.run("run")

    assert (both.sqlx.status, both.ours.status) == (0, 0)
    assert pair.ask("SELECT count(*) FROM child") == (0, 1)


def test_a_missing_file_is_listed_as_pending_and_created(pair: Pair) -> None:
    """sqlx fails until it is told to create the database; we list and make none, and create it to write."""
    pair.write("1_a.sql", "CREATE TABLE a (x);")

    listed = pair.run("info")
    there = [database.exists() for database in pair.databases]
    run = pair.run("run")

    assert (listed.sqlx.status, run.sqlx.status) == (1, 1)
    assert "unable to open database file" in run.sqlx.out
    assert (listed.ours.out, listed.ours.status) == ("1/pending a\n", 0)
    assert there == [False, False]
    assert [database.exists() for database in pair.databases] == [False, True]


def test_exit_codes_tell_errors_apart(pair: Pair) -> None:
    """sqlx ends with 1 always; we end with 2 for the folder, 3 for the ledger, 4 for the target, 6 for a script."""
    pair.create()
    pair.write("1_a.sql", "CREATE TABLE a (x);")
    pair.write("2_b.sql", "DROP TABLE nowhere;")

    script = pair.run("run")
    target = pair.run("run", "--target-version", "9")
    pair.write("1_a.sql", "CREATE TABLE a (x, y);")
    ledger = pair.run("run")
    pair.write("x_b.sql", "")
    folder = pair.run("run")

    assert [both.sqlx.status for both in (folder, ledger, target, script)] == [1, 1, 1, 1]
    assert [both.ours.status for both in (folder, ledger, target, script)] == [2, 3, 4, 6]


def test_values_are_not_made_up(pair: Pair) -> None:
    """sqlx runs a script with a `?` or a `:name` in it with NULL; with us it fails, and nothing of it is kept."""
    pair.create()
    pair.write("1_a.sql", "CREATE TABLE a (x, y);\nINSERT INTO a VALUES (?, :name);\n")

    both = pair.run("run")

    assert both.sqlx.status == 0
    assert both.ours.err.startswith("error: while executing migration 1: ")
    assert "1_a.sql:2:" in both.ours.err
    assert pair.ask("SELECT count(*) FROM sqlite_master WHERE name = 'a'") == (1, 0)


def test_a_new_folder_is_for_yoyo_too(pair: Pair, tmp_path: Path) -> None:
    """In an empty folder sqlx writes one file, and we a pair that stock yoyo can run."""
    for name, program in (("theirs", pair.sqlx), ("ours", pair.ours)):
        program("add", "first", "--source", name, folder=tmp_path)

    ends = [sorted(path.name.partition(".")[2] for path in (tmp_path / name).iterdir()) for name in ("theirs", "ours")]

    assert ends == [["sql"], ["rollback.sql", "sql"]]


def test_a_down_file_alone_is_no_migration(pair: Pair) -> None:
    """sqlx takes a version for present whose up file is gone, and reverts it; we say that its file is missing."""
    pair.create()
    pair.write("1_a.up.sql", "CREATE TABLE a (x);")
    pair.write("1_a.down.sql", "DROP TABLE a;")
    pair.write("2_b.sql", "CREATE TABLE b (x);")
    pair.run("run", "--target-version", "1")
    (pair.root / "migrations" / "1_a.up.sql").unlink()

    run = pair.run("run")
    revert = pair.run("revert")

    missing = "error: migration 1 was previously applied but is missing in the resolved migrations\n"
    assert run.sqlx.out.startswith("Applied 2/migrate b (")
    assert revert.sqlx.out.startswith("Applied 1/revert a (")
    assert run.ours.err.startswith(missing) or missing in run.ours.err
    assert missing in revert.ours.err


def test_listing_writes_nothing(pair: Pair) -> None:
    """`sqlx migrate info` makes its ledger where there is none; ours makes nothing."""
    pair.create()
    pair.write("1_a.sql", "")

    both = pair.run("info")

    assert both.sqlx.out == both.ours.out == "1/pending a\n"
    assert pair.ask("SELECT count(*) FROM sqlite_master WHERE type = 'table'") == (1, 0)


@pytest.mark.parametrize("mark", ["-- no-transaction", "-- transactional: false"])
def test_both_marks_take_a_script_out_of_its_transaction(pair: Pair, mark: str) -> None:
    """sqlx heeds only its own on SQLite, and that since 0.9; we heed yoyo's too, whichever the layout."""
    pair.create()
    pair.write("1_a.sql", f"{mark}\nCREATE TABLE half (x);\nDROP TABLE nowhere;\n")

    pair.run("run")

    kept = pair.sqlx.heeds_no_transaction and mark == "-- no-transaction"
    assert pair.ask("SELECT count(*) FROM sqlite_master WHERE name = 'half'") == (int(kept), 1)


def test_scripts_that_commit_by_themselves_do_what_they_do_with_sqlx(pair: Pair) -> None:
    """A script that ends our transaction to switch foreign keys is run and recorded as sqlx does it."""
    pair.create()
    pair.write("1_a.sql", "CREATE TABLE a (x);\nINSERT INTO a VALUES (1);\n")
    pair.write(
        "2_b.sql",
        "COMMIT;\nPRAGMA foreign_keys = OFF;\nBEGIN;\n"
        "CREATE TABLE n (x, y);\nINSERT INTO n (x) SELECT x FROM a;\nDROP TABLE a;\nALTER TABLE n RENAME TO a;\n"
        "COMMIT;\nPRAGMA foreign_keys = ON;\nBEGIN;\n",
    )

    both = pair.run("run")

    assert (both.sqlx.status, both.ours.status) == (0, 0)
    assert show(pair.databases[1]) == show(pair.databases[0])


def test_a_script_outside_may_have_a_transaction_of_its_own(pair: Pair) -> None:
    """Since 0.9 a script may begin with `-- no-transaction` and keep its own BEGIN and COMMIT."""
    if not pair.sqlx.heeds_no_transaction:
        pytest.skip(f"sqlx {pair.sqlx.version} runs every script in a transaction on SQLite")
    pair.create()
    pair.write("1_a.sql", "-- no-transaction\nPRAGMA foreign_keys = OFF;\nBEGIN;\nCREATE TABLE a (x);\nCOMMIT;\n")

    both = pair.run("run")

    assert (both.sqlx.status, both.ours.status) == (0, 0), both.ours.err
    assert show(pair.databases[1]) == show(pair.databases[0])
