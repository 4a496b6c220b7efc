//go:build !notls

package tlsconf

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// colons writes a pin as openssl writes fingerprints.
func colons(pin string) string {
	digits := strings.ToUpper(strings.TrimPrefix(pin, "sha256:"))
	var parts []string
	for ; digits != ""; digits = digits[2:] {
		parts = append(parts, digits[:2])
	}
	return "sha256:" + strings.Join(parts, ":")
}

// TestClientVerifies: what must be accepted is, what must not is refused with
// ErrCertificate before a byte of a request is sent (TS10, TS11, TS13, TS14).
func TestClientVerifies(t *testing.T) {
	a := newAuthority(t)
	rsa1024, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, 10_000)
	for i := range many {
		many[i] = fmt.Sprintf("host-%d.example", i)
	}
	own := mustServer(t, Options{})
	ofCA := func(name string, change func(*x509.Certificate)) *Config {
		cert, key := a.issue(name, newKey(t), change)
		return mustServer(t, Options{Cert: cert, Key: key})
	}
	good := ofCA("good", nil)
	expired := ofCA("expired", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	sum := sha256.Sum256(good.leaf.RawSubjectPublicKeyInfo)
	keyPin := "sha256//" + base64.StdEncoding.EncodeToString(sum[:])
	weakCert, weakKey := a.issue("weak", rsa1024, nil)
	trust := Options{CA: a.file}
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "a.pem"), 0o600, readAll(t, a.file))
	writeFile(t, filepath.Join(folder, "README"), 0o600, []byte("no certificate"))
	for _, tt := range []struct {
		name   string
		server *Config
		client Options
		host   string
		want   string // in the error; empty: accepted
	}{
		{"a good one", good, trust, "localhost", ""},
		{"for an address", good, trust, "127.0.0.1", ""},
		{"name with a dot at its end", good, trust, "localhost.", ""},
		{"-cacert with a folder", good, Options{CA: folder}, "localhost", ""},
		{"-servername", good, Options{CA: a.file, ServerName: "localhost"}, "other.example", ""},
		{"self-signed", own, Options{}, "localhost", own.Fingerprint()},
		{"self-signed, another CA", own, trust, "localhost", "unknown authority"},
		{"of no CA that is known", good, Options{}, "localhost", good.Fingerprint()},
		{"wrong host", good, trust, "other.example", "not other.example"},
		{"wrong -servername", good, Options{CA: a.file, ServerName: "x.example"}, "localhost", "not x.example"},
		{"expired", expired, trust, "localhost", "expired"},
		{"not yet valid", ofCA("early", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), trust, "localhost", "not yet valid"},
		{"common name alone", ofCA("localhost", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }), trust, "localhost", "Common Name"},
		{"address not in it", ofCA("noip", func(c *x509.Certificate) { c.IPAddresses = nil }), trust, "127.0.0.1", "127.0.0.1"},
		{"another address", ofCA("ip2", func(c *x509.Certificate) { c.IPAddresses[0] = net.IP{127, 0, 0, 2} }), trust, "127.0.0.1", "127.0.0.1"},
		{"SHA-1", ofCA("sha1", func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }), trust, "localhost", "insecure algorithm"},
		{"RSA 1024", mustServer(t, Options{Cert: weakCert, Key: weakKey}), trust, "localhost", "2048"},
		{"for clients only", ofCA("eku", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }), trust, "localhost", "usage"},
		{"10,000 names", ofCA("many", func(c *x509.Certificate) { c.DNSNames = many }), trust, "localhost", "10000 names"},
		{"99 long names", ofCA("long", func(c *x509.Certificate) {
			c.DNSNames = nil
			for _, name := range many[:99] {
				c.DNSNames = append(c.DNSNames, strings.Repeat("x", 60)+"."+strings.Repeat("y", 60)+name)
			}
		}), trust, "localhost", "… (+"},

		{"-disable-hostname-validation", good, Options{CA: a.file, AnyName: true}, "other.example", ""},
		{"-disable-hostname-validation, of no CA that is known", good, Options{AnyName: true}, "localhost", "unknown authority"},
		{"-disable-hostname-validation, expired", expired, Options{CA: a.file, AnyName: true}, "localhost", "expired"},
		{"-disable-hostname-validation, RSA 1024", mustServer(t, Options{Cert: weakCert, Key: weakKey}), Options{CA: a.file, AnyName: true}, "localhost", "2048"},
		{"-k", own, Options{Insecure: true}, "other.example", ""},
		{"-k, expired", expired, Options{Insecure: true}, "localhost", ""},
		{"-k, RSA 1024", mustServer(t, Options{Cert: weakCert, Key: weakKey}), Options{Insecure: true}, "localhost", ""},
		{"-pin", own, Options{Pin: own.Fingerprint()}, "other.example", ""},
		{"-pin with colons", own, Options{Pin: colons(own.Fingerprint())}, "localhost", ""},
		{"-pin of the key", good, Options{Pin: keyPin}, "localhost", ""},
		{"-pin of another", own, Options{Pin: good.Fingerprint()}, "localhost", "the pin is " + good.Fingerprint()},
		{"-pin of another, trusted", good, Options{CA: a.file, Pin: own.Fingerprint()}, "localhost", "it is " + good.Fingerprint()},
		{"-pin of another, -k", own, Options{Insecure: true, Pin: good.Fingerprint()}, "localhost", "the pin is"},
		{"-pin of another key, -k", own, Options{Insecure: true, Pin: keyPin}, "localhost", "the pin is " + keyPin},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, s, read := meet(t, mustClient(t, tt.client), tt.server, tt.host)
			if tt.want == "" {
				if c.err != nil || s.err != nil {
					t.Fatalf("client: %v; server: %v", c.err, s.err)
				}
				io.WriteString(c.conn, "request")
				c.conn.Close()
				if got := <-read; got != "request" {
					t.Errorf("the server read %q", got)
				}
				return
			}
			if !errors.Is(c.err, ErrCertificate) || errors.Is(c.err, ErrTLS) || !strings.Contains(c.err.Error(), tt.want) || len(c.err.Error()) > 4<<10 {
				t.Errorf("error %v (%d bytes), want ErrCertificate with %q", c.err, len(c.err.Error()), tt.want)
			}
			if s.err == nil {
				t.Errorf("the server's handshake succeeded; it read %q", <-read)
			}
		})
	}
}

// TestCiphers: names as both sides of the world write them, and that the others are
// not spoken.
func TestCiphers(t *testing.T) {
	for list, want := range map[string][]uint16{
		"DEFAULT": nil, "": nil,
		"ECDHE-RSA-AES128-GCM-SHA256":           {tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": {tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		"ECDHE-ECDSA-CHACHA20-POLY1305:AES256-SHA, DES-CBC3-SHA": {tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA},
		"ECDHE-ECDSA-AES128-SHA256 RC4-SHA AES128-GCM-SHA256": {tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
			tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_AES_128_GCM_SHA256},
	} {
		if got, err := ParseCiphers(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseCiphers(%q) = %x, %v; want %x", list, got, err, want)
		}
	}
	if got, err := ParseCiphers("ECDHE-RSA-AES128-GCM-SHA256:NONE"); err == nil {
		t.Errorf("NONE is %x", got)
	}
	ours := Options{Ciphers: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, Insecure: true, MaxVersion: "1.2"}
	theirs := Options{Ciphers: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}}
	for _, tt := range []struct {
		name   string
		server Options
		meets  bool
	}{{"any", Options{}, true}, {"ours", ours, true}, {"another", theirs, false}} {
		if c, _, _ := meet(t, mustClient(t, ours), mustServer(t, tt.server), "localhost"); (c.err == nil) != tt.meets {
			t.Errorf("a server with %s: %v", tt.name, c.err)
		}
	}
}

func TestClientOptions(t *testing.T) {
	dir := t.TempDir()
	hello := writeFile(t, filepath.Join(dir, "hello"), 0o600, []byte("hello"))
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{Pin: "sha256:12"}, "64 hex digits"},
		{Options{Pin: strings.Repeat("12", 32)}, "64 hex digits"},
		{Options{Pin: "sha256:" + strings.Repeat("1x", 32)}, "64 hex digits"},
		{Options{Pin: "sha256//" + strings.Repeat("=", 44)}, "base64"},
		{Options{Pin: "sha256//AAAA"}, "base64"},
		{Options{Pin: "\x1b[2J"}, `pin "\x1b[2J"`},
		{Options{CA: hello}, "no certificate"},
		{Options{CA: hello + "x"}, "no such file"},
		{Options{MaxVersion: "1.1"}, "want 1.2 or 1.3"},
		{Options{Key: hello}, "without its certificate"},
	} {
		c, err := Client(tt.o)
		if c != nil || err == nil || !strings.Contains(err.Error(), tt.want) && !strings.Contains(err.Error(), "cannot find") {
			t.Errorf("Client(%+v) = %v, %v; want an error with %q", tt.o, c, err, tt.want)
		}
	}
	if c := mustClient(t, Options{}); c.Fingerprint() != "" || c.SelfSigned() || len(c.Notes()) != 0 {
		t.Errorf("a client of no options: %q, %v, %q", c.Fingerprint(), c.SelfSigned(), c.Notes())
	}
}

// TestClientCertificate: a server with a CA lets in who has a certificate of
// it; the others learn in TLS 1.3 when they read.
func TestClientCertificate(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	cert, key := a.issue("server", newKey(t), nil)
	server := mustServer(t, Options{Cert: cert, Key: key, CA: a.file})
	mine, myKey := a.issue("client", newKey(t), nil)
	bundle := writeFile(t, filepath.Join(t.TempDir(), "bundle.pem"), 0o600, append(readAll(t, mine), readAll(t, myKey)...))
	alien, alienKey := other.issue("alien", newKey(t), nil)
	for _, tt := range []struct {
		name   string
		o      Options
		server error // nil: let in
	}{
		{"of the CA", Options{Cert: mine, Key: myKey}, nil},
		{"of the CA, in one file", Options{Cert: bundle}, nil},
		{"none", Options{}, ErrTLS},
		{"of another CA", Options{Cert: alien, Key: alienKey}, ErrCertificate},
	} {
		for _, version := range []string{"1.2", "1.3"} {
			tt.o.CA, tt.o.MaxVersion = a.file, version
			c, s, read := meet(t, mustClient(t, tt.o), server, "localhost")
			if tt.server == nil {
				if c.err != nil || s.err != nil {
					t.Fatalf("%s: client: %v; server: %v", tt.name, c.err, s.err)
				}
				if want := "TLS " + version + ", "; !strings.HasPrefix(State(s.conn), want) || !strings.HasSuffix(State(s.conn), ", CN=client") {
					t.Errorf("%s: State = %q", tt.name, State(s.conn))
				}
				c.conn.Close()
				<-read
				continue
			}
			if !errors.Is(s.err, tt.server) {
				t.Errorf("%s: server: %v, want %v", tt.name, s.err, tt.server)
			}
			if c.err == nil {
				_, c.err = c.conn.Read(make([]byte, 1))
			}
			if !errors.Is(c.err, ErrTLS) || !strings.Contains(c.err.Error(), "remote error") {
				t.Errorf("%s, TLS %s: client: %v, want the server's alert", tt.name, version, c.err)
			}
		}
	}
}

func readAll(t *testing.T, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestClientNotTLS(t *testing.T) {
	for _, tt := range []struct{ sent, want string }{
		{"HTTP/1.1 400 Bad Request\r\n\r\n", `does not speak TLS on this port: it began with "HTTP/"`},
		{"220 mail ready\r\n", "does not speak TLS"},
		{"\x1b]0;pwned\x07", `it began with "\x1b]0;p"`},
		{"", "left during the handshake"},
		{"\x15\x03\x01\x00\x02\x02\x28", "handshake failure"},
	} {
		cc, sc := tcpPair(t)
		go func() {
			io.WriteString(sc, tt.sent)
			sc.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, sc)
		}()
		nc, err := mustClient(t, Options{}).Client(t.Context(), cc, "localhost")
		if nc != nil || !errors.Is(err, ErrTLS) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("a server that says %q: %v, want ErrTLS with %q", tt.sent, err, tt.want)
		}
		if _, err := cc.Write([]byte("x")); err == nil {
			t.Errorf("a server that says %q: the connection was left open", tt.sent)
		}
	}
}

// TestClientTimeout: a server that never answers is left after the time given,
// the time of the context, or at once when that is cancelled; not as ErrTLS.
func TestClientTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for _, tt := range []struct {
			name  string
			ctx   context.Context
			limit time.Duration
			after time.Duration
			want  error
		}{
			{"by default", t.Context(), 0, HandshakeTimeout, context.DeadlineExceeded},
			{"by option", t.Context(), 3 * time.Second, 3 * time.Second, context.DeadlineExceeded},
			{"by context", short, 0, 0, context.DeadlineExceeded}, // it began before the others
			{"cancelled", gone, 0, 0, context.Canceled},
		} {
			c := mustClient(t, Options{HandshakeTimeout: tt.limit})
			nc, peer := net.Pipe()
			go io.Copy(io.Discard, peer)
			start := time.Now()
			_, err := c.Client(tt.ctx, nc, "localhost")
			if !errors.Is(err, tt.want) || errors.Is(err, ErrTLS) || time.Since(start) != tt.after {
				t.Errorf("%s: %v after %v, want %v after %v", tt.name, err, time.Since(start), tt.want, tt.after)
			}
		}
	})
}

func TestKeyLog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	t.Setenv("SSLKEYLOGFILE", name)
	server := mustServer(t, Options{})
	client := mustClient(t, Options{Insecure: true})
	if notes := client.Notes(); len(notes) != 1 || !strings.Contains(notes[0], name) {
		t.Errorf("notes %q do not name the file", notes)
	}
	for n := 1; n <= 2; n++ {
		c, s, read := meet(t, client, server, "localhost")
		if c.err != nil || s.err != nil {
			t.Fatal(c.err, s.err)
		}
		c.conn.Close()
		<-read
		if got := strings.Count(string(readAll(t, name)), "CLIENT_TRAFFIC_SECRET_0 "); got != n {
			t.Errorf("%d secrets after %d connections", got, n)
		}
	}
	t.Setenv("SSLKEYLOGFILE", filepath.Join(name, "no", "such"))
	if c, _, read := meet(t, mustClient(t, Options{Insecure: true}), server, "localhost"); !errors.Is(c.err, ErrTLS) {
		t.Errorf("a key log that cannot be written: %v", c.err)
	} else {
		<-read
	}
}

func TestServerName(t *testing.T) {
	for in, want := range map[string]string{
		"example.com": "example.com", "[::1]": "::1", "::1": "::1", "fe80::1%eth0": "fe80::1", "[fe80::1%25eth0]": "fe80::1",
		"odd%name": "odd%name", "": "",
	} {
		if got := serverName(in); got != want {
			t.Errorf("serverName(%q) = %q, want %q", in, got, want)
		}
	}
}
