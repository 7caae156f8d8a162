"""A library is a guest: whatever its host has set up, it finds again."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import closing

import pytest
from database_under_test import PATIENCE, SQLiteUnderTest, command, environment, ladder, python, sized

from torc_migrations import Migrator, errors, rollback, upgrade

# Does everything once, and compares what a process has of its own before and after.
TOUR = """
import gc, io, locale, logging, os, signal, sqlite3, sys, threading, warnings
path, source = sys.argv[1:]

def state():
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals() if number}
    loggers = [(name, logger.handlers, logger.level, logger.propagate, logger.disabled)
               for name, logger in sorted(logging.root.manager.loggerDict.items())
               if isinstance(logger, logging.Logger) and not name.startswith(("yoyo", "torc_migrations"))]
    umask = os.umask(0o22)
    os.umask(umask)
    return {
        "signals": handlers,
        "logging": (logging.root.handlers[:], logging.root.level, logging.getLogRecordFactory(), loggers),
        "warnings": (warnings.filters[:], warnings.showwarning),
        "locale": locale.setlocale(locale.LC_ALL),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": umask,
        "threads": threading.active_count(),
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook, sys.gettrace(), sys.getprofile()),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "sqlite3": (dict(sqlite3.adapters), dict(sqlite3.converters), sqlite3.paramstyle),
        "recursion": sys.getrecursionlimit(),
        "files": sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else [],
    }

import pathlib, torc_migrations.ledgers.yoyo  # what is loaded once stays
from torc_migrations import Migrator, apply, errors, rollback, status, upgrade
before = state()
upgrade(path, source)
status(path, source)
rollback(path, source, target=0)
apply(path, source, versions=[1])
try:
    upgrade(path, source, target=9)
except errors.VersionNotPresent:
    pass
upgrade(pathlib.Path(path), source)
upgrade(":memory:", source)
status(path + ".missing", source)
gc.collect()
after = state()
for name in before:
    assert before[name] == after[name], (name, before[name], after[name])
"""


def test_host_finds_everything_as_it_was(sqlite: SQLiteUnderTest, folder):
    """Logging, signals, warnings, locale, environment, streams, open files: all are the host's, and stay so."""
    assert python(TOUR, sqlite.path, folder(ladder(3))) == ""


def test_nothing_warns(sqlite: SQLiteUnderTest, folder):
    """With every warning an error, and Python's development mode watching for leaks, all goes well in silence."""
    assert python(TOUR, sqlite.path, folder(ladder(3)), options=["-W", "error", "-X", "dev"]) == ""


@pytest.mark.parametrize(
    "poison",
    [
        {"LANG": "xx_YY.nonsense", "LC_ALL": "tlh"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONOPTIMIZE": "2"},
        {"TZ": "Pacific/Kiritimati"},
        {"TMPDIR": "/nonexistent", "SQLITE_TMPDIR": "/nonexistent", "HOME": "/nonexistent"},
    ],
)
def test_environment_of_the_process_does_not_matter(sqlite: SQLiteUnderTest, folder, poison):
    """Whatever the locale, the time zone or the optimisation, the same is done, and times are UTC."""
    source = folder({**ladder(1), "2_signs": 'CREATE TABLE "ö東" (x);\nINSERT INTO "ö東" VALUES (\'🚀\');'})
    code = "import sys, torc_migrations\nprint(torc_migrations.upgrade(*sys.argv[1:]).applied)"

    assert python(code, sqlite.path, source, env=environment(**poison)) == "(1, 2)\n"
    assert sqlite.execute('SELECT x FROM "ö東"') == [("🚀",)]
    late = "SELECT abs(strftime('%s', installed_on) - strftime('%s', 'now')) > 600 FROM _sqlx_migrations"
    assert set(sqlite.execute(late)) == {(0,)}


@pytest.mark.skipif(os.name != "posix", reason="a shell closes the streams")
def test_closed_standard_streams_do_not_matter(sqlite: SQLiteUnderTest, folder):
    """A daemon has neither input nor output; and no database may become file number 1."""
    code = "import sys, torc_migrations\ntorc_migrations.upgrade(*sys.argv[1:])"
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command(code, sqlite.path, folder(ladder(2)))],
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode == 0
    assert sqlite.ledgers().agreed == (1, 2)


def test_log_tells_each_step_and_nothing_else_at_info(sqlite: SQLiteUnderTest, folder, caplog):
    """At INFO the log has a line for each step; statements are for DEBUG."""
    source = folder(ladder(2))
    with caplog.at_level(logging.INFO, logger="torc_migrations"):
        upgrade(sqlite.path, source)
        rollback(sqlite.path, source)

    ours = [record.getMessage() for record in caplog.records if record.name == "torc_migrations"]
    assert [line.rpartition(" in ")[0] for line in ours] == [
        "applied 1_make_t1",
        "applied 2_make_t2",
        "rolled back 2_make_t2",
    ]


def test_log_tells_each_statement_at_debug(sqlite: SQLiteUnderTest, folder, caplog):
    """At DEBUG each statement of a script is told with its time, without the comments before it."""
    with caplog.at_level(logging.DEBUG, logger="torc_migrations"):
        upgrade(sqlite.path, folder({"1_a": "-- why\nCREATE TABLE a (x); -- so\n/* é */ INSERT INTO a VALUES ('🚀')"}))

    told = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert [line.rpartition(" (")[0] for line in told] == ["CREATE TABLE a (x);", "INSERT INTO a VALUES ('🚀')"]


def test_database_that_is_ahead_is_warned_about_once(sqlite: SQLiteUnderTest, folder, caplog):
    """An older release that starts again says in its log that the database is newer, and goes on."""
    upgrade(sqlite.path, folder(ladder(3)))
    for name in ("3_make_t3.sql", "3_make_t3.rollback.sql"):
        os.remove(os.path.join(folder({}), name))
    with caplog.at_level(logging.WARNING, logger="torc_migrations"):
        assert upgrade(sqlite.path, folder({})).applied == ()

    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    with pytest.raises(errors.VersionMissing):
        Migrator(sqlite.path, folder({}), on_newer="refuse").upgrade()


def test_migrator_does_nothing_until_it_is_asked(tmp_path, monkeypatch):
    """Making a Migrator reads no file and opens no database: what is wrong with either shows when it is used."""
    migrator = Migrator("postgresql://u:secret@h/x", tmp_path / "nowhere")

    with pytest.raises(errors.MigrationError) as failure:
        migrator.status()
    assert "secret" not in str(failure.value)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how much memory was needed at most")
def test_large_script_needs_little_memory(sqlite: SQLiteUnderTest, folder):
    """A script of many statements is held once, as bytes, and decoded one statement at a time."""
    code = (
        "import sys, torc_migrations.ledgers.yoyo\n"
        "def most():\n"  # of this program; what getrusage() tells begins with what its parent needed
        "    return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "before = most()\n"
        "torc_migrations.upgrade(*sys.argv[1:])\n"
        "print((most() - before) * 1024)"
    )
    line = f"INSERT INTO a VALUES ('{'🚀' * 20}');\n"
    script = "CREATE TABLE a (x);\n" + line * (sized(16_000_000, 100_000_000) // len(line.encode()))

    needed = int(python(code, sqlite.path, folder({"1_large": script})))

    assert needed < 2.5 * len(script.encode())
    with closing(sqlite.connect()) as connection:
        assert connection.execute("SELECT count(*) FROM a").fetchone() == (script.count("INSERT"),)


def test_another_driver_in_the_place_of_pythons_is_used(sqlite: SQLiteUnderTest, folder):
    """Some hosts put a newer SQLite under the name of `sqlite3`; every module uses that one then."""
    code = (
        "import sys, sqlite3, types\n"
        "class Connection(sqlite3.Connection): pass\n"
        "def connect(*words, **options): return sqlite3.connect(*words, factory=Connection, **options)\n"
        "other = types.ModuleType('sqlite3')\n"
        "other.__dict__.update({**vars(sqlite3), 'Connection': Connection, 'connect': connect})\n"
        "sys.modules['sqlite3'] = other\n"
        "from torc_migrations import status, upgrade\n"
        "from torc_migrations.databases.sqlite.opening import open_database\n"
        "path, source = sys.argv[1:]\n"
        "upgrade(path, source, target=1)\n"
        "lent = connect(path)\n"
        "upgrade(lent, source)\n"
        "with open_database(path, lock_timeout=0) as database:\n"
        "    print(type(database.connection) is Connection, status(path, source).clean)\n"
    )

    assert python(code, sqlite.path, folder(ladder(2))) == "True True\n"
