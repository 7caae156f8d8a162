"""Alembic's environment: the migrations in SQL run first, and Alembic leaves their tables alone."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text, create_engine

from torc_migrations import upgrade

# What Alembic's revisions make; an application imports it from its models.
METADATA = MetaData()
BOOK = Table("book", METADATA, Column("id", Integer, primary_key=True), info={"migrated_by": "sql"})
REVIEW = Table(
    "review",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("book", Integer, ForeignKey(BOOK.c.id), nullable=False),
    Column("text", Text),
)


def is_of_alembic(_: object, name: str | None, kind: str, *__: object) -> bool:
    """Compare only the tables of the models that no migration in SQL makes."""
    return kind != "table" or (name in METADATA.tables and "migrated_by" not in METADATA.tables[name].info)


engine = create_engine(context.config.get_main_option("sqlalchemy.url") or "")
upgrade(engine, "migrations")
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=METADATA, include_object=is_of_alembic)
    with context.begin_transaction():
        context.run_migrations()
