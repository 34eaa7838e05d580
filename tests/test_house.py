"""The house is as it is drawn: imports, style, types, and quick to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment in the repository."""
    return subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True
    )


def test_imports_go_down_only_and_every_room_is_placed() -> None:
    done = tool("lint-imports")
    assert done.returncode == 0, done.stdout


def test_a_broken_arrow_and_an_unplaced_room_are_seen(tmp_path: Path) -> None:
    # given a copy of the house in which a low room imports a high one, and a room nobody drew
    copy = tmp_path / "house"
    subprocess.run(["cp", "-r", str(ROOT / "daskflow"), str(ROOT / "pyproject.toml"), _made(copy)], check=True)
    (copy / "daskflow" / "core" / "upwards.py").write_text("import daskflow.workflow\n")
    (copy / "daskflow" / "cellar").mkdir()
    (copy / "daskflow" / "cellar" / "__init__.py").write_text("")
    # when
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=copy,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin"},
    )
    # then
    assert done.returncode != 0
    assert "daskflow.core.upwards" in done.stdout + done.stderr or "cellar" in done.stdout + done.stderr


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=["lint", "format"])
def test_ruff_finds_nothing(command: tuple[str, ...]) -> None:
    done = tool("ruff", *command, ".")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_types_hold_under_strict() -> None:
    done = tool("mypy")
    assert done.returncode == 0, done.stdout


def test_importing_daskflow_is_quick_and_brings_nothing_heavy() -> None:
    # when a new process imports it
    code = (
        "import sys, daskflow; print([m for m in ('pandas', 'dask', 'sklearn', 'bokeh', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # then
    assert done.stdout.strip() == "[]"


def test_every_public_name_resolves() -> None:
    import daskflow

    for name in daskflow.__all__:
        assert getattr(daskflow, name) is not None


def _made(folder: Path) -> str:
    folder.mkdir()
    return str(folder)


def test_a_public_name_stays_what_it_is_once_everything_is_imported() -> None:
    # given every module imported, as a long session does
    import importlib
    import pkgutil

    import daskflow

    for info in pkgutil.walk_packages(daskflow.__path__, "daskflow."):
        if not info.name.endswith("__main__"):
            importlib.import_module(info.name)
    # when, then a function is still that function, not the module of its name
    for name in daskflow.NAMES:
        assert callable(getattr(daskflow, name)), name


def test_a_workflow_imports_the_files_of_the_kinds_it_names_only() -> None:
    # given a workflow that names a family, in a process of its own
    text = (
        "import sys, daskflow as flow; "
        "flow.Workflow(name='a', data={'kind': 'generated'}, model={'kind': 'sgd'}, search={'kind': 'none'}); "
        "rooms = ('daskflow.models.', 'daskflow.sources.csv', 'daskflow.search.tpe', 'dask_ml'); "
        "print([name for name in sys.modules if name.startswith(rooms)])"
    )
    # when it is read
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    # then that family is there, and no other that needs libraries of its own
    assert "daskflow.models.sgd" in done.stdout
    for other in ("random_forest", "mlp", "boosting", "sources.csv", "search.tpe", "dask_ml"):
        assert other not in done.stdout, done.stdout
