"""What the worker of `page/ours-worker.ts` runs in Pyodide: the runtime as an agent in a page uses it, asked for times.

Words and replies are JSON text. It is read as text by the page and never imported here.
"""

import json
import time

from limpet.agent import Agent
from limpet.entrypoints.event_sender import EventSender
from limpet.events import TextDelta, ToolCallEnd
from limpet.hosts.browser import BridgeBackend, create_host
from limpet.hosts.loop import install_drain_loop
from limpet.inference.bpe import BpeTokenizer
from limpet.messages import Message
from limpet.model import Finish, ModelReference, ModelRequest, ToolSpec
from limpet.providers import create_embeddings
from limpet.providers.local_chat import LocalChatModel
from limpet.stores.memory import MemoryStorage

install_drain_loop()

MODEL = "smollm2"
EMBEDDINGS = "minilm"
SYSTEM = "You answer questions about a household."


class Bench:
    """Created with what JavaScript hands over; the address of the models; and where reports of events go."""

    def __init__(self, platform, models_url, post):
        self._platform = platform
        self._models_url = models_url
        self._post = post
        self._host = None
        self._texts = None
        self._phases = {}

    @classmethod
    def create(cls, *words):
        """Make one; a class alone would be asked for by JavaScript with `new`."""
        return cls(*words)

    def _open(self, threads):
        if self._host is None:
            self._host = create_host(
                fetch=self._platform.fetch,
                storage=MemoryStorage(),
                inference=BridgeBackend(
                    self._platform.inference, self._models_url, allow_download=True, threads=threads
                ),
                secret=lambda _: None,
            )
        return self._host

    async def load(self, words):
        """Load the chat model and read its tokenizer, as the first question does."""
        (threads,) = json.loads(words)
        host = self._open(threads)
        begin = time.perf_counter()
        last, step = begin, ""

        def progress(status, file, loaded, total):
            nonlocal last, step
            now = time.perf_counter()
            if step:
                self._phases[step] = self._phases.get(step, 0) + 1000 * (now - last)
            last, step = now, f"{status} {file}"

        session = await host.inference.load(MODEL, progress)
        begin_reading = time.perf_counter()
        data = await session.read("tokenizer.json")
        begin_parsing = time.perf_counter()
        BpeTokenizer.parse(data)
        self._phases["read tokenizer"] = 1000 * (begin_parsing - begin_reading)
        self._phases["parse tokenizer"] = _since(begin_parsing)
        return json.dumps(_since(begin))

    async def phases(self, words):
        """Say where the time of `load` went."""
        return json.dumps(self._phases)

    async def chat(self, words):
        """Answer a question with an agent; its events go to the page as they do in a page's worker."""
        system, user, tokens = json.loads(words)
        agent = Agent(ModelReference("local", MODEL), instructions=system, max_output_tokens=tokens)
        run = agent.run(user, host=self._host)
        sender = EventSender(lambda report: self._post(json.dumps(report, separators=(",", ":"))), "bench")
        number, usage = 0, None
        async for event in run:
            sender.add(event, number)
            number += 1
            usage = getattr(event, "usage", None) or usage
        return json.dumps({"input": usage.input_tokens, "cached": usage.cached_tokens, "output": usage.output_tokens})

    async def call(self, words):
        """Have a tool called."""
        user, tools = json.loads(words)
        request = ModelRequest(
            (Message.user(user),),
            tuple(ToolSpec(tool["name"], tool["description"], tool["parameters"]) for tool in tools),
            tool_choice="required",
            max_output_tokens=128,
        )
        begin = time.perf_counter()
        text, usage = "", None
        async for delta in LocalChatModel(MODEL, self._host).stream(request):
            if isinstance(delta, ToolCallEnd):
                text = f'{{"name": "{delta.name}", "arguments": {delta.arguments}}}'
            elif isinstance(delta, Finish):
                usage = delta.usage
        whole = _since(begin)
        computed = usage.input_tokens - usage.cached_tokens
        return json.dumps({"whole": whole, "text": text, "tokens": usage.output_tokens, "prefilled": computed})

    async def reuse(self, words):
        """Ask the last question of a conversation: with what the session holds, or with nothing."""
        messages, keep = json.loads(words)
        if not keep:
            session = await self._host.inference.load(MODEL, lambda *_: None)
            await session.reset()
        request = ModelRequest((Message.system(SYSTEM), *(_message(one) for one in messages)), max_output_tokens=4)
        begin = time.perf_counter()
        first, usage = None, None
        async for delta in LocalChatModel(MODEL, self._host).stream(request):
            if isinstance(delta, TextDelta) and first is None:
                first = _since(begin)
            elif isinstance(delta, Finish):
                usage = delta.usage
        return json.dumps({"first": first, "cached": usage.cached_tokens, "prompt": usage.input_tokens})

    async def turns(self, words):
        """Have a conversation of many short turns; give how many tokens it has at the end."""
        (count,) = json.loads(words)
        messages = []
        agent = Agent(ModelReference("local", MODEL), instructions=SYSTEM, max_output_tokens=8)
        tokens = 0
        for number in range(count):
            result = await agent.run(f"What is number {number} on the list?", host=self._host, messages=messages)
            messages = [one for one in result.messages if one.role != "system"]
            tokens = result.usage.input_tokens + result.usage.output_tokens
        return json.dumps(tokens)

    async def load_embeddings(self, words):
        """Load the model of embeddings, by giving a vector."""
        (threads,) = json.loads(words)
        begin = time.perf_counter()
        self._texts = create_embeddings(f"local:{EMBEDDINGS}", self._open(threads))
        await self._texts.embed(["a"])
        return json.dumps(_since(begin))

    async def embed(self, words):
        """Give a vector for each text."""
        (texts,) = json.loads(words)
        begin = time.perf_counter()
        vectors = await self._texts.embed(texts)
        return json.dumps({"milliseconds": _since(begin), "vectors": vectors})

    async def close(self, words):
        """Close the models."""
        for name in [MODEL] if self._texts is None else [EMBEDDINGS]:
            session = await self._host.inference.load(name, lambda *_: None)
            await session.close()
        return "null"


def _since(begin):
    return (time.perf_counter() - begin) * 1000


def _message(one):
    return Message.user(one["text"]) if one["role"] == "user" else Message.assistant(one["text"])
