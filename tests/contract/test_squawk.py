"""`check lint` on PostgreSQL: what squawk finds, beside what lint knows without running a script."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from servers import PostgreSQLUnderTest
from shell import Torc, write_files

from torc_migrations import Migrator, upgrade
from torc_migrations.checks import check_lint
from torc_migrations.checks.linting import squawk

FIRST = "CREATE TABLE book (id BIGINT PRIMARY KEY, title TEXT);"
SCRIPTS = {
    "1_book.sql": FIRST,
    "1_book.rollback.sql": "DROP TABLE book;",
    "2_pages.sql": "SELECT 1;\n/* ä😀 */ ALTER TABLE book ADD COLUMN pages BIGINT NOT NULL;\n",
    "2_pages.rollback.sql": "ALTER TABLE book DROP COLUMN pages;",
    "3_index.sql": "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON book (title);\nSELECT 1;\n",
}


@pytest.fixture(autouse=True)
def _installed() -> None:
    try:
        version("squawk-cli")
    except PackageNotFoundError:
        pytest.skip('there is no squawk: pip install "torc-migrations[lint]"')


@pytest.fixture
def migrator(postgresql_database: PostgreSQLUnderTest, tmp_path: Path) -> Migrator:
    """A database with the first migration, and two that are pending."""
    source = write_files(tmp_path / "migrations", SCRIPTS)
    upgrade(postgresql_database.url, source, target=1)
    return Migrator(postgresql_database.url, source)


def test_pending_scripts_are_read_with_file_line_and_column(migrator: Migrator) -> None:
    """Characters are counted, not bytes; what is installed is not read; nothing is run."""
    findings = {each.rule: each for each in check_lint(migrator).findings}

    found = findings["squawk-adding-required-field"]
    assert (found.version, found.level, found.line) == (2, "warning", 2)
    assert str(found.path).endswith("2_pages.sql")
    line = SCRIPTS["2_pages.sql"].splitlines()[1]
    assert line[(found.column or 0) - 1 :].startswith("ADD COLUMN pages")
    assert found.hint
    assert {each.version for each in findings.values()} == {2, 3}
    assert "no-down" in findings
    assert [each.version for each in migrator.status().pending] == [2, 3]


def test_a_cr_alone_ends_a_line_for_squawk(migrator: Migrator, tmp_path: Path) -> None:
    """As in files of old Macs; the server ends a comment there too."""
    text = "-- pages\rSELECT 1;\rALTER TABLE book ADD COLUMN pages BIGINT NOT NULL;\r"
    (tmp_path / "migrations" / "2_pages.sql").write_bytes(text.encode())

    (found,) = (each for each in check_lint(migrator).findings if each.rule == "squawk-adding-required-field")

    assert (found.line, found.column) == (3, 1 + text.splitlines()[2].index("ADD COLUMN"))


def test_a_script_outside_a_transaction_is_read_as_one(migrator: Migrator, tmp_path: Path) -> None:
    """CREATE INDEX CONCURRENTLY is right there, and wrong in a transaction."""
    rule = "squawk-ban-concurrent-index-creation-in-transaction"
    assert rule not in {each.rule for each in check_lint(migrator).findings}
    write_files(tmp_path / "migrations", {"3_index.sql": "CREATE INDEX CONCURRENTLY i ON book (title);\nSELECT 1;\n"})

    assert rule in {each.rule for each in check_lint(migrator).findings}


def test_a_script_allows_a_rule_of_squawk(migrator: Migrator, tmp_path: Path) -> None:
    """With a reason, as it allows ours."""
    comment = "-- torc: allow squawk-adding-required-field, because the table is empty\n"
    write_files(tmp_path / "migrations", {"2_pages.sql": comment + SCRIPTS["2_pages.sql"]})

    rules = {each.rule for each in check_lint(migrator).findings}

    assert "squawk-adding-required-field" not in rules
    assert "bad-allowance" not in rules
    assert "squawk-require-lock-timeout" in rules


def test_what_is_no_sql_is_an_error(migrator: Migrator, tmp_path: Path) -> None:
    """As squawk says it."""
    write_files(tmp_path / "migrations", {"4_typo.sql": "SELEC 1;\n"})

    result = check_lint(migrator)

    assert not result.ok
    errors = {each.rule for each in result.findings if each.level == "error" and each.version == 4}
    assert errors == {"squawk-syntax-error", "fails"}


def test_without_squawk_the_other_rules_run(migrator: Migrator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those over what the scripts have done on a copy."""
    monkeypatch.setattr(squawk, "_PACKAGE", "a-package-that-nobody-has")

    rules = {each.rule for each in check_lint(migrator).findings}

    assert rules == {"not-null-without-default", "no-down"}


def test_without_a_copy_squawk_alone_reads_the_scripts(
    migrator: Migrator, postgresql_database: PostgreSQLUnderTest
) -> None:
    """And a warning says that nothing ran, and why."""
    with postgresql_database.connect():
        findings = {each.rule: each for each in check_lint(migrator).findings}

    assert "1 other session is connected to it" in findings["not-run"].message
    assert findings["not-run"].level == "warning"
    assert "not-null-without-default" not in findings
    assert {"squawk-adding-required-field", "no-down"} <= set(findings)


def test_settings_of_squawk_are_read(
    migrator: Migrator, torc: Torc, here: Path, postgresql_database: PostgreSQLUnderTest
) -> None:
    """Those of `.squawk.toml` in the directory of the command."""
    words = ("-d", postgresql_database.url, "-s", str(migrator.source), "check", "lint")
    assert "[squawk-require-lock-timeout]" in torc(*words).out
    (here / ".squawk.toml").write_text('excluded_rules = ["require-lock-timeout"]\n')

    done = torc(*words)

    assert done.status == 1  # for the rule not-null-without-default
    assert "[squawk-require-lock-timeout]" not in done.out
    assert "2_pages.sql:2:" in done.out
