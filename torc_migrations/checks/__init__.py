"""Know before a merge and before a release what is wrong with migrations: `check` and the checks one by one."""

from __future__ import annotations

from torc_migrations.checks.branches.lock import check_lock, write_lock
from torc_migrations.checks.branches.renumber import Renumbered, renumber
from torc_migrations.checks.drift import check_drift
from torc_migrations.checks.dump import Dump, check_schema, dump, upgrade_from_dump, write_dump
from torc_migrations.checks.findings import CheckFinding, CheckReport, CheckResult
from torc_migrations.checks.formats import github_annotations, sarif
from torc_migrations.checks.linting.lint import check_lint
from torc_migrations.checks.queries import check_queries, save_queries
from torc_migrations.checks.selection import check

__all__ = [
    "CheckFinding",
    "CheckReport",
    "CheckResult",
    "Dump",
    "Renumbered",
    "check",
    "check_drift",
    "check_lint",
    "check_lock",
    "check_queries",
    "check_schema",
    "dump",
    "github_annotations",
    "renumber",
    "sarif",
    "save_queries",
    "upgrade_from_dump",
    "write_dump",
    "write_lock",
]
