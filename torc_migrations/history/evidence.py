"""What the schema of a database says about a migration that the ledgers contradict each other on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from torc_migrations.errors import MigrationError
from torc_migrations.history.verdict import Verdict

Words: TypeAlias = tuple[str, ...]


class Made(NamedTuple):
    """What a migration adds to the schema and removes from it, as names: `table job`, `column job.name`, `index i`.

    `changed` are the definitions of what it leaves under its old name, before and after it.
    """

    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    changed: Mapping[str, tuple[Words, Words]] = {}

    @property
    def names(self) -> frozenset[str]:
        """The names of all that it adds, removes or changes."""
        return self.added | self.removed | self.changed.keys()


class Trial(NamedTuple):
    """What the migrations of a source make, by version, and the error at which their trial ended, or None."""

    made: Mapping[int, Made]
    error: MigrationError | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a migration makes, as names like `table job`: what of it a database has, and what it lacks.

    `unknown` says why that is not known, in a sentence; None where it is.
    """

    there: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    unknown: str | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the migration is installed: where all of it is there; not where nothing is."""
        if bool(self.there) is bool(self.lacking):
            return Verdict.OUT_OF_STEP
        return Verdict.INSTALLED if self.there else Verdict.PENDING

    @property
    def sentence(self) -> str:
        """What was found, in a sentence without a subject."""
        if self.unknown is not None:
            return f"what it makes is not known: {self.unknown}"
        if self.verdict is Verdict.INSTALLED:
            return f"all that it makes is there: {_listed(self.there)}"
        if self.verdict is Verdict.PENDING:
            return f"nothing of what it makes is there: {_listed(self.lacking)}"
        if not self.there:
            return "the schema does not show whether its script has run"
        return f"of what it makes, {_listed(self.there)} is there, and {_listed(self.lacking)} is not"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
