"""TermTally: in how many rows each term of a text column occurs, and how often.

Terms are kept as they are, as one Arrow array: a term costs its UTF-8 and 4 bytes, and 2 to 16 for its counts. There
may be half a million (`MOST_TERMS`) in the training rows; of more it is only known that there are too many. Counts are
integers, so that they are the same in any order of adding.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from daskflow.data import arrays
from daskflow.data.tallies import Rows
from daskflow.preprocess.level_counts import narrowest, wide

MOST_TERMS = 500_000


@dataclass(frozen=True, slots=True)
class Analysis:
    """How a text is taken apart into terms; the words are those of scikit-learn's CountVectorizer.

    Attributes
    ----------
    analyzer : str
        ``word``, ``char`` or ``char_wb``.
    ngram_range : tuple of int
        Shortest and longest run of words or characters.
    token_pattern : str
        Regular expression of a word.
    lowercase : bool
        Whether case is left off.
    strip_accents : str or None
        ``unicode`` or ``ascii``.
    stop_words : str, tuple of str or None
        ``english``, or words to leave out.
    """

    analyzer: str
    ngram_range: tuple[int, int]
    token_pattern: str
    lowercase: bool
    strip_accents: str | None
    stop_words: str | tuple[str, ...] | None

    def words(self) -> dict[str, Any]:
        """Return scikit-learn's arguments."""
        return {
            "analyzer": self.analyzer,
            "ngram_range": self.ngram_range,
            "token_pattern": self.token_pattern,
            "lowercase": self.lowercase,
            "strip_accents": self.strip_accents,
            "stop_words": list(self.stop_words) if isinstance(self.stop_words, tuple) else self.stop_words,
        }


@lru_cache(maxsize=64)
def analyzer_of(analysis: Analysis) -> Any:
    """Return scikit-learn's function from a text to its terms."""
    return CountVectorizer(**analysis.words()).build_analyzer()


@dataclass(frozen=True, slots=True)
class TermTally:
    """Counts the terms of a text column.

    Attributes
    ----------
    analysis : Analysis
        What a term is.
    """

    analysis: Analysis

    @property
    def by_part(self) -> bool:
        """It does not look at inner parts."""
        return False

    def nothing(self) -> TermCounts:
        """Return the state of no rows."""
        empty = np.empty(0, dtype=np.uint8)
        return TermCounts(pa.array([], pa.string()), empty, empty)

    def of(self, column: pa.Array, rows: Rows) -> TermCounts:
        """Take each distinct text apart once."""
        texts = arrays.levels(column).counts()
        analyze = analyzer_of(self.analysis)
        documents: Counter[str] = Counter()
        occurrences: Counter[str] = Counter()
        for text, count in texts.items():
            for term, times in Counter(analyze(text)).items():
                documents[term] += count
                occurrences[term] += count * times
        terms = pa.array(list(documents), pa.string())
        found = [np.fromiter(counts.values(), np.int64, len(counts)) for counts in (documents, occurrences)]
        return TermCounts(terms, narrowest(found[0]), narrowest(found[1]))._capped()

    def merge(self, left: TermCounts, right: TermCounts) -> TermCounts:
        """Add two states."""
        if left.has_too_many or right.has_too_many:
            return TOO_MANY
        both = pa.concat_arrays([left.terms, right.terms]).dictionary_encode()
        codes = both.indices.to_numpy()
        return TermCounts(
            both.dictionary,
            _added(codes, left.documents, right.documents, len(both.dictionary)),
            _added(codes, left.occurrences, right.occurrences, len(both.dictionary)),
        )._capped()


@dataclass(frozen=True, slots=True, eq=False)
class TermCounts:
    """What is known of the terms of some rows.

    Attributes
    ----------
    terms : pyarrow.StringArray
        Distinct, in any order.
    documents, occurrences : ndarray of unsigned integers, shape (n_terms,)
        Rows that have each term, and how often they have it together.
    has_too_many : bool
        Whether there are more than `MOST_TERMS`; then none is kept.
    """

    terms: pa.Array
    documents: NDArray[Any]
    occurrences: NDArray[Any]
    has_too_many: bool = False

    def _capped(self) -> TermCounts:
        """Let all terms go when there are too many."""
        return TOO_MANY if len(self.terms) > MOST_TERMS else self


TOO_MANY = TermCounts(pa.array([], pa.string()), np.empty(0, np.uint8), np.empty(0, np.uint8), has_too_many=True)


def _added(codes: NDArray[Any], left: NDArray[Any], right: NDArray[Any], n_terms: int) -> NDArray[Any]:
    """Counts of both by term."""
    total = np.zeros(n_terms, dtype=np.int64)
    np.add.at(total, codes, np.concatenate([wide(left), wide(right)]))
    return narrowest(total)
