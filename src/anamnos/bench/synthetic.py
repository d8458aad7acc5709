"""Made-up conversations of any size, and vectors for them without a model. The same seed gives the same bytes.

Words are drawn from a Zipf-Mandelbrot distribution, whose most frequent words are those of English; a turn is one
to three sentences, about 130 characters; two people talk in sessions of 20 turns, a session a day.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anamnos.embed.base import Tokens, Vectors

SESSION_TURNS = 20
_WORD = re.compile(r"\w+")
SPEAKERS = ("Ines", "Marek")
_VOCABULARY = 30_000
_SHIFT, _EXPONENT = 2.7, 1.15  # Mandelbrot's two constants, near those of English
_FREQUENT = (
    "the i to and a you it of that in was for my is so have me we on with but be this are do just not like at all"
    " what about really your get know they had been up out there if can when from as time one good how would he she"
    " or some think them going see more new day did work will people well an also by great go been were has who"
    " him her their than then now over only much love back got make want too very"
)
_ONSETS = "b c d f g h j k l m n p r s t v w br cl dr fl gr pl pr sh sl st th tr ch"
_NUCLEI = "a e i o u ai ea ee io oo ou"
_CODAS = "b d g l m n p r s t x ck nd ng nt rt st"
_OPEN_SHARE = 8 / 25  # of words end in a vowel
_FIRST_DAY = datetime(2024, 1, 1, 18, tzinfo=UTC)


def vocabulary(rng: np.random.Generator, size: int = _VOCABULARY) -> list[str]:
    """Return that many distinct words, the most frequent first; rarer ones tend to be longer."""
    words = list(dict.fromkeys(_FREQUENT.split()))
    known = set(words)
    onsets, nuclei, codas = _ONSETS.split(), _NUCLEI.split(), _CODAS.split()
    while len(words) < size:
        syllables = int(rng.integers(1, 3)) + (len(words) > size // 20) + (rng.random() < 0.2)
        parts = [kind[int(rng.integers(len(kind)))] for _ in range(syllables) for kind in (onsets, nuclei)]
        if rng.random() > _OPEN_SHARE:
            parts.append(codas[int(rng.integers(len(codas)))])
        word = "".join(parts)
        if word not in known:
            known.add(word)
            words.append(word)
    return words


def texts(count: int, seed: int = 0) -> list[str]:
    """Return ``count`` made-up turns of about 130 characters."""
    rng = np.random.default_rng(seed)
    words = np.array(vocabulary(rng), dtype=object)
    weights = np.cumsum(1 / (np.arange(len(words)) + 1 + _SHIFT) ** _EXPONENT)
    sentences = rng.integers(1, 4, size=count)
    lengths = np.clip(rng.normal(11, 4.5, size=int(sentences.sum())).round(), 2, 30).astype(int)
    drawn = words[np.searchsorted(weights, rng.random(int(lengths.sum())) * weights[-1])]
    said = [" ".join(part).capitalize() + "." for part in np.split(drawn, np.cumsum(lengths)[:-1])]
    ends = np.cumsum(sentences)
    return [" ".join(said[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def write_messages(path: Path, turns: Sequence[str]) -> None:
    """Write turns as a JSON Lines file of messages, with ids, speakers, sessions and times."""
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(turns):
            session, place = divmod(number, SESSION_TURNS)
            message = {
                "role": "user",
                "name": SPEAKERS[place % 2],
                "content": text,
                "id": f"m{number}",
                "session": f"s{session}",
                "created_at": (_FIRST_DAY + timedelta(days=session, minutes=place)).isoformat(),
            }
            file.write(json.dumps(message) + "\n")


def cues(turns: Sequence[str], count: int, seed: int = 1) -> list[str]:
    """Return questions: five to nine words in a row of some turn."""
    rng = np.random.default_rng(seed)
    asked = []
    for number in rng.choice(len(turns), size=count, replace=count > len(turns)):
        words = turns[int(number)].replace(".", "").split()
        length = int(rng.integers(5, 10))
        start = int(rng.integers(0, max(len(words) - length, 0) + 1))
        asked.append(" ".join(words[start : start + length]).capitalize() + "?")
    return asked


class StandInEmbedder:
    """Clustered unit vectors that depend on the text alone and cost next to nothing. They mean nothing.

    Each is the sum of one of 256 centres and two of 4,096 noise vectors, chosen by checksums of the text. A word is one
    of 4,096 vectors, chosen by its checksum, so that equal words match.
    """

    id = "stand-in-384"
    dim = 384
    token_dim = 48
    _CENTRES, _NOISES = 256, 4_096

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._centres = _unit(rng.standard_normal((self._CENTRES, self.dim), dtype=np.float32))
        self._noises = _unit(rng.standard_normal((self._NOISES, self.dim), dtype=np.float32))
        words = _unit(rng.standard_normal((self._NOISES, self.token_dim), dtype=np.float32))
        self._words = np.rint(127 * words).astype(np.int8)

    def embed(self, texts: Sequence[str]) -> Vectors:
        sums = [(zlib.crc32(data), zlib.adler32(data)) for data in (text.encode() for text in texts)]
        if not sums:
            return np.empty((0, self.dim), dtype=np.float32)
        first, second = np.array(sums, dtype=np.int64).T
        noise = self._noises[first // self._CENTRES % self._NOISES] + self._noises[second % self._NOISES]
        return _unit(self._centres[first % self._CENTRES] + 0.6 * noise)

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        tokens = []
        for text in texts:
            words = list(_WORD.finditer(text))
            starts = np.array([word.start() for word in words], dtype=np.int64)
            chosen = [zlib.crc32(word.group().lower().encode()) % self._NOISES for word in words]
            tokens.append(Tokens(starts, self._words[chosen]))
        return self.embed(texts), tokens


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
