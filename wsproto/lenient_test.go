package wsproto

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"socketsrv/httpmini"
)

// faults are what a lenient Conn passes over: got is what it hands out and then says
// of the end.
var faults = []struct {
	name  string
	role  Role
	wire  []byte
	rules []error
	got   string
}{
	{"none", RoleClient, unhex("81 02 6869"), nil, "text hi, EOF"},
	{"hw-25 text in Latin-1", RoleClient, unhex("81 04 636166e9 81 01 61"), []error{ErrInvalidUTF8}, "text caf\xe9, text a, EOF"},
	{"in fragments, once for a message", RoleClient, unhex("01 01 ff 00 01 fe 80 01 61"), []error{ErrInvalidUTF8}, "text \xff\xfea, EOF"},
	{"cut in a character", RoleClient, unhex("81 01 e6 81 01 e6"), []error{ErrInvalidUTF8, ErrInvalidUTF8}, "text \xe6, text \xe6, EOF"},
	{"compressed", RoleClient, unhex("c1 0a 00 0400 fbff 636166e9 00"), []error{ErrInvalidUTF8}, "text caf\xe9, EOF"},
	{"hw-26 a client that does not mask, once for all frames", RoleServer, unhex("81 02 6869 89 00 82 01 00"), []error{ErrMasking}, "text hi, binary \x00, EOF"},
	{"a server that masks", RoleClient, frame(RoleServer, 0x81, "hi"), []error{ErrMasking}, "text hi, EOF"},
	{"a Close with 1005", RoleClient, unhex("88 04 03ed 6869"), []error{ErrStatusCode}, `closed by the peer: code 1005 reason "hi"`},
	{"a Close of one byte", RoleClient, unhex("88 01 03"), []error{ErrClosePayload}, `closed by the peer: code 1005 reason ""`},
	{"a reason that is not UTF-8", RoleClient, unhex("88 03 03e8 ff"), []error{ErrInvalidUTF8}, `closed by the peer: code 1000 reason "\xff"`},
	{"not what framing depends on", RoleClient, unhex("81 01 61 83 00"), nil, "text a, reserved opcode 0x3 (close 1002)"},
}

func TestLenient(t *testing.T) {
	for _, tt := range faults {
		var told []error
		got, err := readsOf(tt.role, deflated, Config{Lenient: func(err error) { told = append(told, err) }}, tt.wire)
		var s []string
		for _, m := range got {
			s = append(s, fmt.Sprintf("%v %s", m.Opcode, m.Data))
		}
		if s = append(s, strings.TrimPrefix(err.Error(), "websocket: ")); strings.Join(s, ", ") != tt.got {
			t.Errorf("%s: got %q, want %q", tt.name, s, tt.got)
		}
		if !slices.EqualFunc(told, tt.rules, errors.Is) {
			t.Errorf("%s: was told of %v, want %v", tt.name, told, tt.rules)
		}
		for _, err := range told {
			if pe, ok := errors.AsType[*ProtocolError](err); !ok || len(pe.Bytes) == 0 {
				t.Errorf("%s: was told of %#v, which shows nothing", tt.name, err)
			}
		}
		if _, err := readsOf(tt.role, deflated, Config{}, tt.wire); len(tt.rules) > 0 && !errors.Is(err, tt.rules[0]) {
			t.Errorf("%s: not lenient: %v, want %v", tt.name, err, tt.rules[0])
		}
	}
}

// TestLenientAnswer: a code that may not be sent is not sent back.
func TestLenientAnswer(t *testing.T) {
	talkTo(t, RoleClient, Config{Lenient: func(error) {}}, func(t *testing.T, k *talk, end <-chan error) {
		k.send("88 02 03ed")
		if got, _ := k.take(); len(got) != 6 || got[0] != 0x88 || got[1] != 0x80 {
			t.Errorf("the answer to a Close with 1005 is %x, want one without a code", got)
		}
		k.peer.Close()
		wantErr(t, end, &CloseError{Code: 1005})
	})
}

// TestLenientServer: a server is told whose fault it is.
func TestLenientServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, nc := newTalk(t)
		var told []string
		s := &Server{
			OnFault:   func(u *User, err error) { told = append(told, fmt.Sprint(u.ID(), " ", err)) },
			OnMessage: func(u *User, m Message) { told = append(told, fmt.Sprint(u.ID(), " ", string(m.Data))) },
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			(&httpmini.Server{Handler: s.ServeExchange}).ServeConn(nc)
		}()
		k.sendBytes([]byte(goodHandshake))
		k.take()
		id := fmt.Sprint(s.Users()[0].ID())
		k.send("81 02 6869")
		synctest.Wait()
		if want := []string{id + " " + fails(1002, ErrMasking), id + " hi"}; !slices.Equal(told, want) {
			t.Errorf("was told %q, want %q", told, want)
		}
		k.peer.Close()
		<-served
	})
}

// TestLenientHandshake: subprotocols that nobody offered, and lists that are none.
func TestLenientHandshake(t *testing.T) {
	for _, tt := range []struct{ fields, want string }{
		{"Sec-WebSocket-Protocol: \r\n", ""}, // hw-23
		{"Sec-WebSocket-Protocol: remote\r\n", "remote"},
		{"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n", "a"},
	} {
		var told []error
		s := &script{t: t, steps: []step{func(nc net.Conn, br *bufio.Reader, req *http.Request) {
			answer(good(tt.fields))(nc, br, req)
			io.Copy(io.Discard, nc)
		}}}
		opt := DialOptions{NetDial: s.dial, Subprotocols: []string{"a"}, Config: Config{Lenient: func(err error) { told = append(told, err) }}}
		c, res, err := Dial(t.Context(), "ws://box/", opt)
		if err != nil || c.Subprotocol() != tt.want || len(told) != 1 || !errors.Is(told[0], ErrSubprotocol) {
			t.Errorf("%q: %v, subprotocol %q, was told of %v; want %q", tt.fields, err, c.Subprotocol(), told, tt.want)
			continue
		}
		if he, ok := errors.AsType[*HandshakeError](told[0]); !ok || he.Response != res {
			t.Errorf("%q: was told of %#v", tt.fields, told[0])
		}
		c.NetConn().Close()
	}
	for _, field := range []string{"Sec-WebSocket-Protocol:", "Sec-WebSocket-Protocol: a b"} {
		var told error
		req, err := httpmini.ReadRequest(bufio.NewReader(strings.NewReader(strings.Replace(goodHandshake, plus, more(field), 1))), httpmini.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		res, ag, err := Answer(req, AcceptOptions{Lenient: func(err error) { told = err }})
		if err != nil || res.Status != 101 || ag.Subprotocol != "" || !errors.Is(told, ErrSubprotocols) {
			t.Errorf("%q: %v, subprotocol %q, was told of %v", field, err, ag.Subprotocol, told)
		}
	}
}
