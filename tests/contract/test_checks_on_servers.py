"""What `check` says about a database on a server: drift is found, and what works with SQLite only says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shell import Torc, write_files

from torc_migrations import Migrator, upgrade
from torc_migrations.checks import check_drift, check_schema, upgrade_from_dump
from torc_migrations.errors import NotSupported, SchemaDrifted

SHOP = {
    "1_shop.sql": "CREATE TABLE shelf (id INT PRIMARY KEY, place VARCHAR(20));\n"
    "CREATE TABLE book (id INT PRIMARY KEY, title VARCHAR(100) NOT NULL, shelf INT REFERENCES shelf (id));\n"
    "CREATE INDEX idx_title ON book (title);\n",
    "2_view.sql": "ALTER TABLE book ADD COLUMN pages INT DEFAULT 7;\n"
    "CREATE VIEW titles AS SELECT id, title FROM book;\n",
    "3_later.sql": "CREATE TABLE later (x INT);\n",
}
# Changes by hand, and what they are called, on both kinds.
CHANGES = {
    "CREATE TABLE audit_log (x INT PRIMARY KEY)": {"unexpected-object table audit_log"},
    "CREATE VIEW more AS SELECT 1 AS one": {"unexpected-object view more"},
    "DROP VIEW titles": {"missing-object view titles 2"},
    "ALTER TABLE shelf ADD COLUMN height INT": {"different-object table shelf 1"},
    "ALTER TABLE book ALTER COLUMN pages SET DEFAULT 8": {"different-object table book 2"},
}


@pytest.fixture(params=["postgresql_database", "mariadb"])
def server(request: pytest.FixtureRequest) -> Any:
    """A database on a server of each kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def migrator(server: Any, tmp_path: Path) -> Migrator:
    """That database with two of three migrations."""
    source = write_files(tmp_path / "migrations", SHOP)
    upgrade(server.url, source, target=2)
    return Migrator(server.url, source)


def named(migrator: Migrator, ignore: tuple[str, ...] = ()) -> set[str]:
    """Return the rule, the object and the version of each finding."""
    return {
        " ".join(filter(None, (each.rule, *each.message.split()[:2], str(each.version or ""))))
        for each in check_drift(migrator, ignore).findings
    }


def test_an_upgraded_database_has_not_drifted(migrator: Migrator) -> None:
    """What is pending is no difference, nor is anything of ours; no database is left on the server."""
    assert check_drift(migrator).findings == ()
    assert check_drift(migrator).ok


@pytest.mark.parametrize(("statement", "found"), CHANGES.items())
def test_a_change_by_hand_is_found(migrator: Migrator, server: Any, statement: str, found: set[str]) -> None:
    """With the migration that makes the object; nothing is said of what belongs to a table that is too many."""
    server.execute(statement)

    assert named(migrator) == found


def test_an_index_is_found(migrator: Migrator, server: Any) -> None:
    """PostgreSQL has it apart from its table; MariaDB has it in the definition of the table too."""
    server.execute("CREATE INDEX idx_more ON book (shelf, title)")

    assert "unexpected-object index idx_more" in named(migrator)


def test_the_words_that_differ_are_shown(migrator: Migrator, server: Any) -> None:
    """As `git diff --word-diff` writes them."""
    server.execute("ALTER TABLE book ALTER COLUMN pages SET DEFAULT 8")

    (finding,) = check_drift(migrator).findings

    assert "[-7-] {+8+}" in finding.details[0]
    assert finding.sql == ()


def test_names_can_be_ignored(migrator: Migrator, server: Any) -> None:
    """By a pattern, with all that belongs to a table of such a name."""
    server.execute("CREATE TABLE audit_log (x INT PRIMARY KEY)", "CREATE INDEX i ON audit_log (x)")

    assert named(migrator, ("AUDIT_*",)) == set()


def test_the_schemas_of_other_tenants_are_no_drift(postgresql_database: Any, tmp_path: Path) -> None:
    """A schema with ledgers of its own is another tenant's; what is in one without is found, and so is a change."""
    source = write_files(tmp_path / "migrations", SHOP)
    for tenant in ("acme", "globex", "a.b"):
        postgresql_database.execute(f'CREATE SCHEMA "{tenant}"')
        upgrade(f'{postgresql_database.url}&schema="{tenant}"', source)
    migrator = Migrator(f"{postgresql_database.url}&schema=acme", source)
    assert named(migrator) == set()

    postgresql_database.execute(
        *("CREATE SCHEMA other", "CREATE TABLE other.more (x INT)"),
        *("CREATE TABLE globex.more (x INT)", "ALTER TABLE acme.shelf ADD COLUMN height INT"),
    )

    assert named(migrator) == {
        *("unexpected-object schema other", "unexpected-object table other.more", "different-object table shelf 1")
    }


def test_a_schema_that_a_migration_makes_is_compared(postgresql_database: Any, tmp_path: Path) -> None:
    """Also where somebody else keeps ledgers in it."""
    source = write_files(tmp_path / "migrations", {"1_a.sql": "CREATE SCHEMA app; CREATE TABLE app.a (x INT);"})
    upgrade(postgresql_database.url, source)
    postgresql_database.execute("CREATE TABLE app._sqlx_migrations (x INT)", "ALTER TABLE app.a ADD COLUMN y INT")

    assert named(Migrator(postgresql_database.url, source)) == {"different-object table app.a 1"}


def test_an_upgrade_refuses_a_database_that_has_drifted(migrator: Migrator, server: Any, torc: Torc) -> None:
    """Before anything is run."""
    server.execute("DROP VIEW titles")

    done = torc("-d", server.url, "-s", str(migrator.source), "upgrade", "--on-drift=refuse")

    assert done.status == SchemaDrifted.exit_code
    assert "view titles is missing; migration 2 makes it" in done.err
    assert [each.version for each in migrator.status().pending] == [3]


def test_what_works_with_sqlite_only_says_so(migrator: Migrator, tmp_path: Path, torc: Torc) -> None:
    """In a sentence, before anything is done; `check` without names leaves it out, with the same sentence."""
    (tmp_path / "s.sql").write_text("")

    with pytest.raises(NotSupported, match="a dump works with SQLite only"):
        check_schema(migrator, tmp_path / "s.sql")
    with pytest.raises(NotSupported, match="an upgrade from a dump works with SQLite only"):
        upgrade_from_dump(migrator, tmp_path / "s.sql")
    done = torc(
        *("-d", str(migrator.database), "-s", str(migrator.source), "check", "--schema", str(tmp_path / "s.sql"))
    )

    dumped = torc("-d", str(migrator.database), "-s", str(migrator.source), "dump")

    assert done.status == 0, done.err
    assert "a dump works with SQLite only" in done.out
    assert (dumped.status, dumped.out) == (2, "")
    assert "a dump works with SQLite only" in dumped.err
    assert "drift: ok\n" in done.out
