"""The shipped torc schema: whole, reversible, and never put into the database of somebody else."""

from __future__ import annotations

import pytest
from database_under_test import SQLiteUnderTest

from torc_migrations import errors, rollback, status, upgrade


def test_shipped_schema_refuses_a_database_with_tables_of_its_own(sqlite: SQLiteUnderTest):
    """Without a source, somebody else's database is never touched by mistake."""
    sqlite.execute("CREATE TABLE customer (x)")
    before = sqlite.path.read_bytes()

    with pytest.raises(errors.OtherSchema, match="'customer'") as failure:
        upgrade(sqlite.path)

    assert "source=" in str(failure.value.hint)
    assert "--source" in str(failure.value.command_hint)
    assert failure.value.exit_code == 3
    assert sqlite.path.read_bytes() == before
    assert any("name the source of its own migrations" in note for note in status(sqlite.path).notes)


@pytest.mark.parametrize("version", [20240101000000, 20251105030141, 20260110000000])
def test_shipped_schema_refuses_a_database_of_torcs_own_server(sqlite: SQLiteUnderTest, version):
    """A ledger with versions that are not ours, or with another text under one of ours, is not built upon."""
    sqlite.execute(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP"
        " NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT"
        " NOT NULL)",
        f"INSERT INTO _sqlx_migrations VALUES ({version}, 'x', '2025-11-01 00:00:00', 1, zeroblob(48), 7)",
    )
    before = sqlite.path.read_bytes()

    for operation in (upgrade, rollback):
        with pytest.raises(errors.OtherSchema) as failure:
            operation(sqlite.path)
        assert "source=" in str(failure.value.hint)

    assert sqlite.path.read_bytes() == before


def test_shipped_schema_goes_up_and_down_and_up(sqlite: SQLiteUnderTest):
    """The torc schema is complete, reversible, and may be put back where it was."""
    applied = upgrade(sqlite.path).applied
    tables = sqlite.tables()
    rollback(sqlite.path, target=0)
    between = sqlite.tables()
    upgrade(sqlite.path)

    assert applied[-1] == 20251105030141
    assert between == {}
    assert sqlite.tables() == tables
