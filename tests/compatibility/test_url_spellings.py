"""Every spelling of docs/urls.md, asked of stock yoyo, of the real sqlx and of us."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from preloaded_programs import Preloaded, Said
from sqlx_program import Sqlx

PAGE = Path(__file__).parents[2] / "docs" / "urls.md"
IN_MEMORY, REFUSED = "in memory", "refused"


class Row(NamedTuple):
    """A spelling, and what each of the three opens."""

    url: str
    yoyo: str
    sqlx: str
    ours: str


ROWS = [
    Row(*(cell.strip(" ").strip("`") for cell in line.strip("|").split(" | ")))
    for line in PAGE.read_text("utf-8").splitlines()
    if re.match(r"\| `", line)
]


class Place:
    """An empty folder, with one migration beside it, where relative and absolute paths of the same name can be opened.

    Nothing may be written to the root of this machine: what is relative with three slashes for one, and absolute for
    another, goes into folders that exist both ways.
    """

    def __init__(self, root: Path) -> None:
        self.here = root / "here"
        self._abs = root / "abs"
        self._both = self.here / self._relative
        for folder in (self._both, self._abs, root / "migrations"):
            folder.mkdir(parents=True)
        (root / "migrations" / "1_a.sql").write_text("CREATE TABLE a (x);\n")

    @property
    def _relative(self) -> str:
        return str(self._abs)[1:]

    def url(self, spelling: str, *, memory_is_a_file: bool = False) -> str:
        """Return a spelling with the folders of this place in it, wherever somebody might take it for absolute."""
        if "/abs/" in spelling:
            return spelling.replace("/abs", str(self._abs))
        if ":./" in spelling:
            return spelling.replace(":./", f":./{self._relative}/")
        if ":///" in spelling and (memory_is_a_file or ":memory:" not in spelling):
            return spelling.replace(":///", f":///{self._relative}/")
        return spelling

    def opened(self, spelling: str, said: Said) -> str:
        """Return what was opened, in the words of the page."""
        files = [path for path in self.here.parent.rglob("*") if path.is_file() and path.suffix != ".sql"]
        names = {self._name(path, spelling) for path in files if not path.name.endswith(("-wal", "-shm"))}
        assert len(names) < 2, names
        return names.pop() if names else IN_MEMORY if said.status == 0 else REFUSED

    def _name(self, path: Path, spelling: str) -> str:
        absolute = "/abs" if "/abs/" in spelling else ""
        if path.is_relative_to(self._both):
            return f"{absolute[1:]}/{path.name}".lstrip("/")
        if path.is_relative_to(self._abs):
            return f"{absolute}/{path.name}"
        return str(path.relative_to(self.here))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty folder."""
    return Place(tmp_path)


@pytest.mark.parametrize("row", ROWS, ids=[row.url for row in ROWS])
def test_stock_yoyo_opens_what_the_page_says(row: Row, yoyo: Preloaded, place: Place) -> None:
    """Also where that is not what anybody would expect. With `torc+sqlite` it is our backend that yoyo asks."""
    said = yoyo("apply", "-b", "--no-config-file", "-d", place.url(row.url), "../migrations", folder=place.here)

    assert place.opened(row.url, said) == row.yoyo


@pytest.mark.parametrize("row", ROWS, ids=[row.url for row in ROWS])
def test_sqlx_opens_what_the_page_says(row: Row, sqlx: Sqlx, place: Place) -> None:
    """Its spellings are read as it reads them, but for the three slashes."""
    said = sqlx.create_at(place.url(row.url, memory_is_a_file=True), folder=place.here)

    assert place.opened(row.url, said) == row.sqlx


@pytest.mark.parametrize("row", ROWS, ids=[row.url for row in ROWS])
def test_we_open_what_the_page_says(row: Row, ours: Preloaded, place: Place) -> None:
    """And no other file is left anywhere."""
    said = ours("upgrade", "-d", place.url(row.url), "-s", "../migrations", folder=place.here)

    assert place.opened(row.url, said) == row.ours
    assert said.status in (0, 2), said.err


def test_three_slashes_are_refused_where_only_the_absolute_file_exists(ours: Preloaded, place: Place) -> None:
    """The one clash: the hint spells both, and nothing is created."""
    Path(place.url("/abs/torc.db")).touch()
    url = place.url("sqlite:///torc.db")

    said = ours("upgrade", "-d", url, "-s", "../migrations", folder=place.here)

    path = url.removeprefix("sqlite:///")
    assert said.status == 2
    assert (
        f"hint: use sqlite:////{path} for the absolute path, or sqlite:./{path} to create the relative one" in said.err
    )
    assert Path(place.url("/abs/torc.db")).stat().st_size == 0
