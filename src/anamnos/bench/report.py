"""Results as sections of a Markdown page, between markers, so that nobody copies a number by hand.

A section stands between ``<!-- bench:NAME -->`` and ``<!-- /bench:NAME -->``; everything else on the page is left
as it is. Writing the same result twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
    """Return the name of a result's section: a peer, and a number of memories, have sections of their own."""
    kind = str(result["benchmark"])
    if kind == "speed":
        return f"speed-{result['memories']}"
    if kind == "compare":
        return f"compare-{'-'.join(name for name in result['systems'] if name != 'anamnos')}"
    if kind == "install":
        return kind
    recipe = "" if result["recipe"] == Settings().recipe else f"-{result['recipe']}"
    return f"{kind}-{result['embedder']['id']}{recipe}"


def section(result: Result) -> str:
    """Return a result as Markdown."""
    return _SECTIONS[str(result["benchmark"])](result)


# --- one function per benchmark


def _dialogues(result: Result) -> str:
    data, ingest, add, search = result["data"], result["ingest"], result["add"], result["search"]
    return "\n\n".join(
        [
            f"## {_TITLES[result['benchmark']]}, {result['embedder']['id']}, recipe {result['recipe']}",
            f"{data['conversations']} conversations, {data['turns']:,} turns, {data['questions']} questions, of which"
            f" {data['excluded']} without evidence are left out.",
            _limits(result),
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


def _speed(result: Result) -> str:
    n, ingest, opening = result["memories"], result["ingest"], result["open"]
    search, whole, write = result["search"], result["whole_search"], result["write"]
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


def _compare(result: Result) -> str:
    data, k = result["data"], result["top_k"]
    names = list(result["systems"])
    systems = [result["systems"][name] for name in names]
    recall = f"recall_frac@{k}"
    rows: list[tuple[str, ...]] = [
        (f"{recall} (n = {systems[0]['n']})", *(f"{s[recall]:.3f}" for s in systems)),
        ("adds one by one", *(f"{s['add']['per_s']:,.0f}/s" for s in systems)),
        ("of it embedding", *(f"{s['add']['embedding_share']:.0%}" for s in systems)),
        ("adds in bulk", *(f"{s['bulk']['per_s']:,.0f}/s" if "bulk" in s else "–" for s in systems)),
        ("search", *(_latency(s["search"]) for s in systems)),
        ("of it embedding", *(f"{s['search']['embedding_share']:.0%}" for s in systems)),
        ("disk per memory", *(f"{s['disk_bytes_per_memory']:,.0f} bytes" for s in systems)),
        ("versions", *(", ".join(f"{p} {v}" for p, v in s["versions"].items()) for s in systems)),
        ("how", *("; ".join(s["notes"]) for s in systems)),
    ]
    return "\n\n".join(
        [
            f"## {' and '.join(names)}, side by side",
            f"The first {data['conversations']} conversations of LoCoMo, {data['turns']:,} turns, the same embedder"
            f" ({result['embedder']['id']}) and machine, no language model, no network; run in turns,"
            f" {result['rounds']} times.",
            _table(("", *names), rows),
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


_SECTIONS: dict[str, Callable[[Result], str]] = {
    "locomo": _dialogues,
    "realtalk": _dialogues,
    "speed": _speed,
    "compare": _compare,
    "install": _install,
}


# --- parts


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


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


def _latency(figures: Mapping[str, float], prefix: str = "") -> str:
    return f"{figures[f'{prefix}p50_ms']:.1f} ms median, {figures[f'{prefix}p95_ms']:.1f} ms p95"


def _disk(result: Result) -> str:
    n, disk = result["memories"], result["disk"]
    index = sum(size["disk"] for name, size in disk["files"].items() if name.startswith("index"))
    log = sum(size["disk"] for name, size in disk["files"].items() if name.endswith("-wal"))
    parts = {f"table {name}": size for name, size in disk["tables"].items() if size >= n or name == "free pages"}
    rest = sum(disk["tables"].values()) - sum(parts.values())
    parts |= {"other tables": rest, "index files": index, "write-ahead log after closing": log, "all": disk["total"]}
    return _table(("part", "bytes", "per memory"), [(p, f"{s:,}", f"{s / n:,.1f}") for p, s in parts.items()])


def _footer(result: Result) -> str:
    machine, versions, data = result["machine"], result["versions"], result.get("data")
    load = f"{machine['load_average'][0]:.1f}" if machine["load_average"] else "unknown"
    facts = [
        f"Command: `{result.get('command', '')}`",
        *([f"data `{data['name']}`, SHA-256 `{data['sha256'][:16]}…`"] if data else []),
        f"{result['date']}, {result['seconds']:,.0f} s",
        f"{machine['cpus']} CPUs ({machine['cpu']}), {machine['system']}, load {load} at the start",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return ". ".join(facts) + "."
