"""Perform all steps of a plan in one transaction: all of them, or none."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain, groupby
from operator import attrgetter
from time import perf_counter_ns
from typing import TYPE_CHECKING

from torc_migrations.authorizer import Touched
from torc_migrations.connection import quote_identifier
from torc_migrations.driver import sqlite3
from torc_migrations.errors import BadScript, ExecutionFailed, ForeignKeyViolations, RowsLost
from torc_migrations.execution import commits_by_itself, run, unwanted_commit, warn_of_switch
from torc_migrations.foreign_keys import new_violations, violations
from torc_migrations.plan import Action, Outcome, Step
from torc_migrations.run import Run
from torc_migrations.script import names_one_of
from torc_migrations.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torc_migrations.foreign_keys import Violation

_NOTHING_KEPT = "nothing of the run was kept: it is one transaction"
_ONE_BY_ONE = "take {it} out, or run without --single-transaction (in Python: atomic=True)"

SELECT_READERS = """
    SELECT +sql
    FROM sqlite_master
    WHERE type IN ('view', 'trigger')
"""


class AtomicRun(Run):
    """The steps of one plan, kept together or not at all."""

    def _check_scripts(self) -> None:
        """Read every script that will run, and refuse what cannot be part of one transaction."""
        self._planned = tuple(self._steps)
        switches: dict[bool, str] = {}
        for step in self._steps:
            script = step.script
            if script is None:
                continue
            directives = script.directives
            if not directives.transactional:
                path = script.path
                hint = _ONE_BY_ONE.format(it="the directive")
                raise BadScript(path, f"{path} asks for no transaction, and the whole run is to be one", hint=hint)
            if commits_by_itself(step):
                raise unwanted_commit(step)
            switches.setdefault(directives.foreign_keys, script.path)
        if len(switches) > 1:
            raise _mixed_foreign_keys(on=switches[True], off=switches[False])
        self._enforced = True in switches

    def _perform_next(self) -> tuple[Outcome, ...]:
        """Perform everything that there is to do."""
        if tuple(self._steps) != self._planned:
            self._check_scripts()
        if self._enforced:
            self._database.enforce_foreign_keys()
        try:
            with Transaction(self._database):
                self._expect(self._steps[0])
                outcomes = self._perform_all()
        except (ExecutionFailed, ForeignKeyViolations, RowsLost) as error:
            error.hint = _NOTHING_KEPT
            error.add_note(_NOTHING_KEPT)
            raise
        self._steps.clear()
        return outcomes

    def _is_next(self, step: Step) -> bool:  # noqa: ARG002  # all of them are
        return tuple(self._steps) == self._planned

    def _perform_all(self) -> tuple[Outcome, ...]:
        """Run all scripts, and refuse rows that point nowhere at the end, unless they did so before."""
        touched = Touched()
        outcomes = self._run_all(touched)
        broken = violations(self._database, touched)
        if broken:
            self._begin_again()
            before = violations(self._database, touched)
            new = new_violations(broken, before)
            if new:
                culprit = self._culprit(new, touched)
                raise ForeignKeyViolations(culprit, tuple((each.table, each.rowid, each.parent) for each in new))
            outcomes = self._run_all(touched)
        return outcomes

    def _begin_again(self) -> None:
        self._database.begin_again()
        self._expect(self._steps[0])

    def _run_all(self, touched: Touched) -> tuple[Outcome, ...]:
        """Run all scripts and write all records: at the end, which is faster, unless somebody might look for them."""
        if self._ledgers_are_looked_at():
            return tuple(self._run_and_write_each(touched))
        outcomes = []
        for step in self._steps:
            outcomes.append(Outcome._make((step, self._run_one(step, touched))))
            self._check_ledgers(step, touched)
        self._write_all(outcomes)
        return tuple(outcomes)

    def _run_and_write_each(self, touched: Touched) -> Iterator[Outcome]:
        settled: set[str] = set()
        for step in self._steps:
            if step.migration.id in settled:
                continue
            outcome = Outcome(step, self._run_one(step, touched))
            wrote_ledgers = self._check_ledgers(step, touched)
            self._write(*outcome)
            yield outcome
            for other in self._settle() if wrote_ledgers else ():
                settled.add(other.step.migration.id)
                yield other

    def _write_all(self, outcomes: list[Outcome]) -> None:
        """Write all records in the order of the plan: adoptions, what was applied, hooks."""
        for action, some in groupby(outcomes, key=attrgetter("step.action")):
            if action is Action.APPLY:
                self._ledgers.record_all(tuple(some))
            else:
                for outcome in some:
                    self._write(*outcome)

    def _run_one(self, step: Step, touched: Touched) -> int:
        started = perf_counter_ns()
        run(self._database, step, touched)
        elapsed_ns = perf_counter_ns() - started
        warn_of_switch(step, touched)
        self._release(touched.savepoints)
        return elapsed_ns

    def _release(self, savepoints: set[str]) -> None:
        """Forget the savepoints that a script has left, so that no later one can go back to them."""
        while savepoints:
            name = quote_identifier(savepoints.pop())
            with suppress(sqlite3.OperationalError):  # there is none of that name any more
                while True:
                    self._database.execute(f"RELEASE {name}")

    def _ledgers_are_looked_at(self) -> bool:
        """Tell whether a script names a table of a ledger, or a view or a trigger does that a script may use."""
        scripts = (script.sql for step in self._steps if (script := step.script))
        readers = (str(sql).encode() for (sql,) in self._database.execute(SELECT_READERS))
        names = [name.encode().upper() for name in self._ledgers.tables]
        return names_one_of(chain(scripts, readers), names)

    def _culprit(self, new: tuple[Violation, ...], touched: Touched) -> Step:
        """Return the step that made the first of some violations, by running the scripts once more."""
        pointers = {violation.pointer for violation in new}
        for step in self._steps:
            run(self._database, step, touched)
            if any(violation.pointer in pointers for violation in violations(self._database, touched)):
                return step
        return self._steps[-1]


def _mixed_foreign_keys(*, on: str, off: str) -> BadScript:
    return BadScript(
        on,
        f"{on} wants foreign keys on, {off} wants them off, and no transaction can switch them",
        hint=_ONE_BY_ONE.format(it="`-- foreign-keys: on`"),
    )
