"""What is shipped to nodes, how it is kept, and how a node's jobs share it: in a shell, without any queue."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from daskflow.clusters import shipping_archive
from daskflow.clusters.shipping import Contents, contents
from daskflow.clusters.shipping_archive import Archive, archive_of, is_whole
from daskflow.clusters.shipping_lines import START, UNFIT, beginning, checking, unpacking
from daskflow.clusters.shipping_python import relocatable
from daskflow.core.errors import ClusterError, StorageError

STARTED = Path(shipping_archive.__file__).with_name("shipped_start.py")

SAYS = """
import os, sys, time
from pathlib import Path
Path(sys.argv[1]).write_text(f"{__file__} {sys.flags.no_site} {sys.path[0]}")
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
"""
"""A module that is shipped: it tells where it is, and stays until it may leave."""


def small(folder: Path, text: str = SAYS) -> Contents:
    """An environment of one module."""
    module = folder / "says.py"
    module.write_text(textwrap.dedent(text))
    os.utime(module, (1_700_000_000, 1_700_000_000))
    return Contents({"site/says.py": module, "start.py": STARTED}, {"says": "1"}, sha256(text.encode()).hexdigest())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with blanks, in which there is room for runs and for a node's disk."""
    monkeypatch.delenv(shipping_archive.ARCHIVE, raising=False)
    folder = tmp_path / "my place's"
    (folder / "disk").mkdir(parents=True)
    return folder


def packed(place: Path, text: str = SAYS, run: str = "run") -> Archive:
    return archive_of(lambda: small(place, text), place / "environments", place / run / "environment.tar.gz")[0]


def job(place: Path, archive: Archive, name: str = "a", python: str = sys.executable) -> subprocess.Popen[str]:
    """Begin what a job does on its node: it writes to NAME.said, and ends when there is NAME.end."""
    said, end = (shlex.quote(str(place / f"{name}.{what}")) for what in ("said", "end"))
    lines = [*beginning(), *checking(shlex.quote(python)), *unpacking(archive, shlex.quote(str(place / "disk")))]
    script = "\n".join([*lines, f"exec {START} -m says {said} {end}"])
    return subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def refused(place: Path, archive: Archive, python: str = sys.executable) -> str:
    """What a job says that cannot begin."""
    _, said = (process := job(place, archive, python=python)).communicate(timeout=120)
    assert process.returncode == UNFIT, said
    return said


def until(happened: Callable[[], Any]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def until_said(place: Path, name: str) -> str:
    file = place / f"{name}.said"
    until(lambda: file.exists() and file.read_text())
    return file.read_text()


def on_disk(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "disk").glob("*/*"))


def test_two_jobs_of_a_node_share_one_copy_and_the_last_one_removes_it(place: Path) -> None:
    # given an archive, and two jobs that come at once
    archive = packed(place)
    first, second = job(place, archive, "a"), job(place, archive, "b")

    # then both run the same file, with nothing of the node's packages, and one copy is on its disk
    there = until_said(place, "a")
    assert until_said(place, "b") == there
    copy = place / "disk" / f"daskflow-{os.getuid()}" / archive.sha256[:16]
    assert there == f"{copy}/site/says.py 1 {copy}/site"
    assert on_disk(place) == [copy.name, f"{copy.name}.lock"]
    written = (copy / "ready").stat().st_mtime_ns

    # when one leaves, the other keeps the copy, and a third one uses it
    (place / "a.end").touch()
    assert first.wait(120) == 0
    third = job(place, archive, "c")
    until_said(place, "c")
    assert (copy / "ready").stat().st_mtime_ns == written

    # when all have left, one of them by a signal, nothing is left
    second.terminate()
    (place / "c.end").touch()
    assert (second.wait(120), third.wait(120)) == (143, 0)
    assert list((place / "disk").iterdir()) == []


def test_a_job_that_is_killed_as_it_removes_the_copy_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a disk that takes its time to remove what is not the node's next job's to remove
    slow = place / "slow" / "rm"
    slow.parent.mkdir()
    waits = f'until [ -e "{place}/go" ]; do sleep 0.01; done; exec /bin/rm "$@"'
    slow.write_text(f'#!/bin/sh\ncase "$2" in *.gone-*[0-9]) {waits} ;; esac\nexec /bin/rm "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    leaving = job(place, packed(place))
    until_said(place, "a")
    (place / "a.end").touch()
    until(lambda: [name for name in on_disk(place) if ".gone-" in name])
    assert leaving.poll() is None, "it waits until its copy is gone"

    # when the queue has no more patience
    leaving.kill()
    leaving.communicate(timeout=120)
    assert on_disk(place)
    (place / "go").touch()

    # then the copy goes nonetheless
    until(lambda: not list((place / "disk").iterdir()))


def test_what_a_killed_job_left_is_removed_by_the_next_one_whatever_it_runs(place: Path) -> None:
    # given a job that was killed, and one that was killed as it unpacked
    killed = job(place, packed(place))
    until_said(place, "a")
    killed.kill()
    killed.wait(120)
    half = place / "disk" / f"daskflow-{os.getuid()}" / "0123456789abcdef"
    half.mkdir()
    half.with_suffix(".lock").touch()
    assert len(on_disk(place)) == 4

    # when a job with another environment comes
    other = packed(place, SAYS + "\n# another")
    next_one = job(place, other, "b")
    until_said(place, "b")

    # then only its own is there
    assert on_disk(place) == [other.sha256[:16], f"{other.sha256[:16]}.lock"]
    (place / "b.end").touch()
    assert next_one.wait(120) == 0


def test_who_packs_is_told_before_and_who_finds_it_packed_need_not_wait(place: Path) -> None:
    # given two runs, one after the other
    heard: list[str] = []
    for run in ("run", "other"):
        archive_of(
            lambda: small(place),
            place / "environments",
            place / run / "environment.tar.gz",
            lambda event: heard.append(event.fields["text"]),
        )
    # then the first one was told that it takes its time
    assert len(heard) == 1
    assert re.fullmatch(
        r"The environment \([\d.]+ \w+\) is being packed for the nodes; later runs use it again.", heard[0]
    )


def test_an_archive_is_written_once_and_again_when_it_was_damaged(place: Path) -> None:
    # given
    first = packed(place)
    file = next((place / "environments").glob("*.tar.gz"))
    inode = file.stat().st_ino

    # when it is asked for again, by another run
    again = packed(place, run="other")

    # then it is the same file under the run's name, and nobody else may write where it is
    assert again.sha256 == first.sha256
    assert again.path == place / "other" / "environment.tar.gz"
    assert {again.path.stat().st_ino, first.path.stat().st_ino} == {inode}
    assert (place / "environments").stat().st_mode & 0o777 == 0o700

    # when it is damaged, then a job says so, and whoever packs finds it and writes it anew
    with file.open("r+b") as opened:
        opened.seek(40)
        opened.write(b"!!!!")
    assert "damaged: run again, which packs it anew" in refused(place, first)
    anew = packed(place)
    assert is_whole(anew)
    assert anew.sha256 == first.sha256
    with tarfile.open(anew.path) as opened:
        assert opened.getnames() == ["site/says.py", "start.py"]


def test_few_archives_are_kept_and_a_run_keeps_its_own(place: Path) -> None:
    runs = [packed(place, f"number = {number}", f"run-{number}") for number in range(6)]

    assert len(list((place / "environments").iterdir())) == shipping_archive.KEPT
    assert all(is_whole(archive) for archive in runs)


def test_a_folder_that_cannot_be_written_is_a_sentence(place: Path) -> None:
    (place / "environments").write_text("a file")
    with pytest.raises(StorageError, match=r"cannot be packed into .*environments: File exists.*cluster\.shared"):
        packed(place)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (None, "does not run /no/such/python"),
        ("echo cpython-39-x86_64-linux-gnu 3.9.2", "has another Python: "),
        ("echo some trouble >&2; exit 1", "(some trouble), and the run needs Python"),
    ],
)
def test_a_node_with_another_python_says_which_and_what_to_do(place: Path, program: str | None, said: str) -> None:
    # given
    python = place / "python"
    python.write_text(f"#!/bin/sh\n{program}\n")
    python.chmod(0o755)

    # when
    told = refused(place, packed(place), str(python) if program else "/no/such/python")

    # then it is told with both versions, and nothing was unpacked
    assert said in told
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in told
    assert "name another with cluster.python" in told
    assert "cluster.ship = 'python'" in told
    if program and "3.9.2" in program:
        assert "is 3.9.2 (cpython-39-x86_64-linux-gnu), and the run's on" in told
    assert on_disk(place) == []


def test_a_node_that_cannot_take_the_environment_says_why(place: Path) -> None:
    archive = packed(place)
    gone = Archive(place / "no" / "environment.tar.gz", archive.sha256, archive.size_bytes)
    assert "does not see the environment" in refused(place, gone)
    large = Archive(archive.path, archive.sha256, 10**16)
    assert "kB free in" in refused(place, large)
    somewhere = place / "somewhere"
    somewhere.mkdir()
    assert list((place / "disk").iterdir()) == []
    (place / "disk" / f"daskflow-{os.getuid()}").symlink_to(somewhere)
    assert "name another local folder with cluster.scratch" in refused(place, archive)
    assert list(somewhere.iterdir()) == []


def test_what_daskflow_needs_is_shipped_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a module of the user's own that this process has imported, and one that is only named
    for name in ("own_and_loaded", "own_and_named"):
        (tmp_path / f"{name}.py").write_text("value = 1")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("own_and_loaded")

    # when
    found = contents(["own_and_named"])

    # then
    for file in ("distributed/cli/dask_worker.py", "daskflow/clusters/batch_worker.py", "numpy/__init__.py"):
        assert f"site/{file}" in found.files
    assert {"site/own_and_loaded.py", "site/own_and_named.py", "start.py"} <= set(found.files)
    about = ("/METADATA", "/PKG-INFO")  # of an installation, or of a checkout that this runs in
    assert any(file.startswith(("site/daskflow-", "site/daskflow.")) and file.endswith(about) for file in found.files)
    assert any(file.startswith("site/numpy.libs/") for file in found.files) or "numpy" in found.packages
    assert not [file for file in found.files if file.startswith(("site/pip/", "site/mypy/", "site/ruff"))]
    assert not [file for file in found.files if file.endswith(".pth") or "/pandas/tests/" in file]

    # and another content of one's own module is another environment
    assert contents(["own_and_named"]).digest == found.digest
    (tmp_path / "own_and_loaded.py").write_text("value = 2")
    assert contents(["own_and_named"]).digest != found.digest

    # and a package that is not here is a sentence
    with pytest.raises(ClusterError, match=r"'no-such-thing' cannot be shipped, since it is not installed in"):
        contents(["no-such-thing"])


def test_an_interpreter_that_needs_its_system_is_not_shipped(tmp_path: Path) -> None:
    # given one that is a part of a system, if only because its library is elsewhere
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "{tmp_path}"\n')
    python.chmod(0o755)

    with pytest.raises(ClusterError, match=r"cannot be shipped: it is not complete in .*cluster\.ship = 'packages'"):
        relocatable(str(python))
