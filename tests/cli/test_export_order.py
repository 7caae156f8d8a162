"""What `export` writes is run by stock yoyo in the order of the versions, however the numbers are written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from database_under_test import SQLiteUnderTest
from other_tools import listed, yoyo
from shell import Torc, write_files
from yoyo import read_migrations

from torc_migrations.cli.verbs.export import export
from torc_migrations.errors import BadOrder, MigrationError
from torc_migrations.sources.names import Layout
from torc_migrations.sources.source import Source, discover

# Numbers of one digit and of many, padded or not, dates, times, and with signs.
NUMBERS = (
    lambda draw: str(draw.randint(0, 12)),
    lambda draw: f"{draw.randint(0, 120):03d}",
    lambda draw: "0" * draw.randint(0, 20) + str(draw.randint(0, 99)),
    lambda draw: str(draw.choice([20240101, 20240102, 20251231])),
    lambda draw: f"2024010{draw.randint(1, 3)}{draw.randint(0, 235959):06d}",
    lambda draw: str(draw.randint(10**15, 10**18)),
    lambda draw: f"+{draw.randint(0, 9)}",
    lambda draw: f"-{draw.randint(1, 9)}",
)
WORDS = ("a", "b_c", "Add-x", "é", "a.b", "rollback", "up", "down", "x.sql", "", " ", "9z", "post-apply")
ENDS = {"yoyo": (".sql", ".rollback.sql"), "sqlx": (".up.sql", ".down.sql"), "simple": (".sql", None)}


def random_source(draw: random.Random, directory: Path) -> Source | None:
    """Write a directory with names of one layout, and read it; None where it is none."""
    up, down = ENDS[draw.choice(list(ENDS))]
    numbers = draw.sample(NUMBERS, draw.randint(1, 3))
    for number in range(draw.randint(2, 6)):
        stem = f"{draw.choice(numbers)(draw)}_{draw.choice(WORDS)}"
        files = {f"{stem}{up}": f"CREATE TABLE t{number} (x);"}
        if down and draw.random() < 0.7:
            files[f"{stem}{down}"] = f"DROP TABLE t{number};"
        write_files(directory, files)
    try:
        return discover(directory)
    except MigrationError:
        return None


@pytest.mark.parametrize("seed", range(150))
def test_an_export_is_the_same_for_yoyo_and_for_us(tmp_path: Path, seed: int) -> None:
    """Versions, scripts and their order are those of the source; only two negative versions have no such names."""
    source = random_source(random.Random(seed), tmp_path / "source")
    if source is None:
        return
    scripts = [(each.version, each.up.sql, each.down and each.down.sql) for each in source.migrations]
    for layout in (Layout.YOYO, Layout.SQLX):
        try:
            export(source, layout, str(tmp_path / layout.value))
        except BadOrder:
            assert layout is Layout.YOYO
            assert scripts[1][0] < 0
            continue

        exported = discover(tmp_path / layout.value).migrations

        assert [(each.version, each.up.sql, each.down and each.down.sql) for each in exported] == scripts
        if layout is Layout.YOYO:
            read = read_migrations(str(tmp_path / "yoyo"))
            assert [Path(each.path).read_bytes() for each in read] == [up for _, up, _ in scripts]


def test_signs_do_not_become_digits(tmp_path: Path) -> None:
    """A plus is left out, and a minus stays in front of the zeros."""
    write_files(tmp_path / "source", {f"{name}.up.sql": "SELECT 1;" for name in ("-4_a", "+3_b", "12_c", "7_x")})

    paths = export(discover(tmp_path / "source"), Layout.YOYO, str(tmp_path / "out"))

    assert [Path(path).name for path in paths] == ["-04_a.sql", "03_b.sql", "07_x.sql", "12_c.sql"]


def test_what_yoyo_runs_after_migrations_is_exported_for_yoyo(torc: Torc, here: Path) -> None:
    """Its post-apply scripts go with the others; for sqlx, which has none, a note says that they are left out."""
    write_files(here / "m", {"1_a.sql": "CREATE TABLE a (x);", "post-apply.sql": "INSERT INTO a VALUES (1);"})

    for_yoyo = torc("-s", "m", "export", "--layout", "yoyo", "y")
    for_sqlx = torc("-s", "m", "export", "--layout", "sqlx", "s")

    assert sorted(path.name for path in (here / "y").iterdir()) == ["1_a.sql", "post-apply.sql"]
    assert sorted(path.name for path in (here / "s").iterdir()) == ["1_a.sql"]
    assert for_yoyo.err == ""
    assert for_sqlx.err == "note: m/post-apply.sql is left out: sqlx has no scripts that run after migrations\n"


def test_names_with_new_zeros_are_moved_in_the_ledger_before_yoyo_runs(torc: Torc, here: Path) -> None:
    """For yoyo they are other migrations: the note says so, and what it advises keeps yoyo from running them again."""
    sqlite = SQLiteUnderTest(here / "x.db")
    write_files(here / "m", {"2_b.sql": "CREATE TABLE b (x);", "10_c.sql": "CREATE TABLE c (x);"})
    torc("-d", "x.db", "-s", "m", "upgrade")

    exported = torc("-s", "m", "export", "--layout", "yoyo", "y")
    torc("-d", "x.db", "upgrade", "-s", "y")

    assert exported.err == (
        "note: 2_b is 02_b now, which is another migration for yoyo: where it is installed, "
        "upgrade with `--source y` before yoyo\n"
    )
    assert listed(sqlite, str(here / "y")) == "AA"
    yoyo(sqlite, "apply", str(here / "y"))
    assert sqlite.ledgers().yoyo == ("02_b", "10_c")
