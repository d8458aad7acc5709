import { html, useState } from "../../vendor/preact.js";
import { call, key } from "../api.js";
import { announce, Confirm, Heading, list, many, number, Time, Trouble, useLoaded } from "../parts.js";

const RIGHTS = ["read", "write", "share", "all", "admin", "sensitive"];

function Keys() {
  const found = useLoaded((signal) => call("GET", "/v1/keys", { signal }), []);
  const [form, setForm] = useState({
    name: "",
    tenants: "default",
    owner: "",
    rights: ["read", "write", "share", "all"],
    operator: false,
  });
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const [leaving, setLeaving] = useState(null);
  const make = async (event) => {
    event.preventDefault();
    setError(null);
    try {
      const rights = form.owner ? form.rights.filter((one) => one !== "all") : form.rights;
      const body = form.operator
        ? { name: form.name, operator: true }
        : { name: form.name, tenants: list(form.tenants), owner: form.owner.trim(), rights };
      const answer = await call("POST", "/v1/keys", { body });
      setMade(answer.key);
      setForm({ ...form, name: "" });
      found.reload();
    } catch (problem) {
      setError(problem);
    }
  };
  const revoke = async (id) => {
    setError(null);
    try {
      await call("DELETE", `/v1/keys/${encodeURIComponent(id)}`);
      announce("The key is revoked.");
      found.reload();
    } catch (problem) {
      setError(problem);
    }
  };
  const toggle = (right) => (event) =>
    setForm({
      ...form,
      rights: RIGHTS.filter((one) => (one === right ? event.target.checked : form.rights.includes(one))),
    });
  const items = found.data?.items ?? [];
  return html`<section aria-labelledby="keys"><h2 id="keys">Keys</h2>
    <${Trouble} error=${error ?? found.error} />
    ${
      made
        ? html`<div class="card good-card" role="status"><p>The new key, shown this once:</p><p>
          <code class="long" data-key>${made}</code></p>
      <button type="button"
        onClick=${() => navigator.clipboard?.writeText(made).then(() => announce("Copied."))}>Copy</button></div>`
        : null
    }
    ${
      items.length
        ? html`<div class="scroll" tabindex="0" role="region" aria-labelledby="keys"><table>
      <thead><tr><th scope="col">Name</th><th scope="col">Tenants</th><th scope="col">Rights</th>
        <th scope="col">Made</th><th scope="col">Until</th><th scope="col"><span class="hidden">Actions</span></th>
        </tr></thead>
      <tbody>${items.map(
        (one) => html`<tr key=${one.id}><th scope="row">${one.name}</th><td>${one.tenants?.join(", ") ?? "all"}</td>
        <td>${one.operator ? "operator" : (one.rights ?? []).join(", ")}${one.owner ? html` as ${one.owner}` : null}</td>
        <td><${Time} at=${one.created_at} /></td><td>
          ${one.expires_at ? html`<${Time} at=${one.expires_at} />` : "–"}</td>
        <td><button type="button" class="danger"
          onClick=${() => setLeaving(one)}>Revoke<span class="hidden"> ${one.name}</span></button></td></tr>`,
      )}</tbody></table></div>`
        : html`<p class="quiet">There are no keys.</p>`
    }
    <details><summary>Make a key</summary><form onSubmit=${make} class="card">
      <div class="grid"><label>Name <input name="name" required value=${form.name}
        onInput=${(e) => setForm({ ...form, name: e.target.value })} /></label>
        <label>Tenants <input value=${form.tenants} onInput=${(e) => setForm({ ...form, tenants: e.target.value })} />
          </label>
        <label>Stands for <input value=${form.owner} placeholder="nobody: an application"
          onInput=${(e) => setForm({ ...form, owner: e.target.value })} /></label></div>
      <fieldset><legend>Rights</legend>${RIGHTS.map(
        (right) => html`<label class="check" key=${right}>
        <input type="checkbox" checked=${form.rights.includes(right)} onChange=${toggle(right)} /> ${right}</label>`,
      )}
        <label class="check">
          <input type="checkbox" checked=${form.operator}
            onChange=${(e) => setForm({ ...form, operator: e.target.checked })} /> operator of the whole vault</label></fieldset>
      <div class="buttons"><button class="main">Make it</button></div></form></details>
    ${
      leaving
        ? html`<${Confirm} title=${`Revoke the key ${leaving.name}?`} action="Revoke it"
          onConfirm=${() => revoke(leaving.id)} onClose=${() => setLeaving(null)}>
      <p>Whoever uses it is refused from the next request on.</p><//>`
        : null
    }
  </section>`;
}

/** Who one is here, which keys there are, and what this server is. */
export function About({ me, scope, onSignOut }) {
  const stats = useLoaded(
    (signal) =>
      me.operator
        ? call("GET", "/v1/stats", { signal })
        : scope.user || scope.agent || scope.session
          ? call("GET", "/v1/stats", { query: scope, signal })
          : null,
    [],
  );
  const row = (name, value) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`;
  const told = stats.data;
  return html`<${Heading} aside=${key.get() ? html`<button type="button"
    onClick=${onSignOut}>Sign out</button>` : null}>Keys & about<//>
    <section aria-labelledby="you"><h2 id="you">You</h2><dl class="known">
      ${row("Name", me.name)} ${row("Tenants", me.tenants?.join(", ") ?? "all")} ${row("Rights", (me.rights ?? []).join(", "))}
      ${me.owner ? row("Stands for", me.owner) : null} ${row("Operator", me.operator ? "yes" : "no")}</dl></section>
    ${me.operator ? html`<${Keys} />` : null}
    <section aria-labelledby="server"><h2 id="server">This server</h2><dl class="known">
      ${row("Anamnos", me.version)} ${row("Recall", me.recipe)} ${row("Embedder", typeof me.embedder === "object" ? me.embedder?.id : me.embedder)}
      ${told ? row("Memories", `${number(told.memories)} in ${many(told.scopes, "scope")}`) : null}
      ${
        told?.roles
          ? row(
              "Roles",
              Object.entries(told.roles)
                .map(([role, n]) => `${number(n)} ${role}`)
                .join(", "),
            )
          : null
      }
    </dl><${Trouble} error=${stats.error} />
    <p class="quiet">Times are shown in UTC. The description of the REST face is at <a href="/openapi.json">/openapi.json</a>.</p></section>`;
}
