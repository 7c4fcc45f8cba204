package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// maxBody bounds the arguments of a call: the largest is a backup of a vault's key, in
// base64.
const maxBody = 8 << 20

// Error is a failure that came over the socket. Hint says what to do next.
type Error struct {
	Kind    string `json:"kind,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// line is one line of an answer; exactly one member is set.
type line struct {
	Progress json.RawMessage `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *Error          `json:"error,omitempty"`
}

// Func is one operation. progress may be called any number of times before it returns.
type Func func(ctx context.Context, args json.RawMessage, progress func(any)) (any, error)

// Handler serves the operations that find returns. toError makes what the client sees.
func Handler(find func(name string) Func, toError func(error) *Error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, "/v1/")
		f := find(name)
		if !ok || r.Method != http.MethodPost || f == nil {
			http.Error(w, "no such operation", http.StatusNotFound)
			return
		}
		args, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		if err != nil || len(args) > maxBody {
			http.Error(w, "arguments do not arrive", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		send := sender(w)
		result, err := f(r.Context(), args, func(p any) { send(p, nil, nil) })
		if err != nil {
			send(nil, nil, toError(err))
			return
		}
		send(nil, result, nil)
	})
}

func sender(w http.ResponseWriter) func(progress, result any, e *Error) {
	var mu sync.Mutex
	return func(progress, result any, e *Error) {
		var l line
		var err error
		switch {
		case progress != nil:
			l.Progress, err = json.Marshal(progress)
		case e != nil:
			l.Error = e
		default:
			l.Result, err = json.Marshal(result)
		}
		if err != nil {
			l = line{Error: &Error{Message: "the answer cannot be written: " + err.Error()}}
		}
		b, _ := json.Marshal(l)
		mu.Lock()
		defer mu.Unlock()
		w.Write(append(b, '\n'))
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
}

// Call runs an operation on the server of dir. result may be nil; progress too.
func Call(ctx context.Context, dir, name string, args, result any, progress func(json.RawMessage)) error {
	body, err := json.Marshal(args)
	if err != nil {
		return err
	}
	conn, err := Dial(ctx, dir)
	if err != nil {
		return err
	}
	used := false
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if used {
				return nil, errors.New("control: the server went away")
			}
			used = true
			return conn, nil
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/v1/"+name, bytes.NewReader(body))
	if err != nil {
		conn.Close()
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		conn.Close()
		return fmt.Errorf("control: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("control: the running server does not know %q: it has another version", name)
	}
	return readAnswer(resp.Body, result, progress)
}

func readAnswer(r io.Reader, result any, progress func(json.RawMessage)) error {
	dec := json.NewDecoder(r)
	for {
		var l line
		switch err := dec.Decode(&l); {
		case errors.Is(err, io.EOF):
			return errors.New("control: the server ended before it answered")
		case err != nil:
			return fmt.Errorf("control: the answer breaks off: %w", err)
		case l.Error != nil:
			return l.Error
		case l.Progress != nil:
			if progress != nil {
				progress(l.Progress)
			}
		case l.Result != nil:
			if result == nil {
				return nil
			}
			return json.Unmarshal(l.Result, result)
		}
	}
}
