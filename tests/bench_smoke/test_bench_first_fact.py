"""The way to the first remembered fact, with made-up systems: no network, one tiny package, and a stand-in."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from anamnos.bench.first_fact import run
from anamnos.bench.first_fact.run import measure, run_first_fact
from anamnos.bench.first_fact.stand_in import stand_in, vector
from anamnos.bench.first_fact.systems import FACT, QUESTION, SYSTEMS, Model, System
from anamnos.bench.plots import Panel, bar_chart
from anamnos.bench.report import section, section_name
from anamnos.bench.report_first_fact import first_fact_chart
from anamnos.cli.bench import bench
from anamnos.errors import InvalidInput

GOOD = """
import json, os, sys, urllib.request
from pathlib import Path
import tiny
print("step imported", flush=True)
fact, question, answer = sys.argv[1:]
assert Path.home() == Path.cwd() and "ANAMNOS_RECIPE" not in os.environ
body = json.dumps({"messages": [{"role": "user", "content": fact}]}).encode()
request = urllib.request.Request(os.environ["TINY_URL"] + "/chat/completions", body)
said = json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
Path("memory.txt").write_text(said + "\\n" + os.environ["TINY_SET_UP"] * 1000)
print("step remembered", flush=True)
assert answer in Path("memory.txt").read_text()
print("step recalled", flush=True)
"""
BAD = """
print("step imported", flush=True)
raise ValueError("no model at " + __file__)
"""
LATE = """
import time
print("step imported", flush=True)
time.sleep(60)
"""


def _wheel(folder: Path) -> Path:
    """Write a package with one module of one line, as pip takes it without a network."""
    path = folder / "tiny-1.2-py3-none-any.whl"
    info = "tiny-1.2.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tiny/__init__.py", "KEPT = True\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.2\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", f"tiny/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def _script(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text, "utf-8")
    return path


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One system that comes to its fact, and one that pip does not find."""
    folder = tmp_path_factory.mktemp("systems")
    good = System(
        "tiny",
        "tiny",
        (("--no-index", str(_wheel(folder))),),
        _script(folder, "good", GOOD),
        set_up=(("python", "-c", "print('{url}')"),),
        variables={"TINY_URL": "{url}", "TINY_SET_UP": "x"},
        model=Model(FACT),
        needs=("a language model",),
    )
    missing = System("missing", "missing", (("--no-index", "no-such-package"),), _script(folder, "bad", BAD))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "SYSTEMS", {"missing": missing, "tiny": good})
        patch.setenv("ANAMNOS_RECIPE", "not to be passed on")
        found: dict[str, Any] = json.loads(json.dumps(run_first_fact(limit_s=60)))
    return {**found, "command": "anamnos bench first-fact"}


def test_a_system_that_remembers_has_every_step_and_its_size(result: dict[str, Any]) -> None:
    tiny = result["systems"]["tiny"]
    assert (tiny["reached"], tiny["stopped"], tiny["version"]) == ("recalled", "", "1.2")
    assert list(tiny["at_s"]) == ["installed", "set up", "imported", "remembered", "recalled"]
    assert list(tiny["at_s"].values()) == sorted(tiny["at_s"].values())
    assert tiny["stand_in"] == {"chat": 1}
    assert tiny["fetched_mb"]["downloaded"] == 0
    assert tiny["names"] == ["tiny"]
    assert set(tiny["largest_mb"]) >= {"tiny"}
    assert tiny["set_up"] == ["python -c print('URL')"]


def test_a_system_that_fails_says_where_and_does_not_end_the_run(result: dict[str, Any]) -> None:
    missing = result["systems"]["missing"]
    assert (missing["reached"], missing["at_s"]) == ("nothing", {})
    assert "no-such-package" in missing["stopped"]
    assert missing["stand_in"] is None


@pytest.mark.parametrize(("script", "why"), [(BAD, "ValueError: no model at …/bad.py"), (LATE, "not done after 2 s")])
def test_what_was_reached_before_a_stop_is_kept(script: str, why: str, tmp_path: Path) -> None:
    one = System("x", "x", (), _script(tmp_path, "bad", script))
    found = measure(one, tmp_path, 2.0)
    assert found["reached"] == "imported"
    assert found["stopped"] == why
    assert 0 < found["at_s"]["imported"] < 2


def test_the_section_and_the_chart_show_both(result: dict[str, Any]) -> None:
    page = section(result)
    assert section_name(result) == "first-fact"
    row = next(line for line in page.splitlines() if line.startswith("| missing |"))
    assert row.startswith("| missing | – | – | – | – | – | – |")
    assert "**missing** came to a stop after “nothing”" in page
    assert "needs a language model (a stand-in answered at once: a lower bound); asked: chat 1" in page
    words = " ".join(ElementTree.fromstring(first_fact_chart(result)).itertext())
    assert "missing (stopped)" in words
    assert "tiny, pip install" in words


def test_bars_follow_one_another_and_are_as_long_as_their_figures() -> None:
    svg = ElementTree.fromstring(
        bar_chart([Panel("s", {"a": {"p": 1.0, "q": 3.0}, "b": {"p": 2.0}}, ("p", "q"))], title="t")
    )
    drawn = [bar.attrib for bar in svg.iter("{http://www.w3.org/2000/svg}rect") if bar.attrib["height"] == "18"]
    x, width = ([float(bar[name]) for bar in drawn] for name in ("x", "width"))
    assert width[1] == pytest.approx(3 * width[0], abs=0.2)
    assert width[2] == pytest.approx(2 * width[0], abs=0.2)
    assert width[3] == 0
    assert x[1] == pytest.approx(x[0] + width[0], abs=0.2)
    with pytest.raises(InvalidInput):
        bar_chart([], title="t")


def _ask(url: str, **body: object) -> Any:
    with urlopen(Request(url, json.dumps(body).encode())) as answer:
        return json.load(answer)


def test_the_stand_in_knows_only_what_it_is_told() -> None:
    call = {"name": "note", "arguments": {"text": FACT}}
    tools = [{"type": "function", "function": {"name": "note"}}]
    told, asked = {"role": "user", "content": f"Remember: {FACT}"}, {"role": "user", "content": QUESTION}
    with stand_in(FACT, "It is there.", call) as service:
        chat = f"{service.url}/chat/completions"

        def says(*messages: object, **more: object) -> Any:
            return _ask(chat, messages=messages, **more)["choices"][0]["message"]

        assert says(asked)["content"] == "I was not told."
        assert says(told)["content"] == "It is there."
        assert says({"role": "system", "content": FACT}, asked, tools=tools)["content"] == "It is there."
        assert says(told, tools=tools)["tool_calls"][0]["function"]["name"] == "note"
        assert says(told, {"role": "tool", "content": "done"}, tools=tools)["content"] == "It is there."
        vectors = _ask(f"{service.url}/embeddings", input=["a key", "key a"], dimensions=16)["data"]
        assert vectors[0]["embedding"] == vectors[1]["embedding"] == vector("a key", 16)
        assert (
            len(_ask(f"{service.url}/embeddings", input="x", model="text-embedding-3-large")["data"][0]["embedding"])
            == 3072
        )
        with urlopen(f"{service.url}/models") as models:
            assert json.load(models)["data"]
        stream = Request(chat, json.dumps({"messages": [told], "stream": True}).encode())
        with urlopen(stream) as lines:
            assert lines.read().decode().endswith("data: [DONE]\n\n")
        with pytest.raises(HTTPError):
            _ask(f"{service.url}/responses")
    assert service.asked == {"chat": 6, "embeddings": 2, "models": 1, "/v1/responses": 1}


def test_the_command_knows_its_systems() -> None:
    assert all(system.quickstart.exists() for system in SYSTEMS.values())
    done = CliRunner().invoke(bench, ["first-fact", "--peer", "x"])
    assert isinstance(done.exception, InvalidInput)
    assert "Choose of: anamnos, anamnos[embed], mem0" in str(done.exception.hint)
