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

// TestFlagErrors has each mistake in flags that modes share, and the line it gives.
func TestFlagErrors(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"dump -host a:b", `-host "a:b": want an address or a name without port, or unix:/path`},
		{"dump -host unix:", `-host "unix:": want unix: and a path`},
		{"dump -grace -1s", `-grace "-1s": want a duration such as 500ms, 5s, 2m or 10 (seconds)`},
		{"dump -max-message 1Q", `-max-message "1Q": want a size such as 512, 64k, 16M or 1G (powers of 1024)`},
		{"dump -max-conns 0", `-max-conns "0": want a number from 1 to 16777216`},
		{"dump -key f", `-key needs -cert`},
		{"connect -H_Name", `-H: want 'Name: value'`}, // fields may be secret: no value is shown
		{"connect u -H Host:", `-H: want a value for Host`},
		{"connect u -HA:b\r\nC:d", `-H: want 'Name: value', without control characters`},
		{"connect u -origin a\nb", `-origin "a\nb": malformed field line`},
		{"connect u -u bob", `-u: want USER:PASSWORD`},
		{"connect u -proxy ftp://me:secret@h", `-proxy: want a proxy of http, https, socks4, socks4a, socks5 or socks5h`},
		{"connect u -resolve a:b", `-resolve "a:b": want HOST:PORT:ADDRESS[,ADDRESS]`},
		{"connect u -pin sha256:00", `-pin "sha256:00": want sha256: and 64 hex digits, or sha256// and base64 of 32 bytes`},
	} {
		if !tlsconf.Available && kit.IsTLS.MatchString(tt.line) {
			continue
		}
		args := strings.Split(tt.line, " ")
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		code, stdout, stderr := kit.Command(cli.Table{dump.Mode, connect.Mode}, args...)
		if line, _, _ := strings.Cut(stderr, "\n"); code != cli.ExitUsage || stdout != "" || line != "socketsrv: "+tt.want {
			t.Errorf("%q: exit %d, stdout %q\n got %s\nwant socketsrv: %s", tt.line, code, stdout, line, tt.want)
		}
	}
}
