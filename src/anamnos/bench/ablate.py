"""What each channel of a recipe is worth: recall without it, and with each channel that the recipe does not have.

One vault per data set; only the recipe of the recaller changes between runs, and every text is embedded once.
"""

from __future__ import annotations

import importlib
import pkgutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from anamnos.bench import realtalk
from anamnos.bench.dialogues import Conversation, turn_id
from anamnos.bench.locomo import split
from anamnos.bench.metrics import recall_frac
from anamnos.bench.statistics import paired_difference
from anamnos.bench.surroundings import load_average, sha256, surroundings
from anamnos.bench.timing import Progress, quiet
from anamnos.embed.base import Embedder, TokenEmbedder, Tokens, Vectors, gives_tokens
from anamnos.errors import ConfigError, InvalidInput
from anamnos.memory import Memory
from anamnos.recall import channels
from anamnos.recall.channels.base import Channel
from anamnos.recall.fusion import WeightedChannel
from anamnos.recall.recipe import Recipe
from anamnos.recipes import RECIPES
from anamnos.types import Vector

DEPTH = 10
_PLACES = ("channels", "late")  # where a recipe has channels


class Change(NamedTuple):
    """A recipe with one channel more or less.

    weight  of that channel
    """

    name: str
    weight: float
    recipe: Recipe


def run_ablate(
    locomo: Path,
    embedder: Embedder,
    *,
    chats: Path | None = None,
    recipe: str = "zsum-v2",
    limit_conversations: int | None = None,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Return the JSON of the ablation.

    locomo               a LoCoMo file
    chats                the folder of the REALTALK chats, scored too if it is named
    limit_conversations  take only the first so many of the LoCoMo file

    ``sets`` has per data set n, ``recall_frac@10`` of the whole recipe, and ``changes``: each channel with the recall
    without it or with it, the difference to the whole recipe, and its 95 % interval over conversations (null if there
    is but one).
    Raises: ConfigError for an unknown recipe; InvalidInput for other data.
    """
    start, around = time.perf_counter(), surroundings()
    if recipe not in RECIPES:
        raise ConfigError(f"There is no recipe {recipe!r}.", hint=f"Use: {', '.join(RECIPES)}.")
    remembering = RememberingEmbedder(embedder)
    sets: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder:
        talks = split(locomo, Path(folder), limit_conversations)
        about = {"name": locomo.name, "sha256": sha256(locomo)}
        sets["LoCoMo"] = _ablated("LoCoMo", talks, about, remembering, recipe, Path(folder) / "locomo", progress)
        if chats is not None:
            talks = realtalk.chats(chats)
            about = realtalk.about(chats, talks)
            sets["REALTALK"] = _ablated("REALTALK", talks, about, remembering, recipe, Path(folder) / "chats", progress)
    result: dict[str, Any] = {
        "benchmark": "ablate",
        **around,
        "recipe": served(RECIPES[recipe], embedder).name,
        "embedder": {"id": embedder.id, "dim": embedder.dim},
        "sets": sets,
    }
    result["machine"]["load_average_at_end"] = load_average()
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


def served(recipe: Recipe, embedder: Embedder) -> Recipe:
    """Return the recipe that is used with this embedder, and that nothing takes the place of."""
    whole = recipe if recipe.otherwise is None or gives_tokens(embedder) else recipe.otherwise
    return replace(whole, otherwise=None)


def changes_of(recipe: Recipe) -> list[Change]:
    """Return the recipe without each of its channels, then with each channel that it lacks.

    A channel is added with the weight that the first other recipe with it gives it; one that no recipe has, with 1.
    """
    found = []
    for place in _PLACES:
        parts: tuple[WeightedChannel, ...] = getattr(recipe, place)
        for part in parts:
            rest = tuple(other for other in parts if other is not part)
            found.append(Change(f"without {part.channel.name}", part.weight, _with(recipe, place, rest)))
    known = {part.channel.name for place in _PLACES for part in getattr(recipe, place)}
    in_recipes = [(place, part) for other in RECIPES.values() for place in _PLACES for part in getattr(other, place)]
    anywhere = [("channels", WeightedChannel(channel, 1.0)) for channel in _every_channel()]
    for place, part in (*in_recipes, *anywhere):
        if part.channel.name not in known:
            known.add(part.channel.name)
            more = _with(recipe, place, (*getattr(recipe, place), part))
            found.append(Change(f"with {part.channel.name}", part.weight, more))
    return found


def _with(recipe: Recipe, place: str, parts: tuple[WeightedChannel, ...]) -> Recipe:
    return replace(recipe, late=parts) if place == "late" else replace(recipe, channels=parts)


def _every_channel() -> Iterator[Channel]:
    """Yield every channel there is, with each value of a parameter that has a list of values and no default."""
    for file in pkgutil.iter_modules(channels.__path__):
        module = importlib.import_module(f"{channels.__name__}.{file.name}")
        for kind in vars(module).values():
            if not (isinstance(kind, type) and kind.__module__ == module.__name__ and is_dataclass(kind)):
                continue
            if not kind.__name__.endswith("Channel"):
                continue
            hints = get_type_hints(kind)
            needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
            for values in product(*(get_args(hints[name]) for name in needed)):
                yield cast(Channel, kind(*values))


@dataclass
class RememberingEmbedder:
    """Another embedder that embeds no text twice."""

    inner: Embedder
    _vectors: dict[str, Vector] = field(default_factory=dict)
    _tokens: dict[str, Tokens] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.inner.id

    @property
    def dim(self) -> int:
        return self.inner.dim

    @property
    def token_dim(self) -> int:
        return self.inner.token_dim if gives_tokens(self.inner) else 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        if new := _new(texts, self._vectors):
            self._vectors.update(zip(new, self.inner.embed(new), strict=True))
        return np.array([self._vectors[text] for text in texts], dtype=np.float32).reshape(len(texts), self.dim)

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        if new := _new(texts, self._tokens):
            vectors, tokens = cast(TokenEmbedder, self.inner).embed_tokens(new)
            self._vectors.update(zip(new, vectors, strict=True))
            self._tokens.update(zip(new, tokens, strict=True))
        return self.embed(texts), [self._tokens[text] for text in texts]


def _new(texts: Sequence[str], known: Mapping[str, object]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text not in known))


def _ablated(
    name: str,
    talks: Sequence[Conversation],
    about: Mapping[str, Any],
    embedder: Embedder,
    recipe: str,
    vault: Path,
    progress: Progress,
) -> dict[str, Any]:
    whole_recipe = served(RECIPES[recipe], embedder)
    changes = changes_of(whole_recipe)
    clusters = [talk.id for talk in talks for question in talk.questions if question.evidence]
    if not clusters:
        raise InvalidInput(f"{about['name']} has no questions with evidence.")
    with Memory(vault, embedder=embedder, recipe=recipe) as memory:
        for done, talk in enumerate(talks, start=1):
            progress(f"{name}: ingest", done, len(talks))
            memory.ingest(talk.path, talk.scope)
            memory.enrich(talk.scope)  # for the channels of facts; plain searches pass them over
        whole = _recalls(memory, whole_recipe, talks)
        rows = []
        for done, change in enumerate(changes, start=1):
            recalls = _recalls(memory, change.recipe, talks)
            progress(f"{name}: recipes", done, len(changes))
            gain = paired_difference(whole, recalls, clusters)
            rows.append(
                {
                    "change": change.name,
                    "weight": change.weight,
                    f"recall_frac@{DEPTH}": round(float(recalls.mean()), 4),
                    "difference": round(gain.mean, 4),
                    "interval": None if np.isnan(gain.low) else [round(gain.low, 4), round(gain.high, 4)],
                }
            )
    return {
        "data": {**about, "conversations": len(talks)},
        "n": len(whole),
        f"recall_frac@{DEPTH}": round(float(whole.mean()), 4),
        "changes": rows,
    }


def _recalls(memory: Memory, recipe: Recipe, talks: Sequence[Conversation]) -> NDArray[np.float64]:
    """Return the recall of every question that has evidence, found by ``recipe``: (questions,)."""
    memory._recaller.recipe = recipe
    found = []
    for talk in talks:
        for question in talk.questions:
            if question.evidence:
                hits = memory.search(question.text, talk.scope, top_k=DEPTH)
                gold = {f"{talk.id}/{turn}" for turn in question.evidence}
                found.append(recall_frac([turn_id(hit) for hit in hits], gold, DEPTH))
    return np.array(found)
