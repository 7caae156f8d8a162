"""The pages: what they show happens, what they name exists, and they are in plain English."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pages import COMMANDS, DOCS, PAGES, ROOT, acts, problems

import torc_migrations.errors
from torc_migrations.errors import MigrationError

BANNED = re.compile(r"house|\broom|glance|foretell|amiss|twin|mend\b|whoever|judgement", re.IGNORECASE)
# Words that contain a banned one and are plain English.
PROPER = ("warehouse", "recommend")
# Pages whose flags are mostly those of benchmarks, and the changes, which name flags that were removed.
OF_OTHER_PROGRAMS = ("performance.md", "CHANGELOG.md")
FOREIGN_FLAGS = {"--batch", "--cache-clear", "--force", "--log-cli-level", "--migrations-keep", "--preload", "--traget"}
FOREIGN_FLAGS |= {"--app", "--autogenerate", "--check", "--concurrency", "--get", "--metadata"}  # of the recipes
PACKAGE = ROOT / "torc_migrations"
VERBS = Path("cli/verbs")  # one file for each verb, which the page does not list
ERRORS = DOCS / "reference" / "errors.md"
KINDS = [
    kind
    for kind in vars(torc_migrations.errors).values()
    if isinstance(kind, type) and issubclass(kind, MigrationError) and kind is not MigrationError
]


def name(page: Path) -> str:
    """Return the name of a page in reports."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES[1:] if any(acts(page))], ids=name)
def test_every_command_and_every_python_block_does_what_is_shown(page: Path, here: Path) -> None:
    """Each page can be followed from top to bottom, in an empty directory."""
    shutil.copytree(ROOT / "sql", here / "sql")

    assert problems(page, here) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_page_is_in_plain_english(page: Path) -> None:
    """No word of the list of banned words is in it, but for proper uses."""
    text = page.read_text()
    for proper in PROPER:
        text = text.replace(proper, "")

    assert BANNED.findall(text) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    """Paths of tests, benchmarks, modules and pages are those of today."""
    paths = set(re.findall(r"(?<![/\w])(?:tests|benchmarks|docs)/[\w/.-]*\w", page.read_text()))

    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    """A relative link works on disk too; the site's own links are checked when it is built."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_explained(kind: type[MigrationError]) -> None:
    """The reference has an anchor for its code, and the right exit status."""
    section = f"\n### {kind.code}\n\n`{kind.__name__}`, exit status {kind.exit_code}.\n"

    assert section in ERRORS.read_text()


def test_no_error_is_explained_that_does_not_exist() -> None:
    """Each heading of the reference is the code of a class."""
    explained = set(re.findall(r"^### ([\w-]+)$", ERRORS.read_text(), re.MULTILINE))

    assert explained == {kind.code for kind in KINDS}


def test_the_architecture_names_every_file_of_the_package() -> None:
    """The table of packages and the directories are the same."""
    rows = re.findall(r"^\| `([\w/]+)` \| .* \| (.*) \|$", (DOCS / "architecture.md").read_text(), re.MULTILINE)
    listed = {(package, file) for package, files in rows for file in re.findall(r"`(\w+)`", files)}
    modules = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if not path.name.startswith("__")]
    in_packages = {(str(path.parent), path.stem) for path in modules if path.parent != Path() and path.parent != VERBS}

    assert sorted(listed) == sorted(in_packages)


def test_the_reference_of_the_command_line_names_every_verb() -> None:
    """It is generated, and has a section for each verb that `--help` lists."""
    from command_line import reference, verbs

    done = subprocess.run([COMMANDS / "torc-migrations", "--help"], capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^    ([a-z]+)(?: \([a-z]+\))?  ", done.stdout, re.MULTILINE))
    sections = {line.removeprefix("## ") for line in reference() if line.startswith("## ")}

    assert sections == set(verbs())
    assert listed <= sections
    assert listed


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in OF_OTHER_PROGRAMS], ids=name)
def test_every_flag_that_a_page_names_exists(page: Path) -> None:
    """A flag in a text is one of the command, or of a program that the page names too."""
    from command_line import flags

    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+\w", page.read_text()))

    assert named - flags() - FOREIGN_FLAGS == set()


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `make demo` prints, in a clone."""
    here = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "sql", here / "sql")
    shutil.copytree(DOCS, here / "docs")
    shutil.copy(ROOT / "yoyo.ini", here)
    words = ["sh", "docs/demo.sh", str(COMMANDS)]
    done = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_demonstration_ends_with_everything_installed(demonstration: str) -> None:
    """Upgraded, rolled back by one, and upgraded again."""
    newest = "20251105030141"
    ids = {path.name.split(".")[0] for path in (ROOT / "sql").glob("*.sql")}

    assert demonstration.endswith(f"\n{newest}/installed add database indexes\n")
    assert demonstration.count("Applied ") == len(ids) + 2
    assert f"\nApplied {newest}/revert add database indexes (" in demonstration
    assert f"\n{newest}/pending add database indexes\n" in demonstration


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
def test_the_demonstration_shows_the_promised_query_plans(demonstration: str, query: str, plan: str) -> None:
    """Both plans are below their queries, word for word."""
    assert f"EXPLAIN QUERY PLAN {query}\n`--{plan}\n" in demonstration
