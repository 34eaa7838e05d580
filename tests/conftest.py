"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("daskflow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("daskflow")
"""How quickly examples are drawn says how busy the machine is, and nothing of what is tested."""

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""Set, it makes every worker compile its imports anew."""

NOT_INSTALLED_IS_A_FAILURE = "DASKFLOW_TESTS_STRICT" in os.environ
"""CI sets it: what a developer's machine may lack, CI must have."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests time enough for a machine that is busy with others: only what hangs is to be ended."""
    for item in items:
        if item.get_closest_marker("slow") is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))


def lacking(what: str) -> None:
    """Skip a test for something this machine lacks; under CI that is a failure."""
    if NOT_INSTALLED_IS_A_FAILURE:
        pytest.fail(f"{what} is missing, and this run may not skip")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real tables: ``DASKFLOW_TEST_DATA``, else ``shared/data`` beside the repository."""
    folder = Path(os.environ.get("DASKFLOW_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        lacking("the folder of real tables")
    return folder


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """A local cluster of two workers with one thread each, for the whole session."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1", memory_limit=0
        ) as cluster,
        Client(cluster) as connected,
    ):
        yield connected


@pytest.fixture(scope="session")
def slurm() -> Iterator[Any]:
    """A real Slurm of four nodes on this machine, a `TestSlurm`, one for each process that runs tests."""
    from tests.slurm_fixture import running_slurm

    with running_slurm() as started:
        yield started


@pytest.fixture(autouse=True)
def _a_slurm_with_nothing_to_do(request: pytest.FixtureRequest) -> None:
    """A test on Slurm begins when what an earlier one has left there is gone: jobs take seconds to be cleaned up."""
    if "slurm" in request.fixturenames:
        request.getfixturevalue("slurm").until_empty()


@pytest.fixture(scope="module")
def sge() -> Iterator[Any]:
    """A real Grid Engine on this machine, a `TestQueue`."""
    from tests.sge_fixture import running_sge

    with running_sge() as started:
        yield started


@pytest.fixture(scope="module")
def pbs() -> Iterator[Any]:
    """PBS's commands over a real Slurm on this machine, a `TestQueue`."""
    from tests.pbs_fixture import running_pbs

    with running_pbs() as started:
        yield started
