"""Answers of a stream on a Dask cluster: workers hold the model, and batches are answered side by side."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import cloudpickle

from daskflow.core.errors import ClusterError
from daskflow.streams.records import Answered, Record
from daskflow.streams.scoring import Scorer
from daskflow.streams.scoring_local import answered_of, said_of

MOST_AT_ONCE = 64


class ClusterAnswerer:
    """Answers batches on the workers of a cluster; the answers are those of `LocalAnswerer`, to the last bit.

    The model travels once to each worker that needs it. It is a task, not scattered data: should every worker die that
    holds it, the scheduler makes it anew.

    Parameters
    ----------
    scorer : Scorer
        Answers rows.
    client : distributed.Client
        Of the open cluster; not an asynchronous one.
    slots : int
        Tasks that the cluster runs at once; twice as many batches are under way, so that no worker waits.
    keep : sequence of str
        As for `LocalAnswerer`.
    """

    def __init__(self, scorer: Scorer, client: Any, *, slots: int, keep: Sequence[str] = ()) -> None:
        """Send the model."""
        self._client, self._keep = client, tuple(keep)
        self.at_once = max(1, min(2 * slots, MOST_AT_ONCE))
        self._threads = ThreadPoolExecutor(self.at_once, thread_name_prefix="waiting for answers")
        self._scorer = client.submit(pickle.loads, cloudpickle.dumps(scorer), pure=False)

    async def answer(self, records: Sequence[Record]) -> Answered:
        """Answer a batch; ClusterError when no worker can."""
        rows = [record.values for record in records]
        said = await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, rows)
        return answered_of(records, said, self._keep)

    def _ask(self, rows: Sequence[Any]) -> Any:
        from distributed.scheduler import KilledWorker

        # `pure=False`: a key that is a hash of all rows would take longer than answering them. What a worker that dies
        # was to answer, the scheduler gives to another, up to `distributed.scheduler.allowed-failures` times.
        asked = self._client.submit(said_of, self._scorer, rows, pure=False)
        try:
            return asked.result()
        except KilledWorker as error:
            raise ClusterError(
                f"A batch of {len(rows):,} records ended every worker that was to answer it: {error} "
                "Nothing of it is committed. Look at the workers' logs; give them more memory, or take smaller batches."
            ) from error
        except (asyncio.CancelledError, CancelledError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise ClusterError(
                f"The cluster was lost: {why}. What is committed stays; the same command goes on."
            ) from error
        finally:
            asked.release()

    def close(self) -> None:
        """Take back what was asked."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._scorer.release()
