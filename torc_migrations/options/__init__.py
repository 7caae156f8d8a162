"""The options that `Migrator` and every function take, and the checks of all arguments; nothing is read or opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from torc_migrations.databases.servers.given import ServerOptions
from torc_migrations.errors import BadOptionType, BadOptionValue

OnNewer: TypeAlias = Literal["accept", "refuse"]
OutOfOrder: TypeAlias = Literal["apply", "refuse"]
OnLoss: TypeAlias = Literal["warn", "refuse"]
Operation: TypeAlias = Literal["upgrade", "rollback"]
Planned: TypeAlias = Literal["upgrade", "rollback", "trust"]
Ledger: TypeAlias = Literal["yoyo", "sqlx"]

FOREIGN_KEYS = ("script", "on", "off")
OPERATIONS = ("upgrade", "rollback")
LEDGERS = ("yoyo", "sqlx")


def check_options(options: Mapping[str, object]) -> None:
    """Check every option, by its name.

    Raises:
        BadOption: one has a value that it cannot have, or a type that it cannot have.
    """
    check_seconds("lock_timeout", options["lock_timeout"])
    check_flag("ignore_missing", options["ignore_missing"])
    check_choice("on_newer", options["on_newer"], ("accept", "refuse"))
    check_choice("out_of_order", options["out_of_order"], ("apply", "refuse"))
    _check_name("migration_table", options["migration_table"])
    _check_name("sqlx_table", options["sqlx_table"])
    _check_tables(str(options["migration_table"]), str(options["sqlx_table"]))
    _check_text("ignored_chars", options["ignored_chars"])
    check_flag("strict", options["strict"])
    if not isinstance(options["snapshot"], bool):
        check_path("snapshot", options["snapshot"], "True, False or the path of a directory")
    _check_count("keep", options["keep"])
    check_choice("on_loss", options["on_loss"], ("warn", "refuse", None))
    check_seconds("group", options["group"])
    check_foreign_keys(options["foreign_keys"])
    check_flag("allow_broken_schema", options["allow_broken_schema"])
    if not (options["functions"] is None or callable(options["functions"])):
        raise BadOptionType("functions", options["functions"], "a function of a connection, or None")
    _check_server(options["server"])
    _check_timeout(options["statement_timeout"])
    if not (options["on_event"] is None or callable(options["on_event"])):
        raise BadOptionType("on_event", options["on_event"], "a function of an event, or None")


def _check_server(value: object) -> None:
    if not isinstance(value, ServerOptions):
        raise BadOptionType("server", value, "ServerOptions")
    check_flag("server.statement_wise", value.statement_wise)
    check_flag("server.advisory_lock", value.advisory_lock)
    if value.table_lock_timeout is not None:
        check_seconds("server.table_lock_timeout", value.table_lock_timeout)
    _check_count("server.lock_tries", value.lock_tries)


def _check_timeout(value: object) -> None:
    if value is not None:
        check_seconds("statement_timeout", value)
        if value == 0:
            raise BadOptionValue("statement_timeout", value, "a number of seconds above 0, or None")


def check_source(source: object) -> None:
    """Check that a source is of a type that can be one."""
    if isinstance(source, (list, tuple)):
        for each in source:
            _check_one_source(each, source)
        if not source:
            raise BadOptionValue("source", source, "a source, or a list of at least one")
    elif source is not None:
        _check_one_source(source, source)


def _check_one_source(source: object, given: object) -> None:
    if isinstance(source, (str, os.PathLike)) or hasattr(source, "iterdir"):
        return
    from torc_migrations.sources.source import Source

    if not isinstance(source, Source):
        allowed = "a path, 'package:NAME:DIRECTORY', a Traversable, a list of these, or None"
        raise BadOptionType("source", given, allowed)


def check_choice(option: str, value: object, allowed: Sequence[str | None]) -> None:
    """Check that a value is one of those that are allowed."""
    if value not in allowed:
        *others, last = map(repr, allowed)
        raise BadOptionValue(option, value, f"{', '.join(others)} or {last}" if others else last)


def check_foreign_keys(value: object) -> None:
    """Check that a value says of foreign keys what scripts do: for all of them, or by version; 0 stands for hooks."""
    if not isinstance(value, Mapping):
        check_choice("foreign_keys", value, FOREIGN_KEYS)
        return
    for version, choice in value.items():
        check_version("foreign_keys", version)
        check_choice("foreign_keys", choice, FOREIGN_KEYS)


def check_plan(operation: object, target: object, ledger: object, steps: object) -> None:
    """Check the arguments of `Migrator.plan`: a target for upgrade and rollback, a ledger for trust."""
    check_choice("operation", operation, (*OPERATIONS, "trust"))
    check_steps(operation, target, steps)
    if operation == "trust":
        check_choice("target", target, (None,))
        check_choice("ledger", ledger, LEDGERS)
    else:
        check_version("target", target, optional=True)
        check_choice("ledger", ledger, (None,))


def check_flag(option: str, value: object) -> None:
    """Check that a value is True or False."""
    if not isinstance(value, bool):
        raise BadOptionType(option, value, "True or False")


def check_seconds(option: str, value: object) -> None:
    """Check that a value is a number of seconds; infinity is one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadOptionType(option, value, "a number of seconds")
    if not value >= 0:  # not a number is neither less nor greater
        raise BadOptionValue(option, value, "a number of seconds from 0 on")


def check_version(option: str, value: object, *, optional: bool = False) -> None:
    """Check that a value is a version, or None where it is optional."""
    if not (_is_int(value) or (optional and value is None)):
        raise BadOptionType(option, value, "an int or None" if optional else "an int")


def check_versions(values: Iterable[int]) -> tuple[int, ...]:
    """Check that values are versions, and return them."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise BadOptionType("versions", values, "several ints")
    versions = tuple(values)
    for version in versions:
        check_version("versions", version)
    return versions


def check_path(option: str, value: object, allowed: str = "a path") -> None:
    """Check that a value is a path."""
    if not isinstance(value, (str, os.PathLike)):
        raise BadOptionType(option, value, allowed)
    if value == "":
        raise BadOptionValue(option, value, allowed)


def check_run(target: object, observer: object, atomic: object) -> None:
    """Check the arguments of `Migrator.upgrade` and `rollback`."""
    check_version("target", target, optional=True)
    check_observer(observer)
    check_flag("atomic", atomic)


def check_steps(operation: object, target: object, steps: object) -> None:
    """Check how many migrations are rolled back: a number, for a rollback without a target; or None."""
    if steps is None:
        return
    _check_count("steps", steps)
    if operation != "rollback":
        raise BadOptionValue("steps", steps, "left out where nothing is rolled back")
    if target is not None:
        raise BadOptionValue("steps", steps, "left out where target is given")


def check_observer(value: object) -> None:
    """Check that a value can be called, or is None."""
    if not (value is None or callable(value)):
        raise BadOptionType("observer", value, "a function of an Outcome, or None")


def check_repair(
    versions: tuple[int, ...],
    *,
    reason: str | None = None,
    line_endings: bool = False,
    trust: Ledger | None = None,
    mark: bool = False,
    unmark: bool = False,
    resume_after: int | None = None,
    renamed: bool = False,
) -> tuple[str, object]:
    """Check the arguments of `Migrator.repair`, and return the one way that was given: its name and its value."""
    flags = {"line_endings": line_endings, "mark": mark, "unmark": unmark, "renamed": renamed}
    check_versions(versions)
    for flag, value in flags.items():
        check_flag(flag, value)
    check_choice("trust", trust, (*LEDGERS, None))
    _check_resumption(resume_after)
    ways: dict[str, object] = {"reason": reason, **flags, "trust": trust, "resume_after": resume_after}
    given = [name for name, value in ways.items() if value is not None and value is not False]
    if not given:
        raise BadOptionType("reason", reason, "a text, unless line_endings or trust is given")
    name, *others = given
    if name == "reason" and others:
        raise BadOptionValue("reason", reason, "left out where line_endings or trust is given")
    if others:
        raise BadOptionValue(name, ways[name], f"left out where {others[0]} is given")
    if name == "reason":
        _check_name("reason", reason, "a text, unless line_endings or trust is given")
    if name in ("reason", "mark", "unmark") and not versions:
        raise BadOptionValue("versions", versions, f"given where {name} is")
    if name == "resume_after" and len(versions) != 1:
        raise BadOptionValue("versions", versions, "one version where resume_after is given")
    if name in ("trust", "renamed") and versions:
        raise BadOptionValue("versions", versions, f"left out where {name} is given")
    return name, ways[name]


def _check_resumption(value: object) -> None:
    allowed = "a number of statements from 0 on, or None"
    if value is not None and not _is_int(value):
        raise BadOptionType("resume_after", value, allowed)
    if isinstance(value, int) and value < 0:
        raise BadOptionValue("resume_after", value, allowed)


def _check_text(option: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadOptionType(option, value, "a text")


def _check_name(option: str, value: object, allowed: str = "a name") -> None:
    if not isinstance(value, str):
        raise BadOptionType(option, value, allowed)
    if not value.strip() or "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise BadOptionValue(option, value, allowed)  # half of a pair of UTF-16 is not in UTF-8


def _check_tables(migration_table: str, sqlx_table: str) -> None:
    """Keep the tables of yoyo and sqlx apart, and sqlx's out of the tables of a connection."""
    if (migration_table, sqlx_table) == ("_yoyo_migration", "_sqlx_migrations"):
        return
    from torc_migrations.ledgers.tables import KEPT_TABLE, YOYO_LOCK, YOYO_LOG, YOYO_VERSION, unquoted

    yoyo, sqlx = migration_table.lower(), unquoted(sqlx_table).lower()
    others = (YOYO_LOG, YOYO_VERSION, YOYO_LOCK, KEPT_TABLE)
    if yoyo in others:
        raise BadOptionValue("migration_table", migration_table, "another table than the other ones of yoyo")
    if sqlx in (yoyo, *others):
        raise BadOptionValue("sqlx_table", sqlx_table, "another table than those of yoyo")
    if sqlx_table.lower().startswith("temp."):
        raise BadOptionValue(
            "sqlx_table", sqlx_table, "a table of the database, and not one that goes with a connection"
        )


def _check_count(option: str, value: object) -> None:
    if not _is_int(value):
        raise BadOptionType(option, value, "a number from 1 on")
    if isinstance(value, int) and value < 1:
        raise BadOptionValue(option, value, "a number from 1 on")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
