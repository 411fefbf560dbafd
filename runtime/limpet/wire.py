"""The JSON shape of all that leaves Python: what is stored, posted to the page, or written to a terminal.

These are types and the two functions that make and check such shapes. `web/src/generated/wire.ts` is
generated from the `TypedDict`s here by `build.py generate`, so a field is added here and nowhere else.
Readers skip fields they don't know: an older page can read a newer run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Literal, NotRequired, Protocol, TypedDict, TypeVar

from .errors import FallbackReason, WireError

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
JsonObject = dict[str, Json]

RoleName = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why a model stopped: it was done; a limit cut it off; it wants tools run; a policy cut it off."""
RunFinishReason = Literal["stop", "length", "tool_calls", "content_filter", "cancelled", "stopped"]
"""Why a run stopped: as its last turn did, because it was cancelled, or because a hook wanted it to."""
HookPoint = Literal["before_model", "after_model", "before_tool", "after_tool", "on_delta", "on_turn_end"]
"""Where a hook is asked."""
HookVerb = Literal["rewrite", "skip", "redo", "stop"]
"""What a hook did."""
LoadStatus = Literal["download", "verify", "store", "load", "ready"]
"""What is being done to a local model's file."""
Availability = Literal["unavailable", "downloadable", "downloading", "available"]
"""Whether a local model can be used: not here; after a download; being downloaded; at once."""


# --- messages ---------------------------------------------------------------------------------------------------


class TextPartWire(TypedDict):
    type: Literal["text"]
    text: str
    provider_metadata: NotRequired[JsonObject]


class ReasoningPartWire(TypedDict):
    type: Literal["reasoning"]
    text: str
    provider_metadata: NotRequired[JsonObject]


class ImagePartWire(TypedDict):
    type: Literal["image"]
    media_type: str
    data: str
    url: str


class ToolCallPartWire(TypedDict):
    type: Literal["tool_call"]
    id: str
    name: str
    arguments: str
    provider_metadata: NotRequired[JsonObject]


class ToolResultPartWire(TypedDict):
    type: Literal["tool_result"]
    id: str
    name: str
    content: Json
    is_error: bool


PartWire = TextPartWire | ReasoningPartWire | ImagePartWire | ToolCallPartWire | ToolResultPartWire


class MessageWire(TypedDict):
    role: RoleName
    parts: list[PartWire]
    model: NotRequired[str]
    provider_metadata: NotRequired[JsonObject]


class UsageWire(TypedDict):
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int


# --- events -----------------------------------------------------------------------------------------------------
# `id` counts the events of one run from 0, without gaps.


class RunStartWire(TypedDict):
    type: Literal["run_start"]
    id: int
    run_id: str
    conversation_id: str | None
    models: list[str]


class TurnStartWire(TypedDict):
    type: Literal["turn_start"]
    id: int
    run_id: str
    turn: int


class ProgressWire(TypedDict):
    type: Literal["progress"]
    id: int
    run_id: str
    model: str
    status: LoadStatus
    file: str
    loaded: int
    total: int


class RetryWire(TypedDict):
    type: Literal["retry"]
    id: int
    run_id: str
    model: str
    attempt: int
    delay_seconds: float
    reason: FallbackReason
    message: str


class FallbackWire(TypedDict):
    type: Literal["fallback"]
    id: int
    run_id: str
    from_model: str
    to_model: str
    reason: FallbackReason
    message: str


class ModelStartWire(TypedDict):
    type: Literal["model_start"]
    id: int
    run_id: str
    model: str
    confidence: float | None


class TextStartWire(TypedDict):
    type: Literal["text_start"]
    id: int
    run_id: str
    part_id: str


class TextDeltaWire(TypedDict):
    type: Literal["text_delta"]
    id: int
    run_id: str
    part_id: str
    text: str


class TextEndWire(TypedDict):
    type: Literal["text_end"]
    id: int
    run_id: str
    part_id: str
    provider_metadata: NotRequired[JsonObject]


class ReasoningStartWire(TypedDict):
    type: Literal["reasoning_start"]
    id: int
    run_id: str
    part_id: str


class ReasoningDeltaWire(TypedDict):
    type: Literal["reasoning_delta"]
    id: int
    run_id: str
    part_id: str
    text: str


class ReasoningEndWire(TypedDict):
    type: Literal["reasoning_end"]
    id: int
    run_id: str
    part_id: str
    provider_metadata: NotRequired[JsonObject]


class ToolCallStartWire(TypedDict):
    type: Literal["tool_call_start"]
    id: int
    run_id: str
    call_id: str
    name: str


class ToolCallDeltaWire(TypedDict):
    type: Literal["tool_call_delta"]
    id: int
    run_id: str
    call_id: str
    arguments: str


class ToolCallEndWire(TypedDict):
    type: Literal["tool_call_end"]
    id: int
    run_id: str
    call_id: str
    name: str
    arguments: str
    provider_metadata: NotRequired[JsonObject]


class ApprovalWire(TypedDict):
    type: Literal["approval"]
    id: int
    run_id: str
    call_id: str
    name: str
    arguments: str


class ToolProgressWire(TypedDict):
    type: Literal["tool_progress"]
    id: int
    run_id: str
    call_id: str
    content: Json


class ToolResultWire(TypedDict):
    type: Literal["tool_result"]
    id: int
    run_id: str
    call_id: str
    name: str
    content: Json
    is_error: bool


class OutputUpdateWire(TypedDict):
    type: Literal["output_update"]
    id: int
    run_id: str
    value: Json
    is_whole: bool


class HookActionWire(TypedDict):
    type: Literal["hook_action"]
    id: int
    run_id: str
    hook: str
    point: HookPoint
    action: HookVerb
    reason: str


class TurnResetWire(TypedDict):
    type: Literal["turn_reset"]
    id: int
    run_id: str
    turn: int
    message: str


class TurnEndWire(TypedDict):
    type: Literal["turn_end"]
    id: int
    run_id: str
    turn: int
    model: str
    finish_reason: FinishReason
    usage: UsageWire
    cost: NotRequired[float]


class RunEndWire(TypedDict):
    type: Literal["run_end"]
    id: int
    run_id: str
    finish_reason: RunFinishReason
    turns: int
    usage: UsageWire


class RunErrorWire(TypedDict):
    type: Literal["run_error"]
    id: int
    run_id: str
    name: str
    message: str
    is_retryable: bool


EventWire = (
    RunStartWire
    | TurnStartWire
    | ProgressWire
    | RetryWire
    | FallbackWire
    | ModelStartWire
    | TextStartWire
    | TextDeltaWire
    | TextEndWire
    | ReasoningStartWire
    | ReasoningDeltaWire
    | ReasoningEndWire
    | ToolCallStartWire
    | ToolCallDeltaWire
    | ToolCallEndWire
    | ApprovalWire
    | ToolProgressWire
    | ToolResultWire
    | OutputUpdateWire
    | HookActionWire
    | TurnResetWire
    | TurnEndWire
    | RunEndWire
    | RunErrorWire
)


# --- page and worker --------------------------------------------------------------------------------------------


class ErrorWire(TypedDict):
    name: str
    message: str
    is_retryable: bool


class RemoteSettingsWire(TypedDict):
    """The remote model of this page, kept in memory only. `model` is `provider:name`."""

    model: str
    base_url: NotRequired[str]
    api_key: NotRequired[str]


class PageToolWire(TypedDict):
    """A function of the page that the agent may call; `parameters` is the JSON Schema of an object."""

    name: str
    description: str
    parameters: JsonObject
    requires_approval: bool
    is_idempotent: bool


class BeginningWire(TypedDict):
    """Where a run begins: after the first messages of a conversation. Of another one makes a branch."""

    conversation_id: str
    message_count: int


class StartCommand(TypedDict):
    """The first message to a worker, with its first agent. Paths are absolute URLs.

    `models_url` is the folder of the models, `models/` of the site unless it is said otherwise. `instructions` take
    the place of the agent's own; `tools` are functions of the page.
    """

    type: Literal["start"]
    agent_url: str
    site_url: str
    threads: int | None
    allow_download: bool
    remote: RemoteSettingsWire | None
    models_url: NotRequired[str]
    agent_id: NotRequired[str]
    instructions: NotRequired[str]
    tools: NotRequired[list[PageToolWire]]


class AddAgentCommand(TypedDict):
    """One more agent in the same worker, with the same local models. Answered by an `agent` report."""

    type: Literal["add_agent"]
    agent_id: str
    agent_url: str
    remote: RemoteSettingsWire | None
    instructions: NotRequired[str]
    tools: NotRequired[list[PageToolWire]]


class ConfigureCommand(TypedDict):
    type: Literal["configure"]
    remote: RemoteSettingsWire | None
    agent_id: NotRequired[str]


class ToolsCommand(TypedDict):
    """Set the page's functions that an agent may call, in place of those set before."""

    type: Literal["tools"]
    agent_id: str
    tools: list[PageToolWire]


class ToolOutputCommand(TypedDict):
    """The answer to a `tool_request`."""

    type: Literal["tool_output"]
    request_id: str
    content: Json
    is_error: bool


class DownloadCommand(TypedDict):
    type: Literal["download"]
    model_id: str


class ModelsCommand(TypedDict):
    """Ask which local models are kept in this browser, and how full it is. Answered by a `models` report."""

    type: Literal["models"]
    request_id: str


class DeleteModelCommand(TypedDict):
    """Delete what is kept of a local model. Answered by a `done` report."""

    type: Literal["delete_model"]
    request_id: str
    model_id: str


class DeviceCommand(TypedDict):
    """Ask what this device can do; it is measured if it never was. Answered by a `device` report."""

    type: Literal["device"]
    request_id: str


class RunCommand(TypedDict):
    """`credits`: how many events may be sent before more are granted; without it there is no limit.

    What came after `beginning` in the conversation is given up.
    """

    type: Literal["run"]
    run_id: str
    conversation_id: str
    parts: list[PartWire]
    agent_id: NotRequired[str]
    credits: NotRequired[int]
    beginning: NotRequired[BeginningWire]


class ResumeCommand(TypedDict):
    """Go on with a run that a reload or a crash broke off; its id is in the `history` report."""

    type: Literal["resume"]
    run_id: str
    conversation_id: str
    agent_id: NotRequired[str]
    credits: NotRequired[int]


class CreditCommand(TypedDict):
    type: Literal["credit"]
    run_id: str
    count: int


class CancelCommand(TypedDict):
    type: Literal["cancel"]
    run_id: str


class ApproveCommand(TypedDict):
    type: Literal["approve"]
    run_id: str
    call_id: str
    approved: bool


class HistoryCommand(TypedDict):
    type: Literal["history"]
    conversation_id: str


class ForgetCommand(TypedDict):
    type: Literal["forget"]
    conversation_id: str


class ConversationsCommand(TypedDict):
    """Ask for the list of conversations."""

    type: Literal["conversations"]
    request_id: str


class RenameCommand(TypedDict):
    type: Literal["rename"]
    request_id: str
    conversation_id: str
    title: str


class ImportCommand(TypedDict):
    """Keep a conversation that was exported, in place of one with the same id."""

    type: Literal["import"]
    request_id: str
    conversation_id: str
    title: str
    messages: list[MessageWire]


class EraseCommand(TypedDict):
    """Erase one conversation, or with null all of them, with all that is kept of their runs."""

    type: Literal["erase"]
    request_id: str
    conversation_id: str | None


Command = (
    StartCommand
    | AddAgentCommand
    | ConfigureCommand
    | ToolsCommand
    | ToolOutputCommand
    | DownloadCommand
    | ModelsCommand
    | DeleteModelCommand
    | DeviceCommand
    | RunCommand
    | ResumeCommand
    | CreditCommand
    | CancelCommand
    | ApproveCommand
    | HistoryCommand
    | ForgetCommand
    | ConversationsCommand
    | RenameCommand
    | ImportCommand
    | EraseCommand
)


class LocalModelWire(TypedDict):
    """A local model as the page shows it; `size_bytes` is what a download costs."""

    model_id: str
    availability: Availability
    size_bytes: int
    license: str


class CachedModelWire(TypedDict):
    """A local model of which at least a part is kept in this browser; `used_at` is in seconds since 1970."""

    model_id: str
    size_bytes: int
    stored_bytes: int
    is_complete: bool
    used_at: float


class StorageWire(TypedDict):
    """Where models are kept. The numbers are of all that this site keeps; null: nobody knows.

    `is_persisted`: the browser does not clear it by itself.
    """

    store: str
    usage_bytes: int | None
    quota_bytes: int | None
    is_persisted: bool


class DeviceWire(TypedDict):
    """What this device can do, and what is used of it.

    `gpu` names a real graphics processor that the browser shows; `memory_bytes` is what local models together may take;
    `probe_tokens_per_second` how fast a small graph ran that way, null when there was no time to measure it.
    """

    execution_provider: Literal["wasm", "webgpu"]
    threads: int
    cores: int
    is_isolated: bool
    has_simd: bool
    gpu: str | None
    memory_bytes: int
    probe_tokens_per_second: float | None


class ReadyReport(TypedDict):
    """The worker can run. `milliseconds` says what the phases of its start took.

    `models` are the agent's local ones, `remote_models` the others, as `provider:name`.
    """

    type: Literal["ready"]
    name: str
    tools: list[str]
    models: list[LocalModelWire]
    remote_models: list[str]
    milliseconds: dict[str, float]


class AgentReport(TypedDict):
    """An agent that was added is there, or what was wrong with it."""

    type: Literal["agent"]
    agent_id: str
    name: str
    tools: list[str]
    models: list[LocalModelWire]
    remote_models: list[str]
    error: NotRequired[ErrorWire]


class EventsReport(TypedDict):
    type: Literal["events"]
    run_id: str
    events: list[EventWire]


class DownloadReport(TypedDict):
    type: Literal["download_progress"]
    model_id: str
    status: LoadStatus
    file: str
    loaded: int
    total: int


class ModelReport(TypedDict):
    type: Literal["model"]
    model: LocalModelWire
    error: NotRequired[ErrorWire]


class ModelsReport(TypedDict):
    """The answer to `models`; the model used last comes first."""

    type: Literal["models"]
    request_id: str
    models: list[CachedModelWire]
    storage: StorageWire


class DeviceReport(TypedDict):
    """The answer to `device`; null where nothing can be measured."""

    type: Literal["device"]
    request_id: str
    device: DeviceWire | None


class HistoryReport(TypedDict):
    """`open_run_id`: the run that was broken off and can be resumed; `messages` are then as far as that one came."""

    type: Literal["history"]
    conversation_id: str
    messages: list[MessageWire]
    open_run_id: NotRequired[str]


class ConversationWire(TypedDict):
    """One line of the list; `updated_at` is in seconds since 1970."""

    conversation_id: str
    title: str
    updated_at: float


class ConversationsReport(TypedDict):
    type: Literal["conversations"]
    request_id: str
    conversations: list[ConversationWire]


class DoneReport(TypedDict):
    """A command with a `request_id` is done, or what was wrong with it."""

    type: Literal["done"]
    request_id: str
    error: NotRequired[ErrorWire]


class ToolRequestReport(TypedDict):
    """A function of the page is called; the page answers with `tool_output`."""

    type: Literal["tool_request"]
    request_id: str
    agent_id: str
    name: str
    arguments: JsonObject


class ToolCancelReport(TypedDict):
    """Nobody waits for this answer any more."""

    type: Literal["tool_cancel"]
    request_id: str


class ErrorReport(TypedDict):
    """The worker could not start, or a command other than `run` failed."""

    type: Literal["error"]
    error: ErrorWire


Report = (
    ReadyReport
    | AgentReport
    | EventsReport
    | DownloadReport
    | ModelReport
    | ModelsReport
    | DeviceReport
    | HistoryReport
    | ConversationsReport
    | DoneReport
    | ToolRequestReport
    | ToolCancelReport
    | ErrorReport
)


# --- making and checking ----------------------------------------------------------------------------------------


class _Typed(Protocol):
    """A frozen dataclass that names its `type` in JSON."""

    @property
    def type(self) -> str: ...


T = TypeVar("T")
Check = Callable[[object], bool]


def one_of(names: tuple[str, ...]) -> Check:
    """Make the check for a closed set of strings."""
    return lambda value: isinstance(value, str) and value in names


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: object) -> bool:
    return _is_int(value) or (isinstance(value, float) and isfinite(value))


def is_json(value: object) -> bool:
    """Whether a value is JSON all the way down. NaN and the infinities are not: no browser reads them."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(is_json(item) for item in value)
    return value is None or isinstance(value, (str, int)) or (isinstance(value, float) and isfinite(value))


def _is_json_object(value: object) -> bool:
    return isinstance(value, dict) and is_json(value)


# By the text of a dataclass field's annotation: the modules of values use these words only.
CHECKS: Mapping[str, Check] = {
    "str": lambda value: isinstance(value, str),
    "int": _is_int,
    "float": _is_float,
    "bool": lambda value: isinstance(value, bool),
    "str | None": lambda value: value is None or isinstance(value, str),
    "int | None": lambda value: value is None or _is_int(value),
    "float | None": lambda value: value is None or _is_float(value),
    "Json": is_json,
    "JsonObject": _is_json_object,
    "JsonObject | None": lambda value: value is None or _is_json_object(value),
}


def read_fields(cls: type[T], data: object, what: str, checks: Mapping[str, Check] = CHECKS) -> dict[str, object]:
    """Pick the fields of the dataclass `cls` out of a JSON object and check their types.

    Fields without a value in `data` are left out when the dataclass has a default for them. Raises `WireError`
    naming the field; a value is never in the text.
    """
    if not isinstance(data, Mapping):
        raise WireError(f"{what} must be a JSON object, not {type(data).__name__}")
    fields: dict[str, object] = {}
    for name, field in cls.__dataclass_fields__.items():  # type: ignore[attr-defined]  # every caller passes a dataclass
        check = checks.get(field.type)
        if check is None:  # a ClassVar, or a field the caller reads itself
            continue
        if name not in data:
            if field.default is not field.default_factory:  # both are MISSING when there is no default
                continue
            raise WireError(f"{what} lacks the field {name!r}")
        if not check(data[name]):
            raise WireError(f"{what}: the field {name!r} must be {field.type}, not {type(data[name]).__name__}")
        fields[name] = data[name]
    return fields


def pick_class(data: object, classes: Mapping[str, type[T]], what: str) -> type[T]:
    """Find the class that a JSON object's `type` names. Raises `WireError` when there is none."""
    name = data.get("type") if isinstance(data, Mapping) else None
    cls = classes.get(name) if isinstance(name, str) else None
    if cls is None:
        raise WireError(f"{what} needs a 'type' of {', '.join(classes)}")
    return cls


def write_fields(value: _Typed) -> dict[str, object]:
    """Give a typed dataclass as a JSON object, without an empty `provider_metadata`."""
    data: dict[str, object] = {"type": value.type}
    for name in value.__dataclass_fields__:  # type: ignore[attr-defined]  # every caller passes a dataclass
        if name != "type":
            data[name] = getattr(value, name)
    if data.get("provider_metadata", ...) is None:
        del data["provider_metadata"]
    return data
