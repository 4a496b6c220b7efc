package peers

import (
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/connect"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/mode/line"
	"socketsrv/internal/mode/proxy"
	"socketsrv/internal/mode/selftest"
	"socketsrv/internal/mode/transfer"
)

// TestSelftestModes is the selftest of the modes that are their own partners.
func TestSelftestModes(t *testing.T) {
	in := cli.StartInside(t.Context(), cli.Table{dump.Mode, echo.Mode, broadcast.Mode, line.Mode, connect.Mode, transfer.Transfer, transfer.Send, transfer.Receive, proxy.Mode, selftest.Mode}, "selftest")
	if code, err := in.Wait(t.Context()); code != 0 || err != nil {
		t.Errorf("exit %d, %v: %s", code, err, in.Stdout)
	}
}
