/** Against a real server: ANAMNOS_URL and ANAMNOS_KEY say which. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Anamnos, AnamnosError, type Cube, type Place } from "../src/index.js";

const url = process.env["ANAMNOS_URL"] ?? "http://127.0.0.1:8787";
const key = process.env["ANAMNOS_KEY"];
const memory = new Anamnos({ url, ...(key ? { key } : {}) });
const ann = { user: `ann-${crypto.randomUUID()}` };

test("a memory from its writing to its end", async () => {
  const receipt = await memory.add("The spare key is under the blue pot.", ann, { tags: ["home"] });
  assert.deepEqual(receipt.outcomes, ["added"]);
  const id = receipt.ids[0]!;
  const { hits, confidence } = await memory.search("where is the key?", ann, { top_k: 1 });
  assert.equal(hits[0]?.content, "The spare key is under the blue pot.");
  assert.ok(confidence >= 0 && confidence <= 1);
  await memory.update(id, ann, { content: "It is in the shed." }, 1);
  assert.equal((await memory.get(id, ann)).version, 2);
  assert.equal((await memory.get(id, ann, 1)).content, "The spare key is under the blue pot.");
  assert.deepEqual((await memory.history(id, ann)).map((cube) => cube.version), [1, 2]);
  assert.match((await memory.answerContext("where is the key?", ann)).text, /shed/);
  assert.equal(typeof (await memory.ask("where is the key?", ann)).not_in_memory, "boolean");
  assert.equal((await memory.delete(id, ann)).state, "erased");
});

test("messages and files, and all pages of a list", async () => {
  await memory.add([{ role: "user", content: "I moved to Oslo." }, { role: "assistant", content: "Nice!" }], ann);
  await memory.ingest(new Blob(["one\n\ntwo\n\nthree\n"]), "notes.txt", ann);
  const found: Cube[] = [];
  for await (const cube of memory.list(ann, 2)) found.push(cube);
  assert.equal(found.length, 5);
  assert.equal(new Set(found.map((cube) => cube.id)).size, 5);
});

test("tags and places for a text", async () => {
  const eve = { user: `eve-${crypto.randomUUID()}` };
  const trip = { ...eve, session: "trip" };
  await memory.add("The roses need water.", eve, { tags: ["garden"] });
  const id = (await memory.add("The ferry to Naxos leaves at noon.", trip, { tags: ["travel"] })).ids[0]!;
  const cue = "Is the ferry to Naxos late?";
  const [tag] = await memory.suggestTags(cue, eve, 1);
  assert.deepEqual([tag?.tag, tag?.because], ["travel", [id]]);
  const among: Record<string, Place> = { trip, garden: { field: "tag", op: "eq", value: "garden" } };
  assert.deepEqual((await memory.route(cue, eve, among)).map((place) => place.tag), ["trip", "garden"]);
});

test("the same key is the same write", async () => {
  const idempotencyKey = crypto.randomUUID();
  const first = await memory.add("Once.", ann, { idempotencyKey });
  const second = await memory.add("Once.", ann, { idempotencyKey });
  assert.deepEqual(first, second);
});

test("what the server refuses is an error with a hint", async () => {
  await assert.rejects(memory.get("00000000-0000-7000-8000-000000000000", ann), (error: unknown) => {
    assert.ok(error instanceof AnamnosError);
    assert.equal(error.status, 404);
    assert.equal(error.code, "not_found");
    return true;
  });
  const id = (await memory.add("Twice changed.", ann)).ids[0]!;
  await memory.update(id, ann, { importance: 0.9 }, 1);
  await assert.rejects(memory.update(id, ann, { importance: 0.8 }, 1), { status: 412 });
  if (key) await assert.rejects(new Anamnos({ url }).get(id, ann), { status: 401 });
});

test("every other route is there, typed", async () => {
  const { data } = await memory.http.GET("/v1/me");
  assert.equal(typeof data?.version, "string");
});
