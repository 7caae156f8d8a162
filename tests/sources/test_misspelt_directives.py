"""A comment that looks like a directive and has no effect is a note with file and line."""

from __future__ import annotations

import logging

import pytest

from torc_migrations import Migrator
from torc_migrations.sources.directives import misspelt_directives

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
INSIDE, UNCHECKED, OFF = "the script runs inside a transaction", "no dependency is checked", "foreign keys are off"
OLDER = "every older release is let in"
MISSPELT = {
    "-- NO-TRANSACTION": (1, INSIDE),
    f"{BOM}-- no-transaction": (1, INSIDE),
    "-- transaction: false": (1, INSIDE),
    "-- about\n-- no-transaction": (2, INSIDE),
    "\n-- no-transaction": (2, INSIDE),
    " -- no-transaction": (1, INSIDE),
    "--no-transaction": (1, INSIDE),
    "-- no transaction": (1, INSIDE),
    "-- no_transaction\r": (1, INSIDE),
    "-- Transactional : false": (1, INSIDE),
    "-- trasactional: false": (1, INSIDE),
    "-- transactional = off": (1, INSIDE),
    "/* no-transaction */": (1, INSIDE),
    "SELECT 1;\n-- transactional: false": (2, INSIDE),
    "-- Depends: 1_a": (1, UNCHECKED),
    "-- depends on: 1_a": (1, UNCHECKED),
    "-- dpeends: 1_a": (1, UNCHECKED),
    "-- depends 1_a": (1, UNCHECKED),
    "-- dependencies: 1_a 2_b": (1, UNCHECKED),
    "SELECT 1;\n-- depends: 1_a": (2, UNCHECKED),
    "-- compatible_from: 1": (1, OLDER),
    "-- Compatible-From: 1": (1, OLDER),
    "-- compatible from 1": (1, OLDER),
    "-- compatable-from: 1": (1, OLDER),
    "SELECT 1;\n-- compatible-from: 1": (2, OLDER),
    "-- foreign_keys: on": (1, OFF),
    "-- Foreign-Keys = ON": (1, OFF),
    "SELECT 1;\n-- foreign-keys: on": (2, OFF),
}
CLEAR = (
    "-- no-transaction\nSELECT 1;",
    "-- transactional: false\n-- no-transaction\nSELECT 1;",
    "--transactional:false\nSELECT 1;",
    "-- depends: 1_a\n-- foreign-keys: on\nSELECT 1;",
    "-- no transaction is needed here\n-- depends on what was there\n-- the transaction: what it does\nSELECT 1;",
    "SELECT '\n-- NO-TRANSACTION\n';",
    "-- compatible-from: 1\n-- compatible with release 3\nSELECT 1;",
    "-- foreign keys: every child names its parent\nSELECT 1;",
    "SELECT 1 - -1; -- transactional: false",
    "-- transactional: maybe\n-- the first one is an error when it runs\nSELECT 1;",
    "",
)


@pytest.mark.parametrize(("text", "note"), MISSPELT.items())
def test_each_spelling_is_noted(text, note):
    """The note has file and line, the comment as it is written, what happens now and the right spelling."""
    line, now = note
    (sentence,) = misspelt_directives("m/1_a.sql", f"{text}\nSELECT 1;\n".encode())

    written = text.removeprefix(BOM).split("\n")[line - 1].strip()
    assert sentence.startswith(f"m/1_a.sql:{line}: `{written}` has no effect: {now}")
    assert "; write `-- " in sentence


@pytest.mark.parametrize("text", CLEAR)
def test_what_has_an_effect_and_prose_are_not_noted(text):
    """A directive that is followed, a sentence and a text in quotes are no misspelt directives."""
    assert list(misspelt_directives("m/1_a.sql", text.encode())) == []


def test_status_and_runs_say_it(tmp_path, caplog):
    """Status lists the note of every up script; a run logs that of each script that it runs, down scripts included."""
    (tmp_path / "1_a.up.sql").write_text("-- NO-TRANSACTION\nCREATE TABLE a (x);\n")
    (tmp_path / "1_a.down.sql").write_text("-- Transactional: false\nDROP TABLE a;\n")
    migrator = Migrator(tmp_path / "x.db", tmp_path)

    with caplog.at_level(logging.WARNING, "torc_migrations"):
        note, of_the_database = migrator.status().notes
        migrator.upgrade()
        migrator.rollback()

    assert note.split("`")[1] == "-- NO-TRANSACTION"
    assert of_the_database.startswith("there is no database ")
    assert [message.split("`")[1] for message in caplog.messages] == ["-- NO-TRANSACTION", "-- Transactional: false"]
