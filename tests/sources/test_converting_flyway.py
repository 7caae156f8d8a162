"""Files of Flyway become pairs; versions with dots become numbers in the same order; the rest is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torc_migrations import Migrator, convert, errors
from torc_migrations.sources.converting.flyway import integers_of

A, DROP_A = "CREATE TABLE a (x);\n", "DROP TABLE a;\n"


def _write(directory: Path, files: dict[str, str]) -> Path:
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"V1__a.sql": A}, {"1_a.sql": A}),
        ({"V001__Create a.sql": A, "U1__undo.sql": DROP_A}, {"1_Create_a.sql": A, "1_Create_a.rollback.sql": DROP_A}),
        ({"V1__a.sql": A, "V1.2__b_c.sql": "SELECT 2;\n"}, {"10_a.sql": A, "12_b_c.sql": "SELECT 2;\n"}),
        ({"V1_0__a.sql": A, "U1.0.0__a.sql": DROP_A}, {"1_a.sql": A, "1_a.rollback.sql": DROP_A}),
        (
            {"V1.2__a.sql": A, "V1.10__b.sql": "SELECT 2;\n", "V2__c.sql": "SELECT 3;\n"},
            {"102_a.sql": A, "110_b.sql": "SELECT 2;\n", "200_c.sql": "SELECT 3;\n"},
        ),
        ({"V9__a.sql": A, "V10__b.sql": "SELECT 2;\n"}, {"09_a.sql": A, "10_b.sql": "SELECT 2;\n"}),
        ({"V2023.01.31.1200__a.sql": A}, {"202313112" + "00_a.sql": A}),
        (
            {"V1__a.sql": A, "V1__a.sql.conf": "# why\nexecuteInTransaction=false\n", "README.md": "", "notes.sql": ""},
            {"1_a.sql": f"-- no-transaction\n-- transactional: false\n{A}"},
        ),
    ],
)
def test_versioned_and_undo_files_become_pairs(old, new, tmp_path):
    """The undo file of a version is its down script; other files are left alone."""
    conversion = convert(_write(tmp_path / "old", old), tmp_path / "new")

    assert {path.name: path.read_text() for path in (tmp_path / "new").iterdir()} == new
    assert conversion.tool == "Flyway"
    assert [migration.version for migration in conversion.migrations] == sorted(
        int(name.partition("_")[0]) for name in new if ".rollback." not in name
    )


@pytest.mark.parametrize(
    ("name", "text", "line", "reason"),
    [
        ("R__views.sql", "SELECT 1;", None, "runs again whenever its text changes"),
        ("B5__all.sql", "SELECT 1;", None, "a baseline script"),
        ("afterMigrate.sql", "SELECT 1;", None, "a callback"),
        ("beforeEachMigrate__log.sql", "SELECT 1;", None, "a callback"),
        ("V3__Code.java", "", None, "is no SQL"),
        ("U9__b.sql", "SELECT 1;", None, "no versioned migration"),
        ("V3__b.sql", "SELECT 1;\nSELECT '${name}';", 2, "replaces what is in ${ }"),
        ("V1__a.sql.conf", "outOfOrder=true\n", None, "a setting without equivalent: outOfOrder=true"),
        ("V99999999999999999999__b.sql", "SELECT 1;", None, "too many digits"),
        ("V3__b.sql", "SELECT '\0';", 1, "not UTF-8, or has a NUL"),
    ],
)
def test_what_has_no_equivalent_is_named(name, text, line, reason, tmp_path):
    """Each is named with its path; nothing is written."""
    old = _write(tmp_path / "old", {"V1__a.sql": A, name: text})

    with pytest.raises(errors.NotConvertible) as failure:
        convert(old, tmp_path / "new")

    (problem,) = failure.value.problems
    assert Path(problem.path).name == name.removesuffix(".conf")
    assert problem.line == line
    assert reason in problem.reason
    assert not (tmp_path / "new").exists()


def test_two_files_of_one_version_are_refused(tmp_path):
    """1 and 1.0 are one version, for Flyway too; also where the names of the new files would be the same."""
    for number, name in enumerate(("V1.0__b.sql", "V1.0__a.sql", "V01__a.sql")):
        with pytest.raises(errors.DuplicateVersion):
            convert(_write(tmp_path / str(number), {"V1__a.sql": A, name: A}))


def test_an_upgrade_from_such_a_directory_names_the_verb(tmp_path):
    """The refusal says what writes files that can be run."""
    old = _write(tmp_path / "old", {"V1__a.sql": A})

    with pytest.raises(errors.BadName) as failure:
        Migrator(tmp_path / "x.db", old).upgrade()

    assert "convert" in (failure.value.hint or "")
    assert "torc-migrations convert DIR --output NEW" in (failure.value.command_hint or "")


_VERSIONS = st.lists(st.integers(0, 2000), min_size=1, max_size=4).map(
    lambda parts: tuple(parts[: max((n for n, part in enumerate(parts, 1) if part), default=1)])
)


@given(st.sets(_VERSIONS, min_size=1, max_size=8))
def test_the_numbers_have_the_order_of_the_versions(versions):
    """Each version has a number of its own, and numbers compare as versions do."""
    integers = integers_of(versions)

    assert [integers[version] for version in sorted(versions)] == sorted(set(integers.values()))
    assert len(set(integers.values())) == len(versions)
    if all(len(version) == 1 for version in versions):
        assert all(integers[version] == version[0] for version in versions)
