package dial

import (
	"errors"
	"strings"

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
	fs.Func("H header", "'N: V'", "Sends this field in the handshake; may be repeated.", func(s string) error {
		field, err := cli.ParseField(s)
		if strings.EqualFold(field.Name, "Host") && field.Value == "" && err == nil {
			err = errors.New("want a value for Host")
		}
		w.Header = append(w.Header, field)
		return err
	})
	fs.Hide("header")
	fs.Func("u user", "USER:PASS", "Sends this user and password as Authorization: Basic.", cli.SetUser(&user))
	fs.Hide("user")
	fs.List(&w.Subprotocols, "subprotocol", "LIST", "Offers these subprotocols.")
	fs.String(&w.Origin, "origin", "URL", "Sends this Origin.")
	fs.Switch(&w.NoCompression, "x", "Offers no compression.")
	fs.Switch(&w.Follow, "L location", "Follows redirects of the handshake, at most ten.")
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
