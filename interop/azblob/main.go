// Command azblob drives an unmodified Azure SDK for Go against one endpoint
// and reports every step for the interop matrix.
//
// The endpoint comes from AZURE_STORAGE_CONNECTION_STRING, as in any program
// that uses the SDK. Nothing here knows of Coffer: no option of the client is
// set that a user would not set, the transport is the SDK's own.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/coffer-storage/coffer/interop/report"
)

// run is one pass of the suite: its own container, removed at the end.
type run struct {
	conn string
	svc  *service.Client
	cont *container.Client
	name string
}

func main() {
	r, err := newRun(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "azblob: AZURE_STORAGE_CONNECTION_STRING:", err)
		os.Exit(2)
	}
	s := &report.Suite{Out: os.Stdout}
	s.Version("azblob " + moduleVersion("github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"))
	for _, st := range []part{
		{"container", r.container},
		{"small", r.small},
		{"empty", r.empty},
		{"large", r.large},
		{"names", r.names},
		{"list-flat", r.listFlat},
		{"list-tree", r.listTree},
		{"ranges", r.ranges},
		{"blocks", r.blocks},
		{"metadata", r.metadata},
		{"conditions", r.conditions},
		{"checksums", r.checksums},
		{"sas-account", r.sasAccount},
		{"sas-service", r.sasService},
		{"sas-policy", r.sasPolicy},
		{"customer-key", r.customerKey},
		{"scope", r.scope},
		{"double-scope", r.doubleScope},
		{"double-account", doubleAccount},
		{"service", r.service},
		{"protocol", r.protocol},
		{"errors", r.errors},
		{"delete", r.delete},
	} {
		s.Step(st.name, st.do)
	}
	os.Exit(s.Done())
}

func newRun(conn string) (*run, error) {
	svc, err := service.NewClientFromConnectionString(conn, nil)
	if err != nil {
		return nil, err
	}
	name := "go-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	return &run{conn: conn, svc: svc, cont: svc.NewContainerClient(name), name: name}, nil
}

// moduleVersion is the version of a dependency that this program was built with.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, d := range info.Deps {
		if d.Path == path {
			return d.Version
		}
	}
	return "unknown"
}

// noise gives n bytes that no compressor makes smaller and every run makes alike.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}
