// The shell: who asks, whose memory, which page.

import { html, render, Component, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { call, key } from "./api.js";
import { Trouble } from "./parts.js";
import { href, isSame, namesSomebody, parse, rememberedScope, rememberScope, scopeWords } from "./route.js";
import { ScopePicker } from "./scopes.js";
import { About } from "./views/about.js";
import { Add } from "./views/add.js";
import { Audit } from "./views/audit.js";
import { Benchmarks } from "./views/benchmarks.js";
import { Graph } from "./views/graph.js";
import { Live } from "./views/live.js";
import { Login } from "./views/login.js";
import { MemoryPage } from "./views/memory.js";
import { Search } from "./views/search.js";
import { Timeline } from "./views/timeline.js";

const PAGES = [
  { path: "search", title: "Search", view: Search, scoped: true },
  { path: "timeline", title: "Timeline", view: Timeline, scoped: true },
  { path: "graph", title: "Graph", view: Graph, scoped: true },
  { path: "add", title: "Add", view: Add, scoped: true },
  { path: "live", title: "Live", view: Live, scoped: true },
  { path: "audit", title: "Audit", view: Audit },
  { path: "benchmarks", title: "Benchmarks", view: Benchmarks },
  { path: "about", title: "Keys & about", view: About },
];
const MEMORY = { path: "memory", title: "Memory", view: MemoryPage, scoped: true };
const THEMES = { "": "System", light: "Light", dark: "Dark" };

/** Take a key out of the address ("#key=…"), so that it stays in no history and no screenshot. */
function takeKey() {
  const found = location.hash.match(/^#\/?key=([^&]+)/);
  if (!found) return;
  key.set(decodeURIComponent(found[1]));
  history.replaceState(null, "", "#/search");
}

function useRoute() {
  const [route, setRoute] = useState(() => parse(location.hash));
  useEffect(() => {
    const read = () => {
      takeKey();
      setRoute(parse(location.hash));
    };
    addEventListener("hashchange", read);
    return () => removeEventListener("hashchange", read);
  }, []);
  return route;
}

function ThemeSwitch() {
  const [theme, setTheme] = useState(localStorage.getItem("anamnos-theme") ?? "");
  const choose = (event) => {
    const value = event.target.value;
    setTheme(value);
    localStorage.setItem("anamnos-theme", value);
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
  };
  return html`<label class="theme"><span class="hidden">Theme</span>
    <select value=${theme} onChange=${choose}>
      ${Object.entries(THEMES).map(([value, name]) => html`<option key=${value} value=${value}>${name}</option>`)}
    </select>
  </label>`;
}

function Announcer() {
  const [text, setText] = useState("");
  useEffect(() => {
    let timer;
    const say = (event) => {
      setText(event.detail);
      clearTimeout(timer);
      timer = setTimeout(() => setText(""), 6000);
    };
    addEventListener("announce", say);
    return () => removeEventListener("announce", say);
  }, []);
  return html`<div class=${`toast ${text ? "shown" : ""}`} role="status" aria-live="polite">${text}</div>`;
}

/** Keeps one broken view from taking the page with it. */
class Guarded extends Component {
  componentDidCatch(error) {
    this.setState({ error });
  }
  componentWillReceiveProps(next) {
    if (next.name !== this.props.name) this.setState({ error: null });
  }
  render({ children }) {
    if (!this.state.error) return children;
    return html`<h1 tabindex="-1" id="heading">Something went wrong</h1><${Trouble} error=${this.state.error} />`;
  }
}

function App() {
  const route = useRoute();
  const [me, setMe] = useState({ state: "asking" });
  const [remembered, setRemembered] = useState(rememberedScope);
  const scope = namesSomebody(route.scope) ? route.scope : remembered;
  const [picking, setPicking] = useState(false);
  const page = [...PAGES, MEMORY].find((one) => one.path === route.path[0]) ?? PAGES[0];

  const ask = () => {
    setMe({ state: "asking" });
    call("GET", "/v1/me").then(
      (data) => setMe({ state: "known", data }),
      (error) => setMe({ state: error.status === 401 ? "unknown" : "failed", error }),
    );
  };
  useEffect(ask, []);

  const setScope = (next) => {
    setPicking(false);
    location.hash = href(page === MEMORY ? "search" : page.path, next);
  };
  useEffect(() => {
    if (!namesSomebody(route.scope) || isSame(route.scope, remembered)) return;
    setRemembered(route.scope);
    rememberScope(route.scope);
  }, [route]);

  useEffect(() => {
    const keys = (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest?.("input, textarea, select, dialog, [contenteditable]")) return;
      event.preventDefault();
      const box = document.getElementById("query");
      if (box) box.focus();
      else location.hash = href("search", scope, { focus: "1" });
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, [JSON.stringify(scope)]);

  const first = useRef(true);
  const place = route.path.join("/") + (page.path === "search" ? "" : JSON.stringify(route.query));
  useLayoutEffect(() => {
    document.title = `${me.state === "known" ? page.title : "Sign in"} · Anamnos`;
    if (me.state !== "known") return;
    if (!first.current && route.query.focus !== "1") document.getElementById("heading")?.focus({ preventScroll: true });
    if (!first.current) scrollTo(0, 0);
    document.querySelector(".pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    first.current = false;
  }, [place, me.state]);

  const signOut = () => {
    key.set("");
    setMe({ state: "unknown" });
  };

  let main;
  if (me.state === "asking") main = null;
  else if (me.state === "unknown") main = html`<${Login} onKey=${ask} error=${key.get() ? me.error : null} />`;
  else if (me.state === "failed") main = html`<h1>Anamnos</h1><${Trouble} error=${me.error} again=${ask} />`;
  else if (page.scoped && !namesSomebody(scope)) {
    main = html`<${ScopePicker} scope=${scope} onPick=${setScope} />`;
  } else {
    const View = page.view;
    const name = page === MEMORY ? route.path.join("/") : page.path;
    main = html`<${Guarded} name=${name}>
      <${View} key=${`${name} ${JSON.stringify(scope)}`} scope=${scope} me=${me.data} route=${route}
        onSignOut=${signOut} />
    <//>`;
  }
  const known = me.state === "known";
  return html`
    <a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      document.getElementById("main").focus();
    }}>
      Skip to the content
    </a>
    <header class="top">
      <a class="brand" href=${href("search", scope)}>
        <img src="/assets/icon.svg" alt="" width="28" height="28" />Anamnos</a>
      ${
        known && namesSomebody(scope)
          ? html`<button type="button" class="scope" onClick=${() => setPicking(true)} aria-haspopup="dialog">
            <span class="hidden">Whose memory: </span>${scopeWords(scope)}
          </button>`
          : null
      }
      <${ThemeSwitch} />
    </header>
    ${
      known
        ? html`<nav class="pages" aria-label="Pages">
          ${PAGES.map(
            (one) => html`<a key=${one.path} href=${href(one.path, scope)}
            aria-current=${one === page ? "page" : undefined}>${one.title}</a>`,
          )}
        </nav>`
        : null
    }
    <main id="main" tabindex="-1" class=${`page-${known ? page.path : "login"}`} aria-busy=${me.state === "asking"}>
      ${main}</main>
    ${picking ? html`<${ScopePicker} dialog scope=${scope} onPick=${setScope}
      onClose=${() => setPicking(false)} />` : null}
    <${Announcer} />
  `;
}

takeKey();
const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
