"""What the README and the documents show is run: shell, Python, settings, and the demonstration."""

from __future__ import annotations

import re
import shlex
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from shell import COMMAND, COMMANDS, NEWEST, PAIRS, ROOT, SHIPPED_IDS, SQL, YOYO, Result, run, write_files

DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
LAST_LINE = f"{NEWEST}/installed add database indexes"
ADD_EVENT = "-- One row for each thing that happened.\nCREATE TABLE event (id INTEGER PRIMARY KEY);\n"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LISTING = re.compile(r"(?:\d+/(?:installed|pending) .*\n)+")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


class Block(NamedTuple):
    """A fenced block of a document: where it stands, its language, and its text."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """The block's name in test reports."""
        return f"{self.document.name}:{self.line}"


class Example(NamedTuple):
    """A command that a document shows, and what it shows as the answer."""

    command: str
    answer: str


def blocks() -> Iterator[Block]:
    """Find the fenced blocks of every document."""
    for document in DOCUMENTS:
        text = document.read_text()
        for found in _BLOCK.finditer(text):
            yield Block(document, text.count("\n", 0, found.start()) + 1, found[1], found[2])


def examples(block: Block) -> list[Example]:
    """Return the commands of a block: all lines of `sh`, and elsewhere those behind a `$`."""
    if block.language in ("sh", "shell", "bash", "console"):
        lines = [line.removeprefix("$ ") for line in block.text.splitlines()]
        return [Example(line, "") for line in lines if line.strip() and not line.startswith("#")]
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)
    return [Example(*pair) for pair in zip(parts[1::2], parts[2::2], strict=True)]


SHELL_BLOCKS = [block for block in blocks() if examples(block)]
PYTHON_BLOCKS = [block for block in blocks() if block.language == "python"]
INI_BLOCKS = [block for block in blocks() if block.language == "ini"]
LISTINGS = [block for block in blocks() if not block.language and _LISTING.fullmatch(block.text)]


def upgraded_with_a_clash(here: Path) -> None:
    """Set the scene of the README's failing script: an upgraded database, and a new file that makes a table again."""
    shutil.copytree(SQL, here / "sql")
    write_files(here, {"sqlx.toml": '[migrate]\nmigrations-dir = "sql"\n', ".env": "DATABASE_URL=sqlite:///torc.db\n"})
    run([COMMAND, "upgrade"], here)
    write_files(here / "sql", {"20260113000000_add_event.sql": ADD_EVENT})


def a_yoyo_project(here: Path) -> None:
    """Set the scene of somebody whose database stock yoyo has migrated so far."""
    write_files(here / "migrations", PAIRS)
    run([YOYO, "apply", "-b", "-d", "sqlite:///app.db", "migrations", "-r", "0001_create_book"], here)


def the_torc_schema(here: Path) -> None:
    """Set the scene of somebody who works on a torc database, with the migrations and their expectations at hand."""
    shutil.copytree(SQL, here / "migrations")
    run([COMMAND, "-d", "torc.db", "upgrade"], here)


def a_folder_with_migrations(here: Path) -> None:
    """Set the scene of somebody who has a folder of migrations, and a database named in .env."""
    write_files(here / "migrations", PAIRS)
    write_files(here, {".env": "DATABASE_URL=sqlite:///app.db\n"})


def a_shop_with_shelves(here: Path) -> None:
    """Set the scene of a table that is made anew, and of what would go with it."""
    make = "CREATE TABLE shelf (id INTEGER PRIMARY KEY);\nINSERT INTO shelf VALUES (1), (2);\n"
    make += "CREATE TABLE book (shelf REFERENCES shelf ON DELETE CASCADE);\nINSERT INTO book VALUES (1), (1), (2);\n"
    rebuild = "-- foreign-keys: on\nCREATE TABLE shelf_new (id INTEGER PRIMARY KEY, room);\n"
    rebuild += "INSERT INTO shelf_new (id) SELECT id FROM shelf;\nDROP TABLE shelf;\n"
    rebuild += "ALTER TABLE shelf_new RENAME TO shelf;\n"
    write_files(here / "migrations", {"1_make_shop.sql": make})
    run([COMMAND, "-d", "shop.db", "upgrade"], here)
    write_files(here / "migrations", {"2_rebuild_shelf.sql": rebuild})


def nothing(here: Path) -> None:
    """Set the scene of an empty folder."""


def scene(block: Block) -> Callable[[Path], None]:
    """Return what has to be there before the commands of a block are typed."""
    if "20260113000000_add_event" in block.text:
        return upgraded_with_a_clash
    if "shop.db rehearse" in block.text:
        return a_shop_with_shelves
    if block.document.name == "DATABASE_INDEXES.md":
        return the_torc_schema
    if block.document.name == "README.md" and block.language != "python":
        return nothing
    return a_yoyo_project if "yoyo" in block.document.name else a_folder_with_migrations


def perform(command: str, here: Path) -> Result:
    """Type a command; what installs or builds the package itself is looked at, and not run within its own tests."""
    first, *rest = shlex.split(command, comments=True)
    if first == "make":
        return run(["make", "--dry-run", *rest], ROOT)
    if (first, *rest) in (("pip", "install", "torc-migrations"), ("pip", "install", "-e", ".")):
        return Result(0, "", "")
    path = f"{COMMANDS}:/usr/local/bin:/usr/bin:/bin"
    return run(["sh", "-c", command], here, {"PATH": path, "COLUMNS": "80"})


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=lambda block: block.name)
def test_every_command_that_is_shown_works(here: Path, block: Block) -> None:
    """Each line of a shell block ends with 0, or with the error that is shown; what is shown as answer is literal."""
    scene(block)(here)
    for command, answer in examples(block):
        result = perform(command, here)

        assert (command, result.status != 0) == (command, "error: " in answer), result.err
        if answer:
            assert re.fullmatch(literally(answer), result.out + result.err)


def literally(answer: str) -> str:
    """Return the pattern of an answer, in which a line of three dots stands for any lines."""
    return re.escape(answer).replace(re.escape("...\n"), "(?:.*\n)*")


@pytest.mark.parametrize("block", LISTINGS, ids=lambda block: block.name)
def test_every_listing_that_is_shown_is_the_end_of_the_real_one(here: Path, block: Block) -> None:
    """A block of listing lines is what `status` prints after an upgrade, from some line on."""
    run([COMMAND, "-d", "torc.db", "upgrade"], here)

    assert run([COMMAND, "-d", "torc.db", "status"], here).out.endswith(block.text)


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=lambda block: block.name)
def test_every_python_block_runs(here: Path, block: Block) -> None:
    """A Python block is a program, or a test: it runs beside a folder of migrations, and then once more."""
    scene(block)(here)
    write_files(here, {"app.py": textwrap.dedent(block.text)})
    words = ["-m", "pytest", "-q", "app.py"] if "pytest" in block.text else ["app.py"]

    first = run([COMMANDS / "python", *words], here)
    second = run([COMMANDS / "python", *words], here)

    assert (first.status, first.err) == (0, "")
    assert (second.status, second.err) == (0, "")


@pytest.mark.parametrize("block", INI_BLOCKS, ids=lambda block: block.name)
def test_every_yoyo_ini_that_is_shown_works(here: Path, block: Block) -> None:
    """With these settings plain `yoyo` and plain `torc-migrations` work on the same database."""
    write_files(here, {"yoyo.ini": block.text})
    write_files(here / "migrations", PAIRS)

    applied = run([YOYO, "apply", "--batch"], here)
    listed = run([COMMAND, "status", "--exit-code"], here)

    assert (applied.status, listed.status) == (0, 0), applied.err + listed.err


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """A relative link names a file that is there."""
    gone = [link for link in _LINK.findall(document.read_text()) if not (document.parent / link).exists()]

    assert gone == []


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_exist(target: str) -> None:
    """`make demo` and `make test` are in the Makefile, and the README shows them."""
    result = run(["make", "--dry-run", target], ROOT)

    assert result.status == 0, result.err
    assert f"make {target}" in (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """What `make demo` prints, in a clone."""
    here = tmp_path_factory.mktemp("demonstration")
    shutil.copytree(SQL, here / "sql")
    shutil.copytree(ROOT / "docs", here / "docs")
    shutil.copy(ROOT / "yoyo.ini", here)
    return run(["sh", "docs/demo.sh", str(COMMANDS)], here)


def test_the_demonstration_ends_with_everything_installed(demonstration: Result) -> None:
    """Upgraded, rolled back by one, and upgraded again."""
    assert (demonstration.status, demonstration.err) == (0, "")
    assert demonstration.out.endswith(f"\n{LAST_LINE}\n")
    assert demonstration.out.count("Applied ") == len(SHIPPED_IDS) + 2
    assert f"\nApplied {NEWEST}/revert add database indexes (" in demonstration.out
    assert f"\n{NEWEST}/pending add database indexes\n" in demonstration.out


@pytest.mark.parametrize(
    ("query", "plan"),
    [
        (
            "SELECT * FROM job WHERE workflow_id = 1",
            "SEARCH job USING INDEX idx_job_workflow_id (workflow_id=?)",
        ),
        (
            "SELECT * FROM job WHERE workflow_id = 1 AND status = 1",
            "SEARCH job USING INDEX idx_job_workflow_status (workflow_id=? AND status=?)",
        ),
    ],
)
def test_the_demonstration_shows_the_promised_query_plans(demonstration: Result, query: str, plan: str) -> None:
    """Both plans stand below their queries, word for word."""
    assert f"EXPLAIN QUERY PLAN {query}\n`--{plan}\n" in demonstration.out


def test_the_exit_statuses_in_the_readme_are_those_of_the_errors() -> None:
    """Every exit code that an error has is explained in the table, and no other."""
    from torc_migrations import cli, errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    codes = {kind.exit_code for kind in kinds} - {1}
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)}

    assert table == {0, 1, cli.INTERRUPTED} | codes
