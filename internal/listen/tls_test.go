package listen

import (
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/tlsconf"
)

// secured dials addr with TLS as flags say and returns what comes.
func secured(t *testing.T, addr string, flags ...string) (string, error) {
	t.Helper()
	var fs cli.Flags
	client := dial.AddTLS(&fs)
	if _, err := fs.Parse(flags); err != nil {
		t.Fatal(err)
	}
	config, err := client.Config()
	if err != nil {
		return "", err
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := config.Client(t.Context(), nc, "localhost")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	b, err := io.ReadAll(conn)
	return string(b), err
}

// greet says hello to whoever comes, until ln is closed.
func greet(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, "hello")
		c.Close()
	}
}

// TestTLSFlags has servers and clients with flags that fit each other, or do not.
func TestTLSFlags(t *testing.T) {
	if !tlsconf.Available {
		t.Skip("this build has no TLS")
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	look := func(o opened) error {
		go greet(o.ln)
		addr := o.ln.Addr().String()
		for _, tt := range []struct {
			flags string
			code  int
		}{
			{"", cli.ExitCertificate},
			{"-k", 0},
			{"-cacert " + cert, 0},
			{"-cacert " + cert + " -servername other.example", cli.ExitCertificate},
			{"-cacert " + cert + " -tls-max 1.2", 0},
			{"-pin sha256:" + strings.Repeat("00", 32), cli.ExitCertificate},
			{"-pin sha256:" + strings.Repeat("00", 32) + " -k", cli.ExitCertificate},
			{"-cacert " + key, cli.ExitFailure},
			{"-cert " + cert + " -key " + dir + "/none", cli.ExitFailure},
		} {
			got, err := secured(t, addr, strings.Fields(tt.flags)...)
			if cli.ExitCode(err) != tt.code || (err == nil) != (got == "hello") {
				t.Errorf("a client with %q: %q, %v; want exit code %d", tt.flags, got, err, tt.code)
			}
		}
		return nil
	}
	code, _, stderr := open(t, nil, look, "one", "-save-cert", dir) // -tls goes without saying
	said := regexp.MustCompile(`(?m)^certificate (sha256:[0-9a-f]{64})$`).FindStringSubmatch(stderr)
	if code != 0 || said == nil {
		t.Fatalf("exit %d, %q", code, stderr)
	}
	code, _, again := open(t, nil, func(o opened) error {
		go greet(o.ln)
		got, err := secured(t, o.ln.Addr().String(), "-pin", said[1])
		if got != "hello" {
			t.Errorf("with the fingerprint that was printed: %q, %v", got, err)
		}
		return nil
	}, "one", "-cert", cert, "-key", key)
	if code != 0 || !strings.Contains(again, said[0]) {
		t.Errorf("the same certificate: exit %d, %q; want %s", code, again, said[0])
	}
}
