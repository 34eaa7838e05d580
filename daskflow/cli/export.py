"""``daskflow export``: a run or a model for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daskflow.cli.verb import Verb, shown

TABLES = ("trials.csv", "trials.parquet", "predictions.csv", "predictions.parquet")
KINDS = (*TABLES, "onnx", "mlflow")


@click.command(cls=Verb)
@click.argument("path", metavar="RUN-OR-MODEL", type=click.Path(path_type=Path))
@click.option("--to", "kind", type=click.Choice(KINDS), required=True, help="What to make of it.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; default what --to says, in this folder (model.onnx). Its suffix is that of --to.",
)
@click.option(
    "--inputs",
    type=click.Choice(("columns", "matrix")),
    default="columns",
    show_default=True,
    help="onnx: inputs are the source columns, or the estimator's matrix without the preprocessing.",
)
@click.option("--uri", help="mlflow: the tracking store, such as sqlite:///mlflow.db; default as MLFLOW_TRACKING_URI.")
@click.option("--experiment", help="mlflow: the experiment's name; default the workflow's.")
@click.option("--trust", multiple=True, metavar="TYPE", help="onnx: a type in the model that may be built. Repeatable.")
def export(
    path: Path,
    kind: str,
    output: Path | None,
    inputs: Any,
    uri: str | None,
    experiment: str | None,
    trust: tuple[str, ...],
) -> None:
    """Export a run's trials or predictions, its model as ONNX, or all of it to MLflow.

    RUN-OR-MODEL is runs/NAME/ID, runs/NAME for its latest run, or, for onnx, a model folder.
    """
    if kind == "onnx":
        from daskflow.bundle import load_model

        click.echo(shown(load_model(path, trusted=trust).to_onnx(output or Path("model.onnx"), inputs=inputs)))
        return
    from daskflow.workflow import open_run

    run = open_run(path)
    if kind == "mlflow":
        click.echo(f"MLflow run {run.to_mlflow(uri, experiment)}")
        return
    target = output or Path(kind)
    if target.suffix.lower() != Path(kind).suffix:
        raise click.BadParameter(f"{target.name} should end in {Path(kind).suffix}, as --to says.", param_hint="-o")
    write = run.export_trials if kind.startswith("trials") else run.export_predictions
    click.echo(shown(write(target)))
