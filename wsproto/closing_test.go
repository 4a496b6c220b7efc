//go:build !notls

package wsproto

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// A duplex is a stream in memory that can end in one direction, as TCP can.
type duplex struct {
	net.Conn // reads and deadlines
	out      net.Conn
}

func newDuplex() (a, b net.Conn) {
	a1, b1 := net.Pipe()
	a2, b2 := net.Pipe()
	return &duplex{a1, a2}, &duplex{b2, b1}
}

func (d *duplex) Write(p []byte) (int, error)        { return d.out.Write(p) }
func (d *duplex) CloseWrite() error                  { return d.out.Close() }
func (d *duplex) SetWriteDeadline(t time.Time) error { return d.out.SetWriteDeadline(t) }
func (d *duplex) SetDeadline(t time.Time) error {
	return errors.Join(d.Conn.SetDeadline(t), d.out.SetDeadline(t))
}
func (d *duplex) Close() error { return errors.Join(d.Conn.Close(), d.out.Close()) }

// A wrapper is what programs put around a connection, to count its bytes or so.
type wrapper struct{ net.Conn }

func (w wrapper) NetConn() net.Conn { return w.Conn }

// testCertificate returns one for tests.
func testCertificate() tls.Certificate {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.StartTLS()
	defer s.Close()
	return s.TLS.Certificates[0]
}

// closings are ways to end a connection: what the peer sends, and what it answers the
// Close frame with. The peer never ends the stream before ours has ended.
var closings = []struct {
	name         string
	role         Role
	send, answer string
	own          bool          // we close
	within       time.Duration // of the peer's last frame
}{
	{"the peer closes", RoleServer, "88 82 00000000 03e8", "", false, 0},
	{"a server fails the connection", RoleServer, "89 00", "88 82 00000000 03ea", false, 0},
	{"a server fails the connection, unanswered", RoleServer, "89 00", "", false, lingerTime},
	{"a server closes", RoleServer, "", "88 82 00000000 03e8", true, 0},
	{"the server closes", RoleClient, "88 02 03e8", "", false, lingerTime},
	{"a client fails the connection", RoleClient, "83 00", "88 02 03ea", false, lingerTime},
	{"a client closes", RoleClient, "", "88 02 03e8", true, lingerTime},
}

// TestClosingTime: from the peer's Close to the end of the stream, a server that has
// closed lets nobody wait, also through TLS; a client leaves the end to the server,
// but not for longer than lingerTime (§7.1.1).
func TestClosingTime(t *testing.T) {
	cert := testCertificate()
	for _, below := range []string{"plain", "TLS", "TLS in a wrapper"} {
		for _, tt := range closings {
			synctest.Test(t, func(t *testing.T) {
				ours, peer := newDuplex()
				if below != "plain" {
					ours = tls.Server(ours, &tls.Config{Certificates: []tls.Certificate{cert}})
					peer = tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
				}
				if below == "TLS in a wrapper" {
					ours = wrapper{ours}
				}
				took := make(chan time.Duration, 1)
				go func() {
					defer peer.Close()
					peer.Write(unhex(tt.send))
					br := bufio.NewReader(peer)
					br.Peek(2)                      // our Close frame
					go peer.Write(unhex(tt.answer)) // while it reads: a pipe holds nothing
					start := time.Now()
					io.Copy(io.Discard, br)
					took <- time.Since(start)
				}()
				c := NewConn(ours, nil, tt.role, Agreement{}, Config{})
				if !tt.own {
					c.ReadMessage()
				}
				if err := c.Close(1000, ""); err != nil {
					t.Errorf("%s, %s: Close: %v", tt.name, below, err)
				}
				if d := <-took; d > tt.within {
					t.Errorf("%s, %s: the stream ended %v after the peer's last frame, want %v at the most", tt.name, below, d, tt.within)
				}
			})
		}
	}
}

// A recorder notes how a TCP connection ends.
type recorder struct {
	*net.TCPConn
	ends chan string
}

func (r recorder) CloseWrite() error { r.ends <- "CloseWrite"; return r.TCPConn.CloseWrite() }
func (r recorder) Close() error      { r.ends <- "Close"; return r.TCPConn.Close() }

// A recordingListener records its connections, and puts TLS on them.
type recordingListener struct {
	net.Listener
	ends chan string
	tls  *tls.Config
}

func (l recordingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(recorder{nc.(*net.TCPConn), l.ends}, l.tls), nil
}

// TestServerEndsTLS: a server that bounds its connections and fails one through TLS ends
// the stream before it waits for the peer to do so.
func TestServerEndsTLS(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ends := make(chan string, 10)
	s := &Server{MaxConns: 1}
	go s.Serve(recordingListener{ln, ends, &tls.Config{Certificates: []tls.Certificate{testCertificate()}}})
	defer s.Shutdown(t.Context())
	peer, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	io.WriteString(peer, goodHandshake+"\x89\x00")
	br := bufio.NewReader(peer)
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	io.Copy(io.Discard, br) // to the end of the stream, which is not ours
	if how := <-ends; how != "CloseWrite" {
		t.Errorf("the connection ended with %s first, want CloseWrite", how)
	}
}

// What one read brought before the peer's Close frame does not keep Close from seeing it.
func TestCloseAfterMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, nc := newTalk(t)
		wire := append(frame(RoleServer, 0x81, "a"), frame(RoleServer, 0x81, "b")...)
		c := NewConn(nc, append(wire, frame(RoleServer, 0x88, "\x03\xe8")...), RoleServer, Agreement{}, Config{})
		start := time.Now()
		closed := make(chan error)
		go func() { closed <- c.Close(StatusNormalClosure, "") }()
		k.want("88 02 03e8")
		if err := <-closed; err != nil || time.Since(start) != 0 {
			t.Errorf("Close: %v after %v; want nil at once", err, time.Since(start))
		}
	})
}
