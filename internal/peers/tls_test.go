package peers

import (
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/connect"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/tlsconf"
)

func TestWithoutTLS(t *testing.T) {
	if tlsconf.Available {
		t.Skip("this build has TLS; -tags notls leaves it out")
	}
	for _, line := range []string{"dump -tls", "dump -cert f -key f", "dump -save-cert d", "connect u -k", "connect u -pin x", "connect u -tls-max 1.2"} {
		code, _, stderr := kit.Command(cli.Table{dump.Mode, connect.Mode}, strings.Fields(line)...)
		if code != cli.ExitUsage || !strings.HasPrefix(stderr, "socketsrv: this build leaves TLS out") {
			t.Errorf("%s: exit %d, %q", line, code, stderr)
		}
	}
}
