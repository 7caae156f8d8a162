"""`check lock`: one line that is right, stale, in conflict or not there, and what writes it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from shell import PAIRS, ROOT, Torc, outcome_of, write_files

from torc_migrations.checks import check, check_lock, write_lock
from torc_migrations.errors import BadOptionValue, BadScript
from torc_migrations.sources.source import discover

LOCK = "migrations.lock"
CONFLICT = "<<<<<<< HEAD\n3 c sha256:0\n=======\n2 b sha256:1\n>>>>>>> main\n"


@pytest.fixture
def locked(migrations: Path) -> Path:
    """Three pairs, and the line for them."""
    write_lock(discover(migrations))
    return migrations


def rules(directory: Path) -> list[str]:
    """Return the rules of all findings."""
    return [finding.rule for finding in check_lock(discover(directory)).findings]


def test_the_line_has_the_newest_version_its_description_and_a_chained_digest(locked: Path) -> None:
    """The digest can be computed again from the names and the texts, in the order of the versions."""
    digest = b""
    for name in PAIRS:
        digest = sha256(digest + b"\0" + name.encode() + b"\0" + PAIRS[name].encode()).digest()

    assert (locked / LOCK).read_text() == f"3 index titles sha256:{digest.hex()}\n"
    assert check_lock(discover(locked)).ok


def test_without_the_file_the_check_is_off(migrations: Path) -> None:
    """A directory without it is not checked, and the check says how to begin."""
    result = check_lock(discover(migrations))

    assert (result.ok, result.findings) == (True, ())
    assert result.skipped == "there is no migrations.lock; `torc-migrations check lock --write` writes one"


@pytest.mark.parametrize("name", PAIRS)
def test_an_edited_script_makes_it_stale(locked: Path, name: str) -> None:
    """Up scripts and down scripts, the oldest too."""
    (locked / name).write_text(f"{PAIRS[name]}-- more\n")

    assert rules(locked) == ["stale-lock"]


def test_a_renamed_script_makes_it_stale(locked: Path) -> None:
    """The texts and the newest version are the same."""
    for end in (".sql", ".rollback.sql"):
        (locked / f"0002_add_author{end}").rename(locked / f"0002_add_writer{end}")

    assert rules(locked) == ["stale-lock"]


def test_a_new_script_makes_it_stale_and_the_message_has_both_versions(locked: Path) -> None:
    """It names the version of the line, and the newest one."""
    write_files(locked, {"0004_more.sql": "SELECT 1;\n"})

    (finding,) = check_lock(discover(locked)).findings
    assert finding.message == "migrations.lock is for version 3, and the newest one is 4"
    assert finding.place == f"{locked / LOCK}:1:1"


def test_other_line_endings_change_nothing(locked: Path) -> None:
    """Git may write CRLF into a checkout, also into the line itself."""
    for path in locked.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    assert rules(locked) == []


@pytest.mark.parametrize(
    ("text", "rule"), [(CONFLICT, "lock-conflict"), ("", "bad-lock"), ("3 index titles\n", "bad-lock")]
)
def test_a_line_that_is_none_has_a_rule_of_its_own(locked: Path, text: str, rule: str) -> None:
    """A conflict of git, an empty file, and a line without a digest."""
    (locked / LOCK).write_text(text)

    assert rules(locked) == [rule]


def test_a_conflict_is_not_written_over(torc: Torc, locked: Path) -> None:
    """Neither by `new` nor by `--write`: the order of the migrations has to be decided first."""
    (locked / LOCK).write_text(CONFLICT)

    torc("new", "more")
    torc("check", "lock", "--write")

    assert (locked / LOCK).read_text() == CONFLICT


def test_new_writes_the_line_again_where_there_is_one(torc: Torc, locked: Path) -> None:
    """So that two branches which add a migration both change it."""
    before = (locked / LOCK).read_text()

    assert torc("new", "more").status == 0
    assert (locked / LOCK).read_text().startswith("4 more sha256:")
    assert (locked / LOCK).read_text() != before
    assert torc("check", "lock").status == 0


def test_new_writes_no_line_where_there_is_none(torc: Torc, migrations: Path) -> None:
    """The file is a choice of the project."""
    torc("new", "more")

    assert not (migrations / LOCK).exists()


def test_no_tool_takes_the_file_for_a_migration(torc: Torc, locked: Path) -> None:
    """And no note is printed for it at every listing."""
    (locked.parent / "app.db").touch()

    done = torc("-d", "app.db", "status")

    assert (done.status, done.err) == (0, "")


def test_check_fails_with_the_place_and_the_way_out(torc: Torc, locked: Path) -> None:
    """Status 1; the file, the line, the rule, and a hint."""
    write_files(locked, {"0004_more.sql": "SELECT 1;\n"})

    done = torc("check", "lock")
    assert done.status == 1
    assert done.out == (
        "migrations/migrations.lock:1:1: error: "
        "migrations.lock is for version 3, and the newest one is 4 [stale-lock]\n"
        "  hint: `torc-migrations check lock --write` rewrites it; commit it together with the scripts\n"
        "lock: 1 error\n"
    )


def test_write_makes_it_right(torc: Torc, migrations: Path) -> None:
    """`--write` creates the file, and writes it only where it has to."""
    assert torc("check", "lock", "--write").err == "note: migrations/migrations.lock was written\n"
    assert torc("check", "lock", "--write").err == ""
    assert torc("check", "lock").out == "lock: ok\n"


def test_annotations_and_sarif_name_the_file_and_the_line(torc: Torc, locked: Path) -> None:
    """GitHub's commands escape what would end them; SARIF has a rule and a region for each result."""
    (locked / LOCK).write_text("")

    annotation = torc("check", "--format", "github").out
    assert annotation.startswith(
        "::error file=migrations/migrations.lock,line=1,col=1,title=bad-lock::migrations.lock "
    )
    assert "%0Ahint: " in annotation
    (log,) = outcome_of(torc("check", "--format", "sarif"))["runs"]  # type: ignore[misc]
    (result,) = log["results"]
    assert result["ruleId"] == log["tool"]["driver"]["rules"][0]["id"] == "bad-lock"
    location = result["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "migrations/migrations.lock"
    assert location["region"] == {"startLine": 1, "startColumn": 1}


def test_the_function_of_python_returns_the_same(locked: Path) -> None:
    """A report with a result for each check, and its findings."""
    (locked / LOCK).write_text("")

    report = check("lock", source=locked)
    assert (report.ok, [finding.rule for finding in report.findings]) == (False, ["bad-lock"])
    with pytest.raises(BadOptionValue):
        check("luck", source=locked)


def test_an_unknown_check_is_an_error_of_the_command_line(torc: Torc, migrations: Path) -> None:
    """It names the checks that there are."""
    done = torc("check", "luck")

    assert done.status == 2
    assert "there is no check 'luck'" in done.err


def test_a_script_that_cannot_be_read_is_an_error(locked: Path) -> None:
    """It is not left out of the digest."""
    (locked / "0002_add_author.rollback.sql").write_bytes(b"\xff")

    with pytest.raises(BadScript):
        check_lock(discover(locked))


def test_the_hook_for_pre_commit_runs_the_check(here: Path, torc: Torc, locked: Path) -> None:
    """What the definition names is a command that fails for a stale line."""
    definition = (ROOT / ".pre-commit-hooks.yaml").read_text()
    (entry,) = [line.partition(": ")[2] for line in definition.splitlines() if line.strip().startswith("entry:")]
    program, *words = entry.split()

    assert (program, torc(*words).status) == ("torc-migrations", 0)
    (locked / LOCK).write_text("")
    assert torc(*words).status == 1


def test_an_older_version_is_noted_or_refused(torc: Torc, here: Path, migrations: Path) -> None:
    """By default it is applied with a note; `--out-of-order=refuse` does not begin."""
    older = {name: (migrations / name).read_text() for name in PAIRS if name.startswith("0002")}
    for name in older:
        (migrations / name).unlink()
    torc("-d", "app.db", "upgrade")
    write_files(migrations, older)

    refused = torc("-d", "app.db", "upgrade", "--out-of-order=refuse", "--json")
    assert refused.status == 3
    assert outcome_of(refused)["error"]["code"] == "out-of-order"  # type: ignore[index]
    applied = torc("-d", "app.db", "upgrade")
    assert applied.status == 0
    assert "note: 2 is older than 3, which is installed, and is applied now\n" in applied.err
