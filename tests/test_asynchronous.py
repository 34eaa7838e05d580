"""What is awaited: workflows, plans, searches and predictions, several at once, and none of them in the loop's way."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client
from sklearn.linear_model import SGDClassifier

import daskflow as flow
from daskflow.core import interruption
from daskflow.core.awaiting import in_thread
from daskflow.core.errors import ClusterError, JournalError, SettingsError
from daskflow.search import GridSearchCV, IncrementalSearchCV
from daskflow.search.places import place_for
from tests.awaited_runs import FITTED, Pauses, Telling, outcome, records, small


def test_what_a_function_returns_or_raises_comes_to_the_task_that_awaits_it() -> None:
    # given
    async def both() -> tuple[int, BaseException]:
        good, bad = await asyncio.gather(in_thread(divmod, 7, 2), in_thread(divmod, 7, 0), return_exceptions=True)
        return good[0], bad  # type: ignore[index, return-value]  # gather says either may be both

    # when
    quotient, error = asyncio.run(both())
    # then
    assert quotient == 3
    assert isinstance(error, ZeroDivisionError)


def test_a_task_that_is_cancelled_ends_when_its_work_has() -> None:
    # given work that takes a while to clean up after it is told
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        try:
            while True:
                interruption.check()
                time.sleep(0.005)
        except KeyboardInterrupt:
            time.sleep(0.05)
            interruption.check()  # what was asked once is not asked again
            ended.set()
            raise

    async def cancel() -> bool:
        task = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return ended.is_set()

    # when, then
    assert asyncio.run(cancel())


def test_what_goes_wrong_while_cancelled_work_ends_is_the_cancellations_cause() -> None:
    # given
    begun = threading.Event()

    def work() -> None:
        begun.set()
        interruption.CURRENT.get().wait(60)  # type: ignore[union-attr]

    def failing() -> None:
        try:
            work()
        except KeyboardInterrupt:
            raise OSError("the disk is full") from None

    async def cancel() -> BaseException | None:
        task = asyncio.create_task(in_thread(failing))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            return error.__cause__
        return None

    # when, then
    assert str(asyncio.run(cancel())) == "the disk is full"


def test_workflows_at_once_find_what_they_find_alone_and_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    # given runs of two seeds, one after the other in this thread
    alone = [outcome(small(tmp_path, seed).run(tmp_path / "alone")) for seed in (1, 2)]
    pauses = Pauses()

    async def together() -> list[Any]:
        async with flow.connect("threads", workers=2, asynchronous=True) as client:
            ticking = asyncio.create_task(pauses.in_loop())
            found = await asyncio.gather(
                *[small(tmp_path, seed).run_async(tmp_path / "together", cluster=client) for seed in (1, 2, 1)],
                return_exceptions=True,
            )
            ticking.cancel()
            assert await client.submit(len, "abc") == 3  # what Dask's own client does it still does
        return found

    # when
    *found, again = asyncio.run(together())
    if isinstance(found[0], BaseException):  # either of the two may have come first
        found[0], again = again, found[0]
    # then
    assert [outcome(run) for run in found] == alone
    assert isinstance(again, JournalError)
    assert "is in use by another run" in str(again)
    assert pauses.p99(pauses.loop) < max(0.5, 4 * pauses.p99(pauses.thread))
    # what each took is its own: not that of the process, which all of them share
    for run in found:
        took = sum(record["cpu_seconds"] for record in records(run, "stage"))
        assert took <= 2 * sum(record["seconds"] for record in records(run, "stage")) + 0.5
        assert run.record().workflow["cluster"]["kind"] == "threads"


def test_a_run_whose_task_is_cancelled_is_interrupted_and_can_be_continued(tmp_path: Path) -> None:
    # given a run that holds still when its fits, which are made together, are on record
    workflow = small(tmp_path, 4, trials=4)
    cancelled = threading.Event()

    async def cancel() -> str:
        loop, tried = asyncio.get_running_loop(), asyncio.Event()

        def listen(event: Any) -> None:
            if event.name == "progress" and event.fields["stage"] == "search" and event.fields["done"]:
                loop.call_soon_threadsafe(tried.set)
                cancelled.wait(100)

        task = asyncio.create_task(workflow.run_async(tmp_path, listener=listen))
        await tried.wait()
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return flow.open_run(tmp_path / workflow.name).status

    # when
    status = asyncio.run(cancel())
    interrupted = flow.open_run(tmp_path / workflow.name)
    begun = [len(records(interrupted, kind)) for kind in ("unit", "refitted")]
    run = workflow.run(tmp_path)
    # then
    assert status == "interrupted"
    assert begun == [4, 0]
    places = [(record["trial"], record["fold"], record["resource"]) for record in records(run, "unit")]
    assert len(places) == len(set(places)) == 4
    assert run.status == "done"


@pytest.mark.slow
def test_a_failure_of_one_run_is_its_tasks_and_no_other_ones(tmp_path: Path) -> None:
    # given
    bad = small(tmp_path, 6, data={"kind": "parquet", "path": str(tmp_path / "nothing.parquet"), "target": "y"})

    async def both() -> list[Any]:
        with flow.connect("threads", workers=1) as client:  # a synchronous client can be shared as well
            runs = (each.run_async(tmp_path, cluster=client) for each in (small(tmp_path, 5), bad))
            return await asyncio.gather(*runs, return_exceptions=True)

    # when
    good, failed = asyncio.run(both())
    # then
    assert good.status == "done"
    assert isinstance(failed, flow.DaskflowError)


@pytest.mark.slow
def test_a_search_of_higher_priority_overtakes_one_that_is_running() -> None:
    # given one thread, and a long search on it
    FITTED.clear()
    X, y = np.zeros((12, 2)), np.tile([0, 1], 6)
    long, short = list(range(100)), list(range(2))

    async def overtake() -> None:
        async with flow.connect("threads", workers=1, asynchronous=True):
            low = GridSearchCV(Telling("low", seconds=0.03), {"number": long}, cv=2, refit=False)
            high = GridSearchCV(Telling("high", seconds=0.01), {"number": short}, cv=2, refit=False)
            slow = asyncio.create_task(low.fit_async(X, y))
            while not FITTED:
                await asyncio.sleep(0.005)
            with dask.annotate(priority=10):
                quick = asyncio.create_task(high.fit_async(X, y))
            await asyncio.gather(slow, quick)

    # when
    asyncio.run(overtake())
    # then
    assert [FITTED.count(name) for name in ("low", "high")] == [200, 4]
    last = len(FITTED) - 1 - FITTED[::-1].index("high")
    assert FITTED[last:].count("low") > 0


def test_searches_are_awaited_with_an_asynchronous_client_and_without_any() -> None:
    # given
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = (X[:, 0] > 0).astype(int)
    grid = {"alpha": [1e-4, 1e-2]}
    expected = GridSearchCV(SGDClassifier(random_state=0), grid).fit(X, y).cv_results_["mean_test_score"]

    async def search() -> list[Any]:
        here = await GridSearchCV(SGDClassifier(random_state=0), grid).fit_async(X, y)
        async with flow.connect("threads", workers=1, asynchronous=True) as client:
            current = await GridSearchCV(SGDClassifier(random_state=0), grid).fit(X, y)
            incremental = IncrementalSearchCV(SGDClassifier(random_state=0), grid, max_iter=2, n_initial_parameters=2)
            await incremental.fit(X, y, classes=[0, 1])
            assert incremental.best_score_ > 0.5
        async with flow.connect("threads", workers=1, asynchronous=True) as client:
            named = await asyncio.create_task(
                GridSearchCV(SGDClassifier(random_state=0), grid, scheduler=client).fit(X, y)
            )
        return [each.cv_results_["mean_test_score"] for each in (here, current, named)]

    # when
    found = asyncio.run(search())
    # then
    for scores in found:
        np.testing.assert_array_equal(scores, expected)


def test_a_search_that_is_cancelled_keeps_what_it_found() -> None:
    # given
    FITTED.clear()
    X, y = np.zeros((12, 2)), np.tile([0, 1], 6)
    search = GridSearchCV(Telling("cut"), {"number": list(range(2000))}, cv=2, refit=False, scheduler="threads")

    async def cancel() -> None:
        task = asyncio.create_task(search.fit_async(X, y))
        while len(FITTED) < 4 and not task.done():
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    # when
    asyncio.run(cancel())
    # then
    assert 1 <= len(search.cv_results_["params"]) < 2000


def test_predictions_and_plans_are_awaited(tmp_path: Path) -> None:
    # given
    workflow = small(tmp_path, 7)
    model = workflow.run(tmp_path).model
    rows = workflow.table().partitions[0].read().plain.to_pandas()
    frame = dd.from_pandas(rows, npartitions=3)

    async def predict() -> tuple[Any, ...]:
        plan, here, threads = await asyncio.gather(
            workflow.plan_async(tmp_path), model.predict_async(rows), model.predict_proba_async(frame)
        )
        async with flow.connect("threads", workers=1, asynchronous=True):
            current = await model.predict_async(frame)
        with flow.connect("threads", workers=1) as client:
            given = await model.predict_async(frame, client=client, priority=3)
        return plan, here, threads, current, given

    # when
    plan, here, threads, current, given = asyncio.run(predict())
    # then
    assert plan.name == workflow.name
    expected = model.predict(rows)
    for found in (here, current, given):
        pd.testing.assert_series_equal(found, expected, check_dtype=found is here)
    np.testing.assert_array_equal(threads.to_numpy(), model.predict_proba(rows).to_numpy())


def test_what_cannot_be_a_cluster_is_said_before_anything_runs(tmp_path: Path) -> None:
    # given
    workflow = small(tmp_path, 8)
    with flow.connect("threads", workers=1) as client:
        pass

    async def wrongly() -> None:
        async with flow.connect("threads", workers=1, asynchronous=True) as asynchronous:
            with pytest.raises(SettingsError, match="await run_async instead"):
                workflow.run(tmp_path, cluster=asynchronous)
            with pytest.raises(SettingsError, match="priority"):
                await workflow.run_async(tmp_path, cluster=asynchronous, priority=float("nan"))
            kept = small(tmp_path, 8, cache="memory")
            with (
                Client(asynchronous.driver.scheduler.address, set_as_default=False) as foreign,
                pytest.raises(SettingsError, match=r"cache\.kind"),
            ):
                kept.on(foreign)
            with pytest.raises(ClusterError, match="asynchronous one"):
                place_for()

    # when, then
    with pytest.raises(ClusterError, match="The client is closed"):
        workflow.run(tmp_path, cluster=client)
    with pytest.raises(SettingsError, match="cluster"):
        workflow.run(tmp_path, cluster=42)
    asyncio.run(wrongly())
    assert not list((tmp_path / workflow.name).glob("*/model"))
