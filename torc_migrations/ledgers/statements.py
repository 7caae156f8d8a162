"""The statements with which the ledgers are written, in the SQL that every kind of database has."""

from __future__ import annotations

# No row: the statement fails where one of the tables does not exist.
SELECT_NOTHING = """
    SELECT 1
    FROM {sqlx}, {yoyo}, {log}, {version}
    LIMIT 0
"""
UPDATE_SQLX_ROW = """
    UPDATE {sqlx}
    SET checksum = :checksum, description = :description
    WHERE version = :version
"""
UPDATE_DIRTY_ROW = """
    UPDATE {sqlx}
    SET success = FALSE
    WHERE version = :version
"""
UPDATE_FINISHED_ROW = """
    UPDATE {sqlx}
    SET success = TRUE, execution_time = :execution_time, checksum = :checksum, description = :description
    WHERE version = :version
    AND NOT success
"""
DELETE_SQLX_ROW = """
    DELETE FROM {sqlx}
    WHERE version = :version
"""
# The row of another version, whose checksum shows that no other step has replaced it.
DELETE_RENAMED_ROW = """
    DELETE FROM {sqlx}
    WHERE version = :version
    AND checksum = :checksum
"""
INSERT_RENAMED_ROW = """
    INSERT INTO {sqlx} (version, description, installed_on, success, checksum, execution_time)
    VALUES (:version, :description, {installed_on}, TRUE, :checksum, :execution_time)
"""
UPDATE_BEGUN = """
    UPDATE {log}
    SET comment = :comment
    WHERE id = :line
"""
DELETE_BEGUN = """
    DELETE FROM {log}
    WHERE migration_hash = :hash
    AND operation = :operation
"""
SELECT_LINE = """
    SELECT 1
    FROM {log}
    WHERE id = :line
"""
# The same for the log alone.
SELECT_NO_LINE = """
    SELECT 1
    FROM {log}
    LIMIT 0
"""
# What a step has written; a trigger on a ledger may have kept it out, or taken it away again.
SELECT_WRITTEN = """
    SELECT
        EXISTS (
            SELECT 1 FROM {sqlx}
            WHERE version = :version AND checksum = coalesce(:checksum, checksum) AND (success OR :is_new = 0)
        ),
        EXISTS (SELECT 1 FROM {yoyo} WHERE migration_hash = :hash),
        EXISTS (SELECT 1 FROM {log} WHERE id = :line)
"""
