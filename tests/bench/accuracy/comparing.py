"""Whether both ONNX hosts give the same: every forward of every prompt, and what would have come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from .asking import Asked
from .scoring import THRESHOLDS, Outcome

TOLERANCE = 1e-3
"""How far the confidences of two hosts may lie apart."""


def compare(native: Sequence[Asked], other: Sequence[Asked]) -> dict[str, Any]:
    """Compare the answers to the same prompts, in the same order; gives figures and what differs, as JSON."""
    pairs = list(zip(native, other, strict=True))
    differing = [
        {
            "toolset": left.outcome.case.toolset,
            "prompt": left.outcome.case.prompt,
            "first_different_forward": _first_difference(left, right),
            "cpython": {"calls": left.outcome.calls, "confidence": round(left.outcome.confidence, 6)},
            "node": {"calls": right.outcome.calls, "confidence": round(right.outcome.confidence, 6)},
        }
        for left, right in pairs
        if not _is_same(left, right)
    ]
    return {
        "prompts": len(pairs),
        "forwards": sum(len(left.notes) for left, _ in pairs),
        "same_best_after_each_forward": sum(_first_difference(left, right) is None for left, right in pairs),
        "same_tokens": sum(left.outcome.token_ids == right.outcome.token_ids for left, right in pairs),
        "same_calls": sum(left.outcome.calls == right.outcome.calls for left, right in pairs),
        "same_decision": {
            f"{threshold:.1f}": sum(
                _decision(left.outcome, threshold) == _decision(right.outcome, threshold) for left, right in pairs
            )
            for threshold in THRESHOLDS
        },
        "largest_difference": {
            "confidence": _largest([(left.outcome.confidence, right.outcome.confidence) for left, right in pairs]),
            "head": _largest([(left.head or 0.0, right.head or 0.0) for left, right in pairs]),
            # Beyond the first different token the two answer different texts.
            "logit": _largest(
                [
                    (one.logit, two.logit)
                    for left, right in pairs
                    if _first_difference(left, right) is None
                    for one, two in zip(left.notes, right.notes, strict=True)
                ]
            ),
        },
        "differing": differing,
    }


def is_same(report: Mapping[str, Any]) -> bool:
    """Whether a comparison found the same everywhere, within the tolerance."""
    return not report["differing"]


def print_comparison(name: str, report: Mapping[str, Any]) -> None:
    """Print the comparison of one split for people."""
    count, largest = report["prompts"], report["largest_difference"]
    decisions = ", ".join(f"{same}/{count} at {threshold}" for threshold, same in report["same_decision"].items())
    print(f"\n== {name}: {count} prompts, {report['forwards']} forwards, cpython and node ==")
    print(f"same best token after each forward {report['same_best_after_each_forward']}/{count}, ", end="")
    print(f"same tokens {report['same_tokens']}/{count}, same calls {report['same_calls']}/{count}")
    print(f"same decision: {decisions}")
    print(
        f"largest difference: confidence {largest['confidence']:.1e}, of the model's own {largest['head']:.1e}, ",
        end="",
    )
    print(f"of a best logit {largest['logit']:.1e}")
    for row in report["differing"]:
        print(f"  [differs] {row['toolset']} {row['prompt']!r} from forward {row['first_different_forward']}")
        print(f"    cpython {row['cpython']}\n    node    {row['node']}", flush=True)


def _is_same(left: Asked, right: Asked) -> bool:
    one, two = left.outcome, right.outcome
    return (
        _first_difference(left, right) is None
        and one.token_ids == two.token_ids
        and one.calls == two.calls
        and abs(one.confidence - two.confidence) <= TOLERANCE
        and all(_decision(one, threshold) == _decision(two, threshold) for threshold in THRESHOLDS)
    )


def _first_difference(left: Asked, right: Asked) -> int | None:
    """The first forward that was given other tokens or found another best one; None when there is none."""
    for place, (one, two) in enumerate(zip_longest(left.notes, right.notes)):
        if one is None or two is None or (one.fed, one.best) != (two.fed, two.best):
            return place
    return None


def _decision(outcome: Outcome, threshold: float) -> object:
    return outcome.calls if outcome.is_acted_on(threshold) else None


def _largest(pairs: Sequence[tuple[float, float]]) -> float:
    return max((abs(one - two) for one, two in pairs), default=0.0)
