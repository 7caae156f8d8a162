"""Reading a source: what counts as a migration, in which layout, and what is refused by name."""

from __future__ import annotations

import os
import pickle
import socket
import zipfile
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256, sha384
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torc_migrations.errors import (
    BadDependency,
    BadName,
    BadScript,
    DuplicateVersion,
    MixedLayout,
    SourceError,
)
from torc_migrations.history.comparison import compare
from torc_migrations.history.records import Recorded
from torc_migrations.sources.files import SHIPPED
from torc_migrations.sources.migration import Script
from torc_migrations.sources.names import Layout
from torc_migrations.sources.source import combine, discover

# Recorded from sqlx-cli 0.8.6 and 0.9.0, which agree: a folder that holds this file alone, and what
# `sqlx migrate info` lists of it; None where it ends with BadName's sentence.
SQLX_LISTS = {
    "1_a.sql": "1/pending a\n",
    "0001_x.sql": "1/pending x\n",
    "00000000000000000000000001_a.sql": "1/pending a\n",
    "20251105030141_add_database_indexes.sql": "20251105030141/pending add database indexes\n",
    "123456789012345_fifteen.up.sql": "123456789012345/pending fifteen\n",
    "0_zero.sql": "0/pending zero\n",
    "-0_zero.sql": "0/pending zero\n",
    "-5_neg.sql": "-5/pending neg\n",
    "+5_pos.sql": "5/pending pos\n",
    "9223372036854775807_max.sql": "9223372036854775807/pending max\n",
    "-9223372036854775808_min.sql": "-9223372036854775808/pending min\n",
    "9223372036854775808_over.sql": None,
    "-9223372036854775809_under.sql": None,
    "+_x.sql": None,
    "_x.sql": None,
    "x_1.sql": None,
    "1 _a.sql": None,
    "\u0661_a.sql": None,
    "1_.sql": "1/pending \n",
    "1_.up.sql": "1/pending \n",
    "1_a_.sql": "1/pending a \n",
    "1__a__b.sql": "1/pending  a  b\n",
    "1_a b.sql": "1/pending a b\n",
    "1_ä ö.sql": "1/pending ä ö\n",
    "1_a.b.c.sql": "1/pending a.b.c\n",
    "1_up.sql": "1/pending up\n",
    "1_a.sql.sql": "1/pending a\n",
    "1_a.sql.up.sql": "1/pending a.sql\n",
    "1_a.up.sql.sql": "1/pending a.up\n",
    "1_a.up.sql.up.sql": "1/pending a\n",
    "1_a.down.up.sql": "1/pending a.down\n",
    "1_a.up.down.sql": "",
    "1_a.down.sql": "",
    "1_a.SQL": "",
    "1_a.sql.txt": "",
    "README.md": "",
    "schema.sql": "",
    "22-split.up.sql": "",
}


def versions(source) -> list[int]:
    """Return the versions of a source's migrations."""
    return [migration.version for migration in source.migrations]


@pytest.mark.parametrize(("name", "listing"), SQLX_LISTS.items())
def test_a_name_is_read_as_sqlx_reads_it(named, name, listing):
    """Version and description are those that the real sqlx lists, and what it refuses or ignores we do too."""
    folder = named(name, "7_anchor.up.sql")

    if listing is None:
        with pytest.raises(BadName) as failure:
            discover(folder)
        assert failure.value.name == name
    else:
        status = compare(discover(folder), Recorded())
        lines = [line for line in status.as_text().splitlines(keepends=True) if line != "7/pending anchor\n"]
        assert "".join(lines) == listing


@pytest.mark.skipif(os.name == "nt", reason="this system's names are text")
def test_a_name_that_is_not_utf8_is_marked_as_sqlx_marks_it(named):
    """Each byte that is not UTF-8 becomes a mark in id and description, so that both ledgers can hold them."""
    folder = named("1_caf\udce9.sql")

    (migration,) = discover(folder).migrations

    assert migration.id == "1_caf\N{REPLACEMENT CHARACTER}"
    assert migration.description == "caf\N{REPLACEMENT CHARACTER}"
    assert migration.up.sql == b"SELECT 1;\n"


@settings(max_examples=30, deadline=None)
@given(version=st.integers(-(2**63), 2**63 - 1), zeros=st.integers(0, 20))
def test_every_64_bit_number_is_a_version(tmp_path_factory, version, zeros):
    """Whatever fits into sqlx's column is a version, with leading zeros or without."""
    folder = tmp_path_factory.mktemp("migrations")
    sign, digits = ("-", str(-version)) if version < 0 else ("", str(version))
    (folder / f"{sign}{'0' * zeros}{digits}_x.sql").touch()

    assert versions(discover(folder)) == [version]


def test_order_is_by_number_not_by_name(named):
    """Ten comes after nine, whatever their letters say."""
    folder = named("10_c.sql", "9_b.sql", "007_a.sql", "-1_z.sql")

    assert versions(discover(folder)) == [-1, 7, 9, 10]


def test_yoyos_layout_pairs_sql_with_rollback(data):
    """`.rollback.sql` is the way back of the file of the same stem; one without it is irreversible."""
    source = discover(data / "yoyo")

    assert source.layout is Layout.YOYO
    assert [migration.id for migration in source.migrations] == ["1_create_author", "2_create_book", "3_add_title"]
    assert [migration.reversible for migration in source.migrations] == [True, True, False]
    assert source.migrations[0].down.sql == b"DROP TABLE author;\n"
    assert source.notes == ()


def test_sqlxs_layout_pairs_up_with_down(data):
    """`.up.sql` and `.down.sql` are a pair, and a simple `.sql` may stand among them."""
    source = discover(data / "sqlx")

    assert source.layout is Layout.SQLX
    assert [migration.id for migration in source.migrations] == ["1_create_author", "2_create_book", "3_add_title"]
    assert [migration.reversible for migration in source.migrations] == [True, True, False]
    assert source.migrations[1].down.sql == b"DROP TABLE book;\n"
    assert source.notes == ()


def test_both_layouts_are_the_same_migrations(data):
    """The same files under the names of the other layout have the same ids, versions, descriptions and checksums."""
    yoyo, sqlx = discover(data / "yoyo"), discover(data / "sqlx")

    assert [(m.id, m.hash, m.version, m.description, m.checksum) for m in yoyo.migrations] == [
        (m.id, m.hash, m.version, m.description, m.checksum) for m in sqlx.migrations
    ]


def test_sqlxs_halves_belong_together_by_version_alone(named):
    """sqlx pairs up and down by their number, whatever words and zeros stand in their names."""
    source = discover(named("1_create.up.sql", "01_drop.down.sql"))

    assert source.migrations[0].description == "create"
    assert Path(source.migrations[0].down.path).name == "01_drop.down.sql"


def test_yoyos_halves_belong_together_by_their_whole_stem(named):
    """yoyo never reads a rollback of another name, so it is no way back, and a note says so."""
    source = discover(named("1_create.sql", "1_drop.rollback.sql", "2_x.sql", "2_x.rollback.sql"))

    assert [migration.reversible for migration in source.migrations] == [False, True]
    assert len(source.notes) == 1
    assert source.notes[0].endswith("1_drop.rollback.sql is ignored: it has no up script")


def test_a_simple_folder_is_in_no_layout(data):
    """Without a single way back a folder is neither yoyo's nor sqlx's, and both read it alike."""
    source = discover(data / "simple")

    assert source.layout is Layout.SIMPLE
    assert versions(source) == [1, 2]
    assert not any(migration.reversible for migration in source.migrations)


def test_names_of_yoyo_folders_in_the_wild_are_read(data):
    """Version and description are found in every way in which yoyo's users, and yoyo itself, name files."""
    source = discover(data / "wild")

    assert [(m.id, m.version, m.description) for m in source.migrations] == [
        ("0001.create-author", 1, "create author"),
        ("002-create", 2, "create"),
        ("003__create", 3, "create"),
        ("20230101_01_AbCdE-add-a-title", 2023010101, "add a title"),
        ("20230101_02_fGh1J", 2023010102, ""),
    ]
    assert source.migrations[0].reversible


def test_mixed_layouts_are_refused(data):
    """A folder with ways back of both kinds is refused, and one file of each kind is named."""
    with pytest.raises(MixedLayout) as failure:
        discover(data / "mixed")

    assert failure.value.names == ("1_create_author.rollback.sql", "2_create_book.down.sql")


@pytest.mark.parametrize(
    "names",
    [
        ("01_b.sql", "1_a.sql"),
        ("1_a.sql", "1_a.up.sql"),
        ("+1_b.down.sql", "1_a.down.sql", "1_a.up.sql"),
        ("1.b.rollback.sql", "1_a.rollback.sql", "1_a.sql"),
    ],
)
def test_two_files_of_one_version_are_refused(named, names):
    """One version, one up file and one down file: both names are told."""
    with pytest.raises(DuplicateVersion) as failure:
        discover(named(*names))

    assert failure.value.version == 1
    assert failure.value.names == names[:2]


def test_duplicate_folder_is_refused(data):
    """Zeros before a number make no other version of it."""
    with pytest.raises(DuplicateVersion) as failure:
        discover(data / "duplicate")

    assert failure.value.names == ("01_create_book.sql", "1_create_author.sql")


def test_a_name_without_a_number_is_refused(data):
    """What sqlx refuses for its name is refused in the same sentence."""
    with pytest.raises(BadName) as failure:
        discover(data / "unnumbered")

    assert failure.value.name == "second_create_book.sql"


def test_in_yoyos_layout_a_name_without_underscore_is_refused(named):
    """sqlx would ignore it, but stock yoyo would run it, so nobody may overlook it."""
    folder = named("1_a.sql", "1_a.rollback.sql", "schema.sql")

    with pytest.raises(BadName) as failure:
        discover(folder)

    assert failure.value.name == "schema.sql"


def test_python_migrations_are_refused_by_name(data):
    """A migration that only yoyo can run is not passed over in silence."""
    with pytest.raises(BadScript) as failure:
        discover(data / "python")

    assert failure.value.path.endswith("2_fill_author.py")


def test_post_apply_hooks_are_no_migrations(data):
    """What yoyo runs after every apply is listed apart, and has no version."""
    source = discover(data / "post_apply")

    assert [migration.id for migration in source.migrations] == ["1_create_author"]
    assert [(hook.id, hook.up.path.endswith("post-apply.sql")) for hook in source.hooks] == [("post-apply", True)]
    assert source.notes == ()


def test_a_note_names_each_file_that_is_ignored(data):
    """What cannot be a migration is named, with the reason; sub-folders and what is hidden on purpose are not."""
    source = discover(data / "ignored")

    assert versions(source) == [1]
    no_name = "its name is not VERSION_DESCRIPTION.sql"
    assert {Path(path).name: why for path, why in (note.split(" is ignored: ") for note in source.notes)} == {
        "._1_create_author.up.sql": no_name,
        "22-split.up.sql": no_name,
        "3_drop_shelf.down.sql": "it has no up script",
        "4_create_shelf.SQL": no_name,
        "README.md": no_name,
    }


@pytest.mark.parametrize("before", range(2**16 - 4, 2**16 + 2))
def test_text_is_checked_wherever_it_stands(folder, before):
    """A long script is checked piece by piece, and a letter may lie across two pieces."""
    good, bad = (b"-" * before + letter for letter in ("\N{GRINNING FACE}".encode(), b"\xf0\x9f\x98"))

    assert discover(folder({"1_a": good})).migrations[0].up.sql == good
    with pytest.raises(BadScript) as failure:
        discover(folder({"1_a": bad}))

    assert f"is not UTF-8: byte 0xf0 at offset {before}" in str(failure.value)


def test_bytes_that_are_not_utf8_are_refused(data):
    """A text in another encoding is refused, with the place of its first wrong byte."""
    with pytest.raises(BadScript) as failure:
        discover(data / "not_utf8")

    assert (failure.value.line, failure.value.column) == (2, 34)
    assert "is not UTF-8: byte 0xeb at offset 79" in str(failure.value)


@pytest.mark.parametrize("before", [0, 65_533, 65_535, 65_536, 200_001])
def test_bytes_that_are_not_utf8_are_found_wherever_they_stand(tmp_path, before):
    """A large file is looked through piece by piece, and a letter that lies across two pieces is a letter."""
    (tmp_path / "1_a.sql").write_bytes(b"-" * before + "ö€🚀".encode() * 30_000 + b"\n")
    assert len(discover(tmp_path).migrations[0].up.sql) == before + 270_001

    for ending in (b"\xff", "🚀".encode()[:3]):
        (tmp_path / "1_a.sql").write_bytes(b"-" * before + "ö€🚀".encode() * 30_000 + ending)
        with pytest.raises(BadScript, match=f"at offset {before + 270_000}"):
            discover(tmp_path)


def test_a_nul_byte_is_refused(data):
    """A NUL, at which SQLite would silently stop reading, is refused with its place."""
    with pytest.raises(BadScript) as failure:
        discover(data / "nul")

    assert (failure.value.line, failure.value.column) == (2, 4)
    assert "holds a NUL byte" in str(failure.value)
    assert "\0" not in failure.value.frame


@pytest.mark.parametrize("situation", ["crlf", "bom", "trigger"])
def test_checksum_is_over_the_bytes_as_they_are(data, situation):
    """Byte order mark and carriage returns are hashed, and run, as they stand in the file."""
    (migration,) = discover(data / situation).migrations

    sql = Path(migration.up.path).read_bytes()
    assert migration.up.sql == sql
    assert migration.checksum == sha384(sql).digest()


def test_data_files_keep_their_bytes(data):
    """The repository has not been told to change line ends under the tests."""
    assert b"'good\r\nmorning'" in (data / "crlf" / "1_greet.sql").read_bytes()


def test_hash_is_yoyos(data):
    """yoyo's ledger is keyed by the SHA-256 of the id in hexadecimal."""
    migration = discover(data / "yoyo").migrations[0]

    assert migration.hash == sha256(b"1_create_author").hexdigest()


def test_directives_survive_a_byte_order_mark(data):
    """Where stock yoyo loses the line behind the mark, it is honoured."""
    (migration,) = discover(data / "bom").migrations

    assert migration.up.directives.transactional is False


def test_dependencies_on_earlier_migrations_are_read(data):
    """yoyo's `-- depends:` lines are kept, by id."""
    source = discover(data / "depends")

    assert source.migrations[2].depends == ("1_create_author", "2_create_shelf")
    assert source.migrations[0].depends == ()


@pytest.mark.parametrize(
    ("situation", "dependency", "reason"),
    [
        ("depends_unknown", "0_create_author", "is not in this directory"),
        ("depends_later", "2_create_author", "does not come before it"),
        ("depends_itself", "1_create_book", "does not come before it"),
    ],
)
def test_a_dependency_that_cannot_come_first_is_refused(data, situation, dependency, reason):
    """Order is the version's, so what a migration needs must have a lower one."""
    with pytest.raises(BadDependency) as failure:
        discover(data / situation)

    assert failure.value.dependency == dependency
    assert str(failure.value).endswith(reason)


def test_a_link_to_a_file_counts_as_a_file(named, tmp_path):
    """A migration may be a symbolic link to a file elsewhere."""
    (tmp_path / "elsewhere.sql").write_bytes(b"SELECT 2;")
    folder = named("1_a.sql")
    (folder / "2_b.sql").symlink_to(tmp_path / "elsewhere.sql")

    source = discover(folder)

    assert versions(source) == [1, 2]
    assert source.migrations[1].up.sql == b"SELECT 2;"


def test_a_link_that_leads_nowhere_is_refused(named):
    """A migration whose file is gone is not passed over in silence."""
    folder = named("1_a.sql")
    (folder / "2_b.sql").symlink_to(folder / "gone.sql")

    with pytest.raises(BadScript) as failure:
        discover(folder)

    assert failure.value.path == str(folder / "2_b.sql")


def test_folders_are_ignored_whatever_their_names(named, tmp_path):
    """A sub-folder is no migration, be it real or a link, and nothing in it is read; a note says so."""
    folder = named("1_a.sql")
    (folder / "2_b.sql").mkdir()
    (folder / "2_b.sql" / "x_y.sql").touch()
    (tmp_path / "elsewhere").mkdir()
    (folder / "3_c.sql").symlink_to(tmp_path / "elsewhere")

    source = discover(folder)

    assert versions(source) == [1]
    assert source.notes == tuple(f"{folder / name} is ignored: it is a directory" for name in ("2_b.sql", "3_c.sql"))


def test_a_missing_folder_is_an_error(tmp_path):
    """Where stock yoyo says nothing and ends well, a mistyped folder is told."""
    with pytest.raises(SourceError) as failure:
        discover(tmp_path / "nowhere")

    assert str(failure.value) == f"there is no directory {str(tmp_path / 'nowhere')!r}"


def test_an_empty_folder_is_an_error(tmp_path):
    """A folder without a migration in it is told."""
    (tmp_path / ".gitkeep").touch()

    with pytest.raises(SourceError) as failure:
        discover(tmp_path)

    assert str(failure.value) == f"there is no migration in {tmp_path}"


def test_a_file_as_folder_is_an_error(data):
    """Naming a migration instead of its folder is told."""
    path = str(data / "yoyo" / "1_create_author.sql")

    with pytest.raises(SourceError) as failure:
        discover(path)

    assert str(failure.value) == f"{path!r} is not a directory"


@pytest.mark.parametrize("source", ["", "a\0b"])
def test_an_impossible_path_is_an_error_of_ours(source):
    """No path, however odd, gets through as an exception of Python's."""
    with pytest.raises(SourceError):
        discover(source)


def test_down_scripts_are_not_read_by_discover(named):
    """A down script costs nothing, and hurts nobody, until it has to run."""
    folder = named("1_a.sql", "1_a.rollback.sql")
    (folder / "1_a.rollback.sql").write_bytes(b"\xff")

    (migration,) = discover(folder).migrations

    with pytest.raises(BadScript):
        _ = migration.down.sql


def test_a_script_is_read_once(named):
    """What was hashed is what will run, even if the file changes in between."""
    folder = named("1_a.sql")
    (migration,) = discover(folder).migrations
    (folder / "1_a.sql").write_bytes(b"SELECT 2;\n")

    assert migration.up.sql == b"SELECT 1;\n"


class Vanishing:
    """A folder, as importlib.resources hands them out, whose last file goes as soon as it has been listed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_dir(self) -> bool:
        """Tell that this is a folder."""
        return True

    def iterdir(self) -> Iterator[Path]:
        """List the files."""
        files = sorted(self.folder.iterdir())
        yield from files
        files[-1].unlink()


def test_a_file_that_vanishes_before_it_is_read_is_told(named):
    """A file that was listed and is gone is named, and not taken for an empty one."""
    folder = named("1_a.sql", "2_b.sql")

    with pytest.raises(BadScript) as failure:
        discover(Vanishing(folder))

    assert str(failure.value) == f"cannot read {folder / '2_b.sql'}: No such file or directory"


@pytest.mark.parametrize("as_source", [str, Path], ids=["text", "path"])
def test_a_folder_may_be_text_or_path(named, as_source):
    """Both spellings of a folder are the same source."""
    folder = named("1_a.sql")

    source = discover(as_source(folder))

    assert source.name == str(folder)
    assert versions(source) == [1]


def test_a_source_that_was_read_already_is_taken_as_it_is(data):
    """A source that was read can be passed on."""
    source = discover(data / "yoyo")

    assert discover(source) is source


def test_the_shipped_schema_is_the_default():
    """Without a source it is the torc schema, in yoyo's layout, every step of it with a way back."""
    source = discover()

    assert source.name == SHIPPED
    assert source.layout is Layout.YOYO
    assert source.migrations[-1].id == "20251105030141_add_database_indexes"
    assert all(migration.reversible for migration in source.migrations)
    assert source.notes == ()


def test_a_package_is_a_source(tmp_path, monkeypatch):
    """`package:name:folder` reads a folder inside a package, `package:name` the package itself."""
    folder = tmp_path / "library_of_books" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder.parent / "1_outer.sql").touch()
    (folder / "2_inner.sql").touch()
    monkeypatch.syspath_prepend(tmp_path)

    inner, outer = discover("package:library_of_books:migrations"), discover("package:library_of_books")

    assert (inner.name, versions(inner)) == ("package:library_of_books:migrations", [2])
    assert (versions(outer), outer.notes) == ([1], ())


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("package:no_such_library:sql", "there is no package 'no_such_library'"),
        ("package::sql", "there is no package ''"),
        ("package:.library:sql", "there is no package '.library'"),
        ("package:json:sql", "there is no directory "),
        ("package:json:decoder.py", "there is no directory "),
    ],
)
def test_a_package_that_is_not_there_is_an_error(source, sentence):
    """A mistyped package or folder is told, with the right spelling."""
    with pytest.raises(SourceError) as failure:
        discover(source)

    assert str(failure.value).startswith(sentence)
    assert failure.value.hint == "write package:NAME:DIRECTORY"


@pytest.fixture
def archive(tmp_path) -> Path:
    """A zip that holds a package, which holds a folder of migrations."""
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("zipped_library/__init__.py", "")
        file.writestr("zipped_library/sql/2_b.sql", "SELECT 2;\r\n")
        file.writestr("zipped_library/sql/1_a.sql", "SELECT 1;")
        file.writestr("zipped_library/sql/1_a.rollback.sql", "SELECT -1;")
        file.writestr("zipped_library/sql/old/3_c.sql", "SELECT 3;")
    return path


def test_a_folder_inside_a_zip_is_a_source(archive):
    """Whatever importlib.resources can list is a source, also where there is no file system."""
    source = discover(zipfile.Path(archive, "zipped_library/sql/"))

    assert versions(source) == [1, 2]
    assert source.migrations[0].down.sql == b"SELECT -1;"
    assert source.migrations[1].up.sql == b"SELECT 2;\r\n"


def test_a_package_inside_a_zip_is_a_source(archive, monkeypatch):
    """A program that is shipped as one zip finds its migrations."""
    monkeypatch.syspath_prepend(archive)

    source = discover("package:zipped_library:sql")

    assert versions(source) == [1, 2]


def test_a_name_too_long_for_any_folder_is_refused(tmp_path):
    """A number of thousands of digits, as only a zip can name, is refused like any other that is too big."""
    name = "0" * 5000 + "1_a.sql"
    with zipfile.ZipFile(tmp_path / "long.zip", "w") as file:
        file.writestr(f"sql/{name}", "")

    with pytest.raises(BadName) as failure:
        discover(zipfile.Path(tmp_path / "long.zip", "sql/"))

    assert failure.value.name == name


def test_a_migration_survives_pickle(data):
    """A migration can go to another process, with the text that was read."""
    (migration,) = discover(data / "crlf").migrations

    copy = pickle.loads(pickle.dumps(migration))

    assert (copy.id, copy.checksum) == (migration.id, migration.checksum)
    assert copy.up.sql == migration.up.sql
    assert copy.down.sql == migration.down.sql


def test_a_bad_directive_names_its_file(tmp_path):
    """A directive's wrong value is an error of the file it stands in."""
    path = tmp_path / "1_a.sql"
    path.write_bytes(b"-- transactional: no\n")

    with pytest.raises(BadScript) as failure:
        _ = Script(str(path)).directives

    assert str(failure.value) == f"{path}: `-- transactional:` takes true or false, not 'no'"


def test_several_sources_of_one_database_are_one(tmp_path):
    """Combined sources hold the migrations of all of them by version, in the layout that any of them has."""
    for name in ("one/1_a.sql", "one/4_d.sql", "two/2_b.sql", "two/2_b.rollback.sql", "three/3_c.sql"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()

    source = combine(tuple(discover(tmp_path / name) for name in ("one", "two", "three")))

    assert versions(source) == [1, 2, 3, 4]
    assert source.layout is Layout.YOYO


def test_sources_that_clash_cannot_be_combined(data):
    """Two sources of one database must share their layout and none of their versions."""
    yoyo, sqlx, simple = (discover(data / name) for name in ("yoyo", "sqlx", "simple"))

    with pytest.raises(MixedLayout) as mixed:
        combine((sqlx, yoyo))
    with pytest.raises(DuplicateVersion) as duplicate:
        combine((yoyo, simple))

    assert mixed.value.names == (yoyo.name, sqlx.name)
    assert duplicate.value.version == 1


def test_reprs_are_short(data):
    """A script or a migration in a traceback does not pour out its text."""
    migration = discover(data / "gap").migrations[0]

    assert repr(migration) == "Migration('1_create_author')"
    assert repr(migration.up) == f"Script({migration.up.path!r})"


@pytest.mark.parametrize("name", ["2_b.SQL", ".2_b.sql", "._1_a.sql"])
def test_script_that_only_another_tool_or_system_would_read_is_a_note_of_upgrade(tmp_path, name):
    """sqlx passes over it without a word, and stock yoyo runs what is hidden."""
    for each in ("1_a.sql", name):
        (tmp_path / each).write_text("SELECT 1;")

    assert discover(tmp_path).warnings == (f"{tmp_path / name} is ignored: its name is not VERSION_DESCRIPTION.sql",)


def make_no_file(path: Path, kind: str) -> None:
    """Make what is no file."""
    if kind == "a directory":
        path.mkdir()
    elif kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a socket":
        with closing(socket.socket(socket.AF_UNIX)) as server:
            server.bind(str(path))
    else:
        path.symlink_to("/dev/null")


@pytest.mark.parametrize("kind", ["a directory", "a FIFO", "a socket", "a device"])
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("name", ["2_b.sql", "1_a.rollback.sql", "post-apply.sql", "b.sql"])
def test_what_is_no_file_is_ignored_with_a_note(named, monkeypatch, kind, linked, name):
    """sqlx ignores it too; a FIFO would make its reader wait for a writer. An upgrade says so as well."""
    source = named("1_a.sql")
    monkeypatch.chdir(source)  # the path of a socket is short
    make_no_file(Path("elsewhere" if linked else name), kind)
    if linked:
        Path(name).symlink_to("elsewhere")

    found = discover(source)

    assert [migration.id for migration in found.migrations] == ["1_a"]
    assert (found.hooks, found.migrations[0].down) == ((), None)
    assert f"{source / name} is ignored: it is {kind}" in found.notes
    assert f"{source / name} is ignored: it is {kind}" in found.warnings


def test_directories_and_hidden_names_without_sql_have_no_note(named):
    """They are no scripts by their names."""
    source = named("1_a.sql")
    (source / "archive").mkdir()

    assert discover(source).notes == ()
