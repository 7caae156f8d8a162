"""What every error of this package is: a sentence, facts, a hint and an exit code."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torc_migrations.plan import Report


class MigrationError(Exception):
    """Be the base of every error of this package.

    `str()` of an error is one sentence, the facts are attributes, and nobody needs to parse a message.
    Every error survives `pickle`, so that it can cross from a worker process to its parent.

    Attributes:
        exit_code: the status with which the command ends; part of the API.
        hint: a way out, in a sentence, or None.
        report: what a run had done before it failed (a `Report`), or None where nothing was begun.
        rehearsed: the database that was not touched, because this was a rehearsal on a copy of it, or None.
        frame: where the SQL went wrong, as lines of text with a caret, or None.
    """

    exit_code = 1
    hint: str | None = None
    frame: str | None = None
    report: Report | None = None
    rehearsed: str | None = None

    def __init__(self, sentence: str, *, hint: str | None = None, frame: str | None = None) -> None:
        super().__init__(sentence)
        if frame is not None:
            self.frame = frame
            self.add_note(frame)
        self.hint = self.hint if hint is None else hint
        if self.hint is not None:
            self.add_note(f"hint: {self.hint}")

    def as_dict(self) -> dict[str, object]:
        """Return the error as values that `json` takes: its name, its sentence, its hint, and its plain facts."""
        plain = {name: fact for name, fact in vars(self).items() if isinstance(fact, (str, int, float, bool))}
        return {"type": type(self).__name__, "message": str(self), "exit_code": self.exit_code, **plain}

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[MigrationError], args: tuple[object, ...], facts: dict[str, object]) -> MigrationError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error
