"""A small chat model that runs where the agent runs.

It answers in words as they are written; in JSON that fits `ModelRequest.output_schema`, or in a text that fits the
option `pattern`, both certain; or with one call of a tool, where `tool_choice` is "required". Which tool that is, is
chosen by how much likelier the question makes its name (see `name_choice`). Whether a tool is needed at all, so small a
model can't tell: with "auto" it answers in words, unless `call_at` says from when on it shall call one. A conversation
is computed once: of its next turn only what is new.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from ..errors import ContextLengthError, ModelError, UnsupportedError
from ..events import (
    ModelStart,
    Progress,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from ..host import Candidates, Host
from ..inference.automaton import Literal, Sequenced
from ..inference.catalog import CATALOG, KnownModel
from ..inference.chat_template import describe_schema, tool_examples
from ..inference.constraint import Constraint, Feed
from ..inference.engine import common_length
from ..inference.grammar import ANSWER, SchemaCompiler
from ..inference.name_choice import score_names, without_prior
from ..inference.regex_rule import PatternError, regex_rule
from ..inference.sampling import Sampler, Sampling
from ..inference.token_grammar import GrammarError, TokenGrammar
from ..inference.writer import Limits, Writer
from ..messages import Message
from ..model import Delta, Finish, ModelInfo, ModelRequest, ToolSpec
from ..wire import JsonObject
from .local_chat_loaded import LoadedChat, load_chat
from .local_chat_settings import ChatSettings, chat_settings
from .local_session import Notify, Work, load_session

_LEAST_ANSWER = 16
"""With room for fewer tokens a conversation is too long."""
_PART = "text"
_HEAD = '{"name": "'
_CHOOSE = "Answer with the name of the tool that fits what the user wants."
_AS_JSON = "Answer with JSON of this form and nothing else: "


class _Words:
    """Tells an answer in words."""

    def __init__(self) -> None:
        self.text = ""

    def tell(self, piece: str) -> list[Delta]:
        start: list[Delta] = [] if self.text else [TextStart(_PART)]
        self.text += piece
        return [*start, TextDelta(_PART, piece)]

    def end(self) -> list[Delta]:
        return [TextEnd(_PART)] if self.text else []


class _Call:
    """Tells an answer that is a call; so many characters of it come before the arguments."""

    def __init__(self, call_id: str, name: str, head_length: int) -> None:
        self._id = call_id
        self._name = name
        self._head_length = head_length
        self._text = ""

    def tell(self, piece: str) -> list[Delta]:
        start: list[Delta] = [] if self._text else [ToolCallStart(self._id, self._name)]
        told = max(len(self._text), self._head_length)
        self._text += piece
        return [*start, ToolCallDelta(self._id, self._text[told:])] if len(self._text) > told else start

    def end(self) -> list[Delta]:
        return [ToolCallEnd(self._id, self._name, self._text[self._head_length :])]


@dataclass(frozen=True, slots=True)
class _Plan:
    """An answer that is to be written."""

    ids: list[int]
    writer: Writer
    constraint: Constraint | None
    begun: Feed | None
    teller: _Words | _Call


class LocalChatModel:
    """A chat model of `host.inference`, loaded when it is first asked."""

    def __init__(self, name: str, host: Host, settings: ChatSettings | None = None) -> None:
        self._host = host
        self._settings = settings or ChatSettings()
        self._known = CATALOG.get(name, KnownModel("chat", 0))
        self._info = ModelInfo(
            "local",
            name,
            context_length=self._known.context_length,
            is_local=True,
            is_configured=host.inference is not None,
            has_parallel_tools=False,
            has_json_schema=True,
        )

    @property
    def info(self) -> ModelInfo:
        """What is known of it before it is loaded."""
        return self._info

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        """Answer in words, in JSON that fits a schema, or with one call.

        Raises `ContextLengthError`, `UnsupportedError` and `ModelUnavailableError` before the first word.
        """
        answer = _Answer(self._host, self._info, self._known, self._settings_for(request), request)
        async with aclosing(answer.stream()) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                yield delta

    def _settings_for(self, request: ModelRequest) -> ChatSettings:
        settings = self._settings
        if request.extra:
            options = {name: getattr(settings, name) for name in ChatSettings.__slots__}
            settings = chat_settings({**options, **request.extra})
        if request.temperature is not None:
            settings = replace(settings, temperature=request.temperature)
        if request.max_output_tokens is not None:
            settings = replace(settings, max_output_tokens=request.max_output_tokens)
        return settings


class _Answer:
    """One answer of a model."""

    def __init__(
        self, host: Host, info: ModelInfo, known: KnownModel, settings: ChatSettings, request: ModelRequest
    ) -> None:
        self._host = host
        self._info = info
        self._known = known
        self._settings = settings
        self._request = request
        self._usage = Usage()
        self._metadata: JsonObject = {}

    async def stream(self) -> AsyncIterator[Delta]:
        opening = Work(self._open)
        async with aclosing(opening.notices()) as notices:  # type: ignore[type-var]
            async for notice in notices:
                yield notice
        loaded = opening.result
        async with loaded.engine.session.lock:
            beginning = Work(lambda notify: self._begin(loaded, notify))
            async with aclosing(beginning.notices()) as notices:  # type: ignore[type-var]
                async for notice in notices:
                    yield notice
            plan, candidates = beginning.result
            yield ModelStart(self._info.id)
            async with aclosing(plan.writer.write(candidates, plan.begun)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    for delta in plan.teller.tell(piece):
                        yield delta
        # Whoever reads the end of an answer may ask this model again before reading on.
        for delta in plan.teller.end():
            yield delta
        yield self._finish(loaded, plan)

    async def _open(self, notify: Notify) -> LoadedChat:
        session = await load_session(self._host, self._info, notify)
        try:
            loaded = await load_chat(session, self._known)
        except ModelError as error:
            self._named(error)
            raise
        # What was made keeps a worker busy for 50 ms and more in Pyodide; who wants to stop is heard here.
        await asyncio.sleep(0)
        if self._request.output_schema or self._settings.pattern or self._has_tools:
            loaded.make_vocabulary()
            await asyncio.sleep(0)
        return loaded

    @property
    def _has_tools(self) -> bool:
        return bool(self._request.tools) and self._request.tool_choice != "none"

    async def _begin(self, loaded: LoadedChat, notify: Notify) -> tuple[_Plan, Candidates | None]:
        """Decide what to write, and compute all that comes before it."""
        try:
            tool = await self._choose_tool(loaded) if self._has_tools else None
            plan = self._plan_words(loaded) if tool is None else self._plan_call(loaded, tool)
        except (GrammarError, PatternError) as error:
            raise self._named(UnsupportedError(f"{self._info.id} can't write such an answer: {error}")) from error
        except ModelError as error:
            self._named(error)
            raise
        begun = plan.begun
        if begun is not None and begun.is_done:
            self._count(len(plan.ids), 0)
            return plan, None
        size = 4 * len(plan.ids)

        def report(done: int, count: int) -> None:
            if count > 4 * self._settings.prefill_tokens and done % (4 * self._settings.prefill_tokens) == 0:
                notify(Progress(self._info.id, "load", "prompt", size * done // count, size))

        candidates, cached = await loaded.engine.prefill(
            plan.ids + (begun.token_ids if begun else []),
            top_k=self._settings.candidates,
            step=self._settings.prefill_tokens,
            report=report,
        )
        self._count(len(plan.ids), min(cached, len(plan.ids)))
        return plan, candidates

    async def _choose_tool(self, loaded: LoadedChat) -> ToolSpec | None:
        """Choose the tool to call; None when it is better to answer in words."""
        request, engine, step = self._request, loaded.engine, self._settings.prefill_tokens
        is_free = request.tool_choice == "auto"
        if is_free and (self._settings.call_at <= 0 or request.messages[-1].role == "tool"):
            return None
        tools = {tool.name: tool for tool in request.tools}
        if len(tools) == 1 and not is_free:
            return next(iter(tools.values()))
        head = engine.tokenizer.encode(_HEAD)
        prompt = [*self._choosing_ids(loaded, self._newest()), *head]
        self._room(loaded, prompt)
        neutral = [*self._choosing_ids(loaded, [Message.user("")]), *head]
        prefix = neutral[: common_length(prompt, neutral)]
        was_kept = await engine.prefill_prefix(prefix, step=step)
        scores, cached = await score_names(engine, prompt, list(tools), step=step)
        key = f"{prefix}"
        if key not in loaded.priors:
            loaded.priors.clear()
            loaded.priors[key], _ = await score_names(engine, neutral, list(tools), step=step, is_whole=True)
        gains = without_prior(scores, loaded.priors[key])
        best, second = (*gains, *gains)[:2]
        self._metadata["tools"] = {name: round(value, 3) for name, value in gains.items()}
        self._count(len(prompt), cached if was_kept else cached - len(prefix))
        return tools[best] if not is_free or gains[best] - gains[second] >= self._settings.call_at else None

    def _choosing_ids(self, loaded: LoadedChat, messages: Sequence[Message]) -> list[int]:
        return loaded.template.prompt(_CHOOSE, [*tool_examples(self._request.tools), *messages])

    def _plan_words(self, loaded: LoadedChat) -> _Plan:
        system, schema, pattern = self._system, self._request.output_schema, self._settings.pattern
        if schema is not None:
            system = f"{system or self._known.system}\n\n{_AS_JSON}{describe_schema(schema)}".strip()
        ids = loaded.template.prompt(system, self._request.messages, loaded.engine.spelling)
        budget = self._room(loaded, ids)
        grammar = None
        if schema is not None:
            style = replace(ANSWER, allow_quotes='"' in self._question)
            grammar = loaded.grammar(
                f"{style.allow_quotes}{json.dumps(schema)}", lambda: SchemaCompiler(style).rule(schema, schema)
            )
        elif pattern:
            grammar = loaded.grammar(pattern, lambda: regex_rule(pattern))
        return self._plan(loaded, ids, budget, grammar, _Words())

    def _plan_call(self, loaded: LoadedChat, tool: ToolSpec) -> _Plan:
        ids = self._choosing_ids(loaded, self._newest())
        budget = self._room(loaded, ids)
        head = f'{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "arguments": '
        style = replace(ANSWER, allow_quotes='"' in self._question)
        grammar = loaded.grammar(
            f"{style.allow_quotes}{head}{json.dumps(tool.parameters)}",
            lambda: Sequenced(Literal(head.encode()), SchemaCompiler(style).rule(tool.parameters, tool.parameters)),
        )
        return self._plan(loaded, ids, budget, grammar, _Call(self._host.new_id(), tool.name, len(head)))

    def _plan(
        self, loaded: LoadedChat, ids: list[int], budget: int, grammar: TokenGrammar | None, teller: _Words | _Call
    ) -> _Plan:
        settings = self._settings
        seed = settings.seed if settings.seed >= 0 else int(self._host.random() * (1 << 53))
        sampling = Sampling(**{name: getattr(settings, name) for name in Sampling.__slots__})
        limits = Limits(
            budget,
            loaded.end_ids,
            settings.stop if grammar is None else (),  # JSON that is cut off is none
            settings.candidates,
            settings.logprobs if settings.logprobs >= 0 else None,
        )
        constraint = None if grammar is None else Constraint(grammar, budget, loaded.end_ids)
        begun = None if constraint is None else constraint.begin()
        return _Plan(ids, Writer(loaded.engine, Sampler(sampling, seed), limits, constraint), constraint, begun, teller)

    def _room(self, loaded: LoadedChat, ids: Sequence[int]) -> int:
        """Give how many tokens the answer may have. Raises `ContextLengthError`."""
        wanted, length = self._settings.max_output_tokens, loaded.context_length
        room = length - len(ids) if length else wanted
        if room < min(wanted, _LEAST_ANSWER):
            raise self._named(
                ContextLengthError(
                    f"the conversation takes {len(ids)} of the {length} tokens that {self._info.id} can see, which "
                    f"leaves too few for an answer: begin a new one or ask more briefly"
                )
            )
        return min(wanted, room)

    @property
    def _system(self) -> str:
        return "\n\n".join(message.text for message in self._request.messages if message.role == "system").strip()

    def _newest(self) -> list[Message]:
        """Give the newest question and what followed it: older ones only mislead the choice of a tool."""
        messages = list(self._request.messages)
        place = max((place for place, message in enumerate(messages) if message.role == "user"), default=0)
        return messages[place:]

    @property
    def _question(self) -> str:
        return next((message.text for message in reversed(self._request.messages) if message.role == "user"), "")

    def _count(self, input_tokens: int, cached_tokens: int) -> None:
        self._usage += Usage(input_tokens=input_tokens, cached_tokens=max(cached_tokens, 0))

    def _finish(self, loaded: LoadedChat, plan: _Plan) -> Finish:
        writer, tokenizer = plan.writer, loaded.engine.tokenizer
        if isinstance(plan.teller, _Words) and not writer.was_stopped:
            loaded.engine.remember(plan.teller.text, writer.token_ids)
        constraint = plan.constraint
        if constraint is not None:
            self._metadata["grammar"] = {
                "choices": constraint.choices,
                "overrides": constraint.overrides,
                "forced_tokens": constraint.forced,
                "was_closed": constraint.was_closed,
            }
        if self._settings.logprobs >= 0:

            def shown(token_id: int, log_probability: float) -> JsonObject:
                text = tokenizer.decode([token_id])
                return {"token": text, "bytes": list(tokenizer.bytes_of[token_id]), "logprob": log_probability}

            self._metadata["logprobs"] = [
                {
                    **shown(score.token_id, score.log_probability),
                    "top_logprobs": [shown(*one) for one in score.likeliest],
                }
                for score in writer.scores
            ]
        usage = self._usage + Usage(output_tokens=len(writer.token_ids))
        reason = "tool_calls" if isinstance(plan.teller, _Call) else writer.finish_reason
        return Finish(reason, usage, self._metadata or None)

    def _named(self, error: ModelError) -> ModelError:
        error.provider, error.model = self._info.provider, self._info.name
        return error
