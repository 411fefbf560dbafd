"""A run: one prompt taken through turns of model and tools, told as events.

A run is a machine of few states (`run_state.Phase`). Each step does one thing, changes the state, and gives at most
one event; the reader's pull drives it. Whatever takes time (the model's stream, each tool, the storage, the clock)
is a task of its own that puts what it has into one inbox, and the step waits on nothing but that inbox. So there is
one place where a run waits, and stopping it there stops it everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from .accumulate import RAW_EVENTS, Accumulator
from .calls import AnyTool, Approve, Call, Caller
from .conversation import fit, load_conversation, mend, save_conversation
from .errors import (
    AgentError,
    ConfigurationError,
    HookError,
    OutputError,
    StorageError,
    TimeLimitError,
    TokenLimitError,
    TurnLimitError,
    WireFormatError,
)
from .estimates import estimate_tool_tokens, text_tokens
from .events import (
    Approval,
    Event,
    ModelStart,
    OutputUpdate,
    ReasoningDelta,
    RunEnd,
    RunError,
    RunStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolProgress,
    ToolResult,
    TurnEnd,
    TurnReset,
    TurnStart,
    Usage,
    error_to_wire,
)
from .fallback import FallbackModel
from .hooks import MOST_REDOS, Action, Hooks, Redo, RunContext, Skip, Stop
from .host import Host
from .jobs import Job, Jobs, Stopped, result_of
from .messages import Message, TextPart, ToolCallPart, ToolResultPart
from .model import Delta, Finish, ModelRequest
from .output_watch import OutputWatch
from .run_state import Phase, RunState, state_to_wire
from .structured import Output
from .wire import HookPoint, Json, JsonObject, RunFinishReason

# What a hook or the output type has to say, when it gave no words of its own.
_AGAIN = "That was not right; do it once more."
# Before a hook's name: who answers in the place of a model.
_HOOK = "hook:"
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Plan:
    """What an `Agent` tells its runs: whom to ask, what may be called, and how much may be spent."""

    model: FallbackModel
    host: Host
    tools: Mapping[str, AnyTool] = field(default_factory=dict)
    instructions: str = ""
    approve: Approve | None = None
    hooks: Hooks = field(default_factory=lambda: Hooks(()))
    output: Output | None = None
    max_reasks: int = 1
    max_turns: int = 10
    max_tokens: int | None = None
    max_seconds: float | None = None
    max_parallel_tools: int = 4
    max_output_tokens: int | None = None
    temperature: float | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to. `messages` is the whole history with this run's part, ready for the next run's `messages`.

    `output` is the value of the agent's `output_type`; the text, where it has none, and None where there was no answer.
    """

    text: str
    messages: tuple[Message, ...]
    usage: Usage
    finish_reason: RunFinishReason
    turns: int
    output: Any = None


@dataclass(frozen=True, slots=True)
class _Report:
    """A tool's progress on its way through the inbox."""

    call_id: str
    content: Json


class Run:
    """One run of an agent: iterate over it for its events, or await it for its `RunResult`.

    Nothing happens before the first event is asked for. The last event is a `RunEnd` or a `RunError`; after a
    `RunError` the error itself is raised. A run has one reader, and one that is left before its end should be closed.
    It is no coroutine: `asyncio.run` wants one around it that awaits the run.

    `failures` holds what tools raised, by call id, for the log of an entry point; `raw_events` all that the providers
    sent, word for word and in order. Neither is in a dump.
    """

    __slots__ = (
        *("_answer", "_caller", "_failure", "_halt_error", "_is_busy", "_is_closed", "_is_ending"),
        *("_is_failure_raised", "_jobs", "_plan", "_reading", "_started_at", "_state", "_update", "_watch"),
        *("__weakref__", "failures", "raw_events"),
    )

    def __init__(self, plan: Plan, state: RunState) -> None:
        self._plan = plan
        self._state = state
        self._jobs: Jobs[Delta | _Report] = Jobs()
        self._answer: Accumulator | None = None
        self._watch = OutputWatch(plan.output)
        self._update: OutputUpdate | None = None
        self._reading: Job | None = None
        self._caller: Caller | None = None
        self._started_at: float | None = None
        self._is_busy = False
        self._is_ending = False
        self._is_closed = False
        self._halt_error: AgentError | None = None
        # The error itself stays where it was raised; a stored run has its words.
        self._failure: Exception | None = None if state.failure is None else AgentError(state.failure["message"])
        self._is_failure_raised = False
        self.failures: dict[str, Exception] = {}
        self.raw_events: list[Json] = []

    @property
    def run_id(self) -> str:
        """The run's id, the same in every process that continues it."""
        return self._state.run_id

    @property
    def next_event_id(self) -> int:
        """The number of the next event; the one just read has the number before."""
        return self._state.next_event_id

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._is_busy:
            raise ConfigurationError("a run has one reader: it is iterated over or awaited, once")
        if self._is_closed or self._state.phase == "over":
            self._raise_failure()
            raise StopAsyncIteration
        self._is_busy = True
        event = None
        try:
            event = await self._next_event()
        finally:
            # Without an event the reader itself was cancelled, or the run was closed under its hands.
            self._is_busy = False
            if event is None:
                await self.close()
        if event is None:
            raise StopAsyncIteration
        self._state.next_event_id += 1
        return event

    def __await__(self) -> Generator[object, None, RunResult]:
        return self._drain().__await__()

    async def _drain(self) -> RunResult:
        async for _ in self:
            pass
        state = self._state
        if self._failure is not None:
            raise self._failure
        if state.finish_reason is None:
            raise ConfigurationError("the run was closed before its end, so it has no result")
        last = state.messages[-1] if state.messages and state.messages[-1].role == "assistant" else None
        text = last.text if last is not None else ""
        messages = tuple(state.messages)
        return RunResult(text, messages, state.usage, state.finish_reason, state.turn, self._output_of(text))

    def _output_of(self, text: str) -> object:
        output = self._plan.output
        if output is None:
            return text
        # A run that was cancelled, cut off or stopped may have ended in the middle of the value.
        with suppress(OutputError):
            return output.parse(text)
        return None

    def cancel(self) -> None:
        """Stop the model and the tools at once; the run then ends with one `RunEnd` of reason `cancelled`.

        Harmless when called again, and after the end. What was said is kept; tools that had answered keep their
        results.
        """
        self._halt(None)

    async def close(self) -> None:
        """Stop all work and report nothing more; harmless when called again. The run can still be dumped."""
        self._is_closed = True
        self._jobs.stop()
        await self._jobs.release()

    def dump(self) -> JsonObject:
        """Give the run as JSON, for `Agent.resume` here or in another process.

        May be called at any time; what it gives goes on after the last event that was read. The run itself should
        then be closed: two that go on from the same place would both call the tools.
        """
        state = self._state
        state.spent_seconds = self._spent_seconds()
        self._started_at = None if self._started_at is None else self._plan.host.clock.now()
        if self._answer is not None:
            state.is_answering = self._answer.is_started
            state.partial = self._answer.partial()
        return state_to_wire(state)

    # --- the machine --------------------------------------------------------------------------------------------

    async def _next_event(self) -> Event | None:
        try:
            self._watch_time()
            while True:
                if not self._jobs.is_stopped:
                    update, self._update = self._update, None
                    if update is not None:
                        return update
                    if self._state.reports:
                        return self._state.reports.pop(0)
                # A run that was cancelled before it began still has a beginning.
                if self._jobs.is_stopped and self._state.phase != "start":
                    break
                event = await _STEPS[self._state.phase](self)
                if event is not None:
                    return event
        except Stopped:
            if self._is_closed:
                return None
        except Exception as error:  # a run has exactly one end, also after a mistake of ours or of a model's
            return await self._fail(error)
        if self._halt_error is not None:
            return await self._fail(self._halt_error)
        return await self._end_cancelled()

    async def _start(self) -> Event | None:
        self._state.phase = "load"
        return RunStart(self._state.conversation_id, [model.info.id for model in self._plan.model.models])

    async def _load(self) -> Event | None:
        state = self._state
        stored: list[Message] = []
        if state.conversation_id is not None:
            stored = await self._jobs.do(load_conversation(self._plan.host.storage, state.conversation_id))
        state.messages = mend([*stored, *state.messages])
        if state.prompt is not None:
            state.messages.append(state.prompt)
            state.prompt = None
        state.phase = "save"
        return None

    async def _save_prompt(self) -> Event | None:
        await self._save()
        self._state.phase = "turn"
        return None

    async def _begin_turn(self) -> Event | None:
        plan, state = self._plan, self._state
        if state.turn >= plan.max_turns:
            raise TurnLimitError(f"the run used all of its {plan.max_turns} turns")
        if plan.max_tokens is not None and state.usage.total_tokens >= plan.max_tokens:
            used = state.usage.total_tokens
            raise TokenLimitError(f"the run used {used} tokens and may use {plan.max_tokens}")
        state.turn += 1
        state.phase = "model"
        return TurnStart(state.turn)

    async def _hear_model(self) -> Event | None:
        if self._answer is None:
            if self._state.is_answering:
                self._state.is_answering = False
                self._state.partial = None
                return TurnReset(self._state.turn, "the run was moved, so the answer begins again")
            return await self._ask_model()
        item = await self._jobs.get()
        if isinstance(item, asyncio.Task):
            # A tool's task may end a moment after its result was told.
            if item is self._reading:
                return await self._finish_answer(item, self._answer)
            return None
        if isinstance(item, _Report):
            return None
        if isinstance(item, (TextDelta, ReasoningDelta, ToolCallDelta)) and self._plan.hooks.has("on_delta"):
            return await self._hear_delta(item, self._answer)
        self._answer.add(item)
        return self._tell(item)

    def _tell(self, item: Delta) -> Event | None:
        """Give what is to be reported of a delta that was taken."""
        if isinstance(item, Finish):
            return None
        if isinstance(item, TextDelta):
            self._update = self._watch.add(item.text)
            return item if item.text else None
        if isinstance(item, ReasoningDelta):
            return item if item.text else None
        if isinstance(item, ToolCallDelta):
            return item if item.arguments else None
        return item

    async def _ask_model(self) -> Event | None:
        """Begin to hear the model, or what a hook says in its place."""
        request, action = await self._ask_again("before_model", self._request())
        if isinstance(action, Stop):
            await self._stop()
            return None
        self._answer = Accumulator()
        self._watch = OutputWatch(self._plan.output)
        if isinstance(action, Skip):
            stream = _say(action.reason, self._state.reports[-1].hook)
        else:
            stream = self._plan.model.stream(request)
        self._reading = self._jobs.read(stream, _is_finish)
        return None

    async def _hear_delta(self, delta: Delta, answer: Accumulator) -> Event | None:
        """Take a delta as the hooks want it."""
        changed, action = await self._ask_hooks("on_delta", delta)
        if isinstance(action, Stop):
            await self._stop()
            return None
        if isinstance(action, Redo):
            assert self._reading is not None
            await self._jobs.drop(self._reading)
            self._answer = None
            self._state.phase = "turn"
            return TurnReset(self._state.turn, action.reason or _AGAIN)
        if isinstance(action, Skip):
            self._state.reports.clear()  # of each delta that is left out nobody wants to hear
            return None
        answer.add(changed)
        return self._tell(changed)

    async def _finish_answer(self, reading: Job, answer: Accumulator) -> Event | None:
        """Turn a finished stream into the turn's message."""
        state = self._state
        if answer.finish is None:
            result_of(reading)
            raise WireFormatError(f"{answer.model or self._plan.model.info.id} stopped without finishing its answer")
        # How the stream was closed doesn't matter any more: the answer is whole.
        message, action = await self._ask_hooks("after_model", whole := answer.message())
        if isinstance(action, Skip):
            message = replace(message, parts=(TextPart(action.reason),) if action.reason else ())
        if message.parts or action is None:
            state.messages.append(message)
        state.turn_model = answer.model
        state.turn_finish_reason = answer.finish.finish_reason
        if message is not whole and state.turn_finish_reason == "tool_calls" and not message.tool_calls:
            state.turn_finish_reason = "stop"  # a hook left out what was called
        raw = (answer.finish.provider_metadata or {}).get(RAW_EVENTS)
        self.raw_events += raw if isinstance(raw, list) else ()
        state.turn_usage = answer.finish.usage
        state.usage += answer.finish.usage
        state.calls = [Call(part) for part in message.tool_calls]
        state.reported = 0
        state.is_answering = False
        state.partial = None
        state.phase = "tools" if state.calls else "turn_end"
        self._answer = self._reading = None
        if isinstance(action, Stop):
            await self._stop()
            return None
        if isinstance(action, Redo):
            self._ask_better(action.reason or _AGAIN)
        elif not state.calls and not isinstance(action, Skip):
            return self._check_output(message.text)
        return None

    def _ask_better(self, reason: str) -> None:
        """Have one more turn, in which the model knows what was wrong with its answer."""
        state = self._state
        for call in state.calls:
            call.answer(reason, is_error=True)
        state.goes_on = True
        if not state.calls:
            state.messages.append(Message.user(reason))

    def _check_output(self, text: str) -> Event | None:
        """Read a whole answer as the agent's output type. Raises `OutputError` when the model had its chances."""
        output, state = self._plan.output, self._state
        if output is None or state.turn_finish_reason != "stop":
            return None
        try:
            output.parse(text)
        except OutputError as error:
            if state.turn_model.startswith(_HOOK):  # it doesn't learn from being asked again
                return None
            if state.reasks >= self._plan.max_reasks:
                raise
            state.reasks += 1
            self._ask_better(error.message)
            return None
        # As it was written, so that it goes on from what was told before; the result has the value as it was read.
        return OutputUpdate(output.written(text), True)  # type: ignore[arg-type]  # it is JSON

    async def _hear_tools(self) -> Event | None:
        state = self._state
        caller = self._caller
        if caller is None:
            caller = self._caller = Caller(
                self._plan.tools,
                approve=self._plan.approve,
                max_parallel=self._plan.max_parallel_tools,
                failures=self.failures,
                pool=self._plan.host.pool,
            )
            for call in state.calls:
                if call.result is None and not call.is_seen:
                    action = await self._show_call(call)
                    if isinstance(action, Stop):
                        await self._stop()
                        return None
                if call.result is None:
                    caller.prepare(call)
        if not caller.is_begun:
            for call in state.calls:
                if caller.needs_approval(call) and not call.is_asked:
                    call.is_asked = True
                    return Approval(call.part.id, call.part.name, call.part.arguments)
            caller.is_begun = True
            for call in state.calls:
                if call.result is None:
                    self._jobs.spawn(caller.run(call, self._reporter(call)))
        if self._jobs.has_unread:
            return self._hear_tool(await self._jobs.get())
        if state.reported == len(state.calls):
            self._collect_results()
            self._caller = None
            state.phase = "turn_end"
            return None
        call = state.calls[state.reported]
        if call.result is not None:
            return await self._report_result(call, call.result, caller)
        return self._hear_tool(await self._jobs.get())

    async def _show_call(self, call: Call) -> Action | None:
        """Let the hooks see a call before it is made."""
        part, action = await self._ask_hooks("before_tool", call.part)
        call.is_seen = True
        if part is not call.part:
            message = self._state.messages[-1]
            # The history tells of the call that was made. Ids, since a run that was moved has other objects.
            parts = tuple(
                part if isinstance(item, ToolCallPart) and item.id == part.id else item for item in message.parts
            )
            self._state.messages[-1] = replace(message, parts=parts)
            call.part = part
        if isinstance(action, (Skip, Redo)):
            call.answer(action.reason or _AGAIN, is_error=isinstance(action, Redo))
        return action

    async def _report_result(self, call: Call, result: ToolResultPart, caller: Caller) -> Event | None:
        """Let the hooks see a result, and report it."""
        changed, action = await self._ask_hooks("after_tool", result, call.part)
        if isinstance(action, Stop):
            await self._stop()
            return None
        if isinstance(action, Redo) and caller.can_repeat(call):
            if call.redos >= MOST_REDOS:
                raise _too_often(self._state.reports[-1].hook, "after_tool")
            call.redos += 1
            call.result, call.is_begun = None, False
            self._jobs.spawn(caller.run(call, self._reporter(call)))
            return None
        if isinstance(action, (Skip, Redo)):
            changed = replace(changed, content=action.reason, is_error=isinstance(action, Redo))
        call.result = changed
        self._state.reported += 1
        return ToolResult(changed.id, changed.name, changed.content, changed.is_error)

    def _hear_tool(self, item: Delta | _Report | Job) -> Event | None:
        if isinstance(item, asyncio.Task):
            result_of(item)
        elif isinstance(item, _Report):
            return ToolProgress(item.call_id, item.content)
        return None

    def _reporter(self, call: Call) -> Callable[[Json], None]:
        jobs = self._jobs

        def report(content: Json) -> None:
            if call.result is None:  # what a tool left behind may still talk
                jobs.put(_Report(call.part.id, content))

        return report

    def _collect_results(self) -> None:
        """Put the answers to the calls into the history, in the order of the calls."""
        results = tuple(call.result for call in self._state.calls if call.result is not None)
        self._state.messages.append(Message("tool", results))

    async def _show_turn(self) -> Event | None:
        """Let the hooks see a whole turn, and find out whether another one follows."""
        state = self._state
        _, action = await self._ask_hooks("on_turn_end", str(state.turn_finish_reason))
        if isinstance(action, Redo):
            state.messages.append(Message.user(action.reason or _AGAIN))
        state.goes_on = isinstance(action, Redo) or (action is None and (bool(state.calls) or state.goes_on))
        state.is_stopped = isinstance(action, Stop)
        state.phase = "turn_over"
        return None

    async def _end_turn(self) -> Event | None:
        state = self._state
        await self._save()
        state.phase = "turn" if state.goes_on else "end"
        state.goes_on = False
        return TurnEnd(state.turn, state.turn_model, state.turn_finish_reason, state.turn_usage)

    async def _end(self) -> Event | None:
        return await self._finish("stopped" if self._state.is_stopped else self._state.turn_finish_reason)

    # --- hooks --------------------------------------------------------------------------------------------------

    async def _ask_hooks(self, point: HookPoint, value: V, *also: object) -> tuple[V, Action | None]:
        """Ask the hooks of a point, and keep what they did for the report. Raises `HookError`."""
        hooks, state = self._plan.hooks, self._state
        if not hooks.has(point):
            return value, None
        context = RunContext(state.run_id, state.conversation_id, state.turn, tuple(state.messages), state.usage)
        value, action, reports = await hooks.ask(point, context, value, *also, wait=self._jobs.beside)
        state.reports += reports
        return value, action

    async def _ask_again(self, point: HookPoint, value: V) -> tuple[V, Action | None]:
        """Ask the hooks of a point once more as long as they want that."""
        for _ in range(MOST_REDOS + 1):
            changed, action = await self._ask_hooks(point, value)
            if not isinstance(action, Redo):
                return changed, action
        raise _too_often(self._state.reports[-1].hook, point)

    async def _stop(self) -> None:
        """Lead the run to its end as a hook wants it, with a history that is whole."""
        self._settle("a hook of the agent ended the run")
        self._state.is_stopped = True
        await self._save()
        self._state.phase = "end"

    # --- ends ---------------------------------------------------------------------------------------------------

    async def _finish(self, reason: RunFinishReason) -> Event:
        self._is_ending = True
        await self._jobs.release()
        state = self._state
        state.phase = "over"
        state.finish_reason = reason
        return RunEnd(reason, state.turn, state.usage)

    async def _end_cancelled(self) -> Event:
        self._is_ending = True
        await self._jobs.release()
        self._settle("this call was cancelled")
        try:
            await self._store()
        except Exception as error:  # a run has exactly one end, whatever a store raises
            return await self._fail(error)
        return await self._finish("cancelled")

    async def _fail(self, error: Exception) -> Event:
        self._is_ending = True
        await self._jobs.release()
        self._settle("this call was stopped because the run failed")
        try:
            await self._store()
        except Exception as second:  # a run has exactly one end, whatever a store raises
            if second is not error:
                says = second.message if isinstance(second, StorageError) else type(second).__name__
                error.add_note(f"the conversation was not saved either: {says}")
        self._failure = error
        wire = error_to_wire(error)
        self._state.failure = wire
        self._state.phase = "over"
        return RunError(wire["name"], wire["message"], wire["is_retryable"])

    def _settle(self, why: str) -> None:
        """Make the history valid where the run is broken off; what was said and what tools answered stays."""
        state = self._state
        if state.phase in ("start", "load"):
            return
        partial = None if self._answer is None else self._answer.partial()
        if partial is not None:
            state.messages.append(partial)
        if state.phase == "tools":
            for call in state.calls:
                if call.result is None:
                    call.answer(why, is_error=True)
            self._collect_results()
        self._answer = None
        state.is_answering = False
        state.partial = None
        state.calls = []
        state.phase = "end"

    # --- time, tasks, storage -----------------------------------------------------------------------------------

    def _halt(self, error: AgentError | None) -> None:
        if self._is_ending or self._jobs.is_stopped:
            return
        self._halt_error = error
        self._jobs.stop()

    def _watch_time(self) -> None:
        """Begin to count the seconds, and set the alarm if they are limited."""
        if self._started_at is not None:
            return
        clock, limit = self._plan.host.clock, self._plan.max_seconds
        self._started_at = clock.now()
        if limit is None:
            return

        def ring(alarm: Job) -> None:
            if not alarm.cancelled():
                self._halt(TimeLimitError(f"the run used all of its {limit:g} seconds"))

        self._jobs.spawn(clock.sleep(max(0.0, limit - self._state.spent_seconds)), ring)

    def _spent_seconds(self) -> float:
        since = 0.0 if self._started_at is None else self._plan.host.clock.now() - self._started_at
        return self._state.spent_seconds + max(0.0, since)

    async def _save(self) -> None:
        if self._state.conversation_id is not None:
            await self._jobs.do(self._store())

    async def _store(self) -> None:
        state = self._state
        # Before it was loaded there is nothing to save, and much to lose.
        if state.conversation_id is not None and state.phase not in ("start", "load"):
            await save_conversation(self._plan.host.storage, state.conversation_id, state.messages)

    def _request(self) -> ModelRequest:
        plan = self._plan
        specs = tuple(tool.spec for tool in plan.tools.values())
        messages = self._state.messages
        length = plan.model.info.context_length
        if length:
            answer = plan.max_output_tokens or length // 4
            room = length - answer - text_tokens(plan.instructions) - estimate_tool_tokens(specs)
            messages = fit(messages, room)
        system = (Message.system(plan.instructions),) if plan.instructions else ()
        return ModelRequest(
            (*system, *messages),
            specs,
            max_output_tokens=plan.max_output_tokens,
            temperature=plan.temperature,
            extra=plan.extra,
        )

    def _raise_failure(self) -> None:
        if self._failure is not None and not self._is_failure_raised:
            self._is_failure_raised = True
            raise self._failure


# Of the class: a table of bound methods is a kilobyte in each run.
_STEPS: Mapping[Phase, Callable[[Run], Coroutine[object, object, Event | None]]] = {
    "start": Run._start,
    "load": Run._load,
    "save": Run._save_prompt,
    "turn": Run._begin_turn,
    "model": Run._hear_model,
    "tools": Run._hear_tools,
    "turn_end": Run._show_turn,
    "turn_over": Run._end_turn,
    "end": Run._end,
}


async def _say(text: str, hook: str) -> AsyncIterator[Delta]:
    """Answer as a model would, in the name of a hook."""
    yield ModelStart(_HOOK + hook)
    yield TextStart("hook")
    if text:
        yield TextDelta("hook", text)
    yield TextEnd("hook")
    yield Finish("stop")


def _too_often(hook: str, point: HookPoint) -> HookError:
    return HookError(f"the hook {hook} wanted it done again more than {MOST_REDOS} times in {point}", hook=hook)


def _is_finish(delta: Delta | _Report) -> bool:
    return isinstance(delta, Finish)
