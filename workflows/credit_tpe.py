"""Boosted trees whose parameters TPE proposes, within a budget. The data set is named in credit_tpe.toml.

pip install 'daskflow[optuna]'
python workflows/credit_tpe.py PATH/UCI_Credit_Card.csv
"""

import sys

import daskflow as flow
from daskflow.core.space import LogUniform, RandInt

if __name__ == "__main__":
    workflow = flow.Workflow(
        name="credit-tpe",
        data=flow.sources.Csv(path=sys.argv[1:], target="default.payment.next.month", task="binary", drop=["ID"]),
        split=flow.Split(kind="stratified", test=0.2, folds=3),
        model=flow.models.HistGradientBoosting(),
        search=flow.search.TPE(
            metric="roc_auc",
            trials=30,
            startup=8,
            lag=4,
            budget=flow.search.Budget(cpu_hours=0.5, patience=12, tolerance=0.0005),
            space={
                "learning_rate": LogUniform(0.02, 0.3),
                "max_leaf_nodes": RandInt(8, 48),
                "min_samples_leaf": RandInt(10, 100),
                "max_iter": RandInt(60, 160),
            },
        ),
        metrics=["roc_auc", "average_precision", "log_loss", "brier", "balanced_accuracy"],
        cluster=flow.clusters.Local(workers=2),
        seed=7,
    )
    run = workflow.run()
    print(run.leaderboard().to_string())
    print(run.search.ended, run.metrics, run.report_path)
