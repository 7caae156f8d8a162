"""The statements of the two ledgers in PostgreSQL's dialect, and of yoyo's lock."""

from __future__ import annotations

from torc_migrations.databases.interface import LedgerSql

# Rows have no number that survives a dump: the identity of sqlx's row is its time, to the microsecond, with the time
# that it took. The log is put in order by ledgers/log_order.py.
_MOMENT = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
LEDGER_SQL = LedgerSql(
    create_sqlx_table="""
CREATE TABLE IF NOT EXISTS {sqlx} (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
    success BOOLEAN NOT NULL,
    checksum BYTEA NOT NULL,
    execution_time BIGINT NOT NULL
)
""",
    create_kept_table="""
CREATE TABLE IF NOT EXISTS {kept} (
    ledger TEXT NOT NULL,
    version BIGINT NOT NULL,
    id TEXT NOT NULL,
    description TEXT NOT NULL,
    checksum BYTEA NOT NULL,
    compatible_from BIGINT NOT NULL,
    down_script BYTEA,
    PRIMARY KEY (ledger, version)
)
""",
    select_sqlx_rows=f"""
        SELECT version, checksum, success, {_MOMENT.format("installed_on")}, execution_time, NULL, description
        FROM {{sqlx}}
    """,
    select_yoyo_rows="""
        SELECT migration_id, CAST(applied_at_utc AS TEXT), migration_hash
        FROM {yoyo}
    """,
    select_old_yoyo_rows="""
        SELECT id, CAST(ctime AS TEXT)
        FROM {yoyo}
    """,
    select_log="""
        SELECT operation, to_char(created_at_utc, 'YYYY-MM-DD HH24:MI:SS.US'), comment, 0, migration_hash, migration_id
        FROM {log}
        ORDER BY created_at_utc, id
    """,
    select_checksums="""
        SELECT version, CASE WHEN success THEN checksum END
        FROM {sqlx}
    """,
    select_marked="""
        SELECT migration_hash
        FROM {yoyo}
    """,
    # By the clocks of the writers: the closer look puts the lines in order.
    select_taken_back="""
        SELECT l.migration_hash
        FROM {log} l
        WHERE l.operation NOT IN ('apply', 'mark')
        AND (
            l.operation NOT IN ('rollback', 'unmark')
            OR NOT EXISTS (
                SELECT 1
                FROM {log} later
                WHERE later.migration_hash = l.migration_hash
                AND later.operation IN ('apply', 'mark')
                AND later.created_at_utc > l.created_at_utc
            )
        )
    """,
    count_log="""
        SELECT count(*)
        FROM {log}
        WHERE operation <> 'begin'
    """,
    installed_on="CAST(:installed_on AS TIMESTAMP) AT TIME ZONE 'UTC'",
    time_digits=26,
)
