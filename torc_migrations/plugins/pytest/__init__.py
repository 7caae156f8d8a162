"""The pytest plugin: databases that are migrated once and copied for each test, and tests of the migrations themselves.

pytest imports this file at every start. It is installed as the package `pytest_torc_migrations`, because as a part of
`torc_migrations` it would import that too, which is imported when a fixture or a check is used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import sqlite3

    from torc_migrations.plugins.server_templates import MigratedUrlAt, ServerTemplates
    from torc_migrations.plugins.templates import MigratedAt, Templates

_SOURCE, _TESTS, _IRREVERSIBLE = "torc_migrations_source", "torc_migrations_tests", "torc_migrations_irreversible"
_USUAL_SOURCE = "migrations"
_SERVER = "torc_migrations_server"
_BASE, _DATABASE, _QUERIES = "torc_migrations_base", "torc_migrations_database", "torc_migrations_queries"
_COPIES = pytest.StashKey[list[str]]()
_HAS_FAILED = pytest.StashKey[bool]()
_KEPT = pytest.StashKey[set[str]]()
_OUTPUT = "torc_migrations_kept"  # what a worker of pytest-xdist hands over at its end


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the settings."""
    group = parser.getgroup("torc-migrations", "migrated databases")
    group.addoption(
        "--migrations-keep", action="store_true", help="keep the database of every test, not only of those that fail"
    )
    parser.addini(_SOURCE, "directories of migrations, or package:NAME:DIRECTORY", type="args", default=[_USUAL_SOURCE])
    parser.addini(
        _SERVER, "the URL of a database of a server, on which each test gets a database of its own; $NAME is a variable"
    )
    parser.addini(_TESTS, "collect tests of the migrations themselves", type="bool", default=False)
    parser.addini(_IRREVERSIBLE, "a migration may lack a down script", type="bool", default=False)
    parser.addini(_BASE, "a commit of git; lint looks at migrations that it does not have")
    parser.addini(_DATABASE, "the URL of a database whose schema is compared with the migrations; $NAME is a variable")
    parser.addini(_QUERIES, "the file with the queries of the previous release")


def pytest_configure(config: pytest.Config) -> None:
    """Collect the directories of migrations too, unless the command line names what to collect."""
    config.stash[_KEPT] = set[str]()
    if config.getini(_TESTS):
        from torc_migrations.plugins.collected import Checks, Settings

        queries = config.getini(_QUERIES)
        settings = Settings(
            irreversible=bool(config.getini(_IRREVERSIBLE)),
            base=config.getini(_BASE) or None,
            database=_address(config, _DATABASE),
            queries=_resolved(queries, config) if queries else None,
        )
        checks = Checks(_sources(config), settings)
        config.pluginmanager.register(checks, "torc_migrations_checks")
        if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
            config.args += [path for path in checks.places if path not in config.args]


@pytest.fixture(scope="session")
def migrations_source(pytestconfig: pytest.Config) -> Any:
    """The source of the migrations: that of the setting `torc_migrations_source`. Override it for another one."""
    sources = _sources(pytestconfig)
    return sources[0] if len(sources) == 1 else sources


@pytest.fixture(scope="session")
def migrations_options() -> dict[str, Any]:
    """The options of `Migrator`: none. Override it for others."""
    return {}


@pytest.fixture(scope="session")
def migrations_server(pytestconfig: pytest.Config) -> str | None:
    """The server for the databases: that of the setting `torc_migrations_server`, or None for SQLite files."""
    return _address(pytestconfig, _SERVER)


@pytest.fixture(scope="session")
def _migrations_templates(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    migrations_source: Any,
    migrations_options: dict[str, Any],
) -> Templates:
    from torc_migrations.plugins.templates import Templates

    directory = _template_directory(pytestconfig, tmp_path_factory)
    return Templates(str(directory), migrations_source, migrations_options)


@pytest.fixture(scope="session")
def _migrations_on_server(
    migrations_server: str, migrations_source: Any, migrations_options: dict[str, Any]
) -> ServerTemplates:
    from torc_migrations.plugins.server_templates import ServerTemplates

    return ServerTemplates(migrations_server, migrations_source, migrations_options)


@pytest.fixture(scope="session")
def _migrations_paths(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that returns a new path for the test with a name."""
    directory, numbers = tmp_path_factory.mktemp("migrated"), count()
    return lambda name: directory / f"{re.sub(r'[^0-9A-Za-z]+', '_', name)[:60]}-{next(numbers)}.db"


@pytest.fixture
def _new_copy(
    request: pytest.FixtureRequest, _migrations_templates: Templates, _migrations_paths: Callable[[str], Path]
) -> Iterator[Callable[[int | None], Path]]:
    """A function that copies the template at a version; the copies of a test that does not fail are removed."""
    from torc_migrations.plugins.templates import remove_database

    copies: list[str] = []
    request.node.stash[_COPIES] = copies

    def new_copy(version: int | None) -> Path:
        path = _migrations_paths(request.node.name)
        _migrations_templates.copy(str(path), version)
        copies.append(str(path))
        return path

    yield new_copy
    _end_use(request, copies, {str(Path(copy).parent) for copy in copies}, remove_database)


@pytest.fixture
def _new_on_server(
    request: pytest.FixtureRequest, _migrations_on_server: ServerTemplates
) -> Iterator[Callable[[int | None], str]]:
    """A function that creates a database on the server; those of a test that does not fail are removed."""
    from torc_migrations.formatting import masked

    urls: list[str] = []
    names: list[str] = []  # for reports
    request.node.stash[_COPIES] = names

    def new_database(version: int | None) -> str:
        urls.append(_migrations_on_server.create(version))
        names.append(masked(urls[-1]))
        return urls[-1]

    yield new_database
    _end_use(request, urls, set(names), _migrations_on_server.remove)


def _end_use(
    request: pytest.FixtureRequest, databases: list[str], places: set[str], remove: Callable[[str], object]
) -> None:
    """Remove the databases of a test, or keep them and note their places."""
    if request.config.getoption("--migrations-keep"):
        request.config.stash[_KEPT].update(places)
    elif not request.node.stash.get(_HAS_FAILED, False):
        for database in databases:
            remove(database)


@pytest.fixture
def migrated_database(request: pytest.FixtureRequest, migrations_server: str | None) -> Path | str:
    """The path of an SQLite file of this test's own, or the URL of its database on the server, with every migration."""
    new: Callable[[int | None], Path | str] = request.getfixturevalue(
        "_new_copy" if migrations_server is None else "_new_on_server"
    )
    return new(None)


@pytest.fixture
def migrated_memory(_migrations_templates: Templates) -> Iterator[sqlite3.Connection]:
    """A connection to a database in memory of this test's own, with every migration installed."""
    connection = _migrations_templates.load()
    yield connection
    connection.close()


@pytest.fixture
def migrated_at(
    request: pytest.FixtureRequest, migrations_server: str | None
) -> Iterator[Callable[[int], MigratedAt | MigratedUrlAt]]:
    """A function that returns a database of this test's own at a version, to fill and then to upgrade."""
    opened: list[MigratedAt | MigratedUrlAt] = []

    def in_file(version: int) -> MigratedAt:
        from torc_migrations.plugins.templates import MigratedAt

        path = request.getfixturevalue("_new_copy")(version)
        migrator = request.getfixturevalue("_migrations_templates").migrator(str(path))
        opened.append(database := MigratedAt(path, migrator))
        return database

    def on_server(version: int) -> MigratedUrlAt:
        from torc_migrations.plugins.server_templates import MigratedUrlAt

        url = request.getfixturevalue("_new_on_server")(version)
        migrator = request.getfixturevalue("_migrations_on_server").migrator(url)
        opened.append(database := MigratedUrlAt(url, migrator))
        return database

    request.getfixturevalue("_new_copy" if migrations_server is None else "_new_on_server")
    yield in_file if migrations_server is None else on_server
    for database in opened:
        database.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the databases of a test that fails, and name them in its report."""
    report = yield
    copies = item.stash.get(_COPIES, [])
    if report.failed and copies:
        item.stash[_HAS_FAILED] = True
        report.sections.append(("migrated database", "\n".join(f"kept as {path}" for path in copies)))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over, in a worker of pytest-xdist, which directories it has kept."""
    if hasattr(session.config, "workeroutput"):
        kept = session.config.stash[_KEPT]
        session.config.workeroutput[_OUTPUT] = sorted(kept)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over which directories a worker of pytest-xdist has kept."""
    node.config.stash[_KEPT].update(getattr(node, "workeroutput", {}).get(_OUTPUT, ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the directories of the databases that `--migrations-keep` keeps."""
    kept = config.stash[_KEPT]
    for directory in sorted(kept):
        terminalreporter.write_line(f"migrated databases are kept in {directory}")


def _sources(config: pytest.Config) -> list[str]:
    """Return the sources that the settings name; an empty setting is none."""
    return [_resolved(source, config) for source in config.getini(_SOURCE) or [_USUAL_SOURCE]]


def _address(config: pytest.Config, setting: str) -> str | None:
    """Return the URL in a setting, with the values of its variables, or None where there is none.

    Raises:
        UsageError: a variable is not set.
    """
    written = str(config.getini(setting))
    for name in re.findall(r"\$\{?(\w+)", written):
        if name not in os.environ:
            raise pytest.UsageError(f"{setting} names the environment variable {name}, which is not set; %24 is a $")
    return os.path.expandvars(written) or None


def _resolved(source: str, config: pytest.Config) -> str:
    """Return a source of the settings, whose paths are relative to the root directory of the tests."""
    return source if source.startswith("package:") else str(config.rootpath / source)


def _template_directory(config: pytest.Config, factory: pytest.TempPathFactory) -> Path:
    """Return a directory that the workers share: in pytest's cache, or without a cache in the directory of this run."""
    cache = getattr(config, "cache", None)
    if cache is not None and not config.getoption("--cache-clear", False):
        try:
            directory: Path = cache.mkdir("torc_migrations")
        except OSError:  # the directory of the tests cannot be written
            pass
        else:
            return directory
    base = factory.getbasetemp()
    shared = base.parent if hasattr(config, "workerinput") else base
    directory = shared / "torc_migrations"
    directory.mkdir(exist_ok=True)
    return directory
