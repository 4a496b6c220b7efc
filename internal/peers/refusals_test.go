package peers

import (
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/mode/proxy"
	"socketsrv/internal/mode/transfer"
	"socketsrv/wsproto"
)

// TestRefusals: who is turned away, and why, is said and counted by each server.
func TestRefusals(t *testing.T) {
	for i, m := range []cli.Mode{echo.Mode, broadcast.Mode, transfer.Transfer, echo.Mode, broadcast.Mode, transfer.Transfer} {
		json := i >= 3
		r := kit.Background(t, m, "-port", "0", "-token", "s3cret", map[bool]string{true: "-json", false: "-json=false"}[json])
		addr := r.Addr("ws")
		const page = "GET /page HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer s3cret\r\n"
		for _, tt := range []struct{ request, said, event string }{
			{kit.Opening("Authorization: Bearer wrong"), `401: not authorized \(GET /path\?q\)`, `"path":"/path\?q","code":401,"error":"not authorized"`},
			{kit.Opening("Authorization: Bearer s3cret", "Origin: http://a", "Sec-WebSocket-Version: 8"), `426: the version of`, `"path":"/path\?q","code":426`},
			{page + "Connection: close\r\n\r\n", `426: no upgrade of .* \(GET /page\)`, `"path":"/page","code":426,"error":"no upgrade`},
		} {
			kit.ExchangeHeads(t, addr, tt.request)
			if !json {
				r.Stderr.WaitFor(t, `(?m)^handshake of 127\.0\.0\.1:\d+ refused with `+tt.said)
				continue
			}
			r.Stdout.WaitFor(t, `"event":"error","proto":"ws","peer":"127\.0\.0\.1:\d+",`+tt.event)
		}
		kit.ExchangeHeads(t, addr, page+"Accept: text/html\r\nConnection: close\r\n\r\n") // not refused
		r.Stop()
		if json {
			r.Stdout.WaitFor(t, `"event":"summary",.*"refused":3\b`)
		}
	}
}

// TestReasonsOnce: what a peer chose is escaped once in what servers say of it, and
// cut where it is long.
func TestReasonsOnce(t *testing.T) {
	target := kit.Background(t, echo.Mode, "-port", "0").Addr("ws")
	for _, tt := range []struct {
		mode cli.Mode
		more string
	}{{echo.Mode, ""}, {broadcast.Mode, ""}, {transfer.Transfer, ""}, {proxy.Mode, "-remote-host=ws://" + target}} {
		r := kit.Background(t, tt.mode, strings.Fields("-port 0 -v "+tt.more)...)
		c := kit.Joins(t, r, "/", wsproto.DialOptions{})
		c.Close(4000, "a\x1b\\b")
		r.Stderr.WaitFor(t, `code 4000 reason "?a\\x1b\\b"?\n`)
	}
}
