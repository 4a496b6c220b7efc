package listen

import (
	"cmp"
	"strings"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/tlsconf"
)

// TLS is what the TLS flags of a server said; nil is a server without.
type TLS struct {
	Hosts  []string // that a certificate made on the spot is for too; not set by flags
	NoALPN bool     // the protocol above TLS is nobody's business; not set by flags

	on      bool
	options tlsconf.Options
}

// AddTLS adds the flags of a server with TLS.
func AddTLS(fs *cli.Flags) *TLS {
	s := &TLS{}
	o := &s.options
	fs.Group("TLS")
	fs.Switch(&s.on, "tls ssl", "Speaks TLS; any other flag of this group implies it.")
	fs.String(&o.Cert, "cert", "FILE", "Uses the certificate in this PEM file instead of a self-signed one.")
	fs.String(&o.Key, "key", "FILE", "Uses the key in this PEM file; the file of -cert may hold it too.")
	fs.String(&o.SaveDir, "save-cert", "DIR", "Keeps the self-signed certificate and its key in DIR and uses them again.")
	fs.String(&o.CA, "cacert", "FILE", "Wants a certificate from each client, signed by one in this PEM file.")
	fs.TLS(o)
	fs.Switch(&o.RSA, "tls-rsa", "Allows what old devices need: key exchange by RSA, a certificate of RSA, and weak ciphers.")
	// What ws takes in all its modes:
	var noCA, none bool
	fs.Switch(&noCA, "verify-none", "Wants no certificate from clients.")
	fs.Switch(&none, "disable-hostname-validation", "Has no effect on a server.")
	fs.Unlist("verify-none", "disable-hostname-validation")
	fs.Check(func() error {
		if noCA {
			o.CA = ""
		}
		s.on = s.on || o.Cert != "" || o.Key != "" || o.SaveDir != "" || o.CA != "" || o.MinVersion != "" || o.RSA || o.Ciphers != nil || o.Authority != ""
		switch {
		case s.on && !tlsconf.Available:
			return cli.ErrNoTLS
		case o.Key != "" && o.Cert == "":
			return cli.ErrKeyAlone
		case o.SaveDir != "" && o.Cert != "":
			return cli.Usagef("-save-cert is for certificates made on the spot, not for that of -cert")
		case o.Authority != "" && o.SaveDir+o.Cert != "":
			return cli.Usagef("-ca signs certificates made on the spot, which -cert and -save-cert have no use for")
		}
		return nil
	})
	return s
}

// AddAuthority adds the flag of a server that speaks for others, below those of AddTLS.
func (s *TLS) AddAuthority(fs *cli.Flags) {
	fs.String(&s.options.Authority, "ca", "DIR", "Opens TLS with a certificate for each server name that clients ask for, signed by an authority of our own, which is made and kept in DIR.")
}

// Enable has the server speak TLS whatever its flags said.
func (s *TLS) Enable() { s.on = true }

// NewTLS is a server with TLS whose flags the mode has itself.
func NewTLS(o tlsconf.Options) *TLS { return &TLS{on: true, options: o} }

// Enabled says whether the server is to speak TLS.
func (s *TLS) Enabled() bool { return s != nil && s.on }

// Proto is the name of proto in events: that of what it is over TLS, where it is.
func (s *TLS) Proto(proto string) string {
	if s.Enabled() {
		return cmp.Or(overTLS[proto], proto)
	}
	return proto
}

var overTLS = map[string]string{"tcp": "tls", "ws": "wss", "http": "https"}

// config makes what listeners at those places need.
func (s *TLS) config(timeout time.Duration, listeners []endpoint) (*tlsconf.Config, error) {
	o := s.options
	o.HandshakeTimeout = timeout
	o.Hosts = s.Hosts
	if s.NoALPN {
		o.NextProtos = []string{}
	}
	for _, at := range listeners {
		if at.host != "" && !strings.HasPrefix(at.host, "unix:") {
			o.Hosts = append(o.Hosts, at.host)
		}
	}
	c, err := tlsconf.Server(o)
	if err != nil {
		return nil, cli.Fail(cli.ExitFailure, err)
	}
	return c, nil
}
