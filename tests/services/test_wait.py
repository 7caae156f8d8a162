"""Wait for the process that upgrades, in both orders, and the recipes that do so."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import closing
from pathlib import Path

import anyio
import pytest
import yaml
from shell import COMMAND, ROOT, Torc, run_on_terminal, start, write_files

from torc_migrations import aio, errors, upgrade, wait
from torc_migrations.cli.arguments import parse
from torc_migrations.services.waits import Awaited

RECIPES = ROOT / "docs" / "recipes"
FILES = ("app.service", "compose.yaml", "entrypoint.sh", "kubernetes.yaml")


def test_one_that_waits_ends_with_the_upgrade(here: Path, migrations: Path, torc: Torc) -> None:
    """It begins first, beside a database that does not exist; afterwards another one ends at once."""
    with start([COMMAND, "-d", "app.db", "wait", "--timeout", "60"], here) as waiting:
        assert waiting.stderr is not None
        first = waiting.stderr.readline().decode()
        assert not (here / "app.db").exists()
        upgraded = torc("-d", "app.db", "upgrade")
        rest = waiting.stderr.read().decode()
    again = torc("-d", "app.db", "wait", "--timeout", "0")

    assert first == (
        "note: waiting for app.db: 3 migrations are pending, the first is 0001_create_book; "
        "0 of 3 installed (0 s so far)\n"
    )
    assert (upgraded.status, waiting.returncode, again.status) == (0, 0, 0)
    assert rest.endswith("note: the database is at version 3\n")
    assert again.err == "note: the database is at version 3\n"


def test_the_time_is_kept(here: Path, migrations: Path, torc: Torc) -> None:
    """After it the exit status is 5, also in JSON."""
    result = torc("-d", "app.db", "wait", "--timeout", "0.2", "--json")

    assert result.status == 5
    assert json.loads(result.out)["error"]["code"] == "wait-timeout"
    assert list(here.glob("app.db*")) == []


def test_a_version_is_enough(here: Path, migrations: Path, torc: Torc) -> None:
    """`--version` waits for it and for those below it; a version that the source lacks is an error."""
    upgrade(here / "app.db", str(migrations), target=2)

    assert torc("-d", "app.db", "wait", "--version", "2").status == 0
    assert torc("-d", "app.db", "wait", "--target", "3", "--timeout", "0").status == 5
    assert torc("-d", "app.db", "wait", "--version", "9", "--timeout", "0").status == 4
    assert json.loads(torc("-d", "app.db", "wait", "--version", "1", "--json").out) == {"ok": True, "latest": 2}


def test_a_newer_database_is_accepted(here: Path, migrations: Path) -> None:
    """Pods of the release before start beside it; the version that they lack counts as installed."""
    upgrade(here / "app.db", str(migrations))
    for path in migrations.glob("0003*"):
        path.unlink()

    assert wait(here / "app.db", str(migrations), timeout=0).latest == 3
    assert wait(here / "app.db", str(migrations), version=3, timeout=0)


def test_a_database_that_asks_for_a_newer_release_is_not(here: Path, migrations: Path, torc: Torc) -> None:
    """The older release stops waiting at once; where that is ignored, it goes on."""
    newer = here / "newer"
    shutil.copytree(migrations, newer)
    write_files(newer, {"0004_more.sql": "-- compatible-from: 4\nCREATE TABLE page (id INTEGER PRIMARY KEY);\n"})
    upgrade(here / "app.db", str(newer))

    with pytest.raises(errors.TooOld):
        wait(here / "app.db", str(migrations), timeout=60)
    done = torc("-d", "app.db", "wait")

    assert done.status == 3
    assert "too old for the database: migration 4, which is installed, asks for 4 or newer" in done.err
    assert wait(here / "app.db", str(migrations), timeout=0, ignore_missing=True).latest == 4


def test_an_edited_file_ends_the_waiting(here: Path, migrations: Path, torc: Torc) -> None:
    """No process will ever upgrade such a database."""
    upgrade(here / "app.db", str(migrations), target=2)
    write_files(migrations, {"0001_create_book.sql": "CREATE TABLE book (id);\n"})

    with pytest.raises(errors.VersionMismatch):
        wait(here / "app.db", str(migrations), timeout=60)
    assert torc("-d", "app.db", "wait").status == 3


def test_hooks_are_waited_for(here: Path, migrations: Path) -> None:
    """The newest version is reached when the post-apply scripts have run."""
    upgrade(here / "app.db", str(migrations))
    write_files(migrations, {"post-apply.sql": "SELECT 1;\n"})

    with pytest.raises(errors.WaitTimeout) as failure:
        wait(here / "app.db", str(migrations), timeout=0)
    assert failure.value.reason == "1 migration is pending, the first is post-apply"
    assert wait(here / "app.db", str(migrations), version=3, timeout=0).latest == 3


@pytest.mark.parametrize("obstacle", ["a text", "a directory", "locked"])
def test_what_cannot_be_read_yet_is_waited_for(here: Path, migrations: Path, obstacle: str) -> None:
    """The line says why, and the error at the end too; what is in the way later is gone."""
    path = here / "app.db"
    seen: list[Awaited] = []

    def clear(awaited: Awaited) -> None:
        seen.append(awaited)
        if obstacle == "a text" and path.exists():
            path.unlink()
        elif obstacle == "a directory":
            path.rmdir()
        else:
            holder.rollback()
        upgrade(path, str(migrations))

    with closing(sqlite3.connect(path)) as holder:
        if obstacle == "locked":
            holder.execute("CREATE TABLE mine (id)")
            holder.execute("PRAGMA journal_mode = DELETE")
            holder.execute("BEGIN EXCLUSIVE")
        elif obstacle == "a text":
            path.write_text("This is not a database." * 100)
        else:
            path.unlink(missing_ok=True)
            path.mkdir()
        with pytest.raises(errors.WaitTimeout):
            wait(path, str(migrations), timeout=0)
        assert wait(path, str(migrations), timeout=60, on_wait=clear).latest == 3

    assert [bool(awaited.obstacle) for awaited in seen] == [True]
    assert seen[0].as_dict()["obstacle"] in seen[0].as_text()


def test_every_change_is_said(here: Path, migrations: Path) -> None:
    """A line follows each step of the process that upgrades."""
    seen: list[str] = []

    def upgrade_further(awaited: Awaited) -> None:
        seen.append(awaited.pending[0])
        upgrade(here / "app.db", str(migrations), target=len(seen))

    assert wait(here / "app.db", str(migrations), on_wait=upgrade_further).clean
    assert seen == ["0001_create_book", "0002_add_author", "0003_index_titles"]


def test_a_terminal_has_one_line_that_is_redrawn(here: Path, migrations: Path) -> None:
    """Each second, and it is gone before the error; `--progress=off` shows none."""
    upgrade(here / "app.db", str(migrations), target=1)
    words = [COMMAND, "-d", "app.db", "wait", "--timeout"]

    wide = {"NO_COLOR": "1", "COLUMNS": "200"}
    shown = run_on_terminal([*words, "2.5"], here, wide, keep_line=True).out
    silent = run_on_terminal([*words, "0.3", "--progress=off"], here, wide, keep_line=True).out

    line = "waiting for app.db: 2 migrations are pending, the first is 0002_add_author; 1 of 3 installed (0 s so far)"
    assert shown.startswith(f"\r{line}\x1b[K\r{line.replace('(0', '(1')}\x1b[K")
    assert "\r\x1b[Kerror: gave up waiting" in shown
    assert silent.startswith("error: gave up waiting")


def test_a_log_has_one_line_in_thirty_seconds(here: Path, migrations: Path, torc: Torc) -> None:
    """Where it is no terminal, a change does not add one; as JSON each change does."""
    upgrade(here / "app.db", str(migrations), target=1)
    lines = {}
    for progress in ("auto", "json"):
        words = [COMMAND, "-d", "app.db", "wait", "--timeout", "60", f"--progress={progress}"]
        with start(words, here) as waiting:
            assert waiting.stderr is not None
            first = waiting.stderr.readline()
            torc("-d", "app.db", "upgrade", "--target", "2")
            second = waiting.stderr.readline() if progress == "json" else b""
            torc("-d", "app.db", "upgrade")
            lines[progress] = (first + second + waiting.stderr.read()).decode().splitlines()
        torc("-d", "app.db", "rollback", "--target", "1")

    assert [line.partition(":")[2][:8] for line in lines["auto"]] == [" waiting", " the dat"]
    found = [json.loads(line) for line in lines["json"] if line.startswith("{")]
    assert [(each["event"], each["installed"], each["wanted"]) for each in found[:2]] == [
        ("awaited", 1, 3),
        ("awaited", 2, 3),
    ]


def test_wrong_arguments_raise_at_once(here: Path, migrations: Path) -> None:
    """A misspelled address or option is not waited for."""
    for wrong in ({"timeout": -1}, {"version": "3"}, {"on_wait": 3}, {"keep": 0}):
        with pytest.raises(errors.BadOption):
            wait(here / "app.db", str(migrations), **wrong)  # type: ignore[arg-type]
    with pytest.raises(errors.UrlError):
        wait("oracle://app", str(migrations))
    with pytest.raises(errors.SourceError):
        wait(here / "app.db", "nowhere")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_waiting_can_be_awaited_and_cancelled(here: Path, migrations: Path, backend: str) -> None:
    """A timeout of the program ends it, whatever its own is."""

    async def wait_in_vain() -> None:
        with anyio.move_on_after(0.3) as scope:
            await aio.wait(str(here / "app.db"), str(migrations))
        assert scope.cancelled_caught
        await aio.upgrade(str(here / "app.db"), str(migrations))
        assert (await aio.wait(str(here / "app.db"), str(migrations))).latest == 3

    anyio.run(wait_in_vain, backend=backend)


def documents() -> list[dict[str, object]]:
    """Return the Kubernetes manifests."""
    return list(yaml.safe_load_all((RECIPES / "kubernetes.yaml").read_text()))


def commands() -> Iterator[list[str]]:
    """Yield the words of each call of our command in the recipes."""
    for path in sorted(RECIPES / name for name in FILES):
        for line in path.read_text().splitlines():
            for found in re.finditer(r"torc-migrations(?:\"|) ?,? ?(.*?)(?:\]|&&|$)", line):
                if line.lstrip()[0] not in "#-" or "command" in line:
                    yield re.findall(r"[^\s\",]+", found[1])


def test_every_command_of_the_recipes_is_understood() -> None:
    """Our own parser reads them: a verb or a flag that does not exist would be an error."""
    read = [parse(words).verb for words in commands()]

    assert sorted(read) == ["upgrade", "upgrade", "upgrade", "upgrade", "wait", "wait"]


def test_the_manifests_are_what_kubernetes_accepts() -> None:
    """The schemas of Kubernetes have no objection."""
    validate = pytest.importorskip(
        "kubernetes_validate", reason="100 MB of schemas; `pip install kubernetes-validate` enables this test"
    )
    for document in documents():
        validate.validate(document, "1.31", strict=True)


def test_job_and_pods_use_the_same_image_and_database() -> None:
    """The job upgrades with the files of the release whose pods wait for it."""
    job, deployment = (document["spec"]["template"]["spec"] for document in documents())  # type: ignore[index]
    containers = [*job["containers"], *deployment["initContainers"], *deployment["containers"]]

    assert len({container["image"] for container in containers}) == 1
    assert len({json.dumps(container["envFrom"]) for container in containers}) == 1
    assert [container["command"][3] for container in containers[:2]] == ["upgrade", "wait"]


def test_the_services_of_compose_depend_on_each_other() -> None:
    """The application starts after the service that upgrades has succeeded."""
    recipe = yaml.safe_load((RECIPES / "compose.yaml").read_text())

    assert set(recipe) == {"services", "volumes"}
    assert recipe["services"]["app"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert len({service["environment"]["DATABASE_URL"] for service in recipe["services"].values()}) == 1


def test_the_unit_is_what_systemd_accepts(tmp_path: Path) -> None:
    """It upgrades before it starts; where systemd is installed, it verifies the file."""
    unit = ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(RECIPES / "app.service")

    assert unit["Service"]["ExecStartPre"].endswith(" upgrade")
    if shutil.which("systemd-analyze"):
        text = (RECIPES / "app.service").read_text().replace("/opt/app/venv/bin/python", "/bin/true")
        (tmp_path / "app.service").write_text(text.replace("/opt/app/venv/bin/torc-migrations", "/bin/true"))
        done = subprocess.run(
            ["systemd-analyze", "verify", str(tmp_path / "app.service")], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
