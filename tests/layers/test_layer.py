"""What all layers share: which values they are made of, and what is refused in their place."""

from __future__ import annotations

from typing import Any

import pytest

from limpet import Agent, ConfigurationError
from limpet.events import Retry as RetryNotice
from limpet.layers.cache import Cache
from limpet.layers.hedge import Hedge
from limpet.layers.rate_limit import RateLimit
from limpet.layers.retry import Retry
from limpet.providers.scripted import ScriptedModel


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        (Cache(), r"as a list, such as layers=\[Cache\(\)\]"),
        ([Cache], "a layer is an object with wrap.*not <class"),
        ([RetryNotice("m", 1, 0.5, "unavailable", "down")], r"such as limpet\.layers\.retry\.Retry\(\), not Retry\("),
    ],
    ids=["no list", "a class", "the event of the same name"],
)
def test_what_is_no_layer_is_refused_when_the_agent_is_made(layers: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Agent(ScriptedModel([]), layers=layers)


@pytest.mark.parametrize("value", [0, -1, "60", [1], float("nan")], ids=repr)
@pytest.mark.parametrize(
    ("layer", "name"), [(Hedge, "delay_seconds"), (RateLimit, "requests_per_minute"), (Retry, "max_attempts")]
)
def test_a_setting_is_a_number_above_zero(layer: Any, name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} of {layer.__name__} must be more than 0, not "):
        layer(**{name: value})
