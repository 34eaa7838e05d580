"""A decision, and for whom it is good. The data set is named in credit_decision.toml.

python workflows/credit_decision.py PATH/UCI_Credit_Card.csv
"""

import sys

import daskflow as flow
from daskflow.core.space import LogUniform, RandInt

if __name__ == "__main__":
    workflow = flow.Workflow(
        name="credit-decision",
        data=flow.sources.Csv(
            path=sys.argv[1:], target="default.payment.next.month", task="binary", drop=["ID", "GENDER"]
        ),
        split=flow.Split(kind="stratified", test=0.2, folds=3),
        model=flow.models.HistGradientBoosting(),
        search=flow.search.Random(
            metric="roc_auc",
            trials=6,
            space={"learning_rate": LogUniform(0.03, 0.2), "max_leaf_nodes": RandInt(8, 32)},
        ),
        decision=flow.DecisionSettings(calibrate="isotonic", costs=[[0, 1], [5, 0]]),
        evaluation=flow.EvaluationSettings(slices=["GENDER", "EDUCATION", "MARRIAGE", "AGE", "LIMIT_BAL", "PAY_0"]),
        metrics=["roc_auc", "log_loss", "brier", "balanced_accuracy", "recall", "precision"],
        cluster=flow.clusters.Local(workers=2),
        seed=7,
    )
    run = workflow.run()
    print(run.metrics)
    for group in run.evaluation.details["worst_slices"]:
        print(group["where"], group["rows"], group["value"])
    print(run.report_path)
