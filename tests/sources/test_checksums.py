"""sqlx's checksum, and the twins of a script that are the same to everybody but it."""

from __future__ import annotations

from hashlib import sha384
from itertools import product

import pytest

from torc_migrations.sources.checksums import checksum, same_but_for_line_endings

UNIX = b"CREATE TABLE t (a);\n\nSELECT 'a';\n"
WINDOWS = UNIX.replace(b"\n", b"\r\n")
MIXED = b"CREATE TABLE t (a);\r\n\nSELECT 'a';\n"
BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("sql", [b"", UNIX, WINDOWS, BOM + UNIX, "SELECT 'größe';".encode()])
def test_checksum_is_over_every_byte(sql):
    """Line endings and a byte order mark count, as they do for sqlx."""
    assert checksum(sql) == sha384(sql).digest()


def test_checksum_leaves_out_what_is_ignored():
    """The characters of sqlx.toml's `ignored-chars` are not hashed, also those of several bytes."""
    assert checksum(BOM + WINDOWS, "\ufeff\r\n \t") == sha384(b"CREATETABLEt(a);SELECT'a';").digest()


@pytest.mark.parametrize(("here", "there"), [*product([UNIX, WINDOWS, BOM + UNIX, BOM + WINDOWS], repeat=2)])
def test_twins_are_known(here, there):
    """The same text with other line endings, with or without a mark, is recognised in each direction."""
    assert same_but_for_line_endings(here, checksum(there))


@pytest.mark.parametrize("there", [UNIX.replace(b"a", b"b"), UNIX + b"\n", UNIX.rstrip(), UNIX.replace(b"\n", b"\r")])
def test_an_edit_is_no_twin(there):
    """One letter, one line more, one line end less: whatever else changes is an edit."""
    assert not same_but_for_line_endings(UNIX, checksum(there))


def test_mixed_line_endings_have_twins():
    """A file with both line endings is a twin of the pure ones, which is how it comes out of a checkout."""
    assert same_but_for_line_endings(MIXED, checksum(UNIX))
    assert same_but_for_line_endings(MIXED, checksum(WINDOWS))


def test_twins_are_compared_without_what_is_ignored():
    """Characters that are not hashed do not make a difference either."""
    assert same_but_for_line_endings(UNIX, checksum(WINDOWS.replace(b" ", b"\t"), " \t"), " \t")
