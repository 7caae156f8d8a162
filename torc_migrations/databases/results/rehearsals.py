"""Where a rehearsal runs, and what it cannot show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RehearsalPlace:
    """Where scripts are rehearsed.

    Attributes:
        where: as in `on a copy`.
        notes: sentences about what cannot be seen there.
        no_copy: why it is the database itself, in a transaction that is rolled back; None where it is another one.
        has_rows: whether the tables there have their rows.
    """

    where: str
    notes: tuple[str, ...] = ()
    no_copy: str | None = None
    has_rows: bool = True

    @property
    def is_undone(self) -> bool:
        """Whether it is the database itself, in a transaction that is rolled back."""
        return self.no_copy is not None


ON_A_COPY = RehearsalPlace("on a copy")
ON_AN_EMPTY_DATABASE = RehearsalPlace("on an empty database")


def on_a_copy_in(directory: str) -> RehearsalPlace:
    """Return that the copy is not next to the database."""
    note = f"the copy was in {directory}, because the directory of the database takes no other file"
    return RehearsalPlace("on a copy", (note,))


def undone(reason: str) -> RehearsalPlace:
    """Return that a transaction is rolled back, with what it cannot show; `reason` says why there is no copy."""
    not_shown = (
        "statements that need to be outside a transaction; what happens at the commit; and sequences that were "
        "advanced, which no ROLLBACK undoes"
    )
    notes = (
        f"rehearsed in one transaction that was rolled back, and not on a copy, because {reason}",
        "until its end the transaction held the locks that are listed, on the tables of the application too",
        f"not shown: {not_shown}",
    )
    return RehearsalPlace("in a transaction that was rolled back", notes, no_copy=reason)


def without_rows(left_out: tuple[str, ...]) -> RehearsalPlace:
    """Return that the schema alone was copied, with what that cannot show."""
    note = (
        "the copy has no rows but those of the ledgers: not shown are times, rows that are lost, and what fails only "
    )
    return RehearsalPlace(
        "on a copy of the schema", (f"{note}with rows", "events are not copied", *left_out), has_rows=False
    )
