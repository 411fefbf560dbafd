"""A Worker that puts its own stores through the suite: `/durable_object/NAME` and `/kv/NAME`."""

from __future__ import annotations

import traceback

from store_suite import STORE_SCENARIOS
from workers import DurableObject, Response, WorkerEntrypoint, import_from_javascript

from limpet.stores.durable_object import DurableObjectStorage
from limpet.stores.kv import KvStorage

SCENARIOS = {scenario.__name__: scenario for scenario in STORE_SCENARIOS}


async def run(store, name: str):
    """Empty the store, run a scenario, and tell what went wrong."""
    try:
        for key in await store.keys():
            await store.delete(key)
        await SCENARIOS[name](store)
    except Exception:
        return Response(traceback.format_exc(), status=500)
    return Response("passed")


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        kind, name = str(request.url).split("/")[-2:]
        env = import_from_javascript("cloudflare:workers").env
        if name == "health":
            return Response("ok")
        if kind == "kv":
            return await run(KvStorage(env.CACHE), name)
        stub = env.SESSION.get(env.SESSION.idFromName("suite"))
        return Response(await stub.fetch(request.js_object))


class Session(DurableObject):
    async def fetch(self, request):
        storage = self.ctx._ctx.storage
        store = DurableObjectStorage(storage)
        kind, name = str(request.url).split("/")[-2:]
        if kind == "put":
            await store.put(name, b"kept " * 500_000)
            await store.sync()
            return Response("put")
        if kind == "get":
            return Response(str(await store.get(name) == b"kept " * 500_000))
        if kind == "newer":
            storage.sql.exec("UPDATE schema_version SET version = 2")
            try:
                DurableObjectStorage(storage)
            except Exception as error:
                return Response(f"{type(error).__name__}: {error}")
            finally:
                storage.sql.exec("UPDATE schema_version SET version = 1")
        return await run(store, name)


class Ledger(DurableObject):
    pass
