"""Threads of native libraries are held to what is wanted, whoever comes and goes meanwhile."""

from __future__ import annotations

import threading

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from daskflow.core.native_threads import held_to

assert np.linalg is not None  # which loads BLAS


def test_threads_are_let_go_by_the_last_who_holds_them() -> None:
    with threadpool_limits(2):
        before = [pool["num_threads"] for pool in threadpool_info()]
        with held_to(1):
            with held_to(1):
                pass
            assert {pool["num_threads"] for pool in threadpool_info()} == {1}
        assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_each_thread_holds_its_own_and_any_may_be_the_last_to_let_go() -> None:
    def numbers() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info()]

    def ask(enters: threading.Event, entered: threading.Event, leaves: threading.Event, told: list[list[int]]) -> None:
        enters.wait(60)
        told.append(numbers())
        with held_to(1):
            told.append(numbers())
            entered.set()
            leaves.wait(60)
        told.append(numbers())

    # given two threads of which the second enters after the first, and leaves after it
    now, first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(4))
    first, second = list[list[int]](), list[list[int]]()
    threads = [
        threading.Thread(target=ask, args=(now, first_is_in, second_is_in, first)),
        threading.Thread(target=ask, args=(first_is_in, second_is_in, first_is_out, second)),
    ]
    with threadpool_limits(2, user_api="blas"):  # by a thread that lives on
        before = numbers()
        # when
        for thread in threads:
            thread.start()
        now.set()
        threads[0].join(60)
        first_is_out.set()
        threads[1].join(60)
        # then each has one thread as long as it is inside, and all is as before when both are out
        assert set(first[1]) == set(second[1]) == {1}
        assert second[2] == first[0]
        assert numbers() == before


def test_pools_have_the_smallest_number_that_is_wanted_by_anybody_inside() -> None:
    def blas() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(4, user_api="blas"):
        before = blas()
        outer, inner = held_to(2), held_to(1)
        # when somebody wants fewer, and who came first leaves first
        outer.__enter__()
        assert blas() == {2}
        inner.__enter__()
        assert blas() == {1}
        outer.__exit__(None, None, None)
        assert blas() == {1}
        inner.__exit__(None, None, None)
        # then
        assert blas() == before
        with held_to(1), held_to(3):
            assert blas() == {1}
        with held_to(3):
            with held_to(1):
                pass
            assert blas() == {3}
        assert blas() == before
