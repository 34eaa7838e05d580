"""Read what the directives of a job script say, in systems whose directives are options of the submitting command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def words_of(script: str, marker: str) -> list[str]:
    """Return the words of all lines that begin with a marker, in their order; lines with an open quote are left out.

    Examples
    --------
    >>> words_of('#BSUB -n 4\\n#BSUB -o "/my logs/%J.log"\\nexec python', "#BSUB")
    ['-n', '4', '-o', '/my logs/%J.log']
    """
    words: list[str] = []
    for line in script.splitlines():
        if line.startswith(f"{marker} "):
            try:
                words += shlex.split(line.removeprefix(marker))
            except ValueError:  # the system says so itself
                continue
    return words


def option_of(words: Sequence[str], *names: str) -> str:
    """Return the value of an option by any of its names; of several the last, empty for none.

    Examples
    --------
    >>> option_of(["-q", "short", "-n", "4", "-q", "long"], "-q"), option_of(["--project=a"], "-P", "--project")
    ('long', 'a')
    """
    value = ""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, equals, said = word.partition("=")
        if word in names:
            value = after
        elif equals and name.startswith("--") and name in names:
            value = said
    return value
