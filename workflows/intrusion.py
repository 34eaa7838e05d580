"""Multiclass with 23 classes: which kind of network connection? The data set is named in intrusion.toml.

python workflows/intrusion.py PATH/*.parquet
"""

import sys

import daskflow as flow

if __name__ == "__main__":
    workflow = flow.Workflow(
        name="intrusion",
        data=flow.sources.Parquet(path=sys.argv[1:], target="label", task="multiclass"),
        split=flow.Split(test=0.2, validation=0.1),
        model=flow.models.RandomForest(params={"n_estimators": 30}),
        search=flow.search.Grid(metric="f1", space={"max_features": [0.1, 0.3], "min_samples_leaf": [1, 3]}),
        metrics=["f1", "balanced_accuracy", "accuracy"],
        cluster=flow.clusters.Local(workers=2),
        seed=7,
    )
    run = workflow.run()
    print(run.leaderboard().head(10).to_string())
    print(run.metrics, run.report_path)
