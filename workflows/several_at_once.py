"""Three workflows at once on one cluster, each awaited by a task, and a search of high priority between them.

The data is generated. Expect a roc_auc near 0.78 for each, and the search long before the last of them.

python workflows/several_at_once.py
"""

import asyncio
import time

import dask
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier

import daskflow as flow


def workflow(seed: int) -> flow.Workflow:
    """Hyperband over linear models; the seed makes it another one."""
    return flow.Workflow(
        name=f"seed-{seed}",
        data=flow.sources.Generated(rows=20_000),
        split=flow.Split(kind="stratified", test=0.2, validation=0.1),
        model=flow.models.SGD(),
        search=flow.search.Hyperband(max_iter=9, metric="roc_auc"),
        seed=seed,
    )


async def urgent() -> float:
    """A small search whose fits go before those that wait."""
    X, y = make_classification(2_000, random_state=0)
    search = flow.search.GridSearchCV(SGDClassifier(random_state=0), {"alpha": [1e-5, 1e-4, 1e-3, 1e-2]})
    with dask.annotate(priority=10):
        await search.fit(X, y)
    return search.best_score_


async def main() -> None:
    """Run everything, and say when what was done."""
    begun = time.perf_counter()

    def done(what: str) -> None:
        print(f"{time.perf_counter() - begun:6.1f} s  {what}")

    async def run(seed: int) -> None:
        found = await workflow(seed).run_async(cluster=client)
        done(f"{found.path.parent.name}: roc_auc {found.metrics['roc_auc'].value:.3f}")

    async with flow.connect("local", workers=2, asynchronous=True) as client, asyncio.TaskGroup() as tasks:
        for seed in range(3):
            tasks.create_task(run(seed))
        await asyncio.sleep(5)
        done(f"the urgent search: accuracy {await urgent():.3f}")


if __name__ == "__main__":
    asyncio.run(main())
