"""Strategies for the values of `messages.py` and `events.py`, made from their annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from limpet import events, messages
from limpet.events import Usage
from limpet.wire import Json

finite_floats = st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | finite_floats | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=3)

_BY_TYPE: Mapping[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(),
    float: finite_floats,
    bool: st.booleans(),
    type(None): st.none(),
    Usage: st.builds(Usage, *[st.integers(min_value=0)] * 4),
    list[str]: st.lists(st.text(), max_size=3),
}


def field_hints(cls: type) -> dict[str, Any]:
    """Give the types of a value's fields, without the ClassVar `type`."""
    hints = get_type_hints(cls)
    return {name: hint for name, hint in hints.items() if name != "type"}


def strategy(hint: Any) -> st.SearchStrategy[Any]:
    """Give the strategy of a field's type."""
    if get_origin(hint) is dict:
        return json_objects
    if any(get_origin(member) is list for member in get_args(hint)):  # Json, with its names resolved
        return json_values
    if hint == tuple[messages.Part, ...]:
        return st.lists(parts, max_size=3).map(tuple)
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if hint in _BY_TYPE:
        return _BY_TYPE[hint]
    return st.one_of([strategy(member) for member in get_args(hint)])


def values_of(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Give the values of one of our dataclasses."""
    return st.builds(cls, **{name: strategy(hint) for name, hint in field_hints(cls).items()})


def sample_of(cls: type[Any]) -> Any:
    """Give one value of one of our dataclasses."""
    samples: dict[Any, Any] = {str: "a", int: 1, float: 0.5, bool: True, Usage: Usage(1, 2, 3, 4), list[str]: ["a"]}

    def sample(hint: Any) -> Any:
        if get_origin(hint) is Literal:
            return get_args(hint)[0]
        return samples.get(hint)  # None is JSON, and fits the optional fields

    return cls(**{name: sample(hint) for name, hint in field_hints(cls).items()})


PARTS: tuple[type[Any], ...] = get_args(messages.Part)
EVENTS: tuple[type[Any], ...] = get_args(events.Event)
parts = st.one_of([values_of(cls) for cls in PARTS])
all_messages = values_of(messages.Message)
