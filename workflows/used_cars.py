"""Regression: the price asked for a used car. The data set is named in used_cars.toml.

python workflows/used_cars.py PATH/*.csv
"""

import sys

import daskflow as flow

if __name__ == "__main__":
    workflow = flow.Workflow(
        name="used-cars",
        data=flow.sources.Csv(path=sys.argv[1:], target="price", task="regression", skip_initial_space=True),
        split=flow.Split(test=0.2, folds=3),
        model=flow.models.RandomForest(params={"n_estimators": 60}),
        search=flow.search.Random(
            metric="rmse", trials=4, space={"max_features": [0.2, 0.4, 0.7], "min_samples_leaf": [1, 2, 4]}
        ),
        metrics=["rmse", "mae", "r2"],
        cluster=flow.clusters.Local(workers=2),
        seed=7,
    )
    run = workflow.run()
    print(run.leaderboard().to_string())
    print(run.metrics, run.report_path)
