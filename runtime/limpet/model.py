"""The seam to whatever answers: one method that streams deltas.

Grammar of a stream: notices (`Progress`, `Retry`, `Fallback`) in any number, then `ModelStart`, then blocks, each
`...Start ...Delta* ...End` and none inside another, then exactly one `Finish`. A failure is an exception.
`ModelStart` means: I am sure to answer. Before it another model may be asked instead; after it a failure ends the run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .errors import ConfigurationError
from .events import (
    Fallback,
    ModelStart,
    Progress,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    Retry,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from .messages import Message
from .wire import FinishReason, JsonObject

BrowserAccess = Literal["open", "option", "server", "proxy"]
"""What a page needs to ask a model: nothing, an option of the model, a setting of its server, or a proxy."""

Purpose = Literal["document", "query"]
"""Whether embedded texts are to be found, or are what is looked for: some models embed the two differently."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a model's answer."""

    finish_reason: FinishReason
    usage: Usage = Usage()
    provider_metadata: JsonObject | None = None


Notice = Progress | Retry | Fallback
Delta = (
    Notice
    | ModelStart
    | TextStart
    | TextDelta
    | TextEnd
    | ReasoningStart
    | ReasoningDelta
    | ReasoningEnd
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | Finish
)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What a model is told of a tool; `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to a model: the messages so far (system messages first) and the tools it may call.

    `output_schema` is a JSON Schema that the text of the answer must fit, where the provider sees to that. `extra` is
    merged last into what a provider is sent.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "none", "required"] = "auto"
    max_output_tokens: int | None = None
    temperature: float | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    output_schema: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model by name, before a host makes it real: `provider:name` and what was set for it.

    `key_name` is the name under which the host's `secret` has the key; the key itself is never in here.
    """

    provider: str
    name: str
    base_url: str | None = None
    key_name: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> ModelReference:
        """Read `provider:name`. Raises `ConfigurationError`."""
        provider, colon, name = text.partition(":")
        if not (provider and colon and name):
            raise ConfigurationError(f"a model is written 'provider:name', such as 'local:needle', not {text!r}")
        return cls(provider, name)

    @property
    def id(self) -> str:
        """`provider:name`, as the user writes it."""
        return f"{self.provider}:{self.name}"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model before it is asked. `context_length` is in tokens, 0 when it isn't known."""

    provider: str
    name: str
    context_length: int = 0
    is_local: bool = False
    has_tools: bool = True
    has_images: bool = False
    is_configured: bool = True
    """False when it can't be asked for want of a key or an address: a `FallbackModel` leaves it out."""
    has_parallel_tools: bool = True
    """Whether it may make several calls in one answer."""
    has_json_schema: bool = False
    """Whether its provider makes an answer fit `ModelRequest.output_schema`."""
    has_schema_with_tools: bool = True
    """Whether it is made to fit a schema also when it has tools, where it is at all."""
    has_required_tools: bool = True
    """Whether `tool_choice` "required" makes it call a tool, where it calls any."""
    has_reasoning: bool = False
    """Whether its thoughts can be read, where it has any."""
    has_embeddings: bool = False
    """Whether its provider also makes embeddings."""
    browser_access: BrowserAccess = "open"

    @property
    def id(self) -> str:
        """`provider:name`, as the user writes it."""
        return f"{self.provider}:{self.name}"


class Model(Protocol):
    """Anything that answers."""

    @property
    def info(self) -> ModelInfo:
        """What is known of it before it is asked."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        """Answer as a stream of deltas. Raises `ModelError`; closing the iterator stops the work at once."""
        ...


class EmbeddingModel(Protocol):
    """Anything that makes vectors of texts."""

    @property
    def info(self) -> ModelInfo:
        """What is known of it before it is asked; `has_embeddings` is True."""
        ...

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> list[list[float]]:
        """Give the vector of each text, in order, all of one length. Raises `ModelError`."""
        ...


def model(name: str, *, base_url: str | None = None, key_name: str | None = None, **options: object) -> ModelReference:
    """Name a model, `provider:name`, with what is set for it. Raises `ConfigurationError`.

    >>> model("vllm:qwen3", base_url="http://127.0.0.1:8000/v1", has_images=False).options
    {'has_images': False}
    """
    reference = ModelReference.parse(name)
    return ModelReference(reference.provider, reference.name, base_url, key_name, options)
