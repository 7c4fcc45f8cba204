package main

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// env is where and with what a part was run.
type env struct {
	Date    string            `json:"date"`
	CPU     string            `json:"cpu"`
	Cores   int               `json:"cores"`
	MemGiB  int64             `json:"mem_gib"`
	Kernel  string            `json:"kernel"`
	Go      string            `json:"go"`
	Commit  string            `json:"commit"`
	Load    string            `json:"load"` // average of a minute when the part began
	Peers   string            `json:"peers"`
	Missing map[string]string `json:"missing,omitempty"`
	Minutes float64           `json:"minutes"`
}

// record is one line of a results file: a result, the end of a part, or, with
// neither, its begin.
type record struct {
	Part   string  `json:"part"`
	Result *result `json:"result,omitempty"`
	Env    *env    `json:"env,omitempty"`
}

// environment reads the machine; commit and versions of the peers come from run.sh.
func environment() *env {
	e := &env{Date: time.Now().UTC().Format("2 January 2006, 15:04 UTC"), Cores: runtime.NumCPU(), Go: runtime.Version(),
		CPU: cpuModel(read("/proc/cpuinfo")), MemGiB: field("/proc/meminfo", "MemTotal:") >> 20,
		Commit: os.Getenv("BENCH_COMMIT"), Peers: os.Getenv("BENCH_VERSIONS")}
	if out, err := exec.Command("uname", "-sr").Output(); err == nil {
		e.Kernel = strings.TrimSpace(string(out))
	}
	if f := strings.Fields(read("/proc/loadavg")); len(f) > 0 {
		e.Load = f[0]
	}
	return e
}

func read(file string) string {
	b, _ := os.ReadFile(file)
	return string(b)
}

// cpuModel is the name of the processor, and family and model, for names of virtual ones
// say little.
func cpuModel(info string) string {
	m := map[string]string{}
	for l := range strings.Lines(info) {
		k, v, _ := strings.Cut(l, ":")
		if k = strings.TrimSpace(k); m[k] == "" {
			m[k] = strings.TrimSpace(v)
		}
	}
	name := m["model name"]
	if m["cpu family"] != "" {
		name += " (" + m["vendor_id"] + " family " + m["cpu family"] + " model " + m["model"]
		for _, flag := range []string{"aes", "vaes", "avx512f", "sha_ni"} {
			if strings.Contains(" "+m["flags"]+" ", " "+flag+" ") {
				name += ", " + flag
			}
		}
		name += ")"
	}
	return name
}
