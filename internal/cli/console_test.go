package cli

import (
	"strings"
	"testing"

	"socketsrv/internal/event"
)

// TestField: what a peer chose is cut where it is long, and escaped once.
func TestField(t *testing.T) {
	var b strings.Builder
	c := &Console{flags: new(Output), status: &b}
	c.Status("%s", Field("\x1b"+strings.Repeat("x", event.FieldMax)))
	if want := `\x1b` + strings.Repeat("x", event.FieldMax-1) + "…(+1)\n"; b.String() != want {
		t.Errorf("a long name is %q; want %q", &b, want)
	}
}
