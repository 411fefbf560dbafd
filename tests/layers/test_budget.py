"""Spent is what was used: by every run, by all models that share the budget, and by answers that were left."""

from __future__ import annotations

import asyncio

import pytest

from limpet.errors import ConfigurationError, CostLimitError, TokenLimitError, WireFormatError
from limpet.events import ModelStart, TextDelta, Usage
from limpet.host import Host
from limpet.layers.budget import Budget, Spent
from limpet.layers.layer import CACHED_USAGE
from limpet.layers.prices import PRICES, Price
from limpet.messages import ReasoningPart, TextPart
from limpet.model import Finish, Model
from limpet.providers.scripted import Reply, ScriptedModel, call_tool
from tests.layers.asking import Watched, answer_of, ask, begin, down, failure_of

USAGE = Usage(1_000_000, 500_000, 400_000, 100_000)
PRICE = Price(2.0, 0.5, 8.0)
COST = 0.6 * 2.0 + 0.4 * 0.5 + 0.5 * 8.0
MY_PRICES = {"scripted:": PRICE}


def scripted(*replies: Reply, name: str = "scripted:model", is_local: bool = False, usage: Usage = USAGE) -> Watched:
    return Watched(ScriptedModel(replies, name=name, is_local=is_local, usage=usage))


async def test_tokens_are_counted_and_refused_once_they_are_used_up(host: Host) -> None:
    budget = Budget(max_tokens=30)
    inner = scripted(*["Hello."] * 9, usage=Usage(8, 4, 2, 1))
    model = budget.wrap(inner, host)
    for _ in range(3):
        await answer_of(model)

    error = await failure_of(model)

    assert isinstance(error, TokenLimitError)
    assert error.message == "the budget of 30 tokens is used up: 36 were spent"
    assert budget.spent == Spent(Usage(24, 12, 6, 3))
    assert len(inner.requests) == 3


async def test_money_is_counted_and_refused_once_it_is_used_up(host: Host) -> None:
    budget = Budget(max_cost=6, prices=MY_PRICES)
    model = budget.wrap(scripted("Hello.", "Hello.", "Hello."), host)
    await answer_of(model)
    assert budget.spent.cost == pytest.approx(COST)
    await answer_of(model)

    error = await failure_of(model)

    assert isinstance(error, CostLimitError)
    assert error.message == "the budget of $6 is used up: $10.8000 were spent"
    assert budget.spent.cost == pytest.approx(2 * COST)


async def test_models_share_the_budget_they_were_given(host: Host) -> None:
    budget = Budget(max_tokens=10)
    one = budget.wrap(scripted("Hello.", usage=Usage(8, 4)), host)
    two = budget.wrap(scripted("Hello."), host)
    await answer_of(one)

    assert isinstance(await failure_of(two), TokenLimitError)


async def test_a_budget_goes_on_from_what_was_spent(host: Host) -> None:
    spent = Spent(Usage(8, 4), 1.5)

    assert isinstance(await failure_of(Budget(max_tokens=12, spent=spent).wrap(scripted(), host)), TokenLimitError)
    assert Budget(max_cost=2).spent == Spent()


async def test_each_model_has_its_own_price_and_the_one_that_answers_is_paid(host: Host) -> None:
    budget = Budget(max_cost=99, prices={"a:": Price(1, 1, 1), "b:": Price(10, 10, 10)})
    reply: Reply = [ModelStart("b:model"), Finish("stop", Usage(1_000_000))]
    model = budget.wrap(scripted(reply, "Hello.", name="a:model", usage=Usage(500_000, 500_000)), host)

    await answer_of(model)
    assert budget.spent.cost == 10
    await answer_of(model)
    assert budget.spent.cost == 11


def test_a_model_without_a_price_is_refused_with_what_to_add(host: Host) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Budget(max_cost=1).wrap(scripted(), host)

    assert caught.value.message == (
        "max_cost needs the price of scripted:model: add it, as in "
        "Budget(prices={**PRICES, 'scripted:model': Price(input, cached_input, output)})"
    )


async def test_another_model_that_answers_without_a_price_is_refused_too(host: Host) -> None:
    model = Budget(max_cost=1, prices={"scripted:": PRICE}).wrap(scripted([ModelStart("b:model")]), host)

    assert isinstance(await failure_of(model), ConfigurationError)


async def test_local_models_are_free(host: Host) -> None:
    budget = Budget(max_cost=1)
    await answer_of(budget.wrap(scripted("Hello.", name="my:model", is_local=True), host))
    await answer_of(budget.wrap(scripted("Hello.", name="local:needle"), host))

    assert budget.spent == Spent(USAGE + USAGE, 0)


async def test_without_max_cost_what_has_no_price_costs_nothing(host: Host) -> None:
    budget = Budget(max_tokens=99_000_000, prices={"openai:": PRICE})
    await answer_of(budget.wrap(scripted("Hello."), host))
    await answer_of(budget.wrap(scripted("Hello.", name="openai:gpt-5"), host))

    assert budget.spent.usage == USAGE + USAGE
    assert budget.spent.cost == pytest.approx(COST)


async def test_an_answer_that_was_left_is_guessed(host: Host) -> None:
    budget = Budget(prices=MY_PRICES)
    reply: Reply = [ReasoningPart("12345678"), TextPart("12345678"), call_tool("boil", eggs=2)]
    inner = scripted(reply, reply)
    model = budget.wrap(inner, host)

    # "hello" and its message are 6 tokens; of the answer, sixteen letters were said, then nine more.
    await begin(model, deltas=7)

    assert budget.spent == Spent(Usage(6, 4), (6 * 2 + 4 * 8) / 1_000_000)
    await begin(model, deltas=9)
    assert budget.spent.usage == Usage(12, 4 + 7)
    assert inner.open == 0


async def test_an_answer_that_broke_off_is_guessed(host: Host) -> None:
    budget = Budget()
    reply: Reply = [ModelStart("-"), TextPart("12345678"), WireFormatError("cut off")]

    assert isinstance(await failure_of(budget.wrap(scripted(reply), host), ask("12345678")), WireFormatError)
    assert budget.spent.usage == Usage(6, 2)


async def test_an_answer_whose_provider_tells_nothing_is_guessed(host: Host) -> None:
    budget = Budget()

    await answer_of(budget.wrap(scripted([ModelStart("-"), TextPart("12345678"), Finish("stop")]), host))

    assert budget.spent.usage == Usage(6, 2)


async def test_a_replay_costs_nothing(host: Host) -> None:
    budget = Budget()
    end = Finish("stop", provider_metadata={CACHED_USAGE: {"input_tokens": 8}})

    await answer_of(budget.wrap(scripted([ModelStart("-"), TextPart("12345678"), end]), host))

    assert budget.spent == Spent()


async def test_what_never_began_costs_nothing(host: Host) -> None:
    budget = Budget()

    assert await failure_of(budget.wrap(scripted(down()), host)) is not None
    assert budget.spent == Spent()


async def test_a_reader_may_leave_after_the_end(host: Host) -> None:
    budget = Budget()

    await begin(budget.wrap(scripted("Hello."), host), deltas=5)

    assert budget.spent.usage == USAGE


async def test_those_under_way_are_all_counted(host: Host) -> None:
    budget = Budget(max_tokens=1)
    model: Model = budget.wrap(scripted(*["Hello."] * 5, usage=Usage(8, 4)), host)
    streams = [model.stream(ask("hello")) for _ in range(5)]
    assert [type(await anext(stream)) for stream in streams] == [ModelStart] * 5

    async def drain(stream):  # type: ignore[no-untyped-def]
        return [delta.text async for delta in stream if isinstance(delta, TextDelta)]

    assert await asyncio.gather(*map(drain, streams)) == [["Hello."]] * 5
    assert budget.spent.usage == Usage(40, 20)


@pytest.mark.parametrize("name", ["max_tokens", "max_cost"])
def test_settings_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} of Budget must be more than 0, not 0"):
        Budget(**{name: 0})  # type: ignore[arg-type]


def test_budgets_are_equal_by_their_settings_and_share_nothing() -> None:
    one, two = Budget(max_tokens=5), Budget(max_tokens=5)

    assert one == two
    assert one.spent is not two.spent
    assert one.prices is PRICES
