"""yoyo's post-apply scripts: run when yoyo runs them, but loudly, whole, and again until they succeed."""

from __future__ import annotations

import pytest
from database_under_test import SQLiteUnderTest, stock_yoyo
from other_tools import yoyo

from torc_migrations import Migrator, apply, errors, rollback, status, upgrade
from torc_migrations.sources.source import combine, discover

RUNS = "CREATE TABLE IF NOT EXISTS runs (hook TEXT);\n"
FILES = {
    "1_a": "CREATE TABLE a (x);",
    "1_a.rollback": "DROP TABLE a;",
    "2_b": "CREATE TABLE b (x);",
    "2_b.rollback": "DROP TABLE b;",
    "post-apply": f"{RUNS}INSERT INTO runs VALUES ('one');",
    "post-apply_two": f"{RUNS}INSERT INTO runs VALUES ('two');",
}
BROKEN = {"post-apply_two": "CREATE TABLE half (x);\nINSERT INTO nowhere VALUES (1);\n"}


def runs(sqlite: SQLiteUnderTest) -> list[str]:
    """Return the hooks that have run, in order."""
    return [hook for (hook,) in sqlite.execute("SELECT hook FROM runs ORDER BY rowid")]


def due(sqlite: SQLiteUnderTest, source: str) -> list[str]:
    return [hook.id for hook in status(sqlite.path, source).due_hooks]


def test_hooks_run_once_after_what_was_applied(sqlite: SQLiteUnderTest, folder):
    """They run in the order of their files, after a run that applied something, and not after a rollback."""
    source = folder(FILES)

    first = upgrade(sqlite.path, source)
    second = upgrade(sqlite.path, source)
    rollback(sqlite.path, source)
    after_rollback = runs(sqlite)
    apply(sqlite.path, source, versions=[2])

    assert first.applied == (1, 2)
    assert [outcome.step.name for outcome in first.outcomes] == ["1", "2", "post-apply", "post-apply_two"]
    assert second.outcomes == ()
    assert after_rollback == ["one", "two"]
    assert runs(sqlite) == ["one", "two"] * 2
    assert sqlite.ledgers().agreed == (1, 2)


@pytest.mark.parametrize("marks", ["", "-- transactional: false\n"])
def test_hooks_run_as_often_as_with_stock_yoyo(sqlite: SQLiteUnderTest, folder, marks, tmp_path):
    """The same done by stock yoyo and by us runs the same hooks, and leaves the same lines in yoyo's log."""
    source = folder({**FILES, "post-apply": marks + FILES["post-apply"]})
    theirs = SQLiteUnderTest(tmp_path / "theirs.db")
    for _ in range(2):
        yoyo(theirs, "apply", source, "-r", "1_a")
        yoyo(theirs, "apply", source)
        yoyo(theirs, "apply", source)
        yoyo(theirs, "rollback", source, "-r", "2_b")
        upgrade(sqlite.path, source, target=1)
        upgrade(sqlite.path, source)
        upgrade(sqlite.path, source)
        rollback(sqlite.path, source)
    lines = "SELECT migration_id, operation FROM _yoyo_log ORDER BY rowid"

    assert runs(sqlite) == runs(theirs)
    assert sqlite.execute(lines) == theirs.execute(lines)


def test_hooks_are_part_of_one_transaction_for_all(sqlite: SQLiteUnderTest, folder):
    """With `atomic` a hook that fails takes everything back; and afterwards none is due."""
    source = folder({**FILES, **BROKEN})

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(sqlite.path, source, atomic=True)
    after_failure = sqlite.tables()
    folder({"post-apply_two": FILES["post-apply_two"]})
    upgrade(sqlite.path, source, atomic=True)

    assert str(failure.value.hint).startswith("nothing of the run was kept: it is one transaction; ")
    assert after_failure == {}
    assert runs(sqlite) == ["one", "two"]
    assert due(sqlite, source) == []


def test_a_failed_hook_is_told_and_run_again(sqlite: SQLiteUnderTest, folder):
    """The error names the hook, and says what was applied; the next upgrade runs it although nothing is pending."""
    source = folder({**FILES, **BROKEN})

    with pytest.raises(errors.ExecutionFailed) as failure:
        upgrade(sqlite.path, source)
    half_done = status(sqlite.path, source)
    folder({"post-apply_two": FILES["post-apply_two"]})
    again = upgrade(sqlite.path, source)

    assert str(failure.value) == "while executing hook post-apply_two: no such table: nowhere"
    assert failure.value.hint == "nothing of post-apply_two was kept; the next upgrade runs it again"
    assert failure.value.report is not None
    assert failure.value.report.applied == (1, 2)
    assert not half_done.clean
    assert half_done.notes == ("post-apply_two has not run since migrations were applied; the next upgrade runs it",)
    assert "half" not in sqlite.tables()
    assert [outcome.step.name for outcome in again.outcomes] == ["post-apply_two"]
    assert again.applied == ()
    assert runs(sqlite) == ["one", "two"]
    assert status(sqlite.path, source).clean


def test_a_run_that_did_not_come_to_its_hooks_is_made_up_for(sqlite: SQLiteUnderTest, folder):
    """Interrupted after its migrations, its hooks are left to the next upgrade, by any process."""
    source = folder(FILES)

    def interrupt(outcome: object) -> None:
        if sqlite.ledgers().agreed == (1, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Migrator(sqlite.path, source, group=0).upgrade(observer=interrupt)
    left = due(sqlite, source)
    upgrade(sqlite.path, source)

    assert left == ["post-apply", "post-apply_two"]
    assert runs(sqlite) == ["one", "two"]


def test_a_hook_that_stock_yoyo_left_undone_is_made_up_for(sqlite: SQLiteUnderTest, folder):
    """Stock yoyo forgets a hook that failed; our next upgrade runs it."""
    source = folder({**FILES, **BROKEN})

    failed = stock_yoyo("apply", "-b", "-d", f"sqlite:///{sqlite.path}", source)
    left = due(sqlite, source)
    folder({"post-apply_two": FILES["post-apply_two"]})
    again = yoyo(sqlite, "apply", source)
    forgotten = runs(sqlite)
    upgrade(sqlite.path, source)

    assert failed.returncode != 0
    assert (left, again, forgotten) == (["post-apply_two"], "", ["one"])
    assert runs(sqlite) == ["one", "two"]


def test_what_was_rolled_back_leaves_no_hook_due(sqlite: SQLiteUnderTest, folder):
    """A hook that failed after the only migration has nothing to run for once that is gone."""
    source = folder({**FILES, **BROKEN})
    with pytest.raises(errors.ExecutionFailed):
        upgrade(sqlite.path, source)

    rollback(sqlite.path, source, target=0)

    assert due(sqlite, source) == []


def test_a_database_of_others_makes_no_hook_due(sqlite: SQLiteUnderTest, folder):
    """What was recorded without being run, as for a baseline, runs no hook."""
    source = folder(FILES)
    sqlite.execute("CREATE TABLE a (x)", "CREATE TABLE b (x)")

    Migrator(sqlite.path, source).baseline(2)

    assert upgrade(sqlite.path, source).outcomes == ()
    assert "runs" not in sqlite.tables()


def test_hooks_of_two_folders_have_two_names(sqlite: SQLiteUnderTest, folder, tmp_path):
    """Two of one name would share their line in yoyo's log; yoyo runs both, we ask for another name."""
    one = folder({"1_a": "", "post-apply": "SELECT 1;"})
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "2_b.sql").write_text("")
    (tmp_path / "two" / "post-apply.sql").write_text("SELECT 2;")

    with pytest.raises(errors.SourceError, match="two hooks have the name post-apply"):
        combine((discover(one), discover(tmp_path / "two")))


def test_a_hook_runs_when_what_was_applied_is_committed(sqlite: SQLiteUnderTest, folder):
    """It has a transaction of its own: the observer has heard of the migrations before it runs."""
    heard: list[str] = []
    source = folder({"1_a": "CREATE TABLE a (x);", "2_b": "CREATE TABLE b (x);", "post-apply": "SELECT hear();"})

    Migrator(
        sqlite.path, source, functions=lambda each: each.create_function("hear", 0, lambda: heard.append("runs"))
    ).upgrade(observer=lambda outcome: heard.append(outcome.step.migration.id))

    assert heard == ["1_a", "2_b", "runs", "post-apply"]


def test_a_hook_that_loses_rows_in_silence_is_refused(sqlite: SQLiteUnderTest, folder):
    """It is guarded like the script of a migration."""
    sqlite.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (p REFERENCES p)",
        "INSERT INTO p VALUES (1)",
        "INSERT INTO c VALUES (1)",
        "CREATE TRIGGER sweep AFTER DELETE ON p BEGIN DELETE FROM c; END",
    )
    hook = "DELETE FROM p;\nDROP TABLE p;\nCREATE TABLE p (id INTEGER PRIMARY KEY);"

    with pytest.raises(errors.RowsLost) as failure:
        upgrade(sqlite.path, folder({"1_a": "CREATE TABLE a (x);", "post-apply": hook}))

    assert failure.value.lost == (("c", 1, 0),)
    assert sqlite.execute("SELECT count(*) FROM c") == [(1,)]
    assert sqlite.ledgers().agreed == (1,)
