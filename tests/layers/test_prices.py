"""A price belongs to a model and its editions; the longest name that fits wins."""

from __future__ import annotations

import pytest

from limpet.events import Usage
from limpet.layers.prices import PRICES, Price, price_of
from limpet.providers import PROVIDERS

ONE, TWO, THREE = Price(1, 1, 1), Price(2, 2, 2), Price(3, 3, 3)
TABLE = {"a:model": ONE, "a:model-pro": TWO, "b:": THREE, "b:vendor/": ONE, "b:vendor/model": TWO}


@pytest.mark.parametrize(
    ("model_id", "price"),
    [
        ("a:model", ONE),
        ("a:model-latest", ONE),
        ("a:model-preview-05-06", None),
        ("a:model-2026-11-25", ONE),
        ("a:model-20261125", ONE),
        ("a:model@001", ONE),
        ("a:model-pro", TWO),
        ("a:model-pro-latest", TWO),
        ("a:model-mini", None),
        ("a:model-5", None),
        ("a:model.1", None),
        ("a:models", None),
        ("b:anything", THREE),
        ("b:vendor/anything", ONE),
        ("b:vendor/model", TWO),
        ("c:model", None),
    ],
)
def test_which_price_a_model_has(model_id: str, price: Price | None) -> None:
    assert price_of(model_id, TABLE) == price


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(1_000_000), 2),
        (Usage(1_000_000, cached_tokens=1_000_000), 0.5),
        (Usage(1_000_000, 1_000_000, 500_000, 900_000), 1 + 0.25 + 8),
        (Usage(0, 0, 7), 7 * 0.5 / 1_000_000),
    ],
    ids=["input", "cached", "reasoning is output", "odd counts"],
)
def test_what_a_usage_costs(usage: Usage, cost: float) -> None:
    assert Price(2, 0.5, 8).cost(usage) == pytest.approx(cost)


@pytest.mark.parametrize(
    ("model_id", "price"),
    [
        ("openai:gpt-5-mini-2025-08-07", Price(0.25, 0.025, 2)),
        ("anthropic:claude-sonnet-4-5-20250929", Price(3, 0.3, 15)),
        ("gemini:gemini-3-flash-preview", Price(0.5, 0.05, 3)),
        ("groq:openai/gpt-oss-120b", Price(0.15, 0.075, 0.6)),
        ("local:needle", Price(0, 0, 0)),
        ("ollama:qwen3:8b", Price(0, 0, 0)),
        ("openai:gpt-5-pro", None),
        ("anthropic:claude-opus-5-7", None),
        ("openrouter:openai/gpt-5", None),
    ],
)
def test_prices_that_are_listed_and_some_that_are_not(model_id: str, price: Price | None) -> None:
    assert price_of(model_id, PRICES) == price


@pytest.mark.parametrize("name", PRICES)
def test_each_price_is_of_a_provider_and_makes_sense(name: str) -> None:
    price = PRICES[name]

    assert name.partition(":")[0] in PROVIDERS
    assert 0 <= price.cached_input <= price.input <= price.output
