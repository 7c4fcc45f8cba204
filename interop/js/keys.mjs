// The rounds with keys that the client chooses: the same that the Go and the
// Python client do.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import {
  AccountSASPermissions,
  BlobSASPermissions,
  BlobServiceClient,
  BlockBlobClient,
  generateBlobSASQueryParameters,
} from "@azure/storage-blob";
import { read, refused, same } from "./check.mjs";

const needsKey = "BlobUsesCustomerSpecifiedEncryption";
const otherKey = "BlobCustomerSpecifiedEncryptionMismatch";
const denied = "RequestForbiddenByContainerEncryptionPolicy";
const disabled = "EncryptionScopeDisabled";

const id = (i) => Buffer.from(`block-${i}`).toString("base64");

const key = (byte) => {
  const k = Buffer.alloc(32, byte);
  return {
    customerProvidedKey: {
      encryptionKey: k.toString("base64"),
      encryptionKeySha256: createHash("sha256").update(k).digest("base64"),
      encryptionAlgorithm: "AES256",
    },
  };
};

// only runs f without a key and with a wrong one: both are refused.
async function only(f) {
  await refused(() => f(), 409, needsKey);
  await refused(() => f(key(2)), 409, otherKey);
}

// A blob under a key that comes with each request. The client itself refuses
// to send one over plain HTTP.
export async function customerKey(cont) {
  const b = cont.getBlockBlobClient("customer-key.bin");
  const mine = key(1);
  const hash = mine.customerProvidedKey.encryptionKeySha256;
  const one = randomBytes(200000);
  const put = () => b.upload(one, one.length, { ...mine, metadata: { under: "key" } });
  if (!cont.url.startsWith("https:")) {
    await assert.rejects(put);
    return;
  }
  assert.equal((await put()).encryptionKeySha256, hash);

  const check = async (content) => {
    same(await read(b, 0, undefined, mine), content);
    same(await read(b, 70000, 70000, mine), content.subarray(70000, 140000));
    await only((o) => b.download(0, undefined, o));
    const p = await b.getProperties(mine);
    assert.equal(p.encryptionKeySha256, hash);
    assert.equal(p.contentLength, content.length);
    assert.equal(p.isServerEncrypted, true);
    await only((o) => b.getProperties(o));
  };
  await check(one);
  assert.equal(await b.exists(), true); // the client takes the refusal of HEAD for "yes"

  assert.equal((await b.setMetadata({ second: "value" }, mine)).encryptionKeySha256, hash);
  assert.deepEqual((await b.getProperties(mine)).metadata, { second: "value" });
  await only((o) => b.setMetadata({ third: "value" }, o));

  // The listing shows the hash of the key, and hides the metadata.
  let found = 0;
  for await (const item of cont.listBlobsFlat({ prefix: "customer-key", includeMetadata: true })) {
    found++;
    assert.equal(item.properties.customerProvidedKeySha256, hash);
    assert.equal(item.metadata?.second, undefined);
  }
  assert.equal(found, 1);

  for (let i = 0; i < 3; i++) {
    assert.equal((await b.stageBlock(id(i), one, one.length, mine)).encryptionKeySha256, hash);
  }
  await only((o) => b.commitBlockList([id(2), id(0)], o));
  assert.equal((await b.commitBlockList([id(2), id(0)], mine)).encryptionKeySha256, hash);
  await check(Buffer.concat([one, one]));
}

// setScope makes a scope or changes its state, at the management endpoint.
async function setScope(svc, method, scope, properties) {
  const u = `${process.env.COFFER_MANAGEMENT}/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/${svc.accountName}/encryptionScopes/${scope}?api-version=2024-01-01`;
  const r = await fetch(u, { method, body: JSON.stringify({ properties }), headers: { "content-type": "application/json" } });
  const text = await r.text();
  assert.ok(r.ok, `${method} ${scope}: ${r.status} ${text}`);
  const got = JSON.parse(text).properties;
  for (const k of Object.keys(properties)) assert.equal(got[k], properties[k], k);
}

const until = () => new Date(Date.now() + 3600_000);

// Keys of their own inside the account, by header, container default and SAS.
// With a mark the scopes have infrastructure encryption.
export async function scopes(svc, cont, mark) {
  const name = cont.containerName;
  const [a, b] = ["a-" + mark + name, "b-" + mark + name];
  for (const s of [a, b]) {
    await setScope(svc, "PUT", s, { state: "Enabled", ...(mark && { requireInfrastructureEncryption: true }) });
  }
  const content = randomBytes(100000);
  const byHeader = cont.getBlockBlobClient(`scoped-${mark}header.bin`);
  assert.equal((await byHeader.upload(content, content.length, { encryptionScope: a })).encryptionScope, a);
  same(await read(byHeader), content);

  for (let i = 0; i < 3; i++) {
    assert.equal((await byHeader.stageBlock(id(i), content, content.length, { encryptionScope: a })).encryptionScope, a);
  }
  await refused(() => byHeader.commitBlockList([id(2), id(0)], { encryptionScope: b }), 409, otherKey);
  const committed = await byHeader.commitBlockList([id(2), id(0)], { encryptionScope: a, metadata: { under: "scope" } });
  assert.equal(committed.encryptionScope, a);
  const twice = Buffer.concat([content, content]);
  same(await read(byHeader), twice);
  same(await read(byHeader, 70000, 70000), twice.subarray(70000, 140000));

  assert.equal((await byHeader.getProperties()).encryptionScope, a);
  await refused(() => byHeader.setMetadata({ k: "v" }, { encryptionScope: b }), 409, otherKey);
  assert.equal((await byHeader.setMetadata({ k: "v" }, { encryptionScope: a })).encryptionScope, a);
  const listed = [];
  for await (const item of cont.listBlobsFlat({ prefix: byHeader.name, includeMetadata: true })) {
    listed.push([item.properties.encryptionScope, item.metadata.k]);
  }
  assert.deepEqual(listed, [[a, "v"]]);

  const box = svc.getContainerClient("sc-" + mark + name);
  await box.create({ containerEncryptionScope: { defaultEncryptionScope: a, preventEncryptionScopeOverride: true } });
  assert.equal((await box.getProperties()).defaultEncryptionScope, a);
  const byDefault = box.getBlockBlobClient("default.bin");
  assert.equal((await byDefault.upload(content, content.length)).encryptionScope, a);
  await refused(() => byDefault.upload(content, content.length, { encryptionScope: b }), 403, denied);

  await bySAS(svc, name, mark, b, content);

  await setScope(svc, "PATCH", a, { state: "Disabled" });
  await refused(() => byHeader.download(), 403, disabled);
  await refused(() => byDefault.download(), 403, disabled);
  await refused(() => byDefault.upload(content, content.length), 403, disabled);
  await setScope(svc, "PATCH", a, { state: "Enabled" });
  same(await read(byDefault), content);
  await byDefault.upload(content, content.length);
  await box.delete();
}

// bySAS uploads without the header: with an account SAS and with that of one
// blob, which name the scope.
async function bySAS(svc, container, mark, scope, content) {
  const account = svc.generateAccountSasUrl(until(), AccountSASPermissions.parse("rwc"), "o", { encryptionScope: scope });
  const blob = svc.getContainerClient(container).getBlockBlobClient(`sas-${mark}service.bin`);
  const query = generateBlobSASQueryParameters(
    { containerName: container, blobName: blob.name, permissions: BlobSASPermissions.parse("rwc"), expiresOn: until(), encryptionScope: scope },
    svc.credential,
  );
  for (const b of [
    new BlobServiceClient(account).getContainerClient(container).getBlockBlobClient(`sas-${mark}account.bin`),
    new BlockBlobClient(`${blob.url}?${query}`),
  ]) {
    assert.equal((await b.upload(content, content.length)).encryptionScope, scope);
    same(await read(b), content);
  }
}
