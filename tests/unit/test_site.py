"""The documentation as a site: it is built strictly, is whole, and asks nothing of anybody else."""

import contextlib
import functools
import http.server
import importlib.util
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@cache
def tool(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / "tools" / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def pages_of(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in pages_of(part)]


def test_every_page_has_a_place_in_the_site() -> None:
    yaml = pytest.importorskip("yaml")
    placed = pages_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    docs = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert len(placed) == len(set(placed))
    assert {page for page in placed if not page.startswith("about/")} == docs


# --- the checker


HEAD = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'self'\">"


def found(tmp_path: Path, **pages: str) -> list[str]:
    for name, text in pages.items():
        (tmp_path / f"{name}.html").write_text(HEAD + text)
    return list(tool("check_site.py").problems(tmp_path))


def test_a_whole_site_passes(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text("a { background: url(data:image/png;base64,xx) } b { background: url(y.png) }")
    assert (
        found(
            tmp_path,
            a="<link rel=stylesheet href=x.css><a href='b.html#there'>b</a><a href='https://example.org'>out</a>",
            b="<h1 id=there>B</h1><a href='/a.html'>a</a><a href='#there'>here</a>",
        )
        == []
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<a href='c.html'>c</a>", "not there"),
        ("<a href='#nowhere'>x</a>", "no such place"),
        ("<script src='https://cdn.example.org/x.js'></script>", "loads https"),
        ("<img src='//cdn.example.org/x.png'>", "loads //"),
        ("<link rel=stylesheet href='https://fonts.example.org/x.css'>", "loads https"),
        ("<link rel=preconnect href='https://fonts.example.org'>", "loads https"),
        ("<p style='background: url(https://example.org/x.png)'>x</p>", "in a style"),
        ("<pre class='mermaid'>graph</pre>", "mermaid"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(text: str, says: str, tmp_path: Path) -> None:
    wrong = found(tmp_path, a=text)
    assert wrong
    assert says in wrong[0]


def test_a_page_without_the_policy_and_a_style_from_elsewhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>a</p>")
    (tmp_path / "x.css").write_text("@import 'https://fonts.example.org/x.css';")
    assert len(list(tool("check_site.py").problems(tmp_path))) == 2
    assert list(tool("check_site.py").problems(tmp_path / "none"))


# --- how pages become pages of the site


def test_links_out_of_the_docs_become_links_of_the_site_or_text() -> None:
    pytest.importorskip("mkdocs")
    in_prose = tool("mkdocs_parts/hooks.py").in_prose
    assert (
        in_prose("see [S](../../SECURITY.md#how-to-report).", "howto/serve.md")
        == "see [S](../about/security.md#how-to-report)."
    )
    assert (
        in_prose("see [t](docs/tutorial/first-memory.md).", "about/readme.md")
        == "see [t](../tutorial/first-memory.md)."
    )
    assert in_prose("in [code](src/anamnos/cube.py).", "about/readme.md") == "in code."
    assert in_prose("see [out](https://example.org/a).", "index.md") == "see [out](https://example.org/a)."
    assert in_prose("```\n[x](../README.md)\n```", "index.md") == "```\n[x](../README.md)\n```"


def test_a_list_may_follow_a_line_of_text() -> None:
    pytest.importorskip("mkdocs")
    in_prose = tool("mkdocs_parts/hooks.py").in_prose
    assert in_prose("**Do**\n- a\n  b\n- c\n", "index.md") == "**Do**\n\n- a\n  b\n- c\n"
    assert in_prose("```\ntext\n- a\n```", "index.md") == "```\ntext\n- a\n```"


def test_columns_of_docstrings_become_lists() -> None:
    pytest.importorskip("griffe")
    text = (
        "Return it.\n\ntop_k   exactly so many,\n        if there are\nfilter  which ``Filter``\nRaises: InvalidInput."
    )
    assert tool("mkdocs_parts/docstrings.py").as_markdown(text) == (
        "Return it.\n\n\n- `top_k`: exactly so many,\n    if there are\n- `filter`: which `Filter`\n"
        "\n\n**Raises:** InvalidInput."
    )


# --- the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for needed in ("mkdocs", "material", "mkdocstrings_handlers"):
        pytest.importorskip(needed)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]  # --quiet would undo strict
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_is_whole_and_loads_nothing_from_elsewhere(site: Path) -> None:
    assert list(tool("check_site.py").problems(site)) == []


def test_the_reference_has_the_verbs_with_their_docstrings(site: Path) -> None:
    page = (site / "reference" / "api.html").read_text("utf-8")
    text = re.sub(r"<[^>]+>", "", page)
    for verb in ("add", "search", "answer_context", "forget_person"):
        assert f'id="anamnos.Memory.{verb}"' in page, verb
    assert "Return the memories of a scope that answer query best" in text


def test_the_browser_asks_only_the_site_itself(site: Path) -> None:
    """Scripts of the theme may ask elsewhere in ways that no look at the files shows."""
    playwright = pytest.importorskip("playwright.sync_api")
    with server_of(site) as base, playwright.sync_playwright() as started:
        try:
            browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        except playwright.Error:
            pytest.skip("needs a browser")
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index", "concepts", "reference/api"):
            page.goto(f"{base}/{name}.html")
        page.keyboard.press("/")
        page.keyboard.type("forget")
        page.locator(".md-search-result__item").first.wait_for()
        assert len(asked) > 5
        assert [url for url in asked if not url.startswith(base)] == []
        browser.close()


@contextlib.contextmanager
def server_of(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
