"""Texts turned into weighted counts of their terms: tf-idf from one pass, or terms hashed into columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, StrictInt, field_validator, model_validator
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.preprocessing import normalize

from daskflow.core.errors import DataError
from daskflow.data.arrays import MISSING, Level, Numbers
from daskflow.data.schema import Column
from daskflow.data.tallies import Tally
from daskflow.preprocess import Step
from daskflow.preprocess.hash import MOST_FEATURES
from daskflow.preprocess.level_counts import wide
from daskflow.preprocess.steps import Fitted, Flow, Form, SparseColumns, State
from daskflow.preprocess.term_counts import MOST_TERMS, Analysis, TermCounts, TermTally, analyzer_of

WORD = r"(?u)\b\w\w+\b"
"""Two or more letters, digits or underscores, as in scikit-learn."""

OF_TFIDF = ("min_df", "max_df", "max_features", "use_idf", "smooth_idf", "sublinear_tf")
OF_HASHING = ("n_features", "alternate_sign")
OF_WORDS = ("stop_words", "token_pattern")
"""Options that belong to one method, or one analyzer, alone."""


@dataclass(frozen=True, slots=True)
class VectorText(Fitted):
    """Texts as rows of a sparse matrix, a missing one as a row of zeros; what both methods have in common.

    Attributes
    ----------
    analysis : Analysis
        How a text is taken apart.
    binary : bool
        Whether a term counts once.
    norm : str or None
        ``l1``, ``l2`` or None.
    """

    kind: ClassVar[str] = "text"

    analysis: Analysis
    binary: bool
    norm: str | None

    def vectors(self, texts: list[Level]) -> sparse.csr_matrix:
        """Return a row for each text."""
        raise NotImplementedError(f"{type(self).__name__} says how a text becomes a row.")

    def apply(self, flow: Flow) -> Flow:
        """Take each distinct text apart once."""
        found = flow.levels()
        used, codes = np.unique(found.codes, return_inverse=True)  # a filtered table still has all texts
        texts = [found.values[code] for code in used[used != MISSING]]
        rows = self.vectors(texts) if texts else sparse.csr_matrix((0, self.n_indicators))
        if len(texts) < len(used):  # the first stands for the missing ones
            rows = sparse.vstack([sparse.csr_matrix((1, self.n_indicators)), rows], format="csr")
        return flow.finished(SparseColumns(sparse.csr_matrix(rows[codes])))

    def dump(self) -> dict[str, Any]:
        """Return the step as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        said = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self.analysis).items()}
        lists = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
        return {"kind": self.kind} | values | lists | {"analysis": said}

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Self:
        """Return the step of what `dump` gave: one with terms, or one without."""
        made: Any = TfIdfText if "terms" in values else HashedText
        found = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name != "kind"}
        said: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values["analysis"].items()}
        loaded: Self = made(**found | {"analysis": Analysis(**said)})
        return loaded


@dataclass(frozen=True, slots=True)
class TfIdfText(VectorText):
    """Counts of known terms, weighted and brought to one length.

    Attributes
    ----------
    terms : tuple of str
        In the order of the columns.
    weights : tuple of float
        Of each term: its inverse document frequency, or 1.
    sublinear : bool
        Whether 1 + log(count) counts.
    """

    terms: tuple[str, ...]
    weights: tuple[float, ...]
    sublinear: bool

    @property
    def n_indicators(self) -> int:
        """Number of columns."""
        return len(self.terms)

    def vectors(self, texts: list[Level]) -> sparse.csr_matrix:
        """Count, weigh and normalise."""
        found = self._counted(texts)
        if self.sublinear:
            np.log(found.data, out=found.data)
            found.data += 1.0
        found.data *= np.asarray(self.weights)[found.indices]
        return sparse.csr_matrix(normalize(found, norm=self.norm, copy=False) if self.norm else found)

    def unseen(self, flow: Flow) -> int | None:
        """Count rows whose text has terms, and none that training had."""
        found = flow.levels()
        if not found.values:
            return 0
        without = np.flatnonzero(np.diff(self._counted(found.values).indptr) == 0)
        analyze = analyzer_of(self.analysis)
        unknown = [place for place in without.tolist() if analyze(found.values[place])]
        return int(np.isin(found.codes, unknown).sum())

    def _counted(self, texts: list[Level]) -> sparse.csr_matrix:
        return sparse.csr_matrix(_counter(self.analysis, self.terms, self.binary).transform(texts))


@dataclass(frozen=True, slots=True)
class HashedText(VectorText):
    """Counts of hashed terms, brought to one length.

    Attributes
    ----------
    n_features : int
        Columns.
    alternate_sign : bool
        Whether half of the terms count negatively.
    """

    n_features: int
    alternate_sign: bool

    @property
    def n_indicators(self) -> int:
        """Number of columns."""
        return self.n_features

    def vectors(self, texts: list[Level]) -> sparse.csr_matrix:
        """Hash, count and normalise."""
        hasher = HashingVectorizer(
            analyzer=analyzer_of(self.analysis),
            n_features=self.n_features,
            alternate_sign=self.alternate_sign,
            binary=self.binary,
            norm=self.norm,
        )
        return sparse.csr_matrix(hasher.transform(texts))


@lru_cache(maxsize=16)
def _counter(analysis: Analysis, terms: tuple[str, ...], binary: bool) -> CountVectorizer:
    """Return scikit-learn's counter of these terms; it holds a dictionary of them, so it is kept."""
    return CountVectorizer(analyzer=analyzer_of(analysis), vocabulary=list(terms), binary=binary, dtype=np.float64)


class Text(Step):
    """Turn texts into a column for each term: tf-idf, or terms hashed into a fixed number of columns.

    The options are those of scikit-learn's TfidfVectorizer and HashingVectorizer, and so are the numbers. A missing
    text is an empty one: a row of zeros, and one of the rows that document frequencies are shares of. Terms that
    training did not have are left out; rows none of whose terms are known are counted by `FittedPreprocessor.unseen`.
    The matrix is sparse for models that take it; a dense one has at most 20,000 columns.

    Document frequencies are counted in the one pass, as integers. A term costs its UTF-8 and 6 to 20 bytes; there may
    be 500,000 in the training rows, of more an error says what to do.

    Attributes
    ----------
    method : str
        ``tfidf`` (default): columns ``COLUMN_TERM`` in sorted order. ``hashing``: nothing is counted or remembered,
        columns ``COLUMN_hash0``...
    analyzer : str
        ``word`` (default), ``char``, or ``char_wb``: characters within words, padded with blanks.
    ngram_range : pair of int
        Shortest and longest run of words or characters that is a term; default ``[1, 1]``.
    lowercase : bool
        Leave case off; default True.
    strip_accents : str, optional
        ``unicode`` or ``ascii`` leaves accents off; default none.
    stop_words : ``"english"`` or list of str, optional
        Words that are no terms; for ``word`` alone.
    token_pattern : str
        Regular expression of a word; default two or more letters, digits or underscores; for ``word`` alone.
    binary : bool
        A term counts once in a text; default False.
    norm : str
        Length that rows are brought to: ``l2`` (default), ``l1`` or ``none``.
    min_df, max_df : int or float
        Terms in fewer, or more, rows are left out: a number of rows, or a share as a float; default 1 and 1.0. These
        and the following four are for ``tfidf``.
    max_features : int, optional
        So many terms are kept at most: the most frequent, of equal ones the first in order.
    use_idf : bool
        Weigh terms by log(rows / rows with the term) + 1; default True.
    smooth_idf : bool
        Count one more row that has every term; default True.
    sublinear_tf : bool
        Count 1 + log(count) instead of the count; default False.
    n_features : int
        Columns of ``hashing``, 2 to 2**20; default 4096.
    alternate_sign : bool
        Give half of the terms a negative sign, so that those that share a column cancel out in the mean; default True;
        for ``hashing``.
    """

    kind: Literal["text"] = "text"
    method: Literal["tfidf", "hashing"] = "tfidf"
    analyzer: Literal["word", "char", "char_wb"] = "word"
    ngram_range: tuple[Annotated[StrictInt, Field(ge=1)], Annotated[StrictInt, Field(ge=1)]] = (1, 1)
    lowercase: bool = True
    strip_accents: Literal["unicode", "ascii"] | None = None
    stop_words: Literal["english"] | tuple[str, ...] | None = None
    token_pattern: str = WORD
    binary: bool = False
    norm: Literal["l1", "l2", "none"] = "l2"
    min_df: Annotated[StrictInt, Field(ge=1)] | Annotated[FiniteFloat, Field(ge=0, le=1)] = 1
    max_df: Annotated[StrictInt, Field(ge=1)] | Annotated[FiniteFloat, Field(ge=0, le=1)] = 1.0
    max_features: int | None = Field(default=None, ge=1)
    use_idf: bool = True
    smooth_idf: bool = True
    sublinear_tf: bool = False
    n_features: int = Field(default=4096, ge=2, le=MOST_FEATURES)
    alternate_sign: bool = True

    takes: ClassVar[frozenset[Form]] = frozenset({Form.LEVELS})
    fitted: ClassVar[type[Fitted]] = VectorText
    counts_itself: ClassVar[bool] = True
    follows: ClassVar[frozenset[str] | None] = frozenset({"passthrough"})

    @field_validator("ngram_range")
    @classmethod
    def _shortest_first(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise ValueError("should name the shortest run first")
        return value

    @field_validator("token_pattern")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        if groups > 1:
            raise ValueError("should have at most one group in brackets")
        return value

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
        given = self.model_fields_set
        other = OF_HASHING if self.method == "tfidf" else OF_TFIDF
        problems = [f"{word} is not for method = '{self.method}'" for word in other if word in given]
        if self.analyzer != "word":
            problems += [f"{word} is not for analyzer = '{self.analyzer}'" for word in OF_WORDS if word in given]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def _analysis(self) -> Analysis:
        is_word = self.analyzer == "word"
        return Analysis(
            self.analyzer,
            self.ngram_range,
            self.token_pattern,
            self.lowercase,
            self.strip_accents,
            self.stop_words if is_word else None,
        )

    def gives(self, form: Form) -> Form:
        """Finished columns."""
        return Form.COLUMNS

    def statistics(self, column: Column) -> frozenset[str | Tally]:
        """Terms; nothing for hashing."""
        return frozenset() if self.method == "hashing" else frozenset({TermTally(self._analysis)})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Choose and weigh the terms, and name the columns."""
        name, norm = state.column.name, None if self.norm == "none" else self.norm
        if self.method == "hashing":
            names = [f"{name}_hash{number}" for number in range(self.n_features)]
            fitted: Fitted = HashedText(self._analysis, self.binary, norm, self.n_features, self.alternate_sign)
            return fitted, replace(state, form=Form.COLUMNS, outputs=(*state.outputs, *names))
        counted: TermCounts | None = state.statistics.tallies.get(TermTally(self._analysis))
        if counted is None:
            raise DataError(f"Column '{name}': 'text' counts the column's own texts. Put it first.")
        terms, weights = self._chosen(name, counted, state.statistics.n_rows)
        fitted = TfIdfText(self._analysis, self.binary, norm, tuple(terms), tuple(weights.tolist()), self.sublinear_tf)
        names = [f"{name}_{term}" for term in terms]
        return fitted, replace(state, form=Form.COLUMNS, outputs=(*state.outputs, *names))

    def _chosen(self, name: str, counted: TermCounts, n_rows: int) -> tuple[list[str], Numbers]:
        """The terms that are kept, sorted, and their weights."""
        if counted.has_too_many:
            raise DataError(
                f"Column '{name}' has more than {MOST_TERMS:,} terms. Use method = 'hashing', which counts none, or "
                f"shorter runs in ngram_range."
            )
        documents = wide(counted.documents)
        kept = np.flatnonzero((documents >= _rows(self.min_df, n_rows)) & (documents <= _rows(self.max_df, n_rows)))
        if len(documents) and not len(kept):
            raise DataError(
                f"Column '{name}': none of {len(documents):,} terms occurs in between min_df = {self.min_df} and "
                f"max_df = {self.max_df} of the rows. Lower min_df, or raise max_df."
            )
        terms = counted.terms.take(kept).to_pylist()
        order = np.array(sorted(range(len(terms)), key=terms.__getitem__), dtype=np.int64)
        if self.max_features is not None and len(order) > self.max_features:
            frequency = documents if self.binary else wide(counted.occurrences)
            most = np.argsort(-frequency[kept][order], kind="stable")[: self.max_features]
            order = order[np.sort(most)]
        return [terms[place] for place in order], self._weights(documents[kept][order], n_rows)

    def _weights(self, documents: NDArray[np.int64], n_rows: int) -> Numbers:
        """Inverse document frequencies; 1 without them."""
        if not self.use_idf:
            return np.ones(len(documents))
        return np.asarray(np.log((n_rows + self.smooth_idf) / (documents + float(self.smooth_idf))) + 1.0)


def _rows(bound: float, n_rows: int) -> float:
    """A number of rows, or a share of them, as a number of rows."""
    return bound if isinstance(bound, int) else bound * n_rows
