"""The command: its verbs and flags, and what it prints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from shell import (
    COMMAND,
    SHIPPED_IDS,
    Result,
    Torc,
    everything_in,
    outcome_of,
    query,
    run,
    tables,
    write_files,
)

from torc_migrations.cli import arguments

OLDEST = SHIPPED_IDS[0].partition("_")[0]

LOCALES = {
    "UTF-8": {"LC_ALL": "C.UTF-8"},
    "C": {"LC_ALL": "C", "LANG": "C"},
    "C, not coerced": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
}

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
    ("run", "upgrade", ""),  # and ours writes a note
    (
        "revert --dry-run --target-version 1",
        "rollback --dry-run --target 1",
        "Can apply 3/revert make t3 (TIME)\nCan apply 2/revert make t2 (TIME)\nSkipped 1/revert make café (TIME)\n",
    ),
    ("revert", "rollback", "Applied 3/revert make t3 (TIME)\n"),
    (
        "revert --target-version 0",
        "rollback --target 0 --yes",
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
def test_each_verb_prints_what_sqlx_prints(torc: Torc, here: Path) -> None:
    """Standard output is that of sqlx, byte for byte but for durations; a note is on standard error."""
    (here / "app.db").touch()  # as `sqlx database create` does
    for _, words, expected in SQLX_SESSION:
        result = torc("-d", "app.db", *words.split())

        note = "" if expected else "note: nothing to do\n"
        assert (words, result.status, result.lines, result.err) == (words, 0, expected, note)


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
    assert result.err.startswith("error: there is no directory 'o")
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

    note = "note: there is no database 'app.db' yet; upgrade creates it\n"
    assert torc(*words.split()) == Result(0, "7/pending seven\n", note)


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
    assert "note: source migrations, from the current directory" in result.err


def test_version_is_that_of_the_package(torc: Torc) -> None:
    """`--version` names the command and its version."""
    from torc_migrations import __version__

    assert torc("--version") == Result(0, f"torc-migrations {__version__}\n", "")


VERBS = (
    *("status", "upgrade", "rollback", "apply", "rehearse", "new", "export", "verify", "indexes", "optimize"),
    *("doctor", "repair", "baseline", "restore", "check", "report", "renumber", "dump", "wait", "fleet"),
    *("convert", "queries", "completion"),
)


@pytest.mark.parametrize("verb", ["", *VERBS, "info", "run", "revert", "add"])
@pytest.mark.parametrize(("columns", "lines"), [(200, 84), (80, 84), (60, 110), (50, 140)])
def test_help_fits_a_terminal_and_teaches_by_examples(torc: Torc, verb: str, columns: int, lines: int) -> None:
    """Every page of help is as wide as the terminal, 78 columns at most, and shows the verb at work."""
    result = torc(*verb.split(), "--help", env={"COLUMNS": str(columns)})

    assert (result.status, result.err) == (0, "")
    assert max(len(line) for line in result.out.splitlines()) <= min(columns, 78)
    assert len(result.out.splitlines()) <= lines
    assert "examples:\n  torc-migrations " in result.out


def test_the_help_begins_with_the_verbs(torc: Torc) -> None:
    """Every verb stands once in the first 32 lines, below what it is for; the whole is no longer than 65 lines."""
    lines = torc("--help", env={"COLUMNS": "80"}).out.splitlines()

    shown = [line.split()[0] for line in lines[:32] if line.startswith("    ")]
    assert sorted(shown) == sorted(VERBS)
    assert [line.strip() for line in lines if line.startswith("  ") and line.endswith(":")] == [
        *("run:", "look:", "before a release:", "repair and maintain:"),
    ]
    assert len(lines) <= 65


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "error: no verb is given\nhint: `torc-migrations --help` lists the verbs\n"),
        ("statsu", "error: there is no verb 'statsu'\nhint: did you mean `status`?\n"),
        ("down", "error: there is no verb 'down'\nhint: did you mean `rollback`?\n"),
        ("migrate", "error: there is no verb 'migrate'\nhint: did you mean `upgrade`?\n"),
        ("migrate run", "error: there is no verb 'migrate'\nhint: leave it out: `torc-migrations run`\n"),
        ("migrate info", "error: there is no verb 'migrate'\nhint: leave it out: `torc-migrations info`\n"),
        ("help", "error: there is no verb 'help'\nhint: `torc-migrations --help` lists the verbs\n"),
        ("help upgrade", "error: there is no verb 'help'\nhint: use `torc-migrations upgrade --help`\n"),
        ("--db x.db status", "error: there is no option '--db'\nhint: did you mean --database?\n"),
        ("--db=x.db status", "error: there is no option '--db'\nhint: did you mean --database?\n"),
        ("status --sorce m", "error: there is no option '--sorce'\nhint: did you mean --source?\n"),
        ("upgrade --tagret 3", "error: there is no option '--tagret'\nhint: did you mean --target?\n"),
        ("run --to=3", "error: there is no option '--to'\nhint: did you mean --target?\n"),
        ("upgrade --dryrun", "error: there is no option '--dryrun'\nhint: did you mean --dry-run?\n"),
        (
            "status --qqq",
            "error: there is no option '--qqq'\nhint: `torc-migrations status --help` lists the options\n",
        ),
        (
            "--qqq status",
            "error: there is no option '--qqq'\nhint: `torc-migrations status --help` lists the options\n",
        ),
        ("status --yes", "error: status does not take '--yes'\nhint: --yes is an option of rollback, restore\n"),
        ("upgrade --rehearse", "error: upgrade does not take '--rehearse'\nhint: use `torc-migrations rehearse`\n"),
        ("run --rehearse", "error: run does not take '--rehearse'\nhint: use `torc-migrations rehearse`\n"),
        (
            "rollback --rehearse",
            "error: rollback does not take '--rehearse'\nhint: use `torc-migrations rehearse --roll",
        ),
        (
            "apply 3 --rehearse",
            "error: apply does not take '--rehearse'\nhint: use `torc-migrations rehearse --target VERSION`\n",
        ),
        ("doctor --trust yoyo", "error: doctor does not take '--trust'\nhint: use `torc-migrations repair --trust`\n"),
        ("upgrade 3", "error: upgrade does not take '3'\nhint: use --target 3\n"),
        ("run 3", "error: run does not take '3'\nhint: use --target 3\n"),
        ("status now", "error: status does not take 'now'\nhint: `torc-migrations status --help` lists"),
        ("upgrade --target last", "error: argument --target/--target-version: 'last' is not a version; a version"),
        ("upgrade --target 1_000", "error: argument --target/--target-version: '1_000' is not a version; a version"),
        ("upgrade --target \u0663", "error: argument --target/--target-version: '\u0663' is not a version; a version"),
        ("upgrade --lock-timeout -1", "error: argument --lock-timeout/--connect-timeout: '-1' is not a number of sec"),
        ("upgrade --lock-timeout nan", "error: argument --lock-timeout/--connect-timeout: 'nan' is not a number of"),
        ("status sqlite:///x.db", "error: status does not take 'sqlite:///x.db'\nhint: use -d sqlite:///x.db\n"),
        ("x.db status", "error: there is no verb 'x.db'\nhint: use -d x.db, and then the verb\n"),
        ("new add users", "error: new does not take 'users'\nhint: put the description into quotes\n"),
        ("new", "error: the following arguments are required: DESCRIPTION\nhint: `torc-migrations new --help`"),
        ("-s m --torc status", "error: --torc and --source name two sources\nhint: leave out one of them\n"),
        ("rehearse --fresh", "error: --fresh has no effect without --round-trip\nhint: add --round-trip\n"),
        ("rehearse --round-trip --rollback", "error: --rollback has no effect with --round-trip\nhint: leave out"),
        ("repair --reason x", "error: repair --reason needs the VERSION of the edited file\nhint: "),
        (
            "repair --trust yoyo 3",
            "error: repair --trust takes no VERSION: it settles everything that is out of step\n",
        ),
        ("repair --line-endings --dry-run", "error: --dry-run has no effect without --trust\nhint: leave out --dry"),
        (
            "repair",
            "error: one of the arguments --reason --line-endings --resume-after --mark --unmark --renamed --trust is ",
        ),
        ("upgrade --snapshot=nodir", "error: there is no directory 'nodir' for the snapshot\nhint: create it, or name"),
        ("apply 1 --snapshot nodir", "error: there is no directory 'nodir' for the snapshot\nhint: create it, or name"),
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


@pytest.fixture
def torc_server_database(here: Path) -> Path:
    """A database as torc's own server makes it: other migrations, in sqlx's ledger only."""
    folder = write_files(
        here / "server", {"20250101000000_init.sql": "CREATE TABLE workflow (id INTEGER PRIMARY KEY);"}
    )
    run([COMMAND, "-d", "server.db", "-s", str(folder), "upgrade"], here)
    shutil.rmtree(folder)
    return here / "server.db"


@pytest.mark.parametrize("verb", ["upgrade", "rollback", "apply 20251105030141", "rollback --target 0 --yes"])
def test_the_shipped_schema_refuses_somebody_elses_database(
    torc: Torc, here: Path, torc_server_database: Path, verb: str
) -> None:
    """With --torc a database that has another schema is not changed, and the hint names --source."""
    before = everything_in(here)

    result = torc("-d", str(torc_server_database), "--torc", *verb.split())

    assert (result.status, result.out) == (3, "")
    assert "does not have the torc schema that ships with this package: its migration 20250101000000" in result.err
    assert "hint: name the directory of its own migrations with --source" in result.err
    assert everything_in(here) == before


def test_listing_somebody_elses_database_says_so(torc: Torc, torc_server_database: Path) -> None:
    """`status` lists the shipped schema as pending, and notes that this is not its database."""
    result = torc("-d", str(torc_server_database), "--torc", "status")

    assert result.status == 0
    assert "note: this is not a database of the torc schema" in result.err
    assert result.err.endswith("; name the source of its own migrations\n")


@pytest.mark.parametrize("verb", ["status", "upgrade", "rollback", "apply 1"])
def test_a_command_without_a_database_says_how_to_name_one(torc: Torc, here: Path, verb: str) -> None:
    """No database is guessed, and none is made."""
    result = torc(*verb.split())

    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "error: no database is named\n"
        "hint: use -d sqlite:///app.db, or set DATABASE_URL in the environment or in .env, or database in yoyo.ini\n"
    )
    assert everything_in(here) == {}


def test_a_single_transaction_keeps_all_or_nothing(torc: Torc, here: Path, migrations: Path) -> None:
    """`--single-transaction` prints what it did when all of it is kept, and nothing was done before an error."""
    up = torc("-d", "app.db", "upgrade", "--single-transaction")
    (migrations / "0001_create_book.rollback.sql").write_text("BORK;\n")
    failed = torc("-d", "app.db", "rollback", "--single-transaction", "--target", "0", "--json", "--yes")

    assert (up.status, len(up.out.splitlines()), up.err) == (0, 3, "")
    assert failed.status == 6
    assert outcome_of(failed)["done"] == []
    assert "hint: nothing of the run was kept: it is one transaction\n" in failed.err
    assert tables(here / "app.db") == {"book", "author"}


@pytest.mark.usefixtures("migrations")
def test_the_shipped_schema_has_a_name(torc: Torc, here: Path) -> None:
    """Where a folder `migrations` hides it, it can still be named, here in a clone as where it is installed."""
    words = ("-d", "torc.db", "--source", "package:torc_migrations:sql")

    hidden = torc("-d", "torc.db", "status")
    up = torc(*words, "upgrade", "--target", OLDEST)
    verified = torc(*words[2:], "verify", "--fresh")

    assert hidden.out.startswith("1/pending create book\n")
    assert up.out.startswith(f"Applied {OLDEST}/migrate create workflows (")
    assert len(torc(*words, "status").out.splitlines()) == len(SHIPPED_IDS)
    assert (verified.status, verified.err) == (0, "")
    assert (here / "torc.db").exists()


@pytest.mark.parametrize("verb", ["verify", "indexes", "optimize"])
def test_the_hint_at_a_missing_database_is_the_verbs_own(torc: Torc, here: Path, verb: str) -> None:
    """Only `verify` can do without a database, and only its hint says so."""
    result = torc("-d", "none.db", "--torc", verb)

    command = "torc-migrations -d none.db --torc"
    otherwise = f"; `{command} verify --fresh` needs none" if verb == "verify" else ""
    hint = f"hint: `{command} upgrade` creates it{otherwise}\n"
    assert (result.status, result.err) == (2, f"error: there is no database 'none.db'\n{hint}")
    assert not (here / "none.db").exists()


def test_an_empty_file_is_named(torc: Torc, here: Path) -> None:
    """A file that was created for a run that then failed stays, and the hint says so; one that was there is not."""
    write_files(here / "migrations", {"1_a.sql": "BORK;\n"})

    first, second = (torc("-d", "new.db", "upgrade").err for _ in range(2))

    assert "hint: nothing of 1 was kept; new.db was created, and is left empty\n" in first
    assert second.endswith("hint: nothing of 1 was kept\n")
    assert (here / "new.db").stat().st_size == 0


def test_the_tables_of_verbs_name_those_that_have_a_parser() -> None:
    """Each verb has the names of the tables, by which the command finds out whose parser it needs."""
    parser = arguments._parser()

    assert parser.verbs is not None
    assert set(parser.verbs.choices) == {*arguments.VERBS, *arguments.ALIASES}
    assert {alias: parser.own_name(alias) for alias in arguments.ALIASES} == arguments.ALIASES


def test_only_verbs_that_are_named_get_a_parser() -> None:
    """All of them take longer than an upgrade with nothing to do."""
    parser = arguments._parser({"upgrade"})

    assert parser.verbs is not None
    assert set(parser.verbs.choices) == {"upgrade", "run"}
