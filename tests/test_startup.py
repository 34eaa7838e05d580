"""From the command to the first fit on a queue: what is loaded before jobs are handed in, and what meanwhile."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daskflow.cli.running import CoreHoursAtFirstFits
from daskflow.clusters import batch_open
from daskflow.clusters.slurm import Slurm
from daskflow.core.errors import DataError, SettingsError
from daskflow.core.events import Event
from daskflow.core.folder import RunFolder
from daskflow.core.protocols import Call, Limits, Unit
from daskflow.core.space import LogUniform
from daskflow.data.client_executor import packed
from daskflow.data.seat_process import opened
from daskflow.data.seats import Seats
from daskflow.models import REGISTRY, construction
from daskflow.search.random import Random
from daskflow.workflow.opening import Opening
from daskflow.workflow.submission import read_submission, read_workflow, workflow_file
from daskflow.workflow.submitting import submit
from daskflow.workflow.workflow import Workflow
from tests.fake_queue import FakeQueue

ROOT = Path(__file__).resolve().parent.parent

WORKFLOW = """
name = "cars"
[data]
kind = "csv"
path = "cars.csv"
target = "price"
[model]
kind = "sgd"
[search]
kind = "random"
trials = 2
[cluster]
kind = "slurm"
walltime = "10 min"
memory = "700 MiB"
"""

IN_THE_WAY = "from tests.fake_queue import FakeQueue; from daskflow.clusters.slurm import Slurm; import sys, os\n"
"""Each of these tests takes a process of its own, which sees this fake queue."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A workflow file with its data."""
    (tmp_path / "cars.csv").write_text("km,make,price\n" + "".join(f"{n},m{n % 3},{2 * n}\n" for n in range(2000)))
    (tmp_path / "workflow.toml").write_text(WORKFLOW)
    return tmp_path / "workflow.toml"


@pytest.fixture
def folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run that was submitted."""
    queue = FakeQueue()
    monkeypatch.setattr(Slurm, "commands", lambda self: queue)
    return submit(Workflow.from_toml(file), file.parent / "runs").folder


def loaded_of(names: str, code: str, place: Path) -> list[str]:
    """Run some code in a new process; return which of these libraries it has loaded when it says so or ends."""
    told = f"\nprint('LOADED', *[name for name in {names.split()} if name in sys.modules])\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_WAY + code.replace("SAY", "exec(TOLD)").replace("TOLD", repr(told))],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert lines, done.stdout + done.stderr
    return lines[0].split()[1:]


def test_a_workflow_is_checked_and_handed_in_without_what_no_check_needs(file: Path) -> None:
    # when a workflow of CSV files and a quick family is submitted, in a process of its own
    found = loaded_of(
        "sklearn scipy.stats numba sparse dask.array dask.dataframe dask_ml bokeh daskflow.search.engine",
        "queue = FakeQueue(); Slurm.commands = lambda self: queue\n"
        "from daskflow.workflow.submitting import submit; from daskflow.workflow.workflow import Workflow\n"
        f"submit(Workflow.from_toml({str(file)!r}), 'runs')\n"
        "assert len(queue.scripts) == 1\nSAY",
        file.parent,
    )
    # then it has no scikit-learn, no compiler, none of Dask's collections, no search
    assert found == []


def test_a_controller_starts_its_cluster_before_it_loads_what_the_stages_need(folder: RunFolder) -> None:
    # given the moment in which the controller's process starts its cluster
    found = loaded_of(
        "pandas scipy sklearn numba dask.array dask.dataframe dask_ml bokeh daskflow.workflow.executing",
        "from daskflow.clusters import batch_open\n"
        "def start(self):\n    SAY\n    sys.stdout.flush()\n    os._exit(0)\n"
        "batch_open.BatchCluster.start = start\n"
        "from daskflow.core.folder import RunFolder; from pathlib import Path\n"
        "from daskflow.workflow.controller import Controller\n"
        f"Controller(RunFolder(Path({str(folder.path)!r})), queue=FakeQueue()).run(lambda event: None)",
        folder.path,
    )
    # then nothing is there that takes long
    assert found == []


def test_the_table_is_opened_when_jobs_are_handed_in_and_before_they_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a cluster that starts nothing
    order: list[str] = []
    for name in ("start", "wait_for_a_worker", "close", "tell_news"):
        monkeypatch.setattr(batch_open.BatchCluster, name, lambda self, name=name: order.append(name))
    monkeypatch.setattr(batch_open.BatchCluster, "connection", lambda self: None)
    cluster = Slurm(memory="1 GiB", walltime="10 min").within(tmp_path, "run")
    # when
    with cluster.meanwhile(lambda: order.append("meanwhile")).open():
        pass
    # then
    assert order[:3] == ["start", "meanwhile", "wait_for_a_worker"]


def test_where_the_table_is_opened_early_the_stages_are_imported_behind_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a source that opens at once, and modules that need the table to be open
    (file.parent / "of_the_stages.py").write_text("")
    monkeypatch.syspath_prepend(file.parent)
    workflow = Workflow.from_toml(file)
    monkeypatch.setattr(type(workflow.data), "opens_early", True)
    # when
    with Opening(workflow, file.parent / "runs") as opening:
        opening.begin("of_the_stages")
        opening.wait()
        # then
        assert "of_the_stages" in sys.modules
        assert opening.table(lambda event: None).schema.names == ("km", "make", "price")


def test_parameters_of_a_submitted_workflow_are_checked_where_it_runs_all_the_same(folder: RunFolder) -> None:
    # given a submitted workflow that somebody has changed since
    content = workflow_file(folder).read_text()
    workflow_file(folder).write_text(content.replace("[model.params]", "[model.params]\nalpa = 1.0", 1))
    submission = read_submission(folder)
    assert submission is not None
    # when it is read, then that asks no estimator
    workflow = read_workflow(folder, submission)
    # but its table is not to be had
    with Opening(workflow, folder.path.parent.parent) as opening:
        opening.begin()
        with pytest.raises(SettingsError, match=r"model\.params\.alpa.*alpha"):
            opening.table(lambda event: None)


def test_a_workflow_whose_table_is_open_does_not_look_at_it_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    workflow = Workflow.from_toml(file)
    once = workflow.opened()
    (file.parent / "cars.csv").unlink()
    # when, then
    assert once.table() is once.on("inline").table()
    assert workflow.id == once.id
    with pytest.raises(DataError, match="no such file"):
        workflow.table()


class Loud:
    """A value that says where it is unpickled."""

    heard: list[str] = []  # noqa: RUF012

    def __reduce__(self) -> Any:
        """Be made by `shout`."""
        return shout, ()


def shout() -> Loud:
    """Say that somebody unpickles."""
    Loud.heard.append("unpickled")
    return Loud()


def count(*arguments: Any) -> int:
    """Return how many arguments there are."""
    return len(arguments)


def test_a_worker_hands_a_fit_on_without_loading_what_it_is_made_of() -> None:
    # given a unit whose calls are made beside the worker, on its way
    unit = Unit("unit", count, calls=(Call("first", (Loud(), 2)), Call("second", (3,))), limits=Limits())
    bare, arguments = packed(unit, [Loud()])
    Loud.heard.clear()
    # when the worker gets it
    there: Unit = pickle.loads(pickle.dumps((bare, arguments)))[0]
    # then it knows the calls by their keys, and nothing of what they are made of
    assert Loud.heard == []
    assert arguments == []
    assert [call.key for call in there.calls] == ["first", "second"]
    # and where the calls are made everything is there
    function, shared, calls = opened(there.function, (), [(call.key, call.arguments) for call in there.calls])
    assert [(key, function(*shared, *own)) for key, own in calls] == [("first", 3), ("second", 2)]
    assert len(Loud.heard) == 2


def is_loaded(name: str) -> tuple[int, bool]:
    """Return this process's number, and whether it has a module."""
    return os.getpid(), name in sys.modules


def test_a_process_that_was_prepared_has_loaded_its_modules_and_makes_the_first_call() -> None:
    # given one that is told a module that is not there, too
    seats = Seats()
    seats.prepare(["no.such.module", "wave"])
    (prepared,) = seats._free
    # when
    try:
        with seats.taken() as seat:
            (outcome,) = seat.run(is_loaded, (), [Call("first", ("wave",))], Limits())
    finally:
        seats.vacate()
    # then
    assert outcome.value == (prepared.process.pid, True), outcome


def test_where_the_system_gives_no_process_nobody_waits_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    seats = Seats()
    monkeypatch.setattr(subprocess, "Popen", refuses)
    with pytest.raises(BlockingIOError):
        seats.prepare([])
    assert seats.used() == {"cpu": 0.0, "memory": 0.0}


def test_workers_with_little_memory_have_no_process_before_the_first_fit(tmp_path: Path) -> None:
    asked = ["daskflow.search.fits"]
    assert Slurm(memory="1 GiB", walltime="10 min").importing(asked).modules == tuple(asked)
    assert Slurm(memory="500 MiB", walltime="10 min").importing(asked).modules == ()


def test_core_hours_are_said_once_the_first_fits_are_done(file: Path) -> None:
    # given a run whose jobs waited for an hour, on two workers of one core each
    heard: list[Event] = []
    listener = CoreHoursAtFirstFits(Workflow.from_toml(file), file.parent / "runs", heard.append)
    cpu = {"cpu_hours_spent": 0.1, "cpu_hours": 0.4, "cpu_low": 0.3, "cpu_high": 0.6}
    left = {"stage": "search", "seconds": 5400.0, "low": 1800.0, "high": 9000.0, **cpu}
    # when its fits are forecast half an hour after its first stage began
    for event in (
        Event("note", {"text": "1 job submitted"}, 0.0),
        Event("stage", {"stage": "scan", "state": "started"}, 3600.0),
        Event("forecast", left, 5400.0),
        Event("forecast", left, 5500.0),
    ):
        listener(event)
    # then that is said once, what it has had so far included
    (said,) = [event.fields["text"] for event in heard if event.name == "note"][1:]
    assert said == "Core-hours until the search ends: about 4 (2 to 6) on 2 cores."


@pytest.mark.parametrize(
    "space",
    [
        {"alpha": [1, 2], "penalty": ["l1", "l2", "elasticnet"]},
        {"alpha": list(range(30))},
        {"alpha": LogUniform(1e-4, 1.0), "penalty": ["l1"]},
        {"model": ["sgd", "ridge"], "sgd.alpha": [1, 2], "ridge.alpha": [3, 4, 5]},
    ],
)
@pytest.mark.filterwarnings("ignore:search.space has")
def test_a_random_search_counts_its_candidates_without_drawing_them(space: dict[str, Any]) -> None:
    search = Random(trials=20)
    assert search.fits(space, seed=3)["candidates"] == len(search.policy(space, seed=3).candidates)


@pytest.mark.parametrize("kind", [name for name, cls in REGISTRY.kinds.items() if cls.libraries])
def test_a_family_that_names_what_its_fits_import_has_nothing_wrong_by_itself(kind: str) -> None:
    # given a family that is not looked at where nobody sets a parameter
    family = REGISTRY.parse(kind)
    for task in family.tasks:
        assert family.check(task) == []
        # when its estimator is made all the same, then it has nothing wrong, and its libraries are there
        assert construction.problems(family.template(task), {}, ()) == []
    for name in family.libraries:
        assert importlib.import_module(name)
