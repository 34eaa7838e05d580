"""What is awaited on clusters of processes: several workflows at once, Ctrl-C, and a loop that never stands still."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import daskflow as flow
from tests.awaited_runs import Pauses, outcome, records, small

pytestmark = pytest.mark.slow


def test_three_workflows_at_once_on_a_local_cluster_find_what_they_find_one_after_the_other(tmp_path: Path) -> None:
    # given
    seeds, pauses = (1, 2, 3), Pauses()
    with flow.connect("local", workers=2) as client:
        alone = [outcome(small(tmp_path, seed).run(tmp_path / "alone", cluster=client)) for seed in seeds]

    async def together() -> list[Any]:
        async with flow.connect("local", workers=2, asynchronous=True) as client:
            ticking = asyncio.create_task(pauses.in_loop())
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(
                        small(tmp_path, seed, cache={"folder": str(tmp_path / "other")}).run_async(
                            tmp_path / "together", cluster=client, priority=seed
                        )
                    )
                    for seed in seeds
                ]
            ticking.cancel()
        return [outcome(task.result()) for task in tasks]

    # when
    found = asyncio.run(together())
    # then
    assert found == alone
    assert pauses.p99(pauses.loop) < max(0.5, 4 * pauses.p99(pauses.thread))


def test_a_task_group_whose_task_fails_ends_the_runs_of_the_others_in_good_order(tmp_path: Path) -> None:
    # given
    workflow = small(tmp_path, 4, trials=3)

    async def fail() -> None:
        loop, tried = asyncio.get_running_loop(), asyncio.Event()

        def listen(event: Any) -> None:
            if event.name == "stage" and event.fields["stage"] == "search":
                loop.call_soon_threadsafe(tried.set)

        async def break_down() -> None:
            await tried.wait()
            raise RuntimeError("something else went wrong")

        async with asyncio.TaskGroup() as group:
            group.create_task(workflow.run_async(tmp_path, cluster={"kind": "local", "workers": 1}, listener=listen))
            group.create_task(break_down())

    # when
    with pytest.raises(ExceptionGroup) as failed:
        asyncio.run(fail())
    # then
    assert [str(error) for error in failed.value.exceptions] == ["something else went wrong"]
    assert flow.open_run(tmp_path / workflow.name).status == "interrupted"
    assert workflow.run(tmp_path).status == "done"


SCRIPT = """
import asyncio, sys
from pathlib import Path
import daskflow as flow
from tests.awaited_runs import small

def listen(event):
    if event.name == "stage" and event.fields["stage"] == "search":
        print("searching", flush=True)

async def main(folder):
    async with flow.connect("local", workers=1, asynchronous=True) as client:
        print(*client.scheduler_info()["workers"], flush=True)
        runs = [small(folder, seed, trials=40, search={"kind": "random", "trials": 40, "isolate": False})
                for seed in (1, 2)]
        await asyncio.gather(*[each.run_async(folder / "runs", cluster=client, listener=listen) for each in runs])

if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
"""


def test_ctrl_c_ends_all_runs_and_the_cluster_and_leaves_journals_that_continue(tmp_path: Path) -> None:
    # given a program that awaits two runs
    (tmp_path / "program.py").write_text(SCRIPT)
    root = Path(__file__).resolve().parents[1]
    program = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])},
    )
    assert program.stdout is not None
    try:
        seen = [program.stdout.readline() for _ in range(2)]
        # when
        program.send_signal(signal.SIGINT)
        _, told = program.communicate(timeout=200)
    finally:
        program.kill()
    # then
    assert seen[1] == "searching\n"
    assert program.returncode not in (0, -signal.SIGKILL)
    assert told.rstrip().endswith("KeyboardInterrupt")
    found = [flow.open_run(tmp_path / "runs" / f"small-{seed}") for seed in (1, 2)]
    assert {run.status for run in found} == {"interrupted"}
    for run in found:
        assert records(run, "end")[-1]["status"] == "interrupted"


def test_a_search_on_anybodys_asynchronous_client_and_a_workflow_beside_it(tmp_path: Path, client: Any) -> None:
    # given
    from distributed import Client
    from sklearn.datasets import make_classification
    from sklearn.linear_model import SGDClassifier

    from daskflow.search import GridSearchCV

    X, y = make_classification(200, random_state=0)
    grid = {"alpha": [1e-4, 1e-2]}
    expected = GridSearchCV(SGDClassifier(random_state=0), grid, scheduler="synchronous").fit(X, y)
    alone = outcome(small(tmp_path, 5).run(tmp_path / "alone"))

    async def both() -> Any:
        async with Client(client.scheduler.address, asynchronous=True, set_as_default=False) as own:
            search = GridSearchCV(SGDClassifier(random_state=0), grid, scheduler=own)
            return await asyncio.gather(search.fit(X, y), small(tmp_path, 5).run_async(tmp_path, cluster=own))

    # when
    search, run = asyncio.run(both())
    # then
    assert search.best_params_ == expected.best_params_
    assert outcome(run) == alone
