"""Stock yoyo, the real sqlx and we take turns, while files are renamed, renumbered, inserted, removed and put back."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from example_counts import examples
from hypothesis import given, note
from hypothesis import strategies as st
from paired_databases import opened
from preloaded_programs import Preloaded, Said
from sqlx_program import Sqlx

REFUSED = 3  # the ledgers do not allow it
OUTSIDE = "-- no-transaction\n-- transactional: false\n"
UPS = {name: f"CREATE TABLE {name} (x);\nINSERT INTO {name} VALUES (1);\n" for name in "abcde"}
UPS["b"] = "-- depends: 1_a\n" + UPS["b"]
UPS["c"] = OUTSIDE + UPS["c"]
DOWNS = {name: f"{OUTSIDE if name == 'c' else ''}DROP TABLE {name};\n" for name in "abcde"}
ENDINGS = {"yoyo": (".sql", ".rollback.sql"), "sqlx": (".up.sql", ".down.sql")}


class Move(NamedTuple):
    """Change the files of one migration: give it another number or description, remove it, or put one there."""

    how: Literal["renumber", "describe", "remove", "put"]
    pick: int
    number: int


class Turn(NamedTuple):
    """Let one of the three do something; `{id}` and `{version}` stand for a migration that a number picks."""

    tool: Literal["yoyo", "sqlx", "ours"]
    words: str
    pick: int


Event: TypeAlias = Move | Turn

PICK = st.integers(0, 4)
YOYO = ("apply", "apply -r {id}", "rollback --all", "rollback -r {id}", "reapply -r {id}", "break-lock")
SQLX = ("run", "run --target-version {version}", "revert", "revert --target-version {version}", "run --ignore-missing")
OUR_WORDS = (
    "upgrade",
    "upgrade --target {version}",
    "upgrade --ignore-missing",
    "rollback",
    "rollback --target {version}",
    "apply {version}",
    "repair --renamed",
)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Turn, st.just("yoyo"), st.sampled_from(YOYO), PICK),
    st.builds(Turn, st.just("sqlx"), st.sampled_from(SQLX), PICK),
    st.builds(Turn, st.just("ours"), st.sampled_from(OUR_WORDS), PICK),
    st.builds(Move, st.sampled_from(("renumber", "describe", "remove", "put")), PICK, st.integers(2, 8)),
)


class Place:
    """A database and two directories with the same migrations, by version: each makes the table of its letter."""

    def __init__(self, root: Path, sqlx: Sqlx, yoyo: Preloaded, ours: Preloaded) -> None:
        self.root = root
        self.database = root / "app.db"
        self.files = {1: "a", 2: "b", 3: "c"}
        self._sqlx, self._yoyo, self._ours = sqlx, yoyo, ours
        sqlx.create(self.database)
        self._write()

    def move(self, move: Move) -> None:
        """Change the files, if they allow it; that of `a`, on which `b` depends, stays."""
        version = self._picked(move.pick)
        if move.how == "put":
            left = sorted(set(UPS) - {name[0] for name in self.files.values()})
            if left and move.number not in self.files:
                self.files[move.number] = left[0]
        elif version != 1:
            name = self.files.pop(version)
            if move.how == "renumber" and move.number not in self.files:
                self.files[move.number] = name
            elif move.how != "remove":
                self.files[version] = f"{name[0]}_anew" if name == name[0] else name[0]
        self._write()

    def take(self, turn: Turn) -> Said:
        """Let a tool do its turn."""
        version = self._picked(turn.pick)
        words = turn.words.format(id=f"{version}_{self.files[version]}", version=version).split()
        return getattr(self, turn.tool)(*words)

    def yoyo(self, verb: str, *words: str) -> Said:
        """Run stock yoyo."""
        source = () if verb == "break-lock" else ("yoyo",)
        database = ("-d", f"sqlite:///{self.database}")
        return self._yoyo(verb, "-b", "--no-config-file", *database, *words, *source, folder=self.root)

    def sqlx(self, *words: str) -> Said:
        """Run sqlx."""
        return self._sqlx(*words, "--source", "sqlx", "-D", "sqlite:app.db", folder=self.root)

    def ours(self, verb: str, *words: str) -> Said:
        """Run our command."""
        return self._ours(verb, "-d", "sqlite:app.db", "-s", "yoyo", "--no-dotenv", *words, folder=self.root)

    def tables(self) -> set[str]:
        """Return the tables of the migrations; each has one row."""
        with opened(self.database) as connection:
            there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master") if name in UPS}
            assert all(connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (1,) for name in there)
        return there

    def _picked(self, pick: int) -> int:
        return sorted(self.files)[pick % len(self.files)]

    def _write(self) -> None:
        for layout, endings in ENDINGS.items():
            shutil.rmtree(self.root / layout, ignore_errors=True)
            (self.root / layout).mkdir()
            for version, name in self.files.items():
                for ending, texts in zip(endings, (UPS, DOWNS), strict=True):
                    (self.root / layout / f"{version}_{name}{ending}").write_text(texts[name[0]])


def check(place: Place) -> None:
    """See that what is said to be installed is there, and what is said to be pending is not, unless it says more."""
    said = place.ours("status", "--json")
    assert said.status == 0, said
    facts, there = json.loads(said.out), place.tables()
    told = {int(version) for sentence in facts["notes"] for version in re.findall(r"^(\d+) is \d+ renamed", sentence)}
    told |= {int(version) for sentence in facts["notes"] for version in re.findall(r"may be (\d+)_", sentence)}
    for entry in facts["migrations"]:
        is_there = entry["description"][0] in there
        unsure = entry["out_of_step"] or entry["half_done"] or entry["version"] in told
        if not unsure and entry["state"] in ("installed", "pending"):
            assert (entry["state"] == "installed") is is_there, (entry, facts["notes"])


def check_ours(place: Place, turn: Turn, said: Said) -> None:
    """See that a turn of ours ends with a status of the command, runs nothing twice, and that all agree after it."""
    assert said.status in (0, 2, REFUSED, 4), said
    if said.status != 0 or turn.words.startswith("repair"):
        return
    listed = place.yoyo("list").out
    yoyo = {int(version) for flag, version in re.findall(r"^([AU]) +(\d+)_", listed, re.MULTILINE) if flag == "A"}
    with opened(place.database) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE name = '_sqlx_migrations'").fetchall()
        sqlx = {version for (version,) in connection.execute("SELECT version FROM _sqlx_migrations")} if rows else set()
    assert yoyo == sqlx & place.files.keys()


def test_what_is_said_is_true_wherever_the_files_are(sqlx_that_skips: Sqlx, yoyo: Preloaded, ours: Preloaded) -> None:
    """Each table is there once, with its row, and its migration is installed, pending, or said to be unclear."""

    @examples(15)
    @given(st.lists(EVENTS, min_size=4, max_size=12))
    def tell(events: list[Event]) -> None:
        with tempfile.TemporaryDirectory() as root:
            place = Place(Path(root), sqlx_that_skips, yoyo, ours)
            for event in events:
                note(f"{event}")
                if isinstance(event, Move):
                    place.move(event)
                else:
                    said = place.take(event)
                    if event.tool == "ours":
                        check_ours(place, event, said)
                check(place)

    tell()
