package mode

import (
	"socketsrv/internal/tlsconf"
	"strings"
	"time"
)

// ServerTLS is what the TLS flags of a server said; nil is a server without.
type ServerTLS struct {
	on      bool
	options tlsconf.Options
}

// AddServerTLS adds the flags of a server with TLS.
func AddServerTLS(fs *Flags) *ServerTLS {
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
