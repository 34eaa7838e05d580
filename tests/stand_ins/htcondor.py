"""condor_submit, condor_q, condor_history, condor_status and condor_rm: what HTCondor 23.9 printed, asked the same."""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from queue_of_processes import Jobs

NUMBERS = {"pending": 1, "running": 2}


def condor_submit(arguments: list[str]) -> int:
    """Take a description from the input."""
    said, count = {}, 0
    for line in sys.stdin.read().splitlines():
        name, equals, value = line.partition("=")
        if line.lower().startswith("queue"):
            count = int(line.split()[1]) if line.split()[1:] else 1
        elif equals and not line.startswith("#"):
            said[name.strip().lower()] = value.strip()
    if said.get("requirements", "").count("(") != said.get("requirements", "").count(")"):
        print(f"\nERROR: Parse error in expression: \n\tRequirements = {said['requirements']}\n\t", file=sys.stderr)
        return 1
    if "-dry-run" in arguments:
        return 0
    jobs = Jobs()
    if count > jobs.site.get("most", 1000):
        print("\nERROR: Number of submitted jobs would exceed MAX_JOBS_PER_SUBMISSION\n", file=sys.stderr)
        return 1
    number = jobs.number()
    for index in range(count):
        macros = {"ClusterId": str(number), "ProcId": str(index), "DOLLAR": "$"}
        filled = {
            name: re.sub(r"\$\((ClusterId|ProcId|DOLLAR)\)", lambda found: macros[found[1]], value)  # noqa: B023
            for name, value in said.items()
        }
        jobs.add(
            number,
            index,
            id=f"{number}.{index}",
            command=[filled["executable"], *_arguments(filled["arguments"])],
            output=filled["output"],
            environment={"PATH": os.environ["PATH"], **jobs.site.get("environment", {})},
            seconds=jobs.site.get("seconds", int(filled.get("my.daskflowseconds", "3600"))),
            mark=filled.get("my.daskflowrun", '""').strip('"'),
        )
    print(f"{number}.0 - {number}.{count - 1}")
    jobs.all()
    return 0


def _arguments(text: str) -> list[str]:
    """Read HTCondor's way of quoting: doubled quotes in the whole, single ones around an argument."""
    plain = text[1:-1].replace('""', '"')
    return [
        "".join(piece[1:-1].replace("''", "'") if piece.startswith("'") else piece for piece in pieces)
        for pieces in (
            re.findall(r"'(?:[^']|'')*'|[^'\s]+", word) for word in re.findall(r"(?:'(?:[^']|'')*'|[^'\s])+", plain)
        )
    ]


def _ad(job: dict) -> dict:
    ended, status, why = job["state"] == "ended", job.get("status"), job.get("why", "")
    ad = {
        "ClusterId": job["number"],
        "ProcId": job["index"],
        "JobStatus": NUMBERS.get(job["state"], 3 if why in ("cancelled", "walltime") else 5 if why == "memory" else 4),
        "LastJobStatus": 2,
        "NumShadowStarts": int("began" in job),
        "ExitBySignal": bool(ended and status is not None and status < 0),
        "DaskflowSeconds": job["seconds"],
        "DaskflowRun": job["mark"],
        "Owner": getpass.getuser(),
        "Out": job["output"],
    }
    if "began" in job:
        ad["JobCurrentStartDate"] = int(job["began"])
    if job["state"] == "running":
        ad["RemoteHost"] = f"slot1_1@{job['node']}"
    if job["state"] == "pending":
        ad["LastRejMatchReason"] = "no match found "
    if ended and status is not None:
        ad |= {"ExitSignal": -status} if status < 0 else {"ExitCode": status}
    if why == "cancelled":
        ad["RemoveReason"] = f"via condor_rm (by user {getpass.getuser()})"
    if why == "walltime":
        ad["RemoveReason"] = "The job attribute PeriodicRemove expression '(JobStatus == 2 && ...)' evaluated to TRUE"
    if why == "memory":
        ad |= {"HoldReasonCode": 34, "HoldReason": "Error from slot1_1@n1: memory usage exceeded request_memory"}
    return ad


def condor_q(arguments: list[str]) -> int:
    """Answer ``-json -attributes A,B`` of those that have not ended, or are held."""
    ads = [ad for job in Jobs().all() if (ad := _ad(job))["JobStatus"] not in (3, 4) and not job.get("removed")]
    return _print(ads, arguments)


def condor_history(arguments: list[str]) -> int:
    """Answer ``-json -attributes A,B -limit 1`` of those that have left the queue."""
    return _print([ad for job in Jobs().all() if (ad := _ad(job))["JobStatus"] in (3, 4)], arguments)


def _print(ads: list[dict], arguments: list[str]) -> int:
    names = arguments[arguments.index("-attributes") + 1].split(",")
    if "-constraint" in arguments:
        wanted = dict(re.findall(r'(\w+) == "([^"]*)"', arguments[arguments.index("-constraint") + 1]))
        ads = [ad for ad in ads if all(str(ad[name]) == value for name, value in wanted.items())]
    elif which := [word for word in arguments if re.fullmatch(r"\d+(\.\d+)?", word) and word != "1"]:
        ads = [ad for ad in ads if str(ad["ClusterId"]) in which or f"{ad['ClusterId']}.{ad['ProcId']}" in which]
    if ads:
        print(json.dumps([{name: ad[name] for name in names if name in ad} for ad in ads], indent=1))
    return 0


def condor_rm(arguments: list[str]) -> int:
    """End jobs; a held one leaves the queue."""
    jobs, done = Jobs(), 0
    for id in arguments:
        held = next((job for job in jobs.all() if job["id"] == id and job.get("why") == "memory"), None)
        if held is not None and not held.get("removed"):
            jobs.write({**held, "removed": True})
            print(f"Job {id} marked for removal")
            done += 1
        elif jobs.end(id, "cancelled"):
            print(f"Job {id} marked for removal")
            done += 1
        else:
            print(f"Job {id} not found", file=sys.stderr)
    return 0 if done else 1


def condor_status(arguments: list[str]) -> int:
    """One machine of 8 processors."""
    print(json.dumps([{"Machine": "n1", "TotalSlotCpus": 8, "TotalSlotMemory": 16000}]))
    return 0


if __name__ == "__main__":
    name = sys.argv[1]
    sys.exit(
        {
            "condor_submit": condor_submit,
            "condor_q": condor_q,
            "condor_history": condor_history,
            "condor_rm": condor_rm,
            "condor_status": condor_status,
        }[name](sys.argv[2:])
    )
