"""Read scenarios.txt, and play a scenario with sqlx or with us."""

from __future__ import annotations

import re
import shlex
from ast import literal_eval
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from paired_databases import opened, show
from preloaded_programs import Said

Program: TypeAlias = Callable[..., Said]

DATABASE = "app.db"
_TIMESTAMP = re.compile(r"20[0-9]{12}(?=_hello|_again)")


class Step(NamedTuple):
    """One line: what is to be done, with what, and our sentence where we refuse it."""

    word: str
    rest: str
    refused: str | None = None


class Scenario(NamedTuple):
    """A story: what it shows, which series of sqlx can tell it (all, since or only one), and its steps."""

    claim: str
    which: str
    series: str
    steps: tuple[Step, ...]

    def can_be_told_by(self, series: str) -> bool:
        """Whether a series of sqlx does what this is about."""
        return series == self.series if self.which == "only" else series >= self.series


def read_scenarios() -> dict[str, Scenario]:
    """Return the scenarios by name."""
    text = Path(__file__).with_name("scenarios.txt").read_text(encoding="utf-8")
    stories = re.findall(r"^== (.*?)(?: \((since|only) (.*)\))?\n(.*)\n((?:    .*\n)+)", text, re.MULTILINE)
    return {name: Scenario(claim, which, series, _steps(lines)) for name, which, series, claim, lines in stories}


def _steps(lines: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    for line in lines.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "!":
            steps[-1] = steps[-1]._replace(refused=rest)
        else:
            steps.append(Step(word, rest))
    return tuple(steps)


class Stage:
    """A folder and a database in which a scenario is played."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / DATABASE
        (root / "migrations").mkdir()

    def calls(self, scenario: Scenario) -> Iterator[Step]:
        """Do everything but the calls, which are the caller's affair when their time comes."""
        for step in scenario.steps:
            if step.word == "$":
                yield step
            else:
                getattr(self, step.word)(step.rest)

    def tables(self, stems: str) -> None:
        """Write reversible migrations that make a table each."""
        for stem in stems.split():
            version = int(stem.partition("_")[0])
            self._write(f"{stem}.up.sql", f"CREATE TABLE t{version} (x INTEGER);\n")
            self._write(f"{stem}.down.sql", f"DROP TABLE t{version};\n")

    def file(self, rest: str) -> None:
        """Write one file."""
        name, _, text = rest.partition(" ")
        self._write(name, literal_eval(text))

    def _write(self, name: str, text: str) -> None:
        path = self.root / ("" if "toml" in name or name.startswith("db/") else "migrations") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())

    def remove(self, names: str) -> None:
        """Delete files."""
        for name in names.split():
            (self.root / "migrations" / name).unlink()

    def sql(self, statement: str) -> None:
        """Change the database by hand."""
        with opened(self.database) as connection:
            connection.execute(statement)

    def run(self, program: Program, arguments: str) -> Said:
        """Run a command on this stage; `add` wants no database."""
        database = () if arguments.startswith("add") else ("-D", f"sqlite:{DATABASE}")
        return program(*shlex.split(arguments), *database, folder=self.root)

    def shown(self) -> dict[str, list[str]]:
        """Return what database and folder show, as lines: the ledger, the schema, all rows, and the files of `add`."""
        shown = show(self.database)
        names = (path.name for path in (self.root / "migrations").iterdir())
        return {
            "ledger": [" ".join(map(str, (*row[:3], str(row[3])[:16]))) for row in shown.ledger],
            "schema": [f"{kind} {name}: {' '.join(str(sql).split())}" for kind, name, _, sql in shown.schema],
            "rows": [row for row in shown.rows if not row.startswith("history")],
            "added": sorted(timeless(name) for name in names if "hello" in name or "again" in name),
        }


def timeless(text: str) -> str:
    """Mask the versions that are a time."""
    return _TIMESTAMP.sub("TIME", text)
