package secret

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestLinuxPages sees in the kernel's own words that key pages are locked or secret,
// and stay out of dumps.
func TestLinuxPages(t *testing.T) {
	p := Status()
	t.Logf("%+v", p)
	if !p.Locked || !p.NoDump {
		t.Skipf("this system grants %s only: %v", p.Method, p.Shortfall)
	}
	k := Random(32)
	defer k.Destroy()
	flags := vmFlags(t, uintptr(unsafe.Pointer(&k.h.b[0])))
	if !strings.Contains(flags, " lo") || !strings.Contains(flags, " dd") {
		t.Errorf("flags of key memory =%s, want lo (locked) and dd (no dump)", flags)
	}
}

// vmFlags returns the VmFlags of the mapping that holds addr.
func vmFlags(t *testing.T, addr uintptr) string {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	inside := false
	for line := range strings.SplitSeq(string(smaps), "\n") {
		var lo, hi uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &lo, &hi); n == 2 {
			inside = lo <= addr && addr < hi
		}
		if rest, ok := strings.CutPrefix(line, "VmFlags:"); ok && inside {
			return rest
		}
	}
	t.Skip("the kernel shows no flags")
	return ""
}

// TestLinuxFallbacks maps pages each way that this system has and uses all of them.
func TestLinuxFallbacks(t *testing.T) {
	for _, way := range []string{MethodSecret, "fallback"} {
		base, span, err := reserve(slabSize)
		if err != nil {
			t.Fatal(err)
		}
		inner := unsafe.Add(base, unix.Getpagesize())
		var p pages
		if way == MethodSecret {
			if p, err = mapSecret(inner, slabSize); err != nil {
				t.Logf("%s: %v", way, err)
				continue
			}
		} else {
			p = mapLocked(inner, slabSize, unix.ENOSYS)
		}
		t.Logf("%s: method %s, locked %v, no dump %v, lacks %q", way, p.method, p.locked, p.noDump, p.lacks)
		for i := range p.mem {
			if p.mem[i] != 0 {
				t.Fatalf("%s: page is not zero", way)
			}
			p.mem[i] = 0xFF
		}
		unix.MunmapPtr(base, uintptr(span))
	}
}

// TestGuardPages dies in a child process: what lies beside key memory has no access.
func TestGuardPages(t *testing.T) {
	if where := os.Getenv("COFFER_TEST_GUARD"); where != "" {
		p := mapPages(slabSize)
		at := unsafe.Pointer(&p.mem[0])
		if where == "below" {
			*(*byte)(unsafe.Add(at, -1)) = 1
		} else {
			*(*byte)(unsafe.Add(at, slabSize)) = 1
		}
		os.Exit(0)
	}
	for _, where := range []string{"below", "above"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestGuardPages$")
		cmd.Env = append(os.Environ(), "COFFER_TEST_GUARD="+where)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "SIGSEGV") {
			t.Errorf("write %s the pages: %v, want SIGSEGV\n%.300s", where, err, out)
		}
	}
}

// TestHardenProcess runs in a child process, which nobody needs to debug. It sets a low
// limit of locked memory there as well: keys are made all the same, and Status says
// what is missing.
func TestHardenProcess(t *testing.T) {
	if os.Getenv("COFFER_TEST_HARDEN") != "" {
		hardenedChild()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHardenProcess$")
	cmd.Env = append(os.Environ(), "COFFER_TEST_HARDEN=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "hardened") {
		t.Errorf("child: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func hardenedChild() {
	fail := func(format string, args ...any) { fmt.Printf(format+"\n", args...); os.Exit(1) }
	if err := HardenProcess(); err != nil {
		fail("HardenProcess: %v", err)
	}
	if d, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); d != 0 || err != nil {
		fail("dumpable = %d, %v", d, err)
	}
	var core unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_CORE, &core); core.Cur != 0 || core.Max != 0 {
		fail("core limit = %+v", core)
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: slabSize, Max: slabSize}); err != nil {
		fail("limit: %v", err)
	}
	keys := make([]Key, 5000)
	for i := range keys {
		keys[i] = New([]byte{byte(i), byte(i >> 8), 1})
	}
	for i, k := range keys {
		k.Use(func(b []byte) error {
			if b[0] != byte(i) || b[1] != byte(i>>8) || b[2] != 1 {
				fail("key %d changed", i)
			}
			return nil
		})
	}
	if p := Status(); !p.Locked && len(p.Shortfall) == 0 {
		fail("not locked, and nothing said: %+v", p)
	}
	fmt.Printf("hardened %+v\n", Status())
}
