"""Sliding windows: the hourly load of an electricity network. The data set is named in energy_window.toml.

python workflows/energy_window.py PATH/PJME_hourly.csv
"""

import sys

import daskflow as flow

if __name__ == "__main__":
    workflow = flow.Workflow(
        name="energy-window",
        data=flow.sources.Csv(path=sys.argv[1:], target="PJME_MW", task="regression", time="Datetime"),
        split=flow.Split(kind="time", test=0.05, folds=5, window="730 days", gap="7 days"),
        preprocess={"datetime": [{"kind": "dates", "parts": ["month", "day", "dayofweek", "hour"], "time": False}]},
        model=flow.models.HistGradientBoosting(),
        search=flow.search.Grid(metric="rmse", space={"learning_rate": [0.05, 0.1], "max_leaf_nodes": [15, 31]}),
        metrics=["rmse", "mae", "r2"],
        cluster=flow.clusters.Local(workers=2),
        seed=7,
    )
    run = workflow.run()
    print(run.leaderboard().to_string())
    print(run.metrics, run.report_path)
