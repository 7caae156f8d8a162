"""Record what the real sqlx answers in every scenario: `python tests/compatibility/record_sqlx.py`.

Each sqlx that is found writes recorded/sqlx-VERSION.json; build_sqlx.sh builds them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from paired_databases import settle, told_by_sqlx
from scenarios import Scenario, Stage, read_scenarios, timeless
from sqlx_program import WHY_NOT, Sqlx, find_programs

RECORDED = Path(__file__).with_name("recorded")


def answers(sqlx: Sqlx) -> dict[str, list[dict[str, object]]]:
    """Return a program's answers by scenario, in the order of the calls."""
    scenarios = read_scenarios().items()
    return {name: _play(scenario, sqlx) for name, scenario in scenarios if scenario.can_be_told_by(sqlx.series)}


def _play(scenario: Scenario, sqlx: Sqlx) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as root:
        stage = Stage(Path(root))
        sqlx.create(stage.database)
        return [_answer(stage, sqlx, step.rest) for step in stage.calls(scenario)]


def _answer(stage: Stage, sqlx: Sqlx, arguments: str) -> dict[str, object]:
    told = told_by_sqlx(stage.run(sqlx, arguments))
    settle(stage.database)
    return {
        "call": arguments,
        "listing": timeless(told.listing),
        "failed": told.failed,
        "sentence": told.sentence,
        **stage.shown(),
    }


def _record(sqlx: Sqlx) -> None:
    path = RECORDED / f"sqlx-{sqlx.version}.json"
    document = {"sqlx": sqlx.version, "answers": answers(sqlx)}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    programs = find_programs()
    RECORDED.mkdir(exist_ok=True)
    for program in programs:
        _record(program)
    sys.exit(None if programs else WHY_NOT)
