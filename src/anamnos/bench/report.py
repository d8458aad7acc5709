"""Results as sections of a Markdown page, between markers, so that nobody copies a number by hand.

A section stands between ``<!-- bench:NAME -->`` and ``<!-- /bench:NAME -->``; everything else on the page is left
as it is. Writing the same result twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from anamnos.bench.report_associative import associative_section
from anamnos.bench.report_compare import SECTIONS
from anamnos.bench.report_consolidate import consolidate_section
from anamnos.bench.report_first_fact import first_fact_section
from anamnos.bench.report_index import index_section
from anamnos.bench.report_parts import footer as _footer
from anamnos.bench.report_parts import interval as _interval
from anamnos.bench.report_parts import latency as _latency
from anamnos.bench.report_parts import table as _table
from anamnos.bench.report_poisoning import poisoning_section
from anamnos.bench.report_serving import serving_section
from anamnos.config import Settings

_PAGE = """# Benchmarks

What was measured, on what, and with which command. The sections below are written by the benchmark commands
(`--report docs/benchmarks.md`); change nothing between their markers by hand. Metrics are defined in
`anamnos.bench.metrics`.
"""
Result = Mapping[str, Any]
_TITLES = {"locomo": "LoCoMo", "realtalk": "REALTALK"}


def write_report(path: Path, result: Result) -> None:
    """Write the section of a result into the page at ``path``, which is made if it is not there."""
    page = path.read_text("utf-8") if path.exists() else _PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(with_section(page, section_name(result), section(result)), "utf-8")


def with_section(page: str, name: str, body: str) -> str:
    """Return ``page`` with the section ``name`` replaced, or added at its end.

    >>> with_section("# Page\\n", "x", "One.").count("One."), with_section("# Page\\n", "x", "One.")[:7]
    (1, '# Page\\n')
    """
    start, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    block = f"{start}\n{body.strip()}\n{end}"
    before, found, rest = page.partition(start)
    if not found:
        return f"{page.rstrip()}\n\n{block}\n"
    _, closed, after = rest.partition(end)
    return f"{before}{block}{after if closed else rest}"


def section_name(result: Result) -> str:
    """Return the name of a result's section: each number of memories has a section of its own."""
    kind = str(result["benchmark"])
    if kind == "speed":
        return f"speed-{result['memories']}"
    if kind in ("compare", "install", "index", "first-fact"):
        return kind
    if kind == "associative":
        return f"associative-{result['experiment']['name'].replace('_', '-')}"
    if kind == "serve":
        return "serve" if result["rounds"] else "serve-load"
    if kind == "versus":
        return "-".join([kind, *(Path(result[side]["name"]).stem for side in ("first", "second"))])
    part = f"-{result['part']}" if result.get("part") else ""
    if result.get("system") == "bm25":
        return f"{kind}{part}-bm25"
    recipe = "" if result["recipe"] == Settings().recipe else f"-{result['recipe']}"
    return f"{kind}{part}-{result['embedder']['id']}{recipe}"


def section(result: Result) -> str:
    """Return a result as Markdown."""
    write = _retrieval if "levels" in result else _SECTIONS[str(result["benchmark"])]
    return write(result)


# --- one function per benchmark


def _dialogues(result: Result) -> str:
    data, ingest, add, search = result["data"], result["ingest"], result["add"], result["search"]
    return "\n\n".join(
        [
            f"## {_TITLES[result['benchmark']]}{_part(data)}, {result['embedder']['id']}, recipe {result['recipe']}",
            f"{data['conversations']} conversations, {data['turns']:,} turns, {data['questions']} questions, of which"
            f" {data['excluded']} without evidence are left out."
            + (
                f" Nothing is asked about the first {data['skipped']}, on which weights were chosen."
                * bool(data["skipped"])
            )
            + (" All conversations lie in one scope." * data["pooled"]),
            _limits(result),
            _sure(result),
            "Turns that hold the evidence, by category of question:",
            _groups(result["turn"]),
            "Sessions that hold the evidence:",
            _groups({name: scores for name, scores in result["session"].items() if isinstance(scores, Mapping)}),
            _table(
                ("speed", "value"),
                [
                    ("ingest", f"{ingest['turns_per_s']:,.0f} turns/s"),
                    ("bare embedder, same batches", f"{ingest['embedder_texts_per_s']:,.0f} texts/s"),
                    ("ingest / bare embedder", f"{ingest['ratio']:.2f}"),
                    ("bare embedder, all texts in one call", f"{ingest['embedder_one_call_texts_per_s']:,.0f} texts/s"),
                    ("add of one message with receipt", _latency(add)),
                    ("of it embedding", _latency(add, "embedding_inside_")),
                    (f"search, top {search['top_k']}", _latency(search)),
                    ("of it embedding the cue", _latency(search, "embedding_")),
                    ("disk", f"{result['disk_bytes_per_memory']:,.0f} bytes per memory"),
                ],
            ),
            _footer(result),
        ]
    )


def _part(data: Mapping[str, Any]) -> str:
    start = f" from conversation {data['skipped'] + 1} on" if data["skipped"] else ""
    return start + (", pooled" if data["pooled"] else "")


def _sure(result: Result) -> str:
    """Return the interval of the main figure, and how well confidence tells what is not there."""
    sure = result["certainty"]
    said = []
    if sure["recall_low"] is not None:
        said.append(
            f"Turn recall_frac@10: {result['turn']['all']['recall_frac@10']:.3f}, 95 % interval"
            f" {sure['recall_low']:.3f} to {sure['recall_high']:.3f} (resampled by conversation)."
        )
    if "auroc_adversarial" in sure:
        said.append(
            "Confidence tells questions of categories 1 to 4 from adversarial ones (5) with an AUROC of"
            f" {sure['auroc_adversarial']:.3f}."
        )
    return " ".join(said)


def _answers(result: Result) -> str:
    said = ", ".join(result["data"]["conversations"])
    return "\n\n".join(
        [
            f"## Answers without a language model, {result['embedder']['id']}, recipe {result['recipe']}",
            f"LoCoMo conversations {said}. Questions of category 5 are right if the answer is that it is not in memory,"
            f" all others wrong. {result['judge']} is a judge by rules: the words, numbers and dates of the right"
            " answer are there; no language model judged. `refused`: answered that it is not in memory. `cited`: a"
            " memory that holds the evidence is cited.",
            _groups(result["answers"]),
            f"One answer: {_latency(result['ask'])}.",
            _footer(result),
        ]
    )


def _speed(result: Result) -> str:
    n, ingest, opening = result["memories"], result["ingest"], result["open"]
    search, whole, write = result["search"], result["whole_search"], result["write"]
    large = result["whole_search_large"]
    return "\n\n".join(
        [
            f"## Speed at {n:,} memories",
            f"One user's made-up conversation, {result['text_bytes'] / n:.0f} bytes of text per memory. Vectors:"
            f" {result['vectors']}. Rates of ingest are therefore without embedding.",
            _limits(result),
            _table(
                ("what", "value"),
                [
                    ("ingest of one file, without embedding", f"{ingest['without_embedding_per_s']:,.0f} memories/s"),
                    ("peak memory of it", f"{ingest['peak_rss_mb']:.0f} MB"),
                    ("opening", f"{1000 * opening['open_s']:.1f} ms"),
                    ("first search after it", f"{opening['first_search_s']:.2f} s"),
                    ("peak memory of opening and searching", f"{opening['peak_rss_mb']:.0f} MB"),
                    ("search, ready embedding", _latency(search)),
                    ("bare matrix-vector product", _latency(search, "bare_product_")),
                    ("bare FTS5 query, every word of the cue", _latency(search, "bare_fts_")),
                    ("bare FTS5 query, without stop words", _latency(search, "bare_fts_content_words_")),
                    (f"whole search at {whole['memories']:,} with {whole['embedder']}", _latency(whole)),
                    (f"whole search at {large['memories']:,}", _latency(large)),
                    ("embedding of its cue", _latency(whole, "embedding_")),
                    ("add of one message, without embedding", _latency(write, "add_")),
                    ("search right after it", _latency(write, "search_after_add_")),
                    ("add of 19 messages at once, without embedding", _latency(write, "add_session_")),
                ],
            ),
            "What the vault takes on the disk:",
            _disk(result),
            _footer(result),
        ]
    )


def _install(result: Result) -> str:
    rows = [
        (
            name,
            f"{found['packages']}",
            f"{found['mb_without_bytecode']:,.1f} MB",
            f"{found['mb']:,.1f} MB",
            f"{found['import_ms']:.0f} ms",
            f"{found['install_s']:.0f} s",
            ", ".join(f"{part} {size:,.1f}" for part, size in found["largest_mb"].items()),
        )
        for name, found in ((name, result[name]) for name in ("core", "embed"))
    ]
    head = ("what", "packages", "without bytecode", "with", "import of Memory", "installed in", "largest parts, MB")
    return "\n\n".join(["## Installation", _limits(result), _table(head, rows), _footer(result)])


def _retrieval(result: Result) -> str:
    data, search, notes = result["data"], result["search"], list(result["notes"])
    if result["limit"] is not None:
        notes.append(f"Only {data['questions']:,} questions were asked, spread evenly over all.")
    if result["sources_per_hit"] > 1:
        notes.append(f"A hit cites {result['sources_per_hit']:.1f} documents in the mean.")
    notes += [f"Left out: {number:,} {what}." for what, number in data["excluded"].items()]
    parts = [
        f"## {result['title']}, {_who(result)}",
        f"{data['documents']:,} {result['unit']}s in {data['cases']:,} {'case' if data['cases'] == 1 else 'cases'},"
        f" {data['questions']:,} questions. In brackets 95 % bootstrap intervals over cases, or over questions where"
        " there is but one case.",
        *notes,
    ]
    for level, groups in result["levels"].items():
        if groups:
            parts += [f"By {level}:", _with_intervals(groups, result["headline"])]
    embedding = f", of it embedding {_latency(search, 'embedding_')}" if "embedding_p50_ms" in search else ""
    speed = f"Search, top {search['top_k']}: {_latency(search)}{embedding}. Remembering, with embedding:"
    return "\n\n".join([*parts, f"{speed} {result['ingest']['documents_per_s']:,.0f} per second.", _footer(result)])


def _who(result: Result) -> str:
    if result.get("system") == "bm25":
        return "plain BM25"
    return f"{result['embedder']['id']}, recipe {result['recipe']}"


def _with_intervals(groups: Mapping[str, Mapping[str, Any]], wanted: Sequence[str]) -> str:
    names = [name for name in wanted if name in groups["all"]]
    rows = [
        (group, f"{scores['n']:,}", *(_interval(scores[name], scores["interval"][name]) for name in names))
        for group, scores in groups.items()
    ]
    return _table(("questions", "n", *names), rows)


def _sort(result: Result) -> str:
    data, every = result["data"], result["all"]
    rows = [
        (
            f"{row['excerpt']:,}",
            f"{row['segment']}",
            f"{row['above']:,} to {row['upto']:,}",
            f"{row['n']:,}",
            _interval(row["accuracy"], row["interval"]),
        )
        for row in result["bins"]
    ]
    overall = f"{_interval(every['accuracy'], every['interval'])} of {every['n']:,} pairs"
    dropped = f" Of each segment {result['dropout']:.0%} of the words are left out." if result["dropout"] else ""
    return "\n\n".join(
        [
            f"## Book-SORT, {_who(result)}",
            f"Which of two segments comes first? {data['books']:,} {'book' if data['books'] == 1 else 'books'},"
            f" {data['documents']:,} memories; chance is 0.5. In brackets 95 % Wilson intervals.{dropped}",
            f"Right: {overall}; {result['coins']:,} by a coin; the first shown was named"
            f" {result['first_share']:.1%} of the time.",
            _table(("excerpt, words", "segment", "distance", "n", "accuracy"), rows),
            f"Search, top 1: {_latency(result['search'])}.",
            _footer(result),
        ]
    )


def _versus(result: Result) -> str:
    rows = [
        (
            f"{row['level']}, {row['metric']}",
            f"{row['n']:,}",
            f"{row['first']:.3f}",
            f"{row['second']:.3f}",
            ("**{}**" if row["significant"] else "{}").format(_interval(row["difference"], row["interval"])),
            f"{row['p_corrected']:.4f} ({row['test']})",
        )
        for row in result["table"]
    ]
    first, second = (Path(result[side]["name"]).stem for side in ("first", "second"))
    return "\n\n".join(
        [
            f"## {first} and {second}, question by question",
            f"{result['shared']:,} questions that both were asked; {result['only_in_one']:,} only one was. In brackets"
            " 95 % bootstrap intervals of the difference over cases; p after Holm's correction over this table; bold"
            " where it is below 0.05.",
            _table(("what", "n", first, second, "difference", "p"), rows),
            f"Command: `{result.get('command', '')}`.",
        ]
    )


_SECTIONS: dict[str, Callable[[Result], str]] = {
    "locomo": _dialogues,
    "realtalk": _dialogues,
    "answers": _answers,
    "speed": _speed,
    "install": _install,
    "first-fact": first_fact_section,
    "sort": _sort,
    "versus": _versus,
    "poisoning": poisoning_section,
    "associative": lambda result: associative_section(result, _limits(result)),
    "consolidate": lambda result: consolidate_section(result, _limits(result)),
    "index": lambda result: index_section(result, _limits(result)),
    "serve": serving_section,
    **SECTIONS,
}


# --- parts


def _limits(result: Result) -> str:
    if not result["limits"]:
        return "No limits are set here."
    rows = [
        (
            limit["name"],
            f"{limit['rule']} {limit['limit']:,.4g} {limit['unit']}".strip(),
            f"{limit['measured']:,.4g} {limit['unit']}".strip(),
            "yes" if limit["ok"] else "**no**",
            limit["why"],
        )
        for limit in result["limits"]
    ]
    return _table(("what", "limit", "measured", "kept", "the limit is"), rows)


def _groups(groups: Mapping[str, Mapping[str, float]]) -> str:
    names = [name for name in groups["all"] if name != "n"]
    rows = [(group, f"{scores['n']:,}", *(f"{scores[name]:.3f}" for name in names)) for group, scores in groups.items()]
    return _table(("questions", "n", *names), rows)


def _disk(result: Result) -> str:
    n, disk = result["memories"], result["disk"]
    index = sum(size["disk"] for name, size in disk["files"].items() if name.startswith("index"))
    log = sum(size["disk"] for name, size in disk["files"].items() if name.endswith("-wal"))
    parts = {f"table {name}": size for name, size in disk["tables"].items() if size >= n or name == "free pages"}
    rest = sum(disk["tables"].values()) - sum(parts.values())
    parts |= {"other tables": rest, "index files": index, "write-ahead log after closing": log, "all": disk["total"]}
    return _table(("part", "bytes", "per memory"), [(p, f"{s:,}", f"{s / n:,.1f}") for p, s in parts.items()])
