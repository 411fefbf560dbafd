"""`@frozen`: frozen dataclasses that cost next to nothing at import.

`dataclasses` writes the methods of each class as source and compiles them. In Pyodide 314 that takes 1 to 4 ms a class,
which for the fifty of this package is more than all the rest of its import. Here the methods are written once and
shared; what `dataclasses` knows of a class (`fields`, `replace`, `asdict`, `match`) works as ever.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass: two values are equal when their classes and all their fields are.

    >>> @frozen
    ... class Point:
    ...     x: int
    ...     y: int = 0
    >>> Point(1)
    Point(x=1, y=0)
    >>> Point(1) == Point(1, y=0)
    True
    """
    own = vars(cls).keys() & _METHODS.keys()
    made = dataclass(init=False, repr=False, eq=False)(cls)
    for of in fields(made):  # type: ignore[arg-type]  # just made one
        if not (of.init and of.compare) or of.kw_only:
            raise TypeError(f"{cls.__name__}.{of.name}: of a field's options only default and repr are known here")
    for name, method in _METHODS.items():
        if name not in own:
            setattr(made, name, method)
    return made


def _init(self: Any, *args: object, **given: object) -> None:
    cls = type(self)
    names: tuple[str, ...] = cls.__match_args__
    values: dict[str, object] = self.__dict__
    if len(args) > len(names):
        raise TypeError(f"{cls.__name__} takes {len(names)} values, not {len(args)}")
    values.update(zip(names, args, strict=False))
    for name, item in given.items():
        if name in values or name not in names:
            raise TypeError(f"{cls.__name__} has no {name!r}, or got it twice")
        values[name] = item
    if len(values) < len(names):
        for name in names:
            if name not in values:
                values[name] = _default(cls, name)
    if hasattr(cls, "__post_init__"):
        self.__post_init__()


def _default(cls: Any, name: str) -> object:
    of = cls.__dataclass_fields__[name]
    if of.default is not MISSING:
        return of.default
    if of.default_factory is not MISSING:
        return of.default_factory()
    raise TypeError(f"{cls.__name__} lacks {name!r}")


def _repr(self: Any) -> str:
    shown = ", ".join(f"{of.name}={self.__dict__[of.name]!r}" for of in fields(self) if of.repr)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: object, other: object) -> bool:
    return self.__dict__ == other.__dict__ if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash(tuple(self.__dict__[name] for name in type(self).__match_args__))


def _refuse(self: object, name: str, *_: object) -> NoReturn:
    raise FrozenInstanceError(f"a {type(self).__name__} doesn't change: cannot set or delete {name!r}")


_METHODS: dict[str, object] = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
}
