"""Job scripts kept in tests/golden, and the settings that each is made from: ``python -m tests.golden_scripts``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from daskflow.clusters import REGISTRY, shipping_lines
from daskflow.clusters.batch import Batch
from daskflow.clusters.shipping_archive import Archive

FOLDER = Path(__file__).with_name("golden")

RUN = Path("/shared/runs/cars/4f1e2d3c5b")

ENVIRONMENT = Archive(RUN / "environment.tar.gz", "0123456789abcdef" * 4, 800_000_000)

HERE = shipping_lines.Maker("login1", "x86_64", "3.11", "cpython-311-x86_64-linux-gnu")

PLAIN: dict[str, Any] = {"python": "/opt/env/bin/python"}

FULL: dict[str, Any] = {
    "cores": 4,
    "memory": "12.5 GiB",
    "walltime": "2 days 6 h",
    "account": "astro",
    "interface": "ib0",
    "scratch": "/scratch/$USER/my files",
    "python": "/opt/my env/bin/python",
    "prologue": ["module load gcc/12", "ulimit -n 4096"],
    "environment": {"OMP_NUM_THREADS": "2", "GREETING": "it's $HOME & more"},
    "worker_arguments": ["--resources", "GPU=1"],
    "death_timeout": 120,
    "log_folder": "/shared/my logs",
    "requeue": False,
}

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "slurm": ("slurm", "worker", PLAIN),
    "slurm-full": (
        "slurm",
        "worker",
        {**FULL, "queue": "long", "directives": ["--constraint=skylake", "#SBATCH --exclusive"], "job_cpu": 8},
    ),
    "slurm-no-memory": ("slurm", "worker", {**PLAIN, "directives_skip": ["--mem"], "job_mem": "4000"}),
    "slurm-packages": ("slurm", "worker", {**PLAIN, "ship": "packages", "scratch": "/scratch/$USER/my files"}),
    "slurm-python-controller": ("slurm", "controller", {"ship": "python"}),
    "slurm-controller": ("slurm", "controller", PLAIN),
    "slurm-full-controller": ("slurm", "controller", {**FULL, "queue": "long"}),
    "pbs": ("pbs", "worker", PLAIN),
    "pbs-full": ("pbs", "worker", {**FULL, "queue": "long", "directives": ["-m n"]}),
    "pbs-torque": ("pbs", "worker", {**PLAIN, "resource_spec": "nodes=1:ppn=1,mem=4gb", "walltime": "02:30:00"}),
    "pbs-controller": ("pbs", "controller", PLAIN),
    "sge": ("sge", "worker", PLAIN),
    "sge-full": (
        "sge",
        "worker",
        {**FULL, "queue": "long.q", "parallel_environment": "smp", "memory_resource": "h_vmem"},
    ),
    "sge-resources": ("sge", "worker", {**PLAIN, "resource_spec": "h_vmem=4G,gpu=1"}),
    "sge-controller": ("sge", "controller", PLAIN),
    "lsf": ("lsf", "worker", {**PLAIN, "lsf_units": "mb"}),
    "lsf-full": ("lsf", "worker", {**FULL, "queue": "long", "lsf_units": "gb", "directives": ['-R "select[avx2]"']}),
    "lsf-controller": ("lsf", "controller", {**PLAIN, "lsf_units": "kb"}),
    "htcondor": ("htcondor", "worker", PLAIN),
    "htcondor-full": (
        "htcondor",
        "worker",
        {
            **FULL,
            "disk": "40 GB",
            "directives": ["requirements = (OpSysMajorVer == 12)"],
            "prologue": ["cd $(mktemp -d)"],
        },
    ),
    "htcondor-packages": ("htcondor", "worker", {**PLAIN, "ship": "packages"}),
    "htcondor-controller": ("htcondor", "controller", PLAIN),
    "oar": ("oar", "worker", PLAIN),
    "oar-full": ("oar", "worker", {**FULL, "queue": "night", "memory_per_core_property_name": "memcore"}),
    "oar-resources": ("oar", "worker", {**PLAIN, "resource_spec": "/nodes=1/cpu=1", "directives": ["-p gpu='YES'"]}),
    "oar-controller": ("oar", "controller", PLAIN),
}
"""Name of the file, kind, whose script, and settings."""


def cluster_of(kind: str, settings: Mapping[str, Any]) -> Batch:
    """The kind's settings within a run."""
    cluster = REGISTRY.parse({"kind": kind, **settings}).within(RUN, RUN.name)
    assert isinstance(cluster, Batch)
    return cluster.shipping(ENVIRONMENT)


def script(name: str) -> str:
    """Make a script anew."""
    kind, whose, settings = CASES[name]
    cluster = cluster_of(kind, settings)
    with mock.patch.object(shipping_lines, "HERE", HERE):
        if whose == "controller":
            return cluster.controller_script(["/opt/env/bin/python", "-m", "daskflow", "run", "/home/me/my cars.toml"])
        return cluster.job_script("tls://10.0.0.1:8786")


def write() -> None:
    """Write every script, and remove those of no case."""
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.sh"):
        file.unlink()
    for name in CASES:
        (FOLDER / f"{name}.sh").write_text(script(name), encoding="utf-8")


if __name__ == "__main__":
    write()
