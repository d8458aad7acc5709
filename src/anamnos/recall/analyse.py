"""What a cue asks for: its terms, who and what it names, the time that it is about, the kind of answer that it wants.

All by rules, so the same cue in the same scope always gives the same result. ``analyse_llm.py`` refines it with a
language model.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import numpy as np

from anamnos.cube import Scope
from anamnos.index.space import SpaceIndex
from anamnos.index.terms import TermReader
from anamnos.times import TimeSpan, find_times

_MONTHS = tuple(calendar.month_name)[1:]
_MONTH = "|".join(_MONTHS)
_TIME_UNIT = r"(?:seconds?|minutes?|hours?|days?|nights?|weeks?|weekends?|months?|years?|decades?)"
_LASTS = r"(?:ago|passed|have|had|has|did it|does it|until|before|after|since|between)\b"
_ASKS_WHEN = re.compile(
    r"^\W*(?:when|how long|how many (?:days|weeks|months|years)|(?:on |in )?(?:what|which) time)\b"
    r"|\b(?:what|which) (?:date|day|month|year)\b",
    re.IGNORECASE,
)
_NAMED_MONTH = re.compile(
    rf"(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?)?\b(?P<month>{_MONTH})\b"
    r"(?:\s+(?P<day_after>\d{1,2})(?:st|nd|rd|th)?(?!\d))?(?:,?\s+(?:of\s+)?(?P<year>(?:19|20)\d\d)\b)?",
    re.IGNORECASE,
)
_MAY_IS_MONTH = re.compile(
    r"\b(?:in|on|of|during|since|until|by|early|late|mid|last|this|\d+(?:st|nd|rd|th)?)\s+$", re.I
)
_LEAD = 30  # characters before a word that may say what it is
_DATED_CHARS = 2_000  # of a cue that are read for times and names: a question is shorter, the rest is pasted text
_MOST_QUOTED, _MOST_ENTITIES = 16, 32


class Intent(StrEnum):
    """What kind of answer a cue wants. The rules of ``_INTENTS`` are tried in this order; the first that fits wins."""

    ASSISTANT_SAID = "assistant_said"  # what the assistant said itself
    MULTI_HOP = "multi_hop"  # a cause, an effect, a relation, or what several have in common
    COUNT = "count"  # how many, how much, how often
    TEMPORAL = "temporal"  # a date, a duration or an order; a cue that merely names a date is not
    UPDATE = "update"  # how it is now: the newest of several values
    PREFERENCE = "preference"  # a taste, or advice that should heed it
    LIST = "list"  # several things
    LOOKUP = "lookup"  # anything else


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_INTENTS: tuple[tuple[Intent, re.Pattern[str]], ...] = (
    (
        Intent.ASSISTANT_SAID,
        _rule(
            r"\b(?:you|assistant)(?:['’]ve| have| had| did)?(?: also| just| previously| once| earlier)? "
            r"(?:suggest|recommend|mention|list|explain|propos|advis|provid|describ)ed\b"
            r"|\byou(?:['’]ve| have| had)? (?:told|said|gave|wrote|came up with)\b"
            r"|\b(?:did|have) you (?:just |also )?(?:say|said|tell|told|give|given|write|written|suggest|recommend"
            r"|mention)"
            r"|\bremind me (?:what|of|which|how|where|who|about)\b"
            r"|\bour (?:previous|last|earlier|past) (?:conversation|chat|discussion|talk)\b"
        ),
    ),
    (
        Intent.MULTI_HOP,
        _rule(
            r"\b(?:led to|leads? to|result(?:ed|s)? (?:in|from)|thanks to|due to|in spite of|caus(?:e|es|ed|ing)"
            r"|(?:affect|influenc|chang)(?:e|ed|es)? (?:how|the way)"
            r"|(?:relation(?:ship)?|difference|connection) between|in common|because of)\b"
            r"|\bhow (?:did|does|has|have|do)\b.{1,80}\b(?:affect|influence|impact|change)d?\b"
            r"|\b(?:what|which)\b.{1,60}\b(?:do|did|have|has|are|were|does)? ?both\b"
            r"|\bcompared? (?:to|with)\b|\bboth\b.{1,40}\band\b"
        ),
    ),
    (
        Intent.COUNT,
        _rule(
            rf"\bhow many (?!{_TIME_UNIT} {_LASTS})"
            r"|\bhow (?:much(?! time\b)|often)\b|\b(?:total )?(?:number|amount) of\b"
            r"|\bin total\b|\bcount (?:of|the|all)\b"
        ),
    ),
    (
        Intent.TEMPORAL,
        _rule(
            r"^\W*(?:since |until )?when\b|\bwhen (?:did|do|does|is|was|were|has|have|had|will|are|can|should)\b"
            rf"|\bhow (?:long|old|recently|soon|much time)\b|\bhow many {_TIME_UNIT}\b"
            r"|\b(?:what|which) (?:\w+ )?(?:date|day|month|year|season|week|weekend|time|order)\b"
            r"|\bwhich\b.{1,120}\b(?:first|earlier|later|last)\b.{0,80}\bor\b|\b(?:before|after) or (?:after|before)\b"
            r"|\bsince when\b|\b(?:birth ?date|date of birth)\b|\b(?:happened|came|did .{1,40}) first\b"
        ),
    ),
    (
        Intent.UPDATE,
        _rule(
            r"\b(?:now(?! and then)|nowadays|currently|current|at the moment|at present|right now|these days|as of now"
            r"|still|any ?more|any longer|latest|newest|most recent(?:ly)?|up[- ]to[- ]date|so far|switched"
            r"|changed? to)\b"
        ),
    ),
    (
        Intent.PREFERENCE,
        _rule(
            r"\b(?:prefer(?:s|red|ence|ences)?|favou?rites?|recommend(?:ations?)?|suggest(?:ions?)?|advice|tips"
            r"|enjoy(?:s|ed|ing)?"
            r"|(?:do|does|did|would|might|may|will) (?:\w+ ){1,4}(?:like|love|hate|dislike|fancy|mind)"
            r"|(?:fond|fan|opinion) of|taste in|likes?(?: to)? (?:best|most)|rather|good ideas?|what should i)\b"
        ),
    ),
)

_AUXILIARY = (
    "is|are|was|were|be|been|am|do|does|did|has|have|had|can|could|will|would|shall|should|may|might|must|s|re|ve|'s"
)
_PLURAL = re.compile(
    r"\b(?:what|which|whose)(?: (?:other|different|kinds? of|types? of|sorts? of|sort of|are|were|are some|were some"
    rf"|some))*(?: (?!(?:{_AUXILIARY})\b)[\w+’'/-]+){{0,3}}?"
    rf" (?!(?:{_AUXILIARY})\b)(?:[\w+/-]*[a-z](?<!s)(?<!u)(?<!i)s|children|people|women|men|feet|teeth|mice)"
    r"(?!['’\w/-])(?! of (?:the )?\w+ (?:is|was)\b)",
    re.IGNORECASE,
)
_SINGULAR_IN_S = {"news", "gas", "bus", "lens", "christmas", "does", "was", "has", "is", "his", "this", "its", "as"}
_SINGULAR_IN_S |= {"mathematics", "physics", "politics", "series", "species", "always", "times", "jeans", "times'"}
_WANTS_SEVERAL = _rule(
    r"^\W*(?:list|name|enumerate)\b|\b(?:all|each|every|several|various|some) (?:of )?(?:the|my|his|her|their|our)\b"
    r"|\bwhat are\b(?! (?:you|we|they)\b)|\b(?:what|which) (?:kinds|types|sorts)\b|\bin (?:what|which) ways\b"
    r"|^\W*(?:what|where|which|who)(?: (?:else|all|places|other \w+))? (?:has|have)\b(?! (?:\S+ ){1,3}(?:to|been)\b)"
    r"|\bwhat (?:kinds? of )?(?:activities|things|items|places|events)\b"
)
_ASKS_DURATION = _rule(rf"\bhow long\b|\bhow much time\b|\bhow many {_TIME_UNIT} {_LASTS}")
_QUOTED = re.compile(
    r"\"([^\"\n]{3,60})\"|“([^”\n]{3,60})”|«\s?([^»\n]{3,60}?)\s?»|„([^“”\n]{3,60})[“”]"
    r"|(?<!\w)['‘]([^'‘’\n]{3,60})['’](?!\w)"
)
_TOKEN = re.compile(r"[^\W_]+(?:[-’'&.][^\W_]+)*|[.!?:;,\n\"“”()]")
_SMALL_IN_NAMES = {"of", "the", "de", "la", "le", "van", "von", "der", "du"}
_NO_NAMES = {"i", "i'm", "i’m", "i've", "i’ve", "i'd", "i’d", "i'll", "i’ll", "ok", "mr", "mrs", "ms", "dr", "am", "pm"}
_NO_NAMES |= {name.casefold() for name in (*calendar.month_name, *calendar.day_name) if name}
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a an the what when where which who whom whose why how did do does is are was were am be has have had can
        could will would shall should may might must if in on at of for to from with by and or but so not no yes
        please tell remind name list give show let according during after before since until between about
        besides except my your his her their our its this that these those there i you he she it we they as also
        both all any some hey hi hello suppose considering based given whenever while once
        """,
    )
)


@dataclass(frozen=True, slots=True)
class Cue:
    """A question, taken apart.

    text           as it was asked
    words          term -> the word of the question, for explanations
    terms          term -> how often it occurs
    speakers       names of participants that occur in it
    dense_text     what is embedded: the question without those names
    asks_when      whether a date or a duration is asked for
    months         numbers (1 to 12) of the months that it names
    days           (year or None, month, day) of the days that it names
    quoted         phrases in quotation marks, of 3 to 60 characters
    entities       other names in it: runs of capitalised words
    intent         what kind of answer it wants
    wants_list     whether it asks for several things, whatever its intent
    assistant_ref  whether it asks what the assistant said
    windows        the times that what it asks about lies in, seen from when it was asked
    """

    text: str
    words: Mapping[int, str]
    terms: Mapping[int, int]
    speakers: tuple[str, ...]
    dense_text: str
    asks_when: bool
    months: tuple[int, ...]
    days: tuple[tuple[int | None, int, int], ...]
    quoted: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    intent: Intent = Intent.LOOKUP
    wants_list: bool = False
    assistant_ref: bool = False
    windows: tuple[TimeSpan, ...] = ()


def analyse(
    text: str,
    space: SpaceIndex,
    scope: Scope,
    reader: TermReader,
    *,
    asked_at: datetime | None = None,
    known: Collection[str] = (),
) -> Cue:
    """Return the cue of a question asked in a scope of ``space``.

    asked_at  when it was asked, with a zone. None: when the newest memory of the scope was said, never the wall clock,
              so that an old conversation can be asked about "last week"; without any such time there are no windows
    known     names that count even as the first word of a sentence

    A name counts as named by its first word too ("Ann" for "Ann Lee"). Names are taken out of what is embedded,
    because every memory of that person is about them: it raised recall@10 of MiniLM alone from .46 to .65 on LoCoMo.
    Times and names are looked for in the first 2,000 characters.
    """
    words: dict[int, str] = {}
    terms: dict[int, int] = {}
    for word in reader.words(text):
        term = reader.term(word)
        words.setdefault(term, word)
        terms[term] = terms.get(term, 0) + 1
    speakers = named(text, space.participants(scope))
    months, days = _dates(text)
    head = text[:_DATED_CHARS]
    intent = intent_of(head)
    return Cue(
        text,
        words,
        terms,
        speakers,
        without_names(text, speakers),
        bool(_ASKS_WHEN.search(text)),
        months,
        days,
        quoted=_quoted(head),
        entities=_entities(head, speakers, {name.casefold() for name in known}),
        intent=intent,
        wants_list=intent is Intent.LIST or wants_list(head),
        assistant_ref=intent is Intent.ASSISTANT_SAID,
        windows=_windows(head, asked_at or newest(space, scope)),
    )


def intent_of(text: str) -> Intent:
    """Return the intent of a question, by the first rule that fits.

    >>> intent_of("How many cats does Ann have?"), intent_of("Which books has Ann read?"), intent_of("Who called?")
    (<Intent.COUNT: 'count'>, <Intent.LIST: 'list'>, <Intent.LOOKUP: 'lookup'>)
    """
    for intent, pattern in _INTENTS:
        if pattern.search(text):
            return intent
    return Intent.LIST if wants_list(text) else Intent.LOOKUP


def wants_list(text: str) -> bool:
    """Return whether a question asks for several things: "which books", "list all …", "what has she painted?"."""
    if _WANTS_SEVERAL.search(text):
        return True
    return any(found.group().split()[-1].casefold() not in _SINGULAR_IN_S for found in _PLURAL.finditer(text))


def named(text: str, participants: Iterable[str]) -> tuple[str, ...]:
    """Return those participants whose first word occurs in ``text``, in the order given."""
    spoken = set(re.findall(r"\w+", text.casefold()))
    return tuple(name for name in participants if _first_word(name) in spoken)


def _first_word(name: str) -> str:
    found = re.search(r"\w+", name.casefold())
    return found.group() if found else name.casefold()


def without_names(text: str, names: tuple[str, ...]) -> str:
    """Return ``text`` without those names; as it is if nothing else is in it."""
    for name in names:
        for part in (name, _first_word(name)):
            text = re.sub(rf"(?<!\w){re.escape(part)}(?:['’]s)?(?!\w)", " ", text, flags=re.IGNORECASE)
    bare = " ".join(text.split())
    return bare if re.search(r"\w", bare) else text or " ".join(names)


# --- times


def _dates(text: str) -> tuple[tuple[int, ...], tuple[tuple[int | None, int, int], ...]]:
    """Return the months and the days that a text names.

    "May" counts as a month only where it is used as one: the word also begins questions.
    """
    months: list[int] = []
    days: list[tuple[int | None, int, int]] = []
    for found in _NAMED_MONTH.finditer(text):
        day = found["day"] or found["day_after"]
        start = found.start("month")
        is_verb = found["month"].lower() == "may" and not (
            day or found["year"] or _MAY_IS_MONTH.search(text[max(0, start - _LEAD) : start])
        )
        if is_verb:
            continue
        month = [name.lower() for name in _MONTHS].index(found["month"].lower()) + 1
        months.append(month)
        if day and 1 <= int(day) <= 31:
            days.append((int(found["year"]) if found["year"] else None, month, int(day)))
    return tuple(dict.fromkeys(months)), tuple(dict.fromkeys(days))


def newest(space: SpaceIndex, scope: Scope) -> datetime | None:
    """Return when the newest memory of a scope was said; None if no time is known."""
    said = space.created[space.in_scope(scope)]
    latest = int(said.max()) if len(said) else np.iinfo(np.int64).min
    if latest == np.iinfo(np.int64).min:
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=latest)


def _windows(text: str, asked_at: datetime | None) -> tuple[TimeSpan, ...]:
    """Return the times that constrain what is asked about; none where a duration is asked for."""
    if asked_at is None or _ASKS_DURATION.search(text):
        return ()
    return tuple(find_times(text, asked_at))


# --- names


def _quoted(text: str) -> tuple[str, ...]:
    found = (" ".join(next(filter(None, match.groups())).split()) for match in _QUOTED.finditer(text))
    return tuple(dict.fromkeys(phrase for phrase in found if re.search(r"\w", phrase)))[:_MOST_QUOTED]


def _entities(text: str, speakers: tuple[str, ...], known: set[str]) -> tuple[str, ...]:
    """Return runs of capitalised words that are neither speakers, months nor weekdays.

    The first word of a sentence counts only if it is known, or goes on as a name ("Mount Etna is where?").
    """
    if not any(char.islower() for char in text):
        return ()  # all in capitals, or in a script that has none
    spoken = {part for name in speakers for part in (name.casefold(), _first_word(name))}
    found = []
    for words, starts_sentence in _capitalised_runs(text):
        while words and words[0].casefold() in _FUNCTION_WORDS:
            words, starts_sentence = words[1:], False
        while words and words[-1].casefold() in _SMALL_IN_NAMES:
            words = words[:-1]
        name = " ".join(words)
        folded = name.casefold()
        alone = len(words) == 1 and starts_sentence and folded not in known
        if words and not alone and folded not in spoken and folded not in _NO_NAMES and len(name) > 1:
            found.append(name)
    return tuple(dict.fromkeys(found))[:_MOST_ENTITIES]


def _capitalised_runs(text: str) -> Iterator[tuple[list[str], bool]]:
    """Yield (words, whether they begin a sentence) for each run of capitalised words, small words inside allowed."""
    run: list[str] = []
    pending: list[str] = []
    run_starts, at_start = False, True
    for part in [match.group() for match in _TOKEN.finditer(text)] + ["."]:
        word = re.sub(r"['’]s$", "", part)
        if word[0].isupper() and word.casefold() not in _NO_NAMES:
            if not run:
                run_starts = at_start
            run += [*pending, word]
            pending = []
            ended = word != part  # the name ends with its possessive
        elif run and word in _SMALL_IN_NAMES and len(pending) < 2:
            pending.append(word)
            ended = False
        else:
            ended = True
        if ended and run:
            yield run, run_starts
            run, pending = [], []
        at_start = part in '.!?:;\n"“”'
