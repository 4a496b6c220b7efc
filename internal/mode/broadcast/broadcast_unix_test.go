//go:build unix

package broadcast

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"socketsrv/internal/kit"
	"socketsrv/wsproto"
)

// TestBroadcastReport: figures when the system's signal asks for them, also with -q.
func TestBroadcastReport(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-json", "-q", "-no-announce")
	addr := p.Stdout.WaitFor(t, `"event":"listening","proto":"ws","addr":"([^"]+)"`)[1]
	c, _, err := wsproto.Dial(t.Context(), "ws://"+addr+"/room", wsproto.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.WriteMessage(wsproto.OpText, []byte("hi"))
	c.SetReadDeadline(time.Now().Add(kit.Patience))
	c.ReadMessage()
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	p.Stdout.WaitFor(t, `"event":"summary"`)
	c.Close(4321, "grüße")
	p.Stdout.WaitFor(t, `"event":"close"`)
	p.Stop()
	want := []string{"listening", "open /room", "message text hi", "summary", "close 4321 grüße", "summary"}
	var got []string
	for line := range strings.Lines(p.Stdout.String()) {
		var ev struct {
			Event, ID, Opcode, Text, Path, Reason string
			Code, Messages                        int
		}
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if matched, _ := regexp.MatchString("^"+uuidPattern+"$", ev.ID); !matched && ev.Event != "listening" && ev.Event != "summary" {
			t.Errorf("event %s has the id %q", ev.Event, ev.ID)
		}
		if ev.Event == "summary" && ev.Messages != 1 {
			t.Errorf("the summary has %d messages, want 1", ev.Messages)
		}
		code := ""
		if ev.Code != 0 {
			code = fmt.Sprint(ev.Code)
		}
		got = append(got, strings.Join(strings.Fields(strings.Join([]string{ev.Event, ev.Path, ev.Opcode, ev.Text, code, ev.Reason}, " ")), " "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// TestBroadcastUnixgram: datagrams over a Unix socket, whose clients have names.
func TestBroadcastUnixgram(t *testing.T) {
	dir, err := os.MkdirTemp("", "b") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	p := kit.Background(t, Mode, "-port", "0", "-udp-addr", "unix:"+dir+"/s", "-udp-port", "0", "-no-announce")
	ws := kit.Joins(t, p, "/", wsproto.DialOptions{})
	p.Stderr.WaitFor(t, `\[CONNECTION\]`)
	c, err := net.DialUnix("unixgram", &net.UnixAddr{Name: dir + "/c", Net: "unixgram"}, &net.UnixAddr{Name: dir + "/s", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(kit.Patience))
	io.WriteString(c, "hi")
	ws.Hears("text hi")
	ws.Says("hello to you")
	buf := make([]byte, 100)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "hello to you\n" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

// TestBroadcastUnixStreams: clients of a Unix socket are called what they are, and have
// no address.
func TestBroadcastUnixStreams(t *testing.T) {
	dir, err := os.MkdirTemp("", "b")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	p := kit.Background(t, Mode, "-ws-addr", "unix:"+dir+"/w", "-tcp-addr", "unix:"+dir+"/t", "-tcp-port", "0", "-no-announce", "-json")
	p.Stdout.WaitFor(t, `"listening","proto":"ws"`)
	c, err := net.Dial("unix", dir+"/t")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.Stdout.WaitFor(t, `"event":"open","proto":"unix","id":"[^"]*"}`)
	ws, _, err := wsproto.Dial(t.Context(), "ws+unix:"+dir+"/w", wsproto.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Stdout.WaitFor(t, `"event":"open","proto":"ws","id":"[^"]*","path":"/"`)
	ws.Close(wsproto.StatusNormalClosure, "")
}
