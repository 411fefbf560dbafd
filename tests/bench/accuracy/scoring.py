"""Whether an answer is right, and what many answers come to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limpet.wire import JsonObject

from .cases import Call, Case
from .toolsets import TOOLSETS

THRESHOLDS = (0.2, 0.3, 0.4, 0.5)
_ARTICLE = re.compile(r"^(?:the|a|an|my|some)\s+")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model made of a case."""

    case: Case
    calls: list[tuple[str, JsonObject]]
    confidence: float
    thoughts: str
    token_ids: list[int]
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether the calls are those expected, in any order; none where none is expected."""
        return _matches(self.case, self.calls)

    @property
    def has_right_tools(self) -> bool:
        """Whether the right tools were called, whatever the arguments."""
        return sorted(name for name, _ in self.calls) == sorted(name for name, _ in self.case.calls)

    def is_acted_on(self, threshold: float) -> bool:
        """Whether the calls would be made."""
        return bool(self.calls) and self.confidence >= threshold

    def is_exact(self, threshold: float) -> bool:
        """Whether what happens is right: the right calls are made, or none where none is expected."""
        return self.is_right if self.is_acted_on(threshold) else not self.case.calls


def _matches(case: Case, calls: Sequence[tuple[str, JsonObject]]) -> bool:
    left = list(case.calls)
    for name, arguments in calls:
        place = next((at for at, wanted in enumerate(left) if _is_same(case, wanted, name, arguments)), None)
        if place is None:
            return False
        del left[place]
    return not left


def _is_same(case: Case, wanted: Call, name: str, arguments: JsonObject) -> bool:
    if wanted[0] != name:
        return False
    given, expected = _without_defaults(case, name, arguments), _without_defaults(case, name, wanted[1])
    if given.keys() != expected.keys():
        return False
    return all(
        any(_fold(given[key]) == _fold(option) for option in (value if isinstance(value, tuple) else (value,)))
        for key, value in expected.items()
    )


def _without_defaults(case: Case, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says the same as leaving it out. Without the grammar there may be arguments nobody declared."""
    tool = next(tool for tool in TOOLSETS[case.toolset] if tool.spec.name == name)
    properties: Any = tool.spec.parameters.get("properties", {})
    defaults = {key: schema["default"] for key, schema in properties.items() if "default" in schema}
    return {
        key: value
        for key, value in arguments.items()
        if value is not None and not (key in defaults and defaults[key] == value)
    }


def _fold(value: object) -> object:
    """Give a value so that spelling doesn't matter: case, articles, the end of a sentence, 5 and 5.0."""
    if isinstance(value, str):
        text = re.sub(r"\s+", " ", value.casefold().replace("\u2019", "'")).strip(" .,!?'\"")
        return _ARTICLE.sub("", text)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return [_fold(item) for item in value] if isinstance(value, list) else value


def summarize(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Give the figures of a run as JSON."""
    wanted = [outcome for outcome in outcomes if outcome.case.calls]
    unwanted = [outcome for outcome in outcomes if not outcome.case.calls]
    off_topic = [outcome for outcome in unwanted if outcome.case.kind == "off_topic"]
    called = [outcome for outcome in outcomes if outcome.calls]
    kinds = sorted({outcome.case.kind for outcome in outcomes})
    return {
        "prompts": len(outcomes),
        "ungated": {
            "exact": _share([outcome.is_exact(0.0) for outcome in outcomes]),
            "right_tool": _share([outcome.has_right_tools for outcome in outcomes]),
            "exact_where_a_call_is_wanted": _share([outcome.is_right for outcome in wanted]),
        },
        "thresholds": {
            f"{threshold:.1f}": {
                "exact": _share([outcome.is_exact(threshold) for outcome in outcomes]),
                "acted_on": sum(outcome.is_acted_on(threshold) for outcome in outcomes),
                "acted_on_right": _share([o.is_right for o in outcomes if o.is_acted_on(threshold)]),
                "right_but_withheld": sum(o.is_right and not o.is_acted_on(threshold) for o in wanted),
                "refused_off_topic": _share([not o.is_acted_on(threshold) for o in off_topic]),
                "refused_all_unwanted": _share([not o.is_acted_on(threshold) for o in unwanted]),
            }
            for threshold in THRESHOLDS
        },
        "calibration": {
            "auc": _auc([(o.confidence, o.is_right) for o in called]),
            "bins": _bins([(o.confidence, o.is_right) for o in called]),
        },
        "exact_by_kind_at_0.4": {
            kind: _share([o.is_exact(0.4) for o in outcomes if o.case.kind == kind]) for kind in kinds
        },
        "tokens_per_answer": round(sum(len(o.token_ids) for o in outcomes) / max(len(outcomes), 1), 1),
        "seconds_per_answer": round(sum(o.seconds for o in outcomes) / max(len(outcomes), 1), 3),
    }


def _share(hits: Sequence[bool]) -> dict[str, Any]:
    return {"count": sum(hits), "of": len(hits), "share": round(sum(hits) / len(hits), 3) if hits else None}


def _auc(judged: Sequence[tuple[float, bool]]) -> float | None:
    """The chance that a right answer is given with more confidence than a wrong one."""
    right = [confidence for confidence, is_right in judged if is_right]
    wrong = [confidence for confidence, is_right in judged if not is_right]
    if not right or not wrong:
        return None
    wins = sum((high > low) + 0.5 * (high == low) for high in right for low in wrong)
    return round(wins / (len(right) * len(wrong)), 3)


def _bins(judged: Sequence[tuple[float, bool]]) -> list[dict[str, Any]]:
    rows = []
    for low in range(0, 10, 2):
        inside = [(c, r) for c, r in judged if low / 10 <= c < (low + 2) / 10 or (low == 8 and c == 1)]
        rows.append(
            {
                "from": low / 10,
                "to": (low + 2) / 10,
                "calls": len(inside),
                "right": sum(is_right for _, is_right in inside),
                "mean_confidence": round(sum(c for c, _ in inside) / len(inside), 3) if inside else None,
            }
        )
    return rows
