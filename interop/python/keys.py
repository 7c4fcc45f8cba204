"""The rounds with keys that the client chooses: the same that the Go and the
JavaScript client do."""

import base64
import datetime
import hashlib
import json
import os
import urllib.request

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import (
    AccountSasPermissions,
    BlobBlock,
    BlobClient,
    BlobSasPermissions,
    BlobServiceClient,
    CustomerProvidedEncryptionKey,
    ResourceTypes,
    generate_account_sas,
    generate_blob_sas,
)

from check import check, equal, refused, same

NEEDS_KEY = "BlobUsesCustomerSpecifiedEncryption"
OTHER_KEY = "BlobCustomerSpecifiedEncryptionMismatch"
DENIED = "RequestForbiddenByContainerEncryptionPolicy"
DISABLED = "EncryptionScopeDisabled"


def cpk(byte):
    k = bytes([byte]) * 32
    return CustomerProvidedEncryptionKey(base64.b64encode(k).decode(), base64.b64encode(hashlib.sha256(k).digest()).decode())


def only(f):
    """Runs f without a key and with a wrong one: both are refused."""
    refused(lambda: f(), 409, NEEDS_KEY)
    refused(lambda: f(cpk=cpk(2)), 409, OTHER_KEY)


def customer_key(cont):
    """A blob under a key that comes with each request."""
    b = cont.get_blob_client("customer-key.bin")
    mine = cpk(1)
    one = os.urandom(200000)
    if not cont.url.startswith("https:"):
        try:  # the client refuses to send a key over plain HTTP
            b.upload_blob(one, cpk=mine)
        except (ValueError, HttpResponseError):
            return
        raise AssertionError("a key went over plain HTTP")

    def echo(answer):
        equal(answer["encryption_key_sha256"], mine.key_hash, "hash")

    def read(content):
        same(b.download_blob(cpk=mine).readall(), content)
        same(b.download_blob(offset=70000, length=70000, cpk=mine).readall(), content[70000:140000])
        only(lambda **k: b.download_blob(**k).readall())
        p = b.get_blob_properties(cpk=mine)
        equal(p.encryption_key_sha256, mine.key_hash, "hash")
        equal(p.size, len(content), "size")
        check(p.server_encrypted)
        only(b.get_blob_properties)

    echo(b.upload_blob(one, cpk=mine, metadata={"under": "key"}))
    read(one)

    echo(b.set_blob_metadata({"second": "value"}, cpk=mine))
    equal(b.get_blob_properties(cpk=mine).metadata, {"second": "value"}, "metadata")
    only(lambda **k: b.set_blob_metadata({"third": "value"}, **k))

    # The listing shows the hash of the key, and hides the metadata. This client drops
    # the hash, so it is looked for in the answer as it came.
    raw = []
    listed = list(cont.list_blobs(name_starts_with="customer-key", include=["metadata"], raw_response_hook=lambda r: raw.append(r.http_response.text())))
    equal([(i.encrypted_metadata, "second" in (i.metadata or {})) for i in listed], [("true", False)], "listing")
    check(f"<CustomerProvidedKeySha256>{mine.key_hash}<" in raw[0], "the listing does not show the hash of the key")

    for i in range(3):
        echo(b.stage_block(f"block-{i}", one, cpk=mine))
    order = [BlobBlock("block-2"), BlobBlock("block-0")]
    only(lambda **k: b.commit_block_list(order, **k))
    echo(b.commit_block_list(order, cpk=mine))
    read(one + one)


def set_scope(account, method, name, **properties):
    """Makes a scope or changes its state, at the management endpoint."""
    url = (f"{os.environ['COFFER_MANAGEMENT']}/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage"
           f"/storageAccounts/{account}/encryptionScopes/{name}?api-version=2024-01-01")
    data = json.dumps({"properties": properties}).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as r:
        check(r.status in (200, 201), f"status {r.status}")
        got = json.load(r)["properties"]
    equal({k: got[k] for k in properties}, properties, "scope")


def double(mark):
    """What asks for a scope with infrastructure encryption, where a mark does."""
    return {"requireInfrastructureEncryption": True} if mark else {}


def scopes(svc, cont, mark=""):
    """Keys of their own inside the account, by header, container default and
    SAS. With a mark the scopes have infrastructure encryption."""
    name, account = cont.container_name, svc.credential.account_name
    a, b = f"a-{mark}{name}", f"b-{mark}{name}"
    for s in (a, b):
        set_scope(account, "PUT", s, state="Enabled", **double(mark))
    content = os.urandom(100000)

    by_header = cont.get_blob_client(f"scoped-{mark}header.bin")
    equal(by_header.upload_blob(content, encryption_scope=a)["encryption_scope"], a, "scope")
    same(by_header.download_blob().readall(), content)

    for i in range(3):
        equal(by_header.stage_block(f"block-{i}", content, encryption_scope=a)["encryption_scope"], a, "scope of a block")
    order = [BlobBlock("block-2"), BlobBlock("block-0")]
    refused(lambda: by_header.commit_block_list(order, encryption_scope=b), 409, OTHER_KEY)
    equal(by_header.commit_block_list(order, encryption_scope=a, metadata={"under": "scope"})["encryption_scope"], a, "scope of a list")
    same(by_header.download_blob().readall(), content + content)
    same(by_header.download_blob(offset=70000, length=70000).readall(), (content + content)[70000:140000])

    equal(by_header.get_blob_properties().encryption_scope, a, "scope of a read")
    refused(lambda: by_header.set_blob_metadata({"k": "v"}, encryption_scope=b), 409, OTHER_KEY)
    equal(by_header.set_blob_metadata({"k": "v"}, encryption_scope=a)["encryption_scope"], a, "scope of metadata")
    listed = cont.list_blobs(name_starts_with=by_header.blob_name, include=["metadata"])
    equal([(i.encryption_scope, i.metadata) for i in listed], [(a, {"k": "v"})], "listing")

    default = {"default_encryption_scope": a, "prevent_encryption_scope_override": True}
    box = svc.create_container(f"sc-{mark}{name}", container_encryption_scope=default)
    equal(box.get_container_properties().encryption_scope.default_encryption_scope, a, "container")
    by_default = box.get_blob_client("default.bin")
    equal(by_default.upload_blob(content)["encryption_scope"], a, "default scope")
    refused(lambda: by_default.upload_blob(content, overwrite=True, encryption_scope=b), 403, DENIED)

    by_sas(svc, name, mark, b, content)

    set_scope(account, "PATCH", a, state="Disabled")
    refused(lambda: by_header.download_blob().readall(), 403, DISABLED)
    refused(lambda: by_default.download_blob().readall(), 403, DISABLED)
    refused(lambda: by_default.upload_blob(content, overwrite=True), 403, DISABLED)
    set_scope(account, "PATCH", a, state="Enabled")
    same(by_default.download_blob().readall(), content)
    by_default.upload_blob(content, overwrite=True)
    box.delete_container()


def by_sas(svc, container, mark, scope, content):
    """Uploads without the header: with an account SAS and with that of one
    blob, which name the scope."""
    account, key = svc.credential.account_name, svc.credential.account_key
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    token = generate_account_sas(account, key, ResourceTypes(object=True), AccountSasPermissions(read=True, write=True, create=True),
                                 until, encryption_scope=scope)
    of_account = BlobServiceClient(svc.url, credential=token).get_blob_client(container, f"sas-{mark}account.bin")
    token = generate_blob_sas(account, container, f"sas-{mark}service.bin", account_key=key, expiry=until, encryption_scope=scope,
                              permission=BlobSasPermissions(read=True, write=True, create=True))
    of_blob = BlobClient(svc.url, container, f"sas-{mark}service.bin", credential=token)
    for b in (of_account, of_blob):
        equal(b.upload_blob(content)["encryption_scope"], scope, "scope of the SAS")
        same(b.download_blob().readall(), content)
