"""How sure the local model may be called: one number out of what it reports and what was found about its calls.

Needle 3 has a head that judges its own answer. The head knows nothing of what the grammar forced or what grounding
found, so these lower its number: a forced value is valid and often wrong with a high confidence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .decoder import Evidence
from .grounding import Grounding, Question

ACT_AT = 0.4
"""From this confidence on a call is acted on; the threshold that Needle's authors recommend."""
_FITS = 0.5
"""Below this ratio of a chosen token's probability to the best one's, the grammar has changed what the model meant."""
_OVERRIDDEN = 0.25
_UNSPOKEN = 0.5
_GUESSED = 0.25
_UNRELATED = 0.25
_LEFT_OUT = 0.5
_PASSED_OVER = 0.25
_SPOKEN_POWER, _SPOKEN_POWER_OF_SEVERAL = 0.75, 0.6
_ORDERED_ODDS = 2.5
_ADMITS_A_GUESS = re.compile(
    r"\b(?:no|not|without)\s+(?:\w+\s+){0,3}?(?:specified|given|stated|mentioned|provided|named)\b|\bdefault|\bassum",
    re.IGNORECASE,
)


def combine(
    head: float | None,
    evidence: Evidence,
    question: Question | None = None,
    groundings: Sequence[Grounding] = (),
    *,
    thoughts: str = "",
    leaves_out: bool = False,
) -> float:
    """Give the confidence in the calls, 0..1. `head` None: the model reports none, and its tokens are all there is.

    `leaves_out` says that the question has a number which no call took up.
    """
    if evidence.was_cut:
        return 0.0
    confidence = evidence.least_probability if head is None else head
    # The model wrote `credit card` where the list has `credit`: what was forced is what was said.
    is_said = bool(groundings) and not leaves_out and all(found.spoken and found.is_clean for found in groundings)
    if evidence.least_fit < _FITS and not is_said:
        confidence *= _OVERRIDDEN
    if question is not None and question.is_negated:
        return 0.0
    admits_a_guess = _ADMITS_A_GUESS.search(thoughts) is not None
    for found in groundings:
        if found.invented or found.empty:
            return 0.0
        if found.unspoken:
            confidence *= _UNSPOKEN
        if found.passed_over:
            confidence *= _PASSED_OVER
        if found.is_unrelated:
            confidence *= _UNRELATED
        if admits_a_guess and (found.unspoken or found.chosen):
            confidence *= _GUESSED
    if leaves_out:
        confidence *= _LEFT_OUT
    # The head is too modest about calls whose every required value stands in the question, most of all about several.
    power = _SPOKEN_POWER if len(groundings) == 1 else _SPOKEN_POWER_OF_SEVERAL
    if is_said:
        confidence = confidence**power
    if groundings and not leaves_out and all(found.is_ordered and found.is_clean for found in groundings):
        # Nor does it see that `mow the lawn` names the tool `mow_lawn`, most of all where there are no values to copy.
        confidence = confidence * _ORDERED_ODDS / (1 - confidence + confidence * _ORDERED_ODDS)
    return confidence
