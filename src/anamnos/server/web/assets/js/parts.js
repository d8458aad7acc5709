// What several views share. Texts go in as children or attributes, which Preact escapes: nothing is parsed as HTML.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { isStale } from "./api.js";
import { href } from "./route.js";

const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: "UTC" });
const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

/** Return a time in words, in UTC as the store keeps it. */
export function when(iso, format = MOMENT) {
  const time = iso ? new Date(iso) : null;
  return time && !Number.isNaN(time.getTime()) ? format.format(time) : "";
}
export const day = (iso) => when(iso, DAY);
export const percent = (share) => `${Math.round(100 * share)} %`;
export const number = (value) => Number(value ?? 0).toLocaleString("en-GB");
export const many = (count, one, more = `${one}s`) => `${number(count)} ${count === 1 ? one : more}`;

export function Time({ at }) {
  return at ? html`<time dateTime=${at} title=${`${at} (UTC)`}>${when(at)}</time>` : null;
}

/** The heading of a page. It takes the focus when the page is come to, so that a screen reader says where one is. */
export function Heading({ children, aside }) {
  return html`<div class="heading"><h1 tabindex="-1" id="heading">${children}</h1>${aside}</div>`;
}

export function Trouble({ error, again }) {
  if (!error || isStale(error)) return null;
  return html`<div class="trouble" role="alert">
    <p><strong>${error.message}</strong>${error.hint ? html`${" "}${error.hint}` : null}</p>
    ${again ? html`<button type="button" onClick=${again}>Try again</button>` : null}
  </div>`;
}

export const Empty = ({ children }) => html`<div class="empty"><p>${children}</p></div>`;
export const Loading = () => html`<p class="loading"><span class="dots" aria-hidden="true"></span>Loading …</p>`;

/** Return {data, error, loading, reload, setData} of what `load(signal)` gives, anew whenever `inputs` change. */
export function useLoaded(load, inputs) {
  const [state, setState] = useState({ loading: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const giveUp = new AbortController();
    setState((before) => ({ ...before, error: null, loading: true }));
    Promise.resolve(load(giveUp.signal)).then(
      (data) => giveUp.signal.aborted || setState({ data, loading: false }),
      (error) => giveUp.signal.aborted || setState({ error, loading: false }),
    );
    return () => giveUp.abort();
  }, [...inputs, round]);
  return {
    ...state,
    reload: () => setRound((n) => n + 1),
    setData: (data) => setState({ data, loading: false }),
  };
}

/** A memory as one line of a list. */
export function MemoryLine({ cube, scope, children }) {
  const tags = cube.tags ?? cube.annotations?.tags ?? [];
  const said = cube.created_at ?? cube.time?.created_at;
  const who = cube.actor ?? cube.provenance?.actor;
  const state = cube.lifecycle?.state;
  return html`<article class="memory">
    <a class="text" href=${href(["memory", cube.id], scope)}>${textOf(cube)}</a>
    <p class="facts">
      <span class="role">${cube.role}</span>
      ${who ? html`<span>${who}</span>` : null}
      ${said ? html`<${Time} at=${said} />` : null}
      ${state && !["generated", "activated"].includes(state) ? html`<span class="state">${state}</span>` : null}
      ${tags.map((tag) => html`<span class="tag" key=${tag}>${tag}</span>`)}
    </p>
    ${children}
  </article>`;
}

export const textOf = (cube) =>
  typeof cube.content === "string" ? cube.content : `(${cube.content?.blob?.media_type ?? "not text"})`;

/** A question that must be answered before something happens that cannot be undone. */
export function Confirm({ title, children, action, onConfirm, onClose }) {
  const dialog = useRef();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before?.isConnected && before.focus();
  }, []);
  return html`<dialog ref=${dialog} aria-labelledby="confirm-title" onClose=${onClose}>
    <h2 id="confirm-title">${title}</h2>
    ${children}
    <div class="buttons">
      <button type="button" autofocus onClick=${() => dialog.current.close()}>Cancel</button>
      <button type="button" class="danger" onClick=${() => {
        dialog.current.close();
        onConfirm();
      }}>${action}</button>
    </div>
  </dialog>`;
}

/** Say something to screen readers, and show it for a while. */
export function announce(text) {
  dispatchEvent(new CustomEvent("announce", { detail: text }));
}

export const list = (text) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);
