package mode

import "socketsrv/httpmini"

// ClientWS is what the flags of a WebSocket client said.
type ClientWS struct {
	*Dialer
	Header        httpmini.Header // of -H and -u
	Subprotocols  []string
	Origin        string
	NoCompression bool
	Follow        bool // redirects of the handshake
}

// AddClientWS adds the flags of a WebSocket client, those of Dialer among them.
func AddClientWS(fs *Flags) *ClientWS {
	w := &ClientWS{}
	user := ""
	fs.Group("WebSocket")
	fs.Func("H header", "'N: V'", "a field of the handshake", func(s string) error {
		field, err := parseField(s)
		if err == nil {
			err = checkHandshakeField(field)
		}
		w.Header = append(w.Header, field)
		return err
	})
	fs.hide("header")
	fs.Func("u user", "USER:PASS", "Authorization: Basic", setUser(&user))
	fs.hide("user")
	fs.List(&w.Subprotocols, "subprotocol", "LIST", "")
	fs.String(&w.Origin, "origin", "URL", "subprotocols to offer; Origin to send")
	fs.Switch(&w.NoCompression, "x", "no compression")
	fs.Switch(&w.Follow, "L location", "follow redirects of the handshake")
	fs.Check(func() error {
		if err := (httpmini.Header{{Name: "Origin", Value: w.Origin}}).Check(); err != nil {
			return Usagef("-origin %q: %v", clip(w.Origin, maxShown), err)
		}
		if user != "" {
			w.Header.Add("Authorization", httpmini.Basic(user))
		}
		return nil
	})
	w.Dialer = AddDialer(fs)
	return w
}
