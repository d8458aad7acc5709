"""What is delicate in a text, by form and checksum alone: addresses, numbers, keys.

Deterministic and without a model, so that it can run on every write. It sees forms, not meanings: a diagnosis or a
secret told in plain words has none, and is for ``Policy.sensitivity`` labels that people set.
Source: the detectors of MemOS' governance, arXiv:2507.03724 section 5.4, with the forms made definite: ISO 7812 (cards,
with the check digit of Luhn), ISO 13616 (IBAN, modulo 97), ITU-T E.164 (phone numbers).
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from anamnos.cube import Annotations, MemCube, Provenance, Substrate

EMAIL, PHONE, CARD, IBAN, KEY, IP = "e-mail", "phone", "card", "iban", "key", "ip"
LABELS = (EMAIL, PHONE, CARD, IBAN, KEY, IP)

_T = TypeVar("_T", MemCube, Annotations, Provenance)


@dataclass(frozen=True, slots=True)
class Found:
    """Something delicate: ``text[start:end]``."""

    label: str
    start: int
    end: int


def detect(text: str) -> tuple[Found, ...]:
    """Return what is delicate in ``text``, in its order, without overlaps.

    >>> [found.label for found in detect("Write to ann@example.org or call +44 20 7946 0958.")]
    ['e-mail', 'phone']
    """
    if not _WORTH_A_LOOK(text):
        return ()
    found: list[Found] = []
    for detector in _DETECTORS:  # the surest first: what one of them has taken is not for the next
        for one in detector(text):
            if all(one.end <= other.start or other.end <= one.start for other in found):
                found.append(one)
    return tuple(sorted(found, key=lambda one: one.start))


def labels_of(text: str) -> tuple[str, ...]:
    """Return the labels of what is delicate in ``text``, each once, in the order of ``LABELS``."""
    there = {found.label for found in detect(text)}
    return tuple(label for label in LABELS if label in there)


def redact(text: str, labels: Collection[str] | None = None) -> str:
    """Return ``text`` with everything delicate replaced by its label in brackets.

    labels  which kinds; None: all
    Doing it twice changes nothing more.

    >>> redact("Write to ann@example.org.")
    'Write to [e-mail].'
    """
    out, end = [], 0
    for found in detect(text):
        if labels is None or found.label in labels:
            out += [text[end : found.start], f"[{found.label}]"]
            end = found.end
    return "".join([*out, text[end:]]) if out else text


def redacted(cube: MemCube) -> MemCube:
    """Return a cube with nothing delicate left in its words, notes and names; itself if there is none.

    The scope stays: it names who asked.
    """
    notes = _redacted_parts(cube.annotations, "keywords", "tags", "entities", "data")
    origin = _redacted_parts(cube.provenance, "source", "actor")
    if notes is not cube.annotations or origin is not cube.provenance:
        cube = replace(cube, annotations=notes, provenance=origin)
    return _redacted_parts(cube, "content")


def labelled(cube: MemCube) -> MemCube:
    """Return a text cube with the labels of what it says; labels of other kinds stay."""
    if cube.substrate is not Substrate.TEXT:
        return cube
    own = labels_of(cube.text)
    kept = tuple(label for label in cube.policy.sensitivity if label not in LABELS)
    if (*kept, *own) == cube.policy.sensitivity:
        return cube
    return replace(cube, policy=replace(cube.policy, sensitivity=(*kept, *own)))


def _redacted_parts(of: _T, *names: str) -> _T:
    """Return a record with some of its fields redacted; itself if nothing in them is delicate."""
    new = {name: value for name in names if (value := _redacted(getattr(of, name))) != getattr(of, name)}
    return replace(of, **new) if new else of


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(name): _redacted(inner) for name, inner in value.items()}
    return tuple(map(_redacted, value)) if isinstance(value, tuple) else value


# --- detectors: each yields what it finds in a text

_WORTH_A_LOOK = re.compile(r"[0-9@]|-----BEGIN|::").search

_EMAIL = re.compile(r"(?<![\w.+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}\b")


def _emails(text: str) -> Iterator[Found]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Found(EMAIL, *match.span())


_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
_KNOWN_KEY = re.compile(
    r"(?<![\w-])(?:sk-[\w-]{20,}|[sr]k_(?:live|test)_\w{16,}|gh[pousr]_\w{30,}|github_pat_\w{40,}|glpat-[\w-]{20,}"
    r"|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|AIza[\w-]{35}|xox[abeprs]-[\w-]{10,}|hf_[A-Za-z]{30,}|npm_\w{36}|pypi-[\w-]{50,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|ya29\.[\w-]{20,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})(?![\w])"
)
_NAMED_KEY = re.compile(
    r"\b(?:password|passphrase|passwd|pwd|passcode|api[ _-]?key|secret(?:[ _-]key)?|access[ _-]?token|auth[ _-]?token)"
    r"(?:\s{0,3}[:=]\s{0,3}|\s+is\s+)[\"'`]?(?P<key>[^\s\"'`,;]{6,200})",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"(?<![\w/@.+=-])[A-Za-z0-9_+=-]{20,200}(?![\w/@])")
_ENTROPY = 3.7  # bits a character; random letters and digits of 20 characters have about 4.1, words about 3.2
_WORDLIKE = re.compile(r"[A-Z]?[a-z]{6,}")


def _private_keys(text: str) -> Iterator[Found]:
    if "-----BEGIN" in text:
        for match in _PRIVATE_KEY.finditer(text):
            yield Found(KEY, *match.span())


def _keys(text: str) -> Iterator[Found]:
    for match in _KNOWN_KEY.finditer(text):
        yield Found(KEY, *match.span())
    for match in _NAMED_KEY.finditer(text):
        value = match["key"].rstrip(".!?)")
        if any(c.isdigit() for c in value) and len(value) >= 6:
            yield Found(KEY, match.start("key"), match.start("key") + len(value))


def _tokens(text: str) -> Iterator[Found]:
    """Yield long words of mixed case and digits without an order in them."""
    for match in _TOKEN.finditer(text):
        token = match[0]
        kinds = (str.isdigit, str.isupper, str.islower)
        if all(any(map(kind, token)) for kind in kinds) and not _WORDLIKE.search(token) and _entropy(token) >= _ENTROPY:
            yield Found(KEY, *match.span())


def _entropy(token: str) -> float:
    """Return the Shannon entropy of the characters of ``token``, in bits a character."""
    counts = Counter(token).values()
    return -sum(n / len(token) * math.log2(n / len(token)) for n in counts)


_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?=[ A-Z0-9])")
_IBAN_LENGTHS = {  # country -> characters. Source: the SWIFT registry of IBAN formats
    **dict.fromkeys(["NO"], 15),
    **dict.fromkeys(["BE"], 16),
    **dict.fromkeys(["DK", "FO", "FI", "GL", "NL", "SD"], 18),
    **dict.fromkeys(["MK", "SI"], 19),
    **dict.fromkeys(["AT", "BA", "EE", "KZ", "LT", "LU", "XK"], 20),
    **dict.fromkeys(["CH", "HR", "LI", "LV"], 21),
    **dict.fromkeys(["BG", "BH", "CR", "DE", "GB", "GE", "IE", "ME", "RS", "VA"], 22),
    **dict.fromkeys(["AE", "GI", "IL", "IQ", "TL"], 23),
    **dict.fromkeys(["AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"], 24),
    **dict.fromkeys(["PT", "ST"], 25),
    **dict.fromkeys(["IS", "TR"], 26),
    **dict.fromkeys(["FR", "GR", "IT", "MC", "MR", "SM"], 27),
    **dict.fromkeys(["AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "PL", "SV"], 28),
    **dict.fromkeys(["BR", "EG", "PS", "QA", "UA"], 29),
    **dict.fromkeys(["JO", "KW", "MU"], 30),
    **dict.fromkeys(["MT", "SC"], 31),
    **dict.fromkeys(["LC"], 32),
}


def _ibans(text: str) -> Iterator[Found]:
    for match in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2])
        end = None if length is None else _end_of(text, match.start(), length)
        if end is not None and _iban_checks(text[match.start() : end]):
            yield Found(IBAN, match.start(), end)


def _end_of(text: str, start: int, length: int) -> int | None:
    """Return where a number of ``length`` letters and digits ends, single blanks or hyphens between them left out."""
    seen, place = 0, start
    while place < len(text) and seen < length:
        if text[place].isalnum() and text[place].isascii():
            seen += 1
        elif text[place] not in " -" or not text[place - 1].isalnum():
            return None
        place += 1
    ends_there = place == len(text) or not text[place].isalnum()
    return place if seen == length and ends_there else None


def _iban_checks(number: str) -> bool:
    """Return whether the remainder of the rearranged number, letters as 10 to 35, is 1 modulo 97 (ISO 7064)."""
    compact = "".join(c for c in number.upper() if c.isalnum())
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


_CARD = re.compile(r"(?<![\w.,+])[2-6](?:[ -]?[0-9]){12,18}(?![\w]|[.,][0-9])")
_ISSUERS = (  # beginnings as (lowest, highest) of equal length, and how many digits the number may have
    ("4", "4", (13, 16, 19)),
    ("51", "55", (16,)),
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),
    ("37", "37", (15,)),
    ("300", "305", (14,)),
    ("36", "36", (14,)),
    ("38", "39", (14,)),
    ("3528", "3589", (16,)),
    ("6011", "6011", (16, 19)),
    ("644", "659", (16, 19)),
    ("62", "62", (16, 17, 18, 19)),
)


def _cards(text: str) -> Iterator[Found]:
    for match in _CARD.finditer(text):
        digits = "".join(c for c in match[0] if c.isdigit())
        issued = any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _ISSUERS)
        if issued and _luhn(digits):
            yield Found(CARD, *match.span())


def _luhn(digits: str) -> bool:
    """Return whether the check digit fits: every second digit from the right doubled, the sum of digits is 0 mod 10."""
    doubled = (int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits)))
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


_INTERNATIONAL = re.compile(
    r"(?<![\w.+])(?<![0-9][ -])(?:\+|00(?=[1-9]))[ (]{0,2}[0-9](?:[ ()./-]{0,2}[0-9]){6,14}(?![0-9])"
)
_NATIONAL = re.compile(  # of North America, and with a trunk 0
    r"(?<![\w.,$€£/-])(?<![0-9] )(?:(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"
    r"|\(?0[1-9][0-9]{1,4}\)?[ /-]?[0-9]{2,8}(?:[ /-][0-9]{2,6}){0,4})(?![\w]|[-/][0-9]|[.,][0-9])"
)
_TOLD = re.compile(
    r"\b(?:phone|tel|telephone|mobile|cell|cellphone|fax|whatsapp|phone number|number"
    r"|(?:call|text|ring|reach) (?:me|us|him|her|them))"
    r"(?: (?:number|no|is|on|at|under|back on|back at))*[.:]{0,2}\s{0,2}"
    r"(?P<number>\(?[0-9](?:[ ().-]{0,2}[0-9]){5,13})(?![\w]|[-/][0-9]|[.,][0-9])",
    re.IGNORECASE,
)
_DATE = re.compile(r"(?:[0-9]{1,2}[-/. ][0-9]{1,2}[-/. ][0-9]{2,4}|[0-9]{4}[-/. ][0-9]{1,2}[-/. ][0-9]{1,2})")


def _phones(text: str) -> Iterator[Found]:
    for match in _INTERNATIONAL.finditer(text):
        if 8 <= _digits(match[0]) <= 15 + 2 * match[0].startswith("00"):
            yield Found(PHONE, *match.span())
    for match in _NATIONAL.finditer(text):
        if 9 <= _digits(match[0]) <= 12 and not _DATE.match(match[0]):
            yield Found(PHONE, *match.span())
    for match in _TOLD.finditer(text):
        number = match["number"]
        if 7 <= _digits(number) <= 13 and not _DATE.match(number):
            yield Found(PHONE, *match.span("number"))


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))


_IPV4 = re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w]|\.[0-9])")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{3,39}(?![\w:])")
_VERSION = re.compile(r"(?:\bv|\bversion|\brelease|\bbuild)\.? ?$", re.IGNORECASE)


def _addresses(text: str) -> Iterator[Found]:
    for pattern, sign in ((_IPV4, "."), (_IPV6, ":")):
        if sign not in text:
            continue
        for match in pattern.finditer(text):
            if _is_address(match[0]) and not _VERSION.search(text[: match.start()]):
                yield Found(IP, *match.span())


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not address.is_unspecified and (address.version == 4 or text.count(":") > 2 or "::" in text)


_DETECTORS: tuple[Callable[[str], Iterator[Found]], ...] = (
    _private_keys,
    _emails,
    _keys,
    _ibans,
    _cards,
    _addresses,
    _phones,
    _tokens,
)
