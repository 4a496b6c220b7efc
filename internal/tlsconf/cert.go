//go:build !notls

package tlsconf

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// maxPEM is how long a file of certificates or keys may be, in bytes.
const maxPEM = 4 << 20

// The names of a saved pair; those of an authority have a prefix.
const (
	certName = "cert.pem"
	keyName  = "key.pem"
	caPrefix = "ca-"
)

var (
	errEncrypted = errors.New("the private key is encrypted; decrypt it first: openssl pkey -in FILE -out FILE2")
	errNoCert    = errors.New("no certificate in PEM form")
)

// useFiles loads the certificate and key of c.
func (c *Config) useFiles(certFile, keyFile string) error {
	if keyFile == "" {
		keyFile = certFile
	}
	certPEM, err := readFile(certFile)
	if err != nil {
		return err
	}
	keyPEM, err := readFile(keyFile)
	if err != nil {
		return err
	}
	if err := c.use(certPEM, keyPEM); err != nil {
		return fmt.Errorf("%s, %s: %w", certFile, keyFile, err)
	}
	if time.Now().After(c.leaf.NotAfter) {
		c.notes = append(c.notes, fmt.Sprintf("the certificate in %s has expired (%s)", certFile, c.leaf.NotAfter.Format(time.DateOnly)))
	}
	if st, err := os.Stat(keyFile); err == nil && runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 {
		c.notes = append(c.notes, fmt.Sprintf("others can read the key in %s (mode %#o): chmod 600 it", keyFile, st.Mode().Perm()))
	}
	return nil
}

// use takes a pair in PEM as c's own.
func (c *Config) use(certPEM, keyPEM []byte) error {
	for block, rest := pem.Decode(keyPEM); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return errEncrypted
		}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return err
	}
	c.tls.Certificates = []tls.Certificate{pair}
	c.leaf = pair.Leaf
	return nil
}

// readPool reads certificates to trust.
func readPool(name string) (*x509.CertPool, error) {
	names := []string{name}
	if entries, err := os.ReadDir(name); err == nil {
		names = nil
		for _, e := range entries {
			names = append(names, filepath.Join(name, e.Name()))
		}
	}
	pool, found := x509.NewCertPool(), false
	for _, file := range names {
		p, err := readFile(file)
		if err != nil && file == name {
			return nil, err
		}
		found = pool.AppendCertsFromPEM(p) || found
	}
	if !found {
		return nil, fmt.Errorf("%s: %w", name, errNoCert)
	}
	return pool, nil
}

// readFile is os.ReadFile up to maxPEM. A pipe will do, for <(...) of shells.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(p) > maxPEM {
		err = fmt.Errorf("%s: longer than %d MiB", name, maxPEM>>20)
	}
	return p, err
}

// useSelfSigned takes the pair saved in o.SaveDir, or makes one, and saves it
// if there is a place to.
func (c *Config) useSelfSigned(o Options) error {
	c.selfSigned = true
	found, err := c.savedOr(o.SaveDir, "", func() (*x509.Certificate, crypto.Signer, error) {
		key, err := makeKey(o.RSA)
		hosts := []string{"localhost", "127.0.0.1", "::1"}
		if name, err := os.Hostname(); err == nil {
			hosts = append(hosts, name)
		}
		return leafFor(append(hosts, o.Hosts...), o.RSA), key, err
	})
	if !found || err != nil {
		return err
	}
	names, addrs := splitHosts(o.Hosts)
	for _, a := range addrs {
		names = append(names, a.String())
	}
	for _, name := range names {
		if c.leaf.VerifyHostname(name) != nil {
			c.notes = append(c.notes, fmt.Sprintf("the certificate in %s is not for %s", filepath.Join(o.SaveDir, certName), name))
		}
	}
	return nil
}

// savedOr takes the pair of an earlier run in dir, whose names have the prefix, and
// tells that it did. Else it takes a new one that make describes and that signs
// itself, and saves it if there is a place to.
func (c *Config) savedOr(dir, prefix string, make func() (*x509.Certificate, crypto.Signer, error)) (found bool, err error) {
	certFile, keyFile := filepath.Join(dir, prefix+certName), filepath.Join(dir, prefix+keyName)
	if dir != "" {
		if found, err = c.useSaved(certFile, keyFile); found || err != nil {
			return found, err
		}
	}
	cert, key, err := make()
	if err != nil {
		return false, err
	}
	certDER, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return false, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return false, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if dir != "" {
		if err := savePair(certFile, keyFile, certPEM, keyPEM); err != nil {
			return false, err
		}
	}
	return false, c.use(certPEM, keyPEM)
}

// useSaved takes the pair of an earlier run and tells whether there was one. It
// is an error if there is but half of one, or if it is of no use any more:
// nothing that exists is written over.
func (c *Config) useSaved(certFile, keyFile string) (bool, error) {
	_, certErr := os.Lstat(certFile)
	_, keyErr := os.Lstat(keyFile)
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		return false, nil
	}
	if err := c.useFiles(certFile, keyFile); err != nil {
		return true, err
	}
	if time.Now().After(c.leaf.NotAfter) {
		return true, fmt.Errorf("%s has expired (%s): remove it and %s to have new ones made",
			certFile, c.leaf.NotAfter.Format(time.DateOnly), filepath.Base(keyFile))
	}
	return true, nil
}

// savePair writes both files of a pair, or none. The directory is made if need
// be.
func savePair(certFile, keyFile string, certPEM, keyPEM []byte) error {
	if err := os.MkdirAll(filepath.Dir(keyFile), 0o700); err != nil {
		return err
	}
	if err := writeNew(keyFile, keyPEM, 0o600); err != nil {
		return err
	}
	if err := writeNew(certFile, certPEM, 0o644); err != nil {
		os.Remove(keyFile)
		return err
	}
	return nil
}

// writeNew writes a file that does not exist yet, whole or not at all.
func writeNew(name string, p []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(p)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(name)
	}
	return err
}

// makeKey makes a private key. Old devices know nothing but RSA.
func makeKey(old bool) (crypto.Signer, error) {
	if old {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// leafFor describes the certificate of a server for hosts. It is good for 397 days,
// beginning an hour ago for the sake of clients whose clock is late.
func leafFor(hosts []string, old bool) *x509.Certificate {
	usage := x509.KeyUsageDigitalSignature
	if old {
		usage |= x509.KeyUsageKeyEncipherment
	}
	names, addrs := splitHosts(hosts)
	start := time.Now().Add(-time.Hour)
	// No serial number: CreateCertificate makes one of 20 random bytes.
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: "socketsrv self-signed"},
		NotBefore:             start,
		NotAfter:              start.AddDate(0, 0, 397),
		KeyUsage:              usage,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, // and no CA: browsers refuse one as a server's
		DNSNames:              names,
		IPAddresses:           addrs,
	}
}

// splitHosts sorts hosts into names and addresses, each once. What no
// certificate can be for is left out: no host, every address, unix:/path.
func splitHosts(hosts []string) (names []string, addrs []net.IP) {
	for _, h := range hosts {
		h = strings.TrimSuffix(strings.TrimPrefix(h, "["), "]")
		if a, err := netip.ParseAddr(h); err == nil {
			ip := net.IP(a.Unmap().WithZone("").AsSlice())
			if !a.IsUnspecified() && !slices.ContainsFunc(addrs, ip.Equal) {
				addrs = append(addrs, ip)
			}
		} else if h = strings.ToLower(strings.TrimSuffix(h, ".")); isHostName(h) && !slices.Contains(names, h) {
			names = append(names, h)
		}
	}
	return names, addrs
}

// isHostName tells whether a certificate can be for the name s: letters, digits,
// hyphens and underscores between dots, a star for the first label at most.
func isHostName(s string) bool {
	for i, label := range strings.Split(s, ".") {
		if i == 0 && label == "*" {
			continue
		}
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return len(s) <= 253
}
