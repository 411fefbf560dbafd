"""An agent: a model, tools and instructions, ready to run. Settings only; the work is in `run.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .calls import AnyTool, Approve
from .errors import ConfigurationError
from .fallback import FallbackModel
from .hooks import Hook, Hooks, check_hooks
from .host import Host
from .layers.layer import Layer, apply, check_layers
from .messages import Message, Part, TextPart
from .model import Model, ModelReference
from .providers import create_model
from .run import Plan, Run
from .run_state import RunState, state_from_wire
from .structured import Output, OutputMode, StructuredModel
from .tools import Tool

ModelChoice = str | ModelReference | Model
"""A model by name (`"local:needle"`), by reference, or itself."""


@dataclass(frozen=True, eq=False)
class Agent:
    """Who answers, with which tools, and within which limits.

    `model` is one model or several, asked in order until one is sure to answer. A run may take `max_turns` calls of the
    model; before each one after the first it must have used fewer than `max_tokens` (input and output of all turns);
    it is stopped after `max_seconds`, in which a person's time to approve counts too. None is no limit. `extra` is
    merged last into what a provider is sent.

    With `output_type`, any type that a tool's parameter may have, the result's `output` is a value of it; the model is
    asked for it as `output_mode` says (see `structured.StructuredModel`), and told up to `max_reasks` times what was
    wrong with its answer before an `OutputError` ends the run. `hooks` are asked in order. `layers` go around each of
    the models, the first of them outermost. Raises `ConfigurationError` when something is set up wrongly.
    """

    model: ModelChoice | Sequence[ModelChoice]
    tools: Sequence[AnyTool] = ()
    instructions: str = ""
    name: str = "agent"
    max_turns: int = 10
    max_tokens: int | None = None
    max_seconds: float | None = None
    max_parallel_tools: int = 4
    max_output_tokens: int | None = None
    temperature: float | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    output_type: object = str
    output_mode: OutputMode = "auto"
    max_reasks: int = 1
    hooks: Sequence[Hook] = ()
    layers: Sequence[Layer] = ()
    # What was made for the last host: a local model keeps what it has compiled for these tools, runs share the rest.
    _made: list[tuple[Host, Plan]] = field(default_factory=list, init=False, repr=False, compare=False)
    _output: Output | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tools", tuple(self.tools))
        for tool in self.tools:
            if not isinstance(tool, Tool):
                raise ConfigurationError(f"a tool is a function marked with @tool, not {tool!r}")
        names = [tool.spec.name for tool in self.tools]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError(f"two tools have the same name: {', '.join(twice)}")
        if not self.models:
            raise ConfigurationError("an agent needs a model, such as model='local:needle'")
        check_hooks(self.hooks)
        check_layers(self.layers)
        if self.max_reasks < 0:
            raise ConfigurationError(f"max_reasks must be 0 or more, not {self.max_reasks!r}")
        object.__setattr__(self, "_output", self._make_output())
        for name in ("max_turns", "max_parallel_tools"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be 1 or more, not {getattr(self, name)!r}")
        for name in ("max_tokens", "max_seconds", "max_output_tokens"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"{name} must be more than 0, or None, not {value!r}")

    @property
    def models(self) -> tuple[ModelReference | Model, ...]:
        """The models in the order in which they are asked, names made references. Raises `ConfigurationError`."""
        choices = self.model if isinstance(self.model, Sequence) and not isinstance(self.model, str) else (self.model,)
        return tuple(_choose(choice) for choice in choices)

    def run(
        self,
        prompt: str | Sequence[Part],
        *,
        host: Host,
        conversation_id: str | None = None,
        messages: Sequence[Message] = (),
        approve: Approve | None = None,
        run_id: str | None = None,
    ) -> Run:
        """Take one prompt through the loop: iterate over the run for its events, or await it for its result.

        With `conversation_id` the history is loaded from the host's storage and saved there; `messages` are added to
        it. `approve` is asked before a tool that needs approval; without it the answer is no. Raises
        `ConfigurationError` at once when a model is set up wrongly, and while running what `errors` draws.
        """
        parts = (TextPart(prompt),) if isinstance(prompt, str) else tuple(prompt)
        for message in messages:
            if not isinstance(message, Message):
                raise ConfigurationError(f"messages are Message objects (see message_from_wire), not {message!r:.40}")
        state = RunState(
            run_id or host.new_id(),
            conversation_id=conversation_id,
            messages=list(messages),
            prompt=Message("user", parts),
        )
        return Run(self._plan(host, approve), state)

    def resume(self, state: Mapping[str, object], *, host: Host, approve: Approve | None = None) -> Run:
        """Go on with a run that was dumped, after the last event that was read of it. Raises `WireError`.

        An answer that was not whole is taken back with a `TurnReset` and asked for again. Tools that had answered are
        not called again; one that was at work is called again if it is idempotent, and otherwise the model is told
        that its effect is unknown.
        """
        return Run(self._plan(host, approve), state_from_wire(state))

    def _plan(self, host: Host, approve: Approve | None) -> Plan:
        if not self._made or self._made[0][0] is not host:
            self._made[:] = [(host, self._make_plan(host))]
        plan = self._made[0][1]
        return plan if approve is None else replace(plan, approve=approve)

    def _make_plan(self, host: Host) -> Plan:
        return Plan(
            self._make_model(host),
            host,
            tools={tool.spec.name: tool for tool in self.tools},
            instructions=self.instructions,
            hooks=Hooks(self.hooks),
            output=self._output,
            max_reasks=self.max_reasks,
            max_turns=self.max_turns,
            max_tokens=self.max_tokens,
            max_seconds=self.max_seconds,
            max_parallel_tools=self.max_parallel_tools,
            max_output_tokens=self.max_output_tokens,
            temperature=self.temperature,
            extra=self.extra,
        )

    def _make_output(self) -> Output | None:
        if self.output_type is str and self.output_mode == "auto":
            return None
        return Output.of(self.output_type, mode=self.output_mode)

    def _make_model(self, host: Host) -> FallbackModel:
        models = [
            create_model(choice, host) if isinstance(choice, ModelReference) else choice for choice in self.models
        ]
        models = [apply(self.layers, model, host) for model in models]
        if self._output is not None:
            models = [StructuredModel(model, self._output) for model in models]
        return FallbackModel(models)


def _choose(choice: ModelChoice) -> ModelReference | Model:
    if isinstance(choice, str):
        return ModelReference.parse(choice)
    if isinstance(choice, ModelReference) or _is_model(choice):
        return choice
    raise ConfigurationError(f"a model is 'provider:name', a ModelReference or an object that streams, not {choice!r}")


def _is_model(choice: object) -> bool:
    stream: Callable[..., object] | None = getattr(choice, "stream", None)
    return callable(stream) and hasattr(choice, "info")
