"""Binary classification with joins: does a flight arrive late? The data set is named in late_flights.toml.

python workflows/late_flights.py PATH, the folder that has flights/, weather.csv.gz, planes.csv.gz and airports.csv.gz
"""

import sys
from pathlib import Path

import daskflow as flow

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    weather = flow.sources.Join(
        path=folder / "weather.csv.gz",
        on=["origin", "year", "month", "day", "hour"],
        columns=["temp", "dewp", "wind_speed", "wind_gust", "precip", "visib", "pressure"],
        null_keys="unmatched",
    )
    planes = flow.sources.Join(
        path=folder / "planes.csv.gz",
        on="tailnum",
        columns=["year", "manufacturer", "seats", "engine"],
        prefix="plane_",
        null_keys="unmatched",
    )
    airports = flow.sources.Join(
        path=folder / "airports.csv.gz",
        left_on="dest",
        right_on="faa",
        columns=["lat", "lon", "alt"],
        prefix="dest_",
        duplicate_keys="first",
    )
    workflow = flow.Workflow(
        name="late-flights",
        data=flow.sources.Parquet(
            path=folder / "flights/*.parquet",
            target="late",
            task="binary",
            joins=[weather, planes, airports],
            derive={"late": "(arr_delay > 15).fillna(False)", "plane_age": "year - plane_year"},
            drop=[
                "year",
                "dep_time",
                "dep_delay",
                "arr_time",
                "arr_delay",
                "air_time",
                "tailnum",
                "flight",
                "plane_year",
            ],
        ),
        split=flow.Split(test=0.2, folds=3),
        model=flow.models.HistGradientBoosting(),
        search=flow.search.Random(metric="roc_auc", trials=3),
        metrics=["roc_auc", "average_precision", "log_loss"],
        cluster=flow.clusters.Local(workers=2),
        seed=7,
    )
    run = workflow.run()
    print(run.leaderboard().to_string())
    print(run.metrics, run.report_path)
