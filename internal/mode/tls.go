package mode

import (
	"errors"
	"strings"
	"time"

	"socketsrv/internal/tlsconf"
)

// ServerTLS is what the TLS flags of a server said; nil is a server without.
type ServerTLS struct {
	on      bool
	options tlsconf.Options
}

// ServerTLS adds the flags of a server with TLS.
func (fs *Flags) ServerTLS() *ServerTLS {
	s := &ServerTLS{}
	o := &s.options
	fs.Group("TLS")
	fs.Switch(&s.on, "tls ssl", "TLS, also when another of these is given")
	fs.String(&o.Cert, "cert", "FILE", "")
	fs.String(&o.Key, "key", "FILE", "certificate and key in PEM (self-signed)")
	fs.String(&o.SaveDir, "save-cert", "DIR", "keep the self-signed one there")
	fs.String(&o.CA, "cacert", "FILE", "ask clients for a certificate from these")
	fs.Check(func() error {
		s.on = s.on || o.Cert != "" || o.Key != "" || o.SaveDir != "" || o.CA != ""
		switch {
		case s.on && !tlsconf.Available:
			return errNoTLS
		case o.Key != "" && o.Cert == "":
			return errKeyAlone
		case o.SaveDir != "" && o.Cert != "":
			return Usagef("-save-cert is for certificates made on the spot, not for that of -cert")
		}
		return nil
	})
	return s
}

var (
	errNoTLS    = &UsageError{Text: "this build leaves TLS out (-tags notls)"}
	errKeyAlone = &UsageError{Text: "-key needs -cert"}
)

// Enabled says whether the server is to speak TLS.
func (s *ServerTLS) Enabled() bool { return s != nil && s.on }

// config makes what listeners at those places need.
func (s *ServerTLS) config(timeout time.Duration, listeners []endpoint) (*tlsconf.Config, error) {
	o := s.options
	o.HandshakeTimeout = timeout
	for _, at := range listeners {
		if at.host != "" && !strings.HasPrefix(at.host, "unix:") {
			o.Hosts = append(o.Hosts, at.host)
		}
	}
	c, err := tlsconf.Server(o)
	if err != nil {
		return nil, &Failure{ExitFailure, err}
	}
	return c, nil
}

// ClientTLS is what the TLS flags of a client said.
type ClientTLS struct{ options tlsconf.Options }

// ClientTLS adds the flags of a client with TLS.
func (fs *Flags) ClientTLS() *ClientTLS {
	c := &ClientTLS{}
	o := &c.options
	fs.Group("TLS")
	fs.Switch(&o.Insecure, "k insecure", "trust any certificate")
	fs.String(&o.CA, "cacert", "FILE", "")
	fs.Func("pin", "sha256:…", "trust those only; just that one", func(s string) error {
		o.Pin = s
		if _, err := tlsconf.Client(tlsconf.Options{Pin: s}); err != nil && tlsconf.Available {
			return errors.New("want sha256: and 64 hex digits, or sha256// and base64 of 32 bytes")
		}
		return nil
	})
	fs.String(&o.Cert, "cert", "FILE", "")
	fs.String(&o.Key, "key", "FILE", "our own certificate and key in PEM")
	fs.String(&o.ServerName, "servername", "H", "")
	fs.Choice(&o.MaxVersion, "tls-max", "name to check; highest version", "1.2", "1.3")
	fs.Check(func() error {
		switch {
		case !tlsconf.Available && fs.anyGiven("TLS"):
			return errNoTLS
		case o.Key != "" && o.Cert == "":
			return errKeyAlone
		}
		return nil
	})
	return c
}

// Config makes what a client needs; it is an error where TLS is left out.
func (c *ClientTLS) Config() (*tlsconf.Config, error) {
	if !tlsconf.Available {
		return nil, errNoTLS
	}
	config, err := tlsconf.Client(c.options)
	if err != nil {
		return nil, &Failure{ExitFailure, err}
	}
	return config, nil
}
