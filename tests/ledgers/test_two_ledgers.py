"""Two ledgers, one truth: what stock yoyo and sqlx have done is told, adopted, and never guessed at."""

from __future__ import annotations

import sys
from contextlib import closing
from hashlib import sha384
from uuid import UUID

import pytest
from database_under_test import Ledgers, SQLiteUnderTest, ladder, python, start_python
from other_tools import key, listed, log, sqlx_revert, sqlx_run, told, yoyo

from torc_migrations import Migrator, errors, rollback, status, upgrade
from torc_migrations.databases.sqlite.ledger_sql import LEDGER_SQL

IDEMPOTENT = {
    "1_a": "CREATE TABLE IF NOT EXISTS a (x);",
    "1_a.rollback": "DROP TABLE IF EXISTS a;",
    "2_b": "CREATE TABLE IF NOT EXISTS b (x);",
    "2_b.rollback": "DROP TABLE IF EXISTS b;",
}


def test_stock_yoyo_lists_what_we_applied(sqlite: SQLiteUnderTest, folder):
    """After ours, `yoyo list` agrees, at every step up and down."""
    source = folder(ladder(3))

    upgrade(sqlite.path, source, target=2)
    assert listed(sqlite, source) == "AAU"
    upgrade(sqlite.path, source)
    assert listed(sqlite, source) == "AAA"
    rollback(sqlite.path, source, target=1)
    assert listed(sqlite, source) == "AUU"


@pytest.mark.parametrize("operation", [upgrade, rollback])
def test_database_of_stock_yoyo_is_adopted(sqlite: SQLiteUnderTest, folder, operation):
    """What stock yoyo applied is installed for us, with a note; the next upgrade or rollback writes sqlx's rows."""
    source = folder(ladder(3))
    yoyo(sqlite, "apply", source)

    before = status(sqlite.path, source)
    report = operation(sqlite.path, source)

    assert [entry.installed for entry in before.entries] == [True] * 3
    assert len([note for note in before.notes if "sqlx's ledger lacks it" in note]) == 3
    assert report.applied == (() if operation is upgrade else (3,))
    assert sqlite.ledgers().agreed == ((1, 2, 3) if operation is upgrade else (1, 2))
    assert status(sqlite.path, source).notes == ()
    assert listed(sqlite, source) == ("AAA" if operation is upgrade else "AAU")


@pytest.mark.parametrize("operation", [upgrade, rollback])
def test_database_of_sqlx_is_adopted(sqlite: SQLiteUnderTest, folder, operation):
    """What sqlx applied is installed for us; the next upgrade or rollback writes yoyo's rows, and leaves sqlx's."""
    source = folder(ladder(3))
    for name in ("1_make_t1", "2_make_t2", "3_make_t3"):
        sqlx_run(sqlite, source, name)
    rows = sqlite.execute("SELECT * FROM _sqlx_migrations WHERE version < 3")

    assert told(sqlite, source) == "AAA"
    assert operation(sqlite.path, source).applied == (() if operation is upgrade else (3,))

    assert sqlite.ledgers().agreed == ((1, 2, 3) if operation is upgrade else (1, 2))
    assert sqlite.execute("SELECT * FROM _sqlx_migrations WHERE version < 3") == rows
    assert listed(sqlite, source) == ("AAA" if operation is upgrade else "AAU")


def test_database_of_sqlx_in_its_own_layout_is_adopted(sqlite: SQLiteUnderTest, folder):
    """A folder in sqlx's layout has the same records; only the names of its files are others."""
    source = folder({"1_a.up": "CREATE TABLE a (x);", "1_a.down": "DROP TABLE a;", "2_b.up": "CREATE TABLE b (x);"})
    with closing(sqlite.connect()) as connection:
        connection.execute(LEDGER_SQL.create_sqlx_table.format(sqlx="_sqlx_migrations"))
        connection.execute("CREATE TABLE a (x)")
        checksum = sha384(b"CREATE TABLE a (x);").digest()
        connection.execute("INSERT INTO _sqlx_migrations VALUES (1, 'a', CURRENT_TIMESTAMP, TRUE, ?, 3)", (checksum,))

    assert upgrade(sqlite.path, source).applied == (2,)
    assert sqlite.ledgers().yoyo == ("1_a", "2_b")


def test_adoption_is_logged_as_ours(sqlite: SQLiteUnderTest, folder):
    """Every write of ours leaves a line in yoyo's log that says so."""
    source = folder(ladder(1))
    yoyo(sqlite, "apply", source)
    upgrade(sqlite.path, source)
    rollback(sqlite.path, source)

    comments = sqlite.execute("SELECT operation, comment FROM _yoyo_log ORDER BY rowid")
    assert [operation for operation, _ in comments] == ["apply", "mark", "rollback"]
    assert comments[0][1] is None
    assert all(comment.startswith("torc_migrations ") for _, comment in comments[1:])


@pytest.mark.parametrize("atomic", [False, True])
def test_rows_of_one_record_bear_one_time(sqlite: SQLiteUnderTest, folder, atomic):
    """Both ledgers and the log have the same second; the time of each later record is a later one."""
    before = sqlite.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")[0][0]
    source = folder({**ladder(3), "post-apply": "SELECT 1;"})
    upgrade(sqlite.path, source, target=1)
    upgrade(sqlite.path, source, atomic=atomic)

    rows = sqlite.execute(
        "SELECT installed_on, applied_at_utc, created_at_utc "
        "FROM _sqlx_migrations, _yoyo_migration AS yoyo, _yoyo_log AS log "
        "WHERE yoyo.migration_id LIKE version || '%' AND log.migration_id = yoyo.migration_id"
    )
    assert len(rows) == 3
    assert all((installed, applied) == (logged[:19], logged) for installed, applied, logged in rows)

    rollback(sqlite.path, source, target=0)
    times = [time for (time,) in sqlite.execute("SELECT created_at_utc FROM _yoyo_log ORDER BY rowid")]
    assert [before, *times] == sorted([before, *times])
    assert len(set(times)) == len(times)


def test_keys_of_the_log_are_one_of_a_kind(sqlite: SQLiteUnderTest, folder):
    """Each is a UUID, as long as yoyo's own; the lines of one run follow each other, and two runs share none."""
    source = folder(ladder(20))
    upgrade(sqlite.path, source)
    rollback(sqlite.path, source, target=0)
    yoyo(sqlite, "apply", source)

    keys = [key for (key,) in sqlite.execute("SELECT id FROM _yoyo_log ORDER BY rowid")]
    assert len(set(keys)) == 60
    assert all(str(UUID(key)) == key for key in keys)
    assert keys[:20] == sorted(keys[:20])
    assert keys[0][:-12] != keys[20][:-12]


def test_rollback_by_stock_yoyo_is_believed(sqlite: SQLiteUnderTest, folder):
    """What stock yoyo rolled back is pending; the stale row of sqlx goes, and the migration is applied anew."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    yoyo(sqlite, "rollback", source, "-r", "2_make_t2")

    assert told(sqlite, source) == "AU"
    assert any("sqlx's ledger still has it" in note for note in status(sqlite.path, source).notes)
    assert upgrade(sqlite.path, source).applied == (2,)
    assert sqlite.ledgers().agreed == (1, 2)
    assert listed(sqlite, source) == "AA"


def test_revert_by_sqlx_is_believed(sqlite: SQLiteUnderTest, folder):
    """What sqlx reverted is pending; the stale row of yoyo goes, and the migration is applied anew."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    sqlx_revert(sqlite, source, "2_make_t2")

    assert told(sqlite, source) == "AU"
    assert upgrade(sqlite.path, source).applied == (2,)
    assert sqlite.ledgers().agreed == (1, 2)
    assert listed(sqlite, source) == "AA"


def test_stale_rows_are_erased_by_a_rollback_too(sqlite: SQLiteUnderTest, folder):
    """A rollback sets both ledgers right before it goes down."""
    source = folder(ladder(3))
    upgrade(sqlite.path, source)
    sqlx_revert(sqlite, source, "3_make_t3")

    assert rollback(sqlite.path, source).applied == (2,)
    assert sqlite.ledgers().agreed == (1,)


@pytest.mark.slow
def test_mark_and_unmark_by_stock_yoyo_are_believed(sqlite: SQLiteUnderTest, folder):
    """What a user marks by hand as installed is taken as true."""
    source = folder(IDEMPOTENT)
    upgrade(sqlite.path, source, target=1)
    yoyo(sqlite, "mark", source, "-m", "2_b")
    assert told(sqlite, source) == "AA"
    assert upgrade(sqlite.path, source).applied == ()

    yoyo(sqlite, "unmark", source, "-m", "1_a")
    assert told(sqlite, source) == "UA"
    assert upgrade(sqlite.path, source).applied == (1,)

    assert sqlite.ledgers().agreed == (1, 2)
    assert listed(sqlite, source) == "AA"
    assert "b" not in sqlite.tables()


def killed_yoyo(database: SQLiteUnderTest, source: str) -> None:
    """Leave what a stock yoyo leaves that was killed between its log and its ledger."""
    yoyo(database, "apply", source)
    database.execute("DELETE FROM _yoyo_migration WHERE migration_id LIKE '2%'")


def test_ledgers_out_of_step_are_told_and_refused(sqlite: SQLiteUnderTest, folder):
    """Where nothing can tell, `status` says so, and nobody goes on; a mark settles it."""
    source = folder({**ladder(1), "2_make_t2": "INSERT INTO t1 VALUES (2);"})
    killed_yoyo(sqlite, source)
    before = sqlite.path.read_bytes()

    assert told(sqlite, source) == "A?"
    assert any("out of step" in note for note in status(sqlite.path, source).notes)
    for operation in (upgrade, rollback):
        with pytest.raises(errors.OutOfStep) as failure:
            operation(sqlite.path, source)
        assert failure.value.version == 2
        assert failure.value.exit_code == 3
    assert sqlite.path.read_bytes() == before

    yoyo(sqlite, "mark", source, "-m", "2_make_t2")
    assert upgrade(sqlite.path, source).applied == ()
    assert sqlite.ledgers().agreed == (1, 2)


@pytest.mark.parametrize("first", [False, True])
def test_nothing_is_out_of_step_while_stock_yoyo_runs(sqlite: SQLiteUnderTest, folder, first):
    """A living yoyo may be between its log and its ledger, with its very first migration too: it is waited for."""
    source = folder(ladder(2))
    killed_yoyo(sqlite, source)
    if first:
        sqlite.execute("DELETE FROM _yoyo_migration", "DELETE FROM _yoyo_log WHERE migration_id LIKE '1%'")
        sqlite.execute("DROP TABLE t1")
    running = start_python("import sys; sys.stdin.read()")
    sqlite.execute(f"INSERT INTO yoyo_lock (ctime, pid) VALUES (strftime('%Y-%m-%dT%H:%M:%f', 'now'), {running.pid})")

    assert told(sqlite, source) == ("UU" if first else "AU")
    with pytest.raises(errors.LockTimeout, match="yoyo"):
        upgrade(sqlite.path, source, lock_timeout=0.2)
    running.communicate()

    assert told(sqlite, source) == ("U?" if first else "A?")


@pytest.mark.parametrize("blank", ["T", " "])
@pytest.mark.parametrize(("later", "opinion"), [("sqlx", "A"), ("yoyo", "U"), ("both", "?")])
def test_later_second_decides_however_it_is_written(sqlite: SQLiteUnderTest, folder, blank, later, opinion):
    """Timestamps are compared as moments: stock yoyo writes some with a T, which as text sorts behind any blank."""
    source = folder(IDEMPOTENT)
    upgrade(sqlite.path, source)
    sqlite.execute("UPDATE _yoyo_log SET comment = NULL", "DELETE FROM _yoyo_migration WHERE migration_id = '2_b'")
    moments = {"sqlx": ("09:30:00", "09:29:59"), "yoyo": ("09:30:00", "09:30:01"), "both": ("09:30:00", "09:30:00")}
    installed, removed = moments[later]
    sqlite.execute(f"UPDATE _sqlx_migrations SET installed_on = '2026-01-01 {installed}' WHERE version = 2")
    log(sqlite, "rollback", "2_b", f"2026-01-01{blank}{removed}.123456")

    assert told(sqlite, source) == f"A{opinion}"


def test_log_is_read_in_the_order_it_was_written(sqlite: SQLiteUnderTest, folder):
    """A clock that jumps back an hour, or a year, changes nothing: the log's lines have an order of their own."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    sqlite.execute("DELETE FROM _yoyo_migration WHERE migration_id = '2_make_t2'", "DROP TABLE t2")
    log(sqlite, "rollback", "2_make_t2", "2001-01-01 00:00:00")

    assert told(sqlite, source) == "AU"
    assert upgrade(sqlite.path, source).applied == (2,)


def test_renumbered_rows_change_no_opinion(sqlite: SQLiteUnderTest, folder):
    """VACUUM may renumber sqlx's rows, and so does a dump: what was installed is, what is rolled back then is not."""
    source = folder(ladder(4))
    upgrade(sqlite.path, source)
    rollback(sqlite.path, source, target=2)
    upgrade(sqlite.path, source)
    sqlx_revert(sqlite, source, "1_make_t1")
    sqlite.execute("VACUUM", "UPDATE _sqlx_migrations SET rowid = rowid + 100")

    assert told(sqlite, source) == "UAAA"
    yoyo(sqlite, "rollback", source, "-r", "4_make_t4")
    sqlite.execute("UPDATE _yoyo_log SET created_at_utc = '2099-01-01 00:00:00' WHERE comment IS NULL")
    assert told(sqlite, source) == "UAAU"
    assert upgrade(sqlite.path, source).applied == (1, 4)
    assert sqlite.ledgers().agreed == (1, 2, 3, 4)


def test_ledger_of_an_old_yoyo_is_read_and_brought_up_to_date(sqlite: SQLiteUnderTest, folder):
    """Before version 6 yoyo had neither hashes nor a log: its rows count, and the next upgrade modernises the table."""
    source = folder(ladder(3))
    sqlite.execute(
        "CREATE TABLE _yoyo_migration (id VARCHAR(191) NOT NULL PRIMARY KEY, ctime TIMESTAMP)",
        "INSERT INTO _yoyo_migration VALUES ('1_make_t1', '2016-03-01 10:11:12.131415'), ('2_make_t2', NULL)",
        "CREATE TABLE t1 (x)",
        "CREATE TABLE t2 (x)",
    )
    before = sqlite.path.read_bytes()
    assert told(sqlite, source) == "AAU"
    assert sqlite.path.read_bytes() == before

    assert upgrade(sqlite.path, source).applied == (3,)

    assert sqlite.ledgers().agreed == (1, 2, 3)
    assert sqlite.execute("SELECT version FROM _yoyo_version") == [(2,)]
    assert sqlite.execute("SELECT applied_at_utc FROM _yoyo_migration WHERE migration_id = '1_make_t1'") == [
        ("2016-03-01 10:11:12.131415",)
    ]
    assert listed(sqlite, source) == "AAA"


def test_fresh_ledgers_are_those_that_stock_yoyo_makes(sqlite: SQLiteUnderTest, folder, tmp_path):
    """Column for column, yoyo's tables are made as yoyo makes them."""
    source, theirs = folder(ladder(1)), SQLiteUnderTest(tmp_path / "theirs.db")
    upgrade(sqlite.path, source)
    yoyo(theirs, "apply", source)
    sql = "SELECT name, sql FROM sqlite_master WHERE name LIKE '!_yoyo!_%' ESCAPE '!' ORDER BY name"

    assert sqlite.execute(sql) == theirs.execute(sql)
    assert len(sqlite.execute(sql)) == 3
    assert sqlite.execute("SELECT version FROM _yoyo_version") == theirs.execute("SELECT version FROM _yoyo_version")


def test_ledger_of_yoyo_may_have_another_name(sqlite: SQLiteUnderTest, folder):
    """`migration_table` names it, as yoyo's option does; odd names are quoted."""
    source, name = folder(ladder(2)), 'my "own" table'
    Migrator(sqlite.path, source, migration_table=name).upgrade(1)

    assert listed(sqlite, source, "--migration-table", name) == "AU"
    yoyo(sqlite, "apply", source, "--migration-table", name)
    assert told(sqlite, source, migration_table=name) == "AA"
    assert Migrator(sqlite.path, source, migration_table=name).upgrade().applied == ()


def test_two_projects_share_a_database(sqlite: SQLiteUnderTest, folder, tmp_path):
    """A second ledger of yoyo's beside the first shares its log; each project has its own folder."""
    ours = folder(ladder(2))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "77_other.sql").write_text("CREATE TABLE other (x);")
    yoyo(sqlite, "apply", ours)

    other = Migrator(sqlite.path, str(tmp_path / "theirs"), migration_table="_other", ignore_missing=True)

    assert other.upgrade().applied == (77,)
    assert [entry.installed for entry in other.status().entries] == [True]
    assert told(sqlite, ours) == "AA"
    assert listed(sqlite, ours) == "AA"


def test_rows_of_yoyo_without_a_file_are_told_and_left_alone(sqlite: SQLiteUnderTest, folder):
    """Another project's migrations in yoyo's ledger stop nobody."""
    upgrade(sqlite.path, folder(ladder(1)))
    sqlite.execute(f"INSERT INTO _yoyo_migration VALUES ('{key('their-own')}', 'their-own', '2026-01-01 00:00:00')")

    assert status(sqlite.path, folder(ladder(2))).foreign == ("their-own",)
    assert upgrade(sqlite.path, folder({})).applied == (2,)
    assert "their-own" in sqlite.ledgers().yoyo


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE _yoyo_log SET comment = x'ff'",
        "UPDATE _yoyo_log SET comment = NULL",
        "INSERT INTO _yoyo_log (id, migration_hash, operation, comment) VALUES ('x', x'ff', 7, 7)",
        "INSERT INTO _yoyo_migration VALUES (x'ff', x'ff', NULL)",
        "INSERT INTO _yoyo_migration VALUES (NULL, NULL, 'never')",
    ],
)
def test_what_no_tool_writes_into_yoyos_tables_harms_nothing(sqlite: SQLiteUnderTest, folder, damage):
    """A column takes anything, and what is there besides what can be read is not ours."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    sqlite.execute(damage)

    assert told(sqlite, source) == "AA"
    assert upgrade(sqlite.path, source).applied == ()


def test_a_log_without_a_time_settles_nothing(sqlite: SQLiteUnderTest, folder):
    """Whether sqlx ran after yoyo had rolled back nobody knows, if yoyo's line does not say when that was."""
    source = folder(ladder(1))
    upgrade(sqlite.path, source)
    sqlite.execute(
        "DELETE FROM _yoyo_log",
        "INSERT INTO _yoyo_log (id, migration_hash, operation) "
        "SELECT 'x', migration_hash, 'rollback' FROM _yoyo_migration",
        "DELETE FROM _yoyo_migration",
    )

    assert told(sqlite, source) == "?"


def test_dirty_row_is_refused(sqlite: SQLiteUnderTest, folder):
    """A row with success = false stops every run, in sqlx's words."""
    source = folder(ladder(2))
    upgrade(sqlite.path, source)
    sqlite.execute("UPDATE _sqlx_migrations SET success = FALSE WHERE version = 2")

    assert status(sqlite.path, source).dirty == (2,)
    for operation in (upgrade, rollback):
        with pytest.raises(errors.Dirty, match="migration 2 is partially applied; fix and remove row"):
            operation(sqlite.path, source)


def test_row_that_vanishes_between_two_steps_is_seen(sqlite: SQLiteUnderTest, folder):
    """What others do between two migrations of ours is read again before the next."""
    source = folder(ladder(3))

    def meddle(outcome: object) -> None:
        if sqlite.ledgers().agreed == (1,):
            sqlx_run(sqlite, source, "2_make_t2")

    assert Migrator(sqlite.path, source, group=0).upgrade(observer=meddle).applied == (1, 3)
    assert sqlite.ledgers().agreed == (1, 2, 3)


def test_host_is_logged_without_asking_a_name_server(sqlite: SQLiteUnderTest, folder):
    """Without DNS a look-up can stall for seconds; none is made."""
    code = (
        "import sys, socket\n"
        "from torc_migrations import upgrade\n"
        "asked = []\n"
        "sys.addaudithook(lambda event, _: asked.append(event) if event.startswith('socket.get') else None)\n"
        "upgrade(*sys.argv[1:])\n"
        "print(*sorted(set(asked)))"
    )
    assert set(python(code, sqlite.path, folder(ladder(1))).split()) <= {"socket.gethostname"}

    assert sqlite.execute("SELECT count(*) FROM _yoyo_log WHERE hostname IS NOT NULL") == [(1,)]


def test_ledgers_of_an_empty_database_are_empty(sqlite: SQLiteUnderTest, folder):
    """A file without ledgers has nothing installed."""
    sqlite.execute("CREATE TABLE x (x)")

    assert told(sqlite, folder(ladder(2))) == "UU"
    assert sqlite.ledgers() == Ledgers()
    assert sys.getsizeof(status(sqlite.path, folder({})))
