// Drives an unmodified @azure/storage-blob against the endpoint in
// AZURE_STORAGE_CONNECTION_STRING and reports every step for the interop
// matrix. It runs under the node that package.json pins.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import path from "node:path";
import {
  AccountSASPermissions,
  BlobSASPermissions,
  BlobServiceClient,
  ContainerClient,
  ContainerSASPermissions,
} from "@azure/storage-blob";
import { read, refused, same } from "./check.mjs";
import { customerKey, scopes } from "./keys.mjs";
import { Suite } from "./report.mjs";

const connection = process.env.AZURE_STORAGE_CONNECTION_STRING;
if (!connection) {
  console.error("suite: AZURE_STORAGE_CONNECTION_STRING is not set");
  process.exit(2);
}

const svc = BlobServiceClient.fromConnectionString(connection);
const name = "js-" + Date.now().toString(36) + randomBytes(3).toString("hex");
const cont = svc.getContainerClient(name);
const suite = new Suite();

const md5 = (b) => createHash("md5").update(b).digest("base64");

async function listAll(iterator, size) {
  const names = [];
  for await (const page of iterator.byPage({ maxPageSize: size })) {
    assert.ok(page.segment.blobItems.length + (page.segment.blobPrefixes?.length ?? 0) <= size, "page is too long");
    for (const b of page.segment.blobItems) names.push(b.name);
    for (const p of page.segment.blobPrefixes ?? []) names.push(p.name + " (prefix)");
  }
  return names;
}

async function container() {
  await cont.create({ metadata: { MadeBy: "interop" } });
  await refused(() => cont.create(), 409, "ContainerAlreadyExists");
  assert.equal(await cont.exists(), true);
  assert.equal(await svc.getContainerClient(name + "-not").exists(), false);
  const found = [];
  for await (const c of svc.listContainers({ prefix: name, includeMetadata: true })) found.push(c);
  assert.equal(found.length, 1);
  assert.equal(found[0].metadata.MadeBy, "interop");
}

async function small() {
  const b = cont.getBlockBlobClient("small.bin");
  const content = randomBytes(4096);
  const w = await b.upload(content, content.length, {
    blobHTTPHeaders: { blobContentType: "application/x-interop", blobCacheControl: "no-cache" },
  });
  assert.equal(w.isServerEncrypted, true);
  same(await b.downloadToBuffer(), content);
  const p = await b.getProperties();
  assert.equal(p.contentType, "application/x-interop");
  assert.equal(p.cacheControl, "no-cache");
  assert.equal(Buffer.from(p.contentMD5).toString("base64"), md5(content));
  assert.equal(p.isServerEncrypted, true);
  assert.equal(p.etag, w.etag);
}

async function empty() {
  const b = cont.getBlockBlobClient("empty");
  await b.upload("", 0);
  same(await read(b), Buffer.alloc(0));
  assert.equal((await b.getProperties()).contentLength, 0);
}

async function large() {
  const content = randomBytes(37 * 1024 * 1024 + 12345);
  const b = cont.getBlockBlobClient("large.bin");
  await b.uploadData(content, { blockSize: 4 << 20, concurrency: 6, maxSingleShotSize: 1 << 20 });
  same(await b.downloadToBuffer(0, undefined, { blockSize: (3 << 20) + 1, concurrency: 6 }), content);
  same(await read(b), content);
  const s = cont.getBlockBlobClient("large-stream.bin");
  await s.uploadStream(Readable.from(content, { objectMode: false }), 1 << 20, 4);
  same(await s.downloadToBuffer(), content);
}

async function names() {
  const all = ["with space.txt", "plus+plus", "per%20cent", "percent%", "a/b//c", `quote"'.txt`, "ümlaut/日本語/🙂", "semi;colon,comma", "q?mark#hash", "UPPER", "upper", "amp&ersand=1"];
  for (const n of all) {
    const b = cont.getBlockBlobClient("names/" + n);
    await b.upload(n, Buffer.byteLength(n));
    same(await read(b), Buffer.from(n));
    const found = await listAll(cont.listBlobsFlat({ prefix: "names/" + n }), 10);
    assert.ok(found.includes("names/" + n), `listing does not give back ${n}`);
  }
}

const listed = ["l/a/1", "l/a/2", "l/a/3", "l/b", "l/b/1", "l/c-1", "l/c/x/1", "l/c/x/2", "l/d"];

async function putListed() {
  for (const n of listed) await cont.getBlockBlobClient(n).upload(n, n.length);
}

async function listFlat() {
  await putListed();
  for (let size = 1; size <= listed.length + 1; size++) {
    assert.deepEqual(await listAll(cont.listBlobsFlat({ prefix: "l/" }), size), listed);
  }
}

async function listTree() {
  await putListed();
  const want = ["l/a/ (prefix)", "l/b", "l/b/ (prefix)", "l/c-1", "l/c/ (prefix)", "l/d"];
  for (let size = 1; size <= 7; size++) {
    const got = await listAll(cont.listBlobsByHierarchy("/", { prefix: "l/" }), size);
    assert.deepEqual(got.sort(), want);
  }
}

async function ranges() {
  for (const size of [1000, 32768, 32769, 200000, (5 << 20) + 3]) {
    const content = randomBytes(size);
    const b = cont.getBlockBlobClient("range-" + size);
    await b.upload(content, size);
    for (const [off, n] of [[0, 1], [0, size], [size - 1, 1], [1, size - 2], [size >> 1, (size / 3) | 0]]) {
      same(await read(b, off, n), content.subarray(off, off + n));
    }
    same(await read(b, size - 10), content.subarray(size - 10));
    await refused(() => b.download(size, 1), 416, "InvalidRange");
  }
}

async function blocks() {
  const b = cont.getBlockBlobClient("blocks.bin");
  const id = (i) => Buffer.from(`block-${String(i).padStart(5, "0")}`).toString("base64");
  const parts = [1, 4096, 32769, 1 << 20, (3 << 20) + 17].map((n) => randomBytes(n));
  await Promise.all(parts.map((p, i) => b.stageBlock(id(i), p, p.length, { transactionalContentMD5: createHash("md5").update(p).digest() })));
  const before = await b.getBlockList("all");
  assert.equal(before.uncommittedBlocks.length, parts.length);
  for (const order of [[3, 0, 4, 1, 2], [4, 4, 0]]) {
    await b.commitBlockList(order.map(id));
    same(await b.downloadToBuffer(), Buffer.concat(order.map((i) => parts[i])));
    const l = await b.getBlockList("all");
    assert.deepEqual(l.committedBlocks.map((x) => x.name), order.map(id));
    assert.equal((l.uncommittedBlocks ?? []).length, 0);
  }
  await refused(() => b.commitBlockList([id(99)]), 400, "InvalidBlockList");
}

async function metadata() {
  const b = cont.getBlockBlobClient("meta.bin");
  const first = { MixedCase: "One", lower: "two", UPPER_9: "three; four" };
  await b.upload("x", 1, { metadata: first });
  for await (const it of cont.listBlobsFlat({ prefix: "meta.bin", includeMetadata: true })) {
    assert.deepEqual({ ...it.metadata }, first);
  }
  // Header names reach a JavaScript program in lower case.
  const lower = Object.fromEntries(Object.entries(first).map(([k, v]) => [k.toLowerCase(), v]));
  assert.deepEqual({ ...(await b.getProperties()).metadata }, lower);
  await b.setMetadata({ SecondSet: "v" });
  for await (const it of cont.listBlobsFlat({ prefix: "meta.bin", includeMetadata: true })) {
    assert.deepEqual({ ...it.metadata }, { SecondSet: "v" });
  }
  await b.setHTTPHeaders({ blobContentType: "text/x-new" });
  assert.equal((await b.getProperties()).contentType, "text/x-new");
  same(await read(b), Buffer.from("x"));
}

async function conditions() {
  const b = cont.getBlockBlobClient("cond.bin");
  const w = await b.upload("one", 3);
  const other = '"0x0000000000000001"';
  const past = new Date(Date.now() - 3600_000);
  await refused(() => b.upload("two", 3, { conditions: { ifNoneMatch: "*" } }), 409, "BlobAlreadyExists");
  await refused(() => b.upload("two", 3, { conditions: { ifMatch: other } }), 412, "ConditionNotMet");
  await refused(() => b.download(0, undefined, { conditions: { ifMatch: other } }), 412, "ConditionNotMet");
  await refused(() => b.getProperties({ conditions: { ifNoneMatch: w.etag } }), 304);
  await refused(() => b.getProperties({ conditions: { ifUnmodifiedSince: past } }), 412);
  await refused(() => b.delete({ conditions: { ifMatch: other } }), 412, "ConditionNotMet");
  same(await read(b, 0, undefined, { conditions: { ifMatch: w.etag } }), Buffer.from("one"));
  await b.upload("two", 3, { conditions: { ifMatch: w.etag } });
  await refused(() => b.upload("three", 5, { conditions: { ifMatch: w.etag } }), 412, "ConditionNotMet");
}

async function checksums() {
  const b = cont.getBlockBlobClient("checked.bin");
  const content = randomBytes(300000);
  await b.uploadData(content);
  await refused(() => b.stageBlock(Buffer.from("b1").toString("base64"), content, content.length, { transactionalContentMD5: Buffer.alloc(16) }), 400, "Md5Mismatch");
  await refused(() => b.stageBlock(Buffer.from("b1").toString("base64"), content, content.length, { transactionalContentCrc64: Buffer.alloc(8, 1) }), 400, "Crc64Mismatch");
  const r = await b.download(1000, 65536, { rangeGetContentMD5: true });
  r.readableStreamBody.destroy();
  assert.equal(Buffer.from(r.contentMD5).toString("base64"), md5(content.subarray(1000, 1000 + 65536)));
}

const until = () => new Date(Date.now() + 3600_000);

async function sasAccount() {
  const u = svc.generateAccountSasUrl(until(), AccountSASPermissions.parse("rwlc"), "sco");
  const b = new BlobServiceClient(u).getContainerClient(name).getBlockBlobClient("sas/account.bin");
  await b.upload("sas", 3);
  same(await read(b), Buffer.from("sas"));
  await refused(() => b.delete(), 403, "AuthorizationPermissionMismatch");
}

async function sasService() {
  const content = randomBytes(60000);
  const blob = cont.getBlockBlobClient("sas/blob.bin");
  await blob.uploadData(content);
  const c = new ContainerClient(await cont.generateSasUrl({ permissions: ContainerSASPermissions.parse("rl"), expiresOn: until() }));
  same(await read(c.getBlockBlobClient("sas/blob.bin")), content);
  assert.ok((await listAll(c.listBlobsFlat(), 5000)).length > 0);
  await refused(() => c.getBlockBlobClient("sas/blob.bin").upload("x", 1), 403, "AuthorizationPermissionMismatch");
  const u = await blob.generateSasUrl({
    permissions: BlobSASPermissions.parse("r"),
    expiresOn: until(),
    contentType: "text/x-override",
  });
  const r = await fetch(u);
  assert.equal(r.status, 200);
  assert.equal(r.headers.get("content-type"), "text/x-override");
  same(Buffer.from(await r.arrayBuffer()), content);
  assert.equal((await fetch(u.replace("blob.bin", "account.bin"))).status, 403);
  const old = await blob.generateSasUrl({ permissions: BlobSASPermissions.parse("r"), expiresOn: new Date(Date.now() - 60_000) });
  assert.equal((await fetch(old)).status, 403);
}

// The rounds of keys in an account with infrastructure encryption.
async function doubleAccount() {
  const svc = BlobServiceClient.fromConnectionString(process.env.COFFER_DOUBLE_CONNECTION_STRING);
  const cont = svc.getContainerClient(name);
  await cont.create();
  await customerKey(cont);
  await scopes(svc, cont, "");
}

async function errors() {
  await refused(() => cont.getBlobClient("nothing").download(), 404, "BlobNotFound");
  await refused(() => cont.getBlobClient("nothing").getProperties(), 404);
  await refused(() => svc.getContainerClient("no-such-container").getBlobClient("x").download(), 404, "ContainerNotFound");
  assert.equal(await cont.getBlobClient("nothing").exists(), false);
}

async function remove() {
  const b = cont.getBlockBlobClient("gone");
  await b.upload("x", 1);
  await b.delete();
  await refused(() => b.delete(), 404, "BlobNotFound");
  assert.equal((await b.deleteIfExists()).succeeded, false);
  await cont.delete();
  await refused(() => b.upload("x", 1), 404);
}

const here = path.dirname(fileURLToPath(import.meta.url));
const installed = JSON.parse(readFileSync(path.join(here, "node_modules/@azure/storage-blob/package.json"), "utf8"));
suite.version(`storage-blob ${installed.version}, node ${process.version}`);
for (const [step, f] of [
  ["container", container],
  ["small", small],
  ["empty", empty],
  ["large", large],
  ["names", names],
  ["list-flat", listFlat],
  ["list-tree", listTree],
  ["ranges", ranges],
  ["blocks", blocks],
  ["metadata", metadata],
  ["conditions", conditions],
  ["checksums", checksums],
  ["sas-account", sasAccount],
  ["sas-service", sasService],
  ["customer-key", () => customerKey(cont)],
  ["scope", () => scopes(svc, cont, "")],
  ["double-scope", () => scopes(svc, cont, "2-")],
  ["double-account", doubleAccount],
  ["errors", errors],
  ["delete", remove],
]) {
  await suite.step(step, f);
}
process.exit(suite.done());
