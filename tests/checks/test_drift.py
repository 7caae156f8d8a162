"""`check drift`: what a database has more, less and otherwise than its installed migrations make."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from shell import Torc, everything_in, outcome_of, write_files

from torc_migrations import Migrator, upgrade
from torc_migrations.checks import CheckFinding, check, check_drift
from torc_migrations.errors import VersionMissing

SHOP = {
    "1_create_shop.sql": """
CREATE TABLE shelf (id INTEGER PRIMARY KEY, place TEXT NOT NULL);
CREATE TABLE book (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL DEFAULT 'none', -- a comment
    shelf INTEGER REFERENCES shelf (id)
);
CREATE INDEX idx_title ON book (title);
""",
    "2_add_views.sql": """
CREATE VIEW titles AS SELECT id, title FROM book;
CREATE TRIGGER keep AFTER DELETE ON book BEGIN INSERT INTO shelf (place) VALUES ('kept'); END;
CREATE TRIGGER write INSTEAD OF INSERT ON titles BEGIN INSERT INTO book (title) VALUES (new.title); END;
CREATE VIRTUAL TABLE words USING fts5 (word);
""",
    "3_later.sql": "CREATE TABLE later (x);\nINSERT INTO book (title) VALUES ('Dune'), ('Emma');\n",
}
# Changes by hand, and what they are called.
CHANGES = {
    "CREATE TABLE audit_log (x)": ["unexpected-object table audit_log"],
    "CREATE INDEX idx_more ON book (shelf)": ["unexpected-object index idx_more"],
    "CREATE VIEW more AS SELECT 1": ["unexpected-object view more"],
    "CREATE TRIGGER more AFTER INSERT ON shelf BEGIN SELECT 1; END": ["unexpected-object trigger more"],
    "DROP INDEX idx_title": ["missing-object index idx_title"],
    "DROP VIEW titles": ["missing-object trigger write", "missing-object view titles"],
    "DROP TRIGGER keep": ["missing-object trigger keep"],
    "DROP TABLE words": ["missing-object table words"],
    "ALTER TABLE shelf ADD COLUMN height": ["different-object table shelf"],
    "ALTER TABLE book ADD COLUMN isbn TEXT": ["different-object table book"],
    "DROP INDEX idx_title; CREATE INDEX idx_title ON book (title, id)": ["different-object index idx_title"],
    "DROP TRIGGER keep; CREATE TRIGGER keep AFTER DELETE ON book BEGIN SELECT 1; END": [
        "different-object trigger keep"
    ],
}


@pytest.fixture
def shop(tmp_path: Path) -> Migrator:
    """A database with everything installed."""
    migrator = Migrator(tmp_path / "app.db", write_files(tmp_path / "migrations", SHOP))
    migrator.upgrade()
    return migrator


def execute(migrator: Migrator, sql: str) -> None:
    """Change a database behind the back of its migrations."""
    with closing(sqlite3.connect(str(migrator.database))) as connection:
        connection.executescript(sql)


def found(migrator: Migrator, *ignore: str) -> list[str]:
    """Return the rules of the findings, with what they are about."""
    findings = check_drift(migrator, ignore).findings
    return sorted(f"{each.rule} {' '.join(each.message.split()[:2])}" for each in findings)


def settle(migrator: Migrator, findings: tuple[CheckFinding, ...]) -> None:
    """Run the statements of all findings, in their order."""
    execute(migrator, "\n".join(statement for each in findings for statement in each.sql))


def test_a_database_that_is_as_its_migrations_make_it_has_no_findings(shop: Migrator) -> None:
    """Rows do not matter."""
    execute(shop, "INSERT INTO shelf (place) VALUES ('one')")

    assert check_drift(shop).ok


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_found_and_settled(shop: Migrator, change: str) -> None:
    """It has one name, and after its statements there is nothing left to find."""
    execute(shop, change)

    assert found(shop) == CHANGES[change]
    settle(shop, check_drift(shop).findings)
    assert found(shop) == []


@pytest.mark.parametrize("seed", range(40))
def test_changes_together_are_settled_and_rows_stay(shop: Migrator, seed: int) -> None:
    """Several at once, in any order; no row of a table that the migrations make is lost."""
    random = Random(seed)
    changes = random.sample(sorted(CHANGES), random.randint(2, len(CHANGES)))
    for change in changes:
        try:
            execute(shop, change)
        except sqlite3.Error:
            continue  # an earlier one has taken what it needs
    count = "SELECT (SELECT count(*) FROM book), (SELECT count(*) FROM shelf), (SELECT seq FROM sqlite_sequence)"
    with closing(sqlite3.connect(str(shop.database))) as connection:
        before = connection.execute(count).fetchall()

    settle(shop, check_drift(shop).findings)

    assert found(shop) == []
    with closing(sqlite3.connect(str(shop.database))) as connection:
        assert connection.execute(count).fetchall()[0][:2] == before[0][:2]


def test_how_a_definition_is_written_does_not_matter(shop: Migrator) -> None:
    """Spaces, quotes, comments, and letters of keywords."""
    execute(shop, 'DROP INDEX idx_title; CREATE INDEX "idx_title"  ON [book]( -- by title\n "title" )')

    assert found(shop) == []


def test_what_is_pending_is_no_difference(tmp_path: Path) -> None:
    """Only what is installed is compared, also where it is not the oldest."""
    migrations = write_files(tmp_path / "migrations", SHOP)
    migrator = Migrator(tmp_path / "app.db", migrations)
    migrator.apply(1, 3)

    assert found(migrator) == []
    execute(migrator, "CREATE VIEW titles AS SELECT 1")
    assert found(migrator) == ["unexpected-object view titles"]


def test_nothing_installed_is_nothing_to_compare(tmp_path: Path) -> None:
    """The file is not even created; the reason says whether there is one."""
    migrator = Migrator(tmp_path / "app.db", write_files(tmp_path / "migrations", SHOP))

    assert check_drift(migrator).skipped == f"there is no database {str(tmp_path / 'app.db')!r} yet"
    assert not (tmp_path / "app.db").exists()
    (tmp_path / "app.db").touch()
    assert check_drift(migrator).skipped == "nothing is installed"


def test_names_can_be_ignored(shop: Migrator) -> None:
    """With what belongs to the tables of such names."""
    execute(shop, "CREATE TABLE Audit_log (x); CREATE INDEX i ON Audit_log (x); CREATE TABLE other (x)")

    assert found(shop, "audit_*") == ["unexpected-object table other"]
    assert check("drift", database=shop.database, source=shop.source, ignore=["*"]).findings == ()


def test_a_finding_names_the_migration_and_the_line_that_made_it(shop: Migrator) -> None:
    """The place is that of the statement."""
    execute(shop, "DROP TRIGGER keep")

    (finding,) = check_drift(shop).findings
    assert finding.message == "trigger keep is missing; migration 2 makes it"
    assert (finding.version, finding.line, finding.column) == (2, 3, 1)
    assert finding.path is not None
    assert finding.path.endswith("2_add_views.sql")


def test_words_that_differ_are_marked(shop: Migrator) -> None:
    """As `git diff --word-diff` marks them."""
    execute(shop, "DROP INDEX idx_title; CREATE UNIQUE INDEX idx_title ON book (id)")

    (finding,) = check_drift(shop).findings
    assert finding.details == ("create {+unique+} index idx_title on book ( [-title-] {+id+} )",)


def test_an_installed_version_without_a_file_cannot_be_compared(shop: Migrator, tmp_path: Path) -> None:
    """What it has made is not known, and a check that cannot run is not green."""
    (tmp_path / "migrations" / "2_add_views.sql").unlink()

    with pytest.raises(VersionMissing):
        check_drift(shop)


def test_the_ledgers_and_statistics_are_not_compared(shop: Migrator) -> None:
    """They belong to no migration."""
    execute(shop, "ANALYZE")

    assert found(shop) == []


def test_the_check_writes_nothing(torc: Torc, here: Path) -> None:
    """Neither into the database nor beside it."""
    write_files(here / "migrations", SHOP)
    torc("-d", "app.db", "upgrade")
    before = everything_in(here)

    assert torc("-d", "app.db", "check", "drift").out == "drift: ok\n"
    assert "drift: not run, because no database is named\n" in torc("check").out
    assert everything_in(here) == before


def test_an_upgrade_refuses_or_warns(torc: Torc, here: Path) -> None:
    """Before anything runs; `--ignore` leaves names out."""
    write_files(here / "migrations", SHOP)
    torc("-d", "app.db", "upgrade", "--target", "1")
    execute(Migrator(here / "app.db", here / "migrations"), "CREATE TABLE audit_log (x)")

    refused = torc("-d", "app.db", "upgrade", "--on-drift=refuse", "--json")
    assert refused.status == 3
    error = outcome_of(refused)["error"]
    assert error["code"] == "schema-drifted"  # type: ignore[index]
    assert torc("-d", "app.db", "upgrade", "--ignore", "audit_*").status == 2
    warned = torc("-d", "app.db", "upgrade", "--on-drift=warn", "--target", "2")
    assert warned.status == 0
    assert warned.err == "note: table audit_log is in the database, and no installed migration makes it\n"
    assert torc("-d", "app.db", "upgrade", "--on-drift=refuse", "--ignore", "audit_*").status == 0


def test_the_shipped_schema_has_no_drift(tmp_path: Path) -> None:
    """Rebuilt tables, renamed columns and all."""
    upgrade(tmp_path / "torc.db")

    assert check("drift", database=tmp_path / "torc.db").ok
