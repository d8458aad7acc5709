import { html, useState } from "../../vendor/preact.js";
import { key } from "../api.js";
import { Trouble } from "../parts.js";

/** Asks for an API key. It is kept for this tab only. */
export function Login({ onKey, error }) {
  const [text, setText] = useState("");
  const enter = (event) => {
    event.preventDefault();
    key.set(text.trim());
    onKey();
  };
  return html`<form class="card narrow" onSubmit=${enter}>
    <h1 tabindex="-1" id="heading">Sign in</h1>
    <p>This memory asks for a key. <code>anamnos keys create</code> makes one.</p>
    <${Trouble} error=${error} />
    <label>API key
      <input type="password" name="key" required autocomplete="off" spellcheck="false" value=${text}
        onInput=${(e) => setText(e.target.value)} />
    </label>
    <p class="quiet">It is kept in this tab until you close it, and sent to this server only.</p>
    <div class="buttons"><button class="main">Open</button></div>
  </form>`;
}
