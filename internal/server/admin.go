package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/coffer-storage/coffer/internal/audit"
	"github.com/coffer-storage/coffer/internal/fault"
	"github.com/coffer-storage/coffer/internal/server/control"
)

// Progress tells how far a long operation is. Total is 0 while it is not known.
type Progress struct {
	Stage string `json:"stage"`
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"`
	Unit  string `json:"unit,omitempty"` // bytes, or what is counted
}

// operation is one entry of the table of operations: what a command can ask of an
// opened store, through the socket of the server that has it open or directly.
type operation struct {
	name string
	run  func(s *Server) control.Func
}

// op gives a method typed arguments and makes an operation of it.
func op[A, R any](name string, f func(*Server, context.Context, A, func(Progress)) (R, error)) operation {
	return operation{name, func(s *Server) control.Func {
		return func(ctx context.Context, raw json.RawMessage, progress func(any)) (any, error) {
			defer clear(raw) // a private key may be in it
			var args A
			if len(raw) > 0 {
				if err := json.Unmarshal(raw, &args); err != nil {
					return nil, fault.New("server."+name, "", fault.InvalidInput, err)
				}
			}
			ctx = audit.WithBy(ctx, audit.Origin{Actor: operator})
			return f(s, ctx, args, func(p Progress) { progress(p) })
		}
	}}
}

// operations is the table. Commands name entries; a test walks it.
var operations = []operation{
	op("status", (*Server).opStatus),
	op("inspect", (*Server).opInspect),
	op("verify", (*Server).opVerify),
	op("verify.report", (*Server).opVerifyReport),
	op("audit.list", (*Server).opAuditList),
	op("audit.verify", (*Server).opAuditVerify),
	op("audit.export", (*Server).opAuditExport),
	op("doctor", (*Server).opDoctor),
	op("backup.create", (*Server).opBackupCreate),
	op("keys.list", (*Server).opKeysList),
	op("keys.rotate", (*Server).opKeysRotate),
	op("keys.tree", (*Server).opKeysTree),
	op("keys.uses", (*Server).opKeysUses),
	op("keys.losses", (*Server).opKeysLosses),
	op("keys.destroy", (*Server).opKeysDestroy),
	op("keys.recover", (*Server).opKeysRecover),
	op("keys.drill", (*Server).opKeysDrill),
	op("recovery.create", (*Server).opRecoveryCreate),
	op("recovery.prove", (*Server).opRecoveryProve),
	op("account.create", (*Server).opAccountCreate),
	op("account.list", (*Server).opAccountList),
	op("account.keys", (*Server).opAccountKeys),
	op("account.regenerate", (*Server).opAccountRegenerate),
	op("account.set", (*Server).opAccountUpdate),
	op("account.update", (*Server).opAccountUpdate),
	op("account.show", (*Server).opAccountShow),
	op("account.revokeNow", (*Server).opAccountRevokeNow),
	op("scope.create", (*Server).opScopeCreate),
	op("scope.list", (*Server).opScopeList),
	op("scope.show", (*Server).opScopeShow),
	op("scope.update", (*Server).opScopeUpdate),
	op("scope.enable", (*Server).opScopeEnable),
	op("scope.disable", (*Server).opScopeDisable),
	op("account.delete", (*Server).opAccountDelete),
	op("account.blobService", (*Server).opBlobService),
	op("account.setBlobService", (*Server).opSetBlobService),
	op("group.create", (*Server).opGroupCreate),
	op("group.list", (*Server).opGroupList),
	op("group.show", (*Server).opGroupShow),
	op("group.update", (*Server).opGroupUpdate),
	op("group.delete", (*Server).opGroupDelete),
	op("container.create", (*Server).opContainerCreate),
	op("container.list", (*Server).opContainerList),
	op("container.show", (*Server).opContainerShow),
	op("container.update", (*Server).opContainerUpdate),
	op("container.delete", (*Server).opContainerDelete),
	op("vault.create", (*Server).opVaultCreate),
	op("vault.list", (*Server).opVaultList),
	op("vault.show", (*Server).opVaultShow),
	op("vault.allow", (*Server).opVaultAllow),
	op("vault.protect", (*Server).opVaultProtect),
	op("vault.delete", (*Server).opVaultDelete),
	op("vault.recover", (*Server).opVaultRecover),
	op("vault.purge", (*Server).opVaultPurge),
	op("vault.key.create", (*Server).opVaultKeyCreate),
	op("vault.key.import", (*Server).opVaultKeyImport),
	op("vault.key.update", (*Server).opVaultKeyUpdate),
	op("vault.key.backup", (*Server).opVaultKeyBackup),
	op("vault.key.restore", (*Server).opVaultKeyRestore),
	op("vault.key.policy", (*Server).opVaultKeyPolicy),
	op("vault.key.setPolicy", (*Server).opVaultKeySetPolicy),
	op("vault.key.list", (*Server).opVaultKeyList),
	op("vault.key.show", (*Server).opVaultKeyShow),
	op("vault.key.rotate", (*Server).opVaultKeyRotate),
	op("vault.key.enable", (*Server).opVaultKeyEnable),
	op("vault.key.disable", (*Server).opVaultKeyDisable),
	op("vault.key.delete", (*Server).opVaultKeyDelete),
	op("vault.key.recover", (*Server).opVaultKeyRecover),
	op("vault.key.purge", (*Server).opVaultKeyPurge),
	op("identity.create", (*Server).opIdentityCreate),
	op("identity.list", (*Server).opIdentityList),
	op("identity.show", (*Server).opIdentityShow),
	op("identity.delete", (*Server).opIdentityDelete),
	op("identity.machine", (*Server).opIdentityMachine),
	op("identity.addSecret", (*Server).opIdentityAddSecret),
	op("identity.removeSecret", (*Server).opIdentityRemoveSecret),
	op("identity.addCertificate", (*Server).opIdentityAddCertificate),
	op("identity.rotate", (*Server).opIdentityRotate),
	op("identity.revokeDelegations", (*Server).opIdentityRevokeDelegations),
	op("role.assign", (*Server).opRoleAssign),
	op("role.list", (*Server).opRoleList),
	op("role.remove", (*Server).opRoleRemove),
	op("role.definitions", (*Server).opRoleDefinitions),
}

// find is for control.Handler.
func (s *Server) find(name string) control.Func {
	for _, o := range operations {
		if o.name == name {
			return o.run(s)
		}
	}
	return nil
}

// operator is who the trail names for operations: the owner of the data directory.
const operator = "operator"

// Nothing is the argument or the result of an operation that has none.
type Nothing struct{}

// Call runs an operation on the store in cfg.Data: through the server that serves it,
// or else on the store itself, opened under its lock for the time of the call.
func Call(ctx context.Context, cfg Config, name string, args, result any, progress func(Progress)) error {
	onLine := func(raw json.RawMessage) {
		var p Progress
		if progress != nil && json.Unmarshal(raw, &p) == nil {
			progress(p)
		}
	}
	err := control.Call(ctx, cfg.Data, name, args, result, onLine)
	if !errors.Is(err, control.ErrNoServer) {
		return err
	}
	if name == "status" {
		return err
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, "keystore.A")); err != nil {
		return fault.New("server.Call", cfg.Data, fault.ResourceNotFound, errors.New("there is no store in this directory"))
	}
	cfg.offline = true
	s, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.call(ctx, name, args, result, progress)
}

// call runs an operation in this process. Arguments and results take the way through
// JSON, so that a command behaves alike with and without a server.
func (s *Server) call(ctx context.Context, name string, args, result any, progress func(Progress)) error {
	f := s.find(name)
	if f == nil {
		return fmt.Errorf("server: no operation %q", name)
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return err
	}
	got, err := f(ctx, raw, func(p any) {
		if p, ok := p.(Progress); ok && progress != nil {
			progress(p)
		}
	})
	if err != nil || result == nil {
		return err
	}
	if raw, err = json.Marshal(got); err != nil {
		return err
	}
	return json.Unmarshal(raw, result)
}
