"""What only the tests of the command share: a directory for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from shell import COMMAND, PAIRS, run, write_files


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
