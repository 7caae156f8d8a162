"""Write what migrations would do into one file, for a pull request and for the person who decides."""

from __future__ import annotations

from torc_migrations.reports.gathering import make_report
from torc_migrations.reports.rendering import as_html, as_markdown
from torc_migrations.reports.values import (
    ChangeReport,
    ColumnChange,
    ObjectChange,
    PlanChange,
    ReportedMigration,
    TableChange,
)

__all__ = [
    "ChangeReport",
    "ColumnChange",
    "ObjectChange",
    "PlanChange",
    "ReportedMigration",
    "TableChange",
    "as_html",
    "as_markdown",
    "make_report",
]
