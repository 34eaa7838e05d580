"""Several families in one search: each candidate is of one of them, with parameters of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_serializer, field_validator

import daskflow.models
from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import nearest
from daskflow.core.space import FAMILY, SHARED, conditional
from daskflow.models import Model

__all__ = ["Families", "conditional"]


class Families(Model):
    """A search across families: ``kind = ["sgd", "hist_gradient_boosting"]``, or a list in Python.

    A candidate has the parameter ``model``, which names its family, and that family's own parameters under
    ``FAMILY.NAME``; so have `params` and a search's space: ``"sgd.alpha" = ...``. A family of which the space says
    nothing is searched over its own default space.

    Attributes
    ----------
    families : sequence of Model
        What stands under ``kind``: names, tables with ``kind`` and ``params``, import paths or estimators. The second
        of a kind is called ``KIND2``, and so on.

    Examples
    --------
    >>> model = Families(families=["sgd", "ridge"], params={"sgd.penalty": "l1"})
    >>> model.estimator("regression", {"model": "sgd", "sgd.alpha": 0.01, "ridge.alpha": 3.0}, seed=7)
    SGDRegressor(alpha=0.01, max_iter=100, penalty='l1', random_state=7)
    >>> sorted(model.space("regression"))
    ['model', 'ridge.alpha', 'sgd.alpha', 'sgd.average', 'sgd.eta0']
    """

    kind: Literal["families"] = "families"
    families: Any = Field(default=("sgd", "hist_gradient_boosting"))

    @field_validator("families")
    @classmethod
    def _are_families(cls, value: Any) -> tuple[Model, ...]:
        """Read each as a model of its own is read, and report all mistakes."""
        if isinstance(value, str | Mapping) or not isinstance(value, Sequence) or not value:
            raise ValueError("should be a list of families, such as ['sgd', 'hist_gradient_boosting']")
        found: list[Model] = []
        problems: list[Problem] = []
        for number, one in enumerate(value):
            try:
                found.append(daskflow.models.parse(one, where=""))
            except SettingsError as error:
                problems += [Problem(f"{number}.{p.where}".rstrip("."), p.message) for p in error.problems]
        for number, one in enumerate(found):
            if isinstance(one, Families):
                problems.append(Problem(str(number), "is several families itself: name them in this list"))
            elif one.dump() in [other.dump() for other in found[:number]]:
                problems.append(Problem(str(number), f"{one.kind} with the same parameters is in the list already"))
        if problems:
            raise SettingsError(problems)
        return tuple(found)

    @field_serializer("families")
    def _plain_families(self, families: tuple[Model, ...]) -> list[dict[str, Any]]:
        """Write each family as a table."""
        return [family.dump() for family in families]

    @cached_property
    def named(self) -> Mapping[str, Model]:
        """The families by the names that candidates call them, each with its part of `params`."""
        found: dict[str, Model] = {}
        for family in self.families:
            alike = sum(other.kind == family.kind for other in found.values())
            name = f"{family.kind}{alike + 1}" if alike else family.kind
            own = {word.partition(".")[2]: v for word, v in self.params.items() if word.partition(".")[0] == name}
            found[name] = family.model_copy(update={"params": {**family.params, **own}}) if own else family
        return found

    @cached_property
    def _makers(self) -> dict[str, dict[type, Model]]:
        """The family of each class of estimators, by task: a template takes as long as a block of few rows."""
        return {}

    @property
    def stored_types(self) -> tuple[str, ...]:
        """Those of every family: which one wins is not known before."""
        return tuple(dict.fromkeys(name for family in self.members for name in family.stored_types))

    @property
    def members(self) -> tuple[Model, ...]:
        """The families, in order."""
        return tuple(self.named.values())

    def family(self, params: Mapping[str, Any]) -> Model:
        """Return the family that a candidate of these parameters is of; the first where they do not say.

        Raises
        ------
        SettingsError
            With the nearest name, when there is no such family.
        """
        name = params.get(FAMILY, next(iter(self.named)))
        if name not in self.named:
            problem = f"no such family among the model's: {name!r}{nearest(str(name), self.named)}"
            raise SettingsError([Problem(f"search.space.{FAMILY}", problem)])
        return self.named[name]

    def own_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a candidate's own family, by the names that the family calls them.

        Examples
        --------
        >>> Families(families=["sgd", "ridge"]).own_params({"model": "sgd", "sgd.alpha": 0.1, "ridge.alpha": 3.0})
        {'alpha': 0.1}
        """
        name = params.get(FAMILY, next(iter(self.named)))
        begin = f"{name}."
        return {word.removeprefix(begin): value for word, value in params.items() if word.startswith(begin)}

    def template(self, task: str) -> Any:
        """Return the first family's unfitted estimator."""
        return self.members[0].template(task)

    def default_space(self, task: str) -> Mapping[str, Any]:
        """Return ``model`` and every family's own space, under ``FAMILY.NAME``."""
        spaces = {
            f"{name}.{word}": values
            for name, family in self.named.items()
            for word, values in family.space(task).items()
        }
        return {FAMILY: list(self.named), **spaces}

    def searched(self, task: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the space given, with ``model`` and the default spaces of families that it says nothing of."""
        wanted = given.get(FAMILY, list(self.named))
        names = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
        spoken = {word.partition(".")[0] for word in given}
        default = {
            word: values
            for word, values in self.default_space(task).items()
            if word.partition(".")[0] in names and word.partition(".")[0] not in spoken
        }
        return {FAMILY: names, **default, **given}

    def estimator(self, task: str, params: Mapping[str, Any], seed: int | None) -> Any:
        """Return the unfitted estimator of a candidate's family; parameters of other families are ignored."""
        family = self.family(params)
        try:
            return family.estimator(task, self.own_params(params), seed)
        except SettingsError as error:
            raise SettingsError(self._placed(self._name(family), error.problems)) from None

    def check(self, task: str, names: Iterable[str] = ()) -> list[Problem]:
        """Return what is wrong with every family, with `params`, and with the names of a space.

        A mapping is taken as the space itself, and the families that its ``model`` lists are looked at too.
        """
        found = [problem for group in ("params", "space") for problem in self._misplaced(group, names)]
        own: dict[str, list[str]] = {name: [] for name in self.named}
        for word in names:
            name, point, rest = word.partition(".")
            if point and name in own:
                own[name].append(rest)
        for name, family in self.named.items():
            found += self._placed(name, family.check(task, own[name]))
        return found

    def _misplaced(self, group: str, names: Iterable[str]) -> list[Problem]:
        """Names of a group that are no family's, and families that do not exist."""
        place, words = ("model.params", self.params) if group == "params" else ("search.space", names)
        found = []
        for word in words:
            name, point, rest = word.partition(".")
            if point and name not in self.named and name != SHARED:
                known = [f"{each}.{rest}" for each in self.named]
                found.append(Problem(f"{place}.{word}", f"no such family among the model's{nearest(word, known)}"))
            elif not point and (word != FAMILY or group == "params"):
                found.append(Problem(f"{place}.{word}", f"say whose: {self._whose(word)}"))
        if group == "space" and isinstance(names, Mapping):
            wanted = names.get(FAMILY, ())
            wanted = [wanted] if isinstance(wanted, str) else list(wanted)
            unknown = [name for name in wanted if name not in self.named]
            found += [
                Problem(
                    f"{place}.{FAMILY}", f"no such family among the model's: {name!r}{nearest(str(name), self.named)}"
                )
                for name in unknown
            ]
            idle = [word for word in names if wanted and word.partition(".")[0] in set(self.named) - set(wanted)]
            found += [
                Problem(f"{place}.{word}", f"is of a family that search.space.{FAMILY} leaves out") for word in idle
            ]
        return found

    def _whose(self, word: str) -> str:
        """Name the families that have a parameter, or the first as an example."""
        having = [name for name, family in self.named.items() if not _lacks(family, word)]
        return " or ".join(f"'{name}.{word}'" for name in having or list(self.named)[:1])

    def _name(self, family: Model) -> str:
        return next(name for name, other in self.named.items() if other is family)

    def _placed(self, name: str, problems: Iterable[Problem]) -> list[Problem]:
        """Place a family's problems where the list of families has them."""
        places = {"model.params.": f"model.params.{name}.", "search.space.": f"search.space.{name}."}
        found = []
        for problem in problems:
            where = problem.where
            for before, after in places.items():
                where = after + where.removeprefix(before) if where.startswith(before) else where
            found.append(Problem(where, problem.message))
        return found

    def is_incremental(self, task: str) -> bool:
        """Return whether every family learns block by block."""
        return all(family.is_incremental(task) for family in self.members)

    def takes_sparse(self, task: str) -> bool:
        """Return whether every family fits on sparse matrices."""
        return all(family.takes_sparse(task) for family in self.members)

    def rounds(self, task: str) -> str | None:
        """Return the first family's answer; ask ``family(params)`` for a candidate's."""
        return self.members[0].rounds(task)

    def fuses(self, task: str, params: Mapping[str, Any]) -> bool:
        """Return whether the candidate's family trains several together."""
        return self.family(params).fuses(task, self.own_params(params))

    def partial_fit_many(
        self,
        estimators: Sequence[Any],
        X: Any,
        y: Any,
        *,
        n_classes: int,
        sample_weight: Any = None,
        order_seed: int = 0,
    ) -> None:
        """Bring estimators over one block of rows, those of one class together by the family that makes such."""
        task = "regression" if not n_classes else "binary" if n_classes == 2 else "multiclass"
        if task not in self._makers:
            self._makers[task] = {type(family.template(task)): family for family in reversed(self.members)}
        makers = self._makers[task]
        for kind in dict.fromkeys(map(type, estimators)):
            makers[kind].partial_fit_many(
                [estimator for estimator in estimators if type(estimator) is kind],
                X,
                y,
                n_classes=n_classes,
                sample_weight=sample_weight,
                order_seed=order_seed,
            )

    def notes(self, task: str, n_rows: int) -> list[str]:
        """Return what there is to know of each family."""
        return [note for family in self.members for note in family.notes(task, n_rows)]


def _lacks(family: Model, word: str) -> bool:
    """Whether a family has no parameter of this name, for any of its tasks."""
    return all(family.check(task, [word]) for task in family.tasks)
