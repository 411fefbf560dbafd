"""What a pool of interpreters is told of a call, and what it answers: JSON texts, the same on every host.

The other side is `entrypoints/pool_worker.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ToolError
from ..wire import Json, JsonObject


def call_text(function: Callable[..., Any], name: str, arguments: JsonObject, home: Mapping[str, str]) -> str:
    """Write a call. `home` says where the tool is: a `module` to import, or the `source` of a `file`."""
    return json.dumps({**home, "tool": name, "qualname": function.__qualname__, "arguments": arguments})


def content_of(answer: str) -> Json:
    """Read an answer. Raises `ToolError`, or an exception with the name of the one that was raised there."""
    data = json.loads(answer)
    if "content" in data:
        content: Json = data["content"]
        return content
    if data["kind"] is None:
        raise ToolError(data["error"])
    # The model is told the name of what was raised, and the log the whole traceback.
    raise type(data["kind"], (Exception,), {})(data["error"])
