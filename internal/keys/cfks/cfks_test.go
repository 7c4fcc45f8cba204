package cfks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func id(b byte) ID { return ID{b} }

// sampleBody has every kind of record, state and form.
func sampleBody() *Body {
	store, acct := id(0x80), id(0x90)
	kek := Protector{ProtectAccount, acct}
	scope := Protector{ProtectScope, id(0x91)}
	one := func(n byte, s State, secrets ...Secret) Key {
		return Key{Number: 1, Kref: id(n), State: s, Created: 1, Activated: 2, KCV: [16]byte{n}, Secrets: secrets}
	}
	sk, ik := Secret{Form: UnderSK, Wrap: [wrapSize]byte{1}}, Secret{Form: UnderIK, Wrap: [wrapSize]byte{2}}
	signer := one(0x31, Active, sk)
	signer.Public = bytes.Repeat([]byte{7}, 32)
	old := one(0x32, Destroyed)
	old.Deactivated, old.Unreferenced, old.Destroyed, old.DestroyedBy = 3, 4, 5, "operator"
	two := one(0x33, Active, sk, Secret{Form: UnderCMK, W: id(0x51), Wrap: [wrapSize]byte{3}})
	two.Number = 2
	return &Body{
		Initialized: true, Retention: 90,
		Chains: []Chain{
			{ID: id(1), Kind: Identity, Owner: store, Keys: []Key{signer}},
			{ID: id(2), Kind: KEK, Owner: acct, Protector: kek, Period: 10, Keys: []Key{old, two}},
			{ID: id(3), Kind: IDK, Owner: store, Keys: []Key{one(0x34, Active, ik)}},
			{ID: id(4), Kind: KEK, Owner: acct, Protector: scope, Keys: []Key{one(0x35, Active, sk)}},
			{ID: id(5), Kind: VFSK, Owner: store, Keys: []Key{one(0x36, Active, sk)}},
		},
		Protectors: []ProtectorRecord{
			{Protector: kek, Owner: acct, Chain: id(2), Admin: Enabled, Double: true, Epoch: 3, Wrappings: []Wrapping{{
				W: id(0x51), Role: Pending, KeyURI: "https://v/keys/k/1", FollowLatest: true, Identity: "i",
				FederatedClient: "f", R: [wrapSize]byte{9}, Blob: []byte{1, 2, 3}, Created: 6, Demoted: 7,
			}}},
			{Protector: scope, Owner: acct, Chain: id(4), Admin: Disabled},
		},
		Facts: []Fact{{Slot: id(0x61), Name: "kit", Proved: 8, ProvedRef: id(0x71)}},
	}
}

func sampleFile() *File {
	return &File{
		Store: id(0x80), Generation: 1 << 40, SRKRef: id(0x70), IRKRef: id(0x71), Identity: [32]byte{1},
		Slots: []Slot{{ID: id(0x61), Root: SRK, Provider: 1, Blob: []byte{1}}, {ID: id(0x62), Root: IRK, Provider: 6, Params: []byte{2, 3}, Blob: []byte{4}}},
		Body:  bytes.Repeat([]byte{5}, minBody), Signature: [64]byte{6},
	}
}

func TestBodyRoundTrip(t *testing.T) {
	want := sampleBody()
	got, err := ParseBody(want.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestFileRoundTrip(t *testing.T) {
	want := sampleFile()
	b := want.Encode()
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if g, ok := Generation(b); !ok || g != want.Generation {
		t.Errorf("Generation = %d, %v", g, ok)
	}
	want.Dev = true
	if got, err := Parse(want.Encode()); err != nil || !got.Dev {
		t.Errorf("development flag: %v", err)
	}
}

// Each rule between records, broken alone, refuses.
func TestBodyRules(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*Body)
	}{
		{"chains out of order", func(b *Body) { b.Chains[0].ID, b.Chains[1].ID = b.Chains[1].ID, b.Chains[0].ID }},
		{"chain twice", func(b *Body) { b.Chains[4].ID = b.Chains[3].ID }},
		{"chain without owner", func(b *Body) { b.Chains[4].Owner = ID{} }},
		{"chain without versions", func(b *Body) { b.Chains[4].Keys = nil }},
		{"KEK without protector", func(b *Body) { b.Chains[1].Protector = Protector{} }},
		{"VFSK with protector", func(b *Body) { b.Chains[4].Protector = Protector{ProtectStore, id(1)} }},
		{"no identity", func(b *Body) { b.Chains[0].Kind = Audit }},
		{"two identities", func(b *Body) { b.Chains[4].Kind, b.Chains[4].Keys[0].Public = Identity, make([]byte, 32) }},
		{"endless period", func(b *Body) { b.Chains[1].Period = maxSeconds + 1 }},
		{"endless retention", func(b *Body) { b.Retention = maxSeconds + 1 }},
		{"time out of range", func(b *Body) { b.Chains[1].Keys[1].Created = 1 << 63 }},
		{"proof out of range", func(b *Body) { b.Facts[0].Proved = 1 << 63 }},
		{"version skipped", func(b *Body) { b.Chains[1].Keys[1].Number = 3 }},
		{"kref twice", func(b *Body) { b.Chains[4].Keys[0].Kref = b.Chains[3].Keys[0].Kref }},
		{"kref zero", func(b *Body) { b.Chains[4].Keys[0].Kref = ID{} }},
		{"two active versions", func(b *Body) {
			k := b.Chains[4].Keys[0]
			k.Number, k.Kref = 2, id(0x99)
			b.Chains[4].Keys = append(b.Chains[4].Keys, k)
		}},
		{"destroyed with a secret", func(b *Body) { b.Chains[1].Keys[0].Secrets = b.Chains[1].Keys[1].Secrets[:1] }},
		{"destroyed without a date", func(b *Body) { b.Chains[1].Keys[0].Destroyed = 0 }},
		{"active with a date of destruction", func(b *Body) { b.Chains[4].Keys[0].Destroyed = 1 }},
		{"active, destroyed by somebody", func(b *Body) { b.Chains[4].Keys[0].DestroyedBy = "x" }},
		{"active without a secret", func(b *Body) { b.Chains[4].Keys[0].Secrets = nil }},
		{"form does not fit", func(b *Body) { b.Chains[4].Keys[0].Secrets[0].Form = UnderIK }},
		{"IDK under SK", func(b *Body) { b.Chains[2].Keys[0].Secrets[0].Form = UnderSK }},
		{"wrapping where none is", func(b *Body) { b.Chains[4].Keys[0].Secrets[0].W = id(1) }},
		{"secrets out of order", func(b *Body) { s := b.Chains[1].Keys[1].Secrets; s[0], s[1] = s[1], s[0] }},
		{"secret under no wrapping", func(b *Body) { b.Chains[1].Keys[1].Secrets[1].W = id(0x52) }},
		{"protectors out of order", func(b *Body) { p := b.Protectors; p[0], p[1] = p[1], p[0] }},
		{"protector without chain", func(b *Body) { b.Protectors[1].Chain = id(9) }},
		{"protector of another owner", func(b *Body) { b.Protectors[1].Owner = id(9) }},
		{"chain without protector", func(b *Body) { b.Protectors = b.Protectors[:1] }},
		{"wrapping without key", func(b *Body) { b.Protectors[0].Wrappings[0].KeyURI = "" }},
		{"two wrappings of a role", func(b *Body) {
			w := b.Protectors[0].Wrappings[0]
			w.W = id(0x52)
			b.Protectors[0].Wrappings = append(b.Protectors[0].Wrappings, w)
		}},
		{"facts out of order", func(b *Body) { b.Facts = append(b.Facts, Fact{Slot: id(0x60)}) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := sampleBody()
			tt.spoil(b)
			if got, err := ParseBody(b.Encode()); !errors.Is(err, ErrForm) || got != nil {
				t.Errorf("ParseBody = %v, want ErrForm", err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	good := sampleFile().Encode()
	at := func(i int, v ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[i:], v); return b }
	}
	tests := []struct {
		name  string
		spoil func([]byte) []byte
		want  error
	}{
		{"empty", func([]byte) []byte { return nil }, ErrForm},
		{"magic", at(0, 'X'), ErrForm},
		{"version 0", at(4, 0), ErrForm},
		{"version 2", at(4, 2), ErrNewer},
		{"signature kind", at(5, 2), ErrForm},
		{"unknown flag", at(6, 2), ErrForm},
		{"byte 7", at(7, 1), ErrForm},
		{"store id zero", at(8, make([]byte, 16)...), ErrForm},
		{"generation zero", at(24, make([]byte, 8)...), ErrForm},
		{"SRK ref zero", at(32, make([]byte, 16)...), ErrForm},
		{"IRK ref is SRK ref", func(b []byte) []byte { copy(b[48:64], b[32:48]); return b }, ErrForm},
		{"65 slots", at(96, 0, 65), ErrForm},
		{"slot root", at(98+16, 3), ErrForm},
		{"slot provider", at(98+17, 7), ErrForm},
		{"slot params too long", at(98+18, 0xff, 0xff, 0xff, 0xff), ErrForm},
		{"slots out of order", at(98, 0x99), ErrForm},
		{"byte more", func(b []byte) []byte { return append(b, 0) }, ErrForm},
		{"byte less", func(b []byte) []byte { return b[:len(b)-1] }, ErrForm},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if f, err := Parse(tt.spoil(bytes.Clone(good))); !errors.Is(err, tt.want) || f != nil {
				t.Errorf("Parse = %v, want %v", err, tt.want)
			}
		})
	}
}

// A count that promises more than the input holds is refused before anything is made.
func TestCountsAreBounded(t *testing.T) {
	b := sampleBody().Encode()
	binary.BigEndian.PutUint32(b[10:], 1<<32-1)
	n := testing.AllocsPerRun(10, func() {
		if _, err := ParseBody(b); !errors.Is(err, ErrForm) {
			t.Errorf("ParseBody = %v", err)
		}
	})
	if n > 20 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	b := sampleFile().Encode()
	f.Add(b)
	f.Add(b[:headSize])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if err != nil {
			if file != nil {
				t.Error("a failure returned a file")
			}
			return
		}
		if !bytes.Equal(file.Encode(), b) {
			t.Error("a file has two spellings")
		}
	})
}

func FuzzParseBody(f *testing.F) {
	f.Add(sampleBody().Encode())
	f.Add([]byte{bodyVersion})
	small := sampleBody()
	small.Chains, small.Protectors, small.Facts = small.Chains[:1], nil, nil
	f.Add(small.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := ParseBody(b)
		if err != nil {
			if body != nil {
				t.Error("a failure returned a body")
			}
			return
		}
		if !bytes.Equal(body.Encode(), b) {
			t.Error("a body has two spellings")
		}
	})
}

func FuzzParseProtector(f *testing.F) {
	b := Protector{ProtectAccount, id(1)}.Bytes()
	f.Add(b[:])
	b = CPK.Bytes()
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProtector(b)
		if err != nil {
			return
		}
		if again := p.Bytes(); !bytes.Equal(again[:], b) {
			t.Error("a protector has two spellings")
		}
	})
}
