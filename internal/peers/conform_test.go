package peers

import (
	"path/filepath"
	"regexp"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/conform"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/tlsconf"
)

// TestConformOfEcho judges mode echo, over TLS where there is TLS.
func TestConformOfEcho(t *testing.T) {
	scheme, args := "ws", []string{"-port", "0"}
	if tlsconf.Available {
		scheme, args = "wss", append(args, "-tls")
	}
	p := kit.Background(t, echo.Mode, args...)
	in := cli.StartInside(t.Context(), cli.Table{conform.Mode}, "conform", "-k", "-wait", "30s", "-cases", "1.1.*,5.*,7.*,x.handshake.*,x.close.1000.*", scheme+"://"+p.Addr(scheme))
	code, err := in.Wait(t.Context())
	if out := in.Stdout.String(); code != 0 || err != nil || !regexp.MustCompile(`\nall +\d+ +\d+ +0 +0 +0\n$`).MatchString(out) {
		t.Errorf("exit %d, %v: %s %s", code, err, out, in.Stderr)
	}
}

// TestConformOfSocket judges a server on a Unix socket.
func TestConformOfSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	kit.Background(t, echo.Mode, "-ws-addr", "unix:"+path, "-ws-port", "0").Addr("ws")
	kit.Background(t, conform.Mode, "ws+unix:"+path, "-wait", "30s", "-cases", "1.1.1,x.handshake.plain").WantEnd(0, "")
}
