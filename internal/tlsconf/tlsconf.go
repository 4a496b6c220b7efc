// Package tlsconf makes TLS out of the options of the command line, for both
// sides of a connection, and the certificate of a server that was given none.
//
// It is the one package that knows crypto/tls. Its callers see a Config that
// turns a net.Conn or net.Listener into another, so a build with the tag notls
// leaves TLS out of the program: then Available is false and every use says so.
//
// TLS 1.2 and 1.3 are spoken, with the cipher suites crypto/tls chooses.
// Errors may quote the peer: escape them before they reach a terminal.
package tlsconf

import (
	"errors"
	"time"
)

// HandshakeTimeout bounds a handshake where Options do not: in all, not for
// each read.
const HandshakeTimeout = 10 * time.Second

// What went wrong. The errors of handshakes wrap ErrCertificate or ErrTLS,
// unless time or patience ran out: then they wrap the context's error, or one
// whose Timeout method says so.
var (
	ErrCertificate = errors.New("certificate not accepted")
	ErrTLS         = errors.New("TLS failed")
	ErrUnavailable = errors.New("this build has no TLS (built with -tags notls)")
	ErrCut         = errors.New("TLS ended without close_notify (RFC 8446 6.1)") // of what Cut is true
)

// Options are what the flags say. The zero value is a server with a
// certificate made on the spot, and a client that trusts what the system does.
type Options struct {
	Cert string // PEM file with the certificate and those that lead to the root
	Key  string // PEM file with its private key; empty: Cert holds that too
	CA   string // PEM file, or a folder of such; a client trusts these alone, a server asks clients for a certificate of these

	SaveDir string   // servers without Cert: keep cert.pem and key.pem here, and use them again
	Hosts   []string // servers without Cert: names and addresses the certificate is for, beside localhost

	Authority string // servers without Cert: the directory of an authority of our own, which signs a certificate for each name asked for

	Insecure   bool   // clients take any certificate
	AnyName    bool   // clients take a certificate they trust for any host
	Pin        string // clients take just the certificate sha256:HEX, or one with the public key sha256//BASE64
	ServerName string // clients ask for it and check the certificate against it, instead of the host dialled

	MinVersion       string        // 1.0 to 1.3; empty is 1.2
	MaxVersion       string        // 1.2 or 1.3; empty is 1.3
	RSA              bool          // for old devices: key exchange by RSA, old ciphers, a self-signed certificate of RSA
	Ciphers          []uint16      // of TLS 1.2 and older, see ParseCiphers; nil is what crypto/tls chooses
	NextProtos       []string      // ALPN; nil is http/1.1 alone, empty but not nil is none
	HandshakeTimeout time.Duration // 0 is HandshakeTimeout
}
