"""The conversations that ChatGPT and Claude export."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anamnos.cube import Role
from anamnos.errors import InvalidInput
from anamnos.ingest.readers import find_reader, read_file


def write(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(data), "utf-8")
    return path


# --- ChatGPT


def node(name: str, parent: str | None, message: dict[str, Any] | None) -> dict[str, Any]:
    return {"id": name, "parent": parent, "children": [], "message": message}


def message(name: str, role: str, *parts: Any, **more: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": list(parts)}
    return {"id": name, "author": {"role": role, "name": None}, "create_time": 1714587600.5, "content": content, **more}


CHATGPT: dict[str, Any] = {
    "title": "Sailing",
    "conversation_id": "c1",
    "current_node": "d",
    "mapping": {
        "root": node("root", None, None),
        "s": node("s", "root", message("s", "system", "")),
        "a": node("a", "s", message("a", "user", "We went sailing.")),
        "b1": node("b1", "a", message("b1", "assistant", "An answer that was taken back.")),
        "b2": node("b2", "a", message("b2", "assistant", "Lucky you.")),
        "t": node("t", "b2", message("t", "assistant", "search('boats')", recipient="browser")),
        "u": node("u", "t", message("u", "tool", "many pages")),
        "d": node("d", "u", message("d", "user", {"content_type": "image_asset_pointer"}, "Is this a ketch?")),
    },
}


def test_chatgpt_the_branch_that_was_last_open(tmp_path: Path) -> None:
    path = write(tmp_path, [CHATGPT])
    assert find_reader(path)[0].name == "chatgpt"
    turns = read_file(path)
    assert [(turn.speaker, turn.content) for turn in turns] == [
        ("user", "We went sailing."),
        ("assistant", "Lucky you."),
        ("user", "[image]\nIs this a ketch?"),
    ]
    assert [turn.message_id for turn in turns] == ["c1/a", "c1/b2", "c1/d"]
    assert {turn.session for turn in turns} == {"c1"}
    assert turns[0].said_at == datetime(2024, 5, 1, 18, 20, 0, 500_000, tzinfo=UTC)
    assert turns[0].data == {"role": "user", "title": "Sailing"}


def test_chatgpt_leaves_out_what_was_not_said(tmp_path: Path) -> None:
    data = copy.deepcopy(CHATGPT)
    data["mapping"]["a"]["message"]["metadata"] = {"is_visually_hidden_from_conversation": True}
    data["mapping"]["b2"]["message"]["content"] = {"content_type": "thoughts", "thoughts": []}
    assert [turn.message_id for turn in read_file(write(tmp_path, data))] == ["c1/d"]


def test_chatgpt_without_a_current_node_takes_the_last_leaf(tmp_path: Path) -> None:
    data = copy.deepcopy(CHATGPT)
    del data["current_node"]
    for name, inner in data["mapping"].items():
        inner["children"] = [other for other, its in data["mapping"].items() if its["parent"] == name]
    assert [turn.message_id for turn in read_file(write(tmp_path, [data]))] == ["c1/a", "c1/b2", "c1/d"]


def broken(**changes: Any) -> dict[str, Any]:
    data = copy.deepcopy(CHATGPT)
    for name, value in changes.items():
        if name in data["mapping"]:
            data["mapping"][name].update(value)
        else:
            data[name] = value
    return data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"title": "x"}, "conversation 1 .* has no 'mapping'"),
        (broken(current_node="zz"), "names the message 'zz', which it does not have"),
        (broken(a={"parent": "d"}), "is a circle"),
        (broken(a={"parent": ["s"]}), "'parent' of node 'a' .* must be text"),
        (broken(a={"message": {"author": {}, "content": {}}}), "'author' of message 'a' .* has no role"),
        (broken(a={"message": {"author": {"role": "user"}, "content": "x"}}), "'content' of message 'a'"),
        ([3], "conversation 1 .* must be a JSON object"),
    ],
)
def test_what_is_not_chatgpt_says_what_was_expected(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_file(write(tmp_path, data), reader="chatgpt")


# --- Claude

CLAUDE: dict[str, Any] = {
    "uuid": "k1",
    "name": "Boats",
    "created_at": "2025-01-02T10:00:00.000000Z",
    "chat_messages": [
        {
            "uuid": "m1",
            "sender": "human",
            "text": "What is a ketch?",
            "content": [{"type": "text", "text": "What is a ketch?"}],
            "created_at": "2025-01-02T10:00:01.250000Z",
            "attachments": [{"file_name": "log.txt", "extracted_content": "Day one. Wind."}],
        },
        {
            "uuid": "m2",
            "sender": "assistant",
            "text": "A boat. This block is not supported.",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "A boat"},
                {"type": "tool_use", "name": "search", "input": {}},
                {"type": "text", "text": "with two masts."},
            ],
            "created_at": "2025-01-02T10:00:09Z",
        },
    ],
}


@pytest.mark.parametrize("data", [[CLAUDE], CLAUDE])
def test_claude_what_was_said_and_attached(tmp_path: Path, data: Any) -> None:
    path = write(tmp_path, data)
    assert find_reader(path)[0].name == "claude"
    asked, attached, answered = read_file(path)
    assert (asked.content, asked.speaker, asked.session) == ("What is a ketch?", "user", "k1")
    assert asked.said_at == datetime(2025, 1, 2, 10, 0, 1, 250_000, tzinfo=UTC)
    assert asked.data == {"role": "user", "title": "Boats"}
    assert (attached.content, attached.role, attached.message_id) == ("Day one. Wind.", Role.RESOURCE, "k1/m1/1.1")
    assert attached.data["file"] == "log.txt"
    assert (answered.content, answered.message_id) == ("A boat\nwith two masts.", "k1/m2")


def test_claude_older_exports_have_only_text(tmp_path: Path) -> None:
    old = {"uuid": "k", "chat_messages": [{"uuid": "1", "sender": "human", "text": "Hi", "created_at": None}]}
    (turn,) = read_file(write(tmp_path, [old]))
    assert (turn.content, turn.said_at) == ("Hi", None)


def test_claude_the_branch_that_was_last_open(tmp_path: Path) -> None:
    def said(uuid: str, parent: str) -> dict[str, Any]:
        return {"uuid": uuid, "parent_message_uuid": parent, "sender": "human", "text": uuid}

    messages = [said("a", "0000"), said("b", "a"), said("c", "a"), said("d", "c")]
    data = {"uuid": "k", "current_leaf_message_uuid": "d", "chat_messages": messages}
    assert [turn.content for turn in read_file(write(tmp_path, data))] == ["a", "c", "d"]
    messages[2]["parent_message_uuid"] = ["a"]  # names no message
    assert [turn.content for turn in read_file(write(tmp_path, data))] == ["c", "d"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([CLAUDE, {"uuid": "x"}], "conversation 2 .* has no 'chat_messages'"),
        ({"chat_messages": [{"text": "x"}]}, "message 1 .* has no 'sender'"),
        ({"chat_messages": {"a": 1}}, "'chat_messages' .* must be a JSON array"),
    ],
)
def test_what_is_not_claude_says_what_was_expected(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_file(write(tmp_path, data), reader="claude")
