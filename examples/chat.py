"""A conversation in two turns, streamed: `python examples/chat.py "your question"`.

Needs OPENAI_API_KEY in the environment; OPENAI_BASE_URL sends it elsewhere.
"""

from __future__ import annotations

import asyncio
import sys

from limpet import Agent, TextDelta
from limpet.hosts.cpython import create_host

agent = Agent(model="openai:gpt-5-mini", instructions="You are brief.")


async def main(question: str) -> None:
    """Ask, and ask once more about the answer: the host's storage remembers what was said."""
    host = create_host()
    for prompt in (question, "Say that in one word."):
        print(f"> {prompt}")
        async for event in agent.run(prompt, host=host, conversation_id="example"):
            if isinstance(event, TextDelta):
                print(event.text, end="", flush=True)
        print()


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "What is a limpet?"))
