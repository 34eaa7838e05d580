"""A batch system's command: what it says is told, it has a time-out, and it ends with who waits for it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from daskflow.clusters.batch_commands import Answer, for_jobs, run, tail
from daskflow.clusters.batch_jobs import QueueError

PATIENCE_SECONDS = 60


def test_a_command_reads_its_script_and_gives_both_outputs_and_its_code() -> None:
    answer = asyncio.run(run(["sh", "-c", "cat; echo no >&2; exit 3"], script="yes\n"))

    assert answer == Answer(3, "yes", "no")


def test_a_command_that_does_not_read_its_script_is_no_error() -> None:
    assert asyncio.run(run(["true"], script="x" * 1_000_000)).code == 0


def test_a_missing_command_is_one_sentence_that_says_where_to_go() -> None:
    with pytest.raises(QueueError, match=r"There is no command 'sbatch' here.*login node") as caught:
        asyncio.run(run(["sbatch"], environment={"PATH": "/nowhere"}))

    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_run_is_a_sentence(tmp_path: Path) -> None:
    program = tmp_path / "sbatch"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)

    with pytest.raises(QueueError, match="cannot be run"):
        asyncio.run(run(["sbatch"], environment={"PATH": str(tmp_path)}))


def test_a_command_is_ended_with_its_children_when_it_takes_too_long(tmp_path: Path) -> None:
    # given
    child = tmp_path / "child"
    script = f"sleep 300 & echo $! > {child}; wait"

    # when it has so much time, more where the machine is too busy for it to begin its child in that
    for seconds in (0.4, 4.0, 40.0):
        with pytest.raises(QueueError, match=rf"'?sh'? has not answered for {seconds:.0f} s"):
            asyncio.run(run(["sh", "-c", script], seconds=seconds))
        if child.exists() and child.read_text().endswith("\n"):
            break

    # then
    _until_gone(int(child.read_text()))


def test_a_command_ends_with_the_task_that_waits_for_it(tmp_path: Path) -> None:
    async def cancelled() -> None:
        waiting = asyncio.create_task(run(["sh", "-c", f"echo $$ > {tmp_path}/own; exec sleep 60"]))
        while not (tmp_path / "own").exists() or not (tmp_path / "own").read_text():
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(cancelled())

    _until_gone(int((tmp_path / "own").read_text()))


def test_the_loop_goes_on_while_a_command_runs(tmp_path: Path) -> None:
    async def both() -> Answer:
        # given a command that ends when the loop has come round some times
        running = asyncio.create_task(run(["sh", "-c", f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo went"]))
        for _ in range(6):
            await asyncio.sleep(0.01)
            assert not running.done()
        (tmp_path / "go").touch()
        return await running

    assert asyncio.run(both()) == Answer(0, "went", "")


def test_a_command_has_no_part_in_ctrl_c() -> None:
    """What cancels the jobs must not be cancelled by the key that makes it start."""
    code = (
        "import asyncio, os, signal\n"
        "from daskflow.clusters.batch_commands import run\n"
        "signal.signal(signal.SIGINT, lambda *_: None)\n"
        "print(asyncio.run(run(['sh', '-c', 'kill -INT -- -'+str(os.getpgid(0))+'; sleep 0.2; echo lived'])).out)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True, timeout=PATIENCE_SECONDS
    )

    assert done.stdout.strip() == "lived"


def test_secrets_do_not_reach_commands_that_only_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "hidden-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-2")
    monkeypatch.setenv("DASK_INTERNAL_INHERIT_CONFIG", "hidden-3")
    monkeypatch.setenv("HARMLESS", "seen")

    seen = asyncio.run(run(["env"])).out

    assert "hidden" not in seen
    assert "HARMLESS=seen" in seen


def test_a_job_inherits_credentials_but_nothing_of_dask() -> None:
    given = {"AWS_SECRET_ACCESS_KEY": "x", "DASK_INTERNAL_INHERIT_CONFIG": "x"}

    assert for_jobs(given) == {"AWS_SECRET_ACCESS_KEY": "x"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Answer(1, "", "sbatch: error: A.\nsbatch: error: B"), "A; B"),
        (Answer(1, "", "allocation failure: C\nallocation failure: C"), "C"),
        (Answer(1, "told on the wrong output", ""), "told on the wrong output"),
        (
            Answer(1, "", "sbatch: error: Scripts that\nsbatch: error: contain a NULL.\nTwo!"),
            "Scripts that contain a NULL; Two",
        ),
        (Answer(7, "", ""), "exit code 7, and no word"),
    ],
)
def test_what_a_command_complains_of_is_one_line(said: Answer, words: str) -> None:
    assert said.words == words


def test_the_end_of_a_log_is_text_of_some_lines(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_bytes(b"".join(b"line %d\n" % n for n in range(5000)) + b"\x1b[31mred\x1b[0m \x00\x07 \xff end\n\n")

    lines = asyncio.run(tail(log)).splitlines()

    assert lines[-1] == "red  � end"
    assert lines[-2] == "line 4999"
    assert len(lines) == 20
    assert asyncio.run(tail(tmp_path / "none.log")) == ""
    assert asyncio.run(tail(tmp_path)) == ""


def _until_gone(process: int) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        with suppress(OSError):  # it has gone since
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return  # ended; that nobody waits for it is the business of the machine's first process
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    pytest.fail(f"process {process} still ran")
