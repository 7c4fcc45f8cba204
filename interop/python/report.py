"""The report lines of the interop suite; the format is described in ../report/report.go."""

import time
import traceback


def clean(text):
    t = " ".join(str(text).split())
    return t if len(t) <= 400 else t[:400] + "..."


class Suite:
    """Runs steps in order and prints a line for each."""

    def __init__(self):
        self.steps = 0
        self.failed = 0

    def version(self, text):
        print(f"version\t{clean(text)}", flush=True)

    def step(self, name, f):
        start = time.monotonic()
        result, detail = "pass", ""
        try:
            f()
        except Exception as e:  # a failed step does not stop the suite
            self.failed += 1
            where = traceback.extract_tb(e.__traceback__)[-1]
            result = "fail"
            detail = clean(f"{type(e).__name__} at {where.name}:{where.lineno}: {e}")
        self.steps += 1
        ms = round((time.monotonic() - start) * 1000)
        print(f"step\t{name}\t{result}\t{ms}\t{detail}", flush=True)

    def done(self):
        print(f"done\t{self.steps}", flush=True)
        return 1 if self.failed or not self.steps else 0
