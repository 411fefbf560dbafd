"""Choosing the tokens of an answer: thoughts first, then calls that fit the grammar.

The decoder is a state machine that never waits. It is shown the candidates for the next place and says what to feed:
always the best token that fits. Bytes that can go on in one way only are not asked for but fed at once, in one pass,
spelled as the model would spell them. How often the model had wanted something else is kept as evidence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp

from ..host import Candidates
from .automaton import Automaton, State
from .prompt import Markers
from .tokenizer import AnyTokenizer, TextStream
from .vocabulary import Vocabulary

_GLUE = "\n"
"""What the model writes between `</think>` and `<tool_call>`."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Append these tokens and show me what may follow."""

    token_ids: list[int]


@dataclass(frozen=True, slots=True)
class Rank:
    """None of the candidates fits: show me the best among these."""

    allowed: list[int]


@dataclass(slots=True)
class Evidence:
    """How sure the choices were."""

    overrides: int = 0
    """Places where the best token did not fit."""
    least_fit: float = 1.0
    """The lowest ratio of the chosen token's probability to the best one's."""
    least_probability: float = 1.0
    """The lowest probability of a chosen token of the calls."""
    was_cut: bool = False
    """Whether a limit ended the calls before the grammar did."""
    was_thinking_cut: bool = False
    """Whether a limit ended the thoughts."""


class Decoder:
    """One answer. `automaton` None means that the calls are written freely."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        automaton: Automaton | None,
        *,
        think: bool = True,
        most_thoughts: int = 160,
        most_answer: int = 256,
    ) -> None:
        self._vocabulary = vocabulary
        self._bytes_of = vocabulary.tokenizer.bytes_of
        self._markers = Markers.find(vocabulary.tokenizer)
        self._automaton = automaton
        self._state: State | None = automaton.start if automaton else None
        self._is_thinking = think
        self._thoughts = TextStream(vocabulary.tokenizer)
        self._most_thoughts = most_thoughts
        self._most_answer = most_answer
        self._call_ids: list[int] = []
        self._call_bytes = bytearray()
        self.thoughts = ""
        """What the model thought, as text."""
        self.thought_count = 0
        """How many tokens the thoughts have."""
        self.token_ids: list[int] = []
        """All tokens of the answer, chosen or forced."""
        self.evidence = Evidence()
        self.is_done = False

    @property
    def calls_text(self) -> str:
        """The JSON of the calls so far; empty when the model ended its turn without any."""
        return self._call_bytes.decode("utf-8", "replace")

    def step(self, candidates: Candidates) -> Feed | Rank | None:
        """Choose what follows. None: the answer is whole and all of it has been fed."""
        if self.is_done:
            return None
        if self._is_thinking:
            return self._think(candidates)
        if self._automaton is None or self._state is None:
            return self._write_freely(candidates)
        return self._write(self._automaton, self._state, candidates)

    def _feed(self, token_ids: list[int]) -> Feed:
        self.token_ids += token_ids
        return Feed(token_ids)

    def _think(self, candidates: Candidates) -> Feed:
        markers = self._markers
        chosen = candidates.ids[0]
        is_cut = self.thought_count >= self._most_thoughts
        if is_cut:
            self.evidence.was_thinking_cut = True
        if not is_cut and chosen not in (markers.end_think, markers.tool_call, markers.end_turn):
            self.thought_count += 1
            self.thoughts += self._thoughts.feed(chosen)
            return self._feed([chosen])
        self.thoughts = (self.thoughts + self._thoughts.close()).strip()
        self._is_thinking = False
        opening = [markers.end_think, *self._vocabulary.tokenizer.encode(_GLUE), markers.tool_call]
        return self._feed(opening + self._forced())

    def _write(self, automaton: Automaton, state: State, candidates: Candidates) -> Feed | Rank:
        best = candidates.logits[0]
        for token_id, logit in zip(candidates.ids, candidates.logits, strict=True):
            following = self._follow(automaton, state, token_id)
            if following is None:
                continue
            evidence = self.evidence
            if token_id != candidates.ids[0]:
                evidence.overrides += 1
            evidence.least_fit = min(evidence.least_fit, exp(logit - best))
            evidence.least_probability = min(evidence.least_probability, exp(logit - candidates.log_sum_exp))
            self._take(token_id)
            self._state = following
            tokens = [token_id, *self._forced()]
            if len(self._call_ids) >= self._most_answer and not self.is_done:
                evidence.was_cut = self.is_done = True
            return self._feed(tokens)
        self.evidence.overrides += 1
        self.evidence.least_fit = 0.0
        return Rank(self._vocabulary.fitting(automaton, state))

    def _follow(self, automaton: Automaton, state: State, token_id: int) -> State | None:
        spelled = self._bytes_of[token_id]
        return automaton.walk(state, spelled) if spelled else None

    def _take(self, token_id: int) -> None:
        self._call_ids.append(token_id)
        self._call_bytes += self._bytes_of[token_id]

    def _forced(self) -> list[int]:
        """Take the bytes that can only go on in one way; give their tokens."""
        if self._automaton is None or self._state is None:
            return []
        run, state = self._automaton.forced(self._state)
        tokens = self._spell(run)
        if not state.is_final:
            tokens = self._heal(tokens, self._automaton, state)
        for token_id in tokens:
            self._take(token_id)
        taken = b"".join(self._bytes_of[token_id] for token_id in tokens)
        self._state = self._automaton.walk(self._state, taken)
        if state.is_final:
            self.is_done = True
            tokens += [self._markers.end_tool_call, self._markers.end_turn]
        return tokens

    def _heal(self, tokens: list[int], automaton: Automaton, state: State) -> list[int]:
        """Leave the end of a run to the model where one of its tokens reaches over that end.

        `":{}}]` is one token of Needle's: after `":{` and `}}`, which spell the same, it is out of its depth.
        """
        spelled = [self._bytes_of[token_id] for token_id in tokens]
        for place in range(len(tokens)):
            if self._vocabulary.has_longer(b"".join(spelled[place:]), automaton, state):
                return tokens[:place]
        return tokens

    def _spell(self, run: bytes) -> list[int]:
        """Give the tokens of a run as they would be if the whole of the calls had been written at once."""
        encode = self._vocabulary.tokenizer.encode
        try:
            whole = encode((bytes(self._call_bytes) + run).decode())
            alone = encode(run.decode())
        except UnicodeDecodeError:
            return []
        count = len(self._call_ids)
        return whole[count:] if whole[:count] == self._call_ids else alone

    def _write_freely(self, candidates: Candidates) -> Feed:
        markers = self._markers
        chosen = candidates.ids[0]
        self.evidence.least_probability = min(
            self.evidence.least_probability, exp(candidates.logits[0] - candidates.log_sum_exp)
        )
        if chosen in (markers.end_tool_call, markers.end_turn) or len(self._call_ids) >= self._most_answer:
            self.evidence.was_cut = chosen not in (markers.end_tool_call, markers.end_turn)
            self.is_done = True
            return self._feed([markers.end_tool_call, markers.end_turn])
        self._take(chosen)
        return self._feed([chosen])


def ids_to_text(tokenizer: AnyTokenizer, ids: Iterable[int]) -> str:
    """Give tokens as text with the markers shown, for people and tests."""
    names = {token_id: name for name, token_id in tokenizer.markers.items()}
    parts: list[str] = []
    plain: list[int] = []
    for token_id in ids:
        if token_id in names:
            parts += [tokenizer.decode(plain), names[token_id]]
            plain = []
        else:
            plain.append(token_id)
    return "".join([*parts, tokenizer.decode(plain)])
