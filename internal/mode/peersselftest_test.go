package mode

import "testing"

// TestSelftestModes is the selftest of the modes that are their own partners.
func TestSelftestModes(t *testing.T) {
	in := startInside(t.Context(), Table{Dump, Echo, Broadcast, Line, Connect, Transfer, Send, Receive, Proxy, Selftest}, "selftest")
	if code, err := in.wait(t.Context()); code != 0 || err != nil {
		t.Errorf("exit %d, %v: %s", code, err, in.stdout)
	}
}
