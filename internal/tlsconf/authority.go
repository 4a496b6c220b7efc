//go:build !notls

package tlsconf

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A signer signs certificates of servers, one for each name that a client asks
// for by SNI. Its own key is in a file that nobody else may read, for clients trust
// whatever it signs; the key of what it signs is never written.
type signer struct {
	authority tls.Certificate
	key       crypto.Signer // of every server
	hosts     []string      // of a certificate for who asks for no name
	old       bool

	mu    sync.Mutex
	known map[string]*tls.Certificate
}

const maxKnown = 1000 // certificates that are kept to be used again

var errNoAuthority = errors.New("it may not sign others: no authority")

// useAuthority has certificates made on the spot, signed by the authority in
// o.Authority, which is made if there is none yet.
func (c *Config) useAuthority(o Options) error {
	key, err := makeKey(o.RSA)
	if err != nil {
		return err
	}
	found, err := c.savedOr(o.Authority, caPrefix, func() (*x509.Certificate, crypto.Signer, error) {
		own, err := makeKey(o.RSA)
		return ownAuthority(), own, err
	})
	file := filepath.Join(o.Authority, caPrefix+certName)
	switch {
	case err != nil:
		return err
	case !c.leaf.IsCA:
		return fmt.Errorf("%s: %w", file, errNoAuthority)
	case !found:
		text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.leaf.Raw}))
		c.notes = append(c.notes, strings.Split(strings.TrimSpace(text), "\n")...)
	}
	c.notes = append(c.notes, fmt.Sprintf("clients have to trust the authority in %s, %s", file, fingerprint(c.leaf)))
	s := &signer{authority: c.tls.Certificates[0], key: key, hosts: o.Hosts, old: o.RSA, known: map[string]*tls.Certificate{}}
	c.leaf, c.tls.Certificates, c.tls.GetCertificate = nil, nil, s.certificate
	return nil
}

// ownAuthority describes the certificate of an authority, which is good for ten years.
// Its name is nobody else's: browsers mix up two of the same name.
func ownAuthority() *x509.Certificate {
	var id [4]byte
	rand.Read(id[:])
	start := time.Now().Add(-time.Hour)
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: "socketsrv authority " + hex.EncodeToString(id[:])},
		NotBefore:             start,
		NotAfter:              start.AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
}

// certificate returns one for the name that the client asks for. One that asks for no
// name, or for what is none, gets a certificate for where it connected to.
func (s *signer) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	hosts := []string{name}
	if !isHostName(name) || strings.Contains(name, "*") {
		name = ""
		hosts = append([]string{"localhost", "127.0.0.1", "::1"}, s.hosts...)
		if at, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
			hosts = append(hosts, at.IP.String())
			name = "at " + at.IP.String() // which nobody asks for
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cert := s.known[name]; cert != nil && time.Now().Before(cert.Leaf.NotAfter) {
		return cert, nil
	}
	cert, err := s.sign(hosts)
	if err != nil {
		return nil, err
	}
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[name] = cert
	return cert, nil
}

func (s *signer) sign(hosts []string) (*tls.Certificate, error) {
	ca := s.authority.Leaf
	leaf := leafFor(hosts, s.old)
	leaf.Subject.CommonName = ""
	if len(leaf.DNSNames) > 0 && len(leaf.DNSNames[0]) <= 64 { // X.520's bound of a common name
		leaf.Subject.CommonName = leaf.DNSNames[0]
	}
	leaf.NotBefore = slices.MaxFunc([]time.Time{leaf.NotBefore, ca.NotBefore}, time.Time.Compare)
	leaf.NotAfter = slices.MinFunc([]time.Time{leaf.NotAfter, ca.NotAfter}, time.Time.Compare)
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, s.key.Public(), s.authority.PrivateKey)
	if err != nil {
		return nil, err
	}
	leaf, err = x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der, ca.Raw}, PrivateKey: s.key, Leaf: leaf}, err
}
