import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { call, isStale } from "../api.js";
import { Empty, Heading, list, many, MemoryLine, percent, Trouble } from "../parts.js";
import { href, replace } from "../route.js";

const WAIT_MS = 180; // between the last letter and the question
const ROLES = [
  "turn",
  "note",
  "fact",
  "episode",
  "reflection",
  "profile",
  "procedure",
  "resource",
  "entity",
  "concept",
];
const CHANNELS = {
  "dense.turn": "meaning",
  "dense.window": "meaning around it",
  keyword: "words",
  speaker: "who said it",
  date: "date",
  first_person: "said of oneself",
  question: "asks or tells",
  reply: "reply to a match",
  time_words: "words of time",
  "time_words.asked": "a time, as asked",
  "late.turn": "word by word",
  "late.spread": "word by word around it",
  temporal: "time",
  graph: "shared names",
  facts: "facts",
  title_link: "titles",
  present: "what holds now",
  second_hop: "second step",
  second_query: "second search",
  hopfield: "association",
  spreading: "spreading",
};
const FILTERS = ["role", "tag", "since", "until"];

/** Return what a channel looks at, in words. */
export const channelWords = (name) => CHANNELS[name] ?? CHANNELS[name.split(".")[0]] ?? name.replaceAll(/[._-]/g, " ");

/** The `where` of a request, of the form's fields. */
function whereOf(filters) {
  const where = {};
  if (filters.role) where.role = [filters.role];
  if (filters.tag) where.tags = list(filters.tag);
  if (filters.since) where.since = `${filters.since}T00:00:00Z`;
  if (filters.until) where.until = `${filters.until}T00:00:00Z`;
  return Object.keys(where).length ? where : undefined;
}

/** What each way of searching gave to one hit, as bars and in words. */
export function Channels({ channels, reason }) {
  const parts = Object.entries(channels ?? {}).filter(([, one]) => Math.abs(one.share) > 1e-6);
  const most = Math.max(...parts.map(([, one]) => Math.abs(one.share)), 1e-9);
  parts.sort((a, b) => Math.abs(b[1].share) - Math.abs(a[1].share));
  return html`<details class="why"><summary>
      <span class="hidden">Why: </span><span class="bars" aria-hidden="true">${parts
        .slice(0, 8)
        .map(
          ([name, one]) =>
            html`<i key=${name} class=${one.share < 0 ? "less" : ""}
              style=${{ height: `${Math.max(12, (100 * Math.abs(one.share)) / most)}%` }}></i>`,
        )}
      </span> ${
        parts
          .slice(0, 3)
          .map(([name]) => channelWords(name))
          .join(", ") || "found"
      }
    </summary>
    ${reason ? html`<p>${reason}</p>` : null}
    <dl class="channels">${parts.map(
      ([name, one]) => html`<div key=${name}>
      <dt>${channelWords(name)}</dt>
      <dd><span class=${`meter ${one.share < 0 ? "less" : ""}`}>
        <i style=${{ width: `${(100 * Math.abs(one.share)) / most}%` }}></i></span>
        <span class="figure">${one.share < 0 ? "−" : ""}${Math.abs(one.share).toFixed(3)}</span></dd>
    </div>`,
    )}</dl>
  </details>`;
}

function Confidence({ value }) {
  const words = value >= 0.66 ? "likely in memory" : value >= 0.33 ? "perhaps in memory" : "probably not in memory";
  return html`<span class="confidence"><span class="meter" aria-hidden="true">
    <i style=${{ width: percent(value).replace(" ", "") }}></i></span>
    ${words} (${percent(value)})</span>`;
}

function AnswerCard({ answer, scope }) {
  const cited = Object.entries(answer.cited ?? {});
  return html`<section class="card answer" aria-label="Answer">
    <p class="said">${answer.answer}</p>
    ${
      cited.length
        ? html`<p class="facts">From ${cited.map(
            ([n, id]) => html`<a key=${n} href=${href(["memory", id], scope)}>memory [${n}]</a> `,
          )}</p>`
        : null
    }
    <p class="facts"><${Confidence} value=${answer.confidence} /><span>
      ${answer.not_in_memory ? "not in memory" : answer.kind}</span></p>
    <details><summary>What was read for it</summary><pre>${answer.text || "nothing"}</pre></details>
  </section>`;
}

export function Search({ scope, route }) {
  const [query, setQuery] = useState(route.query.q ?? "");
  const [filters, setFilters] = useState(Object.fromEntries(FILTERS.map((name) => [name, route.query[name] ?? ""])));
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [answer, setAnswer] = useState(null);
  const results = useRef();
  const box = useRef();
  const asking = useRef(null);
  const key = JSON.stringify([query.trim(), filters]);

  useEffect(() => {
    if (route.query.focus === "1" || matchMedia("(hover: hover)").matches) box.current.focus();
  }, []);
  useEffect(() => {
    const text = query.trim();
    replace("search", scope, { q: text, ...filters });
    setAnswer(null);
    asking.current?.abort();
    if (!text) {
      setFound(null);
      setError(null);
      setBusy(false);
      return undefined;
    }
    const giveUp = new AbortController();
    setBusy(true);
    const timer = setTimeout(() => {
      call("POST", "/v1/search", {
        body: { query: text, scope, top_k: 20, where: whereOf(filters) },
        signal: giveUp.signal,
      }).then(
        (data) => {
          if (!giveUp.signal.aborted) {
            setFound(data);
            setError(null);
            setBusy(false);
          }
        },
        (problem) => {
          if (!giveUp.signal.aborted) {
            setError(problem);
            setFound(null);
            setBusy(false);
          }
        },
      );
    }, WAIT_MS);
    return () => {
      clearTimeout(timer);
      giveUp.abort();
    };
  }, [key]);

  const ask = async () => {
    asking.current?.abort();
    const giveUp = (asking.current = new AbortController());
    setAnswer({ waiting: true });
    try {
      const data = await call("POST", "/v1/ask", {
        body: { question: query.trim(), scope, where: whereOf(filters) },
        signal: giveUp.signal,
      });
      if (!giveUp.signal.aborted) setAnswer(data);
    } catch (problem) {
      if (!isStale(problem)) {
        setAnswer(null);
        setError(problem);
      }
    }
  };
  const walk = (event) => {
    const links = [...(results.current?.querySelectorAll("a.text") ?? [])];
    const here = links.indexOf(document.activeElement);
    if (event.key === "ArrowDown" && (event.target === box.current || here >= 0) && links[here + 1]) {
      links[here + 1].focus();
    } else if (event.key === "ArrowUp" && here >= 0) {
      (links[here - 1] ?? box.current).focus();
    } else if (event.key === "Escape" && here >= 0) {
      box.current.focus();
    } else return;
    event.preventDefault();
  };
  const set = (name) => (event) => setFilters({ ...filters, [name]: event.target.value });
  const hits = found?.hits ?? [];
  const filtered = FILTERS.filter((name) => filters[name]).length;
  return html`<div onKeyDown=${walk}>
    <${Heading}>Search<//>
    <form role="search" class="ask" onSubmit=${(event) => {
      event.preventDefault();
      if (query.trim()) ask();
    }}>
      <label class="hidden" for="query">Search this memory</label>
      <input id="query" ref=${box} type="search" value=${query} maxlength="4000"
        placeholder="What do you want to remember?"
        autocomplete="off" spellcheck="false" aria-describedby="keys" onInput=${(e) => setQuery(e.target.value)} />
      <button class="main" disabled=${!query.trim()}>Answer</button>
    </form>
    <details class="filters" open=${filtered > 0}><summary>Filters${filtered ? ` (${filtered})` : ""}</summary>
      <div class="grid">
        <label>Role <select value=${filters.role} onChange=${set("role")}>
          <option value="">any</option>${ROLES.map((role) => html`<option key=${role} value=${role}>${role}</option>`)}
        </select></label>
        <label>Tags <input value=${filters.tag} placeholder="travel, work" onInput=${set("tag")} /></label>
        <label>Since <input type="date" value=${filters.since} onInput=${set("since")} /></label>
        <label>Before <input type="date" value=${filters.until} onInput=${set("until")} /></label>
      </div>
    </details>
    <p class="quiet" id="keys">
      <kbd>/</kbd> to search, <kbd>↓</kbd> <kbd>↑</kbd> through what is found, <kbd>Enter</kbd> for an answer</p>
    <${Trouble} error=${error} />
    ${answer?.waiting ? html`<section class="card answer"><p class="loading">Reading …</p></section>` : null}
    ${answer && !answer.waiting ? html`<${AnswerCard} answer=${answer} scope=${scope} />` : null}
    <p class="summary" role="status" aria-live="polite">${
      found
        ? html`${many(hits.length, "memory", "memories")} ${hits.length ? html`<${Confidence}
          value=${found.confidence} />` : null}`
        : ""
    }</p>
    ${found && !hits.length ? html`<${Empty}>Nothing of this memory fits. Try other words, or fewer filters.<//>` : null}
    ${!found && !query.trim() ? html`<${Empty}>Write a question, a name, or a few words: what fits appears while you write.<//>` : null}
    <ol class=${`results ${busy ? "busy" : ""}`} ref=${results} aria-busy=${busy} aria-label="Results">
      ${hits.map(
        (hit) => html`<li key=${hit.id}><${MemoryLine} cube=${hit} scope=${scope}>
        <${Channels} channels=${hit.channels} reason=${hit.reason} />
      <//></li>`,
      )}
    </ol>
  </div>`;
}
