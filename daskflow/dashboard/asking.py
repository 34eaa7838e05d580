"""Asking: what viewers change, of the run and of how it is told again; only by the page's script, or with the token."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from daskflow.core.control import AMOUNTS, Command
from daskflow.core.errors import DaskflowError, SettingsError
from daskflow.dashboard.answering import MOST_BODY, Guarded, parsed
from daskflow.dashboard.refusal import refuse
from daskflow.dashboard.watched import Watched


class Asked(Guarded):
    """What changes something: only by a script of the page, or by a tool that shows the token."""

    def prepare(self) -> None:
        """Refuse what a form of another page could send."""
        super().prepare()
        if not self._finished and not self.request.headers.get("X-Daskflow"):
            refuse(self, "The header X-Daskflow is missing.")

    async def post(self) -> None:
        """Do it, and answer in a sentence."""
        told = parsed(self.body) if len(self.body) <= MOST_BODY else None
        if not isinstance(told, dict):
            self.say(HTTPStatus.BAD_REQUEST, {"error": "The body should be a small JSON object."})
            return
        run = self.run_asked_for(told.get("run") or "")
        if run is None:
            return
        try:
            self.say(HTTPStatus.OK, {"told": self.carry_out(run, told)})
        except (SettingsError, ValueError, TypeError) as error:
            self.say(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except (PermissionError, DaskflowError) as error:
            self.say(HTTPStatus.CONFLICT, {"error": str(error)})

    def carry_out(self, run: Watched, told: Mapping[str, Any]) -> str:
        """Do what is asked; return a sentence."""
        raise NotImplementedError


class Do(Asked):
    """A command to the run."""

    def carry_out(self, run: Watched, told: Mapping[str, Any]) -> str:
        """Hand it on."""
        return run.act(command_of(told, run))


class SetReplay(Asked):
    """How a run that is over is told again."""

    def carry_out(self, run: Watched, told: Mapping[str, Any]) -> str:
        """Change it."""
        paused = told.get("paused")
        run.set_replay(
            speed=_number(told, "speed"), at=_number(told, "at"), paused=None if paused is None else bool(paused)
        )
        return "The replay was changed."


def command_of(told: Mapping[str, Any], run: Watched) -> Command:
    """Return what a viewer asks for.

    Raises
    ------
    SettingsError
        Saying all that is wrong with it.
    ValueError
        For a trial that there is not.
    """
    asked = {name: told[name] for name in ("command", "trial", *AMOUNTS) if told.get(name) not in (None, "", 0)}
    command = Command.load({**asked, "by": "page"})
    if command.word == "cancel" and command.trial not in run.state.search.trials:
        raise ValueError("There is no such trial.")
    return command


def _number(told: Mapping[str, Any], name: str) -> float | None:
    value = told.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name} should be a number.")
    return float(value)
