"""Ask the real local model every prompt of the set and print how often it was right.

python -m tests.bench.accuracy                        the default settings, the whole set
python -m tests.bench.accuracy --options all --json   every option, as JSON
python -m tests.bench.accuracy --split dev --show     what went wrong in the half that settings are chosen by
python -m tests.bench.accuracy --host node            on onnxruntime-web in Node instead of onnxruntime
python -m tests.bench.accuracy --compare              whether both hosts give the same, each split; exits with 1 if not
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from limpet.errors import ModelError
from limpet.providers.local import LocalSettings

from .asking import HOSTS, ask_all, ask_all_once, make_backend
from .cases import CASES, DEVELOPMENT, FOURTH_FRESH, FRESH, SECOND_FRESH, TEST, THIRD_FRESH, Case
from .comparing import compare, is_same, print_comparison
from .scoring import THRESHOLDS, Outcome, summarize

SPLITS: dict[str, list[Case]] = {
    "all": CASES,
    "dev": DEVELOPMENT,
    "test": TEST,
    "fresh": FRESH,
    "fresh2": SECOND_FRESH,
    "fresh3": THIRD_FRESH,
    "fresh4": FOURTH_FRESH,
}
COMPARED = ("dev", "test", "fresh", "fresh2", "fresh3", "fresh4")
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
    """Run the bench; the exit status is 0 however well the model did, 1 when two hosts differ."""
    parser = argparse.ArgumentParser(
        prog="accuracy", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models-dir", type=Path, default=Path("build/models"))
    parser.add_argument("--model", default="needle")
    parser.add_argument("--host", choices=HOSTS, default="cpython", help="where the model runs")
    parser.add_argument(
        "--compare", action="store_true", help="both hosts, prompt by prompt; a second time it is quick"
    )
    parser.add_argument("--split", choices=sorted(SPLITS), help="default: all (the dev and test halves)")
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
        report = asyncio.run(_compare(choice, names) if choice.compare else _measure(choice, names))
    except ModelError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    if choice.json:
        print(json.dumps(report, indent=1))
    return 0 if report.get("is_same", True) else 1


async def _measure(choice: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    backend = make_backend(choice.host, choice.models_dir, choice.threads)
    split = choice.split or "all"
    report: dict[str, Any] = {"model": choice.model, "host": choice.host, "split": split, "options": {}}
    try:
        for name in names:
            asked = await ask_all(backend, choice.model, SPLITS[split], OPTIONS[name])
            outcomes = [one.outcome for one in asked]
            summary = summarize(outcomes)
            report["options"][name] = {"settings": asdict(OPTIONS[name]), **summary}
            if not choice.json:
                _print(name, summary)
                if choice.show:
                    _show(outcomes, choice.threshold)
    finally:
        await backend.close()
    return report


async def _compare(choice: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Ask both hosts the same; answers that stand in `build/accuracy` are not asked for again."""
    splits = [choice.split] if choice.split else COMPARED
    cases = [case for split in splits for case in SPLITS[split]]
    report: dict[str, Any] = {"model": choice.model, "is_same": True, "options": {}}
    for name in names:
        answers = []
        for host in HOSTS:
            asked, kept = await ask_all_once(
                host, choice.models_dir, choice.model, cases, OPTIONS[name], choice.threads
            )
            print(f"{name} on {host}: {len(asked)} prompts, {kept} of them asked before", file=sys.stderr, flush=True)
            answers.append(asked)
        rows: dict[str, Any] = {}
        start = 0
        for split in splits:
            end = start + len(SPLITS[split])
            rows[split] = compare(*(asked[start:end] for asked in answers))
            start = end
            if not choice.json:
                print_comparison(f"{name}, {split}", rows[split])
        report["options"][name] = rows
        report["is_same"] = report["is_same"] and all(is_same(row) for row in rows.values())
    return report


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
