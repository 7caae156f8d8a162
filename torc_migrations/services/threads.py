"""Run an operation in a thread of its own, and await it; on asyncio, and on trio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Event, Thread
from typing import Literal, TypeAlias, TypeVar

from torc_migrations.databases.waiting import stoppable

T = TypeVar("T")
OnCancel: TypeAlias = Literal["finish", "interrupt"]

# An interruption ends the statement that is running; between two statements it does nothing, and is repeated.
_PAUSE = 0.02


class Operation:
    """One operation in a thread of its own: what runs, and how it is stopped.

    Attributes:
        interrupt: ends the statement that is running, or None as long as there is none.
    """

    def __init__(self, on_cancel: OnCancel) -> None:
        self.interrupt: Callable[[], None] | None = None
        self._on_cancel = on_cancel
        self._stopped = Event()
        self._ended = Event()
        self._interrupter: Thread | None = None

    def stop(self) -> None:
        """Have the operation end: after the migration that is running, or at once. May be called again."""
        if not self._stopped.is_set():
            if self._on_cancel == "interrupt":
                self._interrupter = Thread(target=self._interrupt, name="torc_migrations interrupt")
                self._interrupter.start()
            self._stopped.set()

    def run(self, call: Callable[[], T]) -> T:
        """Perform the operation in this thread."""
        try:
            with stoppable(self._stopped.is_set):
                return call()
        finally:
            self._ended.set()
            if self._interrupter is not None:
                self._interrupter.join()

    def _interrupt(self) -> None:
        while not self._ended.wait(_PAUSE):
            if self.interrupt is not None:
                self.interrupt()


async def run_in_thread(call: Callable[[], T], operation: Operation) -> T:
    """Perform an operation in a thread of its own, and return what it returns.

    If the caller is cancelled, the operation is stopped. Its thread has ended before the cancellation goes on.
    """
    if _is_trio():
        return await _run_on_trio(call, operation)
    future: Future[T] = Future()
    context = copy_context()
    thread = Thread(target=context.run, args=(_settle, future, call, operation), name="torc_migrations")
    thread.start()
    waited = asyncio.wrap_future(future)
    cancellation: asyncio.CancelledError | None = None
    while not waited.done():
        try:
            await asyncio.wait([waited])
        except asyncio.CancelledError as error:
            cancellation = error
            operation.stop()
    thread.join()  # it has nothing left to do
    if cancellation is not None:
        waited.exception()  # which asyncio would report as never retrieved
        raise cancellation
    return waited.result()


def _settle(future: Future[T], call: Callable[[], T], operation: Operation) -> None:
    try:
        future.set_result(operation.run(call))
    except BaseException as error:
        future.set_exception(error)


def _is_trio() -> bool:
    """Return whether trio runs this task; a program that does not use it has not imported it."""
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


async def _run_on_trio(call: Callable[[], T], operation: Operation) -> T:
    import trio

    future: Future[T] = Future()

    async def stop_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            operation.stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_when_cancelled)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_settle, future, call, operation, limiter=trio.CapacityLimiter(1))
        nursery.cancel_scope.cancel()
    await trio.lowlevel.checkpoint_if_cancelled()
    return future.result()
