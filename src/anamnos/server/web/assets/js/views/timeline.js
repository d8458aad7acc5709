import { html, useMemo } from "../../vendor/preact.js";
import { call } from "../api.js";
import { day, Empty, Heading, Loading, many, MemoryLine, number, Trouble, useLoaded, when } from "../parts.js";
import { href } from "../route.js";

const FINER = { year: "month", month: "day" };
const ROLES = ["turn", "note", "fact", "reflection", "other"];
const MOST_BARS = 150; // with gaps; beyond, only what is there is drawn
const NAMES = {
  year: { year: "numeric", timeZone: "UTC" },
  month: { month: "long", year: "numeric", timeZone: "UTC" },
  day: { dateStyle: "medium", timeZone: "UTC" },
};
const SHORT = { year: { year: "numeric" }, month: { month: "short" }, day: { day: "numeric" } };

const name = (iso, by, short) =>
  when(iso, new Intl.DateTimeFormat("en-GB", short ? { ...SHORT[by], timeZone: "UTC" } : NAMES[by]));

/** Return the items with the empty periods between them, and from `since` to `until` where both are known, so that
 * distances on the line are distances in time. */
function withGaps(items, by, since, until) {
  const there = new Map(items.map((item) => [Date.parse(item.from), item]));
  const out = [];
  if (!items.length) return out;
  const at = new Date(since && until ? since : items[0].from);
  const last = since && until ? Date.parse(until) - 1 : Date.parse(items.at(-1).from);
  while (at.getTime() <= last && out.length <= MOST_BARS) {
    const from = new Date(at);
    if (by === "year") at.setUTCFullYear(at.getUTCFullYear() + 1);
    else if (by === "month") at.setUTCMonth(at.getUTCMonth() + 1);
    else at.setUTCDate(at.getUTCDate() + 1);
    out.push(there.get(from.getTime()) ?? { from: from.toISOString(), to: at.toISOString(), count: 0, roles: {} });
  }
  return out.length > MOST_BARS ? items : out;
}

/** When memories were said: years, months or days as bars; a click goes one step closer. */
export function Timeline({ scope, route }) {
  const { by = "month", since, until } = route.query;
  const open = by === "list";
  const found = useLoaded(
    (signal) => (open ? { items: [] } : call("GET", "/v1/timeline", { query: { ...scope, by, since, until }, signal })),
    [by, since, until],
  );
  const listed = useLoaded(
    (signal) =>
      since ? call("GET", "/v1/memories", { query: { ...scope, since, until, limit: 200 }, signal }) : { items: [] },
    [since, until],
  );
  const items = found.data?.items ?? [];
  const bars = useMemo(() => withGaps(items, by, since, until), [found.data]);
  const most = Math.max(1, ...bars.map((bar) => bar.count));
  const closer = (bar) =>
    href(
      "timeline",
      scope,
      FINER[by] ? { by: FINER[by], since: bar.from, until: bar.to } : { by: "list", since: bar.from, until: bar.to },
    );
  const month = since && (by === "day" || open) ? `${since.slice(0, 7)}-01T00:00:00Z` : null;
  const year = since && by !== "year" ? `${since.slice(0, 4)}-01-01T00:00:00Z` : null;
  const nextMonth = (iso) => {
    const at = new Date(iso);
    at.setUTCMonth(at.getUTCMonth() + 1);
    return at.toISOString();
  };
  const crumbs = [
    [href("timeline", scope, { by: "year" }), "All years"],
    year && [
      href("timeline", scope, { by: "month", since: year, until: `${Number(year.slice(0, 4)) + 1}-01-01T00:00:00Z` }),
      year.slice(0, 4),
    ],
    month && [href("timeline", scope, { by: "day", since: month, until: nextMonth(month) }), name(month, "month")],
    open && [null, name(since, "day")],
  ].filter(Boolean);
  const total = items.reduce((sum, item) => sum + item.count, 0);
  return html`<${Heading}>Timeline<//>
    <nav class="crumbs" aria-label="Where on the line"><ol>
      ${crumbs.map(
        ([to, text], i) =>
          html`<li key=${text}>${
            to && (i < crumbs.length - 1 || (!since && by !== "year"))
              ? html`<a href=${to}>${text}</a>`
              : html`<span aria-current="true">${text}</span>`
          }</li>`,
      )}
      ${
        !since
          ? html`<li class="bys">${["year", "month", "day"].map(
              (one) =>
                html`<a key=${one} href=${href("timeline", scope, { by: one })}
                  aria-current=${one === by ? "true" : undefined}>by ${one}</a>`,
            )}</li>`
          : null
      }
    </ol></nav>
    <${Trouble} error=${found.error ?? listed.error} again=${found.reload} />
    ${found.loading && !found.data ? html`<${Loading} />` : null}
    ${
      open
        ? null
        : html`<p class="summary" role="status">${
            found.data
              ? html`${many(total, "memory", "memories")}${items.length ? html` from ${day(items[0].from)} on` : ""}${
                  found.data.undated ? html`; ${number(found.data.undated)} without a date` : ""
                }${
                  found.data.memories > found.data.read
                    ? html`; the newest ${number(found.data.read)} of ${number(found.data.memories)} are counted`
                    : ""
                }`
              : ""
          }</p>`
    }
    ${found.data && !items.length && !open ? html`<${Empty}>Nothing with a date is remembered here.<//>` : null}
    ${
      bars.length
        ? html`<div class="chart" role="region" aria-label="Memories over time" tabindex="0"><ol class="bars-line">
      ${bars.map(
        (bar) => html`<li key=${bar.from}>
        ${
          bar.count
            ? html`<a href=${closer(bar)}
              aria-label=${`${name(bar.from, by)}: ${many(bar.count, "memory", "memories")}`}
            title=${`${name(bar.from, by)}: ${bar.count} (${Object.entries(bar.roles)
              .map(([role, n]) => `${n} ${role}`)
              .join(", ")})`}>
            <span class="stack" style=${{ height: `${Math.max(3, (100 * bar.count) / most)}%` }}>
              ${Object.entries(bar.roles).map(
                ([role, n]) => html`<i key=${role} class=${`of-${ROLES.includes(role) ? role : "other"}`}
                style=${{ flexGrow: n }}></i>`,
              )}
            </span></a>`
            : html`<span class="none"></span>`
        }
        <span class="under" aria-hidden="true">${
          by === "month" && new Date(bar.from).getUTCMonth() === 0
            ? html`<b>${bar.from.slice(0, 4)}</b>`
            : name(bar.from, by, true)
        }</span>
      </li>`,
      )}
    </ol></div>
    <ul class="legend">${ROLES.filter((role) =>
      items.some((item) =>
        Object.keys(item.roles).some((one) => one === role || (role === "other" && !ROLES.includes(one))),
      ),
    ).map((role) => html`<li key=${role}><i class=${`of-${role}`}></i>${role}</li>`)}</ul>`
        : null
    }
    ${
      since
        ? html`<h2>${open ? name(since, "day") : by === "day" ? name(since, "month") : since.slice(0, 4)}</h2>
      ${listed.loading ? html`<${Loading} />` : null}
      <ol class="results">${(listed.data?.items ?? []).map(
        (cube) => html`<li key=${cube.id}><${MemoryLine} cube=${cube} scope=${scope} /></li>`,
      )}</ol>
      ${listed.data?.next ? html`<p class="quiet">The first 200 are listed.</p>` : null}`
        : null
    }`;
}
