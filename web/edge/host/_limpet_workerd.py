"""The Python side of `host.mjs`: make an instance of a class of `entry.py`, and call it."""

from __future__ import annotations

import entry
from workers import python_from_rpc, python_to_rpc


def create(name, ctx, env):
    """Make an instance as Cloudflare does: with the context and the environment, unwrapped."""
    return getattr(entry, name)(ctx, env)


async def call(instance, method, args):
    """Call a method with what crossed over, and give what crosses back."""
    return python_to_rpc(await getattr(instance, method)(*(python_from_rpc(arg) for arg in args)))
