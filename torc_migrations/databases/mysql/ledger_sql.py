"""The statements of the two ledgers for MariaDB and MySQL.

Both keep times as TIMESTAMP, which the server converts from and to the time zone of the session. sqlx's session is in
UTC; yoyo writes UTC in the server's time zone. Both are read as UTC whatever the session has.
"""

from __future__ import annotations

from torc_migrations.databases.interface import LedgerSql

_UTC = "CAST(COALESCE(CONVERT_TZ({column}, @@SESSION.time_zone, '+00:00'), {column}) AS CHAR(19))"
_OF_YOYO = "CAST(COALESCE(CONVERT_TZ({column}, @@SESSION.time_zone, @@GLOBAL.time_zone), {column}) AS CHAR(19))"
_CREATED = (f"CASE WHEN comment LIKE 'torc!_migrations %' ESCAPE '!' THEN {_UTC} ELSE {_OF_YOYO} END").replace(
    "{column}", "created_at_utc"
)

# Ours is InnoDB and UTF-8 whatever the defaults of the server are; sqlx finds the same columns.
LEDGER_SQL = LedgerSql(
    create_sqlx_table="""
CREATE TABLE IF NOT EXISTS {sqlx} (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
) ENGINE = InnoDB
""",
    create_kept_table="""
CREATE TABLE IF NOT EXISTS {kept} (
    ledger VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    id TEXT NOT NULL,
    description TEXT NOT NULL,
    checksum LONGBLOB NOT NULL,
    compatible_from BIGINT NOT NULL,
    down_script LONGBLOB,
    PRIMARY KEY (ledger, version)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
""",
    select_sqlx_rows=f"""
        SELECT version, checksum, success, {_UTC.replace("{column}", "installed_on")}, execution_time, NULL, description
        FROM {{sqlx}}
    """,
    select_yoyo_rows=f"""
        SELECT migration_id, {_OF_YOYO.replace("{column}", "applied_at_utc")}, migration_hash
        FROM {{yoyo}}
    """,
    select_old_yoyo_rows=f"""
        SELECT id, {_OF_YOYO.replace("{column}", "ctime")}
        FROM {{yoyo}}
    """,
    # Stock yoyo's times are whole seconds here. Its ids are UUIDs of version 1, whose time is in these three parts:
    # https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-1
    select_log=f"""
        SELECT operation, {_CREATED}, comment, 0, migration_hash, migration_id
        FROM {{log}}
        ORDER BY created_at_utc, SUBSTRING(id, 15, 4), SUBSTRING(id, 10, 4), SUBSTRING(id, 1, 8)
    """,
    select_checksums="""
        SELECT version, CASE WHEN success THEN checksum END
        FROM {sqlx}
    """,
    select_marked="""
        SELECT migration_hash
        FROM {yoyo}
    """,
    # Lines have no order here, so that any line which takes a migration back asks for a closer look.
    select_taken_back="""
        SELECT migration_hash
        FROM {log}
        WHERE operation NOT IN ('apply', 'mark')
    """,
    marks_dirty=True,
    count_log="""
        SELECT COUNT(*)
        FROM {log}
        WHERE operation <> 'begin'
    """,
    insert_sqlx_row="""
    INSERT INTO {sqlx} (version, description, installed_on, success, checksum, execution_time)
    SELECT :version, :description, :installed_on, TRUE, :checksum, :execution_time
    FROM DUAL
    WHERE NOT EXISTS (SELECT 1 FROM {sqlx} WHERE version = :version)
""",
)
