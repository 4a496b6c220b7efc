//go:build !notls

package tlsconf

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority is a CA made for a test, and the files it wrote.
type authority struct {
	t    *testing.T
	dir  string
	key  crypto.Signer
	cert *x509.Certificate
	file string // its certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir(), key: newKey(t)}
	tmpl := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	tmpl.Subject.CommonName = "a CA of the test"
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(48*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file = writePEM(t, filepath.Join(a.dir, "ca.pem"), 0o644, "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue writes a certificate for localhost and 127.0.0.1 with the changes that
// change makes, and its key, and returns the files.
func (a *authority) issue(name string, key crypto.Signer, change func(*x509.Certificate)) (certFile, keyFile string) {
	a.t.Helper()
	tmpl := &x509.Certificate{
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	tmpl.Subject.CommonName = name
	if change != nil {
		change(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return writePEM(a.t, filepath.Join(a.dir, name+".pem"), 0o644, "CERTIFICATE", der),
		writePEM(a.t, filepath.Join(a.dir, name+".key"), 0o600, "PRIVATE KEY", keyDER)
}

func writePEM(t *testing.T, name string, mode os.FileMode, kind string, der []byte) string {
	t.Helper()
	return writeFile(t, name, mode, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func writeFile(t *testing.T, name string, mode os.FileMode, p []byte) string {
	t.Helper()
	if err := os.WriteFile(name, p, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func mustServer(t *testing.T, o Options) *Config {
	t.Helper()
	c, err := Server(o)
	if err != nil {
		t.Fatalf("Server(%+v): %v", o, err)
	}
	return c
}

func mustClient(t *testing.T, o Options) *Config {
	t.Helper()
	c, err := Client(o)
	if err != nil {
		t.Fatalf("Client(%+v): %v", o, err)
	}
	return c
}

// tcpPair returns both ends of a connection over loopback.
func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	for _, c := range []net.Conn{client, server} { // a test that hangs fails
		c.SetDeadline(time.Now().Add(30 * time.Second))
	}
	return client, server
}

// outcome is what came of a handshake on one side.
type outcome struct {
	conn net.Conn
	err  error
}

// meet has client and server shake hands over loopback. The server then reads
// to the end; what it got, or its error, is sent to read.
func meet(t *testing.T, client, server *Config, host string) (c, s outcome, read chan string) {
	t.Helper()
	cc, sc := tcpPair(t)
	read = make(chan string, 1)
	done := make(chan outcome)
	go func() {
		conn, err := server.Handshake(context.Background(), sc)
		done <- outcome{conn, err}
		if err != nil {
			read <- ""
			return
		}
		p, err := io.ReadAll(conn)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			p = append(p, err.Error()...)
		}
		conn.Close()
		read <- string(p)
	}()
	c.conn, c.err = client.Client(t.Context(), cc, host)
	if c.err != nil {
		cc.Close()
	}
	return c, <-done, read
}
