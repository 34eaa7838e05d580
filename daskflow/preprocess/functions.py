"""Functions: a user's own pandas function as new columns, row by row.

A function gets a pandas DataFrame of the original values of its columns (integers ``Int64``, truths ``boolean``, floats
``float64``, strings ``str``, dates ``datetime64``) and returns a DataFrame with the outputs it declares, or a Series
when it declares one, of the same length and index:

    def ratios(rows):
        return (rows["bill"] / rows["limit"]).to_frame("used")

It stands at the top of a module that every worker can import; its import path is what travels, is stored with the
model, and is loaded again where the model predicts. It must look at each row alone, for it sees other rows together
each time: every table it is given is checked on a sample.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from daskflow.core.errors import DataError
from daskflow.core.seeds import digest
from daskflow.core.settings import Settings, nearest
from daskflow.data.schema import Column, kind_of

if TYPE_CHECKING:
    import pandas as pd

TYPES: Mapping[str, pa.DataType] = {
    **{name: pa.type_for_alias(name) for name in ("float64", "float32", "int64", "int32", "int16", "int8")},
    **{f"datetime64[{unit}]": pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")},
    "string": pa.string(),
    "str": pa.string(),
    "bool": pa.bool_(),
    "boolean": pa.bool_(),
}
"""Types that outputs may have, by their words."""

SAMPLE = 200
"""Rows of a table on which a function is checked."""

CLOSE = 1e-9
"""How far floats may be apart: the same sum or logarithm differs in its last digit by where a row stands in memory."""


class Function(Settings):
    """A pandas function that makes new columns of others, row by row.

    Attributes
    ----------
    function : str
        ``package.module:name``; in Python also the function itself, when it stands at the top of a module.
    columns : list of str
        What it sees: features, or outputs of functions before it.
    outputs : mapping of str to str
        Names of the new columns, and their types: ``float64``, ``float32``, ``int64``, ``int32``, ``int16``, ``int8``,
        ``string``, ``bool``, ``datetime64[ns]`` (or ``us``, ``ms``, ``s``).
    """

    function: str
    columns: tuple[str, ...] = Field(min_length=1)
    outputs: Mapping[str, str] = Field(min_length=1)

    @field_validator("function", mode="before")
    @classmethod
    def _path(cls, value: Any) -> Any:
        if isinstance(value, str):
            module, _, name = value.partition(":")
            if not all(part.isidentifier() for part in (*module.split("."), name)):
                raise ValueError("should read 'package.module:name'")
            return value
        return path_of(value)

    @field_validator("outputs")
    @classmethod
    def _types(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name, word in value.items():
            if word not in TYPES:
                raise ValueError(f"'{name}' has no type that is known{nearest(word, TYPES)}")
        return dict(value)

    def made(self) -> tuple[Column, ...]:
        """Return the new columns."""
        types = {name: TYPES[word] for name, word in self.outputs.items()}
        return tuple(Column(name, kind_of(found, name), str(found)) for name, found in types.items())

    def apply(self, table: pa.Table) -> dict[str, pa.Array]:
        """Return the new columns of a table's rows.

        Raises
        ------
        DataError
            When the function fails, or does not return what it should.
        """
        if table.num_rows == 0:
            return {name: pa.array([], type=TYPES[word]) for name, word in self.outputs.items()}
        from daskflow.data.frames import to_pandas  # brings dask, which a model without functions need not

        frame = to_pandas(table.select(list(self.columns)).replace_schema_metadata(None))
        return self._arrays(self._called(frame))

    def check(self, table: pa.Table, made: Mapping[str, pa.Array]) -> None:
        """Check on a sample that the function looks at each row alone.

        Parameters
        ----------
        table : pyarrow.Table
            Some rows.
        made : mapping of str to pyarrow.Array
            What `apply` gave for all of them.

        Raises
        ------
        DataError
            When rows become something else among fewer others in another order.
        """
        step = max(2, -(-table.num_rows // SAMPLE))
        rows = pa.array(np.arange(table.num_rows - 1, -1, -step))
        if table.num_rows < 2:
            return
        for name, array in self.apply(table.select(list(self.columns)).take(rows)).items():
            if not _are_equal(made[name].take(rows), array):
                raise DataError(
                    f"Function {self.function} is not row-wise: the same rows become another '{name}' when fewer "
                    "rows stand beside them, in another order. Blocks, folds and predictions show it other rows "
                    "together each time. Take out what looks across rows (mean, rank, shift, random numbers)."
                )

    def _called(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Call the function; check the form of what it returns."""
        import pandas as pd

        function = resolve(self.function)
        try:
            found = function(frame.copy(deep=False))
        except Exception as error:  # a user's code raises what it likes
            raise DataError(
                f"Function {self.function} failed on {len(frame):,} rows: {type(error).__name__}: {error}"
            ) from error
        if isinstance(found, pd.Series) and len(self.outputs) == 1:
            found = found.to_frame(next(iter(self.outputs)))
        if not isinstance(found, pd.DataFrame):
            raise DataError(
                f"Function {self.function} should return a DataFrame with {', '.join(self.outputs)}"
                f"{' or a Series' if len(self.outputs) == 1 else ''} (found {type(found).__name__})."
            )
        if len(found) != len(frame) or not found.index.equals(frame.index):
            raise DataError(
                f"Function {self.function} should return its rows with their index: it got {len(frame):,} rows and "
                f"gave {len(found):,}{'' if len(found) != len(frame) else ' with another index'}. Leave reset_index, "
                "dropna and sort_values out."
            )
        return found

    def _arrays(self, found: pd.DataFrame) -> dict[str, pa.Array]:
        """The declared outputs in their types."""
        names = [str(name) for name in found.columns]
        if sorted(names) != sorted(self.outputs):
            raise DataError(
                f"Function {self.function} should return the columns {', '.join(self.outputs)} "
                f"(found {', '.join(names) or 'none'}). Say in outputs what it returns."
            )
        return {name: self._array(found.iloc[:, names.index(name)], name, word) for name, word in self.outputs.items()}

    def _array(self, series: pd.Series[Any], name: str, word: str) -> pa.Array:
        """One output in its type; values are never changed to fit."""
        wanted = TYPES[word]
        refusal = f"Function {self.function}: output '{name}' is {series.dtype}, and outputs says {word}"
        try:
            array = pa.array(series, from_pandas=True)
            array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
            array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
            if pa.types.is_null(array.type) or array.null_count == len(array):
                return pa.nulls(len(array), wanted)
            if kind_of(array.type, name) is not kind_of(wanted, name):
                raise DataError(f"{refusal}. Convert it with astype, or correct outputs.")
            return array.cast(wanted, safe=not pa.types.is_float32(wanted))
        except (pa.ArrowException, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{refusal}: {error}. Convert it with astype, or correct outputs.") from error


def path_of(function: Any) -> str:
    """Return the import path of a function.

    Raises
    ------
    ValueError
        For what no other process could import by a name: lambdas, closures, functions of a script or notebook.

    Examples
    --------
    >>> import textwrap
    >>> path_of(textwrap.dedent)
    'textwrap:dedent'
    """
    if not inspect.isfunction(function):
        raise ValueError(f"should be a function, or 'package.module:name' (found {type(function).__name__})")
    name, module = function.__qualname__, function.__module__
    if "<lambda>" in name or "." in name:
        what = "a lambda" if "<lambda>" in name else "made inside another function or class"
        raise ValueError(
            f"is {what}, so it cannot be stored with the model or sent to a worker; write it with def at the top of a "
            "module"
        )
    if getattr(inspect.getmodule(function), name, None) is not function or module == "__main__":
        raise ValueError(
            f"'{name}' stands in {module}, where no other process finds it; move it to a module that can be imported"
        )
    return f"{module}:{name}"


@lru_cache(maxsize=256)
def resolve(path: str) -> Callable[[pd.DataFrame], Any]:
    """Import the function of ``package.module:name``; this runs the module's code.

    Raises
    ------
    DataError
        When it cannot be imported, or is no function.
    """
    place, _, name = path.partition(":")
    try:
        module = importlib.import_module(place)
    except Exception as error:  # a user's module raises what it likes
        raise DataError(
            f"Function {path} cannot be imported here: {type(error).__name__}: {error}. Install its module, or put its "
            "folder on PYTHONPATH, here and on every worker."
        ) from error
    found = getattr(module, name, None)
    if not inspect.isfunction(found):
        known = [word for word, value in vars(module).items() if inspect.isfunction(value)]
        what = "has no such name" if found is None else f"has a {type(found).__name__} of this name, not a function"
        raise DataError(f"Function {path}: module '{place}' {what}{nearest(name, known)}")
    function: Callable[[pd.DataFrame], Any] = found
    return function


@lru_cache(maxsize=256)
def source_of(path: str) -> str:
    """Return a hash of a function's source, and of what it uses of its own module: functions, classes, constants.

    Raises
    ------
    DataError
        When it cannot be imported, or has no source.
    """
    try:
        return digest(sorted(set(_sources(resolve(path), set()))), 16)
    except (OSError, TypeError) as error:
        raise DataError(f"Function {path} has no source that can be read: {error}. Its changes would go unseen.") from (
            error
        )


def _sources(thing: Any, seen: set[int]) -> Iterator[str]:
    """The source of a function or class, and of what it names of its module."""
    thing = inspect.unwrap(thing)
    if id(thing) in seen:
        return
    seen.add(id(thing))
    yield inspect.getsource(thing)
    module = inspect.getmodule(thing)
    codes = [member.__code__ for member in vars(thing).values() if inspect.isfunction(member)]
    for name in sorted(_names([thing.__code__] if inspect.isfunction(thing) else codes)):
        value = vars(module).get(name)
        if isinstance(value, ModuleType):
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            if value.__module__ == thing.__module__:
                yield from _sources(value, seen)
        elif isinstance(value, bool | int | float | str | bytes | tuple | list | dict | frozenset):
            yield f"{name} = {sorted(map(repr, value)) if isinstance(value, frozenset) else value!r}"


def _names(codes: list[CodeType]) -> set[str]:
    """Global names that code uses, inner functions too."""
    found: set[str] = set()
    while codes:
        code = codes.pop()
        found.update(code.co_names)
        codes += [constant for constant in code.co_consts if inspect.iscode(constant)]
    return found


def _are_equal(left: pa.Array, right: pa.Array) -> bool:
    """Whether two outputs are the same: floats to nine digits, all else exactly."""
    if not pa.types.is_floating(left.type):
        return bool(left.equals(right))
    one, other = (np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64) for array in (left, right))
    return bool(np.allclose(one, other, rtol=CLOSE, atol=0.0, equal_nan=True))
