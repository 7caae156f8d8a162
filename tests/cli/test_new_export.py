"""`new` and `export`: which files they write, what is in them, and what they refuse."""

from __future__ import annotations

import re
import shutil
import time
from hashlib import sha384
from pathlib import Path

import pytest
from shell import PAIRS, SHIPPED_IDS, SQL, Result, Torc, everything_in, query, run, write_files

UP = "CREATE TABLE t (x);\n"
SIMPLE = {"{}.sql": UP}
PAIR = {"{}.up.sql": UP, "{}.down.sql": "DROP TABLE t;\n"}
NOW = "NOW"

# What stands in the folder, what is typed, and what `sqlx migrate add` 0.9.0 makes of it; 0.8.6 likewise, but that it
# knows no --simple, and heeds -r in an empty folder only.
LIKE_SQLX = {
    "simple after simple": (("1_a", "5_b"), SIMPLE, "add users", ["NOW_add_users.sql"]),
    "a pair after a pair": (("1_a", "5_b"), PAIR, "add users", ["NOW_add_users.down.sql", "NOW_add_users.up.sql"]),
    "a pair on request": (("1_a", "5_b"), SIMPLE, "-r add", ["NOW_add.down.sql", "NOW_add.up.sql"]),
    "simple on request": (("1_a", "5_b"), PAIR, "--simple add", ["NOW_add.sql"]),
    "the next number after a run of numbers": (("0001_a", "0002_b"), SIMPLE, "add", ["0003_add.sql"]),
    "the next number after 1": (("1_a",), SIMPLE, "add", ["0002_add.sql"]),
    "the next number after 0": (("0_a",), SIMPLE, "add", ["0001_add.sql"]),
    "the time after a gap": (("1_a", "3_b"), SIMPLE, "add", ["NOW_add.sql"]),
    "the time after 2": (("2_a",), SIMPLE, "add", ["NOW_add.sql"]),
    "the time on request": (("1_a", "2_b"), SIMPLE, "-t add", ["NOW_add.sql"]),
    "the next number on request": (("1_a", "7_b"), SIMPLE, "-s add", ["0008_add.sql"]),
    "a run of large numbers": (("20250101000000_a", "20250101000001_b"), SIMPLE, "add", ["20250101000002_add.sql"]),
    "a pair of the next number": (("8_a", "9_b"), PAIR, "-s add", ["0010_add.down.sql", "0010_add.up.sql"]),
}


def names_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def masked(names: set[str]) -> list[str]:
    """Replace every version of this minute by NOW."""
    minute = time.strftime("%Y%m%d%H", time.gmtime())
    return sorted(re.sub(rf"^{minute}\d{{4}}_", f"{NOW}_", name) for name in names)


def in_sqlx_layout(folder: Path, stems: tuple[str, ...], kind: dict[str, str]) -> Path:
    """Write migrations of one kind."""
    return write_files(folder, {name.format(stem): text for stem in stems for name, text in kind.items()})


@pytest.mark.parametrize("name", LIKE_SQLX)
def test_new_names_files_as_sqlx_does(torc: Torc, here: Path, name: str) -> None:
    """In a folder of sqlx's layout `new` and sqlx's `add` write files of the same names."""
    stems, kind, words, expected = LIKE_SQLX[name]
    folder = in_sqlx_layout(here / "migrations", stems, kind)
    before = names_in(folder)
    *flags, description = words.replace("add users", "add\0users").split()

    result = torc("add", *flags, description.replace("\0", " "))

    assert (result.status, result.err) == (0, "")
    assert masked(names_in(folder) - before) == expected


def test_a_dependency_on_a_name_that_changes_is_noted(torc: Torc, here: Path) -> None:
    """sqlx ignores the line; yoyo and this package need the new name in it."""
    write_files(
        here / "wild",
        {"0001.a.sql": UP, "2_b.sql": "-- depends: 0001.a\nSELECT 2;\n", "3_c.sql": "-- depends: 2_b\nSELECT 3;\n"},
    )

    result = torc("-s", "wild", "export", "--layout", "sqlx", "out")

    assert (result.status, names_in(here / "out")) == (0, {"1_a.sql", "2_b.sql", "3_c.sql"})
    assert result.err == (
        "note: wild/2_b.sql names 0001.a in `-- depends:`, which is 1_a in out: sqlx does not read that line, and this "
        "package and yoyo refuse the directory until it is changed\n"
    )
    assert "depends on '0001.a', which is not in this directory" in torc("-s", "out", "status", "-d", "x.db").err


@pytest.mark.skipif(shutil.which("sqlx") is None, reason="no sqlx on the PATH: `cargo install sqlx-cli` puts it there")
@pytest.mark.parametrize("name", LIKE_SQLX)
def test_the_recorded_names_are_those_of_sqlx(here: Path, name: str) -> None:
    """What we hold ourselves to is what the real `sqlx migrate add` writes."""
    stems, kind, words, expected = LIKE_SQLX[name]
    folder = in_sqlx_layout(here / "migrations", stems, kind)
    before = names_in(folder)
    sqlx = shutil.which("sqlx") or ""
    if words.startswith(("-r", "--simple")) and " 0.8" in run([sqlx, "--version"], here).out:
        pytest.skip("sqlx 0.8 always takes the kind of the newest migration")

    run([sqlx, "migrate", "add", *words.split(maxsplit=words.count(" -") + words.startswith("-"))], here)

    assert masked(names_in(folder) - before) == expected


@pytest.mark.parametrize("verb", ["new", "add"])
def test_the_first_migration_is_a_pair_in_yoyos_layout(torc: Torc, here: Path, verb: str) -> None:
    """A folder that does not exist is made, and gets what `yoyo apply` runs as well."""
    result = torc(verb, "create users")

    up, down = (line.removeprefix("Creating ") for line in result.out.splitlines())
    assert re.fullmatch(r"migrations/\d{14}_create_users\.sql", up)
    assert down == up.replace(".sql", ".rollback.sql")
    assert (here / up).read_text() == "-- Up: create users\n"
    assert (here / down).read_text() == "-- Down: undo the up script, in the opposite order\n"


def test_a_new_migration_can_be_applied_at_once(torc: Torc, here: Path) -> None:
    """What `new` writes is a migration that does nothing yet, up and down."""
    torc("--source", "deep/er", "new", "create users")

    upgraded = torc("-d", "app.db", "-s", "deep/er", "upgrade")
    rolled_back = torc("-d", "app.db", "-s", "deep/er", "rollback")

    assert re.fullmatch(r"Applied \d{14}/migrate create users \(TIME\)\n", upgraded.lines)
    assert re.fullmatch(r"Applied \d{14}/revert create users \(TIME\)\n", rolled_back.lines)


def test_the_layout_of_the_folder_is_kept(torc: Torc, here: Path) -> None:
    """In a folder of yoyo's layout the pair is named as yoyo names it."""
    folder = write_files(here / "migrations", PAIRS)

    torc("new", "more")

    assert names_in(folder) - set(PAIRS) == {"0004_more.sql", "0004_more.rollback.sql"}


def test_the_kind_is_that_of_the_newest(torc: Torc, here: Path) -> None:
    """After an irreversible migration another one follows, unless a pair is asked for."""
    folder = write_files(here / "migrations", {**PAIRS, "0004_final.sql": "SELECT 1;\n"})

    torc("new", "five")
    torc("new", "-r", "six")

    assert names_in(folder) - set(PAIRS) == {
        "0004_final.sql",
        "0005_five.sql",
        "0006_six.sql",
        "0006_six.rollback.sql",
    }


def test_two_in_one_second_have_two_versions(torc: Torc, here: Path) -> None:
    """However fast they come, each new migration is newer than the one before."""
    made = [torc("new", "-t", word).out for word in ("one", "two", "three", "four")]

    versions = [int(text.split("/")[1].split("_")[0]) for text in made]
    assert versions == sorted(set(versions))
    assert torc("-d", "app.db", "status").status == 0


def test_a_clock_that_is_behind_does_not_go_back(torc: Torc, here: Path) -> None:
    """After a migration from the future the next one is newer still, so that it is applied after it."""
    folder = write_files(here / "migrations", {"29991231235959_z.sql": UP, "20250101000000_a.sql": UP})

    torc("new", "later")

    assert "29991231235960_later.sql" in names_in(folder)


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("add users", "add_users"),
        ("add  users", "add__users"),
        ("add_users", "add_users"),
        ("naïve café ☕", "naïve_café_☕"),
        ('it\'s "quoted" & $HOME', 'it\'s_"quoted"_&_$HOME'),
        ("percent %s {x}", "percent_%s_{x}"),
        ("version 2.0", "version_2.0"),
        ("UPPER", "UPPER"),
        ("20250101", "20250101"),
    ],
)
def test_odd_descriptions_become_names(torc: Torc, here: Path, description: str, name: str) -> None:
    """Every blank becomes `_`, as with sqlx; all else stays, and can be listed."""
    result = torc("new", "-s", "--", description)

    assert (result.status, result.err) == (0, "")
    assert names_in(here / "migrations") == {f"0001_{name}.sql", f"0001_{name}.rollback.sql"}
    assert torc("-d", "app.db", "status").out == f"1/pending {name.replace('_', ' ')}\n"


@pytest.mark.parametrize(
    "description",
    ["", "  ", "_", "a/b", "..\\x", "../x", "/etc/passwd", "x.up", "x.down", "x.rollback", "x.sql", "x.py"],
)
def test_a_description_that_makes_no_name_is_refused(torc: Torc, here: Path, description: str) -> None:
    """Nothing is written outside the folder, and nothing that would be read as something else."""
    result = torc("new", "--", description)

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"error: {description!r} cannot be a file name\nhint: ")
    assert everything_in(here) == {}


@pytest.mark.parametrize(
    "description", ["tab\there", "two\nlines", "\x1b]0;title\x07", "\x9b31m", "\x7f", "\u202egnp", "\u2028"]
)
def test_a_description_with_control_characters_is_refused(torc: Torc, here: Path, description: str) -> None:
    """No file gets a name that a terminal would obey; the error shows the characters escaped."""
    result = torc("new", "--", description)

    assert (result.status, result.out) == (2, "")
    assert result.err == (
        f"error: {description!r} contains a control character\nhint: describe the change in a few words\n"
    )
    assert everything_in(here) == {}


# What is typed in a directory with `migrations/`, `db/0001_a.sql` and a Python package `users/`, and what is answered.
AFTER_NEW = "after `new`, -s is --sequential, as for sqlx, and has no value"
UNCLEAR = {
    ("new", "-s", "migrations", "add users"): (
        f"error: new does not take 'add users': {AFTER_NEW}\nhint: use --source migrations for a directory; "
    ),
    ("new", "add users", "-s", "migrations"): (
        f"error: new does not take 'migrations': {AFTER_NEW}\nhint: use --source migrations for a directory; "
    ),
    ("new", "-s", "migrations"): (
        "error: `-s migrations` has two meanings: after `new`, -s is --sequential, and 'migrations' looks like a "
        "directory\nhint: use --source migrations and a DESCRIPTION to write into that directory, "
        "or --sequential migrations for a migration of that name\n"
    ),
    ("add", "-s", "db"): "error: `-s db` has two meanings: after `new`, -s is --sequential, and 'db' looks like",
    ("new", "-s", "./elsewhere"): "error: `-s ./elsewhere` has two meanings: ",
    ("new", "-smigrations", "add users"): f"error: {AFTER_NEW}\nhint: use --source DIR for a directory\n",
    ("new", "add", "users"): "error: new does not take 'users'\nhint: put the description into quotes\n",
    ("new", "-s", "add", "users"): f"error: new does not take 'users': {AFTER_NEW}\nhint: use --source add for a ",
    ("-s", "db", "new", "add", "users"): "error: new does not take 'users'\nhint: put the description into quotes\n",
    ("--torc", "new", "x"): "error: the torc schema is part of this package: nothing is written there\n",
}


@pytest.fixture
def project(here: Path) -> Path:
    """A directory with migrations in two places, and with a package of Python."""
    return write_files(here, {"migrations/0001_a.sql": UP, "db/0001_a.sql": UP, "users/__init__.py": ""})


@pytest.mark.parametrize("words", UNCLEAR)
def test_an_s_that_was_meant_for_the_source_is_explained(torc: Torc, project: Path, words: tuple[str, ...]) -> None:
    """`-s` after `new` is sqlx's --sequential. Who means a directory is told what to type, and nothing is written."""
    before = everything_in(project)

    result = torc(*words)

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(UNCLEAR[words])
    assert everything_in(project) == before


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (("new", "-s", "users"), "migrations/0002_users.sql"),
        (("add", "-s", "add users"), "migrations/0002_add_users.sql"),
        (("new", "--sequential", "migrations"), "migrations/0002_migrations.sql"),
        (("new", "migrations", "-s"), "migrations/0002_migrations.sql"),
        (("new", "--source", "db", "add users"), "db/0002_add_users.sql"),
        (("-s", "db", "new", "add users"), "db/0002_add_users.sql"),
        (("-s", "db", "new", "-s", "add users"), "db/0002_add_users.sql"),
    ],
)
def test_an_s_that_is_clear_is_followed(torc: Torc, project: Path, words: tuple[str, ...], made: str) -> None:
    """`-s` before the verb names the source, after it the numbering; both may be given."""
    assert torc(*words) == Result(0, f"Creating {made}\n", "")


def test_a_description_that_is_too_long_is_refused(torc: Torc, here: Path) -> None:
    """What the file system refuses is told in a sentence."""
    result = torc("new", "x" * 300)

    assert result.status == 2
    assert result.err.startswith("error: cannot write 'migrations/")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"x_bad.sql": UP}, 'while resolving migrations: error parsing migration filename "x_bad.sql"'),
        ({"1_a.sql": b"\xff"}, "1_a.sql is not UTF-8"),
        ({"1_a.sql": UP, "01_b.sql": UP}, "version 1 is used twice"),
        ({"1_a.up.sql": UP, "2_a.rollback.sql": UP}, "mixes two layouts"),
        ({"1_a.sql": UP, "2_b.py": ""}, "is a migration in Python"),
    ],
)
def test_a_source_with_a_broken_file_gets_nothing_new(
    torc: Torc, here: Path, files: dict[str, str | bytes], said: str
) -> None:
    """What is wrong in the folder is told first."""
    write_files(here / "migrations", files)
    before = everything_in(here)

    result = torc("new", "more")

    assert result.status == 2
    assert said in result.err
    assert everything_in(here) == before


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("package:torc_migrations:sql", "'package:torc_migrations:sql' is not a directory to write to"),
        ("file", "'file' is not a directory"),
        ("file/below", "'file/below' is not a directory"),
    ],
)
def test_new_wants_a_folder_it_can_write_to(torc: Torc, here: Path, source: str, said: str) -> None:
    """A package's resources, or a file, are no place for a new migration."""
    (here / "file").touch()

    result = torc("--source", source, "new", "more")

    assert (result.status, result.out) == (2, "")
    assert said in result.err


def test_sqlx_toml_says_what_kind_new_migrations_are(torc: Torc, here: Path) -> None:
    """`[migrate.defaults]` of sqlx 0.9 is honoured, and a flag beats it."""
    (here / "sqlx.toml").write_text(
        '[migrate.defaults]\nmigration-type = "simple"\nmigration-versioning = "sequential"\n'
    )

    torc("new", "one")
    torc("new", "-r", "two")

    assert names_in(here / "migrations") == {"0001_one.sql", "0002_two.up.sql", "0002_two.down.sql"}


def texts(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file by its name, as it would be without a layout."""
    return {
        path.name.replace(".rollback.sql", ".down.sql").replace(".up.sql", ".sql"): path.read_bytes()
        for path in folder.glob("*.sql")
    }


def test_an_export_holds_the_same_bytes_under_other_names(torc: Torc, here: Path) -> None:
    """The shipped schema in sqlx's layout: the same versions, the same bytes, and with them the same checksums."""
    result = torc("--torc", "export", "--layout", "sqlx", "out")

    assert [line.removeprefix("Creating out/") for line in result.out.splitlines()] == [
        f"{name}.{end}.sql" for name in SHIPPED_IDS for end in ("up", "down")
    ]
    assert texts(here / "out") == texts(SQL)


def test_an_export_and_back_is_the_same_folder(torc: Torc, here: Path) -> None:
    """A round trip through the other layout changes no name and no byte, whatever is in the files."""
    odd = {
        **PAIRS,
        "0004_crlf.sql": b"\xef\xbb\xbfCREATE TABLE crlf (x);\r\n-- no end",
        "0004_crlf.rollback.sql": b"",
        "0005_caf\xe9_final.sql": "SELECT 'é';\n",
    }
    write_files(here / "one", odd)

    torc("-s", "one", "export", "--layout", "sqlx", "two")
    torc("-s", "two", "export", "--layout", "yoyo", "three")

    assert "0005_café_final.sql" in names_in(here / "two")
    assert {p.name: p.read_bytes() for p in (here / "three").iterdir()} == {
        p.name: p.read_bytes() for p in (here / "one").iterdir()
    }


@pytest.mark.parametrize("layout", ["sqlx", "yoyo"])
def test_an_exported_folder_goes_on_where_the_first_one_stopped(torc: Torc, here: Path, layout: str) -> None:
    """A database upgraded from one folder is up to date for its export, in either layout."""
    write_files(here / "one", PAIRS)
    torc("-d", "app.db", "-s", "one", "upgrade")
    torc("-s", "one", "export", "--layout", layout, "two")

    result = torc("-d", "app.db", "-s", "two", "status", "--exit-code")

    assert result.status == 0
    assert torc("-d", "app.db", "-s", "two", "rollback").lines == "Applied 3/revert index titles (TIME)\n"


def test_names_that_only_yoyo_knows_are_written_as_sqlx_reads_them(torc: Torc, here: Path) -> None:
    """`0001.create-foo` and `20230101_01_AbCdE-words` become `1_create_foo` and `2023010101_words`."""
    write_files(
        here / "wild",
        {
            "0001.create-foo.sql": UP,
            "0001.create-foo.rollback.sql": "DROP TABLE t;\n",
            "20230101_01_AbCdE-some-words.sql": "SELECT 1;\n",
            "20230101_02_FgHiJ.sql": "SELECT 2;\n",
        },
    )
    torc("-d", "app.db", "-s", "wild", "upgrade")

    torc("-s", "wild", "export", "--layout", "sqlx", "out")

    assert names_in(here / "out") == {
        "1_create_foo.up.sql",
        "1_create_foo.down.sql",
        "2023010101_some_words.sql",
        "2023010102_.sql",
    }
    assert torc("-d", "app.db", "-s", "out", "info").out == torc("-d", "app.db", "-s", "wild", "info").out


@pytest.mark.skipif(shutil.which("sqlx") is None, reason="no sqlx on the PATH: `cargo install sqlx-cli` puts it there")
@pytest.mark.parametrize("source", ["shipped", "wild"])
def test_sqlx_accepts_an_exported_folder(torc: Torc, here: Path, source: str) -> None:
    """The real sqlx lists what we installed from the original, reverts it, and runs it again, without a complaint."""
    write_files(
        here / "wild", {"0001.a-b.sql": UP, "0001.a-b.rollback.sql": "DROP TABLE t;\n", "2_c.sql": "SELECT 1;\n"}
    )
    words = ["-s", "wild"] if source == "wild" else ["--torc"]
    sqlx = [shutil.which("sqlx") or "", "migrate"]
    place = ["--source", "out", "-D", "sqlite:app.db"]
    torc("-d", "app.db", *words, "upgrade", "--target", "1" if source == "wild" else SHIPPED_IDS[-1].split("_")[0])
    torc(*words, "export", "--layout", "sqlx", "out")

    ours = torc("-d", "app.db", *words, "status")
    listed = run([*sqlx, "info", *place], here)
    reverted = run([*sqlx, "revert", *place], here)
    again = run([*sqlx, "run", *place], here)

    assert listed.out == ours.out
    assert [listed.status, reverted.status, again.status] == [0, 0, 0]
    assert torc("-d", "app.db", "-s", "out", "status", "--exit-code").status == 0


def test_an_export_overwrites_nothing(torc: Torc, here: Path) -> None:
    """A folder that is not empty is refused; an empty one is taken."""
    write_files(here / "migrations", PAIRS)
    write_files(here / "full", {"precious.txt": "mine"})
    (here / "empty").mkdir()

    refused = torc("export", "--layout", "sqlx", "full")
    onto_a_file = torc("export", "--layout", "sqlx", "full/precious.txt")
    taken = torc("export", "--layout", "sqlx", "empty")

    assert refused == Result(2, "", "error: 'full' is not empty\nhint: name a new directory\n")
    assert (onto_a_file.status, names_in(here / "full")) == (2, {"precious.txt"})
    assert (taken.status, len(names_in(here / "empty"))) == (0, 6)


def test_the_checksum_in_the_ledger_is_that_of_the_exported_bytes(torc: Torc, here: Path) -> None:
    """sqlx's ledger holds the SHA-384 of exactly these bytes."""
    torc("-d", "app.db", "--torc", "upgrade")
    torc("-d", "app.db", "export", "--layout", "sqlx", "out")

    recorded = dict(query(here / "app.db", "SELECT version, checksum FROM _sqlx_migrations"))
    exported = {int(p.name.split("_")[0]): sha384(p.read_bytes()).digest() for p in (here / "out").glob("*.up.sql")}

    assert recorded == exported
