"""Look into a request's JSON: each reader gives a value of its type or refuses the request, naming the field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NoReturn

from ..messages import ImagePart
from ..wire import JsonObject
from .http import HttpError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}", re.ASCII)
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,([A-Za-z0-9+/=_-]*)", re.ASCII)


def bad(field: str, wanted: str) -> NoReturn:
    """Refuse a request for one of its fields. Raises `HttpError`."""
    raise HttpError(400, "invalid_request", f"{field} must be {wanted}")


def read_object(body: bytes) -> JsonObject:
    """Read a body that is a JSON object. Raises `HttpError`."""
    try:
        data = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, too deep, a number of thousands of digits
        raise HttpError(400, "invalid_json", "the body is not JSON") from None
    if not isinstance(data, dict):
        bad("the body", "a JSON object")
    return data


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_id(value: object, field: str) -> str:
    """Read a name that goes into a store's keys and into URLs."""
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        bad(field, "1 to 128 letters, digits or _ . : @ -, the first a letter or a digit")
    return value


def read_text(data: Mapping[str, object], name: str, default: str | None = None) -> str:
    """Read a field that is a text; with a `default` it may be missing or null."""
    value = data.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        bad(name, "a text")
    return value


def read_flag(data: Mapping[str, object], name: str) -> bool:
    """Read a field that is true or false; missing or null it is false."""
    value = data.get(name)
    if value is not None and not isinstance(value, bool):
        bad(name, "true or false")
    return value is True


def read_list(data: Mapping[str, object], name: str, *, is_needed: bool = False) -> list[object]:
    """Read a field that is a list; missing or null it is empty, unless it is needed."""
    value = data.get(name)
    if value is None and not is_needed:
        return []
    if not isinstance(value, list):
        bad(name, "a list")
    if is_needed and not value:
        bad(name, "a list that is not empty")
    return value


def read_number(data: Mapping[str, object], name: str, low: float, high: float) -> float | None:
    """Read a field that is a number within bounds; None when it is missing or null."""
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        bad(name, f"a number from {low:g} to {high:g}")
    return value


def read_whole(data: Mapping[str, object], name: str, low: int, high: int) -> int | None:
    """Read a field that is a whole number within bounds; None when it is missing or null."""
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        bad(name, f"a whole number from {low} to {high}")
    return value


def as_object(value: object, field: str) -> JsonObject:
    """Read a value that is an object."""
    if not isinstance(value, dict):
        bad(field, "an object")
    return value


def read_image(url: object, field: str) -> ImagePart:
    """Read a picture's address: `data:` with base64 in it, or `https:` which the provider is told of, never we."""
    if isinstance(url, str):
        if match := _DATA_URL.fullmatch(url):
            return ImagePart(media_type=match[1], data=match[2])
        if url.startswith("https://"):
            return ImagePart(url=url)
    return bad(field, "an address that begins with https:// or data:...;base64,")
