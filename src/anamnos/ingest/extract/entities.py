"""Names in a text: people, places, titles, addresses, found by how they are written.

Source: ours; capitalised runs with what stands beside them, small closed lists, no model.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from anamnos.ingest.extract.base import sentences

EntityType = Literal["person", "place", "organisation", "title", "email", "url", "handle", "name"]
MAX_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class Mention:
    """A name as it stands in a text: ``text[start:end] == name``."""

    name: str
    type: EntityType
    start: int
    end: int


_EMAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63}){1,4}\b")
_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"')\]]{3,500}[\w/]")
_HANDLE = re.compile(r"(?<![\w@/.])@[A-Za-z_]\w{1,30}\b")
_QUOTED = re.compile(r"\"([^\"\n]{3,60})\"|“([^”\n]{3,60})”|(?<!\w)['‘]([A-Z][^'‘’\n]{2,59})['’](?!\w)")
_WORD = r"[A-ZÀ-ÖØ-Þ](?:[\w&]|['’.\-](?=\w))*"
_RUN = re.compile(
    rf"(?<![\w@#])(?:(?:Dr|Mr|Mrs|Ms|Prof|St)\.\s)?{_WORD}"
    rf"(?:\s(?:(?:of|de|da|van|von|del|la|le|the|&)\s){{0,2}}{_WORD})*"
)
_TITLE = re.compile(r"(?:Dr|Mr|Mrs|Ms|Prof)\.?\s", re.IGNORECASE)
_KIN = re.compile(
    r"\b(?:friends?|brothers?|sisters?|mom|mum|mother|dad|father|wife|husband|son|daughter|partner|girlfriend|boyfriend"
    r"|cousin|aunt|uncle|niece|nephew|boss|colleague|neighbou?r|coach|teacher|roommate|kids?|named|called|name is"
    r"|I['’]m|hey|hi|hello|thanks|thank you|bye|congrats|with|told|asked)[,:]?\s+$",
    re.IGNORECASE,
)
_IN = re.compile(r"\b(?:in|to|from|at|near|around|visit(?:ed|ing)?|across|through)\s+(?:the\s+)?$", re.IGNORECASE)
_ORGANISATION = re.compile(
    r"\b(?:Inc|Corp|Ltd|LLC|GmbH|University|College|School|Academy|Institute|Hospital|Clinic|Company|Bank|Foundation"
    r"|Association|Society|Museum|Agency|Council|Committee|Club|Church|Studios?|Group|Team|Labs?|Center|Centre)\b"
)
_PLACE = re.compile(
    r"\b(?:Park|Beach|Lake|River|Mountains?|Island|Street|Avenue|Road|Bay|Valley|Canyon|Forest|City|Bridge"
    r"|Square|Mount|Mt)\b"
)
_DATES = {name.lower() for name in (*calendar.month_name, *calendar.day_name, *calendar.month_abbr, *calendar.day_abbr)}
_DATES |= {"tues", "weds", "thurs", "sept", *(f"{name.lower()}s" for name in calendar.day_name)}
_COUNTRY_NAMES = """
    afghanistan albania algeria andorra angola argentina armenia australia austria azerbaijan bahamas bahrain
    bangladesh barbados belarus belgium belize benin bhutan bolivia bosnia botswana brazil brunei bulgaria burundi
    cambodia cameroon canada chad chile china colombia congo croatia cuba cyprus czechia denmark djibouti dominica
    ecuador egypt england eritrea estonia eswatini ethiopia fiji finland france gabon gambia georgia germany ghana
    greece grenada guatemala guinea guyana haiti honduras hungary iceland india indonesia iran iraq ireland israel
    italy jamaica japan jordan kazakhstan kenya kiribati korea kosovo kuwait kyrgyzstan laos latvia lebanon lesotho
    liberia libya liechtenstein lithuania luxembourg madagascar malawi malaysia maldives mali malta mauritania
    mauritius mexico micronesia moldova monaco mongolia montenegro morocco mozambique myanmar namibia nauru nepal
    netherlands nicaragua niger nigeria norway oman pakistan palau palestine panama paraguay peru philippines poland
    portugal qatar romania russia rwanda samoa scotland senegal serbia seychelles singapore slovakia slovenia
    somalia spain sudan suriname sweden switzerland syria taiwan tajikistan tanzania thailand togo tonga tunisia
    turkey turkmenistan tuvalu uganda ukraine uruguay uzbekistan vanuatu venezuela vietnam wales yemen zambia
    zimbabwe africa antarctica asia europe america oceania uk usa uae
"""
_COUNTRIES = frozenset(_COUNTRY_NAMES.split())
# Words that begin sentences or are shouted, and are no names.
_COMMON_WORDS = """
    a about absolutely actually after again ah aha all alright also although always am amazing an and another any
    anyone anything anyway are as ask at aw awesome aww back be because been before being best better big both btw
    but by bye call can check cheers come congrats congratulations cool could crazy cute damn day dear definitely
    did do does doing don't done dude each either else enjoy especially even ever every everyone everything exactly
    excited excuse fair family fantastic feel finally find first for from fun funny get give glad go going gonna
    good gosh got gotta great guess guys had haha happy hard has have having he hello help her here hey hi his hm
    hmm home honestly hope hopefully how however hugs i idea if i'll i'm imagine in incredible indeed interesting is
    isn't it its it's just keep kids kind know lately later let let's life like lmao lol look looking looks lots
    love lovely made make many maybe me mine mom more most much must my nah never next nice no none nope not nothing
    now of off oh ok okay omg on once one only oops or other our out over people perfect perhaps personally please
    plus pretty probably really right sad said same say see seems send she should since so some someone something
    sometimes soon sorry sounds still stay stop such super sure sweet take talk talking tell ten thank thanks that
    that's the their them then there these they thing things think this those though three time to today together
    tomorrow tonight too totally true trust try trying two ugh um until up us very via wait want was way we welcome
    well were what whatever what's when where which while who whoa why will wish with without woah won wonderful
    working would wow yay yeah yep yes yesterday yet you you're your yours during despite between unlike under
    through growing reading painting seeing being making running learning spending taking knowing hearing watching
    sharing helping speaking remember speaking mum dad mama recently usually last currently eventually suddenly
    nowadays afterwards meanwhile tv pm cd dvd ps fyi imo asap diy faq id pc ceo idk tbh rn ily woohoo hooray thx ty
    haha years year
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def find_entities(text: str, known: Collection[str] = ()) -> list[Mention]:
    """Return the names in ``text``, in its order; none overlap.

    known  names that are sure, such as those of the speakers: also one at the start of a sentence is taken for them
    A single capitalised word at the start of a sentence is a name only if it is known, a country, written so in the
    middle of another sentence of the text, or what is spoken to ("Thanks, Mel!"). Months, weekdays and shouted words
    are none.
    """
    found: list[Mention] = []
    taken = bytearray(len(text))

    def take(start: int, end: int, type_: EntityType) -> None:
        if 0 < end - start <= MAX_NAME_CHARS and not any(taken[start:end]):
            taken[start:end] = b"\1" * (end - start)
            found.append(Mention(text[start:end], type_, start, end))

    for type_, pattern in (("url", _URL), ("email", _EMAIL), ("handle", _HANDLE)):
        for match in pattern.finditer(text):
            take(*match.span(), type_)  # type: ignore[arg-type]
    for match in _QUOTED.finditer(text):
        group = match.lastindex or 0
        if re.match(r"[A-Z0-9]", match[group]) and not match[group].endswith((".", "!", "?")):
            take(*match.span(group), "title")
    sure = {name.casefold() for name in known} | {word.casefold() for name in known for word in name.split()}
    starts = _sentence_starts(text)
    runs = [run for match in _RUN.finditer(text) for run in _trimmed(text, *match.span(), sure, starts)]
    inner = {text[a:b].casefold() for a, b in runs if a not in starts}
    for start, end in runs:
        name = text[start:end]
        key = canonical(name).casefold()
        single = not re.search(r"\s", name)
        if single and start in starts and not (key in sure or key in _COUNTRIES or key in inner or _is_acronym(name)):
            continue
        take(start, end, _type(text, start, end, key, sure))
    return sorted(found, key=lambda mention: mention.start)


def canonical(name: str) -> str:
    """Return a name without possessive, leading article and odd blanks.

    >>> canonical("the  Eiffel Tower's")
    'Eiffel Tower'
    """
    name = re.sub(r"['’]s?$", "", " ".join(name.split()))
    return re.sub(r"^the\s+(?=\S)", "", name, flags=re.IGNORECASE).strip(" .,") or name


def full_names(names: Iterable[str]) -> dict[str, str]:
    """Return, for each canonical name, the fullest form of it among ``names``: "Chen" is "Sarah Chen" if just one
    longer name has that word and no other stands beside it; titles do not count.

    >>> full_names(["Sarah Chen", "Dr. Chen", "Sarah"])
    {'Sarah Chen': 'Sarah Chen', 'Dr. Chen': 'Sarah Chen', 'Sarah': 'Sarah Chen'}
    """
    all_names = list(dict.fromkeys(canonical(name) for name in names))
    words = {name: frozenset(_TITLE.sub("", name).casefold().split()) for name in all_names}
    full = {}
    for name in all_names:
        longer = [other for other in all_names if words[name] < words[other] and len(words[other]) <= 4]
        same = [other for other in all_names if words[other] == words[name]]
        full[name] = longer[0] if len(longer) == 1 and words[name] else min(same, key=lambda n: bool(_TITLE.match(n)))
    return full


def _sentence_starts(text: str) -> set[int]:
    """Return where sentences begin: the places of their first letters."""
    starts, place = set(), 0
    for sentence in sentences(text):
        place = text.index(sentence, place)
        first = re.search(r"\w", sentence)
        starts.add(place + (first.start() if first else 0))
        place += len(sentence)
    return starts


def _trimmed(
    text: str, start: int, end: int, sure: Collection[str], starts: Collection[int]
) -> Iterator[tuple[int, int]]:
    """Yield a capitalised run without dates and, where a sentence begins, common words; parted at possessives."""
    run: list[tuple[int, int]] = []
    words = list(re.finditer(r"\S+", text[start:end]))
    for match in words:
        word = match.group().rstrip(".")
        bare = canonical(word).casefold().replace("’", "'")
        if "'" in bare and bare.split("'")[0] in _COMMON | {"it", "he", "she"}:
            bare = bare.split("'")[0]  # I've, She's
        common = bare in _COMMON and (len(words) == 1 or start in starts or bare in ("i", "you", "we", "so"))
        if word[0].isupper() and (common or bare in _DATES or len(bare) < 2) and bare not in sure:
            yield from _joined(run, text, start)
            run = []
            continue
        run.append(match.span())
        if word[0].isupper() and word != canonical(word):  # "Ann's Berlin" are two
            yield from _joined(run, text, start)
            run = []
    yield from _joined(run, text, start)


def _joined(run: list[tuple[int, int]], text: str, offset: int) -> Iterator[tuple[int, int]]:
    while run and not text[offset + run[0][0]].isupper():
        run = run[1:]
    while run and not text[offset + run[-1][0]].isupper():
        run = run[:-1]
    if run:
        start, end = offset + run[0][0], offset + run[-1][1]
        name = text[start:end]
        yield start, end - (len(name) - len(re.sub(r"['’]s?$", "", name)))


def _is_acronym(name: str) -> bool:
    return 2 <= len(name) <= 6 and name.isupper() and name.isalpha()


def _type(text: str, start: int, end: int, key: str, sure: Collection[str]) -> EntityType:
    name, before = text[start:end], text[max(0, start - 40) : start]
    if key in sure or _TITLE.match(name):
        return "person"
    if key in _COUNTRIES or _PLACE.search(name):
        return "place"
    if _ORGANISATION.search(name):
        return "organisation"
    if _KIN.search(before):
        return "person"
    return "place" if _IN.search(before) else "name"
