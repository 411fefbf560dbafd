"""Requests with a history, by the name of the recording that is made with each: what must go back to a provider."""

from __future__ import annotations

from dataclasses import replace

from limpet.messages import ImagePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from limpet.model import ModelRequest
from limpet.wire import JsonObject
from tests.suites.model_suite import QUESTION, SYSTEM, TOOLS

OTHER = "openai_compatible:some-other-model"
PICTURE = "iVBORw0KGgo="


def after_a_call(
    model: str, *, thought: JsonObject, call: JsonObject | None = None, said: JsonObject | None = None
) -> ModelRequest:
    """Make a conversation in which `model` thought, spoke and called; the metadata is what must go back with each.

    A picture is in it, a result that is an error, a call that nobody answered, and an answer of another model whose
    opaque data must not go out.
    """
    return ModelRequest(
        (
            SYSTEM,
            Message("user", (TextPart("Is this egg done?"), ImagePart(media_type="image/png", data=PICTURE))),
            Message(
                "assistant",
                (
                    ReasoningPart("Another model's thought.", {"signature": "FOREIGN", "block": {"type": "foreign"}}),
                    TextPart("I look at the clock.", {"foreign": True}),
                    ToolCallPart("call-0", "stop_timers", "{not json", {"thoughtSignature": "FOREIGN"}),
                ),
                model=OTHER,
            ),
            Message.user("And now?"),
            Message(
                "assistant",
                (
                    ReasoningPart("Ten minutes more.", thought),
                    TextPart("One moment.", said),
                    ToolCallPart("call-1", "set_timer", '{"minutes": 10, "label": "eggs"}', call),
                    ToolCallPart("call-2", "stop_timers", "{}"),
                ),
                model=model,
            ),
            Message(
                "tool",
                (
                    ToolResultPart("call-1", "set_timer", {"timer": 1}),
                    ToolResultPart("call-2", "stop_timers", "there are no timers", is_error=True),
                ),
            ),
            Message.user("Thanks. Is it running?"),
        ),
        tools=TOOLS,
        tool_choice="none",
        max_output_tokens=500,
        temperature=0.5,
    )


CONVERSATIONS = {
    "thoughts_and_results_go_back": after_a_call("ollama:qwen3:8b", thought={}),
    "plan_goes_back": after_a_call("cohere:command-a-03-2025", thought={"tool_plan": True}),
    "signed_reasoning_goes_back": after_a_call("bedrock:amazon.nova-lite-v1:0", thought={"signature": "c2lnbmVk"}),
    "results_go_back": after_a_call("workers_ai:@cf/meta/llama-3.3-70b-instruct-fp8-fast", thought={}),
    "reasoning_details_go_back": after_a_call(
        "openrouter:anthropic/claude-sonnet-4",
        thought={"reasoning_details": [{"type": "reasoning.text", "text": "Ten.", "signature": "c2ln", "index": 0}]},
        call={"extra_content": {"google": {"thought_signature": "Y2FsbA=="}}},
    ),
    "json_mode": replace(QUESTION, output_schema={"type": "object", "properties": {"minutes": {"type": "integer"}}}),
    "thought_signatures_go_back": after_a_call(
        "gemini:gemini-3-flash-preview",
        thought={"thoughtSignature": "dGhvdWdodA=="},
        said={"thoughtSignature": "c2FpZA=="},
        call={"thoughtSignature": "Y2FsbA==", "id": "server-1"},
    ),
    "reasoning_items_go_back": after_a_call(
        "openai:gpt-5-mini",
        thought={"item": {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABo"}},
        said={"id": "msg_1", "phase": "commentary"},
        call={"id": "fc_1"},
    ),
    "signed_thinking_goes_back": after_a_call("anthropic:claude-sonnet-4-5", thought={"signature": "c2lnbmVk"}),
}
"""By the name of the recording."""
