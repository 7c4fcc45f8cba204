#!/usr/bin/env python3
"""Open the vectors of spec/testkit without any of our Go code.

Usage: verify_vectors.py [DIR]     DIR: default spec/testkit beside this script

Every text file is a case, every JSON file a list of them: what must open is opened and
compared, what must fail must fail in the class that the file gives. Written from
spec/*.md with Python's hmac and the AES of the package `cryptography`. All that was read
is counted; a format that this script does not know is a failure.
"""

import hashlib
import hmac
import pathlib
import struct
import sys

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

import cse_vectors


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


def open_file(vfsk, kref, cls, area, number, store, b):
    """CFV1. Returns the plaintext and, of a log, how it ends."""
    if len(b) < 104 or b[:6] != b"CFV1\x01\x01" or b[6] not in (1, 2) or b[7] not in (1, 2):
        refuse("format")
    if b[6] != cls or b[7] != area:
        refuse("format")
    if b[8:24] != kref:
        refuse("keyref")
    k = hkdf(vfsk, b[40:72], enc(b"coffer/vfs/v1", b[:72], uint(cls), uint(number), store), 72)
    if not same(k[32:64], b[72:104]):
        refuse("open")
    if cls == 1:
        return open_table(k[:32], b[104:]), None
    return open_log(k[:32], k[64:], b)


def open_table(key, b):
    count = max(1, (len(b) + 4123) // 4124)
    last = len(b) - (count - 1) * 4124
    if last < 28 or (last == 28 and count > 1):
        refuse("format")
    out = b""
    for i in range(count):
        aad = enc(b"coffer/vfs/frame/v1", uint(i), uint(int(i == count - 1)))
        out += gcm_open(key, aad, b[i * 4124 : (i + 1) * 4124])
    return out


def open_frame(key, marker, b, at):
    """The frame at that place as (seq, synced, plaintext, end), or None."""
    if b[at : at + 8] != marker or len(b) < at + 56:
        return None
    n, seq, synced = struct.unpack(">IQQ", b[at + 8 : at + 28])
    end = at + 56 + n
    if n > 1 << 20 or seq >= 1 << 32 or synced >= seq or len(b) < end:
        return None
    try:
        p = gcm_open(key, enc(b"coffer/vfs/append/v1", b[at : at + 28]), b[at + 28 : end])
    except Failure:
        return None
    return seq, synced, p, end


def open_log(key, marker, b):
    out, seq, synced, at = b"", 0, 0, 104
    while True:
        f = open_frame(key, marker, b, at)
        if f is None or f[0] != seq + 1 or f[1] < synced:
            break
        seq, synced, p, at = f
        out += p
        if not p:
            if at != len(b):
                refuse("tail")
            return out, (seq, synced, 1, 0)
    # Nothing behind may say that the next frame was durable.
    place = b.find(marker, at)
    while place >= 0:
        f = open_frame(key, marker, b, place)
        if f is not None and f[0] > seq + 1 and f[1] >= seq + 1:
            refuse("tail")
        place = b.find(marker, place + 1)
    return out, (seq, synced, 0, len(b) - at)


# --- rows -------------------------------------------------------------------------


def is_protector(b):
    return 1 <= b[0] <= 6 and (b[0] == 5) == (b[1:] == bytes(16))


class SYS:
    """The plaintext of SYS, without a table of a content row."""

    def __init__(self, b):
        self.single = {}  # tags that are there once
        self.deks, self.refs, self.parts, self.marks, self.names, self.fields = [], [], [], [], [], []
        read = {1: self.cls, 2: self.dek, 3: self.ref, 4: self.part, 5: self.cpk, 6: self.chunk}
        read |= {16: self.mark, 17: self.map, 18: self.name}
        for f in decode_fields(b):
            tag, v = f[0], Fields(f[1:])
            if tag >= 32:
                self.fields.append((tag, v.b))
                continue
            if tag not in read:
                refuse("format")
            read[tag](v)
            v.end()
        if "class" not in self.single:
            refuse("format")
        self.pieces = self.grouped()

    def once(self, name, value):
        if name in self.single:
            refuse("format")
        self.single[name] = value

    def cls(self, f):
        n = f.int(1)
        f.need(n in (1, 2))
        self.once("class", n)

    def dek(self, f):
        key, protector, form, at = f.take(16), f.take(17), f.int(1), f.int(8)
        wrap = f.take(len(f.b))
        f.need(is_protector(protector) and len(self.deks) < 255)
        f.need((form, len(wrap), protector[0] == 5) in ((1, 126, False), (2, 190, True)))
        f.need(all(key != d[0] for d in self.deks))
        self.deks.append((key, protector, form, at, wrap))

    def ref(self, f):
        self.refs.append((f.int(8), f.take(16), f.int(1), f.int(4), f.int(4)))

    def part(self, f):
        p = (f.int(1), f.take(17), f.take(16), f.take(16), f.int(4))
        f.need(p[0] in (1, 2) and is_protector(p[1]))
        self.parts.append(p)

    def cpk(self, f):
        self.once("cpk", f.take(32))

    def chunk(self, f):
        lg, n, stored, crc, state = f.int(1), f.int(4), f.int(4), f.int(4), f.int(1)
        f.need(9 <= lg <= 20 and 0 < n <= 64 << 20 and 1 <= state <= 3)
        f.need(stored == 64 + n + 28 * -(-n // (1 << lg)))
        place = None
        if f.b:
            place = (f.take(16), f.int(8), f.int(8))
            f.need(place != (bytes(16), 0, 0) and place[2] == stored)
        self.once("chunk", ((lg, n, stored, crc, state), place))

    def mark(self, f):
        self.marks.append((f.int(4), f.take(len(f.b))))

    def map(self, f):
        m = (f.take(16), f.int(8), f.int(4))
        f.need(m[1] > 0 and m[2] > 0)
        self.once("map", m)

    def name(self, f):
        self.names.append(f.take(16))

    def grouped(self):
        """References and marks put together, as (label, references)."""
        table = [d[0] for d in self.deks] or self.names
        if self.names and (self.deks or len(self.names) > 255):
            refuse("format")
        if not self.refs:
            if self.marks or self.names:
                refuse("format")
            return []
        if "map" in self.single or (len(self.marks) == 1 and not self.marks[0][1]):
            refuse("format")
        at, used, pieces, rest = 0, [], [], self.refs
        for n, label in self.marks or [(len(rest), b"")]:
            if not 0 < n <= len(rest):
                refuse("format")
            piece, rest = rest[:n], rest[n:]
            for offset, _, index, _, length in piece:
                if offset != at or index >= len(table) or length == 0:
                    refuse("format")
                at += length
                if table[index] not in used:
                    used.append(table[index])
            pieces.append((label, [(r[1], table[r[2]], r[3], r[4]) for r in piece]))
        if rest or (self.names and self.names != used):
            refuse("format")
        return pieces

    def holds(self):
        """What it holds, as the lines of a vector."""
        out = [("class", self.single["class"])]
        out += [("dek", *d) for d in self.deks]
        for label, refs in self.pieces:
            out.append(("piece", sum(r[3] for r in refs), label))
            out += [("ref", *r) for r in refs]
        out += [("part", *p) for p in self.parts]
        if "cpk" in self.single:
            out.append(("cpk", self.single["cpk"]))
        if "chunk" in self.single:
            words, place = self.single["chunk"]
            out.append(("chunk", *words))
            if place:
                out.append(("place", *place))
        if "map" in self.single:
            out.append(("map", *self.single["map"]))
        out += [("field", *f) for f in self.fields]
        return [" ".join(w.hex() if isinstance(w, bytes) else str(w) for w in line).rstrip() for line in out]


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

    def texts(self, name):
        return [v for n, v in self.fields if n == name]

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


def run_cpk(c):
    w = c["wrap"]
    if len(w) != 190:
        refuse("format")
    salt, owner, dek = w[:32], c["owner"], c["dek"]
    if not same(hkdf(c["customer"], salt, enc(b"coffer/cpk/verify/v1", owner, dek), 32), w[32:64]):
        refuse("mismatch")
    ckek = hkdf(c["customer"], salt, enc(b"coffer/cpk/kek/v1", owner, dek), 32)
    protector = bytes([5]) + bytes(16)
    aad = enc(b"coffer/wrap/dek/v1", uint(1), owner, protector, bytes(16), uint(0), dek)
    equal(open_seal(ckek, bytes(16), aad, w[64:]), c["key"])


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


def run_sys(c):
    got, want = SYS(c["encoded"]).holds(), c.texts("holds")
    if got != want:
        raise AssertionError(f"holds {got}, want {want}")


def run_chunk(c):
    got = open_chunk(
        c["dek"], c["dek-id"], c["owner"], c["chunk-id"], int(c.text("lg")), int(c.text("n")), c["chunk"]
    )
    if c.has("plaintext-sha256"):
        equal(hashlib.sha256(got).digest(), c["plaintext-sha256"])
    else:
        equal(got, c["plaintext"])


def run_file(c):
    numbers = [int(c.text(n)) for n in ("class", "area", "number")]
    got, end = open_file(c["vfsk"], c["vfsk-kref"], *numbers, c["store"], c["file"])
    if c.has("plaintext-sha256"):
        equal(hashlib.sha256(got).digest(), c["plaintext-sha256"])
    else:
        equal(got, c["plaintext"])
    if end is not None and end != tuple(int(c.text(n)) for n in ("seq", "synced", "ended", "lost")):
        raise AssertionError(f"ends with {end}")


# --- key store --------------------------------------------------------------------


class Fields:
    """Reads fields in order; running out is a format failure."""

    def __init__(self, b):
        self.b = b

    def take(self, n):
        if n > len(self.b):
            refuse("format")
        out, self.b = self.b[:n], self.b[n:]
        return out

    def int(self, n):
        return int.from_bytes(self.take(n), "big")

    def var(self, limit=4096):
        n = self.int(4)
        if n > limit:
            refuse("format")
        return self.take(n)

    def need(self, ok):
        if not ok:
            refuse("format")

    def end(self):
        self.need(not self.b)


def ascending(ids):
    return all(a < b for a, b in zip(ids, ids[1:]))


def parse_cfks(b):
    f = Fields(b)
    f.need(f.take(4) == b"CFKS" and f.int(1) == 1 and f.int(1) == 1)
    f.need(f.int(1) <= 1 and f.int(1) == 0)
    out = {"store": f.take(16), "generation": f.int(8), "srk": f.take(16), "irk": f.take(16)}
    out["identity"], out["slots"] = f.take(32), []
    f.need(out["generation"] > 0 and out["srk"] != out["irk"])
    n = f.int(2)
    f.need(n <= 64)
    for _ in range(n):
        slot = (f.take(16), f.int(1), f.int(1), f.var(16384), f.var(16384))
        f.need(slot[1] in (1, 2) and 1 <= slot[2] <= 6)
        out["slots"].append(slot)
    f.need(ascending([s[0] for s in out["slots"]]))
    out["head"] = b[: len(b) - len(f.b)]
    out["body"] = f.var(64 << 20)
    f.need(len(out["body"]) >= 94)
    out["signed"] = b[: len(b) - len(f.b)]
    out["signature"] = f.take(64)
    f.end()
    return out


def parse_version(f, kind):
    v = {"number": f.int(8), "kref": f.take(16), "state": f.int(1), "times": [f.int(8) for _ in range(5)]}
    f.need(1 <= v["state"] <= 5 and max(v["times"]) < 1 << 63)
    by = f.var()
    v["public"] = f.var(32) if kind in (5, 6) else b""
    f.need(kind not in (5, 6) or len(v["public"]) == 32)
    v["kcv"] = f.take(16)
    v["secrets"] = [(f.int(1), f.take(16), f.take(126)) for _ in range(f.int(1))]
    gone = v["state"] == 5
    f.need(gone == (v["times"][4] != 0) and gone == (not v["secrets"]) and (gone or not by))
    f.need(kind == 1 or len(v["secrets"]) <= 1)
    f.need(ascending([s[:2] for s in v["secrets"]]))
    for form, w, _ in v["secrets"]:
        f.need(form in {4: (2,), 1: (1, 3)}.get(kind, (1,)))
        f.need((form == 3) == (w != bytes(16)))
    return v


def parse_chain(f, krefs):
    c = {"id": f.take(16), "kind": f.int(1), "owner": f.take(16), "protector": f.take(17)}
    f.need(1 <= c["kind"] <= 6 and f.int(8) <= 1 << 33)
    f.need((c["kind"] == 1) == (c["protector"] != bytes(17)))
    c["versions"] = [parse_version(f, c["kind"]) for _ in range(f.int(4))]
    f.need([v["number"] for v in c["versions"]] == list(range(1, len(c["versions"]) + 1)))
    f.need(c["versions"] and sum(v["state"] == 2 for v in c["versions"]) <= 1)
    for v in c["versions"]:
        f.need(v["kref"] not in krefs and v["kref"] != bytes(16))
        krefs.add(v["kref"])
    return c


def parse_wrapping(f):
    w = {"w": f.take(16), "role": f.int(1), "uri": f.var()}
    f.need(1 <= w["role"] <= 3 and w["uri"] and w["w"] != bytes(16))
    f.need(f.int(1) <= 1)
    f.var(), f.var()
    w["r"], w["blob"] = f.take(126), f.var(1024)
    f.need(w["blob"])
    f.int(8), f.int(8)
    return w


def parse_body(b):
    f = Fields(b)
    f.need(f.int(1) == 1 and f.int(1) & ~3 == 0 and f.int(8) <= 1 << 33)
    krefs = set()
    chains = [parse_chain(f, krefs) for _ in range(f.int(4))]
    f.need(ascending([c["id"] for c in chains]) and sum(c["kind"] == 5 for c in chains) == 1)
    by_id = {c["id"]: c for c in chains}
    protectors = []
    for _ in range(f.int(4)):
        protector, owner, chain = f.take(17), f.take(16), f.take(16)
        f.need(1 <= f.int(1) <= 3 and f.int(1) <= 1)
        f.int(8)
        wrappings = [parse_wrapping(f) for _ in range(f.int(4))]
        c = by_id.get(chain)
        f.need(c and c["kind"] == 1 and c["protector"] == protector and c["owner"] == owner)
        f.need(ascending([w["w"] for w in wrappings]))
        f.need(len({w["role"] for w in wrappings}) == len(wrappings))
        named = {w["w"] for w in wrappings}
        f.need(all(form != 3 or w in named for v in c["versions"] for form, w, _ in v["secrets"]))
        c["current"] = next((w for w in wrappings if w["role"] == 1), None)
        protectors.append(protector)
    f.need(ascending(protectors) and len(protectors) == sum(c["kind"] == 1 for c in chains))
    facts = []
    for _ in range(f.int(4)):
        facts.append(f.take(16))
        f.var()
        f.take(24)
    f.need(ascending(facts))
    f.end()
    return chains


def open_root(f, root, u):
    slot, _, provider, params, blob = next(s for s in f["slots"] if s[1] == root)
    ref = f["srk"] if root == 1 else f["irk"]
    if len(blob) != 126:
        refuse("format")
    aad = enc(b"coffer/slot/v1", f["store"], slot, uint(root), ref, uint(provider), params)
    key = open_seal(u, slot, aad, blob)
    return hkdf(key, f["store"], enc(b"coffer/root/v1", uint(root), ref), 32)


def verify_signature(f):
    try:
        key = Ed25519PublicKey.from_public_bytes(f["identity"])
        key.verify(f["signature"], enc(b"coffer/keystore/sig/v1", f["signed"]))
    except InvalidSignature:
        refuse("open")


def run_cfks(c):
    f = parse_cfks(c["file"])
    sk = open_root(f, 1, c["service-secret"])
    if not same(hashlib.sha256(enc(b"coffer/identity/v1", f["identity"])).digest(), c["pin"]):
        refuse("mismatch")
    verify_signature(f)
    chains = parse_body(open_seal(sk, f["srk"], enc(b"coffer/keystore/v1", f["head"]), f["body"]))
    identity = next(ch for ch in chains if ch["kind"] == 5)
    if next(v for v in identity["versions"] if v["state"] == 2)["public"] != f["identity"]:
        refuse("format")
    ik = open_root(f, 2, c["infra-secret"])
    opened = 0
    for ch in chains:
        under, in_force = {1: (sk, f["srk"]), 2: (ik, f["irk"])}, bytes(16)
        if ch.get("current"):
            w = ch["current"]
            in_force = w["w"]
            under = {3: (customer_key(c["vault-key"], f["store"], sk, f["srk"], ch, w), in_force)}
        for v in ch["versions"]:
            for form, w, wrap in v["secrets"]:
                if form in under and w == in_force:
                    open_version(f, ch, v, under[form], wrap)
                    opened += 1
    if opened < 7:
        raise AssertionError(f"only {opened} keys")


def open_version(f, ch, v, under, wrap):
    aad = enc(
        b"coffer/key/v1", f["store"], ch["id"], uint(ch["kind"]), ch["owner"],
        ch["protector"], uint(v["number"]), v["kref"],
    )
    key = open_seal(*under, aad, wrap)
    if not same(hmac.digest(key, enc(b"coffer/kcv/v1", ch["id"], uint(v["number"])), "sha256")[:16], v["kcv"]):
        refuse("mismatch")
    return key


def customer_key(vault_key, store, sk, srk, ch, w):
    """K of a wrapping: what the vault unwraps, joined with R of the key store."""
    try:
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        p = load_der_private_key(vault_key, None).decrypt(w["blob"], oaep)
    except ValueError:
        refuse("open")
    if len(p) != 32:
        refuse("format")
    r = open_seal(sk, srk, enc(b"coffer/cmk/r/v1", store, ch["protector"], w["w"]), w["r"])
    return hkdf(r + p, w["w"], enc(b"coffer/cmk/v1", ch["owner"], ch["protector"], w["uri"]), 32)


def run_cmk(c):
    """One version of a KEK under a customer's key."""
    w = {"w": c["w"], "uri": c.text("key-uri").encode(), "r": c["r"], "blob": c["wrapped"]}
    ch = {"id": c["chain"], "kind": 1, "owner": c["owner"], "protector": c["protector"]}
    v = {"number": int(c.text("version")), "kref": c["kref"], "kcv": c["kcv"]}
    k = customer_key(c["vault-key"], c["store"], c["seal-key"], c["srk-ref"], ch, w)
    equal(open_version({"store": c["store"]}, ch, v, (k, c["w"]), c["secret"]), c["kek"])


def run_recovery(c):
    params, provider = c["params"], int(c.text("provider"))
    n = int.from_bytes(params[:4], "big")
    first, sealed = params[4 : 4 + n], params[4 + n :]
    if provider == 5:
        salt, rounds, spki = first[:16], int.from_bytes(first[16:20], "big"), first[20:]
        if not 600_000 <= rounds <= 10_000_000:
            refuse("format")
        u = hashlib.pbkdf2_hmac("sha256", c.text("passphrase").encode(), salt, rounds, 32)
    else:
        spki, u = first[2:], c["u"]
        if not 1 <= first[0] <= first[1]:
            refuse("format")
    try:
        public = load_der_public_key(spki)
    except ValueError:
        refuse("format")
    if public.key_size != 3072 or public.public_numbers().e != 65537:
        refuse("format")
    store, slot, root = c["store"], c["slot"], uint(int(c.text("root")))
    inner = open_seal(u, slot, enc(b"coffer/slot/private/v1", store, slot, root, uint(provider), first), sealed)
    key = load_der_private_key(inner[32:], None)
    label = enc(b"coffer/slot/v1", store, slot, root, c["ref"], uint(provider), params)
    try:
        got = key.decrypt(c["blob"], padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label))
    except ValueError:
        refuse("open")
    if len(got) != 32:
        refuse("format")
    equal(inner[:32], c["pin"])
    equal(got, c["secret"])


def parse_share(text):
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    text = text.upper().replace("-", "").replace("O", "0").replace("I", "1").replace("L", "1")
    if len(text) != 60 or any(ch not in alphabet for ch in text):
        refuse("format")
    n = 0
    for ch in text:
        n = n << 5 | alphabet.index(ch)
    b = (n >> 4).to_bytes(37, "big")
    if n & 15 or b[0] == 0 or hashlib.sha256(b[:33]).digest()[:4] != b[33:]:
        refuse("format")
    return b[:33]


def times(a, b):
    p = 0
    while b:
        p ^= a * (b & 1)
        a, b = a << 1, b >> 1
        a ^= 0x11B * (a >> 8)
    return p


def run_shares(c):
    use = [parse_share(t) for t in c.text("shares").split()][: int(c.text("k"))]
    out = [0] * 32
    for s in use:
        weight = 1
        for o in use:
            if o is not s:
                inverse = next(i for i in range(1, 256) if times(i, o[0] ^ s[0]) == 1)
                weight = times(weight, times(o[0], inverse))
        out = [x ^ times(weight, y) for x, y in zip(out, s[1:])]
    equal(bytes(out), c["secret"])


def run_cfx1(c):
    """The one chunk of an extent; the header's zeros up to 4,096 are not in the file."""
    h = c["header"]
    if len(h) < 104 or h[:5] != b"CFX1\x01" or h[5] not in (1, 2) or h[6:8] != bytes(2) or any(h[104:]):
        refuse("format")
    if h[24:40] != c["file-id"]:
        refuse("open")
    if h[8:24] != c["kref"]:
        refuse("keyref")
    label = b"coffer/infra/xts/v1" if h[5] == 1 else b"coffer/infra/ext/v1"
    k = hkdf(c["idk"], h[40:72], enc(label, h[:72]), 96)
    if not same(k[64:], h[72:104]):
        refuse("open")
    body, out, n = c["body"], b"", 0
    size = 4096 if h[5] == 1 else 4160
    if len(body) % size:
        refuse("format")
    for n in range(len(body) // size):
        s = body[n * size : (n + 1) * size]
        if h[5] == 1:
            d = Cipher(algorithms.AES(k[:64]), modes.XTS(struct.pack("<QQ", n, 0))).decryptor()
            out += d.update(s) + d.finalize()
            continue
        aad = enc(b"coffer/infra/unit/v1", uint(n))
        tag = hmac.digest(k[:32], aad + s[:-32] + uint(8 * len(aad)), "sha512")[:32]
        if not same(tag, s[-32:]):
            refuse("open")
        d = Cipher(algorithms.AES(k[32:64]), modes.CBC(s[:16])).decryptor()
        plain = d.update(s[16:-32]) + d.finalize()
        if plain[-16:] != b"\x10" * 16:
            refuse("open")
        out += plain[:-16]
    equal(out[: len(c["chunk"])], c["chunk"])
    equal(out[len(c["chunk"]) :], bytes(len(out) - len(c["chunk"])))


RUN = {
    "enc": run_enc,
    "HKDF": run_hkdf,
    "SEAL-1": run_seal,
    "WRAP-1": run_wrap,
    "CPK": run_cpk,
    "KCV": run_kcv,
    "VALUE-1": run_value,
    "INFRA-1": run_infra,
    "ROW": run_row,
    "FIELDS": run_fields,
    "SYS": run_sys,
    "CFC1": run_chunk,
    "CFX1": run_cfx1,
    "CFV1": run_file,
    "CFKS": run_cfks,
    "CMK": run_cmk,
    "RECOVERY": run_recovery,
    "SHARES": run_shares,
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
    good = bad = failed = files = 0
    formats = {}

    def count(name, result):
        nonlocal good, bad, failed
        if result == "opened":
            good += 1
        elif result == "refused":
            bad += 1
        else:
            failed += 1
            print(f"FAIL {name}: {result}")

    for path in sorted(root.rglob("*.txt")):
        files += 1
        c = Case(path)
        formats[c.text("format")] = formats.get(c.text("format"), 0) + 1
        wrong = check(c) if c.text("format") in RUN else f"format {c.text('format')!r} is not known here"
        count(f"{path.relative_to(root)} ({c.text('comment')})", wrong or ("opened" if c.text("expect") == "ok" else "refused"))
    print(", ".join(f"{f} {n}" for f, n in sorted(formats.items())))
    print(f"{files} files: {good} opened, {bad} refused, {failed} failed")
    ours, files = good + bad + failed, 0
    opened, refused = good, bad
    for path in sorted(root.rglob("*.json")):
        files += 1
        for name, result in cse_vectors.check(path):
            count(f"{path.relative_to(root)} {name}", result)
    print(
        f"client-side encryption, {good + bad + failed - ours} vectors in {files} files: "
        f"{good - opened} opened, {bad - refused} refused"
    )
    rest = [p for p in root.rglob("*") if p.is_file() and p.suffix not in (".txt", ".json", ".md")]
    for p in rest:
        print(f"FAIL {p.relative_to(root)}: no vector")
    return 1 if failed or rest or opened == 0 or refused == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
