package listen

import (
	"net"
	"testing"

	"socketsrv/httpmini"
)

// The addresses of connections, as they came to a listener.
var (
	loopback = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8008}
	network  = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8008}
)

// addressed is a connection that has an address.
type addressed struct {
	net.Conn
	local net.Addr
}

func (a addressed) LocalAddr() net.Addr { return a.local }

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
