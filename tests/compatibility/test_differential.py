"""The same random folders and commands, through the real sqlx and through this project, on two equal databases."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from example_counts import examples
from hypothesis import given, note
from paired_databases import (
    Files,
    Told,
    copied,
    ledger_table,
    opened,
    read_files,
    settle,
    show,
    told_by_sqlx,
    told_by_us,
    version_of,
)
from preloaded_programs import Preloaded
from random_directories import ACTIONS, FOLDERS, Action, Command, Edit, Sketch
from sqlx_program import Sqlx

# The checks that come before the first migration; where sqlx ends with one of them, so do we.
EARLY = ("is not present in", "is partially applied", "is missing in", "is older than", "is newer than")
CHANGE_ROW = {
    "dirty": "UPDATE _sqlx_migrations SET success = NOT success WHERE version = ?",
    "erase": "DELETE FROM _sqlx_migrations WHERE version = ?",
}


class Pair:
    """A folder, and two databases: one that sqlx works on, and one that we work on."""

    def __init__(self, root: Path, sqlx: Sqlx, ours: Preloaded, tell: Callable[[str], None] = print) -> None:
        self.root = root
        self.tell = tell
        self.sqlx = sqlx
        self.ours = ours
        self.files: dict[str, bytes] = {}
        self.their_database = root / "sqlx.db"
        self.our_database = root / "ours.db"
        (root / "migrations").mkdir()
        sqlx.create(self.their_database)
        sqlx.create(self.our_database)

    def act(self, action: Action) -> None:
        """Do one thing to both; after a command of sqlx's, compare what both said and what both databases show."""
        if isinstance(action, Sketch):
            self.add(action)
        elif isinstance(action, Command):
            self.compare(action)
        elif action.kind in CHANGE_ROW:
            self.change_row(action)
        elif self.files:
            self.change_file(action)

    def add(self, sketch: Sketch) -> None:
        """Write a migration's files, unless its version is there already."""
        if not self.sqlx.heeds_no_transaction:
            sketch = sketch._replace(outside=frozenset())
        if int(sketch.version) not in map(version_of, self.files):
            for name, text in sketch.files().items():
                self.write(name, text)

    def change_file(self, edit: Edit) -> None:
        """Append to a file, rename it, or delete it."""
        name = sorted(self.files)[edit.pick % len(self.files)]
        text = self.files.pop(name)
        (self.root / "migrations" / name).unlink()
        if edit.kind == "append":
            self.write(name, text + b"\n-- edited")
        elif edit.kind == "rename":
            self.write(name.replace("_", "_other_", 1), text)
        self.tell(f"{edit.kind} {name}")

    def write(self, name: str, text: bytes) -> None:
        """Write one file into the folder."""
        self.files[name] = text
        (self.root / "migrations" / name).write_bytes(text)
        self.tell(f"write {name}: {text!r}")

    def change_row(self, edit: Edit) -> None:
        """Change or delete a row of sqlx's ledger, in both databases alike."""
        ledger = show(self.their_database).ledger
        if not ledger:
            return
        version = ledger[edit.pick % len(ledger)][0]
        for database in (self.their_database, self.our_database):
            with opened(database) as connection:
                connection.execute(CHANGE_ROW[edit.kind], (version,))
        self.tell(f"{edit.kind} row {version}")

    def compare(self, command: Command) -> None:
        """Let sqlx work on a copy, so that a chosen difference leaves both databases as they were."""
        target = self._target(command)
        named = [] if target is None else [f"--target-version={target}"]
        arguments = [command.verb, *named, *command.flags]
        copy = copied(self.their_database)
        said = self.sqlx(*arguments, "--source", self._their_source(), "-D", f"sqlite:{copy}", folder=self.root)
        told = told_by_sqlx(said)
        self.tell(f"{' '.join(arguments)} -> {said.out!r}")
        refusal = chosen_difference(self, command, target, told)
        if refusal is None:
            settle(copy)
            copy.rename(self.their_database)
        else:
            told = Told("", failed=True, sentence=refusal)
        answer = self.ours(*arguments, "--source", "migrations", "-D", "sqlite:ours.db", folder=self.root)

        assert self._in_their_words(command, told_by_us(answer)) == told
        assert show(self.our_database) == show(self.their_database)

    def _in_their_words(self, command: Command, told: Told) -> Told:
        """Leave out the version where sqlx does not name it: before 0.9, when a down script fails."""
        if self.sqlx.names_failed_reverts or command.verb != "revert":
            return told
        sentence = re.sub(r"^while executing migration [-\d]+:", "while executing migrations:", told.sentence)
        return told._replace(sentence=sentence)

    def _their_source(self) -> str:
        """Return a folder for sqlx: the same, but without down files that have no up file, because we ignore those."""
        alone = read_files(self.files).downs - read_files(self.files).ups.keys()
        if not alone:
            return "migrations"
        shutil.rmtree(self.root / "paired", ignore_errors=True)
        skipped = [name for name in self.files if version_of(name) in alone]
        shutil.copytree(self.root / "migrations", self.root / "paired", ignore=shutil.ignore_patterns(*skipped))
        return "paired"

    def _target(self, command: Command) -> int | None:
        if command.verb == "info":
            return None
        if command.target != "one of them":
            return command.target
        versions = sorted({*map(version_of, self.files)})
        return versions[command.pick % len(versions)] if versions else 1


def chosen_difference(pair: Pair, command: Command, target: int | None, told: Told) -> str | None:
    """Return our sentence where we refuse what sqlx does, as docs/architecture.md lists it; else None."""
    files = read_files(pair.files)
    if not files.ups:
        return "there is no migration in migrations"
    if command.verb == "info" or any(words in told.sentence for words in EARLY):
        return None
    recorded = {int(str(row[0])): str(row[3]) for row in show(pair.their_database).ledger}
    if command.verb == "run":
        return every_checksum_first(files, recorded)
    return irreversible(files, recorded, target)


def every_checksum_first(files: Files, recorded: dict[int, str]) -> str | None:
    """Every checksum is checked before anything runs; sqlx applies what is pending below the edited one."""
    edited = min((v for v in recorded if files.ups.get(v, recorded[v]) != recorded[v]), default=None)
    if edited is None or not any(v < edited for v in files.ups if v not in recorded):
        return None
    return f"migration {edited} was previously applied but has been modified"


def irreversible(files: Files, recorded: dict[int, str], target: int | None) -> str | None:
    """A rollback refuses at an irreversible migration instead of stepping over it to an older one."""
    installed = sorted((v for v in recorded if v in files.ups), reverse=True)
    on_the_way = installed[:1] if target is None else [v for v in installed if v > target]
    stop = next((v for v in on_the_way if v not in files.downs), None)
    return None if stop is None else f"migration {stop} has no down script and cannot be rolled back"


def test_sqlx_and_we_agree_on_random_folders(sqlx: Sqlx, ours: Preloaded) -> None:
    """Listing, failure, sentence, ledger and schema are the same after every command, chosen differences apart."""

    @examples(25)
    @given(FOLDERS, ACTIONS)
    def agree(folder: list[Sketch], actions: list[Action]) -> None:
        with tempfile.TemporaryDirectory() as root:
            pair = Pair(Path(root), sqlx, ours, note)
            for action in (*folder, *actions, Command("info")):
                pair.act(action)

    agree()


def test_both_make_the_same_ledger(sqlx: Sqlx, ours: Preloaded, tmp_path: Path) -> None:
    """The table `_sqlx_migrations` has the same declaration from both."""
    pair = Pair(tmp_path, sqlx, ours)
    pair.write("1_a.sql", b"")

    pair.compare(Command("run"))

    assert ledger_table(pair.our_database) == ledger_table(pair.their_database)
