"""The findings of squawk, which reads scripts for PostgreSQL without running them, as findings of lint.

squawk is a program of its own, in the package `squawk-cli` (the extra `lint`). Its settings are in `.squawk.toml`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, files
from typing import TYPE_CHECKING

from torc_migrations.checks.findings import CheckFinding
from torc_migrations.checks.linting.allowances import SQUAWK
from torc_migrations.checks.linting.rules import CHECK
from torc_migrations.databases.values import ScriptMode
from torc_migrations.errors import NotSupported
from torc_migrations.sources.migration import Migration, Script

if TYPE_CHECKING:
    from torc_migrations.databases.postgresql.database import PostgreSQLDatabase

_PACKAGE = "squawk-cli"


def squawk_findings(database: PostgreSQLDatabase, migrations: Sequence[Migration]) -> Iterator[CheckFinding]:
    """Yield what squawk finds in the up scripts of migrations, for a server of this version; nothing without squawk.

    Raises:
        NotSupported: squawk fails.
    """
    program = find_squawk()
    if program is None:
        return
    with database.reading():
        version = str(database.row("SHOW server_version")[0]).partition(" ")[0]
    for migration in migrations:
        script = migration.up
        is_whole = database.script_mode(script) is ScriptMode.WHOLE
        words = [program, "--reporter=json", f"--pg-version={version}", f"--stdin-filepath={script.path}"]
        done = subprocess.run(  # noqa: S603  # no shell, and words of ours
            [*words, *(["--assume-in-transaction"] if is_whole else [])],
            input=script.sql,
            capture_output=True,
            check=False,
        )
        try:
            found = json.loads(done.stdout)
        except ValueError as error:
            reason = done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
            raise NotSupported(database.name, f"squawk fails: {reason}") from error
        yield from (_finding(migration, script, each) for each in found)


def find_squawk() -> str | None:
    """Return the program in the package of squawk; another one of that name on the PATH is not meant."""
    try:
        installed = files(_PACKAGE) or ()
    except PackageNotFoundError:
        return None
    return next((str(each.locate()) for each in installed if each.stem == "squawk"), None)


def _finding(migration: Migration, script: Script, found: dict[str, object]) -> CheckFinding:
    """Return a finding of ours; squawk counts lines from 0, also behind a CR alone, and columns in bytes."""
    number = int(str(found["line"]))
    line = next(iter(script.sql.splitlines()[number:]), b"")
    before = line[: int(str(found["column"]))]
    return CheckFinding(
        CHECK,
        f"{SQUAWK}{found['rule_name']}",
        str(found["message"]),
        script.path,
        number + 1,
        len(before.decode(errors="replace")) + 1,
        version=migration.version,
        level="error" if found["level"] == "Error" else "warning",
        hint=str(found["help"]) if found["help"] else None,
    )
