"""Every spelling of a database's address, what it opens, and that no password is ever shown."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torc_migrations.errors import UrlError
from torc_migrations.url import Address, masked, parse_url

MEMORY = Address(None)
SPELLINGS = {
    # bare paths are taken as they are
    "torc.db": Address("torc.db"),
    "./torc.db": Address("./torc.db"),
    "/var/lib/torc.db": Address("/var/lib/torc.db"),
    "a#b.db": Address("a#b.db"),
    "a?mode=ro.db": Address("a?mode=ro.db"),
    "100%25.db": Address("100%25.db"),
    "./a:b.db": Address("./a:b.db"),
    "größe.db": Address("größe.db"),
    "with space.db": Address("with space.db"),
    "//server/share/torc.db": Address("//server/share/torc.db"),
    # one drive letter is no scheme
    "C:\\data\\torc.db": Address("C:\\data\\torc.db"),
    "C:/data/torc.db": Address("C:/data/torc.db"),
    # relative
    "sqlite:torc.db": Address("torc.db"),
    "sqlite://torc.db": Address("torc.db"),
    "sqlite:///torc.db": Address("torc.db"),
    "sqlite:./torc.db": Address("./torc.db"),
    "sqlite:///data/torc.db": Address("data/torc.db"),
    "sqlite:../torc.db": Address("../torc.db"),
    # absolute
    "sqlite:/var/lib/torc.db": Address("/var/lib/torc.db"),
    "sqlite:////var/lib/torc.db": Address("/var/lib/torc.db"),
    "sqlite:///C:/data/torc.db": Address("C:/data/torc.db"),
    "sqlite:C:\\data\\torc.db": Address("C:\\data\\torc.db"),
    # the scheme in every case, and yoyo's name of our backend
    "SQLite:///torc.db": Address("torc.db"),
    "torc+sqlite:///torc.db": Address("torc.db"),
    "TORC+SQLITE:////var/lib/torc.db": Address("/var/lib/torc.db"),
    # in memory
    ":memory:": MEMORY,
    "sqlite::memory:": MEMORY,
    "sqlite://:memory:": MEMORY,
    "sqlite:///:memory:": MEMORY,
    "sqlite:torc.db?mode=memory": MEMORY,
    "sqlite://?mode=memory": MEMORY,
    # percent-encoding, in URLs only
    "sqlite:///with%20space.db": Address("with space.db"),
    "sqlite:///a%3Fb%23c%25.db": Address("a?b#c%.db"),
    "sqlite:///gr%C3%B6%C3%9Fe.db": Address("größe.db"),
    "sqlite:///caf%E9.db": Address("caf\udce9.db"),
    "sqlite:///100%.db": Address("100%.db"),
    "sqlite:///a+b.db": Address("a+b.db"),
    "sqlite:///a#b.db": Address("a#b.db"),
    "sqlite:///me@home.db": Address("me@home.db"),
    "sqlite:%2Fvar%2Ftorc.db": Address("/var/torc.db"),
    # how it may be opened
    "sqlite:torc.db?mode=ro": Address("torc.db", "ro"),
    "sqlite:torc.db?mode=rw": Address("torc.db", "rw"),
    "sqlite:///torc.db?mode=rwc": Address("torc.db", "rwc"),
    "sqlite:///torc.db?": Address("torc.db"),
    "sqlite:///torc.db?&mode=ro&": Address("torc.db", "ro"),
    "sqlite:torc.db?mode=rw&cache=private": Address("torc.db", "rw"),
    "sqlite:torc.db?cache=shared": Address("torc.db"),
}
REFUSED = {
    "": "the database's address is empty",
    "a\0b.db": "a path cannot hold a NUL",
    "sqlite:///a%00b.db": "a path cannot hold a NUL",
    "sqlite:": "'sqlite:' names no file",
    "sqlite://": "'sqlite://' names no file",
    "sqlite:///": "'sqlite:///' names no file",
    "sqlite:?mode=ro": "'sqlite:?mode=ro' names no file",
    "sqlite:x.db?mode=wild": "unknown parameter 'mode=wild' in 'sqlite:x.db?mode=wild'",
    "sqlite:x.db?mode": "unknown parameter 'mode' in 'sqlite:x.db?mode'",
    "sqlite:x.db?cache=ro": "unknown parameter 'cache=ro' in 'sqlite:x.db?cache=ro'",
    "sqlite:x.db?vfs=unix": "unknown parameter 'vfs=unix' in 'sqlite:x.db?vfs=unix'",
    "sqlite:x.db?password=hunter2": "unknown parameter 'password=***' in 'sqlite:x.db?password=***'",
    "postgresql://me@host/db": "postgresql databases are not supported yet (postgresql://me@host/db)",
    "postgres://me:hunter2@host/db": "postgres databases are not supported yet (postgres://me:***@host/db)",
    "postgresql+psycopg://host/db": "postgresql+psycopg databases are not supported yet (postgresql+psycopg://host/db)",
    "MySQL://host/db": "mysql databases are not supported yet (MySQL://host/db)",
    "mariadb://host/db": "mariadb databases are not supported yet (mariadb://host/db)",
    "oracle://me:hunter2@host/db": "unknown scheme 'oracle' in 'oracle://me:***@host/db'",
    "file:torc.db": "unknown scheme 'file' in 'file:torc.db'",
    "sqlite3:///torc.db": "unknown scheme 'sqlite3' in 'sqlite3:///torc.db'",
    "a.b:c.db": "unknown scheme 'a.b' in 'a.b:c.db'",
    "me:hunter2@host/db": "unknown scheme 'me' in 'me:***@host/db'",
}
SECRETS = {
    "postgres://me:hunter2@host/db": "postgres://me:***@host/db",
    "postgres://:hunter2@host/db": "postgres://:***@host/db",
    "postgres://me:@host/db": "postgres://me:***@host/db",
    "postgres://me@host:5432/db": "postgres://me@host:5432/db",
    "postgres://host:5432/db": "postgres://host:5432/db",
    "postgres://me:hun@ter2@host/db": "postgres://me:***@host/db",
    "postgres://me:hun/ter2@host/db": "postgres://me:***@host/db",
    "postgres://me:hun?ter#2@host/db": "postgres://me:***@host/db",
    "postgres://me:hun:ter2@host/db": "postgres://me:***@host/db",
    "postgres://me:hun ter\n2@host/db": "postgres://me:***@host/db",
    "postgres://me:%68unter2@host/db": "postgres://me:***@host/db",
    "postgres://me:h@p/s?w&x=1@host/db": "postgres://me:***@host/db",
    "torc+sqlite://me:hunter2@host/db": "torc+sqlite://me:***@host/db",
    "me:hunter2@host/db": "me:***@host/db",
    "postgres://host/db?user=me&password=hunter2": "postgres://host/db?user=me&password=***",
    "postgres://host/db?PASSWORD=hunter2&sslmode=off": "postgres://host/db?PASSWORD=***&sslmode=off",
    "postgres://host/db?sslpassword=hunter2;a=b": "postgres://host/db?sslpassword=***;a=b",
    "mysql://host/db?passwd=a%26b": "mysql://host/db?passwd=***",
    "libsql://host?authToken=hunter2#part": "libsql://host?authToken=***#part",
    "sqlite:x.db?key=hunter2": "sqlite:x.db?key=***",
    "sqlite:///home/me@work/x.db": "sqlite:///home/me@work/x.db",
    "sqlite:me@home.db": "sqlite:me@home.db",
    "C:\\me@home\\x.db": "C:\\me@home\\x.db",
    "yoyo apply -d postgres://me:hunter2@host/db sql": "yoyo apply -d postgres://me:***@host/db sql",
}
# Whatever a person may have in a password; `&`, `;` and `#` would end it in a parameter.
SIGNS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="&;#\0"), min_size=1, max_size=12)


@pytest.mark.parametrize(("text", "address"), SPELLINGS.items())
def test_every_spelling_leads_somewhere(text, address):
    """Each spelling that yoyo, sqlx, SQLAlchemy or a shell gives a SQLite file opens what it says."""
    assert parse_url(text) == address


@pytest.mark.parametrize(("text", "sentence"), REFUSED.items())
def test_what_cannot_be_opened_is_said_in_a_sentence(text, sentence):
    """No spelling is taken for a file by accident, and none is shown with its password."""
    with pytest.raises(UrlError) as failure:
        parse_url(text)

    assert str(failure.value) == sentence
    assert failure.value.url == masked(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "say sqlite:///path/to/file.db"),
        ("sqlite:", "say sqlite:///path/to/file.db"),
        ("postgres://host/db", "SQLite is: sqlite:///path/to/file.db"),
        ("ab:c.db", "say sqlite:///path/to/file.db, or ./ before a file whose name has a colon"),
        ("sqlite:x.db?vfs=unix", "there is ?mode=ro, rw, rwc and memory"),
    ],
)
def test_a_refusal_shows_the_way_out(text, hint):
    """Whoever mistyped an address reads a right one."""
    with pytest.raises(UrlError) as failure:
        parse_url(text)

    assert failure.value.hint == hint


def test_three_slashes_are_relative(tmp_path, monkeypatch):
    """As with yoyo and SQLAlchemy, three slashes name a file below the current folder, be it there or not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.db").touch()

    assert parse_url("sqlite:///here.db") == Address("here.db")
    assert parse_url("sqlite:///new.db") == Address("new.db")


def test_three_slashes_before_an_absolute_path_are_refused(tmp_path, monkeypatch):
    """sqlx reads three slashes as absolute: where only that file exists, a second one is not created by mistake."""
    path = tmp_path / "there.db"
    path.touch()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UrlError) as failure:
        parse_url(f"sqlite://{path}")

    relative = str(path).removeprefix("/")
    assert str(failure.value) == (
        f"'sqlite://{path}' means the relative path {relative!r}, which does not exist, but {str(path)!r} does"
    )
    assert (
        failure.value.hint
        == f"say sqlite:///{path} for the absolute path, or sqlite:./{relative} to create the relative one"
    )


def test_three_slashes_are_relative_where_both_files_exist(tmp_path, monkeypatch):
    """Where the relative file is there, it is the one that is meant."""
    path = tmp_path / "both.db"
    path.touch()
    monkeypatch.chdir(tmp_path)
    relative = str(path).removeprefix("/")
    os.makedirs(os.path.dirname(relative))
    (tmp_path / relative).touch()

    assert parse_url(f"sqlite://{path}") == Address(relative)


@pytest.mark.parametrize("prefix", ["sqlite:", "sqlite://", ""])
def test_fewer_slashes_are_never_a_trap(tmp_path, monkeypatch, prefix):
    """What every tool reads as relative is relative, also where an absolute file of that name exists."""
    (tmp_path / "there.db").touch()
    monkeypatch.chdir(tmp_path)
    relative = str(tmp_path / "there.db").removeprefix("/")

    assert parse_url(prefix + relative) == Address(relative)


def test_four_slashes_are_never_a_trap(tmp_path, monkeypatch):
    """An absolute path is taken as it is, be the file there or not."""
    monkeypatch.chdir(tmp_path)

    assert parse_url(f"sqlite:///{tmp_path}/new.db") == Address(f"{tmp_path}/new.db")


@pytest.mark.parametrize(("url", "shown"), SECRETS.items())
def test_passwords_are_masked(url, shown):
    """A password is replaced wherever a URL may hold one, and what is none stays readable."""
    assert masked(url) == shown


@settings(max_examples=100, deadline=None)
@given(secret=SIGNS.map("hunter2".__add__), user=st.sampled_from(["", "me", "me.you", "%40"]))
def test_no_part_of_any_password_is_shown(secret, user):
    """Whatever signs a password is made of, also those that should have been encoded, none of it is left."""
    urls = [
        f"postgres://{user}:{secret}@host/db",
        f"postgres://host/db?password={secret}",
        f"x://{user}:{secret}@h?a=b",
    ]

    assert [masked(url) for url in urls] == [
        f"postgres://{user}:***@host/db",
        "postgres://host/db?password=***",
        f"x://{user}:***@h?a=b",
    ]


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="sqlite:/?%#@&=.+aC\\\0 é", max_size=24))
def test_every_text_is_an_address_or_an_error_of_ours(text):
    """Nothing that a person may type ends in an exception of Python's."""
    try:
        told = parse_url(text).name
    except UrlError as error:
        told = str(error)

    assert told


def test_a_database_in_memory_has_a_name():
    """Messages call a database by its file, or `:memory:`."""
    assert (Address("x.db").name, Address(None).name) == ("x.db", ":memory:")
