package dial

import (
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
)

// WebSocket is what the flags of a WebSocket client said.
type WebSocket struct {
	*Dialer
	Header        httpmini.Header // of -H and -u
	Subprotocols  []string
	Origin        string
	NoCompression bool
	Follow        bool // redirects of the handshake
}

// AddWebSocket adds the flags of a WebSocket client, those of Dialer among them.
func AddWebSocket(fs *cli.Flags) *WebSocket {
	w := &WebSocket{}
	user := ""
	fs.Group("WebSocket")
	fs.Func("H header", "'N: V'", "a field of the handshake", func(s string) error {
		field, err := cli.ParseField(s)
		if err == nil {
			err = cli.CheckHandshakeField(field)
		}
		w.Header = append(w.Header, field)
		return err
	})
	fs.Hide("header")
	fs.Func("u user", "USER:PASS", "Authorization: Basic", cli.SetUser(&user))
	fs.Hide("user")
	fs.List(&w.Subprotocols, "subprotocol", "LIST", "")
	fs.String(&w.Origin, "origin", "URL", "subprotocols to offer; Origin to send")
	fs.Switch(&w.NoCompression, "x", "no compression")
	fs.Switch(&w.Follow, "L location", "follow redirects of the handshake")
	fs.Check(func() error {
		if err := (httpmini.Header{{Name: "Origin", Value: w.Origin}}).Check(); err != nil {
			return cli.Usagef("-origin %q: %v", cli.Clip(w.Origin, cli.MaxShown), err)
		}
		if user != "" {
			w.Header.Add("Authorization", httpmini.Basic(user))
		}
		return nil
	})
	w.Dialer = AddDialer(fs)
	return w
}
