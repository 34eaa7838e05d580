"""What belongs to the whole process and is changed for a while: right for several threads at once."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager

import dask

from daskflow.clusters.loopback import CONFIG, CONFIGURED
from daskflow.core.warned import gathered, ignored

TICK = "distributed.admin.tick.interval"


def overlapping(first: AbstractContextManager[object], second: AbstractContextManager[object]) -> None:
    """Enter one, enter the other in another thread, leave the one, leave the other."""
    entered, may_leave = threading.Event(), threading.Event()

    def other() -> None:
        with second:
            entered.set()
            may_leave.wait(60)

    thread = threading.Thread(target=other)
    with first:
        thread.start()
        entered.wait(60)
    may_leave.set()
    thread.join(60)


def test_filters_are_as_before_when_blocks_of_two_threads_overlap() -> None:
    # given
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        before, shown = list(warnings.filters), warnings.showwarning
        # when
        overlapping(ignored(UserWarning), ignored())
        overlapping(gathered(), gathered(UserWarning))
        overlapping(gathered(), ignored())
        # then
        assert list(warnings.filters) == before
        assert warnings.showwarning is shown


def in_another_thread(function: Callable[[], None]) -> None:
    """Call it there."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(60)


def warn(text: str) -> None:
    """Warn at one place, which Python would hear once."""
    warnings.warn(text, UserWarning, stacklevel=1)


def test_a_thread_ignores_and_gathers_its_own_warnings_only() -> None:
    # given
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        # when
        with gathered() as said:
            warn("mine")
            in_another_thread(lambda: warn("theirs"))
            with ignored(UserWarning, "not th"):
                warn("not this")
                warn("this")
                in_another_thread(lambda: warn("not this, theirs"))
        warn("later")
    # then
    assert [str(each.message) for each in said] == ["mine", "this"]
    assert [str(each.message) for each in shown] == ["theirs", "not this, theirs", "later"]


def test_a_warning_that_was_given_once_is_gathered_again() -> None:
    # given
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for _ in range(2):
            # when
            with gathered(UserWarning) as said:
                warn("again")
            # then
            assert len(said) == 1


def test_dasks_configuration_is_as_before_when_clusters_of_two_threads_overlap() -> None:
    # given
    before = dask.config.get(TICK)
    assert before != CONFIG[TICK]
    inside = []

    class Noting:
        """Notes what holds when it is left."""

        def __enter__(self) -> None:
            CONFIGURED.__enter__()

        def __exit__(self, *error: object) -> None:
            inside.append(dask.config.get(TICK))
            CONFIGURED.__exit__(None, None, None)

    # when
    overlapping(CONFIGURED, Noting())
    # then
    assert inside == [CONFIG[TICK]]
    assert dask.config.get(TICK) == before
