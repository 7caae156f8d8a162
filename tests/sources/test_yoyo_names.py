"""Names that only yoyo's users have: one rule for a directory, and the order in which stock yoyo runs the files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yoyo import read_migrations
from yoyo.migrations import topological_sort

from torc_migrations.errors import BadName, BadOrder, DuplicateVersion, SourceError
from torc_migrations.sources.files import directories_with_sql
from torc_migrations.sources.source import discover
from torc_migrations.sources.yoyo_names import read_generated

DATES = st.sampled_from(["20251217", "20251219", "20260101"])
COUNTS = st.integers(1, 3).map("{:02d}".format)
WORDS = st.sampled_from(["users", "add_bets", "AbCdE", "AbCdE-words", "fGh1J-a-b", "x"])
GENERATED = st.builds("{}_{}_{}".format, DATES, COUNTS, WORDS)
TIMES = st.builds("{}{}_{}".format, DATES, st.sampled_from(["000000", "120000", "235959"]), WORDS)
DAYS = st.builds("{}_{}".format, DATES, st.sampled_from(["init", "b"]))
NUMBERS = st.builds(
    "{}{}{}".format, st.sampled_from(["1", "2", "10", "0001", "0002", "0010"]), st.sampled_from("._-"), WORDS
)
PREFIXED = st.builds("app_{}_{}_AbCdE-{}".format, DATES, COUNTS, st.sampled_from("ab"))
STEMS = st.one_of(GENERATED, TIMES, DAYS, NUMBERS, PREFIXED)


def ids(source) -> list[str]:
    """Return the ids of a source's migrations, in the order in which they run."""
    return [migration.id for migration in source.migrations]


def order_of_yoyo(folder: Path) -> list[str]:
    """Return the ids of a directory in the order in which stock yoyo applies them."""
    return [migration.id for migration in topological_sort(read_migrations(str(folder)))]


@settings(max_examples=300, deadline=None)
@given(stems=st.lists(STEMS, min_size=1, max_size=6, unique=True), rollback=st.booleans())
def test_a_directory_of_yoyo_runs_in_yoyos_order_or_is_refused(tmp_path_factory, stems, rollback):
    """Whatever the names are: the order is that of stock yoyo, a note says that it is not, or the source is refused."""
    folder = tmp_path_factory.mktemp("m")
    for stem in stems:
        (folder / f"{stem}.sql").write_text("SELECT 1;\n")
    if rollback:
        (folder / f"{stems[0]}.rollback.sql").write_text("SELECT 1;\n")

    try:
        source = discover(folder)
    except (BadName, BadOrder, DuplicateVersion):
        return

    named_for_sqlx = all(stem.partition("_")[0].isdecimal() and not read_generated(stem) for stem in stems)
    differs = ids(source) != order_of_yoyo(folder)
    assert not differs or (named_for_sqlx and (not rollback or source.notes))


@settings(max_examples=200, deadline=None)
@given(stems=st.lists(st.one_of(GENERATED, TIMES), min_size=2, max_size=6, unique=True))
def test_a_file_that_is_added_at_the_end_changes_no_version(tmp_path_factory, stems):
    """Each directory with one file more, in yoyo's order, has the versions that it had, or is refused."""
    folder = tmp_path_factory.mktemp("m")
    known: dict[str, int] = {}
    for stem in sorted(stems, key=lambda stem: f"{stem}.sql"):
        (folder / f"{stem}.sql").write_text("SELECT 1;\n")
        try:
            source = discover(folder)
        except (BadOrder, DuplicateVersion):
            return
        versions = {migration.id: migration.version for migration in source.migrations}

        assert known.items() <= versions.items()
        known = versions


@pytest.mark.parametrize(
    ("names", "migrations"),
    [
        (
            ("20251217_01_users", "20251219_01_add_bets", "20251221_01_x", "20251221_02_y"),
            [(2025121701, "users"), (2025121901, "add bets"), (2025122101, "x"), (2025122102, "y")],
        ),
        (("app_20251106_01_AbCdE-x", "app_20251107_01_fGhIj"), [(2025110601, "x"), (2025110701, "")]),
        (
            ("20251105030141_a", "20251106120000_b", "20251106_01_AbCdE-x", "20251106_02_AbCdE-y"),
            [(20251105030141, "a"), (20251106120000, "b"), (20251106990001, "x"), (20251106990002, "y")],
        ),
        (("202511050301_a", "20251105_01_AbCdE-x"), [(202511050301, "a"), (202511059901, "x")]),
        (("20251106_01_AbCdE-x", "20251107120000_t"), [(2025110601, "x"), (20251107120000, "t")]),
        (("0001.init", "20251107_01_AbCdE-x"), [(1, "init"), (2025110701, "x")]),
    ],
)
def test_one_rule_makes_every_version_of_a_directory(named, names, migrations):
    """Date and count make a version; beside versions that are times it comes after every time of that day."""
    source = discover(named(*(f"{name}.sql" for name in names)))

    assert [(each.version, each.description) for each in source.migrations] == migrations
    assert tuple(ids(source)) == names


@pytest.mark.parametrize(
    ("names", "first", "second"),
    [
        (("1.a.sql", "10.b.sql", "2.c.sql"), "10.b.sql", "2.c.sql"),
        (("00003__c.sql", "0001.a.sql"), "00003__c.sql", "0001.a.sql"),
        (
            ("20251106_01_AbCdE-x.sql", "20251107120000_t.sql", "20251108_01_AbCdE-x.sql"),
            "20251107120000_t.sql",
            "20251108_01_AbCdE-x.sql",
        ),
        (("20251217_01_x.sql", "20251219_y.sql"), "20251217_01_x.sql", "20251219_y.sql"),
    ],
)
def test_an_order_that_is_not_yoyos_is_refused(named, names, first, second):
    """Two files are named which yoyo runs in the opposite order of their versions."""
    with pytest.raises(BadOrder) as failure:
        discover(named(*names))

    assert failure.value.names == (first, second)


def test_numbers_without_zeros_are_noted_in_yoyos_layout(named):
    """Plain numbers may be shared with sqlx, whose order is followed; a note says that yoyo's is another."""
    source = discover(named("2_a.sql", "2_a.rollback.sql", "10_b.sql"))

    assert [migration.version for migration in source.migrations] == [2, 10]
    assert source.notes[0].endswith("yoyo runs '10_b.sql' before '2_a.sql'; here the lower version is first")


@pytest.mark.parametrize("names", [("0010.a.sql", "0010.b.sql"), ("20251221_01_AbCdE-x.sql", "20251221_01_fGhIj.sql")])
def test_two_files_of_one_version_are_told_how_it_is_made(named, names):
    """sqlx's ledger has one row a version, so two such files are refused, and the hint says what the version is."""
    with pytest.raises(DuplicateVersion) as failure:
        discover(named(*names))

    assert failure.value.names == names
    assert (failure.value.hint or "").startswith("the version is the number that a name begins with, or its date")


@pytest.mark.parametrize("beside", ["0001.init.sql", "20230101_01_AbCdE-x.sql", "app_20230101_01_AbCdE.sql"])
def test_what_only_yoyo_would_run_is_refused(named, beside):
    """`seed.sql` beside names of yoyo is a migration for yoyo and nothing for sqlx: it is not left out in silence."""
    with pytest.raises(BadName) as failure:
        discover(named(beside, "seed.sql"))

    assert (failure.value.name, (failure.value.hint or "")[:19]) == ("seed.sql", "yoyo runs 'seed.sql")


def test_names_that_are_only_numbers_are_told_what_is_missing(named):
    """`1.sql` to `5.sql` have no description: the error says what the names must be."""
    with pytest.raises(SourceError) as failure:
        discover(named("1.sql", "2.sql"))

    assert "name the files VERSION_DESCRIPTION.sql" in (failure.value.hint or "")


@pytest.mark.parametrize(
    ("down", "up"),
    [
        ("1_a.down.sql", "1_a.up.sql"),
        ("1_a.rollback.sql", "1_a.sql"),
        ("0001.a.rollback.sql", "0001.a.sql"),
        ("1-a.rollback.sql", "1-a.sql"),
        ("20230101_01_AbCdE-a.rollback.sql", "20230101_01_AbCdE-a.sql"),
    ],
)
def test_a_down_script_alone_is_told_which_up_script_is_missing(named, down, up):
    """Its name is right."""
    with pytest.raises(SourceError, match="there is no migration in") as failure:
        discover(named(down))

    assert failure.value.hint == f"{down!r} is a down script, and its up script, {up!r}, is missing"


def test_a_down_script_without_a_version_is_told_what_is_missing(named):
    """An up script of that name would not be read either."""
    with pytest.raises(SourceError, match="there is no migration in") as failure:
        discover(named("a.down.sql"))

    assert "name the files VERSION_DESCRIPTION.sql" in (failure.value.hint or "")


def test_sql_in_subdirectories_only_is_told_where_it_is(tmp_path):
    """A source whose SQL is one level deeper is an error that names the directories."""
    for year in ("2024", "2025"):
        (tmp_path / "m" / year).mkdir(parents=True)
        (tmp_path / "m" / year / "1_a.sql").write_text("SELECT 1;\n")

    with pytest.raises(SourceError) as failure:
        discover(tmp_path / "m")

    assert str(tmp_path / "m" / "2024") in (failure.value.hint or "")
    assert "2025" in (failure.value.hint or "")


def test_sql_is_looked_for_down_to_the_third_level(tmp_path):
    """A source that is the whole disk by mistake is not searched to its end."""
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c" / "d" / "1_a.sql").touch()
    assert directories_with_sql(tmp_path) == []

    (tmp_path / "a" / "b" / "c" / "1_a.sql").touch()

    assert directories_with_sql(tmp_path) == [str(tmp_path / "a" / "b" / "c")]
