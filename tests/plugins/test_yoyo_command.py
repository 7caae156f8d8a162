"""The plugin for yoyo: the real `yoyo` command on the `torc+sqlite` backend, and stock yoyo beside it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

import pytest
from shell import (
    COMMAND,
    PAIRS,
    ROOT,
    SHIPPED_IDS,
    SQL,
    YOYO,
    Result,
    everything_in,
    installed,
    python,
    query,
    run,
    run_on_terminal,
    tables,
    write_files,
)

URL = "torc+sqlite:///app.db"

ENDS = (".sql", ".rollback.sql")
BOOK, AUTHOR, TITLES = "0001_create_book", "0002_add_author", "0003_index_titles"


class Yoyo(Protocol):
    """Run a verb of `yoyo` on a database and a source."""

    def __call__(self, verb: str, *words: str, source: str = "migrations", url: str = URL) -> Result: ...


@pytest.fixture
def yoyo(here: Path) -> Yoyo:
    """The real command, in batch mode, run in `here`."""

    def run_yoyo(verb: str, *words: str, source: str = "migrations", url: str = URL) -> Result:
        return run([YOYO, verb, "--batch", "-d", url, *source.split(), *words], here)

    return run_yoyo


def listed(result: Result) -> dict[str, str]:
    """Return what `yoyo list` says of each id: A, or U."""
    rows = [line.split() for line in result.out.splitlines()[2:]]
    return {name: state for state, name, _ in rows}


def is_refused(result: Result, sentence: str) -> bool:
    """Tell whether yoyo ended with a sentence of ours, in its own way, and without a traceback."""
    told = result.err.partition("yoyo: error: ")[2]
    assert "Traceback" not in result.err
    return result.status == 2 and told.startswith(sentence)


@pytest.mark.usefixtures("migrations")
def test_listing_creates_nothing(yoyo: Yoyo, here: Path) -> None:
    """`yoyo list` on a database that does not exist lists everything as unapplied, and makes no file."""
    before = everything_in(here)

    result = yoyo("list")

    assert listed(result) == {BOOK: "U", AUTHOR: "U", TITLES: "U"}
    assert everything_in(here) == before


@pytest.mark.usefixtures("migrations")
def test_every_verb_keeps_both_ledgers(yoyo: Yoyo, here: Path) -> None:
    """After apply, rollback, reapply, develop, mark and unmark both ledgers hold the same, and yoyo lists it."""
    story: tuple[tuple[tuple[str, ...], list[str], set[str]], ...] = (
        (("apply",), [BOOK, AUTHOR, TITLES], {"book", "author"}),
        (("apply",), [BOOK, AUTHOR, TITLES], {"book", "author"}),
        (("rollback",), [BOOK, AUTHOR], {"book", "author"}),
        (("rollback", "--all"), [], set()),
        (("apply", "-r", AUTHOR), [AUTHOR], {"author"}),
        (("apply", "-m", "book"), [BOOK, AUTHOR], {"book", "author"}),
        (("rollback", "-m", "author"), [BOOK], {"book"}),
        (("mark", "-m", "author"), [BOOK, AUTHOR], {"book"}),
        (("unmark", "-r", AUTHOR), [BOOK], {"book"}),
        (("develop",), [BOOK, AUTHOR, TITLES], {"book", "author"}),
        (("develop",), [BOOK, AUTHOR, TITLES], {"book", "author"}),
        (("develop", "-n", "2"), [BOOK, AUTHOR, TITLES], {"book", "author"}),
        (("reapply", "--all"), [BOOK, AUTHOR, TITLES], {"book", "author"}),
        (("rollback", "-r", TITLES), [BOOK, AUTHOR], {"book", "author"}),
        (("break-lock",), [BOOK, AUTHOR], {"book", "author"}),
        (("unmark", "--all"), [], {"book", "author"}),
        (("mark", "--all"), [BOOK, AUTHOR, TITLES], {"book", "author"}),
    )
    for words, ids, schema in story:
        result = yoyo(*words)

        assert (words, result.status) == (words, 0), result.err
        assert (words, installed(here), tables(here / "app.db")) == (words, ids, schema)
        assert "yoyo_lock" not in {name for (name,) in query(here / "app.db", "SELECT name FROM sqlite_master")} or (
            query(here / "app.db", "SELECT count(*) FROM yoyo_lock") == [(0,)]
        )


@pytest.mark.usefixtures("migrations")
def test_reapply_runs_both_scripts_again(yoyo: Yoyo, here: Path) -> None:
    """What `reapply` rolled back and applied again has lost its rows, and has one line more of each in the log."""
    yoyo("apply")
    run(
        python("import sqlite3; c = sqlite3.connect('app.db'); c.execute('INSERT INTO author VALUES (7)'); c.commit()"),
        here,
    )

    yoyo("reapply", "-r", AUTHOR)

    operations = query(
        here / "app.db", f"SELECT operation FROM _yoyo_log WHERE migration_id = '{AUTHOR}' ORDER BY rowid"
    )
    assert operations == [("apply",), ("rollback",), ("apply",)]
    assert query(here / "app.db", "SELECT count(*) FROM author") == [(0,)]


@pytest.mark.usefixtures("migrations")
def test_ours_and_yoyos_listing_agree_after_either(yoyo: Yoyo, here: Path) -> None:
    """What one command did, the other one lists."""
    run([COMMAND, "-d", "app.db", "upgrade", "--target", "2"], here)
    by_ours = listed(yoyo("list"))
    yoyo("rollback")
    by_yoyo = run([COMMAND, "-d", "app.db", "status"], here).out

    assert by_ours == {BOOK: "A", AUTHOR: "A", TITLES: "U"}
    assert by_yoyo == "1/installed create book\n2/pending add author\n3/pending index titles\n"


@pytest.mark.usefixtures("migrations")
def test_force_is_refused(yoyo: Yoyo, here: Path) -> None:
    """yoyo's `--force` goes on after an error; we do not, and say so."""
    before = everything_in(here)

    result = yoyo("apply", "--force")

    assert is_refused(result, "--force is refused: a run stops at the first error\n")
    assert everything_in(here) == before


@pytest.mark.parametrize(
    ("files", "verb", "sentence"),
    [
        (
            {**PAIRS, "post-apply.sql": "SELECT nothing;\n"},
            "apply",
            'while executing hook post-apply: near "nothing": syntax error\n  --> migrations/post-apply.sql:1:8\n',
        ),
        (
            {"1_a.up.sql": "CREATE TABLE a (x);\n", "1_a.down.sql": "DROP TABLE a;\n"},
            "apply",
            "migrations is in sqlx's layout: yoyo would run its down files as migrations\nhint: ",
        ),
        (
            {"1_a.up.sql": "CREATE TABLE a (x);\n", "1_a.down.sql": "DROP TABLE a;\n"},
            "list",
            "migrations is in sqlx's layout: yoyo would run its down files as migrations\nhint: ",
        ),
        (
            {**PAIRS, "0004_bad.sql": "CREATE TABLE half (x);\nSELECT FROM;\n"},
            "apply",
            'while executing migration 4: near "FROM": syntax error\n  --> migrations/0004_bad.sql:2:8\n',
        ),
        ({**PAIRS, "0004_more.py": "steps = []\n"}, "apply", "migrations/0004_more.py is a migration in Python; only"),
        ({**PAIRS, "0001_again.sql": "SELECT 1;\n"}, "apply", "version 1 is used twice in migrations: "),
        ({**PAIRS, "no-number.sql": "SELECT 1;\n"}, "apply", "while resolving migrations: error parsing migration"),
        ({"0001_a.sql": "BEGIN;\nSELECT 1;\nCOMMIT;\n"}, "apply", "migrations/0001_a.sql: BEGIN in a script would end"),
        ({"0002_a.sql": "-- depends: 0003_b\n", "0003_b.sql": "SELECT 1;\n"}, "apply", "migrations/0002_a.sql depends"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_a_sentence(
    yoyo: Yoyo, here: Path, files: dict[str, str | bytes], verb: str, sentence: str
) -> None:
    """yoyo ends with status 2 and our sentence, without a traceback; of what failed nothing is kept."""
    write_files(here / "migrations", files)

    result = yoyo(verb)

    assert is_refused(result, sentence), result.err
    assert not (here / "app.db").exists() or "half" not in tables(here / "app.db")


@pytest.mark.usefixtures("migrations")
def test_hooks_run_after_an_apply_until_they_succeed(yoyo: Yoyo, here: Path) -> None:
    """A post-apply hook that fails fails the command, and runs with the next one, which has nothing else to do."""
    hook = "CREATE TABLE IF NOT EXISTS runs (x); INSERT INTO runs VALUES (1);"
    write_files(here, {"migrations/post-apply.sql": "SELECT nothing;\n"})

    failed = yoyo("apply")
    write_files(here, {"migrations/post-apply.sql": hook})
    again, third = yoyo("apply"), yoyo("apply")

    assert failed.status != 0
    assert (again.status, third.status) == (0, 0)
    assert query(here / "app.db", "SELECT count(*) FROM runs") == [(1,)]


def test_an_edited_file_is_refused(yoyo: Yoyo, here: Path, migrations: Path) -> None:
    """yoyo has no checksums; through us an edited file stops the next apply."""
    yoyo("apply", "-r", BOOK)
    (migrations / f"{BOOK}.sql").write_text("CREATE TABLE book (id);\n")

    result = yoyo("apply")

    assert is_refused(result, "migration 1 was previously applied but has been modified\nhint: restore the file")
    assert installed(here) == [BOOK]


def test_an_irreversible_rollback_is_refused(yoyo: Yoyo, here: Path) -> None:
    """Stock yoyo erases such a migration and leaves its tables; we refuse."""
    write_files(here / "migrations", {"1_a.sql": "CREATE TABLE a (x);\n"})
    yoyo("apply")

    result = yoyo("rollback")

    assert is_refused(result, "migration 1 has no down script and cannot be rolled back")
    assert tables(here / "app.db") == {"a"}


def test_a_hint_names_the_command_that_has_an_option(yoyo: Yoyo, here: Path) -> None:
    """yoyo has no `--target`; with the command that the hint names, it works."""
    write_files(
        here / "migrations", {"1_a.sql": "CREATE TABLE a (x);\n", **{f"2_b{end}": "SELECT 1;\n" for end in ENDS}}
    )
    yoyo("apply")

    hint = yoyo("rollback", "--all").err.partition("hint: ")[2]
    command = hint.partition("; yoyo has no --target, `")[2].partition("` has it")[0]
    done = run([COMMAND, *command.split()[1:], "--target", "1"], here)

    assert command == "torc-migrations -d sqlite:///app.db -s migrations rollback"
    assert done.status == 0, done.err
    assert installed(here) == ["1_a"]


def test_a_command_in_a_hint_names_the_database_and_the_source(yoyo: Yoyo, here: Path, migrations: Path) -> None:
    """What a hint names can be typed as it is."""
    yoyo("apply", "-r", BOOK)
    text = (migrations / f"{BOOK}.sql").read_text()
    (migrations / f"{BOOK}.sql").write_text(text.replace("\n", "\r\n"), newline="")

    hint = yoyo("apply").err.partition("hint: ")[2]
    command = hint.partition("`")[2].partition("`")[0]
    done = run([COMMAND, *command.split()[1:]], here)

    assert command.startswith("torc-migrations -d sqlite:///app.db -s migrations repair 1 ")
    assert done.status == 0, done.err
    assert yoyo("apply").status == 0


def test_two_folders_share_a_database(yoyo: Yoyo, here: Path, migrations: Path) -> None:
    """Two source folders are one history: applied, filtered and rolled back together."""
    write_files(here / "more", {"0005_e.sql": "CREATE TABLE e (x);\n", "0005_e.rollback.sql": "DROP TABLE e;\n"})
    both = f"{migrations.name} more"

    story: tuple[tuple[tuple[str, ...], list[str]], ...] = (
        (("apply",), [BOOK, AUTHOR, TITLES, "0005_e"]),
        (("rollback",), [BOOK, AUTHOR, TITLES]),
        (("apply", "-r", "0005_e"), [BOOK, AUTHOR, TITLES, "0005_e"]),
        (("rollback", "-m", "titles"), [BOOK, AUTHOR, "0005_e"]),
        (("apply",), [BOOK, AUTHOR, TITLES, "0005_e"]),
    )
    for words, ids in story:
        result = yoyo(*words, source=both)

        assert (words, result.status, installed(here)) == (words, 0, ids), result.err
    assert is_refused(yoyo("reapply", "--all"), "migration 5 was previously applied but is missing")


def test_a_package_is_a_source(yoyo: Yoyo, here: Path) -> None:
    """yoyo's `package:name:folder` works for what is applied and rolled back."""
    applied = yoyo(
        "apply", source="package:torc_migrations:../sql" if not_installed() else "package:torc_migrations:sql"
    )

    assert applied.status == 0, applied.err
    assert installed(here) == list(SHIPPED_IDS)


def not_installed() -> bool:
    """Tell whether the package runs from a clone, whose SQL lies beside it."""
    import torc_migrations

    return not Path(torc_migrations.__file__).with_name("sql").exists()


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("torc+sqlite:///app.db", "app.db"),
        ("torc+sqlite:////{here}/app.db", "app.db"),
        ("torc+sqlite:///sub/app.db", "sub/app.db"),
        ("torc+sqlite:///a%20b.db", "a b.db"),
        ("torc+sqlite:///app.db?mode=rwc", "app.db"),
    ],
)
@pytest.mark.usefixtures("migrations")
def test_a_url_leads_to_the_file_it_names(yoyo: Yoyo, here: Path, url: str, file: str) -> None:
    """Three slashes are relative, four absolute, `%20` is a blank."""
    (here / "sub").mkdir()

    result = yoyo("apply", url=url.format(here=str(here).lstrip("/")))

    assert result.status == 0, result.err
    assert [str(path.relative_to(here)) for path in here.rglob("*.db")] == [file]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("torc+sqlite://", "a torc+sqlite URL needs three slashes\nhint: use torc+sqlite:///path/to/file.db\n"),
        ("torc+sqlite://app.db", "a torc+sqlite URL needs three slashes\n"),
        ("torc+sqlite:", "a torc+sqlite URL needs three slashes\n"),
        ("torc+sqlite:///app.db?vfs=unix-none", "unknown parameter 'vfs=unix-none' in"),
        ("torc+sqlite:///no/such/app.db", "there is no directory 'no/such' for the database 'no/such/app.db'\nhint: "),
        ("torc+sqlite:///app.db?mode=rw", "there is no database 'app.db', and ?mode=rw creates none\n"),
        ("torc+sqlite:///migrations", "cannot open 'migrations': it is a directory\n"),
    ],
)
@pytest.mark.usefixtures("migrations")
def test_a_url_that_is_a_trap_is_refused(yoyo: Yoyo, here: Path, url: str, sentence: str) -> None:
    """What yoyo would open as `None`, or as nothing, is an error in a sentence, and no file is made."""
    before = everything_in(here)

    result = yoyo("apply", url=url)

    assert is_refused(result, sentence), result.err
    assert everything_in(here) == before


@pytest.fixture
def clone(here: Path) -> Path:
    """What a clone has of yoyo's: the shipped yoyo.ini, and the folder sql."""
    shutil.copy(ROOT / "yoyo.ini", here)
    shutil.copytree(SQL, here / "sql")
    (here / "deep/er").mkdir(parents=True)
    return here


@pytest.mark.parametrize("place", [".", "deep/er"])
def test_plain_yoyo_works_in_a_clone(clone: Path, place: str) -> None:
    """With the shipped yoyo.ini plain `yoyo apply` upgrades torc.db beside it, from whatever folder below."""
    applied = run([YOYO, "apply"], clone / place)
    rows = run([YOYO, "list"], clone / place)
    ours = run([COMMAND, "status"], clone / place)

    assert (applied.status, applied.err) == (0, "")
    assert [line.split()[:2] for line in rows.out.splitlines()[2:]] == [["A", name] for name in SHIPPED_IDS]
    assert ours.out.splitlines()[-1] == "20251105030141/installed add database indexes"
    assert sorted(path.name for path in clone.rglob("*.db")) == ["torc.db"]


def test_stock_yoyo_works_on_the_shipped_folder(here: Path) -> None:
    """With yoyo's own backend the shipped folder applies as well, and our listing says installed."""
    applied = run([YOYO, "apply", "-b", "-d", "sqlite:///app.db", str(SQL)], here)
    before = everything_in(here)
    ours = run([COMMAND, "-d", "sqlite:///app.db", "status", "--exit-code"], here)

    assert applied.status == 0, applied.err
    assert (ours.status, ours.out.splitlines()[-1]) == (0, "20251105030141/installed add database indexes")
    assert everything_in(here) == before


def test_our_next_upgrade_takes_over_from_stock_yoyo(here: Path) -> None:
    """After stock yoyo's rollback and apply the ledgers differ until ours writes what sqlx's lacks."""
    stock = [YOYO, "-b", "-d", "sqlite:///app.db", str(SQL)]
    run([COMMAND, "-d", "app.db", "--torc", "upgrade"], here)
    run([stock[0], "rollback", *stock[1:]], here)
    pending = run([COMMAND, "-d", "app.db", "status"], here)
    upgraded = run([COMMAND, "-d", "app.db", "upgrade"], here)

    assert pending.out.splitlines()[-1] == "20251105030141/pending add database indexes"
    assert "sqlx's ledger still has it" in pending.err
    assert upgraded.lines == "Applied 20251105030141/migrate add database indexes (TIME)\n"
    assert installed(here) == list(SHIPPED_IDS)


@pytest.mark.usefixtures("migrations")
def test_yoyos_questions_are_answered_on_a_terminal(here: Path) -> None:
    """Without batch mode yoyo asks for each migration; what is chosen goes through us."""
    words = [YOYO, "apply", "--no-config-file", "-d", URL, "migrations"]

    result = run_on_terminal(words, here, answers=["q"])
    chosen = run_on_terminal(words, here, answers=["y", "n", "d", "y"])

    assert "Shall I apply this migration?" in result.out
    assert not any(name in result.out + chosen.out for name in ("Traceback", "Error"))
    assert installed(here) == [BOOK]


@pytest.mark.parametrize("verb", ["apply", "rollback", "reapply", "develop", "mark", "unmark", "list"])
def test_nothing_to_do_is_no_error(yoyo: Yoyo, here: Path, verb: str) -> None:
    """On an empty selection every verb ends with 0 and writes nothing."""
    write_files(here / "migrations", PAIRS)
    before = everything_in(here)

    result = yoyo(verb, "-m", "nothing-is-named-like-this")

    assert result.status == 0, result.err
    assert everything_in(here) == before
