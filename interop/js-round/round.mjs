// Makes the round of a customer's key with the unmodified management clients for
// JavaScript: vault, key, identity, grant, account under the key, upload, rotate,
// disable, refused, enable, read. The configuration is that of a private cloud. Names
// of vaults are looked up as a resolver would that sends everything below localhost here.

import dns from "node:dns";
import { AuthorizationManagementClient } from "@azure/arm-authorization";
import { KeyVaultManagementClient } from "@azure/arm-keyvault";
import { ManagedServiceIdentityClient } from "@azure/arm-msi";
import { StorageManagementClient } from "@azure/arm-storage";
import { ClientSecretCredential, ManagedIdentityCredential } from "@azure/identity";
import { KeyClient } from "@azure/keyvault-keys";
import { BlobSASPermissions, BlobServiceClient, BlockBlobClient, generateBlobSASQueryParameters, StorageSharedKeyCredential } from "@azure/storage-blob";
import { Suite } from "./report.mjs";

const lookup = dns.lookup;
dns.lookup = (host, options, done) => lookup(host.endsWith(".localhost") ? "127.0.0.1" : host, options, done);

const env = process.env;
const subscription = "00000000-0000-0000-0000-000000000000";
const group = "coffer";
const [vaultName, keyName, identityName, accountName] = ["round-js", "switch", "round-js-asks", "roundjs"];
const cryptoOfficer = "14b46e9e-c2b7-41b4-b07b-48a6ebf60603";
const encryptionUser = "e147488a-f6f5-4113-8e2d-b22465e65bf6";
const blobContributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const blobReader = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
const content = Buffer.from("your key, your switch ".repeat(5000));

const credential = new ClientSecretCredential(env.AZURE_TENANT_ID, env.AZURE_CLIENT_ID, env.AZURE_CLIENT_SECRET, {
  authorityHost: env.AZURE_AUTHORITY_HOST,
  disableInstanceDiscovery: true,
});
const endpoint = env.COFFER_MANAGEMENT.replace("http://", "https://");
const options = { endpoint, credentialScopes: ["https://management.localhost/.default"], credentials: { scopes: ["https://management.localhost/.default"] } };
const vaults = new KeyVaultManagementClient(credential, subscription, options);
const roles = new AuthorizationManagementClient(credential, subscription, options);
const identities = new ManagedServiceIdentityClient(credential, subscription, options);
const storage = new StorageManagementClient(credential, subscription, options);

const state = {};
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// until asks again until f answers well.
async function until(f) {
  for (const end = Date.now() + 30_000; ; await pause(200)) {
    try {
      return await f();
    } catch (e) {
      if (Date.now() > end) throw e;
    }
  }
}

function must(ok, what) {
  if (!ok) throw new Error(what);
}

async function vault() {
  const made = await vaults.vaults.createOrUpdate(group, vaultName, {
    location: "local",
    properties: {
      tenantId: env.AZURE_TENANT_ID,
      sku: { family: "A", name: "standard" },
      enablePurgeProtection: true,
      enableRbacAuthorization: true,
    },
  });
  state.vault = made.id;
  state.uri = made.properties.vaultUri;
}

const give = (name, role, principalId, scope = state.vault) =>
  roles.roleAssignments.create(scope, name, {
    roleDefinitionId: `/subscriptions/${subscription}/providers/Microsoft.Authorization/roleDefinitions/${role}`,
    principalId,
    principalType: "ServicePrincipal",
  });

const keys = () => new KeyClient(state.uri, credential);

async function key() {
  await give("cccccccc-0000-4000-8000-000000000001", cryptoOfficer, env.COFFER_OBJECT_ID);
  state.first = (await keys().createRsaKey(keyName, { keySize: 2048 })).id;
}

async function identity() {
  const made = await identities.userAssignedIdentities.createOrUpdate(group, identityName, { location: "local" });
  state.identity = made.id;
  state.subject = made.principalId ?? made.properties.principalId;
}

const grant = () => give("cccccccc-0000-4000-8000-000000000002", encryptionUser, state.subject);

async function account() {
  const begin = storage.storageAccounts.beginCreateAndWait ?? storage.storageAccounts.create;
  const made = await begin.call(storage.storageAccounts, group, accountName, {
    kind: "StorageV2",
    location: "local",
    sku: { name: "Standard_LRS" },
    identity: { type: "UserAssigned", userAssignedIdentities: { [state.identity]: {} } },
    encryption: {
      keySource: "Microsoft.Keyvault",
      encryptionIdentity: { encryptionUserAssignedIdentity: state.identity },
      keyVaultProperties: { keyName, keyVaultUri: state.uri },
    },
  });
  const now = made.encryption.keyVaultProperties.currentVersionedKeyIdentifier;
  must(now === state.first, `the account is under ${now}`);
  state.account = made.id;
  state.endpoint = made.primaryEndpoints.blob;
  const list = await storage.storageAccounts.listKeys(group, accountName);
  const shared = new StorageSharedKeyCredential(accountName, list.keys[0].value);
  state.blobs = new BlobServiceClient(made.primaryEndpoints.blob, shared, { retryOptions: { maxTries: 1 } });
}

const blob = () => state.blobs.getContainerClient("box").getBlockBlobClient("blob");

async function download() {
  must((await blob().downloadToBuffer()).equals(content), "the content differs");
}

async function upload() {
  await state.blobs.createContainer("box");
  await blob().uploadData(content);
  await download();
}

const once = { retryOptions: { maxTries: 1 } };
const service = (credential) => new BlobServiceClient(state.endpoint, credential, once);
const byToken = (credential) => service(credential).getContainerClient("box").getBlockBlobClient("by-token");

async function mustRefuse(f) {
  try {
    await f();
  } catch (e) {
    if (e.statusCode === 403 && e.code === "AuthorizationPermissionMismatch") return;
    throw e;
  }
  throw new Error("was not refused");
}

async function same(client) {
  must((await client.downloadToBuffer()).equals(content), "the content differs");
}

// token: the client's own token, refused without a role and let with one.
async function token() {
  const client = byToken(credential);
  await mustRefuse(() => client.uploadData(content));
  await give("cccccccc-0000-4000-8000-000000000003", blobContributor, env.COFFER_OBJECT_ID, state.account);
  await client.uploadData(content);
  await same(client);
}

// delegation: a SAS that is signed with a key which a token got.
async function delegation() {
  const now = new Date();
  const expiresOn = new Date(now.getTime() + 3_600_000);
  const key = await service(credential).getUserDelegationKey(now, expiresOn);
  const wish = { containerName: "box", blobName: "by-token", permissions: BlobSASPermissions.parse("r"), expiresOn };
  const sas = generateBlobSASQueryParameters(wish, key, accountName);
  const client = new BlockBlobClient(`${state.endpoint}box/by-token?${sas}`, undefined, once);
  await same(client);
  await mustRefuse(() => client.uploadData(content));
}

// managed: a managed identity of the machine, without any credential.
async function managed() {
  await give("cccccccc-0000-4000-8000-000000000004", blobReader, env.COFFER_MACHINE_ID, state.account);
  const client = byToken(new ManagedIdentityCredential());
  await same(client);
  await mustRefuse(() => client.uploadData(content));
}

async function rotate() {
  const want = (await keys().rotateKey(keyName)).id;
  await until(async () => {
    const got = await storage.storageAccounts.getProperties(group, accountName);
    const now = got.encryption.keyVaultProperties.currentVersionedKeyIdentifier;
    must(now === want, `the account is still under ${now}`);
  });
}

async function turn(enabled) {
  for await (const v of keys().listPropertiesOfKeyVersions(keyName)) {
    await keys().updateKeyProperties(keyName, v.version, { enabled });
  }
}

const refused = () =>
  until(async () => {
    try {
      await blob().download(); // one GET: the answer to a HEAD has no body to read a code from
    } catch (e) {
      if (e.statusCode === 403 && e.code === "KeyVaultEncryptionKeyNotFound") return;
      throw e;
    }
    throw new Error("read under a disabled key");
  });

async function scope() {
  const keyUri = `${state.uri.replace(/\/$/, "")}/keys/${keyName}`;
  const made = await storage.encryptionScopes.put(group, accountName, "tenant-a", {
    source: "Microsoft.KeyVault",
    keyVaultProperties: { keyUri },
  });
  must(made.source === "Microsoft.KeyVault", `the scope is under ${made.source}`);
}

async function remove() {
  await storage.storageAccounts.delete(group, accountName);
  await vaults.vaults.delete(group, vaultName);
}

const suite = new Suite();
suite.version("arm-storage, arm-keyvault, arm-msi, arm-authorization, keyvault-keys, identity");
for (const [name, f] of Object.entries({
  vault, key, identity, grant, account, upload, token, delegation, managed, rotate,
  disable: () => turn(false), refused, enable: () => turn(true), read: () => until(download), scope, delete: remove,
})) {
  await suite.step(name, f);
}
process.exit(suite.done());
