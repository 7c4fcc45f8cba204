package server

import (
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/keyprovider/localkey"
	"github.com/coffer-storage/coffer/internal/secret"
)

const (
	drillAge  = 30 * 24 * time.Hour
	backupAge = 7 * 24 * time.Hour
	soon      = 30 * 24 * time.Hour
	lowDisk   = 1 << 30
)

// checkup is one line of doctor, or several.
type checkup func(s *Server, ctx context.Context) []Advice

// checkups are what doctor looks at, in the order of its table.
var checkups = []checkup{
	checkRecovery, checkKeyFiles, checkKeyStore, checkPeriods, checkTrail, checkMemory, checkSwap, checkModule,
	checkDisk, checkAuthority, checkCertificate, checkPolicies, checkCustomers, checkVaults, checkIdentities, checkMode,
}

func (s *Server) opDoctor(ctx context.Context, _ Nothing, _ func(Progress)) (DoctorReport, error) {
	r := DoctorReport{Data: s.cfg.Data}
	for _, c := range checkups {
		r.Advice = append(r.Advice, c(s, ctx)...)
	}
	return r, ctx.Err()
}

func one(level, check, found, do string) []Advice {
	return []Advice{{Level: level, Check: check, Found: found, Do: do}}
}

func checkRecovery(s *Server, _ context.Context) []Advice {
	const check = "recovery kit"
	if s.store.Ring.Dev() {
		return one("note", check, "none: a development store has no recovery slot", "")
	}
	made, stale := 0, false
	for _, slot := range s.store.Ring.Slots() {
		if !slot.Provider.Online() {
			made++
			stale = stale || slot.Stale
		}
	}
	switch {
	case made == 0:
		return one("danger", check, "there is none: when the key files are lost, all data are", "coffer recovery create, then coffer recovery prove")
	case !s.store.Ring.RecoveryProved():
		return one("danger", check, "there is one, and nobody has proved that it opens this store", "coffer recovery prove")
	case stale:
		return one("warning", check, "proved, but before a root was replaced", "coffer recovery prove")
	}
	return one("ok", check, "proved for both roots", "")
}

func checkKeyFiles(s *Server, _ context.Context) []Advice {
	var out []Advice
	service, infra := s.keys.where(s.store.Ring.StoreID())
	for _, f := range []struct{ check, path string }{{"unseal key (service root)", service}, {"unseal key (infrastructure root)", infra}} {
		out = append(out, s.checkKeyFile(f.check, f.path)...)
	}
	return out
}

func (s *Server) checkKeyFile(check, path string) []Advice {
	if path == "" {
		return one("note", check, "in memory: the store ends with the process", "")
	}
	if _, err := os.Stat(path); err != nil {
		return one("danger", check, path+" is not there: the next start fails", "put it back, or restore with the recovery kit")
	}
	if same, err := localkey.SameDevice(path, s.cfg.Data); err == nil && same {
		return one("warning", check, path+" lies on the same device as the data: who takes the disk has both",
			"move it to another device, and name it with --unseal-key and --infra-key")
	}
	return one("ok", check, path, "")
}

func checkKeyStore(s *Server, _ context.Context) []Advice {
	const check = "key store"
	ring := s.store.Ring
	generation, _ := ring.Generation()
	switch {
	case ring.Stopped() != nil:
		return one("danger", check, "key changes have stopped: "+ring.Stopped().Error(), "restart the server")
	case ring.Unsettled() != nil:
		return one("warning", check, "a copy is behind: "+ring.Unsettled().Error(), "make its place writable and restart the server")
	case ring.PurgePending():
		return one("warning", check, "a purge write is not finished: old keys are still in a copy", "restart the server")
	}
	return one("ok", check, fmt.Sprintf("generation %d, every copy is up to date", generation), "")
}

func checkPeriods(s *Server, ctx context.Context) []Advice {
	const check = "cryptoperiods"
	now := s.now()
	names, _ := s.ownerNames(ctx)
	var late, next []string
	for _, d := range s.store.Ring.Due(now) {
		late = append(late, d.Kind.String())
	}
	for _, c := range s.store.Ring.Chains() {
		r := chainReport(c, names)
		if r.Due != nil && c.Cryptoperiod > soon && r.Due.After(now) && r.Due.Before(now.Add(soon)) {
			next = append(next, fmt.Sprintf("%s of %s on %s", r.Kind, r.For, r.Due.Format(time.DateOnly)))
		}
	}
	switch {
	case len(late) > 0:
		return one("warning", check, "over: "+strings.Join(late, ", "), "a running server rotates them within a minute: start it, or coffer keys rotate")
	case len(next) > 0:
		return one("note", check, "end soon: "+strings.Join(next, "; "), "nothing: the server rotates them when they end")
	}
	return one("ok", check, "none ends within 30 days", "")
}

// checkTrail verifies the audit log, and reads from it when the last drill and the last
// backup were.
func checkTrail(s *Server, _ context.Context) []Advice {
	var drill, saved time.Time
	c := s.auditCheck()
	c.Visit = func(r audit.Record) error {
		switch {
		case r.Outcome != audit.OK:
		case r.Operation == auditDrill:
			drill = r.Time
		case r.Operation == auditBackup:
			saved = r.Time
		}
		return nil
	}
	rep, err := c.Files(s.store.AuditFiles())
	out := one("ok", "audit trail", fmt.Sprintf("its chain is whole, signed up to entry %d of %d", rep.Signed, rep.End.Seq), "")
	if err != nil {
		out = one("danger", "audit trail", err.Error(), "keep a copy of audit/ for an investigation; restore the newest backup")
	} else if st := s.store.Audit.State(); st.Err != nil || st.Lost > 0 {
		out = one("warning", "audit trail", fmt.Sprintf("%d records were lost (%v)", st.Lost, st.Err), "free disk space and restart the server")
	}
	if s.store.Ring.Dev() {
		return out
	}
	out = append(out, s.checkAnchor()...)
	out = append(out, checkAge("key drill", s.now(), drill, drillAge, "coffer keys drill"))
	return append(out, checkAge("backup", s.now(), saved, backupAge, "coffer backup create DIR, on another disk"))
}

// checkAnchor says whether the trail is known elsewhere.
func (s *Server) checkAnchor() []Advice {
	const check = "audit anchor"
	switch st := s.store.Audit.State(); {
	case st.SignErr != nil:
		return one("warning", check, "checkpoints cannot be made: "+st.SignErr.Error(), "see that the disk has room and the key store its audit key")
	case s.cfg.offline:
		return nil // only a server knows its anchor
	case s.cfg.AuditAnchor == "":
		return one("note", check, "none: a store that is set back as a whole would go unseen", "coffer serve --audit-anchor FILE, on another machine")
	case st.AnchorErr != nil:
		return one("warning", check, "checkpoints do not reach it: "+st.AnchorErr.Error(), "make "+s.cfg.AuditAnchor+" writable")
	}
	return one("ok", check, s.cfg.AuditAnchor, "")
}

func checkAge(check string, now, last time.Time, most time.Duration, do string) Advice {
	switch age := now.Sub(last); {
	case last.IsZero():
		return Advice{"warning", check, "never made", do}
	case age > most:
		return Advice{"warning", check, fmt.Sprintf("%d days old", int(age/(24*time.Hour))), do}
	}
	return Advice{"ok", check, "made " + last.UTC().Format(time.DateTime), ""}
}

func checkMemory(_ *Server, _ context.Context) []Advice {
	p := secret.Status()
	found := fmt.Sprintf("%s; locked %t, left out of dumps %t", p.Method, p.Locked, p.NoDump)
	if len(p.Shortfall) == 0 {
		return one("ok", "key memory", found, "")
	}
	return one("warning", "key memory", found+"; refused: "+strings.Join(p.Shortfall, ", "),
		"raise the limit of locked memory (ulimit -l, LimitMEMLOCK=)")
}

func checkSwap(_ *Server, _ context.Context) []Advice {
	const check = "swap"
	areas, err := plainSwap()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return one("note", check, "not known on this system", "see that swap is off or encrypted")
	case err != nil:
		return one("note", check, err.Error(), "see that swap is off or encrypted")
	case len(areas) > 0:
		return one("warning", check, "not encrypted: "+strings.Join(areas, ", "), "turn it off (swapoff -a), or put it on dm-crypt")
	}
	return one("ok", check, "off, in memory, or encrypted", "")
}

func checkModule(s *Server, _ context.Context) []Advice {
	if fips140.Enabled() && s.cfg.AllowXTS {
		return one("warning", "FIPS 140-3", "mode on, module "+fips140.Version()+", and AES-256-XTS of another build may be opened (--allow-xts)",
			"serve without --allow-xts when nothing is left under it: coffer inspect names the suite")
	}
	if fips140.Enabled() {
		return one("ok", "FIPS 140-3", "mode on, module "+fips140.Version()+"; outside of it: MD5 and CRC checksums", "")
	}
	return one("note", "FIPS 140-3", "mode off, module "+fips140.Version(), "where it is required: make fips, and run that build")
}

func checkDisk(s *Server, _ context.Context) []Advice {
	const check = "disk space"
	u, err := vfs.Default.GetDiskUsage(s.cfg.Data)
	if err != nil {
		return one("note", check, err.Error(), "")
	}
	found := fmt.Sprintf("%d MiB free of %d MiB", u.AvailBytes>>20, u.TotalBytes>>20)
	switch {
	case s.store.Meta.Stats().Full:
		return one("danger", check, found+": writes are refused", "free disk space or delete blobs")
	case u.AvailBytes < lowDisk || u.AvailBytes < u.TotalBytes/20:
		return one("warning", check, found, "free disk space: below 64 MiB writes are refused")
	}
	return one("ok", check, found, "")
}

func checkAuthority(s *Server, _ context.Context) []Advice {
	const check = "certificate authority"
	if s.authority == nil {
		if _, err := os.Stat(s.path(caFile)); errors.Is(err, fs.ErrNotExist) {
			return one("note", check, "not made yet: the first start makes it", "")
		}
		if err := s.openTLS(); err != nil {
			return one("danger", check, err.Error(), "remove tls/ca.pem and tls/ca.key: the next start makes a new CA")
		}
	}
	end := s.authority.Certificate.NotAfter
	if s.now().Add(6 * soon).After(end) {
		level := "warning"
		if expiryLevel(s.now(), end) == "danger" {
			level = "danger"
		}
		return one(level, check, "ends "+end.Format(time.DateOnly), "clients will have to trust a new one: see coffer env")
	}
	return one("ok", check, "valid until "+end.Format(time.DateOnly), "")
}

func checkMode(s *Server, _ context.Context) []Advice {
	if s.store.Ring.Dev() {
		return one("warning", "store", "development store: its keys may lie beside the data and its account key is published", "never keep data here that matter")
	}
	var out []Advice
	if !s.cfg.offline && s.cfg.AllowHTTP && !s.cfg.loopback() {
		out = append(out, Advice{"warning", "transport", "plain HTTP is served on " + s.cfg.Host, "leave out --allow-http: TLS is on the same port"})
	}
	return append(out, one("ok", "store", "format and HEAD as expected, commit "+fmt.Sprint(s.store.Meta.Sequence()), "")...)
}

// noteDrill records that a drill went well.
func (s *Server) noteDrill() error {
	return s.store.Audit.Before(context.Background(), s.record(auditDrill, audit.OK))
}
