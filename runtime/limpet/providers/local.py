"""Models that run where the agent runs: `local:name` calls tools, or chats (`local_chat`), or gives vectors
(`local_embeddings`), or is two models in one (`local_assistant`).

One that calls tools answers with calls or not at all. The whole answer is made before anything is said, so that a
model which is not sure can give way: then `LowConfidenceError` is raised, and a `FallbackModel` turns to the next one.
After its tools ran it says what they returned, without being asked again: it was trained to call tools, not to phrase.

Only the newest question is shown to the model. It was trained on single questions, and older ones lower both its
accuracy and its confidence.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal, get_args
from weakref import WeakKeyDictionary

from ..errors import ConfigurationError, ContextLengthError, LowConfidenceError
from ..events import (
    ModelStart,
    Progress,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from ..host import Candidates, Host, InferenceSession
from ..inference.automaton import Automaton
from ..inference.catalog import CATALOG, TASKS
from ..inference.confidence import ACT_AT, combine
from ..inference.decoder import Decoder, Feed
from ..inference.grammar import tool_call_rule
from ..inference.grounding import Grounding, Question, ground_call
from ..inference.prompt import RULES, prefix_ids, render_tools, turn_ids
from ..inference.tokenizer import Tokenizer
from ..inference.tool_calls import ToolCall, parse_calls
from ..inference.vocabulary import Vocabulary
from ..messages import ToolResultPart
from ..model import Delta, Finish, ModelInfo, ModelReference, ModelRequest, ToolSpec
from ..wire import Json
from . import ALL_TOOLS, TOOLS_BY
from .local_assistant import LocalAssistant, assistant_settings
from .local_chat import LocalChatModel
from .local_chat_settings import chat_settings
from .local_embeddings import LocalEmbeddings, embedding_settings
from .local_session import Attempt, Notify, Work, load_session, read_settings
from .local_tools import ToolChooser

Instructions = Literal["none", "rules", "agent", "both"]
"""What stands before the tools: nothing, our rules for calling tools, the agent's instructions, or both."""

_NO_TOOL_FITS = "None of my tools fits this, and no other model is there to answer it."
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """What `ModelReference.options` may say; the defaults are those that the evaluation set favours."""

    act_at: float = ACT_AT
    """The confidence (0..1) from which on calls are made."""
    think: bool = True
    """Whether the model thinks aloud first. Without it, it is twice as fast and half as often right."""
    grammar: bool = True
    """Whether calls must fit the tools' schemas."""
    grounding: bool = True
    """Whether values that the question doesn't have are taken out."""
    instructions: Instructions = "none"
    max_thought_tokens: int = 160
    max_answer_tokens: int = 256
    top_k: int = 32
    """How many candidates are looked at before the whole vocabulary is."""
    prefill_tokens: int = 64
    """How many tokens of the prefix are computed between two chances to cancel."""
    all_tools: int = ALL_TOOLS
    """Up to how many tools the model sees all. Eight were called as rightly as five of them, and what stays the same is
    computed once, not for every question."""
    tools_shown: int = 5
    """How many tools the model sees when the agent has more: those that fit the question, and all that were used."""
    tools_by: str = TOOLS_BY
    """The local model whose vectors say which tools fit; where it can't be had, or with "", words do."""


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """What the model said, whether or not it is acted on."""

    calls: tuple[ToolCall, ...]
    confidence: float
    head_confidence: float | None
    thoughts: str
    calls_text: str
    """The JSON of the calls as the model wrote it, before grounding."""
    token_ids: tuple[int, ...]
    groundings: tuple[Grounding, ...]
    usage: Usage
    tools: tuple[ToolSpec, ...] = ()
    """Those that the model was shown."""


@dataclass(slots=True, weakref_slot=True)
class _Prepared:
    """What is made once for a loaded model."""

    vocabulary: Vocabulary
    automata: dict[str, Automaton]


# Models are made anew for every run, a session stays: what was read from it stays with it.
_PREPARED: WeakKeyDictionary[InferenceSession, _Prepared] = WeakKeyDictionary()
_MOST_AUTOMATA = 8


def create(reference: ModelReference, host: Host) -> LocalModel | LocalChatModel | LocalEmbeddings | LocalAssistant:
    """Make the model that `local:name` means. Raises `ConfigurationError` when an option is wrong.

    What a model is for is known of our own; of others the option `task` says it.
    """
    options = dict(reference.options)
    known = CATALOG.get(reference.name)
    task = options.pop("task", known.task if known else "tool_calling")
    if task == "chat":
        return LocalChatModel(reference.name, host, chat_settings(options))
    if task == "tool_calling":
        return LocalModel(reference.name, host, settings_from(options))
    if task == "embedding":
        return LocalEmbeddings(reference.name, host, embedding_settings(options))
    if task == "assistant":
        return LocalAssistant(reference.name, host, _caller, assistant_settings(options))
    raise ConfigurationError(f"the option 'task' of {reference.id} is {task!r}, not one of {', '.join(TASKS)}")


def _caller(name: str, host: Host, options: Mapping[str, object]) -> LocalModel:
    return LocalModel(name, host, settings_from(options))


def settings_from(options: Mapping[str, object]) -> LocalSettings:
    """Read the settings of a local model. Raises `ConfigurationError` naming the option."""
    settings = read_settings(LocalSettings, options)
    if settings.instructions not in get_args(Instructions):
        raise ConfigurationError(
            f"the option 'instructions' is {settings.instructions!r}, not one of {', '.join(get_args(Instructions))}"
        )
    if not 0 <= settings.act_at <= 1:
        raise ConfigurationError(f"the option 'act_at' is {settings.act_at!r}, not between 0 and 1")
    if settings.tools_shown < 1:
        raise ConfigurationError(f"the option 'tools_shown' is {settings.tools_shown!r}, not at least 1")
    return settings


class LocalModel:
    """A model of `host.inference`, loaded when it is first asked."""

    def __init__(self, name: str, host: Host, settings: LocalSettings | None = None) -> None:
        self._host = host
        self._settings = settings or LocalSettings()
        self._info = ModelInfo("local", name, is_local=True, is_configured=host.inference is not None)

    @property
    def info(self) -> ModelInfo:
        """What is known of it; the length of its context is known to its `model.json` only."""
        return self._info

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        """Answer with calls, or with what the tools returned.

        Raises `LowConfidenceError` before the first word when it is not sure of its calls. The error has no usage: what
        an answer cost that was not given is counted nowhere. Nor has what the tools returned a confidence, for the
        model is not asked.
        """
        results = _newest_results(request)
        if results:
            for delta in self._report(results):
                yield delta
            return
        if not request.tools or request.tool_choice == "none":
            raise self._unsure("it was given no tools, and only calls tools", 0.0, _NO_TOOL_FITS)
        work = Work(lambda notify: self.answer(request, notify))
        async with aclosing(work.notices()) as notices:  # type: ignore[type-var]
            async for notice in notices:
                yield notice
        answer = work.result
        if unsure := self._doubt(answer):
            raise unsure
        for delta in self._tell(answer):
            yield delta

    async def attempt(self, request: ModelRequest, notify: Notify) -> Attempt:
        """Answer with calls, or say why not and what finding out has cost. `notify` is told what is being loaded."""
        answer = await self.answer(request, notify)
        unsure = self._doubt(answer)
        return Attempt(answer.usage, [] if unsure else self._tell(answer), unsure)

    async def answer(self, request: ModelRequest, notify: Notify) -> LocalAnswer:
        """Ask the model and judge its answer, without acting on it. `notify` is told what is being loaded."""
        request = await self._with_few_tools(request, notify)
        session = await load_session(self._host, self._info, notify)
        prepared = await _prepare(session)
        tokenizer = prepared.vocabulary.tokenizer
        question = _question(request)
        settings = self._settings
        bos = session.manifest.get("bos_token_id")
        system = self._system(request)
        prefix = prefix_ids(tokenizer, request.tools, system=system, bos_token_id=bos if isinstance(bos, int) else None)
        turn = turn_ids(tokenizer, question, think=settings.think)
        most_answer = min(settings.max_answer_tokens, request.max_output_tokens or settings.max_answer_tokens)
        self._check_length(session, len(prefix) + len(turn) + settings.max_thought_tokens + most_answer)
        decoder = Decoder(
            prepared.vocabulary,
            self._automaton(prepared, request, question) if settings.grammar else None,
            think=settings.think,
            most_thoughts=settings.max_thought_tokens,
            most_answer=most_answer,
        )
        async with session.lock:
            was_kept = await self._restore(session, prefix, notify, len(render_tools(request.tools).encode()))
            last = await _decode(session, decoder, turn, settings.top_k)
        usage = Usage(
            input_tokens=len(prefix) + len(turn),
            output_tokens=len(decoder.token_ids),
            cached_tokens=len(prefix) if was_kept else 0,
            reasoning_tokens=decoder.thought_count,
        )
        return self._judge(decoder, last, question, request, usage)

    async def _with_few_tools(self, request: ModelRequest, notify: Notify) -> ModelRequest:
        settings = self._settings
        if len(request.tools) <= settings.all_tools:
            return request
        used = [call.name for message in request.messages for call in message.tool_calls]
        chooser = ToolChooser(self._host, settings.tools_shown, settings.tools_by)
        return replace(request, tools=await chooser.choose(request.tools, _question(request), used, notify))

    def _system(self, request: ModelRequest) -> str:
        agent = "\n".join(message.text for message in request.messages if message.role == "system").strip()
        parts = {"none": [], "rules": [RULES], "agent": [agent], "both": [agent, RULES]}[self._settings.instructions]
        return " ".join(part for part in parts if part)

    def _check_length(self, session: InferenceSession, length: int) -> None:
        limit = session.manifest.get("context_length")
        if isinstance(limit, int) and length > limit:
            raise ContextLengthError(
                f"the tools and the question need {length} tokens of the local model's {limit}: "
                "give the agent fewer tools or ask more briefly",
                provider=self._info.provider,
                model=self._info.name,
            )

    def _automaton(self, prepared: _Prepared, request: ModelRequest, question: str) -> Automaton:
        allow_none, allow_quotes = request.tool_choice != "required", '"' in question
        key = f"{allow_none}{allow_quotes}{[(tool.name, tool.parameters) for tool in request.tools]!r}"
        automaton = prepared.automata.pop(key, None)
        if automaton is None:
            automaton = Automaton(tool_call_rule(request.tools, allow_none=allow_none, allow_quotes=allow_quotes))
        prepared.automata[key] = automaton
        while len(prepared.automata) > _MOST_AUTOMATA:
            del prepared.automata[next(iter(prepared.automata))]
        return automaton

    async def _restore(self, session: InferenceSession, prefix: Sequence[int], notify: Notify, size_bytes: int) -> bool:
        """Bring the session to the end of the prefix; say whether its state was kept from an earlier question.

        The progress of computing it is told as that of a file `tools`, which has as many bytes as the tools that the
        model is shown: from 0 on, never less than before, all of them when it is `ready`.
        """
        key = _prefix_key(prefix)
        if await session.restore(key):
            return True
        await session.reset()
        step = self._settings.prefill_tokens
        for start in range(0, len(prefix), step):
            if start % (4 * step) == 0:
                notify(Progress(self._info.id, "load", "tools", size_bytes * start // len(prefix), size_bytes))
            await session.forward(prefix[start : start + step], top_k=1)
        notify(Progress(self._info.id, "ready", "tools", size_bytes, size_bytes))
        await session.snapshot(key)
        return False

    def _judge(
        self, decoder: Decoder, last: Candidates, question: str, request: ModelRequest, usage: Usage
    ) -> LocalAnswer:
        head = last.scalars.get("confidence")
        calls = parse_calls(decoder.calls_text, request.tools)
        groundings: list[Grounding] = []
        asked = Question(question, decoder.thoughts) if self._settings.grounding else None
        if asked is not None and calls:
            grounded = [ground_call(asked, call.tool, call.arguments) for call in calls]
            calls = [ToolCall(call.tool, kept) for call, (kept, _) in zip(calls, grounded, strict=True)]
            groundings = [found for _, found in grounded]
        left_out = bool(asked is not None and calls and asked.leaves_out(*_values_of(calls)))
        confidence = 0.0
        if calls is not None:
            confidence = combine(
                head, decoder.evidence, asked, groundings, thoughts=decoder.thoughts, leaves_out=left_out
            )
        return LocalAnswer(
            calls=tuple(calls or ()),
            confidence=confidence,
            head_confidence=head,
            thoughts=decoder.thoughts,
            calls_text=decoder.calls_text,
            token_ids=tuple(decoder.token_ids),
            groundings=tuple(groundings),
            usage=usage,
            tools=request.tools,
        )

    def _doubt(self, answer: LocalAnswer) -> LowConfidenceError | None:
        if not answer.calls:
            return self._unsure("it found no tool that fits", 0.0, _NO_TOOL_FITS)
        if answer.confidence < self._settings.act_at:
            sure = f"it is {answer.confidence:.0%} sure of a call and acts at {self._settings.act_at:.0%}"
            return self._unsure(sure, answer.confidence, _NO_TOOL_FITS)
        return None

    def _tell(self, answer: LocalAnswer) -> list[Delta]:
        deltas: list[Delta] = [ModelStart(self._info.id, round(answer.confidence, 4))]
        if answer.thoughts:
            deltas += [ReasoningStart("thoughts"), ReasoningDelta("thoughts", answer.thoughts)]
            deltas.append(ReasoningEnd("thoughts"))
        for call in answer.calls:
            call_id, name, text = self._host.new_id(), call.tool.name, call.arguments_text
            deltas += [ToolCallStart(call_id, name), ToolCallDelta(call_id, text), ToolCallEnd(call_id, name, text)]
        return [*deltas, Finish("tool_calls", answer.usage)]

    def _report(self, results: Sequence[ToolResultPart]) -> list[Delta]:
        """Say what the tools returned. Raises `LowConfidenceError` when one failed: what to do then takes thought."""
        failed = next((result for result in results if result.is_error), None)
        if failed is not None:
            raise self._unsure(
                f"the tool {failed.name!r} failed, and it can't repair a call",
                0.0,
                f"The tool {failed.name} failed: {_as_text(failed)}",
            )
        text = "\n".join(_as_text(result) for result in results)
        block: list[Delta] = [TextStart("results"), TextDelta("results", text), TextEnd("results")] if text else []
        # No confidence: nothing was computed that could have one.
        return [ModelStart(self._info.id), *block, Finish("stop")]

    def _unsure(self, why: str, confidence: float, honest_answer: str) -> LowConfidenceError:
        return LowConfidenceError(
            f"{self._info.id} does not act: {why}",
            confidence=confidence,
            honest_answer=honest_answer,
            provider=self._info.provider,
            model=self._info.name,
        )


async def _prepare(session: InferenceSession) -> _Prepared:
    prepared = _PREPARED.get(session)
    if prepared is None:
        described = session.manifest.get("tokenizer")
        file = described.get("file") if isinstance(described, dict) else None
        tokenizer = Tokenizer.parse(await session.read(str(file or "tokenizer.json")))
        # Each half keeps a worker busy for 50 ms and more in Pyodide; who wants to stop is heard in between.
        await asyncio.sleep(0)
        prepared = _PREPARED[session] = _Prepared(Vocabulary(tokenizer), {})
        await asyncio.sleep(0)
    return prepared


async def _decode(session: InferenceSession, decoder: Decoder, turn: Sequence[int], top_k: int) -> Candidates:
    candidates = await session.forward(turn, top_k=top_k)
    while (step := decoder.step(candidates)) is not None:
        if isinstance(step, Feed):
            candidates = await session.forward(step.token_ids, top_k=top_k)
        else:
            candidates = await session.forward([], top_k=top_k, allowed=step.allowed)
    return candidates


def _newest_results(request: ModelRequest) -> list[ToolResultPart]:
    """Give the tool results after the newest message that isn't a tool's, in their order."""
    results: list[ToolResultPart] = []
    for message in reversed(request.messages):
        if message.role != "tool":
            break
        results[:0] = message.tool_results
    return results


def _question(request: ModelRequest) -> str:
    return next((message.text.strip() for message in reversed(request.messages) if message.role == "user"), "")


def _values_of(calls: Sequence[ToolCall]) -> tuple[list[float], list[str]]:
    """Give all numbers and all texts in the arguments of some calls."""
    numbers: list[float] = []
    texts: list[str] = []
    waiting: list[Json] = [call.arguments for call in calls]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers.append(value)
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
    return numbers, texts


def _as_text(result: ToolResultPart) -> str:
    content = result.content
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _prefix_key(token_ids: Sequence[int]) -> str:
    """Name a prefix by its tokens (64-bit FNV-1a): `hashlib` costs Pyodide an import, and nobody attacks this name."""
    value = _FNV_OFFSET
    for token_id in token_ids:
        value = ((value ^ token_id) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"prefix-{len(token_ids)}-{value:016x}"
