//go:build !notls

package tlsconf

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// shown does a handshake with server as a client that trusts the authority in dir and
// connects to host, and returns what certificate it was shown.
func shown(t *testing.T, server *Config, dir, host string) (*x509.Certificate, error) {
	t.Helper()
	c, s, read := meet(t, mustClient(t, Options{CA: filepath.Join(dir, caPrefix+certName)}), server, host)
	if c.err != nil {
		return nil, c.err
	}
	if s.err != nil {
		t.Errorf("%s: the server has %v", host, s.err)
	}
	cert := state(c.conn).PeerCertificates[0]
	c.conn.Close()
	<-read
	return cert, nil
}

// TestAuthority: a client that trusts the authority trusts what is shown for every
// name; the authority outlives a run, its key is its owner's.
func TestAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "ca")
	o := Options{Authority: dir, Hosts: []string{"target.example"}}
	server := mustServer(t, o)
	if notes := strings.Join(server.Notes(), "\n"); !strings.Contains(notes, string(readAll(t, filepath.Join(dir, "ca-cert.pem")))+"clients have to trust") {
		t.Errorf("of a new authority it says %q", notes)
	}
	if st, err := os.Stat(filepath.Join(dir, "ca-key.pem")); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", st, err)
	}
	again := mustServer(t, o)
	if notes := again.Notes(); len(notes) != 1 || !strings.Contains(strings.Join(server.Notes(), "\n"), notes[0]) {
		t.Errorf("a second run says %q", notes)
	}
	long := strings.Repeat(strings.Repeat("l", 60)+".", 4) + "example"
	for _, tt := range []struct{ host, alone string }{
		{"www.example", "www.example"}, {"UPPER.example", "upper.example"}, {long, long},
		{"127.0.0.1", ""}, // for which nobody asks by name
	} {
		first, err := shown(t, server, dir, tt.host)
		if err != nil {
			t.Errorf("%s: %v", tt.host, err)
			continue
		}
		if second, _ := shown(t, server, dir, tt.host); second == nil || !second.Equal(first) {
			t.Errorf("%s: two certificates", tt.host)
		}
		if tt.alone != "" && (len(first.DNSNames) != 1 || first.DNSNames[0] != tt.alone || len(first.IPAddresses) > 0 || first.IsCA) {
			t.Errorf("%s: it is for %v, %v, CA %v", tt.host, first.DNSNames, first.IPAddresses, first.IsCA)
		}
		if tt.alone == "" && first.VerifyHostname("target.example") != nil {
			t.Errorf("who asks for no name gets one for %v", first.DNSNames)
		}
	}
	if cert, err := shown(t, mustServer(t, Options{Authority: dir, RSA: true}), dir, "old.example"); err != nil {
		t.Error(err)
	} else if _, ok := cert.PublicKey.(*rsa.PublicKey); !ok {
		t.Errorf("for old devices the key is %T", cert.PublicKey)
	}
}

// TestAuthorityNames: what is no name of a host is not signed, and what is kept has a
// bound.
func TestAuthorityNames(t *testing.T) {
	server := mustServer(t, Options{Authority: t.TempDir()})
	cc, sc := net.Pipe()
	defer cc.Close()
	defer sc.Close()
	ask := func(name string) *x509.Certificate {
		cert, err := server.tls.GetCertificate(&tls.ClientHelloInfo{ServerName: name, Conn: sc})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		return cert.Leaf
	}
	for _, name := range []string{"", "*.example", "a\nb", "a b", strings.Repeat("a", 64), "at 127.0.0.1", "ä.example", "a..b"} {
		if cert := ask(name); cert.VerifyHostname("localhost") != nil {
			t.Errorf("%q: signed for %v", name, cert.DNSNames)
		}
	}
	first := ask("0.example")
	for i := range maxKnown {
		ask(fmt.Sprintf("%d.example", i))
	}
	if ask("0.example").Equal(first) {
		t.Errorf("after %d others the first is still kept", maxKnown)
	}
}

// TestAuthorityFails has what cannot be used as an authority.
func TestAuthorityFails(t *testing.T) {
	dir := t.TempDir()
	mustServer(t, Options{SaveDir: dir})
	cert, key := readAll(t, filepath.Join(dir, certName)), readAll(t, filepath.Join(dir, keyName))
	writeFile(t, filepath.Join(dir, caPrefix+certName), 0o644, cert)
	if _, err := Server(Options{Authority: dir}); err == nil || !strings.Contains(err.Error(), "ca-key.pem") {
		t.Errorf("half of a pair: %v", err)
	}
	writeFile(t, filepath.Join(dir, caPrefix+keyName), 0o600, key)
	if _, err := Server(Options{Authority: dir}); err == nil || !strings.Contains(err.Error(), errNoAuthority.Error()) {
		t.Errorf("the certificate of a server: %v", err)
	}
}
