import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { call } from "../api.js";
import { Empty, Heading, Loading, many, number, Trouble, useLoaded } from "../parts.js";
import { href } from "../route.js";

const WIDTH = 1000;
const HEIGHT = 700;
const TICKS = 320; // the picture is drawn when it has come to rest: nothing moves by itself
const KINDS = {
  person: "people",
  place: "places",
  organisation: "organisations",
  title: "titles",
  name: "other names",
  keyword: "keywords",
  memory: "memories",
};
const kindOf = (node) => (node.kind === "memory" ? "memory" : node.type in KINDS ? node.type : "name");

/** Return copies of nodes and edges with places, found by forces. */
async function laidOut({ nodes, edges }, focusId) {
  const d3 = await import("../../vendor/d3.js");
  const placed = nodes.map((node) => ({ ...node, size: node.kind === "memory" ? 5 : 6 + 3 * Math.sqrt(node.count) }));
  const links = edges.map((edge) => ({ ...edge }));
  const centre = placed.find((node) => node.id === focusId);
  if (centre) Object.assign(centre, { fx: WIDTH / 2, fy: HEIGHT / 2 });
  d3.forceSimulation(placed)
    .force(
      "link",
      d3
        .forceLink(links)
        .id((node) => node.id)
        .distance((e) => 70 + 60 / e.weight)
        .strength((e) => Math.min(0.6, 0.12 * e.weight)),
    )
    .force("charge", d3.forceManyBody().strength(-260))
    .force("x", d3.forceX(WIDTH / 2).strength(0.05))
    .force("y", d3.forceY(HEIGHT / 2).strength(0.07))
    .force(
      "collide",
      d3.forceCollide((node) => node.size + 10 + (node.kind === "memory" ? 0 : 2 * Math.min(24, node.label.length))),
    )
    .stop()
    .tick(TICKS);
  return { d3, nodes: placed, links };
}

function Picture({ graph, focusId, onPick }) {
  const frame = useRef();
  const zoom = useRef(null);
  const [drawn, setDrawn] = useState(null);
  const [view, setView] = useState({ k: 1, x: 0, y: 0 });
  useEffect(() => {
    let gone = false;
    laidOut(graph, focusId).then((done) => gone || setDrawn(done));
    return () => {
      gone = true;
    };
  }, [graph]);
  const fit = () => {
    const { d3, nodes } = drawn;
    const xs = nodes.map((node) => node.x);
    const ys = nodes.map((node) => node.y);
    const [left, right, top, bottom] = [
      Math.min(...xs) - 70,
      Math.max(...xs) + 70,
      Math.min(...ys) - 50,
      Math.max(...ys) + 50,
    ];
    const k = Math.min(2, WIDTH / (right - left), HEIGHT / (bottom - top));
    const to = d3.zoomIdentity
      .translate(WIDTH / 2, HEIGHT / 2)
      .scale(k)
      .translate(-(left + right) / 2, -(top + bottom) / 2);
    d3.select(frame.current).call(zoom.current.transform, to);
  };
  useEffect(() => {
    if (!drawn) return;
    zoom.current = drawn.d3
      .zoom()
      .scaleExtent([0.2, 6])
      .extent([
        [0, 0],
        [WIDTH, HEIGHT],
      ])
      .on("zoom", ({ transform: { k, x, y } }) => setView({ k, x, y }));
    drawn.d3.select(frame.current).call(zoom.current);
    fit();
  }, [drawn]);
  const by = (factor) => () => drawn.d3.select(frame.current).call(zoom.current.scaleBy, factor);
  const heaviest = Math.max(1, ...(drawn?.links ?? []).map((link) => link.weight));
  const shown = new Set(
    [...(drawn?.nodes ?? [])]
      .filter((n) => n.kind !== "memory")
      .sort((a, b) => b.count - a.count)
      .slice(0, Math.round(28 * view.k))
      .map((n) => n.id),
  );
  return html`<div class="picture">
    <svg ref=${frame} viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img"
      aria-label="Names and how they stand together; the list beside it says the same">
      <g transform=${`translate(${view.x} ${view.y}) scale(${view.k})`}>
        ${(drawn?.links ?? []).map(
          (link, i) => html`<line key=${i} class=${`edge ${link.kind === "together" ? "" : "tied"}`}
          x1=${link.source.x} y1=${link.source.y} x2=${link.target.x} y2=${link.target.y}
          stroke-opacity=${0.18 + (0.5 * link.weight) / heaviest} stroke-width=${1 + (2 * link.weight) / heaviest} />`,
        )}
        ${(drawn?.nodes ?? []).map(
          (node) => html`<g key=${node.id} data-node=${node.label}
            class=${`node is-${kindOf(node)} ${node.id === focusId ? "focus" : ""}`}
            transform=${`translate(${node.x} ${node.y})`} onClick=${() => onPick(node)}>
          <title>${node.kind === "memory" ? node.label : `${node.label}: ${many(node.count, "memory", "memories")}`}</title>
          <circle r=${node.size} />
          ${
            shown.has(node.id) || node.id === focusId
              ? html`<text y=${node.size + 13 / Math.max(1, view.k ** 0.5)}
                font-size=${13 / Math.max(1, view.k ** 0.5)}>
                ${node.label.length > 24 ? `${node.label.slice(0, 23)}…` : node.label}</text>`
              : null
          }
        </g>`,
        )}
      </g>
    </svg>
    <div class="zoom">
      <button type="button" aria-label="Zoom in" disabled=${!drawn} onClick=${by(1.4)}>+</button>
      <button type="button" aria-label="Zoom out" disabled=${!drawn} onClick=${by(1 / 1.4)}>−</button>
      <button type="button" disabled=${!drawn} onClick=${fit}>Fit</button>
    </div>
  </div>`;
}

/** The names in a memory and which stand together; around one of them, the memories themselves. */
export function Graph({ scope, route }) {
  const focus = route.query.focus;
  const found = useLoaded(
    (signal) => call("GET", "/v1/graph", { query: { ...scope, focus, limit: focus ? 40 : 80 }, signal }),
    [focus],
  );
  const nodes = found.data?.nodes ?? [];
  const names = nodes.filter((node) => node.kind !== "memory");
  const memories = nodes.filter((node) => node.kind === "memory");
  const wanted = focus?.toLowerCase();
  const focused = nodes.find((node) => node.id === focus || node.label.toLowerCase() === wanted);
  const to = (node) =>
    node.kind === "memory" ? href(["memory", node.id], scope) : href("graph", scope, { focus: node.label });
  const kinds = [...new Set(nodes.map(kindOf))];
  return html`<${Heading} aside=${focus ? html`<a class="button" href=${href("graph", scope)}>All names</a>` : null}>
      ${focus ? `Around ${focused?.label ?? focus}` : "Graph"}<//>
    <${Trouble} error=${found.error} again=${found.reload} />
    ${found.loading ? html`<${Loading} />` : null}
    ${found.data && !nodes.length ? html`<${Empty}>No names were found in this memory.<//>` : null}
    ${
      nodes.length
        ? html`<div class="drawn">
      <div><${Picture} key=${focus ?? ""} graph=${found.data} focusId=${focused?.id} onPick=${(node) => {
        location.hash = to(node);
      }} />
        <ul class="legend">${kinds.map((kind) => html`<li key=${kind}><i class=${`is-${kind}`}></i>
          ${KINDS[kind]}</li>`)}</ul></div>
      <section class="names" aria-label="The same as a list">
        <h2>${focus ? "Beside it" : "Names"} <span class="quiet">(${names.length})</span></h2>
        <ul class="plain">${names
          .filter((node) => node !== focused)
          .map(
            (node) => html`<li key=${node.id}><a href=${to(node)}>
          <i class=${`is-${kindOf(node)}`}></i>${node.label}</a> <span class="quiet">${number(node.count)}</span></li>`,
          )}</ul>
        ${
          memories.length
            ? html`<h2>Memories <span class="quiet">(${memories.length})</span></h2>
          <ul class="plain">${memories.map((node) => html`<li key=${node.id}><a href=${to(node)}>${node.label}</a>
            </li>`)}</ul>`
            : null
        }
      </section>
    </div>`
        : null
    }
    ${
      found.data && found.data.memories > found.data.read
        ? html`<p class="quiet">Drawn from the newest ${number(found.data.read)} of ${number(found.data.memories)} memories.</p>`
        : null
    }`;
}
