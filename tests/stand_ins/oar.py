"""oarsub, oarstat, oardel and oarnodes, as OAR 2.5's own sources (Debian's packages) print what they are asked here."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import itertools

from queue_of_processes import Jobs

STATES = {"pending": "Waiting", "running": "Running"}


def oarsub(arguments: list[str]) -> int:
    """Take a command, which is the only word that belongs to no option."""
    options, words = {}, list(arguments)
    command = words.pop()
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("-"):
            options[word] = after
    if not re.fullmatch(r"[a-zA-Z0-9_./\-% ]+", options["-O"]):
        print("/!\\ Invalid stdout file name (bad character)", file=sys.stderr)
        return _failed()
    if options.get("-q", "default") != "default":
        print(f"ERROR : The queue {options['-q']} does not exist", file=sys.stderr)
        return _failed()
    if int(found[1]) > 8 if (found := re.search(r"core=(\d+)", options["-l"])) else False:
        print("There are not enough resources for your request", file=sys.stderr)
        return _failed()
    jobs = Jobs()
    hours, minutes, seconds = map(int, re.search(r"walltime=(\d+):(\d+):(\d+)", options["-l"]).groups())
    array = jobs.number()
    print("[ADMISSION RULE] Modify resource description with type constraints")
    for index in range(1, int(options.get("--array", "1")) + 1):
        number = array if index == 1 else jobs.number()
        jobs.add(
            number,
            1,
            id=str(number),
            command=["bash", "-c", command],
            output=options["-O"].replace("%jobid%", str(number)),
            environment={**os.environ, "OAR_JOB_ID": str(number), "OAR_JOBID": str(number)},
            seconds=jobs.site.get("seconds", hours * 3600 + minutes * 60 + seconds),
            mark=options.get("-n", ""),
        )
        print(f"OAR_JOB_ID={number}")
    if "--array" in options:
        print(f"OAR_ARRAY_ID={array}")
    jobs.all()
    return 0


def _failed() -> int:
    print("[ERROR] Oarsub failed, please verify your request syntax.", file=sys.stderr)
    return 8


def oarstat(arguments: list[str]) -> int:
    """Answer ``-J -f -j ID ...`` of any, ``-J -f -u`` of those that have not ended."""
    ids = [after for word, after in itertools.pairwise(arguments) if word == "-j"]
    jobs = [job for job in Jobs().all() if job["id"] in ids or (not ids and job["state"] != "ended")]
    if jobs:
        print(json.dumps({job["id"]: _told(job) for job in jobs}, indent=3))
    return 0


def _told(job: dict) -> dict:
    ended, status, why = job["state"] == "ended", job.get("status"), job.get("why", "")
    events = []
    if why in ("walltime", "cancelled"):
        events.append({"type": "FRAG_JOB_REQUEST", "description": f"User me requested to frag the job {job['id']}"})
    if why == "walltime":
        events.append({"type": "WALLTIME", "description": f"[sarko] Job [{job['id']}] from 1 with 60 (Elapsed)"})
    raw = None if status is None else -status if status < 0 else status << 8
    return {
        "Job_Id": job["id"],
        "state": ("Error" if why or raw is None else "Terminated") if ended else STATES[job["state"]],
        "name": job["mark"],
        "message": f"R=1,W=1:0:0,J=B,N={job['mark']} (Karma=0.100)",
        "startTime": f"{job.get('began', 0):.0f}",
        "stopTime": f"{job.get('ended', 0):.0f}",
        "scheduledStart": None,
        "walltime": str(job["seconds"]),
        "assigned_network_address": [job["node"]] if "node" in job else [],
        "exit_code": None if raw is None else str(raw),
        "stdout_file": job["output"],
        "events": events,
    }


def oardel(arguments: list[str]) -> int:
    """End jobs."""
    jobs, code = Jobs(), 0
    for id in arguments:
        print(f"Deleting the job = {id} ...", end="")
        if jobs.end(id, "cancelled"):
            print("REGISTERED.")
        else:
            print("ERROR.")
            print(f"Cannot frag {id} ; This job was already killed.", file=sys.stderr)
            code = 6
    return code


def oarnodes(arguments: list[str]) -> int:
    """One node of eight cores."""
    one = {"network_address": "n1", "type": "default", "state": "Alive"}
    print(json.dumps({str(core): {**one, "resource_id": core, "core": core} for core in range(1, 9)}))
    return 0


if __name__ == "__main__":
    name = sys.argv[1]
    sys.exit({"oarsub": oarsub, "oarstat": oarstat, "oardel": oardel, "oarnodes": oarnodes}[name](sys.argv[2:]))
