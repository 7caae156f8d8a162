"""Which database and which source the command takes, where it found them, and what it refuses to misread."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from shell import COMMAND, NEWEST, ROOT, SHIPPED_IDS, Torc, everything_in, python, query, run, tables, write_files

OLDEST = SHIPPED_IDS[0].partition("_")[0]
ONE = {"1_one.sql": "CREATE TABLE one (x);\n"}


def marked(name: str) -> dict[str, str | bytes]:
    """Return a folder's one migration, which tells in its description which folder it is."""
    return {f"7_{name}.sql": f"CREATE TABLE {name} (x);\n"}


# Every place that can name a database, strongest first.
DATABASE_PLACES = ("flag", "environment", "dotenv", "yoyo.ini")


@pytest.mark.parametrize("strongest", range(len(DATABASE_PLACES)))
def test_the_database_is_that_of_the_strongest_place(torc: Torc, here: Path, strongest: int) -> None:
    """A flag beats DATABASE_URL, which beats .env, which beats yoyo.ini; `-v` tells which it was."""
    named = DATABASE_PLACES[strongest:]
    write_files(here / "migrations", ONE)
    flag = ["-d", "flag.db"] if "flag" in named else []
    env: dict[str, str | None] = {"DATABASE_URL": "sqlite:environment.db"} if "environment" in named else {}
    if "dotenv" in named:
        (here / ".env").write_text("DATABASE_URL=sqlite://dotenv.db\n")
    (here / "yoyo.ini").write_text("[DEFAULT]\nsources = migrations\ndatabase = sqlite:///yoyo.ini.db\n")
    origins = ("--database", "DATABASE_URL in the environment", f"{here}/.env", f"{here}/yoyo.ini")

    result = torc(*flag, "-v", "upgrade", env=env)

    assert [path.name for path in here.glob("*.db")] == [f"{named[0]}.db"]
    assert f".db, from {origins[strongest]}\n" in result.err.splitlines(keepends=True)[0]


SOURCE_PLACES = ("flag", "yoyo.ini", "sqlx.toml", "migrations")


@pytest.mark.parametrize("strongest", range(len(SOURCE_PLACES)))
def test_the_source_is_that_of_the_strongest_place(torc: Torc, here: Path, strongest: int) -> None:
    """A flag beats yoyo.ini, which beats sqlx.toml, which beats ./migrations."""
    named = SOURCE_PLACES[strongest:]
    flag = ["-s", "by_flag"] if "flag" in named else []
    write_files(here, {f"by_{name}/7_{name}.sql": "SELECT 1;\n" for name in ("flag", "yoyo", "sqlx")})
    if "yoyo.ini" in named:
        (here / "yoyo.ini").write_text("[DEFAULT]\nsources = by_yoyo\n")
    if "sqlx.toml" in named:
        (here / "sqlx.toml").write_text('[migrate]\nmigrations-dir = "by_sqlx"\n')
    if "migrations" in named:
        write_files(here / "migrations", {"7_migrations.sql": "SELECT 1;\n"})
    expected = {
        "flag": ("7/pending flag", "note: source by_flag, from --source"),
        "yoyo.ini": ("7/pending yoyo", f"note: source by_yoyo, from {here}/yoyo.ini"),
        "sqlx.toml": ("7/pending sqlx", "note: source by_sqlx, from sqlx.toml"),
        "migrations": ("7/pending migrations", "note: source migrations, from the current directory"),
    }

    result = torc(*flag, "-d", "app.db", "-v", "status")

    listed, note = expected[named[0]]
    assert result.out.splitlines()[-1] == listed
    assert note in result.err.splitlines()


@pytest.mark.parametrize("name", [".env", "yoyo.ini"])
def test_a_file_in_a_folder_above_is_found(torc: Torc, here: Path, name: str) -> None:
    """`.env` and yoyo.ini are looked for here and in every folder above; the nearest one counts."""
    text = "DATABASE_URL=sqlite://{}.db\n" if name == ".env" else "[DEFAULT]\ndatabase = sqlite:///{}.db\n"
    (here.parent / name).write_text(text.format("above"))
    write_files(here / "migrations", ONE)
    torc("upgrade")
    (here / name).write_text(text.format("near"))
    torc("upgrade")

    assert sorted(path.name for path in here.glob("*.db")) == ["above.db", "near.db"]


@pytest.mark.parametrize("name", ["sqlx.toml", "migrations"])
def test_what_sqlx_looks_for_here_only_is_looked_for_here_only(torc: Torc, here: Path, name: str) -> None:
    """sqlx.toml and ./migrations above us are none of ours, as for sqlx."""
    write_files(here.parent / "migrations", marked("above"))
    (here.parent / "sqlx.toml").write_text('[migrate]\nmigrations-dir = "migrations"\n')

    result = torc("-d", "app.db", "status")

    assert "above" not in result.out


def test_no_dotenv_leaves_the_file_unread(torc: Torc, here: Path) -> None:
    """`--no-dotenv`, sqlx's flag, looks for no .env."""
    (here / ".env").write_text("DATABASE_URL=sqlite://app.db\n")

    assert "no database is named" in torc("status", "--no-dotenv").err
    assert torc("--torc", "status").status == 0


@pytest.mark.parametrize(
    "line",
    [
        "DATABASE_URL=sqlite://app.db",
        "export DATABASE_URL=sqlite://app.db",
        'DATABASE_URL="sqlite://app.db"',
        "DATABASE_URL='sqlite://app.db'  # ours",
        "OTHER=1\nNAME=app\nDATABASE_URL=sqlite://${NAME}.db",
    ],
)
def test_a_dotenv_file_is_read_as_people_write_it(torc: Torc, here: Path, line: str) -> None:
    """Quotes, `export`, comments and references to other names are understood."""
    (here / ".env").write_text(f"{line}\n")
    write_files(here / "migrations", ONE)

    torc("upgrade")

    assert (here / "app.db").exists()


@pytest.mark.parametrize(
    "line", ["foo bar = 1", 'SECRET="hunter2', "SECRET=hunter2 $( \n=x", "9 8 7", "SECRET='hunter2"]
)
def test_a_line_of_a_dotenv_file_that_cannot_be_read_is_noted(torc: Torc, here: Path, line: str) -> None:
    """The note is ours, with its place, and does not show the line, which may have a secret in it."""
    (here / ".env").write_text(f"NAME=app\n{line}\nDATABASE_URL=sqlite://${{NAME}}.db\n")
    write_files(here / "migrations", ONE)

    result = torc("upgrade")

    number = 2 + line.count("\n")
    assert result.err == f"note: {here}/.env:{number}: this line is not NAME=VALUE, and is ignored\n"
    assert (here / "app.db").exists()


def test_yoyo_ini_knows_where_it_is(torc: Torc, here: Path) -> None:
    """`%(here)s` is the folder of the file, wherever the command is run."""
    (here.parent / "yoyo.ini").write_text(
        "[DEFAULT]\nsources = %(here)s/sql\ndatabase = sqlite:///%(here)s/app.db\nmigration_table = _yoyo_migration\n"
    )
    write_files(here.parent / "sql", ONE)

    result = torc("upgrade")

    assert result.lines == "Applied 1/migrate one (TIME)\n"
    assert tables(here.parent / "app.db") == {"one"}


def test_yoyo_ini_knows_the_environment(torc: Torc, here: Path) -> None:
    """`%(NAME)s` is a variable of the environment, in any case, percent signs and all."""
    (here / "yoyo.ini").write_text("[DEFAULT]\nsources = migrations\ndatabase = sqlite:///%(App_Name)s.db\n")
    write_files(here / "migrations", ONE)

    torc("upgrade", env={"APP_NAME": "named", "OTHER": "100%"})

    assert (here / "named.db").exists()


def test_yoyo_ini_has_the_last_word_on_what_it_names(torc: Torc, here: Path) -> None:
    """A name that yoyo.ini gives a value keeps it, whatever the environment says, as with yoyo."""
    (here / "yoyo.ini").write_text(
        "[DEFAULT]\nsources = migrations\napp_name = mine\ndatabase = sqlite:///%(app_name)s.db\n"
    )
    write_files(here / "migrations", ONE)

    assert torc("upgrade", env={"APP_NAME": "theirs", "DATABASE": "sqlite:///theirs.db"}).status == 0
    assert [path.name for path in here.glob("*.db")] == ["mine.db"]


@pytest.mark.parametrize("name", ["50%", "%(here)s", "100%%"])
def test_a_percent_sign_in_the_directory_of_yoyo_ini_is_a_sign(torc: Torc, here: Path, name: str) -> None:
    """`%(here)s` stands for the directory as it is called; nothing in its name is replaced."""
    home = here / name
    home.mkdir()
    (home / "yoyo.ini").write_text("[DEFAULT]\nsources = %(here)s/sql\ndatabase = sqlite:///%(here)s/app%%41.db\n")
    write_files(home / "sql", ONE)

    result = run([COMMAND, "upgrade", "-v"], home)

    assert result.status == 0, result.err
    assert f"note: source {home}/sql, from {home}/yoyo.ini" in result.err.splitlines()


def test_yoyo_ini_names_the_ledger(torc: Torc, here: Path) -> None:
    """yoyo's ledger has the name that `migration_table` gives it, and `-v` says so."""
    (here / "yoyo.ini").write_text("[DEFAULT]\nsources = migrations\nmigration_table = our_ledger\n")
    write_files(here / "migrations", ONE)

    result = torc("-d", "app.db", "-v", "upgrade")

    assert f"note: yoyo's ledger our_ledger, from {here}/yoyo.ini" in result.err.splitlines()
    assert query(here / "app.db", "SELECT migration_id FROM our_ledger") == [("1_one",)]


@pytest.mark.parametrize("separator", [" ", "\n    "])
def test_several_sources_of_yoyo_ini_share_one_database(torc: Torc, here: Path, separator: str) -> None:
    """Two folders are one history by version, as for yoyo."""
    write_files(here, {"a/1_one.sql": "CREATE TABLE one (x);\n", "a/3_three.sql": "SELECT 3;\n"})
    write_files(here, {"b/2_two.sql": "CREATE TABLE two (x);\n"})
    (here / "yoyo.ini").write_text(f"[DEFAULT]\nsources = a{separator}b\ndatabase = sqlite:///app.db\n")

    result = torc("upgrade")

    assert result.lines == (
        "Applied 1/migrate one (TIME)\nApplied 2/migrate two (TIME)\nApplied 3/migrate three (TIME)\n"
    )


def test_several_sources_with_the_same_version_are_refused(torc: Torc, here: Path) -> None:
    """Two folders cannot both have a version; both files are named."""
    write_files(here, {"a/1_one.sql": "SELECT 1;\n", "b/1_two.sql": "SELECT 2;\n"})
    (here / "yoyo.ini").write_text("[DEFAULT]\nsources = a b\ndatabase = sqlite:///app.db\n")

    result = torc("upgrade")

    assert result.status == 2
    assert result.err.startswith("error: version 1 is used twice in a and b: 'a/1_one.sql' and 'b/1_two.sql'\n")


def test_a_new_migration_wants_one_folder(torc: Torc, here: Path) -> None:
    """Where yoyo.ini names several folders, `new` asks which one is meant."""
    write_files(here, {"a/1_one.sql": "SELECT 1;\n", "b/2_two.sql": "SELECT 2;\n"})
    (here / "yoyo.ini").write_text("[DEFAULT]\nsources = a b\n")

    refused = torc("new", "three")
    made = torc("--source", "b", "new", "three")

    assert refused.err == (f"error: {here}/yoyo.ini names several directories\nhint: name one of them with --source\n")
    assert made.out.startswith("Creating b/")


def test_a_folder_with_a_blank_in_its_name_is_one_folder(torc: Torc, tmp_path: Path) -> None:
    """A clone may lie in `my projects`: what exists as one folder is not split."""
    home = tmp_path / "my projects"
    write_files(home / "sql", ONE)
    (home / "yoyo.ini").write_text("[DEFAULT]\nsources = %(here)s/sql\ndatabase = sqlite:///%(here)s/app.db\n")
    work = home / "work"
    work.mkdir()

    result = run(
        python("import sys", "from torc_migrations.cli import main", "sys.exit(main(['upgrade']))"),
        work,
    )

    assert (result.status, result.err) == (0, "")
    assert tables(home / "app.db") == {"one"}


BROKEN = {
    "no section": ("yoyo.ini", "database = sqlite:///app.db\n", "yoyo.ini, line 1: [DEFAULT] is missing above it"),
    "no value": ("yoyo.ini", "[DEFAULT]\nsources\n", "yoyo.ini, line 2: it is not NAME = VALUE"),
    "twice the same": (
        "yoyo.ini",
        "[DEFAULT]\nsources = a\nsources = b\n",
        "yoyo.ini, line 3: it sets an option for the second time",
    ),
    "lone percent sign": ("yoyo.ini", "[DEFAULT]\nsources = 100%\n", "cannot read sources in"),
    "unknown name": ("yoyo.ini", "[DEFAULT]\nsources = %(nowhere)s\n", "cannot read sources in"),
    "inherit": ("yoyo.ini", "[DEFAULT]\n%inherit = other.ini\n", "includes other files with %inherit, which is not"),
    "include": ("yoyo.ini", "[DEFAULT]\n%include = ?other.ini\n", "includes other files with %include, which is not"),
    "not UTF-8": ("yoyo.ini", b"[DEFAULT]\nsources = \xe9\n", "yoyo.ini: it is not UTF-8"),
    "a NUL": ("yoyo.ini", b"[DEFAULT]\nsources = a\0b\n", "cannot read the directory"),
    "no TOML": ("sqlx.toml", "[migrate\n", "cannot read sqlx.toml: "),
    "TOML not in UTF-8": (
        "sqlx.toml",
        b'[migrate]\nmigrations-dir = "\xe9"\n',
        "cannot read sqlx.toml: it is not UTF-8",
    ),
    "migrate is no table": ("sqlx.toml", "migrate = 3\n", "cannot read sqlx.toml: migrate is not a table"),
    "another ledger": (
        "sqlx.toml",
        '[migrate]\ntable-name = "other.mine"\n',
        "[migrate] table-name in sqlx.toml is 'other.mine', which is not a table",
    ),
    "ignored words": (
        "sqlx.toml",
        '[migrate]\nignored-chars = ["ab"]\n',
        "[migrate] ignored-chars in sqlx.toml is not",
    ),
    "schemas": ("sqlx.toml", '[migrate]\ncreate-schemas = ["a"]\n', "[migrate] create-schemas in sqlx.toml: a SQLite"),
    "dotenv not in UTF-8": (".env", b"DATABASE_URL=caf\xe9\n", ".env: it is not UTF-8"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_or_done_is_refused(torc: Torc, here: Path, name: str) -> None:
    """A broken file, or a wish that we do not grant, is an error in a sentence, never a silent misreading."""
    file, text, said = BROKEN[name]
    write_files(here, {file: text, "migrations/1_one.sql": "SELECT 1;\n"})
    before = everything_in(here)

    result = torc(*([] if file == ".env" else ["-d", "app.db"]), "upgrade")

    assert (result.status, result.out) == (2, "")
    assert said in result.err.splitlines()[0]
    assert "Traceback" not in result.err
    assert everything_in(here) == before


@pytest.mark.parametrize(
    ("written", "name"),
    [("history", "history"), ("main.history", "history"), ('"history"', "history"), ('"a ""b"" c"', 'a "b" c')],
)
def test_sqlx_toml_names_another_ledger(torc: Torc, here: Path, written: str, name: str) -> None:
    """`table-name` is SQL for sqlx; no table of the usual name is made, and `-v` says where the name is from."""
    write_files(here, {"sqlx.toml": f"[migrate]\ntable-name = '{written}'\n", "migrations/1_one.sql": "SELECT 1;\n"})

    first, second = torc("-v", "-d", "app.db", "upgrade"), torc("-d", "app.db", "upgrade")

    made = {table for (table,) in query(here / "app.db", "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert first.out.startswith("Applied 1/migrate one (")
    assert f"sqlx's ledger {written}, from sqlx.toml" in first.err
    assert (second.out, second.err) == ("", "note: nothing to do\n")
    assert name in made
    assert "_sqlx_migrations" not in made


def test_sqlx_toml_names_characters_that_do_not_count(torc: Torc, here: Path) -> None:
    """A file whose line endings change is unchanged where `ignored-chars` has them, and only there."""
    write_files(here, {"sqlx.toml": '[migrate]\nignored-chars = ["\\r"]\n', "migrations/1_one.sql": "SELECT\n1;\n"})
    torc("-d", "app.db", "upgrade")
    write_files(here, {"migrations/1_one.sql": b"SELECT\r\n1;\r\n"})

    ignored = torc("-d", "app.db", "status")
    (here / "sqlx.toml").unlink()

    assert ignored.out == "1/installed one\n"
    assert torc("-d", "app.db", "status").out.startswith("1/installed (different checksum) one\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[migrate]\n",
        '[migrate]\ntable-name = "_sqlx_migrations"\nignored-chars = []\n',
        '[macros]\npreferred-crates.date-time = "chrono"\n',
    ],
)
def test_a_sqlx_toml_that_says_nothing_special_is_no_matter(torc: Torc, here: Path, text: str) -> None:
    """Defaults that are written out, and tables for Rust's macros, change nothing."""
    write_files(here, {"sqlx.toml": text, "migrations/1_one.sql": "SELECT 1;\n"})

    assert torc("-d", "app.db", "status").out == "1/pending one\n"


def test_sqlx_toml_names_another_variable(torc: Torc, here: Path) -> None:
    """`[common] database-url-var` is honoured, in the environment as in .env."""
    write_files(here, {"sqlx.toml": '[common]\ndatabase-url-var = "MY_URL"\n', "migrations/1_one.sql": "SELECT 1;\n"})

    torc("upgrade", env={"MY_URL": "sqlite:mine.db", "DATABASE_URL": "sqlite:other.db"})
    (here / ".env").write_text("MY_URL=sqlite:from_dotenv.db\n")
    torc("upgrade")

    assert sorted(path.name for path in here.glob("*.db")) == ["from_dotenv.db", "mine.db"]


def test_the_hint_names_the_variable_of_sqlx_toml(torc: Torc, here: Path) -> None:
    """Where `DATABASE_URL` is not asked, the hint does not say to set it."""
    write_files(here, {"sqlx.toml": '[common]\ndatabase-url-var = "MY_URL"\n', "migrations/1_one.sql": "SELECT 1;\n"})

    result = torc("status", env={"DATABASE_URL": "sqlite:other.db"})

    assert (result.status, result.err.partition("\n")[0]) == (2, "error: no database is named")
    assert "or set MY_URL in the environment or in .env" in result.err


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        (
            '[migrate]\nmigrations_dir = "other"\n',
            "migrate.migrations_dir in sqlx.toml is no setting of sqlx",
            (
                "there is migrate.create-schemas, migrate.defaults, migrate.ignored-chars, migrate.migrations-dir, "
                "migrate.table-name"
            ),
        ),
        ("[migration]\n", "migration in sqlx.toml is no setting of sqlx", "there is common, drivers, macros, migrate"),
        (
            '[migrate.defaults]\nmigration-type = "revertible"\n',
            "migrate.defaults.migration-type in sqlx.toml is 'revertible'",
            'write "reversible", "simple" or "inferred"',
        ),
    ],
)
def test_what_sqlx_refuses_in_sqlx_toml_is_refused(torc: Torc, here: Path, text: str, error: str, hint: str) -> None:
    """A mistyped setting has no effect, and another directory than the one that is meant would be used."""
    write_files(here, {"sqlx.toml": text, "migrations/1_one.sql": "SELECT 1;\n"})

    result = torc("-d", "app.db", "upgrade")

    assert (result.status, result.out, result.err) == (2, "", f"error: {error}\nhint: {hint}\n")
    assert not (here / "app.db").exists()


def test_an_empty_variable_is_no_database(torc: Torc, here: Path) -> None:
    """`DATABASE_URL=` in the environment is not a name; the next place is asked."""
    (here / ".env").write_text("DATABASE_URL=sqlite:app.db\n")
    write_files(here / "migrations", ONE)

    result = torc("-v", "status", env={"DATABASE_URL": ""})

    assert f"note: database sqlite:app.db, from {here}/.env" in result.err


def test_looking_for_settings_changes_no_environment(here: Path) -> None:
    """What stands in .env is read, and not put into the environment, where other libraries would find it."""
    (here / ".env").write_text("DATABASE_URL=sqlite:app.db\nOTHER_SECRET=1\n")
    (here / "yoyo.ini").write_text("[DEFAULT]\nsources = migrations\n")
    script = python(
        "import os",
        "from torc_migrations.cli.configuration import find_settings",
        "before = dict(os.environ)",
        "settings = find_settings(None, None)",
        "print(settings.database.value, dict(os.environ) == before)",
    )

    assert run(script, here).out == "sqlite:app.db True\n"


def test_the_clones_own_yoyo_ini_is_understood(torc: Torc, here: Path) -> None:
    """The yoyo.ini that ships names torc.db beside it, through yoyo's backend of ours, and the folder sql."""
    (here / "yoyo.ini").write_bytes((ROOT / "yoyo.ini").read_bytes())
    (here / "sql").symlink_to(ROOT / "sql")
    (here / "below").mkdir()

    result = run(
        python("import sys, torc_migrations.cli as cli", "sys.exit(cli.main(['-v', 'status']))"), here / "below"
    )

    assert f"note: database torc+sqlite:///{here}/torc.db, from {here}/yoyo.ini" in result.err
    assert f"note: source {here}/sql, from {here}/yoyo.ini" in result.err
    assert result.out.splitlines()[-1] == f"{NEWEST}/pending add database indexes"
    assert not (here / "torc.db").exists()


SPELLINGS: Mapping[str, str] = {
    "app.db": "app.db",
    "./app.db": "app.db",
    "{here}/app.db": "app.db",
    "sqlite:app.db": "app.db",
    "sqlite://app.db": "app.db",
    "sqlite:///app.db": "app.db",
    "sqlite:////{here}/app.db": "app.db",
    "sqlite:///{relative}/app.db": "{relative}/app.db",
    "sqlite:{here}/app.db": "app.db",
    "torc+sqlite:///app.db": "app.db",
    "SQLITE:///app.db": "app.db",
    "sqlite:///a%20b%23c.db": "a b#c.db",
    "sqlite:///a#b.db": "a#b.db",
    "a b?c.db": "a b?c.db",
    "sqlite:///app.db?mode=rwc": "app.db",
    "sqlite:///caf%C3%A9.db": "café.db",
    "./odd:name.db": "odd:name.db",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_database_may_be_spelled_in_many_ways(torc: Torc, here: Path, spelling: str) -> None:
    """Each spelling leads to the file that its reader means."""
    names = {"here": str(here).lstrip("/") if ":////" in spelling else str(here), "relative": "deep/er"}
    write_files(here / "migrations", ONE)
    (here / "deep/er").mkdir(parents=True)

    result = torc("-d", spelling.format(**names), "upgrade")

    assert (result.status, result.err) == (0, "")
    assert [str(path.relative_to(here)) for path in here.rglob("*.db")] == [SPELLINGS[spelling].format(**names)]


@pytest.mark.parametrize("spelling", ["sqlite::memory:", ":memory:", "sqlite://:memory:", "sqlite:///x?mode=memory"])
def test_a_database_in_memory_leaves_nothing(torc: Torc, here: Path, spelling: str) -> None:
    """A dress rehearsal in memory applies everything and leaves no file."""
    write_files(here / "migrations", ONE)

    result = torc("-d", spelling, "upgrade")

    assert result.lines == "Applied 1/migrate one (TIME)\n"
    assert os.listdir(here) == ["migrations"]


def test_a_folder_that_goes_away_below_the_command_is_told(here: Path) -> None:
    """Started in a folder that was deleted, the command says so instead of showing a traceback."""
    result = run(["sh", "-c", f"mkdir gone; cd gone; rmdir ../gone; {COMMAND} -d app.db status"], here)

    assert result.status == 2
    assert "Traceback" not in result.err


NO_SOURCE = "error: no source is named, and there is no directory ./migrations\nhint: name a directory with --source, "


@pytest.mark.parametrize(
    "words",
    [
        *("status", "upgrade", "rollback", "rollback --target 0", "apply 1", "rehearse", "doctor", "verify"),
        *("baseline 1", "repair --line-endings", "export --layout sqlx out"),
    ],
)
def test_without_a_source_nothing_is_done(torc: Torc, here: Path, words: str) -> None:
    """A command in the wrong directory is an error: no schema is guessed, and no file is created."""
    result = torc("-d", "app.db", *words.split())

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(NO_SOURCE)
    assert "--torc" in result.err
    assert everything_in(here) == {}


def test_torc_names_the_shipped_schema(torc: Torc, here: Path) -> None:
    """`--torc` is the schema that ships with the package, before the verb or after it, and beats ./migrations."""
    write_files(here / "migrations", ONE)

    before = torc("--torc", "-d", "torc.db", "upgrade")
    after = torc("-v", "-d", "torc.db", "status", "--torc")

    assert before.status == 0
    assert after.out.splitlines()[-1] == f"{NEWEST}/installed add database indexes"
    assert "note: source the torc schema that ships with this package, from --torc\n" in after.err


def test_a_database_that_has_the_torc_schema_needs_no_source(torc: Torc, here: Path) -> None:
    """One shipped migration that is installed as it is shipped is enough; a table of the same name is not."""
    torc("-d", "torc.db", "--torc", "apply", OLDEST)
    with closing(sqlite3.connect(here / "other.db")) as connection:
        connection.execute("CREATE TABLE workflow (id INTEGER PRIMARY KEY)")

    listed = torc("-v", "-d", "torc.db", "status")
    upgraded = torc("-d", "torc.db", "upgrade")
    other = torc("-d", "other.db", "upgrade")

    assert listed.out.startswith(f"{OLDEST}/installed create workflows\n")
    assert "note: source the torc schema that ships with this package, because the database has it\n" in listed.err
    assert (upgraded.status, torc("-d", "torc.db", "status", "--exit-code").status) == (0, 0)
    assert (other.status, other.out) == (2, "")
    assert other.err.startswith(NO_SOURCE)


@pytest.mark.parametrize("words", ["-s a -s b upgrade", "upgrade -s a --source b", "-s none upgrade -s a -s b"])
def test_several_sources_are_one_history(torc: Torc, here: Path, words: str) -> None:
    """`-s` may be given several times; what stands after the verb replaces what stands before it."""
    write_files(here, {"a/1_one.sql": "CREATE TABLE one (x);\n", "a/3_three.sql": "SELECT 3;\n"})
    write_files(here, {"b/2_two.sql": "CREATE TABLE two (x);\n"})

    result = torc("-d", "app.db", *words.split())

    assert result.lines == (
        "Applied 1/migrate one (TIME)\nApplied 2/migrate two (TIME)\nApplied 3/migrate three (TIME)\n"
    )
