package httpmini

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"socketsrv/internal/accept"
)

// HT08: a reset in the middle of a body is an error to the handler, and one
// report.
func TestReset(t *testing.T) {
	seen := make(chan error, 1)
	logged := make(chan error, 10)
	addr := serve(t, &Server{
		Handler:  func(x *Exchange) { _, err := io.ReadAll(x.Request.Body); seen <- err },
		ErrorLog: func(err error) { logged <- err },
	})
	c := dial(t, addr)
	io.WriteString(c, post+"Content-Length: 1000\r\n\r\nabc")
	c.SetLinger(0)
	c.Close()
	if err := next(t, seen); err == nil || err == io.EOF {
		t.Errorf("the body ended with %v, want an error", err)
	}
	if err := next(t, logged); err == nil {
		t.Error("logged nil")
	}
	if len(logged) != 0 {
		t.Errorf("logged again: %v", <-logged)
	}
}

// next waits for a report, but not for ever.
func next[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was reported")
	}
	return v
}

// HT09: a client that has nothing more to say still gets its answer.
func TestHalfClosed(t *testing.T) {
	big := content(1 << 20)
	addr := serve(t, &Server{Handler: func(x *Exchange) { x.Respond(200, nil, []byte(big)) }})
	c := dial(t, addr)
	io.WriteString(c, getEmpty)
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if want := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(big), big); string(got) != want || err != nil {
		t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
	}
}

// HT10
func TestFull(t *testing.T) {
	const max = 64
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := serveOn(t, &Server{Handler: ok}, accept.Limit(ln, max, Refuse))
	var conns []*net.TCPConn
	for range max {
		c := dial(t, addr)
		conns = append(conns, c)
		wantOK(t, c)
	}
	c := dial(t, addr)
	io.WriteString(c, getEmpty)
	got, err := io.ReadAll(c)
	if want := "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"; string(got) != want || err != nil {
		t.Errorf("client %d read %q, %v; want %q", max+1, got, err, want)
	}
	for _, c := range conns {
		wantOK(t, c)
		c.Close()
	}
}

// wantOK sends a GET and reads its answer.
func wantOK(t *testing.T, c net.Conn) {
	t.Helper()
	io.WriteString(c, getEmpty)
	got := make([]byte, len(ok2))
	if _, err := io.ReadFull(c, got); string(got) != ok2 || err != nil {
		t.Fatalf("read %q, %v; want %q", got, err, ok2)
	}
}

// HT05 over a socket: the client that does not read is reset, what the server
// had for it is gone.
func TestStalledSocket(t *testing.T) {
	logged := make(chan error, 1)
	s := &Server{WriteTimeout: 20 * time.Millisecond, ErrorLog: func(err error) { logged <- err }}
	s.Handler = func(x *Exchange) { x.Respond(200, nil, make([]byte, 100<<20)) }
	c := dial(t, serve(t, s))
	io.WriteString(c, getEmpty)
	next(t, logged)
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) && runtime.GOOS != "windows" {
		t.Errorf("the client read up to %v, want a reset", err)
	}
}

// Files take the kernel's way, and come out whole.
func TestFile(t *testing.T) {
	const size = 3<<20 + 17
	file := tempFile(t, size)
	want := content(size)
	for _, tt := range []struct {
		name string
		body func() io.Reader
		n    int64
		want string
	}{
		{"file", func() io.Reader { return file }, size, want},
		{"range", func() io.Reader { file.Seek(1000, io.SeekStart); return &io.LimitedReader{R: file, N: 400000} }, 400000, want[1000:401000]},
		{"more than there is", func() io.Reader { return file }, size + 1, ""},
		{"less than the reader's", func() io.Reader { return &io.LimitedReader{R: file, N: 100} }, 100000, ""},
		{"small", func() io.Reader { return file }, 10, want[:10]},
	} {
		file.Seek(0, io.SeekStart)
		body := tt.body()
		sent := make(chan error, 1)
		addr := serve(t, &Server{Handler: func(x *Exchange) {
			sent <- x.Send(&Response{Status: 200, Body: body, ContentLength: tt.n})
		}})
		resp, err := http.Get("http://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err := next(t, sent); (err == io.ErrUnexpectedEOF) != (tt.want == "") {
			t.Errorf("%s: Send = %v", tt.name, err)
		}
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s: the client took %d bytes for whole", tt.name, len(got))
			}
			continue
		}
		if string(got) != tt.want || err != nil {
			t.Errorf("%s: got %d bytes, %v; want %d", tt.name, len(got), err, len(tt.want))
		}
		if l, ok := body.(*io.LimitedReader); ok && l.N != 0 {
			t.Errorf("%s: the reader has %d bytes left, want none", tt.name, l.N)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// A client of note as oracle: many requests, both ways of sending and both
// framings of bodies, over plain and encrypted connections.
func TestAgainstNetHTTP(t *testing.T) {
	handler := func(x *Exchange) {
		h := sha256.New()
		n, err := io.Copy(h, x.Request.Body)
		if err != nil {
			return
		}
		h.Write([]byte(x.Request.Trailer.Get("X-T")))
		text := fmt.Sprintf("%s %s %d %x", x.Request.Method, x.Request.Path(), n, h.Sum(nil))
		x.Send(&Response{Status: 200, Header: Header{{"Trailer", "Sum"}}, Body: strings.NewReader(text), Trailer: Header{{"Sum", "1"}}})
	}
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	pool := x509.NewCertPool()
	pool.AddCert(cert.Certificate())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain := "http://" + serve(t, &Server{Handler: handler})
	secure := "https://" + serveOn(t, &Server{Handler: handler}, tls.NewListener(ln, &tls.Config{Certificates: cert.TLS.Certificates}))
	for _, base := range []string{plain, secure} {
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				for _, size := range []int{0, 1, 5, 4096, 100000, 1 << 20} {
					body := content(size)
					want := fmt.Sprintf("PUT /%d %d %x", i, size, sha256.Sum256([]byte(body+"end")))
					req, _ := http.NewRequest("PUT", fmt.Sprintf("%s/%d", base, i), io.MultiReader(strings.NewReader(body)))
					req.Trailer = http.Header{"X-T": {"end"}}
					resp, err := client.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if string(got) != want || err != nil || resp.Trailer.Get("Sum") != "1" {
						t.Errorf("got %q, %v, trailer %v; want %q", got, err, resp.Trailer, want)
					}
				}
			})
		}
		all.Wait()
	}
}

// What TLS has to say about a client is worth a report.
func TestPlainTextToTLS(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	logged := make(chan error, 1)
	addr := serveOn(t, &Server{ErrorLog: func(err error) { logged <- err }}, tls.NewListener(ln, &tls.Config{Certificates: cert.TLS.Certificates}))
	io.WriteString(dial(t, addr), getEmpty)
	if err := next(t, logged); !errors.As(err, new(tls.RecordHeaderError)) {
		t.Errorf("logged %v, want a TLS error", err)
	}
}

// A request that comes in pieces while the connection waits without buffers.
func TestParked(t *testing.T) {
	addr := serve(t, &Server{Handler: caseHandler})
	c := dial(t, addr)
	br := bufio.NewReader(c)
	for i := range 20 {
		body := bytes.Repeat([]byte{'x'}, i*1000)
		wire := fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", post, len(body), body)
		for len(wire) > 0 {
			n := min(len(wire), 1+i*97)
			c.Write(wire[:n])
			wire = wire[n:]
		}
		resp, err := ReadResponse(br, "POST", ClientLimits)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); !bytes.Equal(got, body) || err != nil {
			t.Errorf("got %d bytes back, %v; want %d", len(got), err, len(body))
		}
	}
}

// A reset of a connection that waits is its polite end.
func TestResetWhileIdle(t *testing.T) {
	s := &Server{Handler: ok, ErrorLog: func(err error) { t.Errorf("logged %v", err) }}
	addr := serve(t, s)
	c := dial(t, addr)
	wantOK(t, c)
	c.SetLinger(0)
	c.Close()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
