"""Explain the state of a database and a source in plain words, and what to type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from torc_migrations.errors import Dirty, HalfDone, LedgerError, MigrationError, NotRehearsable, Renamed, VersionMissing
from torc_migrations.formatting import counted, one_line, portion
from torc_migrations.history.evidence import Evidence
from torc_migrations.ledgers.others import OtherLedger, find_other_ledgers
from torc_migrations.runs.evidence import status_by_schema, try_migrations
from torc_migrations.runs.session import Session
from torc_migrations.sources.migration import Migration, Script
from torc_migrations.sources.names import Layout
from torc_migrations.sources.source import Source

if TYPE_CHECKING:
    from torc_migrations.history.records import Recorded
    from torc_migrations.history.status import Entry, Status
    from torc_migrations.history.steps import Plan

_COMMAND = "torc-migrations"


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that was found: a sentence, what to do about it, and the version it is about, if it is about one.

    `harmless` means that nothing needs to be done.
    """

    sentence: str
    remedy: str
    version: int | None = None
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is installed, in a sentence, and everything that was found, worst first."""

    summary: str
    symptoms: tuple[Symptom, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing needs to be done."""
        return all(symptom.harmless for symptom in self.symptoms)

    def advising(self, command: str) -> Diagnosis:
        """Return the same with another beginning of each command to type: `torc-migrations -d app.db`."""
        changed = (replace(each, remedy=each.remedy.replace(f"{_COMMAND} ", f"{command} ")) for each in self.symptoms)
        return replace(self, symptoms=tuple(changed))

    def as_text(self) -> str:
        """Return it as lines for a person."""
        return f"{one_line(self.summary)}\n" + "".join(
            f"{one_line(each.sentence)}\n    {one_line(each.remedy)}\n" for each in self.symptoms
        )

    def as_dict(self) -> dict[str, object]:
        """Return it as values that `json` takes."""
        return {
            "ok": self.healthy,
            "summary": self.summary,
            "symptoms": [asdict(symptom) for symptom in self.symptoms],
        }


def diagnose(session: Session, plan_upgrade: Callable[[Status], Plan]) -> Diagnosis:
    """Explain the state of a database and its source, from its status, its objects, and who holds yoyo's lock.

    `plan_upgrade` plans what `upgrade` would do; the error with which it ends comes first.
    """
    source, lock = session.source, session.yoyo_holder()
    status = status_by_schema(session)
    with session.database.reading():
        recorded = session.ledgers.read()
        others = tuple(find_other_ledgers(session.database))
    refusal = _refusal(session, status, plan_upgrade)
    baselines = tuple(_baseline(session, status))
    dirty = tuple(_dirty(status, refusal))
    symptoms = [
        *_refused(refusal, dirty),
        *dirty,
        *_half_done(status, refusal),
        *(_out_of_step(each) for each in status.entries if (each.out_of_step or each.evidence) and not each.dirty),
        *(_changed(entry) for entry in status.entries if entry.refused),
        *_renamed(status, refusal),
        *_missing(status, source, refusal),
        *_scratch_failed(session.trial.error if session.trial else None),
        *_lock(lock),
        *baselines,
        *_partly_there(session, status, baselines),
        *_adoption(status),
        *(_pending(status, baselines) if refusal is None else ()),
        *_due_hooks(status),
        *_layout(source, recorded),
        *map(_other_ledger, others),
        *(symptom for migration in source.migrations for symptom in _one_sided(migration)),
    ]
    return Diagnosis(_summary(status, session.why_empty()), tuple(symptoms))


def _refusal(session: Session, status: Status, plan_upgrade: Callable[[Status], Plan]) -> MigrationError | None:
    try:
        session.without_other_formats(plan_upgrade(status))
    except MigrationError as error:
        return error
    return None


def _refused(refusal: MigrationError | None, dirty: tuple[Symptom, ...]) -> Iterator[Symptom]:
    if refusal is not None:
        version = getattr(refusal, "version", None)
        is_explained = isinstance(refusal, Dirty) and version in {symptom.version for symptom in dirty}
        remedy = None if is_explained else refusal.command_hint
        yield Symptom(f"upgrade ends with the error: {refusal}", remedy or "see below", version)


def _summary(status: Status, why_empty: str | None) -> str:
    installed, all_in_step = status.installed, all(entry.in_step for entry in status.entries)
    newest = f", the newest is {installed[-1].id}" if installed else ""
    ledgers = "the ledgers of yoyo and sqlx agree" if all_in_step else "the ledgers of yoyo and sqlx do not agree"
    number = len(status.entries)
    verb = "is" if number == 1 else "are"
    return f"{portion(len(installed), number, 'migration')} {verb} installed{newest}; {why_empty or ledgers}"


def _dirty(status: Status, refusal: MigrationError | None) -> Iterator[Symptom]:
    begun = {entry.migration.version for entry in status.entries if entry.half_done is not None}
    for version in status.dirty:
        if version in begun or (isinstance(refusal, Dirty) and refusal.version == version and refusal.stop):
            continue
        yield Symptom(
            f"{version} is dirty: another tool began it and did not end it",
            f"look what of it is there, finish or undo it by hand, then type {_COMMAND} repair {version} --mark, or "
            f"{_COMMAND} repair {version} --unmark",
            version,
        )


def _is_about(
    refusal: MigrationError | None, kind: type[LedgerError] | tuple[type[LedgerError], ...], migration: Migration
) -> bool:
    return isinstance(refusal, kind) and refusal.version == migration.version


def _half_done(status: Status, refusal: MigrationError | None) -> Iterator[Symptom]:
    for entry in status.entries:
        if entry.half_done is not None and entry.note and not _is_about(refusal, (HalfDone, Dirty), entry.migration):
            version, done = entry.migration.version, entry.half_done.done
            yield Symptom(
                entry.note,
                f"{_COMMAND} repair {version} --resume-after {done} runs the other statements; or finish or undo it by "
                f"hand, then type {_COMMAND} repair {version} --mark, or {_COMMAND} repair {version} --unmark",
                version,
            )


def _out_of_step(entry: Entry) -> Symptom:
    version, found = entry.migration.version, entry.evidence
    if not entry.out_of_step:
        return Symptom(entry.note or "", f"{_COMMAND} upgrade corrects the ledgers", version)
    old = entry.unsure_ids[0] if entry.unsure_ids else None
    renamed = f"if it was {old}, type {_COMMAND} repair --renamed; else " if old else ""
    return Symptom(
        f"{entry.note}{'' if found else '; its tables were not looked at'}",
        f"{renamed}finish or undo it by hand, then type {_COMMAND} repair {version} --mark, or {_COMMAND} repair "
        f"{version} --unmark",
        version,
    )


def _changed(entry: Entry) -> Symptom:
    migration = entry.migration
    if entry.same_but_for_line_endings:
        return Symptom(
            f"{migration.version} differs from what was applied in its line endings or byte order mark only",
            f"torc-migrations repair {migration.version} --line-endings",
            migration.version,
        )
    return Symptom(
        f"{migration.version} was edited after it was applied",
        "put the file back and write the change as a new migration; or, if the edit changes nothing that matters: "
        f"torc-migrations repair {migration.version} --reason '...'",
        migration.version,
    )


def _renamed(status: Status, refusal: MigrationError | None) -> Iterator[Symptom]:
    for rename in status.renames:
        if _is_about(refusal, Renamed, rename.migration):
            continue
        version = rename.migration.version
        yield Symptom(
            f"{version} is {rename.sqlx.version} renamed: it has its checksum",
            f"{_COMMAND} repair --renamed gives the records the new name; or rename the file back",
            version,
        )


def _missing(status: Status, source: Source, refusal: MigrationError | None) -> Iterator[Symptom]:
    newest = source.migrations[-1].version
    renamed = {rename.sqlx.version for rename in status.renames}
    kept = {entry.migration.version for entry in status.kept if entry.migration.reversible}
    for version in (version for version in status.missing if version not in renamed):
        ahead = version > newest
        older = "this is an older release than the database"
        if version in kept:
            older += f"; {_COMMAND} rollback rolls it back, because the database keeps its down script"
        yield Symptom(
            f"{version} is installed, but has no file here" + (", and is newer than every file" if ahead else ""),
            older if ahead else "bring its file back, or pass --ignore-missing",
            version,
            harmless=ahead and not isinstance(refusal, VersionMissing),
        )


def _scratch_failed(broken: MigrationError | None) -> Iterator[Symptom]:
    if isinstance(broken, NotRehearsable):
        yield Symptom(
            f"what the migrations make cannot be found out on an empty database: {broken}",
            "look at the tables by hand",
        )
    elif broken:
        yield Symptom(f"the migrations do not run on an empty database: {broken}", "correct the file that it names")


def _lock(holder: str | None) -> Iterator[Symptom]:
    if holder:
        yield Symptom(f"{holder} holds yoyo's lock", "wait for it; if it hangs, end that process", harmless=True)


def _baseline(session: Session, status: Status) -> Iterator[Symptom]:
    """Find the newest migration up to which the database has everything, though the ledgers do not say so."""
    pending = {entry.migration.version for entry in status.entries if not (entry.installed or entry.evidence)}
    pending -= {entry.migration.version for entry in status.entries if entry.half_done or entry.out_of_step}
    live = session.object_names() if pending else frozenset[str]()
    if not live:
        return
    trial = session.trial = session.trial or try_migrations(session)
    wanted, newest = frozenset[str](), None
    for version, made in sorted(trial.made.items()):
        wanted = (wanted - made.removed) | made.added
        if version in pending and wanted <= live and made.added:
            newest = version
    if newest is not None:
        yield Symptom(
            f"the database has all that the migrations up to {newest} make, but the ledgers do not say so",
            f"{_COMMAND} baseline {newest}",
            newest,
        )


def _partly_there(session: Session, status: Status, baselines: tuple[Symptom, ...]) -> Iterator[Symptom]:
    """Find the first pending migration of which a part is there already, so that its script may fail."""
    recorded = max((each.version for each in baselines if each.version is not None), default=None)
    pending = {each.version for each in status.pending if recorded is None or each.version > recorded}
    if not (pending and session.trial):
        return
    live = session.object_names()
    for version, made in sorted(session.trial.made.items()):
        if version in pending and (there := tuple(sorted(made.added & live))):
            found = Evidence(there, tuple(sorted(made.added - live)))
            yield Symptom(
                f"{version} is pending, but {found.sentence}: its script may fail",
                f"remove that by hand; or finish it by hand, then type {_COMMAND} repair {version} --mark",
                version,
            )
            return


def _adoption(status: Status) -> Iterator[Symptom]:
    for entry in status.entries:
        if not (entry.in_step or entry.out_of_step or entry.evidence or entry.half_done) and entry.note:
            yield Symptom(entry.note, "torc-migrations upgrade writes it", entry.migration.version, harmless=True)


def _pending(status: Status, baselines: tuple[Symptom, ...]) -> Iterator[Symptom]:
    """Name what is pending, but not what `baseline` would record, because `upgrade` would fail there."""
    recorded = max((each.version for each in baselines if each.version is not None), default=None)
    pending = [each for each in status.pending if recorded is None or each.version > recorded]
    if pending:
        what = f"{counted(len(pending), 'migration')} {'is' if len(pending) == 1 else 'are'} pending"
        first = f"{what}, the first is {pending[0].id}"
        yield Symptom(first, f"{'then ' if baselines else ''}torc-migrations upgrade", harmless=True)


def _due_hooks(status: Status) -> Iterator[Symptom]:
    for hook in status.due_hooks:
        yield Symptom(f"{hook.id} has not run since migrations were applied", "torc-migrations upgrade", harmless=True)


def _layout(source: Source, recorded: Recorded) -> Iterator[Symptom]:
    """Warn of a tool that reads the names of the files in another way, if it has ever written to this database."""
    if source.layout is Layout.SQLX and recorded.used_by_yoyo:
        yield Symptom(
            f"{source.name} is in sqlx's layout: stock yoyo, which has been used here, takes its .up.sql and .down.sql "
            "files for migrations of their own",
            "use stock yoyo no more on it; `torc-migrations export --layout yoyo DIR` writes a directory for yoyo",
            harmless=True,
        )
    if source.layout is Layout.YOYO and recorded.used_by_sqlx:
        yield Symptom(
            f"{source.name} is in yoyo's layout: sqlx, which has been used here, takes its rollback files for "
            "migrations of the same version",
            "use sqlx no more on it; `torc-migrations export --layout sqlx DIR` writes a directory for sqlx",
            harmless=True,
        )


def _other_ledger(other: OtherLedger) -> Symptom:
    has = counted(other.rows, "migration")
    return Symptom(
        f"{other.tool} has a ledger of its own here, {other.table}: {has}, the newest is {other.newest}",
        f"use {other.tool} for them; nothing here reads or changes that table",
        harmless=True,
    )


def _one_sided(migration: Migration) -> Iterator[Symptom]:
    for script in (migration.up, migration.down):
        if script is not None and (who := _who_would_transact(script)):
            yield Symptom(
                f"{script.path} asks for no transaction in words that {who} does not understand",
                "begin it with the two lines `-- no-transaction` and `-- transactional: false`",
                migration.version,
                harmless=True,
            )


def _who_would_transact(script: Script) -> str | None:
    if script.directives.transactional:
        return None
    if not script.sql.startswith(b"-- no-transaction"):
        return "sqlx"
    return None if b"transactional:" in script.sql else "yoyo"
