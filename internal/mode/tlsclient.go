package mode

import (
	"errors"
	"socketsrv/internal/tlsconf"
)

// ClientTLS is what the TLS flags of a client said.
type ClientTLS struct{ options tlsconf.Options }

// AddClientTLS adds the flags of a client with TLS.
func AddClientTLS(fs *Flags) *ClientTLS {
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
