"""Limpet: a Python agent runtime that lives at the edge of things.

The same agent runs in a browser tab, at a Cloudflare Python Worker's edge, and in plain CPython. A small local model
answers where it can, a remote one where it must.

```python
from limpet import Agent, tool

@tool
def set_timer(minutes: int, label: str = "") -> str:
    '''Set a kitchen timer.'''
    return f"timer set for {minutes} minutes"

agent = Agent(model=["local:needle", "openai:gpt-5-mini"], tools=[set_timer])
```

`agent.run(prompt, host=host)` gives a `Run`: iterate over it for its events (`limpet.events`), or await it for its
`RunResult`. All that is not named here is imported from the module that names the concept.
"""

from __future__ import annotations

from .agent import Agent
from .calls import Approve
from .errors import (
    AgentError,
    AuthenticationError,
    BudgetError,
    ConfigurationError,
    ContextLengthError,
    CorsError,
    CostLimitError,
    FetchError,
    HookError,
    InvalidRequestError,
    LowConfidenceError,
    ModelError,
    ModelTooBigError,
    ModelUnavailableError,
    OfflineError,
    OutputError,
    PolicyRefusalError,
    RateLimitError,
    StorageError,
    TimeLimitError,
    TokenLimitError,
    ToolArgumentsError,
    ToolError,
    TurnLimitError,
    UnsupportedError,
    WireError,
    WireFormatError,
)
from .events import (
    Approval,
    Event,
    Fallback,
    HookAction,
    ModelStart,
    OutputUpdate,
    Progress,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    Retry,
    RunEnd,
    RunError,
    RunStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolProgress,
    ToolResult,
    TurnEnd,
    TurnReset,
    TurnStart,
    Usage,
    event_from_wire,
    event_to_wire,
)
from .hooks import Hook, Redo, RunContext, Skip, Stop
from .host import Host
from .messages import (
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    message_from_wire,
    message_to_wire,
)
from .model import EmbeddingModel, Model, ModelInfo, ModelReference, ModelRequest, model
from .run import Run, RunResult
from .tools import Tool, tool

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "AgentError",
    "Approval",
    "Approve",
    "AuthenticationError",
    "BudgetError",
    "ConfigurationError",
    "ContextLengthError",
    "CorsError",
    "CostLimitError",
    "EmbeddingModel",
    "Event",
    "Fallback",
    "FetchError",
    "Hook",
    "HookAction",
    "HookError",
    "Host",
    "ImagePart",
    "InvalidRequestError",
    "LowConfidenceError",
    "Message",
    "Model",
    "ModelError",
    "ModelInfo",
    "ModelReference",
    "ModelRequest",
    "ModelStart",
    "ModelTooBigError",
    "ModelUnavailableError",
    "OfflineError",
    "OutputError",
    "OutputUpdate",
    "Part",
    "PolicyRefusalError",
    "Progress",
    "RateLimitError",
    "ReasoningDelta",
    "ReasoningEnd",
    "ReasoningPart",
    "ReasoningStart",
    "Redo",
    "Retry",
    "Run",
    "RunContext",
    "RunEnd",
    "RunError",
    "RunResult",
    "RunStart",
    "Skip",
    "Stop",
    "StorageError",
    "TextDelta",
    "TextEnd",
    "TextPart",
    "TextStart",
    "TimeLimitError",
    "TokenLimitError",
    "Tool",
    "ToolArgumentsError",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallPart",
    "ToolCallStart",
    "ToolError",
    "ToolProgress",
    "ToolResult",
    "ToolResultPart",
    "TurnEnd",
    "TurnLimitError",
    "TurnReset",
    "TurnStart",
    "UnsupportedError",
    "Usage",
    "WireError",
    "WireFormatError",
    "event_from_wire",
    "event_to_wire",
    "message_from_wire",
    "message_to_wire",
    "model",
    "tool",
]
