"""The official `openai` package against a server of ours: `python openai_client.py URL KEY`. Prints JSON."""

import json
import sys

from openai import APIStatusError, OpenAI

client = OpenAI(base_url=f"{sys.argv[1]}v1", api_key=sys.argv[2], max_retries=0)
ADD = {
    "type": "function",
    "function": {
        "name": "client_add",
        "description": "Add.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    },
}


def whole(model, messages, **more):
    answer = client.chat.completions.create(model=model, messages=messages, **more)
    choice = answer.choices[0]
    return choice.message, choice.finish_reason, answer.usage.total_tokens


def streamed(model, messages, **more):
    text, reason, usage, calls = "", None, None, {}
    stream = client.chat.completions.create(
        model=model, messages=messages, stream=True, stream_options={"include_usage": True}, **more
    )
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
            for call in choice.delta.tool_calls or ():
                known = calls.setdefault(call.index, {"id": call.id, "name": call.function.name, "arguments": ""})
                known["arguments"] += call.function.arguments or ""
    return text, reason, usage.total_tokens, list(calls.values())


def with_tools(model):
    """A conversation in which the client runs its own tool."""
    messages = [{"role": "user", "content": "two and three"}]
    message, reason, _ = whole(model, messages, tools=[ADD])
    call = message.tool_calls[0]
    messages += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "5"}]
    answer, last_reason, _ = whole(model, messages, tools=[ADD])
    return [reason, call.function.name, call.function.arguments, last_reason, answer.content]


def refused():
    try:
        client.chat.completions.create(model="none", messages=[{"role": "user", "content": "hi"}])
    except APIStatusError as error:
        return [error.status_code, error.code]


hello = [{"role": "user", "content": "hello"}]
message, reason, tokens = whole("worker", hello)
print(
    json.dumps(
        {
            "models": [model.id for model in client.models.list()],
            "agent": [message.content, reason, tokens],
            "agent_stream": streamed("worker", hello),
            "agent_client_tools": with_tools("worker"),
            "gateway_stream": streamed("good", hello),
            "gateway_client_tools": with_tools("calling"),
            "gateway_tools_stream": streamed("calling", hello, tools=[ADD]),
            "embeddings": [item.embedding for item in client.embeddings.create(model="vectors", input=["a", "b"]).data],
            "refused": refused(),
        }
    )
)
