"""Files that a program names and that no file can be called are errors of this package."""

from __future__ import annotations

from pathlib import Path

import pytest
from database_under_test import ladder

from torc_migrations import Migrator, convert, errors
from torc_migrations.checks import check_queries, check_schema, dump, write_dump
from torc_migrations.checks.queries import save_queries
from torc_migrations.cli.verbs.export import export
from torc_migrations.sources.names import Layout
from torc_migrations.sources.source import discover

GOOSE = "-- +goose Up\nCREATE TABLE a (x);\n-- +goose Down\nDROP TABLE a;\n"


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, folder, name):
    """Python raises a `ValueError` for them, which no caller expects."""
    (tmp_path / "goose").mkdir()
    (tmp_path / "goose" / "1_a.sql").write_text(GOOSE)
    source = folder(ladder(1))
    migrator = Migrator(tmp_path / "x.db", source)
    path = f"{tmp_path}/{name}"
    calls = {
        "convert": lambda: convert(tmp_path / "goose", path),
        "export": lambda: export(discover(source), Layout.SQLX, path),
        "write_dump": lambda: write_dump(dump(migrator), path),
        "check_schema": lambda: check_schema(migrator, path),
        "check_queries": lambda: check_queries(migrator, path),
        "save_queries": lambda: save_queries((), path),
    }

    for call in calls.values():
        with pytest.raises(errors.SourceError) as failure:
            call()
        assert failure.value.exit_code == 2
