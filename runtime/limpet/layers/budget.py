"""Spend no more than was given: tokens, and money by a table of prices, over all runs.

What was spent is kept by the `Budget` itself, so one budget in the layers of several models, or of several agents, is
shared by them. What is under way is not stopped: the last answers may go beyond the limit, but none begins after it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from ..errors import ConfigurationError, CostLimitError, TokenLimitError
from ..estimates import estimate_request_tokens, text_tokens
from ..events import ModelStart, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from ..fallback import close_stream
from ..host import Host
from ..model import Delta, Finish, Model, ModelRequest
from .layer import Wrapped, check_above_zero, known_usage
from .prices import PRICES, Price, price_of


@dataclass(slots=True)
class Spent:
    """What was spent so far; `cost` is in US dollars and leaves out what has no price."""

    usage: Usage = Usage()
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Refuse requests once `max_tokens` or `max_cost` (US dollars) are used up: `TokenLimitError`, `CostLimitError`.

    An answer that was broken off, or whose provider didn't tell, is counted by a guess. Give `spent` to go on from an
    earlier state, or to share it with another budget. With `max_cost` each model needs a price; local ones are free.
    """

    max_tokens: int | None = None
    max_cost: float | None = None
    prices: Mapping[str, Price] = field(default_factory=lambda: PRICES, repr=False)
    spent: Spent = field(default_factory=Spent, compare=False)

    def __post_init__(self) -> None:
        check_above_zero(self, "max_tokens", "max_cost")

    def wrap(self, model: Model, host: Host) -> Model:
        """Give a model that spends from this budget. Raises `ConfigurationError` for one whose price isn't known."""
        wrapped = _Budgeted(self, model, host)
        wrapped.price(model.info.id)
        return wrapped


class _Budgeted(Wrapped):
    def __init__(self, budget: Budget, model: Model, host: Host) -> None:
        super().__init__(model, host)
        self._budget = budget

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        self._check()
        price: Price | None = None
        said: list[str] | None = None
        stream = self._model.stream(request)
        try:
            async for delta in stream:
                if isinstance(delta, ModelStart):
                    price, said = self.price(delta.model), []
                elif said is not None and isinstance(delta, (TextDelta, ReasoningDelta)):
                    said.append(delta.text)
                elif said is not None and isinstance(delta, ToolCallDelta):
                    said.append(delta.arguments)
                elif said is not None and isinstance(delta, Finish):
                    self._spend(known_usage(delta) or _guess(request, said), price)
                    said = None
                yield delta
        finally:
            if said is not None:
                self._spend(_guess(request, said), price)
            await close_stream(stream)

    def _check(self) -> None:
        budget, spent = self._budget, self._budget.spent
        if budget.max_tokens is not None and spent.usage.total_tokens >= budget.max_tokens:
            used = spent.usage.total_tokens
            raise TokenLimitError(f"the budget of {budget.max_tokens} tokens is used up: {used} were spent")
        if budget.max_cost is not None and spent.cost >= budget.max_cost:
            raise CostLimitError(f"the budget of ${budget.max_cost:g} is used up: ${spent.cost:.4f} were spent")

    def price(self, model_id: str) -> Price | None:
        """Give a model's price; None when it has none and doesn't need one."""
        if self.info.is_local and model_id == self.info.id:
            return None
        price = price_of(model_id, self._budget.prices)
        if price is None and self._budget.max_cost is not None:
            raise ConfigurationError(
                f"max_cost needs the price of {model_id}: add it, as in "
                f"Budget(prices={{**PRICES, {model_id!r}: Price(input, cached_input, output)}})"
            )
        return price

    def _spend(self, usage: Usage, price: Price | None) -> None:
        spent = self._budget.spent
        spent.usage += usage
        if price is not None:
            spent.cost += price.cost(usage)


def _guess(request: ModelRequest, said: list[str]) -> Usage:
    return Usage(estimate_request_tokens(request), text_tokens("".join(said)))
