"""What Slurm's commands have been seen to answer is understood, whichever version or site it comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from daskflow.clusters.batch_jobs import JobState, Place, QueueError, Request
from daskflow.clusters.slurm_answers import (
    ending_of,
    fields_of,
    hint_of,
    jobs_of,
    places_of,
    refusals_of,
    shapes_of,
    state_of,
)
from daskflow.clusters.slurm_commands import SlurmQueue, option

SCRIPT = "#!/bin/bash\n#SBATCH -p normal\n#SBATCH -o /logs/%j.log\ntrue\n"

PARTITIONS = """\
PartitionName=normal AllowGroups=ALL Default=YES MaxTime=UNLIMITED MaxCPUsPerNode=UNLIMITED Nodes=n[1-4] State=UP MaxMemPerNode=UNLIMITED
PartitionName=short AllowGroups=ALL Default=NO MaxTime=00:01:00 MaxCPUsPerNode=2 Nodes=n[1-4] State=UP MaxMemPerNode=1000
PartitionName=closed AllowGroups=ALL Default=NO MaxTime=1-00:00:00 Nodes=n[1-4] State=DOWN
PartitionName=empty Default=NO MaxTime=00:10:00 Nodes=(null) State=UP
"""  # noqa: E501
NODES = "normal|4|20000|3|idle\nnormal|64+|8000|1|mixed\nshort|4|20000|1|mixed\nclosed|4|20000|4|down*\n\n"

Commands = Callable[..., Path]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Put shell texts in front of all other programs, by name; each notes how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    told = {"scontrol": f"cat <<'X'\n{PARTITIONS}X", "sinfo": f"cat <<'X'\n{NODES}X"}

    def write(**texts: str) -> Path:
        for name, text in {**told, **texts}.items():
            (folder / name).write_text(f'#!/bin/bash\necho "{name} $*" >>{tmp_path}/calls\n{text}\n')
            (folder / name).chmod(0o755)
        (tmp_path / "calls").touch()
        return tmp_path / "calls"

    return write


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", JobState.PENDING),
        ("CONFIGURING", JobState.PENDING),
        ("REQUEUE_HOLD", JobState.PENDING),
        ("RUNNING", JobState.RUNNING),
        ("SUSPENDED", JobState.RUNNING),
        ("COMPLETING", JobState.ENDED),
        ("NODE_FAIL", JobState.ENDED),
        ("A_STATE_OF_TOMORROW", JobState.ENDED),
    ],
)
def test_states(word: str, state: JobState) -> None:
    assert state_of(word) is state


def test_jobs_pending_running_and_odd() -> None:
    # given
    text = (
        "7_1|PENDING|1700000000|1700000300||(ReqNodeNotAvail, UnavailableNodes:n[1|2])\n"
        "7_2|RUNNING|2026-11-30T11:24:52|2026-11-30T11:29:52|n1|None\n"
        "8|PENDING|N/A|N/A||PartitionDown\n"
        "9|RUNNING|Unknown|NONE|n[1-2]|None\n"
        "10|COMPLETED|1|2|n1|None\n"
        "slurm_load_jobs error: something\n"
        "11|RUNNING|1|2|n1|None\n"
    )

    # when
    jobs = jobs_of(text, ["7_1", "7_2", "8", "9", "10", "99"])

    # then
    assert list(jobs) == ["7_1", "7_2", "8", "9", "10"]
    assert jobs["7_1"].reason == "(ReqNodeNotAvail, UnavailableNodes:n[1|2])"
    assert (jobs["7_1"].starts_at, jobs["7_1"].began_at, jobs["7_1"].ends_at) == (1_700_000_000.0, None, None)
    assert jobs["7_2"].ends_at is not None
    assert jobs["7_2"].began_at is not None
    assert jobs["7_2"].ends_at - jobs["7_2"].began_at == 300
    assert (jobs["7_2"].node, jobs["7_2"].reason, jobs["7_2"].starts_at) == ("n1", "", None)
    assert (jobs["8"].reason, jobs["8"].starts_at) == ("PartitionDown", None)
    assert (jobs["9"].began_at, jobs["9"].ends_at) == (None, None)
    assert jobs["10"].state is JobState.ENDED


MEMORY = "slurmstepd-n1: error: StepId=37.batch exceeded memory limit (323133440 > 104857600), being killed"


@pytest.mark.parametrize(
    ("state", "exit", "reason", "log", "why", "code", "said"),
    [
        ("COMPLETED", "0:0", "None", "", "done", 0, "Job 5 ended by itself (Slurm: COMPLETED)."),
        ("FAILED", "3:0", "NonZeroExitCode", "no such file", "failed", 3, "exit code 3 (Slurm: FAILED, NonZeroExit"),
        ("FAILED", "0:11", "RaisedSignal:11(SIGSEGV)", "", "failed", None, "ended by signal 11"),
        ("FAILED", "0:9", "JobLaunchFailure", MEMORY, "memory", None, "using 308.16 MiB of memory where it had asked"),
        ("OUT_OF_MEMORY", "0:125", "OutOfMemory", "", "memory", None, "more memory than it asked for"),
        ("FAILED", "1:0", "NonZeroExitCode", "error: Detected 1 oom_kill event in StepId=5.batch", "memory", 1, "oom_"),
        ("TIMEOUT", "0:15", "TimeLimit", "", "walltime", None, "its walltime was over (Slurm: TIMEOUT, TimeLimit)"),
        ("NODE_FAIL", "0:0", "NodeDown", "", "node", None, "its node failed (Slurm: NODE_FAIL, NodeDown)"),
        ("CANCELLED", "0:0", "None", "", "cancelled", None, "it was cancelled"),
        ("PREEMPTED", "0:0", "None", "", "cancelled", None, "PREEMPTED"),
        ("", "", "", "", "unknown", None, "Slurm does not say how job 5 ended, and knows it no more."),
        ("NEW_WORD", "0:0", "None", "", "unknown", None, "Slurm does not say how job 5 ended (NEW_WORD)."),
        ("", "", "", "*** JOB 5 ON n1 CANCELLED AT 2026-11-30T11:26:45 ***", "cancelled", None, "CANCELLED AT"),
        (
            "",
            "",
            "",
            "*** JOB 5 ON n1 CANCELLED AT 2026-11-30T11:26:45 DUE TO TIME LIMIT",
            "walltime",
            None,
            "TIME",
        ),
        ("", "", "", "*** JOB 5 ON n1 CANCELLED AT 2026-11-30T11:26:45 DUE TO NODE FAILURE, SEE", "node", None, "NODE"),
        ("COMPLETED", "0:0", "None", "I read about an oom_kill", "done", 0, "ended by itself"),
    ],
)
def test_endings(state: str, exit: str, reason: str, log: str, why: str, code: int | None, said: str) -> None:
    ending = ending_of("5", state, exit, reason, log)

    assert (ending.why, ending.exit_code, ending.tail) == (why, code, log)
    assert said in ending.words
    assert "\n" not in ending.words


def test_partitions_have_the_limits_of_their_largest_node() -> None:
    places = places_of(fields_of(PARTITIONS), shapes_of(NODES))

    assert places == [
        Place("normal", True, None, 64, 20_000 * 2**20, True),
        Place("short", True, 60.0, 2, 1000 * 2**20, False),
        Place("closed", False, 86_400.0, 4, 20_000 * 2**20, False),
        Place("empty", True, 600.0, None, None, False),
    ]


@pytest.mark.parametrize(
    ("place", "request_", "said"),
    [
        ("normal", Request(65, 2**30, 60), "65 cores are asked for each worker, and no node of partition 'normal'"),
        ("normal", Request(8, 2**34, 60), "No node of partition 'normal' has both 8 cores and 16.00 GiB."),
        ("normal", Request(1, 2**37, 60), "128.00 GiB of memory are asked for each worker, and no node"),
        ("normal", Request(4, 2**34, 1e6), ""),
        ("short", Request(1, 2**29, 61), "The walltime of 1 min 1 s is over the 1 min that partition 'short' allows."),
        ("short", Request(3, 2**29, 60), "gives more than 2"),
        ("closed", Request(1, 2**29, 60), "Partition 'closed' is down: a job there waits until"),
        ("empty", Request(1, 2**29, 60), ""),
    ],
)
def test_a_request_is_held_against_the_partition(place: str, request_: Request, said: str) -> None:
    fields = {found["PartitionName"]: found for found in fields_of(PARTITIONS)}
    places = {found.name: found for found in places_of(fields.values(), shapes_of(NODES))}
    shapes = [shape for shape in shapes_of(NODES) if shape.place == place]

    refused = refusals_of(request_, fields[place], places[place], shapes)

    assert len(refused) == (1 if said else 0)
    assert said in "".join(refused)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("Invalid account or account/partition combination specified", "sacctmgr show associations"),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", "fewer workers"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "Longest walltimes: short 1 min"),
        ("Requested node configuration is not available", "The largest node of short has 4 cores"),
        ("unrecognized option '--foo'", "--dry-run"),
        ("Unable to contact slurm controller (connect failure)", "scontrol ping"),
        ("Something that nobody has seen", ""),
    ],
)
def test_a_refusal_has_a_hint(words: str, hint: str) -> None:
    found = hint_of(words, "short", [Place("short", True, 60.0, 4, 2**30, True)])

    assert found == "" if hint == "" else hint in found


def test_options_are_found_as_sbatch_finds_them() -> None:
    script = (
        "#!/bin/bash\n#SBATCH -p a -A me\n#SBATCH --output='/my runs/%j.log' # mine\n#SBATCH -pb\necho -p c\n#SBATCH 'x"
    )

    assert option(script, "-p", "--partition") == "b"
    assert option(script, "-A", "--account") == "me"
    assert option(script, "-o", "--output") == "/my runs/%j.log"
    assert option(script, "-e", "--error") == ""


def test_an_id_is_found_behind_a_banner_and_without_its_cluster(commands: Commands) -> None:
    commands(sbatch="echo 'Welcome to the 12 nodes of SITE'; echo '123;cluster'")

    assert asyncio.run(SlurmQueue().submit(SCRIPT)) == ["123"]


def test_an_answer_without_an_id_is_an_error(commands: Commands) -> None:
    commands(sbatch="echo 'Submitted nothing'")

    with pytest.raises(QueueError, match="Submitted nothing"):
        asyncio.run(SlurmQueue().submit(SCRIPT))


def test_equal_jobs_are_one_array_whose_logs_have_their_ids(commands: Commands) -> None:
    calls = commands(sbatch="echo 7")

    assert asyncio.run(SlurmQueue().submit(SCRIPT, 3)) == ["7_0", "7_1", "7_2"]
    assert calls.read_text() == "sbatch --parsable --array=0-2 --output=/logs/%A_%a.log\n"


def test_more_jobs_than_an_array_holds_are_several_arrays(commands: Commands) -> None:
    calls = commands(sbatch="echo $RANDOM$RANDOM")

    ids = asyncio.run(SlurmQueue().submit(SCRIPT, 2500))

    assert len(set(ids)) == 2500
    assert [call.split("=")[1].split()[0] for call in calls.read_text().splitlines()] == ["0-999", "0-999", "0-499"]


def test_a_site_without_arrays_gets_single_jobs(commands: Commands) -> None:
    commands(
        sbatch="[[ $* == *--array* ]] && { echo 'sbatch: error: Invalid job array specification' >&2; exit 1; }\n"
        "echo $RANDOM$RANDOM$RANDOM"
    )

    ids = asyncio.run(SlurmQueue().submit(SCRIPT, 3))

    assert len(set(ids)) == 3
    assert not any("_" in id for id in ids)


LIMIT = "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size)"


def test_a_limit_lets_in_as_many_as_it_has_room_for(commands: Commands, tmp_path: Path) -> None:
    """The IDs of those that are in are told: else nobody would ever end them."""
    (tmp_path / "room").write_text("37")
    commands(
        sbatch=f"""n=1
for a; do case $a in --array=0-*) n=$((${{a#--array=0-}} + 1)) ;; esac; done
room=$(<{tmp_path}/room)
((n <= room)) || {{ echo "{LIMIT}" >&2; exit 1; }}
echo $((room - n)) >{tmp_path}/room; echo $((1000 + room))"""
    )

    ids = asyncio.run(SlurmQueue().submit(SCRIPT, 1500))

    assert len(set(ids)) == 37
    with pytest.raises(QueueError, match=r"policy.*Ask for fewer workers"):
        asyncio.run(SlurmQueue().submit(SCRIPT, 1500))


def test_a_refusal_that_has_nothing_to_do_with_the_number_is_asked_once(commands: Commands) -> None:
    calls = commands(sbatch="echo 'sbatch: error: Invalid partition name specified' >&2; exit 1")

    with pytest.raises(QueueError, match="Invalid partition"):
        asyncio.run(SlurmQueue().submit(SCRIPT, 500))

    assert calls.read_text().count("sbatch") == 1


def test_variables_of_the_surrounding_job_do_not_reach_a_new_one(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The controller runs in a job of its own, and sbatch lets variables win over what the script says."""
    commands(sbatch=f"env >{tmp_path}/env; echo 7")
    for name in ("SLURM_MEM_PER_NODE", "SLURM_JOB_ID", "SBATCH_TIMELIMIT", "SBATCH_PARTITION", "SQUEUE_STATES"):
        monkeypatch.setenv(name, "other")
    monkeypatch.setenv("SBATCH_ACCOUNT", "mine")
    monkeypatch.setenv("SLURM_CONF", "/etc/other.conf")

    asyncio.run(SlurmQueue().submit(SCRIPT))

    seen = (tmp_path / "env").read_text().splitlines()
    assert {line for line in seen if line.startswith(("SLURM_", "SBATCH_"))} == {
        "SLURM_CONF=/etc/other.conf",
        "SBATCH_ACCOUNT=mine",  # the script names none, and the site may refuse jobs without one
    }


def test_a_thousand_jobs_are_one_short_question_and_politely_asked(commands: Commands) -> None:
    # given
    calls = commands(
        squeue='for n in {0..999}; do echo "7_$n|RUNNING|1|2|n1|None"; done',
    )
    ids = [f"7_{n}" for n in range(1000)]
    queue = SlurmQueue()

    # when
    async def often() -> int:
        found = [await queue.look(ids), await queue.look(ids[:10])]
        found += await asyncio.gather(*[queue.look(ids) for _ in range(5)])
        return len(found[0])

    assert asyncio.run(often()) == 1000

    # then
    (call,) = calls.read_text().splitlines()
    assert call.endswith("--jobs=7")


def test_more_jobs_than_a_command_can_name_are_one_question(commands: Commands) -> None:
    calls = commands(squeue="echo '119999|RUNNING|1|2|n1|None'; echo '5|RUNNING|1|2|n1|None'")

    seen = asyncio.run(SlurmQueue().look([str(number) for number in range(100_000, 120_000)]))

    assert list(seen) == ["119999"]
    assert "--user=" in calls.read_text()


def test_a_queue_that_does_not_answer_is_no_queue_without_jobs(commands: Commands) -> None:
    """Jobs that are taken for lost would be submitted again."""
    commands(squeue="echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1")

    with pytest.raises(QueueError, match=r"Unable to contact.*scontrol ping"):
        asyncio.run(SlurmQueue().look(["1"]))


def test_a_job_that_slurm_knows_no_more_is_absent(commands: Commands) -> None:
    commands(squeue="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")

    assert asyncio.run(SlurmQueue().look(["1"])) == {}


def test_the_accounting_tells_what_slurm_forgot(commands: Commands) -> None:
    calls = commands(
        scontrol="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
        sacct="echo '7_0|COMPLETED|0:0'; echo '7_1|CANCELLED by 1000|0:0'",
    )
    queue = SlurmQueue()

    assert asyncio.run(queue.ending("7_1")).why == "cancelled"
    assert asyncio.run(queue.ending("7_0")).why == "done"
    assert asyncio.run(queue.ending("8")).why == "unknown"
    assert calls.read_text().count("sacct") == 3


def test_an_accounting_that_is_not_there_is_asked_once(commands: Commands) -> None:
    calls = commands(scontrol="exit 1", sacct="echo 'Slurm accounting storage is disabled' >&2; exit 1")
    queue = SlurmQueue()

    for id in ("7", "8", "9"):
        assert asyncio.run(queue.ending(id)).why == "unknown"

    assert calls.read_text().count("sacct") == 1


def test_an_ending_that_cannot_be_asked_for_is_unknown(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    ending = asyncio.run(SlurmQueue().ending("7"))

    assert ending.why == "unknown"
    assert "There is no command 'scontrol'" in ending.words


def test_a_job_that_was_put_back_into_the_queue_lost_its_node(commands: Commands) -> None:
    commands(scontrol="echo 'JobId=5 JobState=PENDING Reason=BeginTime Restarts=1 ExitCode=0:0'")

    ending = asyncio.run(SlurmQueue().ending("5"))

    assert ending.why == "node"
    assert "queued it again" in ending.words


def test_cancelling_is_one_command_and_forgives_what_is_gone(commands: Commands) -> None:
    calls = commands(scancel="echo 'scancel: error: Kill job error on job id 9: Invalid job id specified' >&2; exit 1")

    asyncio.run(SlurmQueue().cancel([*(f"7_{n}" for n in range(300)), "9"]))
    asyncio.run(SlurmQueue().cancel([]))

    assert calls.read_text() == "scancel 7_[0-299] 9\n"


def test_cancelling_jobs_of_another_user_is_an_error(commands: Commands) -> None:
    commands(scancel="echo 'scancel: error: Kill job error on job id 9: Access/permission denied' >&2; exit 1")

    with pytest.raises(QueueError, match="Access/permission denied"):
        asyncio.run(SlurmQueue().cancel(["9"]))


def test_a_preflight_does_not_refuse_what_only_has_to_wait(commands: Commands) -> None:
    commands(sbatch="echo 'allocation failure: Required node not available (down, drained or reserved)' >&2; exit 1")

    assert asyncio.run(SlurmQueue().refusals(SCRIPT, Request(1, 2**30, 60, "normal"))) == []


def test_a_preflight_tells_what_only_slurm_knows(commands: Commands) -> None:
    commands(sbatch="echo 'allocation failure: Invalid account or account/partition combination specified' >&2; exit 1")

    (refused,) = asyncio.run(SlurmQueue().refusals(SCRIPT, Request(1, 2**30, 60, "normal")))

    assert "Invalid account or account/partition combination specified. Set account" in refused


FULL = (
    "echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; echo 'sbatch: error: Batch job submission failed: Job violates \
accounting/QOS policy (job submit limit, user'\\''s size and/or time limits)' >&2; exit 1"
)
"""What Slurm answers who has as many jobs in the queue as an account or a QOS allows (MaxSubmitJobs)."""


def test_a_user_with_as_many_jobs_as_may_be_is_told_so_and_no_preflight_calls_it_hopeless(commands: Commands) -> None:
    commands(sbatch=FULL)
    with pytest.raises(QueueError) as caught:
        asyncio.run(SlurmQueue().submit(SCRIPT, 3))
    assert "AssocMaxSubmitJobLimit" in str(caught.value)
    assert "Job violates accounting/QOS policy" in str(caught.value)
    assert "Ask for fewer workers" in str(caught.value)
    assert asyncio.run(SlurmQueue().refusals(SCRIPT, Request(1, 2**30, 60, "normal"))) == []


def test_one_of_several_partitions_is_enough(commands: Commands) -> None:
    commands(sbatch="exit 0")
    queue = SlurmQueue()

    assert asyncio.run(queue.refusals(SCRIPT, Request(1, 2**30, 300, "short,normal"))) == []
    assert len(asyncio.run(queue.refusals(SCRIPT, Request(1, 2**29, 300_000, "short,closed")))) == 3
