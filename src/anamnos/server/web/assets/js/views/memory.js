import { html, useEffect, useState } from "../../vendor/preact.js";
import { call } from "../api.js";
import {
  announce,
  Confirm,
  Heading,
  list,
  Loading,
  many,
  MemoryLine,
  number,
  percent,
  textOf,
  Time,
  Trouble,
  useLoaded,
} from "../parts.js";
import { href } from "../route.js";
import { wordDiff } from "../diff.js";

const DEEPEST = 5; // steps of provenance that are followed
const MOST_SOURCES = 20;

/** Return [{cube, depth}] from a memory's sources back to what was said first; what is gone is left out. */
async function sourcesOf(cube, scope, signal) {
  const found = new Map();
  let ring = cube.provenance?.derived_from ?? [];
  for (let depth = 1; ring.length && depth <= DEEPEST; depth++) {
    const wanted = [...new Set(ring)]
      .filter((id) => !found.has(id) && id !== cube.id)
      .slice(0, MOST_SOURCES - found.size);
    const got = await Promise.allSettled(
      wanted.map((id) => call("GET", `/v1/memories/${id}`, { query: scope, signal })),
    );
    const there = got.filter((one) => one.status === "fulfilled").map((one) => one.value);
    for (const one of there) found.set(one.id, { cube: one, depth });
    ring = there.flatMap((one) => one.provenance?.derived_from ?? []);
  }
  return [...found.values()];
}

function Diff({ versions }) {
  const [older, setOlder] = useState(versions.at(-2).version);
  const [newer, setNewer] = useState(versions.at(-1).version);
  const text = (version) => textOf(versions.find((one) => one.version === version) ?? versions[0]);
  const choose = (
    label,
    value,
    set,
  ) => html`<label>${label} <select value=${String(value)} onChange=${(e) => set(Number(e.target.value))}>
    ${versions.map((one) => html`<option key=${one.version}
      value=${String(one.version)}>version ${one.version}</option>`)}</select></label>`;
  const runs = wordDiff(text(older), text(newer));
  return html`<div class="diff">
    <div class="row">${choose("From", older, setOlder)} ${choose("to", newer, setNewer)}</div>
    <p class="compared" data-diff>${runs.map((run, i) =>
      run.kind === "same"
        ? run.text
        : run.kind === "gone"
          ? html`<del key=${i}>${run.text}</del>`
          : html`<ins key=${i}>${run.text}</ins>`,
    )}</p>
    ${runs.every((run) => run.kind === "same") ? html`<p class="quiet">The words are the same; what else changed is below.</p>` : null}
  </div>`;
}

function Versions({ versions }) {
  return html`<section aria-labelledby="versions">
    <h2 id="versions">Versions <span class="quiet">(${versions.length})</span></h2>
    ${versions.length > 1 ? html`<${Diff} versions=${versions} />` : html`<p class="quiet">It has not been changed.</p>`}
    <ol class="versions" reversed>${[...(versions.length > 1 ? versions : [])].reverse().map(
      (one) => html`<li key=${one.version} value=${one.version}>
      <p>${textOf(one)}</p>
      <p class="facts"><span>version ${one.version}</span><span>recorded <${Time} at=${one.time?.recorded_at} /></span>
        ${one.time?.superseded_at ? html`<span>until <${Time} at=${one.time.superseded_at} /></span>` : html`<span>now</span>`}
        <span>${one.lifecycle?.state ?? "generated"}</span></p></li>`,
    )}</ol>
  </section>`;
}

function Edit({ cube, scope, onDone, onCancel, onFresh }) {
  const [content, setContent] = useState(textOf(cube));
  const [tags, setTags] = useState((cube.annotations?.tags ?? []).join(", "));
  const [importance, setImportance] = useState(cube.lifecycle?.importance ?? 0.5);
  const [error, setError] = useState(null);
  const [base, setBase] = useState(cube.version);
  const save = async (event) => {
    event.preventDefault();
    setError(null);
    const changed = {};
    if (content !== textOf(cube)) changed.content = content;
    if (list(tags).join("\n") !== (cube.annotations?.tags ?? []).join("\n")) changed.tags = list(tags);
    if (Number(importance) !== (cube.lifecycle?.importance ?? 0.5)) changed.importance = Number(importance);
    if (!Object.keys(changed).length) return onCancel();
    try {
      await call("PATCH", `/v1/memories/${cube.id}`, {
        body: { scope, ...changed },
        headers: { "If-Match": `"${base}"` },
      });
      announce("Saved as a new version.");
      return onDone();
    } catch (problem) {
      return setError(problem);
    }
  };
  const conflict = error?.status === 412;
  return html`<form class="card edit" onSubmit=${save} aria-label="Edit">
    ${
      conflict
        ? html`<div class="trouble" role="alert">
      <p><strong>Somebody has changed this memory meanwhile</strong> (it is at version ${error.body.current_version ?? "?"} now). Your words are
        still here.</p>
      <div class="buttons"><button type="button" onClick=${onFresh}>Take theirs</button>
        <button type="button" onClick=${() => {
          setBase(error.body.current_version);
          setError(null);
        }}>Keep mine, and save again</button></div>
    </div>`
        : html`<${Trouble} error=${error} />`
    }
    <label>What is remembered <textarea rows="5" required value=${content}
      onInput=${(e) => setContent(e.target.value)}></textarea></label>
    <div class="grid">
      <label>Tags <input value=${tags} onInput=${(e) => setTags(e.target.value)} /></label>
      <label>Importance <input type="range" min="0" max="1" step="0.05" value=${importance}
        onInput=${(e) => setImportance(e.target.value)} /></label>
    </div>
    <div class="buttons"><button class="main">Save</button><button type="button" onClick=${onCancel}>Cancel</button>
      </div>
  </form>`;
}

const row = (name, value) =>
  value === undefined || value === null || value === "" || value.length === 0
    ? null
    : html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`;

function Facts({ cube }) {
  const { provenance: from = {}, time = {}, lifecycle: life = {}, policy = {}, annotations: notes = {} } = cube;
  const extract = notes.data?.extract;
  return html`<section aria-labelledby="known"><h2 id="known">What is known of it</h2><dl class="known">
    ${row("Said by", from.actor)}
    ${row("Source", from.source)}
    ${row("Messages", from.message_ids?.join(", "))}
    ${row("Made by", from.operator)}
    ${row("Trust", percent(from.trust ?? 1))}
    ${row("True from", time.valid_from && html`<${Time} at=${time.valid_from} />`)}
    ${row("True until", time.valid_to && html`<${Time} at=${time.valid_to} />`)}
    ${row("Importance", (life.importance ?? 0.5).toFixed(2))}
    ${row("Strength", `${percent(life.strength ?? 1)}, stability ${number(life.stability ?? 1)} days`)}
    ${row("Used", life.uses ? html`${many(life.uses, "time")}, last <${Time} at=${life.last_used_at} />` : "never")}
    ${row("Expires", life.expires_at && html`<${Time} at=${life.expires_at} />`)}
    ${row("Seen by", [policy.visibility ?? "private", ...(policy.readers ?? [])].join(", "))}
    ${row("Changed by", policy.writers?.join(", "))}
    ${row("Delicate", policy.sensitivity?.join(", "))}
    ${row("Names", notes.entities?.join(", "))}
    ${row("Keywords", notes.keywords?.join(", "))}
    ${extract ? row("Read from", html`<q>${extract.quote}</q>`) : null}
    ${extract?.subject ? row("As", [extract.subject, extract.predicate, extract.object].join(" · ")) : null}
  </dl>
  <p class="quiet">Id <code>${cube.id}</code></p></section>`;
}

/** One memory: what it says, said, and rests on; and what can be done with it. */
export function MemoryPage({ scope, route }) {
  const id = route.path[1] ?? "";
  const where = `/v1/memories/${encodeURIComponent(id)}`;
  const found = useLoaded((signal) => call("GET", where, { query: scope, signal }), [id]);
  const cube = found.data;
  const [editing, setEditing] = useState(false);
  const [asked, setAsked] = useState(false);
  const [gone, setGone] = useState(null);
  const [error, setError] = useState(null);
  const history = useLoaded(
    (signal) => (cube ? call("GET", `${where}/history`, { query: scope, signal }) : { items: [] }),
    [cube],
  );
  const sources = useLoaded((signal) => (cube ? sourcesOf(cube, scope, signal) : []), [cube]);
  const linked = useLoaded(
    async (signal) => {
      const got = await Promise.allSettled(
        (cube?.links ?? []).slice(0, MOST_SOURCES).map(async (link) => ({
          link,
          cube: await call("GET", `/v1/memories/${link.target}`, { query: scope, signal }),
        })),
      );
      return got.filter((one) => one.status === "fulfilled").map((one) => one.value);
    },
    [cube],
  );
  useEffect(() => {
    if (cube) document.title = `${textOf(cube).slice(0, 60)} · Anamnos`;
  }, [cube]);
  const act = (verb, words) => async () => {
    setError(null);
    try {
      await call("POST", `/v1/${verb}`, { body: { scope, ids: [id] } });
      announce(words);
      found.reload();
    } catch (problem) {
      setError(problem);
    }
  };
  const forget = async () => {
    setError(null);
    try {
      const receipt = await call("DELETE", where, { query: scope });
      setGone(receipt);
      announce("Forgotten.");
    } catch (problem) {
      setError(problem);
    }
  };
  if (gone) {
    return html`<article><${Heading}>Forgotten<//>
      <div class="card"><p>
        ${many(gone.ids.length, "memory is", "memories are")} gone, with all versions and what was derived from them.
        ${gone.state === "erased" ? " No file of the vault holds it any more." : " Its last traces go with the next write."}</p>
        <a class="button" href=${href("search", scope)}>Back to search</a></div></article>`;
  }
  if (!cube || found.error) {
    return html`<article><${Heading}>Memory<//>
      <${Trouble} error=${found.error} again=${found.reload} />${found.error ? null : html`<${Loading} />`}</article>`;
  }
  const state = cube.lifecycle?.state ?? "generated";
  const asleep = ["archived", "merged", "expired"].includes(state);
  const fresh = () => {
    setEditing(false);
    found.reload();
  };
  return html`<article>
    <${Heading}>Memory<//>
    <${Trouble} error=${error} />
    ${
      editing
        ? html`<${Edit} cube=${cube} scope=${scope} onDone=${fresh} onFresh=${fresh}
          onCancel=${() => setEditing(false)} />`
        : html`<div class="card whole">
        <p class="content" data-content>${textOf(cube)}</p>
        <p class="facts"><span class="role">${cube.role}</span>${cube.provenance?.actor ? html`<span>
          ${cube.provenance.actor}</span>` : null}
          <${Time} at=${cube.time?.created_at} /><span>version ${cube.version}</span><span class="state">${state}</span>
          ${(cube.annotations?.tags ?? []).map((tag) => html`<span class="tag" key=${tag}>${tag}</span>`)}</p>
        <div class="buttons">
          <button type="button" class="main" disabled=${state === "frozen" || typeof cube.content !== "string"}
            onClick=${() => setEditing(true)}>Edit</button>
          <button type="button" onClick=${act("used", "Noted that it was used.")}>It was of use</button>
          ${
            asleep
              ? html`<button type="button" onClick=${act("reactivate", "It is found again.")}>Bring back</button>`
              : html`<button type="button" disabled=${state === "frozen"}
                onClick=${act("archive", "Archived: searches leave it out.")}>Archive</button>`
          }
          ${
            state === "frozen"
              ? html`<button type="button" onClick=${act("unfreeze", "The hold is lifted.")}>Lift the hold</button>`
              : html`<button type="button"
                onClick=${act("freeze", "Held: nothing changes or deletes it.")}>Hold</button>`
          }
          <a class="button" href=${href("graph", scope, { focus: id })}>In the graph</a>
          <button type="button" class="danger" disabled=${state === "frozen"}
            onClick=${() => setAsked(true)}>Forget …</button>
        </div></div>`
    }
    <section aria-labelledby="source"><h2 id="source">Where it comes from</h2>
      ${
        sources.data?.length
          ? html`<ol class="chain">${sources.data.map(
              ({ cube: one, depth }) => html`<li key=${one.id} class=${`step-${depth}`}>
        <${MemoryLine} cube=${one} scope=${scope}>
          ${one.provenance?.source ? html`<p class="facts">from ${one.provenance.source}</p>` : null}<//></li>`,
            )}</ol>`
          : sources.loading
            ? html`<${Loading} />`
            : html`<p class="quiet">${
                cube.provenance?.derived_from?.length
                  ? "What it was made of is not here any more, or not open to you."
                  : `These are the words themselves${cube.provenance?.source ? `, from ${cube.provenance.source}` : ""}.`
              }</p>`
      }
    </section>
    ${
      linked.data?.length
        ? html`<section aria-labelledby="linked"><h2 id="linked">Tied to</h2><ul class="results">
      ${linked.data.map(
        ({
          link,
          cube: one,
        }) => html`<li key=${link.kind + one.id}><p class="facts">${link.kind.replaceAll("_", " ")}</p>
        <${MemoryLine} cube=${one} scope=${scope} /></li>`,
      )}</ul></section>`
        : null
    }
    ${history.error ? html`<${Trouble} error=${history.error} again=${history.reload} />` : null}
    ${history.data?.items?.length ? html`<${Versions} key=${cube.version} versions=${history.data.items} />` : null}
    <${Facts} cube=${cube} />
    ${
      asked
        ? html`<${Confirm} title="Forget this memory?" action="Forget it for good" onConfirm=${forget}
          onClose=${() => setAsked(false)}>
      <p>All its versions, and everything that was derived from it, are erased from every file of the vault. This cannot be undone.</p>
      <blockquote>${textOf(cube).slice(0, 300)}</blockquote><//>`
        : null
    }
  </article>`;
}
