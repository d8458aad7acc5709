"""Turns to what they say: the rules put together, and the choice of an extractor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from anamnos.cube import MemCube
from anamnos.errors import ConfigError
from anamnos.index.terms import CHAT_ROLES, TermReader
from anamnos.ingest.extract.base import Extracted, Extractor, Kind, sentences
from anamnos.ingest.extract.entities import canonical, find_entities, full_names
from anamnos.ingest.extract.facts import Fact, find_facts, has_number, in_third_person, statements
from anamnos.ingest.extract.keywords import find_keywords
from anamnos.ingest.extract.preferences import find_preferences
from anamnos.llm.base import LanguageModel
from anamnos.times import TimeSpan, find_times

__all__ = ["EXTRACTORS", "Extracted", "Extractor", "RuleExtractor", "resolve_extractor", "sentences", "speaker_of"]

EXTRACTORS = ("rules", "llm")
USER = "User"  # who speaks where no name is given


def resolve_extractor(name: str, reader: TermReader, llm: LanguageModel | None) -> Extractor:
    """Return the extractor of this name.

    Raises: ConfigError for another name, or if the language model that it needs is not set.
    """
    rules = RuleExtractor(reader)
    if name == "rules":
        return rules
    if name != "llm":
        raise ConfigError(f"There is no extractor {name!r}.", hint=f"Use: {', '.join(EXTRACTORS)}.")
    if llm is None:
        raise ConfigError(
            "The extractor llm needs a language model.",
            hint="Set ANAMNOS_LLM_URL and ANAMNOS_LLM_MODEL, or use the extractor rules.",
        )
    from anamnos.ingest.extract.llm import LlmExtractor

    return LlmExtractor(llm, rules)


def speaker_of(cube: MemCube) -> str:
    """Return the name that a turn's "I" stands for."""
    actor = cube.provenance.actor
    return USER if actor is None or actor.casefold() in CHAT_ROLES else actor


def speaks_for_itself(cube: MemCube) -> bool:
    """Return whether what a turn says is worth keeping as a fact: what an assistant or a tool says is none."""
    actor = cube.provenance.actor
    return actor is None or actor.casefold() == "user" or actor.casefold() not in CHAT_ROLES


class RuleExtractor:
    """Preferences, facts, names, times and keywords by rules alone: no model, no network, always the same.

    Source: the composition and the formula of the importance are ours.
    """

    operator = "extract-rules/1"

    def __init__(self, reader: TermReader) -> None:
        self._reader = reader

    def extract(self, turns: Sequence[MemCube]) -> list[Extracted]:
        """Return what the turns of one session say; names in the fullest form that the session has."""
        speakers = {speaker_of(cube) for cube in turns}
        names = {cube.id: [mention.name for mention in find_entities(cube.text, speakers)] for cube in turns}
        full = full_names([*speakers, *(name for some in names.values() for name in some)])
        return [
            found
            for cube in turns
            if speaks_for_itself(cube)
            for found in self._of_turn(cube, names[cube.id], full, speakers)
        ]

    def _of_turn(
        self, cube: MemCube, names: Sequence[str], full: dict[str, str], speakers: set[str]
    ) -> list[Extracted]:
        """Return what one turn says. A sentence that only speaks to somebody ("That's great, Ann!") says nothing."""
        text, speaker = cube.text, speaker_of(cube)
        said_at = cube.time.created_at

        def one(kind: Kind, sentence: str, of: str, triple: tuple[str, str, str], *, liked: bool) -> Extracted:
            entities = tuple(dict.fromkeys(full[canonical(name)] for name in names if name in sentence))
            when = _first_time(sentence, said_at)
            importance = 0.25 + 0.15 * min(len(entities), 3) + 0.2 * (when is not None) + 0.2 * liked
            importance += 0.1 * has_number(sentence) + 0.1 * ("!" in sentence)
            return Extracted(
                text=of,
                kind=kind,
                sources=(cube.id,),
                quote=sentence,
                subject=triple[0],
                predicate=triple[1],
                object=triple[2],
                entities=entities,
                keywords=find_keywords(sentence, self._reader.words),
                importance=round(min(1.0, importance), 2),
                confidence=0.6 if kind == "said" else 0.7,
                when=when,
                operator=self.operator,
            )

        found = []
        for liked in find_preferences(text):
            words = (
                f"{liked.verb} {liked.clause}".strip() if liked.family != "favourite" else f"favourite: {liked.clause}"
            )
            triple = (speaker, liked.verb or liked.family, liked.clause)
            found.append(one("preference", liked.quote, f"{speaker} has mentioned: {words}", triple, liked=True))
        facts: dict[str, list[Fact]] = {}
        for fact in find_facts(text, speaker):
            facts.setdefault(fact.sentence, []).append(fact)
        preferred = {item.quote for item in found}
        for sentence in dict.fromkeys(statements(text)):
            for fact in facts.get(sentence, []):
                triple = (fact.subject, fact.predicate, fact.object)
                known = one("fact", sentence, fact.text, triple, liked=False)
                found.append(replace(known, denied=fact.denied, serial=fact.serial))
            if sentence not in facts and sentence not in preferred:
                words = in_third_person(sentence, speaker)
                said = one("said", sentence, words, (speaker, "said", sentence), liked=False)
                if said.when is not None or has_number(sentence) or not speakers.issuperset(said.entities):
                    found.append(said)
        return found


def _first_time(sentence: str, said_at: datetime | None) -> TimeSpan | None:
    """Return the first time that a sentence names; nothing can be resolved if nobody knows when it was said."""
    spans = find_times(sentence, said_at) if said_at is not None else []
    return spans[0] if spans else None
