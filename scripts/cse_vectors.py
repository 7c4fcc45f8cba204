"""Open the vectors of client-side encryption (spec/testkit/cse/*.json).

Written from spec/client-side-encryption.md, for verify_vectors.py. A vector opens to what
it says, or fails for the reason that it says.
"""

import base64
import hashlib
import json

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_der_private_key


class Refused(Exception):
    """Its text is part of the reason that a vector states."""


def b64(s):
    return base64.b64decode(s, validate=True)


def oaep(h):
    return padding.OAEP(padding.MGF1(h()), h(), None)


RSA = {"RSA-OAEP": oaep(hashes.SHA1), "RSA-OAEP-256": oaep(hashes.SHA256), "RSA1_5": padding.PKCS1v15()}


def unwrap(file, v, wrapped):
    sealed, algorithm = b64(wrapped["EncryptedKey"]), wrapped["Algorithm"]
    if wrapped["KeyId"] == file.get("rsaKeyId"):
        return load_der_private_key(b64(file["rsaTestKeyPkcs8DerBase64"]), None).decrypt(sealed, RSA[algorithm])
    owner = v if "kekBase64" in v else file
    if (wrapped["KeyId"], algorithm) != (owner["kekId"], owner["kekAlgorithm"]):
        raise AssertionError(f"the key is {wrapped['KeyId']} by {algorithm}")
    try:
        return keywrap.aes_key_unwrap(b64(owner["kekBase64"]), sealed)
    except keywrap.InvalidUnwrap:
        raise Refused("integrity") from None


def content_key(file, v, data):
    """Protocol and content key."""
    protocol, algorithm = data["EncryptionAgent"]["Protocol"], data["EncryptionAgent"]["EncryptionAlgorithm"]
    if protocol not in ("1.0", "2.0", "2.1"):
        raise Refused("unsupported protocol")
    if algorithm != ("AES_CBC_256" if protocol == "1.0" else "AES_GCM_256"):
        raise Refused(f"protocol {protocol} with {algorithm}")
    if protocol != "1.0" and "EncryptedRegionInfo" not in data:
        raise Refused("EncryptedRegionInfo is required")
    key = unwrap(file, v, data["WrappedContentKey"])
    if protocol == "1.0":
        if len(key) != 32:
            raise Refused(f"unwrapped key is {len(key)} bytes")
        return protocol, key
    if len(key) != 40 or key[:8] != protocol.encode().ljust(8, b"\0"):
        raise Refused("version inside the wrapped key")
    return protocol, key[8:]


def open_cbc(key, iv, b, padded=True):
    d = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    p = d.update(b) + d.finalize()
    if not padded:
        return p
    n = p[-1]
    if not 1 <= n <= 16 or p[-n:] != bytes([n]) * n:
        raise Refused("authentication")
    return p[:-n]


NONCES = {
    "python": lambda i: i.to_bytes(12, "big"),
    "java": lambda i: i.to_bytes(8, "big") + bytes(4),
    "dotnet": lambda i: bytes(4) + (i + 1).to_bytes(8, "little"),
}


def open_regions(key, size, b, ordered=True):
    out, nonces = b"", []
    for at in range(0, len(b), size + 28):
        region = b[at : at + size + 28]
        nonces.append(region[:12])
        try:
            out += AESGCM(key).decrypt(region[:12], region[12:], b"")
        except (InvalidTag, ValueError):
            raise Refused("authentication") from None
    styles = [n for n, f in NONCES.items() if nonces == [f(i) for i in range(len(nonces))]]
    if ordered and not styles:
        raise Refused("region order")
    return out, styles


def body_of(v):
    """Large bodies are made again from their pattern, in Python's style of nonces."""
    if "plaintextPattern" not in v:
        return b64(v["ciphertextBase64"])
    p, key = pattern(v), AESGCM(b64(v["cekBase64"]))
    size = 4 << 20
    parts = [p[i : i + size] for i in range(0, len(p), size)]
    b = b"".join(NONCES["python"](i) + key.encrypt(NONCES["python"](i), r, b"") for i, r in enumerate(parts))
    same("hash of the body", hashlib.sha256(b).hexdigest(), v["ciphertextSha256"])
    return b


def pattern(v):
    n = v["plaintextLength"]
    return (bytes(range(251)) * (n // 251 + 1))[:n]


def same(what, got, want):
    if got != want:
        raise AssertionError(f"{what} is {str(got)[:80]}, want {str(want)[:80]}")


def open_blob(file, v):
    data = json.loads(v["encryptiondata"])
    protocol, key = content_key(file, v, data)
    if "cekBase64" in v:
        same("content key", key, b64(v["cekBase64"]))
    if protocol == "1.0":
        got = open_cbc(key, b64(data["ContentEncryptionIV"]), body_of(v), v["blobType"] != "PageBlob")
    else:
        got, styles = open_regions(key, data["EncryptedRegionInfo"]["DataLength"], body_of(v))
        if v.get("nonceStyle", styles[0] if styles else None) not in styles:
            raise AssertionError(f"nonces of {styles}, want {v['nonceStyle']}")
    want = pattern(v) if "plaintextPattern" in v else b64(v["plaintextBase64"])
    same("plaintext", got, want)
    for r in v.get("ranges", []):
        if "expectedPlaintextBase64" in r:
            end = None if r["plaintextLength"] is None else r["plaintextOffset"] + r["plaintextLength"]
            same("range", got[r["plaintextOffset"] : end], b64(r["expectedPlaintextBase64"]))


def open_message(file, v):
    text = json.loads(v["messageText"])
    data, b = text["EncryptionData"], b64(text["EncryptedMessageContents"])
    protocol, key = content_key(file, v, data)
    if protocol == "1.0":
        got = open_cbc(key, b64(data["ContentEncryptionIV"]), b)
    else:
        got, _ = open_regions(key, data["EncryptedRegionInfo"]["DataLength"], b, ordered=False)
    same("message", got.decode(), v["decryptedUtf8"])


def open_entity(file, v):
    e = json.loads(v["entityJson"])
    data = json.loads(e["_ClientEncryptionMetadata1"])
    _, key = content_key(file, v, data)

    def column(name):
        text = e["RowKey"] + e["PartitionKey"] + name
        iv = hashlib.sha256(b64(data["ContentEncryptionIV"]) + text.encode()).digest()[:16]
        same("IV of " + name, iv, b64(v["ivBase64"][name]))
        return open_cbc(key, iv, b64(e[name])).decode()

    same("list of properties", column("_ClientEncryptionMetadata2"), v["propertyListUtf8"])
    same("names", sorted(json.loads(v["propertyListUtf8"])), sorted(v["plaintext"]))
    for name, want in v["plaintext"].items():
        same(name, column(name), want)


def check(path):
    """Yield (name, "opened", "refused" or what is wrong) for every vector of a file."""
    file = json.loads(path.read_text())
    for v in file["vectors"]:
        reader = open_blob if "encryptiondata" in v else open_message if "messageText" in v else open_entity
        must_fail = v.get("expect", "").startswith("fail: ")
        try:
            reader(file, v)
            yield v["name"], "it opens" if must_fail else "opened"
        except Refused as r:
            ok = must_fail and str(r) in v["expect"]
            yield v["name"], "refused" if ok else f"refused: {r}, want {v.get('expect', 'it to open')}"
        except AssertionError as a:
            yield v["name"], str(a)
