package dial

import (
	"encoding/base64"
	"io"
	"net"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/wsproto"
)

func TestClientWS(t *testing.T) {
	var fs cli.Flags
	w := AddWebSocket(&fs)
	_, err := fs.Parse([]string{"-HHost: v.example", "-H", "X-Empty;", "-H", "Cookie:a=b", "-subprotocol", "a,b", "-u", "me:pw:x", "-origin", "http://o", "-xL"})
	want := httpmini.Header{
		{Name: "Host", Value: "v.example"}, {Name: "X-Empty"}, {Name: "Cookie", Value: "a=b"},
		{Name: "Authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte("me:pw:x"))},
	}
	if err != nil || !reflect.DeepEqual(w.Header, want) || !reflect.DeepEqual(w.Subprotocols, []string{"a", "b"}) ||
		w.Origin != "http://o" || !w.NoCompression || !w.Follow || w.Dialer == nil {
		t.Errorf("%+v, %v", w, err)
	}
}

// TestCloseIsNoData: the Close frame by which we end, or answer, lies with the system for a
// while like what was to be delivered, and is none of it.
func TestCloseIsNoData(t *testing.T) {
	for _, tt := range []struct {
		frame string // of the peer
		want  int64  // bytes of ours
	}{
		{"\x88\x08\x03\xe8bad: 0", 2 + 4 + 2 + 6},
		{"\x88\x02\x03\xe8", 2 + 4 + 2},
		{"\x88\x00", 2 + 4},
	} {
		ours, theirs := net.Pipe()
		m := newMeter(ours, controlMax)
		l := &WSLink{Conn: wsproto.NewConn(m, nil, wsproto.RoleClient, wsproto.Agreement{}, wsproto.Config{})}
		answer := make(chan []byte, 1)
		go func() {
			io.WriteString(theirs, tt.frame)
			b := make([]byte, 200)
			n, _ := theirs.Read(b)
			answer <- b[:n]
		}()
		if _, err := l.Receive(); !cli.As[*wsproto.CloseError](err) {
			t.Errorf("after %q: %v", tt.frame, err)
		}
		if b := <-answer; int64(len(b)) != tt.want || m.end.Load() != tt.want {
			t.Errorf("%q is answered by %x, and %d bytes are taken for the end; want %d", tt.frame, b, m.end.Load(), tt.want)
		}
		ours.Close()
		theirs.Close()
	}
}

// TestCloseOnUnix: it is none there either, where the system counts memory; what lies before
// it is data.
func TestCloseOnUnix(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says what lies with a Unix socket")
	}
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Skip(err)
	}
	defer ln.Close()
	for _, data := range []string{"", "x"} {
		ours, err := net.Dial("unix", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		theirs, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		m := newMeter(ours, controlMax)
		l := &WSLink{Conn: wsproto.NewConn(m, nil, wsproto.RoleClient, wsproto.Agreement{}, wsproto.Config{})}
		if data != "" {
			l.Send(wsproto.Message{Opcode: wsproto.OpText, Data: []byte(data)})
		}
		if err := l.Finish(wsproto.StatusNormalClosure, "done"); err != nil {
			t.Error(err)
		}
		l.Flush() // it is written when this returns
		if _, held, _ := m.look(false); (held > 0) != (data != "") {
			t.Errorf("%q and our Close frame are not read: %d bytes are held", data, held)
		}
	}
}
