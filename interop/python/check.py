"""What the suite checks answers with."""

import hashlib

from azure.core.exceptions import HttpResponseError


def check(ok, message="check failed"):
    if not ok:
        raise AssertionError(message)


def equal(got, want, what="value"):
    check(got == want, f"{what}: {got!r}, want {want!r}")


def same(got, want):
    equal(len(got), len(want), "length")
    equal(hashlib.sha256(got).hexdigest(), hashlib.sha256(want).hexdigest(), "sha256")


def refused(f, status, code=None):
    """Expects f to be answered by the service with this status and code."""
    try:
        f()
    except HttpResponseError as e:
        equal(e.status_code, status, f"status ({e.error_code})")
        if code:
            got = getattr(e.error_code, "value", e.error_code)
            equal(got, code, "code")
        return
    raise AssertionError(f"was accepted, want {status} {code or ''}")
