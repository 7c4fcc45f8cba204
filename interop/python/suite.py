"""Drives an unmodified azure-storage-blob against the endpoint in
AZURE_STORAGE_CONNECTION_STRING and reports every step for the interop matrix."""

import base64
import datetime
import hashlib
import os
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import azure.storage.blob
from azure.core import MatchConditions
from azure.storage.blob import (
    AccessPolicy,
    AccountSasPermissions,
    BlobBlock,
    BlobSasPermissions,
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    ContentSettings,
    ResourceTypes,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)

import keys
from check import check, equal, refused, same
from report import Suite

CONNECTION = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
if not CONNECTION:
    sys.exit("suite: AZURE_STORAGE_CONNECTION_STRING is not set")

svc = BlobServiceClient.from_connection_string(CONNECTION)
ACCOUNT = svc.credential.account_name
KEY = svc.credential.account_key
NAME = f"py-{time.time_ns():x}"
cont = svc.get_container_client(NAME)


def until():
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)


def container():
    cont.create_container(metadata={"MadeBy": "interop"})
    refused(cont.create_container, 409, "ContainerAlreadyExists")
    check(cont.exists())
    check(not svc.get_container_client(NAME + "-not").exists())
    found = list(svc.list_containers(name_starts_with=NAME, include_metadata=True))
    equal([c.name for c in found], [NAME])
    equal(found[0].metadata, {"MadeBy": "interop"})


def small():
    b = cont.get_blob_client("small.bin")
    content = os.urandom(4096)
    w = b.upload_blob(content, content_settings=ContentSettings(content_type="application/x-interop", cache_control="no-cache"))
    check(w["request_server_encrypted"])
    same(b.download_blob().readall(), content)
    p = b.get_blob_properties()
    equal(p.content_settings.content_type, "application/x-interop")
    equal(p.content_settings.cache_control, "no-cache")
    equal(bytes(p.content_settings.content_md5), hashlib.md5(content).digest())
    check(p.server_encrypted)
    equal(p.etag, w["etag"])


def empty():
    b = cont.get_blob_client("empty")
    b.upload_blob(b"")
    same(b.download_blob().readall(), b"")


def large():
    content = os.urandom(70 * 2**20 + 12345)  # over the single-put limit of the client
    b = cont.get_blob_client("large.bin")
    b.upload_blob(content, max_concurrency=6)
    same(b.download_blob(max_concurrency=6).readall(), content)


def names():
    every = ["with space.txt", "plus+plus", "per%20cent", "percent%", "a/b//c", "quote\"'.txt", "ümlaut/日本語/🙂", "semi;colon,comma", "q?mark#hash", "UPPER", "upper", "amp&ersand=1"]
    for n in every:
        b = cont.get_blob_client("names/" + n)
        b.upload_blob(n.encode())
        same(b.download_blob().readall(), n.encode())
        check("names/" + n in list(cont.list_blob_names(name_starts_with="names/" + n)), f"listing does not give back {n!r}")


LISTED = ["l/a/1", "l/a/2", "l/a/3", "l/b", "l/b/1", "l/c-1", "l/c/x/1", "l/c/x/2", "l/d"]


def put_listed():
    for n in LISTED:
        cont.upload_blob(n, n.encode(), overwrite=True)


def list_flat():
    put_listed()
    for size in range(1, len(LISTED) + 2):
        pages = [[b.name for b in p] for p in cont.list_blobs(name_starts_with="l/", results_per_page=size).by_page()]
        check(all(len(p) <= size for p in pages), f"a page is longer than {size}")
        equal([n for p in pages for n in p], LISTED, f"pages of {size}")


def list_tree():
    put_listed()
    want = ["l/a/", "l/b", "l/b/", "l/c-1", "l/c/", "l/d"]
    for size in range(1, 8):
        got = sorted(b.name for b in cont.walk_blobs(name_starts_with="l/", delimiter="/", results_per_page=size))
        equal(got, want, f"pages of {size}")


def ranges():
    for size in (1000, 32768, 32769, 200000, 5 * 2**20 + 3):
        content = os.urandom(size)
        b = cont.get_blob_client(f"range-{size}")
        b.upload_blob(content)
        for off, n in ((0, 1), (0, size), (size - 1, 1), (1, size - 2), (size // 2, size // 3)):
            same(b.download_blob(offset=off, length=n).readall(), content[off : off + n])
        same(b.download_blob(offset=size - 10).readall(), content[size - 10 :])
        refused(lambda: b.download_blob(offset=size, length=1).readall(), 416, "InvalidRange")


def blocks():
    b = cont.get_blob_client("blocks.bin")
    ids = [f"block-{i:05d}" for i in range(6)]
    parts = [os.urandom(n) for n in (1, 4096, 32769, 2**20, 3 * 2**20 + 17)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: b.stage_block(ids[i], parts[i], validate_content=True), range(len(parts))))
    equal(len(b.get_block_list("all")[1]), len(parts), "uncommitted")
    for order in ([3, 0, 4, 1, 2], [4, 4, 0]):
        b.commit_block_list([BlobBlock(ids[i]) for i in order])
        same(b.download_blob().readall(), b"".join(parts[i] for i in order))
        committed, uncommitted = b.get_block_list("all")
        equal([c.id for c in committed], [ids[i] for i in order], "committed")
        equal(len(uncommitted), 0, "uncommitted")
    refused(lambda: b.commit_block_list([BlobBlock("block-00099")]), 400, "InvalidBlockList")


def metadata():
    b = cont.get_blob_client("meta.bin")
    first = {"MixedCase": "One", "lower": "two", "UPPER_9": "three; four"}
    b.upload_blob(b"x", metadata=first)
    listed = list(cont.list_blobs(name_starts_with="meta.bin", include=["metadata"]))
    equal(listed[0].metadata, first, "in the listing")
    equal(b.get_blob_properties().metadata, first, "in headers")
    b.set_blob_metadata({"SecondSet": "v"})
    equal(b.get_blob_properties().metadata, {"SecondSet": "v"}, "in headers")
    b.set_http_headers(ContentSettings(content_type="text/x-new"))
    equal(b.get_blob_properties().content_settings.content_type, "text/x-new")
    same(b.download_blob().readall(), b"x")


def conditions():
    b = cont.get_blob_client("cond.bin")
    w = b.upload_blob(b"one")
    other = '"0x0000000000000001"'
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    wrong = {"etag": other, "match_condition": MatchConditions.IfNotModified}
    refused(lambda: b.upload_blob(b"two"), 409, "BlobAlreadyExists")
    refused(lambda: b.upload_blob(b"two", overwrite=True, **wrong), 412, "ConditionNotMet")
    refused(lambda: b.download_blob(**wrong).readall(), 412, "ConditionNotMet")
    refused(lambda: b.get_blob_properties(etag=w["etag"], match_condition=MatchConditions.IfModified), 304)
    refused(lambda: b.get_blob_properties(if_unmodified_since=past), 412)
    refused(lambda: b.delete_blob(**wrong), 412, "ConditionNotMet")
    b.upload_blob(b"two", overwrite=True, etag=w["etag"], match_condition=MatchConditions.IfNotModified)
    same(b.download_blob().readall(), b"two")


def checksums():
    b = cont.get_blob_client("checked.bin")
    content = os.urandom(300000)
    b.upload_blob(content, validate_content=True)
    same(b.download_blob(validate_content=True).readall(), content)
    bad = base64.b64encode(bytes(16)).decode()
    refused(lambda: b.stage_block("b1", content, headers={"Content-MD5": bad}), 400, "Md5Mismatch")


def fetch(url):
    """A GET without any SDK: status, headers and body."""
    try:
        with urllib.request.urlopen(url, timeout=60) as r:
            return r.status, r.headers, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read()


def sas_account():
    token = generate_account_sas(ACCOUNT, KEY, ResourceTypes(container=True, object=True, service=True), AccountSasPermissions(read=True, write=True, list=True, create=True), until())
    b = BlobServiceClient(svc.url, credential=token).get_blob_client(NAME, "sas/account.bin")
    b.upload_blob(b"sas")
    same(b.download_blob().readall(), b"sas")
    refused(b.delete_blob, 403, "AuthorizationPermissionMismatch")


def sas_service():
    content = os.urandom(60000)
    cont.upload_blob("sas/blob.bin", content)
    token = generate_container_sas(ACCOUNT, NAME, account_key=KEY, permission=ContainerSasPermissions(read=True, list=True), expiry=until())
    c = ContainerClient(svc.url, NAME, credential=token)
    same(c.download_blob("sas/blob.bin").readall(), content)
    check(list(c.list_blob_names()))
    refused(lambda: c.upload_blob("sas/blob.bin", b"x", overwrite=True), 403, "AuthorizationPermissionMismatch")
    url = cont.get_blob_client("sas/blob.bin").url
    token = generate_blob_sas(ACCOUNT, NAME, "sas/blob.bin", account_key=KEY, permission=BlobSasPermissions(read=True), expiry=until(), content_type="text/x-override")
    status, headers, body = fetch(f"{url}?{token}")
    equal(status, 200)
    equal(headers["Content-Type"], "text/x-override")
    same(body, content)
    equal(fetch(f"{url.replace('blob.bin', 'account.bin')}?{token}")[0], 403, "SAS moved to another blob")


def sas_policy():
    cont.upload_blob("sas/policy.bin", b"policy")
    cont.set_container_access_policy({"readers": AccessPolicy(permission=ContainerSasPermissions(read=True), start=datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1), expiry=until())})
    equal([p.id for p in cont.get_container_access_policy()["signed_identifiers"]], ["readers"])
    token = generate_blob_sas(ACCOUNT, NAME, "sas/policy.bin", account_key=KEY, policy_id="readers")
    url = cont.get_blob_client("sas/policy.bin").url
    equal(fetch(f"{url}?{token}")[0], 200)
    cont.set_container_access_policy({})
    equal(fetch(f"{url}?{token}")[0], 403, "after the policy is gone")


def double_account():
    """The rounds of keys in an account with infrastructure encryption."""
    double = BlobServiceClient.from_connection_string(os.environ["COFFER_DOUBLE_CONNECTION_STRING"])
    container = double.create_container(NAME)
    keys.customer_key(container)
    keys.scopes(double, container)


def service():
    check("sku_name" in svc.get_account_information())
    p = svc.get_service_properties()
    check("cors" in p and "hour_metrics" in p, "service properties are incomplete")


def errors():
    refused(lambda: cont.download_blob("nothing").readall(), 404, "BlobNotFound")
    refused(cont.get_blob_client("nothing").get_blob_properties, 404)
    refused(lambda: svc.get_blob_client("no-such-container", "x").download_blob(), 404, "ContainerNotFound")
    check(not cont.get_blob_client("nothing").exists())


def delete():
    b = cont.get_blob_client("gone")
    b.upload_blob(b"x")
    b.delete_blob()
    refused(b.delete_blob, 404, "BlobNotFound")
    cont.delete_container()
    refused(lambda: b.upload_blob(b"x"), 404)


def main():
    s = Suite()
    s.version(f"azure-storage-blob {azure.storage.blob.__version__}, python {sys.version.split()[0]}")
    for f in (container, small, empty, large, names, list_flat, list_tree, ranges, blocks, metadata, conditions, checksums, sas_account, sas_service, sas_policy):
        s.step(f.__name__.replace("_", "-"), f)
    s.step("customer-key", lambda: keys.customer_key(cont))
    s.step("scope", lambda: keys.scopes(svc, cont))
    s.step("double-scope", lambda: keys.scopes(svc, cont, "2-"))
    for f in (double_account, service, errors, delete):
        s.step(f.__name__.replace("_", "-"), f)
    sys.exit(s.done())


main()
