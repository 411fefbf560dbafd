"""How sure the local model may be called: one number out of what it reports and what was found about its calls.

Needle 3 has a head that judges its own answer. The head knows nothing of what the grammar forced or what grounding
found, so these lower its number: a forced value is valid and often wrong with a high confidence.
"""

from __future__ import annotations

from collections.abc import Sequence

from .decoder import Evidence
from .grounding import Grounding, Question

ACT_AT = 0.4
"""From this confidence on a call is acted on; the threshold that Needle's authors recommend."""
_UNSPOKEN = 0.5
_OVERRIDDEN = 0.25


def combine(
    head: float | None, evidence: Evidence, question: Question | None = None, groundings: Sequence[Grounding] = ()
) -> float:
    """Give the confidence in the calls, 0..1. `head` None: the model reports none, and its tokens are all there is."""
    if evidence.was_cut:
        return 0.0
    confidence = evidence.least_probability if head is None else head
    if evidence.least_fit < 0.5:
        confidence *= _OVERRIDDEN
    if question is not None and question.is_negated:
        return 0.0
    for found in groundings:
        if found.invented or found.empty:
            return 0.0
        if found.unspoken:
            confidence *= _UNSPOKEN
    return confidence
