"""What is built: the SQL is in it once, and every way to install it finds it."""

from __future__ import annotations

import shutil
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from shell import NEWEST, ROOT, SHIPPED_IDS, SQL, Result, run

LAST_LINE = f"{NEWEST}/installed add database indexes"
SHIPPED_SQL = sorted(str(path.relative_to(SQL)) for path in SQL.rglob("*.sql"))
PLUGIN = "pytest_torc_migrations"  # pytest's start must not import the package, so this is installed beside it
PLUGIN_DIRECTORY = "torc_migrations/plugins/pytest"
MODULES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "torc_migrations").rglob("*.py"))
NOT_COPIED = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__", "*.db", "*.db-*")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this tree, in which can be built what leaves traces."""
    folder = tmp_path_factory.mktemp("packaging") / "clone"
    shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
    return folder


@pytest.fixture(scope="module")
def built(clone: Path) -> Path:
    """The folder with the sdist, and with the wheel that was built from it."""
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", "."]
    result = run(words, clone)
    assert result.status == 0, result.out + result.err
    return clone / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel."""
    (path,) = built.glob("torc_migrations-*-py3-none-any.whl")
    return path


class Venv:
    """A virtual environment that has what we need from other projects, and nothing of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder.parent)
        self.python = folder / "bin" / "python"
        (libraries,) = folder.glob("lib/python*/site-packages")
        (libraries / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")

    def install(self, *words: str) -> Result:
        """Install something with the pip from outside, and no network."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--no-deps", "--no-index"]
        result = run([*pip, "--no-build-isolation", "--disable-pip-version-check", *words], self.folder)
        assert result.status == 0, result.out + result.err
        return result

    def run(self, name: str, *words: str, cwd: Path) -> Result:
        """Run a command of this environment."""
        return run([str(self.folder / "bin" / name), *words], cwd)


@pytest.fixture(scope="module")
def with_wheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """An environment into which the wheel is installed."""
    venv = Venv(tmp_path_factory.mktemp("wheel") / "venv")
    venv.install(str(wheel))
    return venv


def test_the_wheel_holds_each_sql_file_once(wheel: Path) -> None:
    """Inside the package, in a folder that yoyo and sqlx read as migrations, and nothing else is in there."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert sorted(name for name in names if name.endswith(".sql")) == [f"torc_migrations/sql/{n}" for n in SHIPPED_SQL]
    assert not any(name.endswith(".py") and "/sql/" in name for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"torc_migrations", PLUGIN}


def test_the_wheel_holds_each_module_once(wheel: Path) -> None:
    """A package that setup.cfg does not list would be left out without an error."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert sorted(name for name in names if name.endswith(".py")) == sorted(
        name.replace(PLUGIN_DIRECTORY, PLUGIN) for name in MODULES
    )
    assert len(MODULES) > 50


def test_the_wheel_says_that_it_is_typed(wheel: Path) -> None:
    """`py.typed` tells type checkers to read our annotations."""
    with zipfile.ZipFile(wheel) as archive:
        assert "torc_migrations/py.typed" in archive.namelist()


def test_the_sdist_holds_each_sql_file_once(built: Path) -> None:
    """At the top, where they are in the clone."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]

    assert sorted(name for name in names if name.endswith(".sql")) == [f"sql/{n}" for n in SHIPPED_SQL]
    assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE"} <= set(names)


def test_the_sdist_holds_each_module_once(built: Path) -> None:
    """What is built from the sdist is what is built from the clone."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]

    assert sorted(name for name in names if name.endswith(".py") and name.startswith("torc_migrations/")) == MODULES


def test_the_metadata_is_complete(wheel: Path) -> None:
    """Name, licence, Python, what is needed, and both entry points."""
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = archive.read(f"{folder}/METADATA").decode()
        entry_points = archive.read(f"{folder}/entry_points.txt").decode()

    for line in ("Name: torc-migrations", "License: Apache-2.0", "Requires-Python: >=3.11"):
        assert line in metadata.splitlines()
    for needed in ("yoyo-migrations<10,>=9", "sqlite-utils", "python-dotenv"):
        assert f"Requires-Dist: {needed}" in metadata
    assert "torc-migrations = torc_migrations.cli:main" in entry_points
    assert "torc+sqlite = torc_migrations.plugins.yoyo:TorcSQLiteBackend" in entry_points
    assert "[pytest11]\ntorc_migrations = pytest_torc_migrations\n" in entry_points


def test_an_installed_wheel_upgrades_from_any_folder(with_wheel: Venv, here: Path) -> None:
    """The command finds the SQL in the package, and nothing of the clone."""
    upgraded = with_wheel.run("torc-migrations", "-d", "app.db", "--torc", "upgrade", cwd=here)
    listed = with_wheel.run("torc-migrations", "-d", "app.db", "status", cwd=here)
    origin = with_wheel.run("python", "-c", "import torc_migrations; print(torc_migrations.__file__)", cwd=here)

    assert (upgraded.status, len(upgraded.out.splitlines())) == (0, len(SHIPPED_IDS)), upgraded.err
    assert listed.out.splitlines()[-1] == LAST_LINE
    assert Path(origin.out.strip()).is_relative_to(with_wheel.folder)


def test_an_installed_wheel_is_yoyos_backend(with_wheel: Venv, here: Path) -> None:
    """`yoyo` finds the backend by its entry point, and the SQL as a package's resource."""
    words = ("apply", "-b", "-d", "torc+sqlite:///app.db", "package:torc_migrations:sql")
    applied = with_wheel.run("python", "-m", "yoyo.scripts.main", *words, cwd=here)
    listed = with_wheel.run("torc-migrations", "-d", "app.db", "status", cwd=here)

    assert applied.status == 0, applied.err
    assert listed.out.splitlines()[-1] == LAST_LINE


def test_a_zip_on_the_path_works(wheel: Path, here: Path, tmp_path: Path) -> None:
    """From a zip the SQL is read through the loader; no file is unpacked."""
    venv = Venv(tmp_path / "venv")
    words = [str(venv.python), "-m", "torc_migrations", "-d", "app.db"]

    upgraded = run([*words, "--torc", "upgrade"], here, {"PYTHONPATH": str(wheel)})
    listed = run([*words, "status"], here, {"PYTHONPATH": str(wheel)})

    assert upgraded.status == 0, upgraded.err
    assert listed.out.splitlines()[-1] == LAST_LINE
    assert [path.name for path in here.iterdir()] == ["app.db"]


def test_an_editable_install_finds_the_sql_of_the_clone(clone: Path, here: Path, tmp_path: Path) -> None:
    """`pip install -e` reads sql/ where it is edited."""
    venv = Venv(tmp_path / "venv")
    venv.install("--editable", str(clone))

    upgraded = venv.run("torc-migrations", "-d", "app.db", "--torc", "upgrade", cwd=here)
    origin = venv.run("python", "-c", "import torc_migrations; print(torc_migrations.__file__)", cwd=here)

    assert (upgraded.status, len(upgraded.out.splitlines())) == (0, len(SHIPPED_IDS)), upgraded.err
    assert Path(origin.out.strip()).is_relative_to(clone)
