package transfer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	wiremsg "socketsrv/internal/wire"
	"socketsrv/wsproto"
)

func TestTransferWire(t *testing.T) {
	t.Parallel()
	url := relay(t)
	for _, format := range []string{"pdu", "msgpack"} {
		var paths []string
		var contents [][]byte
		for i, size := range []int{0, 1, 100_000} {
			path, content := fileOf(t, "f"+string(rune('0'+i)), size)
			paths, contents = append(paths, path), append(contents, content)
		}
		r, dir := receiver(t, url, "-ack-delay", "0", "-keep") // else it only stays for a second after each
		kit.Background(t, Send, append([]string{"-wire", format, url}, paths...)...).WantEnd(cli.ExitOK, "(?s)sent f0.*sent f1.*sent f2")
		r.Running.Stop()
		r.WantEnd(cli.ExitSignal+15, "(?s)received f0.*received f1.*received f2")
		for i, content := range contents {
			wantFile(t, dir, filepath.Base(paths[i]), content)
		}
	}
}

// TestReceiveAnotherFromTool has a file come within the second after the answer to the
// one before.
func TestReceiveAnotherFromTool(t *testing.T) {
	dir := t.TempDir()
	r := against(t, Receive, func(o *other) {
		for _, name := range []string{"x", "y"} {
			o.conn.WriteMessage(wsproto.OpBinary, wiremsg.AppendFile(nil, wiremsg.PDU, wiremsg.File{Name: name, Content: []byte("abc")}))
			<-o.in
			time.Sleep(900 * time.Millisecond)
		}
	}, "ws://relay/", dir)
	if names := strings.Join(filesIn(t, dir, ""), " "); r.Code != cli.ExitOK || names != "x y" {
		t.Errorf("the receiver ends with %d, and there is %q: %s", r.Code, names, r.Stderr)
	}
}

// A toolClient is the ws tool at the other end.
type toolClient struct {
	t    *testing.T
	conn *wsproto.Conn
}

func dialTool(t *testing.T, url string) *toolClient {
	t.Helper()
	wait := joining(t, url)
	conn, _, err := wsproto.Dial(context.Background(), url, wsproto.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wait()
	t.Cleanup(func() { conn.NetConn().Close() })
	return &toolClient{t, conn}
}

// exchange sends a message and returns the next one that comes.
func (c *toolClient) exchange(op wsproto.Opcode, message string) string {
	c.t.Helper()
	if err := c.conn.WriteMessage(op, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
	m, err := c.conn.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	return string(m.Data)
}

// TestReceiveFromTool has the messages of ws send, byte for byte, and the answers
// of ws receive.
func TestReceiveFromTool(t *testing.T) {
	url := relay(t)
	r, dir := receiver(t, url, "-keep", "-ack-delay", "0", "-max-size", "50")
	c := dialTool(t, url)
	const id = "6161616161616161616161616161616161616161616161616161616161616161"
	pdu := func(content, hash, name string) string {
		return "content " + content + "\ndjb2_hash " + hash + "\nfilename " + name + "\nid " + id + "\nkind 73656e64\n"
	}
	const abc = "313933343835393633" // 193485963
	for _, tt := range []struct {
		op            wsproto.Opcode
		message, want string
	}{
		{wsproto.OpBinary, pdu("616263", abc, "746d702f78"), "ack 74727565\nfilename 746d702f78\nid " + id + "\n"}, // tmp/x
		{wsproto.OpText, pdu("616263", abc, "79"), "ack 74727565\nfilename 79\nid " + id + "\n"},
		{wsproto.OpBinary, pdu("616264", abc, "7a"), "id \nkind 6572726f72\nmessage 48617368206d69736d617463682e\n"},
	} {
		if got := c.exchange(tt.op, tt.message); got != tt.want {
			t.Errorf("the answer to %q is %q, want %q", tt.message, got, tt.want)
		}
	}
	for name, want := range map[string]string{
		"x": "exists", "a/..": "begins with", "": "empty", `a\b`: "separator", "nul": "device", "a/-x": "begins with", "x\x00": "control",
	} {
		message := wiremsg.AppendFile(nil, wiremsg.Msgpack, wiremsg.File{Name: name, Content: []byte("new"), ID: "1"})
		got := c.exchange(wsproto.OpBinary, string(message))
		m, format, err := wiremsg.Parse([]byte(got))
		answer, ok := m.Answer()
		if err != nil || !ok || format != wiremsg.Msgpack || !strings.Contains(answer.Err, want) {
			t.Errorf("the answer to a file called %q is %q, want one that says %q", name, got, want)
		}
	}
	message := wiremsg.AppendFile(nil, wiremsg.PDU, wiremsg.File{Name: "large", Content: make([]byte, 51)})
	if got := c.exchange(wsproto.OpBinary, string(message)); !strings.HasPrefix(got, "id \nkind 6572726f72\n") {
		t.Errorf("the answer to a file that is too large is %q", got)
	}
	r.Stop()
	if names := strings.Join(filesIn(t, dir, ""), " "); names != "x y" {
		t.Errorf("there is %q, want x and y", names)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "x")); string(got) != "abc" {
		t.Errorf("x holds %q", got)
	}
}

// TestReceiveIgnores has on the server what is not for a receiver, before, amid
// and after a transfer.
func TestReceiveIgnores(t *testing.T) {
	url := relay(t)
	r, dir := receiver(t, url)
	c := dialTool(t, url)
	noise := []string{"hello", "{}", `{"transfer":1}`, `{"transfer":2,"kind":"alive","id":"0011223344556677"}`, "sft1", "sft1" + strings.Repeat("x", 100),
		"text 6869\nuser 626f62\n", "ack 74727565\nfilename 79\nid 31\n", "\xff\xfe", strings.Repeat("\x84", 1000)}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		often := time.NewTicker(time.Millisecond) // not all the time: who is slow is let go by the relay
		defer often.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-often.C:
			}
			p := noise[i%len(noise)]
			c.conn.WriteMessage(wsproto.OpBinary, []byte(p))
			if p[0] < 0x80 {
				c.conn.WriteMessage(wsproto.OpText, []byte(p))
			}
		}
	}()
	path, content := fileOf(t, "x", 3_000_000)
	kit.Background(t, Send, url, path).WantEnd(cli.ExitOK, "sent x")
	close(stop)
	<-stopped
	r.WantEnd(cli.ExitOK, "received x")
	wantFile(t, dir, "x", content)
	if n := strings.Count(r.Stderr.String(), "ignored"); n > 2 {
		t.Errorf("%d lines about what was ignored: %s", n, r.Stderr)
	}
}

// TestSendToTool answers as ws receive does.
func TestSendToTool(t *testing.T) {
	t.Parallel()
	url := relay(t)
	path, _ := fileOf(t, "x", 3)
	big, _ := fileOf(t, "big", 200<<10)
	for _, tt := range []struct {
		answer  func(f wiremsg.File) wiremsg.Answer
		exit    int
		pattern string
	}{
		{func(f wiremsg.File) wiremsg.Answer { return wiremsg.Answer{ID: f.ID, Name: f.Name} }, cli.ExitOK, "sent x"},
		{func(f wiremsg.File) wiremsg.Answer { return wiremsg.Answer{Err: wiremsg.HashMismatch} }, cli.ExitFailure, "a receiver says: Hash mismatch"},
		{func(f wiremsg.File) wiremsg.Answer { return wiremsg.Answer{ID: "another", Name: f.Name} }, cli.ExitTimeout, "0 of 1 receivers"},
	} {
		c := dialTool(t, url)
		timeout := map[bool]string{true: "200ms", false: kit.Patience.String()}[tt.exit == cli.ExitTimeout]
		s := kit.Background(t, Send, "-wire", "pdu", "-timeout", timeout, url, path)
		m, err := c.conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		fields, _, _ := wiremsg.Parse(m.Data)
		f, ok := fields.File()
		if !ok || f.Name != "x" || len(f.ID) != 32 || !f.Intact() {
			t.Errorf("-send sends %q", m.Data)
		}
		c.conn.WriteMessage(wsproto.OpBinary, wiremsg.AppendAnswer(nil, wiremsg.PDU, tt.answer(f)))
		s.WantEnd(tt.exit, tt.pattern)
		c.conn.NetConn().Close()
	}
	kit.Background(t, Send, "-wire", "pdu", "-max-message", "300k", url, big).WantEnd(cli.ExitTooLarge, "big: as a message")
	kit.Background(t, Send, "-wire", "msgpack", "-max-message", "128k", url, big).WantEnd(cli.ExitTooLarge, "big: larger than")
}
