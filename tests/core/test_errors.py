"""Every error: its sentence, its hint, its exit code, its facts, and that they survive a trip between processes."""

from __future__ import annotations

import copy
import json
import pickle
from typing import NamedTuple

import pytest
from values import migration

from torc_migrations import errors
from torc_migrations.errors import (
    BadDependency,
    BadName,
    BadScript,
    CannotOpen,
    DatabaseFailed,
    DependencyPending,
    Dirty,
    DuplicateVersion,
    ExecutionFailed,
    ForeignKeyViolations,
    Irreversible,
    LedgerError,
    LockTimeout,
    MigrationError,
    MixedLayout,
    NotThere,
    OtherSchema,
    OutOfStep,
    RowsLost,
    SourceError,
    TargetError,
    UrlError,
    VersionMismatch,
    VersionMissing,
    VersionNotPresent,
    VersionTooNew,
    VersionTooOld,
)
from torc_migrations.plan import Action, Direction, Outcome, Plan, Report, Step

STEP = Step(migration(3), Action.APPLY)
PLACE = {"path": "sql/3_step.sql", "line": 2, "column": 1}
FRAME = "  --> sql/3_step.sql:2:1\n   2 | CREATE TABLE x (a);\n     | ^"
FAILURE = {**PLACE, "statement": "\nCREATE TABLE x (a);", "frame": FRAME}


class Case(NamedTuple):
    """An error, and what a user and a program may count on."""

    error: MigrationError
    exit_code: int
    sentence: str
    hint: str | None
    facts: dict[str, object]


CASES = [
    Case(MigrationError("it failed"), 1, "it failed", None, {}),
    Case(
        SourceError("sql", "there is no folder 'sql'", hint="name it"),
        2,
        "there is no folder 'sql'",
        "name it",
        {"source": "sql"},
    ),
    Case(
        BadName("sql", "x_y.sql"),
        2,
        'while resolving migrations: error parsing migration filename "x_y.sql"; '
        "expected integer version prefix (e.g. `01_foo.sql`)",
        "rename 'x_y.sql' in sql, or move it into a sub-folder, where nobody reads it",
        {"source": "sql", "name": "x_y.sql"},
    ),
    Case(
        DuplicateVersion("sql", 1, ("1_a.sql", "1_b.sql")),
        2,
        "version 1 stands twice in sql: '1_a.sql' and '1_b.sql'",
        "give one of them a version of its own, unless it is installed somewhere already",
        {"source": "sql", "version": 1, "names": ("1_a.sql", "1_b.sql")},
    ),
    Case(
        MixedLayout("sql", ("1_a.rollback.sql", "1_b.up.sql")),
        2,
        "sql mixes two layouts: '1_a.rollback.sql' is yoyo's, '1_b.up.sql' is sqlx's",
        "keep one layout a folder; `torc-migrations export` writes a folder in the other",
        {"source": "sql", "names": ("1_a.rollback.sql", "1_b.up.sql")},
    ),
    Case(
        BadScript("sql/3_step.sql", "it is Python", line=2, column=1, hint="write SQL", frame=FRAME),
        2,
        "it is Python",
        "write SQL",
        {**PLACE, "source": "sql/3_step.sql", "frame": FRAME},
    ),
    Case(
        BadDependency("sql/3_step.sql", "1_a", "is not in this folder"),
        2,
        "sql/3_step.sql depends on '1_a', which is not in this folder",
        None,
        {"path": "sql/3_step.sql", "dependency": "1_a"},
    ),
    Case(
        UrlError("ftp://me:***@host", "unknown scheme 'ftp'", hint="say sqlite:///x.db"),
        2,
        "unknown scheme 'ftp'",
        "say sqlite:///x.db",
        {"url": "ftp://me:***@host"},
    ),
    Case(CannotOpen("x.db", "'x.db' is read-only"), 2, "'x.db' is read-only", None, {"url": "x.db"}),
    Case(LedgerError(3, "it contradicts", hint="look"), 3, "it contradicts", "look", {"version": 3}),
    Case(
        VersionMissing(3),
        3,
        "migration 3 was previously applied but is missing in the resolved migrations",
        "bring its file back, name the right folder with --source, or pass --ignore-missing",
        {"version": 3},
    ),
    Case(
        VersionMismatch(3, recorded=b"\0" * 48, local=b"\1" * 48),
        3,
        "migration 3 was previously applied but has been modified",
        "put the file back as it was applied, and write the change as a new migration",
        {"version": 3, "recorded": b"\0" * 48, "local": b"\1" * 48},
    ),
    Case(
        Dirty(3),
        3,
        "migration 3 is partially applied; fix and remove row from `_sqlx_migrations` table",
        None,
        {"version": 3},
    ),
    Case(
        OutOfStep(3, yoyo=True, sqlx=False),
        3,
        "migration 3 is out of step: yoyo's ledger says installed, sqlx's says not installed, "
        "and the log cannot settle it",
        "`torc-migrations doctor` looks whether what it makes is there, and says what to type",
        {"version": 3, "yoyo": True, "sqlx": False},
    ),
    Case(
        NotThere(3, ("column a.b", "index i", "table a", "table c")),
        4,
        "the database does not have what migration 3 leaves behind: column a.b, index i, table a and 1 more",
        "name an older version, or upgrade",
        {"version": 3, "missing": ("column a.b", "index i", "table a", "table c")},
    ),
    Case(
        OtherSchema("x.db", "it has a table 'book'"),
        3,
        "x.db does not carry the torc schema that ships with this package: it has a table 'book'",
        "name the folder of its own migrations with --source (in Python: source=)",
        {"version": None, "database": "x.db", "evidence": "it has a table 'book'"},
    ),
    Case(TargetError(3, "it cannot be reached", hint="look"), 4, "it cannot be reached", "look", {"version": 3}),
    Case(
        VersionNotPresent(3),
        4,
        "migration 3 is not present in the migration source",
        "`torc-migrations status` lists the versions that there are",
        {"version": 3},
    ),
    Case(
        VersionTooOld(3, 4),
        4,
        "migration 3 is older than the latest applied migration 4",
        "`torc-migrations rollback --target 3` goes down to it",
        {"version": 3, "latest": 4},
    ),
    Case(
        VersionTooNew(3, 2),
        4,
        "migration 3 is newer than the latest applied migration 2",
        "`torc-migrations upgrade --target 3` goes up to it",
        {"version": 3, "latest": 2},
    ),
    Case(
        Irreversible(3),
        4,
        "migration 3 has no down script and cannot be rolled back",
        "stop above it with --target, or write its down script",
        {"version": 3},
    ),
    Case(
        DependencyPending(3, "1_a"),
        4,
        "migration 3 depends on 1_a, which is pending",
        "name both, or upgrade",
        {"version": 3, "dependency": "1_a"},
    ),
    Case(
        LockTimeout("x.db", "process 4711", 10.04),
        5,
        "process 4711 has kept x.db locked for the 10.0 s that we waited",
        "try again when it is done, or wait longer with --lock-timeout",
        {"database": "x.db", "holder": "process 4711", "waited": 10.04},
    ),
    Case(
        ExecutionFailed(STEP, "table x already exists", **FAILURE),
        6,
        "while executing migration 3: table x already exists",
        "nothing of 3 was kept",
        {**FAILURE, "step": STEP, "reason": "table x already exists", "kept": False},
    ),
    Case(
        ExecutionFailed(STEP, "table x already exists", **FAILURE, kept=True),
        6,
        "while executing migration 3: table x already exists",
        "3 runs outside a transaction: what stands before this statement was kept, and is not recorded",
        {**FAILURE, "step": STEP, "reason": "table x already exists", "kept": True},
    ),
    Case(
        ForeignKeyViolations(STEP, (("book", 7, "author"),)),
        6,
        "while executing migration 3: 1 foreign key violation: row 7 of book points to no row of author",
        "nothing of 3 was kept",
        {"step": STEP, "violations": (("book", 7, "author"),)},
    ),
    Case(
        ForeignKeyViolations(STEP, (("book", None, "author"), ("book", 7, "author"))),
        6,
        "while executing migration 3: 2 foreign key violations, first: a row of book points to no row of author",
        "nothing of 3 was kept",
        {"step": STEP, "violations": (("book", None, "author"), ("book", 7, "author"))},
    ),
    Case(
        RowsLost(STEP, (("book", 7, 2),)),
        6,
        "while executing migration 3: 5 of 7 rows of book were lost without a DELETE or DROP TABLE of its own",
        "nothing of 3 was kept; if the rows are to go, write the DELETE into the script",
        {"step": STEP, "lost": (("book", 7, 2),), "table": "book", "before": 7, "after": 2},
    ),
    Case(
        RowsLost(STEP, (("a", 7, 2), ("b", 1, 0), ("c", 1, 0), ("d", 1, 0))),
        6,
        "while executing migration 3: 5 of 7 rows of a, 1 of 1 rows of b, 1 of 1 rows of c and 1 more "
        "were lost without a DELETE or DROP TABLE of its own",
        "nothing of 3 was kept; if the rows are to go, write the DELETE into the script",
        {"step": STEP, "table": "a"},
    ),
    Case(
        DatabaseFailed("x.db", "database or disk is full"),
        6,
        "x.db failed: database or disk is full",
        None,
        {"database": "x.db", "reason": "database or disk is full"},
    ),
]
EVERY_ERROR = pytest.mark.parametrize("case", CASES, ids=[type(case.error).__name__ for case in CASES])


def test_every_error_is_listed_here():
    """An error without its sentence, hint and exit code in this list does not pass."""
    defined = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MigrationError)}

    assert {type(case.error) for case in CASES} == defined


@EVERY_ERROR
def test_an_error_is_a_sentence_with_a_hint(case):
    """The message is one sentence, in lower case unless it begins with a name, without a full stop."""
    assert str(case.error) == case.sentence
    assert case.error.hint == case.hint
    assert not case.sentence.endswith(".")


@EVERY_ERROR
def test_an_error_ends_the_command_with_its_code(case):
    """Exit codes tell errors apart, and are part of the API."""
    assert case.error.exit_code == case.exit_code


@EVERY_ERROR
def test_facts_are_attributes(case):
    """Nobody has to parse a message: what it tells is there as values."""
    facts = {name: getattr(case.error, name) for name in case.facts}

    assert facts == case.facts


@EVERY_ERROR
def test_a_traceback_shows_frame_and_hint(case):
    """Frame and hint are notes, so that Python prints them below the sentence."""
    hint = f"hint: {case.hint}" if case.hint else None

    assert getattr(case.error, "__notes__", []) == [note for note in (case.error.frame, hint) if note]


@EVERY_ERROR
def test_an_error_is_a_dictionary_for_json(case):
    """Name, sentence, code and hint can be written as JSON, whatever the other facts are."""
    told = json.loads(json.dumps(case.error.as_dict()))

    assert told["type"] == type(case.error).__name__
    assert told["message"] == case.sentence
    assert told["exit_code"] == case.exit_code
    assert told.get("hint") == case.hint


@EVERY_ERROR
@pytest.mark.parametrize("trip", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickle", "copy"])
def test_an_error_survives_a_trip(case, trip):
    """A worker's error arrives in its parent with its sentence, notes, facts and report."""
    error = copy.copy(case.error)
    error.report = Report(Plan(Direction.UP, ()), ())

    arrived = trip(error)

    assert type(arrived) is type(error)
    assert (str(arrived), arrived.args) == (case.sentence, (case.sentence,))
    assert (arrived.hint, arrived.frame) == (case.hint, error.frame)
    assert getattr(arrived, "__notes__", []) == getattr(error, "__notes__", [])
    assert arrived.report == error.report
    assert {name: repr(getattr(arrived, name)) for name in case.facts} == {
        name: repr(fact) for name, fact in case.facts.items()
    }


def test_a_report_survives_pickle():
    """What a run had done before it failed arrives with the error."""
    error = VersionMissing(3)
    error.report = Report(Plan(Direction.UP, (STEP,)), (Outcome(STEP, 1500),))

    arrived = pickle.loads(pickle.dumps(error))

    assert arrived.report.as_dict() == error.report.as_dict()
    assert arrived.report.as_text() == "Applied 3/migrate step (1.5µs)\n"


def test_nothing_was_reported_unless_something_was_begun():
    """An error from before the first step has no report."""
    assert VersionMissing(3).report is None


def test_a_new_hint_takes_the_place_of_the_usual_one():
    """Whoever raises a general error may say which way out there is."""
    assert LedgerError(1, "x").hint is None
    assert LedgerError(1, "x", hint="y").hint == "y"


def test_every_error_can_be_caught_at_once():
    """One class is the base of all, and each family has its own."""
    families = (SourceError, UrlError, LedgerError, TargetError)

    assert all(issubclass(type(case.error), MigrationError) for case in CASES)
    assert {case.exit_code for case in CASES if isinstance(case.error, families)} == {2, 3, 4}
