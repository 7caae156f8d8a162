"""What a script sets by PRAGMA: refused where it breaks all or nothing, noted where it does nothing, and restored."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing, suppress
from itertools import product

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import Migrator, errors, rehearse, upgrade

# What each setting is set to; a setting of a file is set for each of them too.
OF_CONNECTION: dict[str, object] = {
    "analysis_limit": 12,
    "automatic_index": 0,
    "busy_timeout": 77,
    "case_sensitive_like": 1,
    "cell_size_check": 1,
    "checkpoint_fullfsync": 1,
    "count_changes": 1,
    "defer_foreign_keys": 1,
    "empty_result_callbacks": 1,
    "foreign_keys": 1,
    "full_column_names": 1,
    "fullfsync": 1,
    "ignore_check_constraints": 1,
    "legacy_alter_table": 1,
    "query_only": 1,
    "read_uncommitted": 1,
    "recursive_triggers": 1,
    "reverse_unordered_selects": 1,
    "short_column_names": 0,
    "temp_store": 2,
    "threads": 3,
    "trusted_schema": 0,
    "wal_autocheckpoint": 5,
    "writable_schema": 1,
}
OF_FILE: dict[str, object] = {
    "cache_size": 55,
    "cache_spill": 0,
    "journal_mode": "truncate",
    "journal_size_limit": 99,
    "max_page_count": 5000,
    "mmap_size": 65536,
    "secure_delete": 0,
}
OUTSIDE_ONLY: dict[str, object] = {"journal_mode": "off", "locking_mode": "exclusive", "synchronous": 0}
NO_TRANSACTION = "-- no-transaction\n"
UNSAFE = [
    "PRAGMA journal_mode = OFF",
    "PRAGMA journal_mode = MEMORY",
    "PRAGMA main.journal_mode(m)",
    'PRAGMA "journal_mode" = "o"',
    "PRAGMA [main].[JOURNAL_MODE] = 'off'",
    "PRAGMA temp.journal_mode = off",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA main.locking_mode = exclusive",
]


def state(connection: sqlite3.Connection) -> dict[str, object]:
    """Return the settings of a connection and of its two files, its files, and its TEMP objects."""
    ask = sqlite3.Cursor(connection).execute
    names = [f"{name}" for name in (*OF_CONNECTION, *OF_FILE, *OUTSIDE_ONLY)]
    names += [f"{file}.{name}" for file, name in product(("main", "other"), (*OF_FILE, *OUTSIDE_ONLY))]
    settings: dict[str, object] = {name: ask(f"PRAGMA {name}").fetchone() for name in names}
    settings["like"] = ask("SELECT 'a' LIKE 'A'").fetchone()
    settings["files"] = {name for _, name, _ in ask("PRAGMA database_list")} - {"temp"}
    settings["temp"] = sorted(ask("SELECT name FROM sqlite_temp_master").fetchall())
    return settings


@pytest.fixture
def lent(sqlite: SQLiteUnderTest, tmp_path) -> sqlite3.Connection:
    """A connection to a database with 1000 rows, whose owner has attached a second file to it."""
    sqlite.execute(
        "CREATE TABLE a (x)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) INSERT INTO a SELECT 'old' FROM n",
    )
    connection = sqlite.connect()
    connection.execute(f"ATTACH '{tmp_path / 'other.db'}' AS other")
    connection.execute("CREATE TABLE other.t (x)")
    return connection


@pytest.mark.parametrize("pragma", UNSAFE)
def test_a_journal_is_kept_in_a_transaction(sqlite: SQLiteUnderTest, lent, folder, pragma):
    """Without a journal a script that fails could not be rolled back: refused before it takes effect."""
    script = f"SELECT 1;\n  {pragma};\nUPDATE a SET x = 'new';\nINSERT INTO nowhere VALUES (1);"
    source = folder({"1_a": "CREATE TABLE b (x);", "2_b": script})

    with closing(lent), pytest.raises(errors.BadScript, match="in a transaction would keep") as failure:
        upgrade(lent, source)

    assert (failure.value.line, failure.value.column) == (2, 3)
    assert "-- no-transaction" in str(failure.value.hint)
    assert sqlite.execute("SELECT DISTINCT x FROM a") == [("old",)]
    assert sqlite.execute("PRAGMA integrity_check") == [("ok",)]
    assert sqlite.ledgers().agreed == (1,)


@pytest.mark.parametrize("mode", ["OFF", "MEMORY"])
def test_a_journal_is_kept_by_a_script_that_commits_by_itself(sqlite: SQLiteUnderTest, folder, mode):
    """Its record would be written in a transaction that could not be rolled back."""
    source = folder({"1_a": f"CREATE TABLE a (x);\nCOMMIT;\nPRAGMA journal_mode = {mode};\nBEGIN;"})

    with pytest.raises(errors.BadScript) as failure:
        upgrade(sqlite.path, source)

    assert failure.value.line == 3


@pytest.mark.parametrize("mode", ["OFF", "MEMORY", "TRUNCATE", "PERSIST"])
@pytest.mark.parametrize("before", ["delete", "wal"])
def test_a_journal_mode_does_not_outlast_its_script(sqlite: SQLiteUnderTest, folder, mode, before):
    """The next script is all or nothing again."""
    sqlite.execute(f"PRAGMA journal_mode = {before}", "CREATE TABLE a (x)", "INSERT INTO a VALUES ('old')")
    source = folder(
        {
            "1_fast": f"{NO_TRANSACTION}PRAGMA journal_mode = {mode};",
            "2_b": "UPDATE a SET x = 'new';\nINSERT INTO nowhere VALUES (1);",
        }
    )
    with closing(sqlite.connect()) as connection, pytest.raises(errors.ExecutionFailed):
        Migrator(connection, source).upgrade()

    assert sqlite.execute("PRAGMA journal_mode") == [(before,)]
    assert sqlite.execute("SELECT x FROM a") == [("old",)]
    assert sqlite.ledgers().agreed == (1,)


@pytest.mark.parametrize("mode", ["off", "memory"])
def test_a_lent_connection_without_a_journal_has_one_for_a_while(sqlite: SQLiteUnderTest, folder, mode):
    """What its owner has chosen for himself would leave half of a script behind."""
    sqlite.execute("CREATE TABLE a (x)", "INSERT INTO a VALUES ('old')")
    seen: list[object] = []
    source = folder({"1_a": "SELECT 1;", "2_b": "UPDATE a SET x = 'new';\nboom;"})
    with closing(sqlite.connect()) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        with pytest.raises(errors.ExecutionFailed):
            Migrator(connection, source).upgrade(
                observer=lambda _: seen.append(sqlite3.Cursor(connection).execute("PRAGMA journal_mode").fetchone())
            )
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)

    assert seen == [("delete",)]
    assert sqlite.execute("SELECT x FROM a") == [("old",)]


@pytest.mark.parametrize("head", ["", NO_TRANSACTION])
@pytest.mark.parametrize("name", ["hard_heap_limit", "soft_heap_limit", "temp_store_directory", "data_store_directory"])
def test_what_is_for_the_whole_process_is_refused(sqlite: SQLiteUnderTest, folder, head, name):
    """Other connections of the process would have it too, and some of it could not be restored."""
    with pytest.raises(errors.BadScript, match="for the whole process"):
        upgrade(sqlite.path, folder({"1_a": f"{head}PRAGMA {name} = 1;"}))


@pytest.mark.parametrize("fails", ["", "boom;"])
@pytest.mark.parametrize(
    ("head", "pragma", "value"),
    [
        *(("", name, value) for name, value in (OF_CONNECTION | OF_FILE).items()),
        *((NO_TRANSACTION, name, value) for name, value in (OF_CONNECTION | OF_FILE | OUTSIDE_ONLY).items()),
        *(("", f"{file}.{name}", value) for file in ("main", "other") for name, value in OF_FILE.items()),
        *(
            (NO_TRANSACTION, f"{file}.{name}", value)
            for file in ("main", "other")
            for name, value in (OF_FILE | OUTSIDE_ONLY).items()
        ),
    ],
)
def test_a_setting_does_not_outlast_its_script(lent, folder, head, pragma, value, fails):
    """A lent connection is given back as it was, for each of its files, after a failure too."""
    source = folder({"1_a": f"{head}PRAGMA {pragma} = {value};\n{fails}"})
    with closing(lent):
        before = state(lent)
        with suppress(errors.ExecutionFailed):
            upgrade(lent, source)

        assert state(lent) == before


@pytest.mark.parametrize(
    ("pragma", "unlike"),
    [("case_sensitive_like = ON", "'a' LIKE 'A'"), ("recursive_triggers = ON", "1"), ("query_only = ON", "1")],
)
def test_the_next_script_sees_what_a_fresh_connection_sees(sqlite: SQLiteUnderTest, folder, pragma, unlike):
    """In one run as in two."""
    source = folder({"1_a": f"PRAGMA {pragma};", "2_b": f"CREATE TABLE a AS SELECT {unlike} AS x;"})

    upgrade(sqlite.path, source)

    assert sqlite.execute("SELECT x FROM a") == [(1,)]


@pytest.mark.parametrize(("pragma", "value"), [("page_size", 8192), ("auto_vacuum", 1)])
def test_what_waits_for_a_vacuum_does_not_reach_that_of_another_script(sqlite: SQLiteUnderTest, folder, pragma, value):
    """SQLite remembers both until the next VACUUM of the connection."""
    sqlite.execute("CREATE TABLE x (y)")
    before = sqlite.execute(f"PRAGMA {pragma}")
    source = folder({"1_a": f"PRAGMA {pragma} = {value};", "2_b": f"{NO_TRANSACTION}VACUUM;"})
    with closing(sqlite.connect()) as connection:
        upgrade(connection, source)
        assert sqlite.execute(f"PRAGMA {pragma}") == before

        upgrade(connection, folder({"3_c": f"{NO_TRANSACTION}PRAGMA {pragma} = {value};\nVACUUM;"}))
        assert sqlite.execute(f"PRAGMA {pragma}") == [(value,)]


@pytest.mark.parametrize(
    ("script", "noted"),
    [
        ("PRAGMA journal_mode = WAL;", "begins with `-- no-transaction`"),
        ("PRAGMA main.journal_mode(wal);", "begins with `-- no-transaction`"),
        ("PRAGMA auto_vacuum = INCREMENTAL;", "before the next VACUUM"),
        ("PRAGMA page_size = 8192;", "before the next VACUUM"),
        (f"{NO_TRANSACTION}PRAGMA page_size = 8192;", "before the next VACUUM"),
        ("PRAGMA encoding = 'UTF-16';", "before the first upgrade"),
        ("SELECT 1;\nPRAGMA foreign_keys = ON;", "unless its head says"),
    ],
)
def test_a_pragma_that_does_nothing_is_noted(sqlite: SQLiteUnderTest, folder, caplog, script, noted):
    """In the first migration the ledgers are made before it; the note names the file and what to do."""
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        upgrade(sqlite.path, folder({"1_a": f"{script}\nCREATE TABLE t (a);"}))

    (record,) = caplog.records
    assert "1_a.sql: its PRAGMA" in record.getMessage()
    assert "does nothing" in record.getMessage()
    assert noted in record.getMessage()


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("CREATE TABLE a (x);\n/* why\nCREATE TABLE b (x);\n", 2),
        ("CREATE TABLE a (x) /* why\n; CREATE TABLE b (x);", 1),
        ("CREATE TABLE a (x, y DEFAULT '/*');\n\n/* why /* why", 3),
        ("CREATE TABLE a (x, y DEFAULT '/*');", None),
        ("CREATE TABLE a (x); -- all of /*", None),
        ("CREATE TABLE a (x); /* why */", None),
    ],
)
def test_a_comment_that_is_never_closed_is_noted(sqlite: SQLiteUnderTest, folder, caplog, script, line):
    """SQLite takes it for the end of the script, and the migration is installed without what follows it."""
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        upgrade(sqlite.path, folder({"1_a": script}))

    noted = [f"its comment in line {line} is never closed, and what follows it was not run"] if line else []
    assert [message.partition(": ")[2] for message in caplog.messages] == noted
    assert "b" not in sqlite.tables()


@pytest.mark.parametrize("script", ["-- to be written\n", "/* nothing */", b"-- old line ends\rCREATE TABLE a (x);\r"])
def test_a_script_of_comments_is_noted(sqlite: SQLiteUnderTest, folder, caplog, script):
    """A template that nobody has filled in, or a file whose line ends SQLite does not take for line ends."""
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        report = upgrade(sqlite.path, folder({"1_a": script, "2_b": "\n"}))

    (message,) = caplog.messages
    assert message.endswith("1_a.sql: it has only comments, so nothing was done")
    assert report.applied == (1, 2)


@pytest.mark.parametrize(
    "script",
    [
        "PRAGMA journal_mode = DELETE;",
        "PRAGMA journal_mode;",
        "PRAGMA auto_vacuum = NONE;",
        "PRAGMA page_size = 4096;",
        "PRAGMA encoding = 'utf8';",
        f"{NO_TRANSACTION}PRAGMA journal_mode = WAL;",
        f"{NO_TRANSACTION}PRAGMA auto_vacuum = FULL;\nVACUUM;",
        "PRAGMA user_version = 3;",
    ],
)
def test_a_pragma_that_does_something_is_not(sqlite: SQLiteUnderTest, folder, caplog, script):
    """Nor one that asks for what is so already."""
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        upgrade(sqlite.path, folder({"1_a": script}))

    assert caplog.records == []


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA journal_mode = WAL;",
        "PRAGMA synchronous = OFF;",
        "PRAGMA wal_checkpoint;",
        "CREATE TEMP TABLE t (x);\nPRAGMA temp_store = MEMORY;",
        "VACUUM;",
        "ATTACH ':memory:' AS other;\nCREATE TABLE other.t (x);\nDETACH other;",
    ],
)
def test_what_fails_in_a_transaction_names_the_directive(sqlite: SQLiteUnderTest, folder, statement):
    """SQLite's own error says what is wrong, and not what to do."""
    upgrade(sqlite.path, folder({"1_a": "CREATE TABLE a (x);"}))

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(sqlite.path, folder({"2_b": statement}))

    assert "begin the file with `-- no-transaction`" in str(failure.value.hint)


@pytest.mark.parametrize("sql", ["create table a (x,", "create view a as", "no words"])
def test_a_schema_that_cannot_be_read_is_not_committed(sqlite: SQLiteUnderTest, folder, sql):
    """With writable_schema a script writes what SQLite reads only when the file is opened again."""
    source = folder(
        {
            "1_a": "CREATE TABLE a (x);",
            "2_b": f"PRAGMA writable_schema = ON;\nUPDATE sqlite_master SET sql = '{sql}' WHERE name = 'a';",
        }
    )
    with pytest.raises(errors.ExecutionFailed, match="malformed database schema") as failure:
        upgrade(sqlite.path, source)

    assert (failure.value.line, failure.value.column) == (1, 1)
    assert sqlite.execute("SELECT * FROM a") == []
    assert sqlite.ledgers().agreed == (1,)


@pytest.mark.parametrize(
    ("statement", "damage"),
    [
        ("DELETE FROM sqlite_master WHERE name = 'a'", "is never used"),
        ("UPDATE sqlite_master SET rootpage = 2 WHERE name = 'a'", "2nd reference to page 2|is never used"),
        ("UPDATE sqlite_master SET sql = 'CREATE TABLE a (x NOT NULL)' WHERE name = 'a'", "NULL value in a.x"),
        (
            "UPDATE sqlite_master SET sql = 'CREATE TABLE a (x CHECK (x = 1))' WHERE name = 'a'",
            "CHECK constraint failed",
        ),
    ],
)
def test_a_schema_that_does_not_fit_the_file_is_not_committed(sqlite: SQLiteUnderTest, folder, statement, damage):
    """SQLite can read it, and finds the damage only when it is asked, or when it is too late."""
    upgrade(sqlite.path, folder({"1_a": "CREATE TABLE a (x);\nINSERT INTO a VALUES (2), (NULL);"}))

    with pytest.raises(
        errors.ExecutionFailed, match=f"what it writes to the schema damages the database: .*({damage})"
    ):
        upgrade(sqlite.path, folder({"2_b": f"PRAGMA writable_schema = ON;\n{statement};"}))

    assert sqlite.execute("SELECT * FROM a") == [(2,), (None,)]
    assert sqlite.execute("PRAGMA integrity_check") == [("ok",)]
    assert sqlite.ledgers().agreed == (1,)


def test_damage_that_was_there_before_is_no_error(sqlite: SQLiteUnderTest, folder):
    """A script may write to the schema of a database that has other faults."""
    sqlite.execute("CREATE TABLE a (x)", "CREATE TABLE c (x CHECK (x = 1))")
    sqlite.execute("PRAGMA ignore_check_constraints = ON", "INSERT INTO c VALUES (2)")
    sql = "UPDATE sqlite_master SET sql = 'CREATE TABLE a (x TEXT)' WHERE name = 'a'"
    script = f"PRAGMA writable_schema = ON;\n{sql};\nPRAGMA writable_schema = RESET;"

    assert upgrade(sqlite.path, folder({"1_b": script})).applied == (1,)


@pytest.mark.parametrize("head", ["", NO_TRANSACTION])
@pytest.mark.parametrize(
    ("pragma", "freed"),
    [
        ("incremental_vacuum", None),
        ('main."INCREMENTAL_VACUUM"', None),
        ("incremental_vacuum(0)", None),
        ("incremental_vacuum(7)", 7),
        ("incremental_vacuum = 100000", None),
    ],
)
def test_an_incremental_vacuum_frees_every_page(sqlite: SQLiteUnderTest, folder, head, pragma, freed):
    """Each of its steps frees one page, and Python takes one step of a statement without columns."""
    upgrade(sqlite.path, folder({"1_a": f"{NO_TRANSACTION}PRAGMA auto_vacuum = INCREMENTAL;\nVACUUM;"}))
    sqlite.execute(
        "CREATE TABLE t (x)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300) "
        "INSERT INTO t SELECT zeroblob(4000) FROM n",
        "DELETE FROM t",
    )
    ((free,),) = sqlite.execute("PRAGMA freelist_count")
    assert free >= 300

    source = folder({"2_b": f"{head}PRAGMA {pragma};"})
    rehearse(sqlite.path, source)
    upgrade(sqlite.path, source)

    ((left,),) = sqlite.execute("PRAGMA freelist_count")
    assert left == 0 if freed is None else free - freed - 2 <= left <= free - freed
    assert sqlite.execute("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("group", [0, 5])
@pytest.mark.parametrize("exists", [False, True])
def test_wal_in_a_later_migration_fails_in_its_rehearsal_too(tmp_path, folder, group, exists):
    """Whether or not steps share a transaction, and whether or not the file exists yet."""
    source = folder({"0_z": "CREATE TABLE z (x);", "1_a": "CREATE TABLE a (x);", "2_b": "PRAGMA journal_mode = WAL;"})
    migrator = Migrator(tmp_path / "new.db", source, group=group)
    if exists:
        migrator.upgrade(target=0)

    for run in (migrator.rehearse, migrator.upgrade):
        with pytest.raises(errors.ExecutionFailed, match="cannot change into wal mode") as failure:
            run()
        assert failure.value.step.migration.version == 2

    assert [path.name for path in tmp_path.iterdir() if "rehearsal" in path.name] == []


def test_wal_in_the_first_migration_has_its_note_in_the_rehearsal_too(tmp_path, folder, caplog):
    """The ledgers are made in the same transaction, in which SQLite then leaves the mode as it is."""
    migrator = Migrator(tmp_path / "new.db", folder({"1_a": "PRAGMA journal_mode = WAL; CREATE TABLE a (x);"}))

    migrator.rehearse()
    rehearsed = caplog.messages[:]
    migrator.upgrade()

    assert len(rehearsed) == 1
    assert "its PRAGMA journal_mode = WAL does nothing in a transaction" in rehearsed[0]
    assert caplog.messages == 2 * rehearsed


def test_wal_outside_a_transaction_is_rehearsed_before_the_file_exists(tmp_path, folder):
    """The copy is a file too, and is removed with its WAL."""
    source = folder({"1_a": "-- no-transaction\nPRAGMA journal_mode = WAL;\nCREATE TABLE a (x);"})

    assert rehearse(tmp_path / "new.db", source).report.applied == (1,)

    assert [path.name for path in tmp_path.iterdir()] == ["migrations"]


UNKNOWN = "PRAGMA {} is not known to SQLite, which ignores it"
MODES = "delete, truncate, persist, memory, wal or off"
ON_OFF = "on, yes, true, off, no"
IGNORED = {
    "nope = 5": UNKNOWN.format("nope"),
    "main.Nope": UNKNOWN.format("nope"),
    "foreign_key = ON": UNKNOWN.format("foreign_key") + "; is foreign_keys meant?",
    "foreign_key_chek": UNKNOWN.format("foreign_key_chek") + "; is foreign_key_check meant?",
    "journal_mode = wal2": "PRAGMA journal_mode does not know 'wal2': it takes " + MODES,
    "recursive_triggers = enabled": f"PRAGMA recursive_triggers does not know 'enabled': it takes {ON_OFF} or false",
    "locking_mode = shared": "PRAGMA locking_mode does not know 'shared': it takes normal or exclusive",
    "user_version = 'v3'": "PRAGMA user_version does not know 'v3': it takes a number",
    "cache_size(lots)": "PRAGMA cache_size does not know 'lots': it takes a number",
    "secure_delete = sometimes": f"PRAGMA secure_delete does not know 'sometimes': it takes {ON_OFF}, false or fast",
}


@pytest.mark.parametrize(("pragma", "noted"), IGNORED.items(), ids=IGNORED)
@pytest.mark.parametrize("head", ["", "-- no-transaction\n"])
def test_a_pragma_that_sqlite_does_not_know_is_noted(sqlite: SQLiteUnderTest, folder, caplog, head, pragma, noted):
    """SQLite ignores its name, or its value, in silence; the note has file and line."""
    sqlite.execute("CREATE TABLE first (x)")
    source = folder({"1_a": f"{head}CREATE TABLE a (x);\n/* here */ PRAGMA {pragma};"})

    upgrade(sqlite.path, source)

    line = head.count("\n") + 2
    assert caplog.messages == [f"{source}/1_a.sql:{line}: {noted}"]


@pytest.mark.parametrize(
    "pragma",
    [
        *("user_version = +3", "user_version = 0x10", "application_id = -3", "cache_size(-100)", "foreign_key_check"),
        *("recursive_triggers = TRUE", "secure_delete = fast", "table_info(a)", "main.journal_mode", "optimize"),
        *("journal_mode = d", "integrity_check(5)", "busy_timeout", "wal_checkpoint(TRUNCATE)", "encoding = 'UTF-8'"),
        *("trusted_schema = 0", "key = 'secret'", "auto_vacuum = 0"),
    ],
)
def test_a_pragma_that_sqlite_knows_is_not_noted(sqlite: SQLiteUnderTest, folder, caplog, pragma):
    """Neither are the PRAGMAs of a SQLite with encryption, which does not list them."""
    sqlite.execute("CREATE TABLE first (x)")

    upgrade(sqlite.path, folder({"1_a": f"-- no-transaction\nCREATE TABLE a (x);\nPRAGMA {pragma};"}))

    assert caplog.messages == []
