"""An agent file that writes answers to schemas made by chance with a local model, on whatever host it is run.

`agent_source` makes it, whole in one file: a page's worker has none of our tests. The prompt of the run says how many,
and of which model. Its answer is JSON: how many were written, what each and all come to, and how long they took.
"""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).parent
_PARTS = ("chance", "random_schemas", "validate", "schema_sweep")
_AGENT = """
import gc, json, time
from limpet import Agent
from limpet.events import ModelStart, TextDelta, TextEnd, TextStart
from limpet.host import Host
from limpet.model import Finish, ModelInfo

SOURCE = {source!r}


class Sweep:
    info = ModelInfo("local", "sweep", is_local=True)

    async def stream(self, request):
        yield ModelStart("local:sweep")
        yield TextStart("1")
        yield TextDelta("1", json.dumps(await self.run({model!r}, {seeds!r})))
        yield TextEnd("1")
        yield Finish("stop")

    async def run(self, name, seeds):
        names = {{"__name__": "sweep"}}
        exec(compile(SOURCE, "sweep", "exec"), names)
        from limpet.inference.bpe import BpeTokenizer
        host = next(thing for thing in gc.get_objects() if type(thing) is Host and thing.inference is not None)
        session = await host.inference.load(name, lambda *_: None)
        tokenizer = BpeTokenizer.parse(await session.read("tokenizer.json"))
        engine, vocabulary = names["Engine"](session, tokenizer), names["Vocabulary"](tokenizer)
        start, end = (tokenizer.markers[text] for text in ("<|im_start|>", "<|im_end|>"))
        prompt = [start, *tokenizer.encode("user\\nAnswer in JSON."), end, start, *tokenizer.encode("assistant\\n")]
        began = time.monotonic()
        texts = []
        for seed in range(*seeds):
            texts.append(await names["write"](seed, engine, vocabulary, frozenset([0, start, end]), prompt))
        seconds = time.monotonic() - began
        digests = [names["digest_of"]([text]) for text in texts]
        return {{
            "count": len(texts),
            "digest": names["digest_of"](texts),
            "digests": digests,
            "seconds": round(seconds, 2),
        }}


agent = Agent(model=[Sweep(), "local:{model}"])
"""


def agent_source(model: str, first: int, last: int) -> str:
    """Give the agent file that writes the answers of some seeds, the last left out."""
    parts = [_FOLDER.joinpath(f"{name}.py").read_text(encoding="utf-8") for name in _PARTS]
    kept = [re.sub(r"(?m)^from (?:tests\.|__future__).*\n", "", part) for part in parts]
    return _AGENT.format(
        source="from __future__ import annotations\n" + "\n".join(kept), model=model, seeds=(first, last)
    )
