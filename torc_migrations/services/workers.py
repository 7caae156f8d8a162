"""Perform the operations of a fleet in this process, or in several of our own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from copy import copy
from io import BytesIO
from itertools import islice
from queue import Queue
from tempfile import TemporaryDirectory
from threading import Thread
from time import perf_counter
from typing import Any, NamedTuple

from torc_migrations.databases.waiting import is_stopped
from torc_migrations.errors import WorkerLost
from torc_migrations.migrator import Migrator
from torc_migrations.services.tenants import Tenant, look_at, upgrade_one

# A batch takes about so many seconds, so that handing it over takes little beside it, and results come soon.
_BATCH_TIME = 0.05
_LARGEST = 64
_WAITING = 2  # how many batches each worker has: one that it works on, and one that waits


class Job(NamedTuple):
    """What is done with each database: its status is read, or it is upgraded to a target.

    `migrator` has the source, which was read already, and the options; `newest` is its newest version. With
    `first_failure_ends` no other database is begun after one has failed.
    """

    migrator: Migrator
    newest: int
    upgrades: bool
    target: int | None = None
    first_failure_ends: bool = False

    def perform(self, tenant: Tenant) -> Any:
        """Perform it on one database, and return a TenantStatus or a TenantResult."""
        migrator = copy(self.migrator)
        migrator.database = tenant.address
        return (
            upgrade_one(migrator, tenant.name, self.target)
            if self.upgrades
            else look_at(migrator, tenant.name, self.newest)
        )


class Answer(NamedTuple):
    """What a process has done with a batch: the results, of fewer databases if it was to stop, and in which time."""

    results: list[Any]
    elapsed: float


def perform_batch(job: Job, batch: Sequence[Tenant], is_stopped: Callable[[], bool]) -> Answer:
    """Perform a job on some databases, until it is to stop."""
    began, results = perf_counter(), list[Any]()
    for tenant in batch:
        if is_stopped():
            break
        results.append(job.perform(tenant))
        if job.first_failure_ends and results[-1].error is not None:
            break
    return Answer(results, perf_counter() - began)


class _Process:
    """A process of ours that performs a job; it ends when this one does.

    `stop` is the path of a file: once it exists, no process begins another database.
    """

    def __init__(self, job: bytes, stop: str) -> None:
        words = [sys.executable, "-m", "torc_migrations.services.process", stop]
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self._process = subprocess.Popen(  # noqa: S603  # this Python, and a module of ours
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
        )
        with suppress(BrokenPipeError):  # then the first batch says so
            self._send(job)

    def perform(self, batch: Sequence[Tenant]) -> Answer:
        """Perform the job on some databases."""
        assert self._process.stdout is not None
        try:
            self._send(pickle.dumps(batch))
            answer: Answer = pickle.load(self._process.stdout)  # noqa: S301  # from a process of ours
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise WorkerLost(self._process.wait()) from error
        return answer

    def close(self) -> None:
        """Let the process end after what it is doing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended by itself
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _send(self, contents: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(contents)
        self._process.stdin.flush()


class _Failed(NamedTuple):
    error: BaseException


def perform_all(job: Job, tenants: Iterable[Tenant], workers: int, *, is_enough: Callable[[], bool]) -> Iterator[Any]:
    """Perform a job on databases, and yield each result, in any order.

    No database is begun once `is_enough` returns True; those that were begun end, and their results are yielded.
    """
    pickled = _pickled(job) if workers > 1 else None
    if pickled is None:
        for tenant in tenants:
            if is_enough() or is_stopped():
                return
            yield job.perform(tenant)
        return
    with TemporaryDirectory(prefix="torc_migrations") as directory:
        yield from _Pool(pickled, workers, os.path.join(directory, "stop")).run(iter(tenants), is_enough)


def _pickled(job: Job) -> bytes | None:
    """Return a job for another process, or None where that cannot have it, as for a function of the main program."""
    try:
        pickled = pickle.dumps(job)
        _Importable(BytesIO(pickled)).load()
    except (pickle.PickleError, AttributeError, TypeError):
        return None
    return pickled


class _Importable(pickle.Unpickler):
    """A reader that refuses what is of the main program, which is another one in a process of ours."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what has this name in a module."""
        if module == "__main__":
            raise pickle.UnpicklingError(f"{name} is of the main program")
        return super().find_class(module, name)


class _Pool:
    """Threads of this process, each of which hands batches of databases to a process of its own.

    A thread is started when there is a batch for it.
    """

    def __init__(self, job: bytes, workers: int, stop: str) -> None:
        self._job = job
        self._workers = workers
        self._stop = stop
        self._size = 1
        self._threads: list[Thread] = []
        self._todo: Queue[Sequence[Tenant] | None] = Queue()
        self._done: Queue[Answer | _Failed] = Queue()

    def run(self, tenants: Iterator[Tenant], is_enough: Callable[[], bool]) -> Iterator[Any]:
        """Yield each result."""
        with ExitStack() as stack:
            stack.callback(self._end)
            waiting, exhausted = 0, False
            while True:
                if not exhausted and (is_enough() or is_stopped()):
                    self._stop_all()
                    exhausted = True
                while not exhausted and waiting < self._workers * _WAITING:
                    batch = tuple(islice(tenants, self._size))
                    exhausted = not batch
                    if batch:
                        self._todo.put(batch)
                        self._start_thread()
                        waiting += 1
                if exhausted and not waiting:
                    return
                answer = self._done.get()
                if isinstance(answer, _Failed):
                    raise answer.error
                waiting -= 1
                self._size = _next_size(answer)
                yield from answer.results

    def _start_thread(self) -> None:
        if len(self._threads) < self._workers:
            self._threads.append(Thread(target=self._drive, name="torc_migrations fleet"))
            self._threads[-1].start()

    def _drive(self) -> None:
        try:
            process = _Process(self._job, self._stop)
            try:
                while (batch := self._todo.get()) is not None:
                    self._done.put(process.perform(batch))
            finally:
                process.close()
        except BaseException as error:
            self._done.put(_Failed(error))

    def _stop_all(self) -> None:
        """Let no process begin another database."""
        with open(self._stop, "w"):
            pass

    def _end(self) -> None:
        self._stop_all()  # also after an error, or Ctrl-C
        while not self._todo.empty():
            self._todo.get_nowait()
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            if thread.ident is not None:  # Ctrl-C may have come before its start
                thread.join()


def _next_size(answer: Answer) -> int:
    """Return how many databases the next batch has, from how long the last one took."""
    each = answer.elapsed / max(1, len(answer.results))
    return max(1, min(_LARGEST, int(_BATCH_TIME / max(each, 1e-6))))
