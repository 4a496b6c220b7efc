package listen

import (
	"strings"
	"testing"

	"socketsrv/wsproto"
)

// TestPageSources: what of a Host goes into the policy.
func TestPageSources(t *testing.T) {
	for _, tt := range []struct {
		host   string
		secure bool
		want   string
	}{
		{"a-b.example:80", false, " ws://a-b.example:80"},
		{"A.example", true, " wss://A.example"},
		{"10.0.0.1:8008", false, " ws://10.0.0.1:8008"},
		{"[::1]:8008", false, ""}, // 'self' has to do
		{"a;script-src *", false, ""},
		{"a b", false, ""},
		{"a,b", false, ""},
		{"a_b", false, ""},
		{"*", false, ""},
		{"grüße", false, ""},
	} {
		if got := newWebPage(wsproto.AcceptOptions{Secure: tt.secure}, 1).ownSource(tt.host); got != tt.want {
			t.Errorf("Host %q adds %q, want %q", tt.host, got, tt.want)
		}
	}
}

// TestPageWhole: the page needs nothing from elsewhere, and stays small.
func TestPageWhole(t *testing.T) {
	page := string(newWebPage(wsproto.AcceptOptions{}, 16<<20).html)
	for _, never := range []string{"{style}", "{script}", "{max-message}", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " src=", "https://", "@import", "url("} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
	if len(page) > 28<<10 {
		t.Errorf("the page has %d bytes", len(page))
	}
}
