"""Writes and reads encrypted blobs and queue messages with the real Python SDK.

    sdk.py write PREFIX VERSION     blobs PREFIX/D-VERSION/KEY/SIZE
    sdk.py read PREFIX              checks every blob below PREFIX, whole and in ranges
    sdk.py misordered BLOB          ok if the SDK refuses a blob whose regions are swapped
    sdk.py queue-write FILE         envelopes that the queue SDK makes, one JSON list
    sdk.py bench FILE BLOB          times uploads and downloads of a file
    sdk.py queue-read FILE          opens the envelopes of such a list
    sdk.py refused BLOB             ok if the vault's refusal is why it cannot be read

Keys and the connection string come by environment; CSE_VAULT_KEY is the URL of a key
that replaces the local ones. Prints one line a check: ok or fail, a tab, its name.
"""

import base64
import json
import os
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

D = 4 * 1024 * 1024
SIZES = [0, 1, D - 1, D, D + 1, 3 * D + 7]


class AESKey:
    def __init__(self, kid, key):
        self.kid, self.key = kid, key

    def get_kid(self):
        return self.kid

    def get_key_wrap_algorithm(self):
        return "A256KW"

    def wrap_key(self, key):
        return aes_key_wrap(self.key, key)

    def unwrap_key(self, key, algorithm):
        if algorithm != "A256KW":
            raise ValueError("algorithm " + algorithm)
        return aes_key_unwrap(self.key, key)


class RSAKey:
    def __init__(self, kid, private):
        self.kid, self.private = kid, private

    def padding(self):
        return padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)

    def get_kid(self):
        return self.kid

    def get_key_wrap_algorithm(self):
        return "RSA-OAEP-256"

    def wrap_key(self, key):
        return self.private.public_key().encrypt(key, self.padding())

    def unwrap_key(self, key, algorithm):
        if algorithm != "RSA-OAEP-256":
            raise ValueError("algorithm " + algorithm)
        return self.private.decrypt(key, self.padding())


IN_VAULT = bool(os.environ.get("CSE_VAULT_KEY"))


def keys():
    if IN_VAULT:
        import vault

        return vault.keys()
    with open(os.environ["CSE_AES_KEY"], "rb") as f:
        aes = AESKey("aes1", base64.b64decode(f.read()))
    with open(os.environ["CSE_RSA_KEY"], "rb") as f:
        rsa = RSAKey("rsa1", serialization.load_pem_private_key(f.read(), None))
    return {"aes1": aes, "rsa1": rsa}


def main_key():
    """The key for what needs only one."""
    return keys()["RSA-OAEP-256" if IN_VAULT else "aes1"]


def resolver():
    """Finds the keys of the vault; None for local keys, which are given."""
    if not IN_VAULT:
        return None
    import vault

    return vault.resolve


def pattern(n, at=0):
    block = bytes(range(251))
    start = at % 251
    return (block * (n // 251 + 2))[start:start + n]


def ranges(size):
    """Ranges that touch the borders of regions."""
    wanted = [(0, 1), (0, size), (D - 1, 2), (D, 1), (5, D), (size - 1, 1), (size - 17, 17), (2 * D + 3, D)]
    return sorted({(o, min(n, size - o)) for o, n in wanted if 0 <= o < size and n > 0})


def report(ok, name, detail=""):
    print("ok" if ok else "fail", name + (": " + detail if detail else ""), sep="\t", flush=True)


def service():
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient.from_connection_string(os.environ["AZURE_STORAGE_CONNECTION_STRING"])


def encrypting(client, key, version):
    client.require_encryption = True
    client.key_encryption_key = key
    if version is not None and hasattr(client, "encryption_version"):
        client.encryption_version = version
    return client


def decrypting(client, key):
    """By the key; in a vault by the id that the blob names, which goes first."""
    client = encrypting(client, key, None)
    client.key_resolver_function = resolver()
    return client


def write(prefix, version):
    box = service().get_container_client("cse")
    for kid, key in keys().items():
        for size in SIZES:
            name = "%s/%d-%s/%s/%d" % (prefix, D, version, kid, size)
            try:
                client = encrypting(box.get_blob_client(name), key, version)
                client.upload_blob(pattern(size), overwrite=True)
                report(True, "write " + name)
            except Exception as e:
                report(False, "write " + name, repr(e))


def read(prefix):
    box = service().get_container_client("cse")
    all_keys = keys()
    n = 0
    for blob in box.list_blobs(name_starts_with=prefix + "/"):
        n += 1
        kid, size = blob.name.split("/")[-2], int(blob.name.split("/")[-1])
        client = decrypting(box.get_blob_client(blob.name), all_keys[kid])
        try:
            got = client.download_blob().readall()
            report(got == pattern(size), "read " + blob.name)
            bad = [r for r in ranges(size)
                   if client.download_blob(offset=r[0], length=r[1]).readall() != pattern(r[1], r[0])]
            report(not bad, "ranges " + blob.name, str(bad) if bad else "")
        except Exception as e:
            report(False, "read " + blob.name, repr(e))
    if n == 0:
        report(False, "read " + prefix, "there are no blobs")


def refused(name):
    import vault

    # 12.13.0 wants a key even where a resolver finds it.
    key = vault.VaultKey(os.environ["CSE_VAULT_KEY"], "RSA-OAEP-256")
    client = decrypting(service().get_blob_client("cse", name), key)
    try:
        client.download_blob().readall()
        report(False, "refused " + name, "it was read")
    except Exception as e:
        why = e  # the SDK raises its own error from the vault's
        while why is not None and not from_vault(why):
            why = why.__cause__ or why.__context__
        report(why is not None and why.status_code == 403, "refused " + name, repr(why or e))


def from_vault(error):
    response = getattr(error, "response", None)
    vault = os.environ["CSE_VAULT_KEY"].split("/keys/")[0] + "/"
    return response is not None and response.request.url.startswith(vault)


def misordered(name):
    client = encrypting(service().get_blob_client("cse", name), keys()["aes1"], None)
    try:
        client.download_blob().readall()
        print("note\taccepts swapped regions")
    except Exception as e:
        print("note\trefuses swapped regions: " + type(e).__name__)


def bench(path, name):
    import time

    client = encrypting(service().get_blob_client("cse", name), keys()["aes1"], "2.0")
    for _ in range(2):
        t0 = time.monotonic()
        with open(path, "rb") as f:
            client.upload_blob(f, overwrite=True, max_concurrency=5)
        t1 = time.monotonic()
        with open(path + ".python-out", "wb") as f:
            client.download_blob(max_concurrency=5).readinto(f)
        t2 = time.monotonic()
        print("bench\tpython\tupload %.3f s\tdownload %.3f s" % (t1 - t0, t2 - t1), flush=True)
    os.remove(path + ".python-out")


TEXTS = ["hello", "", "Grüße, 世界 & <xml>", "x" * 40000]


def queue_write(path):
    from azure.storage.queue._encryption import encrypt_queue_message

    key = main_key()
    out = []
    for text in TEXTS:
        for version in ("2.0", "1.0"):
            out.append({"text": text, "message": encrypt_queue_message(text, key, version)})
    with open(path, "w") as f:
        json.dump(out, f)
    report(True, "queue-write %d" % len(out))


def queue_read(path):
    from azure.storage.queue._encryption import decrypt_queue_message

    class Response:  # what the SDK passes, of which it uses nothing here
        http_response = None

    key, find = main_key(), resolver()
    with open(path) as f:
        for i, m in enumerate(json.load(f)):
            try:
                got = decrypt_queue_message(m["message"], Response(), True, None if find else key, find)
                report(got == m["text"], "queue-read %d" % i)
            except Exception as e:
                report(False, "queue-read %d" % i, repr(e))


if __name__ == "__main__":
    {"write": write, "read": read, "misordered": misordered, "bench": bench,
     "queue-write": queue_write, "queue-read": queue_read, "refused": refused}[sys.argv[1]](*sys.argv[2:])
