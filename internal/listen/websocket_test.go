package listen

import (
	"net"
	"testing"

	"socketsrv/httpmini"
)

var (
	loopback  = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8008}
	everybody = &net.TCPAddr{IP: net.IPv6unspecified, Port: 8008}
)

func TestPermitted(t *testing.T) {
	for _, tt := range []struct {
		flag, field string
		want        bool
	}{
		{"", "", true},
		{"secret", "secret", true},
		{"secret", "Secret", false},
		{"secret", "", false},
	} {
		w := serverWS(t, true, "--http_authorization_header="+tt.flag)
		req := &httpmini.Request{Header: httpmini.Header{{Name: "authorization", Value: tt.field}}}
		if got := w.Permitted(req); got != tt.want {
			t.Errorf("flag %q, field %q: %v", tt.flag, tt.field, got)
		}
	}
}
