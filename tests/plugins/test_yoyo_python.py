"""yoyo's Python interface on the `torc+sqlite` backend."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import (
    installed,
    python,
    run,
    write_files,
)

BOOK, AUTHOR, TITLES = "0001_create_book", "0002_add_author", "0003_index_titles"

FROM_PYTHON = (
    "import yoyo, sys",
    "from torc_migrations.errors import MigrationError, ExecutionFailed",
    "migrations = yoyo.read_migrations('migrations')",
    "backend = yoyo.get_backend('torc+sqlite:///app.db')",
)


@pytest.mark.usefixtures("migrations")
def test_yoyos_python_interface_works(here: Path) -> None:
    """The lines of yoyo's manual apply and roll back through us, in transactions of ours."""
    result = run(
        python(
            *FROM_PYTHON,
            "with backend.lock(): backend.apply_migrations(backend.to_apply(migrations))",
            "print([m.id for m in backend.to_rollback(migrations)], backend.is_applied(migrations[0]))",
            "with backend.lock(): backend.rollback_one(backend.to_rollback(migrations)[0])",
            "with backend.copy() as other: print([m.id for m in other.to_apply(migrations)])",
            "backend.mark_one(migrations[2]); backend.unmark_one(migrations[1])",
            "backend.break_lock()",
        ),
        here,
    )

    assert (result.status, result.err) == (0, "")
    assert result.out == f"['{TITLES}', '{AUTHOR}', '{BOOK}'] True\n['{TITLES}']\n"
    assert installed(here) == [BOOK, TITLES]


def test_a_python_host_gets_errors_of_ours(here: Path) -> None:
    """Outside of the yoyo command a failure is a MigrationError with its facts, and not yoyo's InvalidArgument."""
    write_files(here / "migrations", {"1_bad.sql": "SELECT FROM;\n"})
    result = run(
        python(
            *FROM_PYTHON,
            "import yoyo.scripts.main",
            "try: backend.apply_migrations(backend.to_apply(migrations))",
            "except MigrationError as error: print(type(error).__name__, error.path, error.line, error.column)",
            "try: yoyo.get_backend('torc+sqlite://app.db')",
            "except MigrationError as error: print(type(error).__name__)",
            "try: backend.apply_migrations(backend.to_apply(migrations), force=True)",
            "except MigrationError as error: print(error)",
        ),
        here,
    )

    assert result.out == (
        "ExecutionFailed migrations/1_bad.sql 1 8\nUrlError\n--force is refused: a run stops at the first error\n"
    ), result.err


@pytest.mark.usefixtures("migrations")
def test_what_needs_a_connection_of_yoyos_is_refused(here: Path) -> None:
    """The backend keeps no connection open, and says so to who asks for it."""
    result = run(
        python(
            *FROM_PYTHON,
            "for what in ('connection', 'cursor', 'get_applied_migration_hashes'):",
            "    try:",
            "        value = getattr(backend, what)",
            "        value() if callable(value) else None",
            "    except NotImplementedError as error: print(what)",
        ),
        here,
    )

    assert result.out.split() == ["connection", "cursor", "get_applied_migration_hashes"], result.err
    assert not (here / "app.db").exists()
