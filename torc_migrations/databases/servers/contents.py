"""Follow the contents of a database of a server, which does not say what a script has touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torc_migrations.databases.results.contents import Change

if TYPE_CHECKING:
    from torc_migrations.databases.interface import RecordedEffects
    from torc_migrations.databases.results.contents import Contents


class WholeContents:
    """The contents of a database, which `read` returns, and which are read again after each script."""

    def __init__(self, read: Callable[[], Contents]) -> None:
        self._read = read
        self.contents = read()

    def follow(self, effects: RecordedEffects) -> Change:  # noqa: ARG002
        """Read all there is."""
        before = self.contents
        self.begin_again()
        return Change(before, self.contents)

    def begin_again(self) -> None:
        """Read all there is."""
        self.contents = self._read()
