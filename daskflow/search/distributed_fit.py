"""The last fit over all workers: boosting that goes on from a checkpoint when a worker is lost, members as units.

Boosting runs in one process beside each worker (beside one worker of each machine, where workers share it): every
process maps the matrix, takes a run of its blocks, and talks to the others by the library's own means. Nothing of the
rows goes through the scheduler. The first process writes the booster down every few rounds; when one is lost, all are
ended, and new ones go on from there.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daskflow.core.errors import SettingsError
from daskflow.core.events import Listener, nobody
from daskflow.core.journal import write_atomically
from daskflow.core.protocols import Connection, ModelSettings, PartitionedEstimator
from daskflow.core.results import Trial
from daskflow.data.blocks import storing_in
from daskflow.data.matrices import MatrixPart
from daskflow.search.boosters import booster_of
from daskflow.search.boosting import CHECKPOINT_EVERY, boost, class_counts
from daskflow.search.candidates import model_params
from daskflow.search.fits import MatrixWork
from daskflow.search.member_fits import fit_members
from daskflow.search.ranks import Spread
from daskflow.search.training import Way


def why_not(estimator: Any) -> str:
    """Say why an estimator cannot be fitted over all workers; empty when it can.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> why_not(Ridge())
    'Ridge is fitted in one process'
    """
    if isinstance(estimator, PartitionedEstimator):
        return ""
    booster = booster_of(estimator)
    return booster.why_not(estimator) if booster else f"{type(estimator).__name__} is fitted in one process"


def distributed_fit(
    connection: Connection,
    part: MatrixPart,
    model: ModelSettings,
    params: Mapping[str, Any],
    *,
    task: str,
    n_classes: int,
    seed: int | None,
    folder: Path,
    checkpoint_every: int = CHECKPOINT_EVERY,
    listener: Listener = nobody,
    spread: Spread = "machines",
) -> Any:
    """Fit an estimator on all rows of a part with every worker of a cluster.

    The result is that of the estimator's own ``fit`` up to the order in which floats are added and, over several
    processes, the bins: each sees a share of the rows. Rows or columns that are sampled (``subsample``, ``bagging``)
    are others. Neither library encrypts what the processes tell each other, or asks who listens: sums over rows,
    and the model, go over the network in the clear.

    Parameters
    ----------
    connection : Connection
        Without a client (inline) the fit runs here, with checkpoints.
    part : MatrixPart
        Rows; every worker sees its folder.
    model : ModelSettings
        The family.
    params : mapping
        The candidate's parameters; the number of rounds among them, when the search decided it.
    task : str
        binary, multiclass or regression.
    n_classes : int
        0 for regression.
    seed : int or None
        Of the estimator.
    folder : Path
        For checkpoints, made when it is not there; every worker sees it. A fit of the same estimator on the same rows
        that was killed is continued from it. The caller removes it.
    checkpoint_every : int
        Rounds between two checkpoints.
    listener : callable
        Hears ``progress`` of the stage ``refit``, in rounds or members, and a ``warning`` for each lost worker.
    spread : {"machines", "workers"}
        Whether workers that share this machine are one process with all their threads, which needs less CPU, or each
        is one.

    Returns
    -------
    estimator
        Fitted, an ordinary ``XGBClassifier``, ``LGBMRegressor`` or partition ensemble.

    Raises
    ------
    SettingsError
        When the estimator cannot be fitted so; `why_not` says it beforehand.
    SearchError
        When the fit itself raises.
    ClusterError
        When workers were lost too often, or the scheduler is.
    """
    estimator = model.estimator(task, params, seed)
    return fit_over_workers(
        connection,
        estimator,
        part,
        n_classes=n_classes,
        folder=folder,
        checkpoint_every=checkpoint_every,
        listener=listener,
        spread=spread,
    )


def fit_over_workers(
    connection: Connection,
    estimator: Any,
    part: MatrixPart,
    *,
    n_classes: int,
    folder: Path,
    checkpoint_every: int = CHECKPOINT_EVERY,
    listener: Listener = nobody,
    spread: Spread = "machines",
) -> Any:
    """Fit an estimator that is there, as `distributed_fit` does; it may be changed in place."""
    booster = booster_of(estimator)
    reason = why_not(estimator)
    if reason:
        raise SettingsError(f"{type(estimator).__name__} cannot be fitted over all workers: {reason}.")
    folder = Path(folder).absolute()
    with storing_in(folder, option="--runs"):
        folder.mkdir(parents=True, exist_ok=True)
    if booster is None:
        return fit_members(estimator, part, connection.executor, folder, listener=listener)
    recipe = booster.recipe(estimator, class_counts(part, n_classes), n_classes)
    content = boost(
        connection, part, recipe, folder, checkpoint_every=checkpoint_every, listener=listener, spread=spread
    )
    return booster.assemble(estimator, recipe, content, part.n_features, n_classes)


def refit_over_workers(
    work: MatrixWork,
    best: Trial,
    part: MatrixPart,
    path: Path,
    *,
    connection: Connection,
    folder: Path,
    listener: Listener = nobody,
) -> str | None:
    """Fit the best trial on all of a part with every worker, as `fits.refit` does with one, and write the model.

    Parameters
    ----------
    work : MatrixWork
        The search's.
    best : Trial
        The winner.
    part : MatrixPart
        Rows that are not test.
    path : Path
        Where the pickle is written.
    connection, folder, listener
        As of `distributed_fit`.

    Returns
    -------
    str or None
        SHA-256 of the file; None, and nothing done, for estimators that are fitted in one process, and for a trial
        that won with less than the whole resource.

    Raises
    ------
    SearchError, ClusterError
        As `distributed_fit`.
    """
    training = work.training
    estimator = training.begin(best.id, model_params(best.params))
    if why_not(estimator) or (training.way is not Way.WHOLE and best.resource < training.budget):
        return None
    fitted = fit_over_workers(connection, estimator, part, n_classes=work.n_classes, folder=folder, listener=listener)
    content = pickle.dumps(fitted, protocol=pickle.HIGHEST_PROTOCOL)
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()
