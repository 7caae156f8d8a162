"""Every error: its sentence, its hint, its exit code, its facts, and that they survive a trip between processes."""

from __future__ import annotations

import copy
import json
import pickle
from typing import NamedTuple

import pytest
from builders import migration

from torc_migrations import errors
from torc_migrations.errors import (
    BadArguments,
    BadDependency,
    BadDump,
    BadName,
    BadOption,
    BadOptionType,
    BadOptionValue,
    BadOrder,
    BadScript,
    BadSnapshot,
    BadSnapshotDirectory,
    CannotOpen,
    DamagedLedger,
    DatabaseFailed,
    DependencyPending,
    DependentInstalled,
    Dirty,
    DuplicateVersion,
    ExecutionFailed,
    ForeignKeyViolations,
    HalfDone,
    InstalledAlready,
    Interrupted,
    Irreversible,
    LedgerError,
    LockTimeout,
    MigrationError,
    MissingAbove,
    MissingDriver,
    MissingLibrary,
    MixedLayout,
    NotConvertible,
    NotEmpty,
    NotEnoughSpace,
    NothingToResume,
    NotRehearsable,
    NotSupported,
    NotThere,
    OtherSchema,
    OutOfOrder,
    OutOfStep,
    OutputFailed,
    Problem,
    Renamed,
    RowsDoubled,
    RowsLost,
    SchemaBroken,
    SchemaDrifted,
    SnapshotFailed,
    SourceError,
    StatementTimeout,
    StepFailed,
    Stopped,
    TargetError,
    TooFewInstalled,
    TooOld,
    UntrustedFile,
    UrlError,
    VersionMismatch,
    VersionMissing,
    VersionNotPresent,
    VersionTooNew,
    VersionTooOld,
    WaitTimeout,
    WorkerLost,
    WrittenSince,
)
from torc_migrations.history.steps import Action, Direction, Outcome, Plan, Report, Step

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
    command_hint: str | None = None  # where it is not the hint


CASES = [
    Case(MigrationError("it failed"), 1, "it failed", None, {}),
    Case(
        SourceError("sql", "there is no directory 'sql'", hint="name it"),
        2,
        "there is no directory 'sql'",
        "name it",
        {"source": "sql"},
    ),
    Case(
        BadName("sql", "x_y.sql"),
        2,
        'while resolving migrations: error parsing migration filename "x_y.sql"; '
        "expected integer version prefix (e.g. `01_foo.sql`)",
        "rename 'x_y.sql' in sql, or move it into a subdirectory, which is not read",
        {"source": "sql", "name": "x_y.sql"},
    ),
    Case(
        DuplicateVersion("sql", 1, ("1_a.sql", "1_b.sql")),
        2,
        "version 1 is used twice in sql: '1_a.sql' and '1_b.sql'",
        "give one of them another version, unless it is installed somewhere already",
        {"source": "sql", "version": 1, "names": ("1_a.sql", "1_b.sql")},
    ),
    Case(
        BadOrder("sql", ("10_b.sql", "2_a.sql")),
        2,
        "in sql, yoyo runs '10_b.sql' before '2_a.sql', but its version is the higher one",
        "rename the one that is not installed anywhere yet, so that numbers and names have one order: 0002, 0010",
        {"source": "sql", "names": ("10_b.sql", "2_a.sql")},
    ),
    Case(
        MixedLayout("sql", ("1_a.rollback.sql", "1_b.up.sql")),
        2,
        "sql mixes two layouts: '1_a.rollback.sql' is yoyo's, '1_b.up.sql' is sqlx's",
        "rename the files of one layout: X.up.sql and X.down.sql are X.sql and X.rollback.sql in the other",
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
        UntrustedFile("/etc/yoyo.ini", "it belongs to user mallory", hint="name it"),
        2,
        "cannot use /etc/yoyo.ini: it belongs to user mallory",
        "name it",
        {"path": "/etc/yoyo.ini", "source": "/etc/yoyo.ini"},
    ),
    Case(
        BadDependency("sql/3_step.sql", "1_a", "is not in this directory"),
        2,
        "sql/3_step.sql depends on '1_a', which is not in this directory",
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
    Case(
        MissingDriver("postgresql://me:pw@host/app", "PostgreSQL", "postgresql", "psycopg", "no libpq"),
        2,
        "PostgreSQL needs the library psycopg, which cannot be imported: no libpq",
        'pip install "torc-migrations[postgresql]"',
        {"url": "postgresql://me:***@host/app", "extra": "postgresql"},
    ),
    Case(
        MissingLibrary("a report", "jinja2", "report"),
        2,
        "a report needs the library jinja2, which cannot be imported",
        'pip install "torc-migrations[report]"',
        {"extra": "report"},
    ),
    Case(LedgerError(3, "it contradicts", hint="look"), 3, "it contradicts", "look", {"version": 3}),
    Case(
        SchemaDrifted("app.db", ("table a is missing", "table b is missing")),
        3,
        "app.db has another schema than its installed migrations make: table a is missing, and 1 more difference",
        "check_drift() has each difference, with the SQL that would settle it",
        {"version": None, "differences": ("table a is missing", "table b is missing")},
        "`torc-migrations check drift` shows each difference, with the SQL that would settle it",
    ),
    Case(
        BadDump("schema.sql", "schema.sql lacks rows"),
        2,
        "schema.sql lacks rows",
        "dump() writes it from the migrations, with their rows",
        {"path": "schema.sql", "source": "schema.sql"},
        "`torc-migrations dump FILE` writes it from the migrations, with their rows",
    ),
    Case(
        NotEmpty("app.db", "table book"),
        3,
        "app.db is not empty: it has table book",
        "use an empty database; or upgrade() without a dump applies what is pending",
        {"version": None, "found": "table book"},
        "use an empty database; or `torc-migrations upgrade` without --from-dump applies what is pending",
    ),
    Case(
        OutOfOrder(2, 3),
        3,
        "migration 2 is pending, and older than 3, which is installed",
        'give it a number above the installed ones, or pass out_of_order="apply"',
        {"version": 2, "latest": 3},
        "`torc-migrations renumber VERSION` gives it a number above the others; --out-of-order apply runs it",
    ),
    Case(
        InstalledAlready(2),
        4,
        "migration 2 is installed, and cannot have another number",
        "renumber the other migrations instead; or roll it back first",
        {"version": 2},
    ),
    Case(
        VersionMissing(3),
        3,
        "migration 3 was previously applied but is missing in the resolved migrations",
        "restore its file, name the right directory with source=, or pass ignore_missing=True",
        {"version": 3},
        "restore its file, name the right directory with --source, or pass --ignore-missing",
    ),
    Case(
        TooOld(4, 3, 2),
        3,
        "this release ends with migration 2, and is too old for the database: migration 4, which is installed, "
        "asks for 3 or newer",
        "start a release that has it, or roll the database back to this one; ignore_missing=True starts it anyway",
        {"version": 4, "compatible_from": 3, "newest": 2},
        "start a release that has it, or roll the database back to this one; `upgrade --ignore-missing` accepts it",
    ),
    Case(
        VersionMismatch(3, recorded=b"\0" * 48, local=b"\1" * 48),
        3,
        "migration 3 was previously applied but has been modified",
        "restore the file as it was applied, and write the change as a new migration",
        {"version": 3, "recorded": b"\0" * 48, "local": b"\1" * 48},
    ),
    Case(
        VersionMismatch(3, recorded=b"\0" * 48, local=b"\1" * 48, line_endings=True),
        3,
        "migration 3 was previously applied but has been modified",
        "it differs in its line endings or byte order mark only: repair(3, line_endings=True) accepts both forms",
        {"version": 3, "line_endings": True},
        "it differs in its line endings or byte order mark only: "
        "`torc-migrations repair 3 --line-endings` accepts both forms",
    ),
    Case(
        Dirty(3),
        3,
        "migration 3 is partially applied; fix and remove row from `_sqlx_migrations` table",
        "look what of it is in the database; finish or undo it by hand, then call repair(3, mark=True) or "
        "repair(3, unmark=True)",
        {"version": 3},
        "look what of it is in the database; finish or undo it by hand, then type `torc-migrations repair 3 --mark`, "
        "or `--unmark`",
    ),
    Case(
        OutOfStep(3, yoyo=True, sqlx=False),
        3,
        "migration 3 is out of step: yoyo's ledger says installed, sqlx's says not installed, "
        "and the log does not show which is right",
        "finish or undo it by hand, then call repair(3, mark=True) or repair(3, unmark=True)",
        {"version": 3, "yoyo": True, "sqlx": False},
        "finish or undo it by hand, then type `torc-migrations repair 3 --mark`, or `--unmark`",
    ),
    Case(
        OutOfStep(3, yoyo=False, sqlx=False, there=("table a",), lacking=("index i", "table c")),
        3,
        "migration 3 is out of step: yoyo's ledger says not installed, sqlx's says not installed, and the log does not "
        "show which is right; of what it makes, table a is there, and index i, table c is not",
        "finish or undo it by hand, then call repair(3, mark=True) or repair(3, unmark=True)",
        {"version": 3, "there": ("table a",), "lacking": ("index i", "table c"), "unknown": None},
        "finish or undo it by hand, then type `torc-migrations repair 3 --mark`, or `--unmark`",
    ),
    Case(
        OutOfStep(3, yoyo=True, sqlx=False, name="2_step"),
        3,
        "migration 3 is out of step: yoyo's ledger says installed, by the name 2_step, sqlx's says not installed, and "
        "the log does not show which is right",
        "if it was 2_step, call repair(renamed=True); else finish or undo it by hand, then call repair(3, mark=True) "
        "or repair(3, unmark=True)",
        {"version": 3, "yoyo": True, "sqlx": False, "name": "2_step"},
        "if it was 2_step, type `torc-migrations repair --renamed`; else finish or undo it by hand, then type "
        "`torc-migrations repair 3 --mark`, or `--unmark`",
    ),
    Case(
        HalfDone(3, path="sql/3_step.sql", done=2, line=5, rolls_back=False),
        3,
        "migration 3 has begun and has not ended: it stopped after statement 2 of sql/3_step.sql, before line 5",
        "repair(3, resume_after=2) runs the other statements; or finish or undo it by hand, then call "
        "repair(3, mark=True) or repair(3, unmark=True)",
        {"version": 3, "path": "sql/3_step.sql", "done": 2, "line": 5, "rolls_back": False},
        "`torc-migrations repair 3 --resume-after 2` runs the other statements; or finish or undo it by hand, then "
        "type `torc-migrations repair 3 --mark`, or `--unmark`",
    ),
    Case(
        DamagedLedger("_sqlx_migrations", "version", row=3, value=b"x"),
        3,
        "row 3 of _sqlx_migrations has a version that cannot be understood: b'x'",
        "correct it by hand, or delete row 3 of _sqlx_migrations",
        {"version": None, "table": "_sqlx_migrations", "column": "version", "row": 3, "value": "b'x'"},
    ),
    Case(
        DamagedLedger("_yoyo_log", "comment"),
        3,
        "the table _yoyo_log lacks the column comment",
        "restore the table _yoyo_log",
        {"table": "_yoyo_log", "column": "comment", "row": None, "value": None},
    ),
    Case(
        Renamed(3, 2, is_missing=True),
        3,
        "migration 3 is 2 renamed: 2 is installed, and has the checksum of this file",
        "rename the file back, or repair(renamed=True) gives the records its new name",
        {"version": 3, "recorded": 2, "is_missing": True, "is_stale": False},
        "rename the file back, or `torc-migrations repair --renamed` gives the records its new name; "
        "if it is another migration, `torc-migrations apply 3 --ignore-missing` applies it",
    ),
    Case(
        MissingAbove(3, 1),
        3,
        "migration 1 cannot be rolled back below 3, which is installed and has no file",
        "restore its file and roll it back first",
        {"version": 3, "below": 1},
    ),
    Case(
        NothingToResume(3),
        4,
        "migration 3 has no script that has begun and has not ended",
        "status() says in a note which scripts have begun and have not ended",
        {"version": 3},
        "`torc-migrations status` says in a note which scripts have begun and have not ended",
    ),
    Case(
        NotThere(3, ("column a.b", "index i", "table a", "table c")),
        4,
        "the database lacks what the migrations up to 3 create: column a.b, index i, table a and 1 more",
        "take an older version as the baseline, or upgrade",
        {"version": 3, "missing": ("column a.b", "index i", "table a", "table c")},
    ),
    Case(
        OtherSchema("x.db", "it has a table 'book'"),
        3,
        "x.db does not have the torc schema that ships with this package: it has a table 'book'",
        "name the directory of its own migrations with source=",
        {"version": None, "database": "x.db", "evidence": "it has a table 'book'"},
        "name the directory of its own migrations with --source",
    ),
    Case(TargetError(3, "it cannot be reached", hint="look"), 4, "it cannot be reached", "look", {"version": 3}),
    Case(
        VersionNotPresent(3),
        4,
        "migration 3 is not present in the migration source",
        "status() lists the versions of the source",
        {"version": 3},
        "`torc-migrations status` lists the versions of the source",
    ),
    Case(
        VersionTooOld(3, 4),
        4,
        "migration 3 is older than the latest applied migration 4",
        "rollback(target=3) goes down to it",
        {"version": 3, "latest": 4},
        "`torc-migrations rollback --target 3` goes down to it",
    ),
    Case(
        TooFewInstalled(3, 4, 1),
        4,
        "4 migrations were to be rolled back, and 1 migration can be",
        "rollback(target=0) rolls back everything",
        {"version": 3, "steps": 4, "installed": 1},
        "`torc-migrations rollback --target 0` rolls back everything",
    ),
    Case(
        NotConvertible("m", "goose", (Problem("m/1_a.sql", 2, "why"), Problem("m/2_b.sql", None, "how")), 1),
        2,
        "2 files of goose in m cannot be converted, 1 can; nothing was written",
        "write these by hand, or pass partial=True to convert the others",
        {
            "source": "m",
            "tool": "goose",
            "problems": (Problem("m/1_a.sql", 2, "why"), Problem("m/2_b.sql", None, "how")),
        },
        "write these by hand, or pass --partial to convert the others",
    ),
    Case(
        VersionTooNew(3, 2),
        4,
        "migration 3 is newer than the latest applied migration 2",
        "upgrade(target=3) goes up to it",
        {"version": 3, "latest": 2},
        "`torc-migrations upgrade --target 3` goes up to it",
    ),
    Case(
        Irreversible(3),
        4,
        "migration 3 has no down script and cannot be rolled back",
        "stop above it with target=, or write its down script",
        {"version": 3},
        "stop above it with --target, or write its down script",
    ),
    Case(
        DependencyPending(3, "1_a"),
        4,
        "migration 3 depends on 1_a, which is pending",
        "apply both in one run, or upgrade",
        {"version": 3, "dependency": "1_a"},
    ),
    Case(
        DependentInstalled(1, "3_c"),
        4,
        "migration 1 cannot be rolled back: 3_c depends on it, and is installed",
        "roll back 3_c too, in the same run",
        {"version": 1, "dependent": "3_c"},
    ),
    Case(
        LockTimeout("x.db", "process 4711", 10.04),
        5,
        "process 4711 still holds x.db after a wait of 10.0 s",
        "try again later, or wait longer with lock_timeout=",
        {"database": "x.db", "holder": "process 4711", "waited": 10.04},
        "try again later, or wait longer with --lock-timeout",
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
        "3 runs outside a transaction: the statements before this one were kept, and are not recorded",
        {**FAILURE, "step": STEP, "reason": "table x already exists", "kept": True},
    ),
    Case(
        StatementTimeout(STEP, 30.0, **FAILURE),
        6,
        "while executing migration 3: the statement ran longer than 30 s, and was stopped",
        "nothing of 3 was kept; statement_timeout allows more time",
        {
            **FAILURE,
            "step": STEP,
            "reason": "the statement ran longer than 30 s, and was stopped",
            "kept": False,
            "timeout": 30.0,
        },
        "nothing of 3 was kept; --statement-timeout allows more time",
    ),
    Case(
        NotRehearsable(STEP, "ATTACH would open the file 'a.db'", path="a.sql", line=2, column=1, frame="a.sql:2"),
        6,
        "migration 3 cannot be rehearsed: ATTACH would open the file 'a.db'",
        "try it by hand on copies of all its files; target= rehearses what comes before it, "
        "and without on_loss= an upgrade runs it without a rehearsal",
        {"step": STEP, "reason": "ATTACH would open the file 'a.db'", "path": "a.sql", "line": 2, "column": 1},
        "try it by hand on copies of all its files; --target rehearses what comes before it, "
        "and without --on-loss `upgrade` runs it without a rehearsal",
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
        "while executing migration 3: 5 of 7 rows of book were lost without a DELETE or DROP TABLE in the script",
        "nothing of 3 was kept; if the rows are to be deleted, write the DELETE into the script; "
        'or accept it with on_loss="warn"',
        {"step": STEP, "lost": (("book", 7, 2),), "table": "book", "before": 7, "after": 2},
        "nothing of 3 was kept; if the rows are to be deleted, write the DELETE into the script; "
        "or accept it with --on-loss warn",
    ),
    Case(
        RowsLost(STEP, (("a", 7, 2), ("b", 1, 0), ("c", 1, 0), ("d", 1, 0))),
        6,
        "while executing migration 3: 5 of 7 rows of a, 1 of 1 rows of b, 1 of 1 rows of c and 1 more "
        "were lost without a DELETE or DROP TABLE in the script",
        "nothing of 3 was kept; if the rows are to be deleted, write the DELETE into the script; "
        'or accept it with on_loss="warn"',
        {"step": STEP, "table": "a"},
        "nothing of 3 was kept; if the rows are to be deleted, write the DELETE into the script; "
        "or accept it with --on-loss warn",
    ),
    Case(
        RowsDoubled(STEP, (("book", 7, 14),)),
        6,
        "while executing migration 3: 14 rows of book instead of 7: "
        "the script puts copies of rows back that were not deleted",
        'nothing of 3 was kept; foreign_keys={3: "on"} runs it with foreign keys on, as sqlx does; '
        'or accept it with on_loss="warn"',
        {"step": STEP, "doubled": (("book", 7, 14),), "table": "book", "before": 7, "after": 14},
        "nothing of 3 was kept; --foreign-keys 3=on runs it with foreign keys on, as sqlx does; "
        "or accept it with --on-loss warn",
    ),
    Case(
        SchemaBroken(STEP, (("view v", "no such table: main.a"), ("view w", "no such table: main.a"))),
        6,
        "while executing migration 3: view v worked before and does not any more: no such table: main.a, and 1 more",
        "nothing of 3 was kept; allow_broken_schema=True keeps it as it is",
        {"step": STEP, "path": None, "line": None, "statement": None},
        "nothing of 3 was kept; --allow-broken-schema keeps it as it is",
    ),
    Case(
        SchemaBroken(STEP, (("trigger t", "1 values for 2 columns"),), fires_on="a"),
        6,
        "while executing migration 3: trigger t does not work, and with it writing to a, which worked before: "
        "1 values for 2 columns",
        "nothing of 3 was kept; allow_broken_schema=True keeps it as it is",
        {"fires_on": "a"},
        "nothing of 3 was kept; --allow-broken-schema keeps it as it is",
    ),
    Case(StepFailed("migration 3 failed"), 6, "migration 3 failed", None, {}),
    Case(
        DatabaseFailed("x.db", "database or disk is full"),
        6,
        "x.db failed: database or disk is full",
        None,
        {"database": "x.db", "reason": "database or disk is full"},
    ),
    Case(
        NotSupported("db.example/app", "a copy cannot be made", hint="rehearse on a backup"),
        2,
        "db.example/app: a copy cannot be made",
        "rehearse on a backup",
        {"database": "db.example/app"},
    ),
    Case(
        BadOption("keep", 0, "a number from 1 on"),
        2,
        "keep must be a number from 1 on, not 0",
        None,
        {"option": "keep", "value": "0", "allowed": "a number from 1 on"},
    ),
    Case(
        BadOptionValue("on_loss", "Refuse", "'warn' or 'refuse'"),
        2,
        "on_loss must be 'warn' or 'refuse', not 'Refuse'",
        None,
        {"option": "on_loss", "value": "'Refuse'"},
    ),
    Case(
        BadOptionType("target", "2025", "an int or None"),
        2,
        "target must be an int or None, not '2025'",
        None,
        {"option": "target", "value": "'2025'"},
    ),
    Case(
        NotEnoughSpace("a snapshot of x.db", "backups", needed=3 * 1024**2, free=1024, hint="free some space"),
        6,
        "a snapshot of x.db may need 3072 KiB in backups, where 1 KiB are free",
        "free some space",
        {"directory": "backups", "needed": 3 * 1024**2, "free": 1024},
    ),
    Case(
        SnapshotFailed("x.db", "it is in memory, and has no file"),
        6,
        "cannot make a snapshot of x.db: it is in memory, and has no file",
        "nothing was run, because no snapshot could be made",
        {"database": "x.db", "reason": "it is in memory, and has no file"},
    ),
    Case(
        BadSnapshotDirectory("x.db", "there is no directory 'backups'"),
        2,
        "cannot make a snapshot of x.db: there is no directory 'backups'",
        "name a directory that exists and may be written; nothing was run",
        {"database": "x.db", "reason": "there is no directory 'backups'"},
    ),
    Case(
        BadSnapshot("x.snapshot", "it is empty", hint="take another"),
        2,
        "cannot restore 'x.snapshot': it is empty",
        "take another",
        {"path": "x.snapshot"},
    ),
    Case(WrittenSince("others have written since"), 5, "others have written since", None, {}),
    Case(
        BadArguments("there is no verb 'sqlite://me:secret@host/x'", hint="say -d sqlite://me:secret@host/x"),
        2,
        "there is no verb 'sqlite://me:***@host/x'",
        "say -d sqlite://me:***@host/x",
        {},
    ),
    Case(
        OutputFailed("cannot write to standard output: No space left on device"),
        2,
        "cannot write to standard output: No space left on device",
        None,
        {},
    ),
    Case(
        Interrupted((1, 2)),
        130,
        "interrupted",
        "`torc-migrations status` lists what is installed",
        {"done": (1, 2)},
    ),
    Case(
        WaitTimeout("sqlite://me:secret@host/x", "1 migration is pending", 300.2),
        5,
        "gave up waiting for sqlite://me:***@host/x after 300 s: 1 migration is pending",
        "another process has to upgrade it; wait longer with timeout=",
        {"database": "sqlite://me:***@host/x", "reason": "1 migration is pending", "waited": 300.2},
        "another process has to upgrade it; wait longer with --timeout",
    ),
    Case(
        WorkerLost(-9),
        6,
        "a process of the fleet has ended with status -9",
        "the next run continues; fewer workers need less memory",
        {"status": -9},
    ),
    Case(
        Stopped(),
        130,
        "stopped before the next migration",
        "the next upgrade continues; nothing needs to be repaired",
        {},
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
    assert case.error.command_hint == (case.command_hint or case.hint)
    assert not case.sentence.endswith(".")


@EVERY_ERROR
def test_a_hint_names_parameters_in_python_and_flags_on_the_command_line(case):
    """Neither names what only the other has."""
    assert "--" not in (case.hint or "")
    assert "=" not in (case.error.command_hint or "").replace("--foreign-keys 3=on", "")


@EVERY_ERROR
def test_an_error_has_a_stable_code(case):
    """The code is the name of the class, in lower case with hyphens."""
    words = case.error.code.split("-")

    assert "".join(word.capitalize() for word in words) == type(case.error).__name__


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
    assert told["code"] == case.error.code
    assert "command_hint" not in told
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

    assert arrived.report == error.report
    assert arrived.report.as_dict() == error.report.as_dict()
    assert arrived.report.as_text() == "Applied 3/migrate step (1.5µs)\n"


def test_nothing_was_reported_unless_something_was_begun():
    """An error from before the first step has no report."""
    assert VersionMissing(3).report is None


def test_a_new_hint_takes_the_place_of_the_usual_one():
    """A general error can be raised with a hint."""
    assert LedgerError(1, "x").hint is None
    assert LedgerError(1, "x", hint="y").hint == "y"
    assert VersionMissing(3).code == "version-missing"


def test_a_hint_is_replaced_and_extended():
    """Who catches an error may know more about what is left; the traceback shows it too."""
    replaced, extended = LockTimeout("x.db", "a process", 1), LockTimeout("x.db", "a process", 1)
    first = DatabaseFailed("x.db", "database or disk is full")

    replaced.replace_hint("nothing was kept")
    extended.extend_hint("x.db was created")
    first.extend_hint("x.db was created")

    assert (replaced.hint, replaced.command_hint) == ("nothing was kept", "nothing was kept")
    assert extended.hint == "try again later, or wait longer with lock_timeout=; x.db was created"
    assert extended.command_hint == "try again later, or wait longer with --lock-timeout; x.db was created"
    assert (first.hint, first.command_hint) == ("x.db was created", "x.db was created")
    assert (replaced.__notes__[-1], extended.__notes__[-1]) == ("hint: nothing was kept", "x.db was created")


def test_every_error_can_be_caught_at_once():
    """One class is the base of all, and each family has its own."""
    families = (SourceError, UrlError, LedgerError, TargetError)

    assert all(issubclass(type(case.error), MigrationError) for case in CASES)
    assert {case.exit_code for case in CASES if isinstance(case.error, families)} == {2, 3, 4}
    assert issubclass(BadOptionValue, ValueError)
    assert issubclass(BadOptionType, TypeError)
