"""Every exception that Limpet raises on purpose, classed by what a caller can do about it.

```
AgentError                       all we raise on purpose
├─ ConfigurationError            set up wrongly; raised before anything is awaited
├─ WireError                     our own JSON (a message, an event, a stored run) is not what it should be
├─ ModelError                    a model could not answer: provider, model, status, retry_after
│  ├─ ModelUnavailableError      not reachable, not loaded, overloaded        -> fallback, retry
│  │  ├─ OfflineError            there is no network                          -> fallback
│  │  ├─ CorsError               the server does not let this page in         -> fallback
│  │  └─ ModelTooBigError        more than this device has room for           -> fallback
│  ├─ LowConfidenceError         the model is not sure enough to act          -> fallback
│  ├─ RateLimitError             too many requests; carries retry_after       -> fallback, retry
│  ├─ AuthenticationError        key missing or refused                       -> fallback
│  ├─ ContextLengthError         the conversation does not fit                -> fallback
│  ├─ PolicyRefusalError         refused by the provider's policy             -> fallback
│  ├─ UnsupportedError           the model can't do what it was asked for     -> fallback
│  ├─ InvalidRequestError        the provider refused the request itself      -> our bug; no fallback
│  └─ WireFormatError            the answer is not what the protocol promises -> fallback
├─ FetchError                    a host's fetch failed: kind says how
├─ ToolError                     raised by a tool; its text is for the model
│  └─ ToolArgumentsError         the arguments of a call don't match the schema
├─ OutputError                   the answer doesn't fit the type that was asked for
├─ HookError                     a hook of the agent failed; its name is in it
├─ StorageError                  a store failed; the key is in it
└─ BudgetError                   the run used up what it was given
   ├─ TurnLimitError             turns
   ├─ TokenLimitError            tokens
   ├─ CostLimitError             money
   └─ TimeLimitError             seconds
```

Exceptions hold fields and do nothing. Messages are for a person: what was tried, what came back,
what to change. Keys, prompts and bodies are in none of them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

FallbackReason = Literal[
    "unavailable",
    "offline",
    "low_confidence",
    "rate_limited",
    "context_too_long",
    "refused_by_policy",
    "unsupported",
    "not_authorized",
    "bad_answer",
]
"""Why a `FallbackModel` turned to its next model."""

FetchFailure = Literal["offline", "unreachable", "cors", "timeout", "reset"]
"""How a fetch failed: no network; nobody answers; the browser's CORS rule; too slow; cut off half-way."""


class AgentError(Exception):
    """Base of all errors raised on purpose."""

    is_retryable: ClassVar[bool] = False
    """Whether the same call may succeed a little later."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[object, ...]:
        # Subclasses have keyword-only fields, which the default pickling would lose.
        return (_restore, (type(self), self.args, dict(self.__dict__)))


def _restore(cls: type[AgentError], args: tuple[object, ...], fields: dict[str, object]) -> AgentError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class ConfigurationError(AgentError):
    """Something was set up wrongly; the text names the value and what was expected."""


class WireError(AgentError):
    """JSON that should be ours has the wrong shape; the text names the field."""


class ModelError(AgentError):
    """A model could not answer.

    `status` is the HTTP status where there was one; `retry_after_seconds` what the server asked us to wait.
    """

    fallback_reason: ClassVar[FallbackReason | None] = None
    """The reason with which a `FallbackModel` moves on; None: it must not."""

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class ModelUnavailableError(ModelError):
    """Not reachable, not loaded, not downloaded, or overloaded."""

    is_retryable = True
    fallback_reason: ClassVar[FallbackReason | None] = "unavailable"


class OfflineError(ModelUnavailableError):
    """There is no network at all, so trying again at once is no use."""

    is_retryable = False
    fallback_reason = "offline"


class CorsError(ModelUnavailableError):
    """The server answers, but does not let a page of this origin read it; the text says what to set there."""

    is_retryable = False


class ModelTooBigError(ModelUnavailableError):
    """A local model does not fit this device; it was refused before anything of it was fetched.

    `resource` says what is short; `available_bytes` is None when nobody knows how much there is.
    """

    is_retryable = False

    def __init__(
        self,
        message: str,
        *,
        resource: Literal["memory", "storage"],
        needed_bytes: int,
        available_bytes: int | None,
        provider: str = "",
        model: str = "",
    ) -> None:
        super().__init__(message, provider=provider, model=model)
        self.resource: Literal["memory", "storage"] = resource
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes


class LowConfidenceError(ModelError):
    """The model is not sure enough to act.

    `confidence` is in 0..1; `honest_answer` is what to tell the user when no other model is left.
    """

    fallback_reason = "low_confidence"

    def __init__(
        self, message: str, *, confidence: float, honest_answer: str, provider: str = "", model: str = ""
    ) -> None:
        super().__init__(message, provider=provider, model=model)
        self.confidence = confidence
        self.honest_answer = honest_answer


class RateLimitError(ModelError):
    """Too many requests or tokens; `retry_after_seconds` says for how long, where the server told."""

    is_retryable = True
    fallback_reason = "rate_limited"


class AuthenticationError(ModelError):
    """The key is missing or was refused."""

    fallback_reason = "not_authorized"


class ContextLengthError(ModelError):
    """The conversation does not fit into the model's context."""

    fallback_reason = "context_too_long"


class PolicyRefusalError(ModelError):
    """The provider's policy refused the request before anything was answered."""

    fallback_reason = "refused_by_policy"


class UnsupportedError(ModelError):
    """The model can't do what it was asked for (call tools, see pictures, fit a schema); nothing was sent."""

    fallback_reason = "unsupported"


class InvalidRequestError(ModelError):
    """The provider refused the request itself. Another provider would be sent the same mistake: no fallback."""


class WireFormatError(ModelError):
    """The answer is not what the protocol promises, or it broke off."""

    fallback_reason = "bad_answer"


class FetchError(AgentError):
    """A host's fetch failed before or while the answer arrived."""

    def __init__(self, message: str, *, kind: FetchFailure) -> None:
        super().__init__(message)
        self.kind: FetchFailure = kind


class ToolError(AgentError):
    """Raised by a tool to tell the model what went wrong: the text goes to the model as it is."""


class ToolArgumentsError(ToolError):
    """The arguments of a call are not JSON or don't match the schema; the text tells the model how to repair them."""


class OutputError(AgentError):
    """The answer is not JSON or doesn't fit `output_type`; the text tells the model how to repair it."""


class HookError(AgentError):
    """A hook raised or gave what it may not; `hook` is its name."""

    def __init__(self, message: str, *, hook: str = "") -> None:
        super().__init__(message)
        self.hook = hook


class StorageError(AgentError):
    """A store failed; `key` says where."""

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class BudgetError(AgentError):
    """The run used up what it was given."""


class TurnLimitError(BudgetError):
    """The run used all its turns."""


class TokenLimitError(BudgetError):
    """The run used all its tokens."""


class CostLimitError(BudgetError):
    """The budget's money is used up."""


class TimeLimitError(BudgetError):
    """The run used all its seconds."""
