from __future__ import annotations

from collections import Counter
from math import exp

import pytest

from limpet.inference.sampling import Sampler, Sampling
from limpet.inference.stop import StopWatcher

LOGITS = [3.0, 2.0, 1.0, 0.0]
IDS = [10, 11, 12, 13]
DRAWS = 20_000


def shares(sampling: Sampling, used: frozenset[int] = frozenset()) -> dict[int, float]:
    sampler = Sampler(sampling, 7)
    counts = Counter(IDS[sampler.choose(LOGITS, IDS, used)] for _ in range(DRAWS))
    return {token_id: count / DRAWS for token_id, count in sorted(counts.items())}


def softmax(*logits: float) -> list[float]:
    weights = [exp(logit) for logit in logits]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(1.0), softmax(3, 2, 1, 0)),
        (Sampling(2.0), softmax(1.5, 1, 0.5, 0)),
        (Sampling(0.25), softmax(12, 8, 4, 0)),
        (Sampling(1.0, top_k=2), softmax(3, 2)),
        (Sampling(1.0, top_p=0.7), softmax(3, 2)),
        (Sampling(1.0, top_p=0.6), [1.0]),
        (Sampling(1.0, min_p=0.2), softmax(3, 2)),
        (Sampling(1.0, min_p=0.1), softmax(3, 2, 1)),
        (Sampling(1.0, top_k=3, top_p=0.95, min_p=0.3), softmax(3, 2)),
        (Sampling(1.0, top_k=1), [1.0]),
    ],
    ids=str,
)
def test_tokens_are_drawn_as_often_as_they_are_likely(sampling: Sampling, expected: list[float]) -> None:
    found = shares(sampling)

    assert sum(found.values()) == pytest.approx(1)
    assert [found.get(token_id, 0.0) for token_id in IDS[: len(expected)]] == pytest.approx(expected, abs=0.012)


def test_penalties_lower_what_was_said() -> None:
    used = frozenset([10, 13])

    assert Sampler(Sampling(presence_penalty=1.5), 0).choose(LOGITS, IDS, used) == 1
    assert Sampler(Sampling(repetition_penalty=2.0), 0).choose(LOGITS, IDS, used) == 1
    assert Sampler(Sampling(repetition_penalty=1.4), 0).choose(LOGITS, IDS, used) == 0
    assert Sampler(Sampling(repetition_penalty=1.5), 0).choose([-1.0, -1.4], [10, 11], used) == 1
    found = shares(Sampling(1.0, presence_penalty=2.0), used)
    assert list(found.values()) == pytest.approx(softmax(1, 2, 1, -2), abs=0.012)


def test_without_temperature_the_best_is_taken() -> None:
    assert Sampler(Sampling(), 3).is_plain
    assert {Sampler(Sampling(), seed).choose(LOGITS, IDS, frozenset()) for seed in range(20)} == {0}
    assert not Sampler(Sampling(0.1), 3).is_plain
    assert not Sampler(Sampling(repetition_penalty=1.1), 3).is_plain


def test_a_seed_draws_the_same_everywhere() -> None:
    drawn = [Sampler(Sampling(1.5), seed).choose(LOGITS, IDS, frozenset()) for seed in range(24)]
    sampler = Sampler(Sampling(1.5), 42)
    again = [sampler.choose(LOGITS, IDS, frozenset()) for _ in range(24)]

    assert "".join(map(str, drawn)) == "211000101100110100010012"
    assert "".join(map(str, again)) == "100002020100001000013011"


@pytest.mark.parametrize(
    ("stops", "pieces", "given"),
    [
        ([], ["a", "b"], ["a", "b", ""]),
        (["END"], ["The E", "ND of it"], ["The ", "", ""]),
        (["END"], ["The E", "N", "X", "E"], ["The ", "", "ENX", "", "E"]),
        (["\n\n", "User:"], ["Hi\n", "User", ":", "x"], ["Hi", "\n", "", "", ""]),
        (["ab"], ["aab"], ["a", ""]),
        (["aab"], ["aa", "aab"], ["", "aa", ""]),
        (["b", "abc"], ["a", "bc"], ["", "", ""]),
        ([""], ["a"], ["a", ""]),
    ],
)
def test_a_text_ends_before_a_stop_sequence(stops: list[str], pieces: list[str], given: list[str]) -> None:
    watcher = StopWatcher(stops)

    assert [*(watcher.feed(piece) for piece in pieces), watcher.close()] == given
