"""bsub, bjobs, bhist, bkill, bqueues and lshosts, as IBM's documentation of LSF 10.1 shows what they print."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from queue_of_processes import Jobs

QUEUES = """
QUEUE: normal
  -- For normal jobs.  This is the default queue.

PARAMETERS/STATISTICS
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS
 30    0  Open:Active       -    -    -    -     0     0     0     0     0    0     0

MAXIMUM LIMITS:
 RUNLIMIT
 120.0 min of n1

SCHEDULING PARAMETERS
USERS: all
HOSTS:  all

-------------------------------------------------------------------------------

QUEUE: closed
  -- Nobody's.

PARAMETERS/STATISTICS
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS
 30    0  Closed:Active     -    -    -    -     0     0     0     0     0    0     0

USERS: all
HOSTS:  all
"""

HOSTS = """HOST_NAME                       type       model  cpuf ncpus maxmem maxswp server RESOURCES
n1                            X86_64  Intel_E5    12.5     8  31.2G   3.9G    Yes (mg)
"""

STATES = {"pending": "PEND", "running": "RUN"}
REASONS = {
    "cancelled": "TERM_OWNER: job killed by owner",
    "walltime": "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
    "memory": "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
}


def bsub(arguments: list[str]) -> int:
    """Take a script from the input; options of the command win over the script's lines."""
    script = sys.stdin.read()
    lines = [line.removeprefix("#BSUB") for line in script.splitlines() if line.startswith("#BSUB")]
    words = [*(word for line in lines for word in shlex.split(line)), *arguments]
    options = {word: after for word, after in zip(words, [*words[1:], ""], strict=True) if word.startswith("-")}
    queue = options.get("-q", "")
    if queue not in ("", "normal", "closed"):
        print(f"{queue}: No such queue. Job not submitted.", file=sys.stderr)
        return 255
    if queue == "closed":
        print("closed: Queue has been closed. Job not submitted.", file=sys.stderr)
        return 255
    hours, minutes = options.get("-W", "02:00").split(":")
    seconds = 60 * (60 * int(hours) + int(minutes))
    if seconds > 7200:
        print("RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.", file=sys.stderr)
        return 255
    jobs = Jobs()
    array = re.search(r"\[1-(\d+)\]$", options.get("-J", ""))
    if array and int(array[1]) > jobs.site.get("array_size", 1000):
        print("Job array index too large. Job not submitted.", file=sys.stderr)
        return 255
    number = jobs.number()
    for index in range(1, int(array[1]) + 1) if array else [0]:
        jobs.add(
            number,
            index,
            id=f"{number}[{index}]" if index else str(number),
            command=["bash", "-c", script],
            output=options["-o"].replace("%J", str(number)).replace("%I", str(index)),
            environment={**os.environ, "LSB_JOBID": str(number), "LSB_JOBINDEX": str(index)},
            seconds=jobs.site.get("seconds", seconds),
            mark=options.get("-Jd", "-"),
        )
    print(f"Job <{number}> is submitted to {'queue' if queue else 'default queue'} <normal>.")
    jobs.all()
    return 0


def bjobs(arguments: list[str]) -> int:
    """Answer ``-a -noheader -o FORMAT`` of the fields that are asked for."""
    layout = arguments[arguments.index("-o") + 1]
    fields = layout.partition(" delimiter=")[0].split()
    which = arguments[arguments.index("-o") + 2 :]
    jobs = Jobs().all()
    if which[:1] != ["-u"]:
        for word in which:
            if not any(word in (job["id"], str(job["number"])) for job in jobs):
                print(f"Job <{word}> is not found", file=sys.stderr)
        jobs = [job for job in jobs if job["id"] in which or str(job["number"]) in which]
    for job in jobs:
        print("^".join(_told(job)[field] for field in fields))
    return 0 if jobs else 255


def _told(job: dict) -> dict[str, str]:
    ended = job["state"] == "ended"
    status = job.get("status")
    code = 130 if status is None else 128 - status if status < 0 else status
    failed = ended and (code != 0 or job["why"])
    began = job.get("began")
    return {
        "jobid": str(job["number"]),
        "jobindex": str(job["index"]),
        "stat": ("EXIT" if failed else "DONE") if ended else STATES[job["state"]],
        "start_time": _time(began),
        "run_time": f"{(job.get('ended', time.time()) - began) if began else 0:.0f} second(s)",
        "finish_time": _time(job["ended"]) if ended else _time(began + job["seconds"] if began else None, " L"),
        "estimated_start_time": "-",
        "exec_host": job.get("node", "-"),
        "exit_code": str(code) if failed else "-",
        "exit_reason": REASONS.get(job.get("why", ""), "-") if failed else "-",
        "job_description": job["mark"],
        "pend_reason": "Not enough job slots;" if job["state"] == "pending" else "-",
    }


def _time(seconds: float | None, more: str = "") -> str:
    return "-" if seconds is None else time.strftime("%b %d %H:%M", time.localtime(seconds)) + more


def bhist(arguments: list[str]) -> int:
    """It remembers nothing."""
    print("No matching job found", file=sys.stderr)
    return 255


def bkill(arguments: list[str]) -> int:
    """End jobs, of arrays also some elements."""
    jobs, code = Jobs(), 0
    for word in arguments:
        number, _, indices = word.partition("[")
        ids = [f"{number}[{index}]" for index in indices.rstrip("]").split(",")] if indices else [number]
        known = [job["id"] for job in jobs.all()]
        for id in ids:
            if id not in known:
                print(f"Job <{id}>: No matching job found", file=sys.stderr)
                code = 255
            elif jobs.end(id, "cancelled"):
                print(f"Job <{id}> is being terminated")
            else:
                print(f"Job <{id}>: Job has already finished", file=sys.stderr)
                code = 255
    return code


def main() -> int:
    """Be the command that is named first."""
    name, arguments = sys.argv[1], sys.argv[2:]
    if name in ("bqueues", "lshosts"):
        print(QUEUES if name == "bqueues" else HOSTS)
        return 0
    return {"bsub": bsub, "bjobs": bjobs, "bhist": bhist, "bkill": bkill}[name](arguments)


if __name__ == "__main__":
    sys.exit(main())
