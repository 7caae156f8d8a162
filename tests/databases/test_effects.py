"""What an ALTER TABLE may break, as far as its text tells."""

from __future__ import annotations

import sqlite3

import pytest

from torc_migrations.databases.sqlite.scripts.effects import ScriptEffects


def may_break_anything(text: str) -> bool:
    """Return whether keys of table a are checked after a statement of which SQLite has said that it alters a."""
    effects = ScriptEffects()
    effects.authorize(sqlite3.SQLITE_ALTER_TABLE, "main", "a", None, None)
    effects.end_statement(text)
    return effects.all_tables or "a" in effects.tables


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ALTER TABLE a ADD COLUMN b", False),
        ("alter\ttable main . [a b] add b INTEGER", False),
        ('-- why\n/* and ** how **/ /**/ ALTER TABLE "a "" b" ADD b;', False),
        ("ALTER TABLE a ADD b REFERENCES c (d)", True),
        ("ALTER TABLE a RENAME TO b", True),
        ("ALTER TABLE a RENAME ADD TO b", True),
        ("ALTER TABLE a DROP COLUMN b", True),
        ("/* never ends ALTER TABLE a ADD b", True),
        ("ALTER/**/TABLE a ADD b", False),
        ("\ufeffALTER TABLE a\nRENAME b TO c", True),
    ],
)
def test_a_new_column_without_references_breaks_nothing(text, expected):
    """Everything else might, and what is not understood does."""
    assert may_break_anything(text) is expected


@pytest.mark.parametrize("blank", [" ", "\n", "/* why */", "/**/ ", "/***/", "-- why\n"])
def test_what_stands_before_it_costs_no_more_than_its_length(blank):
    """A pattern that could read comments in more than one way would never end."""
    assert not may_break_anything(blank * 20_000 + "ALTER TABLE a ADD b")
    assert may_break_anything(blank * 20_000 + "ALTER TABLE a RENAME TO b")
    assert may_break_anything("ALTER TABLE a" + " " * 20_000 + "RENAME TO b")
