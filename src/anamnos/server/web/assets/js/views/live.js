import { html, useEffect, useState } from "../../vendor/preact.js";
import { call, events, isStale } from "../api.js";
import { Empty, Heading, MemoryLine, number, Time, Trouble, useLoaded } from "../parts.js";

const AGAIN_MS = 3000;
const KEPT = 30; // news shown

/** Follow the stream of news, and begin again when it ends. Return whether it is open. */
function useNews(scope, onNews) {
  const [state, setState] = useState({ open: false });
  useEffect(() => {
    const giveUp = new AbortController();
    let timer;
    const follow = async () => {
      try {
        const opened = () => setState({ open: true });
        for await (const one of events(scope, giveUp.signal, opened)) onNews(one);
        setState({ open: false });
      } catch (error) {
        if (isStale(error) || giveUp.signal.aborted) return;
        setState({ open: false, error });
      }
      if (!giveUp.signal.aborted) timer = setTimeout(follow, AGAIN_MS);
    };
    follow();
    return () => {
      clearTimeout(timer);
      giveUp.abort();
    };
  }, []);
  return state;
}

function JobTable({ jobs, onAct, error }) {
  const items = jobs?.items ?? [];
  return html`<section><h2 id="jobs">Background work</h2>
    <${Trouble} error=${error} />
    ${
      !items.length
        ? html`<p class="quiet">No jobs.</p>`
        : html`<div class="scroll" tabindex="0" role="region" aria-labelledby="jobs"><table>
      <thead><tr><th scope="col">Job</th><th scope="col">What</th><th scope="col">State</th>
        <th scope="col">Progress</th><th scope="col">Since</th>
        <th scope="col"><span class="hidden">Actions</span></th></tr></thead>
      <tbody>${items.map(
        (job) => html`<tr key=${job.id}>
        <th scope="row">${job.id}</th><td>${job.kind}</td><td><span class=${`job-state ${job.state}`}>
          ${job.state}</span> ${job.error ? html`<span class="quiet">${job.error}</span>` : null}</td>
        <td>${job.total ? html`<progress aria-label=${`Job ${job.id}`} max=${job.total}
          value=${job.done}></progress> ${number(job.done)} / ${number(job.total)}` : "–"}</td>
        <td><${Time} at=${job.created_at} /></td>
        <td class="buttons">${["dead", "waiting"].includes(job.state) ? html`<button type="button"
          onClick=${() => onAct(job.id, "retry")}>Run now<span class="hidden">: job ${job.id}</span></button>` : null}
          ${["waiting", "running"].includes(job.state) ? html`<button type="button"
            onClick=${() => onAct(job.id, "cancel")}>Cancel<span class="hidden"> job ${job.id}</span></button>` : null}</td>
      </tr>`,
      )}</tbody></table></div>`
    }
  </section>`;
}

/** Working memory and jobs as they change. */
export function Live({ scope, me }) {
  const [news, setNews] = useState([]);
  const working = useLoaded((signal) => call("GET", "/v1/working", { query: scope, signal }), []);
  const jobs = useLoaded(
    (signal) => (me.operator ? call("GET", "/v1/jobs", { query: { limit: 50 }, signal }) : { items: [] }),
    [],
  );
  const [error, setError] = useState(null);
  const stream = useNews(scope, ({ event, data }) => {
    if (event === "working") working.setData(data);
    if (event === "jobs") jobs.reload();
    const words =
      event === "change"
        ? `${number(data.ids.length)} written`
        : event === "jobs"
          ? `jobs: ${
              Object.entries(data.counts)
                .map(([state, n]) => `${n} ${state}`)
                .join(", ") || "none"
            }`
          : "working memory changed";
    setNews((all) => [{ at: new Date().toISOString(), event, words, key: Math.random() }, ...all].slice(0, KEPT));
  });
  const act = async (id, verb) => {
    setError(null);
    try {
      await call("POST", `/v1/jobs/${id}/${verb}`);
    } catch (problem) {
      setError(problem);
    }
    jobs.reload();
  };
  const items = working.data?.items ?? [];
  return html`<${Heading} aside=${html`<span class=${`pulse ${stream.open ? "on" : ""}`} role="status">
    ${stream.open ? "live" : "connecting …"}</span>`}>Live<//>
    <${Trouble} error=${stream.error ?? working.error} />
    <section aria-labelledby="working"><h2 id="working">Working memory</h2>
      ${
        items.length
          ? html`<ol class="results">${items.map((cube) => html`<li key=${cube.id}>
            <${MemoryLine} cube=${cube} scope=${scope} /></li>`)}</ol>`
          : html`<${Empty}>What searches in exactly this scope are about comes together here, if the setting <code>working</code> is on.<//>`
      }
    </section>
    ${me.operator ? html`<${JobTable} jobs=${jobs.data} error=${error ?? jobs.error} onAct=${act} />` : null}
    <section aria-labelledby="news"><h2 id="news">What happened</h2>
      <ol class="news" aria-live="polite">${news.map((one) => html`<li key=${one.key}><time dateTime=${one.at}>
        ${one.at.slice(11, 19)}</time> ${one.words}</li>`)}</ol>
      ${news.length ? null : html`<p class="quiet">Nothing yet.</p>`}
    </section>`;
}
