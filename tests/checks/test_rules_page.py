"""The page of the rules: each rule has a section, each wrong way is found, and each right way is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shell import ROOT, write_files

from torc_migrations import Migrator
from torc_migrations.checks import check_lint
from torc_migrations.checks.linting.rules import ON_REQUEST, OTHER_RULES, RULES

PAGE = (ROOT / "docs" / "reference" / "rules.md").read_text()
SECTIONS = dict(re.findall(r"^## ([a-z-]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
(FIRST,) = re.findall(r"```sql\n-- first\n(.*?)```", PAGE, re.DOTALL)
WAYS = [
    (rule, way, sql)
    for rule, text in SECTIONS.items()
    for way, sql in re.findall(r"```sql\n-- (wrong|right)[^\n]*\n(.*?)```", text, re.DOTALL)
]


def test_each_rule_has_a_section() -> None:
    """And no section is about a rule that does not exist."""
    assert set(SECTIONS) == {*RULES, *OTHER_RULES}


def test_the_page_has_both_ways_of_most_rules() -> None:
    """So that the test below looks at something."""
    assert sum(way == "wrong" for _, way, _ in WAYS) >= 5
    assert sum(way == "right" for _, way, _ in WAYS) >= 7


@pytest.mark.parametrize(("rule", "way", "sql"), WAYS)
def test_a_wrong_way_is_found_and_a_right_way_is_not(tmp_path: Path, rule: str, way: str, sql: str) -> None:
    """On a database with rows; a right way has no finding at all."""
    migrator = Migrator(tmp_path / "app.db", write_files(tmp_path / "m", {"1_first.sql": FIRST, "2_second.sql": sql}))
    migrator.upgrade(1)

    found = check_lint(migrator, rules=[rule] if rule in ON_REQUEST else []).findings

    assert (rule in {each.rule for each in found}) if way == "wrong" else found == ()
