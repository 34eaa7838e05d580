"""What nobody waits for gives way to all other work on its machine, in whatever session that is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daskflow.core.priority import AUTOGROUP, LOWEST, printed_aside

GIVING_WAY = """
import os, pathlib
from daskflow.core.priority import AUTOGROUP, give_way
give_way()
print(os.getpriority(os.PRIO_PROCESS, 0), AUTOGROUP.read_text() if AUTOGROUP.exists() else "")
"""


def of_session() -> str:
    return AUTOGROUP.read_text() if AUTOGROUP.exists() else ""


def test_a_process_with_a_session_of_its_own_gives_way_to_other_sessions_too() -> None:
    # when
    told = printed_aside([sys.executable, "-c", GIVING_WAY], os.environ, 100)
    # then: the session counts first where Linux groups processes by it, and nice within it
    assert told is not None
    nice, *session = told.split()
    assert int(nice) == LOWEST
    assert session[2:] == ([str(LOWEST)] if of_session() else []) or not of_session()


def test_a_process_in_the_session_of_others_slows_none_of_them() -> None:
    before = of_session()
    done = subprocess.run([sys.executable, "-c", GIVING_WAY], capture_output=True, text=True, timeout=100, check=True)
    assert int(done.stdout.split()[0]) == LOWEST
    assert of_session() == before


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        ([sys.executable, "-c", "import time; print('early', flush=True); time.sleep(1000)"], 0.2),
        ([sys.executable, "-c", "print('and then'); raise SystemExit(3)"], 100),
        (["/no/such/program"], 100),
    ],
    ids=["slow", "failed", "missing"],
)
def test_what_is_not_printed_in_time_is_not_waited_for(command: list[str], seconds: float, tmp_path: Path) -> None:
    # given a command that takes longer, fails or is not there, then nobody waits, and nothing of it is left
    assert printed_aside(command, os.environ, seconds) is None
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if children.exists():
        names = [Path(f"/proc/{child}/cmdline").read_text() for child in children.read_text().split()]
        assert not any("time.sleep(1000)" in name for name in names)
