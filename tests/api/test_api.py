"""The package as a library: its names and signatures, what importing it costs, and what it leaves alone."""

from __future__ import annotations

import inspect
import pydoc
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import NEWEST, ROOT, Torc, python, run, write_files

import torc_migrations
from torc_migrations import Migrator, errors
from torc_migrations.options.keywords import Options

PUBLIC = (
    "AsyncMigrator",
    "Conversion",
    "migrated",
    "Fleet",
    "wait",
    "Finding",
    "MigrationError",
    "Migrator",
    "Rehearsal",
    "Report",
    "RoundTrip",
    "ServerOptions",
    "Status",
    "__version__",
    "apply",
    "convert",
    "errors",
    "rehearse",
    "restore",
    "rollback",
    "round_trip",
    "status",
    "upgrade",
    "verify",
)
FUNCTIONS = tuple(
    getattr(torc_migrations, name)
    for name in ("upgrade", "rollback", "apply", "status", "rehearse", "round_trip", "verify")
)

# Loading any of these costs more than an upgrade with nothing to do may take.
NOT_LOADED = {
    "asyncio",
    "click",
    "configparser",
    "dotenv",
    "sqlite_utils",
    "sqlparse",
    "subprocess",
    "tabulate",
    "yoyo",
}

STATE_OF_THE_PROCESS = (
    "import io, locale, logging, os, signal, sqlite3, sys, threading, warnings",
    "def state():",
    "    loggers = {name: (log.level, list(log.handlers), log.propagate) for name, log in",
    "        logging.root.manager.loggerDict.items() if isinstance(log, logging.Logger) and log.handlers}",
    "    return {",
    "        'logging': (logging.root.level, list(logging.root.handlers), loggers, logging.raiseExceptions),",
    "        'signals': {number: signal.getsignal(number) for number in signal.valid_signals()},",
    "        'wakeup': signal.set_wakeup_fd(-1),",
    "        'streams': (sys.stdin, sys.stdout, sys.stderr, sys.excepthook),",
    "        'environment': dict(os.environ), 'folder': os.getcwd(), 'umask': (os.umask(0o22), os.umask(0o22))[0],",
    "        'adapters': dict(sqlite3.adapters), 'converters': dict(sqlite3.converters),",
    "        'warnings': list(warnings.filters), 'locale': locale.setlocale(locale.LC_ALL),",
    "        'threads': threading.active_count(), 'path': list(sys.path),",
    "    }",
)


def test_the_public_names_are_these() -> None:
    """What `from torc_migrations import *` gives is what the README names."""
    assert sorted(torc_migrations.__all__) == sorted(PUBLIC)
    assert all(hasattr(torc_migrations, name) for name in PUBLIC)


def test_classes_of_results_are_loaded_when_they_are_asked_for() -> None:
    """Every public name is there for `dir()`; an unknown one is an AttributeError, as for any module."""
    assert set(PUBLIC) <= set(dir(torc_migrations))
    assert torc_migrations.Rehearsal.__name__ == "Rehearsal"
    assert torc_migrations.MigrationError is errors.MigrationError
    with pytest.raises(AttributeError, match="has no attribute 'Rehearsel'"):
        _ = torc_migrations.Rehearsel


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        ("upgrade", "(database, source=None, *, target=None, atomic=False, **options)"),
        ("rollback", "(database, source=None, *, target=None, steps=None, atomic=False, **options)"),
        ("apply", "(database, source=None, *, versions, **options)"),
        ("status", "(database, source=None, **options)"),
        (
            "rehearse",
            "(database, source=None, *, operation='upgrade', target=None, atomic=False, steps=None, **options)",
        ),
        ("round_trip", "(database=None, source=None, *, allow_irreversible=False, **options)"),
        ("verify", "(database=None, source=None, *, fresh=False, **options)"),
        ("convert", "(directory, output=None, *, layout='yoyo', partial=False)"),
        ("restore", "(database, snapshot, *, lock_timeout=10.0)"),
    ],
)
def test_the_functions_take_what_is_documented(function: str, signature: str) -> None:
    """Two positions, everything else by keyword."""
    taken = inspect.signature(getattr(torc_migrations, function))
    bare = taken.replace(
        parameters=[p.replace(annotation=inspect.Parameter.empty) for p in taken.parameters.values()],
        return_annotation=inspect.Signature.empty,
    )

    assert str(bare) == signature


def test_the_options_of_the_functions_are_those_of_the_migrator() -> None:
    """Each keyword of Migrator is an option, and each option is a keyword of Migrator."""
    parameters = inspect.signature(Migrator).parameters.values()
    keywords = {each.name: each.annotation for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}

    assert {name: each.__forward_arg__ for name, each in Options.__annotations__.items()} == keywords


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_function_takes_every_option(here: Path, migrations: Path, function: Callable[..., object]) -> None:
    """Whatever Migrator takes is taken by the functions, also where it changes nothing."""
    options: Options = {
        "lock_timeout": 10.0,
        "ignore_missing": True,
        "on_newer": "refuse",
        "migration_table": "yoyo_ledger",
        "sqlx_table": "sqlx_ledger",
        "ignored_chars": " ",
        "strict": True,
        "snapshot": True,
        "keep": 1,
        "on_loss": "refuse",
        "foreign_keys": {3: "on"},
        "allow_broken_schema": True,
    }
    torc_migrations.upgrade(here / "app.db", migrations, target=2, **options)
    own = {"versions": [3]} if function is torc_migrations.apply else {}
    source = migrations if function is not torc_migrations.verify else torc_migrations.__path__[0] + "/../sql"

    function(here / "app.db", source, **own, **options)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_the_migrators_methods_mirror_the_functions(function: Callable[..., object]) -> None:
    """What a function takes besides is taken by the method of the same name, with the same defaults."""
    own = dict(inspect.signature(function).parameters)
    of_method = inspect.signature(getattr(Migrator, function.__name__)).parameters

    for name in own.keys() - {"database", "source", "options"}:
        assert (name, of_method[name].default) == (name, own[name].default) or name == "versions"
    assert inspect.signature(function).return_annotation == (
        inspect.signature(getattr(Migrator, function.__name__)).return_annotation
    )


@pytest.mark.parametrize("name", [function.__name__ for function in FUNCTIONS])
def test_every_function_says_what_it_promises_and_raises(name: str) -> None:
    """A docstring of the function and of the method begins with a sentence, and has its `Raises:`."""
    for place in (torc_migrations, Migrator):
        text = inspect.getdoc(getattr(place, name)) or ""

        assert text.splitlines()[0].endswith((".", ";", ","))
        assert "Raises:\n" in text


def test_everything_public_is_documented_and_typed() -> None:
    """No public name lacks a docstring, and no function an annotation."""
    for name, value in vars(torc_migrations).items():
        if name in PUBLIC and name != "__version__":
            assert inspect.getdoc(value), name
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.MigrationError):
            assert inspect.getdoc(kind), kind
    for function in FUNCTIONS:
        parameters = inspect.signature(function).parameters.values()
        assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters)
    assert "torc_migrations" in pydoc.plain(pydoc.render_doc(torc_migrations))


def test_the_examples_of_the_design_work(here: Path, migrations: Path) -> None:
    """The functions and the methods do the same, and return what they did."""
    database = here / "app.db"

    before = torc_migrations.status(database, migrations)
    report = torc_migrations.upgrade(f"sqlite:///{database}", str(migrations), target=2)
    applied = torc_migrations.apply(database, migrations, versions=[3])
    migrator = Migrator(database, migrations)

    assert [m.version for m in before.pending] == [1, 2, 3]
    assert (report.applied, applied.applied) == ((1, 2), (3,))
    assert migrator.status().clean
    assert migrator.rollback(0).applied == (3, 2, 1)
    assert torc_migrations.rollback(database, migrations).applied == ()
    assert migrator.upgrade().applied == (1, 2, 3)


def test_an_upgrade_with_nothing_to_do_loads_next_to_nothing(torc: Torc, here: Path) -> None:
    """The import, and an upgrade of the shipped schema that finds nothing to do, load no library but the driver."""
    torc("-d", "app.db", "--torc", "upgrade")
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules)",
        "from torc_migrations import upgrade",
        "imported = set(sys.modules) - before",
        "assert upgrade('sqlite:///app.db').outcomes == ()",
        "print(*sorted(imported), '|', *sorted(set(sys.modules) - before))",
    )
    words = [sys.executable, "-S", "-c", "\n".join(script)]  # without site, which loads things on others' behalf

    result = run(words, here)

    assert result.status == 0, result.err
    imported, _, loaded = result.out.partition("|")
    assert NOT_LOADED & set(imported.split()) == set()
    assert NOT_LOADED & set(loaded.split()) == set()


@pytest.mark.parametrize(
    "deed",
    [
        "torc_migrations.upgrade('app.db', 'migrations')",
        "torc_migrations.status('app.db', 'migrations')",
        "torc_migrations.upgrade('app.db', 'migrations'); torc_migrations.rollback('app.db', 'migrations', target=0)",
        "torc_migrations.apply('app.db', 'migrations', versions=[2])",
        "torc_migrations.upgrade(sqlite3.connect(':memory:', isolation_level=None), 'migrations')",
        "fails(lambda: torc_migrations.upgrade('app.db', 'boom'))",
        "fails(lambda: torc_migrations.upgrade('app.db', 'gone'))",
        "fails(lambda: torc_migrations.upgrade('postgresql://u:p@h/d', 'migrations'))",
    ],
)
def test_the_library_leaves_its_host_alone(here: Path, migrations: Path, deed: str) -> None:
    """Logging, signals, streams, environment, threads and sqlite3's adapters are as before; nothing is printed."""
    write_files(here / "boom", {"1_boom.sql": "SELECT FROM;\n"})
    script = python(
        *STATE_OF_THE_PROCESS,
        "import torc_migrations",
        "def fails(deed):",
        "    try: deed()",
        "    except torc_migrations.errors.MigrationError: return",
        "    raise AssertionError",
        "before = state()",
        deed,
        "after = state()",
        "changed = [name for name in before if before[name] != after[name]]",
        "sys.exit(f'changed: {changed}' if changed else 0)",
    )

    result = run(script, here)

    assert (result.status, result.out, result.err) == (0, "", "")


def test_the_yoyo_backend_leaves_its_host_alone(here: Path, migrations: Path) -> None:
    """Through yoyo's interface as well, no adapter is registered for the whole process, as yoyo's own does."""
    script = python(
        *STATE_OF_THE_PROCESS,
        "import yoyo, yoyo.scripts.newmigration",
        "migrations = yoyo.read_migrations('migrations')",
        "before = state()",
        "backend = yoyo.get_backend('torc+sqlite:///app.db')",
        "with backend.lock(): backend.apply_migrations(backend.to_apply(migrations))",
        "after = state()",
        "changed = [name for name in before if before[name] != after[name]]",
        "sys.exit(f'changed: {changed}' if changed else 0)",
    )

    result = run(script, here)

    assert (result.status, result.out, result.err) == (0, "", "")


def test_a_host_that_logs_sees_what_is_done(here: Path, migrations: Path) -> None:
    """The library logs to `torc_migrations`, and where it goes is the host's decision."""
    script = python(
        "import logging, torc_migrations",
        "logging.basicConfig(level=logging.INFO, format='%(name)s %(levelname)s %(message)s')",
        "torc_migrations.upgrade('app.db', 'migrations', target=1)",
    )

    result = run(script, here)

    assert result.out == ""
    assert "torc_migrations INFO applied 0001_create_book in " in result.err


def test_running_the_command_in_process_returns_the_status(here: Path, migrations: Path) -> None:
    """`main()` takes the words and returns the exit status; it ends no process but for help and version."""
    script = python(
        "import sys",
        "from torc_migrations.cli import main",
        "codes = [main(['-d', 'app.db', 'upgrade']), main(['-d', 'app.db', 'upgrade', '--target', '9']), main(['x'])]",
        "print(codes)",
    )

    result = run(script, here)

    assert result.lines.splitlines()[-1] == "[0, 4, 2]"


def test_the_newest_shipped_version_is_in_the_changelog() -> None:
    """The index migration is announced by its name."""
    assert f"{NEWEST}_add_database_indexes" in (ROOT / "CHANGELOG.md").read_text()
