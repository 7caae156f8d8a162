"""What was done to the statistics and the files of a database."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from torc_migrations.formatting import counted, duration_text, size_text, table_text


@dataclass(frozen=True, slots=True)
class Sizes:
    """The bytes of a database, the free bytes among them, None where unknown, and the rows of its statistics."""

    size: int
    free: int | None
    statistics: int


@dataclass(frozen=True, slots=True)
class Measure:
    """A statement that was run, the time that it took in nanoseconds, and the sizes after it."""

    name: str
    elapsed_ns: int
    after: Sizes


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What was done to a database: the sizes before it, and the statements in order."""

    before: Sizes
    measures: tuple[Measure, ...]

    def as_text(self) -> str:
        """Return a table with the sizes before, and after each statement."""
        rows = [("", "time", "size", "free", "statistics"), _row("before", "", self.before)]
        rows += [_row(each.name, duration_text(each.elapsed_ns), each.after) for each in self.measures]
        return table_text(rows, right=(1, 2, 3, 4))

    def as_dict(self) -> dict[str, object]:
        """Return the same as values that `json` takes."""
        return {
            "before": asdict(self.before),
            "measures": [
                {"name": each.name, "elapsed_ns": each.elapsed_ns, "after": asdict(each.after)}
                for each in self.measures
            ],
        }


def _row(name: str, time: str, sizes: Sizes) -> tuple[str, str, str, str, str]:
    return (name, time, size_text(sizes.size), size_text(sizes.free), counted(sizes.statistics, "row"))
