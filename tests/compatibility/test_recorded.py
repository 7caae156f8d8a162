"""The recorded answers of the real sqlx, asked of us; they restate what sqlx's own tests of `migrate` cover."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha384
from pathlib import Path

import pytest
from paired_databases import Told, opened, told_by_us
from preloaded_programs import Preloaded
from record_sqlx import RECORDED, answers
from scenarios import Scenario, Stage, Step, read_scenarios, timeless
from sqlx_program import Sqlx

RECORDINGS = {path.stem: json.loads(path.read_text("utf-8"))["answers"] for path in sorted(RECORDED.glob("*.json"))}
SCENARIOS = read_scenarios()
CREATE_LEDGER = """
    CREATE TABLE IF NOT EXISTS _sqlx_migrations (
        version BIGINT PRIMARY KEY,
        description TEXT NOT NULL,
        installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
        success BOOLEAN NOT NULL,
        checksum BLOB NOT NULL,
        execution_time BIGINT NOT NULL
    )
"""
INSERT_SKIPPED = """
    INSERT OR IGNORE INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    VALUES (?, ?, TRUE, ?, -1)
"""


def _recorded() -> Iterator[object]:
    for program, recorded in RECORDINGS.items():
        for name, expected in recorded.items():
            yield pytest.param(SCENARIOS[name], expected, id=f"{program} {name}")


@pytest.mark.parametrize(("scenario", "recorded"), list(_recorded()))
def test_we_answer_as_sqlx_did(
    scenario: Scenario, recorded: list[dict[str, object]], ours: Preloaded, tmp_path: Path
) -> None:
    """Listing, failure, sentence, ledger, schema and rows are what sqlx's were, call for call."""
    stage = Stage(tmp_path)
    with opened(stage.database) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    for step, expected in zip(stage.calls(scenario), recorded, strict=True):
        if step.rest.startswith("override skip"):
            skip_as_sqlx_did(stage, expected["ledger"])
        elif step.refused is not None:
            refuse(stage, ours, step)
        else:
            assert answer(stage, ours, step) == expected


def refuse(stage: Stage, ours: Preloaded, step: Step) -> None:
    """See that we refuse, in the sentence that the scenario gives, and leave everything as it was."""
    before = stage.shown()

    told = told_by_us(stage.run(ours, step.rest))

    assert told == Told("", failed=True, sentence=str(step.refused))
    assert stage.shown() == before


def answer(stage: Stage, ours: Preloaded, step: Step) -> dict[str, object]:
    """Return our answer in the form of a recording; how a call is refused that cannot be parsed is our own affair."""
    told = told_by_us(stage.run(ours, step.rest))
    return {
        "call": step.rest,
        "listing": timeless(told.listing),
        "failed": told.failed,
        "sentence": "" if "-s -t" in step.rest else told.sentence,
        **stage.shown(),
    }


def skip_as_sqlx_did(stage: Stage, ledger: object) -> None:
    """Write the rows that `override skip` writes; we have no such command."""
    assert isinstance(ledger, list)
    with opened(stage.database) as connection:
        connection.execute(CREATE_LEDGER)
        for version, description, *_ in (row.split() for row in ledger):
            (up,) = (stage.root / "migrations").glob(f"{version}_*.up.sql")
            connection.execute(INSERT_SKIPPED, (version, description, sha384(up.read_bytes()).digest()))

    assert stage.shown()["ledger"] == ledger


def test_every_scenario_is_recorded() -> None:
    """No scenario is forgotten when one is added."""
    assert RECORDINGS
    assert set(SCENARIOS) == {name for recorded in RECORDINGS.values() for name in recorded}


def test_the_recordings_are_what_sqlx_says(sqlx: Sqlx) -> None:
    """An sqlx of a recorded version answers today what was recorded of it."""
    if f"sqlx-{sqlx.version}" not in RECORDINGS:
        pytest.skip(f"nothing is recorded of sqlx {sqlx.version}: run tests/compatibility/record_sqlx.py")

    assert answers(sqlx) == RECORDINGS[f"sqlx-{sqlx.version}"]
