"""A local assistant, and a remote model for what it doesn't know: `python examples/assistant.py "your question" ...`.

Needs `limpet[local]` and the models needle and smollm2 in the folder that LIMPET_MODELS names (`build/models`:
`build.py models` makes them), and OPENAI_API_KEY in the environment; OPENAI_BASE_URL sends it elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from limpet import Agent, Fallback, ModelStart, TextDelta, ToolResult, tool
from limpet.hosts.cpython import create_host
from limpet.hosts.onnx_session import OnnxBackend


@tool
def set_timer(minutes: int, label: str = "") -> str:
    """Set a kitchen timer.

    Args:
        minutes: How long, in minutes.
        label: What it is for.
    """
    return f"timer set for {minutes} minutes" + (f" ({label})" if label else "")


agent = Agent(model=["local:assistant", "openai:gpt-5-mini"], tools=[set_timer])


async def main(*questions: str) -> None:
    """Ask each question by itself; say who answered, and how sure it was."""
    host = create_host(inference=OnnxBackend(Path(os.environ.get("LIMPET_MODELS", "build/models"))))
    for question in questions:
        print(f"> {question}")
        async for event in agent.run(question, host=host):
            match event:
                case ModelStart():
                    print(f"[{event.model}{'' if event.confidence is None else f', {event.confidence:.0%} sure'}]")
                case Fallback():
                    print(f"[{event.from_model} -> {event.to_model}: {event.reason}]")
                case ToolResult():
                    print(f"{event.name}: {event.content}")
                case TextDelta():
                    print(event.text, end="", flush=True)
        print()


if __name__ == "__main__":
    asyncio.run(main(*(sys.argv[1:] or ["good morning", "ten minutes for the eggs", "who painted the Mona Lisa?"])))
