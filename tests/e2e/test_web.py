"""The web page in a real browser: every page and every action, by mouse and keyboard, in light and dark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page import KEY, MAYA, Site, Watched, chromium, fill, running, watched
from playwright.sync_api import Browser, Page, expect

PAGES = ("search", "timeline", "graph", "add", "live", "audit", "benchmarks", "about")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("web") / "vault") as served:
        fill(served.memory)
        yield served


@pytest.fixture
def seen(browser: Browser, site: Site) -> Iterator[Watched]:
    with watched(browser, site) as page:
        yield page


def settled(page: Page) -> None:
    """Wait until nothing is on its way."""
    page.wait_for_function("() => !document.querySelector('.loading, [aria-busy=true]')")


def note_of(site: Site, text: str, **more: Any) -> str:
    return site.memory.add(text, MAYA, **more).ids[0]


# --- all pages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_is_without_faults_and_accessible(browser: Browser, site: Site, dark: bool) -> None:
    spare = next(cube for cube in site.memory.list(MAYA) if cube.version == 3)
    fact = next(cube for cube in site.memory.list(MAYA) if cube.role == "fact")
    paths = [*((path, {}) for path in PAGES), (f"memory/{spare.id}", {}), (f"memory/{fact.id}", {})]
    paths += [("search", {"q": "Where does Elena work?"}), ("graph", {"focus": "Elena"}), ("search", {"user": ""})]
    paths += [("timeline", {"by": "day", "since": "2023-04-01T00:00:00Z", "until": "2023-05-01T00:00:00Z"})]
    with watched(browser, site, dark=dark) as seen:
        for path, query in paths:
            page = seen.open(path, **query)
            settled(page)
            assert seen.accessible() == [], (path, query)
            assert page.evaluate("document.getAnimations().length") == 0  # reduced motion is asked for


def test_every_page_fits_a_narrow_screen(browser: Browser, site: Site) -> None:
    with watched(browser, site, width=360) as seen:
        for path in (*PAGES, f"memory/{site.memory.list(MAYA, limit=1)[0].id}"):
            page = seen.open(path)
            settled(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_the_theme_follows_the_system_until_one_is_chosen(seen: Watched) -> None:
    page = seen.open("search")
    shade = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(shade)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(shade)
    assert light != dark
    page.get_by_label("Theme").select_option("light")
    assert page.evaluate(shade) == light
    page.reload()
    page.wait_for_selector("#heading")
    assert page.evaluate(shade) == light
    page.get_by_label("Theme").select_option("dark")
    page.emulate_media(color_scheme="light")
    assert page.evaluate(shade) == dark


def test_the_keyboard_alone_is_enough(seen: Watched) -> None:
    page = seen.open("timeline")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("hazelnuts")
    first = page.locator("ol.results a.text").first
    expect(first).to_contain_text("hazelnuts")
    page.keyboard.press("ArrowDown")
    expect(first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator("ol.results a.text").nth(1)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_be_focused()  # a screen reader is told where one has come to
    expect(page.locator("[data-content]")).to_contain_text("hazelnuts")


def test_the_address_is_enough_to_come_back(seen: Watched) -> None:
    page = seen.open("search", q="hazelnuts", role="turn")
    expect(page.locator("#query")).to_have_value("hazelnuts")
    expect(page.get_by_label("Role")).to_have_value("turn")
    page.locator("ol.results a.text").first.click()
    page.wait_for_selector("[data-content]")
    page.go_back()
    expect(page.locator("#query")).to_have_value("hazelnuts")


# --- who asks, and whose memory --------------------------------------------------------------------------------------


def test_a_key_is_asked_for_and_kept_in_the_tab_only(seen: Watched, site: Site) -> None:
    seen.allowed = ("status of 401",)
    page = seen.page
    page.goto(site.url)
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert seen.accessible() == []
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("heading", name="Whose memory?")).to_be_visible()
    assert page.evaluate("JSON.stringify({...localStorage})").find(KEY) < 0
    assert page.context.cookies() == []
    page.get_by_role("button", name="user maya 1").first.click()
    page.get_by_role("link", name="Keys & about").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_key_in_the_address_goes_out_of_it(seen: Watched, site: Site) -> None:
    page = seen.page
    page.goto(f"{site.url}/#key={KEY}")
    page.wait_for_selector("#heading")
    assert KEY not in page.url
    page.go_back()
    assert KEY not in page.url


def test_a_scope_is_chosen_and_remembered(seen: Watched, site: Site) -> None:
    page = seen.open("search", user="")
    page.get_by_role("button", name="user jonas").click()
    expect(page.get_by_role("button", name="Whose memory: user jonas")).to_be_visible()
    page.goto("about:blank")
    page.goto(f"{site.url}/")
    page.get_by_role("button", name="Whose memory: user jonas").click()
    assert seen.accessible() == []
    page.get_by_text("Name one by hand").click()
    page.get_by_label("user", exact=True).fill("somebody new")
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("button", name="Whose memory: user somebody new")).to_be_visible()


# --- search ----------------------------------------------------------------------------------------------------------


def test_search_finds_while_one_writes_and_says_why(seen: Watched) -> None:
    page = seen.open("search")
    page.locator("#query").press_sequentially("Where does Elena work?", delay=10)
    hit = page.locator("ol.results > li").filter(has_text="Hospital da Luz").first
    expect(hit).to_be_visible()
    hit.locator("summary").click()
    expect(hit.locator(".channels")).to_contain_text("meaning")
    assert hit.locator(".channels .meter i").first.bounding_box()["width"] > 5
    expect(page.locator("p.summary")).to_contain_text("in memory (")
    assert page.locator("p.summary").get_attribute("aria-live") == "polite"


def test_an_answer_that_comes_late_does_not_replace_a_newer_one(seen: Watched) -> None:
    seen.page.add_init_script(
        """const real = window.fetch;
        window.fetch = async (...asked) => {
          const answer = await real(asked[0], { ...asked[1], signal: undefined });
          if (String(asked[1]?.body).includes("hazelnuts")) await new Promise((done) => setTimeout(done, 900));
          return answer;
        };"""
    )
    page = seen.open("search")
    page.locator("#query").fill("hazelnuts")
    with page.expect_response("**/v1/search"):
        pass
    page.locator("#query").fill("Gothenburg")
    expect(page.locator("ol.results a.text").first).to_contain_text("Gothenburg")
    page.wait_for_timeout(1_000)
    expect(page.locator("ol.results a.text").first).to_contain_text("Gothenburg")


def test_filters_narrow_what_is_found(seen: Watched) -> None:
    page = seen.open("search", q="the spare key")
    expect(page.locator("ol.results > li").first).to_contain_text("blue tin")
    page.get_by_text("Filters").click()
    page.get_by_label("Tags").fill("bakery")
    expect(page.locator("ol.results > li")).to_have_count(1)
    page.get_by_label("Before").fill("2020-01-01")
    expect(page.get_by_text("Nothing of this memory fits.")).to_be_visible()
    assert "tag=bakery" in page.url


def test_an_answer_names_what_it_rests_on(seen: Watched) -> None:
    page = seen.open("search", q="What is Jonas allergic to?")
    page.get_by_role("button", name="Answer").click()
    card = page.get_by_role("region", name="Answer")
    expect(card).to_contain_text("hazelnuts")
    card.get_by_role("link", name=re.compile(r"memory \[\d+\]")).first.click()
    expect(page.locator("[data-content]")).to_contain_text("hazelnuts")


# --- pictures --------------------------------------------------------------------------------------------------------


def test_the_timeline_leads_from_years_to_a_day(seen: Watched) -> None:
    page = seen.open("timeline", by="year")
    page.get_by_role("link", name=re.compile("^2023: ")).click()
    expect(page.get_by_role("heading", name="2023", exact=True)).to_be_visible()
    page.get_by_role("link", name=re.compile("^September 2023: ")).click()
    page.get_by_role("link", name=re.compile("^18 Sept? 2023: ")).click()
    expect(page.locator("ol.results")).to_contain_text("Hospital da Luz")
    expect(page.locator("ol.results")).not_to_contain_text("Gothenburg")
    page.get_by_role("link", name="All years").click()
    expect(page.get_by_role("link", name=re.compile("^2024: "))).to_be_visible()


def test_the_graph_zooms_and_leads_to_names_and_memories(seen: Watched) -> None:
    page = seen.open("graph")
    drawn = page.locator(".picture svg > g")
    page.wait_for_selector(".node")
    before = drawn.get_attribute("transform")
    page.get_by_role("button", name="Zoom in").click()
    expect(drawn).not_to_have_attribute("transform", before or "")
    zoomed = drawn.get_attribute("transform")
    box = page.locator(".picture svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 15, box["y"] + 15)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 60)
    page.mouse.up()
    expect(drawn).not_to_have_attribute("transform", zoomed or "")
    page.get_by_role("button", name="Fit").click()
    expect(drawn).to_have_attribute("transform", before or "")
    page.locator('[data-node="Elena"] circle').click()
    expect(page.get_by_role("heading", name="Around Elena")).to_be_visible()
    names = page.get_by_role("region", name="The same as a list")
    names.get_by_role("link", name=re.compile("Hospital da Luz")).first.click()
    expect(page.get_by_role("heading", name=re.compile("Around Hospital da Luz|^Memory$"))).to_be_visible()


def test_the_charts_are_shown_with_titles(seen: Watched) -> None:
    page = seen.open("benchmarks")
    charts = page.locator("figure.plot img")
    expect(charts.first).to_be_visible()
    for chart in charts.all():
        chart.scroll_into_view_if_needed()
        page.wait_for_function("chart => chart.complete && chart.naturalWidth > 0", arg=chart.element_handle())
        assert chart.get_attribute("alt")


# --- one memory ------------------------------------------------------------------------------------------------------


def test_a_memory_shows_its_versions_and_what_changed(seen: Watched, site: Site) -> None:
    spare = next(cube for cube in site.memory.list(MAYA) if cube.version == 3)
    page = seen.open(f"memory/{spare.id}")
    expect(page.locator("[data-diff] ins")).to_have_text(", in the blue tin")
    page.locator(".diff select").nth(0).select_option("1")
    page.locator(".diff select").nth(1).select_option("2")
    expect(page.locator("[data-diff] del").first).to_contain_text("hangs")
    expect(page.locator("ol.versions > li")).to_have_count(3)


def test_a_fact_leads_back_to_the_turn_it_was_made_of(seen: Watched, site: Site) -> None:
    fact = next(cube for cube in site.memory.list(MAYA) if cube.role == "fact" and "hazelnuts" in cube.text)
    page = seen.open(f"memory/{fact.id}")
    page.locator("ol.chain a.text").first.click()
    expect(page.locator("[data-content]")).to_have_text("I am allergic to hazelnuts, by the way.")
    expect(page.get_by_text("These are the words themselves")).to_be_visible()


def test_an_edit_makes_a_version_unless_somebody_was_faster(seen: Watched, site: Site) -> None:
    seen.allowed = ("status of 412",)
    note = note_of(site, "The oven is from Verona.", tags=["oven"])
    page = seen.open(f"memory/{note}")
    page.get_by_role("button", name="Edit").click()
    assert seen.accessible() == []
    page.get_by_label("What is remembered").fill("The oven is from Bologna.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-content]")).to_have_text("The oven is from Bologna.")
    cube = site.memory.get(note, MAYA)
    assert (cube.version, cube.annotations.tags) == (2, ("oven",))

    page.get_by_role("button", name="Edit").click()
    page.get_by_label("What is remembered").fill("The oven is from Parma.")
    site.memory.update(note, MAYA, content="The oven is from Siena.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody has changed this memory meanwhile")
    assert site.memory.get(note, MAYA).text == "The oven is from Siena."
    page.get_by_role("button", name="Keep mine").click()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-content]")).to_have_text("The oven is from Parma.")
    assert [one.text[16:] for one in site.memory.history(note, MAYA)][-2:] == [" Siena.", " Parma."]


def test_forgetting_is_asked_for_twice_and_is_for_good(seen: Watched, site: Site) -> None:
    note = note_of(site, "The code of the safe is 4711.")
    page = seen.open(f"memory/{note}")
    page.get_by_role("button", name="Forget …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    assert seen.accessible() == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Forget …")).to_be_focused()
    assert site.memory.get(note, MAYA)
    page.get_by_role("button", name="Forget …").click()
    dialog.get_by_role("button", name="Forget it for good").click()
    expect(page.get_by_role("heading", name="Forgotten")).to_be_visible()
    assert all(cube.id != note for cube in site.memory.list(MAYA))


def test_a_memory_is_used_archived_brought_back_and_held(seen: Watched, site: Site) -> None:
    note = note_of(site, "Feed the starter at six.")
    page = seen.open(f"memory/{note}")
    state = page.locator(".whole .state")
    for button, text in (("Archive", "archived"), ("Bring back", "activated"), ("Hold", "frozen")):
        page.get_by_role("button", name=button).click()
        expect(state).to_have_text(text)
    expect(page.get_by_role("button", name="Forget …")).to_be_disabled()
    page.get_by_role("button", name="Lift the hold").click()
    expect(state).to_have_text("activated")
    page.get_by_role("button", name="It was of use").click()
    expect(page.locator(".known")).to_contain_text("1 time")


# --- adding ----------------------------------------------------------------------------------------------------------


def test_a_note_is_remembered(seen: Watched, site: Site) -> None:
    page = seen.open("add")
    page.locator("textarea").fill("Pepper weighs nine kilos.")
    page.locator('[name="tags"]').fill("dog, vet")
    page.get_by_label("When").fill("2024-08-25T10:10")
    page.get_by_role("button", name="Remember", exact=True).click()
    page.get_by_role("link", name="See it").click()
    expect(page.locator("[data-content]")).to_have_text("Pepper weighs nine kilos.")
    cube = next(cube for cube in site.memory.list(MAYA) if "Pepper weighs" in cube.text)
    assert cube.annotations.tags == ("dog", "vet")
    assert cube.time.created_at is not None and cube.time.created_at.isoformat() == "2024-08-25T10:10:00+00:00"


def test_files_are_chosen_or_dropped_and_told_how_far_they_are(seen: Watched, site: Site, tmp_path: Path) -> None:
    notes = tmp_path / "harbour notes.md"
    notes.write_text("# Harbour\n\nThe ferry to Cape Farrow leaves at seven.\n")
    page = seen.open("add")
    page.get_by_label("Files to remember").set_input_files(notes)
    row = page.locator(".uploads li")
    expect(row).to_contain_text("added")
    dropped = page.evaluate_handle(
        "text => { const t = new DataTransfer(); t.items.add(new File([text], 'dropped.md')); return t; }",
        "# Market\n\nThe market in the Alfama opens on Tuesdays.\n",
    )
    page.dispatch_event("[data-drop]", "dragover", {"dataTransfer": dropped})
    page.dispatch_event("[data-drop]", "drop", {"dataTransfer": dropped})
    expect(row.nth(1)).to_contain_text("added")
    page.get_by_label("Files to remember").set_input_files(notes)
    expect(row.nth(2)).to_contain_text("unchanged")
    page.get_by_label("Files to remember").set_input_files(
        {"name": "broken.json", "mimeType": "application/json", "buffer": b'{"messages": [{"role"'}
    )
    expect(row.nth(3).locator(".bad")).to_be_visible()
    assert seen.accessible() == []
    assert {cube.provenance.source for cube in site.memory.list(MAYA)} >= {"harbour notes.md", "dropped.md"}


def test_an_export_is_brought_back(seen: Watched, site: Site, tmp_path: Path) -> None:
    with running(tmp_path / "other") as other:
        other.memory.add("The lighthouse was painted in May.", MAYA)
        other.memory.export(tmp_path / "export.jsonl")
    page = seen.open("add")
    page.get_by_label("Export file").set_input_files(tmp_path / "export.jsonl")
    expect(page.get_by_text("Brought back: 1 memory.")).to_be_visible()
    assert any("lighthouse" in cube.text for cube in site.memory.list(MAYA))


# --- live, audit, keys -----------------------------------------------------------------------------------------------


def test_what_happens_elsewhere_is_seen_as_it_happens(seen: Watched, site: Site) -> None:
    page = seen.open("live")
    expect(page.get_by_role("status").filter(has_text=re.compile("^live$"))).to_be_visible()
    site.memory.add("A parcel from Verona has come.", MAYA)
    expect(page.locator("ol.news")).to_contain_text("1 written")
    job = site.memory.jobs.add("consolidate", MAYA)
    row = page.locator("tbody tr").filter(has=page.get_by_role("rowheader", name=str(job.id), exact=True))
    expect(row).to_contain_text("waiting")
    row.get_by_role("button", name="Cancel").click()
    expect(row).not_to_contain_text("waiting")


def test_working_memory_follows_the_searches(seen: Watched, browser: Browser, site: Site) -> None:
    page = seen.open("live")
    with watched(browser, site) as other:
        other.open("search", q="Where is the spare key?")
        expect(other.page.locator("ol.results a.text").first).to_be_visible()
        expect(page.locator("ol.results")).to_contain_text("spare key")


def test_the_audit_has_pages_and_is_verified(seen: Watched, site: Site) -> None:
    while len(site.memory.audit.list(limit=101)) < 101:
        note_of(site, f"Loaf number {len(site.memory.audit.list(limit=1000))}.")
    page = seen.open("audit")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("button", name="Later").click()
    expect(page.locator("tbody tr th").first).to_have_text("51")
    page.get_by_role("button", name="Earlier").click()
    expect(page.locator("tbody tr th").first).to_have_text("1")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("The chain is whole.")).to_be_visible()
    page.get_by_label("Decision").select_option("denied")
    expect(page.get_by_text("No entries.")).to_be_visible()


def test_a_key_is_made_shown_once_and_revoked(seen: Watched, site: Site) -> None:
    page = seen.open("about")
    page.get_by_text("Make a key").click()
    page.locator('[name="name"]').fill("backend")
    assert seen.accessible() == []
    page.get_by_role("button", name="Make it").click()
    key = page.locator("[data-key]").inner_text()
    assert site.memory.keys.check(key).name == "backend"
    page.reload()
    page.wait_for_selector("tbody tr")
    assert key not in page.content()
    page.get_by_role("button", name="Revoke backend").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke it").click()
    expect(page.get_by_text("There are no keys.")).to_be_visible()
    assert site.memory.keys.list() == []


def test_somebody_elses_key_sees_only_their_own(browser: Browser, site: Site) -> None:
    key = site.memory.keys.create("page-of-jonas", owner="user:jonas").text
    try:
        with watched(browser, Site(site.url, site.memory, key)) as seen:
            page = seen.open("search", user="")
            expect(page.locator("ul.scopes button")).to_have_count(1)
            for path in PAGES:
                seen.open(path)
                settled(page)
                assert "Harbour" not in page.locator("main").inner_text()
            seen.open("search", user="jonas", q="invoice")
            expect(page.locator("ol.results a.text").first).to_contain_text("invoice")
            seen.open("about")
            expect(page.get_by_text("Make a key")).to_have_count(0)
    finally:
        site.memory.keys.revoke(site.memory.keys.list()[0].id)


# --- attacks ---------------------------------------------------------------------------------------------------------

SPOILT = (
    "<img src=x onerror=\"window.ran=1;alert('image')\">",
    "<script>window.ran=1;alert('script')</script>",
    "<svg onload=alert(1)><a href=\"javascript:alert('link')\">Klick mich</a></svg>",
    "javascript:alert('address')",
    "{{constructor.constructor('alert(1)')()}} ${alert(1)} </textarea></title>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
)


def test_what_memories_say_is_never_interpreted(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path / "vault") as site:
        for number, text in enumerate(SPOILT):
            said = [{"role": "user", "name": text, "content": f"{text} Berlin and Elena Rossi {number}.", "id": text}]
            site.memory.add(said, MAYA, tags=[text], source=text)
        first = site.memory.add(f"{SPOILT[0]} before", MAYA, source=SPOILT[3], tags=list(SPOILT)).ids[0]
        site.memory.update(first, MAYA, content=f"{SPOILT[1]} after {SPOILT[2]}")
        site.memory.enrich(MAYA)
        site.memory.search("Berlin", MAYA)
        paths = [(path, {}) for path in PAGES] + [("search", {"q": "Berlin"}), ("graph", {"focus": "Berlin"})]
        paths += [(f"memory/{cube.id}", {}) for cube in site.memory.list(MAYA, limit=20)]
        paths += [
            ("timeline", {"by": "year", "since": "2000-01-01T00:00:00Z"}),
            ("graph", {"focus": "%3Cimg%20src=x%3E"}),
        ]
        paths += [
            ("search", {"q": "%3Cscript%3Ealert(1)%3C/script%3E", "user": "%3Cimg%20src=x%20onerror=alert(1)%3E"})
        ]
        with watched(browser, site) as seen:
            for path, query in paths:
                page = seen.open(path, **query)
                settled(page)
                assert page.evaluate("window.ran") is None
                strange = (
                    "main img:not(figure img), main script, main iframe, main svg a, [href^='javascript' i], [onerror]"
                )
                assert page.locator(strange).count() == 0, (path, query)
            page = seen.open(f"memory/{first}")
            expect(page.locator("[data-content]")).to_have_text(f"{SPOILT[1]} after {SPOILT[2]}")


def test_the_page_runs_only_its_own_scripts(seen: Watched) -> None:
    seen.allowed = ("Content Security Policy", "TrustedHTML", "TrustedScript", "Trusted Type")
    page = seen.open("search")
    inserted = "s => { const one = document.createElement('script'); one.textContent = s; document.body.append(one); }"
    with pytest.raises(Exception, match="TrustedScript"):
        page.evaluate(inserted, "window.ran = 1")
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>x</b>'")
    assert page.evaluate("window.ran") is None


def test_a_page_of_another_origin_changes_nothing(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path / "vault", auth="none") as site:  # nothing but the origin stands in the way
        note = site.memory.add("Stays as it is.", MAYA).ids[0]
        body = json.dumps({"content": "Planted.", "scope": {"user": "maya"}})
        attack = f"""
          const url = "{site.url}", body = {json.dumps(body)}, tried = [];
          const go = (path, more) => tried.push(fetch(url + path, more).then(() => "", () => ""));
          for (const type of ["text/plain", "application/json", "application/x-www-form-urlencoded"])
            go("/v1/memories", {{ method: "POST", mode: "no-cors", body, headers: {{ "Content-Type": type }} }});
          go("/v1/memories", {{ method: "POST", body, headers: {{ "Content-Type": "application/json" }} }});
          go("/v1/memories/{note}?user=maya", {{ method: "DELETE" }});
          go("/v1/ingest?user=maya&name=a.md", {{ method: "POST", mode: "no-cors", body: "Planted too." }});
          const read = fetch(url + "/v1/memories?user=maya").then((r) => r.text(), () => "unreadable");
          Promise.all(tried).then(() => read).then((text) => {{ document.title = text; }});
        """
        page = browser.new_context().new_page()
        planted = f"<input name='{body[:-1]}, \"x\": \"' value='\"}}'>"  # as text/plain this reads as JSON
        form = f'<form id=f method=post enctype=text/plain action="{site.url}/v1/memories">{planted}</form>'
        evil = f"{form}<script>{attack}</script>"
        page.route("http://evil.example/**", lambda route: route.fulfill(content_type="text/html", body=evil))
        page.goto("http://evil.example/")
        expect(page).to_have_title("unreadable")
        page.evaluate("document.getElementById('f').submit()")
        page.wait_for_load_state()
        assert [cube.text for cube in site.memory.list(MAYA)] == ["Stays as it is."]
        page.context.close()
