"""Files that others may have written do not say what the command does."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from shell import Torc, write_files

pytestmark = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files to others")

OTHER, WITHOUT_NAME = 65534, 54321
FILES = {
    "yoyo.ini": "[DEFAULT]\nsources = %(here)s/evil\ndatabase = sqlite:///evil-%(path)s.db\n",
    "sqlx.toml": '[migrate]\nmigrations-dir = "evil"\n',
    ".env": "DATABASE_URL=sqlite:evil.db\n",
}
NAMED = ("-d", "app.db", "-s", "good", "--no-dotenv")


def give_file(path: Path) -> None:
    """Give the file to another user."""
    os.chown(path, OTHER, OTHER)


def give_nameless(path: Path) -> None:
    """Give the file to a user that has no name."""
    os.chown(path, WITHOUT_NAME, OTHER)


def open_file(path: Path) -> None:
    """Let everybody write the file."""
    path.chmod(0o666)


def open_directory(path: Path) -> None:
    """Let everybody write the directory."""
    path.parent.chmod(0o777)


def give_directory(path: Path) -> None:
    """Give the directory to another user, and keep the file."""
    os.chown(path.parent, OTHER, OTHER)


def link_from_other(path: Path) -> None:
    """Have a link of another user lead to the file."""
    path.rename(path.with_name("mine"))
    path.symlink_to("mine")
    os.lchown(path, OTHER, OTHER)


def link_to_other(path: Path) -> None:
    """Have a link lead to a file of another user."""
    path.rename(path.with_name("theirs"))
    path.symlink_to("theirs")
    os.chown(path.with_name("theirs"), OTHER, OTHER)


def link_into_open_directory(path: Path) -> None:
    """Have a link lead to a file in a directory that everybody can write."""
    place = path.parent / "open"
    place.mkdir()
    path.rename(place / "mine")
    path.symlink_to("open/mine")
    place.chmod(0o777)


DISTRUSTED: tuple[tuple[Callable[[Path], None], str], ...] = (
    (give_file, "it belongs to user nobody"),
    (give_nameless, "it belongs to user 54321"),
    (open_file, "it belongs to user root, and everybody can write it"),
    (open_directory, "belongs to user root, and everybody can write it"),
    (give_directory, "belongs to user nobody"),
    (link_from_other, "it belongs to user nobody"),
    (link_to_other, "it belongs to user nobody"),
    (link_into_open_directory, "belongs to user root, and everybody can write it"),
)


@pytest.fixture
def project(here: Path) -> Path:
    """A directory with good migrations, and evil ones."""
    return write_files(
        here, {"good/1_good.sql": "CREATE TABLE good (x);\n", "evil/1_evil.sql": "CREATE TABLE evil (x);"}
    )


def tables_of(path: Path) -> list[str]:
    """Return the tables of a database that are the user's."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE name IN ('good', 'evil')").fetchall()
    return [name for (name,) in rows]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("spoil", "reason"), DISTRUSTED, ids=[spoil.__name__ for spoil, _ in DISTRUSTED])
def test_a_file_that_others_may_have_written_is_not_believed(
    torc: Torc, project: Path, name: str, spoil: Callable[[Path], None], reason: str
) -> None:
    """The error names file and owner and the way; with everything named, the file is ignored."""
    path = project / name
    path.write_text(FILES[name])
    spoil(path)

    refused = torc("upgrade", env={"DATABASE_URL": None})
    named = torc(*NAMED, "upgrade")

    assert refused.status == 2
    assert name in refused.err
    assert reason in refused.err
    assert "-d" in refused.err
    assert not list(project.glob("evil*.db"))
    assert named.status == 0
    assert tables_of(project / "app.db") == ["good"]


@pytest.mark.parametrize("name", ["yoyo.ini", ".env"])
def test_a_file_above_is_not_believed_either(torc: Torc, project: Path, name: str) -> None:
    """A file of another user in the shared directory above, where anybody may put one."""
    path = project.parent / name
    path.write_text(FILES[name])
    give_file(path)
    project.parent.chmod(0o1777)

    refused = torc("upgrade", env={"DATABASE_URL": None})

    assert refused.status == 2
    assert f"cannot use {path}: it belongs to user nobody" in refused.err


def sticky(path: Path) -> None:
    """Keep the file in a directory such as /tmp, where others cannot replace it."""
    path.parent.chmod(0o1777)


def shared_by_group(path: Path) -> None:
    """Let the group write, which is a private one on many systems."""
    path.chmod(0o664)
    path.parent.chmod(0o775)


@pytest.mark.parametrize("spoil", [sticky, shared_by_group])
def test_a_file_of_the_caller_is_believed(torc: Torc, project: Path, spoil: Callable[[Path], None]) -> None:
    """The owner decides."""
    path = project / "yoyo.ini"
    path.write_text("[DEFAULT]\nsources = good\ndatabase = sqlite:///app.db\n")
    spoil(path)

    assert torc("upgrade").status == 0
    assert tables_of(project / "app.db") == ["good"]


def test_sudo_believes_the_files_of_its_caller(torc: Torc, project: Path) -> None:
    """With sudo it is the user's own project; other users' files are refused still."""
    path = project / "yoyo.ini"
    path.write_text("[DEFAULT]\nsources = good\ndatabase = sqlite:///app.db\n")
    give_file(path)

    assert torc("status", env={"SUDO_UID": str(OTHER)}).status == 0
    assert torc("status", env={"SUDO_UID": str(WITHOUT_NAME)}).status == 2
    assert torc("status", env={"SUDO_UID": "x"}).status == 2


def test_migrations_that_others_may_have_put_here_are_not_run(torc: Torc, project: Path) -> None:
    """`./migrations` of another user in a directory such as /tmp has to be named."""
    (project / "evil").rename(project / "migrations")
    os.chown(project / "migrations", OTHER, OTHER)
    project.chmod(0o1777)

    refused = torc("-d", "app.db", "upgrade")

    assert refused.status == 2
    assert "hint: name it with -s migrations" in refused.err
    assert torc("-d", "app.db", "-s", "migrations", "upgrade").status == 0


@pytest.mark.parametrize("package", ["loud", "loud.inner", "spaced.inner"])
def test_a_package_is_looked_up_without_running_it(torc: Torc, here: Path, package: str) -> None:
    """Neither a package nor the one that it is in is imported, regular or namespace."""
    shout = "raise SystemExit('it was run')\n"
    write_files(
        here,
        {
            "loud/__init__.py": shout,
            "loud/inner/__init__.py": shout,
            "loud/sql/1_a.sql": "CREATE TABLE good (x);\n",
            "loud/inner/sql/1_a.sql": "CREATE TABLE good (x);\n",
            "spaced/inner/sql/1_a.sql": "CREATE TABLE good (x);\n",
        },
    )

    result = torc("-d", "app.db", "-s", f"package:{package}:sql", "upgrade", env={"PYTHONPATH": str(here)})

    assert (result.status, "it was run" in result.err) == (0, False)
    assert tables_of(here / "app.db") == ["good"]
    for wrong in ("no_such", "loud.none", "os", "..", "loud..inner", "", "loud/inner"):
        missing = torc("-d", "app.db", "-s", f"package:{wrong}:sql", "status", env={"PYTHONPATH": str(here)})
        assert (missing.status, "there is no package" in missing.err) == (2, True)
