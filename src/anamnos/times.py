"""Times named in English text: "yesterday", "in May 2023", "three weeks ago", resolved against a given present."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from anamnos.cube import check_text
from anamnos.errors import InvalidInput

_DAY = timedelta(days=1)
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A time that a text names.

    start, end            half open, in UTC: what is meant, with the tolerance that such a phrase needs
    phrase                as it is written
    start_char, end_char  where: ``text[start_char:end_char] == phrase``
    tolerance             how much of both ends is tolerance; zero for dates and calendar periods
    """

    start: datetime
    end: datetime
    phrase: str
    start_char: int
    end_char: int
    tolerance: timedelta = _NONE

    @property
    def meant(self) -> tuple[datetime, datetime]:
        """The period without its tolerance: the one day of "five days ago"."""
        return self.start + self.tolerance, self.end - self.tolerance


def find_times(text: str, now: datetime, *, day_first: bool = False) -> list[TimeSpan]:
    """Return the times that ``text`` names, in its order; none overlap.

    now        the present of who speaks; its zone decides what a day is
    day_first  whether 3/4/2024 is the 3rd of April; where only one reading is a date, that one is taken
    Durations and counts ("for two weeks", "how many days ago") and dates that do not exist give nothing. "Before" and
    "after" a date are not resolved: the span is the date's. A month or weekday alone is the last one, unless the
    sentence speaks of the future.
    Raises: InvalidInput for a ``now`` without a zone.
    Source: the table of tolerances is ours; last month and last year are the calendar's.

    >>> [span.phrase for span in find_times("We met in May 2023.", datetime(2024, 1, 5, tzinfo=UTC))]
    ['May 2023']
    """
    check_text("text", text)
    if not isinstance(now, datetime) or now.utcoffset() is None:
        raise InvalidInput("now must be a datetime with a time zone.", hint="For instance datetime.now(timezone.utc).")
    taken = bytearray(len(text))
    found: list[TimeSpan] = []
    for pattern, resolve in _RULES:
        for match in pattern.finditer(text):
            start, end = match.span("said") if "said" in pattern.groupindex else match.span()
            if any(taken[start:end]):
                continue
            try:
                period = resolve(match, _Present(now, day_first, text))
                span = None if period is None else _span(period, match.string[start:end], start, end)
            except (ValueError, OverflowError):  # no such date, or beyond the years 1 to 9999
                span = None
                taken[start:end] = b"\1" * (end - start)  # "31 February 2023" does not mean February 2023
            if span is not None:
                taken[start:end] = b"\1" * (end - start)
                found.append(span)
    found.sort(key=lambda span: span.start_char)
    return list(_joined(found, text, now))


@dataclass(frozen=True, slots=True)
class _Present:
    """What a phrase is resolved against."""

    now: datetime
    day_first: bool
    text: str

    @property
    def today(self) -> datetime:
        return self.now.replace(hour=0, minute=0, second=0, microsecond=0)

    def date(self, year: int, month: int, day: int) -> datetime:
        return datetime(year, month, day, tzinfo=self.now.tzinfo)

    def month(self, year: int, month: int) -> _Period:
        start = self.date(year, month, 1)
        return start, _add_months(start, 1), _NONE

    def year(self, year: int) -> _Period:
        return self.date(year, 1, 1), self.date(year + 1, 1, 1), _NONE

    def days(self, ago: int, tolerance: int = 0, length: int = 1) -> _Period:
        start, slack = self.today - ago * _DAY, tolerance * _DAY
        return start - slack, start + length * _DAY + slack, slack

    def is_future(self, match: re.Match[str]) -> bool:
        """Return whether the sentence around a match speaks of what is to come."""
        before = self.text[max(0, match.start() - 200) : match.start()]
        sentence = re.split(r"[.!?\n]", before)[-1]
        return bool(_FUTURE.search(sentence))


_Period = tuple[datetime, datetime, timedelta]
_Resolve = Callable[["re.Match[str]", _Present], "_Period | None"]


def _span(period: _Period, phrase: str, start: int, end: int) -> TimeSpan:
    first, last, tolerance = period
    return TimeSpan(first.astimezone(UTC), last.astimezone(UTC), phrase, start, end, tolerance)


def _add_months(day: datetime, months: int) -> datetime:
    """Return the same day some months later, or the last one of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return day.replace(year=year, month=month + 1, day=min(day.day, last))


# --- words -----------------------------------------------------------------------------------------------------

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
_SHORT_MONTHS = {name[:3]: number for name, number in _MONTHS.items()} | {"sept": 9}
_WEEKDAYS = {name.lower(): number for number, name in enumerate(calendar.day_name)}
_SHORT_WEEKDAYS = {"mon": 0, "tue": 1, "tues": 1, "wed": 2, "thu": 3, "thurs": 3, "fri": 4, "sat": 5, "sun": 6}
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}  # the north's
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_NUMBERS |= {"nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30}
_NUMBERS |= {"a couple of": 2, "a couple": 2, "couple of": 2, "couple": 2, "a few": 3, "few": 3, "several": 4}
_VAGUE = {word for word in _NUMBERS if "couple" in word or "few" in word or word == "several"}
_HOLIDAYS = {
    "christmas eve": (12, 24),
    "christmas day": (12, 25),
    "christmas": (12, 25),
    "new year's eve": (12, 31),
    "new year's day": (1, 1),
    "valentine's day": (2, 14),
    "halloween": (10, 31),
}

_FUTURE = re.compile(
    r"\b(?:will|shall|won't|going to|gonna|let's|see you|plan(?:s|ned|ning)?|upcoming|looking forward"
    r"|would like to|want to|hop(?:e|ing) to)\b|(?:'|’)ll\b",
    re.IGNORECASE,
)


def _either(words: Iterable[str]) -> str:
    return "|".join(re.escape(word).replace("'", "['’]?") for word in sorted(words, key=len, reverse=True))


_LONG = _either(_MONTHS)
_SHORT = _either(_SHORT_MONTHS)
_MONTH = rf"(?:{_LONG}|(?:{_SHORT})\b\.?)"
_WEEKDAY = _either(_WEEKDAYS | _SHORT_WEEKDAYS)
_SEASON = _either(_SEASONS)
_YEAR = r"(?:19|20)[0-9]{2}"
_TH = r"(?:st|nd|rd|th)?"
_D = r"(?:0?[1-9]|[12][0-9]|3[0-9])"  # 32 to 39 so that they are seen to be no dates
_COUNT = rf"(?:[0-9]{{1,4}}|{_either(_NUMBERS)})"
_UNIT = r"(?:minute|hour|day|night|week|fortnight|weekend|month|year|decade)"
_WHICH = r"(?:last|past|this past|this|next|coming)"
_NOT_IN_NUMBER = r"(?<![\w/.\-])"
_END = r"(?![\w/\-]|\.[0-9])"


def _month_number(name: str) -> int:
    word = name.lower().rstrip(".")
    return _MONTHS.get(word) or _SHORT_MONTHS[word]


def _number(word: str) -> int:
    return int(word) if word.isdecimal() else _NUMBERS[" ".join(word.lower().split())]


def _is_vague(word: str) -> bool:
    return " ".join(word.lower().split()) in _VAGUE


# --- rules: what a match means -----------------------------------------------------------------------------------


def _iso(match: re.Match[str], at: _Present) -> _Period:
    year, month, day = int(match["y"]), int(match["m"]), match["d"]
    if day is None:
        return at.month(year, month)
    start = at.date(year, month, int(day))
    return start, start + _DAY, _NONE


def _numeric(match: re.Match[str], at: _Present) -> _Period:
    first, second, year = int(match["a"]), int(match["b"]), int(match["y"])
    day_first = at.day_first or match["sep"] == "."
    if first > 12 or second > 12:
        day_first = first > 12
    day, month = (first, second) if day_first else (second, first)
    start = at.date(year + 2000 if year < 100 else year, month, day)
    return start, start + _DAY, _NONE


def _day_of_month(match: re.Match[str], at: _Present) -> _Period:
    month, day, year = _month_number(match["month"]), int(match["d"]), match["y"]
    start = at.date(int(year), month, day) if year else _nearest(at, match, month, day, which=None)
    return start, start + _DAY, _NONE


def _nearest(at: _Present, match: re.Match[str], month: int, day: int, which: str | None) -> datetime:
    """Return the last such day that is not to come; the next one where the future is spoken of."""
    future = which in ("next", "coming") or (which is None and at.is_future(match))
    years = [at.today.year + offset for offset in ((0, 1, 2, 3, 4) if future else (0, -1, -2, -3, -4))]
    for year in years:
        if not 1 <= year <= 9999 or (day == 29 and month == 2 and not calendar.isleap(year)):
            continue
        start = at.date(year, month, day)
        if start >= at.today if future else start <= at.today:
            return start
    raise ValueError("no such day")


def _month(match: re.Match[str], at: _Present) -> _Period | None:
    name, year, which = match["month"], match["y"], (match["which"] or "").lower()
    month = _month_number(name)
    if year:
        return at.month(int(year), month)
    if not (which or match["in"]):
        if name.rstrip(".").lower() in ("may", "march") or name.rstrip(".").lower() in _SHORT_MONTHS:
            return None  # a verb, or part of a name
        if not name[0].isupper():
            return None
    this = at.today.year
    if which == "this":
        return at.month(this, month)
    if which in ("next", "coming") or (not which and at.is_future(match)):
        return at.month(this if month > at.today.month or (not which and month == at.today.month) else this + 1, month)
    passed = month < at.today.month or (month == at.today.month and which not in ("last", "past"))
    return at.month(this if passed else this - 1, month)


def _near_day(match: re.Match[str], at: _Present) -> _Period:
    word = " ".join(match.group().lower().split())
    if "before yesterday" in word:
        return at.days(2, 1)
    if "after tomorrow" in word:
        return at.days(-2)
    if word == "yesterday" or word.startswith("yesterday "):
        return at.days(1, 1)
    if word.startswith("last "):
        return at.days(1)
    return at.days(-1) if word.startswith("tomorrow") else at.days(0)


def _ago(match: re.Match[str], at: _Present) -> _Period:
    low = _number(match["n"])
    count = (low + _number(match["n2"])) / 2 if match["n2"] else float(low)
    vague = _is_vague(match["n"]) or match["n2"] is not None
    return _before_now(count, match["unit"].lower(), at, vague=vague)


def _before_now(count: float, unit: str, at: _Present, *, vague: bool = False) -> _Period:
    """Return the day so long ago, with the tolerance that people have who speak so."""
    if unit in ("minute", "hour"):
        moment = at.now - timedelta(**{f"{unit}s": count})
        start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        return start, start + _DAY, _NONE
    if unit in ("day", "night"):
        ago, tolerance = round(count), 2
    elif unit in ("week", "weekend", "fortnight"):
        weeks = count * (2 if unit == "fortnight" else 1)
        ago, tolerance = round(7 * weeks), 3 if weeks == 1 else 5
    else:
        months = round(count * {"month": 1, "year": 12, "decade": 120}[unit])
        ago = (at.today - _add_months(at.today, -months)).days
        tolerance = {"month": 10, "year": 183, "decade": 1000}[unit]
        if count == 1 and unit != "decade":
            tolerance = {"month": 7, "year": 30}[unit]
    return at.days(ago, tolerance * (2 if vague else 1))


def _ahead(match: re.Match[str], at: _Present) -> _Period | None:
    if match["n"] and not (match["after"] or at.is_future(match)):
        return None  # "learned it in two weeks" is a duration
    count, unit = _number(match["n"] or match["n2"]), (match["unit"] or match["unit2"]).lower()
    if unit in ("minute", "hour"):
        start = (at.now + timedelta(**{f"{unit}s": count})).replace(hour=0, minute=0, second=0, microsecond=0)
        return start, start + _DAY, _NONE
    if unit in ("day", "night", "week", "weekend", "fortnight"):
        days = count * {"week": 7, "weekend": 7, "fortnight": 14}.get(unit, 1)
        return at.days(-days, 2 if days < 7 else 3)
    months = count * {"month": 1, "year": 12, "decade": 120}[unit]
    return at.days(-(_add_months(at.today, months) - at.today).days, {"month": 7, "year": 30, "decade": 1000}[unit])


def _several(match: re.Match[str], at: _Present) -> _Period:
    count, unit = _number(match["n"]), match["unit"].lower()
    months = {"month": 1, "year": 12, "decade": 120}.get(unit)
    days = count * {"week": 7, "weekend": 7, "fortnight": 14}.get(unit, 1)
    step = 1 if match["which"].lower() in ("next", "coming") else -1
    other = _add_months(at.today, step * count * months) if months else at.today + step * days * _DAY
    return min(at.today, other), max(at.today, other) + _DAY, _NONE


def _calendar(match: re.Match[str], at: _Present) -> _Period:
    """Return the last, this or next week, weekend, month, year or decade, or the one before the last."""
    unit = (match["unit"] or match["before_last"]).lower()
    which = " ".join((match["which"] or "").lower().split())
    step = -2 if match["before_last"] else {"this": 0, "next": 1, "coming": 1}.get(which, -1)
    if unit == "week":
        monday = at.today - at.today.weekday() * _DAY
        return at.days(-7 * step, 3) if step else (monday, monday + 7 * _DAY, _NONE)
    if unit == "weekend":  # that of this calendar week is "this weekend", on a Sunday too
        saturday = at.today + (5 - at.today.weekday() + 7 * step) * _DAY
        return saturday, saturday + 2 * _DAY, _NONE
    if unit == "month":
        first = _add_months(at.today.replace(day=1), step)
        return at.month(first.year, first.month)
    if unit == "decade":
        first_year = at.today.year // 10 * 10 + 10 * step
        return at.date(first_year, 1, 1), at.date(first_year + 10, 1, 1), _NONE
    return at.year(at.today.year + step)


def _weekday(match: re.Match[str], at: _Present) -> _Period | None:
    which = " ".join((match["which"] or "").lower().split())
    name = match["day"].lower()
    if not (which or match["in"] or (name in _WEEKDAYS and match["day"][0].isupper())):
        return None
    ahead = ((_WEEKDAYS | _SHORT_WEEKDAYS)[name] - at.today.weekday()) % 7
    if which in ("next", "coming"):
        return at.days(-(ahead or 7))
    if which == "this" or (not which and at.is_future(match)):
        return at.days(-ahead)
    if not which and ahead == 0:
        return at.days(0)
    return at.days(7 - ahead)


def _season(match: re.Match[str], at: _Present) -> _Period:
    parts = match.groupdict()
    month, year, which = _SEASONS[parts["season"].lower()], parts.get("y"), (parts.get("which") or "").lower()

    def of(year: int) -> _Period:
        start = at.date(year, month, 1)
        return start, _add_months(start, 3), _NONE

    if year:
        return of(int(year))
    this = of(at.today.year)
    if month == 12 and at.today.month < 3:
        this = of(at.today.year - 1)
    begun, over = this[0] <= at.today, this[1] <= at.today
    first = this[0].year
    if which == "this":
        return this
    if which in ("next", "coming") or (not which and at.is_future(match)):
        return of(first + 1) if begun else this
    if which in ("last", "past"):
        return this if over else of(first - 1)
    return this if begun else of(first - 1)


def _holiday(match: re.Match[str], at: _Present) -> _Period:
    name = " ".join(match["name"].lower().replace("’", "'").split())
    spelled = {key.replace("'", ""): value for key, value in _HOLIDAYS.items()}
    month, day = spelled[name.replace("'", "")]
    which = (match["which"] or "").lower() or None
    if match["y"]:
        start = at.date(int(match["y"]), month, day)
    elif which == "this":
        start = at.date(at.today.year, month, day)
    else:
        start = _nearest(at, match, month, day, which)
    return start - _DAY, start + 2 * _DAY, _DAY


def _named_year(match: re.Match[str], at: _Present) -> _Period:
    return at.year(int(match["said"]))


def _decade(match: re.Match[str], at: _Present) -> _Period:
    number = int(match["decade"])
    first = number if number > 99 else 1900 + number if number >= 30 else 2000 + number
    return at.date(first, 1, 1), at.date(first + 10, 1, 1), _NONE


def _ordinal_day(match: re.Match[str], at: _Present) -> _Period:
    day, which = int(match["d"]), (match["which"] or "").lower()
    month = at.today.replace(day=1)
    if which:
        month = _add_months(month, {"last": -1, "this": 0, "next": 1}[which])
    elif at.is_future(match):
        month = month if day >= at.today.day else _add_months(month, 1)
    elif day > at.today.day:
        month = _add_months(month, -1)
    start = month.replace(day=day)
    return start, start + _DAY, _NONE


def _recently(match: re.Match[str], at: _Present) -> _Period:
    return at.days(14, 14)


def _rule(pattern: str, resolve: _Resolve) -> tuple[re.Pattern[str], _Resolve]:
    return re.compile(pattern, re.IGNORECASE), resolve


_IN = r"(?:in|of|during|since|until|till|by|from|before|after|around|between|and|to|through|throughout|early|mid|late)"
_RULES = [  # the longer phrases first: what one has taken, no later one reads
    _rule(rf"{_NOT_IN_NUMBER}(?P<y>{_YEAR})[-/](?P<m>[0-9]{{2}})(?:[-/](?P<d>[0-9]{{2}}))?"
          rf"(?:[T ][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})?)?{_END}", _iso),
    _rule(rf"{_NOT_IN_NUMBER}(?P<a>[0-9]{{1,2}})(?P<sep>[/.])(?P<b>[0-9]{{1,2}})(?P=sep)(?P<y>{_YEAR}|[0-9]{{2}}){_END}",
          _numeric),
    _rule(rf"\b(?P<d>{_D}){_TH}\s+(?:of\s+)?(?P<month>{_MONTH})(?:,?\s+(?:of\s+)?(?P<y>{_YEAR}))?(?!\w)",
          _day_of_month),
    _rule(rf"\b(?P<month>{_MONTH})\s+(?:the\s+)?(?P<d>{_D}){_TH}(?!\w|:[0-9])(?:,?\s+(?:of\s+)?(?P<y>{_YEAR})(?!\w))?",
          _day_of_month),
    _rule(rf"(?<!\w)(?P<said>(?:(?P<which>last|past|this|next|coming)\s+)?(?P<name>{_either(_HOLIDAYS)})"
          rf"(?:,?\s+(?:of\s+|in\s+)?(?P<y>{_YEAR}))?)(?!\w)", _holiday),
    _rule(rf"\b(?:(?P<in>{_IN})[\s-]+)?(?P<said>(?:(?P<which>last|past|this|next|coming)\s+)?(?P<month>{_MONTH})"
          rf"(?:,?\s+(?:of\s+)?(?P<y>{_YEAR}))?)(?!\w)", _month),
    _rule(rf"\b(?:(?:{_IN}|over|all|that)\s+(?:the\s+)?(?:early\s+|late\s+)?)(?P<said>(?P<season>{_SEASON})"
          rf"(?:\s+(?:of\s+)?(?P<y>{_YEAR}))?)(?!\w)", _season),
    _rule(rf"\b(?P<which>last|past|this|next|coming)\s+(?P<season>{_SEASON})(?!\w)", _season),
    _rule(rf"\b(?P<season>{_SEASON})\s+(?:of\s+)?(?P<y>{_YEAR})(?!\w)", _season),
    _rule(r"\bthe day before yesterday\b|\bthe day after tomorrow\b|\byesterday(?: (?:morning|afternoon|evening))?\b"
          r"|\blast night\b|\btomorrow(?: (?:morning|afternoon|evening|night))?\b"
          r"|\btoday\b|\btonight\b|\bthis (?:morning|afternoon|evening)\b", _near_day),
    _rule(rf"\b(?P<n>{_COUNT})(?:(?:\s+(?:or|to)\s+|\s?[-–]\s?)(?P<n2>{_COUNT}))?\s+(?P<unit>{_UNIT})s?\s+(?:ago|back)\b",
          _ago),
    _rule(rf"\b(?:in\s+(?P<n>{_COUNT})\s+(?P<unit>{_UNIT})s?(?P<after>['’]s?\s+time)?"
          rf"|(?P<n2>{_COUNT})\s+(?P<unit2>{_UNIT})s?\s+from (?:now|today))\b", _ahead),
    _rule(rf"\b(?:the|these)\s+(?P<which>last|past|next|coming)\s+(?P<n>{_COUNT})\s+(?P<unit>{_UNIT})s?\b",
          _several),
    _rule(r"\bon the (?P<d>[12]?[0-9]|3[0-9])(?:st|nd|rd|th)(?:\s+of\s+(?P<which>this|last|next)\s+month\b"
          r"|(?=\s*(?:[.,!?;)]|$)))", _ordinal_day),
    _rule(r"\b(?:the\s+)?(?:(?P<which>last|this past|past|previous|this|next|coming)\s+"
          r"(?P<unit>weekend|week|month|year|decade)|(?P<before_last>weekend|week|month|year|decade)\s+before last)\b",
          _calendar),
    _rule(rf"\b(?:(?P<in>on|by|since|until|till)\s+)?(?P<said>(?:(?P<which>{_WHICH})\s+)?(?P<day>{_WEEKDAY}))\b",
          _weekday),
    _rule(rf"\b(?:{_IN}|year|summer)\s+(?P<said>{_YEAR})(?![\w%]|[.,:/\-][0-9]"
          rf"| (?:people|miles|km|dollars|euros|times|steps|words))",
          _named_year),
    _rule(r"\bthe\s+(?:early\s+|late\s+|mid[\s-])?['’]?(?P<decade>(?:19|20)?[0-9]0)['’]?s\b", _decade),
    _rule(r"\b(?:recently|lately|the other day|these days)\b", _recently),
]  # fmt: skip


# --- two times that make one ---------------------------------------------------------------------------------------

_BETWEEN = re.compile(r"\b(between|from)\s+(?:the\s+)?\Z", re.IGNORECASE)
_AND = {
    "between": re.compile(r"\s+and\s+(?:the\s+)?\Z", re.I),
    "from": re.compile(r"\s+(?:to|until|till|through)\s+(?:the\s+)?\Z", re.I),
}
_SINCE = re.compile(r"\bsince\s+(?:the\s+)?\Z", re.IGNORECASE)


def _joined(found: list[TimeSpan], text: str, now: datetime) -> Iterator[TimeSpan]:
    """Yield the spans, with "between A and B" and "from A to B" as one, and "since A" up to now."""
    place = 0
    while place < len(found):
        span = found[place]
        lead = text[max(0, span.start_char - 40) : span.start_char]
        between = _BETWEEN.search(lead)
        if between and place + 1 < len(found):
            other = found[place + 1]
            gap = text[span.end_char : other.start_char]
            if len(gap) < 40 and _AND[between[1].lower()].match(gap) and span.start < other.end:
                begin = span.start_char - len(between.group())
                phrase = text[begin : other.end_char]
                yield TimeSpan(span.start, max(span.end, other.end), phrase, begin, other.end_char)
                place += 2
                continue
        since = _SINCE.search(lead)
        if since and span.start < now:
            begin = span.start_char - len(since.group())
            yield TimeSpan(
                span.start, max(now.astimezone(UTC), span.end), text[begin : span.end_char], begin, span.end_char
            )
        else:
            yield span
        place += 1
