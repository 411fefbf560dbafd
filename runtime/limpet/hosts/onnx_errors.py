"""What `onnxruntime` raises, turned into errors of ours.

Its classes have no base of their own, only `Exception`, so they are taken from the module where they stand. A run with
bound buffers raises plain `RuntimeError`s (onnxruntime 1.30).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from onnxruntime.capi import onnxruntime_pybind11_state as state  # type: ignore[import-untyped]  # ships no types

from ..errors import ModelUnavailableError

ONNX_ERRORS: tuple[type[Exception], ...] = (
    *(MemoryError, RuntimeError),
    *(value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)),
)
# What the allocators of onnxruntime 1.30 and C++ itself say; a `MemoryError` comes without words.
_NO_MEMORY = re.compile(r"bad.?alloc|failed to allocate|out of memory", re.IGNORECASE)


def is_out_of_memory(error: Exception) -> bool:
    """Say whether memory was refused."""
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


@contextmanager
def run_errors(model_id: str) -> Iterator[None]:
    """Turn what a run raises into `ModelUnavailableError`."""
    try:
        yield
    except ONNX_ERRORS as error:
        no_memory = "there is not enough memory for it; close other programs"
        says = no_memory if is_out_of_memory(error) else f"it failed in onnxruntime ({type(error).__name__})"
        raise ModelUnavailableError(f"local:{model_id}: {says}", provider="local", model=model_id) from error
