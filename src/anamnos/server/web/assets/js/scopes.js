// Whose memory is looked at: chosen from what is there, or named by hand.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { call } from "./api.js";
import { Heading, Loading, many, Trouble, useLoaded } from "./parts.js";
import { cleanScope, isSame, namesSomebody, scopeWords } from "./route.js";

const SHOWN = 200;

export function ScopePicker({ scope, onPick, onClose, dialog }) {
  const found = useLoaded((signal) => call("GET", "/v1/scopes", { signal }), []);
  const [wanted, setWanted] = useState("");
  const [own, setOwn] = useState({ tenant: scope.tenant ?? "", user: "", agent: "", session: "" });
  const box = useRef();
  useEffect(() => {
    if (!dialog) return undefined;
    const before = document.activeElement;
    box.current.showModal();
    return () => before?.isConnected && before.focus();
  }, []);
  const words = wanted.toLowerCase();
  const all = found.data?.items ?? [];
  const items = all.filter((one) => scopeWords(cleanScope(one)).toLowerCase().includes(words));
  const pick = (one) => onPick(cleanScope(one.tenant === "default" ? { ...one, tenant: "" } : one));
  const field = (part) => html`<label>${part}
    <input name=${part} value=${own[part]} autocomplete="off"
      onInput=${(e) => setOwn({ ...own, [part]: e.target.value })} />
  </label>`;
  const inside = html`
    ${dialog ? html`<h2 id="scope-title">Whose memory?</h2>` : html`<${Heading}>Whose memory?<//>`}
    <${Trouble} error=${found.error} again=${found.reload} />
    ${found.loading ? html`<${Loading} />` : null}
    ${
      all.length > 8
        ? html`<label>Find <input type="search" value=${wanted} onInput=${(e) => setWanted(e.target.value)} /></label>`
        : null
    }
    ${found.data && !all.length ? html`<p>Nothing is remembered yet. Name somebody, and add something.</p>` : null}
    <ul class="scopes">
      ${items.slice(0, SHOWN).map(
        (one) => html`<li key=${scopeWords(cleanScope(one))}>
        <button type="button" class="row"
          aria-current=${isSame(cleanScope(one), { tenant: "default", ...scope }) ? "true" : undefined}
          onClick=${() => pick(one)}>
          <span>${scopeWords(cleanScope(one))}</span> <span class="quiet">
            ${many(one.memories, "memory", "memories")}</span>
        </button></li>`,
      )}
    </ul>
    ${items.length > SHOWN ? html`<p class="quiet">… and ${items.length - SHOWN} more: write a part of the name.</p>` : null}
    <details open=${Boolean(found.data && !all.length)}><summary>Name one by hand</summary>
      <form class="grid" onSubmit=${(event) => {
        event.preventDefault();
        if (namesSomebody(own)) pick(own);
      }}>
        ${["user", "agent", "session", "tenant"].map(field)}
        <div class="buttons"><button class="main" disabled=${!namesSomebody(own)}>Use it</button></div>
      </form>
    </details>`;
  if (!dialog) return html`<section class="picker">${inside}</section>`;
  return html`<dialog ref=${box} class="picker" aria-labelledby="scope-title" onClose=${onClose}>
    ${inside}
    <div class="buttons"><button type="button" onClick=${() => box.current.close()}>Close</button></div>
  </dialog>`;
}
