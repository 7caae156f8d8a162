"""Reviews of books."""

import sqlalchemy
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create a table that refers to one of the migrations in SQL."""
    op.create_table(
        "review",
        sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
        sqlalchemy.Column("book", sqlalchemy.Integer, sqlalchemy.ForeignKey("book.id"), nullable=False),
        sqlalchemy.Column("text", sqlalchemy.Text),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("review")
