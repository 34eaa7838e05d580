"""A process gives back the pages of files it has read, and reads the same values again."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from daskflow.core.protocols import Unit
from daskflow.data import maps
from daskflow.data.execution import InlineExecutor


@pytest.mark.skipif(sys.platform != "linux", reason="pages are given back on Linux")
def test_a_unit_that_read_large_files_leaves_the_process_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a file that is larger than what may stay
    path = tmp_path / "numbers"
    np.arange(2**24, dtype=np.int64).tofile(path)
    values = np.frombuffer(maps.map_file(path), dtype=np.int64)
    before = maps._mapped_bytes()
    monkeypatch.setattr(maps, "MOST_BYTES", before)
    executor = InlineExecutor()
    executor.submit(Unit("sum", lambda: (int(values.sum()), maps._mapped_bytes())))
    # when a unit has read it
    outcome = executor.next()
    # then its pages were there while it ran, and are not any more; the values are
    assert outcome is not None
    total, during = outcome.value
    assert during - before > 100 * 2**20
    assert maps._mapped_bytes() - before < 10 * 2**20
    assert int(values.sum()) == total == 2**24 * (2**24 - 1) // 2
