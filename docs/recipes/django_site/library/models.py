"""The tables of the migrations in SQL, as models."""

from django.db import models


class Book(models.Model):
    """The table `book`, which Django's own migrations leave alone."""

    title = models.TextField()

    class Meta:
        """Where the rows are."""

        db_table = "book"
        managed = False
