"""Two branches in a real repository: merged without the line, merged with it, and renumbered."""

from __future__ import annotations

from pathlib import Path

import pytest
from checks.git_repository import Repository
from shell import Result, Torc, python, query, run, write_files

from torc_migrations import upgrade
from torc_migrations.checks import renumber
from torc_migrations.errors import InstalledAlready, SourceError, VersionNotPresent
from torc_migrations.sources.source import discover

FIRST = {
    "1_create_book.sql": "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT);\n",
    "1_create_book.rollback.sql": "DROP TABLE book;\n",
}
# Each works alone. Together, in the order of their numbers, the second one fails.
MINE = {
    "20_index_titles.sql": "CREATE INDEX idx_title ON book (title);\n",
    "20_index_titles.rollback.sql": "DROP INDEX idx_title;\n",
    "21_more.sql": "-- depends: 20_index_titles 1_create_book\nCREATE TABLE shelf (id INTEGER);\n",
    "21_more.rollback.sql": "DROP TABLE shelf;\n",
}
THEIRS = {
    "30_rename_title.sql": "ALTER TABLE book RENAME COLUMN title TO name;\n",
    "30_rename_title.rollback.sql": "ALTER TABLE book RENAME COLUMN name TO title;\n",
}


def names(directory: Path) -> list[str]:
    """Return the names of the scripts of a directory."""
    return sorted(path.name for path in directory.glob("*.sql"))


def upgraded_by(torc: Torc) -> Result:
    """Upgrade a database that another installation of `main` has upgraded before."""
    return torc("-d", "app.db", "upgrade")


def test_without_the_line_git_merges_what_breaks(repository: Repository, torc: Torc) -> None:
    """Git sees two new files and no conflict; a database that has theirs already fails at the next upgrade."""
    repository.branches(torc, FIRST, MINE, THEIRS, lock=False)
    repository.git("checkout", "main")
    assert upgraded_by(torc).status == 0

    repository.git("merge", "mine", "-m", "merge")

    failed = upgraded_by(torc)
    assert failed.status == 6
    assert "20 is older than 30, which is installed, and is applied now" in failed.err


def test_with_the_line_git_stops_and_renumber_continues(repository: Repository, torc: Torc) -> None:
    """The merge conflicts in the line alone; after `renumber` it is right, and mine come after theirs."""
    repository.branches(torc, FIRST, MINE, THEIRS, lock=True)

    repository.git("merge", "main", fails=True)
    assert repository.git("diff", "--name-only", "--diff-filter=U") == "migrations/migrations.lock\n"
    stopped = torc("check", "lock")
    assert (stopped.status, "[lock-conflict]" in stopped.out) == (1, True)

    renamed = torc("renumber")

    assert renamed.status == 0, renamed.err
    assert torc("check", "lock").status == 0
    repository.git("add", "-A", "migrations")
    repository.git("commit", "-m", "merge")
    mine = [name for name in names(repository.migrations) if name.endswith(("titles.sql", "more.sql"))]
    numbers = [int(name.partition("_")[0]) for name in mine]
    assert 30 < numbers[0] < numbers[1]
    more = next(repository.migrations.glob("*_more.sql")).read_text()
    assert more.splitlines()[0] == f"-- depends: {mine[0].removesuffix('.sql')} 1_create_book"


def test_two_branches_with_the_same_next_number(repository: Repository, torc: Torc) -> None:
    """Both are 2; mine becomes 3, and a database that has theirs goes on."""
    mine = {
        "2_create_shelf.sql": "CREATE TABLE shelf (id INTEGER);\n",
        "2_create_shelf.rollback.sql": "DROP TABLE shelf;",
    }
    theirs = {"2_add_isbn.sql": "ALTER TABLE book ADD COLUMN isbn;\n"}
    repository.branches(torc, FIRST, mine, theirs, lock=True)
    repository.git("checkout", "main")
    assert upgraded_by(torc).status == 0
    repository.git("checkout", "mine")
    repository.git("merge", "main", fails=True)
    assert torc("check", "lock").status == 2  # two migrations of one version

    assert torc("-d", "app.db", "renumber").status == 0

    assert names(repository.migrations)[2:] == ["2_add_isbn.sql", "3_create_shelf.rollback.sql", "3_create_shelf.sql"]
    assert upgraded_by(torc).status == 0
    assert query(repository.path / "app.db", "SELECT max(version) FROM _sqlx_migrations") == [(3,)]


def test_a_rebase_that_stands_still_is_understood_too(repository: Repository, torc: Torc) -> None:
    """The own commit is put on theirs; its migrations are moved."""
    repository.branches(torc, FIRST, MINE, THEIRS, lock=True)
    repository.git("rebase", "main", fails=True)

    assert torc("renumber").status == 0

    repository.git("add", "-A", "migrations")
    repository.git("rebase", "--continue")
    assert torc("check", "lock").status == 0
    numbers = sorted({int(name.partition("_")[0]) for name in names(repository.migrations)})
    assert numbers[:2] == [1, 30]
    assert len(numbers) == 4


@pytest.mark.parametrize("theirs", [THEIRS, {"20_rename_title.sql": THEIRS["30_rename_title.sql"]}])
def test_the_commits_of_a_rebase_keep_their_order(repository: Repository, torc: Torc, theirs: dict[str, str]) -> None:
    """The second commit stops too; its migration comes after that of the first, whatever its number was."""
    repository.commit(FIRST, torc, lock=True)
    repository.git("checkout", "-b", "mine")
    for number, kind in ((20, "shelf"), (21, "wall")):
        repository.commit({f"{number}_create_{kind}.sql": f"CREATE TABLE {kind} (id INTEGER);\n"}, torc, lock=True)
    repository.git("checkout", "main")
    repository.commit(theirs, torc, lock=True)
    repository.git("checkout", "mine")
    repository.git("rebase", "main", fails=True)
    assert torc("renumber").status == 0
    repository.git("add", "-A", "migrations")
    repository.git("rebase", "--continue", fails=True)

    assert torc("renumber").status == 0

    repository.git("add", "-A", "migrations")
    repository.git("rebase", "--continue")
    assert torc("check", "lock").status == 0
    ids = [each.id.partition("_")[2] for each in discover(repository.migrations).migrations]
    assert ids == ["create_book", "rename_title", "create_shelf", "create_wall"]


@pytest.mark.parametrize("command", ["cherry-pick mine", "merge --squash mine"])
def test_what_is_put_on_this_branch_is_moved(repository: Repository, torc: Torc, command: str) -> None:
    """A cherry-pick and a squashed merge name no other branch; what HEAD does not have is moved."""
    repository.branches(torc, FIRST, MINE, THEIRS, lock=True)
    repository.git("checkout", "main")
    repository.git(*command.split(), fails=True)

    assert torc("renumber").status == 0

    repository.git("add", "-A", "migrations")
    repository.git("commit", "-m", "mine")
    assert torc("check", "lock").status == 0
    ids = [each.id.partition("_")[2] for each in discover(repository.migrations).migrations]
    assert ids == ["create_book", "rename_title", "index_titles", "more"]
    assert torc("renumber").status == 2  # nothing stands still any more


def test_what_is_installed_keeps_its_number(repository: Repository, torc: Torc) -> None:
    """A database that is named is asked first; nothing is renamed."""
    repository.branches(torc, FIRST, MINE, THEIRS, lock=True)
    assert upgraded_by(torc).status == 0
    repository.git("merge", "main", fails=True)
    before = names(repository.migrations)

    refused = torc("-d", "app.db", "renumber")

    assert refused.status == InstalledAlready.exit_code
    assert "migration 20 is installed, and cannot have another number" in refused.err
    assert names(repository.migrations) == before


def test_what_is_above_all_others_keeps_its_number(repository: Repository, torc: Torc) -> None:
    """Nothing is renamed, and the conflict of the line is ended."""
    repository.branches(torc, FIRST, THEIRS, MINE, lock=True)
    repository.git("merge", "main", fails=True)
    before = names(repository.migrations)

    done = torc("renumber")

    assert (done.status, done.err) == (0, "note: no number had to be changed\n")
    assert names(repository.migrations) == before
    assert torc("check", "lock").status == 0


def test_base_names_the_other_branch_where_no_merge_stands_still(repository: Repository, torc: Torc) -> None:
    """As before a pull request: the migrations that are not in it are moved."""
    repository.branches(torc, FIRST, MINE, THEIRS, lock=False)
    repository.git("merge", "main", "-m", "merge")

    unknown = torc("renumber")
    assert unknown.status == 2
    assert "which migrations are to be renumbered is not known" in unknown.err
    assert torc("renumber", "--base", "nowhere").status == 2
    assert torc("renumber", "--base", "main").status == 0
    assert not (repository.migrations / "20_index_titles.sql").exists()


def test_versions_can_be_named_without_git(tmp_path: Path) -> None:
    """The names of the layouts stay, and a version that does not exist is an error."""
    migrations = write_files(
        tmp_path, {"0001_a.up.sql": "", "0001_a.down.sql": "", "0002_b.up.sql": "", "0003_c.up.sql": ""}
    )

    with pytest.raises(VersionNotPresent):
        renumber(str(migrations), [7])
    (moved,) = renumber(str(migrations), [1])

    assert (moved.old_id, moved.new_id) == ("0001_a", "0004_a")
    assert names(migrations) == ["0002_b.up.sql", "0003_c.up.sql", "0004_a.down.sql", "0004_a.up.sql"]


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_directory_in_no_repository_has_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    """Not a traceback of a program that failed; whatever language git speaks, where it has one."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("LANGUAGE", language)
    write_files(tmp_path, {"1_a.sql": ""})

    with pytest.raises(SourceError, match="git fails in ") as failure:
        renumber(str(tmp_path))

    assert "make a repository" in (failure.value.hint or "")


def test_a_name_that_is_taken_stops_before_anything_is_lost(tmp_path: Path) -> None:
    """Files that were renamed already get their names back."""
    files = {
        "1_a.sql": "one",
        "1_a.rollback.sql": "two",
        "2_b.sql": "three",
        "3_c.sql": "",
        "4_a.rollback.sql": "four",
    }
    write_files(tmp_path, files)

    with pytest.raises(SourceError, match="cannot rename"):
        renumber(str(tmp_path), [1])

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


def test_an_installed_version_is_known_by_either_ledger(tmp_path: Path) -> None:
    """The function takes what the ledgers say."""
    from torc_migrations.databases.opening import open_database
    from torc_migrations.ledgers.ledgers import Ledgers

    migrations = write_files(tmp_path / "migrations", {"1_a.sql": "SELECT 1;", "2_b.sql": "SELECT 1;"})
    upgrade(tmp_path / "app.db", migrations, target=1)
    with open_database(tmp_path / "app.db", lock_timeout=1) as database, database.reading():
        recorded = Ledgers(database).read()

    with pytest.raises(InstalledAlready):
        renumber(str(migrations), [1], recorded=recorded)


def test_renumber_that_fails_leaves_every_file_as_it_was(tmp_path: Path) -> None:
    """What is wrong with another script shows after the renames: names and `-- depends:` lines are put back."""
    directory = Path(write_files(tmp_path / "migrations", {**FIRST, **MINE, **THEIRS}))
    (directory / "40_bad.sql").write_bytes(b"\xff")
    before = {path.name: path.read_bytes() for path in directory.iterdir()}

    with pytest.raises(SourceError, match="40_bad"):
        renumber(str(directory), (20, 21))

    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


# Python reports what it is about to do with files; the process ends before the rename that is asked for.
KILLED = """
import os, sys
from torc_migrations.checks import renumber
left = int(sys.argv[1])
def count(event, arguments):
    global left
    left -= event == "os.rename"
    if not left:
        os._exit(9)
sys.addaudithook(count)
renumber("migrations", base="main")
"""


def test_renumber_that_is_killed_is_finished_by_the_next_call(repository: Repository, torc: Torc) -> None:
    """Between any two files: each migration has its down script again, and `-- depends:` names what is there."""
    mine = {
        "2_shelf.sql": "CREATE TABLE shelf (id INTEGER);\n",
        "2_shelf.rollback.sql": "DROP TABLE shelf;\n",
        "3_box.sql": "-- depends: 2_shelf\nCREATE TABLE box (id INTEGER);\n",
        "3_box.rollback.sql": "DROP TABLE box;\n",
    }
    theirs = {"2_pen.sql": "CREATE TABLE pen (id INTEGER);\n", "2_pen.rollback.sql": "DROP TABLE pen;\n"}
    repository.branches(torc, FIRST, mine, theirs, lock=False)
    repository.git("merge", "main", "-m", "merge")
    status, moment = 9, 0
    while status == 9:
        moment += 1
        repository.git("reset", "--hard", "-q")
        repository.git("clean", "-fdq")
        status = run([*python(KILLED), str(moment)], repository.migrations.parent).status

        renumber(str(repository.migrations), base="main")

        found = discover(str(repository.migrations)).migrations
        assert [each.description for each in found] == ["create book", "pen", "shelf", "box"]
        assert all(each.down for each in found)
    assert status == 0
    assert moment > 4
