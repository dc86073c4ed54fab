"""Column types of lists and structs, as JSON text: `["int"]` is a list of int, `{"name":"string"}` a struct.

They hold where all rows agree: the same fields in the same order, with values of one type. What does not agree is JSON text.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import repeat
from typing import Any, TypeAlias

import orjson
import pyarrow as pa

Shape: TypeAlias = Any  # a column type, [Shape], or {field: Shape}

_MOST_FIELDS = 200  # of a struct; one of more is a dictionary, with other fields in the next row
_DEEPEST = 8
_SCALARS = {str: "string", int: "int", float: "float", bool: "bool"}
_INT64 = 2**63


class NoShape(Exception):
    """Values that no list or struct holds as they are."""


def is_nested(text: str) -> bool:
    """Whether a column type is one of a list or a struct."""
    return text.startswith(("[", "{"))


@lru_cache(maxsize=1000)
def shape_of(text: str) -> Shape:
    """What a column type says; of a scalar the type itself. Raises ValueError."""
    if not is_nested(text):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError(f"{text!r} is not a column type") from None


def as_text(shape: Shape) -> str:
    return orjson.dumps(shape).decode()


def shape_of_value(value: Any, of_scalar: Callable[[Any], str], depth: int = 0) -> Shape:
    """The shape of a value of a JSON file. Raises NoShape."""
    if depth > _DEEPEST:
        raise NoShape
    if isinstance(value, list):
        shape: Shape = "null"
        for item in value:
            shape = unify_shapes(shape, shape_of_value(item, of_scalar, depth + 1))
        return [shape]
    if isinstance(value, dict):
        return _struct({name: shape_of_value(item, of_scalar, depth + 1) for name, item in value.items()})
    return _scalar(of_scalar(value))


def fits(shape: Shape, value: Any) -> bool:
    """Whether a value is plainly of the shape, so that nothing is to be unified: what most rows are, asked for each of them."""
    if value is None:
        return True
    kind = type(shape)
    if kind is str:
        name = _SCALARS.get(type(value))
        return name == shape and (name != "int" or -_INT64 <= value < _INT64)
    if kind is not type(value):
        return False
    if kind is list:
        return all(map(fits, repeat(shape[0]), value))
    return list(shape) == list(value) and all(map(fits, shape.values(), value.values()))


_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


def shape_of_arrow(kind: pa.DataType, of_scalar: Callable[[pa.DataType], str]) -> Shape:
    """The shape of a parquet column. Raises NoShape for maps and unions."""
    if any(is_one(kind) for is_one in _LISTS):
        return [shape_of_arrow(kind.value_type, of_scalar)]
    if pa.types.is_struct(kind):
        return _struct({field.name: shape_of_arrow(field.type, of_scalar) for field in kind})
    if pa.types.is_nested(kind):
        raise NoShape
    return _scalar(of_scalar(kind))


def _scalar(text: str) -> str:
    if text == "json":
        raise NoShape
    return text


def _struct(fields: dict[str, Shape]) -> Shape:
    # DuckDB cannot tell names apart that differ only in case; parquet has no struct without fields.
    if not 0 < len({name.casefold() for name in fields}) == len(fields) <= _MOST_FIELDS or "" in fields:
        raise NoShape
    return fields


def unify_shapes(a: Shape, b: Shape) -> Shape:
    """The shape that holds values of both. Raises NoShape where they do not agree."""
    if a == b and (not isinstance(a, dict) or list(a) == list(b)):
        return a
    if "null" in (a, b):
        return b if a == "null" else a
    if isinstance(a, list) and isinstance(b, list):
        return [unify_shapes(a[0], b[0])]
    if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
        return {name: unify_shapes(shape, b[name]) for name, shape in a.items()}
    if isinstance(a, str) and isinstance(b, str):
        return _unify_scalars(a, b)
    raise NoShape


def _unify_scalars(a: str, b: str) -> str:
    """Numbers go together; unsigned ones of 64 bits do not fit beside others."""
    numbers = {"int", "float", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float32"}
    if not {a, b} <= numbers:
        raise NoShape
    return "float" if any("float" in one for one in (a, b)) else "int"


def arrow_of_shape(shape: Shape, of_scalar: Callable[[str], pa.DataType]) -> pa.DataType:
    """The Arrow type of a shape. Raises ValueError."""
    if isinstance(shape, list) and len(shape) == 1:
        return pa.list_(arrow_of_shape(shape[0], of_scalar))
    if isinstance(shape, dict) and shape:
        return pa.struct([pa.field(name, arrow_of_shape(inner, of_scalar)) for name, inner in shape.items()])
    if not isinstance(shape, str) or is_nested(shape):
        raise ValueError(f"{shape!r} is not a column type")
    return of_scalar(shape)


def converter(shape: Shape, of_scalar: Callable[[str], Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """What makes a value of JSON one that Arrow takes for the shape; None of what the shape does not hold."""
    if isinstance(shape, list):
        inner = converter(shape[0], of_scalar)
        return lambda v: [None if item is None else inner(item) for item in v] if isinstance(v, list) else None
    if isinstance(shape, dict):
        inners = {name: converter(field, of_scalar) for name, field in shape.items()}
        return lambda v: (
            {name: None if v.get(name) is None else inner(v[name]) for name, inner in inners.items()}
            if isinstance(v, dict)
            else None
        )
    return of_scalar(shape)
