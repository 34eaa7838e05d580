"""Binary, by a linear model: will a credit-card client miss the next payment? The data set is in credit_linear.toml.

python workflows/credit_linear.py PATH/UCI_Credit_Card.csv
"""

import sys

import daskflow as flow
from daskflow.core.space import LogUniform

if __name__ == "__main__":
    workflow = flow.Workflow(
        name="credit-linear",
        data=flow.sources.Csv(path=sys.argv[1:], target="default.payment.next.month", task="binary", drop=["ID"]),
        split=flow.Split(kind="stratified", test=0.2, folds=3),
        preprocess={
            "columns": {
                "*_AMT*": ["signed_log", "scale"],
                "/^PAY_[0-9]$/": [flow.preprocess.Bin(edges=(0, 1, 2))],
                "LIMIT_BAL": ["power"],
                "AGE": [flow.preprocess.Clip(upper_quantile=0.99), flow.preprocess.Bin(strategy="uniform", n_bins=6)],
            }
        },
        model=flow.models.Logistic(),
        search=flow.search.Random(metric="roc_auc", trials=6, space={"C": LogUniform(0.001, 10)}),
        metrics=["roc_auc", "average_precision", "log_loss", "brier"],
        cluster=flow.clusters.Local(workers=2),
        seed=7,
    )
    run = workflow.run()
    print(run.leaderboard().to_string())
    print(run.metrics, run.report_path)
