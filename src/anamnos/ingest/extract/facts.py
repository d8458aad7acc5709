"""Facts in a sentence: who, which relation of a closed list, and what, by the order of words.

Source: ours; the relations are those that people tell of themselves in long dialogues.
"""

# ruff: noqa: E501  (one pattern a line)
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from anamnos.ingest.extract.base import sentences

MAX_OBJECT_WORDS = 12
MIN_SENTENCE_CHARS = 10


@dataclass(frozen=True, slots=True)
class Fact:
    """What a sentence says.

    subject    who or what: the speaker's name for "I"
    predicate  the relation: a verb in its base form, with its preposition if the list has it; "said" if none is known
    object     what is said of them, in the sentence's words
    sentence   the whole, as it stands in the text
    text       the same with "I" and "my" put as the speaker's name
    denied     whether it says that this has ceased: "no longer", "used to", "stopped", "not … any more"
    serial     the number that stands before the sentence where the text is a numbered list
    """

    subject: str
    predicate: str
    object: str
    sentence: str
    text: str
    denied: bool = False
    serial: int | None = None


# base form (and preposition that makes another relation of it): what follows is the object
_VERBS = """accept, achieve, adopt, apply for, apply to, attend, babysit, bake, be born, be from, be married to,
      belong to, book, borrow, break,  build, buy, call, camp,  catch, celebrate, choose,
    climb, collect, compete in, complete, cook, create, cut, cycle, date, decide, design, develop, discover, donate,
    drive, earn, eat, end up, enter, exercise, explore, fail, feed, finish, fix, fly to, foster,  get, give up,
    give, go to, go, graduate from, grow, grow up in, hang out with, have,   hike, hire, host, hurt,
    immigrate to, injure, inherit, invest in, invite, join, kayak, knit,  launch, lead, learn, leave, live, live in, live with, lose,
    make, manage, marry, meet, mentor, move, move to, move from, open, order, organize, own, pack, paint, participate in,
     pay, perform, pick, plant, play, practice, practise, propose to, publish, quit, raise, read, receive, record, rent, renovate, repair,
    retire from, return from, return to, ride, run, save,  sell,   sign, sign up for, sing, ski, speak, speak at, spend, sponsor, start,
    stay, stay at,  study, study at,  surf, swim, take, take up, teach, train for, travel, travel to,   visit, volunteer,
    volunteer at, wake up, walk, watch, wear, weigh, win, work, work as, work at, work for, work in, work with, write"""
_IRREGULAR = {
    "be": "am is are was were been being 'm 's 're",
    "become": "became",
    "begin": "began begun beginning",
    "break": "broke broken",
    "bring": "brought",
    "build": "built",
    "buy": "bought",
    "catch": "caught",
    "choose": "chose chosen",
    "drive": "drove driven",
    "eat": "ate eaten",
    "feed": "fed",
    "fly": "flew flown flies",
    "get": "got gotten getting",
    "give": "gave given",
    "go": "went gone goes",
    "grow": "grew grown",
    "hang": "hung",
    "have": "has had having 've",
    "hear": "heard",
    "know": "knew known",
    "lead": "led",
    "leave": "left",
    "lose": "lost",
    "make": "made",
    "meet": "met",
    "pay": "paid",
    "read": "",
    "ride": "rode ridden",
    "run": "ran running",
    "see": "saw seen",
    "sell": "sold",
    "send": "sent",
    "sing": "sang sung",
    "speak": "spoke spoken",
    "spend": "spent",
    "swim": "swam swum swimming",
    "take": "took taken",
    "teach": "taught teaches",
    "wake": "woke woken",
    "wear": "wore worn",
    "win": "won winning",
    "write": "wrote written",
    "quit": "quitting",
    "cut": "cutting",
    "hurt": "",
    "travel": "travelled travelling",
    "stop": "stopped stopping",
    "plan": "planned planning",
    "babysit": "babysat babysitting",
    "knit": "knitted knitting",
    "compete": "",
}


def _forms(verb: str) -> set[str]:
    """Return how a verb is written: "visit" -> visit, visits, visited, visiting."""
    stem = verb[:-1] if verb.endswith("e") else verb
    past = f"{verb[:-1]}ied" if re.search(r"[^aeiou]y$", verb) else f"{stem}ed"
    return {verb, _third(verb), past, f"{stem}ing", *_IRREGULAR.get(verb, "").split()}


def _third(verb: str) -> str:
    """Return what he or she does: "visit" -> visits, "carry" -> carries, "go" -> goes."""
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies"
    return f"{verb}es" if re.search(r"(?:ch|sh|s|x|z|o)$", verb) else f"{verb}s"


def _table() -> dict[str, dict[str, str]]:
    """Return, for each written form of a verb, what may follow it -> the predicate."""
    table: dict[str, dict[str, str]] = {}
    for predicate in (" ".join(entry.split()) for entry in _VERBS.split(",")):
        verb, _, rest = predicate.partition(" ")
        for form in _forms(verb):
            table.setdefault(form, {})[rest] = predicate
    return table


_TABLE = _table()
_BASE_FORMS = {entry.split()[0] for entry in _VERBS.split(",")}
_PAST_ALIKE = {verb for verb, forms in _IRREGULAR.items() if not forms} | {"cut", "quit", "read", "knit"}  # "I quit"
_ADVERB_WORDS = """just really also finally recently actually already still now even always usually often never
    sometimes currently then once only both all kinda definitely totally probably ever soon first last lately officially
    originally previously later"""
_ADVERBS = frozenset(_ADVERB_WORDS.split())
_AUXILIARY_WORDS = "have has had 've 's am is are was were been being 'm 're will 'll would 'd do did can could gonna"
_AUXILIARIES = frozenset(_AUXILIARY_WORDS.split())
_CALL = r"(?i:and|but|so|well|yeah|yes|oh|wow|also|plus|thanks|hey|hi|then|actually|btw|no|haha|ok|okay|sure|unfortunately)\b"
_WHEN = r"(?i:because|since|as|last|this|next|every|one|on|in|after|before|during|yesterday|today|tomorrow|recently|lately|when)\b"
_LEAD = rf"(?:{_CALL}|{_WHEN})"  # what may stand before the subject
_SUBJECT = re.compile(
    rf"^(?:{_CALL}[,!.:]?\s+){{0,3}}?(?:{_WHEN}[^,]{{0,60}}?,?\s+)?(?:{_CALL}[,!.:]?\s+)?"
    rf"(?P<subject>I|[Ww]e|(?P<owned>(?i:my|our|his|her|their)\s+[\w-]+)|(?!{_LEAD})[A-Z][\w-]*(?:\s[A-Z][\w-]*)*)"
    r"(?=\s|['’](?:m|ve|d|ll|re|s)\b)\s*",
)
# Whom a pronoun means, the sentence does not say; the others begin sentences and are nobody.
_NO_SUBJECT_WORDS = """it this that there here these those you your what who how why where let or if some everything
    everyone nothing each the a an all keep glad he she they gotta must go his her their love maybe hope not just"""
_NO_SUBJECT = frozenset(_NO_SUBJECT_WORDS.split())
_NAMED = re.compile(
    r"\b(?:I|we|I've|we've)\s+(?:\w+\s+){0,2}?(?P<verb>have|got|had|adopted|bought)\s+(?P<object>(?:an?|two|three|the|our|my)\s+[^.,!?]{2,40}?\s+(?:named|called)\s+[A-Z][\w-]*(?:,?\s+(?:and\s+)?[A-Z][\w-]*)*)",
)
_MY_NAME = re.compile(r"\b(?P<owner>my|our)\s+(?P<thing>(?:[\w-]+\s+){0,2}[\w-]+)(?:['’]s\s+|\s+)name(?:\s+is|['’]s)\s+(?P<object>[A-Z]\w*(?:\s[A-Z]\w*)*)", re.IGNORECASE)  # fmt: skip
_IS = re.compile(
    r"\b(?P<owner>[Mm]y|[Oo]ur|[A-Z]\w+['’]s)\s+(?P<thing>(?:(?!(?:but|and|it|that|I|so)\b)[\w-]+\s+){0,3}?(?!(?:it|that|which)\b)[\w-]+)(?:\s+(?:is|are|was|were)|['’]s)\s+(?P<object>[^.!?]{2,})",
)
_CLOSE = (
    r"(?:brother|sister|mom|mum|mother|dad|father|wife|husband|son|daughter|partner|girlfriend|boyfriend|cousin|aunt|uncle|niece"
    r"|nephew|boss|friend|colleague|neighbou?r|coach|teacher|roommate|dog|cat|puppy|kitten|pet|horse|rabbit|parrot)"
)
_OF = re.compile(  # "The capital of France is Paris"
    r"^[Tt]he\s+(?P<thing>(?:(?!of\b)[a-z][\w-]*\s+){0,3}?(?!of\b)[a-z][\w-]*)\s+of\s+(?P<owner>[A-Z][\w-]*(?:\s[A-Z][\w-]*)*)"
    r"\s+(?:is|are|was|were)\s+(?P<object>[^.!?]{2,})",
)
_NUMBER_BEFORE = re.compile(r"(?:\A|\n\s*|[.!?]\s+)(?P<n>\d{1,9})[.):]\s+\Z")
_OWN_NUMBER = re.compile(r"^(?P<n>\d{1,9})[):]\s+")  # "17." is a sentence of its own
_LONGEST_NUMBER = 24  # characters
_CEASED = (  # what says that something has ceased, and what stands for it while it lasts
    (re.compile(r"\bno longer\s+(?=\w)", re.IGNORECASE), ""),
    (
        re.compile(r"\b(?:do|does|did)(?:n['’]t| not)\s+(?P<kept>[^.!?]+?)\s+any ?(?:more|longer)\b", re.IGNORECASE),
        r"\g<kept>",
    ),
    (
        re.compile(r"\b(?P<be>am|is|are)(?:n['’]t| not)\s+(?P<kept>[^.!?]+?)\s+any ?(?:more|longer)\b", re.IGNORECASE),
        r"\g<be> \g<kept>",
    ),
    (re.compile(r"\bI['’]m not\s+(?P<kept>[^.!?]+?)\s+any ?(?:more|longer)\b"), r"I am \g<kept>"),
    (
        re.compile(
            r"(?<!\bam )(?<!\bis )(?<!\bare )(?<!['’]m )(?<!['’]re )(?<!\bget )(?<!\bgot )(?<!\bgetting )\bused to\s+(?!it\b|that\b|this\b|the\b)(?=\w)",
            re.IGNORECASE,
        ),
        "",
    ),
    (re.compile(r"\b(?:stopped|quit|gave up)\s+(?=\w+ing\s+\w)", re.IGNORECASE), "was "),
)
_APPOSITION = re.compile(
    rf"\b(?P<owner>[Mm]y|[Oo]ur)\s+(?P<thing>(?:\w+\s)?{_CLOSE}),?\s+(?P<object>[A-Z]\w+)(?=,|\s|$)"
)
_I_AM = re.compile(
    r"\b(?:I|we)(?:\s+(?:am|are|was|were)|['’](?:m|re))\s+(?:(?:a|an|the|from|born|married|engaged|single|divorced|pregnant|\d{1,3})\b[^.!?]*)",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|dozen|hundred|thousand)\b", re.IGNORECASE
)
_FILLER = re.compile(
    r"^\W*(?:(?:ok|okay|thanks?|thank you|yeah|yes|no|nope|sure|wow|great|nice|cool|awesome|haha|lol|hi|hey|hello|bye|good|sounds|congrats"
    r"|(?:that|it|this) sounds (?:like )?(?:an? )?\w+|that['’]s (?:great|awesome|cool|amazing|so \w+)|you(?:['’]re| are) welcome|take care|see you)\b[\s,!.]*)+(?:[A-Z]\w*)?\W*$",
    re.IGNORECASE,
)
_OBJECT_END = re.compile(
    r"\s*[.!?;(\[]|\s+[-–—]\s|,?\s+(?:but|because|although|though|which|and\s+(?:I|we|it|he|she|they|then|that))\b"
    r"|,\s+(?:and|so|I|we|it|he|she|they|what|do you|where|who)\b|\s*[,.!?]*$",
    re.IGNORECASE,
)

_PLACE_AHEAD = re.compile(r"(?:an?|the|my|our|his|her|their|this|that|some|another)\s|[A-Z]")
_EMPTY = re.compile(
    r"to\s|(?:it|this|that|them|you|me|us|so|there|here|in|out|on|up|too|all|sure|better)$", re.IGNORECASE
)


def find_facts(text: str, speaker: str) -> list[Fact]:
    """Return what the sentences of ``text`` say in a known relation, in their order; questions say nothing.

    speaker  stands for "I" and "my"
    """
    found: list[Fact] = []
    place = 0
    for sentence in statements(text):
        place = text.index(sentence, place)
        number = _OWN_NUMBER.match(sentence) or _NUMBER_BEFORE.search(text[max(0, place - _LONGEST_NUMBER) : place])
        place += len(sentence)
        words = _OWN_NUMBER.sub("", sentence[:1_000])
        lasting = _lasting(words)
        told = in_third_person(sentence, speaker)
        serial = int(number["n"]) if number else None
        triples = dict.fromkeys(_triples(lasting or words, speaker))
        found += [Fact(*triple, sentence, told, bool(lasting), serial) for triple in triples]
    return found


def _lasting(sentence: str) -> str:
    """Return a sentence that says that something has ceased as it was while it lasted; "" for any other.

    >>> _lasting("I no longer work at Acme.")
    'I work at Acme.'
    """
    for pattern, words in _CEASED:
        if pattern.search(sentence):
            return pattern.sub(words, sentence)
    return ""


def statements(text: str) -> Iterator[str]:
    """Yield the sentences that may say something: no questions, no mere courtesies."""
    for sentence in sentences(text):
        if len(sentence) >= MIN_SENTENCE_CHARS and not sentence.endswith("?") and not _FILLER.match(sentence):
            yield sentence


def has_number(sentence: str) -> bool:
    return bool(_NUMBER.search(sentence))


_FEELS = "love like enjoy prefer hate dislike adore want need think know feel hope wish believe play dream do don't"
_I_DO = re.compile(  # a verb in the present: in the past, what I do is what he did
    r"(?<!did )(?<!do )(?<!should )(?<!can )(?<!could )(?<!would )(?<!will )(?<!must )"
    rf"\bI (?P<adverbs>(?:(?:no longer|{'|'.join(sorted(_ADVERBS))}) )*)"
    rf"(?P<verb>{'|'.join(sorted((_BASE_FORMS | set(_FEELS.split())) - {'be', 'have'} - _PAST_ALIKE, key=len, reverse=True))})\b"
)
_THIRD = [
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\bI(?:['’]m| am)\b", "{0} is"),
        (r"\bI(?:['’]ve| have)\b", "{0} has"),
        (r"\bI['’]ll\b", "{0} will"),
        (r"\bI['’]d\b", "{0} would"),
        (r"\bI\b", "{0}"),
        (r"\b[Mm]y\b", "{0}'s"),
        (r"\b[Mm]ine\b", "{0}'s"),
        (r"\b(?:[Mm]e|[Mm]yself)\b", "{0}"),
    )
]


def in_third_person(sentence: str, speaker: str) -> str:
    """Return a sentence with its speaker named, so that it is understood alone.

    >>> in_third_person("I'm proud of my dog. I also teach.", "Ann")
    "Ann is proud of Ann's dog. Ann also teaches."
    """
    sentence = _I_DO.sub(lambda said: f"I {said['adverbs']}{_he_does(said['verb'])}", sentence)
    for pattern, words in _THIRD:
        sentence = pattern.sub(lambda _, words=words: words.format(speaker), sentence)  # type: ignore[misc]
    return sentence


def _he_does(verb: str) -> str:
    return "doesn't" if verb == "don't" else _third(verb)


def _triples(sentence: str, speaker: str) -> Iterator[tuple[str, str, str]]:
    """Yield (subject, predicate, object) as the patterns find them, the most telling first."""
    named = [("have", match) for match in _NAMED.finditer(sentence)]
    for predicate, match in named:
        yield speaker, predicate, _object(match["object"])
    for match in _MY_NAME.finditer(sentence):
        yield f"{speaker}'s {match['thing']}", "be named", match["object"]
    for match in _APPOSITION.finditer(sentence):
        yield f"{speaker}'s {match['thing']}", "be named", match["object"]
    for match in _I_AM.finditer(sentence):
        after = re.sub(r"^(?:I|we)(?:\s+\w+|['’]\w+)\s+", "", match.group(), flags=re.IGNORECASE)
        yield speaker, "be", _object(after)
    for match in _OF.finditer(sentence):
        yield f"{match['owner']}'s {match['thing']}", "be", _object(match["object"])
    for match in _IS.finditer(sentence):
        owner = speaker if match["owner"].lower() in ("my", "our") else match["owner"][:-2]
        if object_ := _object(match["object"]):
            yield f"{owner}'s {match['thing']}", "be", object_
    if not named and (triple := _by_verb(sentence, speaker)):
        yield triple


def _by_verb(sentence: str, speaker: str) -> tuple[str, str, str] | None:
    """Return what the first verb of the list behind the subject says."""
    begin = _SUBJECT.match(sentence)
    rest = sentence
    if begin is None:
        inner = re.search(r"(?:^|[\s,;\"“])(?P<subject>I|we)(?=\s|['’](?:m|ve|d|ll|re)\b)", sentence)
        if inner is None:
            return _after_verb(sentence, speaker, elided=True) if _is_verb(sentence.split(maxsplit=1)[0]) else None
        subject, rest = inner["subject"], sentence[inner.end() :]
    else:
        subject, rest = begin["subject"], sentence[begin.end() :]
        word = subject.lower().split()[0]
        if _is_verb(word) or word == "been" or word in _ADVERBS:
            return _after_verb(sentence, speaker, elided=True)
        if word in _NO_SUBJECT or subject.endswith("ing"):
            return None
        if begin["owned"]:
            return _of_owned(subject, rest, speaker)
    return _after_verb(rest, _resolved(subject, speaker))


def _of_owned(subject: str, rest: str, speaker: str) -> tuple[str, str, str] | None:
    """Return what is said of "my older brother": up to two more words belong to the subject."""
    for _ in range(3):
        if triple := _after_verb(rest, _resolved(subject, speaker)):
            return triple
        word, _, rest = rest.partition(" ")
        if not re.fullmatch(r"[\w-]+", word):
            return None
        subject = f"{subject} {word}"
    return None


def _is_verb(word: str) -> bool:
    """Return whether a sentence that begins so leaves out its "I": "Went hiking", but not "Keep going"."""
    lower = word.lower()
    return (
        lower in _TABLE and lower not in _AUXILIARIES and lower not in _BASE_FORMS and not lower.endswith(("s", "ing"))
    )


def _after_verb(rest: str, subject: str, *, elided: bool = False) -> tuple[str, str, str] | None:
    """Return the triple of the first verb of the list, if nothing but auxiliaries and adverbs stand before it."""
    tokens = list(re.finditer(r"['’]\w+|[^\s'’]+", rest[:400]))
    words = [token.group().lower().replace("’", "'").strip(",") for token in tokens]
    if words and words[0].endswith("ing") and not elided:
        return None  # "Consider going"
    for place, word in enumerate(words[:7]):
        if word in ("not", "never") or (word.endswith("n") and words[place + 1 : place + 2] == ["'t"]):
            return None  # what is not so is no fact of this kind
        if (word in _AUXILIARIES and not elided and _leads_to_verb(words[place + 1 : place + 4])) or word in _ADVERBS:
            continue
        if word not in _TABLE:
            if word in _AUXILIARIES or word.endswith("ly"):
                continue
            return None
        follows, behind = _TABLE[word], rest[tokens[place].end() :].strip()
        for preposition in sorted(follows, key=len, reverse=True):  # "" last
            if re.match(rf"{preposition}\b", behind, re.IGNORECASE) or not preposition:
                object_ = _object(behind[len(preposition) :])
                first = object_.lower().partition(" ")[0]
                unfinished = (follows[preposition] == "have" and re.fullmatch(r"\w+ed|done|come", first)) or (
                    word == "going" and preposition == "to" and not _PLACE_AHEAD.match(object_)  # "going to make"
                )
                return (subject, follows[preposition], object_) if _says_something(object_) and not unfinished else None
        return None
    return None


def _says_something(object_: str) -> bool:
    """Return whether an object is more than "it", and no further verb as in "have to go"."""
    return bool(re.search(r"\w{2}", object_)) and not _EMPTY.match(object_)


def _leads_to_verb(words: list[str]) -> bool:
    following = next((word for word in words if word not in _ADVERBS), "")
    return following in _TABLE or following in _AUXILIARIES


def _resolved(subject: str, speaker: str) -> str:
    if subject.lower() in ("i", "we"):
        return speaker
    return re.sub(r"^(?:my|our)\s+", f"{speaker}'s ", subject, flags=re.IGNORECASE)


def _object(words: str) -> str:
    """Return the object: up to where another clause begins, twelve words at most."""
    end = _OBJECT_END.search(words, 1)
    text = words[: end.start()] if end else words
    return " ".join(text.split()[:MAX_OBJECT_WORDS]).strip(" ,:'\"“”*")
