"""Ask the real local model every prompt of the set and print how often it was right.

python -m tests.bench.accuracy                        the default settings, the whole set
python -m tests.bench.accuracy --options all --json   every option, as JSON
python -m tests.bench.accuracy --split dev --show     what went wrong in the half that settings are chosen by
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from limpet.errors import ModelError
from limpet.hosts.cpython import create_host
from limpet.hosts.onnx_session import OnnxBackend
from limpet.messages import Message
from limpet.model import ModelRequest
from limpet.providers.local import LocalModel, LocalSettings
from limpet.stores.memory import MemoryStorage

from .cases import CASES, DEVELOPMENT, FRESH, TEST, Case
from .scoring import THRESHOLDS, Outcome, summarize
from .toolsets import TOOLSETS

INSTRUCTIONS = "You are a helpful assistant. Use the tools when they fit."
SPLITS: dict[str, list[Case]] = {"all": CASES, "dev": DEVELOPMENT, "test": TEST, "fresh": FRESH}
DEFAULT = LocalSettings()
OPTIONS: dict[str, LocalSettings] = {
    "default": DEFAULT,
    "grounding off": replace(DEFAULT, grounding=False),
    "grammar off": replace(DEFAULT, grammar=False),
    "grammar and grounding off": replace(DEFAULT, grammar=False, grounding=False),
    "think off": replace(DEFAULT, think=False),
    "instructions none": replace(DEFAULT, instructions="none"),
    "instructions rules": replace(DEFAULT, instructions="rules"),
    "instructions agent": replace(DEFAULT, instructions="agent"),
    "instructions both": replace(DEFAULT, instructions="both"),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the bench; the exit status is 0 however well the model did."""
    parser = argparse.ArgumentParser(
        prog="accuracy", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models-dir", type=Path, default=Path("build/models"))
    parser.add_argument("--model", default="needle")
    parser.add_argument("--split", choices=sorted(SPLITS), default="all")
    parser.add_argument("--options", default="default", help="'all', or names out of: " + ", ".join(OPTIONS))
    parser.add_argument("--threshold", type=float, default=DEFAULT.act_at, help="the threshold that --show judges by")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--show", action="store_true", help="print every case that went wrong")
    parser.add_argument("--json", action="store_true")
    choice = parser.parse_args(words)
    names = list(OPTIONS) if choice.options == "all" else [name.strip() for name in choice.options.split(",")]
    unknown = [name for name in names if name not in OPTIONS]
    if unknown:
        parser.error(f"unknown option {unknown[0]!r}; known are {', '.join(OPTIONS)}")
    try:
        report = asyncio.run(_measure(choice, names))
    except ModelError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    if choice.json:
        print(json.dumps(report, indent=1))
    return 0


async def _measure(choice: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    backend = OnnxBackend(choice.models_dir, threads=choice.threads)
    report: dict[str, Any] = {"model": choice.model, "split": choice.split, "options": {}}
    for name in names:
        outcomes = await ask_all(backend, choice.model, SPLITS[choice.split], OPTIONS[name])
        summary = summarize(outcomes)
        report["options"][name] = {"settings": asdict(OPTIONS[name]), **summary}
        if not choice.json:
            _print(name, summary)
            if choice.show:
                _show(outcomes, choice.threshold)
    session = await backend.load(choice.model, lambda *_: None)
    await session.close()
    return report


async def ask_all(backend: OnnxBackend, model_id: str, cases: Sequence[Case], settings: LocalSettings) -> list[Outcome]:
    """Ask every case and judge none: the answers as the model gave them, sure or not."""
    host = create_host(storage=MemoryStorage(), inference=backend, secrets={})
    model = LocalModel(model_id, host, settings)
    outcomes: list[Outcome] = []
    for case in cases:
        tools = tuple(tool.spec for tool in TOOLSETS[case.toolset])
        request = ModelRequest((Message.system(INSTRUCTIONS), Message.user(case.prompt)), tools)
        started = time.perf_counter()
        answer = await model.answer(request, lambda _: None)
        calls = [(call.tool.name, call.arguments) for call in answer.calls]
        seconds = time.perf_counter() - started
        outcomes.append(Outcome(case, calls, answer.confidence, answer.thoughts, list(answer.token_ids), seconds))
    return outcomes


def _print(name: str, summary: dict[str, Any]) -> None:
    def show(share: dict[str, Any]) -> str:
        return "-" if share["share"] is None else f"{share['count']}/{share['of']} ({share['share']:.1%})"

    print(f"\n== {name}: {summary['prompts']} prompts ==")
    print(f"without a threshold: exact {show(summary['ungated']['exact'])}, ", end="")
    print(f"right tools {show(summary['ungated']['right_tool'])}, ", end="")
    print(f"exact where a call is wanted {show(summary['ungated']['exact_where_a_call_is_wanted'])}")
    for threshold in THRESHOLDS:
        row = summary["thresholds"][f"{threshold:.1f}"]
        print(
            f"act at {threshold:.1f}: exact {show(row['exact'])}, acted on {row['acted_on']}, "
            f"of these right {show(row['acted_on_right'])}, right but withheld {row['right_but_withheld']}, "
            f"off-topic refused {show(row['refused_off_topic'])}, all unwanted {show(row['refused_all_unwanted'])}"
        )
    print(f"calibration: AUC {summary['calibration']['auc']}")
    for row in summary["calibration"]["bins"]:
        print(f"  {row['from']:.1f}-{row['to']:.1f}: {row['calls']} calls, {row['right']} right")
    kinds = ", ".join(f"{kind} {show(share)}" for kind, share in summary["exact_by_kind_at_0.4"].items())
    print(f"exact by kind at 0.4: {kinds}")
    print(f"{summary['tokens_per_answer']} tokens and {summary['seconds_per_answer']} s an answer", flush=True)


def _show(outcomes: Sequence[Outcome], threshold: float) -> None:
    for outcome in outcomes:
        if not (outcome.is_exact(threshold) and outcome.is_right):
            verdict = "wrong" if not outcome.is_exact(threshold) else "ungated wrong"
            print(f"  [{verdict}] {outcome.case.toolset}/{outcome.case.kind} {outcome.case.prompt!r}")
            print(f"    want {json.dumps(outcome.case.calls)}")
            print(f"    got  {json.dumps(outcome.calls)} confidence {outcome.confidence:.3f}; {outcome.thoughts}")


if __name__ == "__main__":
    sys.exit(main())
