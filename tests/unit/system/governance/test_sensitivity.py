"""What is delicate is found by its form and checksum, and nothing else is."""

import itertools
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos import Memory, Scope
from anamnos.system.governance.sensitivity import LABELS, detect, labels_of, redact, redacted
from anamnos.testing import FakeEmbedder

ANN = Scope(user="ann")

KNOWN = [
    ("Write to ann.b+news@mail.example.co.uk, please.", [("e-mail", "ann.b+news@mail.example.co.uk")]),
    ("Call +44 20 7946 0958 today", [("phone", "+44 20 7946 0958")]),
    ("or 0044 20 7946 0958.", [("phone", "0044 20 7946 0958")]),
    ("(212) 555-0187 is mine", [("phone", "(212) 555-0187")]),
    ("Berlin: 030 12345678", [("phone", "030 12345678")]),
    ("my number is 5550123 ok", [("phone", "5550123")]),
    ("pay with 4111 1111 1111 1111", [("card", "4111 1111 1111 1111")]),
    ("Amex 378282246310005.", [("card", "378282246310005")]),
    ("to DE89 3704 0044 0532 0130 00 and then", [("iban", "DE89 3704 0044 0532 0130 00")]),
    ("GB82WEST12345698765432", [("iban", "GB82WEST12345698765432")]),
    ("key AKIAIOSFODNN7EXAMPLE", [("key", "AKIAIOSFODNN7EXAMPLE")]),
    ("password: hunter22!", [("key", "hunter22")]),
    ("token aB3dE5fG7hJ9kL1mN3pQ5", [("key", "aB3dE5fG7hJ9kL1mN3pQ5")]),
    (
        "it runs on 192.168.10.7 and fe80::1ff:fe23:4567:890a",
        [("ip", "192.168.10.7"), ("ip", "fe80::1ff:fe23:4567:890a")],
    ),
]
HARMLESS = [
    "We met on 2024-05-01 at 10:30, and again on 01/05/2024 and 31.12.2023.",
    "4111 1111 1111 1112 fails its check digit.",
    "DE88 3704 0044 0532 0130 00 fails modulo 97.",
    "It costs $1,234,567.89, or 3.14159265358979 of them, from 1990-2024.",
    "Version 1.2.3.4 came with build 10.0.19041.1, at 12:30:45.",
    "The paper is arXiv:2305.10250, ISBN 978-3-16-148410-0, room 1204.",
    "123e4567-e89b-12d3-a456-426614174000 is an id.",
    "state-of-the-art-2024-benchmarks and https://example.org/a/Bc1d2e3f4g5h6i7j8k9l0m1n2",
    "no @ all, ann@home",
]


@pytest.mark.parametrize(("text", "want"), KNOWN)
def test_what_is_delicate_is_found_where_it_stands(text: str, want: list[tuple[str, str]]) -> None:
    assert [(found.label, text[found.start : found.end]) for found in detect(text)] == want


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert detect(text) == ()


def test_redaction_names_what_it_takes_out() -> None:
    assert redact("ann@x.org or +44 20 7946 0958", {"phone"}) == "ann@x.org or [phone]"
    assert redact("ann@x.org or +44 20 7946 0958") == "[e-mail] or [phone]"


@given(st.text("ab1 0-+.@:/4", max_size=60) | st.text(max_size=60))
def test_found_parts_are_in_order_and_apart_and_redacting_twice_changes_nothing(text: str) -> None:
    found = detect(text)
    assert all(0 <= one.start < one.end <= len(text) and one.label in LABELS for one in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert redact(redact(text)) == redact(text)


# --- how well, on made-up texts

WORDS = [
    "we",
    "then",
    "met",
    "near",
    "the",
    "old",
    "harbour",
    "and",
    "talked",
    "about",
    "boats",
    "for",
    "an",
    "hour",
    "or",
    "so",
    "before",
    "lunch",
]


def luhn(rng: random.Random, prefix: str, length: int) -> str:
    digits = prefix + "".join(rng.choices(string.digits, k=length - len(prefix) - 1))
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


def iban(rng: random.Random) -> str:
    country, length = rng.choice([("DE", 22), ("FR", 27), ("NL", 18), ("ES", 24)])
    letters = "ABNA" if country == "NL" else ""
    body = letters + "".join(rng.choices(string.digits, k=length - 4 - len(letters)))
    check = 98 - int("".join(str(int(c, 36)) for c in f"{body}{country}00")) % 97
    whole = f"{country}{check:02d}{body}"
    return " ".join(whole[i : i + 4] for i in range(0, length, 4)) if rng.random() < 0.5 else whole


def digits(rng: random.Random, n: int) -> str:
    return "".join(rng.choices(string.digits, k=n))


DELICATE: dict[str, Callable[[random.Random], str]] = {
    "e-mail": lambda rng: (
        f"{rng.choice(WORDS)}.{rng.choice(WORDS)}@{rng.choice(WORDS)}.example.{rng.choice(['org', 'de'])}"
    ),
    "phone": lambda rng: rng.choice(
        [
            f"+49 30 {digits(rng, 8)}",
            f"+1 (2{digits(rng, 2)}) 5{digits(rng, 2)}-{digits(rng, 4)}",
            f"2{digits(rng, 2)}-5{digits(rng, 2)}-{digits(rng, 4)}",
            f"0151 {digits(rng, 8)}",
        ]
    ),
    "card": lambda rng: rng.choice(
        [luhn(rng, "4", 16), luhn(rng, "55", 16), luhn(rng, "37", 15), " ".join(_fours(luhn(rng, "4", 16)))]
    ),
    "iban": iban,
    "key": lambda rng: rng.choice(
        [
            "sk-" + "".join(rng.choices(string.ascii_letters + string.digits, k=32)),
            "ghp_" + "".join(rng.choices(string.ascii_letters + string.digits, k=36)),
            "".join(rng.choices(string.ascii_letters + string.digits, k=32)),
        ]
    ),
    "ip": lambda rng: ".".join(str(rng.randrange(1, 255)) for _ in range(4)),
}
PLAIN: list[Callable[[random.Random], str]] = [
    lambda rng: f"{rng.randrange(1990, 2030)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}",
    lambda rng: f"{rng.randrange(1, 29):02d}/{rng.randrange(1, 13):02d}/{rng.randrange(1990, 2030)}",
    lambda rng: f"{rng.randrange(24):02d}:{rng.randrange(60):02d}",
    lambda rng: f"{rng.randrange(1, 10**7):,}",
    lambda rng: f"{rng.random() * 1000:.4f}",
    lambda rng: str(rng.randrange(10**6)),
    lambda rng: f"v{rng.randrange(9)}.{rng.randrange(20)}.{rng.randrange(99)}",
    lambda rng: "-".join(rng.choices(WORDS, k=4)),
    lambda rng: f"${rng.randrange(10**4)}.{rng.randrange(100):02d}",
    lambda rng: f"order {rng.randrange(10**8)}",
]


def _fours(text: str) -> list[str]:
    return [text[i : i + 4] for i in range(0, len(text), 4)]


def sentence(rng: random.Random, inner: str) -> str:
    return f"{' '.join(rng.choices(WORDS, k=6))} {inner} {' '.join(rng.choices(WORDS, k=4))}."


def test_precision_and_recall_on_made_up_texts() -> None:
    rng = random.Random(3)
    right = wrong = missed = 0
    for label, make in DELICATE.items():
        for _ in range(200):
            text = sentence(rng, make(rng))
            found = labels_of(text)
            right += label in found
            missed += label not in found
            wrong += len(set(found) - {label})
    for make in PLAIN:
        for _ in range(200):
            wrong += len(labels_of(sentence(rng, make(rng))))
    precision, recall = right / (right + wrong), right / (right + missed)
    print(f"precision {precision:.4f}, recall {recall:.4f}")
    assert precision >= 0.99
    assert recall >= 0.98


# --- in the memory


def test_what_is_written_gets_labels_and_keeps_those_of_people(tmp_path: Path) -> None:
    with Memory(tmp_path / "on", embedder=FakeEmbedder()) as memory:
        (cube_id,) = memory.add("Mail me: ann@example.org", ANN).ids
        assert memory.get(cube_id, ANN).policy.sensitivity == ("e-mail",)
        memory.update(cube_id, ANN, content="Call +44 20 7946 0958")
        assert memory.get(cube_id, ANN).policy.sensitivity == ("phone",)
    with Memory(tmp_path / "off", embedder=FakeEmbedder(), sensitivity="off") as memory:
        (cube_id,) = memory.add("Mail me: ann@example.org", ANN).ids
        assert memory.get(cube_id, ANN).policy.sensitivity == ()


def test_redacted_reads_and_exports(tmp_path: Path) -> None:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder()) as memory:
        memory.add("Mail me: ann@example.org", ANN, tags=["bob@example.org"])
        memory.add("The key is under the pot.", ANN)
        (hit,) = memory.search("mail", ANN, top_k=1, redact=True)
        assert (hit.content, hit.cube.annotations.tags) == ("Mail me: [e-mail]", ("[e-mail]",))
        assert memory.search("mail", ANN, top_k=1)[0].content == "Mail me: ann@example.org"
        memory.export(tmp_path / "out.jsonl", ANN, redact=True)
        lines = (tmp_path / "out.jsonl").read_text().splitlines()
        assert "example.org" not in "".join(lines)
        assert [("vector" in line, "key" in line.split("cube")[0] or '"key"' in line) for line in lines[1:3]] == [
            (False, False),
            (True, True),
        ]
    with Memory(tmp_path / "other", embedder=FakeEmbedder()) as memory:
        assert memory.import_(tmp_path / "out.jsonl").count("added") == 2
        assert memory.verify() == []


def test_a_cube_without_anything_delicate_is_itself(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        cube = memory.get(memory.add("The key is under the pot.", ANN).ids[0], ANN)
        assert redacted(cube) is cube
