"""A directory of 300 migrations with everything that PostgreSQL directories have: up, listed, down, and up again."""

from __future__ import annotations

import pytest

from torc_migrations import rollback, status, upgrade

# An up script, a line with `---`, and its down script.
KINDS = (
    """CREATE TABLE t{0} (id bigserial PRIMARY KEY, x text NOT NULL DEFAULT 'a;b');\r
INSERT INTO t{0} (x) VALUES ('é');
---
DROP TABLE t{0};""",
    """CREATE FUNCTION f{0}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
  NEW.x := NEW.x || ';';
  RETURN NEW;
END;
$body$;
CREATE TABLE g{0} (x text);
CREATE TRIGGER r{0} BEFORE INSERT ON g{0} FOR EACH ROW EXECUTE FUNCTION f{0}();
INSERT INTO g{0} VALUES ('a');
---
DROP TABLE g{0};
DROP FUNCTION f{0}();""",
    """CREATE TYPE e{0} AS ENUM ('a', 'b');
CREATE TABLE h{0} (x e{0});
---
DROP TABLE h{0};
DROP TYPE e{0};""",
    """DO $$ BEGIN EXECUTE 'CREATE TABLE d{0} (x int)'; END $$;
---
DO $do$ BEGIN EXECUTE 'DROP TABLE d{0}'; END $do$""",
    """-- no-transaction
CREATE TABLE c{0} (x int);
CREATE INDEX CONCURRENTLY i{0} ON c{0} (x);
VACUUM c{0};
---
-- no-transaction
DROP INDEX CONCURRENTLY i{0};
DROP TABLE c{0};""",
    """CREATE TABLE p{0} (x int, y text) PARTITION BY RANGE (x);
CREATE TABLE p{0}_1 PARTITION OF p{0} FOR VALUES FROM (1) TO (9);
CREATE TABLE p{0}_d PARTITION OF p{0} DEFAULT;
INSERT INTO p{0} VALUES (1, 'a'), (99, 'b');
---
DROP TABLE p{0};""",
    """CREATE VIEW v{0} AS SELECT 1 AS a /* ; */;
CREATE MATERIALIZED VIEW m{0} AS SELECT a FROM v{0};
---
DROP MATERIALIZED VIEW m{0};
DROP VIEW v{0};""",
    """BEGIN;
CREATE SCHEMA s{0};
SET search_path TO s{0};
CREATE TABLE t (x int);
COMMIT;
---
DROP SCHEMA s{0} CASCADE;""",
    """CREATE PROCEDURE q{0}() BEGIN ATOMIC SELECT 1; SELECT 2; END;
CALL q{0}();
COMMENT ON PROCEDURE q{0} IS E'it\\'s;';
---
DROP PROCEDURE q{0};""",
    """-- only a comment; nothing else
---
-- the same""",
)
COUNT = 300


@pytest.mark.slow
def test_a_large_directory_goes_up_and_down_and_up(postgresql_database, folder):
    """Versions of 15 digits, CRLF, a byte order mark, and every kind of statement."""
    files = {}
    for number in range(COUNT):
        up, down = KINDS[number % len(KINDS)].format(number).split("\n---\n")
        name = f"{202501010000000 + number}_step_{number}"
        files[f"{name}.up"] = f"\ufeff{up}" if number % 50 == 0 else up
        files[f"{name}.down"] = down
    source = folder(files)

    assert len(upgrade(postgresql_database.url, source).applied) == COUNT
    full = postgresql_database.tables()
    assert status(postgresql_database.url, source).clean
    assert len(rollback(postgresql_database.url, source, target=0).applied) == COUNT
    assert postgresql_database.tables() == {}
    assert len(upgrade(postgresql_database.url, source).applied) == COUNT

    assert postgresql_database.tables() == full
    assert len(postgresql_database.ledgers().agreed) == COUNT
    assert len(postgresql_database.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 's%'")) == COUNT / 10
