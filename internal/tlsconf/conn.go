//go:build !notls

package tlsconf

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errHTTP   = errors.New("client sent an HTTP request to an HTTPS server")
	errPlain  = errors.New("the server does not speak TLS on this port")
	errNotTLS = errors.New("the client does not speak TLS")
)

// maxMessage bounds the text of an error, in bytes.
const maxMessage = 4 << 10

// handshakeError is a failure and its class, ErrCertificate or ErrTLS.
type handshakeError struct{ class, err error }

// Error is at most 4 KiB long: a certificate may bear ten thousand names.
func (e *handshakeError) Error() string {
	s := e.class.Error() + ": " + e.err.Error()
	if len(s) <= maxMessage {
		return s
	}
	n := maxMessage - len("… (+2147483647 bytes)")
	return fmt.Sprintf("%s… (+%d bytes)", s[:n], len(s)-n)
}

func (e *handshakeError) Unwrap() []error { return []error{e.class, e.err} }

// Listen returns a listener of TLS connections on ln. Accept does not wait for
// the handshake: that is done by the connection's HandshakeContext, or else by
// its first Read or Write, and bounded in time either way.
func (c *Config) Listen(ln net.Listener) net.Listener { return &listener{ln, c} }

type listener struct {
	net.Listener
	config *Config
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.config.server(nc), nil
}

func (c *Config) server(nc net.Conn) *conn {
	below := &wireConn{Conn: nc}
	return &conn{Conn: tls.Server(below, c.tls), below: below, timeout: c.timeout}
}

// Handshake makes nc, which a client opened, a TLS connection. On an error nc
// is closed. To a client that sent an HTTP request it is said why, in HTTP.
func (c *Config) Handshake(ctx context.Context, nc net.Conn) (net.Conn, error) {
	return handshaken(ctx, c.server(nc))
}

// Client makes nc, which leads to a server, a TLS connection. host is the
// server's name or IP address, which its certificate must be for. Nothing but
// the handshake has been sent when an error comes back; then nc is closed.
func (c *Config) Client(ctx context.Context, nc net.Conn, host string) (net.Conn, error) {
	config := c.tls
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = serverName(host)
	}
	below := &wireConn{Conn: nc}
	return handshaken(ctx, &conn{Conn: tls.Client(below, config), below: below, timeout: c.timeout, client: true})
}

// serverName returns host as a certificate has it: no brackets around an
// address, no zone behind it.
func serverName(host string) string {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.Contains(host, ":") {
		host, _, _ = strings.Cut(host, "%")
	}
	return host
}

func handshaken(ctx context.Context, c *conn) (net.Conn, error) {
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// wireConn is what is below TLS. It notes the end of the stream, of which crypto/tls
// does not tell whether a close_notify came before: then it does not read so far.
type wireConn struct {
	net.Conn
	ended atomic.Bool
}

func (w *wireConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err == io.EOF {
		w.ended.Store(true)
	}
	return n, err
}

// Cut tells whether the peer ended a TLS stream, of which io.EOF was read, without
// close_notify: what came may be only the beginning of what was sent (RFC 8446
// §6.1). It is false for what is no TLS. Wrappers with a NetConn method are looked
// into.
func Cut(nc net.Conn) bool {
	for range 8 {
		if c, ok := nc.(*conn); ok {
			return c.below.ended.Load()
		}
		inner, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = inner.NetConn()
	}
	return false
}

// conn is a tls.Conn whose handshake is bounded in time, however it comes
// about, and whose errors have a class.
type conn struct {
	*tls.Conn
	below   *wireConn
	timeout time.Duration
	client  bool

	once sync.Once
	err  error // of the handshake
}

// HandshakeContext does the handshake, once; later calls return its outcome. It
// closes the connection if it fails.
func (c *conn) HandshakeContext(ctx context.Context) error {
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		if c.err = c.explain(c.Conn.HandshakeContext(ctx)); c.err != nil {
			c.Conn.NetConn().Close()
		}
	})
	return c.err
}

// Handshake is HandshakeContext.
func (c *conn) Handshake() error { return c.HandshakeContext(context.Background()) }

func (c *conn) Read(p []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if err != nil && err != io.EOF {
		err = classify(err)
	}
	return n, err
}

// NetConn returns the connection that TLS was put on.
func (c *conn) NetConn() net.Conn { return c.below.Conn }

// CloseWrite says that nothing more is sent: by close_notify, for who speaks TLS,
// and by the end of the stream below, for those who look at that only.
func (c *conn) CloseWrite() error {
	err := c.Conn.CloseWrite()
	if half, ok := c.below.Conn.(interface{ CloseWrite() error }); ok && err == nil {
		err = half.CloseWrite()
	}
	return err
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// classify wraps what TLS has to say after the handshake, an alert above all: a
// server that wants another certificate of us says so only then. Errors of the
// network stay as they are.
func classify(err error) error {
	op, isOp := errors.AsType[*net.OpError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	if isRecord || isOp && (op.Op == "remote error" || op.Op == "local error") {
		return &handshakeError{ErrTLS, err}
	}
	return err
}

// explain gives the error of a handshake its class.
func (c *conn) explain(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*handshakeError](err); ok {
		return err
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &handshakeError{ErrCertificate, fmt.Errorf("%w; it is %s", cert.Err, fingerprint(cert.UnverifiedCertificates[0]))}
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() || errors.Is(err, context.Canceled) {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	if head, ok := errors.AsType[tls.RecordHeaderError](err); ok && head.Conn != nil {
		return &handshakeError{ErrTLS, c.foreign(head)}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the peer left during the handshake: %w", err)
	}
	return &handshakeError{ErrTLS, err}
}

// foreign says what a peer speaks that does not speak TLS; to a client that
// speaks HTTP it says so in HTTP.
func (c *conn) foreign(head tls.RecordHeaderError) error {
	switch {
	case c.client:
		return fmt.Errorf("%w: it began with %q", errPlain, head.RecordHeader)
	case !isRequest(head.RecordHeader):
		return fmt.Errorf("%w: it began with %q", errNotTLS, head.RecordHeader)
	}
	nc := c.below.Conn
	nc.SetDeadline(time.Now().Add(time.Second))
	io.WriteString(nc, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"+errHTTP.Error()+"\n")
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		// Closing over what is unread would reset the connection, and the
		// answer with it.
		half.CloseWrite()
		io.CopyN(io.Discard, nc, 64<<10)
	}
	return errHTTP
}

// isRequest tells whether a first record begins as an HTTP request does.
func isRequest(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH", "CONNE", "TRACE":
		return true
	}
	return false
}

// State describes the TLS of a connection, in a line: version, cipher suite and
// whom the peer's certificate names. It is empty before the handshake and for
// what is no TLS. Wrappers with a NetConn method are looked into.
func State(nc net.Conn) string {
	if cs := state(nc); cs != nil {
		return describe(*cs)
	}
	return ""
}

// Certificates are those that the peer showed, in PEM, "" where there are none.
func Certificates(nc net.Conn) string {
	var b strings.Builder
	if cs := state(nc); cs != nil {
		for _, cert := range cs.PeerCertificates {
			pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
		}
	}
	return b.String()
}

// state finds the TLS connection in what is around it.
func state(nc net.Conn) *tls.ConnectionState {
	for range 8 {
		if c, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
			cs := c.ConnectionState()
			return &cs
		}
		inner, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = inner.NetConn()
	}
	return nil
}

func describe(cs tls.ConnectionState) string {
	if !cs.HandshakeComplete {
		return ""
	}
	s := tls.VersionName(cs.Version) + ", " + tls.CipherSuiteName(cs.CipherSuite)
	if len(cs.PeerCertificates) == 0 {
		return s
	}
	cert := cs.PeerCertificates[0]
	subject := cert.Subject.String()
	if subject == "" && len(cert.DNSNames) > 0 {
		subject = cert.DNSNames[0]
	}
	if len(subject) > 256 {
		subject = fmt.Sprintf("%s…(+%d)", subject[:256], len(subject)-256)
	}
	return s + ", " + subject
}
