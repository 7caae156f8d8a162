"""What the tests of the recipes share: their directory, a slow migration, and what is true once all have started."""

from __future__ import annotations

from pathlib import Path

from shell import ROOT, installed, query

RECIPES = ROOT / "docs" / "recipes"
PATIENCE = 240.0  # seconds; eight workers that start on a busy machine
SLOW = """
CREATE TABLE number AS
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000)
SELECT MAX(i) AS last FROM n;
INSERT INTO book (title) VALUES ('Emma');
"""


def check_once(project: Path) -> None:
    """Check that each migration was applied once, by any of them."""
    assert len(installed(project)) == 4
    log = query(project / "app.db", "SELECT migration_id, COUNT(*) FROM _yoyo_log GROUP BY migration_id")
    assert {count for _, count in log} == {1}
    assert len(log) == 4
    assert query(project / "app.db", "SELECT COUNT(*) FROM book WHERE title = 'Emma'") == [(1,)]
