"""Every spelling of a database's address, what it opens, and that no password is ever shown."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torc_migrations.databases.servers.parameters import to_pyformat
from torc_migrations.databases.servers.urls import ServerUrl, parse_server_url
from torc_migrations.databases.urls import Address, parse_url
from torc_migrations.errors import NotSupported, UrlError
from torc_migrations.formatting import masked

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
    "oracle://me:hunter2@host/db": "unknown scheme 'oracle' in 'oracle://me:***@host/db'",
    "postgresql+oracle://host/db": "unknown scheme 'postgresql+oracle' in 'postgresql+oracle://host/db'",
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
        ("", "use sqlite:///path/to/file.db"),
        ("sqlite:", "use sqlite:///path/to/file.db"),
        ("  ", "use sqlite:///path/to/file.db"),
        ("'sqlite:///x.db'", "remove them"),
        ('"x.db"', "remove them"),
        (
            "ab:c.db",
            "use sqlite:///FILE, postgresql://HOST/NAME or mysql://HOST/NAME; or ./ before a file with a colon",
        ),
        ("sqlte:///x.db", "did you mean sqlite://?"),
        ("postgress://h/x", "did you mean postgres://?"),
        ("sqlite:x.db?vfs=unix", "there is ?mode=ro, rw, rwc and memory"),
    ],
)
def test_a_refusal_shows_the_way_out(text, hint):
    """After a mistyped address the hint shows a right one."""
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
        == f"use sqlite:///{path} for the absolute path, or sqlite:./{relative} to create the relative one"
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


def test_an_address_without_its_colon_is_not_taken_for_a_path():
    """The password in it is not shown, and the hint has the colon."""
    with pytest.raises(UrlError) as failure:
        parse_url("postgresql//ann:hunter2@h/app")

    assert str(failure.value) == "there is no colon after 'postgresql' in the address"
    assert failure.value.hint == "write postgresql://ann:***@h/app"
    assert "hunter2" not in failure.value.url


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


SERVERS = {
    "postgresql://": ServerUrl("postgresql"),
    "postgresql:///app": ServerUrl("postgresql", database="app"),
    "postgres://host": ServerUrl("postgres", (("host", ""),)),
    "postgresql+psycopg://me@host:5433/app": ServerUrl("postgresql+psycopg", (("host", "5433"),), "me", "", "app"),
    "postgresql://me:h%40p%2Fs@host/a%20b": ServerUrl("postgresql", (("host", ""),), "me", "h@p/s", "a b"),
    "postgresql://a:1,b,c:3/app": ServerUrl("postgresql", (("a", "1"), ("b", ""), ("c", "3")), database="app"),
    "postgresql://[::1]:5433,[fe80::2]/app": ServerUrl(
        "postgresql", (("::1", "5433"), ("fe80::2", "")), database="app"
    ),
    "postgresql://%2Frun%2Fpg/app": ServerUrl("postgresql", (("/run/pg", ""),), database="app"),
    "postgresql:///app?host=/run/pg&port=5433": ServerUrl("postgresql", (("/run/pg", "5433"),), database="app"),
    "postgresql://localhost:5/app?host=/run/pg": ServerUrl("postgresql", (("/run/pg", ""),), database="app"),
    "postgresql:///app?host=a,b&port=1,2": ServerUrl("postgresql", (("a", "1"), ("b", "2")), database="app"),
    "postgresql:///app?host=a:1&host=b:2": ServerUrl("postgresql", (("a", "1"), ("b", "2")), database="app"),
    "postgresql:///app?host=a,b&port=5": ServerUrl("postgresql", (("a", "5"), ("b", "5")), database="app"),
    "postgresql://a,b:2/app?port=1": ServerUrl("postgresql", (("a", "1"), ("b", "2")), database="app"),
    "postgresql:///app?port=1": ServerUrl("postgresql", (("", "1"),), database="app"),
    "postgresql:///?user=me&password=x&dbname=app": ServerUrl("postgresql", (), "me", "x", "app"),
    "mysql://me:x@host/app?charset=utf8mb4": ServerUrl(
        "mysql", (("host", ""),), "me", "x", "app", {"charset": "utf8mb4"}
    ),
}
WRONG_SERVERS = {
    "postgresql://host:x/app": "'postgresql://host:x/app' has a port that is no number from 1 to 65535",
    "postgresql://host:99999/app": "'postgresql://host:99999/app' has a port that is no number from 1 to 65535",
    "postgresql:///app?port=-1": "'postgresql:///app?port=-1' has a port that is no number from 1 to 65535",
    "postgresql://[::1/app": "'postgresql://[::1/app' has an address without its closing bracket",
    "postgresql://me:hunter2@host/a%00b": "'postgresql://me:***@host/a%00b' holds a NUL",
}


@pytest.mark.parametrize("url", SERVERS)
def test_urls_of_servers_are_read_in_their_parts(url):
    """Host, port, user, password, database and parameters are found wherever drivers and tools write them."""
    found = parse_server_url(url)

    assert found._replace(name="") == SERVERS[url]
    assert "hunter2" not in found.name


@pytest.mark.parametrize("url", WRONG_SERVERS)
def test_wrong_urls_of_servers_are_refused(url):
    """What cannot be read is an error, in which a password is masked."""
    with pytest.raises(UrlError) as refusal:
        parse_server_url(url)

    assert str(refusal.value) == WRONG_SERVERS[url]


def test_parameters_that_the_driver_does_not_take_are_refused():
    """An unknown parameter is an error that lists the others; one that means nothing here is left out."""
    assert parse_server_url("mysql://h/a?b=1&c=2", known=("b",), ignored=("c",)).parameters == {"b": "1"}
    with pytest.raises(UrlError) as refusal:
        parse_server_url("mysql://h/a?d=1", known=("b", "c"))

    assert (str(refusal.value), refusal.value.hint) == (
        "unknown parameter 'd' in 'mysql://h/a?d=1'",
        "there is b and c",
    )


def test_only_sqlite_has_a_path():
    """Where a file is needed, the URL of a server is refused as what it is."""
    with pytest.raises(NotSupported) as refusal:
        parse_url("postgres://me:hunter2@host/db")

    assert str(refusal.value) == "postgres://me:***@host/db: this works with SQLite only"


@pytest.mark.parametrize(
    ("sql", "written"),
    {
        "SELECT :a, :b_1": "SELECT %(a)s, %(b_1)s",
        "SELECT ':a', \":a\", `:a`, x::text": "SELECT ':a', \":a\", `:a`, x::text",
        "SELECT 'it''s :a' LIKE '%' || :a": "SELECT 'it''s :a' LIKE '%%' || %(a)s",
        'DELETE FROM "a%:b" WHERE a = :a': 'DELETE FROM "a%%:b" WHERE a = %(a)s',
    }.items(),
)
def test_parameters_are_written_as_drivers_of_servers_want_them(sql, written):
    """A name behind a colon is a parameter, unless it stands in quotes or behind a cast."""
    assert to_pyformat(sql) == written
