"""Expectations are comments above queries; a comment that would be ignored is an error, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_shop import SHOP

from torc_migrations import errors
from torc_migrations.indexes.expectations import find_expectations, parse
from torc_migrations.sources.source import combine, discover


def test_a_file_holds_several(write):
    """Each query has a name, what it expects and refuses, and the line of its name."""
    one, two = parse(
        "x.sql",
        b"-- Orders.\n\n-- name: all\n-- refuse: SCAN\n-- refuse:  USE TEMP B-TREE \nSELECT ';';\n"
        b"--name:two\r\n--expect: SCAN job\r\nSELECT 2;\r\n",
    )

    assert (one.name, one.query, one.expects, one.line) == ("all", "SELECT ';'", (), 3)
    assert one.refuses == ("SCAN", "USE TEMP B-TREE")
    assert (two.name, two.expects, two.place) == ("two", ("SCAN job",), "x.sql:7")


def test_the_last_semicolon_may_be_missing():
    """As in any SQL file; other comments are ignored."""
    (only,) = parse("x.sql", b"-- Note: see there.\n-- name: a\n-- expect: SCAN t\n/* a: b */ SELECT * FROM t")

    assert only.query == "SELECT * FROM t"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("-- expect: SCAN t\nSELECT 1;", 2, "has no name"),
        ("-- name: a\nSELECT 1;", 2, "expects nothing"),
        ("-- name:\n-- expect: SCAN t\nSELECT 1;", 1, "has no value"),
        ("-- name: a\n-- expect:\nSELECT 1;", 2, "has no value"),
        ("-- name: a\n-- name: b\n-- expect: x\nSELECT 1;", 2, "second name"),
        ("-- name: a\n-- expects: SCAN t\nSELECT 1;", 2, "unknown word `-- expects:`"),
        ("-- name: a\n-- expect: x\nSELECT 1 -- refuse: SCAN\n;", 3, "must be above the query"),
        ("-- name: a\n-- expect: x\nSELECT\n-- refuse: SCAN\n1;", 4, "must be above the query"),
        ("-- name: a\n-- expect: x\nSELECT 1; -- refuse: SCAN\n", 3, "must be above the query"),
        ("-- name: a\n-- expect: x\nSELECT 1;\n-- name: b\n", 4, "no query below"),
    ],
)
def test_what_would_be_ignored_is_refused(text, line, reason):
    """A mistake in an expectation must not count as an expectation that holds."""
    with pytest.raises(errors.BadScript, match=reason) as failure:
        parse("shop/verify/x.sql", text.encode())

    assert failure.value.line == line
    assert str(failure.value).startswith(f"shop/verify/x.sql:{line}: ")
    assert failure.value.frame is not None


def test_a_misspelled_word_gets_a_suggestion():
    """The hint names the word that was meant."""
    with pytest.raises(errors.BadScript) as failure:
        parse("x.sql", b"-- name: a\n-- refused: SCAN\nSELECT 1;")

    assert failure.value.hint == "did you mean `-- refuse:`?"


def test_two_of_one_name_are_refused(write):
    """A finding is identified by its name, so a name is unique in all files."""
    source = write({**SHOP, "verify/again.sql": SHOP["verify/purchases.sql"]})

    with pytest.raises(
        errors.SourceError,
        match=r"two expectations are named 'purchases of a customer': in .*again\.sql:2 and in .*purchases\.sql:2",
    ):
        find_expectations(source)


@pytest.mark.parametrize("files", [{}, {"verify/readme.txt": "none"}, {"verify/empty.sql": "-- nothing yet\n"}])
def test_a_source_without_any_says_how_to_write_one(write, files):
    """Nothing to verify is an error: success would mean nothing."""
    source = write({"1_create.sql": "CREATE TABLE t (x);", **files})

    with pytest.raises(errors.SourceError) as failure:
        find_expectations(source)
    assert "-- expect:" in failure.value.hint


def test_a_file_that_is_not_text_is_refused(write, tmp_path: Path):
    """Files of expectations are read as migrations are."""
    source = write(SHOP)
    Path(source, "verify", "purchases.sql").write_bytes(b"-- name: \xff\n")

    with pytest.raises(errors.BadScript, match="is not UTF-8"):
        find_expectations(source)


def test_every_kind_of_source_has_them(write, monkeypatch, tmp_path: Path):
    """A directory, a path, a package, a source that was read already, and the shipped one."""
    source = write(SHOP)
    Path(source, "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    names = [
        [expectation.name for expectation in find_expectations(each)]
        for each in (source, Path(source), discover(source), "package:shop", combine((discover(source),)))
    ]

    assert names == [["purchases of a customer"]] * 5
    assert find_expectations(discover(None)) == find_expectations(None)


def test_combined_sources_have_the_expectations_of_all(write, tmp_path: Path):
    """Two directories that share a database are verified together; one of them may have no expectations."""
    first = write(SHOP)
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "3_more.sql").write_text("CREATE TABLE more (x);")
    combined = combine((discover(first), discover(tmp_path / "second")))

    assert [expectation.name for expectation in find_expectations(combined)] == ["purchases of a customer"]
