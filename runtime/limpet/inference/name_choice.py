"""Which tool a question is about: how much likelier it makes each name than no question does.

A small chat model has favourites among names, whatever it is asked, first of all the one that it read last. Most of
what it thinks of each name before an empty question is taken away. SmolLM2-135M, twenty questions, four tools in four
orders: 60 of 80 right, 46 without. It can't tell that a question is about none of them: any threshold that lets three
quarters of the right ones pass lets half of the wrong ones pass as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log

from .engine import Engine

_END = '",'
"""What follows a name in a call: it tells a name from a longer one that begins with it."""
_MOST_BRANCHES = 8
_UNLIKELY = -40.0
_PRIOR_WEIGHT = 0.75


async def score_names(
    engine: Engine, prompt: Sequence[int], names: Sequence[str], *, step: int, is_whole: bool = False
) -> tuple[dict[str, float], int]:
    """Give how likely each name is behind a prompt, as a logarithm, and how many tokens of it needed no computing.

    Only where names part are there choices; what is certain by then counts nothing. Unless `is_whole`, branches that
    are unlikely are not looked into, and their names get a low score.
    """
    scores = dict.fromkeys(names, _UNLIKELY)
    encode = engine.tokenizer.encode
    cached: int | None = None
    waiting: list[tuple[list[int], float, list[tuple[str, list[int]]]]] = [
        ([], 0.0, [(name, encode(name + _END)) for name in dict.fromkeys(names)])
    ]
    while waiting:
        path, score, members = waiting.pop()
        depth = len(path)
        branches: dict[int, list[tuple[str, list[int]]]] = {}
        for name, tokens in members:
            branches.setdefault(tokens[depth], []).append((name, tokens))
        if depth and len(branches) == 1:
            waiting.append(([*path, next(iter(branches))], score, members))
            continue
        _, start = await engine.prefill([*prompt, *path], top_k=1, step=step)
        cached = start if cached is None else cached
        ranked = await engine.rank(top_k=len(branches), allowed=sorted(branches))
        # Among the names, that is; whether it would rather say something else is another matter.
        total = ranked.logits[0] + log(sum(exp(logit - ranked.logits[0]) for logit in ranked.logits))
        for place, (token_id, logit) in enumerate(zip(ranked.ids, ranked.logits, strict=True)):
            if place >= _MOST_BRANCHES and not is_whole:
                break
            likely = score + logit - total
            inside = branches[token_id]
            if len(inside) == 1:
                scores[inside[0][0]] = likely
            else:
                waiting.append(([*path, token_id], likely, inside))
    return scores, cached or 0


def without_prior(scores: Mapping[str, float], prior: Mapping[str, float]) -> dict[str, float]:
    """Give the scores without what the model thinks of the names anyway, the best first."""
    gains = {name: score - _PRIOR_WEIGHT * prior[name] for name, score in scores.items()}
    return dict(sorted(gains.items(), key=lambda item: -item[1]))
