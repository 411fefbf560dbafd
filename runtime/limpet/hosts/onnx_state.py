"""The state of one token sequence on `onnxruntime`: the tensors that a run gives and the next one takes.

There are two kinds, and a model has one of them. Copied state is an output that becomes the next run's input; with
`append` an output has the new rows only, and they go behind the others in a buffer of which the next run is shown the
part in use. State in place is a buffer that is a run's input and output at once: attention writes the new rows where
they belong, so nothing is copied, and to shorten the sequence is to count less of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # ships no types

Array = np.ndarray[Any, np.dtype[Any]]
Slot = Mapping[str, Any]
"""An entry of `graph.state` in a `model.json`."""

_LEAST_ROWS = 512
LEAST_CAPACITY = 256
"""Tokens for which there is room in place at first; each time it is too little it doubles."""


class State(Protocol):
    """What a session needs of either kind."""

    length: int
    """How many tokens it holds."""

    def clear(self) -> None:
        """Hold no tokens."""
        ...

    def run(
        self, session: ort.InferenceSession, feeds: Mapping[str, Array], outputs: Sequence[str], added: int
    ) -> list[Array]:
        """Run over `added` more tokens and give the outputs named; a run that fails changes nothing."""
        ...

    def rewind(self, length: int) -> bool:
        """Hold the first `length` tokens only; False when that can't be done."""
        ...

    def copy(self) -> list[Array]:
        """Give what it holds, one array for each slot."""
        ...

    def put(self, arrays: Sequence[Array], length: int) -> None:
        """Hold what `copy` gave."""
        ...


def make_state(slots: Sequence[Slot], context_length: int) -> State:
    """Make the state that the slots need. Raises `ValueError` when they are of both kinds."""
    in_place = [bool(slot.get("in_place", False)) for slot in slots]
    if any(in_place):
        if not all(in_place):
            raise ValueError("a model's state is in place, or none of it is")
        return PlacedState(slots, context_length)
    return CopiedState(slots)


class CopiedState:
    """State that is replaced or appended to after each run."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._arrays: list[Array] = []
        self.length = 0
        self.clear()

    def clear(self) -> None:
        self._arrays = [np.full(slot["shape"], slot["fill"], slot["type"]) for slot in self._slots]
        self.length = 0

    def run(
        self, session: ort.InferenceSession, feeds: Mapping[str, Array], outputs: Sequence[str], added: int
    ) -> list[Array]:
        held = {slot["input"]: array for slot, array in zip(self._slots, self._in_use(), strict=True)}
        # Neither the inputs nor the outputs are copied on the CPU.
        results: list[Array] = session.run([*outputs, *(slot["output"] for slot in self._slots)], {**feeds, **held})
        length = self.length + added
        for place, (slot, array) in enumerate(zip(self._slots, results[len(outputs) :], strict=True)):
            if _appends(slot):
                self._reserve(place, length)
                self._arrays[place][self.length : length] = array
            else:
                self._arrays[place] = array
        self.length = length
        return results[: len(outputs)]

    def rewind(self, length: int) -> bool:
        return length == self.length

    def copy(self) -> list[Array]:
        # Rows behind a snapshot will be written over, the rows in it too after a `put` of another one.
        return [
            array.copy() if _appends(slot) else array for slot, array in zip(self._slots, self._in_use(), strict=True)
        ]

    def put(self, arrays: Sequence[Array], length: int) -> None:
        self.length = length
        for place, (slot, array) in enumerate(zip(self._slots, arrays, strict=True)):
            if _appends(slot):
                self._reserve(place, length)
                self._arrays[place][:length] = array
            else:
                self._arrays[place] = array

    def _in_use(self) -> list[Array]:
        return [
            array[: self.length] if _appends(slot) else array
            for slot, array in zip(self._slots, self._arrays, strict=True)
        ]

    def _reserve(self, place: int, rows: int) -> None:
        """Make room for so many rows in a state that grows."""
        array = self._arrays[place]
        if len(array) < rows:
            larger = np.empty((max(rows, 2 * len(array), _LEAST_ROWS), *array.shape[1:]), array.dtype)
            larger[: len(array)] = array
            self._arrays[place] = larger


class PlacedState:
    """State in buffers of ours, bound as inputs and outputs alike. The axis of tokens has length 0 in `shape`."""

    def __init__(self, slots: Sequence[Slot], context_length: int) -> None:
        self._slots = slots
        self._context_length = context_length
        self._axes = [list(slot["shape"]).index(0) for slot in slots]
        self._buffers: list[Array] = []
        self._capacity = 0
        self._binding: ort.IOBinding | None = None
        self.length = 0

    def clear(self) -> None:
        self.length = 0

    def run(
        self, session: ort.InferenceSession, feeds: Mapping[str, Array], outputs: Sequence[str], added: int
    ) -> list[Array]:
        self._reserve(self.length + added)
        if self._binding is None:
            self._binding = self._bind(session)
        for name, array in feeds.items():
            self._binding.bind_cpu_input(name, array)
        for name in outputs:
            self._binding.bind_output(name)
        session.run_with_iobinding(self._binding)
        self.length += added
        made = dict(zip(self._binding_names(outputs), self._binding.get_outputs(), strict=True))
        return [made[name].numpy() for name in outputs]

    def rewind(self, length: int) -> bool:
        if length > self.length:
            return False
        self.length = length
        return True

    def copy(self) -> list[Array]:
        return [self._rows(place, self.length).copy() for place in range(len(self._buffers))]

    def put(self, arrays: Sequence[Array], length: int) -> None:
        self._reserve(length)
        for place, array in enumerate(arrays):
            self._rows(place, length)[...] = array
        self.length = length

    def _bind(self, session: ort.InferenceSession) -> ort.IOBinding:
        binding = session.io_binding()
        for slot, buffer in zip(self._slots, self._buffers, strict=True):
            place = ("cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
            binding.bind_input(slot["input"], *place)
            binding.bind_output(slot["output"], *place)
        return binding

    def _binding_names(self, outputs: Sequence[str]) -> list[str]:
        return [*(slot["output"] for slot in self._slots), *outputs]

    def _rows(self, place: int, length: int) -> Array:
        """Give the first so many tokens of a buffer, as a view."""
        return self._buffers[place][(slice(None),) * self._axes[place] + (slice(length),)]

    def _reserve(self, length: int) -> None:
        """Make room for so many tokens."""
        if length <= self._capacity:
            return
        capacity = max(length, min(self._context_length, max(2 * self._capacity, LEAST_CAPACITY)))
        held = self.copy()
        # Not filled: nothing behind `past_length` is read.
        self._buffers = [np.zeros([size or capacity for size in slot["shape"]], slot["type"]) for slot in self._slots]
        self._capacity, self._binding = capacity, None
        for place, array in enumerate(held):
            self._rows(place, self.length)[...] = array


def _appends(slot: Slot) -> bool:
    return bool(slot.get("append", False))
