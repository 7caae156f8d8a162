"""What is promised of every kind of database."""

from __future__ import annotations

import json
import logging
import threading
import time
from contextlib import closing

import pytest
from database_under_test import PATIENCE, Ledgers, expect_line, ladder, rungs, sized, start_python, stock_yoyo

from torc_migrations import Migrator, apply, errors, rollback, status, upgrade, wait
from torc_migrations.history.steps import Action

ROUNDS = sized(2, 5)
BATCHES = range(sized(1, 8))  # each of so many rounds, because one test may last 300 s
RUNNERS = 8
RUNNER = """
import json, sys, time
import torc_migrations.ledgers.yoyo
from torc_migrations import rollback, upgrade
url, source, operation = sys.argv[1:]
print("ready", flush=True)
moment = float(sys.stdin.readline())
while time.monotonic() < moment:
    pass
report = upgrade(url, source) if operation == "upgrade" else rollback(url, source, target=int(operation))
print(json.dumps(report.applied))
"""
# Holds the migration lock after the first script and its records, until it is killed.
HOLDER = """
import sys, time
from torc_migrations import Migrator
from torc_migrations.ledgers.ledgers import Ledgers
def stop_after(method):
    def write(*given):
        method(*given)
        print("ready", flush=True)
        time.sleep(600)
    return write
Ledgers.record, Ledgers.record_all = stop_after(Ledgers.record), stop_after(Ledgers.record_all)
Migrator(*sys.argv[1:], group=0).upgrade()
"""


def versions(count: int) -> tuple[int, ...]:
    """Return the versions of a ladder."""
    return tuple(range(1, count + 1))


def test_one_that_waits_sees_how_far_it_is_and_who_holds_the_lock(database, kind, folder):
    """Reading only: with the right to read, and beside the lock."""
    source = folder(ladder(3))
    upgrade(database.url, source, target=1)
    seen = []

    def look(awaited):
        seen.append(awaited)

    with kind.hold_lock(database), pytest.raises(errors.WaitTimeout):
        wait(database.url, source, timeout=0.2, on_wait=look)
    with pytest.raises(errors.WaitTimeout):
        wait(database.url, source, timeout=0.2, on_wait=look)

    held, free = seen
    assert [(each.installed, each.wanted) for each in seen] == [(1, 3)] * 2
    assert held.holder is not None
    assert held.holder in held.as_text()
    assert ("process" if kind.name == "sqlite" else "session") in held.holder
    assert free.holder is None
    assert database.ledgers().agreed == (1,)


def test_status_of_an_empty_database_writes_nothing(database, folder):
    """Everything is pending, and there is no ledger afterwards."""
    found = status(database.url, folder(ladder(2)))

    assert found.as_text() == "1/pending make t1\n2/pending make t2\n"
    assert database.tables() == {}
    assert database.ledgers() == Ledgers()


def test_upgrade_installs_everything_in_both_ledgers(database, folder):
    """Each script has run once, both ledgers say so, and a second upgrade has nothing to do."""
    source = folder(ladder(3))

    report = upgrade(database.url, source)

    assert report.applied == (1, 2, 3)
    assert rungs(versions(3)) == set(database.tables())
    assert database.ledgers().agreed == (1, 2, 3)
    assert [operation for operation, _ in database.ledgers().log] == ["apply"] * 3
    assert status(database.url, source).clean
    assert upgrade(database.url, source).applied == ()
    assert database.execute("SELECT x FROM t2") == [(2,)]


def test_upgrade_and_rollback_stop_at_a_target(database, folder):
    """What is above a target is left; rolling back to 0 removes everything."""
    source = folder(ladder(4))

    assert upgrade(database.url, source, target=3).applied == (1, 2, 3)
    assert rollback(database.url, source).applied == (3,)
    assert database.ledgers().agreed == (1, 2)
    assert upgrade(database.url, source).applied == (3, 4)
    assert rollback(database.url, source, target=1).applied == (4, 3, 2)
    assert set(database.tables()) == rungs([1])
    assert rollback(database.url, source, target=0).applied == (1,)
    assert database.tables() == {}
    assert database.ledgers().agreed == ()


def test_apply_installs_exactly_what_is_named(database, folder):
    """In any order; what is left out is pending, and comes with the next upgrade."""
    source = folder(ladder(3))

    assert apply(database.url, source, versions=[3]).applied == (3,)
    assert database.ledgers().agreed == (3,)
    assert upgrade(database.url, source).applied == (1, 2)


def test_a_script_that_fails_leaves_nothing(database, folder, kind):
    """What was applied before stays; the error names the file, the line and the column."""
    statement, words = kind.bad_statement
    source = folder({**ladder(2), "3_bad": f"CREATE TABLE half (x INTEGER);\n\n  {statement};\n"})

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(database.url, source)

    assert failure.value.reason == words.format(database=getattr(database, "name", ""))
    assert (failure.value.line, failure.value.path.rpartition("/")[2]) == (3, "3_bad.sql")
    assert failure.value.statement.strip().startswith("INSERT INTO")
    assert failure.value.report.applied == (1, 2)
    assert database.ledgers().agreed == (1, 2)
    if kind.is_transactional:
        assert set(database.tables()) == rungs([1, 2])


def test_an_atomic_run_keeps_all_or_nothing(database, folder, kind):
    """One transaction for the whole run."""
    if not kind.is_transactional:
        pytest.skip("schema changes commit by themselves there")
    source = folder({**ladder(2), "3_bad": kind.bad_statement[0]})

    with pytest.raises(errors.ExecutionFailed):
        upgrade(database.url, source, atomic=True)

    assert database.tables() == {}
    assert database.ledgers() == Ledgers()
    folder({"3_bad": "CREATE TABLE t3 (x INTEGER)"})
    assert upgrade(database.url, source, atomic=True).applied == (1, 2, 3)
    assert database.ledgers().agreed == (1, 2, 3)


def test_what_is_edited_or_missing_is_refused(database, folder, tmp_path):
    """As sqlx refuses it, and the database is left as it is."""
    source = folder(ladder(2))
    upgrade(database.url, source)

    folder({"1_make_t1": "CREATE TABLE other (x INTEGER);"})
    with pytest.raises(errors.VersionMismatch):
        upgrade(database.url, source)
    assert Migrator(database.url, source).repair(1, reason="it is the same").outcomes
    assert status(database.url, source).clean
    (tmp_path / "migrations" / "1_make_t1.sql").unlink()
    (tmp_path / "migrations" / "1_make_t1.rollback.sql").unlink()
    with pytest.raises(errors.VersionMissing):
        upgrade(database.url, source)
    assert database.ledgers().agreed == (1, 2)


def test_records_and_erasures_run_no_script(database, folder):
    """`repair` with mark and unmark writes both ledgers only."""
    source = folder(ladder(2))

    Migrator(database.url, source).perform(Action.RECORD, [1, 2])
    assert database.ledgers().agreed == (1, 2)
    Migrator(database.url, source).perform(Action.ERASE, [2])

    assert database.ledgers().agreed == (1,)
    assert database.tables() == {}
    assert [operation for operation, _ in database.ledgers().log] == ["mark", "mark", "unmark"]


def test_a_script_outside_a_transaction_is_recorded_after_it(database, folder, kind):
    """It runs where no transaction may be, up and down, and leaves no line about its beginning."""
    source = folder({**ladder(1), "2_index": kind.outside, "2_index.rollback": kind.outside_rollback})

    assert upgrade(database.url, source).applied == (1, 2)
    assert set(database.tables()) == {"t1", "i"}
    assert rollback(database.url, source).applied == (2,)
    assert set(database.tables()) == {"t1"}
    assert database.ledgers().agreed == (1,)
    assert [operation for operation, _ in database.ledgers().log] == ["apply", "apply", "rollback"]


def test_a_script_outside_a_transaction_that_fails_is_half_done_until_it_is_resumed(database, folder, kind):
    """The statements before the error stay; an upgrade refuses, and `repair` runs the others."""
    bad, good = kind.bad_statement[0], "CREATE TABLE nowhere (x INTEGER)"
    source = folder(
        {"1_half": f"-- no-transaction\nCREATE TABLE a (x INTEGER);\n{bad};\nCREATE TABLE b (x INTEGER);\n"}
    )
    migrator = Migrator(database.url, source)

    with pytest.raises(errors.ExecutionFailed) as failure:
        migrator.upgrade()
    assert failure.value.kept
    assert "resume_after=1" in failure.value.hint
    with pytest.raises(errors.HalfDone if kind.is_transactional else errors.Dirty) as refusal:
        migrator.upgrade()
    assert (refusal.value.version, set(database.tables())) == (1, {"a"})
    database.execute(good)
    migrator.repair(1, resume_after=1)

    assert set(database.tables()) == {"a", "b", "nowhere"}
    assert database.ledgers().agreed == (1,)
    assert status(database.url, source).clean


def test_a_script_that_commits_is_run_with_a_warning(database, folder, caplog, kind):
    """Its records follow it; with `strict` it is refused before anything runs."""
    if not kind.is_transactional:
        pytest.skip("every script commits there, because DDL does")
    sql = "CREATE TABLE a (x INTEGER);\nCOMMIT;\nBEGIN;\nCREATE TABLE b (x INTEGER);\n"
    source = folder({**ladder(1), "2_commits": sql})

    with pytest.raises(errors.BadScript):
        upgrade(database.url, source, strict=True)
    with caplog.at_level(logging.WARNING):
        assert upgrade(database.url, source).applied[-1:] == (2,)

    assert "2_commits commits by itself" in caplog.text
    assert set(database.tables()) == {"t1", "a", "b"}
    assert database.ledgers().agreed == (1, 2)


@pytest.mark.parametrize("way", ["mark", "unmark"])
def test_what_another_tool_has_left_dirty_is_repaired_as_the_hint_says(database, folder, way):
    """Marked, it is installed, and the next migration is applied; unmarked, it is applied again."""
    source = folder({**ladder(2), "1_make_t1": "CREATE TABLE IF NOT EXISTS t1 (x INTEGER);\n"})
    upgrade(database.url, source, target=1)
    database.execute("UPDATE _sqlx_migrations SET success = FALSE")
    with pytest.raises(errors.Dirty) as failure:
        upgrade(database.url, source)
    assert f"repair(1, {way}=True)" in str(failure.value.hint)

    Migrator(database.url, source).repair(1, **{way: True})

    assert upgrade(database.url, source).applied == ((2,) if way == "mark" else (1, 2))
    assert status(database.url, source).clean


def test_a_rollback_in_a_script_is_refused(database, folder):
    """Nothing of it runs."""
    source = folder({"1_bad": "CREATE TABLE a (x INTEGER);\nROLLBACK;\n"})

    with pytest.raises(errors.BadScript, match="ROLLBACK in a script"):
        upgrade(database.url, source)

    assert database.tables() == {}


def test_a_lent_connection_is_given_back_as_it_was(database, folder, kind):
    """It stays open, commits by itself as before, and is refused inside a transaction."""
    source = folder(ladder(2))
    with closing(kind.connect(database)) as connection:
        assert upgrade(connection, source).applied == (1, 2)
        assert status(connection, source).clean
        connection.execute("BEGIN")
        with pytest.raises(errors.CannotOpen, match="inside a transaction"):
            upgrade(connection, source)
        connection.execute("ROLLBACK")
        connection.execute("INSERT INTO t1 VALUES (7)")

    assert database.execute("SELECT x FROM t1 ORDER BY x") == [(1,), (7,)]


def test_a_run_waits_for_the_lock_no_longer_than_it_is_told(database, folder, kind):
    """The error says who holds it; nothing was written."""
    source = folder(ladder(1))
    database.execute("CREATE TABLE kept (x INTEGER)")

    with kind.hold_lock(database), pytest.raises(errors.LockTimeout) as failure:
        upgrade(database.url, source, lock_timeout=0.2)

    assert failure.value.waited >= 0.2
    assert failure.value.holder
    assert set(database.tables()) == {"kept"}
    assert database.ledgers().agreed == ()


def test_a_run_goes_on_when_the_lock_is_free(database, folder, kind):
    """Status does not wait for it."""
    source = folder(ladder(2))
    database.execute("CREATE TABLE kept (x INTEGER)")
    reports = []

    with kind.hold_lock(database):
        runner = threading.Thread(target=lambda: reports.append(upgrade(database.url, source)))
        runner.start()
        time.sleep(0.3)
        if kind.name != "sqlite":  # where a write lock may keep readers out
            assert status(database.url, source).pending
        assert reports == []
    runner.join(PATIENCE)

    assert reports[0].applied == (1, 2)


def test_what_only_yoyo_has_applied_is_adopted(database, folder):
    """A database of stock yoyo gets sqlx's rows with the next upgrade, and yoyo accepts what that has written."""
    source = folder(ladder(2))
    # psycopg prepares statements, which fails behind a pooler; ours prepares none.
    url = getattr(database, "direct_url", database.url).replace("postgresql:", "postgresql+psycopg:")
    assert stock_yoyo("apply", "--batch", "--no-config-file", "-d", url, source).returncode == 0
    folder(ladder(3))

    assert upgrade(database.url, source).applied == (3,)
    assert database.ledgers().agreed == (1, 2, 3)
    done = stock_yoyo("rollback", "--batch", "--no-config-file", "-r", "3_make_t3", "-d", url, source)
    assert (done.returncode, done.stderr) == (0, "")
    assert [each.version for each in status(database.url, source).pending] == [3]
    assert upgrade(database.url, source).applied == (3,)
    assert database.ledgers().agreed == (1, 2, 3)


def test_what_only_sqlx_has_applied_is_adopted(database, folder):
    """Its row decides where yoyo has written nothing."""
    source = folder(ladder(2))
    upgrade(database.url, source)
    rows = database.execute("SELECT version FROM _sqlx_migrations")
    database.execute("DELETE FROM _yoyo_migration", "DELETE FROM _yoyo_log")

    assert rows == [(1,), (2,)]
    assert status(database.url, source).pending == ()
    assert upgrade(database.url, source).applied == ()
    assert database.ledgers().agreed == (1, 2)


def test_a_dirty_row_of_sqlx_is_refused(database, folder):
    """It says that another tool has begun something and not ended it."""
    source = folder(ladder(2))
    upgrade(database.url, source)
    database.execute("UPDATE _sqlx_migrations SET success = FALSE WHERE version = 2")

    with pytest.raises(errors.Dirty):
        upgrade(database.url, source)


def test_a_script_may_write_to_the_ledgers(database, folder):
    """What it deletes from sqlx's ledger is deleted from yoyo's too."""
    sql = "DROP TABLE t1;\nDELETE FROM _sqlx_migrations WHERE version = 1;\n"
    source = folder(ladder(1))
    upgrade(database.url, source)
    folder({"2_forget": sql})

    report = upgrade(database.url, source)

    assert report.applied == (2,)
    assert database.ledgers().agreed == (2,)


def test_a_script_that_drops_a_ledger_is_refused(database, folder, kind):
    """It is undone."""
    if not kind.is_transactional:
        pytest.skip("a table that was dropped is gone there; the ledger is made again")
    source = folder({**ladder(1), "2_drop": "DROP TABLE _yoyo_migration;"})

    with pytest.raises(errors.BadScript, match="_yoyo_migration"):
        upgrade(database.url, source)

    assert database.ledgers().agreed == (1,)


def test_other_names_of_the_ledgers_are_used(database, folder, kind):
    """Both tables can have another name."""
    source = folder(ladder(2))
    quoted = f"{kind.quote}sqlx 2{kind.quote}"
    names = {"migration_table": "yoyo 2", "sqlx_table": quoted}

    assert upgrade(database.url, source, **names).applied == (1, 2)

    assert database.execute(f"SELECT version FROM {quoted} ORDER BY version") == [(1,), (2,)]
    assert status(database.url, source, **names).clean
    assert upgrade(database.url, source, **names).applied == ()
    assert "_sqlx_migrations" not in database.tables()


def test_hooks_run_after_migrations(database, folder):
    """And again after the next ones; a hook that failed is due."""
    source = folder({**ladder(1), "post-apply": "DELETE FROM t1;\nINSERT INTO t1 VALUES (9);\n"})

    upgrade(database.url, source)
    assert database.execute("SELECT x FROM t1") == [(9,)]
    assert status(database.url, source).due_hooks == ()
    folder(ladder(2))
    database.execute("INSERT INTO t1 VALUES (10)")
    upgrade(database.url, source)

    assert database.execute("SELECT x FROM t1") == [(9,)]
    assert status(database.url, source).clean


def test_renamed_files_get_their_records(database, folder, tmp_path):
    """`repair(renamed=True)` gives rows the versions that their files have now."""
    source = folder(ladder(1))
    upgrade(database.url, source)
    for name in ("1_make_t1.sql", "1_make_t1.rollback.sql"):
        file = tmp_path / "migrations" / name
        file.rename(file.with_name(name.replace("1_", "5_", 1)))

    Migrator(database.url, source).repair(renamed=True)

    assert database.ledgers().agreed == (5,)
    assert status(database.url, source).clean


def race(database, source: str, operations: list[str]) -> list[tuple[int, ...]]:
    """Have processes begin at one moment, and return what each has applied."""
    processes = [start_python(RUNNER, database.url, source, operation) for operation in operations]
    for process in processes:
        expect_line(process, "ready")
    moment = time.monotonic() + 0.05
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{moment}\n")
        process.stdin.flush()
    applied = []
    for process in processes:
        output, problems = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, problems
        applied.append(tuple(json.loads(output)))
    return applied


@pytest.mark.slow
@pytest.mark.parametrize("_batch", BATCHES)
def test_of_many_processes_one_applies_each_migration(database, folder, _batch):
    """Eight upgrades at one moment, and then eight rollbacks: nobody fails, and each script runs once."""
    source = folder(ladder(4))

    for _ in range(ROUNDS):
        applied = race(database, source, ["upgrade"] * RUNNERS)
        assert sorted(version for each in applied for version in each) == [1, 2, 3, 4]
        assert database.ledgers().agreed == (1, 2, 3, 4)
        assert database.execute("SELECT count(*) FROM t3") == [(1,)]
        undone = race(database, source, ["0"] * RUNNERS)
        assert sorted(version for each in undone for version in each) == [1, 2, 3, 4]
        assert database.ledgers().agreed == ()


def test_a_killed_holder_blocks_nobody(database, folder, kind):
    """Its lock ends with its process, and nothing of its migration is left, where schema changes can be undone."""
    source = folder(ladder(2))
    holder = start_python(HOLDER, database.url, source)
    expect_line(holder, "ready")
    holder.kill()
    holder.communicate()

    if not kind.is_transactional:
        with pytest.raises(errors.Dirty, match="stopped after statement 2 of"):
            upgrade(database.url, source, lock_timeout=PATIENCE)
        Migrator(database.url, source).repair(1, resume_after=2)
    assert upgrade(database.url, source, lock_timeout=PATIENCE).applied == ((1, 2) if kind.is_transactional else (2,))
    assert database.ledgers().agreed == (1, 2)
