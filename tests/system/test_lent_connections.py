"""A lent connection may have anything of its host's: nothing is half-done, and errors are errors of this package."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from database_under_test import write_folder
from yoyo import get_backend

from torc_migrations import MigrationError, Migrator, errors, upgrade
from torc_migrations.databases import lent
from torc_migrations.databases.sqlite.callbacks import code_of
from torc_migrations.databases.sqlite.connection import is_busy
from torc_migrations.databases.sqlite.scripts.requirements import needed_version
from torc_migrations.indexes.inspect import inspect_indexes
from torc_migrations.indexes.optimize import optimize

SOURCE = {
    "1_a.sql": "CREATE TABLE a (x TEXT, d DATE);\nINSERT INTO a VALUES ('ABC', 'nonsense');\n",
    "2_b.sql": 'CREATE TABLE b (x);\nSELECT d FROM a;\nSELECT x FROM a;\nSELECT 1 AS "y [date]";\n',
}


class OfHost(Exception):
    """What the host's own code raises."""


def fails(*_: object) -> None:
    """Fail, as a callback of the host."""
    raise OfHost


def with_text_factory(connection: sqlite3.Connection) -> None:
    """Have every text fail."""
    connection.text_factory = fails


def with_row_factory(connection: sqlite3.Connection) -> None:
    """Have every row fail."""
    connection.row_factory = fails


def with_functions(connection: sqlite3.Connection) -> None:
    """Have SQLite's own functions fail."""
    for name in ("upper", "lower", "count", "length", "typeof", "quote", "abs", "instr"):
        for number in (-1, 1, 2):
            connection.create_function(name, number, fails)


def with_open_cursor(connection: sqlite3.Connection) -> None:
    """Have a query that is not read to its end."""
    connection.executescript("CREATE TABLE h (x); INSERT INTO h VALUES (1), (2), (3);")
    KEPT.append(connection.execute("SELECT x FROM h"))


def with_open_insert(connection: sqlite3.Connection) -> None:
    """Have an INSERT that is not read to its end."""
    connection.isolation_level = None
    connection.execute("CREATE TABLE h (x)")
    KEPT.append(connection.execute("INSERT INTO h VALUES (1), (2) RETURNING x"))


def with_authorizer(connection: sqlite3.Connection) -> None:
    """Have everything denied."""
    connection.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)


def with_progress_handler(connection: sqlite3.Connection) -> None:
    """Have everything interrupted."""
    connection.set_progress_handler(fails, 1)


def with_trace(connection: sqlite3.Connection) -> None:
    """Have every trace fail."""
    connection.set_trace_callback(fails)


KEPT: list[sqlite3.Cursor] = []
HOSTS = (
    with_text_factory,
    with_row_factory,
    with_functions,
    with_open_cursor,
    with_open_insert,
    with_authorizer,
    with_progress_handler,
    with_trace,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two migrations."""
    directory = tmp_path / "source"
    directory.mkdir()
    for name, text in SOURCE.items():
        (directory / name).write_text(text)
    return directory


def state_of(path: Path) -> tuple[set[str], set[str]]:
    """Return the migrations whose tables are there, and those that both ledgers have."""
    with closing(sqlite3.connect(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "_sqlx_migrations" not in tables:
            return tables & {"a", "b"}, set()
        sqlx = {description for (description,) in connection.execute("SELECT description FROM _sqlx_migrations")}
        yoyo = {name[2:] for (name,) in connection.execute("SELECT migration_id FROM _yoyo_migration")}
    assert sqlx == yoyo
    return tables & {"a", "b"}, sqlx


@pytest.mark.parametrize("prepare", HOSTS)
def test_what_a_host_has_set_leaves_nothing_half_done(
    tmp_path: Path, source: Path, prepare: Callable[[sqlite3.Connection], None]
) -> None:
    """It works, or it is an error of ours; a table and its records are there together."""
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        prepare(connection)
        for operation in ("status", "upgrade", "rehearse", "diagnose"):
            with suppress(MigrationError):
                getattr(Migrator(connection, source, lock_timeout=0.2), operation)()
        KEPT.clear()

    tables, recorded = state_of(path)
    assert tables == recorded


CONVERTERS = sqlite3.converters  # what the driver uses; yoyo replaces the attribute by a copy


@pytest.fixture
def bad_converters() -> object:
    """Register converters that fail, for the time of a test."""
    before = dict(CONVERTERS)
    for name in ("TEXT", "BIGINT", "DATE", "TIMESTAMP", "BLOB", "BOOLEAN", "INT", "INTEGER", "VARCHAR"):
        sqlite3.register_converter(name, fails)
    yield
    CONVERTERS.clear()
    CONVERTERS.update(before)


@pytest.fixture(params=[False, True])
def yoyo_of_host(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the host use yoyo itself before, or not; it leaves a copy in the place of `sqlite3.converters`."""
    monkeypatch.setattr(sqlite3, "converters", CONVERTERS)
    if request.param:
        with get_backend(f"sqlite:///{tmp_path / 'yoyo.db'}"):
            pass
        assert sqlite3.converters is not CONVERTERS


@pytest.mark.usefixtures("yoyo_of_host", "bad_converters")
@pytest.mark.parametrize("types", [sqlite3.PARSE_DECLTYPES, sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES])
def test_a_converter_that_fails_is_an_error_of_the_script(tmp_path: Path, source: Path, types: int) -> None:
    """The ledgers are read all the same; a script that selects such a value fails, and is undone alone."""
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path, detect_types=types)) as connection:
        with pytest.raises(errors.ExecutionFailed) as failure:
            upgrade(connection, source)
        assert (failure.value.line, failure.value.reason) == (2, "OfHost()")
        assert Migrator(connection, source).status().installed[0].version == 1

    assert state_of(path) == ({"a"}, {"a"})


@pytest.mark.usefixtures("bad_converters")
@pytest.mark.parametrize(
    "script",
    [
        "-- no-transaction\nCREATE TABLE b (x);\nSELECT d FROM a;\n",
        "-- no-transaction\nCREATE TABLE b (x);\nBEGIN;\nSELECT d FROM a;\nCOMMIT;\n",
        "CREATE TABLE b (x);\nCOMMIT;\nSELECT d FROM a;\nBEGIN;\n",
        "-- no-transaction\nINSERT INTO a (d) VALUES (2) RETURNING d;\n",
        "-- foreign-keys: on\nSELECT d FROM a;\n",
    ],
)
def test_a_converter_that_fails_outside_a_transaction_is_an_error_too(
    tmp_path: Path, source: Path, script: str
) -> None:
    """Wherever the statement runs, the error names it."""
    (source / "2_b.sql").write_text(script)
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path, detect_types=sqlite3.PARSE_DECLTYPES)) as connection:
        with pytest.raises(errors.ExecutionFailed, match="OfHost") as failure:
            upgrade(connection, source)
        assert " d" in (failure.value.statement or "")
        assert [each.version for each in Migrator(connection, source).status().installed] == [1]


@pytest.mark.usefixtures("bad_converters")
def test_no_converter_is_asked_by_queries_of_our_own(tmp_path: Path) -> None:
    """All operations work on a database with keys, views, triggers, indexes and statistics, and a dead yoyo's lock."""
    files = {
        "1_a.sql": "CREATE TABLE a (x INTEGER PRIMARY KEY, d DATE, t TEXT, b BLOB);\n"
        "CREATE TABLE c (a INTEGER REFERENCES a, v VARCHAR);\n"
        "CREATE INDEX c_a ON c (a);\nCREATE VIEW w AS SELECT d FROM a;\n"
        "CREATE TRIGGER r AFTER INSERT ON c BEGIN UPDATE a SET d = 1; END;\n"
        "INSERT INTO a VALUES (1, '2', '3', '4');\nINSERT INTO c VALUES (1, 'x');\nANALYZE;\n",
        "1_a.rollback.sql": "DROP TABLE IF EXISTS c;\nDROP VIEW w;\nDROP TABLE a;\n",
        "2_b.sql": "DROP TABLE c;\nCREATE TABLE c (a INTEGER REFERENCES a, z TEXT);\nINSERT INTO c VALUES (1, 'y');\n",
        "2_b.rollback.sql": "-- no-transaction\nDROP TABLE c;\n",
    }
    source = tmp_path / "source"
    (source / "verify").mkdir(parents=True)
    for name, text in files.items():
        (source / name).write_text(text)
    (source / "verify" / "c.sql").write_text("-- name: by_a\n-- expect: c_a\nSELECT * FROM c WHERE a = 1;\n")
    with closing(sqlite3.connect(tmp_path / "x.db", detect_types=sqlite3.PARSE_DECLTYPES)) as connection:
        connection.execute("CREATE TABLE yoyo_lock (locked INT, ctime TIMESTAMP, pid INT NOT NULL)")
        connection.execute("INSERT INTO yoyo_lock VALUES (1, '2026-01-01', 999999999)")
        connection.commit()
        migrator = Migrator(connection, source, snapshot=tmp_path, on_loss="warn")
        migrator.upgrade(1)
        inspect_indexes(connection, source)
        optimize(connection)
        migrator.verify()
        assert migrator.rehearse().steps
        assert not migrator.round_trip().ok
        assert migrator.upgrade().applied == (2,)
        assert migrator.diagnose().as_text()
        migrator.repair(2, reason="a test")
        assert migrator.rehearse(0, operation="rollback").steps
        assert migrator.rollback(0).outcomes


@pytest.mark.skipif(sys.platform == "win32", reason="there is no setitimer")
@pytest.mark.parametrize("kind", ["function", "method", "object", "partial"])
def test_what_a_handler_raises_inside_a_converter_is_of_the_host(tmp_path: Path, source: Path, kind: str) -> None:
    """Whatever kind of callable the handler is, and wherever Python calls it."""

    class Handler:
        def handle(self, *_: object) -> None:
            raise OfHost

        def __call__(self, *_: object) -> None:
            raise OfHost

    def convert(_: bytes) -> None:
        signal.raise_signal(signal.SIGALRM)

    handler = {"function": fails, "method": Handler().handle, "object": Handler(), "partial": partial(fails, 1)}[kind]
    before, old = dict(CONVERTERS), signal.signal(signal.SIGALRM, handler)
    sqlite3.register_converter("DATE", convert)
    try:
        connection = sqlite3.connect(tmp_path / "x.db", detect_types=sqlite3.PARSE_DECLTYPES)
        with closing(connection), pytest.raises(OfHost):
            upgrade(connection, source)
    finally:
        signal.signal(signal.SIGALRM, old)
        CONVERTERS.clear()
        CONVERTERS.update(before)


def test_an_observer_that_closes_the_connection_gets_an_error_of_ours(tmp_path: Path, source: Path) -> None:
    """What was committed before it stays, and nothing else."""
    path = tmp_path / "x.db"
    connection = sqlite3.connect(path)
    with pytest.raises(errors.DatabaseFailed) as failure:
        Migrator(connection, source, group=0).upgrade(observer=lambda _: connection.close())

    assert failure.value.report is not None
    assert failure.value.report.applied == (1,)
    assert state_of(path) == ({"a"}, {"a"})


def test_threads_take_turns_on_a_lent_connection(tmp_path: Path) -> None:
    """Six threads with one Migrator on one connection: each migration is applied once, with its records."""
    before = dict(lent._turns)
    source, path = tmp_path / "source", tmp_path / "x.db"
    source.mkdir()
    for number in range(1, 21):
        (source / f"{number}_t{number}.sql").write_text(f"CREATE TABLE t{number} (x);\n")
    connection = sqlite3.connect(path, check_same_thread=False)
    migrator = Migrator(connection, source, group=0)
    with ThreadPoolExecutor(6) as pool:
        reports = [each.result() for each in [pool.submit(migrator.upgrade) for _ in range(6)]]
        listings = [each.result() for each in [pool.submit(migrator.status) for _ in range(6)]]
    connection.close()

    assert sorted(version for report in reports for version in report.applied) == list(range(1, 21))
    assert all(len(listing.installed) == 20 for listing in listings)
    assert lent._turns == before


def test_a_second_thread_waits_no_longer_than_it_may(tmp_path: Path, source: Path) -> None:
    """The error says that it is this process; the same thread may use the connection again in an observer."""
    connection = sqlite3.connect(tmp_path / "x.db", check_same_thread=False)
    failures: list[str] = []
    nested: list[int] = []

    def observe(_: object) -> None:
        with ThreadPoolExecutor(1) as pool:
            try:
                pool.submit(Migrator(connection, source, lock_timeout=0).status).result()
            except errors.LockTimeout as error:
                failures.append(error.holder)
        nested.append(len(Migrator(connection, source).status().installed))

    Migrator(connection, source, group=0).upgrade(observer=observe)
    connection.close()

    assert failures == ["another thread of this process"] * 2
    assert nested == [1, 2]


@pytest.mark.parametrize(
    ("error", "code", "busy"),
    [
        (sqlite3.OperationalError("database is locked"), 5, True),
        (sqlite3.OperationalError("database table is locked"), 6, False),
        (sqlite3.OperationalError('near "x": syntax error'), 1, False),
        (sqlite3.DatabaseError("not authorized"), 23, False),
        (sqlite3.DatabaseError("file is not a database"), 26, False),
        (sqlite3.DatabaseError("something"), None, False),
        (ValueError("database is locked"), None, False),
    ],
)
def test_a_driver_without_codes_is_understood_by_its_words(error: Exception, code: int | None, busy: bool) -> None:
    """pysqlite3 leaves SQLite's result code out of its errors."""
    assert code_of(error) == code
    assert is_busy(error) is busy  # type: ignore[arg-type]  # what is tested


# A driver whose module has no names of extended codes, and whose errors have no codes: as pysqlite3 is.
LESSER_DRIVER = """
import sqlite3, sys
try:
    import pysqlite3
    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2
    sqlite3 = pysqlite3
except ImportError:
    for name in ("BUSY_SNAPSHOT", "CONSTRAINT_FOREIGNKEY", "LOCKED_SHAREDCACHE", "READONLY_DBMOVED"):
        delattr(sqlite3, f"SQLITE_{name}")
import torc_migrations
from torc_migrations import errors
source, path = sys.argv[1:]
assert torc_migrations.upgrade(path, source).applied == (1, 2)
holder = sqlite3.connect(path, isolation_level=None)
holder.execute("CREATE VIEW v AS SELECT * FROM a")
key = "CREATE TABLE p (i PRIMARY KEY); CREATE TABLE k (i REFERENCES p (i)); INSERT INTO k VALUES (1);"
wrong = ("CREATE TABLE c (x); INSERT INTO nowhere VALUES (1);", key, "-- foreign-keys: on\\n" + key, "DROP TABLE a;")
for script in wrong:
    open(source + "/3_c.sql", "w").write(script)
    try:
        torc_migrations.upgrade(path, source)
    except errors.StepFailed as error:
        print(error)
holder.execute("BEGIN IMMEDIATE")
try:
    torc_migrations.upgrade(path, source, lock_timeout=0.2)
except errors.LockTimeout:
    print("locked")
holder.execute("ROLLBACK")
assert torc_migrations.rehearse(path, source, operation="rollback", target=2).as_text() is not None
"""


def test_another_driver_in_the_place_of_sqlite3_does(tmp_path: Path, source: Path) -> None:
    """Scripts that fail or break something, and a database that is locked, are what they are."""
    words = [sys.executable, "-c", LESSER_DRIVER, str(source), str(tmp_path / "x.db")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.replace("while executing migration 3: ", "").splitlines() == [
        "no such table: nowhere",
        "1 foreign key violation: row 1 of k points to no row of p",
        "FOREIGN KEY constraint failed",
        "view v worked before and does not any more: no such table: main.a",
        "locked",
    ], done.stderr


def test_a_connection_of_another_driver_is_refused_by_name(source: Path) -> None:
    """Its errors are none of `sqlite3`; sqlite_utils takes pysqlite3 where that is installed."""
    foreign = type("Connection", (), {"__module__": "pysqlite3.dbapi2", "cursor": None})()
    with pytest.raises(errors.UrlError, match="the connection is one of pysqlite3, and this package uses sqlite3"):
        upgrade(foreign, source)


@pytest.mark.parametrize(
    ("statement", "reason", "version", "hint"),
    [
        ("INSERT INTO a VALUES (1) RETURNING x", 'near "RETURNING": syntax error', (3, 34, 1), "3.35"),
        ("CREATE TABLE a (x INT) STRICT", "unknown table option: STRICT", (3, 31, 0), "3.37"),
        ("ALTER TABLE a DROP COLUMN x", 'near "DROP": syntax error', (3, 31, 0), "3.35"),
        ("ALTER TABLE a RENAME COLUMN x TO y", 'near "COLUMN": syntax error', (3, 22, 0), "3.25"),
        ("SELECT x -> 'y' FROM a", 'near ">": syntax error', (3, 37, 0), "3.38"),
        (
            "SELECT * FROM a FULL JOIN b",
            "RIGHT and FULL OUTER JOINs are not currently supported",
            (3, 38, 5),
            "3.39",
        ),
        ("SELECT unhex('00')", "no such function: unhex", (3, 40, 1), "3.41"),
        ("SELECT CONCAT('a', 'b')", "no such function: CONCAT", (3, 40, 1), "3.44"),
        ("CREATE VIRTUAL TABLE f ...", 'unrecognized option: "contentless_delete"', (3, 40, 1), "3.43"),
        ("CREATE VIRTUAL TABLE f ...", 'unrecognized option: "locale"', (3, 46, 0), "3.47"),
        ("CREATE VIRTUAL TABLE f ...", 'unrecognized option: "locale"', (3, 47, 0), None),
        ("CREATE VIRTUAL TABLE f ...", 'unrecognized option: "mine"', (3, 40, 1), None),
        ("CREATE VIRTUAL TABLE f ...", "no such tokenizer: trigram", (3, 31, 0), "3.34"),
        ("CREATE TRIGGER ... RAISE(ABORT, 'a' || new.x)", 'near "||": syntax error', (3, 40, 1), "3.47"),
        ("CREATE TRIGGER ... RAISE(ABORT, 'it''s') ENDE", 'near "ENDE": syntax error', (3, 40, 1), None),
        ("SELECT 1_000", 'unrecognized token: "1_000"', (3, 40, 1), "3.46"),
        ("SELECT 1_000, $", 'unrecognized token: "$"', (3, 40, 1), None),
        ("INSERT INTO a VALUES (1) RETURNING x,", 'near ",": syntax error', (3, 40, 1), None),
        ("SELECT mine(x)", "no such function: mine", (3, 31, 0), None),
        ("INSERT INTO a VALUES (1) RETURNING x", "no such table: a", (3, 31, 0), None),
    ],
)
def test_the_hint_names_the_version_that_a_statement_needs(
    statement: str, reason: str, version: tuple[int, ...], hint: str | None
) -> None:
    """Only where this SQLite is older, and the error is one of words that it does not know."""
    said = needed_version(statement, reason, version)

    assert said is None if hint is None else (f"SQLite {hint}" in str(said) and f"SQLite {version[0]}." in str(said))


FUNCTIONS = {
    "1_a.sql": "CREATE TABLE a (x CHECK (shout(x) = x));\nINSERT INTO a VALUES (shout('ab'));\n",
    "1_a.rollback.sql": "DROP TABLE a;\n",
}


def shouting(connection: sqlite3.Connection) -> None:
    """Register a function of an application."""
    connection.create_function("shout", 1, str.upper, deterministic=True)


@pytest.fixture
def shouted(tmp_path: Path) -> Path:
    """A migration that needs a function of its application."""
    directory = tmp_path / "shouted"
    directory.mkdir()
    for name, text in FUNCTIONS.items():
        (directory / name).write_text(text)
    (tmp_path / "app.py").write_text(
        "def register(connection):\n    connection.create_function('shout', 1, str.upper, deterministic=True)\n"
        "class Box:\n    register = staticmethod(register)\nnumber = 1\n"
        "def fails(connection):\n    raise RuntimeError('no')\n"
    )
    return directory


def test_functions_of_the_application_are_there_everywhere(tmp_path: Path, shouted: Path) -> None:
    """In the database, on copies, on empty databases, and on the copy of a lent connection's database."""
    path = tmp_path / "x.db"
    migrator = Migrator(path, shouted, functions=shouting)

    assert migrator.rehearse().steps
    assert migrator.round_trip().ok
    assert migrator.upgrade().applied == (1,)
    assert migrator.diagnose().as_text()
    assert migrator.rehearse(operation="rollback", target=0).steps
    with closing(sqlite3.connect(":memory:")) as connection:
        shouting(connection)
        lent = Migrator(connection, shouted, functions=shouting)
        assert lent.rehearse().steps
        assert lent.upgrade().applied == (1,)


def test_functions_that_fail_are_an_error_of_ours(tmp_path: Path, shouted: Path) -> None:
    """It is raised before anything is run, and names what was raised."""
    with pytest.raises(errors.CannotOpen, match="cannot be registered: OfHost"):
        upgrade(tmp_path / "x.db", shouted, functions=fails)
    with pytest.raises(TypeError, match="functions must be"):
        upgrade(tmp_path / "x.db", shouted, functions="app")  # type: ignore[arg-type]  # what is tested

    assert not (tmp_path / "x.db").exists()


def command(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a directory."""
    line = [sys.executable, "-P", "-m", "torc_migrations", "-d", "x.db", "-s", "shouted", *words]
    return subprocess.run(line, cwd=here, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.usefixtures("shouted")
def test_the_command_registers_functions(tmp_path: Path) -> None:
    """`--functions` is for every verb: without it the script fails."""
    named = ("--functions", "app:register")

    without = command(tmp_path, "rehearse")

    assert without.returncode == 6
    assert "--functions" in without.stderr
    for verb in ("rehearse", "upgrade", "doctor", "status", "indexes", "optimize"):
        done = command(tmp_path, verb, *named)
        assert done.returncode == 0, done.stderr
    assert command(tmp_path, "rehearse", "--round-trip", "--fresh", "--functions", "app:Box.register").returncode == 0


@pytest.mark.usefixtures("shouted")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--functions", "app"), "names no function"),
        (("--functions", "nowhere:register"), "cannot import 'nowhere:register': ModuleNotFoundError"),
        (("--functions", "app:none"), "cannot import 'app:none': AttributeError"),
        (("--functions", "app:number"), "'app:number' cannot be called"),
        (("--functions", "app:fails"), "cannot be registered: RuntimeError: no"),
        (("--load-extension", "nowhere.so"), "nowhere.so"),
    ],
)
def test_functions_that_cannot_be_registered_end_the_command(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    """The error says which, and no database is created."""
    done = command(tmp_path, "upgrade", *words)

    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert sentence in done.stderr or "cannot load extensions" in done.stderr
    assert not (tmp_path / "x.db").exists()


# Applies a script of 3,000 statements again and again, and lets an alarm raise at a random moment of it.
ALARMS = """
import random, signal, sqlite3, sys
from torc_migrations import upgrade
class OfHost(Exception): pass
fired = 0
def ring(*_):
    global fired
    fired += 1
    raise OfHost
signal.signal(signal.SIGALRM, ring)
upgrade(":memory:", sys.argv[1])  # what is loaded once: Python itself drops what is raised in some of its imports
for _ in range(400):
    fired, before, connection = 0, 0, sqlite3.connect(":memory:")
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.002, 0.012))
        upgrade(connection, sys.argv[1])
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert fired == 0
    except OfHost:
        signal.setitimer(signal.ITIMER_REAL, 0)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        recorded = "_sqlx_migrations" in tables and connection.execute("SELECT 1 FROM _sqlx_migrations").fetchall()
        assert bool(recorded) is ("many" in tables)
    connection.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no setitimer")
def test_what_a_handler_of_the_host_raises_comes_out_as_it_is(tmp_path: Path) -> None:
    """Also while SQLite asks the authorizer, whose exceptions the driver drops: never another one, and never none."""
    (tmp_path / "1_many.sql").write_text("CREATE TABLE many (x);\n" + "INSERT INTO many VALUES (1);\n" * 3000)
    words = [sys.executable, "-c", ALARMS, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)

    assert done.stderr == ""


# Writes so much in one transaction that pages are in the file already, and ends without a rollback.
KILLED_WRITER = """
import os, sqlite3, sys
path, mode = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None)
connection.execute(f"PRAGMA journal_mode = {mode}")
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE a SET x = 'killed'")
connection.executemany("INSERT INTO a VALUES (?, 1)", [("x" * 3000,)] * 200)
if mode == "WAL":
    connection.execute("COMMIT")
os._exit(0)
"""


@pytest.mark.parametrize(("mode", "suffix", "rows"), [("DELETE", "-journal", 1), ("WAL", "-wal", 201)])
def test_status_repairs_what_a_killed_writer_left(
    tmp_path: Path, source: Path, mode: str, suffix: str, rows: int
) -> None:
    """SQLite rolls back a transaction that was cut off, or moves a committed one into the file, for every reader."""
    path = tmp_path / "x.db"
    upgrade(path, source)
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path), mode], check=True, timeout=60)
    assert (tmp_path / f"x.db{suffix}").stat().st_size > 0

    listed = Migrator(path, source).status()

    assert [each.version for each in listed.installed] == [1, 2]
    assert not (tmp_path / f"x.db{suffix}").exists()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM a").fetchone() == (rows,)


def test_rows_that_were_not_read_are_named(tmp_path, folder):
    """An INSERT ... RETURNING has not ended before its last row was read; to wait for it does not help."""
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE a (x)")
        cursor = connection.execute("INSERT INTO a VALUES (1), (2) RETURNING x")
        cursor.fetchone()

        with pytest.raises(errors.DatabaseFailed, match="SQL statements in progress") as failure:
            upgrade(connection, folder({"1_b": "CREATE TABLE b (x);"}), lock_timeout=0)
        cursor.fetchall()
        report = upgrade(connection, folder({}))

    assert failure.value.hint is not None
    assert "read all of them, or close it" in failure.value.hint
    assert report.applied == (1,)


def test_a_run_inside_a_run_on_one_connection_is_refused(tmp_path: Path) -> None:
    """It would do what the outer run has planned, which cannot see that; to read the status is allowed."""
    source = Path(write_folder(tmp_path / "m", {"1_a": "CREATE TABLE a (x);", "2_b": "INSERT INTO a VALUES (1);"}))
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        migrator = Migrator(connection, source, group=0)
        seen = []

        with pytest.raises(errors.CannotOpen, match="is used by another operation of this thread") as failure:
            migrator.upgrade(observer=lambda _: seen.append(migrator.status().latest) or migrator.upgrade())

        assert seen == [1]
        assert failure.value.report.applied == (1,)
        assert migrator.upgrade().applied == (2,)
        assert connection.execute("SELECT count(*) FROM a").fetchone() == (1,)


@pytest.mark.parametrize(
    "disturb",
    [
        lambda connection: connection.set_authorizer(lambda *_: sqlite3.SQLITE_DENY),
        lambda connection: connection.set_progress_handler(lambda: 1, 1),
    ],
    ids=["authorizer", "progress handler"],
)
def test_what_an_observer_forbids_the_connection_is_an_error_of_ours(tmp_path: Path, disturb) -> None:
    """The connection cannot be given back as it was, and the first error is the one that is raised."""
    source = write_folder(tmp_path / "m", {"1_a": "CREATE TABLE a (x);", "2_b": "CREATE TABLE b (x);"})
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        with pytest.raises(errors.DatabaseFailed) as failure:
            Migrator(connection, source, group=0).upgrade(observer=lambda _: disturb(connection))

        assert failure.value.report.applied == (1,)
    assert upgrade(tmp_path / "app.db", source).applied == (2,)
