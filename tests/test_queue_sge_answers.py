"""What Grid Engine answers is read as it is, and what is asked of it is as it wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from daskflow.clusters import REGISTRY
from daskflow.clusters.batch_jobs import JobState, QueueError, Request
from daskflow.clusters.sge_answers import ending_of, error_of, jobs_of, places_of, record_of, time_of
from daskflow.clusters.sge_commands import SgeQueue


def row(number: int, state: str, task: str = "", more: str = "", name: str = "daskflow-cars-4b6d6b81") -> str:
    """A job in qstat's answer."""
    tasks = f"<tasks>{task}</tasks>" if task else ""
    return f"""<job_list><JB_job_number>{number}</JB_job_number><JB_name>{name[:10]}</JB_name><state>{state}</state>
    {more}<slots>1</slots>{tasks}<full_job_name>{name}</full_job_name>
    <hard_request name="mem_free" resource_contribution="0.0">100M</hard_request>
    <hard_request name="h_rt" resource_contribution="0.0">3600</hard_request></job_list>"""


BEGAN = "<JAT_start_time>2026-11-30T13:14:49</JAT_start_time><queue_name>all.q@cn03</queue_name>"
QSTAT = f"""<?xml version='1.0'?><job_info><queue_info>{row(1, "r", more=BEGAN)}{row(2, "dr", "3", BEGAN)}</queue_info>
<job_info>{row(2, "qw", "4")}{row(3, "Eqw")}{row(4, "hqw", name="other")}</job_info></job_info>"""

QCONF = """\
qname                 all.q
slots                 8,[cn04=16]
h_rt                  INFINITY
qname                 short.q
h_rt                  00:10:00,[@big= \\
                      01:00:00]
qname                 closed.q
h_rt                  INFINITY
"""


def host(name: str, memory: str, **queues: str) -> str:
    """A host in qhost's answer; of each queue its state, 8 slots."""
    values = "".join(
        f"<queue name='{queue}.q'><queuevalue name='slots'>8</queuevalue>"
        f"<queuevalue name='state_string'>{state}</queuevalue></queue>"
        for queue, state in queues.items()
    )
    return f"<host name='{name}'><resourcevalue name='mem_total'>{memory}</resourcevalue>{values}</host>"


QHOST = f"<qhost>{host('cn03', '23.5G', all='', short='', closed='d')}{host('cn04', '47.0G', all='au')}</qhost>"


def test_jobs_running_deleted_waiting_and_in_error() -> None:
    # when
    jobs = jobs_of(ElementTree.fromstring(QSTAT))
    # then
    assert list(jobs) == ["1", "2.3", "2.4", "3", "4"]
    began = time_of("2026-11-30T13:14:49")
    assert began is not None
    assert (jobs["1"].state, jobs["1"].node) == (JobState.RUNNING, "cn03")
    assert (jobs["1"].began_at, jobs["1"].ends_at) == (began, began + 3600)
    assert (jobs["2.3"].state, jobs["2.3"].reason) == (JobState.RUNNING, "it is being deleted")
    assert (jobs["2.4"].state, jobs["2.4"].reason) == (JobState.PENDING, "it waits for a slot (qw)")
    assert jobs["3"].is_hopeless
    assert not jobs["4"].is_hopeless
    # and those of a run are known by their names' end
    assert "4" not in jobs_of(ElementTree.fromstring(QSTAT), "-4b6d6b81")


def test_queues_have_the_limits_of_their_largest_host() -> None:
    places = {place.name: place for place in places_of(QCONF, ElementTree.fromstring(QHOST))}
    assert (places["all.q"].max_cores, places["all.q"].max_seconds) == (8, None)
    assert places["all.q"].max_memory == int(47.0 * 2**30)
    assert places["short.q"].max_seconds == 3600
    assert [name for name, place in places.items() if not place.is_open] == ["closed.q"]


def record(**fields: str) -> str:
    """A record of qacct."""
    known = {"jobnumber": "5", "taskid": "undefined", "failed": "0    ", "exit_status": "0", "ru_wallclock": "2s"}
    return "=" * 62 + "\n" + "".join(f"{name:<13}{value}\n" for name, value in {**known, **fields}.items())


@pytest.mark.parametrize(
    ("fields", "why", "code", "said"),
    [
        ({}, "done", 0, "ended by itself"),
        ({"exit_status": "7"}, "failed", 7, "exit code 7"),
        ({"failed": "100 : assumedly after job", "exit_status": "137"}, "cancelled", None, "signal 9, as by qdel"),
        ({"failed": "100 : assumedly after job", "exit_status": "139"}, "failed", None, "signal 11"),
        (
            {
                "failed": "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit",
                "ru_wallclock": "61s",
                "category": "-l h_rt=60",
            },
            "walltime",
            None,
            "its walltime of 1 min was over (Grid Engine: qmaster enforced h_rt",
        ),
        (
            {
                "failed": "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit",
                "exit_status": "137",
                "maxvmem": "2.010GB",
                "category": "-l h_rt=3600,h_vmem=2G",
            },
            "memory",
            None,
            "using 2.01 GiB of memory where it had asked for 2.00 GiB",
        ),
        ({"failed": "25  : rescheduling"}, "node", None, "took it from its node (Grid Engine: rescheduling)"),
        ({"failed": "27  : searching requested shell"}, "failed", None, "could not run it (Grid Engine: searching"),
    ],
)
def test_endings_are_told_apart(fields: dict[str, str], why: str, code: int | None, said: str) -> None:
    ending = ending_of("5", record_of(record(**fields), ""), "the log")
    assert (ending.why, ending.exit_code, ending.tail) == (why, code, "the log")
    assert said in ending.words


def test_of_several_records_the_last_of_the_right_task_counts() -> None:
    text = record(taskid="1", exit_status="1") + record(taskid="2") + record(taskid="1", exit_status="3")
    assert record_of(text, "1")["exit_status"] == "3"
    assert record_of(text, "7") == {}
    assert record_of("error: job id 5 not found", "") == {}


def test_why_a_job_could_not_be_started() -> None:
    said = 'binding: NONE\nerror reason          1:      11/30/2026 13:15:08 [0:26639]: unable to find shell "/no/sh"\n'
    assert error_of(said) == 'unable to find shell "/no/sh"'


Commands = Callable[..., Path]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Put shell texts in front of all other programs, by name; each notes how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    told = {"qconf": f"cat <<'X'\n{QCONF}X", "qhost": f"cat <<'X'\n{QHOST}\nX", "qstat": f"cat <<'X'\n{QSTAT}\nX"}

    def write(**texts: str) -> Path:
        for name, text in {**told, **texts}.items():
            (folder / name).write_text(f'#!/bin/bash\necho "{name} $*" >>{tmp_path}/calls\n{text}\n')
            (folder / name).chmod(0o755)
        return tmp_path / "calls"

    return write


SCRIPT = '#!/bin/bash\n#$ -q all.q\n#$ -l mem_free=100M\n#$ -o "/my logs/$JOB_ID.log"\ntrue\n'


def test_equal_workers_are_an_array_and_looked_at_by_one_command(commands: Commands, tmp_path: Path) -> None:
    # given
    calls = commands(qsub="echo 2.1-4:1", qdel="echo 'denied: job \"9\" does not exist'; exit 1")
    queue = SgeQueue(tmp_path)

    async def scenario() -> None:
        # when
        ids = await queue.submit(SCRIPT, 4)
        jobs = await queue.look([*ids, "1"])
        assert await queue.look(ids)
        await queue.cancel(["2.1", "9"])
        # then
        assert ids == ["2.1", "2.2", "2.3", "2.4"]
        assert sorted(jobs) == ["1", "2.3", "2.4"]
        assert await queue.of_run("0a1b2c3d4e-00000000") == {}

    asyncio.run(scenario())
    called = calls.read_text().splitlines()
    assert called[0] == "qsub -terse -t 1-4 -o /my logs/$JOB_ID.$TASK_ID.log"
    assert [call.split()[0] for call in called] == ["qsub", "qstat", "qdel", "qstat"]


def test_a_job_that_could_not_be_started_says_why(commands: Commands, tmp_path: Path) -> None:
    reason = 'echo "error reason          1:      11/30/2026 13:15:08 [0:2]: can\'t open output file"'
    commands(qstat=f"if [ $1 = -j ]; then {reason}; else cat <<'X'\n{QSTAT}\nX\nfi")
    queue = SgeQueue(tmp_path)
    job = asyncio.run(queue.look(["3"]))["3"]
    assert job.is_hopeless
    assert job.reason == "Grid Engine could not start it (Eqw): can't open output file"
    assert asyncio.run(queue.ending("3")).words.endswith("can't open output file.")


def test_a_job_was_deleted_when_it_was_being_deleted_at_last_sight(commands: Commands, tmp_path: Path) -> None:
    commands(qacct="echo 'error: can not open accounting file' >&2; exit 1")
    queue = SgeQueue(tmp_path)
    asyncio.run(queue.look(["2.3"]))
    assert asyncio.run(queue.ending("2.3")).why == "cancelled"
    assert asyncio.run(queue.ending("77")).why == "unknown"


def test_refusals_are_in_its_own_words_with_a_hint(commands: Commands, tmp_path: Path) -> None:
    # given an empty cluster that takes what hosts only tell the load of for unknown
    unknown = 'Job 5 cannot run in queue "all.q@cn03" because job requests unknown resource (mem_free)'
    calls = commands(
        qsub=f"""if grep -q mem_free; then echo 'Unable to run job: {unknown}
verification: no suitable queues
Exiting.' >&2; exit 1; fi; echo 'verification: found suitable queue(s)'"""
    )
    queue = SgeQueue(tmp_path)
    # then that is no refusal
    assert asyncio.run(queue.refusals(SCRIPT, Request(1, 2**30, 60.0, "all.q"))) == []
    assert calls.read_text().count("qsub -w v") == 2
    # and what no queue gives is one
    for request, said in (
        (Request(9, 2**30, 60.0, "all.q"), "no node of queue 'all.q' gives more than 8"),
        (Request(1, 2**30, 7200.0, "short.q"), "over the 1 h that queue 'short.q' allows"),
        (Request(1, 2**30, 60.0, "closed.q"), "Queue 'closed.q' is disabled"),
    ):
        assert any(said in sentence for sentence in asyncio.run(queue.refusals(SCRIPT, request)))
    # and what qsub refuses is told in its words, with the queues there are
    commands(qsub="echo 'Unable to run job: Job was rejected because job requests unknown queue \"al.q\"' >&2; exit 1")
    with pytest.raises(QueueError, match=r"requests unknown queue \"al.q\"\. Queues here: all\.q, .* mean 'all\.q'\?"):
        asyncio.run(queue.submit(SCRIPT.replace("all.q", "al.q")))


def test_a_master_that_does_not_answer_is_no_queue_without_jobs(commands: Commands, tmp_path: Path) -> None:
    commands(qstat="echo 'error: commlib error: got select error (Connection refused)' >&2; exit 1")
    with pytest.raises(QueueError, match="qmaster does not answer"):
        asyncio.run(SgeQueue(tmp_path).look(["1"]))
    commands(qstat="echo '<job_info><oops'")
    with pytest.raises(QueueError, match="cannot be read"):
        asyncio.run(SgeQueue(tmp_path).look(["1"]))


def test_limits_that_are_multiplied_by_the_slots_are_asked_for_by_core() -> None:
    options = {"kind": "sge", "cores": 4, "memory": "8 GiB", "parallel_environment": "smp"}
    for more, line in (
        ({}, "#$ -l mem_free=8192M\n"),
        ({"memory_resource": "h_vmem"}, "#$ -l h_vmem=2048M\n"),
        ({"memory_resource": "h_vmem", "memory_per_core": False}, "#$ -l h_vmem=8192M\n"),
        ({"memory_resource": "ram", "memory_per_core": True}, "#$ -l ram=2048M\n"),
    ):
        assert line in REGISTRY.parse({**options, **more}).job_script()  # type: ignore[attr-defined]
