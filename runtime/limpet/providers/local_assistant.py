"""`local:assistant`: one model out of two small ones, of which one calls tools and the other finds words.

What it answers, and by what:

| asked | answered by |
|---|---|
| small talk and nothing else (`inference/small_talk`) | the chat model, or the table where that is known to do badly |
| anything, with tools | the model that calls tools, where it is sure enough |
| after the tools ran | the chat model's sentence, where it is faithful (`inference/phrasing`); else their results |
| an answer that fits a schema, without tools | the chat model |
| anything else | nobody: `LowConfidenceError`, so that a `FallbackModel` turns to a remote one |

A model of 135 million weights knows hardly anything, and is as sure of what it makes up as of what it knows: so it is
not asked for facts, unless `facts_at` says from when on it is believed. All it says in words is a sentence that is
checked before it is said, for nothing said can be taken back. A model is loaded when it is first needed; where the
chat model isn't there, words come from the table and from the tools.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field, replace
from math import exp
from typing import Protocol

from ..errors import ConfigurationError, LowConfidenceError, ModelError, ModelUnavailableError
from ..events import ModelStart, Progress, TextDelta, TextEnd, TextStart, Usage
from ..host import Host
from ..inference.catalog import CATALOG
from ..inference.phrasing import Source, plain_text
from ..inference.small_talk import Talk, small_talk
from ..inference.tool_choice import rank_by_words
from ..json_schema import as_items, as_schema
from ..messages import Message, ToolResultPart
from ..model import Delta, Finish, ModelInfo, ModelRequest
from . import LOCAL_PARTS
from .local_chat import LocalChatModel
from .local_chat_settings import chat_settings
from .local_memory import SmallMemory
from .local_session import Attempt, Notify, Work, read_settings

_MOST_WORDS = 48
"""Tokens of a sentence."""
_MOST_FACTS = 160
_MOST_ABILITIES = 6
_SYSTEM = (
    "You tell the user in one short sentence what a tool returned. You use only the words and numbers that it returned."
)
_EXAMPLES = (
    ("what is the time in Tokyo?\nlocal_time: 14:05", "It is 14:05 in Tokyo."),
    ("play some jazz\nplay_music: playing Blue Train", "I am playing Blue Train."),
    ("any alarms?\nlist_alarms: no alarm is set", "No alarm is set."),
    (
        "add a dentist visit on Friday at 9\nadd_event: event saved (dentist, Friday, 9:00)",
        "The dentist visit is saved for Friday at 9:00.",
    ),
)
_NO_TOOL_FITS = "None of my tools fits this, and I don't know the answer myself. "
_UNKNOWN = "I don't know: I am a small model on this device, and answering that takes more knowledge than I have. "


@dataclass(frozen=True, slots=True)
class AssistantSettings:
    """What `ModelReference.options` may say."""

    calls: str = LOCAL_PARTS["assistant"]["calls"]
    """The local model that calls tools; what it is set to beside its defaults stands in `calls_options`."""
    words: str = LOCAL_PARTS["assistant"]["words"]
    """The local model that finds words; "" for none."""
    calls_options: dict[str, object] = field(default_factory=dict)
    say_at: float = 0.4
    """The mean likelihood (0..1) of its own tokens from which on a sentence of the chat model is said."""
    facts_at: float = 0.0
    """The same for what it answers to any question; 0: it is never asked."""
    memory_bytes: int = 0
    """How much its models may take together: where both don't fit, one is closed before the other is loaded, and one
    answer is made at a time. 0: as much as they need."""


class Caller(Protocol):
    """A model that calls tools, such as `LocalModel`."""

    async def attempt(self, request: ModelRequest, notify: Notify, /) -> Attempt:
        """Give its calls, or why it makes none."""
        ...


MakeCaller = Callable[[str, Host, Mapping[str, object]], Caller]
"""Makes the model of a name, with options."""


@dataclass(frozen=True, slots=True)
class _Written:
    """A text of the chat model, and how likely its tokens are in the mean."""

    text: str
    probability: float
    is_whole: bool


def assistant_settings(options: Mapping[str, object]) -> AssistantSettings:
    """Read the settings of an assistant. Raises `ConfigurationError` naming the option."""
    settings = read_settings(AssistantSettings, options)
    for name in ("say_at", "facts_at"):
        if not 0 <= getattr(settings, name) <= 1:
            raise ConfigurationError(f"the option {name!r} is {getattr(settings, name)!r}, not between 0 and 1")
    if not settings.calls:
        raise ConfigurationError("the option 'calls' names no model")
    return settings


class LocalAssistant:
    """Two models of `host.inference`, each loaded when it is first needed. `make_caller` makes the one for calls."""

    def __init__(
        self, name: str, host: Host, make_caller: MakeCaller, settings: AssistantSettings | None = None
    ) -> None:
        self._settings = settings = settings or AssistantSettings()
        self._info = ModelInfo(
            "local",
            name,
            context_length=CATALOG["assistant"].context_length,
            is_local=True,
            is_configured=host.inference is not None,
            has_json_schema=bool(settings.words),
            has_schema_with_tools=False,
        )
        self._memory: SmallMemory | None = None
        if settings.memory_bytes > 0 and host.inference is not None:
            self._memory = SmallMemory(host.inference, settings.memory_bytes)
            host = replace(host, inference=self._memory)
        self._host = host
        self._caller = make_caller(settings.calls, host, settings.calls_options)

    @property
    def info(self) -> ModelInfo:
        """What is known of it before it is asked."""
        return self._info

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        """Answer with calls, or with a sentence.

        Raises `LowConfidenceError` before the first word, its confidence that of the surer of the two models.
        """
        try:
            if self._settings.words and request.output_schema is not None and not request.tools:
                async for delta in self._fitting(request):
                    yield delta
                return
            work = Work(lambda notify: self._answer(request, notify))
            async with aclosing(work.notices()) as notices:  # type: ignore[type-var]
                async for notice in notices:
                    yield notice
            deltas = work.result
        except ModelError as error:
            error.provider, error.model = self._info.provider, self._info.name
            raise
        for delta in deltas:
            yield delta

    async def _fitting(self, request: ModelRequest) -> AsyncIterator[Delta]:
        """Have the chat model write what fits a schema, told as it is written."""
        finish: list[Delta] = []
        chat = LocalChatModel(self._settings.words, self._host)
        async with self._turn(), aclosing(chat.stream(request)) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                if isinstance(delta, Finish):
                    finish.append(delta)
                else:
                    yield replace(delta, model=self._info.id) if isinstance(delta, ModelStart) else delta
        # Whoever reads the end of an answer may ask this model again before reading on.
        for delta in finish:
            yield delta

    def _turn(self) -> AbstractAsyncContextManager[object]:
        return self._memory.turn if self._memory is not None else nullcontext()

    async def _answer(self, request: ModelRequest, notify: Notify) -> list[Delta]:
        async with self._turn():
            return await _Asked(self._info, self._host, self._settings, self._caller, request, notify).answer()


class _Asked:
    """One question, and what answering it has cost so far."""

    def __init__(
        self,
        info: ModelInfo,
        host: Host,
        settings: AssistantSettings,
        caller: Caller,
        request: ModelRequest,
        notify: Notify,
    ) -> None:
        self._info = info
        self._host = host
        self._settings = settings
        self._caller = caller
        self._request = request
        self._notify = notify
        self._usage = Usage()

    async def answer(self) -> list[Delta]:
        """Give the whole answer. Raises `LowConfidenceError`."""
        request = self._request
        if results := _newest_results(request):
            return await self._tell_results(results)
        has_tools, must_call = bool(request.tools), request.tool_choice == "required"
        talk = None if must_call else small_talk(self._question)
        # A tool may be about greetings: who shares a word with the question is asked first.
        if talk is not None and not any(rank_by_words(self._question, request.tools)):
            return await self._talk(talk)
        unsure = LowConfidenceError("it has no tools to ask", confidence=0.0, honest_answer="")
        if has_tools and request.tool_choice != "none":
            attempt = await self._caller.attempt(request, self._notify)
            self._usage += attempt.usage
            if attempt.unsure is None:
                return [self._as_mine(delta) for delta in attempt.deltas]
            unsure = attempt.unsure
        if talk is not None:
            return await self._talk(talk)
        confidence = 0.0
        if self._settings.words and self._settings.facts_at > 0 and not must_call:
            written = await self._write(request.messages, _MOST_FACTS)
            if written is not None:
                if written.is_whole and written.text and written.probability >= self._settings.facts_at:
                    return self._say(written.text, written.probability)
                confidence = written.probability
        raise LowConfidenceError(
            f"{self._info.id} does not answer: {unsure.message}, and it is no small talk",
            confidence=max(unsure.confidence, confidence),
            honest_answer=((_NO_TOOL_FITS if has_tools else _UNKNOWN) + self._abilities()).strip(),
            provider=self._info.provider,
            model=self._info.name,
        )

    def _as_mine(self, delta: Delta) -> Delta:
        if isinstance(delta, ModelStart):
            return replace(delta, model=self._info.id)
        return replace(delta, usage=self._usage) if isinstance(delta, Finish) else delta

    async def _tell_results(self, results: Sequence[ToolResultPart]) -> list[Delta]:
        """Say what the tools returned. Raises `LowConfidenceError` when one failed: what to do then takes thought."""
        failed = next((result for result in results if result.is_error), None)
        if failed is not None:
            raise LowConfidenceError(
                f"{self._info.id} does not answer: the tool {failed.name!r} failed, and it can't repair a call",
                confidence=0.0,
                honest_answer=f"The tool {failed.name} failed: {plain_text(failed.content)}",
                provider=self._info.provider,
                model=self._info.name,
            )
        plain = "\n".join(filter(None, (plain_text(result.content) for result in results)))
        source = Source(plain, self._context(results))
        if self._settings.words and source.can_be_phrased:
            shown = "\n".join(f"{result.name}: {plain_text(result.content)}" for result in results)
            written = await self._write(_prompt((), f"{self._question}\n{shown}"), _MOST_WORDS)
            if written is not None and self._is_fit(written) and source.problem(written.text) is None:
                return self._say(written.text, written.probability)
        return self._say(plain, None)

    def _context(self, results: Sequence[ToolResultPart]) -> str:
        """Give the words that may stand beside those of the results: of the question, the calls and the tools."""
        ids, names = {result.id for result in results}, {result.name for result in results}
        calls = [call for message in self._request.messages for call in message.tool_calls if call.id in ids]
        tools = [tool for tool in self._request.tools if tool.name in names]
        texts = [self._question, *(call.arguments for call in calls), *(name.replace("_", " ") for name in names)]
        return "\n".join([*texts, *(_first_sentence(tool.description) for tool in tools)])

    async def _talk(self, talk: Talk) -> list[Delta]:
        plain = talk.plain.format(abilities=self._abilities()).strip()
        if talk.examples and self._settings.words:
            written = await self._write(_prompt(talk.examples, self._question), _MOST_WORDS)
            known = Source("", "\n".join([plain, self._question, *(said for pair in talk.examples for said in pair)]))
            # `What can I do for you?` asks nothing that isn't in the table.
            if written is not None and self._is_fit(written):
                text = written.text
                if known.invented(text.replace("?", ".")) is None and ("?" not in text or "?" in plain):
                    return self._say(text, written.probability)
        return self._say(plain, None)

    def _abilities(self) -> str:
        """Say what the tools do."""
        said = [_first_sentence(tool.description) or tool.name.replace("_", " ") for tool in self._request.tools]
        shown = [text[:1].lower() + text[1:].rstrip(".") for text in said[:_MOST_ABILITIES]]
        if not shown:
            return ""
        more = f"; and {len(said) - len(shown)} more" if len(said) > len(shown) else ""
        return f"I can: {'; '.join(shown)}{more}."

    def _is_fit(self, written: _Written) -> bool:
        return written.is_whole and bool(written.text) and written.probability >= self._settings.say_at

    async def _write(self, messages: Sequence[Message], most_tokens: int) -> _Written | None:
        """Have the chat model write, and count what it took; None where it isn't there."""
        most = min(most_tokens, self._request.max_output_tokens or most_tokens)
        options = {"max_output_tokens": most, "logprobs": 0, "stop": ["\n"] if most_tokens == _MOST_WORDS else []}
        chat = LocalChatModel(self._settings.words, self._host, chat_settings(options))
        text, finish = "", None
        try:
            async with aclosing(chat.stream(ModelRequest(tuple(messages)))) as deltas:  # type: ignore[type-var]
                async for delta in deltas:
                    if isinstance(delta, Progress):
                        self._notify(delta)
                    elif isinstance(delta, TextDelta):
                        text += delta.text
                    elif isinstance(delta, Finish):
                        finish = delta
        except ModelUnavailableError:
            return None
        assert finish is not None
        self._usage += finish.usage
        scores = [as_schema(score)["logprob"] for score in as_items((finish.provider_metadata or {}).get("logprobs"))]
        likelihoods = [score for score in scores if isinstance(score, (int, float))]
        mean = exp(sum(likelihoods) / len(likelihoods)) if likelihoods else 0.0
        return _Written(text.strip(), min(mean, 1.0), finish.finish_reason == "stop")

    def _say(self, text: str, confidence: float | None) -> list[Delta]:
        start = ModelStart(self._info.id, None if confidence is None else round(confidence, 4))
        block: list[Delta] = [TextStart("words"), TextDelta("words", text), TextEnd("words")] if text else []
        return [start, *block, Finish("stop", self._usage)]

    @property
    def _question(self) -> str:
        messages = reversed(self._request.messages)
        return next((message.text.strip() for message in messages if message.role == "user"), "")


def _newest_results(request: ModelRequest) -> list[ToolResultPart]:
    results: list[ToolResultPart] = []
    for message in reversed(request.messages):
        if message.role != "tool":
            break
        results[:0] = message.tool_results
    return results


def _prompt(examples: Sequence[tuple[str, str]], text: str) -> list[Message]:
    """Show how results are told, then how such talk is: the beginning of all prompts is computed once."""
    pairs = [*_EXAMPLES, *examples]
    told = [message for asked, said in pairs for message in (Message.user(asked), Message.assistant(said))]
    return [Message.system(_SYSTEM), *told, Message.user(text)]


def _first_sentence(text: str) -> str:
    return text.strip().split("\n")[0].split(". ")[0]
