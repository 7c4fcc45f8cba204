package blobhttp

import (
	"net/http"
	"strconv"

	"github.com/coffer-storage/coffer/internal/blob"
	"github.com/coffer-storage/coffer/internal/wire"
)

// getAccountInfo serves Get Account Information, on every resource.
func (h *Handler) getAccountInfo(w *wire.Response, r *wire.Request) error {
	info, err := h.blobs.GetAccountInfo(r.Context(), r.Caller, r.Target.Account)
	if err != nil {
		return err
	}
	a := answer(w, r)
	a.set("x-ms-sku-name", info.SKU)
	a.set("x-ms-account-kind", info.Kind)
	if r.Version >= "2019-07-07" {
		a.flag("x-ms-is-hns-enabled", info.Hierarchical)
	}
	return empty(w, http.StatusOK)
}

// getStats serves Get Blob Service Stats.
func (h *Handler) getStats(w *wire.Response, r *wire.Request) error {
	s, err := h.blobs.GetStats(r.Context(), r.Caller, r.Target.Account)
	if err != nil {
		return err
	}
	return document(w, r, func(x *wire.Writer) {
		x.Start("StorageServiceStats")
		x.Start("GeoReplication")
		x.Elem("Status", s.Status)
		x.End()
		x.End()
	})
}

// getServiceProperties serves Get Blob Service Properties.
func (h *Handler) getServiceProperties(w *wire.Response, r *wire.Request) error {
	p, err := h.blobs.GetServiceProperties(r.Context(), r.Caller, r.Target.Account)
	if err != nil {
		return err
	}
	return document(w, r, func(x *wire.Writer) { writeServiceProperties(x, p) })
}

func writeServiceProperties(x *wire.Writer, p blob.ServiceProperties) {
	x.Start("StorageServiceProperties")
	if l := p.Logging; l != nil {
		x.Start("Logging")
		x.Elem("Version", l.Version)
		x.Elem("Read", strconv.FormatBool(l.Read))
		x.Elem("Write", strconv.FormatBool(l.Write))
		x.Elem("Delete", strconv.FormatBool(l.Delete))
		writeRetention(x, "RetentionPolicy", l.Retention)
		x.End()
	}
	writeMetrics(x, "HourMetrics", p.HourMetrics)
	writeMetrics(x, "MinuteMetrics", p.MinuteMetrics)
	writeCORS(x, p.CORS)
	if p.DefaultServiceVersion != nil {
		x.Opt("DefaultServiceVersion", *p.DefaultServiceVersion)
	}
	if p.DeleteRetention != nil {
		writeRetention(x, "DeleteRetentionPolicy", *p.DeleteRetention)
	}
	if s := p.StaticWebsite; s != nil {
		x.Start("StaticWebsite")
		x.Elem("Enabled", strconv.FormatBool(s.Enabled))
		x.Opt("IndexDocument", s.IndexDocument)
		x.Opt("DefaultIndexDocumentPath", s.DefaultIndexDocument)
		x.Opt("ErrorDocument404Path", s.ErrorDocument404Path)
		x.End()
	}
	x.End()
}

func writeRetention(x *wire.Writer, element string, r blob.Retention) {
	x.Start(element)
	x.Elem("Enabled", strconv.FormatBool(r.Enabled))
	if r.Enabled {
		x.Elem("Days", strconv.Itoa(r.Days))
	}
	if r.AllowPermanentDelete {
		x.Elem("AllowPermanentDelete", "true")
	}
	x.End()
}

func writeMetrics(x *wire.Writer, element string, m *blob.Metrics) {
	if m == nil {
		return
	}
	x.Start(element)
	x.Elem("Version", m.Version)
	x.Elem("Enabled", strconv.FormatBool(m.Enabled))
	if m.Enabled {
		x.Elem("IncludeAPIs", strconv.FormatBool(m.IncludeAPIs))
	}
	writeRetention(x, "RetentionPolicy", m.Retention)
	x.End()
}

func writeCORS(x *wire.Writer, rules *[]blob.CORSRule) {
	switch {
	case rules == nil:
		return
	case len(*rules) == 0:
		x.Elem("Cors", "")
		return
	}
	x.Start("Cors")
	for _, c := range *rules {
		x.Start("CorsRule")
		x.Elem("AllowedMethods", c.AllowedMethods)
		x.Elem("AllowedOrigins", c.AllowedOrigins)
		x.Elem("AllowedHeaders", c.AllowedHeaders)
		x.Elem("ExposedHeaders", c.ExposedHeaders)
		x.Elem("MaxAgeInSeconds", strconv.Itoa(c.MaxAge))
		x.End()
	}
	x.End()
}

// setServiceProperties serves Set Blob Service Properties: sections that are not in the
// body stay as they are.
func (h *Handler) setServiceProperties(w *wire.Response, r *wire.Request) error {
	body, err := sumBody(r)
	if err != nil {
		return err
	}
	p, err := readServiceProperties(wire.NewDecoder(body, maxXML))
	if err != nil {
		return err
	}
	if err := body.verify(); err != nil {
		return err
	}
	if err := h.blobs.SetServiceProperties(r.Context(), r.Caller, r.Target.Account, p); err != nil {
		return err
	}
	return empty(w, http.StatusAccepted)
}

func readServiceProperties(d *wire.Decoder) (p blob.ServiceProperties, err error) {
	if err := d.Root("StorageServiceProperties"); err != nil {
		return p, err
	}
	err = d.Children(func(element string) (err error) {
		switch element {
		case "Logging":
			p.Logging, err = readLogging(d)
		case "HourMetrics":
			p.HourMetrics, err = readMetrics(d)
		case "MinuteMetrics":
			p.MinuteMetrics, err = readMetrics(d)
		case "Cors":
			p.CORS, err = readCORS(d)
		case "DefaultServiceVersion":
			p.DefaultServiceVersion, err = readDefaultVersion(d)
		case "DeleteRetentionPolicy":
			p.DeleteRetention = new(blob.Retention)
			*p.DeleteRetention, err = readRetention(d)
		case "StaticWebsite":
			p.StaticWebsite, err = readWebsite(d)
		default:
			err = d.Unknown(element)
		}
		return err
	})
	if err != nil {
		return blob.ServiceProperties{}, err
	}
	return p, d.End()
}

func readDefaultVersion(d *wire.Decoder) (*string, error) {
	v, err := d.Text()
	if err != nil || v == "" {
		return &v, err
	}
	if _, err := wire.ParseVersion(v); err != nil {
		return nil, wire.BadNode("DefaultServiceVersion", v)
	}
	return &v, nil
}

func readLogging(d *wire.Decoder) (*blob.Logging, error) {
	l := &blob.Logging{}
	return l, d.Children(func(element string) (err error) {
		switch element {
		case "Version":
			l.Version, err = d.Text()
		case "Read":
			l.Read, err = d.Bool(element)
		case "Write":
			l.Write, err = d.Bool(element)
		case "Delete":
			l.Delete, err = d.Bool(element)
		case "RetentionPolicy":
			l.Retention, err = readRetention(d)
		default:
			err = d.Unknown(element)
		}
		return err
	})
}

func readMetrics(d *wire.Decoder) (*blob.Metrics, error) {
	m := &blob.Metrics{}
	return m, d.Children(func(element string) (err error) {
		switch element {
		case "Version":
			m.Version, err = d.Text()
		case "Enabled":
			m.Enabled, err = d.Bool(element)
		case "IncludeAPIs":
			m.IncludeAPIs, err = d.Bool(element)
		case "RetentionPolicy":
			m.Retention, err = readRetention(d)
		default:
			err = d.Unknown(element)
		}
		return err
	})
}

func readRetention(d *wire.Decoder) (r blob.Retention, err error) {
	return r, d.Children(func(element string) (err error) {
		switch element {
		case "Enabled":
			r.Enabled, err = d.Bool(element)
		case "Days":
			r.Days, err = d.Int(element)
		case "AllowPermanentDelete":
			r.AllowPermanentDelete, err = d.Bool(element)
		default:
			err = d.Unknown(element)
		}
		return err
	})
}

func readCORS(d *wire.Decoder) (*[]blob.CORSRule, error) {
	rules := &[]blob.CORSRule{}
	return rules, d.Children(func(element string) error {
		if element != "CorsRule" || len(*rules) == 5 {
			return d.Unknown(element)
		}
		var c blob.CORSRule
		err := d.Children(func(element string) (err error) {
			switch element {
			case "AllowedOrigins":
				c.AllowedOrigins, err = d.Text()
			case "AllowedMethods":
				c.AllowedMethods, err = d.Text()
			case "AllowedHeaders":
				c.AllowedHeaders, err = d.Text()
			case "ExposedHeaders":
				c.ExposedHeaders, err = d.Text()
			case "MaxAgeInSeconds":
				c.MaxAge, err = d.Int(element)
			default:
				err = d.Unknown(element)
			}
			return err
		})
		*rules = append(*rules, c)
		return err
	})
}

func readWebsite(d *wire.Decoder) (*blob.StaticWebsite, error) {
	s := &blob.StaticWebsite{}
	return s, d.Children(func(element string) (err error) {
		switch element {
		case "Enabled":
			s.Enabled, err = d.Bool(element)
		case "IndexDocument":
			s.IndexDocument, err = d.Text()
		case "DefaultIndexDocumentPath":
			s.DefaultIndexDocument, err = d.Text()
		case "ErrorDocument404Path":
			s.ErrorDocument404Path, err = d.Text()
		default:
			err = d.Unknown(element)
		}
		return err
	})
}
