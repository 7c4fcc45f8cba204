// The report lines of the interop suite; the format is described in
// ../report/report.go.

const clean = (s) => {
  const t = String(s).split(/\s+/).filter(Boolean).join(" ");
  return t.length > 400 ? t.slice(0, 400) + "..." : t;
};

const limit = 5 * 60 * 1000; // of one step

export class Suite {
  steps = 0;
  failed = 0;

  version(v) {
    console.log(`version\t${clean(v)}`);
  }

  // step runs f and prints its line. A failed step does not stop the suite.
  async step(name, f) {
    const start = performance.now();
    let result = "pass";
    let detail = "";
    let timer;
    const late = new Promise((_, no) => {
      timer = setTimeout(() => no(new Error("timed out")), limit);
    });
    try {
      await Promise.race([f(), late]);
    } catch (e) {
      result = "fail";
      detail = clean(e.stack && !e.statusCode ? e.stack : `${e.statusCode ?? ""} ${e.code ?? ""} ${e.message}`);
      this.failed++;
    } finally {
      clearTimeout(timer);
    }
    this.steps++;
    console.log(`step\t${name}\t${result}\t${Math.round(performance.now() - start)}\t${detail}`);
  }

  done() {
    console.log(`done\t${this.steps}`);
    return this.failed > 0 || this.steps === 0 ? 1 : 0;
  }
}
