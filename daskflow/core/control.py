"""Control: what a person may ask of a run while it goes on, and how it reaches the run."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

WORDS = ("pause", "resume", "stop", "cancel", "extend")
"""Hold back new fits; go on; end the search and keep the best so far; give up one trial; add to the budget."""


@dataclass(frozen=True, slots=True)
class Command:
    """One thing asked of a run.

    Attributes
    ----------
    word : str
        One of `WORDS`.
    trial : str
        Of ``cancel``.
    wall_seconds, cpu_hours : float
        Of ``extend``: what is added to the budget of the search.
    trials : int
        Likewise.
    by : str
        Who asked: ``page``, ``command line`` or ``python``.
    at : float
        When, in seconds since 1970.

    Examples
    --------
    >>> Command("cancel", trial="2-0", at=0.0).dump()
    {'command': 'cancel', 'by': 'python', 'trial': '2-0'}
    """

    word: str
    trial: str = ""
    wall_seconds: float = 0.0
    cpu_hours: float = 0.0
    trials: int = 0
    by: str = "python"
    at: float = field(default_factory=time.time)

    def dump(self) -> dict[str, Any]:
        """Return the fields of its record: those that say something."""
        said = {name: value for name, value in asdict(self).items() if value and name not in ("word", "by", "at")}
        return {"command": self.word, "by": self.by, **said}
