"""From medians to what is printed: ratios beside goals, tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LABELS = {
    "ours": "ours, whole runtime",
    "bridge": "ours, bridge alone",
    "transformers": "transformers.js",
    "native": "ours, onnxruntime on CPython",
    "wllama-q8": "wllama, Q8_0",
    "wllama-q4": "wllama, Q4_1",
}


@dataclass(frozen=True)
class Goal:
    """`number` of one engine against that of another; with `is_less` it is to be at most `goal`, else at least."""

    what: str
    number: str
    of: str
    against: str
    goal: float
    is_less: bool = False
    against_number: str | None = None

    def ratio(self, medians: Mapping[str, Mapping[str, float]]) -> float | None:
        """How many times one is the other; times are turned round, so that more is better unless `is_less`."""
        one = medians.get(self.of, {}).get(self.number)
        other = medians.get(self.against, {}).get(self.against_number or self.number)
        if one is None or other is None:
            return None
        return other / one if self.number.endswith("_ms") and not self.is_less else one / other


GOALS = (
    Goal("decode beside transformers.js", "decode_per_s", "ours", "transformers", 1.7),
    Goal("decode beside wllama Q8_0", "decode_per_s", "ours", "wllama-q8", 3),
    Goal("prefill beside transformers.js", "prefill_per_s", "ours", "transformers", 1.1),
    Goal("prefill beside wllama Q8_0", "prefill_per_s", "ours", "wllama-q8", 8),
    Goal("load, part of transformers.js's", "load_ms", "ours", "transformers", 0.5, is_less=True),
    Goal("the same, when it keeps nothing", "load_ms", "ours", "transformers", 0.5, True, "load_unkept_ms"),
    Goal("load again, part of transformers.js's", "load_again_ms", "ours", "transformers", 0.5, is_less=True),
    Goal("tool call beside wllama Q8_0 and its grammar", "call_ms", "ours", "wllama-q8", 8),
    Goal("tool call with a title, the same", "note_ms", "ours", "wllama-q8", 8),
    Goal("first token with what is kept", "reuse_ms", "ours", "ours", 5, against_number="no_reuse_ms"),
)
PYTHON_GOAL = 0.02
PER_DOCUMENT = "documents a second beside transformers.js"


def compare(row: dict[str, Any]) -> None:
    """Add to a row of results its ratios beside their goals."""
    medians = row["medians"]
    made = [
        {"what": goal.what, "ratio": ratio, "goal": goal.goal, "at_most": goal.is_less}
        for goal in GOALS
        if (ratio := goal.ratio(medians)) is not None
    ]
    share = medians.get("ours", {}).get("python_share")
    if share is not None:
        made.append({"what": "Python's share of a token", "ratio": share, "goal": PYTHON_GOAL, "at_most": True})
    embeddings = Goal(PER_DOCUMENT, "documents_per_s", "ours embed", "transformers embed", 0)
    if (ratio := embeddings.ratio(medians)) is not None:
        made.append({"what": PER_DOCUMENT, "ratio": ratio, "goal": None, "at_most": False})
        row["cosine"] = _least_cosine(row["said"])
    for texts in row["said"].values():
        texts.pop("vectors", None)
    row["goals"] = made


def _least_cosine(said: Mapping[str, Mapping[str, Any]]) -> float:
    pairs = zip(said["ours embed"]["vectors"], said["transformers embed"]["vectors"], strict=True)
    return min(sum(one * other for one, other in zip(left, right, strict=True)) for left, right in pairs)


def render(result: Mapping[str, Any]) -> str:
    """Write everything for people."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    load = result["load"]
    lines = [
        f"{result['when']}, {result['machine']}, load {load['before']:.1f} before and {load['after']:.1f} after. "
        f"{versions}. Medians of {result['rounds']} rounds.",
    ]
    if result["is_quick"]:
        lines.append("\nA quick run: its numbers mean nothing.")
    for row in result["rows"]:
        lines += ["", f"### {row['threads']} {'thread' if row['threads'] == 1 else 'threads'}", ""]
        lines += [*_engines(row["medians"]), "", *_calls(row["medians"]), "", *_memory(row["memory"]), ""]
        lines += _goals(row)
    return "\n".join(lines)


def _engines(medians: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = []
    for name, label in LABELS.items():
        if row := medians.get(name):
            milliseconds = 1000 / row["decode_per_s"]
            loads = (f"{row['load_ms'] / 1000:.2f}", f"{row['load_again_ms'] / 1000:.2f}")
            rows.append(
                (
                    *(label, *loads, f"{row['prefill_per_s']:.0f}"),
                    *(f"{row['decode_per_s']:.1f}", f"{milliseconds:.1f}", _megabytes(row.get("loaded_bytes"))),
                )
            )
    heads = ("engine", "load s", "again s", "prefill tokens/s", "decode tokens/s", "ms/token", "renderer RSS MB")
    lines = _table(heads, rows)
    unkept = medians.get("transformers", {}).get("load_unkept_ms")
    return [*lines, "", f"transformers.js without keeping: load {unkept / 1000:.2f} s."] if unkept else lines


def _calls(medians: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = []
    for name in ("ours", "wllama-q8"):
        for key, label in (("call", "enums and a number"), ("note", "with a title"), ("choice", "of five tools")):
            row = medians.get(name, {})
            if f"{key}_ms" in row:
                runs = f"{row[f'{key}_runs']:.0f}" if f"{key}_runs" in row else ""
                counts = (f"{row[f'{key}_tokens']:.0f}", f"{row[f'{key}_prefilled']:.0f}")
                rows.append((f"tool call, {label}: {LABELS[name]}", f"{row[f'{key}_ms']:.0f}", *counts, runs))
    ours = medians.get("ours", {})
    if "reuse_ms" in ours:
        prompt, cached = ours["reuse_prompt"], ours["reuse_cached"]
        rows.append(("first token, history kept", f"{ours['reuse_ms']:.0f}", "1", f"{prompt - cached:.0f}", ""))
        rows.append(("first token, nothing kept", f"{ours['no_reuse_ms']:.0f}", "1", f"{prompt:.0f}", ""))
    for name in ("ours", "transformers"):
        if row := medians.get(f"{name} embed"):
            text = f"{row['documents_per_s']:.1f} documents/s, load {row['load_ms'] / 1000:.2f} s"
            rows.append((f"embeddings: {LABELS[name].partition(',')[0]}", text, "", "", ""))
    return _table(("what", "ms", "tokens written", "tokens read", "runs"), rows)


def _memory(memory: Mapping[str, Mapping[str, float]]) -> list[str]:
    columns = ("booted", "loaded", "used", "closed")
    rows = [
        (
            LABELS[name],
            *(_megabytes(row.get(column)) for column in columns),
            " / ".join(_megabytes(row[key]) for key in ("loaded_model_heap", "used_model_heap") if key in row),
            _megabytes(row.get("used_python_heap")),
        )
        for name, row in memory.items()
    ]
    heads = ("MB", "before load", "loaded", "after use", "closed", "wasm heap loaded / used", "Python's heap")
    return _table(heads, rows)


def _goals(row: Mapping[str, Any]) -> list[str]:
    rows = []
    for one in row["goals"]:
        goal = "" if one["goal"] is None else f"{'at most' if one['at_most'] else 'at least'} {one['goal']:g}"
        rows.append((one["what"], f"{one['ratio']:.3g}", goal))
    lines = _table(("ratio", "measured", "goal"), rows)
    return [*lines, "", f"Least cosine between the vectors of both: {row['cosine']:.5f}."] if "cosine" in row else lines


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rows = list(rows)
    if not rows:
        return []
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]


def _megabytes(value: float | None) -> str:
    return "" if value is None or value != value else f"{value / 1e6:.0f}"
