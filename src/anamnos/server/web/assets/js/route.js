// Where the page is: a path, its parameters and the scope, all in the part of the address behind "#".

const PARTS = ["tenant", "user", "agent", "session"];
const SCOPE = "anamnos-scope";

/** Return a scope with only its known, non-empty parts. */
export function cleanScope(data) {
  return Object.fromEntries(PARTS.filter((part) => data?.[part]).map((part) => [part, String(data[part])]));
}

export const isSame = (a, b) => PARTS.every((part) => (a[part] ?? "") === (b[part] ?? ""));
export const namesSomebody = (scope) => Boolean(scope.user || scope.agent || scope.session);

/** Return a scope in words. */
export function scopeWords(scope) {
  const parts = PARTS.filter((part) => scope[part] && !(part === "tenant" && scope[part] === "default"));
  return parts.map((part) => `${part} ${scope[part]}`).join(" · ") || "nobody";
}

export function rememberedScope() {
  try {
    return cleanScope(JSON.parse(localStorage.getItem(SCOPE) ?? "{}"));
  } catch {
    return {};
  }
}

export const rememberScope = (scope) => localStorage.setItem(SCOPE, JSON.stringify(scope));

/** Return {path: [...], query: {...}, scope} of an address such as "#/memory/0189…?user=ann". */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const parameters = Object.fromEntries(new URLSearchParams(query));
  const scope = cleanScope(parameters);
  for (const part of PARTS) delete parameters[part];
  const parts = path
    .split("/")
    .filter(Boolean)
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
  return { path: parts, query: parameters, scope };
}

/** Return the address of a page in a scope. */
export function href(path, scope, query = {}) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...query, ...scope })) if (value) all.set(name, value);
  const text = all.toString();
  return `#/${[].concat(path).map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** Write parameters into the address without a new entry in the history. */
export const replace = (path, scope, query) => history.replaceState(null, "", href(path, scope, query));
