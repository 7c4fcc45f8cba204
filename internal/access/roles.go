package access

import (
	"slices"

	"github.com/coffer-storage/coffer/internal/fault"
)

// Action is an action that roles give, by the name that it has everywhere.
type Action struct {
	Name string
	Data bool // on what is stored, not on the resource that stores it
}

// Roles reports whether the roles of a principal give an action at a scope.
type Roles func(action string, data bool, scope string) bool

const blobService = "Microsoft.Storage/storageAccounts/blobServices/"

func manage(name string) Action { return Action{Name: blobService + name} }
func data(name string) Action {
	return Action{Name: blobService + "containers/blobs/" + name, Data: true}
}

// Actions of the Blob service.
var (
	ReadBlob        = data("read")
	WriteBlob       = data("write")
	AddBlob         = data("add/action") // makes what is new, and replaces nothing
	DeleteBlob      = data("delete")
	ReadContainer   = manage("containers/read")
	WriteContainer  = manage("containers/write")
	DeleteContainer = manage("containers/delete")
	ReadACL         = manage("containers/getAcl/action")
	WriteACL        = manage("containers/setAcl/action")
	ReadService     = manage("read")
	WriteService    = manage("write")
	ReadInfo        = manage("getInfo/action")
	Delegate        = manage("generateUserDelegationKey/action")
)

// byRole asks the roles of a principal.
func (c *Caller) byRole(n Need) (fault.Kind, bool) {
	if len(n.Actions) == 0 {
		return fault.InsufficientAccount, false
	}
	return fault.PermissionMismatch, c.Roles != nil && slices.ContainsFunc(n.Actions, func(a Action) bool { return c.has(a, n) })
}

func (c *Caller) has(a Action, n Need) bool {
	scope := c.Resource
	if n.Container != "" {
		scope += "/blobServices/default/containers/" + string(n.Container)
	}
	return c.Roles(a.Name, a.Data, scope)
}

// MayReplace reports whether a caller who may create the blob of n may also put it in
// the place of one that is there.
func (c *Caller) MayReplace(n Need) bool {
	if c == nil {
		return true
	}
	if c.SAS != nil && !c.SAS.Permits("w") {
		return false
	}
	return c.Kind != Bearer && c.Kind != UserDelegationSAS || c.Roles != nil && c.has(WriteBlob, n)
}
