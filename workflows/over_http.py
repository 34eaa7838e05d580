"""Trains from files that a web server gives: here one of this machine, over a table that is made for it.

The server is slow, about as slow as the scan: each partition is read while the files after it are fetched, and the
first ones come while the cluster starts. Expect a roc_auc near 0.78, and stages that were at work at the same time.

python workflows/over_http.py
"""

import http.server
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import daskflow as flow


class Slow(http.server.SimpleHTTPRequestHandler):
    """Serves a folder at 2 MB a second for each connection, and says nothing of it."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file in pieces, with a pause after each; whoever only looks leaves after the first."""
        with suppress(ConnectionError):
            while piece := source.read(1 << 16):
                outputfile.write(piece)
                time.sleep(len(piece) / 2e6)

    def log_message(self, format: str, *words: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = flow.sources.Generated(rows=640_000, partitions=8).table()
        for number, partition in enumerate(made.partitions):
            pq.write_table(partition.read().rows, Path(folder) / f"part-{number:02}.parquet")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Slow, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        workflow = flow.Workflow(
            name="over-http",
            data=flow.sources.Http(
                url=f"http://127.0.0.1:{server.server_port}/part-{{00..07}}.parquet",
                cache=f"{folder}/cache",  # gone at the end; left out, a second run would find the files there
                target="target",
            ),
            split=flow.Split(kind="stratified", test=0.2, validation=0.1),
            model=flow.models.SGD(),
            search=flow.search.Hyperband(max_iter=9, metric="roc_auc"),
            metrics=["roc_auc", "average_precision"],
            cluster=flow.clusters.Local(workers=2),
            seed=7,
        )
        run = workflow.run()
        print(run.leaderboard().head(10).to_string())
        print(run.metrics["roc_auc"], run.report_path)
        print(run.stages.to_string())
        print(f"{run.overlap.at_once:.1f} s were saved because stages were at work at the same time")
        server.shutdown()
