"""What each verb prints with `--json` is what the schema in the reference says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from jsonschema import Draft202012Validator
from pages import COMMANDS, DOCS

SCHEMA = json.loads((DOCS / "reference" / "output.schema.json").read_text())

MIGRATIONS = {
    "1_create_book.sql": "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT);\n"
    "CREATE INDEX idx_title ON book (title);\nINSERT INTO book VALUES (1, 'Dune');\n",
    "1_create_book.rollback.sql": "DROP TABLE book;\n",
    "verify/books.sql": "-- name: by title\n-- expect: SEARCH book USING INDEX idx_title\n"
    "SELECT * FROM book WHERE title = :title;\n",
    "post-apply.sql": "SELECT 1;\n",
}
SECOND = {
    "2_drop_books.sql": "DELETE FROM book;\nALTER TABLE book ADD COLUMN author;\n",
    "2_drop_books.rollback.sql": "ALTER TABLE book DROP COLUMN author;\n",
}


class Case(NamedTuple):
    """A command line, and the definition that its output satisfies."""

    words: str
    definition: str

    def __str__(self) -> str:
        return self.words


CASES = [
    Case("status", "status"),
    Case("upgrade --dry-run", "plan"),
    Case("upgrade --snapshot", "report"),
    Case("rollback --dry-run", "plan"),
    Case("rollback", "report"),
    Case("apply 2", "report"),
    Case("apply 7", "error"),
    Case("rehearse", "rehearsal"),
    Case("rehearse --rollback", "rehearsal"),
    Case("rehearse --round-trip --fresh", "round_trip"),
    Case("verify", "findings"),
    Case("indexes", "indexes"),
    Case("optimize --vacuum", "maintenance"),
    Case("doctor", "diagnosis"),
    Case("repair --line-endings", "report"),
    Case("repair --trust yoyo", "report"),
    Case("repair --trust sqlx --dry-run", "plan"),
    Case("baseline 1", "report"),
    Case("restore", "snapshots"),
    Case("restore --yes {snapshot}", "restored"),
    Case("new more", "created"),
    Case("export --layout sqlx exported", "created"),
    Case("check", "checks"),
    Case("check lock --write", "created"),
    Case("renumber 1", "error"),
    Case("convert old", "conversion"),
    Case("convert old --partial --output new", "conversion"),
    Case("convert migrations", "error"),
    Case("dump", "dump"),
    Case("renumber 1 --database :memory:", "renumbered"),
    Case("wait --timeout 0 --version 1", "awaited"),
    Case("fleet status app.db", "fleet_status"),
    Case("fleet upgrade app.db", "fleet_report"),
    Case("fleet upgrade *", "fleet_report"),
    Case("upgrade --target 9", "error"),
    Case("--wrong", "error"),
]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a migration that is installed and one that is pending, and a snapshot."""
    directory = tmp_path_factory.mktemp("project")
    write(directory, MIGRATIONS)
    run(directory, "upgrade")
    write(directory, SECOND)
    (directory / "old").mkdir()
    (directory / "old" / "1_a.sql").write_text("-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2;\n")
    (directory / "old" / "2_b.sql").write_text("-- +goose Up\n-- +goose Down\n")
    run(directory, "upgrade --snapshot")
    run(directory, "rollback")
    return directory


@pytest.fixture
def project(made_once: Path, here: Path) -> Path:
    """A copy of it."""
    shutil.copytree(made_once, here, dirs_exist_ok=True)
    return here


def write(here: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = here / "migrations" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run(here: Path, words: str) -> subprocess.CompletedProcess[str]:
    snapshot = next((path.name for path in here.glob("*.snapshot")), "")
    named = () if "--database" in words or "fleet" in words else ("-d", "app.db")
    typed = [COMMANDS / "torc-migrations", *named, *words.format(snapshot=snapshot).split()]
    return subprocess.run(typed, cwd=here, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_document_is_as_the_schema_says(project: Path, case: Case) -> None:
    """One document on standard output, of the definition that the reference names."""
    done = run(project, f"--json {case.words}")

    wanted = {"$ref": f"#/$defs/{case.definition}", "$defs": SCHEMA["$defs"]}
    errors = [error.message for error in Draft202012Validator(wanted).iter_errors(json.loads(done.stdout))]
    assert errors == [], done.stdout + done.stderr


def test_the_schema_is_a_schema_and_the_page_names_every_definition() -> None:
    """It is valid itself, and each kind of document is in the table of the page."""
    Draft202012Validator.check_schema(SCHEMA)
    page = (DOCS / "reference" / "json.md").read_text()
    kinds = {kind["$ref"].rpartition("/")[2] for kind in SCHEMA["anyOf"]}

    assert set(re.findall(r"^\| .* \| `(\w+)` \|$", page, re.MULTILINE)) == kinds
    assert {case.definition for case in CASES} == kinds
