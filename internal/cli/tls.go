package cli

import (
	"context"
	"os"
	"strconv"

	"socketsrv/internal/tlsconf"
)

// TLS adds those flags of TLS that servers and clients share, and has the others
// answer to the names of IXWebSocket's ws as well.
func (fs *Flags) TLS(o *tlsconf.Options) {
	fs.Choice(&o.MinVersion, "tls-min", "Speaks old versions of TLS too, down to this one.", "1.0", "1.1", "1.2", "1.3")
	fs.Func("ciphers", "LIST", "Speaks these ciphers alone with TLS 1.2 and older, called as OpenSSL or RFC 5246 calls them.", func(s string) (err error) {
		o.Ciphers, err = tlsconf.ParseCiphers(s)
		return err
	})
	for name, theirs := range map[string]string{"cert": "cert-file", "key": "key-file", "cacert": "ca-file"} {
		fs.Alias(name, theirs)
	}
}

// WithPidfile adds -pidfile to a mode that is no server.
func (fs *Flags) WithPidfile(run Func) Func {
	path := ""
	fs.String(&path, "pidfile", "FILE", "Writes the process number to FILE while the program runs.")
	return func(ctx context.Context, env *Env, args []string) error {
		if path == "" {
			return run(ctx, env, args)
		}
		remove, err := WritePidfile(path)
		if err != nil {
			return Fail(ExitWrite, err)
		}
		defer remove()
		return run(ctx, env, args)
	}
}

// WritePidfile writes the number of this process to a file.
func WritePidfile(path string) (remove func() error, err error) {
	err = os.WriteFile(path, append(strconv.AppendInt(nil, int64(os.Getpid()), 10), '\n'), 0o644)
	return func() error { return os.Remove(path) }, err
}
