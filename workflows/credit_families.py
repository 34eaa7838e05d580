"""Three families in one search, by Hyperband. The data set is named in credit_families.toml.

pip install 'daskflow[lightgbm]'
python workflows/credit_families.py PATH/UCI_Credit_Card.csv
"""

import sys

import daskflow as flow
from daskflow.core.space import LogUniform

if __name__ == "__main__":
    workflow = flow.Workflow(
        name="credit-families",
        data=flow.sources.Csv(path=sys.argv[1:], target="default.payment.next.month", task="binary", drop=["ID"]),
        split=flow.Split(kind="stratified", test=0.2, validation=0.2),
        model=[
            flow.models.SGD(),
            flow.models.HistGradientBoosting(),
            flow.models.LightGBM(params={"n_estimators": 150}),
        ],
        search=flow.search.Hyperband(
            metric="roc_auc",
            max_iter=9,
            space={"sgd.alpha": LogUniform(1e-6, 1e-2), "sgd.penalty": ["l2", "elasticnet"]},
        ),
        metrics=["roc_auc", "average_precision", "log_loss", "brier", "balanced_accuracy"],
        cluster=flow.clusters.Local(workers=2),
        seed=7,
    )
    run = workflow.run()
    print(run.leaderboard().to_string())
    print(run.best, run.metrics, run.report_path)
