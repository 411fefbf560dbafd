"""A second model helps when the first is slow or away, within a limit of money: `python examples/reliable.py`.

Needs GROQ_API_KEY and OPENAI_API_KEY in the environment and `limpet[providers]`; GROQ_BASE_URL and OPENAI_BASE_URL send
them elsewhere.
"""

from __future__ import annotations

import asyncio

from limpet import Agent, Fallback, Retry, TextDelta
from limpet.hosts.cpython import create_host
from limpet.layers.budget import Budget
from limpet.layers.circuit_breaker import CircuitBreaker
from limpet.layers.hedge import Hedge

budget = Budget(max_cost=0.05)
agent = Agent(
    model=["groq:openai/gpt-oss-20b", "openai:gpt-5-mini"],
    layers=[budget, Hedge(delay_seconds=0.5, to="openai:gpt-5-nano"), CircuitBreaker(max_failures=3)],
)


async def main() -> None:
    """Ask three times; whatever was tried is told, and what it cost."""
    host = create_host()
    for question in ("What is a limpet?", "Where does it live?", "What does it eat?"):
        print(f"> {question}")
        async for event in agent.run(question, host=host):
            match event:
                case TextDelta():
                    print(event.text, end="")
                case Fallback():
                    print(f"[{event.from_model} -> {event.to_model}: {event.reason}]")
                case Retry():
                    print(f"[{event.model} again: {event.reason}]")
        print()
    print(f"{budget.spent.usage.total_tokens} tokens for ${budget.spent.cost:.6f} of ${budget.max_cost}")


if __name__ == "__main__":
    asyncio.run(main())
