package csetest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// File is one file of vectors. Its README says what the fields mean.
type File struct {
	Name         string
	KEK          []byte   `json:"kekBase64"`
	KEKID        string   `json:"kekId"`
	KEKAlgorithm string   `json:"kekAlgorithm"`
	RSA          []byte   `json:"rsaTestKeyPkcs8DerBase64"`
	Vectors      []Vector `json:"vectors"`
}

// Vector is one case.
type Vector struct {
	Name         string `json:"name"`
	Expect       string `json:"expect"`
	KEK          []byte `json:"kekBase64"`
	KEKID        string `json:"kekId"`
	KEKAlgorithm string `json:"kekAlgorithm"`

	BlobType       string `json:"blobType"`
	EncryptionData string `json:"encryptiondata"`
	NonceStyle     string `json:"nonceStyle"`
	CEK            []byte `json:"cekBase64"`
	Plaintext      []byte `json:"plaintextBase64"`
	Ciphertext     []byte `json:"ciphertextBase64"`

	PlaintextLength  int64  `json:"plaintextLength"`
	CiphertextLength int64  `json:"ciphertextLength"`
	Pattern          string `json:"plaintextPattern"`
	PlaintextSHA     string `json:"plaintextSha256"`
	CiphertextSHA    string `json:"ciphertextSha256"`

	Ranges []Range `json:"ranges"`

	MessageText   string  `json:"messageText"`
	DecryptedUTF8 *string `json:"decryptedUtf8"`

	EntityJSON      string            `json:"entityJson"`
	Properties      string            `json:"propertyListUtf8"`
	EntityPlaintext map[string]string `json:"plaintext"`
	IVs             map[string][]byte `json:"ivBase64"`
}

// Range is a range of a vector. A nil length is to the end.
type Range struct {
	Offset   int64  `json:"plaintextOffset"`
	Length   *int64 `json:"plaintextLength"`
	Expected []byte `json:"expectedPlaintextBase64"`
}

// Vectors reads all files of vectors. None is a failure.
func Vectors(t testing.TB, dir string) []File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors in %s (%v)", dir, err)
	}
	var files []File
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		f := File{Name: filepath.Base(p)}
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		if len(f.Vectors) == 0 {
			t.Fatalf("%s: no vectors", p)
		}
		for i := range f.Vectors {
			f.Vectors[i].complete(&f)
		}
		files = append(files, f)
	}
	return files
}

// complete fills in what stands at the file, or is a pattern.
func (v *Vector) complete(f *File) {
	if v.KEK == nil {
		v.KEK, v.KEKID, v.KEKAlgorithm = f.KEK, f.KEKID, f.KEKAlgorithm
	}
	if v.Pattern != "" {
		v.Plaintext = Pattern(v.PlaintextLength)
	}
}

// Pattern is the plaintext of large vectors.
func Pattern(n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// RSAKey is the key of the vectors that name it.
func (f *File) RSAKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(f.RSA)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}
