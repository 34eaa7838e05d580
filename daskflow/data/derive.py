"""Derived columns: pandas expressions evaluated row by row, in which a missing value stays missing."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.core.warned import ignored
from daskflow.data import kernels
from daskflow.data.arrays import whole
from daskflow.data.hashing import buffers_of
from daskflow.data.schema import Column, Schema, kind_of

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 256
"""Rows that are evaluated a second time by themselves, to see that an expression looks at nothing but the row."""


def derive(table: pa.Table, expressions: Mapping[str, str], schema: Schema | None = None) -> pa.Table:
    """Add columns by expressions, in order; a later one may use an earlier one.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    expressions : mapping of str to str
        ``DataFrame.eval`` expressions by the name of the column they make; a name that is there is replaced.
    schema : Schema, optional
        Types the new columns must have; without it they have the type the expression gives.

    Raises
    ------
    DataError
        For an expression that is wrong, that does not give one value per row, or that looks at other rows.

    Examples
    --------
    >>> rows = pa.table({"delay": [20, None, 3]})
    >>> derive(rows, {"late": "delay > 15"})["late"].to_pylist()
    [True, None, False]
    """
    for name, expression in expressions.items():
        made = _column(table, name, expression)
        if schema is not None:
            made = _cast(made, schema[name], expression)
        place = table.schema.get_field_index(name)
        field = pa.field(name, made.type)
        table = table.append_column(field, made) if place < 0 else table.set_column(place, field, made)
    return table


def extend(schema: Schema, expressions: Mapping[str, str], sample: pa.Table | None = None) -> Schema:
    """Return the schema with the derived columns.

    Parameters
    ----------
    schema : Schema
        The source's.
    expressions : mapping of str to str
        As for `derive`.
    sample : pyarrow.Table, optional
        Some rows of the source; default none at all, which is enough unless an expression's type depends on values.
    """
    if not expressions:
        return schema
    rows = schema.arrow.empty_table() if sample is None else sample
    made = derive(rows, expressions)
    columns = {column.name: column for column in schema.columns}
    for name in expressions:
        arrow_type = made.schema.field(name).type
        plain = pa.string() if pa.types.is_null(arrow_type) else arrow_type
        columns[name] = Column(name, kind_of(plain, name), str(plain))
    return Schema(tuple(columns.values()))


def _column(table: pa.Table, name: str, expression: str) -> pa.Array:
    """Evaluate one expression, and check that it is row by row."""
    text, names = _prepared(expression, table.column_names, name)
    made = _evaluate(table, text, names, name, expression)
    if table.num_rows > SAMPLE_ROWS:
        start = (table.num_rows - SAMPLE_ROWS) // 2
        alone = _evaluate(table.slice(start, SAMPLE_ROWS), text, names, name, expression)
        if not _same(made.slice(start, SAMPLE_ROWS), alone):
            raise DataError(
                f"derive.{name} = {expression!r} looks at other rows than its own, so its values would change with "
                f"the cut of the files. Use functions of one row; put such a column into the files."
            )
    return made


def _evaluate(table: pa.Table, text: str, names: Mapping[str, str], name: str, expression: str) -> pa.Array:
    """Evaluate on these rows; names maps columns to the identifiers they have in the text."""
    import pandas as pd  # takes a third of a second, and few tables have derived columns

    from daskflow.data.overflow import overflow

    frame = _frame(table.select(list(names)).rename_columns(list(names.values())))
    try:
        with ignored(), np.errstate(all="ignore"):
            found = frame.eval(text, engine="python", local_dict={}, global_dict={})
            wrapped = overflow(frame, text)
    except Exception as error:
        raise DataError(
            f"derive.{name} = {expression!r} cannot be evaluated: {type(error).__name__}: {error}. "
            f"Columns there are: {', '.join(table.column_names)}"
        ) from error
    if wrapped is not None:
        raise DataError(
            f"derive.{name} = {expression!r}: {wrapped} does not fit the 64 bits of its type in every row. "
            f"Make a float of a column first, such as a.astype('Float64')."
        )
    if not isinstance(found, pd.Series) or len(found) != table.num_rows:
        raise DataError(
            f"derive.{name} = {expression!r} gives {_form(found)}, not one value per row. "
            f"Use an expression over columns, such as 'delay > 15'."
        )
    try:
        made = pa.Array.from_pandas(found)
        made = made.combine_chunks() if isinstance(made, pa.ChunkedArray) else made
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"derive.{name} = {expression!r} gives values of mixed types: {error}.") from error
    if pa.types.is_dictionary(made.type):
        made = made.dictionary_decode()
    if pa.types.is_large_string(made.type):
        made = made.cast(pa.string())
    if not pa.types.is_null(made.type):
        try:
            kind_of(made.type, name)
        except DataError as error:
            raise DataError(
                f"derive.{name} = {expression!r} gives {made.type}, which no model can use. Convert it in the "
                f"expression (a duration by .dt.total_seconds())."
            ) from error
    return canonical_floats(made)


def canonical_floats(values: Any) -> Any:
    """Return floats with nan as missing and -0.0 as 0.0; anything else as it is."""
    if not pa.types.is_floating(values.type):
        return values
    values = whole(values)
    if kernels.is_canonical(buffers_of(values, np.float64)[0].view(np.int64)):
        return values
    plain = values.fill_null(np.nan).to_numpy(zero_copy_only=False)
    return pa.array(plain + plain.dtype.type(0), type=values.type, mask=np.isnan(plain))


@cache
def _nullable() -> dict[pa.DataType, Any]:
    """pandas types in which a comparison with a missing value is missing; in the default ones it is False."""
    import pandas as pd

    return {
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint8(): pd.UInt8Dtype(),
        pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
        pa.float32(): pd.Float32Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.string(): pd.StringDtype(na_value=pd.NA),
    }


def _frame(table: pa.Table) -> pd.DataFrame:
    """A pandas frame whose comparisons keep missing values missing, and whose integers have room to grow."""
    import pandas as pd

    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) or pa.types.is_large_string(field.type) or pa.types.is_null(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.string()))
        elif pa.types.is_date(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.timestamp("ms")))
        elif pa.types.is_decimal(field.type) or pa.types.is_float16(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.float64()))
        elif pa.types.is_integer(field.type) and field.type != pa.uint64():
            table = table.set_column(place, field.name, table.column(place).cast(pa.int64()))
    known = _nullable()
    frame: pd.DataFrame = table.to_pandas(types_mapper=lambda kind: known.get(kind) or pd.ArrowDtype(kind))
    return frame


def _prepared(expression: str, columns: list[str], name: str) -> tuple[str, dict[str, str]]:
    """The expression with plain identifiers and null-keeping comparisons, and the columns it may use."""
    quoted: dict[str, str] = {}

    def identifier(match: re.Match[str]) -> str:
        return quoted.setdefault(match.group(1), f"quoted_{len(quoted)}")

    try:
        text = re.sub(r"`([^`]*)`", identifier, expression)
        tree = _Comparisons().visit(ast.parse(_with_words(text).strip(), mode="eval"))
        text = ast.unparse(ast.fix_missing_locations(tree))
    except (SyntaxError, tokenize.TokenError) as error:
        raise DataError(
            f"derive.{name} = {expression!r} is no expression: {error}. "
            f"Write one as for DataFrame.eval, such as 'a > 15'."
        ) from error
    words = set(re.findall(r"\w+", text))
    used = {column: quoted.get(column, column) for column in columns if column in quoted or column in words}
    if not used:  # an expression without columns is told what it gives, a wrong name what there is
        used = {column: column for column in columns if column.isidentifier()}
    return text, used


def _with_words(text: str) -> str:
    """Write & and | as ``and`` and ``or``, which is how pandas reads them: below comparisons."""
    words = {"&": "and", "|": "or"}
    tokens = [
        (tokenize.NAME, words[token.string]) if token.type == tokenize.OP and token.string in words else token[:2]
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
    ]
    return tokenize.untokenize(tokens)


class _Comparisons(ast.NodeTransformer):
    """Write equality with a text, and membership, so that a missing value stays missing.

    pandas evaluates ``a == 'x'`` and ``a in [1, 2]`` by ``isin``, which is False where a is missing.
    """

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        """Combine columns of one type of truth; pandas refuses to mix Arrow's with its own."""
        self.generic_visit(node)
        return ast.BoolOp(node.op, [_truth(value) for value in node.values])

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """Rewrite what pandas would turn into ``isin``."""
        self.generic_visit(node)
        if len(node.ops) != 1:
            return node
        left, operator, right = node.left, node.ops[0], node.comparators[0]
        if isinstance(operator, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple) and right.elts:
            equal: list[ast.expr] = [_equal(left, item) for item in right.elts]
            either = equal[0] if len(equal) == 1 else ast.BoolOp(ast.Or(), [_truth(item) for item in equal])
            return either if isinstance(operator, ast.In) else ast.UnaryOp(ast.Not(), either)
        if isinstance(operator, ast.Eq):
            return _equal(left, right)
        if isinstance(operator, ast.NotEq) and (_is_text(left) or _is_text(right)):
            return ast.UnaryOp(ast.Not(), _equal(left, right))
        return node


def _equal(left: ast.expr, right: ast.expr) -> ast.expr:
    """Equality; with a text as ``>=`` and ``<=``, which pandas leaves alone."""
    if not (_is_text(left) or _is_text(right)):
        return ast.Compare(left, [ast.Eq()], [right])
    both = [ast.Compare(left, [operator], [right]) for operator in (ast.GtE(), ast.LtE())]
    return ast.BoolOp(ast.And(), [_truth(side) for side in both])


def _truth(node: ast.expr) -> ast.expr:
    return ast.Call(ast.Attribute(node, "astype"), [ast.Constant("boolean")], [])


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _cast(made: pa.Array, column: Column, expression: str) -> pa.Array:
    """The column in the type that the schema gives it."""
    wanted = column.arrow_type
    if pa.types.is_null(wanted):
        wanted = pa.string()
    try:
        return made.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"derive.{column.name} = {expression!r} gives {made.type} here and {column.type} elsewhere: {error}. "
            f"Say the type in the expression, such as .astype('Float64')."
        ) from error


def _same(left: pa.Array, right: pa.Array) -> bool:
    """Whether two columns are equal, floats to nine digits."""
    if pa.types.is_null(left.type) or pa.types.is_null(right.type):
        return bool(left.null_count == len(left) and right.null_count == len(right))
    if pa.types.is_floating(left.type) and pa.types.is_floating(right.type):
        pair = [side.fill_null(np.nan).to_numpy(zero_copy_only=False) for side in (left, right)]
        return bool(np.allclose(pair[0], pair[1], rtol=1e-9, atol=0.0, equal_nan=True))
    return bool(left.equals(right.cast(left.type)))


def _form(found: Any) -> str:
    """What an expression gave, in words."""
    import pandas as pd

    if isinstance(found, pd.Series):
        return f"{len(found)} values"
    return "one value" if np.isscalar(found) else f"a {type(found).__name__}"
