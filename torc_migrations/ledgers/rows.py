"""Check the rows of the ledgers, which other programs and people write too."""

from __future__ import annotations

from torc_migrations.databases.interface import Row
from torc_migrations.errors import DamagedLedger
from torc_migrations.history.records import LogEntry, SqlxRecord, YoyoRecord

_UNKNOWN_TIME = -1
_HEX_DIGITS = 96  # of a SHA-384


def checked_sqlx_record(table: str, row: Row, notes: list[str]) -> SqlxRecord:
    """Return a row of sqlx's ledger; what is understood though it is not as it should be goes to `notes`.

    A time that is no number, and a moment that is no text, decide nothing, and are read as unknown.

    Raises:
        DamagedLedger: a value cannot be understood.
    """
    version, checksum, success, installed_on, execution_time, number, description = row
    place = version if number is None else number
    if not isinstance(version, int):
        raise DamagedLedger(table, "version", row=place, value=version)
    if isinstance(checksum, str) and (digest := _from_hexadecimal(checksum)):
        notes.append(f"row {place} of {table} has its checksum in hexadecimal, which sqlx cannot read")
        checksum = digest
    if not isinstance(checksum, bytes):
        raise DamagedLedger(table, "checksum", row=place, value=checksum)
    if not isinstance(success, int):
        raise DamagedLedger(table, "success", row=place, value=success)
    if not isinstance(execution_time, int):
        execution_time = _UNKNOWN_TIME
    return SqlxRecord(
        version, checksum, bool(success), str(installed_on or ""), execution_time, number, _text(description)
    )


def _from_hexadecimal(checksum: str) -> bytes | None:
    text = checksum.strip()
    try:
        return bytes.fromhex(text) if len(text) == _HEX_DIGITS else None
    except ValueError:
        return None


def checked_yoyo_record(row: Row) -> YoyoRecord:
    """Return a row of yoyo's ledger; one whose key is no text is no migration's."""
    name, applied_at, key = row
    return YoyoRecord(_text(name), None if applied_at is None else _text(applied_at), _text(key))


def checked_log_entry(row: Row) -> LogEntry:
    """Return a line of yoyo's log; a line about nothing belongs to no migration."""
    operation, created_at, comment, position, key, name = row
    at = None if created_at is None else _text(created_at)
    return LogEntry(_text(operation), at, comment, position, _text(key), _text(name))


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)
