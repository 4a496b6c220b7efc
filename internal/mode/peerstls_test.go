package mode

import (
	"socketsrv/internal/tlsconf"
	"strings"
	"testing"
)

func TestWithoutTLS(t *testing.T) {
	if tlsconf.Available {
		t.Skip("this build has TLS; -tags notls leaves it out")
	}
	for _, line := range []string{"dump -tls", "dump -cert f -key f", "dump -save-cert d", "connect u -k", "connect u -pin x", "connect u -tls-max 1.2"} {
		code, _, stderr := command(Table{Dump, Connect}, strings.Fields(line)...)
		if code != ExitUsage || !strings.HasPrefix(stderr, "socketsrv: this build leaves TLS out") {
			t.Errorf("%s: exit %d, %q", line, code, stderr)
		}
	}
}
