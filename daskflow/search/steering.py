"""Steering: what people asked of a search, and why some of it cannot be done; the engine does the rest."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from typing import Any

from daskflow.core import interruption
from daskflow.core.control import AMOUNTS, Command, Control
from daskflow.core.results import Trial, TrialState
from daskflow.search.policies import Policy

CANCELLED = "cancelled by hand"
"""The error of a trial that was cancelled."""

BY_HAND = "it was stopped by hand"
"""Why a search ended that was stopped."""


class Steering:
    """What holds of a search by the commands that took effect, those of earlier invocations among them.

    Parameters
    ----------
    control : Control or None
        Where commands come from; None for a search that nobody steers.
    policy : Policy
        Hears of pauses and of what its budget is extended by.

    Attributes
    ----------
    is_paused, is_stopped : bool
        Whether new fits are held back, and whether the search ends as soon as it has a score.
    why : str
        Why it is stopped, in words that follow "because".
    cancelled : set of str
        Trials that get nothing more.
    """

    def __init__(self, control: Control | None, policy: Policy) -> None:
        """Begin with nothing asked."""
        self.control, self.policy = control, policy
        self.is_paused = self.is_stopped = False
        self.why = BY_HAND
        self.cancelled: set[str] = set()

    def heard(self) -> list[Command]:
        """Take what was asked since the last time."""
        return [] if self.control is None else self.control.take()

    def wait(self, seconds: float) -> None:
        """Wait for a command."""
        if self.control is None:
            time.sleep(seconds)
        else:
            self.control.wait(seconds)
        interruption.check()

    def obey(self, record: Mapping[str, Any]) -> None:
        """Let a command hold, by its record: now, or again in a later invocation."""
        word = record["command"]
        if word in ("pause", "resume", "stop"):
            self._pause(word == "pause")
            self.is_stopped = self.is_stopped or word == "stop"
            self.why = record.get("why", self.why)
        elif word == "cancel":
            self.cancelled.add(str(record["trial"]))
        elif word == "extend" and hasattr(self.policy, "extend"):
            self.policy.extend(**{name: record[name] for name in AMOUNTS if record.get(name)})
        if self.control is not None:
            self.control.paused, self.control.stopped = self.is_paused, self.is_stopped

    def _pause(self, is_paused: bool) -> None:
        """Hold new fits back, or not; while they are, a budget's clock stands still."""
        self.is_paused = is_paused
        change = getattr(self.policy, "hold" if is_paused else "go_on", None)
        if change is not None:
            change()

    def objection(self, command: Command, trials: Mapping[str, Trial], running: Collection[str]) -> str:
        """Say why a command cannot be followed; empty when it can.

        Parameters
        ----------
        command : Command
            What is asked.
        trials : mapping of str to Trial
            All that are known.
        running : collection of str
            Those that have fits running or waiting.
        """
        if command.problem:
            return command.problem
        if command.word == "cancel":
            return self._cannot_cancel(command.trial, trials, running)
        if self.is_stopped:
            return "The search is being stopped already."
        if command.word == "pause" and self.is_paused:
            return "The search is paused already."
        if command.word == "resume" and not self.is_paused:
            return "The search is not paused."
        if command.word == "extend":
            if not hasattr(self.policy, "cannot_extend"):
                return "The search has no budget (search.budget): there is nothing to extend."
            asked = {name: getattr(command, name) for name in AMOUNTS}
            return str(self.policy.cannot_extend(**asked))
        return ""

    def _cannot_cancel(self, trial: str, trials: Mapping[str, Trial], running: Collection[str]) -> str:
        """Say why a trial cannot be cancelled."""
        known = trials.get(trial)
        if known is None:
            return f"There is no trial {trial} in this search so far."
        if known.state is TrialState.FAILED:
            return f"Trial {trial} has failed already."
        if trial in self.cancelled:
            return f"Trial {trial} is cancelled already."
        has_score = not math.isnan(known.score)
        if has_score and trial not in running and not (hasattr(self.policy, "goes_on") and self.policy.goes_on(trial)):
            return f"Trial {trial} is finished: there is nothing left of it to cancel."
        if not any(self._may_score(other, running) for name, other in trials.items() if name != trial):
            return f"Trial {trial} is the only one left that can have a score: stop the search instead."
        return ""

    def _may_score(self, trial: Trial, running: Collection[str]) -> bool:
        """Whether a trial has a score, or may come to one."""
        if not math.isnan(trial.score):
            return True
        begins = trial.state is TrialState.WAITING and not getattr(self.policy, "is_spent", False)
        return trial.id not in self.cancelled and (trial.id in running or begins)
