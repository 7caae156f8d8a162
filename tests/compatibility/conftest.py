"""The real programs: sqlx where it is found, stock yoyo, and our command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from preloaded_programs import OURS, YOYO, Preloaded
from sqlx_program import SERVERS_WHY_NOT, WHY_NOT, Sqlx, find_programs, find_programs_for_servers

PROGRAMS = find_programs()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for `sqlx` with every one that was found; a skipped test says how to get one."""
    if "sqlx" in metafunc.fixturenames:
        missing = [pytest.param(None, marks=pytest.mark.skip(reason=WHY_NOT), id="no sqlx")]
        found = [pytest.param(program, id=f"sqlx {program.version}") for program in PROGRAMS]
        metafunc.parametrize("sqlx", found or missing, scope="session")


@pytest.fixture(scope="session")
def sqlx_for_servers() -> Sqlx:
    """The newest sqlx that can connect to servers."""
    programs = find_programs_for_servers()
    if not programs:
        pytest.skip(SERVERS_WHY_NOT)
    return programs[-1]


@pytest.fixture(scope="session")
def sqlx_that_skips() -> Sqlx:
    """The newest sqlx that has `override skip`."""
    able = [program for program in PROGRAMS if program.can_skip]
    if not able:
        pytest.skip(WHY_NOT)
    return able[-1]


@pytest.fixture(scope="session")
def ours() -> Iterator[Preloaded]:
    """The command `torc-migrations`."""
    with Preloaded(OURS) as program:
        yield program


@pytest.fixture(scope="session")
def yoyo() -> Iterator[Preloaded]:
    """The command `yoyo` with its own backend."""
    with Preloaded(YOYO) as program:
        yield program
