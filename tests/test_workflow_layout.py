"""Workers are processes or threads: measured on partitions that are decoded once, and no matter of the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from daskflow.clusters.local import Local
from daskflow.core.journal import read
from daskflow.core.protocols import Unit
from daskflow.workflow import Workflow
from daskflow.workflow.layout import WELL, Pace, laid_out, measured
from tests.test_workflow_run import cut, outcome, settings


def rests(_: Any) -> list[dict[str, int]]:
    """Wait without the interpreter's lock, as reading and compiled loops do."""
    time.sleep(0.05)
    return [{"n_rows": 1000}]


def counts(_: Any) -> list[dict[str, int]]:
    """Hold the interpreter's lock, as Python code does."""
    total = 0
    for number in range(600_000):
        total += number
    return [{"n_rows": 1000}]


def paces(function: Callable[[Any], list[dict[str, int]]]) -> Iterator[Pace]:
    """Measure units of one sort, again and again."""
    for _ in range(20):
        yield measured([Unit(f"u{number}", function, (None,)) for number in range(4)])


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Enough rows for some partitions."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=1200)
    late = np.where(x + rng.normal(size=1200) > 0, "yes", "no")
    return pd.DataFrame({"x": x, "city": rng.choice(["ulm", "rom"], 1200), "late": late})


def test_threads_are_good_for_what_leaves_the_interpreter_alone_and_for_nothing_else() -> None:
    # given units of either sort, measured again where others took the processors meanwhile
    freely = paces(rests)
    first = next(freely)
    assert (first.threads, first.partitions) == (2, 4)
    assert first.share > WELL or any(each.share > WELL for each in freely)
    assert any(each.share < WELL for each in paces(counts))


@pytest.mark.slow
def test_a_run_measures_says_so_and_reads_every_partition_once(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given partitions that each are a block
    monkeypatch.setattr("daskflow.data.grouping.GROUP_FILES", 1)
    folder = cut(frame, tmp_path / "in", 6)
    processes = Workflow(**settings(folder, cache={"folder": str(tmp_path / "other")})).run(tmp_path / "other-runs")
    said: list[str] = []
    # when
    run = Workflow(**settings(folder, cluster={"kind": "local", "workers": 2, "layout": "auto"})).run(
        tmp_path / "runs", listener=lambda event: said.append(str(event.fields.get("text", "")))
    )
    # then
    assert any(text.startswith("Workers are ") and "rows a second" in text for text in said)
    summary = run.summary()
    assert summary["partition_reads"] == summary["partitions"] == 6
    stages = {record["stage"]: record for record in read(run.path / "journal.jsonl") if record["record"] == "stage"}
    assert stages["layout"]["partition_reads"] == 4
    assert outcome(run) == outcome(processes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"cluster": {"kind": "local", "workers": 2, "layout": "auto"}}, "too few to measure"),
        ({"cluster": {"kind": "local", "workers": 2, "layout": "auto"}, "cache": "none"}, "only blocks on disk"),
        ({"cluster": {"kind": "local", "workers": 1, "layout": "auto"}}, ""),
    ],
)
def test_what_cannot_be_measured_is_processes(
    changes: dict[str, Any], why: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    folder = cut(frame, tmp_path / "in", 2)
    cluster, text, reads = laid_out(Workflow(**settings(folder, **changes)), tmp_path / "runs")
    assert isinstance(cluster, Local)
    assert cluster.layout == "processes"
    assert why in text
    assert reads == 0


def test_threads_of_one_process_have_the_memory_of_all_workers() -> None:
    cluster = Local(workers=3, cores=2, memory="1 GiB").laid_out("threads")
    assert cluster.threads == 6
    assert "one process of 6 threads, 3.00 GiB" in cluster._describe()
    with cluster.open() as connection:
        assert connection.executor.slots == 6
        assert len(connection.client.nthreads()) == 1
