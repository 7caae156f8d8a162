"""What is installed, from what two ledgers say: rule by rule. `test_ledger_model` tries every history."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from builders import (
    LATER,
    NO_ROW,
    SECOND,
    Text,
    history,
    installed,
    migration,
    recorded,
    source,
    sqlx_row,
    status_of,
    yoyo_row,
)

from torc_migrations.formatting import time_text
from torc_migrations.history.comparison import compare
from torc_migrations.history.status import Entry, State, Status
from torc_migrations.history.verdict import Verdict, decide
from torc_migrations.sources.checksums import checksum
from torc_migrations.sources.migration import Script

ONE, TWO, THREE = migration(1), migration(2), migration(3)
ROW = sqlx_row(ONE)
# Another run of sqlx's, at another time or, within one second, of another length.
OTHER_ROW = sqlx_row(ONE, time=2000)
LATER_ROW = sqlx_row(ONE, at=LATER, time=2000)
YOYO = yoyo_row(ONE)
APPLIED = ("apply", SECOND, ROW.identity)
ROLLED_BACK = ("rollback", SECOND, NO_ROW)

INSTALLED, PENDING, OUT_OF_STEP = Verdict.INSTALLED, Verdict.PENDING, Verdict.OUT_OF_STEP

# What sqlx's row is, what yoyo's row is, yoyo's log (three values make a line ours), and the verdict.
NO_WORD_OF_OURS = {
    "nobody has said a word": (None, None, None, PENDING),
    "sqlx alone, and no log": (ROW, None, None, INSTALLED),
    "yoyo alone, and no log": (None, YOYO, None, INSTALLED),
    "both, and no log": (ROW, YOYO, None, INSTALLED),
    "yoyo applied": (None, YOYO, [("apply", SECOND)], INSTALLED),
    "yoyo marked": (None, YOYO, [("mark", SECOND)], INSTALLED),
    "yoyo rolled back": (None, None, [("apply", SECOND), ("rollback", SECOND)], PENDING),
    "yoyo unmarked": (None, None, [("mark", SECOND), ("unmark", SECOND)], PENDING),
    "sqlx ran, then yoyo marked": (ROW, YOYO, [("mark", LATER)], INSTALLED),
    "yoyo rolled back, then sqlx ran": (LATER_ROW, None, [("rollback", SECOND)], INSTALLED),
    "sqlx ran, then yoyo rolled back": (ROW, None, [("rollback", LATER)], PENDING),
    "sqlx ran, then yoyo unmarked": (ROW, None, [("unmark", LATER)], PENDING),
    "sqlx ran and yoyo rolled back in one second": (ROW, None, [("rollback", SECOND)], OUT_OF_STEP),
    "yoyo writes a T where sqlx writes a blank": (
        LATER_ROW,
        None,
        [("rollback", SECOND.replace(" ", "T") + ".999999")],
        INSTALLED,
    ),
    "a later T is later": (ROW, None, [("rollback", LATER.replace(" ", "T"))], PENDING),
    "a fraction of a second settles nothing": (ROW, None, [("rollback", f"{SECOND}.999999")], OUT_OF_STEP),
}
KILLED_YOYO = {
    "logged an apply, and has no row": (None, None, [("apply", SECOND)], OUT_OF_STEP),
    "logged a rollback, and has its row": (None, YOYO, [("apply", SECOND), ("rollback", SECOND)], OUT_OF_STEP),
    "even where sqlx has a row": (ROW, None, [("apply", SECOND)], OUT_OF_STEP),
    "even after a word of ours": (ROW, YOYO, [APPLIED, ("rollback", LATER)], OUT_OF_STEP),
    "an operation nobody knows settles nothing": (None, YOYO, [("squash", SECOND)], INSTALLED),
}
SINCE_OUR_WORD = {
    "neither wrote, and we applied": (ROW, YOYO, [APPLIED], INSTALLED),
    "neither wrote, and we rolled back": (None, None, [APPLIED, ROLLED_BACK], PENDING),
    "neither wrote, and we recorded": (ROW, YOYO, [("apply", SECOND), ("mark", SECOND, ROW.identity)], INSTALLED),
    "neither wrote, and we erased": (None, None, [("rollback", SECOND), ("unmark", SECOND, NO_ROW)], PENDING),
    "yoyo rolled back": (ROW, None, [APPLIED, ("rollback", SECOND)], PENDING),
    "yoyo rolled back and applied": (ROW, YOYO, [APPLIED, ("rollback", SECOND), ("apply", SECOND)], INSTALLED),
    "yoyo applied after our rollback": (None, YOYO, [ROLLED_BACK, ("apply", SECOND)], INSTALLED),
    "sqlx reverted": (None, YOYO, [APPLIED], PENDING),
    "sqlx ran after our rollback": (ROW, None, [ROLLED_BACK], INSTALLED),
    "sqlx reverted and ran again within the second": (OTHER_ROW, YOYO, [APPLIED], INSTALLED),
    "both went": (None, None, [APPLIED, ("rollback", LATER)], PENDING),
    "both came": (ROW, YOYO, [ROLLED_BACK, ("mark", LATER)], INSTALLED),
    "sqlx ran anew, then yoyo rolled back": (OTHER_ROW, None, [APPLIED, ("rollback", LATER)], PENDING),
    "yoyo rolled back, then sqlx ran anew": (LATER_ROW, None, [APPLIED, ("rollback", SECOND)], INSTALLED),
    "both in one second": (LATER_ROW, None, [APPLIED, ("rollback", LATER)], OUT_OF_STEP),
    "yoyo applied again, and sqlx's stale row could only be reverted after it": (
        None,
        YOYO,
        [APPLIED, ("rollback", SECOND), ("apply", SECOND)],
        PENDING,
    ),
    "yoyo marked after its rollback, and sqlx's row is gone": (
        None,
        YOYO,
        [APPLIED, ("rollback", SECOND), ("mark", SECOND)],
        OUT_OF_STEP,
    ),
    "yoyo marked again, and nothing tells when sqlx reverted": (
        None,
        YOYO,
        [APPLIED, ("unmark", SECOND), ("mark", SECOND)],
        OUT_OF_STEP,
    ),
}


@pytest.mark.parametrize(("sqlx", "yoyo", "log", "verdict"), NO_WORD_OF_OURS.values(), ids=NO_WORD_OF_OURS)
def test_without_a_word_of_ours_the_later_write_is_right(sqlx, yoyo, log, verdict):
    """Equal rows decide, yoyo's row alone means installed, sqlx's row alone is weighed against yoyo's log."""
    assert decide(sqlx, yoyo, history(*log or ())) is verdict


@pytest.mark.parametrize(("sqlx", "yoyo", "log", "verdict"), KILLED_YOYO.values(), ids=KILLED_YOYO)
def test_a_log_that_contradicts_its_ledger_is_out_of_step(sqlx, yoyo, log, verdict):
    """Between its log and its ledger a stock yoyo was killed, and nothing else can be believed then."""
    assert decide(sqlx, yoyo, history(*log)) is verdict


@pytest.mark.parametrize(("sqlx", "yoyo", "log", "verdict"), SINCE_OUR_WORD.values(), ids=SINCE_OUR_WORD)
def test_whoever_wrote_since_our_last_word_is_right(sqlx, yoyo, log, verdict):
    """Our word stands until one of the others writes; if both did, equal rows or the later second decide."""
    assert decide(sqlx, yoyo, history(*log)) is verdict


def test_a_row_is_told_from_its_successor():
    """Two runs of sqlx differ in their second, their time or their rowid, even where the rest is the same."""
    identities = {ROW.identity, OTHER_ROW.identity, LATER_ROW.identity, ROW._replace(rowid=2).identity}

    assert len(identities) == 4


def test_a_fresh_database_is_all_pending():
    """Without ledgers every migration of the source is pending, and nothing is wrong."""
    status = status_of(ONE, TWO)

    assert status.pending == (ONE, TWO)
    assert status.installed == ()
    assert status.latest is None
    assert not status.clean
    assert status.notes == ()


def test_an_up_to_date_database_is_clean():
    """Where everything is installed as it stands in the files, there is nothing to tell."""
    status = status_of(ONE, TWO, said=installed(ONE, TWO))

    assert status.installed == (ONE, TWO)
    assert status.latest == 2
    assert status.clean
    assert status.notes == ()


def test_an_edited_file_is_changed():
    """An installed migration with another checksum is listed as sqlx lists it, and is not clean."""
    said = recorded(sqlx=(sqlx_row(ONE, checksum=b"\x0f" * 48),), yoyo=(ONE,))

    status = status_of(ONE, said=said)

    assert status.entries[0].state is State.CHANGED
    assert status.installed == (ONE,)
    assert not status.clean


def test_other_line_endings_are_changed_but_named():
    """A file that differs in its line endings only is listed as sqlx lists it, and a note says what it is."""
    text = ONE.up.sql + b"\nSELECT 1;\n"
    one = replace(ONE, up=Script(Text("1_step.sql", text.decode())), checksum=checksum(text))
    windows = sqlx_row(one, checksum=checksum(text.replace(b"\n", b"\r\n")))

    status = status_of(one, said=recorded(sqlx=(windows,), yoyo=(one,)))

    assert status.entries[0].state is State.CHANGED
    assert status.notes == ("1 differs in its line endings only; `torc-migrations repair 1 --line-endings`",)


def test_a_stale_row_of_another_text_is_no_change():
    """A row that is out of date says nothing about the file: what is pending cannot have changed."""
    log = {ONE: history(("rollback", LATER))}

    status = status_of(ONE, said=recorded(sqlx=(sqlx_row(ONE, checksum=b"\x0f" * 48),), log=log))

    assert status.entries[0].state is State.PENDING
    assert not status.entries[0].changed


def test_what_yoyo_alone_installed_cannot_have_changed():
    """yoyo keeps no checksum, so a migration that only it has recorded is taken as it stands."""
    status = status_of(ONE, said=recorded(yoyo=(ONE,)))

    assert status.entries[0].state is State.INSTALLED


def test_installed_without_a_file_is_missing():
    """A version in sqlx's ledger that no file has is missing; the newest of all versions counts as the latest."""
    status = status_of(TWO, said=installed(ONE, TWO, THREE))

    assert status.missing == (1, 3)
    assert status.latest == 3
    assert not status.clean
    assert status.notes == (
        "1 is installed, but has no file in the source",
        "3 is installed, but has no file in the source",
    )


def test_rows_of_yoyos_other_folders_are_foreign():
    """yoyo's ledger may hold the migrations of other folders, which is no error of ours."""
    said = installed(ONE)
    other = yoyo_row(TWO)._replace(id="2024_of_another_folder")

    status = status_of(ONE, said=said._replace(yoyo={**said.yoyo, "hash": other}))

    assert status.foreign == ("2024_of_another_folder",)
    assert status.clean


def test_foreign_rows_are_found_where_nothing_of_ours_is_installed():
    """As many rows of others as there are migrations of ours do not hide each other."""
    other = yoyo_row(TWO)._replace(id="2024_of_another_folder")

    status = status_of(ONE, said=recorded()._replace(yoyo={"hash": other}))

    assert status.foreign == ("2024_of_another_folder",)
    assert status.pending == (ONE,)


def test_a_row_without_success_is_dirty():
    """A migration that another tool began and did not end is told, lowest version first."""
    rows = (sqlx_row(THREE, success=False), sqlx_row(ONE, success=False), sqlx_row(TWO))

    status = status_of(ONE, TWO, THREE, said=recorded(sqlx=rows, yoyo=(ONE, TWO, THREE)))

    assert status.dirty == (1, 3)
    assert not status.clean
    assert "1 is dirty: another tool began it and did not finish it" in status.notes


def test_notes_of_the_source_come_first():
    """What was ignored in the folder is reported before what is wrong in the ledgers."""
    read = replace(source(ONE), notes=("README.md is ignored",))

    status = compare(read, recorded(yoyo=(ONE,)))

    assert status.notes == ("README.md is ignored", "1 is installed; sqlx's ledger lacks it, until the next upgrade")


@pytest.mark.parametrize(
    ("said", "note"),
    [
        (recorded(sqlx=(ROW,)), "1 is installed; yoyo's ledger lacks it, until the next upgrade"),
        (recorded(yoyo=(ONE,)), "1 is installed; sqlx's ledger lacks it, until the next upgrade"),
        (
            recorded(sqlx=(ROW,), log={ONE: history(("rollback", LATER))}),
            "1 is pending; sqlx's ledger still has it, until the next upgrade",
        ),
        (
            recorded(yoyo=(ONE,), log={ONE: history(APPLIED)}),
            "1 is pending; yoyo's ledger still has it, until the next upgrade",
        ),
        (
            recorded(yoyo=(ONE,), log={ONE: history(("rollback", SECOND))}),
            "1 is out of step: yoyo's ledger says installed, sqlx's ledger says not installed",
        ),
        (
            recorded(sqlx=(ROW,), log={ONE: history(("rollback", SECOND))}),
            "1 is out of step: yoyo's ledger says not installed, sqlx's ledger says installed",
        ),
    ],
)
def test_a_note_says_which_ledger_is_wrong(said, note):
    """Whatever the ledgers do not agree on is told in a sentence, and the listing is not clean."""
    status = status_of(ONE, said=said)

    assert status.notes == (note,)
    assert not status.entries[0].in_step
    assert not status.clean


@pytest.mark.parametrize(("operation", "yoyo"), [("apply", None), ("mark", None), ("rollback", YOYO), ("unmark", YOYO)])
def test_a_log_that_contradicts_its_own_ledger_is_out_of_step(operation, yoyo):
    """Whatever yoyo's last line says was done shows in yoyo's row, or somebody was stopped in between."""
    assert decide(ROW, yoyo, history((operation, LATER))) is OUT_OF_STEP


def test_the_identity_of_a_row_is_what_logs_hold_of_it():
    """Its three parts stand in every database's log, separated by blanks."""
    row = sqlx_row(ONE, at=SECOND, time=4711)._replace(rowid=9)

    assert row.identity == f"9 {SECOND} 4711"


@pytest.mark.parametrize(("sqlx", "listed"), [(None, State.PENDING), (ROW, State.INSTALLED)])
def test_out_of_step_is_listed_as_sqlx_would_list_it(sqlx, listed):
    """Where nothing can tell, the listing says what sqlx's own would, and never that all is well."""
    entry = Entry(ONE, Verdict.OUT_OF_STEP, sqlx, YOYO)

    assert entry.state is listed
    assert entry.out_of_step
    assert not entry.in_step


@pytest.mark.parametrize(("yoyo", "listed"), [((), State.PENDING), ((ONE,), State.INSTALLED)])
def test_a_running_yoyo_is_not_out_of_step(yoyo, listed):
    """While a living yoyo is between its log and its ledger, its ledger is believed."""
    operation = "rollback" if yoyo else "apply"
    said = recorded(yoyo=yoyo, log={ONE: history((operation, SECOND))}, yoyo_running=True)

    status = status_of(ONE, said=said)

    assert status.entries[0].state is listed
    assert not status.entries[0].out_of_step


def test_a_running_yoyo_changes_nothing_that_is_known():
    """Where the ledgers are clear, a running yoyo makes no difference."""
    status = status_of(ONE, TWO, said=recorded(sqlx=(ROW,), yoyo=(TWO,), yoyo_running=True))

    assert status.installed == (ONE, TWO)


def test_the_listing_is_sqlxs():
    """Every migration has the line of `sqlx migrate info`, and a changed one its two checksums."""
    changed = sqlx_row(TWO, checksum=bytes(range(48)))
    said = recorded(sqlx=(ROW, changed), yoyo=(ONE, TWO))

    text = status_of(ONE, TWO, THREE, said=said).as_text()

    assert text == (
        "1/installed step\n"
        "2/installed (different checksum) step\n"
        f"applied migration had checksum {bytes(range(48)).hex()}\n"
        f"local migration has checksum {TWO.checksum.hex()}\n"
        "3/pending step\n"
    )


def test_missing_migrations_are_not_listed():
    """As with sqlx, a version without a file has no line."""
    assert status_of(ONE, said=installed(ONE, TWO)).as_text() == "1/installed step\n"


def test_the_listing_of_no_migration_is_empty():
    """Nothing has no line, not even an empty one."""
    assert Status(()).as_text() == ""


def test_the_dictionary_says_everything_in_json():
    """Everything that is known of a database can be written as JSON, and read by a machine."""
    changed = sqlx_row(TWO, checksum=b"\x0f" * 48, at=LATER, time=-1)
    said = recorded(sqlx=(changed, sqlx_row(migration(9))), yoyo=(ONE, TWO))

    told = json.loads(json.dumps(status_of(ONE, TWO, migration(3, down=False), said=said).as_dict()))

    assert told["migrations"] == [
        {
            "version": 1,
            "id": "1_step",
            "description": "step",
            "state": "installed",
            "reversible": True,
            "checksum": ONE.checksum.hex(),
            "installed_checksum": None,
            "installed_on": f"{SECOND[:10]}T{SECOND[11:]}Z",
            "elapsed_ns": None,
            "yoyo": True,
            "sqlx": False,
            "in_step": False,
            "out_of_step": False,
            "half_done": None,
        },
        {
            "version": 2,
            "id": "2_step",
            "description": "step",
            "state": "installed (different checksum)",
            "reversible": True,
            "checksum": TWO.checksum.hex(),
            "installed_checksum": "0f" * 48,
            "installed_on": f"{LATER[:10]}T{LATER[11:]}Z",
            "elapsed_ns": None,
            "yoyo": True,
            "sqlx": True,
            "in_step": True,
            "out_of_step": False,
            "half_done": None,
        },
        {
            "version": 3,
            "id": "3_step",
            "description": "step",
            "state": "pending",
            "reversible": False,
            "checksum": THREE.checksum.hex(),
            "installed_checksum": None,
            "installed_on": None,
            "elapsed_ns": None,
            "yoyo": False,
            "sqlx": False,
            "in_step": True,
            "out_of_step": False,
            "half_done": None,
        },
    ]
    assert {name: value for name, value in told.items() if name != "migrations"} == {
        "latest": 9,
        "pending": [3],
        "missing": [9],
        "foreign": [],
        "dirty": [],
        "renamed": {},
        "due_hooks": [],
        "ok": False,
        "notes": [
            "1 is installed; sqlx's ledger lacks it, until the next upgrade",
            "9 is installed, but has no file in the source",
        ],
    }


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("2026-01-01 12:30:00", "2026-01-01T12:30:00Z"),
        ("2026-01-01T12:30:00.123456", "2026-01-01T12:30:00.123456Z"),
        ("2026-01-01 12:30:00+00:00", "2026-01-01T12:30:00Z"),
        ("2026-01-01T12:30:00Z", "2026-01-01T12:30:00Z"),
        ("2026-01-01 12:30:00+02:00", "2026-01-01 12:30:00+02:00"),
        ("yesterday", "yesterday"),
        ("", ""),
        (None, None),
    ],
)
def test_times_are_told_as_iso_8601_has_them(written, told):
    """Whichever tool wrote a time, JSON has it in one form; what is no time in UTC is left as it is."""
    assert time_text(written) == told
