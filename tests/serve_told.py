"""Serve the pages of a made-up run: ``python -m tests.serve_told --share 0.5 --port 8801``."""

from __future__ import annotations

import argparse
import time

from daskflow.dashboard.serving import Server
from tests.told_runs import stage_moment, told_run, until
from tests.told_source import Told, moved, until_now


def main() -> None:
    """Print the address and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="how much of the run's time is told")
    parser.add_argument("--stage", default="", help="of this stage's time instead, such as scan or search")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--base", type=int, default=27, help="5800 for about 10,000 trials")
    parser.add_argument("--partitions", type=int, default=40)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--metric", default="roc_auc")
    parser.add_argument("--status", default="done")
    parser.add_argument("--stream", type=int, default=0, help="seconds of a stream after the end")
    parser.add_argument("--hostile", action="store_true", help="names that try to break the page")
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--replay", type=float, help="tell it again, so many seconds per second")
    parser.add_argument("--live", type=float, help="go on from there, so many seconds of the run per second")
    asked = parser.parse_args()
    run = told_run(
        base=asked.base,
        partitions=asked.partitions,
        workers=asked.workers,
        metric=asked.metric,
        status=asked.status,
        stream=asked.stream,
        hostile=asked.hostile,
    )
    told = stage_moment(run, asked.stage, asked.share) if asked.stage else until(run, asked.share)
    rest = run[len(told) :]
    told, last = until_now(told), told[-1]["at"]
    source = Told(told)
    with Server(
        source,
        act=source.act,
        port=asked.port,
        read_only=asked.read_only,
        replay_speed=asked.replay,
    ) as server:
        print(server.address, flush=True)
        began = time.time()
        try:
            while True:
                time.sleep(0.5)
                if asked.live:
                    until_here = last + (time.time() - began) * asked.live
                    come = [each for each in rest if each["at"] <= until_here]
                    rest = rest[len(come) :]
                    shift = time.time() - until_here
                    source.tell(*(moved(each, shift) for each in come))
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
