package cse_test

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue"

	"github.com/coffer-storage/coffer/cse"
	"github.com/coffer-storage/coffer/cse/internal/csetest"
)

// queueService is one queue in memory.
type queueService struct {
	mu    sync.Mutex
	texts []string
}

func (q *queueService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	var in struct{ MessageText string }
	if len(body) > 0 && xml.Unmarshal(body, &in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	switch r.Method {
	case http.MethodPost:
		q.texts = append(q.texts, in.MessageText)
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, "<QueueMessagesList><QueueMessage><MessageId>id</MessageId></QueueMessage></QueueMessagesList>")
	case http.MethodPut:
		q.texts = []string{in.MessageText}
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		fmt.Fprint(w, "<QueueMessagesList>")
		at := time.Unix(1000, 0).UTC().Format(http.TimeFormat)
		for i, text := range q.texts {
			fmt.Fprintf(w, "<QueueMessage><MessageId>id%d</MessageId><InsertionTime>%s</InsertionTime><ExpirationTime>%s</ExpirationTime>", i, at, at)
			if r.URL.Query().Get("peekonly") == "" {
				fmt.Fprintf(w, "<PopReceipt>pop%d</PopReceipt><TimeNextVisible>%s</TimeNextVisible>", i, at)
			}
			fmt.Fprint(w, "<DequeueCount>3</DequeueCount><MessageText>")
			xml.EscapeText(w, []byte(text))
			fmt.Fprint(w, "</MessageText></QueueMessage>")
		}
		fmt.Fprint(w, "</QueueMessagesList>")
	}
}

func queueClient(t *testing.T, opt *cse.QueueOptions) (*queueService, *cse.QueueClient) {
	t.Helper()
	q := &queueService{}
	s := httptest.NewServer(q)
	t.Cleanup(s.Close)
	o := &azqueue.ClientOptions{}
	o.Retry.MaxRetries = -1
	plain, err := azqueue.NewQueueClientWithNoCredential(s.URL+"/q", o)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cse.NewQueueClient(plain, opt)
	if err != nil {
		t.Fatal(err)
	}
	return q, c
}

func TestQueue(t *testing.T) {
	for _, encoding := range []cse.Encoding{cse.NoEncoding, cse.Base64Encoding} {
		q, c := queueClient(t, &cse.QueueOptions{Options: cse.Options{Key: aesKey(t, "key1"), Version: cse.V21, RegionLength: 16}, Encoding: encoding})
		texts := []string{"hello", "", "Grüße & <xml>", strings.Repeat("x", 30000)}
		for _, text := range texts {
			if _, err := c.EnqueueMessage(t.Context(), text, nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, text := range q.texts {
			if strings.Contains(text, "hello") || !strings.Contains(text, `"Protocol":"2.0"`) || !strings.Contains(text, `"DataLength":4194304`) {
				t.Errorf("a message is %s", text)
			}
		}
		got, err := c.DequeueMessages(t.Context(), &azqueue.DequeueMessagesOptions{NumberOfMessages: to.Ptr[int32](32)})
		if err != nil || len(got) != len(texts) {
			t.Fatalf("DequeueMessages: %d, %v", len(got), err)
		}
		for i, m := range got {
			if m.Err != nil || m.Text != texts[i] || m.PopReceipt != fmt.Sprintf("pop%d", i) || m.DequeueCount != 3 || m.NextVisible.IsZero() {
				t.Errorf("message %d: %+v", i, m)
			}
		}
		if _, err := c.UpdateMessage(t.Context(), "id0", "pop0", "newer", nil); err != nil {
			t.Fatal(err)
		}
		peeked, err := c.PeekMessages(t.Context(), nil)
		if err != nil || len(peeked) != 1 || peeked[0].Text != "newer" || peeked[0].ID != "id0" {
			t.Errorf("PeekMessages: %+v, %v", peeked, err)
		}
		if _, err := c.Client().PeekMessages(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
}

// A message that does not open holds up no other.
func TestPoison(t *testing.T) {
	key := aesKey(t, "key1")
	q, c := queueClient(t, &cse.QueueOptions{Options: cse.Options{Key: key}, Encoding: cse.Base64Encoding})
	good, err := cse.EncryptMessage(t.Context(), base64.StdEncoding.EncodeToString([]byte("good")), &cse.Options{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	noBase64, err := cse.EncryptMessage(t.Context(), "?", &cse.Options{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := cse.EncryptMessage(t.Context(), "x", &cse.Options{Key: aesKey(t, "key2")})
	if err != nil {
		t.Fatal(err)
	}
	old := csetest.DataV1("key1", cse.A256KW, make([]byte, 40), make([]byte, 16))
	q.texts = []string{
		"plain", good, strings.Replace(good, `"2.0"`, `"2.1"`, 1), strings.Replace(good, `"2.0"`, `"9.0"`, 1), foreign,
		`{"EncryptedMessageContents":"AAAA","EncryptionData":` + old + `}`, noBase64, strings.Replace(good, "4194304", "1073741824", 1), good,
	}
	want := []cse.Code{
		cse.NotEncrypted, "", cse.AuthenticationFailed, cse.UnknownProtocol, cse.KeyNotFound,
		cse.V1NotAllowed, cse.BadMetadata, cse.RegionTooLarge, "",
	}
	got, err := c.DequeueMessages(t.Context(), nil)
	if err != nil || len(got) != len(want) {
		t.Fatalf("DequeueMessages: %d, %v", len(got), err)
	}
	for i, m := range got {
		if want[i] == "" && (m.Err != nil || m.Text != "good") || want[i] != "" && (!cse.HasCode(m.Err, want[i]) || m.Text != "") {
			t.Errorf("message %d: %q, %v; want code %q", i, m.Text, m.Err, want[i])
		}
	}
}

func TestMessages(t *testing.T) {
	key := aesKey(t, "key1")
	opt := &cse.Options{Key: key, AllowV1Read: true}
	if got, err := cse.DecryptMessage(t.Context(), "plain", &cse.Options{AllowPlaintextRead: true}); err != nil || got != "plain" {
		t.Errorf("plaintext, allowed: %q, %v", got, err)
	}
	for _, size := range []int{49_000, 70_000} {
		if _, err := cse.EncryptMessage(t.Context(), strings.Repeat("x", size), opt); !cse.HasCode(err, cse.TooLarge) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, err := cse.EncryptMessage(t.Context(), "x", &cse.Options{}); !cse.HasCode(err, cse.InvalidOption) {
		t.Errorf("no key: %v", err)
	}
	v1 := v1Blob(t, key, []byte("old"))
	envelope := func(contents []byte, data string) string {
		return fmt.Sprintf(`{"EncryptedMessageContents":%q,"EncryptionData":%s}`, encode64(contents), data)
	}
	data := v1.Metadata["encryptiondata"]
	if got, err := cse.DecryptMessage(t.Context(), envelope(v1.Body, data), opt); err != nil || got != "old" {
		t.Errorf("of 1.0: %q, %v", got, err)
	}
	for name, text := range map[string]string{
		"nothing":      envelope(nil, data),
		"15 bytes":     envelope(v1.Body[:15], data),
		"a bit":        envelope(append([]byte{v1.Body[0] ^ 1}, v1.Body[1:]...), data),
		"another key":  envelope(v1.Body, strings.Replace(data, wrappedOf(&v1), encode64(make([]byte, 40)), 1)),
		"half a block": envelope(append(v1.Body, 1), data),
	} {
		if got, err := cse.DecryptMessage(t.Context(), text, opt); err == nil || err.Error() != "cse: authentication failed" || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	// A key that does not unwrap is replaced by a random one, under which one padding in
	// 256 is right: it must not open by that.
	foreign := envelope(v1.Body, strings.Replace(data, wrappedOf(&v1), encode64(make([]byte, 40)), 1))
	for range 3000 {
		if got, err := cse.DecryptMessage(t.Context(), foreign, opt); err == nil {
			t.Fatalf("a key that does not unwrap: %q", got)
		}
	}
	q, c := queueClient(t, nil)
	q.texts = []string{"plain"}
	if m, err := c.PeekMessages(t.Context(), nil); err != nil || !cse.HasCode(m[0].Err, cse.NotEncrypted) {
		t.Errorf("no options: %+v, %v", m, err)
	}
	if _, err := c.EnqueueMessage(t.Context(), "x", nil); !cse.HasCode(err, cse.InvalidOption) {
		t.Errorf("no key: %v", err)
	}
	if _, err := c.UpdateMessage(t.Context(), "i", "p", "x", nil); !cse.HasCode(err, cse.InvalidOption) {
		t.Errorf("no key: %v", err)
	}
	if _, err := cse.NewQueueClient(c.Client(), &cse.QueueOptions{Encoding: "rot13"}); !cse.HasCode(err, cse.InvalidOption) {
		t.Errorf("another encoding: %v", err)
	}
}
