"""Write the vectors that PyTorch gives for all-MiniLM-L6-v2, for the tests. Developers only.

    python tools/make_minilm_reference.py <model folder>      # needs torch and transformers

Source: the usage example in the model card of sentence-transformers/all-MiniLM-L6-v2 (mean pooling, L2 norm).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

TARGET = Path(__file__).parents[1] / "tests" / "unit" / "embed" / "data" / "minilm_reference.json"
TEXTS = [
    "",
    " ",
    "a",
    "Where did Caroline go last summer?",
    "Melanie: We went camping in the mountains with the kids, and it rained for three days.",
    "The quick brown fox jumps over the lazy dog.",
    "the quick brown fox jumps over the lazy dog",
    "Der Übergang über die Brücke war gesperrt, weil der Fluß Hochwasser führte.",
    "El niño comió piñas en la montaña.",
    "Привет, как дела? Давай встретимся завтра в шесть.",
    "今日は天気がいいから散歩しましょう。",
    "我们明天去北京。",
    "مرحبا، كيف حالك اليوم؟",
    "नमस्ते दुनिया",
    "I'm so happy 🎉🎂 today!! ❤️👩‍👩‍👧‍👦",
    "def decay(strength, elapsed_s):\n\treturn strength * 0.5 ** (elapsed_s / half_life_s)\n",
    "Call +1 (555) 010-9999 before 2024-05-07T13:30:00Z; it costs $12.50 (≈ €11.40).",
    "[CLS] special [SEP] tokens [PAD] in [MASK] the text [UNK]",
    "zero\u200bwidth and \u0007control\x00 characters, e\u0301 combined, ﬁ ligature",
    "antidisestablishmentarianism" * 8,
    "Supercalifragilisticexpialidocious! " * 10,
    "The meeting about the budget was moved from Tuesday to Thursday because two people were ill. " * 6,
    "Memory is the residue of thought. " * 60,  # more than 256 tokens: cut
    "a " * 300 + "and what stands here is never read",
]


def main(model_dir: Path) -> None:
    """Embed ``TEXTS`` one by one, without padding."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
    model = AutoModel.from_pretrained(model_dir, local_files_only=True).eval()
    vectors = []
    with torch.inference_mode():
        for text in TEXTS:
            inputs = tokenizer([text], truncation=True, max_length=256, padding=False, return_tensors="pt")
            tokens = model(**inputs).last_hidden_state[0]
            vectors.append(torch.nn.functional.normalize(tokens.mean(dim=0), dim=0).tolist())
    pairs = zip(TEXTS, vectors, strict=True)
    rows = [{"text": text, "vector": [round(x, 6) for x in vector]} for text, vector in pairs]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    TARGET.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
