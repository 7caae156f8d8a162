"""Whatever yoyo, sqlx and we do to a database in turn, what we say of it is never wrong.

`TORC_MIGRATIONS_TESTS=full pytest tests/ledgers/test_histories.py` tries 2000 random histories.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest, sized
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from other_tools import sqlx_revert, sqlx_run, told
from yoyo import get_backend, read_migrations

from torc_migrations import errors, rollback, upgrade


class Truth:
    """One database that three tools work on in turn; whether its table exists is what is true."""

    def __init__(self, folder: Path) -> None:
        self.database = SQLiteUnderTest(folder / "truth.db")
        (folder / "source").mkdir()
        (folder / "source" / "1_a.sql").write_text("CREATE TABLE a (x);")
        (folder / "source" / "1_a.rollback.sql").write_text("DROP TABLE a;")
        self.source = str(folder / "source")

    @property
    def installed(self) -> bool:
        """Whether the migration's table exists."""
        return "a" in self.database.tables()

    def act(self, action: str) -> None:
        """Have one of the tools do something; what it refuses, or fails at, it leaves undone."""
        try:
            getattr(self, action)()
        except (sqlite3.OperationalError, sqlite3.IntegrityError, errors.MigrationError):
            self.database.execute("DELETE FROM yoyo_lock") if action.startswith("yoyo") else None

    def ours_up(self) -> None:
        """Upgrade."""
        upgrade(self.database.path, self.source)

    def ours_down(self) -> None:
        """Roll back."""
        rollback(self.database.path, self.source)

    def yoyo_up(self) -> None:
        """Run stock `yoyo apply`."""
        self._yoyo("to_apply", "apply_migrations")

    def yoyo_down(self) -> None:
        """Run stock `yoyo rollback`."""
        self._yoyo("to_rollback", "rollback_migrations")

    def _yoyo(self, choose: str, perform: str) -> None:
        backend = get_backend(f"sqlite:///{self.database.path}")
        with backend, backend.lock():
            getattr(backend, perform)(getattr(backend, choose)(read_migrations(self.source)))

    def sqlx_up(self) -> None:
        """Run `sqlx migrate run`."""
        if not self.database.ledgers().sqlx:
            sqlx_run(self.database, self.source, "1_a")

    def sqlx_down(self) -> None:
        """Run `sqlx migrate revert`."""
        if self.database.ledgers().sqlx:
            sqlx_revert(self.database, self.source, "1_a")


ACTIONS = ("ours_up", "ours_down", "yoyo_up", "yoyo_down", "sqlx_up", "sqlx_down")


@pytest.mark.slow
@settings(max_examples=sized(30, 2000), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=7))
def test_whatever_three_tools_do_in_turn_we_are_never_wrong(actions):
    """After any sequence of the three, within one second, `status` tells the truth or that it cannot tell.

    And after ours, where it does not refuse, both ledgers tell it too.
    """
    with tempfile.TemporaryDirectory() as name:
        truth = Truth(Path(name))
        for action in actions:
            truth.act(action)
            opinion = told(truth.database, truth.source)

            assert opinion in ("?", "A" if truth.installed else "U"), actions
            if action.startswith("ours") and opinion != "?":
                assert truth.database.ledgers().agreed == ((1,) if truth.installed else ())
