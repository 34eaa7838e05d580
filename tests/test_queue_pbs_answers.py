"""What PBS answers is read whichever PBS it is: OpenPBS, PBS Professional, or Torque."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daskflow.clusters import REGISTRY
from daskflow.clusters.batch_jobs import JobState, QueueError, Request
from daskflow.clusters.pbs_answers import blocks_of, ending_of, jobs_of, nodes_of, places_of, time_of
from daskflow.clusters.pbs_commands import PbsQueue

PROFESSIONAL = """\
Job Id: 1234.pbs01
    Job_Name = cars-4b6d6b81
    Job_Owner = me@login1.site.org
    resources_used.cpupercent = 98
    resources_used.cput = 00:00:41
    resources_used.mem = 651240kb
    resources_used.ncpus = 1
    resources_used.walltime = 00:00:43
    job_state = R
    queue = workq
    server = pbs01
    exec_host = cn03/0*1
    exec_vnode = (cn03:ncpus=1:mem=4194304kb)
    Output_Path = login1.site.org:/home/me/runs/cars/0a1b2c3d4e/logs/
    Resource_List.mem = 4gb
    Resource_List.ncpus = 1
    Resource_List.select = 1:ncpus=1:mem=4096mb
    Resource_List.walltime = 01:00:00
    stime = Mon Nov 30 13:13:34 2026
    Variable_List = DASKFLOW_RUN=0a1b2c3d4e-4b6d6b81,PBS_O_HOME=/home/me,
\tPBS_O_PATH=/usr/bin:/opt/pbs/bin,PBS_O_WORKDIR=/home/me
    comment = Job run at Mon Nov 30 at 13:13 on (cn03:ncpus=1:mem=4194304kb)
    run_count = 1

Job Id: 1235.pbs01
    Job_Name = cars-4b6d6b81
    job_state = Q
    Resource_List.walltime = 01:00:00
    comment = Not Running: Insufficient amount of resource: ncpus
    estimated.start_time = Mon Nov 30 15:00:00 2026
    Variable_List = PBS_O_HOME=/home/me,DASKFLOW_RUN=0a1b2c3d4e-4b6d6b81

Job Id: 1236.pbs01
    Job_Name = cars-4b6d6b81
    job_state = Q
    comment = Can Never Run: Insufficient amount of resource: ncpus (R: 640 A: 12
\t8 T: 128)

Job Id: 1237[].pbs01
    Job_Name = other
    job_state = B
    array = True

Job Id: 1237[0].pbs01
    Job_Name = other
    job_state = X

Job Id: 1237[1].pbs01
    Job_Name = other
    job_state = R
    exec_host = cn04/0
"""

TORQUE = """\
Job Id: 77.torque.site.org
    Job_Name = cars-4b6d6b81
    Job_Owner = me@login1
    job_state = R
    queue = batch
    exec_host = node07/0+node07/1
    Resource_List.nodect = 1
    Resource_List.nodes = 1:ppn=2
    Resource_List.walltime = 00:30:00
    start_time = Mon Nov 30 13:13:34 2026
    Walltime.Remaining = 1700
    Variable_List = PBS_O_QUEUE=batch,PBS_O_HOME=/home/me,DASKFLOW_RUN=0a1b2c3d4e-
\t4b6d6b81

Job Id: 78.torque.site.org
    Job_Name = cars-4b6d6b81
    job_state = C
    exit_status = 271
    Resource_List.walltime = 00:30:00
    resources_used.walltime = 00:02:00
"""


def test_jobs_of_openpbs() -> None:
    # when
    jobs = jobs_of(blocks_of(PROFESSIONAL, "Job Id"))
    # then the server's name is left out, and an array is its elements
    assert list(jobs) == ["1234", "1235", "1236", "1237[0]", "1237[1]"]
    began = time_of("Mon Nov 30 13:13:34 2026")
    assert began is not None
    running = jobs["1234"]
    assert (running.state, running.node, running.reason) == (JobState.RUNNING, "cn03", "")
    assert (running.began_at, running.ends_at) == (began, began + 3600)
    waiting = jobs["1235"]
    assert waiting.reason == "Not Running: Insufficient amount of resource: ncpus"
    assert waiting.starts_at == time_of("Mon Nov 30 15:00:00 2026")
    assert not waiting.is_hopeless
    assert jobs["1236"].is_hopeless
    assert jobs["1236"].reason.endswith("(R: 640 A: 128 T: 128)")
    assert jobs["1237[0]"].state is JobState.ENDED
    assert jobs["1237[1]"].node == "cn04"


def test_jobs_of_torque() -> None:
    jobs = jobs_of(blocks_of(TORQUE, "Job Id"))
    began = time_of("Mon Nov 30 13:13:34 2026")
    assert began is not None
    assert (jobs["77"].node, jobs["77"].began_at, jobs["77"].ends_at) == ("node07", began, began + 1800)
    assert jobs["78"].state is JobState.ENDED


LIMITED = {"Resource_List.walltime": "01:00:00", "Resource_List.mem": "1gb"}


@pytest.mark.parametrize(
    ("fields", "log", "why", "code", "said"),
    [
        ({"Exit_status": "0"}, "", "done", 0, "ended by itself"),
        ({"Exit_status": "3"}, "no such file", "failed", 3, "exit code 3"),
        ({"exit_status": "271"}, "", "cancelled", None, "signal 15, as by qdel (PBS: exit status 271)"),
        ({"Exit_status": "265", **LIMITED, "resources_used.walltime": "01:00:04"}, "", "walltime", None, "of 1 h"),
        ({"Exit_status": "-29"}, "", "walltime", None, "its walltime was over (PBS: exit status -29)"),
        ({"exit_status": "-11"}, "", "walltime", None, "its walltime was over"),
        ({"Exit_status": "-27"}, "", "memory", None, "more memory than it asked for"),
        ({"exit_status": "-10"}, "", "memory", None, "more memory than it asked for"),
        ({"Exit_status": "137", **LIMITED, "resources_used.mem": "1048580kb"}, "", "memory", None, "using 1.00 GiB"),
        ({"Exit_status": "-3", "comment": "Not Running: node down"}, "", "node", None, "node down"),
        ({"Exit_status": "139"}, "", "failed", None, "signal 11"),
        (
            {"Exit_status": "271"},
            "=>> PBS: job killed: mem 1200000kb exceeded limit 1048576kb\n",
            "memory",
            None,
            "job killed: mem 1200000kb exceeded limit",
        ),
        ({}, "=>> PBS: job killed: walltime 3610 exceeded limit 3600", "walltime", None, "walltime 3610 exceeded"),
        ({}, "slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-11-30 DUE TO TIME LIMIT ***", "walltime", None, ""),
    ],
)
def test_endings_are_told_apart(fields: dict[str, str], log: str, why: str, code: int | None, said: str) -> None:
    ending = ending_of("5", fields, log)
    assert ending is not None
    assert (ending.why, ending.exit_code, ending.tail) == (why, code, log)
    assert said in ending.words


def test_what_pbs_knows_no_more_says_nothing() -> None:
    assert ending_of("5", {}, "some log") is None


QUEUES = """\
Queue: workq
    queue_type = Execution
    total_jobs = 0
    resources_max.walltime = 24:00:00
    resources_max.mem = 8gb
    enabled = True
    started = True

Queue: closed
    queue_type = Execution
    enabled = True
    started = False

Queue: in
    queue_type = Route
    enabled = True
    started = True
"""

SERVER = "Server: pbs01\n    server_state = Active\n    default_queue = workq\n"

NODES = """\
cn03
     Mom = cn03.site.org
     state = free
     resources_available.mem = 16384000kb
     resources_available.ncpus = 8

cn04
     state = job-busy
     resources_available.mem = 32768000kb
     resources_available.ncpus = 4
"""

TORQUE_NODES = """\
node07
     state = free
     np = 16
     status = rectime=1796045289,cpuclock=Fixed,physmem=65843220kb,ncpus=16,opsys=linux
"""


def test_queues_and_nodes() -> None:
    # when
    server = blocks_of(SERVER, "Server")["pbs01"]
    places = {place.name: place for place in places_of(blocks_of(QUEUES, "Queue"), server, nodes_of(NODES))}
    # then a queue gives what it says, and no more than a node has
    work = places["workq"]
    assert (work.is_default, work.is_open, work.max_seconds) == (True, True, 86_400)
    assert (work.max_cores, work.max_memory) == (8, 8 * 2**30)
    assert not places["closed"].is_open
    assert places["in"].max_memory == 32_768_000 * 2**10
    # and Torque says it in other words
    (batch,) = places_of({"batch": {"enabled": "True"}}, {}, nodes_of(TORQUE_NODES))
    assert (batch.max_cores, batch.max_memory, batch.is_default) == (16, 65_843_220 * 2**10, False)


Commands = Callable[..., Path]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Put shell texts in front of all other programs, by name; each notes how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def write(**texts: str) -> Path:
        for name, text in texts.items():
            (folder / name).write_text(f'#!/bin/bash\necho "{name} $*" >>{tmp_path}/calls\n{text}\n')
            (folder / name).chmod(0o755)
        (tmp_path / "calls").touch()
        return tmp_path / "calls"

    return write


SCRIPT = "#!/bin/bash\n#PBS -q workq\n#PBS -o /logs/\ntrue\n"

QSTAT = f"""
case "$*" in
  --version) echo "pbs_version = 20.0.1" ;;
  *-Q*) cat <<'X'
{QUEUES}X
  ;;
  *-B*) cat <<'X'
{SERVER}X
  ;;
  *) cat <<'X'
{PROFESSIONAL}X
  echo "qstat: Unknown Job Id 99.pbs01" >&2; exit 153 ;;
esac"""


def test_equal_workers_are_an_array_and_looked_at_by_one_command(commands: Commands, tmp_path: Path) -> None:
    # given
    calls = commands(qstat=QSTAT, qsub="echo 'your quota is fine'; echo '1237[].pbs01'", qdel="", pbsnodes="exit 1")
    queue = PbsQueue(tmp_path)

    async def scenario() -> None:
        # when
        ids = await queue.submit(SCRIPT, 2)
        jobs = await queue.look([*ids, "1234", "99"])
        again = await queue.look(ids)
        await queue.cancel([*ids, "1234"])
        # then
        assert ids == ["1237[0]", "1237[1]"]
        assert sorted(jobs) == ["1234", "1237[0]", "1237[1]"]
        assert sorted(again) == ids

    asyncio.run(scenario())
    called = calls.read_text().splitlines()
    assert called[0] == "qstat --version"
    assert called[1].startswith("qsub -J 0-1 -r y /")
    assert called[2:] == ["qstat -x -f -t 1234 1237[].pbs01 99", "qdel 1234 1237[0].pbs01 1237[1].pbs01"]


def test_torques_arrays_are_asked_for_in_its_own_words(commands: Commands, tmp_path: Path) -> None:
    calls = commands(qstat='[ "$1" != --version ] || echo "Version: 6.1.2"', qsub="echo '80[].torque'")
    queue = PbsQueue(tmp_path)
    assert asyncio.run(queue.submit(SCRIPT, 3)) == ["80[0]", "80[1]", "80[2]"]
    assert asyncio.run(queue.look(["80[0]"])) == {}
    assert calls.read_text().splitlines()[1].startswith("qsub -t 0-2 /")
    assert calls.read_text().splitlines()[2] == "qstat -f -t 80[].torque"


def test_a_runs_jobs_are_found_by_their_mark(commands: Commands, tmp_path: Path) -> None:
    calls = commands(qstat=QSTAT, qselect="echo 1234.pbs01; echo 1235.pbs01; echo '1237[].pbs01'")
    jobs = asyncio.run(PbsQueue(tmp_path).of_run("0a1b2c3d4e-4b6d6b81"))
    assert sorted(jobs) == ["1234", "1235", "1236"]  # the last by its name, for its variables are not told
    assert calls.read_text().splitlines()[-1] == "qstat -x -f -t 1234.pbs01 1235.pbs01 1237[].pbs01"


def test_refusals_are_in_pbss_own_words_with_a_hint(commands: Commands, tmp_path: Path) -> None:
    # given
    commands(qstat=QSTAT, qsub="echo 'qsub: Unknown queue' >&2; exit 170", pbsnodes=f"cat <<'X'\n{NODES}X")
    queue = PbsQueue(tmp_path)
    # then a submission says so
    with pytest.raises(
        QueueError, match=r"PBS refused the job: Unknown queue\. Queues here: workq \(default\), closed"
    ):
        asyncio.run(queue.submit(SCRIPT))
    # and so does what is asked before
    for request, said in (
        (Request(1, 2**30, 60.0, "wrkq"), "did you mean 'workq'?"),
        (Request(64, 2**30, 60.0), "no node of queue 'workq' gives more than 8"),
        (Request(1, 2**30, 2 * 86_400.0), "over the 1 day that queue 'workq' allows"),
        (Request(1, 2**40, 60.0), "has more than 8.00 GiB"),
        (Request(1, 2**30, 60.0, "closed"), "Queue 'closed' is closed"),
    ):
        (sentence,) = asyncio.run(queue.refusals(SCRIPT, request))
        assert said in sentence
    assert asyncio.run(queue.refusals(SCRIPT, Request(8, 2**30, 60.0))) == []


def test_a_server_that_does_not_answer_is_no_server_without_jobs(commands: Commands, tmp_path: Path) -> None:
    commands(qstat="echo 'qstat: cannot connect to server pbs01 (errno=111)' >&2; exit 255")
    with pytest.raises(QueueError, match=r"cannot connect to server pbs01 \(errno=111\)?.*`qstat -B` tells"):
        asyncio.run(PbsQueue(tmp_path).look(["1"]))


def test_a_killed_jobs_ending_has_what_pbs_wrote_and_what_the_job_wrote(commands: Commands, tmp_path: Path) -> None:
    # given a server without a history
    commands(qstat="[ $1 = --version ] && echo pbs_version = 19 || { echo qstat: Unknown Job Id >&2; exit 153; }")
    (tmp_path / "5.log").write_text("a worker's last words\n")
    (tmp_path / "5.pbs01.OU").write_text("=>> PBS: job killed: walltime 70 exceeded limit 60\n")
    # when
    ending = asyncio.run(PbsQueue(tmp_path).ending("5"))
    # then
    assert ending.why == "walltime"
    assert ending.tail.splitlines()[0] == "a worker's last words"
    assert asyncio.run(PbsQueue(tmp_path).ending("6")).why == "unknown"


def test_names_fit_into_fifteen_characters() -> None:
    mark = "0a1b2c3d4e-4b6d6b81"
    for workflow, name in (("cars", "cars-4b6d6b81"), ("2024-flights", "d2024-4b6d6b81"), ("a.b", "a-b-4b6d6b81")):
        placed = REGISTRY.parse({"kind": "pbs"}).within(Path("/runs") / workflow / "0a1b2c3d4e", mark)
        script = placed.job_script()  # type: ignore[attr-defined]
        assert f"#PBS -N {name}\n" in script
        assert len(name) <= 15


def test_many_jobs_are_read_quickly() -> None:
    text = "".join(PROFESSIONAL.replace("1234.", f"{number}.") for number in range(5000, 5500))
    began = time.thread_time()
    assert len(jobs_of(blocks_of(text, "Job Id"))) == 504
    assert time.thread_time() - began < 1.0
