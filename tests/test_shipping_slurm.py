"""Environments that are shipped, on a real Slurm whose nodes have a Python without any package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daskflow.core.errors import ClusterError
from daskflow.core.folder import find_run
from daskflow.workflow import open_run
from daskflow.workflow.workflow import Workflow
from tests.slurm_fixture import TestSlurm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WORKFLOW = """
name = "shipped"
metrics = ["roc_auc", { kind = "function", function = "own_score:halved", tasks = ["binary"] }]
[data]
kind = "generated"
rows = 1000
partitions = 2
task = "binary"
[split]
folds = 2
[model]
kind = "sgd"
[search]
kind = "random"
trials = 2
[evaluation]
explain = false
replicates = 20
[cluster]
kind = "slurm"
memory = "900 MiB"
interface = "lo"
ship = "packages"
death_timeout = 400
"""

OWN = """
def halved(y_true, y_pred, sample_weight=None):
    return float((y_true == y_pred).mean()) / 2
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, slurm: TestSlurm) -> Iterator[Path]:
    """A folder with a workflow, a module of its own, and a Python that knows nothing but its own modules.

    One for all tests here: what is packed for the first is there for the others.
    """
    place = tmp_path_factory.mktemp("shipped")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "bare"], check=True, timeout=200)
    (place / "own_score.py").write_text(OWN)
    said = f'python = "{place}/bare/bin/python"\nscratch = "{place}/node\'s disk"\n'
    # A shell that loads modules sets PYTHONPATH, too; what is there must not be mixed in.
    (place / "mixed" / "numpy").mkdir(parents=True)
    (place / "mixed" / "numpy" / "__init__.py").write_text("raise ImportError('the numpy of the node')")
    said += f'prologue = ["export PYTHONPATH={place}/mixed"]\n'
    (place / "workflow.toml").write_text(WORKFLOW + said)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("DASKFLOW_CACHE_DIR", str(place / "cache"))
        patch.setenv("PYTHONPATH", f"{place}:{Path(__file__).parent.parent}")
        patch.syspath_prepend(place)
        yield place
    subprocess.run(["scancel", "--user", str(os.getuid()), "--quiet"], check=False, timeout=30)


def test_a_submitted_run_brings_its_packages_to_nodes_without_any_and_leaves_none_there(
    place: Path, slurm: TestSlurm
) -> None:
    # when a run is submitted whose nodes have a bare Python
    told = subprocess.run(
        [sys.executable, "-m", "daskflow", "submit", "workflow.toml"], capture_output=True, text=True, timeout=400
    )
    assert told.returncode == 0, told.stderr
    folder = find_run("runs/shipped")
    end = time.monotonic() + 500
    while (there := open_run(folder.path)).status not in ("done", "failed"):
        assert time.monotonic() < end, (there.status, [log.read_text() for log in folder.path.glob("logs/*")])
        time.sleep(0.5)

    # then it ends as one that runs here, by a metric that only the workflow has
    assert there.status == "done", [log.read_text() for log in folder.path.glob("logs/*")]
    here = Workflow.from_toml("workflow.toml", on="inline").run("here")
    assert there.metrics == here.metrics

    # and no job, no copy and no link is left, but the archive for later runs
    end = time.monotonic() + 100
    while left := [*slurm.jobs(), *place.glob("node's disk/daskflow-*")]:
        assert time.monotonic() < end, left
        time.sleep(0.2)
    assert not (folder.path / "environment.tar.gz").exists()
    assert len(list(place.glob("runs/.environments/*"))) == 1
    assert json.loads((folder.path / "submit.json").read_text())["jobs"]


@pytest.mark.usefixtures("slurm")
def test_a_node_with_another_python_ends_the_run_with_both_versions(place: Path) -> None:
    # given nodes with a Python of long ago
    python = place / "bare" / "old"
    python.write_text("#!/bin/sh\necho cpython-39-x86_64-linux-gnu 3.9.2\n")
    python.chmod(0o755)
    workflow = Workflow.from_toml("workflow.toml", {"cluster.python": str(python), "cluster.workers": 1})

    # when, then
    with pytest.raises(ClusterError) as raised:
        workflow.run("other")
    assert f"has another Python: {python} is 3.9.2" in str(raised.value)
    assert f"is {sys.version_info.major}.{sys.version_info.minor} " in str(raised.value)
    assert "cluster.ship = 'python'" in str(raised.value)
