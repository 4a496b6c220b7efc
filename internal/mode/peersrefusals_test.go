package mode

import (
	"socketsrv/wsproto"
	"strings"
	"testing"
)

// TestRefusals: who is turned away, and why, is said and counted by each server.
func TestRefusals(t *testing.T) {
	for _, m := range []Mode{Echo, Broadcast, Transfer} {
		r := background(t, m, "-port", "0", "-json", "-token", "s3cret")
		addr := r.addr("ws")
		const page = "GET /page HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer s3cret\r\n"
		for _, tt := range []struct{ request, said, event string }{
			{opening("Authorization: Bearer wrong"), `401: not authorized \(GET /path\?q\)`, `"path":"/path\?q","code":401,"error":"not authorized"`},
			{opening("Authorization: Bearer s3cret", "Origin: http://a", "Sec-WebSocket-Version: 8"), `426: the version of`, `"path":"/path\?q","code":426`},
			{page + "Connection: close\r\n\r\n", `426: no upgrade of .* \(GET /page\)`, `"path":"/page","code":426,"error":"no upgrade`},
		} {
			exchangeHeads(t, addr, tt.request)
			r.stderr.waitFor(t, `(?m)^handshake of 127\.0\.0\.1:\d+ refused with `+tt.said)
			r.stdout.waitFor(t, `"event":"error","proto":"ws","peer":"127\.0\.0\.1:\d+",`+tt.event)
		}
		exchangeHeads(t, addr, page+"Accept: text/html\r\nConnection: close\r\n\r\n") // not refused
		r.stop()
		r.stdout.waitFor(t, `"event":"summary",.*"refused":3\b`)
	}
}

// TestReasonsOnce: what a peer chose is escaped once in what servers say of it, and
// cut where it is long.
func TestReasonsOnce(t *testing.T) {
	target := background(t, Echo, "-port", "0").addr("ws")
	for _, tt := range []struct {
		mode Mode
		more string
	}{{Echo, ""}, {Broadcast, ""}, {Transfer, ""}, {Proxy, "-remote-host=ws://" + target}} {
		r := background(t, tt.mode, strings.Fields("-port 0 -v "+tt.more)...)
		c := joins(t, r, "/", wsproto.DialOptions{})
		c.Close(4000, "a\x1b\\b")
		r.stderr.waitFor(t, `code 4000 reason "?a\\x1b\\\\b"?\n`)
	}
}
