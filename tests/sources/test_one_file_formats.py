"""Files of tools that keep the up and the down script in one file are recognised by their comments alone."""

from __future__ import annotations

import pytest

from torc_migrations import Migrator, errors
from torc_migrations.sources.one_file_formats import refuse_one_file_format

MARKS = {
    "-- +goose Up": "goose",
    "-- +goose Down": "goose",
    "--+GOOSE  up": "goose",
    "-- +goose StatementBegin": "goose",
    "-- +goose NO TRANSACTION": "goose",
    "  --   +goose Up  ": "goose",
    "-- migrate:up": "dbmate",
    "-- Migrate:Down": "dbmate",
    "--migrate : up": "dbmate",
    "-- migrate:up transaction:false": "dbmate",
    "-- +migrate Up": "sql-migrate",
    "-- +migrate Down notransaction": "sql-migrate",
    "-- +migrate StatementEnd": "sql-migrate",
    "---- create above / drop below ----": "tern",
    "-- create above/drop below": "tern",
    "-- +micrate Up": "micrate",
    "-- rambler down": "rambler",
    "--//@UNDO": "MyBatis Migrations",
    "-- //@UNDO": "MyBatis Migrations",
    "# --- !Downs\n-- !Downs": "Play",
    "--liquibase formatted sql": "Liquibase",
    "-- Liquibase Formatted SQL": "Liquibase",
    "--changeset anna:create-users context:test": "Liquibase",
    "-- @down": "a tool that keeps",
    "-- Up\nSELECT 1;\n-- Down\nSELECT 2;": "a tool that keeps",
    "-- ==== UP ====\nBEGIN;\nSELECT 1;\nCOMMIT;\n-- ==== DOWN ====\nBEGIN;\nSELECT 2;\nCOMMIT;": "a tool that keeps",
    "-- :up\nSELECT 1;\n-- :down\nSELECT 2;": "a tool that keeps",
    "--## Up ##\nSELECT 1;\n--## Down ##\nSELECT 2;": "a tool that keeps",
    "-- Up Migration\nSELECT 1;\n-- Down Migration\nSELECT 2;": "a tool that keeps",
}
PROSE = (
    "-- the +goose Down marker is not used here",
    "-- migrate: up to the new table",
    "-- goose up",
    "-- up",
    "-- rollback the change",
    "-- Up\n-- Down\n-- DROP TABLE t;",
    "-- ==== UP to here ====\nSELECT 1;\n-- ==== DOWN from here ====\nSELECT 2;",
    "-- migrate:upstream",
    "/*\n-- +goose Down\n*/",
    "SELECT '\n-- +goose Down\n';",
    'SELECT 1 AS "\n-- migrate:down\n";',
    "SELECT 1; -- +goose Down",
    "-- it's\n/* it's */ SELECT '\n-- +migrate Down\n';",
)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(("mark", "tool"), MARKS.items())
def test_each_tools_mark_is_recognised(mark, tool, newline):
    """Upper case, blanks, a byte order mark and what stands before it make no difference; the tool is named."""
    for before in ("", "\N{ZERO WIDTH NO-BREAK SPACE}", "CREATE TABLE t (x); -- it's\n"):
        sql = f"{before}{mark}\n".replace("\n", newline).encode()
        with pytest.raises(errors.BadScript, match=f"m/1_a.sql is written for {tool}"):
            refuse_one_file_format("m/1_a.sql", sql)


@pytest.mark.parametrize("text", PROSE)
def test_what_only_mentions_a_mark_is_no_mark(text):
    """A text in quotes, a block comment, a comment behind SQL and a sentence are run as they are."""
    refuse_one_file_format("m/1_a.sql", f"{text}\n{'' if 'DROP' in text else 'SELECT 1;'}\n".encode())


@pytest.mark.parametrize("call", ["upgrade", "plan", "rehearse"])
def test_nothing_runs_before_a_one_file_format_is_refused(tmp_path, call):
    """The second file is refused with line, column and a caret, before the first one is run."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1_a.sql").write_text("CREATE TABLE a (x);\n")
    (tmp_path / "m" / "2_b.sql").write_text(
        "SELECT 1;\n  -- +goose Up\nCREATE TABLE b (x);\n-- +goose Down\nDROP TABLE b;\n"
    )
    migrator = Migrator(tmp_path / "x.db", tmp_path / "m")

    with pytest.raises(errors.BadScript) as failure:
        getattr(migrator, call)()

    assert (failure.value.line, failure.value.column) == (2, 3)
    assert (failure.value.frame or "").endswith("   2 |   -- +goose Up\n     |   ^")
    assert "convert(directory, output)" in (failure.value.hint or "")
    assert "torc-migrations convert DIR --output NEW" in (failure.value.command_hint or "")
    assert not (tmp_path / "x.db").exists()
    assert any("is written for goose" in note for note in migrator.status().notes)


def test_a_down_script_of_another_tool_is_refused(tmp_path):
    """A down file that has both scripts in it is refused too, when it would run."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1_a.up.sql").write_text("CREATE TABLE a (x);\n")
    (tmp_path / "m" / "1_a.down.sql").write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\nDROP TABLE a;\n")
    migrator = Migrator(tmp_path / "x.db", tmp_path / "m")
    migrator.upgrade()

    with pytest.raises(errors.BadScript):
        migrator.rollback()

    assert migrator.status().latest == 1
