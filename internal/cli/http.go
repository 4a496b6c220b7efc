package cli

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"socketsrv/httpmini"
	"socketsrv/linesrv"
)

// Concealed is a field's value as a log may show it.
func Concealed(f httpmini.Field) string {
	for _, name := range []string{"Authorization", "Proxy-Authorization", "Cookie"} {
		if strings.EqualFold(f.Name, name) {
			return "***"
		}
	}
	return f.Value
}

// ConcealedHead is a head as it came, but for what Concealed hides.
func ConcealedHead(head string) string {
	var b strings.Builder
	for line := range strings.Lines(head) {
		name, value, _ := strings.Cut(line, ":")
		if shown := Concealed(httpmini.Field{Name: name, Value: value}); shown != value {
			line = name + ": " + shown + "\r\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// SetUser sets *p to a user and a password with a colon between.
func SetUser(p *string) func(string) error {
	return func(s string) error {
		if !strings.Contains(s, ":") {
			return errors.New("want USER:PASSWORD")
		}
		*p = s
		return nil
	}
}

// ParseField takes "Name: value", or "Name;" for one without value, as curl does.
func ParseField(s string) (httpmini.Field, error) {
	name, value, ok := strings.Cut(s, ":")
	if !ok {
		if name, ok = strings.CutSuffix(s, ";"); !ok {
			return httpmini.Field{}, errors.New("want 'Name: value'")
		}
	}
	field := httpmini.Field{Name: name, Value: strings.Trim(value, " \t")}
	if (httpmini.Header{field}).Check() != nil {
		return field, errors.New("want 'Name: value', without control characters")
	}
	return field, nil
}

// Reserved are the fields of a handshake that are ours to write.
var Reserved = []string{
	"connection", "content-length", "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-key",
	"sec-websocket-protocol", "sec-websocket-version", "transfer-encoding", "upgrade",
}

func CheckHandshakeField(f httpmini.Field) error {
	name := strings.ToLower(f.Name)
	switch {
	case slices.Contains(Reserved, name):
		return fmt.Errorf("want a field that is not the handshake's own, as %s is", name)
	case name == "host" && f.Value == "":
		return errors.New("want a value for Host")
	}
	return nil
}

// EqualSecret compares in a time that says nothing but the lengths.
func EqualSecret(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// What is wrong with TLS flags, of servers and of clients.
var (
	ErrNoTLS    = &UsageError{Text: "this build leaves TLS out (-tags notls)"}
	ErrKeyAlone = &UsageError{Text: "-key needs -cert"}
)

// Framing adds the flag that says how messages lie in a stream.
func (fs *Flags) Framing(p *linesrv.Framing, usage string) {
	usage += " none: as read; line; delim:BYTES; between:BYTES,BYTES; mllp; length; length:1|2|4|8[le][+N]; decimal; netstring; slip; idle:D."
	fs.Add("framing", &Flag{arg: "HOW", def: p.String(), Usage: usage, Set: setter(p, linesrv.ParseFraming)})
}
