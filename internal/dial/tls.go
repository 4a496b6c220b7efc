package dial

import (
	"errors"

	"socketsrv/internal/cli"
	"socketsrv/internal/tlsconf"
)

// TLS is what the TLS flags of a client said.
type TLS struct{ Options tlsconf.Options }

// AddTLS adds the flags of a client with TLS.
func AddTLS(fs *cli.Flags) *TLS {
	c := &TLS{}
	o := &c.Options
	fs.Group("TLS")
	fs.Switch(&o.Insecure, "k insecure", "Trusts any certificate.")
	fs.String(&o.CA, "cacert", "FILE", "Trusts certificates signed by those in this PEM file, or folder, only.")
	fs.Func("pin", "sha256:…", "Trusts just the certificate with this SHA-256 fingerprint.", func(s string) error {
		o.Pin = s
		if _, err := tlsconf.Client(tlsconf.Options{Pin: s}); err != nil && tlsconf.Available {
			return errors.New("want sha256: and 64 hex digits, or sha256// and base64 of 32 bytes")
		}
		return nil
	})
	fs.String(&o.Cert, "cert", "FILE", "Shows the server the certificate in this PEM file.")
	fs.String(&o.Key, "key", "FILE", "Uses the key in this PEM file; the file of -cert may hold it too.")
	fs.String(&o.ServerName, "servername", "H", "Checks the certificate for this name, and asks the server for it.")
	fs.Choice(&o.MaxVersion, "tls-max", "Speaks no later version of TLS.", "1.2", "1.3")
	fs.TLS(o)
	fs.Switch(&o.RSA, "tls-rsa", "Allows what old devices need: key exchange by RSA, and weak ciphers.")
	fs.Switch(&o.AnyName, "disable-hostname-validation", "Trusts a certificate that is for another name.")
	// What ws takes in all its modes:
	var none bool
	fs.Switch(&none, "tls", "Has no effect on a client.")
	fs.Unlist("tls")
	fs.Alias("k", "verify-none")
	fs.Check(func() error {
		switch {
		case !tlsconf.Available && fs.AnyGiven("TLS"):
			return cli.ErrNoTLS
		case o.Key != "" && o.Cert == "":
			return cli.ErrKeyAlone
		}
		return nil
	})
	return c
}

// Config makes what a client needs; it is an error where TLS is left out.
func (c *TLS) Config() (*tlsconf.Config, error) {
	if !tlsconf.Available {
		return nil, cli.ErrNoTLS
	}
	config, err := tlsconf.Client(c.Options)
	if err != nil {
		return nil, cli.Fail(cli.ExitFailure, err)
	}
	return config, nil
}
