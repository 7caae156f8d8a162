"""What `--progress=json` prints is what the schema of events in the reference says."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from jsonschema import Draft202012Validator
from pages import DOCS
from shell import COMMAND, Torc, start, write_files

SCHEMA = json.loads((DOCS / "reference" / "events.schema.json").read_text())
COUNT = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT count(*) FROM n;\n"
FILES = {
    "1_make.sql": f"CREATE TABLE a (x);\n{COUNT}",
    "1_make.rollback.sql": "DROP TABLE a;\n",
    "2_rows.sql": "INSERT INTO a VALUES (1);\n",
    "2_rows.rollback.sql": "DELETE FROM a;\n",
    "post-apply.sql": "SELECT 1;\n",
}


def events_of(text: str) -> list[dict[str, object]]:
    """Return the lines of JSON among those on standard error, each of which must be as the schema says."""
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    for event in events:
        errors = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(event)]
        assert errors == [], event
    return events


def test_every_event_is_as_the_schema_says(torc: Torc, here: Path) -> None:
    """Runs up, down, after an adoption, with a rehearsal, with an error and with a wait have all the events."""
    write_files(here / "migrations", FILES)
    seen: list[dict[str, object]] = []

    def run(*words: str) -> None:
        seen.extend(events_of(torc("-d", "app.db", *words, "--progress=json").err))

    run("rehearse")
    run("rehearse", "--round-trip")
    run("upgrade", "--on-loss=warn")
    run("rollback")
    run("upgrade")
    with closing(sqlite3.connect(here / "app.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM _yoyo_migration")
        connection.execute("DELETE FROM _yoyo_log")
        run("upgrade")
        write_files(here / "migrations", {"3_bad.sql": "SELECT nothing;\n"})
        run("upgrade")
        connection.execute("BEGIN IMMEDIATE")
        process = start([COMMAND, "-d", "app.db", "upgrade", "--progress=json"], here)
        assert process.stderr is not None
        lines = []
        while b'"waiting"' not in (line := process.stderr.readline()):
            assert line, lines
            lines.append(line)
        connection.execute("ROLLBACK")
        seen.extend(events_of(line.decode()))
        process.communicate(timeout=60)

    run("wait", "--timeout", "0.2")

    fleet = torc("fleet", "upgrade", "app.db", "new.db", "sqlite:///new.db", "--on-error=continue", "--progress=json")
    seen.extend(events_of(fleet.err))

    assert {str(event["event"]) for event in seen} == {each["$ref"].rpartition("/")[2] for each in SCHEMA["oneOf"]}
    assert any(event.get("percent") for event in seen)


def test_the_schema_is_a_schema_and_the_page_names_every_event() -> None:
    """It is valid itself, and each event is in the table of the page."""
    Draft202012Validator.check_schema(SCHEMA)
    section = (DOCS / "reference" / "json.md").read_text().partition("## Events\n")[2].partition("## Schema\n")[0]

    named = re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)
    assert named == [each["$ref"].rpartition("/")[2] for each in SCHEMA["oneOf"]]
