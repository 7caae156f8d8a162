"""Write a report as HTML or as Markdown, from the templates beside this file; every value is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from torc_migrations.checks.findings import CheckFinding
from torc_migrations.checks.linting.lint import FAILS
from torc_migrations.errors import MissingLibrary
from torc_migrations.formatting import counted
from torc_migrations.rehearsals.report import statement_details
from torc_migrations.reports.diagram import SIGNS, column_text, drawn_tables, lay_out
from torc_migrations.reports.values import ChangeReport, Kind

try:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup
except ImportError as missing:
    raise MissingLibrary("a report", "jinja2", "report") from missing

from torc_migrations.reports.escaping import fenced, html_text, markdown_text, mermaid_text

_BAR = 10  # characters
_IN_MERMAID = 40  # tables; more are not read in a comment, and a host may refuse to draw them


def as_html(report: ChangeReport) -> str:
    """Return a page that loads nothing from elsewhere and runs no script; it says so to the browser."""
    style = _read("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = _environment(html_text).get_template("report.html")
    return template.render(
        report=report,
        diagram=lay_out(report.tables),
        style=Markup(style),  # noqa: S704  # a file of this package
        digest=digest,
        longest=_longest(report),
    )


def as_markdown(report: ChangeReport) -> str:
    """Return Markdown as GitHub and GitLab show it, with a diagram in Mermaid."""
    template = _environment(markdown_text).get_template("report.md")
    tables = drawn_tables(report.tables)
    drawn, left_out = tables[:_IN_MERMAID], len(tables[_IN_MERMAID:])
    numbers = {table.name: f"t{number}" for number, table in enumerate(drawn)}
    text = template.render(report=report, drawn=drawn, left_out=left_out, numbers=numbers, longest=_longest(report))
    return text.strip() + "\n"


def _longest(report: ChangeReport) -> int:
    """Return the time of the slowest migration, which has the longest bar."""
    return max((each.elapsed_ns for each in report.migrations), default=0) or 1


def _read(name: str) -> str:
    return (files("torc_migrations.reports") / "templates" / name).read_text(encoding="utf-8")


def _environment(finalize: Any) -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        counted=_counted,
        duration=duration,
        number=_number,
        share=_share,
        bar=_bar,
        fenced=fenced,
        mermaid=mermaid_text,
        column=column_text,
        slowest=_slowest,
        by_rule=_by_rule,
        by_kind=_by_kind,
        details=statement_details,
    )
    environment.globals.update(signs=SIGNS)
    return environment


def _counted(number: int, singular: str, plural: str | None = None) -> str:
    return counted(number, singular, plural)


def duration(nanoseconds: int) -> str:
    """Return a time with two digits or more: `7.5 ms`, `120 ms`, `1.2 s`."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            value = nanoseconds / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{nanoseconds} ns"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _share(part: int, whole: int, of: int) -> int:
    """Return how much of `of` a part is, at least 1."""
    return max(1, round(part * of / whole)) if whole else 1


def _bar(part: int, whole: int) -> str:
    return "█" * _share(part, whole, _BAR)


def _by_rule(findings: Iterable[CheckFinding]) -> list[list[CheckFinding]]:
    """Return findings by their rule: a script that fails, errors, warnings."""
    found: dict[tuple[str, str, str], list[CheckFinding]] = {}
    for each in sorted(findings, key=lambda each: (each.rule != FAILS, each.level != "error")):
        found.setdefault((each.level, each.check, each.rule), []).append(each)
    return list(found.values())


def _by_kind(report: ChangeReport) -> list[tuple[Kind, str, list[str]]]:
    """Return the names of what is added, changed or dropped, with what it is; not the tables that are changed."""
    found: dict[tuple[Kind, str], list[str]] = {}
    for table in report.changed_tables:
        if table.kind != "changed":
            found.setdefault((table.kind, "table"), []).append(table.name)
    for each in report.objects:
        name = each.name if each.table is None or each.what == "view" else f"{each.name} ({each.table})"
        found.setdefault((each.kind, each.what), []).append(name)
    return [(kind, what, names) for (kind, what), names in found.items()]


def _slowest(statements: Any, number: int) -> list[Any]:
    """Return the slowest statements, in their order."""
    chosen = sorted(range(len(statements)), key=lambda place: -statements[place].elapsed_ns)[:number]
    return [statements[place] for place in sorted(chosen)]
