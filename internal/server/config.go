package server

import (
	"log/slog"
	"time"
)

// Default ports follow the emulator's convention, so that its connection strings work.
const (
	DefaultBlobPort       = 10000
	DefaultManagementPort = 10006
	DefaultHost           = "127.0.0.1"
	DefaultMemoryLimit    = 96 << 20
)

// Config says what to open and how to serve it. The zero value of every field but
// Data has a meaning; see the comments.
type Config struct {
	Version string // of the program, for answers and logs

	Data      string // the data directory; "" makes a temporary one that Close removes
	UnsealKey string // key file of the service root; "" is the default place
	InfraKey  string // key file of the infrastructure root; "" follows UnsealKey
	Dev       bool   // development store: keys may lie beside the data, any address

	Host           string   // address of all listeners; "" is DefaultHost (0.0.0.0 with Dev)
	BlobPort       int      // 0 takes a free port
	ManagementPort int      // 0 takes a free port
	Domains        []string // names below these get certificates from our own CA
	CertFile       string   // own certificate chain, PEM; "" is our own CA
	KeyFile        string   // its private key, PEM
	AllowHTTP      bool     // plain HTTP on other addresses than loopback
	AcceptDataLoss bool     // serve other addresses without a proved recovery kit
	AcceptRollback bool     // open a store whose HEAD or log is missing or older
	ReadyFile      string   // written when everything listens; "" writes none

	MemoryLimit int64 // soft limit of the Go heap in bytes; 0 is DefaultMemoryLimit, negative sets none

	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil is time.Now
	// Fatal is told that the store lost its log: nothing was acknowledged after
	// that and the process has to end. nil ends the process with code 3.
	Fatal func(error)
}
