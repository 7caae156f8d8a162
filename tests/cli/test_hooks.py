"""yoyo's post-apply hooks on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import Torc, query, write_files

HOOK = "CREATE TABLE IF NOT EXISTS runs (x);\nINSERT INTO runs VALUES (1);\n"


@pytest.mark.usefixtures("migrations")
def test_a_hook_is_told_beside_the_listing(torc: Torc, here: Path) -> None:
    """Standard output stays sqlx's; a note says before a dry run what would run, and after a run what has."""
    write_files(here / "migrations", {"post-apply.sql": HOOK})

    before = torc("-d", "app.db", "upgrade", "--dry-run")
    done = torc("-d", "app.db", "upgrade")

    assert before.err == "note: post-apply would be run\n"
    assert "post-apply" not in before.out + done.out
    assert done.err.startswith("note: post-apply run in ")
    assert query(here / "app.db", "SELECT count(*) FROM runs") == [(1,)]


@pytest.mark.usefixtures("migrations")
def test_a_hook_that_fails_is_due(torc: Torc, here: Path) -> None:
    """The command fails and says what was kept; `status` and `doctor` name the hook until it has run."""
    write_files(here / "migrations", {"post-apply.sql": "SELECT 1;\nDROP TABLE nowhere;\n"})

    failed = torc("-d", "app.db", "upgrade", "--json")
    listed = torc("-d", "app.db", "status", "--exit-code")
    explained = torc("-d", "app.db", "doctor")
    write_files(here / "migrations", {"post-apply.sql": HOOK})
    mended = torc("-d", "app.db", "upgrade")

    assert failed.status == 6
    assert "error: while executing hook post-apply: no such table: nowhere\n" in failed.err
    assert "migrations/post-apply.sql:2:1" in failed.err
    assert json.loads(failed.out)["done"] == [1, 2, 3]
    assert (listed.status, "note: post-apply has not run since migrations" in listed.err) == (1, True)
    assert (
        "post-apply has not run since migrations were applied\n    torc-migrations -d app.db upgrade\n" in explained.out
    )
    assert (mended.status, mended.out) == (0, "")
    assert torc("-d", "app.db", "status", "--exit-code").status == 0
