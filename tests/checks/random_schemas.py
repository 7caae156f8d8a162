"""Draw schemas of SQLite with most of what a schema can have."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

_NAMES = ("{}", '"{}"', "[{}]", "`{}`")
_TABLES = (
    *("t", "T", "ä", "a b", "order", "xy"),
    *("😀", 'a"b', "it's", "a]b", "a`b", "new\nline", "a;--b", "/*", "a.b"),
)
_TYPES = ("INTEGER", "TEXT", "REAL", "BLOB", "ANY")
_CHECKS = ("", " NOT NULL", " DEFAULT 'a;b'", " DEFAULT (1 + 1)", " UNIQUE", " CHECK ({} <> '--')", " COLLATE NOCASE")
_COMMENTS = ("", " -- a comment; with a semicolon\n", " /* a 'comment' */ ", "\n")
_VALUES = (
    *("1", "2.5", "'it''s'", "x'00ff'", "'a' || char(0) || 'b'", "NULL", "'a\nb;'", "1e300", "9e999", "-9e999"),
    *("CAST(x'ff27' AS TEXT)", "CAST(x'80' AS TEXT)"),
)
_ENDS = ("", " -- the end", " /* the end */", " -- the end;\n", "\n")


def draw_schema(random: Random) -> list[str]:
    """Return statements that can run one after the other."""
    names = [f"{random.choice(_TABLES)}{number}" for number in range(random.randint(1, 6))]
    tables = {name: [f"c{number}" for number in range(random.randint(1, 4))] for name in names}
    return [
        *(_table(random, name, tables) for name in tables),
        *_indexes(random, tables),
        *_views(random, tables),
        *_triggers(random, tables),
        *(("CREATE VIRTUAL TABLE words USING fts5 (word)",) if random.random() < 0.2 else ()),
        *((f"PRAGMA user_version = {random.randint(1, 9)}",) if random.random() < 0.3 else ()),
        *_rows(random, tables),
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _written(random: Random, name: str) -> str:
    """Return a name in one of the ways in which it can be quoted, or not."""
    return random.choice(_NAMES).format(name) if name.isidentifier() and name != "order" else _quoted(name)


def _table(random: Random, name: str, tables: dict[str, list[str]]) -> str:
    strict = random.random() < 0.3
    types = _TYPES if strict else (*_TYPES, "", "VARCHAR(10)", "decimal(4, 2)")
    parts = [
        f"{column} {random.choice(types)}{random.choice(_CHECKS).format(column)}{random.choice(_COMMENTS)}"
        for column in tables[name]
    ]
    parts.insert(0, random.choice(("id INTEGER PRIMARY KEY", "id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL")))
    if random.random() < 0.3:
        parts.append(f"g TEXT GENERATED ALWAYS AS (id || 'x') {random.choice(('STORED', 'VIRTUAL'))}")
    if random.random() < 0.5:
        parent = random.choice(list(tables))
        parts.append(f"FOREIGN KEY ({tables[name][0]}) REFERENCES {_quoted(parent)} (id) ON DELETE CASCADE")
    without = random.random() < 0.2 and "AUTOINCREMENT" not in parts[0]
    options = ", ".join((*(("STRICT",) if strict else ()), *(("WITHOUT ROWID",) if without else ())))
    return f"CREATE TABLE {_written(random, name)}{random.choice(_COMMENTS)}({', '.join(parts)}) {options}"


def _indexes(random: Random, tables: dict[str, list[str]]) -> Iterator[str]:
    for number in range(random.randint(0, 4)):
        name = random.choice(list(tables))
        column = random.choice(tables[name])
        what = random.choice((column, f"lower({column})", f"{column} DESC, id"))
        where = random.choice(("", f" WHERE {column} IS NOT NULL", f" WHERE {column} <> '--'"))
        yield f"CREATE INDEX i{number} ON {_quoted(name)} ({what}){where}{random.choice(_ENDS)}"


def _views(random: Random, tables: dict[str, list[str]]) -> Iterator[str]:
    known = list(tables)
    for number in random.sample(range(5), random.randint(0, 4)):
        source = random.choice(known)
        end = random.choice(_COMMENTS) + random.choice(_ENDS)
        yield f"CREATE VIEW v{number} AS SELECT * FROM {_quoted(source)}{end}"
        known.append(f"v{number}")


def _triggers(random: Random, tables: dict[str, list[str]]) -> Iterator[str]:
    for number in range(random.randint(0, 3)):
        name = random.choice(list(tables))
        event = random.choice(("AFTER INSERT", "BEFORE DELETE", f"AFTER UPDATE OF {tables[name][0]}"))
        yield (
            f"CREATE TRIGGER g{number} {event} ON {_quoted(name)} WHEN 1 = 0 BEGIN\n"
            f"  SELECT CASE WHEN 1 THEN ';' END; -- inside\n  DELETE FROM {_quoted(name)} WHERE 0;\nEND"
        )


def _rows(random: Random, tables: dict[str, list[str]]) -> Iterator[str]:
    for name in tables:
        for number in range(random.choice((0, 0, 1, 3))):
            value = random.choice(_VALUES)
            yield f"INSERT OR IGNORE INTO {_quoted(name)} (id, {tables[name][0]}) VALUES ({number + 1}, {value})"
        if random.random() < 0.2:
            yield f"DELETE FROM {_quoted(name)} WHERE id > 1"
