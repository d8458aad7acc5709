"""``anamnos route``."""

from __future__ import annotations

import pytest

from .conftest import Cli

GARDEN = 'garden={"field": "tag", "op": "eq", "value": "garden"}'
TRIP = 'trip={"session": "trip"}'


@pytest.fixture
def filled(anamnos: Cli) -> Cli:
    anamnos.add("The ferry to Naxos leaves at noon.", "--session", "trip")
    anamnos.add("The roses need water.", "--tag", "garden")
    return anamnos


def test_the_best_place_comes_first_with_its_reasons(filled: Cli) -> None:
    words = ("route", "Is the ferry to Naxos late?", "--among", GARDEN, "--among", TRIP)
    found = filled.json(*words)["suggestions"]
    assert [each["tag"] for each in found] == ["trip", "garden"]
    (ferry,) = filled.json("list", "--session", "trip")["memories"]
    assert found[0]["because"] == [ferry["id"]]
    assert f"trip  because of {ferry['id']}" in filled.run(*words, "-k", "1").stdout
    assert filled.json("route", "Do the roses thrive?", *words[2:], "-k", "1")["suggestions"][0]["tag"] == "garden"


@pytest.mark.parametrize(
    ("among", "told"),
    [
        ("trip", "LABEL=JSON"),
        ("trip=session", "LABEL=JSON"),
        ('={"session": "trip"}', "no label"),
        ("trip={}", "filter"),
        ('trip={"session": 7}', "session"),
        ('bob={"user": "bob"}', "not within"),
        ('x={"field": "colour", "op": "eq", "value": "red"}', "colour"),
    ],
)
def test_what_is_no_place_is_refused_by_name(filled: Cli, among: str, told: str) -> None:
    assert told in filled.run("route", "the ferry", "--among", among, code=2).stderr


def test_without_a_place_it_says_so(filled: Cli) -> None:
    assert "--among" in filled.run("route", "the ferry", code=2).stderr
