//go:build !notls

package httpmini

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// trusting does TLS with the certificate of a test server.
func trusting(s *httptest.Server) func(context.Context, net.Conn, string) (net.Conn, error) {
	config := s.Client().Transport.(*http.Transport).TLSClientConfig
	return func(ctx context.Context, nc net.Conn, name string) (net.Conn, error) {
		c := tls.Client(nc, &tls.Config{RootCAs: config.RootCAs, ServerName: name})
		return c, c.HandshakeContext(ctx)
	}
}

// TLS, directly, through a plain proxy, and through one that speaks TLS itself.
func TestClientTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, len(b), r.Header.Get("Proxy-Authorization"))
	}))
	defer s.Close()
	p := &testProxy{}
	plain, secure := httptest.NewServer(p), httptest.NewTLSServer(p)
	defer plain.Close()
	defer secure.Close()
	for _, proxy := range []string{"", plain.URL, strings.Replace(secure.URL, "https://", "https://u:p@", 1)} {
		c := &Client{TLS: trusting(s)}
		if proxy != "" {
			c.Proxy = proxyTo(proxy)
		}
		for i := range 3 {
			a, err := c.Do(t.Context(), s.URL, put(tempFile(t, 1<<20), 1<<20))
			if err != nil {
				t.Fatalf("%q: %v", proxy, err)
			}
			body, err := io.ReadAll(a.Body)
			if string(body) != "1048576" || err != nil || a.Conn.Reused != (i > 0) || a.Conn.Secured.IsZero() || a.Conn.Tunneled.IsZero() != (proxy == "") {
				t.Errorf("%q: %q, %v, %+v", proxy, body, err, a.Conn)
			}
			a.Close()
		}
		c.CloseIdle()
	}
}

func TestClientTLSRefused(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	_, err := new(Client).Do(t.Context(), s.URL, &Request{})
	if e, ok := errors.AsType[*OpError](err); !ok || e.Op != "tls" || !errors.As(err, new(*tls.CertificateVerificationError)) {
		t.Errorf("a certificate of nobody: %v", err)
	}
	plain, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	plain.Scheme = "http" // net/http says 400 in plain text
	if got, err := fetch(t.Context(), new(Client), plain.String(), &Request{}); !strings.HasPrefix(got, "400") || err != nil {
		t.Errorf("plain text to TLS: %q, %v", got, err)
	}
}
