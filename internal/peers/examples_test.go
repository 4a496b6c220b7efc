package peers

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/kit"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// TestExamples builds the programs of doc/examples and uses them.
func TestExamples(t *testing.T) {
	t.Parallel()
	needGo(t)
	dir := t.TempDir()
	goTool(t, "../../doc/examples", "vet", "./...")
	goTool(t, "../../doc/examples", "build", "-o", dir+string(filepath.Separator), "./...")
	for name, use := range map[string]func(*testing.T, string){"chat": useChat, "device": useDevice} {
		t.Run(name, func(t *testing.T) { use(t, startExample(t, filepath.Join(dir, name))) })
	}
}

// startExample starts a program and returns the address it listens on.
func startExample(t *testing.T, path string) string {
	t.Helper()
	cmd := exec.Command(path, "-addr", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("%s says %q, %v", path, line, err)
	}
	return addr
}

// exampleDial connects to a server of WebSocket. A pong comes when the server has
// done what it does for a new client.
func exampleDial(t *testing.T, url string) *wsproto.Conn {
	t.Helper()
	joined, join := context.WithTimeout(t.Context(), kit.Patience)
	defer join()
	c, _, err := wsproto.Dial(t.Context(), url, wsproto.DialOptions{Config: wsproto.Config{OnPong: func([]byte) { join() }}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(wsproto.StatusNormalClosure, "") })
	c.Ping(nil)
	if _, err := c.ReadMessageContext(joined); err != context.Canceled {
		t.Fatalf("no pong: %v", err)
	}
	c.SetReadDeadline(time.Now().Add(kit.Patience))
	return c
}

// swap sends a message on one connection and wants it on another.
func swap(t *testing.T, from, to *wsproto.Conn, text string) {
	t.Helper()
	err := from.WriteMessage(wsproto.OpText, []byte(text))
	m, rerr := to.ReadMessage()
	if err != nil || rerr != nil || string(m.Data) != text {
		t.Errorf("%q came as %q, %v, %v", text, m.Data, err, rerr)
	}
}

func useChat(t *testing.T, addr string) {
	one, two := exampleDial(t, "ws://"+addr+"/a"), exampleDial(t, "ws://"+addr+"/a")
	other, another := exampleDial(t, "ws://"+addr+"/b"), exampleDial(t, "ws://"+addr+"/b")
	swap(t, one, two, "one")
	swap(t, other, another, "not for /a") // what /a does not hear
	swap(t, two, one, "two")
}

func useDevice(t *testing.T, addr string) {
	c, err := linesrv.Dial(t.Context(), addr, linesrv.ClientOptions{Timeout: kit.Patience})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ command, want string }{
		{"temp?", "20.0"}, {"set 21.5", "ok"}, {"temp?", "21.5"}, {"set 99", "error: want 5 to 30"}, {"what", "nak - unknown cmd"},
	} {
		if got, err := c.Request(tt.command, 1, 0); err != nil || got[0] != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.command, got, err, tt.want)
		}
	}
	if err := c.Disconnect(); err != nil {
		t.Error(err)
	}
}
