"""Awaiting: synchronous work in a thread of its own, awaited by a task of an event loop that never stands still."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, ParamSpec, TypeVar

from daskflow.core.interruption import CURRENT, Interruption

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


class _Ended(NamedTuple):
    """What a function returned, or what it raised."""

    value: Any
    error: BaseException | None


async def in_thread(function: Callable[Asked, Answer], /, *arguments: Asked.args, **options: Asked.kwargs) -> Answer:
    """Call a function in a thread of its own, in this context, and await what it returns.

    When the awaiting task is cancelled the function is told (`core.interruption`) and has the time that it needs to
    end as after Ctrl-C; then the task is cancelled. So nothing goes on behind the back of who has cancelled it.

    Raises
    ------
    Exception
        What the function raises.
    asyncio.CancelledError
        When the task is cancelled; its cause is what the function raised on its way out, if that is a failure.

    Notes
    -----
    A thread for every call, not one of the loop's pool: that has few threads, and what waits for one of them would
    neither begin nor be told. The thread does not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Ended] = loop.create_future()
    interruption, context = Interruption(), contextvars.copy_context()
    context.run(CURRENT.set, interruption)

    def settle(ended: _Ended) -> None:
        if not done.done():
            done.set_result(ended)

    def work() -> None:
        try:
            ended = _Ended(context.run(function, *arguments, **options), None)
        except BaseException as error:  # also KeyboardInterrupt: it is the task's to raise
            ended = _Ended(None, error)
        with suppress(RuntimeError):  # the loop was closed, and nobody awaits
            loop.call_soon_threadsafe(settle, ended)

    threading.Thread(target=work, name=f"daskflow-{getattr(function, '__name__', 'work')}", daemon=True).start()
    try:
        await asyncio.wait([done])  # which leaves `done` as it is when the task is cancelled
    except asyncio.CancelledError as cancelled:
        interruption.ask()
        while not done.done():
            try:
                await asyncio.wait([done])
            except asyncio.CancelledError:
                interruption.ask()
        error = done.result().error
        raise cancelled from error if isinstance(error, Exception) else None
    ended = done.result()
    if ended.error is not None:
        raise ended.error
    value: Answer = ended.value
    return value
