"""Explain the state of a database and a folder in plain words, and what to type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from torc_migrations.errors import MigrationError
from torc_migrations.migration import Layout, Migration, Script, Source
from torc_migrations.scratch import Made, objects_made

if TYPE_CHECKING:
    from torc_migrations.judgement import Entry, Status


class Symptom(NamedTuple):
    """One thing that was found: a sentence, what to do about it, and the version it is about, if it is about one.

    `harmless` tells that nothing needs to be done.
    """

    sentence: str
    remedy: str
    version: int | None = None
    harmless: bool = False


class Diagnosis(NamedTuple):
    """What is installed, in a sentence, and everything that was found, worst first."""

    summary: str
    symptoms: tuple[Symptom, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing needs to be done."""
        return all(symptom.harmless for symptom in self.symptoms)

    def as_text(self) -> str:
        """Return it as lines for a person."""
        return f"{self.summary}\n" + "".join(f"{each.sentence}\n    {each.remedy}\n" for each in self.symptoms)

    def as_dict(self) -> dict[str, object]:
        """Return it as values that `json` takes."""
        return {
            "healthy": self.healthy,
            "summary": self.summary,
            "symptoms": [symptom._asdict() for symptom in self.symptoms],
        }


def diagnose(source: Source, status: Status, live: frozenset[str], lock: str | None = None) -> Diagnosis:
    """Judge a database from its status, the names of its objects (see `scratch.objects`), and who holds yoyo's lock."""
    try:
        made = objects_made(source) if any(entry.out_of_step for entry in status.entries) else {}
        broken = None
    except MigrationError as error:
        made, broken = {}, error
    symptoms = [
        *_dirty(status),
        *(
            _out_of_step(entry, made.get(entry.migration.version), live)
            for entry in status.entries
            if entry.out_of_step
        ),
        *(_changed(entry) for entry in status.entries if entry.changed),
        *_missing(status, source),
        *_scratch_failed(broken),
        *_lock(lock),
        *_adoption(status),
        *_pending(status),
        *_due_hooks(status),
        *_folder(source),
    ]
    return Diagnosis(_summary(status), tuple(symptoms))


def _summary(status: Status) -> str:
    installed, all_in_step = status.installed, all(entry.in_step for entry in status.entries)
    newest = f", the newest is {installed[-1].id}" if installed else ""
    ledgers = "the ledgers of yoyo and sqlx agree" if all_in_step else "the ledgers of yoyo and sqlx do not agree"
    return f"{len(installed)} of {len(status.entries)} migrations are installed{newest}; {ledgers}"


def _dirty(status: Status) -> Iterator[Symptom]:
    for version in status.dirty:
        yield Symptom(
            f"{version} is dirty: another tool began it and did not end it",
            "look what of it is there, finish or undo it by hand, and delete its row from _sqlx_migrations",
            version,
        )


def _out_of_step(entry: Entry, made: Made | None, live: frozenset[str]) -> Symptom:
    version = entry.migration.version
    stands = made.stands_in(live) if made else None
    says = {None: "what it makes is there in part, or cannot be told", True: "what it makes is there"}
    seen = says.get(stands, "nothing of what it makes is there")
    ledger = "yoyo" if stands is (entry.yoyo is not None) else "sqlx"
    remedy = "look at its tables, then: " if stands is None else ""
    choice = "yoyo|sqlx" if stands is None else ledger
    return Symptom(f"{entry.note}; {seen}", f"{remedy}torc-migrations doctor --trust {choice}", version)


def _changed(entry: Entry) -> Symptom:
    migration = entry.migration
    if entry.is_twin:
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


def _missing(status: Status, source: Source) -> Iterator[Symptom]:
    newest = source.migrations[-1].version
    for version in status.missing:
        ahead = version > newest
        yield Symptom(
            f"{version} is installed, but has no file here" + (", and is newer than every file" if ahead else ""),
            "this is an older release than the database" if ahead else "bring its file back, or pass --ignore-missing",
            version,
            harmless=ahead,
        )


def _scratch_failed(broken: MigrationError | None) -> Iterator[Symptom]:
    if broken:
        yield Symptom(f"the migrations do not run on an empty database: {broken}", "mend the file that it names")


def _lock(holder: str | None) -> Iterator[Symptom]:
    if holder:
        yield Symptom(f"{holder} holds yoyo's lock", "wait for it; if it hangs, end that process", harmless=True)


def _adoption(status: Status) -> Iterator[Symptom]:
    for entry in status.entries:
        if not entry.in_step and not entry.out_of_step and entry.note:
            yield Symptom(entry.note, "torc-migrations upgrade writes it", entry.migration.version, harmless=True)


def _pending(status: Status) -> Iterator[Symptom]:
    if status.pending:
        count = len(status.pending)
        what = f"{count} {'migration is' if count == 1 else 'migrations are'} pending"
        yield Symptom(f"{what}, the first is {status.pending[0].id}", "torc-migrations upgrade", harmless=True)


def _due_hooks(status: Status) -> Iterator[Symptom]:
    for hook in status.due_hooks:
        yield Symptom(f"{hook.id} has not run since migrations were applied", "torc-migrations upgrade", harmless=True)


def _folder(source: Source) -> Iterator[Symptom]:
    if source.layout is Layout.SQLX:
        yield Symptom(
            f"{source.name} is in sqlx's layout: stock yoyo would run its down files as migrations, first",
            "keep stock yoyo away from it; `torc-migrations export --layout yoyo DIR` writes a folder for yoyo",
            harmless=True,
        )
    if source.layout is Layout.YOYO:
        yield Symptom(
            f"{source.name} is in yoyo's layout: sqlx would take its rollback files for migrations of the same version",
            "keep sqlx away from it; `torc-migrations export --layout sqlx DIR` writes a folder for sqlx",
            harmless=True,
        )
    for migration in source.migrations:
        yield from _one_sided(migration)


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
