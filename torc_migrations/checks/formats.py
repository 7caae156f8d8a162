"""Write a report for other programs: SARIF for code scanning, and annotations for GitHub Actions."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from torc_migrations import __version__
from torc_migrations.checks.findings import CheckFinding, CheckReport

# https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
_SARIF = "2.1.0"
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
# https://docs.github.com/actions/reference/workflow-commands-for-github-actions
_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def sarif(report: CheckReport, root: str | None = None) -> dict[str, object]:
    """Return a report as a SARIF log, as values that `json` takes; a path below `root` is relative to it.

    Args:
        report: what the checks have found.
        root: the directory of the repository; None means the current directory.
    """
    rules = dict.fromkeys(finding.rule for finding in report.findings)
    driver = {
        "name": "torc-migrations",
        "version": __version__,
        "rules": [{"id": rule, "shortDescription": {"text": rule.replace("-", " ")}} for rule in rules],
    }
    results = [_sarif_result(finding, root) for finding in report.findings]
    return {"$schema": _SCHEMA, "version": _SARIF, "runs": [{"tool": {"driver": driver}, "results": results}]}


def _sarif_result(finding: CheckFinding, root: str | None) -> dict[str, object]:
    result: dict[str, object] = {
        "ruleId": finding.rule,
        "level": finding.level,
        "message": {"text": _message(finding)},
    }
    if finding.path is not None:
        location: dict[str, object] = {"artifactLocation": {"uri": quote(os.fsencode(_relative(finding.path, root)))}}
        if finding.line is not None:
            column = {} if finding.column is None else {"startColumn": finding.column}
            location["region"] = {"startLine": finding.line, **column}
        result["locations"] = [{"physicalLocation": location}]
    return result


def github_annotations(report: CheckReport, root: str | None = None) -> str:
    """Return a report as workflow commands, which GitHub Actions shows beside the lines of a pull request.

    Args:
        report: what the checks have found.
        root: the directory of the repository, to which paths below it are relative; None means the current directory.
    """
    return "".join(f"{_annotation(finding, root)}\n" for finding in report.findings)


def _annotation(finding: CheckFinding, root: str | None) -> str:
    parts: dict[str, object] = {}
    if finding.path is not None:
        parts["file"] = _relative(finding.path, root)
        parts |= {} if finding.line is None else {"line": finding.line}
        parts |= {} if finding.column is None else {"col": finding.column}
    parts["title"] = finding.rule
    properties = ",".join(f"{name}={str(value).translate(_PROPERTY)}" for name, value in parts.items())
    return f"::{finding.level} {properties}::{_message(finding).translate(_DATA)}"


def _message(finding: CheckFinding) -> str:
    hint = (f"hint: {finding.hint}",) if finding.hint else ()
    return "\n".join((finding.message, *finding.details, *hint))


def _relative(path: str, root: str | None) -> str:
    """Return a path below a directory relative to it, with slashes; any other as it is. Links may lead there."""
    for whole in (os.path.abspath, os.path.realpath):
        place, top = Path(whole(path)), whole(root or os.curdir)
        if place.is_relative_to(top):
            return place.relative_to(top).as_posix()
    return Path(path).as_posix()
