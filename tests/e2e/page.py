"""What the tests of the web page share: a real server on a free port, and a real browser that tells what went wrong."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anamnos import Memory, Scope

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
KEY = "k" * 40
MAYA = Scope(user="maya")
TALKS = {
    datetime(2023, 4, 11, 18, 5, tzinfo=UTC): (
        ("Maya", "I finally signed the lease for the bakery on Harbour Street!"),
        ("Jonas", "Congratulations, Maya! I can paint the sign for you."),
        ("Maya", "Yes please. And Elena promised to bake the first sourdough with me."),
    ),
    datetime(2023, 9, 18, 9, 15, tzinfo=UTC): (
        ("Maya", "My sister Elena left for Lisbon yesterday. She works at Hospital da Luz."),
        ("Jonas", "I am allergic to hazelnuts, by the way."),
    ),
    datetime(2024, 5, 6, 19, 0, tzinfo=UTC): (
        ("Jonas", "My first day at the Maritime Museum. My desk looks over the harbour of Gothenburg."),
        ("Maya", "Send pictures! Tomas runs Harbour Street now."),
    ),
}

try:
    import uvicorn
    from playwright.sync_api import Browser, Page, sync_playwright

    from anamnos.config import ServerSettings
    from anamnos.server.app import create_app
except ImportError as exc:  # the extras server and dev
    pytest.skip(f"the page's tests need {exc.name}", allow_module_level=True)
if CHROMIUM is None:
    pytest.skip("no Chromium is installed, in which the page would be tried", allow_module_level=True)


@dataclass
class Site:
    """A server that runs, and the memory behind it."""

    url: str
    memory: Memory
    key: str

    def at(self, path: str, **query: str) -> str:
        """Return the address of a page in Maya's scope."""
        parts = "&".join(f"{name}={value}" for name, value in {"user": "maya", **query}.items())
        return f"{self.url}/#/{path}?{parts}"


@contextlib.contextmanager
def running(folder: Path, *, auth: str = "keys") -> Iterator[Site]:
    """Run a server over a new vault on a free port."""
    memory = Memory(folder, embedder="hashing", working="on")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ServerSettings(auth=auth, port=port, rate_per_minute=0)
    app = create_app(memory, settings, session_key=KEY if auth == "keys" else None)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        threading.Event().wait(0.02)
    try:
        yield Site(f"http://127.0.0.1:{port}", memory, KEY if auth == "keys" else "")
    finally:
        app.state.serving.stopping.set()
        server.should_exit = True
        thread.join(10)


def fill(memory: Memory) -> None:
    """Remember a small made-up conversation, with facts made of it and a note of three versions."""
    for number, (moment, lines) in enumerate(TALKS.items(), 1):
        said = [
            {"role": "user", "name": who, "content": text, "created_at": moment.replace(second=place)}
            for place, (who, text) in enumerate(lines)
        ]
        memory.add(said, Scope(user="maya", session=f"talk-{number}"), tags=["chat"])
    spare = memory.add("The spare key hangs behind the flour bins.", MAYA, tags=["bakery"]).ids[0]
    memory.update(spare, MAYA, content="The spare key lies with Tomas.")
    memory.update(spare, MAYA, content="The spare key lies with Tomas, in the blue tin.")
    memory.enrich(MAYA)
    memory.add("Send the invoice by Friday.", Scope(user="jonas"))


@dataclass
class Watched:
    """A page whose faults are gathered: errors of scripts, requests to elsewhere, dialogs that nobody wanted."""

    page: Page
    site: Site
    faults: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.page.on("console", lambda said: self._note(f"console {said.type}: {said.text}", said.type == "error"))
        self.page.on("pageerror", lambda error: self._note(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self._note(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on(
            "request", lambda sent: self._note(f"elsewhere: {sent.url}", not sent.url.startswith(self.site.url))
        )

    def _note(self, what: str, is_fault: bool = True) -> None:
        if is_fault and not any(words in what for words in self.allowed):
            self.faults.append(what)

    def open(self, path: str, **query: str) -> Page:
        """Go to a page in Maya's scope, signed in."""
        if self.page.url == "about:blank":
            keep = (
                f"if (location.origin === {self.site.url!r}) sessionStorage.setItem('anamnos-key', {self.site.key!r})"
            )
            self.page.add_init_script(keep)
        self.page.goto(self.site.at(path, **query))
        self.page.wait_for_selector("#heading")
        return self.page

    def accessible(self) -> list[str]:
        """Return what axe finds wrong with the page as it is."""
        if not self.page.evaluate("typeof axe === 'object'"):
            self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate("axe.run(document)")
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def watched(browser: Browser, site: Site, *, dark: bool = False, width: int = 1280) -> Iterator[Watched]:
    """Yield a page of a new profile; at its end nothing may have gone wrong."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    context.set_default_timeout(10_000)
    seen = Watched(context.new_page(), site)
    try:
        yield seen
    finally:
        context.close()
    assert not seen.faults, "; ".join(seen.faults[:5])
