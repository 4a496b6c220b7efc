//go:build !notls

package wsproto

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// tlsServer answers handshakes over TLS, the name asked for in the field Server.
func tlsServer(t *testing.T) (srv *httptest.Server, wss string) {
	srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		nc, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		answer(good("Server: "+req.TLS.ServerName+"/"+req.TLS.NegotiatedProtocol+"\r\n"))(nc, bufio.NewReader(nc), req)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv, "wss" + strings.TrimPrefix(srv.URL, "https") + "/"
}

func TestDialTLS(t *testing.T) {
	srv, wss := tlsServer(t)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	c, res, err := Dial(t.Context(), wss, DialOptions{TLS: func(ctx context.Context, c net.Conn, name string) (net.Conn, error) {
		if name != "127.0.0.1" {
			t.Errorf("TLS to %q; want 127.0.0.1", name)
		}
		return tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "example.com"}), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("Server") != "example.com/" {
		t.Errorf("the server saw %q", res.Header)
	}
	c.NetConn().Close()
}

// Without options it is the system that says whom to trust.
func TestDialTLSDefault(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Skip("the system's certificates cannot be set here")
	}
	srv, wss := tlsServer(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file) // read once in a process, by this test
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	c, res, err := Dial(t.Context(), wss, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("Server") != "/http/1.1" {
		t.Errorf("the server saw %q", res.Header)
	}
	c.NetConn().Close()
	// That certificate is not for other names.
	_, _, err = Dial(t.Context(), strings.Replace(wss, "127.0.0.1", "localhost", 1), DialOptions{})
	if _, ok := errors.AsType[x509.HostnameError](err); !ok {
		t.Errorf("Dial by a name that the certificate does not have: %v", err)
	}
}

// A page of the server itself may connect without anything being set, as in Accept.
func TestServerTLSOrigin(t *testing.T) {
	web, _ := tlsServer(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wss := "wss://" + ln.Addr().String() + "/"
	s := &Server{}
	served := make(chan error)
	go func() { served <- s.Serve(tls.NewListener(ln, &tls.Config{Certificates: web.TLS.Certificates})) }()
	dial := func(origin string) error {
		c, _, err := Dial(t.Context(), wss, DialOptions{Origin: origin, TLS: func(_ context.Context, c net.Conn, _ string) (net.Conn, error) {
			return tls.Client(c, &tls.Config{InsecureSkipVerify: true}), nil
		}})
		if err == nil {
			c.Close(StatusNormalClosure, "")
		}
		return err
	}
	if err := dial("https://" + ln.Addr().String()); err != nil {
		t.Errorf("the server's own origin: %v", err)
	}
	if err := dial("http://" + ln.Addr().String()); !errors.Is(err, ErrStatus) {
		t.Errorf("the same without TLS: %v; want a refusal", err)
	}
	if err := s.Shutdown(t.Context()); err != nil || <-served != nil {
		t.Error(err)
	}
}
