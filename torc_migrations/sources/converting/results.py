"""What a conversion has made: migrations, what could not be converted, and how a database goes on with them."""

from __future__ import annotations

from dataclasses import dataclass

from torc_migrations.errors import Problem


@dataclass(frozen=True, slots=True)
class Converted:
    """A migration that was converted.

    Attributes:
        id: the name of its files without their ends. version: its version, or None for a post-apply script.
        origins: the paths of the files that it was made of.
        up, down: the bytes of its scripts; `down` is None where it cannot be rolled back.
        up_path, down_path: where they are written, or would be.
    """

    id: str
    version: int | None
    origins: tuple[str, ...]
    up: bytes
    down: bytes | None
    up_path: str
    down_path: str | None

    def as_dict(self) -> dict[str, object]:
        """Return it as values that `json` takes, without the SQL."""
        return {
            "version": self.version,
            "id": self.id,
            "from": list(self.origins),
            "up": self.up_path,
            "down": self.down_path,
        }


@dataclass(frozen=True, slots=True)
class Conversion:
    """What `torc_migrations.convert` has made of a directory.

    Attributes:
        directory: the directory that was read. tool: whose migrations it has.
        migrations: those that were converted, by ascending version.
        problems: what could not be converted, with file, line and reason; empty unless `partial` was asked for.
        notes: sentences about what is not as it was.
        adoption: how a database that the tool has migrated goes on with the new files.
        written: the paths of the files that were written.
    """

    directory: str
    tool: str
    migrations: tuple[Converted, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    adoption: str
    written: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return it as values that `json` takes."""
        return {
            "tool": self.tool,
            "converted": [each.as_dict() for each in self.migrations],
            "problems": [each.as_dict() for each in self.problems],
            "notes": list(self.notes),
            "adoption": self.adoption,
            "created": list(self.written),
        }

    def as_text(self) -> str:
        """Return a line for each migration: the files that it was made of, and those that it becomes."""
        return "".join(
            f"{', '.join(each.origins)} -> {', '.join(path for path in (each.up_path, each.down_path) if path)}\n"
            for each in self.migrations
        )
