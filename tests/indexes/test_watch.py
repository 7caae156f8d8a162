"""Watching an application finds what scans and what is slow, and changes nothing that the application sees."""

from __future__ import annotations

import gc
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torc_migrations import upgrade
from torc_migrations.watch import OTHERS, Query, Watch

Open = Callable[[Watch], sqlite3.Connection]


def by_factory(watch: Watch, **options: object) -> sqlite3.Connection:
    return sqlite3.connect(":memory:", factory=watch.factory(), **options)


def by_proxy(watch: Watch, **options: object) -> sqlite3.Connection:
    return watch.wrap(sqlite3.connect(":memory:", **options))


@pytest.fixture(params=[by_factory, by_proxy])
def opened(request: pytest.FixtureRequest) -> Open:
    """Both ways to watch a connection."""
    return request.param


def make_jobs(connection: sqlite3.Connection, rows: int = 100) -> None:
    connection.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, workflow INTEGER, name TEXT)")
    connection.execute("CREATE INDEX idx_workflow ON job (workflow)")
    connection.executemany("INSERT INTO job (workflow, name) VALUES (?, ?)", [(n % 5, f"{n}") for n in range(rows)])
    connection.commit()


def seen(watch: Watch, sql: str) -> Query:
    (query,) = [query for query in watch.queries if query.sql == sql]
    return query


def scripted_application(connection: sqlite3.Connection) -> None:
    """Run the queries of a torc server, with a scan and a slow query among them."""
    for workflow in range(3):
        connection.execute("SELECT * FROM job WHERE workflow_id = ?", (workflow,)).fetchall()
        connection.execute("UPDATE job SET status = 2 WHERE id = :id", {"id": workflow})
    connection.commit()
    for _ in connection.execute("SELECT id FROM job WHERE command LIKE '%planted%'"):
        pass
    connection.execute(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 400000) SELECT sum(x) FROM n"
    ).fetchone()


def test_the_planted_scan_and_the_planted_slow_query_are_found(opened: Open, caplog):
    """The scan and the slow query are reported, as values and in the log; the other queries are not."""
    watch = Watch(slow=0.02)
    with closing(opened(watch)) as connection:
        upgrade(getattr(connection, "conn", connection))
        watch.clear()
        caplog.clear()
        scripted_application(connection)

    (scan,) = watch.scans
    (slow,) = watch.slow_queries
    assert scan.scans == ("SCAN job",)
    assert "planted" in scan.sql
    assert "RECURSIVE" in slow.sql
    assert slow.slowest_ns >= 20_000_000
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert sum(message.startswith("SCAN job: ") for message in told) == 1
    assert sum(message.startswith("slow, ") for message in told) == 1
    assert seen(watch, "SELECT * FROM job WHERE workflow_id = ?").plan.indexes == ("idx_job_workflow_id",)


def test_calls_rows_and_times_are_counted(opened: Open):
    """Each text is counted by itself, however its rows are fetched."""
    watch = Watch()
    with closing(opened(watch)) as connection:
        make_jobs(connection)
        sql = "SELECT * FROM job WHERE workflow = ?"
        connection.execute(sql, (1,)).fetchall()
        list(connection.execute(sql, (2,)))
        connection.execute(sql, (3,)).fetchone()
        connection.cursor().execute(sql, (4,)).fetchmany(7)
        query = seen(watch, sql)

    assert (query.calls, query.rows, query.failures, query.slow_calls) == (4, 20 + 20 + 1 + 7, 0, 0)
    assert 0 < query.slowest_ns <= query.elapsed_ns
    assert seen(watch, "INSERT INTO job (workflow, name) VALUES (?, ?)").rows == 100
    assert seen(watch, "COMMIT").calls == 1


def test_failures_are_counted_and_raised(opened: Open):
    """The application gets the same error; a query that fails first is explained when it first succeeds."""
    watch = Watch()
    with closing(opened(watch)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="no such table: job"):
            connection.execute("SELECT * FROM job")
        make_jobs(connection)
        connection.execute("SELECT * FROM job")

    query = seen(watch, "SELECT * FROM job")
    assert (query.calls, query.failures, query.scans) == (2, 1, ("SCAN job",))


def test_a_failure_among_the_rows_is_counted(opened: Open):
    """An error at a later row is a failure of the same call."""
    watch = Watch()
    sql = "SELECT CAST(x'ff' AS TEXT) FROM job UNION ALL SELECT 1"
    with closing(opened(watch)) as connection:
        make_jobs(connection)
        connection.text_factory = str
        with pytest.raises(sqlite3.OperationalError, match="decode"):
            connection.execute(sql).fetchall()

    query = seen(watch, sql)
    assert (query.calls, query.failures) == (1, 1)


def test_a_query_is_explained_once(opened: Open):
    """A query that runs a thousand times is compiled twice: for itself, and for its plan."""
    watch = Watch()
    compiled: list[int] = []

    def authorize(action: int, *_: object) -> int:
        compiled.append(action)
        return sqlite3.SQLITE_OK

    with closing(opened(watch)) as connection:
        make_jobs(connection)
        connection.set_authorizer(authorize)
        for _ in range(1000):
            connection.execute("SELECT * FROM job WHERE workflow = :workflow", {"workflow": 3}).fetchone()

    assert compiled.count(sqlite3.SQLITE_SELECT) == 2


def test_a_trace_callback_sees_the_applications_statements_only(opened: Open):
    """SQLite does not report EXPLAIN QUERY PLAN to it."""
    traced: list[str] = []
    with closing(opened(Watch())) as connection:
        make_jobs(connection)
        connection.set_trace_callback(traced.append)
        connection.execute("SELECT * FROM job WHERE workflow = 3").fetchall()

    assert traced == ["SELECT * FROM job WHERE workflow = 3"]


def test_a_cursor_releases_its_lock_at_once(opened: Open):
    """A cursor without references keeps no lock until the garbage collector runs."""
    gc.disable()
    try:
        with closing(opened(Watch())) as connection:
            make_jobs(connection)
            connection.execute("SELECT * FROM job").fetchone()
            for _ in connection.execute("SELECT * FROM job"):
                break
            connection.execute("DROP TABLE job")
    finally:
        gc.enable()


def test_explaining_changes_nothing(opened: Open):
    """Row factory, text factory, open transaction, total_changes and lastrowid are the same as without a watch."""
    watch = Watch()
    with closing(opened(watch)) as connection:
        make_jobs(connection)
        changes = connection.total_changes
        connection.row_factory = sqlite3.Row
        connection.text_factory = bytes
        cursor = connection.execute("INSERT INTO job (workflow, name) VALUES (9, 'x')")

        assert (cursor.lastrowid, cursor.rowcount, connection.total_changes) == (101, 1, changes + 1)
        assert connection.in_transaction
        row = connection.execute("SELECT name FROM job WHERE workflow = 9").fetchone()
        assert (type(row), row["name"]) == (sqlite3.Row, b"x")
        connection.rollback()
        assert connection.execute("SELECT COUNT(*) FROM job").fetchone()[0] == 100


def test_reading_begins_no_transaction(opened: Open):
    """The query is explained without a transaction, because it was run without one."""
    with closing(opened(Watch())) as connection:
        make_jobs(connection)
        connection.execute("SELECT * FROM job").fetchall()

        assert not connection.in_transaction


def test_with_blocks_commit_and_roll_back(opened: Open):
    """A connection works as a context manager, and the time of its commit is measured."""
    watch = Watch()
    with closing(opened(watch)) as connection:
        make_jobs(connection)
        with connection:
            connection.execute("DELETE FROM job WHERE id = 1")
        with suppress(ZeroDivisionError), connection:
            connection.execute("DELETE FROM job")
            raise ZeroDivisionError
        left = connection.execute("SELECT COUNT(*) FROM job").fetchone()

    assert left == (99,)
    assert (seen(watch, "COMMIT").calls, seen(watch, "ROLLBACK").calls) == (2, 1)


def test_a_script_counts_as_one_query(opened: Open):
    """A script is measured as a whole, and has no plan."""
    watch = Watch()
    with closing(opened(watch)) as connection:
        connection.executescript("CREATE TABLE a (x); SELECT * FROM a;")

    assert watch.queries[0].plan is None
    assert watch.queries[0].calls == 1


def test_every_query_is_logged_with_its_time_and_without_its_parameters(opened: Open, caplog):
    """At DEBUG each run is a line, once its rows are fetched or its cursor is deleted; values are not logged."""
    caplog.set_level(logging.DEBUG, "torc_migrations.watch")
    with closing(opened(Watch())) as connection:
        make_jobs(connection)
        caplog.clear()
        connection.execute("SELECT *\n  FROM job WHERE name = ?", ("secret",)).fetchone()
        gc.collect()

    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert [line.partition(": ")[2] for line in lines] == ["SELECT * FROM job WHERE name = ?"]
    assert "secret" not in caplog.text


def test_cursors_of_the_applications_own_classes_are_watched(opened: Open):
    """A cursor class works as before, and the watch sees the SQL that it sends."""

    class Formatting(sqlite3.Cursor):
        def execute(self, sql, parameters=()):
            return super().execute(sql.replace("%s", "?"), parameters)

    watch = Watch()
    with closing(opened(watch)) as connection:
        make_jobs(connection)
        cursor = connection.cursor(Formatting)
        assert cursor.execute("SELECT COUNT(*) FROM job WHERE workflow = %s", (1,)).fetchone() == (20,)

    assert isinstance(cursor, Formatting)
    assert seen(watch, "SELECT COUNT(*) FROM job WHERE workflow = ?").plan.indexes == ("idx_workflow",)


def test_connections_of_the_applications_own_classes_are_watched():
    """The factory derives a watched class from any connection class."""

    class Polite(sqlite3.Connection):
        def greet(self) -> str:
            return "hello"

    watch = Watch()
    with closing(sqlite3.connect(":memory:", factory=watch.factory(Polite))) as connection:
        connection.execute("SELECT 1")
        assert connection.greet() == "hello"
        assert isinstance(connection, Polite)
    assert [query.sql for query in watch.queries] == ["SELECT 1"]


def test_a_proxy_passes_everything_else_on(tmp_path: Path):
    """Attributes are read from and written to its connection, which `conn` returns."""
    with closing(sqlite3.connect(":memory:")) as plain, closing(sqlite3.connect(":memory:")) as target:
        connection = Watch().wrap(plain)
        connection.isolation_level = None
        connection.create_function("twice", 1, lambda x: 2 * x)
        assert plain.isolation_level is None
        assert connection.execute("SELECT twice(4)").fetchone() == (8,)
        connection.conn.backup(target)
        upgrade(connection)
        assert connection.execute("SELECT COUNT(*) FROM workflow").fetchone() == (0,)


def test_many_threads_lose_no_count(tmp_path: Path):
    """One watch may serve connections in any number of threads."""
    watch = Watch()

    def work() -> None:
        with closing(sqlite3.connect(tmp_path / "app.db", factory=watch.factory())) as connection:
            for _ in range(300):
                connection.execute("SELECT 1").fetchall()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    query = seen(watch, "SELECT 1")
    assert (query.calls, query.rows) == (2400, 2400)


def test_texts_are_kept_up_to_a_limit(opened: Open):
    """Texts with values in them do not fill the memory: above the limit they are counted together."""
    watch = Watch(most=10)
    with closing(opened(watch)) as connection:
        for number in range(50):
            connection.execute(f"SELECT {number}").fetchall()

    assert len(watch.queries) == 11
    assert seen(watch, OTHERS).calls == 40


def test_a_watch_can_be_cleared(opened: Open):
    """After clear() nothing is left, and queries are explained again, because the schema may have changed."""
    watch = Watch()
    with closing(opened(watch)) as connection:
        make_jobs(connection)
        connection.execute("SELECT name FROM job WHERE workflow = 1")
        connection.execute("DROP INDEX idx_workflow")
        watch.clear()
        connection.execute("SELECT name FROM job WHERE workflow = 1")

    assert [query.scans for query in watch.queries] == [("SCAN job",)]


def test_every_call_is_slow_with_a_limit_of_zero(opened: Open):
    """`slow=0` marks every call."""
    watch = Watch(slow=0)
    with closing(opened(watch)) as connection:
        connection.execute("SELECT 1").fetchall()

    assert watch.slow_queries[0].slow_calls == 1


def test_the_report_is_a_table_and_json(opened: Open):
    """The queries in the order of their time, with their scans below; the JSON has the same."""
    watch = Watch(slow=0)
    with closing(opened(watch)) as connection:
        make_jobs(connection)
        connection.execute("SELECT *\nFROM job").fetchall()

    lines = watch.as_text().splitlines()
    (number,) = [number for number, line in enumerate(lines) if "SELECT * FROM job" in line]
    assert lines[number].endswith("[1 slow]")
    assert lines[number + 1].strip() == "SCAN job"
    told = json.loads(json.dumps([query.as_dict() for query in watch.queries]))
    assert {query["sql"]: query["scans"] for query in told}["SELECT *\nFROM job"] == ["SCAN job"]


def test_a_closed_cursor_raises(opened: Open):
    """As a cursor of the driver does, also where rows were read ahead."""
    with closing(opened(Watch())) as connection:
        make_jobs(connection)
        cursor = connection.execute("SELECT * FROM job")
        for _ in range(5):
            next(cursor)
        cursor.close()
        with pytest.raises(sqlite3.ProgrammingError):
            cursor.fetchone()
        with pytest.raises(sqlite3.ProgrammingError):
            cursor.fetchall()
        with pytest.raises(sqlite3.ProgrammingError):
            next(cursor)


def test_a_cursor_that_never_ran_has_no_rows(opened: Open):
    """Fetching from it returns what a cursor of the driver returns."""
    with closing(opened(Watch())) as connection:
        cursor = connection.cursor()

        assert (cursor.fetchone(), cursor.fetchmany(3), cursor.fetchall(), list(cursor)) == (None, [], [], [])


def test_iterators_of_an_earlier_run_end_with_it(opened: Open):
    """Rows that were read ahead are gone once the cursor runs something else."""
    with closing(opened(Watch())) as connection:
        make_jobs(connection)
        cursor = connection.execute("SELECT id FROM job")
        earlier = iter(cursor)
        taken = [next(earlier) for _ in range(12)]
        cursor.execute("SELECT 'new' FROM job LIMIT 3")

        assert len(taken) == 12
        assert cursor.fetchall() == [("new",)] * 3
        assert list(earlier) == []


FETCHES = st.lists(
    st.one_of(
        st.tuples(st.just("execute"), st.integers(0, 40)),
        st.tuples(st.just("fetchone"), st.just(0)),
        st.tuples(st.just("fetchmany"), st.integers(1, 9)),
        st.tuples(st.just("arraysize"), st.integers(1, 4)),
        st.tuples(st.just("next"), st.just(0)),
        st.tuples(st.just("loop"), st.integers(0, 20)),
        st.tuples(st.just("fetchall"), st.just(0)),
    ),
    max_size=12,
)


def fetched(cursor: sqlite3.Cursor, steps: list[tuple[str, int]]) -> Iterator[object]:
    """Do the same with any cursor, and yield all that it returns."""
    for step, number in steps:
        if step == "execute":
            cursor.execute("SELECT id, name FROM job LIMIT ?", (number,))
        elif step == "fetchmany":
            yield cursor.fetchmany(number)
        elif step == "arraysize":
            cursor.arraysize = number
            yield cursor.fetchmany()
        elif step == "next":
            yield next(cursor, "end")
        elif step == "loop":
            yield [row for _, row in zip(range(number), cursor, strict=False)]
        else:
            yield getattr(cursor, step)()


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(steps=FETCHES)
def test_rows_come_once_and_in_order_however_they_are_fetched(steps):
    """A watched cursor returns what a cursor of the driver returns, however the methods are mixed."""
    with closing(sqlite3.connect(":memory:")) as connection:
        make_jobs(connection)
        watched = Watch().wrap(connection)

        assert list(fetched(watched.cursor(), steps)) == list(fetched(connection.cursor(), steps))
