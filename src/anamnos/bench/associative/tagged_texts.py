"""Real texts with tags, and what classifiers make of them from few examples, alone and with feedback."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.feature_memory import FeatureMemory, FeatureMemorySpec
from anamnos.embed.base import Embedder
from anamnos.system.tagging import CONFIDENT, empty, suggestions_of

Vectors = NDArray[np.float32]
_CHARS = 200  # of each text are embedded

RELATIONS = {  # tag -> what it means, and how prompts of CounterFact say it
    "language": (
        "which language somebody speaks",
        r"language|mother tongue|native speaker|speaks|understand|writes in",
    ),
    "continent": ("which continent a place is on", r"continent"),
    "sport position": ("which position a player plays in", r"position|play(s)? as"),
    "instrument": ("which instrument a musician plays", r"plays$|performs|They play$"),
    "citizenship": ("of which country somebody is a citizen", r"citizen"),
    "twin city": ("which city is the twin of a city", r"twin city"),
    "maker": ("who made a product", r"created by|developed by|product of|produced by"),
    "workplace": ("in which city somebody worked", r"work(ed)? in|employ"),
    "headquarters": ("where a company has its headquarters", r"headquarter"),
    "broadcaster": ("on which channel a series was first shown", r"debut|premiere|originally aired"),
    "music genre": ("which genre of music somebody plays", r"genre"),
    "religion": ("which religion somebody has", r"religio"),
}


@dataclass(frozen=True, slots=True)
class Tagged:
    """Texts as vectors with the number of their tag, some to learn from, others to be tagged.

    names  vectors of what each tag means
    """

    title: str
    tags: Sequence[str]
    names: Vectors
    train: Vectors
    train_tags: NDArray[np.int64]
    test: Vectors
    test_tags: NDArray[np.int64]


def relations(folder: Path, embedder: Embedder, *, each: int) -> Tagged:
    """Return prompts of CounterFact with their relation; to be tagged are rephrasings about other subjects."""
    cases = json.loads(gzip.decompress((folder / "counterfact" / "counterfact_train.json.gz").read_bytes()))
    by_tag: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for case in cases:
        template = case["prompt"].replace(case["subject"], "").strip()
        fitting = [tag for tag, (_, pattern) in RELATIONS.items() if re.search(pattern, template)]
        if len(fitting) == 1:
            by_tag[fitting[0]].append((case["prompt"], case["rephrase_prompt"]))
    learn = {tag: [said for said, _ in pairs[:each]] for tag, pairs in by_tag.items()}
    asked = {tag: [again for _, again in pairs[each : 2 * each]] for tag, pairs in by_tag.items()}
    meanings = {tag: meaning for tag, (meaning, _) in RELATIONS.items()}
    return _embedded("relations (CounterFact)", learn, asked, meanings, embedder)


def topics(folder: Path, embedder: Embedder, *, each: int) -> Tagged:
    """Return what users said in PersonaMem, with the topic of their history; to be tagged are other conversations."""
    queries = json.loads(gzip.decompress((folder / "personamem" / "queries_32k.json.gz").read_bytes()))
    documents = json.loads(gzip.decompress((folder / "personamem" / "documents_32k.json.gz").read_bytes()))
    asked_about: dict[str, Counter[str]] = defaultdict(Counter)
    for query in queries:
        for document in query["gold_ids"]:
            asked_about[document][query["meta"]["topic"]] += 1
    learn: dict[str, list[str]] = defaultdict(list)
    asked: dict[str, list[str]] = defaultdict(list)
    for document in documents:
        (topic, _), *_ = asked_about[document["id"]].most_common(1)
        said = re.findall(r"\[USER\] User: (.+?)(?=\n\n\[|\Z)", document["content"], re.DOTALL)
        number = int(document["id"].rpartition("_")[2])
        (asked if number % 2 else learn)[topic] += [text for text in said if len(text) > 40]
    named = {topic: re.sub(r"([A-Z])", r" \1", topic).lower() for topic in learn}
    rng = np.random.default_rng(0)
    for pool in (learn, asked):
        for topic, texts in pool.items():
            pool[topic] = [texts[n] for n in rng.permutation(len(texts))[:each]]
    return _embedded("topics (PersonaMem)", learn, asked, named, embedder)


def _embedded(
    title: str,
    learn: Mapping[str, Sequence[str]],
    asked: Mapping[str, Sequence[str]],
    named: Mapping[str, str],
    embedder: Embedder,
) -> Tagged:
    tags = sorted(tag for tag in learn if len(learn[tag]) >= 20 and asked.get(tag))

    def vectors(texts: Sequence[str]) -> Vectors:
        return np.asarray(embedder.embed([text[:_CHARS] for text in texts]), dtype=np.float32)

    def all_of(pool: Mapping[str, Sequence[str]]) -> tuple[Vectors, NDArray[np.int64]]:
        numbers = np.repeat(np.arange(len(tags)), [len(pool[tag]) for tag in tags])
        return vectors([text for tag in tags for text in pool[tag]]), numbers

    return Tagged(title, tags, vectors([named[tag] for tag in tags]), *all_of(learn), *all_of(asked))


# --- what is compared


def memory(tagged: Tagged, policy: Any, **changed: Any) -> FeatureMemory:
    """Return an empty memory; one of ``dual`` knows what the tags mean."""
    made = FeatureMemory(FeatureMemorySpec(dim=tagged.train.shape[1], policy=policy, **changed))
    for number, name in enumerate(tagged.names) if policy == "dual" else ():
        made.describe(number, name)
    return made


def accuracy(found: NDArray[Any], right: NDArray[Any]) -> float:
    return float((found == right).mean())


def from_examples(tagged: Tagged, count: int, seed: int) -> dict[str, float]:
    """Return the accuracy of each method on the texts to be tagged, after ``count`` examples per tag."""
    rows = chosen(tagged, count, seed)
    x, y, test, right = tagged.train[rows], tagged.train_tags[rows], tagged.test, tagged.test_tags
    found = {"names alone": accuracy((test @ tagged.names.T).argmax(axis=1), right)}
    means = np.stack([x[y == tag].mean(axis=0) for tag in range(len(tagged.tags))])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    found["nearest centroid"] = accuracy((test @ means.T).argmax(axis=1), right)
    try:
        regression = import_module("sklearn.linear_model").LogisticRegression(C=10, max_iter=500)
        found["logistic regression"] = accuracy(regression.fit(x, y).predict(test), right)
    except ImportError:
        pass
    for name, policy in (("AdaNPC", "knn"), ("DMN", "dual"), ("ProtoCL", "prototype")):
        made = memory(tagged, policy)
        made.learn(x, y.tolist())
        found[name] = accuracy(_guess(made, test), right)
    return found


def with_feedback(tagged: Tagged, count: int, seed: int, policy: Any) -> dict[str, float]:
    """Return the accuracy on one half of the texts, after the other half has come by one by one.

    alone     nothing is learnt of them
    guesses   sure guesses are kept
    feedback  each is corrected where it is wrong, and kept with its right tag
    """
    rows = chosen(tagged, count, seed)
    order = np.random.default_rng([seed, 7]).permutation(len(tagged.test))
    stream, last = order[::2], order[1::2]
    found = {}
    for how in ("alone", "guesses", "feedback"):
        made = memory(tagged, policy)
        made.learn(tagged.train[rows], tagged.train_tags[rows].tolist())
        for row in stream if how == "guesses" else ():
            made.adapt(tagged.test[row])
        if how == "feedback":
            made.learn(tagged.test[stream], tagged.test_tags[stream].tolist())
        found[how] = accuracy(_guess(made, tagged.test[last]), tagged.test_tags[last])
    return found


def chosen(tagged: Tagged, count: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of ``count`` examples of each tag."""
    rng = np.random.default_rng([seed, count])
    of_tag = [np.flatnonzero(tagged.train_tags == tag) for tag in range(len(tagged.tags))]
    return np.concatenate([rng.permutation(rows)[:count] for rows in of_tag])


def _guess(made: FeatureMemory, vectors: Vectors) -> NDArray[Any]:
    return np.asarray(np.array(made.classes)[made.probabilities(vectors).argmax(axis=1)])


def given_unasked(tagged: Tagged, other: Tagged, count: int, seed: int) -> dict[str, float]:
    """Return what the setting ``tagging = "auto"`` does after ``count`` examples per tag.

    right    share of the first tags suggested that are right
    covered  share of the texts that are given a tag
    precise  share of these whose tag is right
    foreign  share of texts of quite another set that are given a tag, each of them wrongly
    """
    rows = chosen(tagged, count, seed)
    made = empty(tagged.train.shape[1])
    made.learn(tagged.train[rows], [[int(tag)] for tag in tagged.train_tags[rows]])
    for number, name in enumerate(tagged.names):
        made.describe([number], name)
    best = [suggestions_of(made, vector, 1)[0] for vector in tagged.test]
    right = np.array([each.tag for each in best]) == tagged.test_tags
    sure = np.array([each.score for each in best]) >= CONFIDENT
    foreign = [suggestions_of(made, vector, 1)[0].score >= CONFIDENT for vector in other.test]
    return {
        "right": float(right.mean()),
        "covered": float(sure.mean()),
        "precise": float(right[sure].mean()) if sure.any() else 1.0,
        "foreign": float(np.mean(foreign)),
    }


def without_examples(tagged: Tagged, seed: int) -> dict[str, float]:
    """Return the accuracy of what tags mean alone, and of dual memories that keep their guesses, as the texts come."""
    order = np.random.default_rng([seed, 11]).permutation(len(tagged.test))
    made = memory(tagged, "dual")
    guesses = np.array([made.adapt(tagged.test[row]).label for row in order])
    alone = (tagged.test @ tagged.names.T).argmax(axis=1)
    return {
        "names alone": accuracy(alone, tagged.test_tags),
        "DMN as they come": accuracy(guesses, tagged.test_tags[order]),
        "DMN afterwards": accuracy(_guess(made, tagged.test), tagged.test_tags),
    }


SETS: tuple[Callable[..., Tagged], ...] = (relations, topics)
