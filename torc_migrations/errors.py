"""Every error: its sentence, its facts, its hint and its exit status."""

# Without `from __future__ import annotations`: typing would compile each annotation of a NamedTuple, at every start.

import re
from collections.abc import Iterable
from typing import ClassVar, NamedTuple, Protocol

from torc_migrations.formatting import counted, masked, size_text


class FailedStep(Protocol):
    """What an error says of the step that failed: a `torc_migrations.history.steps.Step`."""

    @property
    def name(self) -> str:
        """The version of a migration, or the id of a hook."""

    @property
    def title(self) -> str:
        """Its name, and what it is: `migration 3`."""

    @property
    def is_hook(self) -> bool:
        """Whether it is a post-apply hook."""


class RunReport(Protocol):
    """What an error says of the run before it: a `torc_migrations.history.steps.Report`."""

    @property
    def applied(self) -> tuple[int, ...]:
        """The versions whose scripts were run."""

    @property
    def snapshot(self) -> str | None:
        """The path of the snapshot that was made before the run."""


class MigrationError(Exception):
    """Be the base of every error of this package.

    `str()` of an error is one sentence, the facts are attributes, and nobody needs to parse a message.
    Every error survives `pickle`, so that it can cross from a worker process to its parent.

    Attributes:
        code: the error's name for programs, as in JSON: `version-mismatch`; part of the API.
        exit_code: the status with which the command ends; part of the API.
        hint: what to do, in a sentence that names parameters and methods, or None.
        command_hint: the same for the command line, where it names flags and verbs.
        report: what a run had done before it failed (a `Report`), or None where nothing was begun.
        rehearsed: the database that was not touched, because this was a rehearsal on a copy of it, or None.
        frame: where the SQL went wrong, as lines of text with a caret, or None.
    """

    code: ClassVar[str] = "migration-error"
    exit_code = 1
    hint: str | None = None
    command_hint: str | None = None
    frame: str | None = None
    report: RunReport | None = None
    rehearsed: str | None = None

    def __init_subclass__(cls) -> None:
        """Name the class for programs: `VersionMismatch` is `version-mismatch`."""
        super().__init_subclass__()
        cls.code = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()

    def __init__(
        self, sentence: str, *, hint: str | None = None, command_hint: str | None = None, frame: str | None = None
    ) -> None:
        super().__init__(sentence)
        if frame is not None:
            self.frame = frame
            self.add_note(frame)
        self.command_hint = command_hint or hint or self.command_hint or self.hint
        self.hint = hint or self.hint
        if self.hint is not None:
            self.add_note(f"hint: {self.hint}")

    def replace_hint(self, hint: str) -> None:
        """Say what to do in another sentence, which is the same for Python and for the command line."""
        self.hint = self.command_hint = hint
        self.add_note(f"hint: {hint}")

    def extend_hint(self, words: str, command_words: str | None = None) -> None:
        """Say one thing more about what is left to do; the command line may have other words for it."""
        more = command_words or words
        self.command_hint = f"{self.command_hint}; {more}" if self.command_hint else more
        self.hint = f"{self.hint}; {words}" if self.hint else words
        self.add_note(words)

    def as_dict(self) -> dict[str, object]:
        """Return the error as values that `json` takes: its names, its sentence, its hint, and its plain facts."""
        facts = {name: fact for name, fact in vars(self).items() if isinstance(fact, (str, int, float, bool))}
        facts.pop("command_hint", None)
        kind = {"type": type(self).__name__, "code": self.code}
        return {**kind, "message": str(self), "exit_code": self.exit_code, **facts}

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[MigrationError], args: tuple[object, ...], facts: dict[str, object]) -> MigrationError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class BadOption(MigrationError):
    """An argument cannot be used; nothing was opened or read.

    Attributes:
        option: the name of the parameter. value: what was given, as `repr()` writes it. allowed: what it takes.
    """

    exit_code = 2

    def __init__(self, option: str, value: object, allowed: str) -> None:
        self.option = option
        self.value = masked(repr(value))
        self.allowed = allowed
        super().__init__(f"{option} must be {allowed}, not {self.value}")


class BadOptionValue(BadOption, ValueError):
    """An argument has a value that it cannot have."""


class BadOptionType(BadOption, TypeError):
    """An argument has a type that it cannot have."""


class SourceError(MigrationError):
    """The directory of migrations cannot be used: missing, empty, or with a file that is no migration.

    Attributes:
        source: the directory, or what else was given.
    """

    exit_code = 2

    def __init__(
        self,
        source: str,
        reason: str,
        *,
        hint: str | None = None,
        command_hint: str | None = None,
        frame: str | None = None,
    ) -> None:
        self.source = masked(source)
        super().__init__(masked(reason), hint=hint, command_hint=command_hint, frame=frame)


class BadName(SourceError):
    """A file's name has no number where sqlx wants the version."""

    def __init__(self, source: str, name: str, *, hint: str | None = None, command_hint: str | None = None) -> None:
        self.name = name
        super().__init__(
            source,
            f'while resolving migrations: error parsing migration filename "{name}"; '
            "expected integer version prefix (e.g. `01_foo.sql`)",
            hint=hint or f"rename {name!r} in {source}, or move it into a subdirectory, which is not read",
            command_hint=command_hint,
        )


class DuplicateVersion(SourceError):
    """Two files claim the same version; sqlx's ledger has one row a version."""

    hint = "give one of them another version, unless it is installed somewhere already"

    def __init__(self, source: str, version: int, names: tuple[str, str], *, hint: str | None = None) -> None:
        self.version = version
        self.names = names
        sentence = f"version {version} is used twice in {source}: {names[0]!r} and {names[1]!r}"
        super().__init__(source, sentence, hint=hint)


class BadOrder(SourceError):
    """In a directory with names of yoyo, the order of the versions is not the order in which yoyo runs the files.

    Attributes:
        names: two files that yoyo runs in this order, and whose versions have the opposite order.
    """

    hint = "rename the one that is not installed anywhere yet, so that numbers and names have one order: 0002, 0010"

    def __init__(self, source: str, names: tuple[str, str]) -> None:
        self.names = names
        super().__init__(
            source, f"in {source}, yoyo runs {names[0]!r} before {names[1]!r}, but its version is the higher one"
        )


class MixedLayout(SourceError):
    """One directory has both `.rollback.sql` (yoyo's layout) and `.up.sql` or `.down.sql` (sqlx's)."""

    hint = "rename the files of one layout: X.up.sql and X.down.sql are X.sql and X.rollback.sql in the other"

    def __init__(self, source: str, names: tuple[str, str]) -> None:
        self.names = names
        super().__init__(source, f"{source} mixes two layouts: {names[0]!r} is yoyo's, {names[1]!r} is sqlx's")


class BadScript(SourceError):
    """A migration's text cannot be run: not UTF-8, Python, or with transaction control of its own.

    Attributes:
        path, line, column: where; line and column are counted from 1, and None where the whole file is meant.
    """

    def __init__(
        self,
        path: str,
        reason: str,
        *,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
        command_hint: str | None = None,
        frame: str | None = None,
    ) -> None:
        self.path = path
        self.line = line
        self.column = column
        super().__init__(path, reason, hint=hint, command_hint=command_hint, frame=frame)


class Problem(NamedTuple):
    """What cannot be converted: the file, the line or None, and the reason."""

    path: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.path}{'' if self.line is None else f':{self.line}'}: {self.reason}"

    def as_dict(self) -> dict[str, object]:
        """Return it as values that `json` takes."""
        return self._asdict()


class NotConvertible(SourceError):
    """Migrations of another tool cannot be converted into SQL files; nothing was written.

    Attributes:
        tool: whose migrations they are. problems: what cannot be converted, with file, line and reason.
    """

    hint = "write these by hand, or pass partial=True to convert the others"
    command_hint = "write these by hand, or pass --partial to convert the others"

    def __init__(self, source: str, tool: str, problems: tuple[Problem, ...], others: int) -> None:
        self.tool = tool
        self.problems = problems
        count = len({problem.path for problem in problems})
        super().__init__(
            source,
            f"{counted(count, 'file')} of {tool} in {source} cannot be converted, {others} can; nothing was written",
            frame="\n".join(f"  {problem}" for problem in problems),
        )

    def as_dict(self) -> dict[str, object]:
        """Return the error as values that `json` takes, with what cannot be converted."""
        return {**super().as_dict(), "problems": [problem.as_dict() for problem in self.problems]}


class BadDump(SourceError):
    """A file cannot be used as the dump of a schema, or a schema cannot be dumped; nothing was done.

    Attributes:
        path: the file, or the database.
    """

    hint = "dump() writes it from the migrations, with their rows"
    command_hint = "`torc-migrations dump FILE` writes it from the migrations, with their rows"

    def __init__(self, path: str, reason: str) -> None:
        self.path = masked(path)
        super().__init__(path, reason)


class UntrustedFile(SourceError):
    """A configuration file, or `./migrations`, was found that somebody else may have written; nothing was read.

    Attributes:
        path: the file.
    """

    def __init__(self, path: str, reason: str, *, hint: str) -> None:
        self.path = path
        super().__init__(path, f"cannot use {path}: {reason}", hint=hint)


class BadDependency(SourceError):
    """A `-- depends:` line names a migration that does not exist, or one that comes later."""

    def __init__(self, path: str, dependency: str, reason: str) -> None:
        self.path = path
        self.dependency = dependency
        super().__init__(path, f"{path} depends on {dependency!r}, which {reason}")


class UrlError(MigrationError):
    """The database cannot be reached as it was named.

    Attributes:
        url: what was given, with any password masked.
    """

    exit_code = 2

    def __init__(self, url: str, reason: str, *, hint: str | None = None, command_hint: str | None = None) -> None:
        self.url = masked(url)
        super().__init__(masked(reason), hint=hint, command_hint=command_hint)


class CannotOpen(UrlError):
    """The database's file cannot be opened, read or written."""


class MissingDriver(UrlError):
    """The library that connects to this kind of database is not installed.

    Attributes:
        extra: what `pip install "torc-migrations[EXTRA]"` calls it.
    """

    def __init__(self, url: str, kind: str, extra: str, module: str, reason: str = "") -> None:
        self.extra = extra
        why = f": {reason}" if reason else ""
        install = f'pip install "torc-migrations[{extra}]"'
        super().__init__(url, f"{kind} needs the library {module}, which cannot be imported{why}", hint=install)


class MissingLibrary(MigrationError):
    """A library that only some users need is not installed.

    Attributes:
        extra: what `pip install "torc-migrations[EXTRA]"` calls it.
    """

    exit_code = 2

    def __init__(self, what: str, module: str, extra: str) -> None:
        self.extra = extra
        install = f'pip install "torc-migrations[{extra}]"'
        super().__init__(f"{what} needs the library {module}, which cannot be imported", hint=install)


class LedgerError(MigrationError):
    """What is recorded in the database contradicts the source, or itself.

    Attributes:
        version: the migration's version; None where the database as a whole is meant.
    """

    exit_code = 3

    def __init__(
        self, version: int | None, sentence: str, *, hint: str | None = None, command_hint: str | None = None
    ) -> None:
        self.version = version
        super().__init__(sentence, hint=hint, command_hint=command_hint)


_LETS_IN = (
    "the newer migrations that are installed allow this release: {} starts it; otherwise restore the file, or name the "
    "right directory with {}"
)


class VersionMissing(LedgerError):
    """An installed version has no file in the source.

    Attributes:
        version: the first such version.
        compatible_from: the version that a release must have at least, if newer migrations are installed that say so,
            and this release is new enough; else None.
    """

    hint = "restore its file, name the right directory with source=, or pass ignore_missing=True"
    command_hint = "restore its file, name the right directory with --source, or pass --ignore-missing"

    def __init__(self, version: int, *, compatible_from: int | None = None) -> None:
        self.compatible_from = compatible_from
        sentence = f"migration {version} was previously applied but is missing in the resolved migrations"
        hint = command_hint = None
        if compatible_from is not None:
            hint = _LETS_IN.format("on_newer='accept'", "source=")
            command_hint = _LETS_IN.format("`upgrade --on-newer=accept`", "--source")
        super().__init__(version, sentence, hint=hint, command_hint=command_hint)


class TooOld(LedgerError):
    """This release is older than the database allows: what it needs is not there any more, or is another thing.

    Attributes:
        version: the installed migration that asks for a newer release, in its `-- compatible-from:` line.
        compatible_from: the version that a release must have at least. newest: the newest one that this release has.
    """

    hint = "start a release that has it, or roll the database back to this one; ignore_missing=True starts it anyway"
    command_hint = (
        "start a release that has it, or roll the database back to this one; `upgrade --ignore-missing` accepts it"
    )

    def __init__(self, version: int, compatible_from: int, newest: int) -> None:
        self.compatible_from = compatible_from
        self.newest = newest
        super().__init__(
            version,
            f"this release ends with migration {newest}, and is too old for the database: "
            f"migration {version}, which is installed, asks for {compatible_from} or newer",
        )


class MissingAbove(VersionMissing):
    """A migration was to be rolled back below a newer one that is installed and has no file; nothing was rolled back.

    Attributes:
        version: the installed one without a file. below: the one that was to be rolled back.
    """

    hint = command_hint = "restore its file and roll it back first"

    def __init__(self, version: int, below: int) -> None:
        self.below, self.compatible_from = below, None
        sentence = f"migration {below} cannot be rolled back below {version}, which is installed and has no file"
        LedgerError.__init__(self, version, sentence)


class Renamed(LedgerError):
    """The file of an installed migration has another version now; it would be applied a second time.

    Attributes:
        version: the version of the file. recorded: the version in the ledgers, whose checksum is that of the file.
        is_missing: whether no other file has that version. is_stale: whether only sqlx's ledger still has it, because
            yoyo has rolled it back.
    """

    def __init__(self, version: int, recorded: int, *, is_missing: bool = False, is_stale: bool = False) -> None:
        self.recorded = recorded
        self.is_missing = is_missing
        self.is_stale = is_stale
        fact = f"{recorded} is installed"
        if is_stale:
            fact = f"yoyo has rolled {recorded} back, but sqlx's ledger still has it"
        does = f"removes the record of {recorded}" if is_stale else "gives the records its new name"
        other = f"; if it is another migration, `torc-migrations apply {version} --ignore-missing` applies it"
        super().__init__(
            version,
            f"migration {version} is {recorded} renamed: {fact}, and has the checksum of this file",
            hint=f"rename the file back, or repair(renamed=True) {does}",
            command_hint=f"rename the file back, or `torc-migrations repair --renamed` {does}"
            + (other if is_missing else ""),
        )


class OutOfOrder(LedgerError):
    """A pending migration is older than one that is installed, and only the right order is allowed.

    Attributes:
        version: the pending one. latest: the newest version installed.
    """

    hint = 'give it a number above the installed ones, or pass out_of_order="apply"'
    command_hint = "`torc-migrations renumber VERSION` gives it a number above the others; --out-of-order apply runs it"

    def __init__(self, version: int, latest: int) -> None:
        self.latest = latest
        super().__init__(version, f"migration {version} is pending, and older than {latest}, which is installed")


class VersionMismatch(LedgerError):
    """An installed migration's file has been edited since.

    Attributes:
        recorded, local: the SHA-384 in the ledger and that of the file, 48 bytes each.
        line_endings: whether the file differs in its line endings or a byte order mark only.
    """

    hint = "restore the file as it was applied, and write the change as a new migration"

    def __init__(self, version: int, *, recorded: bytes, local: bytes, line_endings: bool = False) -> None:
        self.recorded = recorded
        self.local = local
        self.line_endings = line_endings
        sentence = f"migration {version} was previously applied but has been modified"
        if line_endings:
            same = "it differs in its line endings or byte order mark only: "
            super().__init__(
                version,
                sentence,
                hint=f"{same}repair({version}, line_endings=True) accepts both forms",
                command_hint=f"{same}`torc-migrations repair {version} --line-endings` accepts both forms",
            )
        else:
            super().__init__(version, sentence)


class Stop(NamedTuple):
    """Where a script outside a transaction has stopped.

    Attributes:
        path: the script. done: how many of its statements are done. line: where the next one begins, from 1.
        rolls_back: whether it is the down script.
        is_running: whether the next statement was begun, and nothing is known of its end.
    """

    path: str
    done: int
    line: int
    rolls_back: bool = False
    is_running: bool = False

    @property
    def sentence(self) -> str:
        """The place, in words."""
        if self.is_running:
            return (
                f"it stopped in statement {self.done + 1} of {self.path}, at line {self.line}, and whether that "
                f"statement took effect is not known"
            )
        return f"it stopped after statement {self.done} of {self.path}, before line {self.line}"

    def hints(self, version: int) -> tuple[str, str]:
        """What to do, in Python and on the command line."""
        python = f"repair({version}, resume_after={self.done})"
        command = f"`torc-migrations repair {version} --resume-after {self.done}`"
        by_hand = _by_hand(version)
        if not self.is_running:
            return (
                f"{python} runs the other statements; or {by_hand.python}",
                f"{command} runs the other statements; or {by_hand.command}",
            )
        after = self.done + 1
        look = f"look whether statement {after} took effect: if it did not,"
        rest = "runs it and the others; if it did,"
        return (
            f"{look} {python} {rest} resume_after={after} runs the others; or {by_hand.python}",
            f"{look} {command} {rest} --resume-after {after} runs the others; or {by_hand.command}",
        )


def _by_hand(version: int) -> "_Words":
    """Say how to go on with a migration that is done in part, without running any of it."""
    return _Words(
        f"finish or undo it by hand, then call repair({version}, mark=True) or repair({version}, unmark=True)",
        f"finish or undo it by hand, then type `torc-migrations repair {version} --mark`, or `--unmark`",
    )


class Dirty(LedgerError):
    """A row with success = false: this migration was begun and not finished, by another tool or by a run of ours.

    Attributes:
        stop: where its script has stopped, if a run of ours has begun it; else None.
    """

    def __init__(self, version: int, stop: Stop | None = None) -> None:
        self.stop = stop
        if stop is None:
            sentence = f"migration {version} is partially applied; fix and remove row from `_sqlx_migrations` table"
            look, by_hand = "look what of it is in the database;", _by_hand(version)
            hint, command_hint = f"{look} {by_hand.python}", f"{look} {by_hand.command}"
            super().__init__(version, sentence, hint=hint, command_hint=command_hint)
            return
        what = "rolled back" if stop.rolls_back else "applied"
        hint, command_hint = stop.hints(version)
        sentence = f"migration {version} is partially {what}: {stop.sentence}"
        super().__init__(version, sentence, hint=hint, command_hint=command_hint)


class OutOfStep(LedgerError):
    """The two ledgers contradict each other, and neither yoyo's log nor the schema shows which is right.

    Attributes:
        yoyo, sqlx: whether yoyo's ledger, and sqlx's, say that the migration is installed.
        there, lacking: what the migration makes, as `table job`: what of it the database has, and what it lacks.
        unknown: why that is not known, in a sentence, or None.
        name: the name without a file that yoyo's ledger has, if that may be the old name of the migration; or None.
    """

    def __init__(
        self,
        version: int,
        *,
        yoyo: bool,
        sqlx: bool,
        there: tuple[str, ...] = (),
        lacking: tuple[str, ...] = (),
        unknown: str | None = None,
        name: str | None = None,
    ) -> None:
        self.yoyo = yoyo
        self.sqlx = sqlx
        self.there = there
        self.lacking = lacking
        self.unknown = unknown
        self.name = name
        says = {True: "installed", False: "not installed"}
        by_name = f", by the name {name}" if name else ""
        renamed = f"if it was {name}, {{}}; else " if name else ""
        seen = f"; of what it makes, {_listed(there)} is there, and {_listed(lacking)} is not" if there else ""
        super().__init__(
            version,
            f"migration {version} is out of step: yoyo's ledger says {says[yoyo]}{by_name}, sqlx's says {says[sqlx]}, "
            f"and the log does not show which is right{seen}",
            hint=renamed.format("call repair(renamed=True)")
            + f"finish or undo it by hand, then call repair({version}, mark=True) or repair({version}, unmark=True)",
            command_hint=renamed.format("type `torc-migrations repair --renamed`")
            + "finish or undo it by hand, then type "
            f"`torc-migrations repair {version} --mark`, or `--unmark`",
        )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")


class HalfDone(LedgerError):
    """A script outside a transaction has begun, and has not ended: its process was killed, or a statement failed.

    Attributes:
        path: the script. done: how many of its statements are done. line: where the next one begins, from 1.
        rolls_back: whether it is the down script. is_running: whether the next statement was begun, and nothing is
        known of its end.
    """

    def __init__(
        self, version: int, *, path: str, done: int, line: int, rolls_back: bool, is_running: bool = False
    ) -> None:
        self.path = path
        self.done = done
        self.line = line
        self.rolls_back = rolls_back
        self.is_running = is_running
        stop = Stop(path, done, line, rolls_back, is_running)
        what = "rollback of migration" if rolls_back else "migration"
        hint, command_hint = stop.hints(version)
        sentence = f"{what} {version} has begun and has not ended: {stop.sentence}"
        super().__init__(version, sentence, hint=hint, command_hint=command_hint)


class DamagedLedger(LedgerError):
    """A row of a ledger has a value that cannot be understood, or a ledger lacks a column.

    Attributes:
        table, column: where. row: the number of the row, or None where the table lacks the column.
        value: what is there, as `repr()` writes it, or None.
    """

    def __init__(self, table: str, column: str, *, row: int | None = None, value: object = None) -> None:
        self.table = table
        self.column = column
        self.row = row
        self.value = None if row is None else repr(value)[:60]
        if row is None:
            super().__init__(None, f"the table {table} lacks the column {column}", hint=f"restore the table {table}")
        else:
            written = "NULL" if value is None else self.value
            super().__init__(
                None,
                f"row {row} of {table} has a {column} that cannot be understood: {written}",
                hint=f"correct it by hand, or delete row {row} of {table}",
            )


class NotEmpty(LedgerError):
    """A database was to be made from a dump, and has something in it already; nothing was done.

    Attributes:
        found: the name of something that is in it.
    """

    hint = "use an empty database; or upgrade() without a dump applies what is pending"
    command_hint = "use an empty database; or `torc-migrations upgrade` without --from-dump applies what is pending"

    def __init__(self, database: str, found: str) -> None:
        self.found = found
        super().__init__(None, f"{masked(database)} is not empty: it has {found}")


class SchemaDrifted(LedgerError):
    """The schema of the database is not the one that its installed migrations make; nothing was run.

    Attributes:
        differences: a sentence for each difference.
    """

    hint = "check_drift() has each difference, with the SQL that would settle it"
    command_hint = "`torc-migrations check drift` shows each difference, with the SQL that would settle it"

    def __init__(self, database: str, differences: tuple[str, ...]) -> None:
        self.differences = differences
        more = f", and {counted(len(differences) - 1, 'more difference')}" if differences[1:] else ""
        sentence = f"{masked(database)} has another schema than its installed migrations make: {differences[0]}{more}"
        super().__init__(None, sentence)


class OtherSchema(LedgerError):
    """The torc schema was about to be put into a database that has another schema.

    Attributes:
        database: its name. evidence: what shows that its schema is another one, in a sentence.
    """

    hint = "name the directory of its own migrations with source="
    command_hint = "name the directory of its own migrations with --source"

    def __init__(self, database: str, evidence: str) -> None:
        self.database = database
        self.evidence = evidence
        super().__init__(None, f"{database} does not have the torc schema that ships with this package: {evidence}")


class TargetError(MigrationError):
    """The version that was asked for cannot be reached.

    Attributes:
        version: the one asked for.
    """

    exit_code = 4

    def __init__(
        self, version: int, sentence: str, *, hint: str | None = None, command_hint: str | None = None
    ) -> None:
        self.version = version
        super().__init__(sentence, hint=hint, command_hint=command_hint)


class VersionNotPresent(TargetError):
    """The source has no such version."""

    hint = "status() lists the versions of the source"
    command_hint = "`torc-migrations status` lists the versions of the source"

    def __init__(self, version: int) -> None:
        super().__init__(version, f"migration {version} is not present in the migration source")


class VersionTooOld(TargetError):
    """An upgrade was asked to end below `latest`, the newest version installed."""

    def __init__(self, version: int, latest: int) -> None:
        self.latest = latest
        super().__init__(
            version,
            f"migration {version} is older than the latest applied migration {latest}",
            hint=f"rollback(target={version}) goes down to it",
            command_hint=f"`torc-migrations rollback --target {version}` goes down to it",
        )


class VersionTooNew(TargetError):
    """A rollback was asked to end above `latest`, the newest version installed."""

    def __init__(self, version: int, latest: int) -> None:
        self.latest = latest
        super().__init__(
            version,
            f"migration {version} is newer than the latest applied migration {latest}",
            hint=f"upgrade(target={version}) goes up to it",
            command_hint=f"`torc-migrations upgrade --target {version}` goes up to it",
        )


class TooFewInstalled(TargetError):
    """More migrations were to be rolled back than are installed; nothing was rolled back.

    Attributes:
        version: the oldest one that is installed. steps: how many were to be rolled back.
        installed: how many there are.
    """

    hint = "rollback(target=0) rolls back everything"
    command_hint = "`torc-migrations rollback --target 0` rolls back everything"

    def __init__(self, version: int, steps: int, installed: int) -> None:
        self.steps = steps
        self.installed = installed
        super().__init__(
            version, f"{steps} migrations were to be rolled back, and {counted(installed, 'migration')} can be"
        )


class Irreversible(TargetError):
    """A migration that would be rolled back has no down script; nothing was rolled back."""

    hint = "stop above it with target=, or write its down script"
    command_hint = "stop above it with --target, or write its down script"

    def __init__(self, version: int) -> None:
        super().__init__(version, f"migration {version} has no down script and cannot be rolled back")


class NothingToResume(TargetError):
    """A script was to be resumed that has not begun, or has ended."""

    hint = "status() says in a note which scripts have begun and have not ended"
    command_hint = "`torc-migrations status` says in a note which scripts have begun and have not ended"

    def __init__(self, version: int) -> None:
        super().__init__(version, f"migration {version} has no script that has begun and has not ended")


class DependencyPending(TargetError):
    """A migration was to be applied alone that depends on `dependency`, the id of one that is pending."""

    hint = "apply both in one run, or upgrade"

    def __init__(self, version: int, dependency: str) -> None:
        self.dependency = dependency
        super().__init__(version, f"migration {version} depends on {dependency}, which is pending")


class DependentInstalled(TargetError):
    """A migration was to be rolled back alone on which `dependent`, the id of an installed one, depends."""

    def __init__(self, version: int, dependent: str) -> None:
        self.dependent = dependent
        super().__init__(
            version,
            f"migration {version} cannot be rolled back: {dependent} depends on it, and is installed",
            hint=f"roll back {dependent} too, in the same run",
        )


class InstalledAlready(TargetError):
    """A migration was to be renumbered that is installed in the database; nothing was renamed."""

    hint = "renumber the other migrations instead; or roll it back first"

    def __init__(self, version: int) -> None:
        super().__init__(version, f"migration {version} is installed, and cannot have another number")


class NotThere(TargetError):
    """A baseline was asked for, but the database lacks what its migrations create; nothing was recorded.

    Attributes:
        missing: what it lacks, as names: `table job`, `column job.name`, `index i`.
    """

    hint = "take an older version as the baseline, or upgrade"

    def __init__(self, version: int, missing: tuple[str, ...]) -> None:
        self.missing = missing
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        super().__init__(version, f"the database lacks what the migrations up to {version} create: {some}")


class LockTimeout(MigrationError):
    """Another process or connection held the database for longer than `lock_timeout`.

    Attributes:
        database: its name. holder: who held it, in words, as far as the system reports it. waited: seconds.
        not_kept: the names of the steps that were performed, could not be committed, and were rolled back.
    """

    exit_code = 5
    hint = "try again later, or wait longer with lock_timeout="
    command_hint = "try again later, or wait longer with --lock-timeout"

    def __init__(self, database: str, holder: str, waited: float) -> None:
        self.database = database
        self.holder = holder
        self.waited = waited
        self.not_kept: tuple[str, ...] = ()
        super().__init__(f"{holder} still holds {database} after a wait of {waited:.1f} s")

    def say_not_kept(self, names: Iterable[str]) -> None:
        """Name the steps that were rolled back because they could not be committed."""
        self.not_kept = tuple(names)
        first, last = self.not_kept[0], self.not_kept[-1]
        which = f"{first} was" if first == last else f"{first} to {last} were"
        self.extend_hint(f"{which} rolled back, because the commit had to wait; the next run performs them again")


class WaitTimeout(MigrationError):
    """A database was not at the version that `wait` waits for before the time had passed.

    Attributes:
        database: its name. reason: what is missing, in words. waited: seconds.
    """

    exit_code = 5
    hint = "another process has to upgrade it; wait longer with timeout="
    command_hint = "another process has to upgrade it; wait longer with --timeout"

    def __init__(self, database: str, reason: str, waited: float) -> None:
        self.database = masked(database)
        self.reason = reason
        self.waited = waited
        super().__init__(f"gave up waiting for {self.database} after {waited:.0f} s: {reason}")


class StepFailed(MigrationError):
    """A script could not be run, or may not be kept.

    Attributes:
        step: the `Step` that was being performed.
    """

    exit_code = 6
    step: FailedStep

    def say_of_the_run(self, words: str) -> None:
        """Say what is kept of the whole run, where the hint says what is kept of the step."""
        self._say_what_is_left(words, kept=False)

    def _say_what_is_left(self, words: str, *, kept: bool) -> None:
        """Replace what the hint says about what is kept of the step."""
        before = _what_is_left(self.step, kept)
        self.hint = (self.hint or before).replace(before, words)
        self.command_hint = (self.command_hint or before).replace(before, words)
        self.add_note(f"hint: {self.hint}")

    def suggest_foreign_keys(self, value: str) -> None:
        """Say how to run the script with foreign keys on or off, without a change of its file."""
        words = _with_foreign_keys(self.step, value)
        self.extend_hint(words.python, words.command)


class _Words(NamedTuple):
    """What a hint says in Python, and on the command line."""

    python: str
    command: str


_DONE_ANYWAY = (
    "the script runs outside a transaction, so it is done and recorded: correct the object with a new migration, or "
    "restore a copy of the database"
)
_MORE_TIME = _Words("statement_timeout allows more time", "--statement-timeout allows more time")
_ACCEPT = _Words('or accept it with on_loss="warn"', "or accept it with --on-loss warn")


def _with_foreign_keys(step: FailedStep, value: str) -> _Words:
    key = "0" if step.is_hook else step.name
    how = {"on": "with foreign keys on, as sqlx does", "off": "with foreign keys off"}[value]
    return _Words(f'foreign_keys={{{key}: "{value}"}} runs it {how}', f"--foreign-keys {key}={value} runs it {how}")


class ExecutionFailed(StepFailed):
    """A statement of a script failed.

    Attributes:
        step: the `Step` that was being performed.
        reason: the database's own message.
        path, line, column: where; line and column are counted from 1.
        statement: the statement's text.
        kept: whether the statements before it stay in the database, because the script asked for no transaction.
    """

    def __init__(
        self,
        step: FailedStep,
        reason: str,
        *,
        path: str,
        line: int,
        column: int,
        statement: str,
        frame: str,
        kept: bool = False,
        more: _Words | None = None,
    ) -> None:
        self.step = step
        self.reason = reason
        self.path = path
        self.line = line
        self.column = column
        self.statement = statement
        self.kept = kept
        left = _what_is_left(step, kept)
        super().__init__(
            f"while executing {step.title}: {reason}",
            frame=frame,
            hint=f"{left}; {more.python}" if more else left,
            command_hint=f"{left}; {more.command}" if more else None,
        )

    def say_nothing_kept(self) -> None:
        """Say that nothing before the statement is kept, though the script asked for no transaction."""
        self._say_what_is_left(f"nothing of {self.step.name} before this statement has to be undone", kept=True)
        self.kept = False

    def say_what_upgrade_keeps(self) -> None:
        """Say what a run on the database keeps, where the script was tried on a copy."""
        words = f"{self.step.name} runs outside a transaction: an upgrade keeps what is done before this statement"
        self._say_what_is_left(words, kept=True)


class StatementTimeout(ExecutionFailed):
    """A statement of a script ran longer than `statement_timeout`, and was stopped.

    Attributes:
        timeout: how many seconds it may take.
    """

    def __init__(
        self,
        step: FailedStep,
        timeout: float,
        *,
        path: str,
        line: int,
        column: int,
        statement: str,
        frame: str,
        kept: bool = False,
    ) -> None:
        self.timeout = timeout
        reason = f"the statement ran longer than {timeout:g} s, and was stopped"
        super().__init__(
            step,
            reason,
            path=path,
            line=line,
            column=column,
            statement=statement,
            frame=frame,
            kept=kept,
            more=_MORE_TIME,
        )


class NotRehearsable(MigrationError):
    """A script would open other files than the copy on which it is rehearsed; it was not run.

    Attributes:
        step: the `Step` that was being rehearsed.
        reason: what it would open, in a sentence.
        path, line, column: where; line and column are counted from 1.
    """

    exit_code = 6
    hint = (
        "try it by hand on copies of all its files; target= rehearses what comes before it, "
        "and without on_loss= an upgrade runs it without a rehearsal"
    )
    command_hint = (
        "try it by hand on copies of all its files; --target rehearses what comes before it, "
        "and without --on-loss `upgrade` runs it without a rehearsal"
    )

    def __init__(self, step: FailedStep, reason: str, *, path: str, line: int, column: int, frame: str) -> None:
        self.step = step
        self.reason = reason
        self.path = path
        self.line = line
        self.column = column
        super().__init__(f"{step.title} cannot be rehearsed: {reason}", frame=frame)


class ForeignKeyViolations(StepFailed):
    """A script left rows that point to no row; nothing of it was kept.

    Attributes:
        step: the `Step` that was being performed.
        violations: tuples of (table, rowid or None, table pointed to).
        wrong_key: what is wrong with the first key itself, in a sentence; None where a row points to no row.
        facts: how many there are and which is the first, in words.
    """

    def __init__(
        self, step: FailedStep, violations: tuple[tuple[str, int | None, str], ...], wrong_key: str | None = None
    ) -> None:
        self.step = step
        self.violations = violations
        self.wrong_key = wrong_key
        table, rowid, parent = violations[0]
        row = "a row" if rowid is None else f"row {rowid}"
        count = f"{len(violations)} foreign key violations, first" if violations[1:] else "1 foreign key violation"
        self.facts = f"{count}: {wrong_key or f'{row} of {table} points to no row of {parent}'}"
        super().__init__(f"while executing {step.title}: {self.facts}", hint=_what_is_left(step, kept=False))


class SchemaBroken(StepFailed):
    """Something in the schema worked before a script and does not after it.

    Nothing of the script was kept, unless it runs outside a transaction: then it is done and recorded.

    Attributes:
        step: the `Step` that was being performed.
        broken: tuples of (what it is, why it does not work), as in ("view v", "no such table: main.a").
        path, line, column: the statement after which the first of them worked no more; None where it is not known.
        statement: its text.
        fires_on: the table that cannot be written any more, where the first of them is new, and a trigger on it or a
            table with a key to it.
        kept: whether the script is done and recorded.
    """

    def __init__(
        self,
        step: FailedStep,
        broken: tuple[tuple[str, str], ...],
        *,
        fires_on: str | None = None,
        path: str | None = None,
        line: int | None = None,
        column: int | None = None,
        statement: str | None = None,
        frame: str | None = None,
        kept: bool = False,
    ) -> None:
        self.step = step
        self.broken = broken
        self.fires_on = fires_on
        self.kept = kept
        self.path = path
        self.line = line
        self.column = column
        self.statement = statement
        title, reason = broken[0]
        more = f", and {len(broken) - 1} more" if broken[1:] else ""
        left = _what_is_left(step, kept=False)
        what = f"{title} worked before and does not any more"
        if fires_on is not None:
            what = f"{title} does not work, and with it writing to {fires_on}, which worked before"
        super().__init__(
            f"while executing {step.title}: {what}: {reason}{more}",
            frame=frame,
            hint=_DONE_ANYWAY if kept else f"{left}; allow_broken_schema=True keeps it as it is",
            command_hint=_DONE_ANYWAY if kept else f"{left}; --allow-broken-schema keeps it as it is",
        )


class RowsLost(StepFailed):
    """Tables lost rows, but the script has no DELETE or DROP TABLE of them; nothing of it was kept.

    A DROP TABLE of a table that the script makes again is none.

    Attributes:
        step: the `Step` that was being performed.
        lost: tuples of (table, rows before, rows after); table, before, after: the first of them.
    """

    def __init__(self, step: FailedStep, lost: tuple[tuple[str, int, int], ...]) -> None:
        self.step = step
        self.lost = lost
        self.table, self.before, self.after = lost[0]
        left = f"{_what_is_left(step, kept=False)}; if the rows are to be deleted, write the DELETE into the script"
        some = ", ".join(f"{before - after} of {before} rows of {table}" for table, before, after in lost[:3])
        more = f" and {len(lost) - 3} more" if lost[3:] else ""
        super().__init__(
            f"while executing {step.title}: {some}{more} were lost without a DELETE or DROP TABLE in the script",
            hint=f"{left}; {_ACCEPT.python}",
            command_hint=f"{left}; {_ACCEPT.command}",
        )


class RowsDoubled(StepFailed):
    """Tables got copies of rows that still stood in them; nothing of the script was kept.

    The script is one for foreign keys that are on: it copies the rows, drops or empties the table that they point to,
    and puts the copies back. With foreign keys off nothing had deleted the rows.

    Attributes:
        step: the `Step` that was being performed.
        doubled: tuples of (table, rows before, rows after); table, before, after: the first of them.
    """

    def __init__(self, step: FailedStep, doubled: tuple[tuple[str, int, int], ...]) -> None:
        self.step = step
        self.doubled = doubled
        self.table, self.before, self.after = doubled[0]
        left, keys = _what_is_left(step, kept=False), _with_foreign_keys(step, "on")
        some = ", ".join(f"{after} rows of {table} instead of {before}" for table, before, after in doubled[:3])
        more = f" and {len(doubled) - 3} more" if doubled[3:] else ""
        super().__init__(
            f"while executing {step.title}: {some}{more}: the script puts copies of rows back that were not deleted",
            hint=f"{left}; {keys.python}; {_ACCEPT.python}",
            command_hint=f"{left}; {keys.command}; {_ACCEPT.command}",
        )


class DatabaseFailed(MigrationError):
    """The database failed outside of any script: a full disk, a damaged file, a file that was removed.

    Attributes:
        database: its name. reason: the driver's message.
        is_lost: whether the connection to a server was lost, so that it is not known whether the last commit was done.
        is_conflict: whether a server has rolled the transaction back because of another one; it may be repeated.
    """

    exit_code = 6
    is_lost: bool = False
    is_conflict: bool = False

    def __init__(self, database: str, reason: str, *, hint: str | None = None) -> None:
        self.database = database
        self.reason = reason
        super().__init__(f"{database} failed: {reason}", hint=hint)


def _what_is_left(step: FailedStep, kept: bool) -> str:
    if kept:
        return f"{step.name} runs outside a transaction: the statements before this one were kept, and are not recorded"
    return f"nothing of {step.name} was kept" + ("; the next upgrade runs it again" if step.is_hook else "")


class NotEnoughSpace(MigrationError):
    """Something needs more space on the disk than is free; nothing was done.

    Attributes:
        directory: where the space is missing. needed, free: bytes.
    """

    exit_code = 6

    def __init__(
        self, purpose: str, directory: str, *, needed: int, free: int, hint: str, command_hint: str | None = None
    ) -> None:
        self.directory = directory
        self.needed = needed
        self.free = free
        super().__init__(
            f"{purpose} may need {size_text(needed)} in {directory}, where {size_text(free)} are free",
            hint=hint,
            command_hint=command_hint,
        )


class SnapshotFailed(MigrationError):
    """A snapshot could not be made; nothing was run."""

    exit_code = 6
    hint = "nothing was run, because no snapshot could be made"

    def __init__(self, database: str, reason: str) -> None:
        self.database = database
        self.reason = reason
        super().__init__(f"cannot make a snapshot of {database}: {reason}")


class BadSnapshotDirectory(SnapshotFailed):
    """The directory for snapshots is missing, is a file, or may not be written; nothing was run."""

    exit_code = 2
    hint = "name a directory that exists and may be written; nothing was run"


class BadSnapshot(MigrationError):
    """A file cannot be restored as a database: missing, damaged, or no database; nothing was changed.

    Attributes:
        path: the file.
    """

    exit_code = 2

    def __init__(self, path: str, reason: str, *, hint: str | None = None) -> None:
        self.path = masked(path)
        super().__init__(f"cannot restore {self.path!r}: {reason}", hint=hint)


class WrittenSince(MigrationError):
    """Another connection has written since a snapshot was made."""

    exit_code = 5


class BadArguments(MigrationError):
    """The command line is wrong; passwords of URLs in it are masked."""

    exit_code = 2

    def __init__(self, sentence: str, *, hint: str) -> None:
        super().__init__(masked(sentence), hint=masked(hint))


class OutputFailed(MigrationError):
    """Standard output cannot be written, as on a full disk."""

    exit_code = 2


class Interrupted(MigrationError):
    """Ctrl-C was pressed.

    Attributes:
        done: the versions that were finished before.
    """

    exit_code = 130
    hint = "`torc-migrations status` lists what is installed"

    def __init__(self, done: tuple[int, ...] = ()) -> None:
        self.done = done
        super().__init__("interrupted")


class Stopped(MigrationError):
    """The operation was stopped from another thread, after the migration that was running; no other one has begun.

    It is raised in the thread of the operation. The one that was cancelled raises its own exception.
    """

    exit_code = 130
    hint = "the next upgrade continues; nothing needs to be repaired"

    def __init__(self) -> None:
        super().__init__("stopped before the next migration")


class WorkerLost(MigrationError):
    """A process of a fleet has ended by itself, as when it was killed; the others have ended what they had begun.

    Attributes:
        status: its exit status, or the negative number of a signal.
    """

    exit_code = 6
    hint = "the next run continues; fewer workers need less memory"

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"a process of the fleet has ended with status {status}")


class NotSupported(MigrationError):
    """This kind of database cannot do what was asked for; nothing was done."""

    exit_code = 2

    def __init__(self, database: str, reason: str, *, hint: str | None = None) -> None:
        self.database = database
        super().__init__(f"{database}: {reason}", hint=hint)
