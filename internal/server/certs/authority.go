// Package certs is the local certificate authority: it is made on first start, its
// public certificate lies at <data>/tls/ca.pem, and it signs short-lived certificates
// in memory for the names under which this server may be asked.
//
// It never signs for a name that it was not told to serve: who holds a connection here
// and our CA in his trust store still cannot be given a certificate for another site.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	skew     = time.Hour // certificates begin in the past: clocks differ
)

// Authority holds the CA's certificate and its private key.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes a CA. label goes into its name, so that people can tell stores apart.
func NewAuthority(label string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Coffer local CA " + label, Organization: []string{"Coffer"}},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{Certificate: cert, key: key}, nil
}

// ParseAuthority puts an authority together from its files.
func ParseAuthority(certPEM, keyDER []byte) (*Authority, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("certs: no certificate in the CA file")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		return nil, errors.New("certs: the CA's private key does not parse")
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ec.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("certs: the CA's private key belongs to another certificate")
	}
	return &Authority{Certificate: cert, key: ec}, nil
}

// PEM is the public certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate.Raw})
}

// KeyDER is the private key in PKCS #8, to be sealed by the caller and then wiped.
func (a *Authority) KeyDER() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(a.key) }

// sign makes a server certificate for names and addresses with the public key pub.
func (a *Authority) sign(n names, pub *ecdsa.PublicKey, now time.Time) (*x509.Certificate, error) {
	end := now.Add(leafLife)
	if end.After(a.Certificate.NotAfter) {
		end = a.Certificate.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: n.common()},
		NotBefore:    now.Add(-skew),
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     n.dns,
		IPAddresses:  n.ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("certs: sign for %s: %w", n.common(), err)
	}
	return x509.ParseCertificate(der)
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] &= 0x7f // positive, at most 16 bytes
	return new(big.Int).SetBytes(b[:])
}
