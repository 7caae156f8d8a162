"""Perform all steps of a plan in one transaction: all of them, or none."""

from __future__ import annotations

from time import perf_counter_ns

from torc_migrations.databases.interface import Effects, Savepoint, ScriptMode
from torc_migrations.databases.results.violations import Violation, new_violations
from torc_migrations.errors import BadScript, StepFailed
from torc_migrations.history.steps import Outcome, Step
from torc_migrations.runs.refusals import refuse_broken, run_guarded, violations_of
from torc_migrations.runs.run import Run
from torc_migrations.sources.migration import Script

_NOTHING_KEPT = "nothing of the run was kept: it is one transaction"
_ONE_BY_ONE = "remove {it}, or run without atomic=True"
_ONE_BY_ONE_COMMAND = "remove {it}, or run without --single-transaction"


class AtomicRun(Run):
    """The steps of one plan, kept together or not at all."""

    def _check_scripts(self) -> None:
        """Read every script that will run, and refuse what cannot be part of one transaction."""
        super()._check_scripts()
        self._planned = tuple(self._steps)
        switches: dict[bool, str] = {}
        for script in filter(None, (step.script for step in self._steps)):
            if self._mode(script) is ScriptMode.OUTSIDE:
                reason = f"{script.path} asks for no transaction, and the whole run is one transaction"
                raise _not_in_one_transaction(script.path, reason, "the directive")
            if self._mode(script) is ScriptMode.OWN_COMMITS:
                raise self._database.commit_in(script)
            switches.setdefault(script.directives.foreign_keys, script.path)
        if len(switches) > 1:
            raise _mixed_foreign_keys(on=switches[True], off=switches[False])

    def _script_for_session(self) -> Script | None:
        """Return any script: all of them have the same directives."""
        return next((step.script for step in self._steps if step.script), None)

    def _perform(self) -> list[Outcome]:
        """Perform everything that there is to do, and at the end refuse rows that point to no row."""
        if not self._is_next(self._steps[0]):
            self._check_scripts()
        try:
            with self._database.transaction():
                self._begin_writing(self._steps[0])
                with self._database.savepoint() as savepoint:
                    return self._perform_all(savepoint)
        except StepFailed as error:
            error.say_of_the_run(_NOTHING_KEPT)
            raise

    def _perform_all(self, savepoint: Savepoint) -> list[Outcome]:
        outcomes, effects = self._run_all()
        if not effects:
            self._steps.clear()
            return outcomes
        combined = self._database.combined(effects)
        broken, schema = self._database.find_violations(combined), self._database.find_broken(combined)
        if broken or schema.broken:
            savepoint.undo()
            if broken and (new := new_violations(broken, old := self._database.find_violations(combined))):
                raise violations_of(self._step_that_broke(new, old), new, effects)
            refuse_broken(self._session, self._steps, schema, effects)
            outcomes, _ = self._run_all()
        self._steps.clear()
        return outcomes

    def _is_next(self, step: Step) -> bool:  # noqa: ARG002  # all of them are
        """Return whether the plan is still the one that was checked."""
        return tuple(self._steps) == self._planned

    def _run_all(self) -> tuple[list[Outcome], list[Effects]]:
        """Run each script and write its record."""
        outcomes: list[Outcome] = []
        done: list[Effects] = []
        settled: set[str] = set()
        self._begin_records()
        for number, step in enumerate(self._steps, 1):
            if step.migration.id in settled:
                continue
            self._feed.begin_step(step, number, len(self._steps))
            self._records.prepare_for(step.script)
            elapsed_ns = 0
            effects: Effects | None = None
            if step.script:
                started = perf_counter_ns()
                with self._database.savepoint():  # whose end releases the savepoints that a script has left
                    effects = run_guarded(self._session, step)
                elapsed_ns = perf_counter_ns() - started
                done.append(effects)
            recorded = self._record(step, step.script, effects, elapsed_ns)
            settled |= {outcome.step.migration.id for outcome in recorded[1:]}
            outcomes += recorded
        self._records.write()
        return outcomes, done

    def _step_that_broke(self, new: tuple[Violation, ...], known: tuple[Violation, ...]) -> Step:
        """Return the step that made the first of some violations, by running the scripts once more."""
        pointers = {violation.pointer for violation in new}
        for step in self._steps:
            if step.script:
                effects = self._database.run_script(step, ScriptMode.WHOLE)
                known = self._database.find_violations(effects, known)
                if any(violation.pointer in pointers for violation in known):
                    return step
        return self._steps[-1]


def run_class(*, atomic: bool) -> type[Run]:
    """Return what performs a plan: in one transaction, or step by step."""
    return AtomicRun if atomic else Run


def _mixed_foreign_keys(*, on: str, off: str) -> BadScript:
    reason = f"{on} needs foreign keys on, {off} needs them off, and they cannot be switched inside a transaction"
    error = _not_in_one_transaction(on, reason, "`-- foreign-keys: on`, or its PRAGMA")
    error.extend_hint(
        'foreign_keys="on" or "off" says the same of every script',
        "--foreign-keys on or off says the same of every script",
    )
    return error


def _not_in_one_transaction(path: str, reason: str, it: str) -> BadScript:
    return BadScript(path, reason, hint=_ONE_BY_ONE.format(it=it), command_hint=_ONE_BY_ONE_COMMAND.format(it=it))
