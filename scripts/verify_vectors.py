#!/usr/bin/env python3
"""Open the vectors of spec/testkit without any of our Go code.

Usage: verify_vectors.py [DIR]     DIR: default spec/testkit beside this script

Every file is a case: what must open is opened and compared, what must fail must fail
in the class that the file gives. Written from spec/*.md with Python's hmac and the
AES of the package `cryptography`. Formats that this script does not know are named
and counted, and so are the files that it opened; none at all is a failure.
"""

import hashlib
import hmac
import pathlib
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Failure(Exception):
    """A refusal; its text is the class."""


def refuse(kind):
    raise Failure(kind + " failure" if kind != "mismatch" else kind)


# --- primitives -------------------------------------------------------------------


def enc(label, *fields):
    out = struct.pack(">H", len(label)) + label
    for f in fields:
        out += struct.pack(">I", len(f)) + f
    return out


def uint(n):
    return struct.pack(">Q", n)


def hkdf(ikm, salt, info, n):
    prk = hmac.digest(salt or bytes(32), ikm, "sha256")
    out, t, i = b"", b"", 1
    while len(out) < n:
        t = hmac.digest(prk, t + info + bytes([i]), "sha256")
        out += t
        i += 1
    return out[:n]


def gcm_open(key, aad, b):
    """b is nonce || ciphertext || tag."""
    try:
        return AESGCM(key).decrypt(b[:12], b[12:], aad)
    except InvalidTag:
        refuse("open")


def same(a, b):
    return hmac.compare_digest(a, b)


# --- formats ----------------------------------------------------------------------


def open_seal(key, keyref, aad, b):
    if len(b) < 94 or b[0] != 1 or b[1] != 1:
        refuse("format")
    if b[2:18] != keyref:
        refuse("keyref")
    info = enc(b"coffer/seal/v1", uint(1), uint(1), keyref, hashlib.sha256(aad).digest())
    k = hkdf(key, b[18:34], info, 64)
    if not same(k[32:], b[34:66]):
        refuse("open")
    return gcm_open(k[:32], b"", b[66:])


def open_value(key, keyref, aad, b):
    if len(b) < 61 or b[0] != 1:
        refuse("format")
    if b[1:17] != keyref:
        refuse("keyref")
    k = hkdf(key, b[17:33], enc(b"coffer/value/v1", uint(1), keyref), 32)
    return gcm_open(k, aad, b[33:])


def open_infra(key, keyref, aad, b):
    if len(b) < 97 or (len(b) - 97) % 16 or b[0] != 2:
        refuse("format")
    if b[1:17] != keyref:
        refuse("keyref")
    k = hkdf(key, b[17:33], enc(b"coffer/infra/cbc/v1", uint(2), keyref), 64)
    iv, ct, tag = b[33:49], b[49:-32], b[-32:]
    want = hmac.digest(k[:32], aad + iv + ct + uint(8 * len(aad)), "sha512")[:32]
    if not same(want, tag):
        refuse("open")
    d = Cipher(algorithms.AES(k[32:]), modes.CBC(iv)).decryptor()
    p = d.update(ct) + d.finalize()
    n = p[-1]
    if not 1 <= n <= 16 or p[-n:] != bytes([n]) * n:
        refuse("open")
    return p[:-n]


def is_value(b):
    return (len(b) >= 61 and b[0] == 1) or (len(b) >= 97 and (len(b) - 97) % 16 == 0 and b[0] == 2)


def split_row(b):
    if len(b) < 5 or b[0] != 1:
        refuse("format")
    (n,) = struct.unpack(">I", b[1:5])
    if n > len(b) - 5 or not is_value(b[5 : 5 + n]):
        refuse("format")
    return b[5 : 5 + n], b[5 + n :]


def decode_fields(b):
    out, last = [], 1
    while b:
        if b[0] < last or len(b) < 5:
            refuse("format")
        last = b[0]
        (n,) = struct.unpack(">I", b[1:5])
        if n > len(b) - 5:
            refuse("format")
        out.append(bytes([last]) + b[5 : 5 + n])
        b = b[5 + n :]
    return out


def open_chunk(dek, dek_id, owner, chunk_id, lg, n, b):
    if len(b) < 64 or b[:6] != b"CFC1\x01\x01" or not 9 <= b[6] <= 20 or b[7:16] != bytes(9):
        refuse("format")
    size = 1 << b[6]
    count = max(1, (n + size - 1) // size)
    if len(b) != 64 + n + 28 * count:
        refuse("format")
    if b[16:32] != chunk_id or b[6] != lg:
        refuse("open")
    k = hkdf(dek, chunk_id, enc(b"coffer/chunk/v1", b[:32], owner, dek_id), 64)
    if not same(k[32:], b[32:64]):
        refuse("open")
    out, at = b"", 64
    for i in range(count):
        end = min(at + size + 28, len(b))
        aad = enc(b"coffer/segment/v1", uint(i), uint(int(i == count - 1)))
        out += gcm_open(k[:32], aad, b[at:end])
        at = end
    return out


# --- cases ------------------------------------------------------------------------


class Case:
    def __init__(self, path):
        self.fields = []
        for line in path.read_text().splitlines():
            name, _, value = line.partition(":")
            self.fields.append((name, value.removeprefix(" ")))

    def text(self, name):
        return next((v for n, v in self.fields if n == name), "")

    def has(self, name):
        return any(n == name for n, _ in self.fields)

    def all(self, name):
        return [bytes.fromhex(v) for n, v in self.fields if n == name]

    def __getitem__(self, name):
        (b,) = self.all(name)
        return b


def equal(got, want):
    if got != want:
        raise AssertionError(f"got {got.hex()[:200]}, want {want.hex()[:200]}")


def run_enc(c):
    equal(enc(c.text("label").encode(), *c.all("field")), c["encoded"])


def run_hkdf(c):
    equal(hkdf(c["ikm"], c["salt"], c["info"], len(c["okm"])), c["okm"])


def run_seal(c):
    equal(open_seal(c["key"], c["keyref"], c["aad"], c["sealed"]), c["plaintext"])


def run_wrap(c):
    if len(c["wrap"]) != 126:
        refuse("format")
    equal(open_seal(c["kek"], c["keyref"], c["aad"], c["wrap"]), c["key"])


def run_kcv(c):
    text = enc(b"coffer/kcv/v1", c["chain"], uint(int(c.text("version"))))
    if not same(hmac.digest(c["key"], text, "sha256")[:16], c["kcv"]):
        refuse("mismatch")


def run_value(c):
    equal(open_value(c["key"], c["keyref"], c["aad"], c["sealed"]), c["plaintext"])


def run_infra(c):
    equal(open_infra(c["key"], c["keyref"], c["aad"], c["sealed"]), c["inner"])


def run_row(c):
    sys_, rest = split_row(c["row"])
    equal(sys_, c["sys"])
    equal(rest, c["rest"])


def run_fields(c):
    equal(b"|".join(decode_fields(c["encoded"])), b"|".join(c.all("field")))


def run_chunk(c):
    got = open_chunk(
        c["dek"], c["dek-id"], c["owner"], c["chunk-id"], int(c.text("lg")), int(c.text("n")), c["chunk"]
    )
    if c.has("plaintext-sha256"):
        equal(hashlib.sha256(got).digest(), c["plaintext-sha256"])
    else:
        equal(got, c["plaintext"])


RUN = {
    "enc": run_enc,
    "HKDF": run_hkdf,
    "SEAL-1": run_seal,
    "WRAP-1": run_wrap,
    "KCV": run_kcv,
    "VALUE-1": run_value,
    "INFRA-1": run_infra,
    "ROW": run_row,
    "FIELDS": run_fields,
    "CFC1": run_chunk,
}


def check(c):
    """Return what is wrong with a case, or None."""
    want = c.text("expect")
    try:
        RUN[c.text("format")](c)
        got = "ok"
    except Failure as f:
        got = str(f)
    except AssertionError as e:
        return f"opens to something else: {e}"
    return None if got == want else f"{got}, want {want}"


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "spec" / "testkit"
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    good = bad = failed = 0
    unknown = {}
    for path in sorted(root.rglob("*.txt")):
        c = Case(path)
        fmt = c.text("format")
        if fmt not in RUN:
            unknown[fmt] = unknown.get(fmt, 0) + 1
            continue
        wrong = check(c)
        if wrong:
            failed += 1
            print(f"FAIL {path.relative_to(root)} ({c.text('comment')}): {wrong}")
        elif c.text("expect") == "ok":
            good += 1
        else:
            bad += 1
    print(f"{good} opened, {bad} refused, {failed} failed")
    for fmt, n in sorted(unknown.items()):
        print(f"not known here: {fmt or 'no format'} ({n} files)")
    return 1 if failed or good == 0 or bad == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
