"""Random folders of migrations in sqlx's layout, and random things to do with them, as hypothesis strategies."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from hypothesis import strategies as st

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"

# What an up script does, and what undoes it; `{v}` is the version as a number.
BODIES = {
    "table": ("CREATE TABLE t{v} (id INTEGER PRIMARY KEY, note TEXT NOT NULL);\n", "DROP TABLE t{v};\n"),
    "rows": (
        "CREATE TABLE t{v} (note TEXT);\nINSERT INTO t{v} VALUES ('one; two'), ('three\n-- four'), (\"five\");\n",
        "DELETE FROM t{v};\nDROP TABLE t{v};\n",
    ),
    "trigger": (
        (
            "CREATE TABLE t{v} (n INT);\n"
            "CREATE INDEX i{v} ON t{v} (n);\n"
            "CREATE TRIGGER g{v} AFTER INSERT ON t{v} BEGIN\n  UPDATE t{v} SET n = n + 1; -- ;\n  SELECT 1;\nEND;\n"
            "INSERT INTO t{v} VALUES (1);\n"
        ),
        "DROP TRIGGER g{v};\nDROP INDEX i{v};\nDROP TABLE t{v};\n",
    ),
    "view": ("CREATE VIEW w{v} AS SELECT type, name FROM sqlite_master;\nSELECT * FROM w{v};\n", "DROP VIEW w{v};\n"),
    "no semicolon": ("CREATE TABLE t{v} (x) /* ; */ -- the end", "DROP TABLE t{v}"),
    "only comments": ("-- nothing; to do\n/* here; either */\n", "-- nothing to undo\n"),
    "nothing": ("", ""),
    "semicolons": (";;\n ; CREATE TABLE t{v} (x);;\n;", ";DROP TABLE t{v};;"),
    "unclosed comment": ("CREATE TABLE t{v} (x);\n/* and so on", "DROP TABLE t{v};\n/*"),
    "fails": ("CREATE TABLE half{v} (x);\nINSERT INTO nowhere VALUES (1);\n", "DROP TABLE nowhere;\n"),
    "syntax error": ("CREATE TABLE half{v} (x);\nCRATE TABLE t{v} (x);\n", "DROP TABLE t{v} NOW;\n"),
    "constraint": ("CREATE TABLE t{v} (x UNIQUE);\nINSERT INTO t{v} VALUES (1), (1);\n", "DROP TABLE t{v};\n"),
    "unclosed quote": ("CREATE TABLE half{v} (x);\nSELECT 'and so on;", "SELECT 'and so on;"),
    "reads the ledger": (
        "CREATE TABLE t{v} AS SELECT version, description, success, checksum FROM _sqlx_migrations;\n",
        "DROP TABLE t{v};\n",
    ),
    "erases from the ledger": (
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT min(version) FROM _sqlx_migrations);\n",
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations);\n",
    ),
}
ORDINARY = ("table", "rows", "trigger", "view")

Half: TypeAlias = Literal["up", "down"]


class Sketch(NamedTuple):
    """One migration: how its files are named, and what is in them."""

    version: str
    description: str
    paired: bool
    body: str
    undo: str
    newline: str
    bom: bool
    outside: frozenset[Half]
    down_description: str | None

    def files(self) -> dict[str, bytes]:
        """Return the migration's files by name."""
        stem = f"{self.version}_{self.description}"
        if not self.paired:
            return {f"{stem}.sql": self._text(BODIES[self.body][0], "up")}
        down = f"{self.version}_{self.down_description or self.description}.down.sql"
        up, undo = BODIES[self.body][0], BODIES[self.undo][1]
        return {f"{stem}.up.sql": self._text(up, "up"), down: self._text(undo, "down")}

    def _text(self, body: str, half: Half) -> bytes:
        head = "-- no-transaction\n" if half in self.outside else ""
        text = (head + body).replace("{v}", str(int(self.version))).replace("\n", self.newline)
        return (BOM * self.bom + text).encode()


class Command(NamedTuple):
    """A call of info, run or revert; the target is a number, or picks one of the versions there are."""

    verb: Literal["info", "run", "revert"]
    target: int | Literal["one of them"] | None = None
    pick: int = 0
    flags: tuple[str, ...] = ()


class Edit(NamedTuple):
    """Something done to a file, or to a row of sqlx's ledger; `pick` picks which."""

    kind: Literal["append", "delete", "rename", "dirty", "erase"]
    pick: int


Action: TypeAlias = Command | Edit | Sketch


def _versions() -> st.SearchStrategy[str]:
    small = st.builds(lambda n, zeros: "0" * zeros + str(n), st.integers(0, 12), st.sampled_from((0, 0, 0, 1, 3)))
    dates = st.integers(0, 3).map(lambda n: str(20230101000000 + n))
    return st.one_of(small, small, dates, st.sampled_from(("202301010000001", "+14", "-3")))


def _mostly(value: object, *others: object) -> st.SearchStrategy[object]:
    return st.integers(0, 7).flatmap(lambda n: st.sampled_from(others) if n == 0 else st.just(value))


def _bodies() -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(ORDINARY), st.sampled_from(ORDINARY), st.sampled_from(sorted(BODIES)))


def _undone(sketch: Sketch) -> Sketch:
    return sketch._replace(undo=sketch.body) if sketch.undo == "what was done" else sketch


SKETCHES = st.builds(
    Sketch,
    version=_versions(),
    description=st.sampled_from(("a", "b_c", "create__x_", "Füße", "x.y", "", "sql.sql")),
    paired=_mostly(True, False),
    body=_bodies(),
    undo=_mostly("what was done", "fails", "only comments", "nothing", "erases from the ledger"),
    newline=_mostly("\n", "\r\n"),
    bom=_mostly(False, True),
    outside=_mostly(frozenset(), frozenset({"up"}), frozenset({"down"}), frozenset({"up", "down"})),
    down_description=_mostly(None, "undo"),
).map(_undone)

FOLDERS = st.lists(SKETCHES, min_size=1, max_size=5, unique_by=lambda sketch: int(sketch.version))

_FLAGS = st.sampled_from(((), (), (), ("--dry-run",), ("--ignore-missing",), ("--dry-run", "--ignore-missing")))
_TARGETS = st.sampled_from((None, None, None, "one of them", "one of them", 0, 987))
_COMMANDS = st.builds(
    Command, st.sampled_from(("run", "revert")), target=_TARGETS, pick=st.integers(0, 9), flags=_FLAGS
)
_RUNS = st.builds(Command, st.just("run"), target=_TARGETS, pick=st.integers(0, 9), flags=_FLAGS)
_EDITS = st.builds(Edit, st.sampled_from(("append", "delete", "rename", "dirty", "erase")), st.integers(0, 9))

ACTIONS = st.lists(
    st.one_of(_RUNS, _COMMANDS, _COMMANDS, st.just(Command("info")), _EDITS, SKETCHES), min_size=1, max_size=10
)
