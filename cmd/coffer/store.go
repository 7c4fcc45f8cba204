package main

import (
	"path/filepath"

	"github.com/coffer-storage/coffer/internal/server"
)

// storeFlags say which store a command means. A running server is found through its
// data directory; the other flags are for a store that no server has open.
type storeFlags struct {
	Data      string `help:"Data directory." default:"coffer-data" env:"COFFER_DATA" placeholder:"DIR"`
	UnsealKey string `help:"Key file of the service root." env:"COFFER_UNSEAL_KEY" placeholder:"FILE"`
	InfraKey  string `help:"Key file of the infrastructure root." env:"COFFER_INFRA_KEY" placeholder:"FILE"`
	Dev       bool   `help:"The store is a development store." env:"COFFER_DEV"`
	JSON      bool   `help:"Answer as JSON." name:"json"`
}

func (f *storeFlags) config() (server.Config, error) {
	data, err := filepath.Abs(f.Data)
	if err != nil {
		return server.Config{}, err
	}
	return server.Config{
		Version: versionText(), Data: data, UnsealKey: f.UnsealKey, InfraKey: f.InfraKey, Dev: f.Dev,
	}, nil
}

// call runs an operation and fills result.
func (f *storeFlags) call(a *app, name string, args, result any) error {
	a.json = f.JSON
	cfg, err := f.config()
	if err != nil {
		return err
	}
	bar := newBar(a)
	defer bar.done()
	return server.Call(a.ctx, cfg, name, args, result, bar.show)
}
