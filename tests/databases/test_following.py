"""What is followed from script to script is what a fresh look at the whole database finds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from torc_migrations.databases.interface import RowReading, ScriptMode
from torc_migrations.databases.results.contents import Contents
from torc_migrations.databases.sqlite.catalog.catalog import Catalog, catalog_of
from torc_migrations.databases.sqlite.database import RecordingDatabase
from torc_migrations.databases.sqlite.opening import open_database
from torc_migrations.errors import MigrationError
from torc_migrations.history.steps import Action, Step
from torc_migrations.sources.source import discover

# Say EXAMPLES=10000 for a long run.
EXAMPLES = int(os.environ.get("EXAMPLES", "60"))

TABLES = ("a", "b", '"c d"', "E")
NAMES = st.sampled_from(TABLES)
COLUMNS = st.sampled_from(("id", "x", "y"))
STATEMENTS = st.one_of(
    st.builds("CREATE TABLE {} (id INTEGER PRIMARY KEY, x, y REFERENCES {});".format, NAMES, NAMES),
    st.builds("CREATE TABLE {} (id INTEGER PRIMARY KEY AUTOINCREMENT, x UNIQUE);".format, NAMES),
    st.builds("CREATE TABLE IF NOT EXISTS {} AS SELECT * FROM {};".format, NAMES, NAMES),
    st.builds("DROP TABLE {};".format, NAMES),
    st.builds("DROP TABLE IF EXISTS {};".format, NAMES),
    st.builds("ALTER TABLE {} RENAME TO {};".format, NAMES, NAMES),
    st.builds("ALTER TABLE {} RENAME COLUMN {} TO {};".format, NAMES, COLUMNS, COLUMNS),
    st.builds("ALTER TABLE {} ADD COLUMN {};".format, NAMES, COLUMNS),
    st.builds("ALTER TABLE {} DROP COLUMN {};".format, NAMES, COLUMNS),
    st.builds("PRAGMA legacy_alter_table = {};".format, st.sampled_from(("ON", "OFF"))),
    st.builds("CREATE VIEW {} AS SELECT {} FROM {};".format, st.sampled_from(("v", "w", "a")), COLUMNS, NAMES),
    st.builds("CREATE VIEW {} AS SELECT * FROM {};".format, st.sampled_from(("v", "w")), st.sampled_from(("v", "w"))),
    st.builds("DROP VIEW {};".format, st.sampled_from(("v", "w", "a"))),
    st.builds("CREATE INDEX {} ON {} ({});".format, st.sampled_from(("i", "j")), NAMES, COLUMNS),
    st.builds("CREATE UNIQUE INDEX {} ON {} ({});".format, st.sampled_from(("i", "j")), NAMES, COLUMNS),
    st.builds("CREATE VIEW {} AS SELECT * FROM {} INDEXED BY i;".format, st.sampled_from(("v", "w")), NAMES),
    st.builds("DROP INDEX {};".format, st.sampled_from(("i", "j"))),
    st.builds(
        "CREATE TRIGGER {} AFTER {} ON {} BEGIN UPDATE {} SET {} = 1; END;".format,
        *(st.sampled_from(("g", "h")), st.sampled_from(("INSERT", "UPDATE OF x", "DELETE")), NAMES, NAMES, COLUMNS),
    ),
    st.builds(
        "CREATE TRIGGER {} AFTER INSERT ON {} BEGIN "
        "INSERT INTO {} (x) VALUES (1) ON CONFLICT (x) DO NOTHING; END;".format,
        *(st.sampled_from(("g", "h")), NAMES, NAMES),
    ),
    st.builds("DROP TRIGGER {};".format, st.sampled_from(("g", "h"))),
    st.builds("INSERT INTO {} VALUES (1, 1, 1);".format, NAMES),
    st.builds("INSERT INTO {} (id) VALUES (7);".format, NAMES),
    st.builds("DELETE FROM {};".format, NAMES),
    st.builds("UPDATE {} SET id = 5;".format, NAMES),
    st.builds("EXPLAIN DROP TABLE {};".format, NAMES),
    st.sampled_from(("SAVEPOINT s;", "ROLLBACK TO s;", "RELEASE s;", "CREATE TEMP TABLE a (t);", "DROP TABLE temp.a;")),
)
SCRIPTS = st.lists(st.lists(STATEMENTS, min_size=1, max_size=6), min_size=1, max_size=6)
KEY_TO_B = "CREATE TABLE a (id INTEGER PRIMARY KEY, x, y REFERENCES b);"
B = "CREATE TABLE b (id INTEGER PRIMARY KEY, x, y REFERENCES b);"


@contextmanager
def recording(folder: Path, scripts: list[str]) -> Iterator[tuple[RecordingDatabase, list[Step]]]:
    """Open a copy of an empty database, and read scripts as the steps of a plan."""
    for number, script in enumerate(scripts, 1):
        (folder / f"{number}_m.sql").write_text(script)
    steps = [Step(migration, Action.APPLY) for migration in discover(folder).migrations]
    with open_database(":memory:", lock_timeout=1) as database, database.empty() as copy:
        assert isinstance(copy, RecordingDatabase)
        copy.prepare_to_write()
        yield copy, steps


def plain(contents: Contents) -> tuple[object, ...]:
    """Return contents without an order."""
    return dict(contents.objects), dict(contents.tables), dict(contents.owners)


@settings(max_examples=EXAMPLES, deadline=None)
@given(scripts=SCRIPTS)
@example(scripts=[[B, KEY_TO_B], ["DROP TABLE b;"]])
@example(scripts=[[B, KEY_TO_B], ["ALTER TABLE b RENAME TO E;"], ["DROP TABLE E;"]])
@example(scripts=[[B, "CREATE VIEW v AS SELECT x FROM b;"], ["ALTER TABLE b RENAME TO E;", "DROP TABLE E;"]])
@example(scripts=[[B, "CREATE VIEW w AS SELECT * FROM b;"], ["CREATE VIEW v AS SELECT * FROM w;"], ["DROP TABLE b;"]])
@example(scripts=[[B, "CREATE INDEX i ON b (x);", "CREATE VIEW v AS SELECT * FROM b INDEXED BY i;"], ["DROP INDEX i;"]])
@example(scripts=[[KEY_TO_B, "INSERT INTO a VALUES (1, 1, 1);"], [B], ["INSERT INTO b VALUES (1, 1, 1);"]])
def test_what_is_followed_is_what_there_is(scripts: list[list[str]]):
    """Contents, broken objects and violations after each script are the same as read from the beginning."""
    with TemporaryDirectory() as folder, recording(Path(folder), list(map("\n".join, scripts))) as (copy, steps):
        tracker = copy.track_contents((), RowReading.DIGEST)
        violations, broken = copy.find_violations(), copy.find_broken().broken
        for step in steps:
            with suppress(MigrationError), copy.transaction():
                effects = copy.run_script(step, ScriptMode.WHOLE)
                before = plain(tracker.contents)
                change = tracker.follow(effects)
                violations, broken = copy.find_violations(effects, violations), copy.find_broken(effects, broken).broken

                catalog = catalog_of(copy)
                copy.catalog = None
                assert list(catalog) == list(Catalog(copy))
                assert plain(tracker.contents) == plain(copy.read_contents(rows=RowReading.DIGEST))
                assert sorted(map(repr, violations)) == sorted(map(repr, copy.find_violations()))
                assert sorted(map(repr, broken)) == sorted(map(repr, copy.find_broken().broken))
                after = plain(tracker.contents)
                for old, new, was, now in zip(plain(change.before), plain(change.after), before, after, strict=True):
                    assert {k: v for k, v in was.items() if k not in old} == {
                        k: v for k, v in now.items() if k not in new
                    }
                copy.catalog = catalog
            copy.end_step()
            violations, broken = copy.find_violations(), copy.find_broken().broken
            tracker.begin_again()
