"""Up, down and up again: what a down script leaves behind, drops or cannot undo, and whether the up runs again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from book_shop import MADE
from database_under_test import SQLiteUnderTest, ladder

import torc_migrations
from torc_migrations import Migrator, errors, round_trip, upgrade

ROW = "CREATE TABLE t (a, b);\nINSERT INTO t VALUES (1, 2), (3, 4);\n"
ROWS = {"1_make": ROW, "1_make.rollback": "DROP TABLE t;"}


def trip(folder, up: str, down: str | None) -> tuple[str, ...]:
    """Return what is found of one migration, after one that makes a table with two rows."""
    files = {**ROWS, "2_change": up} | ({"2_change.rollback": down} if down is not None else {})
    result = round_trip(source=folder(files))
    assert result.ok is not bool(result.findings)
    return result.findings


def test_what_comes_back_is_no_finding(folder):
    """Tables, indexes, columns, rows and a rebuild that are all undone and redone."""
    swap = "DROP TABLE t;\nALTER TABLE n RENAME TO t;\n"
    files = {
        **ROWS,
        "2_column": "ALTER TABLE t ADD COLUMN c DEFAULT 1;",
        "2_column.rollback": "ALTER TABLE t DROP COLUMN c;",
        "3_rows": "INSERT INTO t VALUES (5, 6, 7);",
        "3_rows.rollback": "DELETE FROM t WHERE a = 5;",
        "4_rebuild": f"CREATE TABLE n (a, b, c, d);\nINSERT INTO n SELECT *, 8 FROM t ORDER BY a DESC;\n{swap}",
        "4_rebuild.rollback": f"CREATE TABLE n(a,b, [c] default 1);\nINSERT INTO n SELECT a, b, c FROM t;\n{swap}",
        "5_index": "CREATE INDEX i ON t (a);",
        "5_index.rollback": "DROP INDEX i;",
        "6_outside": "-- transactional: false\nVACUUM;",
        "6_outside.rollback": "SELECT 1;",
    }
    result = round_trip(source=folder(files))

    assert (result.findings, result.ok, len(result.trips)) == ((), True, 6)
    assert result.as_text() == "6 of 6 migrations go up, down and up again\n"


def test_what_a_later_migration_completes_is_not_logged(folder, caplog):
    """Each migration runs alone here, and nothing is at an end after it."""
    files = {
        "1_key": "CREATE TABLE k (x REFERENCES t (a));",
        "1_key.rollback": "DROP TABLE k;",
        "2_make": "CREATE TABLE t (a PRIMARY KEY);",
    }

    round_trip(source=folder(files), allow_irreversible=True)

    assert caplog.messages == []


@pytest.mark.parametrize(
    ("up", "down", "found"),
    [
        (
            "CREATE TABLE x (y);\nCREATE INDEX i ON t (a);",
            "DROP TABLE x;",
            "its down script leaves index i behind",
        ),
        ("ALTER TABLE t ADD COLUMN c;", "SELECT 1;", "its down script leaves column t.c behind"),
        ("CREATE INDEX i ON t (a);", "DROP TABLE t;", "its down script drops table t, which was there before"),
        ("ALTER TABLE t DROP COLUMN b;", "SELECT 1;", "its down script does not bring column t.b back"),
        (
            "ALTER TABLE t DROP COLUMN b;",
            "ALTER TABLE t ADD COLUMN b;",
            "its down script brings column t.b back, but not its values",
        ),
        ("DROP TABLE t;", "CREATE TABLE t (a, b);", "its down script brings table t back with 0 of its 2 rows"),
        (
            "DROP TABLE t;",
            "CREATE TABLE t (a, b);\nINSERT INTO t VALUES (1, 2), (3, 5);",
            "its down script brings table t back with other values",
        ),
        (
            "DELETE FROM t WHERE a = 1;",
            "SELECT 1;",
            "its up script leaves table t with 1 of its 2 rows, and its down script does not undo that",
        ),
        (
            "INSERT INTO t VALUES (5, 6);",
            "SELECT 1;",
            "its up script leaves table t with 3 rows instead of 2, and its down script does not undo that",
        ),
        ("UPDATE t SET b = -1;", "UPDATE t SET b = -2;", "its down script leaves other values in table t"),
        ("UPDATE t SET b = 1 WHERE b = 2;", "UPDATE t SET b = '2' WHERE b = 1;", "other values in table t"),
        ("UPDATE t SET b = x'61';", "UPDATE t SET b = 'a';", "other values in table t"),
        ("UPDATE t SET a = b, b = a;", "SELECT 1;", "its up script leaves other values in table t, and its down"),
        (
            "CREATE TABLE n (a, b CHECK (b > 0));\nDELETE FROM t;\nDROP TABLE t;\nALTER TABLE n RENAME TO t;",
            "SELECT 1;",
            "its up script defines table t otherwise, and its down script leaves it so",
        ),
        ("CREATE INDEX i ON t (a);", None, "2 has no down script, and cannot be undone"),
        ("CREATE INDEX i ON t (a);", "DROP INDEX j;", "its down script fails: while executing migration 2: no such"),
        (
            "CREATE TABLE x (y);",
            "SELECT 1;",
            "its up script cannot run again after its down script: while executing migration 2: table x already",
        ),
        (
            "CREATE INDEX i ON nowhere (a);",
            "DROP INDEX i;",
            "its up script fails: while executing migration 2: no such",
        ),
        (
            "CREATE TABLE IF NOT EXISTS x (y);\nINSERT INTO x VALUES (1);",
            "SELECT 1;",
            "its up script leaves 2 rows in table x the second time, 1 the first",
        ),
        (
            "CREATE TABLE IF NOT EXISTS x (y);",
            "DROP TABLE x;\nCREATE TABLE x (z);",
            "its up script makes another schema the second time: ~ table x, + x.z, - x.y",
        ),
        (
            "-- transactional: false\nCREATE TABLE c (a REFERENCES p);\nCREATE TABLE p (a PRIMARY KEY);",
            "-- transactional: false\nINSERT INTO c VALUES (1);",
            "its down script leaves 1 row that points nowhere, the first in c, to p",
        ),
        ("COMMIT;", "SELECT 1;", None),
        ("ROLLBACK;", "SELECT 1;", "its up script fails: "),
    ],
)
def test_what_does_not_come_back_is_told(folder, up, down, found):
    """One sentence for each thing, with its name."""
    findings = trip(folder, up, down)

    if found is None:
        assert findings == ()
    else:
        assert [finding for finding in findings if found in finding], findings
        assert all(finding.startswith(("2: ", "2 has no ")) for finding in findings)


@pytest.mark.parametrize(
    ("first", "up", "is_finding"),
    [
        ("CREATE TABLE t (b TEXT, a INT, PRIMARY KEY (a));", "ALTER TABLE t DROP COLUMN b;", False),
        ("CREATE TABLE t (x CHECK (x IN (1, 2)), b TEXT, c DEFAULT ',');", "ALTER TABLE t DROP COLUMN b;", False),
        ("CREATE TABLE t (a INT, b TEXT NOT NULL DEFAULT '', c);", "ALTER TABLE t DROP COLUMN b;", True),
    ],
)
def test_another_order_of_columns_is_a_note(folder, first, up, is_finding):
    """ALTER TABLE can put a column back at the end only; another type or constraint is a finding."""
    files = {"1_first": first, "1_first.rollback": "DROP TABLE t;", "2_second": up}
    result = round_trip(source=folder({**files, "2_second.rollback": "ALTER TABLE t ADD COLUMN b TEXT;"}))

    otherwise = "2: its down script leaves table t defined otherwise"
    assert result.findings == ((otherwise,) if is_finding else ())
    notes = () if is_finding else ("its down script leaves the columns of table t in another order",)
    assert result.trips[1].notes == notes


def test_what_differs_by_itself_is_a_note(folder):
    """A time or a random number is another one the second time; that alone is no finding."""
    files = {**ROWS, "2_random": "CREATE TABLE r AS SELECT random() AS x;", "2_random.rollback": "DROP TABLE r;"}
    result = round_trip(source=folder(files))

    assert (result.ok, result.findings) == (True, ())
    assert result.trips[1].notes == ("table r has other values the second time, such as a time or what is random",)


def test_what_cannot_go_on_leaves_the_rest_untried(folder):
    """Behind a migration that is not there, nothing can be said of the others."""
    files = {**ladder(4), "2_make_t2": "CREATE TABLE t1 (x);"}
    result = round_trip(source=folder(files))

    assert ([each.version for each in result.trips], result.untried, result.ok) == ([1, 2], (3, 4), False)
    assert "not tried, because of what stands above: 3, 4\n1 of 4 migrations go up" in result.as_text()


def test_a_down_that_fails_does_not_stop_the_others(folder):
    """The migration is up all the same, so that the next one can be tried."""
    result = round_trip(source=folder({**ladder(3), "2_make_t2.rollback": "DROP TABLE nowhere;"}))

    assert [each.ok for each in result.trips] == [True, False, True]


def test_hooks_are_no_part_of_it(folder):
    """What runs after every upgrade is nobody's down to undo."""
    result = round_trip(source=folder({**ROWS, "post-apply": "INSERT INTO t VALUES (9, 9);"}))

    assert (result.ok, len(result.trips)) == (True, 1)


def test_pending_migrations_go_round_on_a_copy_of_the_rows(shop: SQLiteUnderTest, folder, snapshot):
    """What an empty database would not show: rows that a down script does not bring back."""
    files = {
        "2_drop": "ALTER TABLE book DROP COLUMN title;",
        "2_drop.rollback": "ALTER TABLE book ADD COLUMN title TEXT;",
    }
    source, before = folder(files), snapshot()

    live = round_trip(shop.path, source)

    assert live.findings == ("2: its down script brings column book.title back, but not its values",)
    assert [each.version for each in live.trips] == [2]
    assert snapshot() == before


def test_the_default_of_a_database_with_nothing_is_every_migration(sqlite: SQLiteUnderTest, folder):
    """A missing database, or an empty one, has nothing to copy; it stays as it is."""
    source = folder(MADE)
    assert [each.version for each in Migrator(sqlite.path, source).round_trip().trips] == [1]
    assert not sqlite.path.exists()

    upgrade(sqlite.path, source)
    migrator = Migrator(sqlite.path, source)
    assert (migrator.round_trip().trips, migrator.round_trip().ok) == ((), True)
    assert [each.version for each in migrator.round_trip(fresh=True).trips] == [1]


def test_ledgers_that_forbid_it_are_an_error(shop: SQLiteUnderTest, folder):
    """An installed migration that was edited is no finding about the pending ones."""
    with pytest.raises(errors.VersionMismatch):
        round_trip(shop.path, folder({"1_make_shop": "SELECT 1;", "2_more": "SELECT 1;"}))


def test_the_shipped_schema_goes_round():
    """Every migration of torc comes back as it was."""
    result = round_trip()

    assert result.findings == ()
    assert len(result.trips) == len(list((Path(__file__).parents[2] / "sql").glob("*.rollback.sql")))


def test_json_tells_the_same(folder):
    """For programs."""
    result = round_trip(source=folder({**ROWS, "2_bad": "CREATE INDEX i ON t (a);", "2_bad.rollback": "SELECT 1;"}))

    told = json.loads(json.dumps(result.as_dict()))
    assert (told["ok"], told["untried"], told["trips"][0]["ok"], told["trips"][1]["id"]) == (False, [], True, "2_bad")
    assert told["trips"][1]["findings"][0] == "its down script leaves index i behind"


def test_it_can_be_asked_for_again():
    """The package's function stays the package's function, whatever is loaded meanwhile."""
    results = [torc_migrations.round_trip(), torc_migrations.round_trip()]

    assert [result.findings for result in results] == [(), ()]
