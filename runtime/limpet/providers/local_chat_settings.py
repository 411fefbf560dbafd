"""The options of a local chat model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import ConfigurationError
from .local_session import read_settings


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """What `ModelReference.options` may say, and `ModelRequest.extra` for one request; see `Sampling` for its part."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    seed: int = -1
    """The same seed gives the same answer; below 0 it is another one each time."""
    stop: list[str] = field(default_factory=list)
    """Texts before which an answer ends."""
    max_output_tokens: int = 512
    pattern: str = ""
    """A regular expression that the whole answer fits."""
    logprobs: int = -1
    """How many of the likeliest tokens are told at each place, with the chosen one; below 0 none are."""
    call_at: float = 0.0
    """From which lead over the second best tool on, as a logarithm, one is called with "auto" as well; 0: from none."""
    candidates: int = 64
    """How many of the best tokens are looked at."""
    prefill_tokens: int = 64
    """How many tokens of a prompt are computed between two chances to cancel."""


def chat_settings(options: Mapping[str, object]) -> ChatSettings:
    """Read the settings of a local chat model. Raises `ConfigurationError` naming the option."""
    if isinstance(stop := options.get("stop"), (str, tuple)):
        options = {**options, "stop": [stop] if isinstance(stop, str) else list(stop)}
    settings = read_settings(ChatSettings, options)
    if not all(isinstance(stop, str) for stop in settings.stop):
        raise ConfigurationError(f"the option 'stop' of a local model is {settings.stop!r}, not a list of texts")
    for name in ("candidates", "prefill_tokens", "max_output_tokens"):
        if getattr(settings, name) < 1:
            raise ConfigurationError(f"the option {name!r} of a local model must be at least 1")
    return settings
