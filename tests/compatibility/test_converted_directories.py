"""Converted directories beside the tools that they are of: yoyo, goose, dbmate, sql-migrate, tern; and sqlx."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from other_programs import find_program
from preloaded_programs import Preloaded
from servers import PostgreSQLUnderTest
from sqlx_program import Sqlx

from torc_migrations import Migrator, convert, errors

MODULES = {
    "0001_create_book.py": '''"""Create the books."""
from yoyo import step

__depends__ = {}
TABLE = "book"

steps = [
    step(f"CREATE TABLE {TABLE} (id INTEGER PRIMARY KEY, title TEXT DEFAULT 'a;b')", f"DROP TABLE {TABLE}"),
    step("CREATE INDEX idx_title ON book (title) -- for the list", "DROP INDEX idx_title"),
]
''',
    "0002_add_author.py": """from yoyo import group, step

__depends__ = {"0001_create_book"}
group(
    step("CREATE TABLE author (id INTEGER PRIMARY KEY)", "DROP TABLE author"),
    step("INSERT INTO author VALUES (1)", "DELETE FROM author"),
)
step("ALTER TABLE book ADD COLUMN author INTEGER", "ALTER TABLE book DROP COLUMN author")
""",
    "0003_analyse.py": """from yoyo import step

__depends__ = {"0002_add_author"}
__transactional__ = False
step("CREATE TABLE shelf (id INTEGER PRIMARY KEY)", "DROP TABLE shelf")
""",
}
TABLE = "CREATE TABLE t{0} (id INTEGER PRIMARY KEY, text TEXT DEFAULT 'x; y' -- a; comment\n);"
TRIGGER = "CREATE TRIGGER r{0} AFTER INSERT ON t{0} BEGIN\n  UPDATE t{0} SET text = '-- no mark';\n  SELECT 1;\nEND"
# What a file has before its up and down script, and around a statement with semicolons in it.
MARKS = {
    "goose": ("-- +goose Up\n", "-- +goose Down\n", "-- +goose StatementBegin\n{}\n-- +goose StatementEnd\n"),
    "dbmate": ("-- migrate:up\n", "-- migrate:down\n", "{};\n"),
    "sql-migrate": (
        "-- +migrate Up\n",
        "-- +migrate Down\n",
        "-- +migrate StatementBegin\n{}\n-- +migrate StatementEnd\n",
    ),
}
TERN = {
    "001_a.sql": "CREATE TABLE a (x int);\n\n---- create above / drop below ----\n\nDROP TABLE a;\n",
    "002_index.sql": "---- tern: disable-tx ----\nCREATE INDEX CONCURRENTLY a_x ON a (x);\n"
    "---- create above / drop below ----\nDROP INDEX a_x;\n",
    "003_b.sql": "CREATE TABLE b (y int);\nCREATE FUNCTION f() RETURNS int AS $body$\nBEGIN\n  -- it's; two\n"
    "  RETURN 2;\nEND\n$body$ LANGUAGE plpgsql;\n"
    "---- create above / drop below ----\nDROP FUNCTION f();\nDROP TABLE b\n",
    "004_only_up.sql": "SELECT 1",
}
# Files that each tool refuses; what is in quotes fails when it is run.
REFUSED = {
    "goose": [
        "CREATE TABLE a (x);\n",
        "/* a */\n-- +goose Up\nSELECT 1;\n",
        "-- +Goose Up\nSELECT 1;\n",
        "-- +goose Down\nSELECT 1;\n",
        "-- +goose Up\n-- +goose Up\n",
        "-- +goose Up\n-- +goose Down\n-- +goose Down\n",
        "-- +goose Up\n  -- +goose Down\n",
        "-- +goose Up\n-- see +goose Down\n",
        "-- +goose Up\n-- +goose StatementBegin\n-- +goose StatementBegin\n",
        "-- +goose Up\n-- +goose StatementEnd\n",
        "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n",
        "-- +goose Up\nSELECT '\n-- +goose Down\n';\n",
        "-- +goose Up\n-- +goose StatementBegin\nSELECT '\n-- +goose StatementEnd\n';\n",
    ],
    "dbmate": [
        "SELECT 1;\n-- migrate:up\n-- migrate:down\n",
        "-- migrate:down\n-- migrate:up\n",
        "-- migrate:up\n-- migrate:up\n-- migrate:down\n",
        "-- migrate:up\n-- migrate:down\n-- migrate:down\n",
        "-- migrate:up\n -- migrate:down\n",
        "-- Migrate:UP\n-- migrate:down\n",
        "-- migrate:up\nSELECT '\n-- migrate:down\n';\n",
    ],
    "sql-migrate": [
        "-- +migrate up\nSELECT 1;\n",
        "--+migrate Up\nSELECT 1;\n",
        " -- +migrate Up\nSELECT 1;\n",
        "-- +migrate \nSELECT 1;\n",
        "-- +migrate Up\n-- +migrate StatementBegin\nSELECT 1;\n",
        "-- +migrate Up\nSELECT '\n-- +migrate Down\n';\n",
    ],
}


def _schema(database: Path) -> list[tuple[str, str]]:
    """Return what the migrations have made, without comments and blanks, which tools treat in different ways."""
    ours = "type IN ('table', 'index', 'trigger') AND sql IS NOT NULL AND tbl_name GLOB '[a-z]*'"
    others = "'goose_db_version', 'schema_migrations', 'gorp_migrations', 'yoyo_lock', 'sqlite_sequence'"
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(
            f"SELECT name, sql FROM sqlite_master WHERE {ours} AND tbl_name NOT IN ({others}) ORDER BY name"
        ).fetchall()
    return [(name, "".join(re.sub(r"-- (?!no mark)[^\n]*", "", sql).split())) for name, sql in found]


def test_a_database_of_yoyo_goes_on_with_yoyo_ours_and_sqlx(
    tmp_path: Path, yoyo: Preloaded, ours: Preloaded, sqlx: Sqlx
) -> None:
    """The ids stay, so each tool says of the new files what yoyo said of the old ones, before and after a change."""
    old, new, for_sqlx = tmp_path / "old", tmp_path / "new", tmp_path / "migrations"
    old.mkdir()
    for name, text in MODULES.items():
        (old / name).write_text(text)
    database = tmp_path / "app.db"
    by_yoyo = ["-b", "-d", f"sqlite:///{database}"]
    yoyo_first = yoyo("apply", *by_yoyo, "-r", "0002_add_author", str(old), folder=tmp_path)
    assert yoyo_first.status == 0, yoyo_first.err
    assert ours("convert", str(old), "--output", str(new), folder=tmp_path).status == 0
    assert ours("convert", str(old), "--output", str(for_sqlx), "--layout", "sqlx", folder=tmp_path).status == 0

    def listed(directory: Path) -> str:
        said = yoyo("list", *by_yoyo, str(directory), folder=tmp_path).out
        return "".join(line.split()[0] for line in said.splitlines() if re.match(r"[AU] ", line))

    def status(directory: Path) -> list[str]:
        return re.findall(r"/(\w+) ", ours("-d", "app.db", "-s", str(directory), "status", folder=tmp_path).out)

    def informed() -> list[str]:
        said = sqlx("info", "-D", f"sqlite:{database}", "--source", str(for_sqlx), folder=tmp_path)
        assert said.status == 0, said.err
        return re.findall(r"/(\w+) ", said.out)

    assert listed(old) == listed(new) == "AAU"
    assert status(new) == status(for_sqlx) == ["installed", "installed", "pending"]

    assert ours("-d", "app.db", "-s", str(new), "upgrade", folder=tmp_path).status == 0

    assert listed(old) == listed(new) == "AAA"
    assert status(new) == status(for_sqlx) == informed() == ["installed"] * 3
    upgraded = _schema(database)

    assert sqlx("revert", "-D", f"sqlite:{database}", "--source", str(for_sqlx), folder=tmp_path).status == 0
    assert informed() == status(new) == ["installed", "installed", "pending"]
    assert ours("-d", "app.db", "-s", str(new), "upgrade", folder=tmp_path).status == 0
    assert yoyo("rollback", *by_yoyo, "-r", "0002_add_author", str(new), folder=tmp_path).status == 0
    assert listed(new) == "AUU"
    assert ours("-d", "app.db", "-s", str(new), "rollback", folder=tmp_path).status == 0
    assert _schema(database) == []

    assert yoyo("apply", *by_yoyo, str(new), folder=tmp_path).status == 0
    assert _schema(database) == upgraded
    assert status(new) == ["installed"] * 3


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("tool", MARKS)
def test_a_database_of_another_tool_is_adopted(tool: str, newline: str, tmp_path: Path) -> None:
    """`baseline` records what the tool has applied; the upgrade then makes what the tool would have made."""
    program = find_program(tool)
    up, down, block = MARKS[tool]
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    for number in (1, 2, 10):
        name = f"{number:03}_t{number}.sql"
        made = f"{TABLE.format(number)}\n{block.format(TRIGGER.format(number))}"
        text = f"{up}{made}\n{down}DROP TABLE t{number};\n"
        (old / name).write_bytes(text.replace("\n", newline).encode())
        if number == 1:
            done = program.up(tmp_path / "app.db", old)
            assert done.returncode == 0, done.stdout + done.stderr
    done = program.up_all(tmp_path / "all.db", old)
    assert done.returncode == 0, done.stdout + done.stderr

    conversion = convert(old, new)
    migrator = Migrator(tmp_path / "app.db", new)
    (query,) = re.findall(r"\((SELECT .*)\)", conversion.adoption)
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        newest = re.match(r"\d+", str(connection.execute(query).fetchone()[0]))
    assert newest is not None
    assert [migration.version for migration in migrator.status().pending] == [1, 2, 10]
    migrator.baseline(int(newest[0]))

    assert [migration.version for migration in migrator.status().pending] == [2, 10]
    migrator.upgrade()
    assert _schema(tmp_path / "app.db") == _schema(tmp_path / "all.db")
    migrator.rollback(0)
    assert _schema(tmp_path / "app.db") == []


def test_a_database_of_tern_is_adopted(tmp_path: Path, postgresql_database: PostgreSQLUnderTest) -> None:
    """A function with semicolons in its body, an index that is built outside a transaction, and no down script."""
    program = find_program("tern")
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    for name, text in TERN.items():
        (old / name).write_text(text)
    for destination, tables in (("3", {"a", "a_x", "b"}), ("1", {"a"})):
        done = program.to(postgresql_database.url, old, destination)
        assert done.returncode == 0, done.stdout + done.stderr
        assert set(postgresql_database.tables()) - {"schema_version"} == tables

    conversion = convert(old, new)
    migrator = Migrator(postgresql_database.url, new)
    (query,) = re.findall(r"\((SELECT .*)\)", conversion.adoption)
    ((newest,),) = postgresql_database.execute(query)
    migrator.baseline(newest)
    migrator.upgrade()

    assert set(postgresql_database.tables()) - {"schema_version"} == {"a", "a_x", "b"}
    assert postgresql_database.execute("SELECT f()") == [(2,)]
    with pytest.raises(errors.Irreversible):
        migrator.rollback()


@pytest.mark.parametrize("text", ["SELECT {{ .x }};\n", "SELECT '\n---- create above / drop below ----\n';\n"])
def test_what_is_named_is_what_tern_does_not_run(
    text: str, tmp_path: Path, postgresql_database: PostgreSQLUnderTest
) -> None:
    """A template without its value, and a mark inside of quotes."""
    program = find_program("tern")
    (tmp_path / "001_a.sql").write_text("SELECT 1;\n---- create above / drop below ----\nSELECT 1;\n")
    (tmp_path / "002_b.sql").write_text(text)

    with pytest.raises(errors.NotConvertible):
        convert(tmp_path)

    assert program.to(postgresql_database.url, tmp_path, "last").returncode != 0


@pytest.mark.parametrize(("tool", "text"), [(tool, text) for tool, texts in REFUSED.items() for text in texts])
def test_what_is_named_is_what_the_tool_refuses(tool: str, text: str, tmp_path: Path) -> None:
    """A file that the tool cannot run is not converted into something that can be run."""
    program = find_program(tool)
    old = tmp_path / "old"
    old.mkdir()
    (old / "001_a.sql").write_text(f"{MARKS[tool][0]}SELECT 1;\n{MARKS[tool][1]}SELECT 1;\n")
    (old / "002_b.sql").write_text(text)

    with pytest.raises(errors.NotConvertible) as failure:
        convert(old, tmp_path / "new")

    assert [Path(problem.path).name for problem in failure.value.problems] == ["002_b.sql"]
    assert program.up_all(tmp_path / "app.db", old).returncode != 0
