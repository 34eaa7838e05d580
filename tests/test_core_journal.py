"""The journal: what is appended is there after a kill, and nothing else is."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daskflow.core.errors import JournalError, StorageError
from daskflow.core.journal import Journal, encode, plain, read, recover, write_atomically
from daskflow.core.mounts import about_locks

RECORDS: list[dict[str, Any]] = [
    {"record": "invocation", "id": "a1b2c3", "versions": {"numpy": "2.4.6"}},
    {"record": "candidates", "candidates": [{"trial": "2-0", "params": {"alpha": 1e-05, "penalty": "l1"}}]},
    *(
        {"record": "unit", "trial": f"2-{n}", "fold": n % 3, "metrics": {"roc_auc": n / 7, "log_loss": None}}
        for n in range(6)
    ),
    {"record": "warning", "text": 'zeilen\numbruch, "Ä", \u2028 und ein \x85'},
    {"record": "end", "status": "done"},
]


def written(path: Path, records: list[dict[str, Any]]) -> bytes:
    """A journal's bytes, written the usual way."""
    with Journal(path) as journal:
        for record in records:
            journal.append(record)
    return path.read_bytes()


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    content = written(tmp_path / "journal.jsonl", RECORDS)
    assert recover(content) == (RECORDS, len(content))
    assert read(tmp_path / "journal.jsonl") == RECORDS
    assert Journal(tmp_path / "journal.jsonl").records == RECORDS


def test_guarantee_4_every_truncation_leaves_the_records_that_are_whole(tmp_path: Path) -> None:
    # given
    content = written(tmp_path / "journal.jsonl", RECORDS)
    ends = list(itertools.accumulate(len(encode(record)) for record in RECORDS))
    for cut in range(len(content) + 1):
        # when
        found, good = recover(content[:cut])
        # then
        whole = sum(end <= cut for end in ends)
        assert found == RECORDS[:whole]
        assert good == (ends[whole - 1] if whole else 0)


def test_a_torn_end_is_cut_off_before_anything_is_appended(tmp_path: Path) -> None:
    # given a journal torn in its last line
    path = tmp_path / "journal.jsonl"
    content = written(path, RECORDS)
    for cut in (1, 5, 10, 30):
        path.write_bytes(content[:-cut])
        # when a record is appended
        with Journal(path) as journal:
            journal.append({"record": "again"})
        # then
        assert read(path) == [*RECORDS[:-1], {"record": "again"}]


def test_a_flipped_bit_never_gives_another_record(tmp_path: Path) -> None:
    # given
    content = written(tmp_path / "journal.jsonl", RECORDS)
    rng = random.Random(5)
    refused = 0
    for _ in range(6000):
        # when
        place, bit = rng.randrange(len(content)), rng.randrange(8)
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        try:
            found, _good = recover(bytes(flipped))
        except JournalError:
            refused += 1
            continue
        # then what is left is a beginning of what was written
        assert found == RECORDS[: len(found)]
    assert refused > 4000


def test_guarantee_4_damage_in_the_middle_is_refused_by_its_line(tmp_path: Path) -> None:
    # given
    path = tmp_path / "journal.jsonl"
    lines = written(path, RECORDS).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3].replace(b"unit", b"unix"), *lines[4:]]))
    damaged = path.read_bytes()
    # when, then
    with pytest.raises(JournalError, match=r"journal\.jsonl, line 4: the line is damaged .* --fresh"):
        Journal(path)
    assert path.read_bytes() == damaged
    # and the lock was given back
    path.write_bytes(b"".join(lines))
    Journal(path).close()


def test_one_process_holds_a_journal_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path), pytest.raises(JournalError, match="in use by another run"):
        Journal(path)
    Journal(path).close()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    # given a process that holds the journal
    path = tmp_path / "journal.jsonl"
    code = (
        "import sys; from pathlib import Path; from daskflow.core.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1])); journal.append({'n': 1}); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(JournalError, match="in use"):
            Journal(path)
        # when it is killed
        process.send_signal(signal.SIGKILL)
    # then
    with Journal(path) as journal:
        assert journal.records == [{"n": 1}]


def test_a_full_disk_is_a_sentence_and_leaves_no_half_line(tmp_path: Path) -> None:
    # given a journal that may grow by 20 bytes more
    path = tmp_path / "journal.jsonl"
    size = len(written(path, RECORDS))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))
        try:
            # when
            with pytest.raises(StorageError, match="cannot be written: File too large"):
                journal.append({"record": "too long for what is left"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        # then what comes after is whole
        journal.append({"record": "room again"})
    assert read(path) == [*RECORDS, {"record": "room again"}]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written: No such file or directory"):
        Journal(tmp_path / "absent" / "journal.jsonl")


def test_a_cleared_journal_is_empty_and_usable(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    written(path, RECORDS)
    with Journal(path) as journal:
        journal.clear()
        journal.append({"n": 1})
        assert journal.records == [{"n": 1}]
    assert read(path) == [{"n": 1}]


def test_numbers_that_json_lacks_become_null_and_those_of_libraries_plain() -> None:
    given = {"a": float("nan"), "b": [np.float32(0.5), np.int64(3), -np.inf], "c": np.array([1.0, np.nan]), 4: (True,)}
    assert plain(given) == {"a": None, "b": [0.5, 3, None], "c": [1.0, None], "4": [True]}
    assert json.loads(encode(given)[9:]) == plain(given)


def test_floats_come_back_to_the_last_bit() -> None:
    values = np.random.default_rng(1).normal(size=2000) * 10.0 ** np.arange(-1000, 1000).clip(-300, 300)
    assert recover(encode({"values": values}))[0][0]["values"] == values.tolist()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    # given
    path = tmp_path / "model.pkl"
    write_atomically(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        # when there is no room for the new content
        with pytest.raises(StorageError, match="cannot be written"):
            write_atomically(path, b"n" * 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    # then the old one stands, alone
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["model.pkl"]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


# file systems of several machines


@pytest.mark.parametrize(
    ("kind", "options", "caution"),
    [
        ("ext4", "rw", ""),
        ("nfs4", "rw,local_lock=none", ""),
        ("nfs", "rw,local_lock=posix", ""),
        ("nfs", "rw,nolock,local_lock=all", "mounted with local_lock=all"),
        ("nfs4", "rw,local_lock=flock", "mounted with local_lock=flock"),
        ("lustre", "rw,flock", ""),
        ("lustre", "rw", "mounted without flock"),
        ("lustre", "rw,localflock", "mounted with localflock"),
        ("cifs", "rw,nobrl", "mounted with nobrl"),
        ("ceph", "rw", ""),
        ("fuse.sshfs", "rw", "is fuse.sshfs, whose locks are not known"),
    ],
)
def test_locks_that_hold_on_one_machine_only_are_told(kind: str, options: str, caution: str) -> None:
    mounts = f"1 0 0:9 / / rw - ext4 /dev/a rw\n2 1 0:8 / /my\\040home rw shared:1 - {kind} server:/home {options}\n"
    said = about_locks(Path("/my home/runs/journal.jsonl"), mounts)
    assert said.endswith(caution) if caution.startswith("mounted") else caution in said
    assert bool(said) == bool(caution)
    assert about_locks(Path("/my homes/runs"), mounts) == ""


def test_without_locks_a_journal_is_held_with_a_caution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a file system that cannot lock
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with Journal(tmp_path / "journal.jsonl") as journal:
        assert journal.caution == ""
    monkeypatch.setattr(fcntl, "flock", refuse)
    # when, then
    with Journal(tmp_path / "journal.jsonl") as journal:
        assert "on two machines at once" in journal.caution
        assert f"{tmp_path} is on a file system without locks" in journal.caution
        journal.append({"n": 1})


def test_a_second_writer_is_found_before_the_next_record(tmp_path: Path) -> None:
    # given two processes whose locks do not keep them apart
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append({"n": 1})
        with open(path, "ab") as other:
            other.write(encode({"n": 2}))
        # when, then
        with pytest.raises(JournalError, match="another one writes to it"):
            journal.append({"n": 3})
    assert read(path) == [{"n": 1}, {"n": 2}]


def test_a_rename_whose_answer_was_lost_is_taken_for_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a server that renames, and is asked again
    replace = os.replace

    def twice(source: Path, target: Path) -> None:
        replace(source, target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", twice)
    # when, then
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"

    # and one that did nothing is still an error
    def nothing(source: Path, target: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "replace", nothing)
    with pytest.raises(StorageError, match="cannot be written"):
        write_atomically(tmp_path / "file", b"newer")


def test_records_that_take_the_place_of_all_are_there_or_the_old_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.extend([{"n": 1}, {"n": 2}])
        # when the disk refuses, all is as it was
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(StorageError, match="No space left"):
                journal.replace([{"n": 3}])
        journal.append({"n": 4})
        assert read(path) == journal.records == [{"n": 1}, {"n": 2}, {"n": 4}]
        assert [each.name for each in tmp_path.iterdir()] == ["journal.jsonl"]
        # when it does not, the others are there, and this process holds them
        journal.replace([{"n": 7}])
        journal.append({"n": 8})
        assert read(path) == journal.records == [{"n": 7}, {"n": 8}]
        with pytest.raises(JournalError, match="in use"):
            Journal(path)


def test_an_interrupt_while_the_disk_is_waited_for_leaves_a_journal_that_is_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a process that is interrupted in the middle of a record, as at the end of its walltime
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append({"record": "start"})
        with monkeypatch.context() as patch:

            def interrupted(_: int) -> None:
                raise KeyboardInterrupt

            patch.setattr(os, "fsync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                journal.append({"record": "unit"})
        # when it writes down how it ends
        journal.append({"record": "end"})
    # then that stands behind what was written before
    assert [record["record"] for record in read(tmp_path / "journal.jsonl")] == ["start", "end"]
