"""What counts as small talk, and what is said to it: a table.

A message is small talk when it has nothing else: greetings and the like, in any number, with words that carry nothing.
All else is a request or a question. The table is English. A small chat model is asked for its own words only where it
was seen to find fitting ones: of itself it says that it is a person, or a travel assistant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Talk:
    """One kind of small talk."""

    kind: str
    phrases: str
    """Its phrases, as regular expressions over a message in lower case without punctuation, `|` in between."""
    plain: str
    """What is said where nobody finds other words; `{abilities}` stands for what the tools do."""
    examples: tuple[tuple[str, str], ...] = ()
    """How a chat model is shown what to say; without any it isn't asked."""


TALKS = (
    Talk(
        "greeting",
        "hi|hiya|hello|hey|howdy|good (?:morning|afternoon|evening|day)|greetings|nice to meet you",
        "Hello! What can I do for you?",
        (("good evening", "Good evening! What can I do for you?"), ("hey there", "Hello! How can I assist you?")),
    ),
    Talk(
        "thanks",
        "thanks|thank you|thx|ty|cheers|much appreciated|i appreciate it|"
        "thats (?:very |so )?(?:kind|helpful)(?: of you)?",
        "You are welcome!",
        (("thank you so much", "You are very welcome!"),),
    ),
    Talk(
        "farewell",
        "bye|bye bye|good ?bye|good night|see you(?: later| soon| tomorrow)?|take care|have a (?:nice|good|great) "
        "(?:day|evening|weekend|one)|farewell|thats all(?: for (?:now|today))?",
        "Goodbye!",
        (("see you tomorrow", "See you tomorrow!"), ("good bye", "Goodbye! Have a good day!")),
    ),
    Talk(
        "praise",
        "ok|okay|great|perfect|nice|cool|awesome|wonderful|excellent|well done|good (?:job|work)|got it|alright|"
        "youre (?:great|the best|awesome)",
        "Glad to help!",
        (("wonderful", "I am glad to help!"),),
    ),
    Talk("apology", "sorry|im sorry|my bad|my mistake|excuse me|pardon(?: me)?|apologies", "No problem at all."),
    Talk(
        "feelings",
        "how are (?:you|things)(?: doing| today)*|hows it going|how do you do|whats up|sup|are you (?:ok|well|there)",
        "I am ready to help. What can I do for you?",
    ),
    Talk(
        "identity",
        "who are you|what are you|whats your name|what is your name|do you have a name|"
        "are you (?:a |an )?(?:bot|robot|ai|human|person|real|real person|machine|assistant)|who (?:made|built) you|"
        "introduce yourself|tell me about yourself",
        "I am a small assistant that runs on this device. {abilities}",
    ),
    Talk(
        "abilities",
        "help|help me|what can (?:you|i) (?:do|ask)(?: you)?(?: for me| here)?|how can you help(?: me)?|"
        "what do you do|what are you (?:able to do|good at|for)|what (?:tools|abilities|skills) do you have|"
        "how does this work|what is this",
        "{abilities}",
    ),
)
_FILLERS = (
    "there|again|everyone|all|friend|assistant|please|and|so much|a lot|a bunch|very much|very|so|then|now|for (?:that|"
    "it|everything|the help|your help)|that (?:was|is) (?:quick|fast|great|helpful|all)|my|oh|well|just|today|to you"
)


def small_talk(message: str) -> Talk | None:
    """Say which kind of small talk a message is, of several the last; None when it has anything else in it.

    >>> small_talk("Good morning! How are you?").kind
    'feelings'
    >>> small_talk("Thanks, now stop the timer")
    """
    words = " ".join(re.findall(r"[^\W_]+", re.sub(r"['\u2018\u2019]", "", message.lower())))
    found: tuple[int, Talk] | None = None
    pieces, fillers = _patterns()
    place = 0
    while place < len(words):
        matches = [(match.end(), talk) for talk, piece in pieces if (match := piece.match(words, place))]
        longest = max(matches, key=lambda one: one[0], default=None)
        filler = fillers.match(words, place)
        if longest is not None and (filler is None or longest[0] >= filler.end()):
            found = longest
            place = longest[0]
        elif filler is not None:
            place = filler.end()
        else:
            return None
    return found[1] if found else None


@cache
def _patterns() -> tuple[list[tuple[Talk, re.Pattern[str]]], re.Pattern[str]]:
    return [(talk, _pattern(talk.phrases)) for talk in TALKS], _pattern(_FILLERS)


def _pattern(phrases: str) -> re.Pattern[str]:
    # The longest of several phrases is the one that is meant, wherever it stands in the list.
    longest_first = "|".join(sorted(re.split(r"\|(?![^()]*\))", phrases), key=len, reverse=True))
    return re.compile(rf"(?:{longest_first})(?: |$)")
