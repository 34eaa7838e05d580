"""The block store stays within its bound, shares, notices damage, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from daskflow.core.errors import LostBlockError, StorageError
from daskflow.core.events import Event
from daskflow.data.blocks import Blocks, open_block
from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import scan
from daskflow.data.store import (
    STALE_SECONDS,
    BlockStore,
    PrivateStore,
    SharedStore,
    checksum,
    clear,
    remove_void,
    usage,
)
from tests.conftest import lacking
from tests.small_tables import READS, cut, people, table_of

ROOT = Path(__file__).resolve().parents[1]
MANY = 1 << 40


def scanned(store: BlockStore | Path, seed: int = 0, parts: int = 4, **options: Any) -> Blocks:
    """Scan a table that only the seed decides."""
    table = table_of(cut(people(400, seed=seed), parts), target="late", settings={"seed": seed})
    return scan(table, store, InlineExecutor(), **options)


def age(path: Path, seconds: float) -> None:
    """Make a file look as if it was last used so long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def names(folder: Path) -> set[str]:
    """Names of the block files."""
    return {path.name for path in folder.glob("*.arrow")}


@contextmanager
def process(folder: Path, seed: int, limit: int, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that scans into the store."""
    command = [sys.executable, "-m", "tests.store_process", str(folder), str(seed), "6", str(limit), *words]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def line(running: subprocess.Popen[str]) -> str:
    """The process's next line."""
    assert running.stdout is not None
    return running.stdout.readline().strip()


def total(seed: int) -> str:
    """What a process prints when it has every row."""
    return str(pc.sum(people(4_000, seed=seed)["age"]).as_py())


def test_the_least_recently_used_blocks_go_first(tmp_path: Path) -> None:
    # given the blocks of three tables, of which the oldest was used again
    for seed in (1, 2, 3):
        with SharedStore(tmp_path, MANY) as store:
            scanned(store, seed)
    kept = usage(tmp_path).n_bytes
    for path in tmp_path.glob("*.*"):
        age(path, 3_600)
    with SharedStore(tmp_path, MANY) as store:
        first = {Path(file.path).name for file in scanned(store, 1).files}
    # when a fourth comes, and there is room for two
    with SharedStore(tmp_path, round(kept * 0.7)) as store:
        fourth = {Path(file.path).name for file in scanned(store, 4).files}
    # then the one used again and the new one are there
    assert first | fourth == names(tmp_path)
    assert usage(tmp_path).n_bytes <= kept * 0.7
    assert {path.stem for path in tmp_path.glob("*.json")} == {name.partition("-")[0] for name in first | fourth}


def test_a_block_in_use_is_never_evicted_and_goes_when_the_run_ends(tmp_path: Path) -> None:
    # given a store whose limit is less than one table
    with SharedStore(tmp_path, 1) as mine:
        blocks = scanned(mine, 1)
        # when another run comes and goes
        with SharedStore(tmp_path, 1) as other:
            scanned(other, 2)
        # then the first one's are all there
        assert names(tmp_path) == {Path(file.path).name for file in blocks.files}
        assert [open_block(file).num_rows for file in blocks.files] == [100] * 4
    # and gone when it is done with them
    assert list(tmp_path.glob("[!.]*")) == []


@pytest.mark.slow
def test_two_processes_at_once_on_the_same_and_on_other_data_are_both_right(tmp_path: Path) -> None:
    # given two runs over one table and one over another, all alive, in a store too small for any of them
    with (
        process(tmp_path, 1, 1, "pause") as first,
        process(tmp_path, 1, 1, "pause") as second,
        process(tmp_path, 2, 1, "pause") as third,
    ):
        assert [line(running) for running in (first, second, third)] == ["written"] * 3
        # when each ends while the others are at work
        answers = [running.communicate("\n")[0].strip() for running in (second, third, first)]
    # then every one had all its rows, and nothing is left
    assert answers == [total(1), total(2), total(1)]
    assert list(tmp_path.glob("[!.]*")) == []
    assert list((tmp_path / ".leases").iterdir()) == []


def test_after_a_sigkill_the_lease_is_void_and_nothing_stays_for_ever(tmp_path: Path) -> None:
    # given two runs, of which one is killed, and what a killed writer leaves behind
    with process(tmp_path, 1, 1, "pause") as killed, process(tmp_path, 2, 1, "pause") as alive:
        assert line(killed) == line(alive) == "written"
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        torn = tmp_path / ".half-written.arrow.0123"
        torn.write_bytes(b"x" * 100)
        age(torn, STALE_SECONDS + 1)
        # when another run opens the store
        with SharedStore(tmp_path, 1) as store:
            store.make_room(0)
            # then the killed one's blocks and the torn file are gone, and the living one's are not
            assert len(names(tmp_path)) == 6
            assert not torn.exists()
        assert alive.communicate("\n")[0].strip() == total(2)


def test_a_file_that_is_being_written_is_not_swept(tmp_path: Path) -> None:
    import fcntl

    with open(tmp_path / ".block.arrow.0123", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        age(tmp_path / ".block.arrow.0123", STALE_SECONDS + 1)
        SharedStore(tmp_path).close()
        assert (tmp_path / ".block.arrow.0123").exists()


@pytest.mark.parametrize("harm", ["bit flip", "truncation", "deletion", "other bytes"])
def test_a_damaged_block_is_found_at_the_next_scan_and_made_anew(harm: str, tmp_path: Path) -> None:
    # given blocks, one of which is harmed and looks untouched
    blocks = scanned(tmp_path)
    whole = [open_block(file).to_pydict() for file in blocks.files]
    path = Path(blocks.files[2].path)
    content, seen = bytearray(path.read_bytes()), path.stat()
    if harm == "bit flip":
        content[len(content) // 2] ^= 1
    elif harm == "other bytes":
        content = bytearray(len(content))
    path.unlink()
    if harm != "deletion":
        path.write_bytes(content[:-100] if harm == "truncation" else content)
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    READS.clear()
    heard: list[Event] = []
    # when
    again = scanned(tmp_path, listener=heard.append)
    # then that partition alone was read again, and the rows are what they were
    assert READS == ["part.2"]
    assert again.files == blocks.files
    assert [open_block(file).to_pydict() for file in again.files] == whole
    said = [event.fields["text"] for event in heard if event.name == "warning"]
    assert len(said) == (harm in ("bit flip", "other bytes")), said


def test_every_single_bit_counts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = bytearray(os.urandom(50_000))
    path.write_bytes(content)
    whole = checksum(path)
    for place in range(0, len(content) * 8, 4_001):
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        assert checksum(path) != whole
        content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)
    assert checksum(path) == whole


def test_a_block_lost_while_in_use_says_which(tmp_path: Path) -> None:
    blocks = scanned(tmp_path)
    open_block(blocks.files[0])
    Path(blocks.files[0].path).unlink()

    with pytest.raises(LostBlockError, match="is gone"):
        open_block(blocks.files[0])


def test_a_block_made_anew_is_not_taken_for_the_map_of_the_old_one(tmp_path: Path) -> None:
    blocks = scanned(tmp_path)
    path = Path(blocks.files[0].path)
    before = open_block(blocks.files[0]).to_pydict()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)  # in place: the map of this process shows the harm too

    scanned(tmp_path)

    assert open_block(blocks.files[0]).to_pydict() == before


def test_a_private_store_is_gone_when_it_is_closed_and_bounded_while_it_is_open(tmp_path: Path) -> None:
    parent = tmp_path / "private"
    with PrivateStore(parent, MANY) as store:
        assert len(names(Path(scanned(store).files[0].path).parent)) == 4
        assert parent.stat().st_mode & 0o077 == 0
    assert list(parent.glob("[!.]*")) == []
    with PrivateStore(parent, 1_000) as store, pytest.raises(StorageError, match=r"more than cache\.limit"):
        scanned(store)


def test_a_killed_run_leaves_a_private_store_only_until_the_next_start(tmp_path: Path) -> None:
    # given a process with a private store, killed
    code = (
        "import sys; from pathlib import Path; from daskflow.data.store import PrivateStore;"
        f"store = PrivateStore(Path({str(tmp_path)!r})); (store.folder / 'block').write_text('rows');"
        "print(store.folder, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        folder = Path(line(running))
        remove_void(tmp_path)
        assert (folder / "block").exists(), "a living run keeps its own"
        running.kill()
    # when
    remove_void(tmp_path)
    # then
    assert not folder.exists()


def test_clearing_leaves_what_a_living_run_uses(tmp_path: Path) -> None:
    with SharedStore(tmp_path, MANY) as store:
        scanned(store, 1)
    with SharedStore(tmp_path, MANY) as store:
        used = scanned(store, 2)
        n_blocks, n_bytes = clear(tmp_path)
        assert (n_blocks, n_bytes > 4_000) == (4, True)
        assert names(tmp_path) == {Path(file.path).name for file in used.files}
    assert clear(tmp_path)[0] == 4
    assert clear(tmp_path / "absent") == (0, 0)
    assert usage(tmp_path / "absent").n_bytes == 0


def test_the_limit_is_a_share_of_the_disk_and_leaves_a_reserve(tmp_path: Path) -> None:
    import shutil

    disk = shutil.disk_usage(tmp_path)
    assert usage(tmp_path, 0.01).limit_bytes <= disk.total / 100
    assert usage(tmp_path).limit_bytes <= disk.total / 5
    assert usage(tmp_path, 1.0).limit_bytes < disk.free
    assert usage(tmp_path, 5_000).limit_bytes == 5_000


@contextmanager
def tmpfs(folder: Path, megabytes: int) -> Iterator[Path]:
    """A small file system of its own."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        lacking("permission to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_said_within_seconds_and_leaves_no_torn_block(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", 1) as small:
        started = time.monotonic()
        table = table_of(cut(people(60_000), 12), target="late")
        with pytest.raises(StorageError, match=r"no space left in .*small.*cache\.folder"):
            scan(table, small, InlineExecutor())
        assert time.monotonic() - started < 30
        whole = names(small)
        assert whole, "what fitted is there"
        assert [path.name for path in small.iterdir() if path.name.startswith(".")] == []
        # and with room again the same scan goes on from there
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        assert scan(table, small, InlineExecutor()).partition_reads == 12 - len(whole)
