import { html } from "../../vendor/preact.js";
import { call } from "../api.js";
import { Empty, Heading, Loading, Trouble, useLoaded } from "../parts.js";

/** The charts that come with this version. */
export function Benchmarks() {
  const found = useLoaded((signal) => call("GET", "/v1/plots", { signal }), []);
  const items = found.data?.items ?? [];
  return html`<${Heading}>Benchmarks<//>
    <p class="lead">What was measured of this version, on public data; <code>anamnos bench</code> measures it again.${" "}
      The page <code>docs/benchmarks.md</code> says how, with what and how sure each figure is.</p>
    <${Trouble} error=${found.error} again=${found.reload} />
    ${found.loading ? html`<${Loading} />` : null}
    ${found.data && !items.length ? html`<${Empty}>This installation has no charts.<//>` : null}
    <div class="plots">
      ${items.map(
        ({ name, title }) => html`<figure key=${name} class="plot">
        <img src=${`/v1/plots/${encodeURIComponent(name)}`} alt=${title} loading="lazy" width="720" height="400" />
        <figcaption>${title}</figcaption>
      </figure>`,
      )}
    </div>`;
}
