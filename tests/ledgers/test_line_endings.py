"""Files that differ in their line endings: named as such, and accepted in both forms once that was said."""

from __future__ import annotations

import pytest
from database_under_test import SQLiteUnderTest, ladder
from other_tools import sqlx_run

from torc_migrations import Migrator, errors, rollback, status, upgrade

UNIX = {name: text.encode() for name, text in ladder(2).items()}
FORMS = {
    "LF": UNIX,
    "CRLF": {name: text.replace(b"\n", b"\r\n") for name, text in UNIX.items()},
    "LF with a BOM": {name: b"\xef\xbb\xbf" + text for name, text in UNIX.items()},
    "CRLF with a BOM": {name: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n") for name, text in UNIX.items()},
}
PAIRS = [(one, two) for one in FORMS for two in FORMS if one != two]


@pytest.mark.parametrize(("installed", "checked_out"), PAIRS)
def test_the_error_names_the_repair(sqlite: SQLiteUnderTest, folder, installed, checked_out):
    """It says what differs, and the way that is not to restore the file."""
    source = folder(FORMS[installed])
    upgrade(sqlite.path, source)
    folder(FORMS[checked_out])

    with pytest.raises(errors.VersionMismatch) as failure:
        upgrade(sqlite.path, source)

    assert failure.value.line_endings
    assert "repair(1, line_endings=True)" in str(failure.value.hint)
    assert "torc-migrations repair 1 --line-endings" in str(failure.value.command_hint)


@pytest.mark.parametrize(("installed", "checked_out"), PAIRS)
def test_after_the_repair_both_forms_are_accepted(sqlite: SQLiteUnderTest, folder, installed, checked_out):
    """Two machines with one database and two forms of the files: neither is refused, nothing is written by either."""
    source = folder(FORMS[installed])
    upgrade(sqlite.path, source)
    folder(FORMS[checked_out])
    Migrator(sqlite.path, source).repair(line_endings=True)
    before = sqlite.path.read_bytes()

    for form in FORMS.values():
        folder(form)
        assert upgrade(sqlite.path, source).outcomes == ()
        assert status(sqlite.path, source).clean

    assert sqlite.path.read_bytes() == before


def test_the_listing_stays_that_of_sqlx(sqlite: SQLiteUnderTest, folder):
    """sqlx compares bytes, and so does the listing; a note says that the form is accepted."""
    source = folder(FORMS["LF"])
    upgrade(sqlite.path, source)
    folder(FORMS["CRLF"])
    Migrator(sqlite.path, source).repair(line_endings=True)
    folder(FORMS["LF"])

    found = status(sqlite.path, source)

    assert found.as_text().startswith("1/installed (different checksum) make t1\napplied migration had checksum ")
    assert found.notes == tuple(
        f"{version} differs in its line endings only, which `repair --line-endings` has accepted" for version in (1, 2)
    )


def test_an_accepted_form_does_not_accept_an_edit(sqlite: SQLiteUnderTest, folder):
    """What differs in a letter is refused as ever."""
    source = folder(FORMS["LF"])
    upgrade(sqlite.path, source)
    folder(FORMS["CRLF"])
    Migrator(sqlite.path, source).repair(line_endings=True)
    folder({"1_make_t1": UNIX["1_make_t1"] + b"-- edited\n"})

    with pytest.raises(errors.VersionMismatch) as failure:
        upgrade(sqlite.path, source)

    assert not failure.value.line_endings
    assert "restore the file" in str(failure.value.hint)


def test_what_is_applied_again_is_accepted_in_its_own_form_only(sqlite: SQLiteUnderTest, folder):
    """The acceptance is of what was installed then; rolled back and applied again, it is a new installation."""
    source = folder(FORMS["LF"])
    upgrade(sqlite.path, source)
    folder(FORMS["CRLF"])
    Migrator(sqlite.path, source).repair(line_endings=True)
    rollback(sqlite.path, source, target=0)
    upgrade(sqlite.path, source)
    folder(FORMS["LF"])

    with pytest.raises(errors.VersionMismatch):
        upgrade(sqlite.path, source)


@pytest.mark.parametrize("chosen", [(1,), (2,), ()])
def test_only_what_was_named_is_accepted(sqlite: SQLiteUnderTest, folder, chosen):
    """Each migration has its own acceptance."""
    source = folder(FORMS["LF"])
    upgrade(sqlite.path, source)
    folder(FORMS["CRLF"])

    Migrator(sqlite.path, source).repair(*chosen, line_endings=True)

    accepted = [not entry.refused for entry in status(sqlite.path, source).entries]
    assert accepted == [not chosen or version in chosen for version in (1, 2)]


def mixed(text: bytes, pattern: int) -> bytes:
    """Return a text whose lines end with CR and LF where the number has a bit."""
    lines = text.split(b"\n")
    ends = [b"\r\n" if pattern >> number & 1 else b"\n" for number in range(len(lines) - 1)]
    return b"".join(line + end for line, end in zip(lines, [*ends, b""], strict=True))


THREE_LINES = b"CREATE TABLE a (x);\n-- a comment\nINSERT INTO a VALUES ('one');\n"
PATTERNS = range(8)


@pytest.mark.parametrize("installed", PATTERNS)
@pytest.mark.parametrize("checked_out", PATTERNS)
def test_after_the_repair_every_mixture_is_accepted(sqlite: SQLiteUnderTest, folder, installed, checked_out):
    """Lines that end differently in one file: any other mixture is named as such, accepted, and refused no more."""
    source = folder({"1_a": mixed(THREE_LINES, installed)})
    upgrade(sqlite.path, source)
    folder({"1_a": mixed(THREE_LINES, checked_out)})
    if installed != checked_out:
        with pytest.raises(errors.VersionMismatch) as failure:
            upgrade(sqlite.path, source)
        assert failure.value.line_endings
    Migrator(sqlite.path, source).repair(line_endings=True)

    for pattern in PATTERNS if installed != checked_out else ():
        folder({"1_a": mixed(THREE_LINES, pattern)})
        assert upgrade(sqlite.path, source).outcomes == ()
        assert status(sqlite.path, source).clean

    folder({"1_a": mixed(THREE_LINES.replace(b"one", b"two"), checked_out)})
    with pytest.raises(errors.VersionMismatch) as failure:
        upgrade(sqlite.path, source)
    assert not failure.value.line_endings


def test_what_sqlx_has_applied_is_known_once_it_is_adopted(sqlite: SQLiteUnderTest, folder):
    """Its row has the checksum only; while the file is as it was, the next run writes the digest of its text."""
    source = folder({"1_a": mixed(THREE_LINES, 2)})
    sqlx_run(sqlite, source, "1_a")
    upgrade(sqlite.path, source)
    folder({"1_a": THREE_LINES})

    Migrator(sqlite.path, source).repair(line_endings=True)

    assert status(sqlite.path, source).clean
    assert upgrade(sqlite.path, source).outcomes == ()


def test_a_digest_is_of_one_checksum_only(sqlite: SQLiteUnderTest, folder):
    """An edit that was accepted replaces the text: the old one in other line endings is refused."""
    source = folder({"1_a": mixed(THREE_LINES, 2)})
    upgrade(sqlite.path, source)
    folder({"1_a": THREE_LINES + b"-- more"})
    Migrator(sqlite.path, source).repair(1, reason="a comment")
    folder({"1_a": THREE_LINES})

    with pytest.raises(errors.VersionMismatch) as failure:
        upgrade(sqlite.path, source)

    assert not failure.value.line_endings


def test_the_longest_comment_fits_into_yoyos_log(sqlite: SQLiteUnderTest, folder):
    """Its column holds 255 letters, which a server enforces."""
    source = folder({"1_a": THREE_LINES})
    table = '"' + "t" * 60 + '"'
    upgrade(sqlite.path, source, sqlx_table=table)
    folder({"1_a": mixed(THREE_LINES, 2)})

    Migrator(sqlite.path, source, sqlx_table=table).repair(1, reason="x" * 500)

    assert sqlite.execute("SELECT max(length(comment)) FROM _yoyo_log")[0][0] <= 255 - len("; after 1000000")
