"""What the tests of the faces share: an empty folder to work in, and the command run in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from shell import COMMAND, PAIRS, Result, Torc, run, write_files


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty folder, in which commands are run."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def torc(here: Path) -> Torc:
    """The command, run in `here`."""

    def run_torc(*words: str, env: dict[str, str | None] | None = None, stdin: str = "") -> Result:
        return run([COMMAND, *words], here, env, stdin=stdin)

    return run_torc


@pytest.fixture
def migrations(here: Path) -> Path:
    """Three pairs in yoyo's layout, in the folder that is found without being named."""
    return write_files(here / "migrations", PAIRS)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that anybody may come to, with an upgraded database in it; pytest's own are for their owner only."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_files(folder / "migrations", PAIRS)
        run([COMMAND, "-d", "app.db", "upgrade", "--target", "2"], folder)
        yield folder
        folder.chmod(0o755)
