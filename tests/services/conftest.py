"""A directory with the recipes, in which they are started."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from recipe_programs import RECIPES, SLOW
from shell import write_files


@pytest.fixture
def project(here: Path, migrations: Path) -> Path:
    """A directory with the programs, and a last migration that takes some time."""
    write_files(migrations, {"0004_number.sql": SLOW})
    for path in RECIPES.iterdir():
        if path.is_file():
            shutil.copy(path, here)
    for name in ("django_site", "alembic_side"):
        shutil.copytree(RECIPES / name, here, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return here
