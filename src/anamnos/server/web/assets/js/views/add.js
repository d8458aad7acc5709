import { html, useRef, useState } from "../../vendor/preact.js";
import { call, lines, Problem, send } from "../api.js";
import { announce, Heading, list, many, number, Trouble } from "../parts.js";
import { href } from "../route.js";

const ROLES = ["note", "turn", "fact", "profile", "procedure", "task"];

/** Send one file and tell how far it is. Return the receipt, or throw a Problem. */
async function ingest(file, scope, tags, tell) {
  const response = await send("POST", "/v1/ingest", {
    query: { ...scope, name: file.name, source: file.name, tag: tags },
    file,
    headers: { Accept: "application/x-ndjson" },
  });
  let receipt = null;
  for await (const line of lines(response)) {
    if (!line.trim()) continue;
    const said = JSON.parse(line);
    if (said.problem) throw new Problem(said.problem.status, said.problem);
    if (said.receipt) receipt = said.receipt;
    else if (said.total !== undefined) tell(said);
  }
  if (!receipt)
    throw new Problem(0, {
      detail: "The connection ended before the file was remembered.",
      hint: "Give it again: what is known is not added twice.",
    });
  return receipt;
}

function counted(receipt) {
  const count = (outcome) => receipt.outcomes.filter((one) => one === outcome).length;
  const parts = ["added", "updated", "unchanged"].map((one) => [count(one), one]).filter(([n]) => n);
  return parts.map(([n, one]) => `${number(n)} ${one}`).join(", ") || "nothing in it";
}

function Files({ scope }) {
  const [items, setItems] = useState([]);
  const [over, setOver] = useState(false);
  const [tags, setTags] = useState("");
  const queue = useRef(Promise.resolve());
  const chooser = useRef();
  const take = (files) => {
    const labels = list(tags);
    for (const file of files) {
      const entry = {
        id: crypto.randomUUID?.() ?? String(Math.random()),
        name: file.name,
        state: "waits",
        done: 0,
        total: 0,
      };
      const change = (more) => setItems((all) => all.map((one) => (one.id === entry.id ? { ...one, ...more } : one)));
      setItems((all) => [...all, entry]);
      queue.current = queue.current.then(async () => {
        change({ state: "reads" });
        try {
          const receipt = await ingest(file, scope, labels, ({ done, total }) => change({ done, total }));
          change({ state: "done", words: counted(receipt) });
          announce(`${file.name}: ${counted(receipt)}.`);
        } catch (error) {
          change({ state: "failed", words: `${error.message} ${error.hint ?? ""}` });
          announce(`${file.name} could not be read.`);
        }
      });
    }
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    take([...event.dataTransfer.files]);
  };
  return html`<section class="card" aria-labelledby="files"><h2 id="files">Files</h2>
    <p>Chats of other services and frameworks, Markdown, text, JSON: the format is found out. Reading a file again adds nothing.</p>
    <label>Tags for all of it <input value=${tags} placeholder="none" onInput=${(e) => setTags(e.target.value)} />
      </label>
    <div class=${`drop ${over ? "over" : ""}`} data-drop onDrop=${drop} onDragLeave=${() => setOver(false)}
        onDragOver=${(event) => {
          event.preventDefault();
          setOver(true);
        }}>
      <p>Drop files here</p>
      <button type="button" onClick=${() => chooser.current.click()}>Choose files …</button>
      <input ref=${chooser} type="file" multiple class="hidden" tabindex="-1" aria-label="Files to remember"
        onChange=${(event) => {
          take([...event.target.files]);
          event.target.value = "";
        }} />
    </div>
    <ul class="uploads">${items.map(
      (one) => html`<li key=${one.id} class=${one.state}>
      <span class="name">${one.name}</span>
      ${
        one.state === "reads"
          ? html`<progress aria-label=${`Reading ${one.name}`} max=${one.total || undefined}
            value=${one.total ? one.done : undefined}></progress>
        <span class="quiet">${one.total ? `${number(one.done)} of ${number(one.total)}` : "reading …"}</span>`
          : html`<span class=${one.state === "failed" ? "bad" : "quiet"}>${one.words ?? "waits"}</span>`
      }
    </li>`,
    )}</ul>
  </section>`;
}

function Note({ scope }) {
  const empty = { content: "", role: "note", tags: "", at: "" };
  const [form, setForm] = useState(empty);
  const [error, setError] = useState(null);
  const [kept, setKept] = useState(null);
  const set = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const save = async (event) => {
    event.preventDefault();
    setError(null);
    try {
      const body = { content: form.content, scope, role: form.role, tags: list(form.tags) };
      if (form.at) body.created_at = `${form.at}:00Z`;
      const receipt = await call("POST", "/v1/memories", { body });
      setKept(receipt);
      setForm({ ...empty, role: form.role, tags: form.tags });
      announce(receipt.outcomes[0] === "added" ? "Remembered." : "That was known already.");
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<form class="card" onSubmit=${save} aria-labelledby="note"><h2 id="note">Something to remember</h2>
    <${Trouble} error=${error} />
    <label>Text <textarea name="content" rows="4" required value=${form.content} onInput=${set("content")}></textarea>
      </label>
    <div class="grid">
      <label>Role <select value=${form.role} onChange=${set("role")}>${ROLES.map((role) => html`<option key=${role}>
        ${role}</option>`)}</select></label>
      <label>Tags <input name="tags" value=${form.tags} placeholder="travel, work" onInput=${set("tags")} /></label>
      <label>When (UTC; empty is now) <input type="datetime-local" value=${form.at} onInput=${set("at")} /></label>
    </div>
    <div class="buttons"><button class="main">Remember</button>
      ${kept ? html`<a class="button" href=${href(["memory", kept.ids[0]], scope)}>See it</a>` : null}</div>
  </form>`;
}

function BringBack() {
  const [state, setState] = useState({});
  const take = async (event) => {
    const file = event.target.files[0];
    if (!file) return;
    setState({ busy: true });
    try {
      const answer = await call("POST", "/v1/import", { file, headers: { Accept: "application/json" } });
      setState({
        words: `Brought back: ${many(answer.ids.length, "memory", "memories")}.`,
      });
    } catch (error) {
      setState({ error });
    }
    event.target.value = "";
  };
  return html`<section class="card" aria-labelledby="back"><h2 id="back">An export of Anamnos</h2>
    <p>All versions come back as they were, all or nothing.</p>
    <${Trouble} error=${state.error} />
    <label>Export file <input type="file" accept=".jsonl,.ndjson,.json" disabled=${state.busy} onChange=${take} />
      </label>
    <p role="status">${state.busy ? "Reading …" : (state.words ?? "")}</p></section>`;
}

export function Add({ scope, me }) {
  return html`<${Heading}>Add<//><div class="two"><${Note} scope=${scope} /><${Files} scope=${scope} />
    ${me.operator ? html`<${BringBack} />` : null}</div>`;
}
