"""Write the map from MiniLM's token states to small vectors, fitted on free text. Developers only.

    python tools/make_token_projection.py <folder of public data sets>

The text: questions and passages of Natural Questions, chats of LongMemEval, and books in the public domain; no
conversation that recall is measured on. The map: the leading principal directions of the unit vectors of states less
their mean. The file ``embed/data/minilm-tokens.npy`` holds the mean and then the directions, float16 (49, 384).
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path

import numpy as np

from anamnos.embed.minilm import TOKEN_DIM
from anamnos.embed.onnx import OnnxEmbedder

TARGET = Path(__file__).parents[1] / "src" / "anamnos" / "embed" / "data" / "minilm-tokens.npy"
BOOKS = ("baum-wizard_of_oz", "carroll-alice", "chesterton-brown")


def texts(data: Path) -> list[str]:
    """Return about 2,000 short texts."""
    with gzip.open(data / "nq_open" / "nq_open_oracle.jsonl.gz", "rt", encoding="utf-8") as file:
        asked = [json.loads(line) for line in file]
    found = [item["question"] for item in asked[:500]] + [item["ctxs"][0]["text"][:400] for item in asked[:300]]
    with gzip.open(data / "longmemeval" / "multi_question_haystacks.json.gz", "rt", encoding="utf-8") as file:
        histories = json.load(file)
    found += [
        turn["content"][:300]
        for history in histories
        for session in history["haystack_sessions"][:30]
        for turn in session[:6]
    ]
    draw = random.Random(0)  # noqa: S311  (repeatable on purpose)
    for book in BOOKS:
        paragraphs = (data / "books" / f"{book}.txt").read_text("utf-8").split("\n\n")
        long = [" ".join(paragraph.split()) for paragraph in paragraphs if len(paragraph) > 60]
        found += [paragraph[:300] for paragraph in draw.sample(long, min(250, len(long)))]
    return found


def main(data: Path) -> None:
    """Fit the map and write it."""
    model = OnnxEmbedder()._ready()
    kept = []
    for text in texts(data):
        ids = model.tokenize([text])
        kept.append(model._run(ids, [model._output, "last_hidden_state"])[1][0][1:-1])
    states = np.concatenate(kept).astype(np.float64)
    mean = states.mean(axis=0)
    centred = states - mean
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    strengths, directions = np.linalg.eigh(centred.T @ centred)
    chosen = directions[:, ::-1][:, :TOKEN_DIM]
    chosen *= np.sign(chosen[np.abs(chosen).argmax(axis=0), range(TOKEN_DIM)])  # the sign is free: fix it
    np.save(TARGET, np.vstack([mean, chosen.T]).astype(np.float16), allow_pickle=False)
    share = strengths[::-1][:TOKEN_DIM].sum() / strengths.sum()
    print(f"{TARGET.name}: {len(states):,} tokens, {share:.0%} of their variance, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
