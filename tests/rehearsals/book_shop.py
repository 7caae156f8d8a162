"""A shop of three tables, and a rebuild of the first."""

from __future__ import annotations

MAKE = (
    "CREATE TABLE shelf (id INTEGER PRIMARY KEY, name TEXT);\n"
    "CREATE TABLE book (id INTEGER PRIMARY KEY, shelf REFERENCES shelf ON DELETE CASCADE, title TEXT);\n"
    "CREATE TABLE loan (book REFERENCES book ON DELETE CASCADE);\n"
    "INSERT INTO shelf VALUES (1, 'a'), (2, 'b');\n"
    "INSERT INTO book VALUES (1, 1, 'x'), (2, 1, 'y'), (3, 2, 'z');\n"
    "INSERT INTO loan VALUES (1), (2), (3), (3);\n"
)
MADE = {"1_make_shop": MAKE, "1_make_shop.rollback": "DROP TABLE loan;\nDROP TABLE book;\nDROP TABLE shelf;\n"}
REBUILD = (
    "CREATE TABLE shelf_new (id INTEGER PRIMARY KEY, label TEXT);\n"
    "INSERT INTO shelf_new SELECT id, name FROM shelf;\n"
    "DROP TABLE shelf;\n"
    "ALTER TABLE shelf_new RENAME TO shelf;\n"
)
