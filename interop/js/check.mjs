// What the suite checks answers with.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";

const sha = (b) => createHash("sha256").update(b).digest("hex");

export function same(got, want) {
  assert.equal(got.length, want.length, "length");
  assert.equal(sha(got), sha(want), "sha256");
}

export async function read(client, offset, count, options) {
  const r = await client.download(offset, count, options);
  const parts = [];
  for await (const p of r.readableStreamBody) parts.push(p);
  return Buffer.concat(parts);
}

// refused runs f and expects the service to answer with this status and code.
export async function refused(f, status, code) {
  let e;
  try {
    await f();
  } catch (x) {
    e = x;
  }
  assert.ok(e, `was accepted, want ${status} ${code ?? ""}`);
  assert.equal(e.statusCode, status, `${e.code}: ${e.message}`);
  if (code) assert.equal(e.code ?? e.details?.errorCode, code);
}
