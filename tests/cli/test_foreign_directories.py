"""Directories as other tools leave them: names of yoyo, patterns, and files without a version."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from shell import YOYO, Torc, query, run, write_files

from torc_migrations import Migrator, errors, round_trip

SQL = "SELECT 1;\n"


def names_in(folder: Path) -> list[str]:
    """Return the names of the files in a directory."""
    return sorted(path.name for path in folder.iterdir())


def yoyo_order(here: Path, source: str) -> list[str]:
    """Return the ids that stock yoyo applies on a new database, in its order."""
    applied = run([YOYO, "apply", "-b", "--no-config-file", "-d", "sqlite:///stock.db", source], here)
    assert applied.status == 0, applied.err
    return [row[0] for row in query(here / "stock.db", "SELECT migration_id FROM _yoyo_log ORDER BY rowid")]


def our_order(here: Path, torc: Torc, source: str) -> list[str]:
    """Return the ids that `upgrade` applies on a new database, in its order."""
    result = torc("-d", "ours.db", "-s", source, "upgrade")
    assert result.status == 0, result.err
    return [row[0] for row in query(here / "ours.db", "SELECT migration_id FROM _yoyo_log ORDER BY rowid")]


@pytest.mark.parametrize(
    "first",
    [
        "20251105030141_a.sql",
        "20251105_01_AbCdE-a.sql",
        "20251105_01_a.sql",
        "0001.a.sql",
        "app_20251105_01_AbCdE-a.sql",
        "202511050301_a.sql",
    ],
)
def test_yoyo_new_and_new_make_one_order(here: Path, torc: Torc, first: str) -> None:
    """Files that `yoyo new` and `new` write in turn are run in the same order by both tools."""
    write_files(here / "m", {first: SQL})
    if first.startswith("app_"):
        (here / "yoyo.ini").write_text("[DEFAULT]\nprefix = app_\n")
    config = ["-c", "yoyo.ini"] if first.startswith("app_") else ["--no-config-file"]
    for words in ("by yoyo", "again"):
        assert run([YOYO, "new", "-b", *config, "--sql", "-m", words, "m"], here).status == 0
        assert torc("--source", "m", "new", f"{words} and us").status == 0

    ours = our_order(here, torc, "m")

    assert len(ours) == 5
    assert ours == yoyo_order(here, "m")


def test_a_prefix_names_the_first_migration(here: Path, torc: Torc) -> None:
    """With a prefix in yoyo.ini the first file is named as `yoyo new` would name it."""
    (here / "yoyo.ini").write_text("[DEFAULT]\nprefix = app_\n")

    torc("--source", "m", "new", "--simple", "add users")

    (name,) = names_in(here / "m")
    today = datetime.now(tz=UTC).strftime("%Y%m%d")
    assert (name[: len("app_20260101_01_")], name[-14:]) == (f"app_{today}_01_", "-add-users.sql")


def test_the_next_number_has_as_many_digits(here: Path, torc: Torc) -> None:
    """Beside `001-a.sql` a four-digit number would come first for yoyo."""
    write_files(here / "m", {"001-a.sql": SQL})

    torc("--source", "m", "new", "b")

    assert names_in(here / "m") == ["001-a.sql", "002_b.sql"]


def test_new_refuses_a_name_that_yoyo_would_run_earlier(here: Path, torc: Torc) -> None:
    """A number where yoyo's names have a date and a count is refused, and nothing is written."""
    write_files(here / "m", {"20251105_01_AbCdE-a.sql": SQL})

    result = torc("--source", "m", "new", "--sequential", "b")

    assert (result.status, result.err[:16]) == (2, "error: in m, yoy")
    assert names_in(here / "m") == ["20251105_01_AbCdE-a.sql"]


@pytest.mark.parametrize("given", ["yoyo.ini", "--source"])
def test_a_pattern_is_every_directory_that_it_matches(here: Path, torc: Torc, given: str) -> None:
    """`sources = m/*` is all directories with SQL below `m`, as for stock yoyo."""
    write_files(here / "m" / "one", {"1_a.sql": SQL})
    write_files(here / "m" / "two", {"2_b.sql": SQL})
    (here / "m" / "empty").mkdir()
    (here / "yoyo.ini").write_text("[DEFAULT]\nsources = m/*\n" if given == "yoyo.ini" else "")

    result = torc("-d", "app.db", *(["-s", "m/*"] if given == "--source" else []), "upgrade")

    assert result.lines == "Applied 1/migrate a (TIME)\nApplied 2/migrate b (TIME)\n"


def test_a_pattern_without_a_match_is_an_error(here: Path, torc: Torc) -> None:
    """It is not the empty source that stock yoyo makes of it."""
    result = torc("-d", "app.db", "-s", "m/*", "upgrade")

    assert (result.status, result.err.splitlines()[0]) == (
        2,
        "error: no directory with migrations matches 'm/*', from --source",
    )


def test_a_list_of_sources_is_one_source(here: Path) -> None:
    """Python's list does what several `-s` do; what cannot be a source is named."""
    one, two = write_files(here / "a", {"2_b.sql": SQL}), write_files(here / "b", {"1_a.sql": SQL})

    assert Migrator(here / "app.db", [one, str(two)]).upgrade().applied == (1, 2)
    for wrong in ([], [1], [str(one), None], {"a"}):
        with pytest.raises(errors.BadOption, match="source must be"):
            Migrator(here / "app.db", wrong)  # type: ignore[arg-type]  # that is the point


def test_upgrade_says_what_it_ignores(here: Path, torc: Torc) -> None:
    """An SQL file without a version is a note of `upgrade`, not only of `status`."""
    write_files(here / "m", {"1_a.sql": SQL, "seed.sql": SQL, "README.md": ""})

    result = torc("-d", "app.db", "-s", "m", "upgrade")

    assert result.err == "note: m/seed.sql is ignored: its name is not VERSION_DESCRIPTION.sql\n"


def test_an_export_for_yoyo_keeps_the_order(here: Path, torc: Torc) -> None:
    """Numbers get zeros where yoyo would run another order, and stock yoyo runs the result as we do."""
    write_files(here / "m", {"2_init.sql": SQL, "10_more.sql": SQL, "7_x.up.sql": SQL})
    torc("-d", "app.db", "-s", "m", "upgrade")

    torc("-s", "m", "export", "--layout", "yoyo", "out")

    assert names_in(here / "out") == ["02_init.sql", "07_x.sql", "10_more.sql"]
    assert yoyo_order(here, "out") == ["02_init", "07_x", "10_more"]
    assert torc("-d", "app.db", "-s", "out", "status", "--exit-code").status == 0


def test_an_export_for_yoyo_changes_no_id_that_is_named(here: Path, torc: Torc) -> None:
    """Where a dependency names an id that would get zeros, nothing is written."""
    write_files(here / "m", {"2_init.sql": SQL, "10_more.sql": "-- depends: 2_init\nSELECT 1;\n"})

    result = torc("-s", "m", "export", "--layout", "yoyo", "out")

    assert (result.status, "'2_init', which m/10_more.sql names" in result.err) == (2, True)
    assert not (here / "out").exists()


def test_an_export_for_sqlx_keeps_a_lone_up_file(here: Path, torc: Torc) -> None:
    """A `.up.sql` without a down file is not made a simple file."""
    write_files(here / "m", {"7_x.up.sql": SQL, "8_y.sql": SQL})

    torc("-s", "m", "export", "--layout", "sqlx", "out")

    assert names_in(here / "out") == ["7_x.up.sql", "8_y.sql"]


def test_a_round_trip_has_one_line_for_what_has_no_down_script(here: Path, torc: Torc) -> None:
    """It goes on after a down script that fails, and may allow what has none."""
    files = {f"{number}_a.sql": f"CREATE TABLE t{number} (x);\n" for number in range(1, 8)}
    bad = {"8_b.up.sql": "CREATE TABLE b (x);\n", "8_b.down.sql": "DROP TABLE nowhere;\n"}
    good = {"9_c.up.sql": "CREATE TABLE c (x);\n", "9_c.down.sql": "DROP TABLE c;\n"}
    write_files(here / "m", {**files, **bad, **good})

    result = torc("-s", "m", "rehearse", "--round-trip", "--fresh")

    assert (result.status, result.out.splitlines()) == (
        1,
        [
            "8: its down script fails: while executing migration 8: no such table: nowhere",
            "1, 2, 3, 4, 5 and 2 more have no down script, and cannot be undone",
            "1 of 9 migrations go up, down and up again",
        ],
    )
    (here / "m" / "8_b.down.sql").write_text("DROP TABLE b;\n")
    allowed = torc("-s", "m", "rehearse", "--round-trip", "--fresh", "--allow-irreversible")
    assert (allowed.status, allowed.out.splitlines()[0]) == (
        0,
        "note: 1, 2, 3, 4, 5 and 2 more have no down script, and cannot be undone",
    )
    assert not round_trip(source=here / "m").ok
    assert round_trip(source=here / "m", allow_irreversible=True).ok


def test_a_rollback_that_is_refused_step_by_step_names_the_way(here: Path, torc: Torc) -> None:
    """Children are dropped one step after their parent: the hint names `--single-transaction`, which passes."""
    write_files(
        here / "m",
        {
            "1_k.up.sql": "CREATE TABLE k (p REFERENCES p (id));\n",
            "1_k.down.sql": "DROP TABLE k;\n",
            "2_p.up.sql": "CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1); INSERT INTO k SELECT 1",
            "2_p.down.sql": "DROP TABLE p;\n",
        },
    )
    words = ("-d", "app.db", "-s", "m", "rollback", "--target", "0", "--yes")
    torc("-d", "app.db", "-s", "m", "upgrade")

    refused = torc(*words)
    passed = torc(*words, "--single-transaction")

    assert (refused.status, "--single-transaction checks foreign keys after the last" in refused.err) == (6, True)
    assert passed.lines == "Applied 2/revert p (TIME)\nApplied 1/revert k (TIME)\n"
    alone = torc("-d", "app.db", "-s", "m", "upgrade") and torc("-d", "app.db", "-s", "m", "rollback")
    assert "--single-transaction" not in alone.err
