"""``AnamnosSession`` is a session of the Agents SDK: what goes in comes out, in real runs with a scripted model."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("agents", reason="needs the package openai-agents")
from agents import Agent, Model, ModelResponse, RunConfig, Runner, SQLiteSession, Usage, function_tool
from agents.memory import Session, SessionSettings
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

from anamnos import Memory, Scope
from anamnos.compat.openai_agents import AnamnosSession
from anamnos.errors import AccessDenied, InvalidInput

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
ITEMS = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXT}),
    st.fixed_dictionaries({"type": st.just("function_call"), "name": TEXT, "call_id": TEXT, "arguments": TEXT}),
    st.fixed_dictionaries({"type": st.just("function_call_output"), "call_id": TEXT, "output": TEXT}),
    st.dictionaries(st.sampled_from(["type", "role", "content", "summary", "id", "name", "x"]), JSON, max_size=5),
)
ACTIONS = st.lists(st.lists(ITEMS, max_size=4) | st.just("pop"), max_size=6)
HELLO = {"role": "user", "content": "Hello, I live in Lisbon."}


@settings(max_examples=25)
@given(ACTIONS)
def test_it_holds_what_the_sdks_own_session_holds(tmp_path_factory: Any, actions: list[Any]) -> None:
    async def main(memory: Memory) -> None:
        ours, theirs = AnamnosSession("june", memory, user="ann"), SQLiteSession("june")
        for action in actions:
            if action == "pop":
                assert await ours.pop_item() == await theirs.pop_item()
            else:
                await ours.add_items(action)
                await theirs.add_items(action)
        for limit in (None, 0, 1, 3, 99):
            assert await ours.get_items(limit) == await theirs.get_items(limit)
        await ours.clear_session()
        assert await ours.get_items() == []

    with Memory(tmp_path_factory.mktemp("vault"), embedder="hashing") as memory:
        asyncio.run(main(memory))


def test_it_is_a_session(memory: Memory) -> None:
    session = AnamnosSession("june", memory, user="ann", settings=SessionSettings(limit=1))
    assert isinstance(session, Session)
    asyncio.run(session.add_items([HELLO, HELLO]))
    assert asyncio.run(session.get_items()) == [HELLO]
    assert asyncio.run(session.get_items(5)) == [HELLO, HELLO]  # the same words twice are two items


def test_sessions_are_apart_and_what_they_said_is_found_by_the_user(memory: Memory) -> None:
    june, july = (AnamnosSession(name, memory, user="ann") for name in ("june", "july"))
    asyncio.run(june.add_items([HELLO]))
    assert asyncio.run(july.get_items()) == []
    assert memory.search("Where does Ann live?", Scope(user="ann"))[0].content == HELLO["content"]
    asyncio.run(july.clear_session())
    assert asyncio.run(june.get_items()) == [HELLO]


def test_what_a_tool_said_is_not_believed_as_the_user_is(memory: Memory) -> None:
    session = AnamnosSession("june", memory, user="ann")
    asyncio.run(session.add_items([{"type": "function_call_output", "call_id": "1", "output": "the moon is cheese"}]))
    [cube] = memory.list(session.scope)
    assert cube.provenance.actor == "tool" and cube.provenance.trust < 0.6


@pytest.mark.parametrize("item", ["text", {"x": object()}, {"x": float("nan")}])
def test_what_is_no_json_object_is_refused_and_nothing_is_written(memory: Memory, item: Any) -> None:
    session = AnamnosSession("june", memory, user="ann")
    with pytest.raises(InvalidInput, match="tem 2"):
        asyncio.run(session.add_items([HELLO, item]))
    assert asyncio.run(session.get_items()) == []


def test_a_frozen_item_stays_and_says_so(memory: Memory) -> None:
    session = AnamnosSession("june", memory, user="ann")
    asyncio.run(session.add_items([HELLO]))
    [cube] = memory.list(session.scope)
    memory.freeze(cube.id, cube.scope)
    with pytest.raises(AccessDenied):
        asyncio.run(session.pop_item())
    assert asyncio.run(session.get_items()) == [HELLO]


class Scripted(Model):
    """A model that gives the next of its outputs and keeps what it was asked."""

    def __init__(self, *outputs: Any) -> None:
        self.outputs = list(outputs)
        self.asked: list[Any] = []

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:
        self.asked.append(input)
        return ModelResponse(output=[self.outputs.pop(0)], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def says(text: str) -> ResponseOutputMessage:
    part = ResponseOutputText(annotations=[], text=text, type="output_text")
    return ResponseOutputMessage(id="m", content=[part], role="assistant", status="completed", type="message")


def run(model: Scripted, text: str, memory: Memory) -> str:
    @function_tool
    def weather(city: str) -> str:
        """Return the weather of a city."""
        return f"{city}: sunny"

    agent = Agent(name="guide", model=model, tools=[weather])
    session = AnamnosSession("june", memory, user="ann")
    done = asyncio.run(Runner.run(agent, text, session=session, run_config=RunConfig(tracing_disabled=True)))
    return str(done.final_output)


def test_runs_go_on_where_the_last_one_ended(tmp_path: Path) -> None:
    call = ResponseFunctionToolCall(
        arguments='{"city": "Lisbon"}', call_id="c1", name="weather", type="function_call", id="f1", status="completed"
    )
    with Memory(tmp_path, embedder="hashing") as memory:
        assert run(Scripted(call, says("It is sunny in Lisbon.")), "What is the weather in Lisbon?", memory)
    with Memory(tmp_path, embedder="hashing") as memory:  # as after a restart
        model = Scripted(says("Lisbon."))
        assert run(model, "Which city did I ask for?", memory) == "Lisbon."
        kinds = [item.get("type") or item["role"] for item in model.asked[0]]
        assert kinds == ["user", "function_call", "function_call_output", "message", "user"]
        assert model.asked[0][2]["output"] == "Lisbon: sunny"
        assert memory.search("weather in Lisbon", Scope(user="ann"))
        assert memory.verify() == []
