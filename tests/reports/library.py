"""Migrations of a lending library, a database with rows for them, and names that try to get out of a report."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from shell import write_files

from torc_migrations import upgrade

LIBRARY = {
    "1_create_library.sql": """
        CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
        CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, author INTEGER REFERENCES author (id), isbn TEXT);
        CREATE TABLE loan (id INTEGER PRIMARY KEY, book INTEGER NOT NULL REFERENCES book (id), reader TEXT, due TEXT);
        CREATE TABLE old_loan (id INTEGER PRIMARY KEY, book TEXT);
        CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT);
        CREATE INDEX idx_loan_reader ON loan (reader);
        CREATE VIEW open_loan AS SELECT loan.id, title FROM loan JOIN book ON book.id = loan.book;
    """,
    "1_create_library.rollback.sql": """
        DROP VIEW open_loan; DROP TABLE loan; DROP TABLE book; DROP TABLE author; DROP TABLE old_loan;
        DROP TABLE setting;
    """,
    "2_add_reservations.sql": """
        CREATE TABLE reservation (id INTEGER PRIMARY KEY, book INTEGER NOT NULL REFERENCES book (id));
        ALTER TABLE author RENAME COLUMN name TO full_name;
        ALTER TABLE author ADD COLUMN email TEXT;
    """,
    "2_add_reservations.rollback.sql": """
        ALTER TABLE author DROP COLUMN email;
        ALTER TABLE author RENAME COLUMN full_name TO name;
        DROP TABLE reservation;
    """,
    "3_require_titles.sql": """
        CREATE TABLE new_book (id INTEGER PRIMARY KEY, title TEXT NOT NULL, author INTEGER REFERENCES author (id));
        INSERT INTO new_book SELECT id, title, author FROM book WHERE title IS NOT NULL;
        DROP VIEW open_loan;
        DROP TABLE book;
        ALTER TABLE new_book RENAME TO book;
        DELETE FROM loan WHERE book NOT IN (SELECT id FROM book);
        CREATE VIEW open_loan AS SELECT loan.id, title FROM loan JOIN book ON book.id = loan.book WHERE due IS NULL;
    """,
    "4_drop_old_loans.sql": """
        DROP TABLE old_loan;
        ALTER TABLE setting RENAME TO preference;
        DROP INDEX idx_loan_reader;
        CREATE INDEX idx_book_author ON book (author);
    """,
    "4_drop_old_loans.rollback.sql": "SELECT 1;",
    "verify/queries.sql": """
        -- name: loans of a reader
        -- expect: SEARCH loan
        SELECT * FROM loan WHERE reader = :reader;

        -- name: books of an author
        -- expect: SEARCH book
        SELECT * FROM book WHERE author = :author;

        -- name: author by id
        -- expect: SEARCH author
        SELECT * FROM author WHERE id = :id;

        -- name: reservations of a book
        -- expect: SCAN reservation
        SELECT * FROM reservation WHERE book = :book;
    """,
}
QUERIES = "SELECT name FROM author WHERE id = ?;\nSELECT title FROM book WHERE id = ?;\n"
ROWS = """
    INSERT INTO author (name) VALUES ('a'), ('b');
    INSERT INTO book (title, author) VALUES ('x', 1), (NULL, 2), ('z', 1);
    INSERT INTO loan (book, reader) VALUES (1, 'r'), (2, 'r'), (3, 's'), (3, 't');
    INSERT INTO old_loan (book) VALUES ('x'), ('y');
    INSERT INTO setting VALUES ('a', 'b');
"""
# What a name, a text or a file may have in it.
HOSTILE = (
    "<script>alert(1)</script>",
    "</style></svg></script><img src=x onerror=alert(2)>",
    '"]:::added',
    "`code` ``` ~~~",
    "a | b | c",
    "two\nlines\n\n# heading\n- item",
    "end",
    "%%{init: {'theme': 'dark'}}%%",
    "right \u202eto left\u2066",
    "שלום العالم",
    "@everyone #1 www.example.org http://example.org",
    "[link](javascript:alert(3)) ![i](x) <b>&amp;&#60;",
    "{{ 7 * 7 }} {% raw %} ${x} $$",
    "-- > --> <!-- ]]>",
    "1. one",
    "\x1b[31mred\x07",
)


def library(directory: Path) -> tuple[Path, Path]:
    """Write the migrations, install the first one, with rows, and return the database and the source."""
    source = write_files(directory / "migrations", LIBRARY)
    (directory / "queries.sql").write_text(QUERIES)
    upgrade(directory / "app.db", source, target=1)
    insert(directory / "app.db", ROWS)
    return directory / "app.db", source


def insert(database: Path, rows: str) -> None:
    """Run statements on a database."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(rows)


def hostile(directory: Path) -> tuple[Path, Path]:
    """Return a database and a source in which every name is hostile: tables, columns, indexes, files, and an error."""
    quoted = ['"' + name.replace('"', '""') + '"' for name in HOSTILE]
    first = "".join(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {name} TEXT);\n" for name in quoted)
    first += f"CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES {quoted[0]} (id));\n"
    second = "".join(
        f"ALTER TABLE {name} ADD COLUMN {quoted[(place + 1) % len(quoted)]} TEXT;\n"
        f'CREATE INDEX "i {name[1:]} ON {name} (id);\nINSERT INTO {name} DEFAULT VALUES;\n'
        for place, name in enumerate(quoted)
    )
    third = "".join(f"DROP TABLE {name};\n" for name in quoted[:6]) + "DROP TABLE child;\n"
    files = {
        "1_first.sql": first,
        "2_<script>alert(4)<\u2215script>`|].sql": second,
        "3_\u202ethird.sql": third,
        "4_fails.sql": f"SELECT * FROM {quoted[1].replace('<', '<x')};\n",
        "verify/hostile.sql": "".join(
            f"-- name: {name.encode('unicode_escape').decode()}\n-- expect: SCAN\nSELECT count(*) FROM {sql};\n\n"
            for name, sql in zip(HOSTILE, quoted, strict=True)
        ),
    }
    source = write_files(directory / "migrations", files)
    upgrade(directory / "app.db", source, target=1)
    return directory / "app.db", source
