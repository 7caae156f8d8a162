"""The reference of the errors shows the sentences that the errors have."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
from pages import DOCS

from torc_migrations import errors, status, upgrade

PAGE = (DOCS / "reference" / "errors.md").read_text()


class Step(NamedTuple):
    """What an error says about the step that failed."""

    name: str = "2"
    title: str = "migration 2"
    is_hook: bool = False


def raised(call: Callable[[], object]) -> errors.MigrationError:
    """Return the error that a call ends with."""
    with pytest.raises(errors.MigrationError) as failure:
        call()
    return failure.value


ERRORS = (
    raised(lambda: status(":memory:", "nowhere")),
    raised(lambda: upgrade(":memory:", on_loss="Refuse")),
    raised(lambda: upgrade(":memory:", target="2025")),
    raised(lambda: status("oracle://app")),
    raised(lambda: status("sqlite:///app.db?mode=ro")),
    errors.NotSupported("app", "a snapshot works with SQLite only"),
    errors.MissingDriver("postgresql://host/app", "PostgreSQL", "postgresql", "psycopg"),
    errors.MissingLibrary("a report", "jinja2", "report"),
    errors.LockTimeout("app.db", "process 4711", 300.0),
    errors.BadName("migrations", "x_y.sql"),
    errors.DuplicateVersion("migrations", 1, ("01_create_book.sql", "1_create_author.sql")),
    errors.BadOrder("migrations", ("10_b.sql", "2_a.sql")),
    errors.MixedLayout("migrations", ("1_create_author.rollback.sql", "2_create_book.up.sql")),
    errors.UntrustedFile("/tmp/yoyo.ini", "it belongs to user mallory", hint="name the source"),
    errors.BadDependency("migrations/1_create_book.sql", "2_create_author", "does not come before it"),
    errors.VersionMissing(2),
    errors.TooOld(4, 3, 2),
    errors.VersionMismatch(2, recorded=b"", local=b""),
    errors.OutOfOrder(2, 3),
    errors.NotEmpty("app.db", "table book"),
    errors.BadDump("schema.sql", "schema.sql was made from other scripts than those of the source up to 2"),
    errors.SchemaDrifted("app.db", ("table audit_log is in the database, and no installed migration makes it",)),
    errors.InstalledAlready(2),
    errors.Dirty(3),
    errors.OutOfStep(2, yoyo=False, sqlx=True),
    errors.OtherSchema("app.db", "it has the table book"),
    errors.VersionNotPresent(9),
    errors.VersionTooOld(1, 3),
    errors.VersionTooNew(3, 1),
    errors.TooFewInstalled(1, 5, 2),
    errors.NotConvertible("db", "goose", (errors.Problem("db/2_b.sql", 7, "a second Up section"),), 11),
    errors.Irreversible(3),
    errors.DependencyPending(2, "1_create_author"),
    errors.DependentInstalled(1, "2_create_book"),
    errors.NotThere(2, ("column book.author",)),
    errors.ForeignKeyViolations(Step(), (("book", 3, "shelf"),)),
    errors.StatementTimeout(Step(), 30.0, path="2.sql", line=1, column=1, statement="SELECT 1", frame=""),
    errors.RowsLost(Step(), (("book", 3, 0),)),
    errors.DatabaseFailed("app.db", "database or disk is full"),
    errors.SnapshotFailed("app.db", "database is locked"),
    errors.BadSnapshotDirectory("app.db", "backups is not a directory"),
    errors.BadSnapshot("app.db.v1.snapshot", "there is no such file"),
    errors.Interrupted(),
    errors.Stopped(),
    errors.WorkerLost(-9),
    errors.WaitTimeout("app.db", "2 migrations are pending, the first is 1_create_book", 300.0),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_sentence_of_an_error_is_the_one_that_is_shown(error: errors.MigrationError) -> None:
    """Word for word, in the section of its class."""
    section = PAGE.partition(f"\n`{type(error).__name__}`, ")[2].partition("\n### ")[0]
    (shown,) = re.findall(r"^error: (.*)$", section, re.MULTILINE)

    assert shown == str(error)
