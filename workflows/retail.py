"""Binary, 1.7 % positive: is a line of an invoice a cancellation? The data set is named in retail.toml.

python workflows/retail.py PATH/*.csv
"""

import sys

import daskflow as flow

if __name__ == "__main__":
    workflow = flow.Workflow(
        name="retail",
        data=flow.sources.Csv(
            path=sys.argv[1:],
            target="cancelled",
            task="binary",
            derive={"cancelled": "InvoiceNo.str.startswith('C')"},
            drop=["Quantity"],
            group="InvoiceNo",
            dtypes={"InvoiceNo": "string", "StockCode": "string", "CustomerID": "string"},
        ),
        split=flow.Split(kind="group", test=0.2, validation=0.2),
        preprocess={
            "columns": {
                "Description": [{"kind": "text", "min_df": 20, "sublinear_tf": True}],
                "StockCode": ["target", "scale"],
                "CustomerID": ["target", "scale"],
                "InvoiceDate": [{"kind": "dates", "parts": ["month", "dayofweek", "hour"], "cyclical": True}],
                "UnitPrice": ["signed_log", "scale"],
            }
        },
        model=flow.models.SGD(),
        search=flow.search.Hyperband(metric="average_precision", max_iter=9),
        metrics=["average_precision", "roc_auc", "log_loss"],
        cluster=flow.clusters.Local(workers=2),
        seed=7,
    )
    run = workflow.run()
    print(run.leaderboard().head(10).to_string())
    print(run.metrics, run.report_path)
