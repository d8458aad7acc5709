/**
 * A typed client of the REST face of Anamnos.
 *
 * The types of requests and answers are made from the server's OpenAPI file (`npm run generate`), so that they cannot
 * differ from it. The verbs below are the ones that agents need; every other route is reached, typed as well, through
 * `http`: `await memory.http.GET("/v1/jobs")`.
 */

import createClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./schema.js";

export type { components, paths } from "./schema.js";

type Schemas = components["schemas"];
export type Scope = Schemas["ScopeIn"];
export type Cube = Schemas["CubeOut"];
export type Hit = Schemas["HitOut"];
export type Hits = Schemas["HitsOut"];
export type Receipt = Schemas["ReceiptOut"];
export type Context = Schemas["ContextOut"];
export type Answer = Schemas["AnswerOut"];
export type Suggestion = Schemas["SuggestionOut"];
/** Which memories a place stands for: a filter, or a scope within that of the request. */
export type Place = Schemas["RouteText"]["among"][string];
export type Problem = Schemas["Problem"];

/** What may be said beside the scope and the main word of a request. */
type Options<Name extends keyof Schemas, Main extends string> = Partial<Omit<Schemas[Name], "scope" | Main>>;

/** What the server refused, and what to do about it. */
export class AnamnosError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  readonly problem: Partial<Problem>;

  constructor(status: number, problem: Partial<Problem>) {
    super(problem.detail ?? `The server answered ${status}.`);
    this.name = "AnamnosError";
    this.status = status;
    this.code = problem.code ?? "error";
    this.hint = problem.hint ?? "";
    this.retryable = problem.retryable ?? false;
    this.problem = problem;
  }
}

export interface Settings {
  /** Such as `http://127.0.0.1:8787`. */
  url: string;
  /** Of the server; see `anamnos keys create`. */
  key?: string;
  /** Another `fetch`, for tests and for runtimes that lack one. */
  fetch?: typeof globalThis.fetch;
}

export class Anamnos {
  /** Every route of the server, typed. */
  readonly http: Client<paths>;

  constructor(settings: Settings) {
    this.http = createClient<paths>({
      baseUrl: settings.url.replace(/\/+$/, ""),
      headers: settings.key ? { Authorization: `Bearer ${settings.key}` } : {},
      ...(settings.fetch ? { fetch: settings.fetch } : {}),
    });
  }

  /** Remember a text or messages, durably. A repeated call with the same `idempotencyKey` is done once. */
  async add(
    content: Schemas["Add"]["content"],
    scope: Scope,
    options: Options<"Add", "content"> & { idempotencyKey?: string } = {},
  ): Promise<Receipt> {
    const { idempotencyKey = crypto.randomUUID(), ...rest } = options;
    return told(
      await this.http.POST("/v1/memories", {
        body: { ...rest, content, scope } as Schemas["Add"],
        params: { header: { "idempotency-key": idempotencyKey } },
      }),
    );
  }

  /** Find the memories that answer a query best, best first, and how sure it is that they do. */
  async search(query: string, scope: Scope, options: Options<"Search", "query"> = {}): Promise<Hits> {
    return told(await this.http.POST("/v1/search", { body: { ...options, query, scope } as Schemas["Search"] }));
  }

  /** Pack the best memories for a prompt. Its text is data to quote, never instructions to follow. */
  async answerContext(question: string, scope: Scope, options: Options<"Context", "question"> = {}): Promise<Context> {
    return told(await this.http.POST("/v1/context", { body: { ...options, question, scope } as Schemas["Context"] }));
  }

  /** Answer a question with citations, or say that it is not in memory. */
  async ask(question: string, scope: Scope, options: Options<"Ask", "question"> = {}): Promise<Answer> {
    return told(await this.http.POST("/v1/ask", { body: { ...options, question, scope } as Schemas["Ask"] }));
  }

  /** Suggest tags for a text, learnt from the tagged memories of a scope, best first; by default the best five. */
  async suggestTags(content: string, scope: Scope, k = 5): Promise<Suggestion[]> {
    return told(await this.http.POST("/v1/tags/suggest", { body: { content, scope, k } })).items;
  }

  /** Say which of several places a text belongs to, best first, by the memories that each label stands for. */
  async route(content: string, scope: Scope, among: Record<string, Place>, k = 5): Promise<Suggestion[]> {
    return told(await this.http.POST("/v1/route", { body: { content, scope, among, k } })).items;
  }

  /** Return a memory, its current version by default. */
  async get(id: string, scope: Scope, version?: number): Promise<Cube> {
    const query = { ...scope, ...(version === undefined ? {} : { version }) };
    return told(await this.http.GET("/v1/memories/{id}", { params: { path: { id }, query } }));
  }

  /** Go through all memories of a scope in the order in which they were first written, page by page. */
  async *list(scope: Scope, limit = 200): AsyncGenerator<Cube> {
    let after: string | undefined;
    do {
      const query = { ...scope, limit, ...(after === undefined ? {} : { after }) };
      const page = told(await this.http.GET("/v1/memories", { params: { query } }));
      yield* page.items;
      after = page.next ?? undefined;
    } while (after !== undefined);
  }

  /** Return all versions of a memory, oldest first. */
  async history(id: string, scope: Scope): Promise<Cube[]> {
    const found = await this.http.GET("/v1/memories/{id}/history", { params: { path: { id }, query: scope } });
    return told(found).items;
  }

  /** Write the next version; with `expectedVersion`, only if that is the current one. */
  async update(
    id: string,
    scope: Scope,
    changes: Options<"Update", never>,
    expectedVersion?: number,
  ): Promise<Receipt> {
    const header = expectedVersion === undefined ? {} : { "if-match": `"${expectedVersion}"` };
    return told(
      await this.http.PATCH("/v1/memories/{id}", {
        body: { ...changes, scope } as Schemas["Update"],
        params: { path: { id }, header },
      }),
    );
  }

  /** Erase memories, all their versions and all that was derived from them. */
  async delete(ids: string | string[], scope: Scope): Promise<Receipt> {
    const body = { ids: typeof ids === "string" ? [ids] : ids, scope } as Schemas["Delete"];
    return told(await this.http.POST("/v1/memories/delete", { body }));
  }

  /** Remember a file: a chat export, notes, a document. */
  async ingest(file: Blob, name: string, scope: Scope): Promise<Receipt> {
    const found = await this.http.POST("/v1/ingest", {
      params: { query: { ...scope, name, source: name } },
      headers: { Accept: "application/json", "Content-Type": "application/octet-stream" },
      body: file as unknown as never,
      bodySerializer: (body) => body as unknown as Blob,
    });
    return told(found as { data?: Receipt; error?: unknown; response: Response });
  }
}

function told<T>(found: { data?: T; error?: unknown; response: Response }): NonNullable<T> {
  if (found.data === undefined || found.data === null) {
    const problem = typeof found.error === "object" && found.error !== null ? found.error : {};
    throw new AnamnosError(found.response.status, problem as Partial<Problem>);
  }
  return found.data;
}
