"""A walk through Anamnos: remember, survive a kill, recall, change, forget. Run it with: make demo

run.py        the walk, with the conversation beside this file, in ./demo-vault/friends, which is made afresh
run.py FILE   remember a file of your own, in ./demo-vault/mine, and ask about it
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from asking import (
    CONVERSATION,
    DEPTH,
    SCOPE,
    Report,
    all_questions,
    by_message,
    mark,
    messages,
    questions,
    stopwatch,
)
from rich.table import Table
from rich.text import Text

from anamnos import AnamnosError, Memory, Scope
from anamnos.cli.progress import progress_bar
from anamnos.cli.render import console, hit_table, pairs, safe, size

VAULT, OWN_VAULT = Path("demo-vault/friends"), Path("demo-vault/mine")
ME = Scope(user="me")
BATCH = 16  # memories written at a time: small, so that there is a middle to be killed in
PAUSE_S = 0.01  # of the child after each batch, for the same reason
KILL_AFTER = 6  # acknowledged batches


# --- the walk


def walk() -> int:
    """Show everything; return 0 if all promises held."""
    report = Report()
    if not fresh(VAULT):
        report.say(f"{VAULT.absolute()} is there and is no demo vault; it was left alone.", style="bold red")
        return 1
    introduce(report)
    acknowledged = killed_in_the_middle(report)
    with Memory(VAULT, batch_size=BATCH) as memory:
        after_the_kill(report, memory, acknowledged)
        to_the_end(report, memory)
        questions(report, memory)
        changed(report, memory)
        forgotten(report, memory)
    summary(report)
    return 0 if all(held for _, held in report.promises) else 1


def fresh(vault: Path) -> bool:
    """Remove what an earlier walk left behind; return False if it is something else."""
    if vault.exists() and any(vault.iterdir()) and not (vault / "anamnos.db").exists():
        return False
    shutil.rmtree(vault, ignore_errors=True)
    return True


def introduce(report: Report) -> None:
    report.chapter("Anamnos, a memory for AI")
    report.say(f"{len(messages())} chat messages of two friends, and 25 questions about them. In {VAULT.absolute()}:")
    for number, step in enumerate(
        (
            "read the conversation in another process, and kill that process in the middle",
            "show that nothing acknowledged is lost, and read on to the end",
            "ask the questions",
            "change a fact",
            "forget a message, and look for it in every byte of every file",
        ),
        start=1,
    ):
        report.say(f"{number}. {step}")


def killed_in_the_middle(report: Report) -> int:
    """Have a child process read the conversation and kill it; return how many memories it had acknowledged."""
    report.chapter("1. A kill in the middle")
    command = [sys.executable, __file__, "--child"]
    rng = random.Random(7)  # noqa: S311
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603
        assert child.stdout is not None  # noqa: S101
        acknowledged = [int(line) for line, _ in zip(child.stdout, range(KILL_AFTER), strict=False)]
        time.sleep(rng.uniform(0, 2 * PAUSE_S))
        child.kill()  # SIGKILL; TerminateProcess on Windows: no chance to tidy up
        acknowledged += [int(line) for line in child.stdout]
        ended = child.wait()
    count = max(acknowledged, default=0)
    report.say(f"The process had acknowledged {count} of {len(messages())} memories when it was killed ({ended}).")
    report.promise("it was killed in the middle", 0 < count < len(messages()) and ended != 0)
    return count


def child() -> int:
    """What the process that is killed does: read, and say how far it is after each batch that is written."""
    with Memory(VAULT, batch_size=BATCH) as memory:
        memory.ingest(CONVERSATION, SCOPE, progress=acknowledge)
    return 0


def acknowledge(done: int, total: int) -> None:
    print(done, flush=True)
    time.sleep(PAUSE_S)


def after_the_kill(report: Report, memory: Memory, acknowledged: int) -> None:
    """Show that what was acknowledged is there, word for word, and that the vault is whole."""
    there = by_message(memory)
    lost = [m for m in messages()[:acknowledged] if m["id"] not in there or there[m["id"]].content != m["content"]]
    report.say(f"The vault holds {len(there)} memories. Embedder: {memory.embedder.id}.")
    report.promise(f"all {acknowledged} acknowledged memories are there, word for word", not lost)
    report.promise("verify finds nothing wrong", not memory.verify())


def to_the_end(report: Report, memory: Memory) -> None:
    """Read the conversation again, which goes on from where the kill was."""
    report.chapter("2. Reading on to the end")
    with stopwatch() as seconds, progress_bar("conversation.json") as progress:
        receipt = memory.ingest(CONVERSATION, SCOPE, progress=progress)
    added, known = receipt.count("added"), receipt.count("unchanged")
    report.say(f"unchanged {known}, added {added}, in {seconds[0]:.2f} s (with loading the model)")
    whole = {m["id"] for m in messages()} == set(by_message(memory)) and known + added == len(messages())
    report.promise("the conversation is whole, and nothing is there twice", whole)
    again = Scope(user="demo-speed")
    with stopwatch() as seconds:
        memory.ingest(CONVERSATION, again)
    memory.delete_all(again)
    report.figures.append(("memories per second", f"{len(messages()) / seconds[0]:,.0f}"))


# --- changing and forgetting


def changed(report: Report, memory: Memory) -> None:
    report.chapter("4. A fact changes")
    old, new = "Maren keeps her spare key under the blue pot.", "Maren's spare key is with Mrs Okafor at number 9."
    cube_id = memory.add(old, SCOPE, role="fact").ids[0]
    memory.update(cube_id, SCOPE, content=new)
    for cube in memory.history(cube_id, SCOPE):
        report.say(f"version {cube.version}: {cube.text}")
    best = memory.search("Where is Maren's spare key?", SCOPE, top_k=DEPTH)
    found = [hit.content for hit in best]
    report.promise("a search finds the new version and not the old one", new in found and old not in found)


def forgotten(report: Report, memory: Memory) -> None:
    """Delete the message that answers the first question, and look for it everywhere."""
    report.chapter("5. Forgetting for real")
    question = all_questions()[0]
    cube = by_message(memory)[question["evidence"][0]]
    report.say(f"{cube.provenance.actor}: {cube.text}")
    before = places(cube.text)
    receipt = memory.delete(cube.id, SCOPE)
    after = places(cube.text)
    report.say(f"In the bytes of all files: before {before}, after {after} times ({receipt.state}).")
    report.promise("the deleted message is in 0 places", before > 0 and after == 0)
    hits = memory.search(question["question"], SCOPE, top_k=DEPTH)
    report.promise("no search finds it", cube.id not in [hit.id for hit in hits])
    report.promise("verify finds nothing wrong", not memory.verify())
    report.figures.append(("on disk", size(sum(path.stat().st_size for path in files()))))


def places(text: str) -> int:
    """Return how often a part of ``text`` (30 bytes, every 10) is found in the files of the vault."""
    raw = text.encode()
    parts = [raw[start : start + 30] for start in range(0, max(1, len(raw) - 29), 10)]
    return sum(max(content.count(part) for part in parts) for content in (path.read_bytes() for path in files()))


def files() -> list[Path]:
    return [path for path in VAULT.rglob("*") if path.is_file()]


def summary(report: Report) -> None:
    report.chapter("In short")
    report.out.print(pairs(report.figures))
    report.out.print()
    kept = Table.grid(padding=(0, 2))
    for what, held in report.promises:
        kept.add_row(Text(mark(held), style="green" if held else "bold red"), Text(what))
    report.out.print(kept)


# --- a file of your own


def own_file(path: Path) -> int:
    """Remember a file and answer questions about it: of a terminal in a loop, of a pipe line by line."""
    out = console()
    with Memory(OWN_VAULT) as memory:
        with progress_bar(path.name) as progress:
            receipt = memory.ingest(path, ME, progress=progress)
        counts = ", ".join(f"{kind} {receipt.count(kind)}" for kind in ("added", "updated", "unchanged"))
        stats = memory.stats(ME)
        memories = ("memories", f"{stats['memories']:,} ({counts})")
        disk = ("on disk", size(sum(stats["bytes"].values())))
        out.print(pairs([("file", str(path)), memories, ("embedder", memory.embedder.id), disk]))
        for question in asked():
            found = memory.answer_context(question, ME, token_budget=400)
            out.print(Text(f"\n{safe(question)}", style="bold"))
            out.print(Text(safe(found.evidence), style="green"))
            out.print(hit_table(found.hits[:3]))
    return 0


def asked() -> Iterator[str]:
    """Yield questions until an empty line or the end of standard input."""
    prompt = "\nAsk (an empty line ends): " if sys.stdin.isatty() else ""
    while True:
        if prompt:
            print(prompt, end="", flush=True)
        question = sys.stdin.readline().strip()
        if not question:
            return
        yield question


def main(words: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a sign that the terminal lacks is no reason to fail
            stream.reconfigure(errors="replace")
    try:
        if words == ["--child"]:
            return child()
        return own_file(Path(words[0])) if words else walk()
    except AnamnosError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
