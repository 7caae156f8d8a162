"""The programs of the how-to guides, as real processes: services with several workers on one empty database."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from recipe_programs import PATIENCE, RECIPES, check_once
from shell import COMMANDS, ROOT, environment, run, write_files

PAGES = {
    "alembic_side/alembic.ini": "alembic.md",
    "alembic_side/env.py": "alembic.md",
    "alembic_side/versions/0001_review.py": "alembic.md",
    "app.service": "wait-for-an-upgrade.md",
    "celery_tasks.py": "celery.md",
    "compose.yaml": "wait-for-an-upgrade.md",
    "datasette_metadata.yaml": "datasette.md",
    "django_site/library/apps.py": "django.md",
    "django_site/library/models.py": "django.md",
    "django_site/manage.py": "django.md",
    "django_site/settings.py": "django.md",
    "entrypoint.sh": "container.md",
    "fastapi_service.py": "fastapi.md",
    "flask_service.py": "flask.md",
    "kubernetes.yaml": "wait-for-an-upgrade.md",
    "plain_script.py": "plain-script.md",
}


@contextmanager
def serving(words: Sequence[str], project: Path, port: int) -> Iterator[Path]:
    """Start a service, wait until it answers, and end it; yield the file with what it has printed."""
    log = project / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(COMMANDS / words[0]), *words[1:]],
            cwd=project,
            env=environment(project, {"PYTHONPATH": str(project)}),
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/books", timeout=10) as answer:
                    assert json.load(answer) == ["Emma"]
                break
            except (OSError, ConnectionError):
                time.sleep(0.1)
        else:
            pytest.fail(log.read_text())
        yield log
    finally:
        process.terminate()
        process.wait(timeout=60)


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for_lines(log: Path, pattern: str, number: int) -> None:
    """Wait until a line was printed by so many workers."""
    deadline = time.monotonic() + PATIENCE
    while len(re.findall(pattern, log.read_text())) < number:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@pytest.mark.slow
def test_eight_workers_of_uvicorn(project: Path) -> None:
    """Each upgrades in its lifespan; one does the work, and all of them start."""
    port = free_port()
    words = ["uvicorn", "fastapi_service:application", "--workers", "8", "--port", str(port)]
    with serving(words, project, port) as log:
        wait_for_lines(log, "Application startup complete", 8)

    assert "Traceback" not in log.read_text()
    check_once(project)


@pytest.mark.slow
def test_a_service_does_not_start_on_a_database_that_is_not_migrated(project: Path) -> None:
    """The migration that fails is named, and the process ends."""
    write_files(project / "migrations", {"0005_bad.sql": "SELECT FROM;\n"})
    words = [str(COMMANDS / "uvicorn"), "fastapi_service:application", "--port", str(free_port())]
    done = subprocess.run(
        words,
        cwd=project,
        env=environment(project, {"PYTHONPATH": str(project)}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode != 0
    assert "while executing migration 5" in done.stderr
    assert "Application startup failed" in done.stderr
    check_once(project)


@pytest.mark.slow
@pytest.mark.parametrize("preload", [False, True])
def test_four_workers_of_gunicorn(project: Path, preload: bool) -> None:
    """Each worker upgrades, or with `--preload` their parent, before it forks."""
    port = free_port()
    words = ["gunicorn", "--workers", "4", "--bind", f"127.0.0.1:{port}", "--timeout", "120"]
    words += ["--preload"] * preload
    with serving([*words, "flask_service:create_application()"], project, port) as log:
        wait_for_lines(log, "Booting worker", 4)

    assert "Traceback" not in log.read_text()
    check_once(project)


@pytest.mark.slow
def test_eight_copies_of_a_script(project: Path) -> None:
    """One does the work; all of them end well."""
    words = [sys.executable, "plain_script.py"]
    processes = [
        subprocess.Popen(words, cwd=project, env=environment(project), stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    printed = [process.communicate(timeout=PATIENCE)[0] for process in processes]

    assert [process.returncode for process in processes] == [0] * 8
    assert printed == ["1 books\n"] * 8
    check_once(project)


def test_a_script_ends_with_the_status_of_the_error(project: Path) -> None:
    """As the command does."""
    write_files(project / "migrations", {"0001_create_book.sql": "SELECT FROM;\n"})
    result = run([sys.executable, "plain_script.py"], project)

    assert (result.status, result.out) == (6, "")
    assert result.err.startswith("error: while executing migration 1: ")


@pytest.mark.parametrize("name", PAGES)
def test_the_page_shows_the_program(name: str) -> None:
    """Word for word."""
    assert (RECIPES / name).read_text() in (ROOT / "docs" / "how-to" / PAGES[name]).read_text()


def test_each_recipe_has_a_page() -> None:
    """No file is forgotten; an empty one needs none."""
    files = {str(path.relative_to(RECIPES)) for path in RECIPES.rglob("*") if path.is_file() and path.stat().st_size}

    assert {name for name in files if "__pycache__" not in name} == set(PAGES)
