//go:build !notls

package tlsconf

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Available tells whether this build has TLS.
const Available = true

// Config is one side of TLS, made by Server or Client and not changed after. It
// serves any number of connections at once.
type Config struct {
	tls        *tls.Config
	timeout    time.Duration
	leaf       *x509.Certificate // our own; nil for a client without
	selfSigned bool
	pin        func(*x509.Certificate) error // clients; nil without
	insecure   bool
	anyName    bool // the chain is left for verify to check
	notes      []string
}

// Server makes the side that is connected to. The error says which file is
// wrong and how.
func Server(o Options) (*Config, error) {
	c, err := newConfig(o)
	if err != nil {
		return nil, err
	}
	switch {
	case o.Cert != "" && o.SaveDir != "":
		return nil, errors.New("a certificate is given: there is none to make and save")
	case o.Authority != "":
		err = c.useAuthority(o)
	case o.Cert == "":
		err = c.useSelfSigned(o)
	}
	if err != nil {
		return nil, err
	}
	if o.CA != "" {
		if c.tls.ClientCAs, err = readPool(o.CA); err != nil {
			return nil, err
		}
		c.tls.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// Client makes the side that connects. The environment has its say as with
// other programs: SSL_CERT_FILE and SSL_CERT_DIR name the certificates trusted,
// SSLKEYLOGFILE a file that takes the secrets, for wireshark.
func Client(o Options) (*Config, error) {
	c, err := newConfig(o)
	if err != nil {
		return nil, err
	}
	c.insecure = o.Insecure
	if o.Pin != "" {
		if c.pin, err = parsePin(o.Pin); err != nil {
			return nil, err
		}
	}
	if o.CA != "" {
		if c.tls.RootCAs, err = readPool(o.CA); err != nil {
			return nil, err
		}
	}
	c.tls.ServerName = o.ServerName
	// A pin says more than a chain could; verify looks at it either way.
	c.anyName = o.AnyName
	c.tls.InsecureSkipVerify = o.Insecure || o.Pin != "" || o.AnyName
	c.tls.VerifyConnection = c.verify
	if name := os.Getenv("SSLKEYLOGFILE"); name != "" {
		c.tls.KeyLogWriter = keyLog(name)
		c.notes = append(c.notes, "the secrets of TLS are written to "+name+" (SSLKEYLOGFILE)")
	}
	return c, nil
}

// AddKeyLog has the secrets of connections written to w too, in the format of
// SSLKEYLOGFILE. It is called before the first connection; nil changes nothing.
func (c *Config) AddKeyLog(w io.Writer) {
	switch {
	case w == nil:
	case c.tls.KeyLogWriter == nil:
		c.tls.KeyLogWriter = w
	default:
		c.tls.KeyLogWriter = io.MultiWriter(c.tls.KeyLogWriter, w)
	}
}

// versions are those that -tls-min names.
var versions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// ParseCiphers reads the names of ciphers, OpenSSL's (ECDHE-RSA-AES128-GCM-SHA256)
// or those of the RFCs (TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256), with colons, commas
// or blanks between them. DEFAULT is what crypto/tls chooses: nil.
func ParseCiphers(list string) (ids []uint16, err error) {
	known := slices.DeleteFunc(append(tls.CipherSuites(), tls.InsecureCipherSuites()...), func(s *tls.CipherSuite) bool {
		return !strings.Contains(s.Name, "_WITH_") // TLS 1.3's, which crypto/tls does not let one choose
	})
	for _, name := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(":, ", r) }) {
		i := slices.IndexFunc(known, func(s *tls.CipherSuite) bool { return s.Name == name || opensslName(s.Name) == name })
		switch {
		case i >= 0:
			ids = append(ids, known[i].ID)
		case name != "DEFAULT":
			return nil, errors.New("want names such as ECDHE-RSA-AES128-GCM-SHA256, with colons between")
		}
	}
	return ids, nil
}

// opensslName is what OpenSSL calls a cipher suite.
func opensslName(name string) string {
	return strings.NewReplacer("TLS_RSA_WITH_", "", "TLS_", "", "_WITH_", "-", "3DES_EDE_CBC", "DES-CBC3", "RC4_128", "RC4", "POLY1305_SHA256", "POLY1305",
		"_128_CBC_", "128-", "_256_CBC_", "256-", "_128_", "128-", "_256_", "256-", "_", "-").Replace(name)
}

// newConfig does what both sides have in common.
func newConfig(o Options) (*Config, error) {
	c := &Config{timeout: o.HandshakeTimeout, tls: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: o.NextProtos}}
	if c.timeout == 0 {
		c.timeout = HandshakeTimeout
	}
	if o.NextProtos == nil {
		c.tls.NextProtos = []string{"http/1.1"}
	}
	if o.MinVersion != "" {
		c.tls.MinVersion = versions[o.MinVersion]
	}
	if c.tls.MinVersion < tls.VersionTLS12 {
		c.notes = append(c.notes, "warning: TLS "+o.MinVersion+" can be read and changed by others (-tls-min)")
	}
	if o.RSA {
		for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			c.tls.CipherSuites = append(c.tls.CipherSuites, suite.ID)
		}
		c.notes = append(c.notes, "warning: key exchange by RSA and old ciphers are allowed (-tls-rsa)")
	}
	if o.Ciphers != nil {
		c.tls.CipherSuites = o.Ciphers
	}
	switch o.MaxVersion {
	case "", "1.3":
		c.tls.MaxVersion = tls.VersionTLS13
	case "1.2":
		c.tls.MaxVersion = tls.VersionTLS12
	default:
		return nil, fmt.Errorf("no TLS version %q: want 1.2 or 1.3", o.MaxVersion)
	}
	switch {
	case o.Cert != "":
		return c, c.useFiles(o.Cert, o.Key)
	case o.Key != "":
		return nil, fmt.Errorf("%s: a key without its certificate", o.Key)
	}
	return c, nil
}

// Fingerprint returns the SHA-256 of the certificate shown to the peer, as Pin
// takes it: sha256: and 64 hex digits. It is empty where there is not just one.
func (c *Config) Fingerprint() string {
	if c.leaf == nil {
		return ""
	}
	return fingerprint(c.leaf)
}

// SelfSigned tells whether the certificate was made here, now or in an earlier
// run, so that no client can know it.
func (c *Config) SelfSigned() bool { return c.selfSigned }

// Notes returns what the user should hear of, a line each: a key file that others
// can read, a certificate that has expired, where secrets are written, an authority
// that was made now.
func (c *Config) Notes() []string { return c.notes }

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// verify is the last word on a server's certificate, after crypto/tls has
// checked the chain, the name and the dates where it was to.
func (c *Config) verify(cs tls.ConnectionState) error {
	switch {
	case c.pin != nil:
		return c.pin(cs.PeerCertificates[0])
	case c.insecure:
		return nil
	}
	chains := cs.VerifiedChains
	if c.anyName {
		var err error
		if chains, err = c.chains(cs.PeerCertificates); err != nil {
			return &handshakeError{ErrCertificate, err}
		}
	}
	for _, chain := range chains {
		if weakKey(chain) == nil {
			return nil
		}
	}
	return &handshakeError{ErrCertificate, fmt.Errorf("a key of fewer than 2048 bits (RSA) in the chain of %s",
		fingerprint(cs.PeerCertificates[0]))}
}

// chains are the ways from a certificate, the first, to one that is trusted.
func (c *Config) chains(certs []*x509.Certificate) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, cert := range certs[1:] {
		between.AddCert(cert)
	}
	return certs[0].Verify(x509.VerifyOptions{Roots: c.tls.RootCAs, Intermediates: between})
}

// weakKey returns a certificate of the chain whose key can be had by trying;
// crypto/x509 itself draws the line at 1024 bits.
func weakKey(chain []*x509.Certificate) *x509.Certificate {
	for _, cert := range chain {
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
			return cert
		}
	}
	return nil
}

// parsePin reads sha256:HEX, the hash of a certificate, with or without colons
// between the bytes; or sha256//BASE64, the hash of a public key as curl's
// --pinnedpubkey has it.
func parsePin(s string) (func(*x509.Certificate) error, error) {
	bad := fmt.Errorf("pin %.100q: want sha256: and 64 hex digits, or sha256// and base64 of 32 bytes", s)
	if b64, ok := strings.CutPrefix(s, "sha256//"); ok {
		want, err := base64.StdEncoding.DecodeString(b64)
		if err != nil || len(want) != sha256.Size {
			return nil, bad
		}
		return func(cert *x509.Certificate) error {
			sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
			return pinned("sha256//"+base64.StdEncoding.EncodeToString(sum[:]),
				"sha256//"+base64.StdEncoding.EncodeToString(want))
		}, nil
	}
	digits, ok := strings.CutPrefix(s, "sha256:")
	want, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if !ok || err != nil || len(want) != sha256.Size {
		return nil, bad
	}
	return func(cert *x509.Certificate) error {
		return pinned(fingerprint(cert), "sha256:"+hex.EncodeToString(want))
	}, nil
}

// pinned compares what the server has with the pin.
func pinned(got, want string) error {
	if got == want {
		return nil
	}
	return &handshakeError{ErrCertificate, fmt.Errorf("it is %s, the pin is %s", got, want)}
}

// keyLog appends to the file of that name; it is open during a write only, so
// nobody has to close it.
type keyLog string

func (name keyLog) Write(p []byte) (int, error) {
	f, err := os.OpenFile(string(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := f.Write(p)
	return n, errors.Join(err, f.Close())
}
