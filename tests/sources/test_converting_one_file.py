"""Files of goose, sql-migrate, dbmate and tern become an up and a down file; what their tools refuse is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torc_migrations import Migrator, convert, errors
from torc_migrations.sources.converting.one_file.dbmate import read_dbmate
from torc_migrations.sources.converting.one_file.goose import read_goose
from torc_migrations.sources.converting.one_file.sql_migrate import read_sql_migrate
from torc_migrations.sources.converting.one_file.tern import read_tern
from torc_migrations.sources.converting.scripts import CannotConvert, ends_inside, has_statement, terminated

A, DROP_A = "CREATE TABLE a (x);\n", "DROP TABLE a;\n"
TRIGGER = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  SELECT 1;\nEND"
FUNCTION = "CREATE FUNCTION f() AS $$ it's; $$ LANGUAGE sql"
ALONE = "-- no-transaction\n-- transactional: false\n"

# A file, and the up and the down script that it becomes.
GOOSE = {
    f"-- +goose Up\n{A}-- +goose Down\n{DROP_A}": (A, DROP_A),
    f"--+goose UP\n{A}-- +goose DOWN  \n{DROP_A}": (A, DROP_A),
    f"-- Made by hand.\n\n-- +goose Up\n\n{A}": (f"-- Made by hand.\n\n\n{A}", None),
    f"-- +goose Up\n-- +goose StatementBegin\n{TRIGGER}\n-- +goose StatementEnd\n{A}": (f"{TRIGGER};\n{A}", None),
    f"-- +goose Up\n-- +goose StatementBegin\n{TRIGGER} -- ; end\n-- +goose StatementEnd\n": (
        f"{TRIGGER} -- ; end\n;\n",
        None,
    ),
    f"-- +goose Up\n-- +goose StatementBegin\n{TRIGGER};\n-- +goose StatementEnd\n": (f"{TRIGGER};\n", None),
    f"-- +goose NO TRANSACTION\n-- +goose Up\n{A}-- +goose Down\n{DROP_A}": (ALONE + A, ALONE + DROP_A),
    f"-- +goose Up\n-- +goose no transaction\n-- +goose envsub off\n{A}": (ALONE + A, None),
    f"-- +goose Up\n{A}-- +goose Down\n-- nothing to do\n": (A, None),
    "-- +goose Up\n": ("", None),
    f"-- +goose Up\n-- it's 'one\n{A}-- +goose Down\n{DROP_A}": (f"-- it's 'one\n{A}", DROP_A),
    f"-- +goose Up\nINSERT INTO a VALUES ('it''s /* a');\n-- +goose Down\n{DROP_A}": (
        "INSERT INTO a VALUES ('it''s /* a');\n",
        DROP_A,
    ),
    f"-- +goose Up\nINSERT INTO a VALUES ('C:\\');\n-- +goose Down\n{DROP_A}": (
        "INSERT INTO a VALUES ('C:\\');\n",
        DROP_A,
    ),
    f"-- +goose Up\nINSERT INTO a VALUES ('it\\'s');\n-- +goose Down\n{DROP_A}": (
        "INSERT INTO a VALUES ('it\\'s');\n",
        DROP_A,
    ),
    f"-- +goose Up\n# it's MySQL\n{A}-- +goose Down\n{DROP_A}": (f"# it's MySQL\n{A}", DROP_A),
    f"-- +goose Up\n-- +goose StatementBegin\n{FUNCTION}\n-- +goose StatementEnd\n": (
        f"{FUNCTION};\n",
        None,
    ),
}
SQL_MIGRATE = {
    f"-- +migrate Up\n{A}-- +migrate Down\n{DROP_A}": (A, DROP_A),
    f"-- +migrate Up notransaction\n{A}\n-- +migrate Down\n{DROP_A}": (ALONE + A, DROP_A),
    f"-- +migrate Up\n{A}-- +migrate Down notransaction\n{DROP_A}": (A, ALONE + DROP_A),
    f"-- +migrate Down\n{DROP_A}-- +migrate Up\n{A}": (A, DROP_A),
    f"-- +migrate Up\n{A}-- +migrate Down\n{DROP_A}-- +migrate Up\nSELECT 1;\n": (f"{A}SELECT 1;\n", DROP_A),
    f"-- +migrate Up\n-- +migrate StatementBegin\n{TRIGGER}\n-- +migrate StatementEnd\n": (f"{TRIGGER};\n", None),
    f"-- +migrate Up\n-- it's\n{A}": (f"-- it's\n{A}", None),
}
DBMATE = {
    f"-- migrate:up\n{A}\n\n-- migrate:down\n{DROP_A}": (A, DROP_A),
    f"--migrate:up transaction:false\n{A}-- migrate:down\n{DROP_A}": (ALONE + A, DROP_A),
    f"-- migrate:up x:y transaction:false\n{A}--   migrate:down transaction:false\n{DROP_A}": (
        ALONE + A,
        ALONE + DROP_A,
    ),
    f"-- migrate:up transaction:true\n{A}": (A, None),
    "-- about\n-- migrate:up\nCREATE TABLE a (x)\n-- migrate:down\nDROP TABLE a;\n": (
        "-- about\nCREATE TABLE a (x);\n",
        DROP_A,
    ),
    f"-- migrate:up\n{TRIGGER};\n-- migrate:down\n": (f"{TRIGGER};\n", None),
}
TERN = {
    f"{A}---- create above / drop below ----\n{DROP_A}": (A, DROP_A),
    A: (A, None),
    f"---- tern: disable-tx ----\n{A}---- create above / drop below ----\n{DROP_A}": (ALONE + A, DROP_A),
    f"{A}---- create above / drop below ----\n---- tern: disable-tx ----\n{DROP_A}": (A, ALONE + DROP_A),
}
GOOD = [
    *((read_goose, file, scripts) for file, scripts in GOOSE.items()),
    *((read_sql_migrate, file, scripts) for file, scripts in SQL_MIGRATE.items()),
    *((read_dbmate, file, scripts) for file, scripts in DBMATE.items()),
    *((read_tern, file, scripts) for file, scripts in TERN.items()),
]
MARKS = {
    read_goose: "-- +goose Up\n",
    read_sql_migrate: "-- +migrate Up\n",
    read_dbmate: "-- migrate:up\n",
    read_tern: "",
}
# A file, the line that is named, and the reason.
BAD = [
    (read_goose, A, 1, "there is SQL above `-- +goose Up`"),
    (read_goose, "/* a */\n-- +goose Up\n", 1, "there is SQL above"),
    (read_goose, "-- +Goose Up\n", 1, "its annotations begin with `-- +goose`"),
    (read_goose, "", None, "there is no `-- +goose Up`"),
    (read_goose, "-- +goose Down\nSELECT 1;\n", 1, "without an Up section"),
    (read_goose, "-- +goose Up\n-- +goose Up\n", 2, "a second Up section"),
    (read_goose, "-- +goose Up\n-- +goose Down\n-- +goose Up\n", 3, "a second Up section"),
    (read_goose, "-- +goose Up\n-- +goose Down\n-- +goose Down\n", 3, "a second Down section"),
    (read_goose, "-- +goose Up\n  -- +goose Down\n", 2, "at the beginning of its line"),
    (read_goose, "-- +goose Up\n-- see +goose Down\n", 2, "goose has no annotation 'see  down'"),
    (read_goose, "-- +goose Up\n-- +goose ENVSUB ON\n", 2, "variables of the environment"),
    (read_goose, "-- +goose StatementBegin\n", 1, "stands in a section"),
    (read_goose, "-- +goose Up\n-- +goose StatementBegin\n-- +goose StatementBegin\n", 3, "not in another"),
    (read_goose, "-- +goose Up\n-- +goose StatementEnd\n", 2, "has no StatementBegin"),
    (read_goose, "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n", 2, "has no StatementEnd"),
    (read_goose, "-- +goose Up\n-- +goose StatementBegin\n-- +goose Down\n", 2, "has no StatementEnd"),
    (read_goose, "-- +goose Up\nSELECT '\n-- +goose Down\n';\n", 3, "inside of quotes or a comment"),
    (read_goose, "-- +goose Up\n/*\n-- +goose Down\n*/ SELECT 1;\n", 3, "inside of quotes or a comment"),
    (
        read_goose,
        "-- +goose Up\n-- +goose StatementBegin\nSELECT '\n-- +goose StatementEnd\n';\n",
        4,
        "inside of quotes or a comment",
    ),
    (read_goose, "-- +goose Up\nSELECT $$\n-- +goose Down\n$$;\n", 3, "inside of quotes or a comment"),
    (read_goose, "-- +goose Up\nSELECT 'a;\n", None, "the end of the file is inside of quotes"),
    (read_sql_migrate, "-- +migrate up\nSELECT 1;\n", 1, "has no command 'up'"),
    (read_sql_migrate, "--+migrate Up\nSELECT 1;\n", 1, "its marks begin with `-- +migrate `"),
    (read_sql_migrate, " -- +migrate Up\n", 1, "its marks begin with `-- +migrate `"),
    (read_sql_migrate, "-- +migrate \n", 1, "has no command ''"),
    (read_sql_migrate, "SELECT 1;\n-- +migrate Up\n", 1, "there is SQL above"),
    (read_sql_migrate, "-- +migrate Down\nSELECT 1;\n", None, "there is no `-- +migrate Up`"),
    (read_sql_migrate, "-- +migrate Up\nSELECT '\n-- a\n';\n", None, "leaves out lines that begin with `-- `"),
    (read_sql_migrate, "-- +migrate Up\nSELECT '\n-- +migrate Down\n';\n", 3, "inside of quotes"),
    (read_dbmate, "SELECT 1;\n-- migrate:up\n", 1, "there is SQL above"),
    (read_dbmate, "-- migrate:down\n-- migrate:up\n", 1, "no `-- migrate:up` above it"),
    (read_dbmate, "-- migrate:up\n-- migrate:up\n", 2, "a second `-- migrate:up`"),
    (read_dbmate, "-- migrate:up\n-- migrate:down\n-- migrate:down\n", 3, "a second `-- migrate:down`"),
    (read_dbmate, "-- migrate:up\n -- migrate:down\n", 2, "dbmate does not read this line"),
    (read_dbmate, "-- Migrate:UP\n", 1, "dbmate does not read this line"),
    (read_dbmate, "-- migrate : up\n", 1, "dbmate does not read this line"),
    (read_dbmate, "-- nothing\n", None, "there is no `-- migrate:up`"),
    (read_dbmate, "-- migrate:up\nSELECT '\n-- migrate:down\n';\n", 3, "inside of quotes"),
    (read_tern, "SELECT {{ .x }};\n", 1, "replaces what is in {{ }}"),
    (read_tern, "-- create above / drop below\n", 1, "alone in its line"),
    (read_tern, " ---- create above / drop below ----\n", 1, "alone in its line"),
    (
        read_tern,
        "---- create above / drop below ----\n---- create above / drop below ----\n",
        2,
        "alone in its line, once",
    ),
    (read_tern, "SELECT '\n---- create above / drop below ----\n';\n", 2, "inside of quotes"),
]
TOOLS = {
    "goose": ("-- +goose Up\n", "-- +goose Down\n", "1_a.sql"),
    "sql-migrate": ("-- +migrate Up\n", "-- +migrate Down\n", "1-a.sql"),
    "dbmate": ("-- migrate:up\n", "-- migrate:down\n", "1.sql"),
    "tern": ("", "---- create above / drop below ----\n", "001_a.sql"),
}


def _converted(directory: Path, **files: str | bytes) -> dict[str, str]:
    """Convert files, and return the text of those that were written, by their names."""
    old, new = directory / "old", directory / "new"
    old.mkdir()
    for name, text in files.items():
        (old / f"{name}.sql").write_bytes(text if isinstance(text, bytes) else text.encode())
    convert(old, new)
    return {path.name: path.read_bytes().decode() for path in new.iterdir()}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(("read", "file", "scripts"), GOOD)
def test_both_sections_become_scripts(read, file, scripts, newline, tmp_path):
    """The text between the marks stays as it is, with its line ends; a statement without a semicolon gets one."""
    tool = next(name for name, mark in zip(TOOLS, MARKS, strict=True) if mark is read)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "7_b.sql").write_bytes(file.replace("\n", newline).encode())
    if tool == "tern":
        (tmp_path / "old" / "1_a.sql").write_text("SELECT 1;\n---- create above / drop below ----\n")

    conversion = convert(tmp_path / "old", tmp_path / "new")

    made = conversion.migrations[-1]
    assert conversion.tool == tool
    assert (made.id, made.version) == ("7_b", 7)
    texts = (made.up.decode(), None if made.down is None else made.down.decode())
    assert tuple(text and text.replace("\r\n", "\n") for text in texts) == scripts
    if newline == "\r\n" and scripts[0].count("\n") > 3:
        assert "\r\n" in texts[0]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(("read", "file", "line", "reason"), BAD)
def test_what_a_tool_reads_otherwise_is_named(read, file, line, reason, newline):
    """A file that its tool refuses, or cuts inside of a text, is named with the line."""
    with pytest.raises(CannotConvert) as failure:
        read(file.replace("\n", newline).encode())

    assert failure.value.line == line
    assert reason in failure.value.reason


@pytest.mark.parametrize("tool", TOOLS)
def test_a_byte_order_mark_is_left_out(tool, tmp_path):
    """It is before the first mark in the old file, and would be before a directive in the new one."""
    up, down, name = TOOLS[tool]
    text = f"\N{ZERO WIDTH NO-BREAK SPACE}{up}{A}{down}{DROP_A}"

    files = _converted(tmp_path, **{name.removesuffix(".sql"): text})

    assert sorted(files.values()) == [A, DROP_A]


def test_each_file_that_cannot_be_converted_is_named_and_nothing_is_written(tmp_path):
    """One bad file is enough; with `partial` the others are written, and the bad ones are in the result."""
    texts = {"1_a": f"-- +goose Up\n{A}", "2_b": "-- +goose Up\n-- +goose Up\n", "3_c": b"-- +goose Up\n\xff\n", "x": A}
    with pytest.raises(errors.NotConvertible) as failure:
        _converted(tmp_path, **texts)

    named = [(Path(problem.path).name, problem.line) for problem in failure.value.problems]
    assert named == [("2_b.sql", 2), ("3_c.sql", 2), ("x.sql", None)]
    assert not (tmp_path / "new").exists()

    conversion = convert(tmp_path / "old", tmp_path / "new", partial=True)

    assert conversion.problems == failure.value.problems
    assert conversion.written == (str(tmp_path / "new" / "1_a.sql"),)


def test_yoyo_runs_the_new_files_in_the_same_order(tmp_path):
    """Numbers get zeros before them where names would else be in another order than numbers."""
    files = _converted(tmp_path, **{f"{n}_t{n}": f"-- +goose Up\nSELECT {n};\n" for n in (1, 9, 10, 100)})

    assert sorted(files) == ["001_t1.sql", "009_t9.sql", "010_t10.sql", "100_t100.sql"]


def test_a_name_that_would_be_another_version_is_named(tmp_path):
    """A date and a count are one version for us, and the date alone is one for goose."""
    (tmp_path / "20230101_01_add_users.sql").write_text(f"-- +goose Up\n{A}")

    with pytest.raises(errors.NotConvertible) as failure:
        convert(tmp_path)

    assert "would be read as version 2023010101" in failure.value.problems[0].reason


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"1_a.sql": A}, "there is nothing to convert"),
        ({}, "there is nothing to convert"),
        ({"1_a.sql": "-- rambler up\n"}, "is written for rambler, which cannot be converted"),
        ({"1_a.sql": "-- +goose Up\n", "2_b.sql": "-- migrate:up\n"}, "has migrations of dbmate .* and of goose"),
        ({"1_a.sql": "-- +goose Up\n", "2_b.py": "step('SELECT 1')"}, "has migrations of goose .* and of yoyo"),
        ({"1_a.sql": "-- +goose Up\n", "01_b.sql": "-- +goose Up\n"}, "version 1 is used twice"),
        ({"1_a.sql": "-- migrate:up\n", "1-a.sql": "-- migrate:up\n"}, "version 1 is used twice"),
    ],
)
def test_a_directory_that_cannot_be_converted_as_a_whole_is_refused(files, reason, tmp_path):
    """Plain SQL, files of two tools or of one that is not known, and a version that is there twice."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    with pytest.raises(errors.SourceError, match=reason):
        convert(tmp_path)


def test_what_is_written_must_be_new(tmp_path):
    """No file is overwritten, nor put among others."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "1_a.sql").write_text("-- +goose Up\n")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("mine")

    for output in (tmp_path / "new", tmp_path / "new" / "mine.txt", tmp_path / "old"):
        with pytest.raises(errors.SourceError, match="is not an empty directory"):
            convert(tmp_path / "old", output)

    assert [path.name for path in tmp_path.rglob("*.*")].count("1_a.sql") == 1


@pytest.mark.parametrize(
    ("sql", "inside"),
    [
        (b"'a", True),
        (b"'a'", False),
        (b"'a\\'", False),  # for SQLite
        (b"'it\\'s'", False),  # for MySQL
        (b"-- it's", False),
        (b"# it's", False),
        (b"/* a", True),
        (b"/*/", True),
        (b"$$ ' $$", False),
        (b"$a$ $b$ $a$", False),
        (b"$a$ $$", True),
        (b"$1 $2$3", False),
        (b'"a', True),
        (b"`a", True),
        (b"'" * 3, True),
    ],
)
def test_whether_a_text_ends_inside_of_quotes(sql, inside):
    """Only where every database would read on is the end of a text inside of quotes or a comment."""
    assert ends_inside(sql) is inside


@pytest.mark.parametrize(
    ("sql", "ended"),
    [
        (b"SELECT 1", b"SELECT 1;\n"),
        (b"SELECT 1;", b"SELECT 1;"),
        (b"SELECT 1; -- a", b"SELECT 1; -- a"),
        (b"SELECT 1 -- a;", b"SELECT 1 -- a;\n;\n"),
        (b"SELECT 1 /* ; */ \n", b"SELECT 1 /* ; */\n;\n"),
        (b"SELECT ';'", b"SELECT ';';\n"),
        (b"SELECT '--'", b"SELECT '--';\n"),
        (b"-- only\n", b"-- only\n"),
        (b"", b""),
    ],
)
def test_a_statement_is_ended_once(sql, ended):
    """A semicolon in a comment or in quotes ends nothing, and one behind a comment would be a part of it."""
    assert terminated(sql) == ended


def test_a_comment_of_mysql_that_runs_is_a_statement():
    """MySQL runs what is in `/*! */`."""
    assert has_statement(b"/*!40101 SET NAMES utf8 */;")
    assert not has_statement(b"/* nothing */ ; -- nothing\n;")


# Statements as their tools take them: how they are written, and what is run. The table is t0, t1 and so on.
_STATEMENTS = st.sampled_from(
    [
        ("CREATE TABLE {t} (x);", False),
        ("CREATE TABLE {t} (\n  x DEFAULT ';' -- a; comment\n);", False),
        ("CREATE TABLE {t} (x DEFAULT '-- +goose Down -- migrate:down'); -- ends here;", False),
        ("/* it's */ CREATE TABLE {t} (\"a;b\", 'c''d');", False),
        ("CREATE TABLE {t} (x);\nCREATE TRIGGER r{t} AFTER INSERT ON {t} BEGIN\n  SELECT 1;\n  SELECT 2;\nEND", True),
        ("CREATE TABLE {t} AS SELECT 'é' AS \"ü\"", True),
    ]
)
_STEPS = st.lists(_STATEMENTS, min_size=1, max_size=5)


def _written(tool: str, statements: list[tuple[str, bool]], newline: str) -> bytes:
    """Write a file of a tool that makes the tables t0, t1 and so on, and drops them."""
    up, down, _ = TOOLS[tool]
    begin, end = {
        "goose": ("-- +goose StatementBegin\n", "\n-- +goose StatementEnd"),
        "sql-migrate": ("-- +migrate StatementBegin\n", "\n-- +migrate StatementEnd"),
    }.get(tool, ("", ";"))
    body = "\n".join(
        (begin + sql + end if block else sql).replace("{t}", f"t{n}") for n, (sql, block) in enumerate(statements)
    )
    drops = "\n".join(f"DROP TABLE t{n};" for n in reversed(range(len(statements))))
    return f"{up}{body}\n\n{down}{drops}\n".replace("\n", newline).encode()


@settings(deadline=None, max_examples=60)
@given(tool=st.sampled_from(sorted(TOOLS)), statements=_STEPS, newline=st.sampled_from(["\n", "\r\n"]))
def test_a_converted_file_makes_the_same_schema(tool, statements, newline, tmp_path_factory):
    """What the statements make when each is run alone is made by the up script, and removed by the down script."""
    here = tmp_path_factory.mktemp("one_file")
    (here / "old").mkdir()
    (here / "old" / "1_a.sql").write_bytes(_written(tool, statements, newline))
    convert(here / "old", here / "new")
    query = "SELECT type, name, tbl_name FROM sqlite_master WHERE tbl_name GLOB 't[0-9]' ORDER BY name"
    with closing(sqlite3.connect(":memory:")) as alone:
        for number, (sql, _) in enumerate(statements):
            alone.executescript(sql.replace("{t}", f"t{number}").replace("\n", newline) + "\n;")
        columns = [alone.execute(f"PRAGMA table_info(t{n})").fetchall() for n in range(len(statements))]
        wanted = alone.execute(query).fetchall()

    migrator = Migrator(here / "x.db", here / "new")
    migrator.upgrade()

    with closing(sqlite3.connect(here / "x.db")) as made:
        assert made.execute(query).fetchall() == wanted
        assert [made.execute(f"PRAGMA table_info(t{n})").fetchall() for n in range(len(statements))] == columns
        migrator.rollback()
        assert made.execute(query).fetchall() == []
