"""What SQLAlchemy has of an SQLite database is accepted as one: an engine, a connection and a URL."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from shell import query
from sqlalchemy import StaticPool, create_engine, make_url, text
from sqlalchemy.orm import Session, sessionmaker

from torc_migrations import AsyncMigrator, errors, status, upgrade

COUNT = text("SELECT COUNT(*) FROM book")


def test_an_engine(here: Path, migrations: Path) -> None:
    """Its connection goes back to the pool, and works afterwards."""
    engine = create_engine(f"sqlite:///{here}/app.db")

    assert upgrade(engine, str(migrations)).applied == (1, 2, 3)
    with engine.connect() as connection:
        assert connection.execute(COUNT).scalar_one() == 0
    assert upgrade(engine, str(migrations)).applied == ()
    engine.dispose()
    assert query(here / "app.db", "PRAGMA integrity_check") == [("ok",)]


def test_an_engine_in_memory(migrations: Path) -> None:
    """What is migrated is the database of the engine, and no other one."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})

    assert upgrade(engine, str(migrations)).applied == (1, 2, 3)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO book (title) VALUES ('Emma')"))
    with engine.connect() as connection:
        assert connection.execute(COUNT).scalar_one() == 1
    engine.dispose()


def test_a_connection(here: Path, migrations: Path) -> None:
    """It stays open; one inside a transaction is refused."""
    engine = create_engine(f"sqlite:///{here}/app.db")
    with engine.connect() as connection:
        assert upgrade(connection, str(migrations)).applied == (1, 2, 3)
        assert connection.execute(COUNT).scalar_one() == 0
        with pytest.raises(errors.CannotOpen, match="is inside a transaction"):
            upgrade(connection, str(migrations))
        connection.rollback()
        assert status(connection, str(migrations)).clean
    engine.dispose()


@pytest.mark.parametrize("url", ["sqlite:///app.db", "sqlite+pysqlite:///app.db", "sqlite+aiosqlite:///app.db"])
def test_a_url(here: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """As an object and as a text; the driver is ours, whichever the application has."""
    monkeypatch.chdir(here)

    assert upgrade(make_url(url), str(migrations)).applied == (1, 2, 3)
    assert status(url, str(migrations)).clean
    assert (here / "app.db").exists()


def test_what_else_sqlalchemy_has_is_refused(here: Path, migrations: Path) -> None:
    """A session and what makes sessions are no database; the hint names what is."""
    engine = create_engine(f"sqlite:///{here}/app.db")

    for wrong in (Session(engine), sessionmaker(engine), StaticPool(lambda: None)):
        with pytest.raises(errors.UrlError, match="not <class 'sqlalchemy") as failure:
            status(wrong, str(migrations))  # type: ignore[arg-type]
        assert failure.value.hint == "pass the engine, as of Session.get_bind()"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_engine_in_an_async_program(here: Path, migrations: Path, backend: str) -> None:
    """The operation takes its connection in its own thread."""
    engine = create_engine(f"sqlite:///{here}/app.db")

    async def migrate() -> None:
        assert (await AsyncMigrator(engine, str(migrations)).upgrade()).applied == (1, 2, 3)

    anyio.run(migrate, backend=backend)
    with engine.connect() as connection:
        assert connection.execute(COUNT).scalar_one() == 0
    engine.dispose()
