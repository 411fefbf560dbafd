"""The peers' runs in a Python of their own, each with its own fake model and nothing traced: lines as in `ours.py`."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

os.environ.update(OPENAI_AGENTS_DISABLE_TRACING="1", LOGFIRE_IGNORE_NO_CONFIG="1", OPENAI_API_KEY="none")
ARGUMENTS = '{"a": 1, "b": 2}'
QUESTION = "1 + 2, twice"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def run_pydantic(count: int, *, is_streamed: bool) -> None:
    """pydantic-ai with its `FunctionModel`; streamed, its events are read as ours are."""
    ai = importlib.import_module("pydantic_ai")
    messages = importlib.import_module("pydantic_ai.messages")
    function = importlib.import_module("pydantic_ai.models.function")

    def is_first(history: Any) -> bool:
        return len(history) == 1

    def answer(history: Any, _: Any) -> Any:
        if is_first(history):
            return messages.ModelResponse([messages.ToolCallPart("add", ARGUMENTS, name) for name in ("one", "two")])
        return messages.ModelResponse([messages.TextPart("done")])

    async def stream(history: Any, _: Any) -> AsyncIterator[Any]:
        if is_first(history):
            for place, name in enumerate(("one", "two")):
                yield {place: function.DeltaToolCall("add", ARGUMENTS, tool_call_id=name)}
        else:
            yield "done"

    model = function.FunctionModel(stream_function=stream) if is_streamed else function.FunctionModel(answer)
    agent = ai.Agent(model, tools=[add], instructions="Add.")
    for _ in range(count):
        if is_streamed:
            async with agent.run_stream_events(QUESTION) as events:
                kinds = [event.event_kind async for event in events]
            assert kinds.count("function_tool_result") == 2
        else:
            result = await agent.run(QUESTION)
            assert result.output == "done"


async def run_openai(count: int, *, is_streamed: bool) -> None:
    """openai-agents with a model of the tests' kind."""
    agents = importlib.import_module("agents")
    responses = importlib.import_module("openai.types.responses")
    usage = agents.Usage(requests=1, input_tokens=8, output_tokens=4, total_tokens=12)

    def items(given: Any) -> list[Any]:
        if isinstance(given, str) or not any(item.get("type") == "function_call_output" for item in given):
            return [
                responses.ResponseFunctionToolCall(
                    arguments=ARGUMENTS, call_id=name, name="add", type="function_call", id=name
                )
                for name in ("one", "two")
            ]
        text = responses.ResponseOutputText(text="done", type="output_text", annotations=[])
        return [
            responses.ResponseOutputMessage(
                id="m", content=[text], role="assistant", status="completed", type="message"
            )
        ]

    class FakeModel(agents.Model):  # type: ignore[misc,name-defined]
        async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> Any:
            return agents.ModelResponse(output=items(input), usage=usage, response_id=None)

        async def stream_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
            whole = responses.Response(
                id="r",
                created_at=0,
                model="fake",
                object="response",
                output=items(input),
                tool_choice="none",
                tools=[],
                parallel_tool_calls=True,
            )
            yield responses.ResponseCompletedEvent(type="response.completed", response=whole, sequence_number=0)

    agent = agents.Agent(name="a", instructions="Add.", model=FakeModel(), tools=[agents.function_tool(add)])
    settings = agents.RunConfig(tracing_disabled=True)
    for _ in range(count):
        if is_streamed:
            streamed = agents.Runner.run_streamed(agent, QUESTION, run_config=settings)
            kinds = [event.name async for event in streamed.stream_events() if event.type == "run_item_stream_event"]
            assert kinds.count("tool_output") == 2
        else:
            result = await agents.Runner.run(agent, QUESTION, run_config=settings)
            assert result.final_output == "done"


WORK = {"pydantic-ai": run_pydantic, "openai-agents": run_openai}


async def main() -> None:
    for line in sys.stdin:
        name, count = json.loads(line)
        package, _, mode = name.partition(", ")
        gc.collect()
        start = time.perf_counter()
        await WORK[package](count, is_streamed=mode == "streamed")
        print((time.perf_counter() - start) / count * 1e6, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
