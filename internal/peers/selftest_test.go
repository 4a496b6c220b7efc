package peers

import (
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/chat"
	"socketsrv/internal/mode/connect"
	"socketsrv/internal/mode/curl"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/mode/httpd"
	"socketsrv/internal/mode/line"
	"socketsrv/internal/mode/ping"
	"socketsrv/internal/mode/proxy"
	"socketsrv/internal/mode/selftest"
	"socketsrv/internal/mode/transfer"
)

// program is what the program is where it runs as a process of its own, and in scripts.
var program = cli.Table{dump.Mode, echo.Mode, broadcast.Mode, line.Mode, curl.Mode, httpd.Mode, connect.Mode, ping.Mode, chat.Mode,
	transfer.Transfer, transfer.Send, transfer.Receive, proxy.Mode, selftest.Mode}

// TestSelftestModes is the selftest of the modes that are their own partners.
func TestSelftestModes(t *testing.T) {
	in := cli.StartInside(t.Context(), program, "selftest")
	if code, err := in.Wait(t.Context()); code != 0 || err != nil {
		t.Errorf("exit %d, %v: %s", code, err, in.Stdout)
	}
}
