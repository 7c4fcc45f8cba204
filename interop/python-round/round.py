"""Makes the round of a customer's key with the unmodified management clients for
Python: vault, key, identity, grant, account under the key, upload, rotate, disable,
refused, enable, read. The configuration is that of a private cloud. Names of vaults
are looked up as a resolver would that sends everything below localhost here."""

import os
import socket
import sys
import time

from datetime import datetime, timedelta, timezone

from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential, ManagedIdentityCredential
from azure.keyvault.keys import KeyClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobClient, BlobSasPermissions, BlobServiceClient, generate_blob_sas

from report import Suite

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
GROUP = "coffer"
VAULT, KEY, IDENTITY, ACCOUNT = "round-python", "switch", "round-python-asks", "roundpython"
CRYPTO_OFFICER = "14b46e9e-c2b7-41b4-b07b-48a6ebf60603"
ENCRYPTION_USER = "e147488a-f6f5-4113-8e2d-b22465e65bf6"
BLOB_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
BLOB_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
CONTENT = b"your key, your switch " * 5000
PATIENCE = 30

resolve = socket.getaddrinfo


def resolve_localhost(host, *args, **kwargs):
    if isinstance(host, str) and host.endswith(".localhost"):
        host = "127.0.0.1"
    return resolve(host, *args, **kwargs)


socket.getaddrinfo = resolve_localhost

MANAGEMENT = os.environ["COFFER_MANAGEMENT"].replace("http://", "https://")
AUDIENCE = "https://management.localhost"

credential = ClientSecretCredential(
    os.environ["AZURE_TENANT_ID"],
    os.environ["AZURE_CLIENT_ID"],
    os.environ["AZURE_CLIENT_SECRET"],
    authority=os.environ["AZURE_AUTHORITY_HOST"],
    disable_instance_discovery=True,
)
private = {"base_url": MANAGEMENT, "credential_scopes": [AUDIENCE + "/.default"]}
vaults = KeyVaultManagementClient(credential, SUBSCRIPTION, **private)
roles = AuthorizationManagementClient(credential, SUBSCRIPTION, **private)
identities = ManagedServiceIdentityClient(credential, SUBSCRIPTION, **private)
storage = StorageManagementClient(credential, SUBSCRIPTION, **private)

state = {}


def until(f):
    """Asks again until f answers well."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return f()
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def vault():
    made = vaults.vaults.begin_create_or_update(
        GROUP,
        VAULT,
        {
            "location": "local",
            "properties": {
                "tenantId": os.environ["AZURE_TENANT_ID"],
                "sku": {"family": "A", "name": "standard"},
                "enablePurgeProtection": True,
                "enableRbacAuthorization": True,
            },
        },
    ).result()
    state["vault"], state["uri"] = made.id, made.properties.vault_uri


def give(name, role, principal, scope=None):
    roles.role_assignments.create(
        scope or state["vault"],
        name,
        {
            "properties": {
                "roleDefinitionId": f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}",
                "principalId": principal,
                "principalType": "ServicePrincipal",
            }
        },
    )


def keys():
    return KeyClient(state["uri"], credential)


def key():
    give("bbbbbbbb-0000-4000-8000-000000000001", CRYPTO_OFFICER, os.environ["COFFER_OBJECT_ID"])
    state["first"] = keys().create_rsa_key(KEY, size=2048).id


def identity():
    made = identities.user_assigned_identities.create_or_update(GROUP, IDENTITY, {"location": "local"})
    got = made.as_dict()
    state["identity"], state["subject"] = made.id, got.get("principal_id") or got["properties"]["principalId"]


def grant():
    give("bbbbbbbb-0000-4000-8000-000000000002", ENCRYPTION_USER, state["subject"])


def account():
    made = storage.storage_accounts.begin_create(
        GROUP,
        ACCOUNT,
        {
            "kind": "StorageV2",
            "location": "local",
            "sku": {"name": "Standard_GRS"},
            "identity": {"type": "UserAssigned", "userAssignedIdentities": {state["identity"]: {}}},
            "properties": {
                "encryption": {
                    "keySource": "Microsoft.Keyvault",
                    "identity": {"userAssignedIdentity": state["identity"]},
                    "keyvaultproperties": {"keyname": KEY, "keyvaulturi": state["uri"]},
                }
            },
        },
    ).result()
    now = made.encryption.key_vault_properties.current_versioned_key_identifier
    if now != state["first"]:
        raise AssertionError(f"the account is under {now}")
    if made.status_of_secondary != "unavailable":
        raise AssertionError(f"a second region is said to be {made.status_of_secondary}")
    state["account"], state["endpoint"] = made.id, made.primary_endpoints.blob
    value = storage.storage_accounts.list_keys(GROUP, ACCOUNT).as_dict()["keys"][0]["value"]
    state["blobs"] = BlobServiceClient(made.primary_endpoints.blob, credential={"account_name": ACCOUNT, "account_key": value}, retry_total=0)


def blob():
    return state["blobs"].get_blob_client("box", "blob")


def download():
    if blob().download_blob().readall() != CONTENT:
        raise AssertionError("the content differs")


def upload():
    state["blobs"].create_container("box")
    blob().upload_blob(CONTENT)
    download()


def by_token(credential):
    """The blob of the steps with tokens, by a client that shows those of credential."""
    return BlobServiceClient(state["endpoint"], credential=credential, retry_total=0).get_blob_client("box", "by-token")


def must_refuse(f):
    try:
        f()
    except HttpResponseError as e:
        if e.status_code == 403 and e.error_code == "AuthorizationPermissionMismatch":
            return
        raise
    raise AssertionError("was not refused")


def same(client):
    if client.download_blob().readall() != CONTENT:
        raise AssertionError("the content differs")


def token():
    """The client's own token: refused without a role, let with one."""
    client = by_token(credential)
    must_refuse(lambda: client.upload_blob(CONTENT))
    give("bbbbbbbb-0000-4000-8000-000000000003", BLOB_CONTRIBUTOR, os.environ["COFFER_OBJECT_ID"], state["account"])
    client.upload_blob(CONTENT)
    same(client)


def delegation():
    """A SAS that is signed with a key which a token got."""
    now = datetime.now(timezone.utc)
    service = BlobServiceClient(state["endpoint"], credential=credential, retry_total=0)
    key = service.get_user_delegation_key(now, now + timedelta(hours=1))
    sas = generate_blob_sas(
        ACCOUNT, "box", "by-token", user_delegation_key=key, permission=BlobSasPermissions(read=True), expiry=now + timedelta(hours=1)
    )
    client = BlobClient.from_blob_url(f"{state['endpoint']}box/by-token?{sas}", retry_total=0)
    same(client)
    must_refuse(lambda: client.upload_blob(CONTENT, overwrite=True))


def managed():
    """A managed identity of the machine, without any credential."""
    give("bbbbbbbb-0000-4000-8000-000000000004", BLOB_READER, os.environ["COFFER_MACHINE_ID"], state["account"])
    client = by_token(ManagedIdentityCredential())
    same(client)
    must_refuse(lambda: client.upload_blob(CONTENT, overwrite=True))


def rotate():
    want = keys().rotate_key(KEY).id

    def followed():
        got = storage.storage_accounts.get_properties(GROUP, ACCOUNT)
        now = got.encryption.key_vault_properties.current_versioned_key_identifier
        if now != want:
            raise AssertionError(f"the account is still under {now}")

    until(followed)


def switch(on):
    for version in keys().list_properties_of_key_versions(KEY):
        keys().update_key_properties(KEY, version.version, enabled=on)


def refused():
    def once():
        try:
            download()
        except HttpResponseError as e:
            if e.status_code == 403 and e.error_code == "KeyVaultEncryptionKeyNotFound":
                return
            raise
        raise AssertionError("read under a disabled key")

    until(once)


def scope():
    uri = state["uri"].rstrip("/") + "/keys/" + KEY
    made = storage.encryption_scopes.put(
        GROUP, ACCOUNT, "tenant-a", {"properties": {"source": "Microsoft.KeyVault", "keyVaultProperties": {"keyUri": uri}}}
    )
    if made.source != "Microsoft.KeyVault":
        raise AssertionError(f"the scope is under {made.source}")


def remove():
    storage.storage_accounts.delete(GROUP, ACCOUNT)
    vaults.vaults.delete(GROUP, VAULT)


suite = Suite()
suite.version("azure-mgmt-storage, -keyvault, -msi, -authorization, azure-keyvault-keys, azure-identity")
for name, step in [
    ("vault", vault),
    ("key", key),
    ("identity", identity),
    ("grant", grant),
    ("account", account),
    ("upload", upload),
    ("token", token),
    ("delegation", delegation),
    ("managed", managed),
    ("rotate", rotate),
    ("disable", lambda: switch(False)),
    ("refused", refused),
    ("enable", lambda: switch(True)),
    ("read", lambda: until(download)),
    ("scope", scope),
    ("delete", remove),
]:
    suite.step(name, step)
sys.exit(suite.done())
