"""Is a line of an invoice a cancellation? Foretold line by line, and learned from the days as they come.

python workflows/retail_stream.py PATH/*.csv

The data set is named in retail.toml; its files are days, and they sort by their names. A model is trained on the first
quarter of them. The lines of the other days come as one stream, their true values as another one, some lines later, as
it is in life: a line and its true value find each other by the line's number.
"""

import sys
from pathlib import Path

import pandas as pd

import daskflow as flow

TEXTS = dict.fromkeys(["InvoiceNo", "StockCode", "CustomerID", "Description"], "string")


def lines_of(paths: list[str]) -> pd.DataFrame:
    """Lines of invoices in the order of their days, with a number each."""
    lines = flow.read(sorted(paths), dtypes=TEXTS).to_dask().compute().reset_index(drop=True)
    lines["cancelled"] = lines.pop("InvoiceNo").str.startswith("C")
    lines["hour"] = lines.pop("InvoiceDate").dt.hour
    return lines.drop(columns="Quantity").reset_index(names="line")


if __name__ == "__main__":
    days = sorted(sys.argv[1:])
    later, known = lines_of(days[len(days) // 4 :]), lines_of(days[: len(days) // 4])
    workflow = flow.Workflow(
        name="retail-stream",
        data=flow.sources.Frame(frame=known, target="cancelled", task="binary", drop=["line"]),
        split=flow.Split(kind="stratified", test=0.2, validation=0.2),
        preprocess={
            "numeric": ["impute", "signed_log", "scale"],
            "columns": {
                "Description": [{"kind": "text", "min_df": 20, "sublinear_tf": True}],
                "StockCode": ["target", "scale"],
                "CustomerID": ["target", "scale"],
                "Country": ["rare", "onehot"],
            },
        },
        model=flow.models.SGD(params={"loss": "log_loss"}),
        search=flow.search.Grid(metric="average_precision", space={"alpha": [1e-5, 1e-4]}),
        metrics=["average_precision", "log_loss"],
        cluster=flow.clusters.Threads(),
        seed=7,
    )
    run = workflow.run()
    later.drop(columns="cancelled").to_json("retail-lines.jsonl", orient="records", lines=True)
    later[["line", "cancelled"]].to_json("retail-truth.jsonl", orient="records", lines=True)
    flow.stream(
        run.path,
        "retail-lines.jsonl",
        "retail-foretold.jsonl",
        labels="retail-truth.jsonl",
        key="line",
        folder="retail-stream",
        once=True,
        keep=["line"],
        learn={
            "challenge": True,
            "set": {"learning_rate": "constant", "eta0": 0.001},
            "rule": {"metric": "log_loss", "window": 5_000, "least": 1_000, "every": 500},
        },
    )
    stream = flow.open_stream(Path("retail-stream"))
    print(f"{stream.answered:,} lines answered; models, by their log loss of late: {stream.models}")
    for record in (*stream.swaps, *stream.alarms):
        print(record.get("why") or record["words"])
