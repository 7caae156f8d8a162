"""The recipes for Celery, Django, Alembic, a container and Datasette, as real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from recipe_programs import PATIENCE, check_once
from shell import COMMAND, COMMANDS, Result, environment, installed, query, run, tables, write_files

BAD = {"0005_bad.sql": "SELECT FROM;\n"}
CELERY = [str(COMMANDS / "celery"), "--app", "celery_tasks"]
ALEMBIC = str(COMMANDS / "alembic")
MANAGE = [sys.executable, "manage.py"]


def spawn(words: list[str], project: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a program whose output goes to a file."""
    with log.open("w") as output:
        return subprocess.Popen(words, cwd=project, env=_environment(project), stdout=output, stderr=output)


def wait_until(reached: Callable[[], bool], processes: list[subprocess.Popen[bytes]], logs: list[Path]) -> None:
    """Wait for something that living processes bring about."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        ended = [process.poll() for process in processes]
        assert set(ended) == {None}, [log.read_text() for log in logs]
        assert time.monotonic() < deadline, [log.read_text() for log in logs]
        time.sleep(0.1)


def perform(words: list[str], project: Path) -> Result:
    """Run a program to its end, however long it takes to start."""
    done = subprocess.run(
        words, cwd=project, env=_environment(project), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return Result(done.returncode, done.stdout, done.stderr)


def _environment(project: Path) -> dict[str, str]:
    url = {"DATABASE_URL": "sqlite:///app.db", "PATH": f"{COMMANDS}:/usr/local/bin:/usr/bin:/bin"}
    return environment(project, {"PYTHONPATH": str(project), **url})


@pytest.mark.slow
def test_two_workers_of_celery(project: Path) -> None:
    """A task that was sent before finds its table; one worker applies the migrations."""
    (project / "queue").mkdir()
    sent = perform([*CELERY, "call", "celery_tasks.add_book", "--args", '["Persuasion"]'], project)
    logs = [project / f"log{number}" for number in range(2)]
    words = [*CELERY, "worker", "--concurrency", "2", "--loglevel", "INFO", "--hostname"]
    processes = [spawn([*words, f"{log.name}@here"], project, log) for log in logs]
    try:
        wait_until(lambda: all("ready." in log.read_text() for log in logs), processes, logs)
        titles = "SELECT title FROM book WHERE title <> 'Emma'"
        wait_until(lambda: query(project / "app.db", titles) == [("Persuasion",)], processes, logs)
    finally:
        for process in processes:
            process.terminate()
        ended = [process.wait(timeout=PATIENCE) for process in processes]

    assert sent.status == 0, sent.err
    assert ended == [0, 0]
    assert not any("Traceback" in log.read_text() for log in logs)
    check_once(project)


@pytest.mark.slow
def test_a_worker_of_celery_does_not_start_on_a_database_that_is_not_migrated(project: Path) -> None:
    """It ends with the status of the error, which Celery itself would only log."""
    write_files(project / "migrations", BAD)
    result = perform([*CELERY, "worker", "--concurrency", "2", "--loglevel", "INFO"], project)

    assert result.status == 6
    assert "error: while executing migration 5" in result.err
    assert "ready." not in result.out + result.err
    check_once(project)


@pytest.mark.slow
def test_django_beside_its_own_migrations(project: Path) -> None:
    """`migrate` runs both, twice without harm; Django sees no change to make, and reads the rows with its model."""
    first, second = (perform([*MANAGE, "migrate"], project) for _ in range(2))
    check = perform([*MANAGE, "makemigrations", "--check"], project)
    read = "from library.models import Book; print([book.title for book in Book.objects.all()])"
    rows = perform([*MANAGE, "shell", "-c", read], project)

    assert (first.status, second.status, check.status) == (0, 0, 0), first.err + second.err
    assert "No migrations to apply" in second.out
    assert rows.out.splitlines()[-1] == "['Emma']"
    assert {"django_migrations", "auth_user", "book"} <= tables(project / "app.db")
    check_once(project)


@pytest.mark.slow
def test_django_names_a_migration_that_fails(project: Path) -> None:
    """Its own migrations stay, and the next `migrate` goes on."""
    write_files(project / "migrations", BAD)
    failed = perform([*MANAGE, "migrate"], project)
    check_once(project)
    write_files(project / "migrations", {"0005_bad.sql": "CREATE TABLE shelf (id INTEGER PRIMARY KEY);\n"})
    again = perform([*MANAGE, "migrate"], project)

    assert failed.status == 1
    assert "while executing migration 5" in failed.err
    assert again.status == 0, again.err
    assert {"auth_user", "shelf"} <= tables(project / "app.db")


@pytest.mark.slow
def test_alembic_side_by_side(project: Path) -> None:
    """Both are installed; Alembic finds nothing to drop or to create, and rolls back only its own."""
    assert perform([ALEMBIC, "upgrade", "head"], project).status == 0
    check_once(project)
    check = perform([ALEMBIC, "check"], project)
    both = tables(project / "app.db")
    down = perform([ALEMBIC, "downgrade", "base"], project)

    assert check.status == 0, check.out
    assert "No new upgrade operations detected." in check.out
    assert {"alembic_version", "book", "review"} <= both
    assert down.status == 0
    assert both - tables(project / "app.db") == {"review"}
    check_once(project)
    assert perform([ALEMBIC, "upgrade", "head"], project).status == 0
    assert tables(project / "app.db") == both


@pytest.mark.slow
def test_an_entry_point_of_containers(project: Path) -> None:
    """Eight start at once, one upgrades; each becomes its program, which gets the signals."""
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    words = ["sh", "entrypoint.sh", sys.executable, "-c", program]
    logs = [project / f"log{number}" for number in range(8)]
    processes = [spawn(words, project, log) for log in logs]
    try:
        ends = [f"{process.pid}\n" for process in processes]
        wait_until(
            lambda: all(log.read_text().endswith(end) for log, end in zip(logs, ends, strict=True)), processes, logs
        )
    finally:
        for process in processes:
            process.terminate()
        ended = [process.wait(timeout=PATIENCE) for process in processes]

    assert ended == [-signal.SIGTERM] * 8
    check_once(project)


def test_an_entry_point_ends_with_the_status_of_the_error(project: Path) -> None:
    """The program does not start."""
    write_files(project / "migrations", BAD)
    result = perform(["sh", "entrypoint.sh", "echo", "started"], project)

    assert result.status == 6
    assert "while executing migration 5" in result.err
    assert "started" not in result.out


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [True, False])
def test_datasette_hides_and_shows_the_ledgers(project: Path, hidden: bool) -> None:
    """As the metadata file says; its query lists what is installed."""
    assert run([COMMAND, "-d", "app.db", "upgrade"], project).status == 0
    metadata = project / "datasette_metadata.yaml"
    metadata.write_text(metadata.read_text().replace("hidden: true", f"hidden: {str(hidden).lower()}"))
    datasette = [str(COMMANDS / "datasette"), "app.db", "--metadata", metadata.name, "--get"]
    database = perform([*datasette, "/app.json"], project)
    listed = perform([*datasette, "/app/migrations.json?_shape=array"], project)

    assert database.status == 0, database.err
    found = {table["name"]: table["hidden"] for table in json.loads(database.out)["tables"]}
    assert {name for name, is_hidden in found.items() if name.startswith("_")} == {
        "_sqlx_migrations",
        "_yoyo_log",
        "_yoyo_migration",
        "_yoyo_version",
    }
    assert all(is_hidden is (hidden and name.startswith("_")) for name, is_hidden in found.items())
    assert [row["version"] for row in json.loads(listed.out)] == [1, 2, 3, 4]
    assert len(installed(project)) == 4
