package wire

import (
	"errors"
	"log/slog"
	"time"

	"github.com/coffer-storage/coffer/internal/fault"
)

// Observation is what is known of a request when it is over: for its log line and for
// metrics. It has no names of containers and blobs: those are sealed on disk, and a log
// beside it must not undo that.
type Observation struct {
	RequestID, ClientRequestID string
	Operation                  string // from the route table, or "Unknown"
	Account                    string
	Caller                     string // kind of authorization
	SignatureHash              string // SHA-256 of the SAS signature
	Version                    string
	RemoteIP                   string
	Secure                     bool
	BytesIn, BytesOut          int64
	Start                      time.Time
	Duration                   time.Duration
	Status                     int
	Code                       string // error code, "" on success
	Key                        Key    // that protects what was read or written
	Aborted                    bool   // the connection was cut in the middle of the answer
	Err                        error  // what went wrong, for the log
}

// Observe collects the observation of r, answered by w.
func Observe(w *Response, r *Request, now time.Time, err error) *Observation {
	o := &Observation{
		RequestID: r.ID, ClientRequestID: r.ClientRequestID, Operation: r.Operation, Account: string(r.Target.Account),
		Version: string(r.Version), BytesIn: r.BytesIn(), BytesOut: w.BytesOut(), Start: r.Received,
		Duration: now.Sub(r.Received), Status: w.Status(), Code: w.Code(), Key: r.Key, Err: err,
	}
	if o.Operation == "" {
		o.Operation = "Unknown"
	}
	if c := r.Caller; c != nil {
		o.Caller, o.Secure = c.Kind.String(), c.Secure
		if c.IP.IsValid() {
			o.RemoteIP = c.IP.String()
		}
		if c.SAS != nil {
			o.SignatureHash = c.SAS.SignatureHash
		}
	}
	return o
}

// Level is the level at which the request is logged: what the client broke off or let
// stall is no error of ours.
func (o *Observation) Level() slog.Level {
	switch fault.KindOf(o.Err) {
	case fault.Canceled, fault.Timeout:
		return slog.LevelInfo
	}
	if o.Aborted || o.Status >= 500 && o.Status != 501 {
		return slog.LevelError
	}
	return slog.LevelInfo
}

// Attrs are the attributes of the log line.
func (o *Observation) Attrs() []slog.Attr {
	a := []slog.Attr{
		slog.String("request_id", o.RequestID),
		slog.String("op", o.Operation),
		slog.String("account", o.Account),
		slog.String("caller", o.Caller),
		slog.String("remote", o.RemoteIP),
		slog.Bool("tls", o.Secure),
		slog.String("version", o.Version),
		slog.Int("status", o.Status),
		slog.Int64("bytes_in", o.BytesIn),
		slog.Int64("bytes_out", o.BytesOut),
		slog.Duration("time", o.Duration),
	}
	opt := func(key, value string) {
		if value != "" {
			a = append(a, slog.String(key, value))
		}
	}
	opt("client_request_id", o.ClientRequestID)
	opt("sas", o.SignatureHash)
	opt("code", o.Code)
	if o.Key.Name != "" {
		a = append(a, slog.String("key", o.Key.Name), slog.String("key_ref", o.Key.Ref), slog.Uint64("key_version", o.Key.Version))
	}
	if o.Aborted {
		a = append(a, slog.Bool("aborted", true))
	}
	if o.Err != nil && (o.Aborted || o.Level() >= slog.LevelError) {
		a = append(a, slog.String("err", LogText(o.Err)))
	}
	return a
}

// LogText is the text of an error without the names of what it is about.
func LogText(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		s := e.Op + ": " + e.Kind.String()
		if e.Err != nil {
			s += ": " + LogText(e.Err)
		}
		return s
	}
	return err.Error()
}
