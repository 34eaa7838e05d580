"""The hourly load of an electricity network, foretold hour by hour, learned as it becomes known, with alarms of drift.

python workflows/energy_stream.py PATH/PJME_hourly.csv

The data set is named in energy_load.toml. A model is trained on the first half of the hours. The others come one after
the other as a stream: the model as it is answers, a copy that learns each hour stands beside it, and takes its place
when its errors are surely smaller.
"""

import sys
from pathlib import Path

import pandas as pd

import daskflow as flow


def hours_of(paths: list[str]) -> pd.DataFrame:
    """Each hour in its order: when it was, the load of the day and the week before, and its own, in gigawatts."""
    table = flow.read(paths, dtypes={"Datetime": "datetime"}).to_dask().compute()
    table = table.drop_duplicates("Datetime").sort_values("Datetime")
    load = table.set_index("Datetime").iloc[:, 0] / 1000
    hours = pd.DataFrame({"day_before": load.shift(24), "week_before": load.shift(168), "load": load}).dropna()
    hours["hour"], hours["weekday"] = hours.index.hour.astype(str), hours.index.day_of_week.astype(str)
    hours["month"] = hours.index.month.astype(str)
    return hours.reset_index(names="at").assign(at=lambda rows: rows["at"].dt.strftime("%Y-%m-%dT%H:%M:%S"))


if __name__ == "__main__":
    hours = hours_of(sys.argv[1:])
    known, later = hours[: len(hours) // 2], hours[len(hours) // 2 :]
    workflow = flow.Workflow(
        name="energy-stream",
        data=flow.sources.Frame(frame=known, target="load", task="regression", drop=["at"]),
        split=flow.Split(kind="random", test=0.2, validation=0.2),
        preprocess={"numeric": ["scale"], "categorical": ["onehot"]},
        model=flow.models.SGD(),
        search=flow.search.Grid(metric="mae", space={"alpha": [1e-6, 1e-4]}),
        metrics=["mae", "r2"],
        cluster=flow.clusters.Threads(),
        seed=7,
    )
    run = workflow.run()
    later.to_json("energy-later.jsonl", orient="records", lines=True)
    flow.stream(
        run.path,
        "energy-later.jsonl",
        "energy-foretold.jsonl",
        folder="energy-stream",
        once=True,
        keep=["at", "load"],
        learn={
            "challenge": True,
            "rows": 1,
            "set": {"learning_rate": "constant", "eta0": 0.03},
            "rule": {"window": 24 * 28, "block": 24, "cool_down": 24 * 28},
            "drift": {"window": 24 * 365, "together": 24},  # the errors of a day go together
        },
    )
    told = pd.read_json("energy-foretold.jsonl", lines=True)
    print(f"{len(told):,} hours, mean absolute error {(told['prediction'] - told['load']).abs().mean():.3f} GW")
    stream = flow.open_stream(Path("energy-stream"))
    for alarm in stream.alarms:
        print(alarm["words"])
    for swap in stream.swaps:
        print(f"{swap['champion']} answers instead of {swap['before']}: {swap['why']}")
