"""What is read in a question, by rules or by a model: intent, lists, names, quotes and times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos import Memory, Scope
from anamnos.errors import ConfigError, ProviderError
from anamnos.index.space import SpaceIndex
from anamnos.index.terms import TermReader
from anamnos.llm.base import Ledger, Message, Schema, misfit
from anamnos.recall.analyse import Cue, Intent, analyse, intent_of
from anamnos.recall.analyse_llm import LlmAnalyser
from anamnos.testing import FakeEmbedder, ReferenceStore

ANN = Scope(user="ann")
ASKED_AT = datetime(2024, 5, 15, 12, tzinfo=UTC)  # a Wednesday
READER = TermReader()


class Case(NamedTuple):
    """A question and what should be read in it. ``window``: first day and the day after the last, without tolerance."""

    text: str
    intent: str
    several: bool = False
    entities: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    window: tuple[str, str] | None = None


CASES = [
    # one thing
    Case("Where does Nora keep the ladder?", "lookup", entities=("Nora",)),
    Case("Who repaired the gutter?", "lookup"),
    Case("What is the name of Emil's boat?", "lookup", entities=("Emil",)),
    Case("Which street does the dentist live in?", "lookup"),
    Case("What was the price of the lamp?", "lookup"),
    Case("Why did Bo leave the choir?", "lookup", entities=("Bo",)),
    Case("Did Ines pass the exam?", "lookup", entities=("Ines",)),
    Case("What does Tove think about the bridge?", "lookup", entities=("Tove",)),
    Case("What did we eat on 3 May 2024?", "lookup", window=("2024-05-03", "2024-05-04")),
    Case("What happened yesterday?", "lookup", window=("2024-05-14", "2024-05-15")),
    Case("Who visited us in March 2023?", "lookup", window=("2023-03-01", "2023-04-01")),
    Case("What did Ken buy two days ago?", "lookup", entities=("Ken",), window=("2024-05-13", "2024-05-14")),
    Case("What did the plumber fix on 2024-04-30?", "lookup", window=("2024-04-30", "2024-05-01")),
    Case("What was planted between 1 April and 10 April 2024?", "lookup", window=("2024-04-01", "2024-04-11")),
    Case('Who recommended the film "Night Train"?', "lookup", entities=("Night Train",), quoted=("Night Train",)),
    Case("Where is Mount Etna?", "lookup", entities=("Mount Etna",)),
    Case("Mount Etna is where?", "lookup", entities=("Mount Etna",)),
    Case("Is the Bank of Ireland closed?", "lookup", entities=("Bank of Ireland",)),
    Case("What breed is the neighbour's dog?", "lookup"),
    Case("who fed the cat", "lookup"),
    Case("Did Priya go to Lake Como with Omar?", "lookup", entities=("Priya", "Lake Como", "Omar")),
    Case("What did he say about ‘the long walk’?", "lookup", quoted=("the long walk",)),
    Case("Tell me the colour of the bicycle.", "lookup"),
    Case("What news did she bring?", "lookup"),
    # several things
    Case("Which books has Lena read?", "list", several=True, entities=("Lena",)),
    Case("What instruments does Viktor play?", "list", several=True, entities=("Viktor",)),
    Case("List all the cities that I visited.", "list", several=True),
    Case("Name the people who came.", "list", several=True),
    Case("What kinds of tea are there?", "list", several=True),
    Case("Where has Milo worked?", "list", several=True, entities=("Milo",)),
    Case("What has Rosa painted?", "list", several=True, entities=("Rosa",)),
    Case("What pets do the children have?", "list", several=True),
    Case("In what ways does Sam save money?", "list", several=True, entities=("Sam",)),
    Case("What are the names of her brothers?", "list", several=True),
    Case("Which different sports did Ada try?", "list", several=True, entities=("Ada",)),
    Case("What tools did I lend in April?", "list", several=True, window=("2024-04-01", "2024-05-01")),
    # how many
    Case("How many goats does Hugo own?", "count", entities=("Hugo",)),
    Case("How many times did I swim in April 2024?", "count", window=("2024-04-01", "2024-05-01")),
    Case("How much did the sofa cost?", "count"),
    Case("How often does Kai call?", "count", entities=("Kai",)),
    Case("What is the total number of chairs?", "count"),
    Case("How many hours of sleep did I get yesterday?", "count", window=("2024-05-14", "2024-05-15")),
    # when, how long, in which order
    Case("When did Paul move to Turin?", "temporal", entities=("Paul", "Turin")),
    Case("how long has the shop been open", "temporal"),
    Case("How many weeks ago did I plant the beans?", "temporal"),
    Case("How many days passed between the flood and the repair?", "temporal"),
    Case("What date is the wedding?", "temporal"),
    Case("In which year was the barn built?", "temporal"),
    Case("On what day did the heating fail?", "temporal"),
    Case("Which did I buy first, the kettle or the toaster?", "temporal"),
    Case("Since when does Olga sing?", "temporal", entities=("Olga",)),
    Case("How old is Ravi?", "temporal", entities=("Ravi",)),
    # how it is now
    Case("Where does Mina live now?", "update", entities=("Mina",)),
    Case("What is my current salary?", "update"),
    Case("Does Jon still work at the mill?", "update", entities=("Jon",)),
    Case("Who is the latest tenant?", "update"),
    Case("Is the piano still out of tune?", "update"),
    # tastes
    Case("What is Eva's favourite soup?", "preference", entities=("Eva",)),
    Case("Can you recommend a hotel in Lyon?", "preference", entities=("Lyon",)),
    Case("Which colour does Finn prefer?", "preference", entities=("Finn",)),
    Case("Does Greta enjoy sailing?", "preference", entities=("Greta",)),
    Case("Any tips for my garden?", "preference"),
    # what was said by the assistant
    Case("What did you recommend for the rash?", "assistant_said"),
    Case("Remind me what you told me about yeast.", "assistant_said"),
    Case("In our previous conversation, which pan was the best?", "assistant_said"),
    Case("You mentioned a museum in Bonn, which one?", "assistant_said", entities=("Bonn",)),
    # causes, relations, things in common
    Case("How did the injury affect her training?", "multi_hop"),
    Case("What do Uma and Bela have in common?", "multi_hop", entities=("Uma", "Bela")),
    Case("What is the relationship between Tom and Asta?", "multi_hop", entities=("Tom", "Asta")),
    Case("What led to the argument?", "multi_hop"),
    Case("Which city have both Ida and Leo visited?", "multi_hop", entities=("Ida", "Leo")),
    # other scripts, nothing to read
    Case("昨日は何を食べましたか？", "lookup"),
    Case("Где лежит ключ?", "lookup"),
    Case("¿Dónde está la llave?", "lookup"),
    Case("🔑❓", "lookup"),
    Case("the of and", "lookup"),
    Case("WHERE IS THE KEY", "lookup"),
    Case("What happened on 31 February 2023?", "lookup"),
]


def read(text: str, *, asked_at: datetime | None = ASKED_AT) -> Cue:
    return analyse(text, SpaceIndex(ReferenceStore().open(), ANN), ANN, READER, asked_at=asked_at)


def window(cue: Cue) -> tuple[str, str] | None:
    if not cue.windows:
        return None
    start, end = cue.windows[0].meant
    return f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}"


@pytest.mark.parametrize("field", ["intent", "several", "entities", "quoted", "window"])
def test_the_table_is_read_right(field: str) -> None:
    wrong = {}
    for case in CASES:
        cue = read(case.text)
        found = {
            "intent": cue.intent.value,
            "several": cue.wants_list,
            "entities": cue.entities,
            "quoted": cue.quoted,
            "window": window(cue),
        }[field]
        if found != getattr(case, field):
            wrong[case.text] = (found, getattr(case, field))
    assert len(CASES) >= 60
    assert len(wrong) <= 0.1 * len(CASES), wrong


def test_first_match_wins_in_the_order_of_the_intents() -> None:
    assert intent_of("How many of the books that you recommended has she read?") is Intent.ASSISTANT_SAID
    assert intent_of("How many days did her favourite trip last?") is not Intent.PREFERENCE
    assert intent_of("When did she last change her favourite tea?") is Intent.TEMPORAL
    assert read("What are her favourite books?").intent is Intent.PREFERENCE
    assert read("What are her favourite books?").wants_list


def test_a_duration_constrains_no_time() -> None:
    assert read("How many weeks ago did I swim in April?").windows == ()
    assert read("How long was I away in April?").windows == ()
    assert len(read("How many lengths did I swim in April?").windows) == 1


def test_times_are_seen_from_when_it_was_asked_or_from_the_newest_memory(memory: Memory) -> None:
    def asked(at: datetime | None) -> tuple[str, str] | None:
        space = memory._recaller.space(ANN)
        return window(analyse("What happened yesterday?", space, ANN, READER, asked_at=at))

    assert asked(ASKED_AT) == ("2024-05-14", "2024-05-15")
    assert asked(None) is None
    memory.add("It rained.", ANN, created_at=datetime(2021, 3, 2, 8, tzinfo=UTC))
    memory.add("It snowed.", ANN, created_at=datetime(2021, 1, 2, 8, tzinfo=UTC))
    assert asked(None) == ("2021-03-01", "2021-03-02")


@pytest.fixture
def memory(tmp_path):  # type: ignore[no-untyped-def]
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        yield memory


def test_a_speaker_is_no_entity_and_a_known_name_may_begin_a_sentence(memory: Memory) -> None:
    memory.add({"role": "user", "name": "Ann Lee", "content": "I like figs."}, ANN)
    space = memory._recaller.space(ANN)
    cue = analyse("Ann met Bo in Paris. Rex barked.", space, ANN, READER)
    assert cue.speakers == ("Ann Lee",)
    assert cue.entities == ("Bo", "Paris")
    assert analyse("Rex barked.", space, ANN, READER, known=["rex"]).entities == ("Rex",)


@pytest.mark.parametrize(
    "unit", ["may ", "what ", "Ann ", "in May 2023 ", '"', "a b ", "什么", "?", "\n", "how did both and ", "'x "]
)
def test_a_long_question_takes_no_time(unit: str) -> None:
    text = (unit * 100_000)[:100_000]
    start = time.perf_counter()
    read(text)
    assert time.perf_counter() - start < 1.0


@given(st.text(max_size=200))
def test_any_text_can_be_read_and_gives_the_same_twice(text: str) -> None:
    cue = read(text)
    assert cue == read(text)
    assert all(phrase in " ".join(text.split()) or phrase in text for phrase in cue.quoted)
    assert all(text[span.start_char : span.end_char] == span.phrase for span in cue.windows)


def test_nothing_to_read() -> None:
    cue = read("")
    assert (cue.entities, cue.quoted, cue.windows, cue.intent, cue.wants_list) == ((), (), (), Intent.LOOKUP, False)


# --- read by a language model


class Scripted:
    """A model that reads every question in the same way, or fails."""

    id = "scripted"

    def __init__(self, **reading: Any) -> None:
        self.reading = {"intent": "lookup", "several": False, "entities": [], "start": None, "end": None} | reading
        self.usage = Ledger()
        self.asked: list[str] = []
        self.fails = False

    def ask(self, messages: Sequence[Message], schema: Schema, *, step: str) -> dict[str, Any]:
        self.asked.append(messages[-1].content)
        assert step == "analyse"
        assert misfit(schema, self.reading) == ""
        if self.fails:
            raise ProviderError("It is down.")
        return dict(self.reading)


MAY = {"start": "2024-05-01T00:00:00Z", "end": "2024-05-08T00:00:00Z"}


def test_a_model_reads_what_the_rules_cannot() -> None:
    cue = read("Wann war Tove in der ersten Maiwoche bei Emil?")
    assert (cue.intent, cue.asks_when, cue.windows) == (Intent.LOOKUP, False, ())
    model = Scripted(intent="temporal", several=True, entities=["Tove", "Emil", "Bo"], **MAY)
    found = LlmAnalyser(model).refine(cue, ASKED_AT)
    assert (found.intent, found.asks_when, found.wants_list) == (Intent.TEMPORAL, True, True)
    assert found.entities == ("Tove", "Emil")  # Bo is not in the question
    assert window(found) == ("2024-05-01", "2024-05-08")
    assert model.asked == [f"Asked at: 2024-05-15T12:00:00Z\nQuestion: {cue.text}"]


def test_what_a_model_says_of_times_must_be_possible() -> None:
    cue = read("What did we eat on 3 May 2024?")
    impossible = (
        {"start": "2024-05-08T00:00:00Z", "end": "2024-05-01T00:00:00Z"},
        {"start": "2024-06-01T00:00:00Z", "end": "2024-06-02T00:00:00Z"},  # after it was asked
        {"start": "in May", "end": "in June"},
        {"start": "2024-05-01T00:00:00Z"},
    )
    for times in impossible:
        assert LlmAnalyser(Scripted(**times)).refine(cue, ASKED_AT).windows == cue.windows
    assert LlmAnalyser(Scripted(**MAY)).refine(cue, None).windows == cue.windows


def test_a_model_that_fails_leaves_what_the_rules_read() -> None:
    model = Scripted(intent="count")
    analyser, cue = LlmAnalyser(model), read("When did Ann leave?")
    model.fails = True
    assert analyser.refine(cue, ASKED_AT) == cue
    model.fails = False
    assert analyser.refine(cue, ASKED_AT) == replace(cue, intent=Intent.COUNT)


def test_the_setting_lets_a_model_read_each_question_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted(intent="temporal", **MAY)
    monkeypatch.setattr("anamnos.memory.core.resolve_llm", lambda settings: model)
    with Memory(tmp_path, embedder=FakeEmbedder(), analyser="llm", recipe="zsum-v3") as memory:
        memory.add("Wir waren am See.", ANN, created_at=datetime(2024, 5, 3, tzinfo=UTC))
        found = memory.explain("Wo waren wir Anfang Mai?", ANN, asked_at=ASKED_AT)
        assert window(found.cue) == ("2024-05-01", "2024-05-08")
        assert found.cue.asks_when
        memory.search("Wo waren wir Anfang Mai?", ANN, asked_at=ASKED_AT)
        assert len(model.asked) == 1
        memory.search("Wo waren wir Anfang Mai?", ANN)  # asked at another time
        assert len(model.asked) == 2


def test_the_analyser_is_checked_when_the_vault_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="analyser cannot be 'magic'"):
        Memory(tmp_path / "a", embedder=FakeEmbedder(), analyser="magic")
    with pytest.raises(ConfigError, match="analyser is llm, but there is no language model"):
        Memory(tmp_path / "b", embedder=FakeEmbedder(), analyser="llm")
    assert not (tmp_path / "b").exists()
