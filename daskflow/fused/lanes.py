"""Numbers side by side as one value in compiled code, so that a loop for one candidate trains sixteen.

numba's own vectoriser decides by itself which loops become vector instructions; those of training, with their many
arrays, mostly do not. Here a variable *is* a vector: ``a * b + c`` on lanes is vector operations of LLVM, on any
processor, and lane i of a result depends on lane i of the operands alone. Nothing is contracted or reordered, so each
lane holds to the last bit what the same statements on plain numbers give. `multiply_add` is the one exception, and says
so.

Lanes exist within compiled functions only; they are loaded from arrays and stored to them. How many they are is part
of their type, and told to `load` and `fill` by a tuple of that length: `width`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

INDEX = ir.IntType(32)
ITEMS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.boolean: ir.IntType(1)}

ARITHMETIC = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}
COMPARISONS = {operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.eq: "=="}


class Lanes(types.Type):  # type: ignore[misc]  # numba has no types
    """numba's type of lanes: `dtype` is float32, float64 or boolean, and `count` how many there are."""

    def __init__(self, dtype: Any, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(name=f"Lanes({dtype}, {count})")

    def of(self, dtype: Any) -> Lanes:
        """As many lanes of another dtype."""
        return Lanes(dtype, self.count)

    @property
    def vector(self) -> Any:
        """LLVM's type."""
        return ir.VectorType(ITEMS[self.dtype], self.count)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]  # numba has no types
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, fe_type.vector)


def _filled(builder: Any, value: Any, kind: Lanes) -> Any:
    """A vector of one number."""
    one = builder.insert_element(ir.Constant(kind.vector, ir.Undefined), value, ir.Constant(INDEX, 0))
    places = ir.Constant(ir.VectorType(INDEX, kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, ir.Constant(kind.vector, ir.Undefined), places)


def _wide(context: Any, builder: Any, value: Any, given: Any, kind: Lanes) -> Any:
    """The value as lanes of float64: a number stands in all of them."""
    if isinstance(given, Lanes):
        return value
    return _filled(builder, context.cast(builder, value, given, types.float64), kind.of(types.float64))


def _kind_of(*given: Any) -> Lanes | None:
    """The lanes among lanes and numbers; None when they are none, or of several types."""
    lanes = {kind for kind in given if isinstance(kind, Lanes)}
    others = [kind for kind in given if not isinstance(kind, Lanes | types.Number)]
    return lanes.pop() if len(lanes) == 1 and not others else None


def _operator(function: Any, result: Any, emit: Callable[[Any, Any, Any], Any]) -> None:
    """Teach numba an operator on lanes of float64, and on such lanes and a number."""

    def typer(left: Any, right: Any) -> Any:
        kind = _kind_of(left, right)
        return kind.of(result) if kind is not None and kind.dtype == types.float64 else None

    def lowered(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pairs = zip(args, sig.args, strict=True)
        return emit(builder, *(_wide(context, builder, value, given, sig.return_type) for value, given in pairs))

    type_callable(function)(lambda context: typer)
    for pair in ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
        lower_builtin(function, *pair)(lowered)


def _arithmetic(name: str) -> Callable[[Any, Any, Any], Any]:
    return lambda builder, left, right: getattr(builder, name)(left, right)


def _comparison(sign: str) -> Callable[[Any, Any, Any], Any]:
    return lambda builder, left, right: builder.fcmp_ordered(sign, left, right)


for _function, _name in ARITHMETIC.items():
    _operator(_function, types.float64, _arithmetic(_name))
for _function, _sign in COMPARISONS.items():
    _operator(_function, types.boolean, _comparison(_sign))


def _both(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Lanes in which two masks hold."""
    return builder.and_(*args)


def _negated(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Lanes with the other sign."""
    return builder.fneg(args[0])


def _masks(left: Any, right: Any) -> Any:
    kind = _kind_of(left, right)
    return kind if kind is not None and kind.dtype == types.boolean and left == right else None


def _floats(value: Any) -> Any:
    return value if isinstance(value, Lanes) and value.dtype == types.float64 else None


type_callable(operator.and_)(lambda context: _masks)
lower_builtin(operator.and_, Lanes, Lanes)(_both)
type_callable(operator.neg)(lambda context: _floats)
lower_builtin(operator.neg, Lanes)(_negated)


def vector_function(function: Callable[..., Any]) -> Any:
    """Make a function of compiled code of one that returns its signature and how it is emitted."""
    return intrinsic(function)


def _place(context: Any, builder: Any, array: Any, start: Any, given: Any, kind: Lanes) -> tuple[Any, int]:
    """Pointer to the lanes that begin at a place of a contiguous array, and an item's bytes."""
    first = builder.gep(context.make_array(given)(context, builder, array).data, [start])
    return builder.bitcast(first, kind.vector.as_pointer()), kind.dtype.bitwidth // 8


@vector_function
def load(typingctx: Any, array: Any, start: Any, width: Any) -> Any:
    """Read the lanes that begin at a place of a flat array, in its dtype."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = sig.return_type
        pointer, size = _place(context, builder, args[0], args[1], sig.args[0], kind)
        return builder.load(pointer, align=size, typ=kind.vector)

    return Lanes(array.dtype, len(width))(array, types.intp, width), emit


@vector_function
def store(typingctx: Any, array: Any, start: Any, lanes: Any) -> Any:
    """Write lanes of the array's dtype to a flat array, from a place on."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer, size = _place(context, builder, args[0], args[1], sig.args[0], sig.args[2])
        builder.store(args[2], pointer, align=size)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes.of(array.dtype)), emit


@vector_function
def fill(typingctx: Any, number: Any, width: Any) -> Any:
    """Return lanes that all hold one number, of its dtype."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _filled(builder, args[0], sig.return_type)

    return Lanes(number, len(width))(number, width), emit


@vector_function
def wide(typingctx: Any, lanes: Any) -> Any:
    """Return lanes as float64."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[0] if sig.args[0] == sig.return_type else builder.fpext(args[0], sig.return_type.vector)

    return lanes.of(types.float64)(lanes), emit


@vector_function
def narrow(typingctx: Any, lanes: Any, array: Any) -> Any:
    """Round lanes of float64 to an array's dtype."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[0] if sig.args[0] == sig.return_type else builder.fptrunc(args[0], sig.return_type.vector)

    return lanes.of(array.dtype)(lanes.of(types.float64), array), emit


@vector_function
def times(typingctx: Any, left: Any, right: Any) -> Any:
    """Multiply lanes of one dtype in that dtype, and return the rounded products as float64."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        product = builder.fmul(*args)
        return product if sig.args[0] == sig.return_type else builder.fpext(product, sig.return_type.vector)

    return left.of(types.float64)(left, left), emit


@vector_function
def multiply_add(typingctx: Any, left: Any, right: Any, addend: Any) -> Any:
    """Return ``left * right + addend``: of float64 rounded after each operation, of float32 once, at the end.

    Once is what float32 operands give in float64 arithmetic whose result is then stored as float32.
    """

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if sig.return_type.dtype == types.float64:
            return builder.fadd(builder.fmul(args[0], args[1]), args[2])
        return _of_llvm(builder, "fma", sig.return_type, args)

    return addend(addend, addend, addend), emit


@vector_function
def where(typingctx: Any, mask: Any, yes: Any, no: Any) -> Any:
    """Return, lane by lane, `yes` where the mask holds and `no` elsewhere; both lanes of float64, or numbers."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        yes, no = (_wide(context, builder, args[place], sig.args[place], sig.return_type) for place in (1, 2))
        return builder.select(args[0], yes, no)

    return mask.of(types.float64)(mask, yes, no), emit


@vector_function
def any_of(typingctx: Any, mask: Any) -> Any:
    """Return whether the mask holds in a lane."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = ir.IntType(sig.args[0].count)
        return builder.icmp_unsigned("!=", builder.bitcast(args[0], bits), ir.Constant(bits, 0))

    return types.boolean(mask), emit


def _of_llvm(builder: Any, name: str, kind: Lanes, args: Any) -> Any:
    """Call a function that LLVM knows for each lane."""
    signature = ir.FunctionType(kind.vector, [kind.vector] * len(args))
    full_name = f"llvm.{name}.v{kind.count}f{kind.dtype.bitwidth}"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, full_name), args)


@vector_function
def exponential(typingctx: Any, lanes: Any) -> Any:
    """Return exp of each lane by the system's mathematical library, for the bits that any other program gets.

    A polynomial on all lanes takes half the time (47 against 105 ns for sixteen), and in one case of ten another last
    bit, which training with large steps carries into every digit.
    """

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _of_llvm(builder, "exp", sig.return_type, args)

    return lanes(lanes), emit


@vector_function
def raised(typingctx: Any, lanes: Any, power: Any) -> Any:
    """Return each lane to its power, by the system's mathematical library."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _of_llvm(builder, "pow", sig.return_type, args)

    return lanes(lanes, lanes), emit


@vector_function
def root(typingctx: Any, lanes: Any) -> Any:
    """Return the square root of each lane."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _of_llvm(builder, "sqrt", sig.return_type, args)

    return lanes(lanes), emit


@vector_function
def logarithm_of_one_and(typingctx: Any, lanes: Any) -> Any:
    """Return log(1 + x) of each lane of float64, by the system's mathematical library."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        double, kind = ITEMS[types.float64], sig.return_type
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(double, [double]), "log1p")
        found = ir.Constant(kind.vector, ir.Undefined)
        for place in range(kind.count):
            one = builder.call(function, [builder.extract_element(args[0], ir.Constant(INDEX, place))])
            found = builder.insert_element(found, one, ir.Constant(INDEX, place))
        return found

    return lanes(lanes), emit
