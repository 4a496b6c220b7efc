package httpmini

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestHeader(t *testing.T) {
	h := Header{{"Host", "a"}, {"X-List", `a, b ,,"c,d\",e" ,	f`}, {"x-list", "g;h=\"1,2\", \"open, end"}, {"Empty", ""}}
	for _, tt := range []struct {
		name  string
		get   string
		count int
		list  []string
	}{
		{"host", "a", 1, []string{"a"}},
		{"X-LIST", `a, b ,,"c,d\",e" ,	f`, 2, []string{"a", "b", `"c,d\",e"`, "f", `g;h="1,2"`, `"open, end`}},
		{"empty", "", 1, nil},
		{"none", "", 0, nil},
		{"Hos", "", 0, nil},
	} {
		if got := h.Get(tt.name); got != tt.get {
			t.Errorf("Get(%q) = %q, want %q", tt.name, got, tt.get)
		}
		if got := h.Count(tt.name); got != tt.count || h.Has(tt.name) != (tt.count > 0) || len(h.Values(tt.name)) != tt.count {
			t.Errorf("%q: Count = %d, Has = %v, Values = %q; want %d of them", tt.name, got, h.Has(tt.name), h.Values(tt.name), tt.count)
		}
		if got := h.List(tt.name); !slices.Equal(got, tt.list) {
			t.Errorf("List(%q) = %q, want %q", tt.name, got, tt.list)
		}
	}
	if got, want := h.Values("x-list"), []string{h[1].Value, h[2].Value}; !slices.Equal(got, want) {
		t.Errorf("Values = %q, want %q", got, want)
	}
}

// What servers of note take for the token, and must not (RFC 9110 §5.6.1).
func TestHasToken(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  bool
	}{
		{[]string{"Upgrade"}, true},
		{[]string{"upGRADE"}, true},
		{[]string{"keep-alive, Upgrade"}, true},
		{[]string{"keep-alive", "Upgrade"}, true},
		{[]string{"\tUpgrade\t,x"}, true},
		{[]string{",,upgrade,"}, true},
		{[]string{"xupgrade"}, false},
		{[]string{"upgradex"}, false},
		{[]string{"keep-alive Upgrade"}, false},
		{[]string{`"upgrade"`}, false},
		{[]string{`"a, upgrade, b"`}, false},
		{[]string{"upgrade;q=1"}, false},
		{[]string{"\x75\x50grade"}, true},
		{[]string{"Upgr\x01de", ""}, false},
		{nil, false},
	} {
		var h Header
		for _, v := range tt.lines {
			h.Add("cONNECTION", v)
		}
		if got := h.HasToken("Connection", "upgrade"); got != tt.want {
			t.Errorf("%q: HasToken = %v, want %v", tt.lines, got, tt.want)
		}
	}
	if (Header{{"A", "websoc\u212aet"}}).HasToken("A", "websocket") {
		t.Error("the Kelvin sign passes for a k")
	}
	if (Header{{"A", "@"}}).HasToken("A", "`") {
		t.Error("0x40 passes for 0x60")
	}
}

func TestHeaderChanges(t *testing.T) {
	var h Header
	h.Set("A", "1")
	h.Add("b", "2")
	h.Add("a", "3")
	h.Add("B", "4")
	h.Add("c", "5")
	h.Set("B", "6")
	if want := (Header{{"A", "1"}, {"b", "6"}, {"a", "3"}, {"c", "5"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("after Set: %q, want %q", h, want)
	}
	h.Del("A")
	h.Del("none")
	if want := (Header{{"b", "6"}, {"c", "5"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("after Del: %q, want %q", h, want)
	}
}

func TestCheck(t *testing.T) {
	ok := Request{Method: "GET", Target: "/", Header: Header{{"X_Y!#$", "a\tb \xff"}}}
	with := func(change func(r *Request)) Request { r := ok; change(&r); return r }
	for _, tt := range []struct {
		name string
		r    Request
		err  error
		head string
	}{
		{"fine", ok, nil, "GET / HTTP/1.1\r\nX_Y!#$: a\tb \xff\r\n\r\n"},
		{"request line in the method", with(func(r *Request) { r.Method = "GET /x HTTP/1.1\r\n" }), ErrRequestLine, "GET /x HTTP/1.1   / HTTP/1.1\r\nX_Y!#$: a\tb \xff\r\n\r\n"},
		{"no target", with(func(r *Request) { r.Target = "" }), ErrTarget, "GET  HTTP/1.1\r\nX_Y!#$: a\tb \xff\r\n\r\n"},
		{"line end in the target", with(func(r *Request) { r.Target = "/\r\nA:b" }), ErrTarget, "GET /  A:b HTTP/1.1\r\nX_Y!#$: a\tb \xff\r\n\r\n"},
		{"line end in a value", with(func(r *Request) { r.Header = Header{{"A", "b\r\nX: y\x00"}} }), ErrField, "GET / HTTP/1.1\r\nA: b  X: y \r\n\r\n"},
		{"line end in a name", with(func(r *Request) { r.Header = Header{{"A\n", "b"}, {"", ""}, {"B", ""}} }), ErrField, "GET / HTTP/1.1\r\nB:\r\n\r\n"},
		{"colon in a name", with(func(r *Request) { r.Header = Header{{"A:", "b"}} }), ErrField, "GET / HTTP/1.1\r\n\r\n"},
	} {
		if err := tt.r.Check(); !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: Check = %v, want %v", tt.name, err, tt.err)
		}
		if got := string(tt.r.AppendHead(nil)); got != tt.head {
			t.Errorf("%s: AppendHead = %q, want %q", tt.name, got, tt.head)
		}
	}
}

func TestResponseHead(t *testing.T) {
	for _, tt := range []struct {
		r    Response
		want string
	}{
		{Response{Status: 101, Header: Header{{"Upgrade", "websocket"}}}, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"},
		{Response{Status: 200, Reason: "Fine\nSet-Cookie: x"}, "HTTP/1.1 200 Fine Set-Cookie: x\r\n\r\n"},
		{Response{Status: 999}, "HTTP/1.1 999 \r\n\r\n"},
	} {
		if got := string(tt.r.AppendHead(nil)); got != tt.want {
			t.Errorf("AppendHead = %q, want %q", got, tt.want)
		}
	}
}

// TestHeldLength: a body that is a string or bytes in memory has a length, both ways.
func TestHeldLength(t *testing.T) {
	text := "tea, please"
	for name, body := range map[string]func() io.Reader{
		"string": func() io.Reader { return strings.NewReader(text) }, "bytes": func() io.Reader { return bytes.NewReader([]byte(text)) },
		"buffer": func() io.Reader { return bytes.NewBufferString(text) }, "no more of it": func() io.Reader { return strings.NewReader("") },
	} {
		s := &Server{Handler: func(x *Exchange) {
			io.Copy(io.Discard, x.Request.Body)
			x.Send(&Response{Status: 200, Header: Fields("Length", fmt.Sprint(x.Request.ContentLength)), Body: body()})
		}}
		c := &Client{Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go s.ServeConn(server)
			return client, nil
		}}
		want, _ := heldLength(body())
		a, err := c.Do(t.Context(), "http://h/", &Request{Method: "POST", Body: body()})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if a.ContentLength != want || a.Header.Get("Length") != fmt.Sprint(want) {
			t.Errorf("%s: the answer has %d bytes, the request had %s; want %d", name, a.ContentLength, a.Header.Get("Length"), want)
		}
		a.Close()
		c.CloseIdle()
		s.Close()
	}
	defer func() {
		if recover() == nil {
			t.Error("Fields takes a name without a value")
		}
	}()
	Fields(strings.Fields("Host")...)
}
