package cse

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"github.com/coffer-storage/coffer/cse/internal/format"
)

// Columns that say how an entity was encrypted.
const (
	tableData  = "_ClientEncryptionMetadata1"
	tableNames = "_ClientEncryptionMetadata2"
	typeSuffix = "@odata.type"
)

// DecryptEntity decrypts a table entity of version 1.0, the only one there is for
// tables. It takes and returns an entity as JSON, as package aztables has it: encrypted
// properties become strings, the metadata columns go, and the rest stays as it was. An
// entity without them is returned as it is, if AllowPlaintextRead says so.
//
// Nothing here is authenticated. Migrate to properties that the server protects:
// MigrateEntities.
func DecryptEntity(ctx context.Context, entity []byte, opt *Options) ([]byte, error) {
	o, err := opt.check()
	if err != nil {
		return nil, err
	}
	return o.decryptEntity(ctx, entity)
}

// row is a table entity, its properties in order.
type row struct {
	all            []format.Member
	partition, key string
	data           *format.Data
	cbcKey         []byte
	bad            bool // the key did not unwrap, it is random
}

func (o *Options) decryptEntity(ctx context.Context, entity []byte) ([]byte, error) {
	r := row{}
	var err error
	if r.all, err = format.Members(entity); err != nil {
		return nil, fromFormat(err)
	}
	text, hasText := r.text(tableData)
	_, hasNames := r.text(tableNames)
	switch {
	case !hasText && !hasNames:
		if o.AllowPlaintextRead {
			return entity, nil
		}
		return nil, &Error{Code: NotEncrypted}
	case !hasText || !hasNames:
		return nil, &Error{Code: BadMetadata, Detail: "one of the two columns of encryption metadata is missing"}
	}
	if r.data, err = o.parse(text); err != nil {
		return nil, err
	}
	if r.data.Protocol != format.V1 {
		return nil, &Error{Code: UnknownProtocol, Detail: "tables know version 1.0 only"}
	}
	r.partition, _ = r.text("PartitionKey")
	r.key, _ = r.text("RowKey")
	if r.cbcKey, r.bad, err = o.openKey(ctx, r.data); err != nil {
		return nil, err
	}
	return r.decrypt()
}

// text returns a string property. One that is there twice counts as missing: readers
// would differ in which they take.
func (r *row) text(name string) (string, bool) {
	found := ""
	n := 0
	for _, m := range r.all {
		if m.Name == name {
			n++
			if json.Unmarshal(m.Raw, &found) != nil {
				return "", false
			}
		}
	}
	return found, n == 1
}

// decrypt rewrites the entity.
func (r *row) decrypt() ([]byte, error) {
	list, err := r.column(tableNames)
	if err != nil {
		return nil, err
	}
	encrypted, err := r.names(list)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, m := range r.all {
		name, isType := strings.CutSuffix(m.Name, typeSuffix)
		if name == tableData || name == tableNames || isType && slices.Contains(encrypted, name) {
			continue
		}
		value := []byte(m.Raw)
		if slices.Contains(encrypted, m.Name) {
			text, err := r.column(m.Name)
			if err != nil {
				return nil, err
			}
			value = jsonString(text)
		}
		out.WriteByte(',')
		out.Write(jsonString(m.Name))
		out.WriteByte(':')
		out.Write(value)
	}
	return append(append([]byte{'{'}, bytes.TrimPrefix(out.Bytes(), []byte{','})...), '}'), nil
}

func jsonString(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

// byJava tells the two styles of writers apart, as all SDKs do.
func (r *row) byJava() bool {
	return r.data.NoWrapping || strings.Contains(r.data.Wrapping["EncryptionLibrary"], "Java")
}

// column decrypts a binary column. Its IV is of the keys and the name: a column that was
// moved does not open, in most cases.
func (r *row) column(name string) (string, error) {
	text, ok := r.text(name)
	stored, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return "", errAuth()
	}
	join := r.key + r.partition + name
	if r.byJava() {
		join = r.partition + r.key + name
	}
	plain, err := decryptV1(r.cbcKey, format.ColumnIV(r.data.IV, join), stored)
	if err != nil || r.bad {
		return "", errAuth()
	}
	return string(plain), nil
}

// names reads the list of encrypted properties: a JSON array, or Java's [a, b].
func (r *row) names(list string) ([]string, error) {
	var names []string
	if !r.byJava() {
		if json.Unmarshal([]byte(list), &names) != nil {
			return nil, errAuth()
		}
		return names, nil
	}
	inner, ok := strings.CutPrefix(list, "[")
	inner, ok2 := strings.CutSuffix(inner, "]")
	if !ok || !ok2 {
		return nil, errAuth()
	}
	if inner == "" {
		return nil, nil
	}
	return strings.Split(inner, ", "), nil
}

// Entity is a table entity and its ETag.
type Entity struct {
	JSON []byte
	ETag string
}

// Table is what MigrateEntities asks of a table; a few lines over aztables.
type Table interface {
	// Entities lists all entities, with all their columns.
	Entities(ctx context.Context) iter.Seq2[Entity, error]
	// Replace replaces an entity whole, never merging, if its ETag is still that one.
	Replace(ctx context.Context, entity []byte, etag string) error
}

// MigrateEntitiesOptions are the options of MigrateEntities.
type MigrateEntitiesOptions struct {
	// DryRun decrypts and replaces nothing.
	DryRun bool
	// Each, if not nil, is told of every entity that was encrypted. An error of it
	// ends the run; nil goes on, also after an entity that does not open.
	Each func(entity []byte, err error) error
}

// EntitiesReport says what MigrateEntities found and did.
type EntitiesReport struct {
	Plain    int // not encrypted, or migrated before
	Migrated int // in a dry run: would be
	Failed   int
}

// MigrateEntities makes encrypted properties ordinary ones, which the server protects.
// It needs AllowV1Read. It can be run again after it was ended: entities that were
// migrated are plain.
func MigrateEntities(ctx context.Context, table Table, opt *Options, mo *MigrateEntitiesOptions) (EntitiesReport, error) {
	var m MigrateEntitiesOptions
	if mo != nil {
		m = *mo
	}
	if m.Each == nil {
		m.Each = func([]byte, error) error { return nil }
	}
	o, err := opt.check()
	if err != nil {
		return EntitiesReport{}, err
	}
	o.AllowPlaintextRead = false // what is not encrypted is not touched
	var report EntitiesReport
	for e, err := range table.Entities(ctx) {
		if err != nil {
			return report, err
		}
		plain, err := o.decryptEntity(ctx, e.JSON)
		if HasCode(err, NotEncrypted) {
			report.Plain++
			continue
		}
		if err == nil && !m.DryRun {
			err = table.Replace(ctx, plain, e.ETag)
		}
		if err == nil {
			report.Migrated++
		} else {
			report.Failed++
		}
		if err := m.Each(e.JSON, err); err != nil {
			return report, err
		}
	}
	return report, nil
}
