"""A search by meaning over a few sentences: `python examples/embeddings.py "who cooks?"`.

Needs OPENAI_API_KEY in the environment; OPENAI_BASE_URL sends it elsewhere.
"""

from __future__ import annotations

import asyncio
import sys
from math import sqrt

import limpet
from limpet.hosts.cpython import create_host
from limpet.providers import create_embeddings

SENTENCES = (
    "Limpets cling to rocks between the tides.",
    "The chef makes a soup of leeks.",
    "The train to the coast leaves at nine.",
)


def cosine(one: list[float], other: list[float]) -> float:
    """Give how alike two vectors are, -1 to 1."""
    lengths = sqrt(sum(x * x for x in one)) * sqrt(sum(y * y for y in other))
    return sum(x * y for x, y in zip(one, other, strict=True)) / lengths


async def main(question: str) -> None:
    """Print the sentences, the nearest to the question first."""
    model = create_embeddings(limpet.model("openai:text-embedding-3-small"), create_host())
    vectors = await model.embed(SENTENCES)
    [asked] = await model.embed([question], purpose="query")
    scores = [cosine(asked, vector) for vector in vectors]
    for score, sentence in sorted(zip(scores, SENTENCES, strict=True), reverse=True):
        print(f"{score:+.3f} {sentence}")


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "who cooks?"))
