"""Runs with no download: a generated table, Hyperband on a local cluster. Expect a roc_auc near 0.80.

python workflows/generated.py
"""

import daskflow as flow

if __name__ == "__main__":
    workflow = flow.Workflow(
        name="generated",
        data=flow.sources.Generated(rows=20_000, partitions=4),
        split=flow.Split(kind="stratified", test=0.2, validation=0.1),
        model=flow.models.SGD(),
        search=flow.search.Hyperband(max_iter=9, metric="roc_auc"),
        metrics=["roc_auc", "average_precision", "log_loss"],
        cluster=flow.clusters.Local(workers=2),
        seed=7,
    )
    run = workflow.run()
    print(run.leaderboard().head(10).to_string())
    print(run.metrics["roc_auc"], run.report_path)
