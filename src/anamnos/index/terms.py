"""Text to index terms: words, less stop words, stemmed and hashed. The same for memories and cues.

Words are cut by SQLite's unicode61 tokeniser (any script, accents removed), scripts without spaces give pairs of
characters, irregular past forms become their verb, Porter's algorithm stems the rest. A term is the CRC-32 of the
stem: four bytes, no vocabulary to keep, and nothing of the text left when a memory is deleted.
Source: spec of zsum-v1 with the measured gains of stems and irregular verbs (ours); Porter, Program 14 (1980).
"""

from __future__ import annotations

import math
import re
import threading
import zlib
from enum import IntEnum
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from anamnos.cube import MemCube

TERMS_VERSION = "porter-3"
"""Changes whenever the terms of some text change; a vault made with another one is indexed anew."""

_STOP_WORDS = frozenset(
    [
        "a",
        "about",
        "after",
        "again",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "but",
        "by",
        "can",
        "could",
        "d",
        "did",
        "do",
        "does",
        "doing",
        "don",
        "done",
        "down",
        "for",
        "from",
        "get",
        "got",
        "had",
        "has",
        "have",
        "having",
        "he",
        "her",
        "here",
        "hers",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "ll",
        "m",
        "ma",
        "me",
        "more",
        "most",
        "my",
        "no",
        "nor",
        "not",
        "now",
        "of",
        "off",
        "on",
        "once",
        "only",
        "or",
        "other",
        "our",
        "ours",
        "out",
        "over",
        "own",
        "re",
        "s",
        "same",
        "she",
        "should",
        "so",
        "some",
        "such",
        "t",
        "than",
        "that",
        "the",
        "their",
        "theirs",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "under",
        "until",
        "up",
        "ve",
        "very",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
        "yours",
        "hey",
        "hi",
        "hello",
        "yeah",
        "yes",
        "oh",
        "ok",
        "okay",
        "wow",
        "haha",
        "lol",
        "thanks",
        "thank",
        "well",
        "really",
    ]
)

_IRREGULAR = {
    past: verb
    for verb, pasts in {
        "be": "being",
        "become": "became",
        "begin": "began begun",
        "bite": "bit bitten",
        "break": "broke broken",
        "bring": "brought",
        "build": "built",
        "buy": "bought",
        "catch": "caught",
        "choose": "chose chosen",
        "come": "came",
        "drink": "drank drunk",
        "draw": "drew drawn",
        "drive": "drove driven",
        "eat": "ate eaten",
        "fall": "fell fallen",
        "feed": "fed",
        "feel": "felt",
        "fight": "fought",
        "find": "found",
        "fly": "flew flown",
        "forget": "forgot forgotten",
        "freeze": "froze frozen",
        "give": "gave given",
        "go": "went gone",
        "grow": "grew grown",
        "hang": "hung",
        "hear": "heard",
        "hide": "hid hidden",
        "hold": "held",
        "keep": "kept",
        "know": "knew known",
        "lead": "led",
        "leave": "left",
        "lend": "lent",
        "lie": "lay lain",
        "lose": "lost",
        "make": "made",
        "mean": "meant",
        "meet": "met",
        "pay": "paid",
        "ride": "rode ridden",
        "ring": "rang rung",
        "rise": "rose risen",
        "run": "ran",
        "say": "said",
        "see": "saw seen",
        "seek": "sought",
        "sell": "sold",
        "send": "sent",
        "shake": "shook shaken",
        "shoot": "shot",
        "show": "shown",
        "sing": "sang sung",
        "sit": "sat",
        "sleep": "slept",
        "speak": "spoke spoken",
        "spend": "spent",
        "stand": "stood",
        "steal": "stole stolen",
        "strike": "struck",
        "swim": "swam swum",
        "take": "took taken",
        "teach": "taught",
        "tear": "tore torn",
        "tell": "told",
        "think": "thought",
        "throw": "threw thrown",
        "understand": "understood",
        "wake": "woke woken",
        "wear": "wore worn",
        "win": "won",
        "write": "wrote written",
        "child": "children",
        "person": "people",
        "man": "men",
        "woman": "women",
        "foot": "feet",
        "tooth": "teeth",
    }.items()
    for past in pasts.split()
}

_NO_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_CACHE_WORDS = 200_000


CHAT_ROLES = frozenset({"user", "assistant", "system", "tool", "developer"})
"""Speakers that are no names: they say nothing about the content."""


def searchable_text(cube: MemCube) -> str:
    """Return what a text cube is embedded and indexed as: its words, with the name of who said them in front."""
    actor = cube.provenance.actor
    return cube.text if actor is None or actor.casefold() in CHAT_ROLES else f"{actor}: {cube.text}"


class Mark(IntEnum):
    """Terms that no word has: what else recall wants to know of a text. They follow its words and are no part of
    its length.

    QUESTION      it asks something: once
    ASKING        how much of it asks: four times the share of questions among its sentences, rounded up
    TIME_WORD     it names a day, a month, a year, or a time seen from now ("yesterday", "last week"): once
    FIRST_PERSON  its speaker speaks of themself: four times the number of I, me, my, we … over the square root of
                  its words, rounded
    TOLD          how much it tells of its speaker's life: see ``told``; in eighths, rounded
    ADDRESSING    how much it speaks to the other: eight times the number of "you" and its forms over the square root
                  of its words, rounded
    """

    QUESTION = 1
    TIME_WORD = 2
    FIRST_PERSON = 3
    ASKING = 4
    TOLD = 5
    ADDRESSING = 6


FIRST_WORD_TERM = 16
"""Terms below are marks."""

_FIRST_PERSON = re.compile(r"\b(?:i|me|my|mine|we|us|our)\b", re.IGNORECASE)
_SECOND_PERSON = re.compile(r"\b(?:you|your|yours|yourself|u|ur)\b", re.IGNORECASE)
_HOW_OFTEN = r"(?: (?:also|always|currently|even|finally|just|never|really|recently|still|usually))*"
_DID = re.compile(
    rf"\b(?:i|we)(?:['’]ve|['’]d| have| had)?{_HOW_OFTEN} (?:\w+ed|ate|began|bought|built|came|chose|did|drew|drove"
    r"|felt|found|gave|got|grew|had|knew|left|lost|made|met|ran|read|rode|sang|saw|sold|spent|spoke|stood|swam|taught|thought"
    r"|told|took|was|went|were|won|wore|wrote)\b",
    re.IGNORECASE,
)
_DOES = re.compile(
    rf"\b(?:i|we)(?:['’]m|['’]re| am| are)?{_HOW_OFTEN} (?:\w+ing|am|are|do|enjoy|go|hate|have|like|live|love|own|plan"
    r"|play|prefer|read|run|study|teach|try|use|want|work)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<=[a-z,;:] )[\"'“]?[A-Z][a-z]+")
_TITLE = re.compile(r"[\"“][A-Z]")
_SENTENCE = re.compile(r"[^.!?\n]*\w[^.!?\n]*[.!?]*")
_TIME_WORD = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|last|next|ago|recently|this (?:morning|week|weekend|month|year)|weeks?"
    r"|weekend|(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august"
    r"|september|october|november|december|\d{4})\b",
    re.IGNORECASE,
)


def marks(text: str) -> list[int]:
    """Return the marks of a text.

    >>> marks("I left. Did you see my hat last week?").count(Mark.ASKING)
    2
    """
    sentences = _SENTENCE.findall(text) if "?" in text else []
    asking = sum(sentence.endswith("?") for sentence in sentences) / max(len(sentences), 1)
    root = math.sqrt(1 + len(text.split()))
    personal = len(_FIRST_PERSON.findall(text)) / root
    addressed = len(_SECOND_PERSON.findall(text)) / root
    found = [Mark.QUESTION] * ("?" in text) + [Mark.TIME_WORD] * bool(_TIME_WORD.search(text))
    counted = [Mark.FIRST_PERSON] * round(4 * personal) + [Mark.ASKING] * math.ceil(4 * asking)
    counted += [Mark.TOLD] * round(8 * told(text)) + [Mark.ADDRESSING] * round(8 * addressed)
    return [int(mark) for mark in found + counted]


def told(text: str) -> float:
    """Return how much a text tells of its speaker's life, from 0 to about 2: what later questions ask about.

    What "I" or "we" did (1/4, at most 3 times) or do (1/10), names (1/8, at most 4), a title (.45), a number (.3).
    Source: ours; a linear fit on REALTALK and LoCoMo 0-1, rounded.
    """
    done = 0.25 * min(len(_DID.findall(text)), 3) + 0.1 * min(len(_DOES.findall(text)), 3)
    named = 0.125 * min(len(_NAME.findall(text)), 4) + 0.45 * bool(_TITLE.search(text))
    return done + named + 0.3 * any(map(str.isdigit, text))


class TermReader:
    """Reads terms out of texts. Thread-safe; made once and shared.

    >>> reader = TermReader()
    >>> reader.words("She went to the café, twice!")
    ['went', 'cafe', 'twice']
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._db = apsw.Connection(":memory:")
        self._cut = self._db.fts5_tokenizer("unicode61", ["remove_diacritics", "2"])
        self._stem = self._db.fts5_tokenizer("porter", ["unicode61", "remove_diacritics", "2"])
        self._terms: dict[str, int] = {}

    def words(self, text: str) -> list[str]:
        """Return the words of ``text`` that count, lower case, in order; stop words are left out."""
        with self._lock:
            cut = self._tokens(self._cut, text)
        words: list[str] = []
        for word in cut:
            if word.isascii():
                if word not in _STOP_WORDS:
                    words.append(word)
            else:
                words += _pairs(word)
        return words

    def spans(self, text: str) -> list[tuple[int, int, int]]:
        """Return (start, end, term) of each word that counts, in characters of ``text``, in its order.

        >>> TermReader().spans("To the café!")[0][:2]
        (7, 11)
        """
        with self._lock:
            cut: Any = self._cut(
                text.encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=True, include_colocated=False
            )
        place = range(len(text) + 1) if text.isascii() else _characters(text)
        return [
            (place[start], place[end], self.term(word if word.isascii() else _pairs(word)[0]))
            for start, end, word in cut
            if word not in _STOP_WORDS
        ]

    def term(self, word: str) -> int:
        """Return the term of one word of ``words``."""
        term = self._terms.get(word)
        if term is None:
            base = _IRREGULAR.get(word, word)
            with self._lock:
                stems = self._tokens(self._stem, base)
                if len(self._terms) >= _CACHE_WORDS:
                    self._terms.clear()
                term = max(zlib.crc32((stems[0] if stems else base).encode()), FIRST_WORD_TERM)
                self._terms[word] = term
        return term

    def terms(self, text: str) -> NDArray[np.uint32]:
        """Return the terms of ``text`` in its order, then its marks: (n,) uint32."""
        return np.array([self.term(word) for word in self.words(text)] + marks(text), dtype=np.uint32)

    @staticmethod
    def _tokens(tokenizer: apsw.FTS5Tokenizer, text: str) -> list[str]:
        found = tokenizer(
            text.encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False, include_colocated=False
        )
        return [str(word) for word in found]


def _characters(text: str) -> list[int]:
    """Return, for each byte of the text as UTF-8 and for its end, the number of the character it belongs to."""
    return [i for i, character in enumerate(text) for _ in character.encode()] + [len(text)]


def _pairs(word: str) -> list[str]:
    """Split runs of a script without spaces into overlapping pairs of characters; leave all else whole."""
    parts: list[str] = []
    end = 0
    for run in _NO_SPACES.finditer(word):
        if run.start() > end:
            parts.append(word[end : run.start()])
        text = run.group()
        parts += [text[i : i + 2] for i in range(len(text) - 1)] or [text]
        end = run.end()
    if end < len(word):
        parts.append(word[end:])
    return parts
