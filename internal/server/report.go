package server

import "time"

// What operations take and answer. These are the --json forms of the commands: names
// are only ever added.

// Status says what runs and where. It is the ready file and the base of `coffer env`.
type Status struct {
	PID     int    `json:"pid"`
	Version string `json:"version"`
	Data    string `json:"data"`
	Store   string `json:"store,omitempty"` // id
	Dev     bool   `json:"dev,omitempty"`
	Blob    string `json:"blob"`            // URL, plain HTTP; https answers on the same port
	Vault   string `json:"vault,omitempty"` // URL of the default vault, https only
	// VaultDomain ends the hosts of vaults: NAME.vault.DOMAIN.
	VaultDomain string `json:"vault_domain,omitempty"`
	Management  string `json:"management"` // URL
	Authority   string `json:"authority"`  // of the identity endpoint, with the tenant
	TLSCA       string `json:"tls_ca"`     // path of the CA certificate
	TLSBundle   string `json:"tls_bundle,omitempty"`
	Account     string `json:"account,omitempty"` // the default account
	Key         string `json:"key,omitempty"`     // its first key, base64
	UnsealKey   string `json:"unseal_key,omitempty"`
	InfraKey    string `json:"infra_key,omitempty"`
}

// Target names a blob.
type Target struct {
	Account   string `json:"account"`
	Container string `json:"container"`
	Blob      string `json:"blob"`
}

// Inspection says how one blob is protected.
type Inspection struct {
	Target
	Length     int64      `json:"length"`
	Protector  string     `json:"protector"` // whose key: account, scope, ..
	State      string     `json:"state"`     // of the protector: enabled, disabled, destroyed
	Scope      string     `json:"scope,omitempty"`
	CPK        string     `json:"cpk_sha256,omitempty"`
	Key        KeyName    `json:"key"`
	Provider   string     `json:"provider"`
	Layers     []string   `json:"layers"`     // outermost last
	Algorithms []string   `json:"algorithms"` // one for each layer and wrap
	Wrapped    time.Time  `json:"wrapped"`
	DEKs       int        `json:"data_keys"`
	Chunks     int        `json:"chunks"`
	Inline     int        `json:"inline_chunks"`
	StoredSize int64      `json:"stored_bytes"`
	Metadata   string     `json:"metadata"`   // sealed under which key
	Properties string     `json:"properties"` // sealed under which key
	Names      string     `json:"names"`      // sealed under which key
	Tree       []KeyLevel `json:"tree"`       // from the data key up to the root

	Class    string             `json:"class"`                  // single, or double: with infrastructure encryption
	Second   []string           `json:"second_layer,omitempty"` // what it is made of, class double only
	Customer *CustomerKeyReport `json:"customer_key,omitempty"` // that the protector's key is under

	InfraKey    KeyName    `json:"infrastructure_key,omitzero"`
	InfraPlaces []KeyLevel `json:"infrastructure_tree,omitempty"`
}

// KeyName names one version of a key.
type KeyName struct {
	Chain   string `json:"chain"`
	Version uint64 `json:"version"`
	Ref     string `json:"ref"`
	State   string `json:"state,omitempty"`
}

// KeyLevel is one step on the way from data to root.
type KeyLevel struct {
	Level string `json:"level"`
	Name  string `json:"name"`
	By    string `json:"wrapped_by"`
}

// VerifyArgs asks for verification.
type VerifyArgs struct {
	Search [][]byte `json:"search,omitempty"` // strings that must not be on disk
}

// VerifyReport says what was authenticated, what failed, and what was found.
type VerifyReport struct {
	Data       string         `json:"data"`
	Rows       int64          `json:"rows"`
	Chunks     int64          `json:"chunks"`
	Double     int64          `json:"double,omitempty"` // rows and chunks whose second layer was opened too
	Bytes      int64          `json:"bytes"`            // plaintext that was authenticated
	Files      int64          `json:"files"`
	FileBytes  int64          `json:"file_bytes"`
	Keys       []KeyUse       `json:"keys_in_use"`
	Suspended  int64          `json:"not_verifiable,omitempty"`
	Damage     []Finding      `json:"damage,omitempty"`
	Plaintext  []PlaintextHit `json:"plaintext,omitempty"`
	Searched   int            `json:"searched,omitempty"` // strings
	Encodings  []string       `json:"encodings,omitempty"`
	DurationMS int64          `json:"duration_ms"`
}

// Clean reports whether nothing was damaged and nothing was found.
func (r *VerifyReport) Clean() bool { return len(r.Damage) == 0 && len(r.Plaintext) == 0 }

// KeyUse counts what one key version protects.
type KeyUse struct {
	KeyName
	Kind  string `json:"kind"`
	Owner string `json:"owner"`
	Uses  int64  `json:"uses"`
}

// Finding is one thing that is wrong.
type Finding struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// PlaintextHit is one place on disk where a searched string was found. The string is
// named by its number, so that a report never repeats a secret.
type PlaintextHit struct {
	String   int    `json:"string"` // from 1, in the order of the search file
	Encoding string `json:"encoding"`
	File     string `json:"file"`
	Offset   int64  `json:"offset"`
}

// Advice is one line of doctor's table.
type Advice struct {
	Level string `json:"level"` // ok, note, warning, danger
	Check string `json:"check"`
	Found string `json:"found"`
	Do    string `json:"do,omitempty"`
}

// DoctorReport is doctor's table.
type DoctorReport struct {
	Data   string   `json:"data"`
	Advice []Advice `json:"advice"`
}

// Worst is the highest level of the table.
func (d *DoctorReport) Worst() string {
	worst := 0
	for _, a := range d.Advice {
		for i, l := range levels {
			if l == a.Level {
				worst = max(worst, i)
			}
		}
	}
	return levels[worst]
}

var levels = []string{"ok", "note", "warning", "danger"}

// KeysReport lists keys, protectors and ways to open the roots.
type KeysReport struct {
	Store      string         `json:"store"`
	Generation uint64         `json:"generation"`
	Identity   string         `json:"identity"` // pin of the key that signs the key store
	Chains     []KeyChain     `json:"chains"`
	Protectors []KeyProtector `json:"protectors"`
	Slots      []KeySlot      `json:"slots"`
}

// KeyChain is one key with its versions.
type KeyChain struct {
	ID           string       `json:"id"`
	Kind         string       `json:"kind"`
	For          string       `json:"for"` // a name that people know
	Owner        string       `json:"owner"`
	Cryptoperiod string       `json:"cryptoperiod,omitempty"`
	Due          *time.Time   `json:"due,omitempty"`
	Versions     []KeyVersion `json:"versions"`
}

// KeyVersion is one version of a key.
type KeyVersion struct {
	Number       uint64     `json:"version"`
	Ref          string     `json:"ref"`
	State        string     `json:"state"`
	Created      time.Time  `json:"created"`
	Deactivated  *time.Time `json:"deactivated,omitempty"`
	Unreferenced *time.Time `json:"unreferenced,omitempty"`
	Destroyed    *time.Time `json:"destroyed,omitempty"`
}

// KeyProtector is one protector.
type KeyProtector struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	State   string `json:"state"`
	Managed string `json:"managed_by"`
	Chain   string `json:"chain"`
	Active  uint64 `json:"active_version"`
	Double  bool   `json:"double"`

	Customer *CustomerKeyReport `json:"customer_key,omitempty"` // managed by the customer
}

// KeySlot is one way to open a root.
type KeySlot struct {
	ID       string     `json:"id"`
	Root     string     `json:"root"`
	Provider string     `json:"provider"`
	Name     string     `json:"name,omitempty"`
	Proved   *time.Time `json:"proved,omitempty"`
	Stale    bool       `json:"stale,omitempty"`
}

// RotateArgs says which key to rotate: account NAME, system NAME, vfs, infra, root, infra-root.
type RotateArgs struct {
	What    string `json:"what"`
	Account string `json:"account,omitempty"`
	Wait    bool   `json:"wait,omitempty"` // until the re-wrap sweep is through
	// NewUnsealKey also replaces the unseal key of a root: key stores of before do not
	// open with the key file of afterwards.
	NewUnsealKey bool `json:"new_unseal_key,omitempty"`
}

// RotateReport says what a rotation did.
type RotateReport struct {
	What       string  `json:"what"`
	Key        KeyName `json:"key"` // the new version; zero for a root
	Rewraps    int64   `json:"rewraps"`
	Pending    bool    `json:"pending"` // the sweep goes on in the background
	Generation uint64  `json:"generation"`
}

// DrillReport says what a key drill opened.
type DrillReport struct {
	Roots      []string  `json:"roots"`
	Protectors []string  `json:"protectors"`
	Opened     int       `json:"data_keys_opened"`
	Failed     []Finding `json:"failed,omitempty"`
	At         time.Time `json:"at"`
}

// UsesArgs names a protector: account NAME or scope ACCOUNT/NAME.
type UsesArgs struct {
	What  string `json:"what"`
	Name  string `json:"name"`
	Limit int    `json:"limit,omitempty"` // names to list; 0: all
}

// UsesReport says what a key protects: exactly, or the operation fails.
type UsesReport struct {
	What     string       `json:"what"`
	State    string       `json:"state"`
	Double   bool         `json:"double,omitempty"` // there is a second layer, under a key of another root
	Keys     []KeyVersion `json:"keys"`
	Counts   []KeyUse     `json:"counts"` // data keys under each version
	Contents int64        `json:"contents"`
	Staged   int64        `json:"staged"` // blobs with blocks that wait for their list
	Bytes    int64        `json:"bytes"`  // plaintext
	Also     []string     `json:"also,omitempty"`
	Names    []string     `json:"names"`
	More     int64        `json:"more,omitempty"` // names that the limit left out
}

// DestroyArgs asks for the destruction of a protector's keys.
type DestroyArgs struct {
	What     string `json:"what"` // account or scope
	Name     string `json:"name"`
	Confirm  string `json:"confirm"`  // the name again, typed by a person
	Contents int64  `json:"contents"` // what the list that he saw said
	Staged   int64  `json:"staged"`
}

// DestroyReport says what was destroyed and what is not gone by that.
type DestroyReport struct {
	What       string       `json:"what"`
	Contents   int64        `json:"contents"`
	Keys       []KeyVersion `json:"keys"` // tombstones
	By         string       `json:"by"`
	At         time.Time    `json:"at"`
	Generation uint64       `json:"generation"`
	Remains    []string     `json:"remains"`
}

// KeyTree is the key hierarchy with what each key protects. Contents with two layers
// count under both roots.
type KeyTree struct {
	Name     string     `json:"name"`
	State    string     `json:"state,omitempty"`
	Double   bool       `json:"double,omitempty"` // an account or scope with infrastructure encryption
	Contents int64      `json:"contents"`
	Children []*KeyTree `json:"children,omitempty"`
}

// RecoveryArgs asks for a recovery kit, or gives one back.
type RecoveryArgs struct {
	Name       string   `json:"name,omitempty"`
	Threshold  int      `json:"threshold,omitempty"`
	Shares     int      `json:"shares,omitempty"`
	Passphrase string   `json:"passphrase,omitempty"`
	Given      []string `json:"given,omitempty"` // prove: shares of the kit
}

// RecoveryReport holds a new kit (secret!), or the slots that a kit was proved for.
type RecoveryReport struct {
	Store  string    `json:"store"`
	Pin    string    `json:"pin,omitempty"`
	Shares []string  `json:"shares,omitempty"`
	Slots  []KeySlot `json:"slots"`

	UnsealKey string `json:"unseal_key,omitempty"` // restore: the new key files
	InfraKey  string `json:"infra_key,omitempty"`
}

// AccountArgs names an account and what to do with it.
type AccountArgs struct {
	Name  string   `json:"name"`
	Keys  []string `json:"keys,omitempty"`  // create: base64, instead of random ones
	Which int      `json:"which,omitempty"` // regenerate: 1 or 2
	Force bool     `json:"force,omitempty"` // delete: with everything in it

	Double    bool  `json:"double,omitempty"`    // create: with infrastructure encryption
	ForbidCPK *bool `json:"forbidCpk,omitempty"` // set; nil: as it is

	AllowPublic *bool `json:"allowPublic,omitempty"` // set; nil: as it is

	Kind          string `json:"kind,omitempty"`
	SKU           string `json:"sku,omitempty"`
	Location      string `json:"location,omitempty"`
	Group         string `json:"group,omitempty"`      // create: resource group; "": the default one
	Identity      string `json:"identity,omitempty"`   // system, or a user-assigned one
	VaultKey      string `json:"vaultKey,omitempty"`   // VAULT/KEY, or an address
	Grant         bool   `json:"grant,omitempty"`      // let the identity use the key, in a vault of ours
	ServiceKey    bool   `json:"serviceKey,omitempty"` // back to the service's key
	RequireCMK    *bool  `json:"requireCmk,omitempty"`
	RequireDouble *bool  `json:"requireDouble,omitempty"`
}

// Account describes an account. Keys are there only where they were asked for.
type Account struct {
	Name      string    `json:"name"`
	ID        string    `json:"id"`
	Created   time.Time `json:"created"`
	Default   bool      `json:"default,omitempty"`
	Double    bool      `json:"double,omitempty"`
	ForbidCPK bool      `json:"forbidCpk,omitempty"`
	Keys      []string  `json:"keys,omitempty"`
	Endpoint  string    `json:"endpoint,omitempty"`
	Protector string    `json:"protector"`

	Resource      string             `json:"resource_id"`
	Kind          string             `json:"kind"`
	SKU           string             `json:"sku"`
	Redundancy    string             `json:"redundancy"` // what there is, whatever the SKU's name
	Identity      string             `json:"identity,omitempty"`
	CustomerKey   *CustomerKeyReport `json:"customer_key,omitempty"`
	RequireCMK    bool               `json:"requireCmk,omitempty"`
	RequireDouble bool               `json:"requireDouble,omitempty"`
	AllowPublic   bool               `json:"allowPublic"`
}

// ScopeArgs names an encryption scope and what to do with it.
type ScopeArgs struct {
	Account string `json:"account"`
	Name    string `json:"name,omitempty"`
	Double  bool   `json:"double,omitempty"` // create: with infrastructure encryption

	VaultKey   string `json:"vaultKey,omitempty"`   // VAULT/KEY, or an address
	Grant      bool   `json:"grant,omitempty"`      // let the account's identity use the key
	ServiceKey bool   `json:"serviceKey,omitempty"` // back to the service's key
}

// Scope describes an encryption scope.
type Scope struct {
	Account  string    `json:"account"`
	Name     string    `json:"name"`
	ID       string    `json:"id"`
	State    string    `json:"state"` // enabled, disabled or destroyed
	Source   string    `json:"managed_by"`
	Key      KeyName   `json:"key"` // the active version
	Double   bool      `json:"double"`
	Created  time.Time `json:"created"`
	Modified time.Time `json:"modified"`

	CustomerKey *CustomerKeyReport `json:"customer_key,omitempty"`
}

// BackupArgs names a directory for a backup, made absolute by the caller.
type BackupArgs struct {
	Dir string `json:"dir"`
}

// BackupReport describes a backup set.
type BackupReport struct {
	Dir        string    `json:"dir"`
	Store      string    `json:"store"`
	Created    time.Time `json:"created"`
	Files      int64     `json:"files"`
	Bytes      int64     `json:"bytes"`
	Linked     int64     `json:"linked_files,omitempty"` // hard links: no space of their own
	Sequence   uint64    `json:"sequence"`
	Generation uint64    `json:"generation"`
	DurationMS int64     `json:"duration_ms"`
}
