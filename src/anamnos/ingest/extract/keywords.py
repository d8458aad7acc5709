"""What a text is about: its key phrases, by RAKE.

Source: Rose et al., Automatic keyword extraction from individual documents (2010): phrases lie between stop words; a
word scores its degree over its frequency, a phrase the sum of its words. Ours: at most three words a phrase, and
words of mere talk are stop words. Only the text itself counts, so the same text gives the same keywords at any time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

MAX_KEYWORDS = 8
MAX_PHRASE_WORDS = 3
MAX_KEYWORD_CHARS = 60
_TOKEN = re.compile(r"[^\W_][\w'’\-]*|[^\w\s]|\n")
_TALK_WORDS = """yeah yes wow thanks thank hey hi oh ok okay haha lol really great good nice cool awesome amazing sure
    thing things stuff lot lots kind going got get gonna wanna know think feel like love want need make made take look
    looking let even still also well much many way bit one two something anything everything someone i'm i've i'll i'd
    it's that's you're we're don't didn't can't isn't wasn't won't they're there's what's let's you've we've he's she's
    glad happy guess definitely totally maybe absolutely super pretty back around ever last since always never say said
    tell told hear come came went keep give gave would time day days year years week weeks month months today tomorrow
    yesterday ago new big little first next another every hope sounds sound best better try trying started start shares
    photo during though both per each among must seems took using however got"""
_TALK = frozenset(_TALK_WORDS.split())

ContentWords = Callable[[str], Collection[str]]
"""Gives the words of a text that are no stop words, in lower case and without accents."""


def find_keywords(text: str, content_words: ContentWords, limit: int = MAX_KEYWORDS) -> tuple[str, ...]:
    """Return the key phrases of ``text`` in lower case, the best first; ties in the order of the text."""
    content = frozenset(content_words(text))
    phrases: list[tuple[str, ...]] = []
    run: list[str] = []
    for token in [*(match.group() for match in _TOKEN.finditer(text)), "\n"]:
        word = re.sub(r"['’]s?$", "", token.lower())
        bare = word.replace("’", "'")
        counts = word.isascii() is False or any(part in content for part in re.split(r"['\-]", bare))
        if word[:1].isalnum() and counts and bare not in _TALK and 2 < len(word) <= MAX_KEYWORD_CHARS // 2:
            run.append(word)
            if len(run) < MAX_PHRASE_WORDS:
                continue
        if run:
            phrases.append(tuple(run))
            run = []
    scores = _word_scores(phrases)
    ranked = sorted(dict.fromkeys(phrases), key=lambda phrase: -sum(scores[word] for word in phrase))
    return tuple(" ".join(phrase) for phrase in ranked[:limit])


def _word_scores(phrases: Sequence[Sequence[str]]) -> dict[str, float]:
    frequency: dict[str, int] = defaultdict(int)
    degree: dict[str, int] = defaultdict(int)
    for phrase in phrases:
        for word in phrase:
            frequency[word] += 1
            degree[word] += len(phrase)
    return {word: degree[word] / frequency[word] for word in frequency}
