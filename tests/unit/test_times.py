"""Times named in text: a table worked out by hand, and laws on any text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anamnos.errors import InvalidInput
from anamnos.times import TimeSpan, find_times

NOW = datetime(2024, 5, 15, 14, 30, tzinfo=UTC)  # a Wednesday

# text, then each span meant: first day and last day (both within), without the tolerance
TABLE: list[tuple[str, list[tuple[str, str]]]] = [
    # dates
    ("We met on 2023-07-04.", [("2023-07-04", "2023-07-04")]),
    ("Logged at 2023-07-04T18:20:00Z by Ann", [("2023-07-04", "2023-07-04")]),
    ("the 2023/07/04 release", [("2023-07-04", "2023-07-04")]),
    ("in 2023-07", [("2023-07-01", "2023-07-31")]),
    ("7/4/2023", [("2023-07-04", "2023-07-04")]),
    ("25/12/2022 was cold", [("2022-12-25", "2022-12-25")]),
    ("born 4.7.1990", [("1990-07-04", "1990-07-04")]),
    ("on 3/14/23", [("2023-03-14", "2023-03-14")]),
    ("on 8 May, 2023", [("2023-05-08", "2023-05-08")]),
    ("the 8th of May 2023", [("2023-05-08", "2023-05-08")]),
    ("May 8th, 2023 in Oslo", [("2023-05-08", "2023-05-08")]),
    ("Dec. 24, 2021", [("2021-12-24", "2021-12-24")]),
    ("on Sept 3", [("2023-09-03", "2023-09-03")]),
    ("on May 3", [("2024-05-03", "2024-05-03")]),
    ("on June 3rd we will fly", [("2023-06-03", "2023-06-03")]),
    ("We will fly on June 3rd.", [("2024-06-03", "2024-06-03")]),
    ("29 February 2024", [("2024-02-29", "2024-02-29")]),
    # months, seasons, years
    ("What did Ann do in May 2023?", [("2023-05-01", "2023-05-31")]),
    ("Since when? June, 2022.", [("2022-06-01", "2022-06-30")]),
    ("in March", [("2024-03-01", "2024-03-31")]),
    ("in october", [("2023-10-01", "2023-10-31")]),
    ("He left in May.", [("2024-05-01", "2024-05-31")]),
    ("last June", [("2023-06-01", "2023-06-30")]),
    ("next January", [("2025-01-01", "2025-01-31")]),
    ("I'll go in July", [("2024-07-01", "2024-07-31")]),
    ("the first week of August 2023", [("2023-08-01", "2023-08-31")]),
    ("last summer", [("2023-06-01", "2023-08-31")]),
    ("this summer", [("2024-06-01", "2024-08-31")]),
    ("in the fall of 2021", [("2021-09-01", "2021-11-30")]),
    ("winter 2022", [("2022-12-01", "2023-02-28")]),
    ("in the winter", [("2023-12-01", "2024-02-29")]),
    ("She moved there in 2019.", [("2019-01-01", "2019-12-31")]),
    ("the 1990s", [("1990-01-01", "1999-12-31")]),
    ("back in the 80s", [("1980-01-01", "1989-12-31")]),
    ("last Christmas", [("2023-12-25", "2023-12-25")]),
    ("on Halloween", [("2023-10-31", "2023-10-31")]),
    # days near now
    ("yesterday", [("2024-05-14", "2024-05-14")]),
    ("Yesterday evening we ate", [("2024-05-14", "2024-05-14")]),
    ("the day before yesterday", [("2024-05-13", "2024-05-13")]),
    ("today and tomorrow", [("2024-05-15", "2024-05-15"), ("2024-05-16", "2024-05-16")]),
    ("last night", [("2024-05-14", "2024-05-14")]),
    ("this morning", [("2024-05-15", "2024-05-15")]),
    # so long ago
    ("5 days ago", [("2024-05-10", "2024-05-10")]),
    ("three weeks ago", [("2024-04-24", "2024-04-24")]),
    ("a week ago", [("2024-05-08", "2024-05-08")]),
    ("two months ago", [("2024-03-15", "2024-03-15")]),
    ("a year ago", [("2023-05-15", "2023-05-15")]),
    ("about 3 years ago", [("2021-05-15", "2021-05-15")]),
    ("a couple of days ago", [("2024-05-13", "2024-05-13")]),
    ("two hours ago", [("2024-05-15", "2024-05-15")]),
    ("one or two weeks ago", [("2024-05-05", "2024-05-05")]),
    # last, this, next
    ("last week", [("2024-05-08", "2024-05-08")]),
    ("this week", [("2024-05-13", "2024-05-19")]),
    ("next month", [("2024-06-01", "2024-06-30")]),
    ("last month", [("2024-04-01", "2024-04-30")]),
    ("last year", [("2023-01-01", "2023-12-31")]),
    ("the year before last", [("2022-01-01", "2022-12-31")]),
    ("last weekend", [("2024-05-11", "2024-05-12")]),
    ("the past three months", [("2024-02-15", "2024-05-15")]),
    ("last Friday", [("2024-05-10", "2024-05-10")]),
    ("next Friday", [("2024-05-17", "2024-05-17")]),
    ("this Friday", [("2024-05-17", "2024-05-17")]),
    ("We met on Monday", [("2024-05-13", "2024-05-13")]),
    ("See you on Monday", [("2024-05-20", "2024-05-20")]),
    ("last Tues, and next Fri", [("2024-05-14", "2024-05-14"), ("2024-05-17", "2024-05-17")]),
    ("the next few months", [("2024-05-15", "2024-08-15")]),
    ("He sat in the sun with Fri and Mon", []),
    ("last Wednesday", [("2024-05-08", "2024-05-08")]),
    ("I will be back in two weeks", [("2024-05-29", "2024-05-29")]),
    ("the 3rd is fine; paid on the 3rd.", [("2024-05-03", "2024-05-03")]),
    ("on the 20th of last month", [("2024-04-20", "2024-04-20")]),
    # two that make one
    ("between March 2023 and June 2023", [("2023-03-01", "2023-06-30")]),
    ("from 3 May 2023 to 9 May 2023", [("2023-05-03", "2023-05-09")]),
    ("since January", [("2024-01-01", "2024-05-15")]),
    # nothing
    ("31 February 2023", []),
    ("2023-13-01 and 2023-02-30", []),
    ("99/99/2023", []),
    ("How many months ago did I move?", []),
    ("How long have I lived here? For two weeks.", []),
    ("May I march to the second floor?", []),
    ("I may fall, spring water, version 2.3.4, call 555-2023", []),
    ("on the 5th floor, room 2012, 2020 people came", []),
    ("She learned it in two weeks", []),
    ("9999 years ago", []),
]


def days(span: TimeSpan) -> tuple[str, str]:
    start, end = span.meant
    return start.date().isoformat(), (end - timedelta(microseconds=1)).date().isoformat()


@pytest.mark.parametrize(("text", "expected"), TABLE)
def test_table(text: str, expected: list[tuple[str, str]]) -> None:
    found = find_times(text, NOW)
    if text.startswith("since"):
        assert found[0].end == NOW
    assert [days(span) for span in found] == expected


@pytest.mark.parametrize(
    ("text", "days_before", "days_after"),
    [  # the tolerances around the day meant
        ("yesterday", 1, 1),
        ("5 days ago", 2, 2),
        ("last week", 3, 3),
        ("a week ago", 3, 3),
        ("3 weeks ago", 5, 5),
        ("a month ago", 7, 7),
        ("4 months ago", 10, 10),
        ("a year ago", 30, 30),
        ("recently", 14, 14),
        ("a few days ago", 4, 4),
    ],
)
def test_vague_phrases_have_a_tolerance(text: str, days_before: int, days_after: int) -> None:
    (span,) = find_times(text, NOW)
    start, end = span.meant
    assert end - start == timedelta(days=1)
    assert (start - span.start, span.end - end) == (timedelta(days=days_before), timedelta(days=days_after))


def test_a_day_is_one_of_the_speakers_zone() -> None:
    tokyo = timezone(timedelta(hours=9))
    (span,) = find_times("today", datetime(2024, 5, 16, 1, 0, tzinfo=tokyo))
    assert (span.start.isoformat(), span.end.isoformat()) == ("2024-05-15T15:00:00+00:00", "2024-05-16T15:00:00+00:00")


def test_day_first_is_the_callers_choice() -> None:
    assert days(find_times("3/4/2024", NOW)[0])[0] == "2024-03-04"
    assert days(find_times("3/4/2024", NOW, day_first=True)[0])[0] == "2024-04-03"


def test_the_phrase_says_where_it_was() -> None:
    text = "Ann left in May 2023, and came back yesterday."
    assert [span.phrase for span in find_times(text, NOW)] == ["May 2023", "yesterday"]


def test_a_present_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="now must be a datetime with a time zone"):
        find_times("yesterday", datetime(2024, 5, 15))  # noqa: DTZ001


WORDS = st.sampled_from(sorted({word for text, _ in TABLE for word in text.split()}))
MOMENTS = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(text=st.text() | st.lists(WORDS, max_size=12).map(" ".join), now=MOMENTS | st.just(NOW))
@example(text="last year", now=datetime(1, 1, 1, tzinfo=UTC))
@example(text="next decade this weekend tomorrow", now=datetime(9999, 12, 31, tzinfo=UTC))
@example(text="on February 29", now=datetime(1900, 3, 1, tzinfo=UTC))
@example(text="٣ days ago", now=NOW)
def test_any_text_gives_ordered_spans_of_it(text: str, now: datetime) -> None:
    found = find_times(text, now)
    assert found == find_times(text, now)
    end = 0
    for span in found:
        assert span.start < span.end
        assert span.start_char >= end
        assert text[span.start_char : span.end_char] == span.phrase
        end = span.end_char
