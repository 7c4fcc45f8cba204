package blob

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/internal/access"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/keys"
	"github.com/coffer-storage/coffer/internal/meta"
	"github.com/coffer-storage/coffer/internal/name"
	"github.com/coffer-storage/coffer/internal/object"
)

// Fields of the settings row of an account's blob service. An absent one has its
// default. Strings have a u16 length, numbers are u32, flags one byte.
const (
	tagLogging        = tagProperties     // version, flags, retention
	tagHourMetrics    = tagProperties + 1 // version, flags, retention
	tagMinuteMetrics  = tagProperties + 2
	tagCORS           = tagProperties + 3 // repeated: four strings, max age
	tagDefaultVersion = tagProperties + 4
	tagRetention      = tagProperties + 5
	tagWebsite        = tagProperties + 6 // flags, three strings
)

const (
	maxCORSRules     = 5
	maxCORSText      = 2 << 10 // of all rules together, as the service has it
	maxRetentionDays = 365
	maxSettingText   = 1 << 10
)

func settingsKey(acct keys.ID) []byte { return append([]byte("blob"), acct[:]...) }

// GetServiceProperties returns the settings of the account's blob service.
func (s *Service) GetServiceProperties(ctx context.Context, c *access.Caller, a name.Account) (ServiceProperties, error) {
	k, err := s.begin(ctx, "blob.GetServiceProperties", c, Ref{Account: a}, needReadProps)
	if err != nil {
		return ServiceProperties{}, err
	}
	var p ServiceProperties
	err = k.view(ctx, func(tx *object.Tx) error {
		r, err := k.settings(tx)
		if err != nil {
			return err
		}
		p, err = decodeSettings(r)
		return err
	})
	return p, err
}

// SetServiceProperties replaces the sections that p has.
func (s *Service) SetServiceProperties(ctx context.Context, c *access.Caller, a name.Account, p ServiceProperties) error {
	k, err := s.begin(ctx, "blob.SetServiceProperties", c, Ref{Account: a}, needWriteProps)
	if err != nil {
		return err
	}
	if err := k.checkSettings(&p); err != nil {
		return err
	}
	return k.update(ctx, func(tx *object.Tx) error {
		if err := s.accounts.Check(tx, k.acct); err != nil {
			return err
		}
		r, err := k.settings(tx)
		if err != nil {
			return err
		}
		p.encode(r)
		return tx.Put(object.Settings, settingsKey(k.acct.ID), r)
	})
}

// settings reads the row, or makes an empty one.
func (k *call) settings(tx *object.Tx) (*object.Row, error) {
	store := k.s.store.StoreID()
	r, err := tx.Get(object.Settings, store, settingsKey(k.acct.ID))
	if errors.Is(err, meta.ErrNotFound) {
		return &object.Row{Owner: store, Class: k.acct.Class()}, nil
	}
	return r, err
}

func (k *call) checkSettings(p *ServiceProperties) error {
	bad := func(node string) error {
		return k.fault(fault.InvalidXMLNodeValue, fault.Detail{Name: "XmlNodeName", Value: node})
	}
	texts := map[string]string{}
	retentions := map[string]Retention{}
	if p.Logging != nil {
		texts["Logging.Version"], retentions["Logging"] = p.Logging.Version, p.Logging.Retention
	}
	if p.HourMetrics != nil {
		texts["HourMetrics.Version"], retentions["HourMetrics"] = p.HourMetrics.Version, p.HourMetrics.Retention
	}
	if p.MinuteMetrics != nil {
		texts["MinuteMetrics.Version"], retentions["MinuteMetrics"] = p.MinuteMetrics.Version, p.MinuteMetrics.Retention
	}
	if p.DefaultServiceVersion != nil {
		texts["DefaultServiceVersion"] = *p.DefaultServiceVersion
	}
	if w := p.StaticWebsite; w != nil {
		texts["IndexDocument"], texts["ErrorDocument404Path"], texts["DefaultIndexDocumentPath"] = w.IndexDocument, w.ErrorDocument404Path, w.DefaultIndexDocument
	}
	if p.DeleteRetention != nil {
		retentions["DeleteRetentionPolicy"] = *p.DeleteRetention
	}
	for node, v := range texts {
		if len(v) > maxSettingText {
			return bad(node)
		}
	}
	for section, r := range retentions {
		if r.Days < 0 || r.Days > maxRetentionDays || r.Enabled && r.Days == 0 {
			return bad(section + ".Days")
		}
	}
	if r := p.DeleteRetention; r != nil && r.Enabled {
		// Whoever turns this on relies on it; until it is served, it is refused.
		return k.fault(fault.UnsupportedOperation, fault.Detail{Name: "Operation", Value: "DeleteRetentionPolicy"})
	}
	if p.CORS != nil {
		return k.checkCORS(*p.CORS)
	}
	return nil
}

var corsMethods = []string{"DELETE", "GET", "HEAD", "MERGE", "POST", "OPTIONS", "PUT", "PATCH", "CONNECT", "TRACE"}

func (k *call) checkCORS(rules []CORSRule) error {
	bad := func(node string) error {
		return k.fault(fault.InvalidXMLNodeValue, fault.Detail{Name: "XmlNodeName", Value: node})
	}
	if len(rules) > maxCORSRules {
		return k.fault(fault.InvalidXMLDocument)
	}
	size := 0
	for _, r := range rules {
		size += len(r.AllowedOrigins) + len(r.AllowedMethods) + len(r.AllowedHeaders) + len(r.ExposedHeaders)
		if r.AllowedOrigins == "" {
			return bad("AllowedOrigins")
		}
		for _, m := range strings.Split(r.AllowedMethods, ",") {
			if !slices.Contains(corsMethods, strings.TrimSpace(m)) {
				return bad("AllowedMethods")
			}
		}
		if r.MaxAge < 0 || r.MaxAge > math.MaxInt32 {
			return bad("MaxAgeInSeconds")
		}
	}
	if size > maxCORSText {
		return k.fault(fault.InvalidXMLDocument)
	}
	return nil
}

// packer writes and reads the sections.
type packer struct {
	b   []byte
	bad bool
}

func (p *packer) putString(s string) *packer {
	p.b = binary.BigEndian.AppendUint16(p.b, uint16(len(s)))
	p.b = append(p.b, s...)
	return p
}

func (p *packer) putInt(n int) *packer {
	p.b = binary.BigEndian.AppendUint32(p.b, uint32(n))
	return p
}

func (p *packer) putFlags(on ...bool) *packer {
	var f byte
	for i, v := range on {
		if v {
			f |= 1 << i
		}
	}
	p.b = append(p.b, f)
	return p
}

func (p *packer) string() (s string) {
	var ok bool
	if s, p.b, ok = cutString(p.b); !ok {
		p.bad = true
	}
	return s
}

func (p *packer) int() int {
	if len(p.b) < 4 {
		p.bad = true
		return 0
	}
	n := binary.BigEndian.Uint32(p.b)
	p.b = p.b[4:]
	return int(n)
}

func (p *packer) flags(into ...*bool) {
	if len(p.b) < 1 || p.b[0]>>len(into) != 0 {
		p.bad = true
		return
	}
	for i, v := range into {
		*v = p.b[0]&(1<<i) != 0
	}
	p.b = p.b[1:]
}

func (r Retention) pack(p *packer) {
	p.putFlags(r.Enabled, r.AllowPermanentDelete).putInt(r.Days)
}

func (p *packer) retention() (r Retention) {
	p.flags(&r.Enabled, &r.AllowPermanentDelete)
	r.Days = p.int()
	return r
}

func (m Metrics) pack() []byte {
	p := new(packer).putString(m.Version).putFlags(m.Enabled, m.IncludeAPIs)
	m.Retention.pack(p)
	return p.b
}

func (p *packer) metrics() (m Metrics) {
	m.Version = p.string()
	p.flags(&m.Enabled, &m.IncludeAPIs)
	m.Retention = p.retention()
	return m
}

// encode puts the sections that p has into r.
func (p *ServiceProperties) encode(r *object.Row) {
	if l := p.Logging; l != nil {
		b := new(packer).putString(l.Version).putFlags(l.Delete, l.Read, l.Write)
		l.Retention.pack(b)
		r.Set(tagLogging, b.b)
	}
	if p.HourMetrics != nil {
		r.Set(tagHourMetrics, p.HourMetrics.pack())
	}
	if p.MinuteMetrics != nil {
		r.Set(tagMinuteMetrics, p.MinuteMetrics.pack())
	}
	if p.CORS != nil {
		var rules [][]byte
		for _, c := range *p.CORS {
			rules = append(rules, new(packer).putString(c.AllowedOrigins).putString(c.AllowedMethods).
				putString(c.AllowedHeaders).putString(c.ExposedHeaders).putInt(c.MaxAge).b)
		}
		r.Set(tagCORS, rules...)
	}
	if p.DefaultServiceVersion != nil {
		setString(r, tagDefaultVersion, *p.DefaultServiceVersion)
	}
	if p.DeleteRetention != nil {
		b := new(packer)
		p.DeleteRetention.pack(b)
		r.Set(tagRetention, b.b)
	}
	if w := p.StaticWebsite; w != nil {
		r.Set(tagWebsite, new(packer).putFlags(w.Enabled).putString(w.IndexDocument).
			putString(w.ErrorDocument404Path).putString(w.DefaultIndexDocument).b)
	}
}

// decodeSettings returns every section, defaults where the row has none.
func decodeSettings(r *object.Row) (ServiceProperties, error) {
	f := fields{r: r}
	bad := false
	section := func(tag byte, read func(*packer)) {
		if b := f.get(tag); b != nil {
			p := &packer{b: b}
			read(p)
			bad = bad || p.bad || len(p.b) != 0
		}
	}
	out := ServiceProperties{
		Logging:         &Logging{Version: "1.0"},
		HourMetrics:     &Metrics{Version: "1.0"},
		MinuteMetrics:   &Metrics{Version: "1.0"},
		CORS:            &[]CORSRule{},
		DeleteRetention: &Retention{},
		StaticWebsite:   &StaticWebsite{},
	}
	section(tagLogging, func(p *packer) {
		l := out.Logging
		l.Version = p.string()
		p.flags(&l.Delete, &l.Read, &l.Write)
		l.Retention = p.retention()
	})
	section(tagHourMetrics, func(p *packer) { *out.HourMetrics = p.metrics() })
	section(tagMinuteMetrics, func(p *packer) { *out.MinuteMetrics = p.metrics() })
	f.asked[tagCORS] = true
	for _, b := range r.All(tagCORS) {
		p := &packer{b: b}
		*out.CORS = append(*out.CORS, CORSRule{
			AllowedOrigins: p.string(), AllowedMethods: p.string(),
			AllowedHeaders: p.string(), ExposedHeaders: p.string(), MaxAge: p.int(),
		})
		bad = bad || p.bad || len(p.b) != 0
	}
	if v := f.get(tagDefaultVersion); v != nil {
		s := string(v)
		bad = bad || s == ""
		out.DefaultServiceVersion = &s
	}
	section(tagRetention, func(p *packer) { *out.DeleteRetention = p.retention() })
	section(tagWebsite, func(p *packer) {
		w := out.StaticWebsite
		p.flags(&w.Enabled)
		w.IndexDocument, w.ErrorDocument404Path, w.DefaultIndexDocument = p.string(), p.string(), p.string()
	})
	if bad {
		return ServiceProperties{}, errRow
	}
	return out, f.done()
}

// GetStats answers about the secondary region. There is none, whatever the SKU is called,
// and no time at which it was last like this one.
func (s *Service) GetStats(ctx context.Context, c *access.Caller, a name.Account) (Stats, error) {
	if _, err := s.begin(ctx, "blob.GetStats", c, Ref{Account: a}, needReadProps); err != nil {
		return Stats{}, err
	}
	return Stats{Status: "unavailable"}, nil
}

// GetAccountInfo says what kind of account it is.
func (s *Service) GetAccountInfo(ctx context.Context, c *access.Caller, a name.Account) (AccountInfo, error) {
	k, err := s.begin(ctx, "blob.GetAccountInfo", c, Ref{Account: a}, needInfo)
	if err != nil {
		return AccountInfo{}, err
	}
	// What was never said is what the emulator says.
	info := AccountInfo{SKU: "Standard_RAGRS", Kind: "StorageV2"}
	if r := k.acct.Resource; r.SKU != "" {
		info.SKU, info.Kind = r.SKU, k.acct.Stated().Kind
	}
	return info, nil
}
