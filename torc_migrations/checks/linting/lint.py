"""`check lint`: run what is pending on a copy or on an empty database, and apply the rules to what it has done."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from torc_migrations.checks.findings import CheckFinding, CheckResult
from torc_migrations.checks.linting.allowances import read_allowances
from torc_migrations.checks.linting.rules import CHECK, ON_REQUEST, OTHER_RULES, RULES, Scene
from torc_migrations.checks.linting.squawk import find_squawk, squawk_findings
from torc_migrations.checks.linting.states import postgresql_or_none
from torc_migrations.checks.linting.trial import Scope, Trial, find_scope, planner_of, run_trial, scene
from torc_migrations.configured import leniency_of, open_session
from torc_migrations.databases.sqlite.database import SQLiteDatabase
from torc_migrations.errors import BadOptionValue, BadScript, MigrationError, NotRehearsable, NotSupported, StepFailed
from torc_migrations.migrator import Migrator
from torc_migrations.rehearsals.round_trips import RoundTrip, make_round_trip
from torc_migrations.runs.evidence import status_by_schema
from torc_migrations.runs.run import Run
from torc_migrations.runs.session import Session
from torc_migrations.sources.migration import Migration

NO_DOWN, NOT_UNDONE, EDITED, FAILS, NOT_RUN = OTHER_RULES[:5]


def check_lint(
    migrator: Migrator,
    *,
    has_database: bool = True,
    base: str | None = None,
    rules: Sequence[str] = (),
    trial: Trial | None = None,
) -> CheckResult:
    """Run migrations on a copy of the database, or on an empty one, and find what they lose, break or hold up.

    On a copy what is pending runs, with the rows that are there. Where nothing is installed, or there is no database,
    all migrations run on an empty database. A comment in a script allows a rule: `-- torc: allow RULE, because REASON`.

    For PostgreSQL squawk reads the scripts besides, if it is installed. If no copy can be made, it alone does.

    Args:
        migrator: the source, and the database.
        has_database: whether the database is looked at.
        base: a commit of git; findings are about migrations that it does not have, or has with another text.
        rules: rules that run only on request, besides all others.
        trial: what the migrations have done, where they have run already; they do not run again then.

    Raises:
        BadOption: there is no rule of a name.
        MigrationError: the source, the database or git cannot be used; what is wrong with a script is a finding.
    """
    for rule in rules:
        if rule not in RULES:
            raise BadOptionValue("rules", rule, f"names of {', '.join(sorted(ON_REQUEST))}")
    with open_session(migrator) as session:
        scope = trial.scope if trial else find_scope(session, migrator, has_database=has_database, base=base)
        found = [*_edited(scope, base), *_without_down(session.source.migrations, scope.chosen)]
        server = postgresql_or_none(session.database)
        if server is not None:
            found += squawk_findings(server, scope.chosen)
        try:
            trial = trial or run_trial(session, migrator, scope)
            found += _by_rules(trial, rules, locks_tables=server is not None)
            found += _not_undone(session, migrator, trial)
        except NotSupported as error:
            if server is None or find_squawk() is None:
                raise
            found.append(_not_run(error))
        return CheckResult(CHECK, tuple(_allowed(session.source.migrations, scope.chosen, found)))


def _edited(scope: Scope, base: str | None) -> Iterator[CheckFinding]:
    for migration in scope.edited:
        path = migration.up.path
        message = f"{os.path.basename(path)} is in {base} with another text; a database that has it refuses the new one"
        hint = "restore it, and write the change as a new migration"
        yield CheckFinding(CHECK, EDITED, message, path, 1, version=migration.version, hint=hint)


def _not_run(error: NotSupported) -> CheckFinding:
    message = f"no script was run, and squawk alone has read them; {error}"
    return CheckFinding(CHECK, NOT_RUN, message, level="warning", hint=error.command_hint)


def _by_rules(trial: Trial, rules: Sequence[str], *, locks_tables: bool) -> Iterator[CheckFinding]:
    scene = Scene(trial.scope.on_copy, trial.last, locks_tables)
    for fact in trial.chosen:
        for name, rule in RULES.items():
            if name not in ON_REQUEST or name in rules:
                yield from rule(fact, scene)
    if trial.failure is not None:
        yield _failed(trial.failure)


def _failed(error: MigrationError) -> CheckFinding:
    step = getattr(error, "step", None)
    script = step.script if step is not None else None
    return CheckFinding(
        CHECK,
        FAILS,
        f"{error}; what comes after it was not run",
        getattr(error, "path", None) or (script.path if script else None),
        getattr(error, "line", None),
        getattr(error, "column", None),
        version=step.migration.version if step is not None and not step.is_hook else None,
        hint=error.command_hint,
    )


def _without_down(migrations: Sequence[Migration], chosen: Sequence[Migration]) -> Iterator[CheckFinding]:
    """Find migrations that cannot be rolled back, in a directory where most can."""
    if 2 * sum(each.reversible for each in migrations) <= len(migrations):
        return
    for each in chosen:
        if not each.reversible:
            message = f"{each.id} has no down script, and cannot be rolled back"
            yield CheckFinding(CHECK, NO_DOWN, message, each.up.path, 1, version=each.version, level="warning")


def _not_undone(session: Session, migrator: Migrator, trial: Trial) -> Iterator[CheckFinding]:
    """Run the down script of each migration after its up script, and find what is not as before."""
    scope, chosen = trial.scope, trial.scope.chosen
    if not any(each.reversible for each in chosen):
        return
    with scene(session, scope) as copy:
        if isinstance(copy.database, SQLiteDatabase):
            copy.database.execute("PRAGMA synchronous = OFF")  # the copy is removed at the end, and nothing is measured
        # A rollback refuses a down script that breaks something. Where an up script does, a rule has found it.
        copy.allow_broken_schema = any(fact.broken for fact in trial.facts)
        before = () if scope.on_copy else session.source.migrations
        earlier = frozenset(each.version for each in before if each.version < chosen[0].version)
        migrations = chosen if scope.on_copy else tuple(each for each in before if each.version >= chosen[0].version)
        try:
            if earlier:
                planner = planner_of(migrator, earlier)
                Run(copy, planner, lambda _: None).perform(planner(status_by_schema(copy)))
            trip = make_round_trip(copy, session.database.name, migrations, leniency_of(migrator))
        except (BadScript, NotRehearsable, StepFailed):
            return  # the rules have found the same script
    yield from _trip_findings(trip, {each.version: each for each in chosen})


def _trip_findings(trip: RoundTrip, chosen: dict[int, Migration]) -> Iterator[CheckFinding]:
    for each in trip.trips:
        migration = chosen.get(each.version)
        if migration is None or migration.down is None:
            continue
        down = migration.down.path
        line = each.line if each.path == down else None
        for sentence in each.findings:
            if not sentence.startswith("its up script fails: "):
                message = f"{migration.id}: {sentence}"
                yield CheckFinding(CHECK, NOT_UNDONE, message, down, line or 1, version=each.version)


def _allowed(
    migrations: Sequence[Migration], chosen: Sequence[Migration], found: Sequence[CheckFinding]
) -> Iterator[CheckFinding]:
    """Leave out what the scripts allow, and add what is wrong with their comments."""
    known = (*RULES, *OTHER_RULES[:3])
    # Where a trial was made before, the directory may have changed since.
    allowances = {each.version: read_allowances(CHECK, each, known) for each in (*migrations, *chosen)}
    for each in found:
        if each.version is None or each.rule not in allowances[each.version].rules:
            yield each
    for migration in chosen:
        yield from allowances[migration.version].findings
