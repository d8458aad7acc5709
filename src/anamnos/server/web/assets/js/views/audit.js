import { html, useState } from "../../vendor/preact.js";
import { call } from "../api.js";
import { Empty, Heading, Loading, Time, Trouble, useLoaded } from "../parts.js";
import { href } from "../route.js";

const PAGE = 50;

function Verify() {
  const [state, setState] = useState({});
  const [head, setHead] = useState("");
  const check = async (event) => {
    event.preventDefault();
    setState({ busy: true });
    try {
      setState({ answer: await call("GET", "/v1/audit/verify", { query: { head: head.trim() } }) });
    } catch (error) {
      setState({ error });
    }
  };
  const problems = state.answer?.problems ?? [];
  return html`<form class="card" onSubmit=${check} aria-label="Verify">
    <p>Each entry carries the hash of the one before. With the newest hash that you noted earlier, a cut end is seen too.</p>
    <${Trouble} error=${state.error} />
    <div class="row"><label class="grow">Hash that must be there <input value=${head}
      placeholder="none" spellcheck="false" onInput=${(e) => setHead(e.target.value)} /></label>
      <button class="main" disabled=${state.busy}>Verify</button></div>
    <div role="status">${
      state.answer
        ? html`<p class=${problems.length ? "bad" : "good"}>
          ${problems.length ? "The chain is not whole:" : "The chain is whole."}</p>
      ${problems.length ? html`<ul>${problems.map((one) => html`<li key=${one}>${one}</li>`)}</ul>` : null}
      ${state.answer.head ? html`<p class="quiet">Newest hash: <code class="long">
        ${state.answer.head}</code></p>` : null}`
        : null
    }</div>
  </form>`;
}

/** Who did what with which memory, page by page. */
export function Audit({ scope, me }) {
  const [filters, setFilters] = useState({ verb: "", decision: "", principal: "" });
  const [starts, setStarts] = useState([0]);
  const found = useLoaded(
    (signal) => call("GET", "/v1/audit", { query: { ...filters, after: starts.at(-1), limit: PAGE }, signal }),
    [JSON.stringify(filters), starts.at(-1)],
  );
  const set = (name) => (event) => {
    setFilters({ ...filters, [name]: event.target.value });
    setStarts([0]);
  };
  const items = found.data?.items ?? [];
  return html`<${Heading}>Audit<//>
    ${me.operator ? html`<${Verify} />` : html`<p class="lead">You see your own entries.</p>`}
    <div class="grid">
      <label>Verb <input value=${filters.verb} placeholder="any" onChange=${set("verb")} /></label>
      <label>Decision <select value=${filters.decision} onChange=${set("decision")}><option value="">any</option>
        <option>allowed</option><option>denied</option></select></label>
      <label>Who <input value=${filters.principal} placeholder="anybody" onChange=${set("principal")} /></label>
    </div>
    <${Trouble} error=${found.error} again=${found.reload} />
    ${found.loading && !found.data ? html`<${Loading} />` : null}
    ${found.data && !items.length ? html`<${Empty}>No entries.<//>` : null}
    ${
      items.length
        ? html`<div class="scroll" tabindex="0" role="region" aria-label="Entries"><table>
      <thead><tr><th scope="col">No.</th><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th>
        <th scope="col">Memory</th>
        <th scope="col">Versions</th><th scope="col">Purpose</th><th scope="col">Decision</th></tr></thead>
      <tbody>${items.map(
        (one) => html`<tr key=${one.seq}><th scope="row">${one.seq}</th><td><${Time} at=${one.at} /></td>
        <td>${one.principal ?? "the application"}</td><td>${one.verb}</td>
        <td>${one.cube_id ? html`<a href=${href(["memory", one.cube_id], scope)}>
          <code>…${one.cube_id.slice(-8)}</code></a>` : "–"}</td>
        <td>${one.before || one.after ? `${one.before ?? "–"} → ${one.after ?? "–"}` : "–"}</td><td>
          ${one.purpose ?? "–"}</td>
        <td><span class=${one.decision === "denied" ? "bad" : "quiet"}>${one.decision}</span></td></tr>`,
      )}</tbody></table></div>`
        : null
    }
    <nav class="buttons" aria-label="Pages of the audit">
      <button type="button" disabled=${starts.length < 2}
        onClick=${() => setStarts(starts.slice(0, -1))}>Earlier</button>
      <button type="button" disabled=${!found.data?.next}
        onClick=${() => setStarts([...starts, found.data.next])}>Later</button>
    </nav>`;
}
