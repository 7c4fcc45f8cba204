package blob_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/fault"
)

func TestServiceProperties(t *testing.T) {
	w := newWorld(t)
	get := func() blob.ServiceProperties {
		t.Helper()
		p, err := w.Blobs.GetServiceProperties(w.ctx, w.who, acct)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	want := blob.ServiceProperties{
		Logging: &blob.Logging{Version: "1.0"}, HourMetrics: &blob.Metrics{Version: "1.0"}, MinuteMetrics: &blob.Metrics{Version: "1.0"},
		CORS: &[]blob.CORSRule{}, DeleteRetention: &blob.Retention{}, StaticWebsite: &blob.StaticWebsite{},
	}
	if d := cmp.Diff(want, get()); d != "" {
		t.Errorf("defaults (-want +got):\n%s", d)
	}
	version := "2025-01-05"
	steps := []func(*blob.ServiceProperties){
		func(p *blob.ServiceProperties) {
			p.Logging = &blob.Logging{Version: "2.0", Delete: true, Write: true, Retention: blob.Retention{Enabled: true, Days: 365}}
		},
		func(p *blob.ServiceProperties) {
			p.HourMetrics = &blob.Metrics{Version: "1.0", Enabled: true, IncludeAPIs: true, Retention: blob.Retention{Enabled: true, Days: 7}}
			p.MinuteMetrics = &blob.Metrics{Version: "1.0", Enabled: true}
		},
		func(p *blob.ServiceProperties) {
			p.CORS = &[]blob.CORSRule{
				{AllowedOrigins: "*", AllowedMethods: "GET,PUT", AllowedHeaders: "x-ms-*", ExposedHeaders: "a,b", MaxAge: 60},
				{AllowedOrigins: "https://a.example", AllowedMethods: "DELETE"},
			}
		},
		func(p *blob.ServiceProperties) { p.DefaultServiceVersion = &version },
		func(p *blob.ServiceProperties) {
			p.StaticWebsite = &blob.StaticWebsite{Enabled: true, IndexDocument: "index.html", ErrorDocument404Path: "404.html"}
		},
		func(p *blob.ServiceProperties) { p.CORS = &[]blob.CORSRule{} },
		func(p *blob.ServiceProperties) { p.DeleteRetention = &blob.Retention{} },
	}
	for i, step := range steps { // a section that is not given stays as it is
		var p blob.ServiceProperties
		step(&p)
		step(&want)
		if err := w.Blobs.SetServiceProperties(w.ctx, w.who, acct, p); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, get()); d != "" {
			t.Errorf("step %d (-want +got):\n%s", i, d)
		}
	}
}

func TestServicePropertiesRefuse(t *testing.T) {
	w := newWorld(t)
	cors := func(rules ...blob.CORSRule) blob.ServiceProperties { return blob.ServiceProperties{CORS: &rules} }
	good := blob.CORSRule{AllowedOrigins: "*", AllowedMethods: "GET"}
	for name, tt := range map[string]struct {
		p    blob.ServiceProperties
		want fault.Kind
	}{
		"nothing":         {blob.ServiceProperties{}, success},
		"five rules":      {cors(good, good, good, good, good), success},
		"six rules":       {cors(good, good, good, good, good, good), fault.InvalidXMLDocument},
		"no origin":       {cors(blob.CORSRule{AllowedMethods: "GET"}), fault.InvalidXMLNodeValue},
		"no method":       {cors(blob.CORSRule{AllowedOrigins: "*"}), fault.InvalidXMLNodeValue},
		"unknown method":  {cors(blob.CORSRule{AllowedOrigins: "*", AllowedMethods: "GET,FETCH"}), fault.InvalidXMLNodeValue},
		"negative age":    {cors(blob.CORSRule{AllowedOrigins: "*", AllowedMethods: "GET", MaxAge: -1}), fault.InvalidXMLNodeValue},
		"too much":        {cors(blob.CORSRule{AllowedOrigins: strings.Repeat("x", 3000), AllowedMethods: "GET"}), fault.InvalidXMLDocument},
		"retention 0":     {blob.ServiceProperties{Logging: &blob.Logging{Retention: blob.Retention{Enabled: true}}}, fault.InvalidXMLNodeValue},
		"retention 366":   {blob.ServiceProperties{HourMetrics: &blob.Metrics{Retention: blob.Retention{Enabled: true, Days: 366}}}, fault.InvalidXMLNodeValue},
		"soft delete":     {blob.ServiceProperties{DeleteRetention: &blob.Retention{Enabled: true, Days: 7}}, fault.UnsupportedOperation},
		"soft delete off": {blob.ServiceProperties{DeleteRetention: &blob.Retention{}}, success},
	} {
		w.want(name, w.Blobs.SetServiceProperties(w.ctx, w.who, acct, tt.p), tt.want)
	}
	sas := w.sas("rwl")
	w.want("set with a SAS", w.Blobs.SetServiceProperties(w.ctx, sas.who, acct, blob.ServiceProperties{}), success)
	w.want("anonymous", w.Blobs.SetServiceProperties(w.ctx, nil, acct, blob.ServiceProperties{}), fault.NoAuthentication)
}

func TestStatsAndInfo(t *testing.T) {
	w := newWorld(t)
	if s, err := w.Blobs.GetStats(w.ctx, w.who, acct); err != nil || s.Status != "unavailable" {
		t.Errorf("GetStats = %+v, %v", s, err)
	}
	if i, err := w.Blobs.GetAccountInfo(w.ctx, w.sas("r").who, acct); err != nil || i.Kind != "StorageV2" || i.Hierarchical {
		t.Errorf("GetAccountInfo = %+v, %v", i, err)
	}
	_, err := w.Blobs.GetAccountInfo(w.ctx, nil, acct)
	w.want("anonymous information", err, fault.NoAuthentication)
}
