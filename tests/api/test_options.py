"""Every argument is checked where it is given: before anything is opened, read or written."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import torc_migrations
from torc_migrations import Migrator, errors
from torc_migrations.sources.source import Source

NAN = math.nan

WRONG_VALUES: list[tuple[dict[str, object], str]] = [
    ({"on_loss": "Refuse"}, "on_loss must be 'warn', 'refuse' or None, not 'Refuse'"),
    ({"on_loss": True}, "on_loss must be 'warn', 'refuse' or None, not True"),
    ({"on_newer": "refused"}, "on_newer must be 'accept' or 'refuse', not 'refused'"),
    ({"on_newer": None}, "on_newer must be 'accept' or 'refuse', not None"),
    ({"keep": 0}, "keep must be a number from 1 on, not 0"),
    ({"lock_timeout": -1}, "lock_timeout must be a number of seconds from 0 on, not -1"),
    ({"lock_timeout": NAN}, "lock_timeout must be a number of seconds from 0 on, not nan"),
    ({"snapshot": ""}, "snapshot must be True, False or the path of a directory, not ''"),
    ({"sqlx_table": ""}, "sqlx_table must be a name, not ''"),
    ({"foreign_keys": "yes"}, "foreign_keys must be 'script', 'on' or 'off', not 'yes'"),
    ({"foreign_keys": {1: "ON"}}, "foreign_keys must be 'script', 'on' or 'off', not 'ON'"),
    ({"migration_table": " "}, "migration_table must be a name, not ' '"),
    ({"migration_table": "\ud800"}, r"migration_table must be a name, not '\ud800'"),
    ({"migration_table": "x", "sqlx_table": "X"}, "sqlx_table must be another table than those of yoyo, not 'X'"),
    ({"sqlx_table": 'main."_yoyo_migration"'}, "sqlx_table must be another table than those of yoyo"),
    ({"sqlx_table": "_yoyo_log"}, "sqlx_table must be another table than those of yoyo, not '_yoyo_log'"),
    ({"migration_table": "X", "sqlx_table": '"x"'}, "sqlx_table must be another table than those of yoyo"),
    ({"migration_table": "yoyo_lock"}, "migration_table must be another table than the other ones of yoyo"),
    ({"migration_table": "_Yoyo_Version"}, "migration_table must be another table than the other ones of yoyo"),
    ({"sqlx_table": "TEMP.x"}, "sqlx_table must be a table of the database, and not one that goes with a connection"),
]
WRONG_TYPES: list[tuple[dict[str, object], str]] = [
    ({"keep": "3"}, "keep must be a number from 1 on, not '3'"),
    ({"keep": True}, "keep must be a number from 1 on, not True"),
    ({"lock_timeout": "10"}, "lock_timeout must be a number of seconds, not '10'"),
    ({"lock_timeout": None}, "lock_timeout must be a number of seconds, not None"),
    ({"lock_timeout": True}, "lock_timeout must be a number of seconds, not True"),
    ({"ignore_missing": "no"}, "ignore_missing must be True or False, not 'no'"),
    ({"foreign_keys": {"1": "on"}}, "foreign_keys must be an int, not '1'"),
    ({"allow_broken_schema": 1}, "allow_broken_schema must be True or False, not 1"),
    ({"strict": 1}, "strict must be True or False, not 1"),
    ({"snapshot": None}, "snapshot must be True, False or the path of a directory, not None"),
    ({"snapshot": 1}, "snapshot must be True, False or the path of a directory, not 1"),
    ({"sqlx_table": None}, "sqlx_table must be a name, not None"),
    ({"ignored_chars": [" "]}, "ignored_chars must be a text, not [' ']"),
    ({"source": 5}, "source must be a path, 'package:NAME:DIRECTORY', a Traversable, a list of these, or None, not 5"),
]
Call = Callable[[Migrator], object]
WRONG_CALLS: list[tuple[type[Exception], Call, str]] = [
    (TypeError, lambda m: m.upgrade("2025"), "target must be an int or None, not '2025'"),
    (TypeError, lambda m: m.upgrade(True), "target must be an int or None, not True"),
    (TypeError, lambda m: m.upgrade(2.0), "target must be an int or None, not 2.0"),
    (TypeError, lambda m: m.rollback("0"), "target must be an int or None, not '0'"),
    (TypeError, lambda m: m.upgrade(atomic="yes"), "atomic must be True or False, not 'yes'"),
    (TypeError, lambda m: m.upgrade(observer=1), "observer must be a function of an Outcome, or None, not 1"),
    (TypeError, lambda m: m.apply("3"), "versions must be an int, not '3'"),
    (TypeError, lambda m: m.apply([3]), "versions must be an int, not [3]"),
    (TypeError, lambda m: m.perform("apply", [3]), "action must be an Action, not 'apply'"),
    (TypeError, lambda m: m.baseline("3"), "version must be an int, not '3'"),
    (ValueError, lambda m: m.rehearse(operation="Upgrade"), "operation must be 'upgrade' or 'rollback', not 'Upgrade'"),
    (ValueError, lambda m: m.rehearse(operation="trust"), "operation must be 'upgrade' or 'rollback', not 'trust'"),
    (TypeError, lambda m: m.rehearse("3"), "target must be an int or None, not '3'"),
    (TypeError, lambda m: m.round_trip(fresh=1), "fresh must be True or False, not 1"),
    (TypeError, lambda m: m.verify(fresh="no"), "fresh must be True or False, not 'no'"),
    (ValueError, lambda m: m.plan("up"), "operation must be 'upgrade', 'rollback' or 'trust', not 'up'"),
    (ValueError, lambda m: m.plan("trust"), "ledger must be 'yoyo' or 'sqlx', not None"),
    (ValueError, lambda m: m.plan("trust", ledger="Yoyo"), "ledger must be 'yoyo' or 'sqlx', not 'Yoyo'"),
    (ValueError, lambda m: m.plan("trust", 3, ledger="yoyo"), "target must be None, not 3"),
    (ValueError, lambda m: m.plan("upgrade", ledger="yoyo"), "ledger must be None, not 'yoyo'"),
    (ValueError, lambda m: m.repair(trust="Yoyo"), "trust must be 'yoyo', 'sqlx' or None, not 'Yoyo'"),
    (TypeError, lambda m: m.repair(3), "reason must be a text, unless line_endings or trust is given, not None"),
    (ValueError, lambda m: m.repair(3, reason=" "), "reason must be a text, unless line_endings or trust is given"),
    (ValueError, lambda m: m.repair(reason="x"), "versions must be given where reason is, not ()"),
    (ValueError, lambda m: m.repair(3, trust="yoyo"), "versions must be left out where trust is given, not (3,)"),
    (
        ValueError,
        lambda m: m.repair(line_endings=True, reason="x"),
        "reason must be left out where line_endings or trust is given, not 'x'",
    ),
    (
        ValueError,
        lambda m: m.repair(line_endings=True, trust="sqlx"),
        "line_endings must be left out where trust is given, not True",
    ),
    (TypeError, lambda m: m.repair(line_endings="yes"), "line_endings must be True or False, not 'yes'"),
    (TypeError, lambda m: m.restore(5), "snapshot must be a path, not 5"),
]


def whole(sentence: str) -> str:
    """Return a pattern for a message that begins like this."""
    return "^" + re.escape(sentence)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, where nothing may appear."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("options", "sentence"), WRONG_VALUES, ids=lambda each: str(each)[:30])
def test_a_wrong_value_is_refused_at_once(nowhere: Path, options: dict[str, object], sentence: str) -> None:
    """It is a ValueError and a MigrationError, and names the parameter, the value, and what it may be."""
    with pytest.raises(ValueError, match=whole(sentence)) as failure:
        Migrator("app.db", **{"source": "gone", **options})

    assert isinstance(failure.value, errors.BadOption)
    assert failure.value.option in options
    assert list(nowhere.iterdir()) == []


@pytest.mark.parametrize(("options", "sentence"), WRONG_TYPES, ids=lambda each: str(each)[:30])
def test_a_wrong_type_is_refused_at_once(nowhere: Path, options: dict[str, object], sentence: str) -> None:
    """It is a TypeError and a MigrationError; the functions refuse it as the class does."""
    with pytest.raises(TypeError, match=whole(sentence)) as failure:
        torc_migrations.upgrade("app.db", **{"source": "gone", **options})

    assert isinstance(failure.value, errors.BadOption)
    assert list(nowhere.iterdir()) == []


@pytest.mark.parametrize(("kind", "call", "sentence"), WRONG_CALLS, ids=[case[2][:40] for case in WRONG_CALLS])
def test_a_wrong_argument_of_a_method_is_refused_at_once(
    nowhere: Path, kind: type[Exception], call: Call, sentence: str
) -> None:
    """The source, which does not exist, is not even looked for."""
    migrator = Migrator("app.db", "gone")

    with pytest.raises(kind, match=whole(sentence)) as failure:
        call(migrator)

    assert isinstance(failure.value, errors.BadOption)
    assert list(nowhere.iterdir()) == []


@pytest.mark.parametrize("versions", ["2025", b"1", 3, None])
def test_versions_are_several_ints(nowhere: Path, versions: object) -> None:
    """A text has letters, which are no versions, and one version is not several."""
    with pytest.raises(TypeError, match="versions must be several ints, not"):
        torc_migrations.apply("app.db", "gone", versions=versions)


def test_restore_checks_its_arguments(nowhere: Path) -> None:
    """The one function without the options of Migrator checks its own."""
    with pytest.raises(ValueError, match="lock_timeout must be"):
        torc_migrations.restore("app.db", "gone", lock_timeout=-1)
    with pytest.raises(TypeError, match="snapshot must be a path, not None"):
        torc_migrations.restore("app.db", None)


def test_an_unknown_option_is_a_type_error() -> None:
    """A misspelt keyword is refused by Python itself."""
    with pytest.raises(TypeError, match="on_los"):
        torc_migrations.upgrade("app.db", on_los="refuse")


@pytest.mark.parametrize(
    "options",
    [
        {"lock_timeout": 0},
        {"lock_timeout": math.inf},
        {"keep": 1},
        {"snapshot": Path("backups")},
        {"source": Path("gone")},
        {"source": "package:gone:sql"},
        {"sqlx_table": 'main."odd ""name"""'},
        {"ignored_chars": ""},
    ],
    ids=str,
)
def test_whatever_is_right_is_accepted(options: dict[str, object]) -> None:
    """The limits themselves are right, and nothing has to exist yet."""
    with closing(sqlite3.connect(":memory:")) as connection:
        Migrator(connection, **options)


def test_a_source_that_was_read_is_accepted(migrations: Path) -> None:
    """Sources that are combined by the caller are given as they are."""
    read: Source = torc_migrations.sources.source.discover(migrations)

    assert torc_migrations.upgrade(":memory:", read).applied == (1, 2, 3)
