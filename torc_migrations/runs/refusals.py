"""What a script may not leave behind: rows that it lost, doubled or left pointing to no row, a schema that it broke."""

from __future__ import annotations

from collections.abc import Container, Iterable

from torc_migrations.databases.interface import Effects, ScriptMode
from torc_migrations.databases.results.violations import BrokenObject, Soundness, Violation, newly_broken
from torc_migrations.errors import (
    BadScript,
    DatabaseFailed,
    ExecutionFailed,
    ForeignKeyViolations,
    LockTimeout,
    MigrationError,
    RowsDoubled,
    RowsLost,
    SchemaBroken,
)
from torc_migrations.formatting import lowered
from torc_migrations.history.steps import Outcome, Step
from torc_migrations.log import log
from torc_migrations.runs.session import Session


def run_guarded(session: Session, step: Step) -> Effects:
    """Run a script in the transaction, and refuse rows that it has lost or doubled without saying so.

    Raises:
        RowsLost, RowsDoubled: there are some, and they are not accepted.
    """
    effects = session.database.run_script(step, ScriptMode.WHOLE)
    session.made.update(dict.fromkeys(effects.created, step.name))
    if error := _rows_error(step, effects):
        if not session.accept_losses:
            raise error
        log().warning("%s", error)
    return effects


def _rows_error(step: Step, effects: Effects) -> RowsLost | RowsDoubled | None:
    if effects.lost:
        error = RowsLost(step, effects.lost)
        if step.script and step.script.directives.foreign_keys:
            error.suggest_foreign_keys("off")
        return error
    return RowsDoubled(step, effects.doubled) if effects.doubled else None


def violations_of(
    step: Step, violations: tuple[Violation, ...], effects: Iterable[Effects] = ()
) -> ForeignKeyViolations:
    """Return the error for rows that a step has left pointing to no row."""
    facts = tuple((each.table, each.rowid, each.parent) for each in violations)
    error = ForeignKeyViolations(step, facts, violations[0].wrong_key)
    changed = {table for each in effects for table in (*each.deleted_from, *each.updated)}
    asks = step.script is not None and step.script.directives.foreign_keys
    if not (asks or error.wrong_key) and lowered(violations[0].parent) in changed:
        error.suggest_foreign_keys("on")
    return error


def refuse_broken(session: Session, steps: Iterable[Step], after: Soundness, effects: Iterable[Effects]) -> None:
    """Refuse what works no more in the schema after the scripts of some steps, all of which are undone at the moment.

    Raises:
        SchemaBroken: there is something, and it is not allowed.
    """
    if not after.broken:
        return
    before = session.database.find_broken()
    created: Container[str] = {name for each in effects for name in each.created}
    steps = tuple(step for step in steps if step.script)
    broken = newly_broken(after, before, created)
    refused = set(broken)
    others = tuple(each for each in newly_broken(after, before, ()) if each not in refused)
    broken += _worked_between(session, steps, others, before)
    session.made.update({lowered(each.name): steps[-1].name for each in others if each.kind == "trigger"})
    if not broken:
        return
    if session.allow_broken_schema:
        for each in broken:
            _warn(steps, each, created)
        return
    facts = tuple((each.title, each.reason) for each in broken)
    at = session.database.find_breaker(steps, broken[0])
    if at is None:
        raise SchemaBroken(steps[-1], facts)
    is_made = broken[0].table != broken[0].name and at.statement.lstrip()[:6].lower() == "create"
    raise SchemaBroken(
        at.step,
        facts,
        fires_on=broken[0].table if is_made else None,
        path=at.path,
        line=at.line,
        column=at.column,
        statement=at.statement,
        frame=at.frame,
    )


def note_unfinished(session: Session) -> None:
    """Warn, at the end of a run, of what its scripts have created and does not work yet, where that can be read."""
    if not session.made or session.is_piecewise:
        return
    made, session.made = session.made, {}
    try:
        unfinished = session.database.find_unfinished(made)
    except (DatabaseFailed, LockTimeout):
        log().debug("what does not work yet cannot be read", exc_info=True)
        return
    for each in unfinished:
        name = made[lowered(each.name)]
        log().warning("%s: %s does not work yet: %s", name, each.title, each.reason)


def refuse_lost_ledger(session: Session, step: Step, effects: Effects) -> bool:
    """Refuse a script that drops a table of a ledger; return whether it has written into one.

    Raises:
        BadScript: it does.
    """
    wrote = not session.ledgers.lower_tables.isdisjoint(effects.tables)
    lost = sorted(session.ledgers.lost()) if effects.all_tables or wrote else []
    if lost and step.script is not None:
        path = step.script.path
        raise BadScript(path, f"{path} drops {lost[0]!r}, where the record of {step.name} has to be written")
    return wrote


def error_of_kept(session: Session, step: Step, before: Soundness, effects: Effects) -> SchemaBroken | None:
    """Return the error for what works no more after a script that runs outside a transaction, or warn of it.

    Rows that point to no row are only warned of: which of them were there before cannot be known any more.
    """
    if violations := session.database.find_violations(effects):
        facts = violations_of(step, violations).facts
        log().warning("%s: after it there is %s, perhaps from before it", step.name, facts)
    session.made.update(dict.fromkeys(effects.created, step.name))
    broken = newly_broken(session.database.find_broken(effects), before, effects.created)
    if broken and not session.allow_broken_schema:
        return SchemaBroken(step, tuple((each.title, each.reason) for each in broken), kept=True)
    for each in broken:
        _warn((step,), each, effects.created)
    return None


def hint_at_other_ways(session: Session, error: MigrationError, *, done: int, left: int) -> None:
    """Say how the run would succeed otherwise: `done` steps before the error are done, and `left` are not."""
    if isinstance(error, ForeignKeyViolations) and left > 1:
        words = "{} checks foreign keys after the last migration, and passes if a later one removes those rows"
        error.extend_hint(words.format("atomic=True"), words.format("--single-transaction"))
    if isinstance(error, ExecutionFailed) and not done and _had_tables_before(session, error):
        words = "the database had tables before: {} says which migrations are to be recorded"
        error.extend_hint(words.format("Migrator.diagnose()"), words.format("`torc-migrations doctor`"))


def _had_tables_before(session: Session, error: ExecutionFailed) -> bool:
    """Return whether the first migration of all has failed because of what was there, and has left nothing."""
    if session.latest is not None or session.database.sql.marks_dirty or "already exists" not in error.reason:
        return False
    return bool(set(map(lowered, session.database.tables())) - session.ledgers.lower_tables) and not error.kept


def say_what_is_kept(session: Session, error: ExecutionFailed, resumed_after: int) -> None:
    """Say whether something is kept of a script that asks for no transaction, and how the rest of it is run.

    With no statement done there is something to resume only if the ledgers say that the script has begun, as on
    MariaDB. How far a hook is, is not noted.
    """
    if not error.kept or error.step.is_hook:
        return
    if session.is_copy:
        error.say_what_upgrade_keeps()
        return
    begun = session.ledgers.begun
    done = begun.done if begun else resumed_after
    if not done:
        error.say_nothing_kept()
    if begun or done:
        name, others = error.step.name, "the others" if done else "the script"
        last = f"statement {done} of {error.path} was the last that was done; " if done else ""
        error.extend_hint(
            f"{last}once the cause is gone, repair({name}, resume_after={done}) runs {others}",
            f"{last}once the cause is gone, `torc-migrations repair {name} --resume-after {done}` runs {others}",
        )


def say_not_committed(error: Exception, outcomes: Iterable[Outcome], failure: BaseException | None) -> None:
    """Say which steps were rolled back because their commit has waited too long.

    Raises:
        BaseException: `failure`, that of a step after them, which comes first.
    """
    done = [outcome.step.name for outcome in outcomes]
    if not (done and isinstance(error, LockTimeout)):
        return
    error.say_not_kept(done)
    if failure is not None:
        log().error("what came before the failure could not be committed: %s; %s", error, error.hint)
        raise failure from failure.__cause__


def _warn(steps: tuple[Step, ...], broken: BrokenObject, created: Container[str]) -> None:
    what = broken.what_is_wrong(is_new=lowered(broken.name) in created)
    log().warning("%s: %s: %s", steps[-1].name, what, broken.reason)


def _worked_between(
    session: Session, steps: tuple[Step, ...], broken: tuple[BrokenObject, ...], before: Soundness
) -> tuple[BrokenObject, ...]:
    """Return those of some objects that work after one of several scripts, which are run again and undone."""
    worked = set[BrokenObject]()
    if not broken or len(steps) == 1:
        return ()
    now, there = before, before.relations
    with session.database.savepoint() as savepoint:
        for step in steps[:-1]:
            effects = session.database.run_script(step, ScriptMode.WHOLE)
            now = session.database.find_broken(effects, now.broken)
            there = now.relations or there | effects.created
            faults = {each.pointer for each in now.broken}
            worked.update(each for each in broken if lowered(each.table) in there and each.pointer not in faults)
        savepoint.undo()
    return tuple(each for each in broken if each in worked)
