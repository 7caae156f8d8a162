"""What a check has found: values, and the same as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from torc_migrations.formatting import counted, one_line

Level: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One thing that a check has found.

    Attributes:
        check: the name of the check: `lock`.
        rule: the name of what is wrong, which the reference explains: `stale-lock`.
        message: a sentence.
        path: the file that has to be corrected, or None.
        line, column: the place in it, counted from 1; None where the whole file is meant.
        version: the version of the migration that it is about, or None.
        level: `"error"`, which makes a check fail, or `"warning"`.
        hint: what to do, or None.
        details: more lines for a person, such as the words that differ.
        sql: statements that would correct it, in their order; look at them before you run them.
    """

    check: str
    rule: str
    message: str
    path: str | None = None
    line: int | None = None
    column: int | None = None
    version: int | None = None
    level: Level = "error"
    hint: str | None = None
    details: tuple[str, ...] = ()
    sql: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The file, with line and column where they are known; empty where there is no file."""
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)

    def as_text(self) -> str:
        """Return lines for a person."""
        place = f"{self.place}: " if self.place else ""
        lines = [f"{place}{self.level}: {self.message} [{self.rule}]", *(f"    {line}" for line in self.details)]
        if self.sql:
            lines.append("  SQL that would correct it:")
            lines += [f"    {line}" for statement in self.sql for line in statement.splitlines()]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "".join(f"{one_line(line)}\n" for line in lines)

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {**asdict(self), "details": list(self.details), "sql": list(self.sql)}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check has found.

    Attributes:
        check: its name.
        findings: what is wrong.
        skipped: why it was not run, in a few words, or None.
    """

    check: str
    findings: tuple[CheckFinding, ...] = ()
    skipped: str | None = None

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    def as_text(self) -> str:
        """Return one line: its name, and how it ended."""
        if self.skipped is not None:
            return f"{self.check}: not run, because {self.skipped}\n"
        numbers = {"error": 0, "warning": 0}
        for finding in self.findings:
            numbers[finding.level] += 1
        counts = [counted(number, level) for level, number in numbers.items() if number]
        return f"{self.check}: {', '.join(counts) or 'ok'}\n"

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            "check": self.check,
            "ok": self.ok,
            "skipped": self.skipped,
            "findings": [finding.as_dict() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What several checks have found, one result for each, in the order in which they ran."""

    results: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Whether no check has found an error."""
        return all(result.ok for result in self.results)

    @property
    def findings(self) -> tuple[CheckFinding, ...]:
        """The findings of all checks."""
        return tuple(finding for result in self.results for finding in result.findings)

    def __iter__(self) -> Iterator[CheckResult]:
        """Iterate over the results."""
        return iter(self.results)

    def as_text(self) -> str:
        """Return the findings, and a line for each check."""
        findings = (finding.as_text() for finding in self.findings)
        return "".join((*findings, *(result.as_text() for result in self.results)))

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {"ok": self.ok, "checks": [result.as_dict() for result in self.results]}
