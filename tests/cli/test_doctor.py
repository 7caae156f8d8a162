"""What `doctor` explains, and what `repair` and `baseline` write, on the command line."""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from database_under_test import stock_yoyo
from shell import PAIRS, Torc, everything_in, installed, query, tables, write_files

AGREE = "the ledgers of yoyo and sqlx agree"


@pytest.fixture
def upgraded(torc: Torc, here: Path, migrations: Path) -> Path:
    """A database with three migrations from `migrations`."""
    assert torc("-d", "app.db", "upgrade").status == 0
    return here / "app.db"


def change(database: Path, *statements: str) -> None:
    """Do to a database what nobody should."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_healthy_database_is_told_in_a_sentence(torc: Torc, here: Path) -> None:
    """Simple files are read alike by all, so that there is nothing to say of them."""
    write_files(here / "migrations", {"1_a.sql": "CREATE TABLE a (x);\n"})
    torc("-d", "app.db", "upgrade")

    assert torc("-d", "app.db", "doctor") == (0, f"1 of 1 migration is installed, the newest is 1_a; {AGREE}\n", "")


@pytest.mark.usefixtures("migrations")
def test_a_missing_database_is_explained_and_not_created(torc: Torc, here: Path) -> None:
    """What is pending needs nothing but an upgrade, so that the exit status is 0."""
    result = torc("-d", "app.db", "doctor")

    assert result.status == 0
    assert result.out == (
        "0 of 3 migrations are installed; there is no database 'app.db' yet\n"
        "3 migrations are pending, the first is 0001_create_book\n    torc-migrations -d app.db upgrade\n"
    )
    assert not (here / "app.db").exists()


@pytest.mark.parametrize("dropped", [False, True])
def test_out_of_step_is_settled_by_what_is_there(torc: Torc, here: Path, upgraded: Path, dropped: bool) -> None:
    """Where yoyo's log and ledger contradict each other, the migration's own objects show what upgrade does."""
    change(upgraded, "DELETE FROM _yoyo_migration WHERE migration_id = '0002_add_author'")
    if dropped:
        change(upgraded, "DROP TABLE author")
    before = everything_in(here)
    seen = "pending: nothing of what it makes is there" if dropped else "installed: all that it makes is there"

    explained = torc("-d", "app.db", "doctor")
    unchanged = everything_in(here) == before
    typed = torc(*advice(explained.out))

    assert explained.status == 3
    assert explained.out.splitlines()[1:3] == [
        f"2 was out of step, and is {seen}: table author",
        "    torc-migrations -d app.db upgrade corrects the ledgers",
    ]
    assert unchanged
    assert typed.status == 0
    assert typed.err.startswith(f"note: 2 was out of step, and is {seen}: table author\n")
    assert "2/installed add author\n" in torc("-d", "app.db", "status").out
    assert torc("-d", "app.db", "doctor").status == 0


def advice(text: str) -> list[str]:
    """Return the words of the first command that `doctor` prints, without those of the sentence around it."""
    command = re.search(r"torc-migrations ((?:-[ds] \S+ )*[a-z]+(?: (?:\d+|--[a-z-]+))*)", text)
    assert command is not None, text
    return command[1].split()


@pytest.mark.parametrize("ledger", ["yoyo", "sqlx"])
def test_one_ledger_can_be_trusted(torc: Torc, here: Path, upgraded: Path, ledger: str) -> None:
    """`repair --trust` follows a ledger, whatever the schema shows; `--dry-run` prints what it would do."""
    change(upgraded, "DELETE FROM _yoyo_migration WHERE migration_id = '0002_add_author'")
    before = everything_in(here)

    dry = torc("-d", "app.db", "repair", "--trust", ledger, "--dry-run")
    unchanged = everything_in(here) == before
    settled = torc("-d", "app.db", "repair", "--trust", ledger)

    word, state = {"yoyo": ("erased", "pending"), "sqlx": ("recorded", "installed")}[ledger]
    assert unchanged
    assert dry.err == f"note: 0002_add_author would be {word} in the ledgers\n"
    assert settled.err == f"note: 0002_add_author {word} in the ledgers\n"
    assert f"2/{state} add author\n" in torc("-d", "app.db", "status").out


@pytest.mark.parametrize("way", ["--mark", "--unmark"])
def test_what_cannot_be_told_is_left_to_a_person(torc: Torc, upgraded: Path, way: str) -> None:
    """Where only a part of what a migration makes is there, both lists and both commands are printed; they work."""
    write_files(upgraded.parent / "migrations", {"0004_more.sql": "CREATE TABLE c (x); CREATE TABLE d (x);\n"})
    torc("-d", "app.db", "upgrade")
    change(upgraded, "DELETE FROM _yoyo_migration WHERE migration_id = '0004_more'", "DROP TABLE d")

    explained = torc("-d", "app.db", "doctor")

    assert explained.out.splitlines()[1].startswith("upgrade ends with the error: migration 4 is out of step")
    assert "of what it makes, table c is there, and table d is not" in explained.out
    assert f"torc-migrations -d app.db repair 4 {way}" in explained.out
    assert torc("-d", "app.db", "repair", "4", way).status == 0
    assert "out of step" not in torc("-d", "app.db", "doctor").out


def test_what_only_stock_yoyo_has_applied_under_another_version_is_named_once(torc: Torc, here: Path) -> None:
    """The old name is in the sentence and in the advice, and what the schema shows is said once."""
    write_files(here / "migrations", {"1_a.sql": "CREATE TABLE a (x);", "2_b.sql": "INSERT INTO a VALUES (1);"})
    assert stock_yoyo("apply", "-b", "-d", f"sqlite:///{here}/app.db", f"{here}/migrations").returncode == 0
    (here / "migrations" / "2_b.sql").rename(here / "migrations" / "3_b.sql")

    result = torc("-d", "app.db", "doctor")

    assert (
        "3 is out of step: yoyo's ledger says installed, by the name 2_b, sqlx's ledger says not installed; "
        "the schema does not show whether its script has run\n"
        "    if it was 2_b, type torc-migrations -d app.db repair --renamed; else finish or undo it by hand, then type "
    ) in result.out
    assert torc("-d", "app.db", "repair", "--renamed").status == 0
    assert torc("-d", "app.db", "upgrade").status == 0


def test_doctor_says_first_what_upgrade_would_say(torc: Torc, here: Path, upgraded: Path) -> None:
    """A database that is ahead of the files is refused by `upgrade`, and so it is not healthy."""
    change(upgraded, "UPDATE _sqlx_migrations SET version = 5 WHERE version = 3")
    (here / "migrations" / "0003_index_titles.sql").unlink()
    (here / "migrations" / "0003_index_titles.rollback.sql").unlink()

    explained = torc("-d", "app.db", "doctor")
    refused = torc("-d", "app.db", "upgrade")

    sentence, hint = refused.err.splitlines()[:2]
    assert (explained.status, refused.status) == (3, 3)
    assert explained.out.splitlines()[1:3] == [
        sentence.replace("error: ", "upgrade ends with the error: "),
        f"    {hint.removeprefix('hint: ')}",
    ]
    assert "torc-migrations -d app.db upgrade" not in explained.out


@pytest.mark.parametrize("options", [("-d", "app.db"), ("-d", "app.db", "-s", "my files"), ("-d", "sqlite:///app.db")])
def test_advice_names_the_database_and_the_source_that_were_given(torc: Torc, here: Path, options: tuple[str]) -> None:
    """What `doctor` prints can be typed as it is."""
    write_files(here / ("my files" if "-s" in options else "migrations"), {"1_a.sql": "CREATE TABLE a (x);\n"})

    explained = torc(*options, "doctor")

    assert f"    torc-migrations {shlex.join(options)} upgrade\n" in explained.out


@pytest.mark.parametrize("tables", [("book",), ("book", "author")])
def test_a_baseline_is_advised_where_tables_are_there_and_no_ledger(
    torc: Torc, here: Path, migrations: Path, tables: tuple[str, ...]
) -> None:
    """The newest version up to which the database has everything is named, and the command works."""
    change(here / "app.db", *(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, title TEXT)" for table in tables))

    explained = torc("-d", "app.db", "doctor")

    newest = len(tables)
    assert explained.status == 3
    assert explained.out.splitlines()[1:3] == [
        f"the database has all that the migrations up to {newest} make, but the ledgers do not say so",
        f"    torc-migrations -d app.db baseline {newest}",
    ]
    assert torc(*advice(explained.out)).status == 0
    assert len(installed(here)) == newest
    assert torc("-d", "app.db", "upgrade").status == 0


def test_an_interrupted_script_is_resumed_as_advised(torc: Torc, here: Path, upgraded: Path) -> None:
    """`doctor` prints how far a script outside a transaction is; its command runs the rest."""
    script = "-- no-transaction\nCREATE TABLE c (x);\nINSERT INTO late VALUES (1);\nCREATE TABLE d (x);\n"
    write_files(here / "migrations", {"0004_c.sql": script})
    failed = torc("-d", "app.db", "upgrade")
    change(upgraded, "CREATE TABLE late (x)")

    explained = torc("-d", "app.db", "doctor")
    resumed = torc(*advice(explained.out))

    assert "torc-migrations -d app.db repair 4 --resume-after 1" in failed.err
    assert "it stopped after statement 1 of migrations/0004_c.sql, before line 3" in explained.out
    assert (resumed.status, resumed.lines) == (0, "Applied 4/migrate c (TIME)\n")
    assert query(upgraded, "SELECT x FROM late") == [(1,)]


def test_a_renamed_file_is_followed_as_advised(torc: Torc, here: Path, upgraded: Path) -> None:
    """`doctor` names both versions, and its command gives the records the new one."""
    (here / "migrations" / "0003_index_titles.sql").rename(here / "migrations" / "0007_index_titles.sql")
    (here / "migrations" / "0003_index_titles.rollback.sql").unlink()

    explained = torc("-d", "app.db", "doctor")
    renamed = torc(*advice(explained.out))

    assert "migration 7 is 3 renamed" in explained.out
    assert renamed.err == "note: 0007_index_titles renamed in the ledgers\n"
    assert installed(here) == ["0001_create_book", "0002_add_author", "0007_index_titles"]


@pytest.mark.parametrize(
    "words",
    [
        ("--renamed", "1"),
        ("--mark",),
        ("--unmark",),
        ("--resume-after", "1"),
        ("1", "2", "--resume-after", "1"),
        ("1", "--mark", "--unmark"),
    ],
)
def test_repairs_that_make_no_sense_are_refused(torc: Torc, upgraded: Path, words: tuple[str, ...]) -> None:
    """Each way takes its own number of versions, and one excludes the others."""
    assert torc("-d", "app.db", "repair", *words).status == 2


def test_every_kind_of_trouble_is_told_at_once(torc: Torc, here: Path, upgraded: Path) -> None:
    """Dirty, edited, missing, ahead, held: each is a sentence with what to type, and `--json` says the same."""
    write_files(here / "migrations", {"0001_create_book.sql": PAIRS["0001_create_book.sql"] + "-- edited\n"})
    (here / "migrations" / "0002_add_author.sql").unlink()
    (here / "migrations" / "0002_add_author.rollback.sql").unlink()
    change(
        upgraded,
        "UPDATE _sqlx_migrations SET success = FALSE WHERE version = 3",
        "INSERT INTO _sqlx_migrations SELECT 9, 'ahead', installed_on, TRUE, checksum, 0 FROM _sqlx_migrations LIMIT 1",
        "CREATE TABLE yoyo_lock (locked INT DEFAULT 1, ctime TIMESTAMP, pid INT NOT NULL, PRIMARY KEY (locked))",
        f"INSERT INTO yoyo_lock VALUES (1, '2999-01-01', {os.getpid()})",
    )

    result = torc("-d", "app.db", "doctor")
    as_json = json.loads(torc("-d", "app.db", "doctor", "--json").out)

    for sentence in (
        "3 is dirty: another tool began it and did not end it\n    look what of it is there",
        "1 was edited after it was applied\n    put the file back and write the change as a new migration; or, if",
        "2 is installed, but has no file here\n    bring its file back, or pass --ignore-missing",
        "9 is installed, but has no file here, and is newer than every file\n    this is an older release",
        "holds yoyo's lock\n    wait for it; if it hangs, end that process",
    ):
        assert sentence in result.out
    assert f"{os.getpid()}" in result.out
    assert result.status == 3
    assert as_json["ok"] is False
    assert "".join(f"{each['sentence']}\n    {each['remedy']}\n" for each in as_json["symptoms"]) in result.out


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("DELETE FROM _yoyo_migration WHERE migration_id LIKE '%3%'",),
        ("DELETE FROM _yoyo_migration WHERE migration_id LIKE '%3%'", "DELETE FROM _yoyo_log"),
    ],
)
def test_what_to_do_about_a_dirty_row_is_said_once(torc: Torc, upgraded: Path, changes: tuple[str, ...]) -> None:
    """The error with which `upgrade` ends refers to it, and what the ledgers contradict each other on adds nothing."""
    change(upgraded, "UPDATE _sqlx_migrations SET success = FALSE WHERE version = 3", *changes)

    result = torc("-d", "app.db", "doctor")

    assert result.out.count("repair 3 --mark") == 1
    assert "upgrade ends with the error: migration 3 is partially applied" in result.out
    assert "None" not in result.out


def test_a_version_that_the_database_keeps_can_be_rolled_back(torc: Torc, here: Path) -> None:
    """`doctor` says so of a migration without a file, and it is true."""
    text = "-- compatible-from: 1\nCREATE TABLE b (x);\n"
    write_files(here / "migrations", {"1_a.sql": "CREATE TABLE a (x);\n", "2_b.sql": text})
    write_files(here / "migrations", {"2_b.rollback.sql": "DROP TABLE b;\n"})
    torc("-d", "app.db", "upgrade")
    for name in ("2_b.sql", "2_b.rollback.sql"):
        (here / "migrations" / name).unlink()

    told = torc("-d", "app.db", "doctor")
    done = torc("-d", "app.db", "rollback")

    assert "torc-migrations -d app.db rollback rolls it back, because the database keeps its down script" in told.out
    assert (done.status, tables(here / "app.db")) == (0, {"a"})


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"1_a.sql": "-- no-transaction\n"}, "1_a.sql asks for no transaction in words that yoyo does not understand"),
        ({"1_a.sql": "-- transactional: false\n"}, "1_a.sql asks for no transaction in words that sqlx does not"),
    ],
)
def test_folders_that_others_would_misread_are_named(
    torc: Torc, here: Path, files: dict[str, str], sentence: str
) -> None:
    """It is no fault of the folder, so that the exit status is 0."""
    write_files(here / "migrations", files)

    result = torc("-d", "app.db", "doctor")

    assert (result.status, sentence in result.out) == (0, True)


@pytest.mark.parametrize(
    ("files", "row", "sentence"),
    [
        (
            {"1_a.up.sql": "", "1_a.down.sql": ""},
            "UPDATE _yoyo_log SET comment = NULL",
            "stock yoyo, which has been used here, takes its .up.sql and .down.sql files for migrations of their own",
        ),
        (
            {"1_a.sql": "", "1_a.rollback.sql": ""},
            "UPDATE _sqlx_migrations SET execution_time = 7",
            "sqlx, which has been used here, takes its rollback files for migrations of the same version",
        ),
    ],
)
def test_a_layout_is_named_where_its_other_reader_was_used(
    torc: Torc, here: Path, files: dict[str, str], row: str, sentence: str
) -> None:
    """Nothing is said of a tool that has never written to the database, and its own users are not warned of it."""
    write_files(here / "migrations", files)
    torc("-d", "app.db", "upgrade")

    before = torc("-d", "app.db", "doctor")
    change(here / "app.db", row)
    after = torc("-d", "app.db", "doctor")

    assert before.out.count("\n") == 1
    assert sentence in after.out
    assert "writes a directory for" in after.out


@pytest.mark.parametrize(("number", "words"), [(1, "1 migration is"), (2, "2 migrations are")])
def test_numbers_have_their_plural(torc: Torc, here: Path, number: int, words: str) -> None:
    """One migration is pending or installed, two are, and none of two are."""
    write_files(here / "migrations", {f"{n}_a.sql": f"CREATE TABLE t{n} (x);" for n in range(1, number + 1)})

    pending = torc("-d", "app.db", "doctor")
    torc("-d", "app.db", "upgrade")
    done = torc("-d", "app.db", "doctor")

    assert pending.out.startswith(f"0 of {words} installed; ")
    assert f"\n{words} pending, the first is 1_a\n" in pending.out
    assert done.out.startswith(f"{number} of {words} installed, ")


def test_the_format_of_another_tool_is_what_upgrade_refuses(torc: Torc, here: Path) -> None:
    """Where upgrade refuses a file, doctor does not say that upgrade is to be typed."""
    write_files(here / "migrations", {"1_a.sql": "-- +goose Up\nCREATE TABLE a (x);\n-- +goose Down\nDROP TABLE a;\n"})

    refused = torc("-d", "app.db", "upgrade")
    explained = torc("-d", "app.db", "doctor")

    assert (refused.status, explained.status) == (2, 3)
    assert "upgrade ends with the error: migrations/1_a.sql is written for goose" in explained.out
    assert "is pending" not in explained.out


def test_upgrade_is_not_advised_where_it_would_fail(torc: Torc, here: Path) -> None:
    """Tables that a rollback without a script has left are recorded first; only what is above them is pending."""
    files = {f"{n}_t.sql": f"CREATE TABLE t{n} (x);\n" for n in (1, 2, 3)}
    write_files(here / "migrations", {**files, "2_t.rollback.sql": "-- not written yet\n"})
    torc("-d", "app.db", "upgrade", "--target", "2")
    rolled_back = torc("-d", "app.db", "rollback")

    explained = torc("-d", "app.db", "doctor")
    recorded = torc(*advice(explained.out))
    upgraded = torc("-d", "app.db", "upgrade")

    assert rolled_back.err == "note: migrations/2_t.rollback.sql: it has only comments, so nothing was done\n"
    assert "1 migration is pending, the first is 3_t\n    then torc-migrations -d app.db upgrade\n" in explained.out
    assert (recorded.status, upgraded.status) == (0, 0)


def test_both_marks_together_are_understood_by_all(torc: Torc, here: Path) -> None:
    """A script that says it in both tools' words needs no warning."""
    write_files(here / "migrations", {"1_a.sql": "-- no-transaction\n-- transactional: false\nSELECT 1;\n"})

    assert "asks for no transaction" not in torc("-d", "app.db", "doctor").out


def test_migrations_that_do_not_run_are_told_where_they_are_needed(torc: Torc, here: Path, upgraded: Path) -> None:
    """To tell what a migration makes they are run in memory; one that fails there is a symptom, not a crash."""
    change(upgraded, "DELETE FROM _yoyo_migration WHERE migration_id = '0003_index_titles'")
    write_files(here / "migrations", {"0002_add_author.sql": "SELECT FROM;\n"})

    result = torc("-d", "app.db", "doctor")

    assert result.status == 3
    assert "the migrations do not run on an empty database: while executing migration 2: " in result.out


def test_an_edit_is_accepted_for_a_reason(torc: Torc, here: Path, upgraded: Path) -> None:
    """`repair` wants a reason and keeps it in yoyo's log; afterwards the listing and the next upgrade are content."""
    write_files(here / "migrations", {"0001_create_book.sql": PAIRS["0001_create_book.sql"] + "-- edited\n"})

    refused = torc("-d", "app.db", "upgrade")
    unexplained = torc("-d", "app.db", "repair", "1")
    repaired = torc("-d", "app.db", "repair", "1", "--reason", "a comment only")

    assert (refused.status, unexplained.status) == (3, 2)
    assert (repaired.status, repaired.err) == (0, "note: 0001_create_book repaired in the ledgers\n")
    (comment,) = query(upgraded, "SELECT comment FROM _yoyo_log ORDER BY rowid DESC LIMIT 1")
    assert "a comment only" in str(comment)
    assert torc("-d", "app.db", "status", "--exit-code").status == 0
    assert torc("-d", "app.db", "repair", "1", "--reason", "again").err == (
        "note: 1 is installed, and its file is accepted as it is\nnote: nothing to do\n"
    )
    assert torc("-d", "app.db", "repair", "9", "--reason", "a typo").status == 4


EDITED = "was edited, or had mixed line endings when it was installed, which its checksum does not show"
REPAIR_2 = "torc-migrations -d app.db repair 2"


@pytest.mark.parametrize("version", [(), ("1",)])
def test_line_endings_are_accepted_and_nothing_else(
    torc: Torc, here: Path, upgraded: Path, version: tuple[str, ...]
) -> None:
    """Other line endings are listed as sqlx lists them, noted and accepted; what was edited otherwise is left alone."""
    windows = PAIRS["0001_create_book.sql"].replace("\n", "\r\n")
    write_files(here / "migrations", {"0001_create_book.sql": "\ufeff" + windows})
    write_files(here / "migrations", {"0002_add_author.sql": PAIRS["0002_add_author.sql"] + "-- edited\n"})

    listed = torc("-d", "app.db", "status")
    repaired = torc("-d", "app.db", "repair", "--line-endings", *version)

    assert listed.out.startswith("1/installed (different checksum) create book\n")
    assert (
        "note: 1 differs in its line endings only; `torc-migrations -d app.db repair 1 --line-endings`\n" in listed.err
    )
    left = "" if version else f"note: 2 {EDITED}: restore the file, or accept it with `{REPAIR_2} --reason TEXT`\n"
    assert repaired.err == f"{left}note: 0001_create_book repaired in the ledgers\n"
    assert [line for line in torc("-d", "app.db", "status").out.splitlines() if "different" in line] == [
        "2/installed (different checksum) add author"
    ]


def test_a_baseline_records_what_is_there(torc: Torc, here: Path, migrations: Path) -> None:
    """Nothing is run; what comes after it is pending, and applied by the next upgrade."""
    change(here / "app.db", "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT)", "CREATE TABLE author (id)")

    based = torc("-d", "app.db", "baseline", "2")
    listed = torc("-d", "app.db", "status")

    assert (
        based.err == "note: 0001_create_book recorded in the ledgers\nnote: 0002_add_author recorded in the ledgers\n"
    )
    assert listed.out == "1/installed create book\n2/installed add author\n3/pending index titles\n"
    assert torc("-d", "app.db", "upgrade").lines == "Applied 3/migrate index titles (TIME)\n"


@pytest.mark.usefixtures("migrations")
def test_a_baseline_of_what_is_not_there_is_refused(torc: Torc, here: Path) -> None:
    """What is lacking is named, down to the columns, and nothing is recorded."""
    change(here / "app.db", "CREATE TABLE book (id INTEGER PRIMARY KEY)")

    result = torc("-d", "app.db", "baseline", "3")

    assert result.status == 4
    assert result.err.startswith("error: the database lacks what the migrations up to 3 create: ")
    assert "column book.title" in result.err
    assert "table author" in result.err
    assert tables(here / "app.db") == {"book"}
    assert query(here / "app.db", "SELECT count(*) FROM sqlite_master") == [(1,)]


def test_a_baseline_of_scripts_that_commit_by_themselves(torc: Torc, here: Path) -> None:
    """On the scratch database they are run as an upgrade would run them."""
    write_files(
        here / "migrations",
        {
            "1_a.sql": "CREATE TABLE a (x);\n",
            "2_b.sql": "COMMIT; PRAGMA foreign_keys = OFF; BEGIN; CREATE TABLE b (x);\n",
            "3_c.sql": "-- transactional: false\nBEGIN; CREATE TABLE c (x); COMMIT;\n",
        },
    )
    change(here / "app.db", "CREATE TABLE a (x)", "CREATE TABLE b (x)")

    refused = torc("-d", "app.db", "baseline", "3")
    based = torc("-d", "app.db", "baseline", "2")

    assert "error: the database lacks what the migrations up to 3 create: table c\n" in refused.err
    assert based.status == 0
    assert torc("-d", "app.db", "status").out == "1/installed a\n2/installed b\n3/pending c\n"


def test_a_run_on_an_empty_database_says_so(torc: Torc, here: Path) -> None:
    """`baseline` and `verify --fresh` run the migrations to learn what they create; nothing of it is kept or undone."""
    verify = {"verify/q.sql": "-- name: q\n-- expect: SCAN a\nSELECT * FROM a;\n"}
    files = {"1_a.sql": "COMMIT;\nCREATE TABLE a (x);\nBEGIN;\n", "2_a.sql": "CREATE TABLE a (x);\n"}
    write_files(here / "migrations", {**files, **verify})
    change(here / "app.db", "CREATE TABLE a (x)")

    baseline = torc("-d", "app.db", "baseline", "2")
    fresh = torc("verify", "--fresh")

    words = "hint: this was a run on an empty database, to learn what the migrations create; "
    assert (baseline.status, fresh.status) == (6, 6)
    assert baseline.err.endswith(f"\n{words}app.db was not changed\n")
    assert fresh.err.endswith(f"\n{words}no other database was changed\n")
    assert "not undone" not in baseline.err + fresh.err


def test_a_pending_migration_of_which_a_part_is_there_is_named(torc: Torc, here: Path, migrations: Path) -> None:
    """Where `upgrade` would fail, doctor does not say that all is well."""
    write_files(migrations, {"0004_d.sql": "CREATE TABLE d (x);\nCREATE INDEX d_x ON d (x);\n"})
    torc("-d", "app.db", "upgrade", "--target", "3")
    change(here / "app.db", "CREATE TABLE d (x)")

    result = torc("-d", "app.db", "doctor")

    assert result.status == 3
    assert (
        "4 is pending, but of what it makes, column d.x, table d is there, and index d_x is not: its script may fail\n"
        "    remove that by hand; or finish it by hand, then type torc-migrations -d app.db repair 4 --mark\n"
    ) in result.out
    assert "table d already exists" in torc("-d", "app.db", "upgrade").err
    change(here / "app.db", "CREATE INDEX d_x ON d (x)")
    assert torc("-d", "app.db", "repair", "4", "--mark").status == 0
    assert torc("-d", "app.db", "doctor").status == 0
