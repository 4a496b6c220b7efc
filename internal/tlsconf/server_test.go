//go:build !notls

package tlsconf

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestSelfSigned has what stands in a certificate of our own (TS08).
func TestSelfSigned(t *testing.T) {
	c := mustServer(t, Options{Hosts: []string{"Lab.Example.", "192.0.2.7", "[2001:db8::1%eth0]", "0.0.0.0", "::", "unix:/run/x", "a b", "", "localhost", "*.lab"}})
	cert := c.leaf
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("key %T, want ECDSA P-256", cert.PublicKey)
	}
	if cert.SerialNumber.BitLen() < 64 || cert.SerialNumber.Cmp(mustServer(t, Options{}).leaf.SerialNumber) == 0 {
		t.Errorf("serial number %x is short or no random one", cert.SerialNumber)
	}
	if d := cert.NotAfter.Sub(cert.NotBefore); d > 398*24*time.Hour || time.Until(cert.NotAfter) < 396*24*time.Hour {
		t.Errorf("valid from %v to %v", cert.NotBefore, cert.NotAfter)
	}
	if !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || cert.IsCA {
		t.Errorf("usage %v, CA %v", cert.ExtKeyUsage, cert.IsCA)
	}
	names := []string{"localhost", "127.0.0.1", "::1", "lab.example", "192.0.2.7", "2001:db8::1", "x.lab"}
	if host, err := os.Hostname(); err == nil && isHostName(strings.ToLower(host)) {
		names = append(names, host)
	}
	for _, name := range names {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if n := len(cert.IPAddresses); n != 4 {
		t.Errorf("addresses %v, want 4", cert.IPAddresses)
	}
	if !c.SelfSigned() || len(c.Fingerprint()) != len("sha256:")+64 {
		t.Errorf("SelfSigned %v, Fingerprint %q", c.SelfSigned(), c.Fingerprint())
	}
}

func TestSaveCert(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	o := Options{SaveDir: dir, Hosts: []string{"lab.example"}}
	first := mustServer(t, o)
	certFile, keyFile := filepath.Join(dir, certName), filepath.Join(dir, keyName)
	for name, want := range map[string]os.FileMode{certFile: 0o644, keyFile: 0o600} {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Mode().Perm(); runtime.GOOS != "windows" && got&^want != 0 {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
	again := mustServer(t, o)
	if again.Fingerprint() != first.Fingerprint() || !again.SelfSigned() || len(again.Notes()) != 0 {
		t.Errorf("the saved pair was not used again: %s, %s, notes %q", first.Fingerprint(), again.Fingerprint(), again.Notes())
	}
	o.Hosts = []string{"lab.example", "192.0.2.7", "b.example"}
	if notes := mustServer(t, o).Notes(); len(notes) != 2 || !strings.HasSuffix(notes[0], "is not for b.example") || !strings.HasSuffix(notes[1], "is not for 192.0.2.7") {
		t.Errorf("notes for other hosts: %q", notes)
	}
	// The saved certificate is one a client can trust by name.
	c, s, read := meet(t, mustClient(t, Options{CA: certFile}), again, "lab.example")
	if c.err != nil || s.err != nil {
		t.Fatal(c.err, s.err)
	}
	c.conn.Close()
	<-read

	cert, key := readAll(t, certFile), readAll(t, keyFile)
	for _, tt := range []struct {
		name      string
		cert, key []byte // nil: no such file
		want      string
	}{
		{"no key", cert, nil, keyName},
		{"no certificate", nil, key, certName},
		{"garbage", []byte("x"), key, "PEM"},
		{"another's key", cert, otherKey(t), "does not match"},
	} {
		dir := t.TempDir()
		for name, p := range map[string][]byte{certName: tt.cert, keyName: tt.key} {
			if p != nil {
				writeFile(t, filepath.Join(dir, name), 0o600, p)
			}
		}
		if _, err := Server(Options{SaveDir: dir}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
		for name, p := range map[string][]byte{certName: tt.cert, keyName: tt.key} {
			if got, _ := os.ReadFile(filepath.Join(dir, name)); !bytes.Equal(got, p) {
				t.Errorf("%s: %s was changed", tt.name, name)
			}
		}
	}
}

// otherKey is the key of a pair that was saved elsewhere.
func otherKey(t *testing.T) []byte {
	dir := t.TempDir()
	mustServer(t, Options{SaveDir: dir})
	return readAll(t, filepath.Join(dir, keyName))
}

func TestSaveCertExpired(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // where it is the year 2000
		mustServer(t, Options{SaveDir: dir})
	})
	if _, err := Server(Options{SaveDir: dir}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("a pair that has expired: %v", err)
	}
	c := mustServer(t, Options{Cert: filepath.Join(dir, certName), Key: filepath.Join(dir, keyName)})
	if notes := c.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "expired") {
		t.Errorf("an expired certificate that was asked for: notes %q", notes)
	}
}

// TestSavePair: nothing that exists is written over, links least of all, and no
// half of a pair stays.
func TestSavePair(t *testing.T) {
	dir := t.TempDir()
	victim := writeFile(t, filepath.Join(dir, "victim"), 0o600, []byte("precious"))
	if err := os.Symlink(victim, filepath.Join(dir, keyName)); err == nil {
		if err := savePair(filepath.Join(dir, certName), filepath.Join(dir, keyName), []byte("c"), []byte("k")); !errors.Is(err, os.ErrExist) {
			t.Errorf("over a link: %v", err)
		}
		os.Remove(filepath.Join(dir, keyName))
	}
	writeFile(t, filepath.Join(dir, certName), 0o600, []byte("old"))
	if err := savePair(filepath.Join(dir, certName), filepath.Join(dir, keyName), []byte("c"), []byte("k")); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a certificate: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, keyName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the key without its certificate stayed: %v", err)
	}
	if got := readAll(t, victim); string(got) != "precious" {
		t.Errorf("a linked file became %q", got)
	}
	if err := savePair(filepath.Join(victim, "sub", certName), filepath.Join(victim, "sub", keyName), nil, nil); err == nil {
		t.Error("a directory was made below a file")
	}
}

// TestServerOptions: files that are of no use, and why (TS09).
func TestServerOptions(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	cert, key := a.issue("good", newKey(t), nil)
	_, other := a.issue("other", newKey(t), nil)
	file := func(name string, p []byte) string { return writeFile(t, filepath.Join(dir, name), 0o600, p) }
	openssl := file("pkcs8", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))
	old := file("old", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY",
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x")}))
	garbage := file("garbage", bytes.Repeat([]byte("-----BEGIN X-----\n"), 1<<20/18))
	long := file("long", bytes.Repeat([]byte("x"), maxPEM+1))
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"key of another", Options{Cert: cert, Key: other}, "private key does not match public key"},
		{"encrypted key", Options{Cert: cert, Key: openssl}, "encrypted; decrypt it first"},
		{"encrypted key, old form", Options{Cert: cert, Key: old}, "encrypted; decrypt it first"},
		{"garbage", Options{Cert: garbage, Key: garbage}, "PEM"},
		{"too long", Options{Cert: long, Key: key}, "longer than 4 MiB"},
		{"key in place of certificate", Options{Cert: key}, "certificate"},
		{"no key in the certificate's file", Options{Cert: cert}, "key"},
		{"no such certificate", Options{Cert: cert + "x", Key: key}, cert + "x"},
		{"no such key", Options{Cert: cert, Key: key + "x"}, key + "x"},
		{"key alone", Options{Key: key}, "without its certificate"},
		{"a directory", Options{Cert: dir}, dir},
		{"CA garbage", Options{CA: garbage}, "no certificate"},
		{"CA missing", Options{CA: key + "x"}, key + "x"},
		{"version", Options{MaxVersion: "ssl3"}, "want 1.2 or 1.3"},
		{"save what is given", Options{Cert: cert, Key: key, SaveDir: dir}, "none to make"},
		{"save where nobody can", Options{SaveDir: filepath.Join(key, "x")}, key},
	} {
		if c, err := Server(tt.o); c != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	c := mustServer(t, Options{Cert: cert, Key: key})
	if c.SelfSigned() || len(c.Notes()) != 0 || c.Fingerprint() != fingerprint(c.leaf) {
		t.Errorf("a pair of files: self-signed %v, notes %q, %s", c.SelfSigned(), c.Notes(), c.Fingerprint())
	}
	if runtime.GOOS == "windows" {
		return
	}
	os.Chmod(key, 0o644)
	if notes := mustServer(t, Options{Cert: cert, Key: key}).Notes(); len(notes) != 1 || !strings.Contains(notes[0], key+" (mode 0644)") {
		t.Errorf("a key that all can read: notes %q", notes)
	}
}

// TestNotTLS sends a TLS port what is no TLS (TS01, TS02).
func TestNotTLS(t *testing.T) {
	const answer = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" +
		"client sent an HTTP request to an HTTPS server\n"
	server := mustServer(t, Options{})
	get := "GET / HTTP/1.1\r\nHost: localhost\r\n"
	for _, tt := range []struct{ name, sent, answer, want string }{
		{"GET", get + "\r\n", answer, errHTTP.Error()},
		{"a long GET", get + strings.Repeat("X: y\r\n", 5000) + "\r\n", answer, errHTTP.Error()},
		{"POST", "POST /x HTTP/1.1\r\n\r\n", answer, errHTTP.Error()},
		{"WebSocket", "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", answer, errHTTP.Error()},
		{"SSH", "SSH-2.0-x\r\n", "", `the client does not speak TLS: it began with "SSH-2"`},
		{"escapes", "\x1b[2J\x00\x00", "", `it began with "\x1b[2J\x00"`},
		{"SSLv2", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", "\x15\x03\x01\x00\x02\x02\x46", "SSLv2"}, // alert 70
		{"half a header", "\x16\x03", "", "left during the handshake"},
		{"nothing", "", "", "left during the handshake"},
		{"a record of 16 MiB", "\x16\x03\x01\xff\xff", "\x15\x03\x01\x00\x02\x02\x16", "oversized"}, // alert 22
	} {
		cc, sc := tcpPair(t)
		done := make(chan error)
		go func() {
			nc, err := server.Handshake(context.Background(), sc)
			if nc != nil {
				t.Errorf("%s: a connection came of it", tt.name)
			}
			done <- err
		}()
		io.WriteString(cc, tt.sent)
		cc.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(cc)
		if string(got) != tt.answer || err != nil {
			t.Errorf("%s: answer %q, %v; want %q", tt.name, got, err, tt.answer)
		}
		if err := <-done; !errors.Is(err, ErrTLS) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want ErrTLS with %q", tt.name, err, tt.want)
		}
	}
}

// TestClients has the client of crypto/tls offer this and that (TS02, TS04, TS07).
func TestClients(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server Options
		client *tls.Config
		want   string // in the client's error
		state  string // the begin of State
		proto  string
	}{
		{"TLS 1.0", Options{}, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, "protocol version", "", ""},
		{"TLS 1.1", Options{}, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version", "", ""},
		{"TLS 1.2", Options{}, &tls.Config{MaxVersion: tls.VersionTLS12}, "", "TLS 1.2, TLS_ECDHE_ECDSA_WITH_", ""},
		{"TLS 1.3", Options{}, &tls.Config{}, "", "TLS 1.3, TLS_", ""},
		{"-tls-max 1.2", Options{MaxVersion: "1.2"}, &tls.Config{}, "", "TLS 1.2, ", ""},
		{"-tls-max 1.2, 1.3 alone", Options{MaxVersion: "1.2"}, &tls.Config{MinVersion: tls.VersionTLS13}, "protocol version", "", ""},
		{"h2", Options{}, &tls.Config{NextProtos: []string{"h2"}}, "no application protocol", "", ""},
		{"h2, http/1.1", Options{}, &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, "", "TLS 1.3", "http/1.1"},
		{"h2, server without ALPN", Options{NextProtos: []string{}}, &tls.Config{NextProtos: []string{"h2"}}, "", "TLS 1.3", ""},
		{"long SNI", Options{}, &tls.Config{ServerName: strings.Repeat("a", 300)}, "", "TLS 1.3", ""},
		{"SNI with a line feed", Options{}, &tls.Config{ServerName: "a\nb"}, "", "TLS 1.3", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cc, sc := tcpPair(t)
			config := tt.client.Clone()
			config.InsecureSkipVerify = true
			done := make(chan outcome)
			go func() {
				nc, err := mustServer(t, tt.server).Handshake(context.Background(), sc)
				done <- outcome{nc, err}
			}()
			client := tls.Client(cc, config)
			err := client.Handshake()
			if err != nil {
				client.Close()
			}
			s := <-done
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(s.err, ErrTLS) {
					t.Errorf("client: %v, want %q; server: %v, want ErrTLS", err, tt.want, s.err)
				}
				return
			}
			if err != nil || s.err != nil {
				t.Fatalf("client: %v; server: %v", err, s.err)
			}
			if got := State(s.conn); !strings.HasPrefix(got, tt.state) || strings.Contains(got, "\n") {
				t.Errorf("State = %q, want %q...", got, tt.state)
			}
			if got := client.ConnectionState().NegotiatedProtocol; got != tt.proto {
				t.Errorf("protocol %q, want %q", got, tt.proto)
			}
		})
	}
}

// wrapped is a connection within another, as one that counts has it.
type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

// handshakes are what makes a server do one.
var handshakes = map[string]func(nc net.Conn) error{
	"Read":  func(nc net.Conn) error { _, err := io.ReadFull(nc, make([]byte, 2)); return err },
	"Write": func(nc net.Conn) error { _, err := io.WriteString(nc, "hi"); return err },
	"HandshakeContext": func(nc net.Conn) error {
		return nc.(interface{ HandshakeContext(context.Context) error }).HandshakeContext(context.Background())
	},
	"all": func(nc net.Conn) error {
		var wg sync.WaitGroup
		errs := make([]error, 3)
		wg.Go(func() { _, errs[0] = io.ReadFull(nc, make([]byte, 2)) })
		wg.Go(func() { _, errs[1] = io.WriteString(nc, "hi") })
		wg.Go(func() { errs[2] = nc.(interface{ Handshake() error }).Handshake() })
		wg.Wait()
		return errors.Join(errs...)
	},
}

// TestListen: the handshake is done by the first Read, the first Write or
// HandshakeContext, whichever comes first, also when they come at once.
func TestListen(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := mustServer(t, Options{})
	tlsLn := server.Listen(ln)
	defer tlsLn.Close()
	client := mustClient(t, Options{Pin: server.Fingerprint()})
	for name, use := range handshakes {
		cc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		nc, err := tlsLn.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := State(nc) + State(cc); got != "" {
			t.Errorf("State before the handshake is %q", got)
		}
		done := make(chan error)
		go func() { done <- use(nc) }()
		c, err := client.Client(t.Context(), cc, "localhost")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "hi")
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := State(wrapped{wrapped{c}}); !strings.HasSuffix(got, ", CN=socketsrv self-signed") {
			t.Errorf("%s: the client's State is %q", name, got)
		}
		if err := nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Errorf("%s: CloseWrite: %v", name, err)
		}
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%s: the end of the stream: %v", name, err)
		}
		c.Close()
		nc.Close()
	}
	ln.Close()
	if _, err := tlsLn.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}

// TestListenFails: what a handshake at the first Read came to is what every
// later use says, and the connection is closed.
func TestListenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := mustServer(t, Options{})
		for name, tt := range map[string]struct {
			sent  string
			after time.Duration
			want  error
		}{
			"silence":   {"", HandshakeTimeout, context.DeadlineExceeded},
			"a trickle": {"\x16\x03\x01\x00\xf0", HandshakeTimeout, context.DeadlineExceeded},
			"no TLS":    {"hello", 0, ErrTLS},
		} {
			nc, peer := net.Pipe()
			go io.WriteString(peer, tt.sent)
			s := server.server(nc)
			start := time.Now()
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, tt.want) || time.Since(start) != tt.after {
				t.Errorf("%s: Read: %v after %v, want %v after %v", name, err, time.Since(start), tt.want, tt.after)
			}
			if _, err := s.Write([]byte("x")); !errors.Is(err, tt.want) {
				t.Errorf("%s: Write: %v, want %v", name, err, tt.want)
			}
			if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%s: the connection is open: %v", name, err)
			}
		}
	})
}

func TestErrorText(t *testing.T) {
	for _, n := range []int{0, 1, 4000, 4096, 5000, 1 << 20} {
		err := &handshakeError{ErrTLS, errors.New(strings.Repeat("x", n))}
		whole := len("TLS failed: ") + n
		switch got := err.Error(); {
		case len(got) > 4096:
			t.Errorf("%d bytes became %d", n, len(got))
		case whole <= 4096 && len(got) != whole:
			t.Errorf("%d bytes were cut to %d", whole, len(got))
		case whole > 4096 && !strings.HasSuffix(got, " bytes)"):
			t.Errorf("%d bytes end in %q", n, got[len(got)-20:])
		}
	}
}

func TestDescribe(t *testing.T) {
	state := func(cert *x509.Certificate) tls.ConnectionState {
		return tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256,
			PeerCertificates: []*x509.Certificate{cert}}
	}
	long := &x509.Certificate{}
	long.Subject.CommonName = strings.Repeat("n", 1000)
	for _, tt := range []struct {
		cert *x509.Certificate
		want string
	}{
		{&x509.Certificate{DNSNames: []string{"a.example", "b.example"}}, "a.example"},
		{&x509.Certificate{}, ""},
		{long, "CN=" + strings.Repeat("n", 253) + "…(+747)"},
	} {
		if got, want := describe(state(tt.cert)), "TLS 1.3, TLS_AES_128_GCM_SHA256, "+tt.want; got != want {
			t.Errorf("describe = %q, want %q", got, want)
		}
	}
}

// TestOldDevices is hw-42 and hw-43: a device that knows TLS 1.0 alone, or RSA alone, is
// spoken to where that is asked for, and not otherwise.
func TestOldDevices(t *testing.T) {
	for _, tt := range []struct {
		name   string
		device *tls.Config
		server Options
		ok     bool
	}{
		{"TLS 1.0", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, Options{MinVersion: "1.0"}, true},
		{"TLS 1.0, not asked for", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, Options{}, false},
		{"ECDHE with RSA", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}, Options{RSA: true}, true},
		{"key exchange by RSA", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, Options{RSA: true}, true},
		{"RSA, not asked for", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}, Options{}, false},
	} {
		c, err := Server(tt.server)
		if err != nil {
			t.Fatal(err)
		}
		if asked := tt.server.RSA || tt.server.MinVersion != ""; asked != (len(c.Notes()) > 0) {
			t.Errorf("%s: the notes are %q", tt.name, c.Notes())
		}
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer ours.Close()
			c.Handshake(t.Context(), ours)
		}()
		tt.device.InsecureSkipVerify = true
		err = tls.Client(theirs, tt.device).HandshakeContext(t.Context())
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		theirs.Close()
		<-done
	}
}
