"""Random statements that change tables, and what becomes of each table and column."""

from __future__ import annotations

from random import Random


class Model:
    """Random statements, and what has become of each table and column that was there at first."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.names = {f"t{number}": f"t{number}" for number in range(random.randint(1, 4))}
        self.columns = {
            table: {"id": "id", **{c: c for c in ("a", "b", "c")[: random.randint(1, 3)]}} for table in self.names
        }
        self.dropped: set[str] = set()  # indexes and triggers that were dropped by name
        self.left_out: set[tuple[str, str]] = set()  # columns, by their first names, whose values a rebuild leaves out
        self.count = 0
        self.first = "".join(
            f"CREATE TABLE {table} ({', '.join(['id INTEGER PRIMARY KEY', *list(columns)[1:]])});\n"
            f"CREATE INDEX i_{table} ON {table} (id, a);\n"
            f"CREATE TRIGGER g_{table} AFTER UPDATE ON {table} BEGIN SELECT 1; END;\n"
            f"INSERT INTO {table} (id) VALUES {', '.join(f'({n})' for n in range(1, random.randint(2, 6)))};\n"
            for table, columns in self.columns.items()
        )

    def step(self) -> str:
        """Return statements of one kind."""
        alive = [table for table, name in self.names.items() if name]
        if not alive:
            return ""
        table = self.random.choice(alive)
        kinds = (self._delete, self._rebuild, self._rebuild, self._rename, self._rename_column, self._drop_column)
        others = (self._drop, self._insert, self._drop_index, self._add)
        return self.random.choice((*kinds, *others))(table)

    def _new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def _delete(self, table: str) -> str:
        return f"DELETE FROM {self.names[table]} WHERE id {self.random.choice(('= 1', '> 2', '> 99'))};\n"

    def _rebuild(self, table: str) -> str:
        name, new = self.names[table], self._new("new")
        kept = {
            old: now for old, now in self.columns[table].items() if now and (old == "id" or self.random.random() < 0.8)
        }
        self.columns[table] = {old: kept.get(old, "") for old in self.columns[table]}
        where = self.random.choice(("", "", " WHERE id <> 1"))
        definition = ", ".join(kept.values()).replace("id", "id INTEGER PRIMARY KEY", 1)
        left_out = {old for old in kept if old != "id" and self.random.random() < 0.1}
        self.left_out |= {(table, old) for old in left_out}
        names = ", ".join(now for old, now in kept.items() if old not in left_out)
        again = f"CREATE INDEX i_{table} ON {name} (id);\n" if self.random.random() < 0.5 else ""
        if again:
            self.dropped.discard(f"i_{table}")
        return (
            f"CREATE TABLE {new} ({definition});\nINSERT INTO {new} ({names}) SELECT {names} FROM {name}{where};\n"
            f"DROP TABLE {name};\nALTER TABLE {new} RENAME TO {name};\n{again}"
        )

    def _rename(self, table: str) -> str:
        name, self.names[table] = self.names[table], self._new("r")
        return f"ALTER TABLE {name} RENAME TO {self.names[table]};\n"

    def _some_column(self, table: str) -> str | None:
        known = [old for old, now in self.columns[table].items() if now and old != "id"]
        return self.random.choice(known) if known else None

    def _rename_column(self, table: str) -> str:
        if (old := self._some_column(table)) is None:
            return ""
        now, self.columns[table][old] = self.columns[table][old], self._new("c")
        return f"ALTER TABLE {self.names[table]} RENAME COLUMN {now} TO {self.columns[table][old]};\n"

    def _drop_column(self, table: str) -> str:
        old = self._some_column(table)
        if old is None or old == "a":  # an index has it
            return ""
        now, self.columns[table][old] = self.columns[table][old], ""
        return f"ALTER TABLE {self.names[table]} DROP COLUMN {now};\n"

    def _drop(self, table: str) -> str:
        name, self.names[table] = self.names[table], ""
        return f"DROP TABLE {name};\n"

    def _insert(self, table: str) -> str:
        return f"INSERT INTO {self.names[table]} (id) VALUES ({self._new('10')});\n"

    def _drop_index(self, table: str) -> str:
        self.dropped.add(f"i_{table}")
        return f"DROP INDEX IF EXISTS i_{table};\n"

    def _add(self, table: str) -> str:
        return f"ALTER TABLE {self.names[table]} ADD COLUMN {self._new('n')} TEXT;\n"
