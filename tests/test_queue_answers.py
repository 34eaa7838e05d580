"""What LSF, HTCondor and OAR answer, read: lines of IBM's documentation, and answers of a real HTCondor 23.9."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from daskflow.clusters import htcondor_answers, lsf_answers, oar_answers
from daskflow.clusters.batch_jobs import JobState, Place
from daskflow.clusters.lsf_commands import together

NOON = datetime(2026, 11, 30, 12, 0).timestamp()


def test_jobs_of_lsf_have_their_times_whatever_is_not_known() -> None:
    # given a job that runs, one that waits, one of an array that ended, and what is no job
    lines = """
4711^0^RUN^Nov 30 11:58^95 second(s)^Nov 30 12:58 L^-^4*n3:2*n4^-^-^daskflow:0a1b^-
4712^0^PEND^-^0 second(s)^-^Nov 30 12:30^-^-^-^daskflow:0a1b^ Job slot limit reached: 3 hosts;Load a^b: 1 host;
4713^12^EXIT^Nov 30 11:00^60 second(s)^Nov 30 11:01^-^n3^137^TERM_MEMLIMIT: reached LSF memory usage limit^-^-
4714^0^UNKWN^Nov 30 11:58^95 second(s)^-^-^n9^-^-^-^-
Job <9> is not found
"""
    # when
    jobs = lsf_answers.jobs_of(lsf_answers.records_of(lines), NOON, {"4711": 3600.0})
    # then
    assert sorted(jobs) == ["4711", "4712", "4713[12]", "4714"]
    running, waiting, ended = jobs["4711"], jobs["4712"], jobs["4713[12]"]
    assert (running.began_at, running.ends_at, running.node) == (NOON - 95, NOON - 95 + 3600, "n3")
    assert waiting.state is JobState.PENDING
    assert waiting.starts_at == NOON + 1800
    assert waiting.reason == "Job slot limit reached: 3 hosts;Load a^b: 1 host"
    assert (ended.state, ended.ends_at) == (JobState.ENDED, NOON - 3540)
    assert jobs["4714"].state is JobState.RUNNING


def test_an_end_that_lsf_puts_elsewhere_than_was_asked_for_is_the_true_one() -> None:
    line = "1^0^RUN^Nov 30 11:58^120 second(s)^Nov 30 12:28 L^-^n1^-^-^-^-"
    (job,) = lsf_answers.jobs_of(lsf_answers.records_of(line), NOON, {"1": 7200.0}).values()
    assert job.ends_at == NOON + 28 * 60


@pytest.mark.parametrize(
    ("code", "reason", "why", "words"),
    [
        ("143", "TERM_RUNLIMIT: job killed after reaching LSF run time limit", "walltime", "its walltime was over"),
        ("137", "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit", "memory", "more memory"),
        ("130", "TERM_OWNER: job killed by owner", "cancelled", "TERM_OWNER"),
        ("143", "TERM_ZOMBIE: zombie", "node", "its node failed"),
        ("1", "TERM_CWD_NOTEXIST: current working directory is not accessible", "failed", "exit code 1"),
        ("127", "", "failed", "exit code 127"),
        ("139", "", "failed", "signal 11"),
        ("", "", "failed", "it failed (LSF: EXIT)"),
    ],
)
def test_exits_of_lsf_are_told_apart(code: str, reason: str, why: str, words: str) -> None:
    ending = lsf_answers.ending_of("7[2]", "EXIT", code, reason, "its log")
    assert ending.why == why
    assert words in ending.words
    assert "7[2]" in ending.words
    assert ending.tail == "its log"


def test_a_job_that_bjobs_has_forgotten_is_told_of_by_bhist_though_its_lines_are_cut_anywhere() -> None:
    text = """
Job <1531>, User <me>, Project <default>, Command <sleep 100>
Mon Nov 30 11:00:00: Submitted from host <login>, to Queue <normal>;
Mon Nov 30 11:02:00: Exited with exit code 137. The CPU time used is 12.1 seconds;
Mon Nov 30 11:02:00: Completed <exit>; TERM_MEMLIMIT: job killed after reaching L
                     SF memory usage limit;
"""
    assert lsf_answers.history_of(text) == (
        "EXIT",
        "137",
        "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
    )
    assert lsf_answers.history_of("No matching job found") == ("", "", "")


BQUEUES = """
QUEUE: short
  -- For short jobs.  This is the default queue.

PARAMETERS/STATISTICS
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS
 40   20  Open:Active      50    -    -    -     3     0     3     0     0    0     0
Interval for a host to accept two jobs is 0 seconds

DEFAULT LIMITS:
 RUNLIMIT
 10.0 min of n1

MAXIMUM LIMITS:
 CPULIMIT             RUNLIMIT
 480.0 min of n1      60.0 min of n1

 TASKLIMIT
 1 1 16

 MEMLIMIT
   8 G

SCHEDULING PARAMETERS
           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem
 loadSched   -     -     -     -       -     -    -     -     -      -      -

USERS: all
HOSTS:  all

-------------------------------------------------------------------------------

QUEUE: gpu
  -- With GPUs.

PARAMETERS/STATISTICS
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS
 40   20  Open:Inact        -    -    -    -     0     0     0     0     0    0     0

 RUNLIMIT
 1440.0 min

USERS: all
HOSTS:  gpuhosts/
"""

LSHOSTS = """HOST_NAME                       type       model  cpuf ncpus maxmem maxswp server RESOURCES
n1                            X86_64  Intel_E5    12.5    32  31.2G   3.9G    Yes (mg)
n2                            X86_64  Intel_E5    12.5     8   512M   3.9G    Yes ()
n3                            UNKNOWN  UNKNOWN     1.0     -      -      -    Yes ()
"""


def test_queues_of_lsf_have_the_limits_of_their_jobs_and_hosts() -> None:
    assert lsf_answers.queues_of(BQUEUES, LSHOSTS) == [
        Place("short", max_seconds=3600.0, max_cores=16, max_memory=8 * 2**30, is_default=True),
        Place("gpu", is_open=False, max_seconds=86400.0),
    ]


def test_elements_of_an_array_are_ended_by_one_word() -> None:
    assert together(["12[10]", "12[2]", "9", "12[2]"]) == ["12[2,10]", "9"]


HELD = {
    "ClusterId": 4,
    "HoldReason": "Error from slot1_1@vm: Failed to execute '/no/such': (errno=2: 'No such file or directory')",
    "HoldReasonCode": 6,
    "JobCurrentStartDate": 1796044675,
    "JobStatus": 5,
    "LastJobStatus": 2,
    "NumShadowStarts": 1,
    "ProcId": 0,
}
REMOVED = {
    "ClusterId": 1,
    "ExitBySignal": True,
    "ExitSignal": 15,
    "JobCurrentStartDate": 1796044601,
    "JobStatus": 3,
    "LastJobStatus": 2,
    "NumShadowStarts": 1,
    "ProcId": 1,
    "RemoveReason": "via condor_rm (by user games)",
}
LATE = {
    **REMOVED,
    "RemoveReason": "The job attribute PeriodicRemove expression '(JobStatus == 2) && ((time() - JobCurrentStartDate) "
    "> 8)' evaluated to TRUE",
}
EXITED = {"ClusterId": 6, "ExitBySignal": False, "ExitCode": 3, "JobStatus": 4, "LastJobStatus": 2, "ProcId": 0}
KILLED = {"ClusterId": 7, "ExitBySignal": True, "ExitSignal": 9, "JobStatus": 4, "LastJobStatus": 2, "ProcId": 0}


@pytest.mark.parametrize(
    ("ad", "why", "words"),
    [
        (HELD, "failed", "Failed to execute '/no/such'"),
        (REMOVED, "cancelled", "via condor_rm (by user games)"),
        (LATE, "walltime", "its walltime was over"),
        ({**LATE, "LastJobStatus": 1}, "node", "its machine was lost"),
        ({**LATE, **HELD, "JobStatus": 3, "LastJobStatus": 5, "HoldReasonCode": 34}, "memory", "more memory"),
        (
            {**HELD, "HoldReasonCode": 26, "HoldReason": "Memory use over the site's limit"},
            "memory",
            "the site's limit",
        ),
        ({**HELD, "HoldReasonCode": 46, "HoldReason": "The job exceeded allowed job duration"}, "walltime", "allowed"),
        ({**HELD, "HoldReasonCode": 1, "HoldReason": "via condor_hold (by user me)"}, "cancelled", "condor_hold"),
        (EXITED, "failed", "exit code 3"),
        (KILLED, "failed", "signal 9"),
        ({**EXITED, "ExitCode": 0}, "done", "ended by itself"),
        (None, "unknown", "knows it no more"),
    ],
)
def test_ends_of_htcondor_are_told_apart(ad: dict[str, object] | None, why: str, words: str) -> None:
    ending = htcondor_answers.ending_of("6.0", ad, "its log")
    assert ending.why == why
    assert words in ending.words


def test_jobs_of_htcondor_are_pending_running_or_over() -> None:
    text = """
[
{
  "ClusterId": 8, "ProcId": 0, "JobStatus": 1, "NumShadowStarts": 0, "LastRejMatchReason": "no match found ",
  "RequestMemory": "\\/Expr(floor(MY.DaskWorkerMemory / 1048576))\\/"
}
,
{
  "ClusterId": 9, "ProcId": 3, "JobStatus": 2, "JobCurrentStartDate": 100, "DaskflowSeconds": 60,
  "RemoteHost": "slot1_1@vm"
}
]"""
    ads = [*htcondor_answers.ads_of(text), HELD, REMOVED, {"ClusterId": 5, "ProcId": 0, "JobStatus": 5}]
    jobs = htcondor_answers.jobs_of(ads)
    assert jobs["8.0"].state is JobState.PENDING
    assert jobs["8.0"].reason == "no match found"
    assert (jobs["9.3"].state, jobs["9.3"].ends_at, jobs["9.3"].node) == (JobState.RUNNING, 160.0, "vm")
    assert jobs["4.0"].state is jobs["1.1"].state is JobState.ENDED
    assert jobs["5.0"].is_hopeless
    assert htcondor_answers.ads_of("") == []
    with pytest.raises(ValueError, match="Expecting"):
        htcondor_answers.ads_of("[{")


FRAGGED = {"type": "FRAG_JOB_REQUEST", "description": "User me requested to frag the job 7", "date": "1796044601"}
SENT = {"type": "SEND_KILL_JOB", "description": "[Leon] Send kill signal to oarexec on n1 for the job 7"}
ELAPSED = {"type": "WALLTIME", "description": "[sarko] Job [7] from 1 with 60; current time=62 (Elapsed)"}
SUSPECTED = {"type": "EXECUTE_JOB", "description": "[bipbip 7] Can not connect to n1"}


@pytest.mark.parametrize(
    ("state", "code", "events", "why", "words"),
    [
        ("Error", None, [FRAGGED, SENT, ELAPSED], "walltime", "Elapsed"),
        ("Error", "36608", [FRAGGED, SENT], "cancelled", "requested to frag"),
        ("Error", None, [{"type": "BESTEFFORT_KILL", "description": "x"}], "cancelled", "BESTEFFORT_KILL"),
        ("Error", None, [SUSPECTED], "node", "Can not connect to n1"),
        ("Terminated", "0", [], "done", "ended by itself"),
        ("Terminated", 768, [], "failed", "exit code 3"),
        ("Terminated", "35072", [], "failed", "signal 9"),
        ("Terminated", "9", [], "failed", "signal 9"),
        ("Error", None, [], "failed", "it failed (OAR: Error)"),
        ("Terminated", None, [{"type": "WALLTIME", "description": "walltime changed"}], "done", "ended by itself"),
        ("Running", None, [], "unknown", "has not ended"),
    ],
)
def test_ends_of_oar_are_told_apart(
    state: str, code: object, events: list[dict[str, str]], why: str, words: str
) -> None:
    ending = oar_answers.ending_of("7", {"state": state, "exit_code": code, "events": events}, "its log")
    assert ending.why == why
    assert words in ending.words


def test_jobs_of_oar_are_read_from_numbers_and_texts() -> None:
    said = {
        "7": {
            "Job_Id": "7",
            "state": "Running",
            "startTime": "100",
            "walltime": 60,
            "assigned_network_address": ["n1"],
        },
        "8": {"Job_Id": 8, "state": "Waiting", "startTime": 0, "scheduledStart": 400, "message": "R=1,W=0:1:0,J=B"},
        "9": {"state": "Error", "startTime": "100", "stopTime": "130", "walltime": "60", "message": None},
    }
    jobs = oar_answers.jobs_of(oar_answers.jobs_in(f"a note of the site\n{json.dumps(said)}"))
    assert (jobs["7"].state, jobs["7"].began_at, jobs["7"].ends_at, jobs["7"].node) == (
        JobState.RUNNING,
        100.0,
        160.0,
        "n1",
    )
    assert (jobs["8"].state, jobs["8"].starts_at, jobs["8"].reason) == (JobState.PENDING, 400.0, "")
    assert (jobs["9"].state, jobs["9"].ends_at) == (JobState.ENDED, 130.0)
    assert oar_answers.jobs_in("") == []
