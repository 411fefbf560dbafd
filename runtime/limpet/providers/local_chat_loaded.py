"""What is made once for a loaded chat model, and stays as long as its session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from ..errors import ModelUnavailableError
from ..host import InferenceSession
from ..inference.automaton import Rule
from ..inference.bpe import BpeTokenizer
from ..inference.catalog import KnownModel
from ..inference.chat_template import ChatTemplate
from ..inference.engine import Engine
from ..inference.token_grammar import TokenGrammar
from ..inference.vocabulary import Vocabulary
from ..json_schema import as_items

_MOST_GRAMMARS = 8


@dataclass(slots=True, weakref_slot=True)
class LoadedChat:
    """A chat model that is ready to be asked."""

    engine: Engine
    template: ChatTemplate
    end_ids: frozenset[int]
    """The tokens that end an answer."""
    context_length: int
    """In tokens; 0 when it isn't known."""
    priors: dict[str, dict[str, float]] = field(default_factory=dict)
    """What the model thinks of names of tools anyway, by the prompt."""
    _vocabulary: Vocabulary | None = None
    _grammars: dict[str, TokenGrammar] = field(default_factory=dict)

    def make_vocabulary(self) -> None:
        """Sort the vocabulary, unless that is done: grammars need it."""
        if self._vocabulary is None:
            self._vocabulary = Vocabulary(self.engine.tokenizer)

    def grammar(self, key: str, make: Callable[[], Rule]) -> TokenGrammar:
        """Give the grammar of a key, made anew when it isn't one of the last few."""
        grammar = self._grammars.pop(key, None)
        if grammar is None:
            assert self._vocabulary is not None
            grammar = TokenGrammar(self._vocabulary, make())
        self._grammars[key] = grammar
        while len(self._grammars) > _MOST_GRAMMARS:
            del self._grammars[next(iter(self._grammars))]
        return grammar


# Models are made anew for every run, a session stays: what was read from it stays with it.
_LOADED: WeakKeyDictionary[InferenceSession, LoadedChat] = WeakKeyDictionary()


async def load_chat(session: InferenceSession, known: KnownModel) -> LoadedChat:
    """Make what a chat model needs beside its session. Raises `ModelUnavailableError` for a model of another kind."""
    loaded = _LOADED.get(session)
    if loaded is not None:
        return loaded
    manifest = session.manifest
    if manifest.get("task", "chat") != "chat":
        raise ModelUnavailableError(f"this local model is for {manifest['task']!r}, not for 'chat'")
    described = manifest.get("tokenizer")
    file = described.get("file") if isinstance(described, dict) else None
    tokenizer = BpeTokenizer.parse(await session.read(str(file or "tokenizer.json")))
    context_length = manifest.get("context_length")
    loaded = LoadedChat(
        Engine(session, tokenizer),
        ChatTemplate(tokenizer, str(manifest.get("template", "chatml")), known.system),
        # Whatever else a template writes begins another message.
        frozenset([*tokenizer.markers.values(), *(int(str(one)) for one in as_items(manifest.get("eos_token_ids")))]),
        context_length if isinstance(context_length, int) else known.context_length,
    )
    # Another question may have been faster; one session has one engine.
    return _LOADED.setdefault(session, loaded)
