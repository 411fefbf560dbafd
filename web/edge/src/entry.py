"""The Worker: its routes, and the two kinds of Durable Object. The names are those in `wrangler.jsonc`.

The agent is the file beside this one; `build.py edge AGENT.py --out DIR` puts it there.
"""

from __future__ import annotations

import agent as agent_file

from limpet.entrypoints import cloudflare
from limpet.entrypoints.agent_file import find_agent

agent = find_agent(vars(agent_file), "agent.py")
cloudflare.prepare(agent)


class Default(cloudflare.Front):
    """Takes every request; has no state of its own."""

    agent = agent


class Session(cloudflare.Session):
    """One conversation: its turns, its history, the streams that follow it."""

    agent = agent


class Ledger(cloudflare.Ledger):
    """What one key has used: requests, tokens and money."""
