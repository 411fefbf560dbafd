"""How fast texts become vectors on CPython, and how many of 200 tools are found.

    python -m tests.bench.local_embeddings [--threads N] [--rounds N] [--json]
    python -m tests.bench.local_embeddings --tools [--shown N]

The first prints documents and tokens a second through `LocalEmbeddings`, tokeniser included, for texts of a few
lengths in turn: medians of the rounds. The second asks `local:needle` each plain question of the test set with all 200
tools, and prints how often the tool was among those shown, was called, and was acted on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from importlib.metadata import version
from pathlib import Path

from limpet.hosts.onnx_session import OnnxBackend
from limpet.inference.confidence import ACT_AT
from limpet.messages import Message
from limpet.model import ModelRequest
from limpet.providers.local import LocalModel, LocalSettings
from limpet.providers.local_embeddings import EmbeddingSettings, LocalEmbeddings
from tests.fakes.host import make_host
from tests.inference.many_tools import one_required, read_many_tools, read_plain_questions

MODELS = Path(os.environ.get("LIMPET_BUILD") or Path(__file__).resolve().parents[2] / "build") / "models"
SENTENCE = "The ferry to the island leaves twice a day in summer, but only on Sundays when the sea is calm enough. "
KINDS = {"short": (256, 1), "paragraph": (64, 4), "long": (16, 12)}
"""How many documents of how many sentences: 5,000 to 6,000 tokens each."""


async def measure(threads: int, rounds: int) -> dict[str, object]:
    """Time each kind of document in turn; give documents a second."""
    model = LocalEmbeddings("minilm", make_host(inference=OnnxBackend(MODELS, threads=threads)), EmbeddingSettings())
    started = time.perf_counter()
    await model.embed(["ready"])
    load_seconds = time.perf_counter() - started
    texts = {
        kind: [f"{place}. " + SENTENCE * sentences for place in range(count)]
        for kind, (count, sentences) in KINDS.items()
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind, documents in texts.items():
            started = time.perf_counter()
            await model.embed(documents)
            seconds[kind].append(time.perf_counter() - started)
    return {
        "onnxruntime": version("onnxruntime"),
        "threads": threads,
        "rounds": rounds,
        "load_seconds": round(load_seconds, 2),
        "documents_a_second": {
            kind: round(len(texts[kind]) / statistics.median(taken), 1) for kind, taken in seconds.items()
        },
    }


async def ask_with_all_tools(shown: int, threads: int) -> dict[str, object]:
    """Ask each plain question with all 200 tools."""
    model = LocalModel(
        "needle", make_host(inference=OnnxBackend(MODELS, threads=threads)), LocalSettings(tools_shown=shown)
    )
    tools = tuple(one_required(tool) for tool, _ in read_many_tools())
    found = called = acted = acted_rightly = 0
    questions = read_plain_questions()
    for name, question in questions:
        answer = await model.answer(ModelRequest((Message.user(question),), tools), lambda progress: None)
        is_right = any(call.tool.name == name for call in answer.calls)
        found += any(tool.name == name for tool in answer.tools)
        called += is_right
        acted += answer.confidence >= ACT_AT
        acted_rightly += is_right and answer.confidence >= ACT_AT
    return {
        "questions": len(questions),
        "tools": len(tools),
        "shown": shown,
        "among_those_shown": found,
        "right_tool_called": called,
        "acted": acted,
        "acted_with_the_right_tool": acted_rightly,
    }


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tools", action="store_true", help="ask with 200 tools instead")
    parser.add_argument("--shown", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    if options.tools:
        report = asyncio.run(ask_with_all_tools(options.shown, options.threads))
    else:
        report = asyncio.run(measure(options.threads, options.rounds))
    print(json.dumps(report, indent=None if options.json else 1))


if __name__ == "__main__":
    main()
