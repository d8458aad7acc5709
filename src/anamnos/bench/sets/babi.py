"""bAbI: made-up stories of 20 kinds whose questions come with their supporting sentences. Source: arXiv:1502.05698.

A question is asked when the sentences before it are remembered and none after it. What is scored is whether the
supporting sentences are found, not the answer: several kinds need reasoning that a search does not do.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from anamnos.bench.cases import Case, DataSet, Doc, Query
from anamnos.bench.sets.files import about, read_data
from anamnos.errors import InvalidInput

ORIGIN = "https://research.facebook.com/downloads/babi/"
SPLITS = ("valid", "test", "train")
_NAME = re.compile(r"qa(\d+)_(?:.*_)?(train|valid|test)\.txt\Z")


def load(data: Path, split: str = "valid") -> DataSet:
    """Return the stories of a split.

    data  a folder or a .tar.gz of files such as qa1_test.txt, or one such file
    """
    if split not in SPLITS:
        raise InvalidInput(f"There is no split {split!r}.", hint=f"Splits: {', '.join(SPLITS)}.")
    if not data.exists():
        raise InvalidInput(f"There is no file {data}.", hint=f"Get it from {ORIGIN}.")
    texts = sorted(_texts(data, split))
    if not texts:
        raise InvalidInput(f"There is no qa<number>_{split}.txt in {data}.", hint=f"Get it from {ORIGIN}.")
    if data.is_dir():
        digest = hashlib.sha256("".join(text for _, text in texts).encode()).hexdigest()
        described = {"name": f"{data.name} ({len(texts)} tasks)", "sha256": digest}
    else:
        described = about(data)
    cases = [case for task, text in texts for case in _stories(task, text)]
    return DataSet(
        name="babi",
        title=f"bAbI, {split} split, supporting sentences",
        data=described,
        cases=cases,
        unit="sentence",
        part=split,
        depths=(1, 2, 3, 5, 10),
        headline=("recall_frac@1", "recall_frac@3", "recall_frac@5", "recall_all@5", "recall_all@10", "mrr"),
    )


def _texts(data: Path, split: str) -> Iterator[tuple[int, str]]:
    """Yield (task, text) for each task's file of the split."""
    if data.is_dir() or data.suffix == ".txt":
        for path in sorted(data.rglob("*.txt")) if data.is_dir() else [data]:
            if (match := _NAME.search(path.name)) and (match[2] == split or not data.is_dir()):
                yield int(match[1]), read_data(path)
        return
    try:
        with tarfile.open(data) as archive:
            for member in archive:
                match = _NAME.search(member.name)
                file = archive.extractfile(member) if match and match[2] == split else None
                if match and file is not None:
                    yield int(match[1]), file.read().decode("utf-8")
    except (tarfile.TarError, EOFError, OSError) as exc:
        raise InvalidInput(f"{data} is no archive that can be read: {exc}.") from exc


def _stories(task: int, text: str) -> Iterator[Case]:
    docs: list[Doc] = []
    queries: list[Query] = []
    number = 0
    for place, line in enumerate(text.splitlines(), start=1):
        where = f"line {place} of task {task}"
        counted, _, rest = line.partition(" ")
        if not counted.isdigit() or not rest.strip():
            raise InvalidInput(f"{where} must be a number and a sentence, got {line[:40]!r}.")
        if counted == "1" and docs:
            yield Case(f"qa{task}-{number}", docs, queries)
            docs, queries, number = [], [], number + 1
        story = f"qa{task}-{number}"
        sentence, *rest_of = rest.split("\t")
        if not rest_of:
            docs.append(Doc(f"{story}/{counted}", sentence.strip(), story, "user"))
            continue
        answer, support = rest_of[0], (rest_of[1] if len(rest_of) > 1 else "").split()
        gold = frozenset(f"{story}/{line_number}" for line_number in support)
        name = f"{story}/q{counted}"
        kind = f"qa{task}"
        queries.append(Query(name, sentence.strip(), kind, {"sentence": gold}, after=len(docs), answer=answer))
    if docs:
        yield Case(f"qa{task}-{number}", docs, queries)
