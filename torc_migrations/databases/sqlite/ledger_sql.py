"""The statements of the two ledgers in SQLite's dialect."""

from __future__ import annotations

from torc_migrations.databases.values import LedgerSql

# A plus hides a column's declared type, for which the owner of a lent connection may have a converter. A row's identity
# is its rowid; the log is in the order of its rowids, because clocks jump and two lines may share a second.
# NOT INDEXED: an index may be damaged, and would order two rows of one version otherwise than the table does.
LEDGER_SQL = LedgerSql(
    create_sqlx_table="""
CREATE TABLE IF NOT EXISTS {sqlx} (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
)
""",
    create_kept_table="""
CREATE TABLE IF NOT EXISTS {kept} (
    ledger TEXT NOT NULL,
    version BIGINT NOT NULL,
    id TEXT NOT NULL,
    description TEXT NOT NULL,
    checksum BLOB NOT NULL,
    compatible_from BIGINT NOT NULL,
    down_script BLOB,
    PRIMARY KEY (ledger, version)
)
""",
    select_sqlx_rows="""
        SELECT +version, +checksum, +success, CAST(installed_on AS TEXT), +execution_time, +rowid, +description
        FROM {sqlx}
    """,
    select_yoyo_rows="""
        SELECT +migration_id, CAST(applied_at_utc AS TEXT), +migration_hash
        FROM {yoyo}
    """,
    select_old_yoyo_rows="""
        SELECT +id, CAST(ctime AS TEXT)
        FROM {yoyo}
    """,
    select_log="""
        SELECT +operation, CAST(created_at_utc AS TEXT), +comment, +rowid, +migration_hash, +migration_id
        FROM {log}
        ORDER BY rowid
    """,
    select_checksums="""
        SELECT +version, CASE WHEN success AND typeof(checksum) = 'blob' THEN checksum END
        FROM {sqlx} NOT INDEXED
    """,
    select_marked="""
        SELECT +migration_hash
        FROM {yoyo} NOT INDEXED
    """,
    # Together with max() SQLite returns the other columns of the same row: https://sqlite.org/lang_select.html#bareagg
    select_taken_back="""
        SELECT +migration_hash
        FROM (
            SELECT migration_hash, operation, max(rowid)
            FROM {log} NOT INDEXED
            WHERE migration_hash IN (
                SELECT migration_hash
                FROM {log} NOT INDEXED
                WHERE operation NOT IN ('apply', 'mark')
            )
            GROUP BY migration_hash
        )
        WHERE operation NOT IN ('apply', 'mark')
    """,
    extra_columns=("rowid",),
)

SELECT_YOYO_LOCK = """
    SELECT +pid, CAST(ctime AS TEXT)
    FROM main.yoyo_lock
"""
DELETE_YOYO_LOCK = """
    DELETE FROM main.yoyo_lock
    WHERE pid = :pid
"""
