"""A file may be called anything, and be named in many ways."""

from __future__ import annotations

import os
import string
import sys
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest, ladder

from torc_migrations import Migrator, errors, status, upgrade

posix = pytest.mark.skipif(os.name != "posix", reason="paths are told here as POSIX has them")


PRINTABLE = [chr(number) for number in range(32, 127) if chr(number) not in "/."]

ODD_NAMES = [
    *("".join(PRINTABLE[begin : begin + 20]) for begin in range(0, len(PRINTABLE), 20)),
    "a?b#c%d",
    "a%20b",
    "a%00b",
    "Grüße aus 東京 🚀",
    "e\N{COMBINING ACUTE ACCENT}",
    "-rf",
    " leading and trailing ",
    "..db",
    "file:x?mode=memory",
    "a\nb\tc",
    "'; DROP TABLE x; --",
]


@posix
@pytest.mark.parametrize("name", ODD_NAMES)
def test_path_may_hold_any_sign(tmp_path: Path, folder, name):
    """A `Path` is taken as it is, whatever is in it; nothing else is created."""
    (tmp_path / "odd").mkdir()
    path = tmp_path / "odd" / name

    assert upgrade(path, folder(ladder(2))).applied == (1, 2)

    assert os.listdir(tmp_path / "odd") == [name]
    assert SQLiteUnderTest(path).ledgers().agreed == (1, 2)
    assert status(path, folder({})).clean


@posix
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS wants names in UTF-8")
def test_path_need_not_be_utf8(tmp_path: Path, folder):
    """On Linux a name is bytes."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/odd-\xff.db")

    assert upgrade(Path(path), folder(ladder(1))).applied == (1,)
    assert b"odd-\xff.db" in os.listdir(os.fsencode(tmp_path))


@posix
@pytest.mark.parametrize("name", ["a\0.db", "a\ud800.db"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, folder, name, kind):
    """It is no database that is missing, and no error of Python's."""
    path = kind(f"{tmp_path}/{name}")
    for operation in (upgrade, status):
        with pytest.raises(errors.UrlError, match="a path cannot hold") as failure:
            operation(path, folder(ladder(1)))

        assert failure.value.exit_code == 2


@posix
@pytest.mark.parametrize(
    ("target", "reason"),
    [("x.db", "it is a link that leads to itself"), ("absent/y.db", "there is no directory")],
)
def test_a_link_to_where_no_file_can_be_is_refused(tmp_path: Path, folder, target, reason):
    """`status` does not say of it that the next upgrade creates the database."""
    (tmp_path / "x.db").symlink_to(tmp_path / target)
    for operation in (status, upgrade):
        with pytest.raises(errors.CannotOpen, match=reason):
            operation(tmp_path / "x.db", folder(ladder(1)))


@posix
def test_a_link_to_a_file_that_is_missing_is_where_it_is_created(tmp_path: Path, folder):
    """SQLite follows it, and so do we."""
    (tmp_path / "x.db").symlink_to("y.db")

    assert status(tmp_path / "x.db", folder(ladder(1))).pending
    assert upgrade(tmp_path / "x.db", folder(ladder(1))).applied == (1,)

    assert (tmp_path / "y.db").is_file()


@pytest.mark.parametrize("signs", [string.punctuation.replace("/", ""), "ü é 東"])
def test_url_may_hold_any_sign_in_percents(tmp_path: Path, folder, signs):
    """In a URL every sign can be written as its bytes in hexadecimal."""
    if os.name == "nt":
        signs = "".join(sign for sign in signs if sign not in '<>:"\\|?*')
    encoded = "".join(f"%{byte:02x}" for byte in signs.encode())

    upgrade(f"sqlite:///{tmp_path}/{encoded}", folder(ladder(1)))

    assert signs in os.listdir(tmp_path)


@pytest.mark.parametrize(
    "spelling", ["rel.db", "./rel.db", "sqlite:rel.db", "sqlite://rel.db", "sqlite:///rel.db", "sub/../rel.db"]
)
def test_relative_path_is_that_of_the_moment(tmp_path: Path, folder, monkeypatch, spelling):
    """A relative path counts from the folder in which an operation begins, also if that changes during it."""
    source = folder(ladder(3))
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)

    report = Migrator(spelling, source, group=0).upgrade(observer=lambda _: os.chdir(tmp_path / "sub"))

    assert report.applied == (1, 2, 3)
    assert SQLiteUnderTest(tmp_path / "rel.db").ledgers().agreed == (1, 2, 3)
    assert os.listdir(tmp_path / "sub") == []


@posix
@pytest.mark.parametrize("prefix", ["/", "//", "///"])
def test_more_slashes_than_one_are_one(tmp_path: Path, folder, prefix):
    """POSIX lets a path begin with two slashes; SQLite would take what follows for a host."""
    path = prefix + str(tmp_path / "slashes.db").lstrip("/")

    assert upgrade(path, folder(ladder(1))).applied == (1,)
    assert (tmp_path / "slashes.db").exists()


@posix
def test_symbolic_link_leads_to_its_file(tmp_path: Path, folder):
    """A link to a file, and to one that is not there yet, is followed."""
    source = folder(ladder(2))
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "real" / "app.db")

    assert upgrade(link, source, target=1).applied == (1,)
    assert upgrade(link, source).applied == (2,)
    assert (tmp_path / "real" / "app.db").exists()
    assert link.is_symlink()
