package chat

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/wire"
	"socketsrv/wsproto"
)

func TestMain(m *testing.M) { os.Exit(kit.Main(m, Mode)) }

const (
	bobPDU     = "text 686920c3a9207468657265\nuser 626f62\n"
	bobMsgpack = "\x82\xa4text\xabhi é there\xa4user\xa3bob"
)

func TestAppendSaid(t *testing.T) {
	said := func(user, text string) string {
		return string(wire.AppendChat(nil, wire.PDU, wire.Chat{User: user, Text: text}))
	}
	plain := event.Style{MaxShow: 100}
	for _, tt := range []struct {
		name  string
		op    wsproto.Opcode
		data  string
		style event.Style
		want  string
	}{
		{"pdu", wsproto.OpBinary, bobPDU, plain, "bob(40 bytes) > hi é there\n"},
		{"pdu as text", wsproto.OpText, bobPDU, plain, "bob(40 bytes) > hi é there\n"},
		{"msgpack", wsproto.OpBinary, bobMsgpack, plain, "bob(27 bytes) > hi é there\n"},
		{"a server's announcement", wsproto.OpText, "3f2a connected", plain, "* 3f2a connected\n"},
		{"an escape sequence", wsproto.OpText, "\x1b[2J", plain, "* \\x1b[2J\n"},
		{"no chat message", wsproto.OpBinary, "\x00\xff", plain, "? 2 bytes that are no chat message: \\x00\\xff\n"},
		{"half a map", wsproto.OpBinary, bobMsgpack[:11], plain, "? 11 bytes that are no chat message: \\x82\\xa4text\\xabhi \\xc3\n"},
		{"another message of ws", wsproto.OpBinary, "ack 74727565\n", plain, "? 13 bytes that are no chat message: ack 74727565\\n\n"},
		{"a name that clears the screen", wsproto.OpBinary, said("\x1b[2J", "x"), plain, "\\x1b[2J(22 bytes) > x\n"},
		{"a name of two lines", wsproto.OpBinary, said("a\nb", "x\ny"), plain, "a\\nb(24 bytes) > x\\ny\n"},
		{"no name", wsproto.OpBinary, said("", ""), plain, "?(12 bytes) > \n"},
		{"a long name", wsproto.OpBinary, said(strings.Repeat("ä", 10<<10), "x"), plain, strings.Repeat("ä", 32) + "…(40974 bytes) > x\n"},
		{"a long text", wsproto.OpBinary, said("bob", strings.Repeat("x", 110)), plain, "bob(238 bytes) > " + strings.Repeat("x", 100) + "…(+10)\n"},
		{"a long text, all of it", wsproto.OpBinary, said("bob", strings.Repeat("x", 110)), event.Style{MaxShow: -1}, "bob(238 bytes) > " + strings.Repeat("x", 110) + "\n"},
		{"raw", wsproto.OpBinary, said("b\x1b", "\x1b[1mx"), event.Style{Raw: true, MaxShow: 1}, "b\x1b(26 bytes) > \x1b[1mx\n"},
		{"colour", wsproto.OpBinary, bobPDU, event.Style{Color: true, MaxShow: -1}, "\x1b[36mbob\x1b[0m(40 bytes) > hi é there\n"},
	} {
		if got := appendSaid(nil, wsproto.Message{Opcode: tt.op, Data: []byte(tt.data)}, tt.style); string(got) != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestChatUsage(t *testing.T) {
	for _, tt := range []struct{ url, user, want string }{
		{"localhost:1", "", "want 1 to 32 characters"},
		{"localhost:1", strings.Repeat("x", 33), "want 1 to 32 characters"},
		{"localhost:1", "\x1b[2J", "want printable characters"},
		{"localhost:1", " bob", "want printable characters"},
		{"localhost:1", "Server", "nobody is called Server"},
		{"tcp://localhost:1", "bob", "want a ws or wss URL"},
	} {
		p := kit.Background(t, Mode, tt.url, tt.user)
		if code := p.Wait(); code != cli.ExitUsage || !strings.Contains(p.Stderr.String(), tt.want) {
			t.Errorf("-chat %q %q: exit %d, %q; want 2, %q", tt.url, tt.user, code, p.Stderr, tt.want)
		}
	}
}

// TestChat: two of them over a broadcast server, in both formats.
func TestChat(t *testing.T) {
	m := broadcast.Mode
	m.Name = m.Aliases[0].Name
	server := kit.Background(t, m, "-port", "0")
	url := "ws://" + server.Addr("ws")
	eve := kit.Joins(t, server, "/", wsproto.DialOptions{})
	bob := kit.Background(t, Mode, url, "bob", "-linger", "1h")
	alice := kit.Background(t, Mode, url, "alice", "-wire", "msgpack", "-linger", "10ms")
	server.Stderr.WaitFor(t, `(?s)(CONNECTION.*){3}`)
	io.WriteString(bob.Stdin, "hi é there\n")
	alice.Stdout.WaitFor(t, `^bob\(40 bytes\) > hi é there\n`)
	eve.Hears("binary " + bobPDU)
	io.WriteString(alice.Stdin, "to you, too\r\nnot \xff UTF-8\n")
	bob.Stdout.WaitFor(t, `^alice\(29 bytes\) > to you, too\n`)
	eve.Hears("binary \x82\xa4text\xabto you, too\xa4user\xa5alice")
	alice.Stderr.WaitFor(t, "not sent: not UTF-8")
	eve.WriteMessage(wsproto.OpBinary, []byte("what?"))
	alice.Stdout.WaitFor(t, `\n\? 5 bytes that are no chat message: what\?\n`)
	alice.Stdin.Close()
	if code := alice.Wait(); code != 0 {
		t.Errorf("at the end of its input, alice exits with %d, want 0", code)
	}
	if code := bob.Stop(); code != 128+15 {
		t.Errorf("after SIGTERM, bob exits with %d, want 143", code)
	}
}

// TestChatFormat: an answer is in the format last heard, unless -wire says which.
func TestChatFormat(t *testing.T) {
	hi := func(f wire.Format) string { return string(wire.AppendChat(nil, f, wire.Chat{User: "me", Text: "hi"})) }
	for _, tt := range []struct {
		args, hears string
		want        wire.Format
	}{
		{"", bobMsgpack, wire.Msgpack}, {"", bobPDU, wire.PDU}, {"", "what?", wire.PDU},
		{"-wire pdu", bobMsgpack, wire.PDU}, {"-wire msgpack", bobPDU, wire.Msgpack},
	} {
		k := kit.NewTalker(t, "127.0.0.1:0")
		p := kit.Background(t, Mode, append([]string{k.URL(), "me", "-linger", "1h"}, strings.Fields(tt.args)...)...)
		c := k.Client()
		c.WriteMessage(wsproto.OpBinary, []byte(tt.hears))
		p.Stdout.WaitFor(t, `\n`)
		io.WriteString(p.Stdin, "hi\n")
		k.Wants("binary " + hi(tt.want))
		p.Stop()
	}
}

// TestChatJSON: the message as it is, and what it says.
func TestChatJSON(t *testing.T) {
	k := kit.NewTalker(t, "127.0.0.1:0")
	p := kit.Background(t, Mode, k.URL(), "me", "-json", "-d", "-wire", "pdu", "-linger", "1h")
	c := k.Client()
	c.WriteMessage(wsproto.OpBinary, []byte(bobMsgpack))
	p.Stdout.WaitFor(t, `"event":"message"`)
	io.WriteString(p.Stdin, "x\n")
	k.Wants("binary text 78\nuser 6d65\n")
	c.Close(wsproto.StatusTryAgainLater, "too slow")
	if code := p.Wait(); code != cli.ExitPeerClosed {
		t.Errorf("exit %d, want %d", code, cli.ExitPeerClosed)
	}
	if p.Stderr.String() != "" {
		t.Errorf("with -json words are said: %q", p.Stderr)
	}
	var got []string
	for line := range strings.Lines(p.Stdout.String()) {
		var ev struct {
			Event, Dir, Base64, Wire, User, Says, Reason string
			Size, Code                                   int
		}
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got = append(got, strings.TrimSpace(fmt.Sprint(ev.Event, " ", ev.Dir, " ", ev.Wire, " ", ev.User, " ", ev.Says, " ", ev.Size, ev.Code, " ", ev.Reason)))
	}
	want := []string{"open out    0 0", "message in msgpack bob hi é there 27 0", "message out pdu me x 18 0", "close     0 1013 too slow", "error     0 0"}
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// TestChatReconnects: what comes in by a pipe waits for the next connection.
func TestChatReconnects(t *testing.T) {
	k := kit.NewTalker(t, "127.0.0.1:0")
	address := k.Ln.Addr().String()
	p := kit.Background(t, Mode, "ws://"+address, "me", "-max-wait", "100ms", "-linger", "10ms")
	k.Client()
	io.WriteString(p.Stdin, "one\n")
	k.Wants("binary text 6f6e65\nuser 6d65\n")
	k.Stop()
	p.Stderr.WaitFor(t, `(?s)connection closed: code 1006.*connecting again in .*refused`)
	io.WriteString(p.Stdin, "two\nthree\n")
	k = kit.NewTalker(t, address)
	if k.Ln.Addr().String() != address {
		t.Skip("somebody else listens there now")
	}
	k.Wants("binary text 74776f\nuser 6d65\n")
	k.Wants("binary text 7468726565\nuser 6d65\n")
	p.Stdin.Close()
	k.Wants("close 1000 ")
	if code := p.Wait(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
}

// TestChatEndOffline: the end of the input while there is no connection.
func TestChatEndOffline(t *testing.T) {
	k := kit.NewTalker(t, "127.0.0.1:0")
	p := kit.Background(t, Mode, k.URL(), "me", "-linger", "10ms")
	k.Client()
	k.Stop()
	p.Stderr.WaitFor(t, "refused")
	p.Stdin.Close()
	if code := p.Wait(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	p = kit.Background(t, Mode, k.URL(), "me")
	if code := p.Wait(); code != cli.ExitConnect {
		t.Errorf("without a server: exit %d, want %d", code, cli.ExitConnect)
	}
}

// TestChatPrompt: with a person.
func TestChatPrompt(t *testing.T) {
	term, k := kit.NewTerminal(t), kit.NewTalker(t, "127.0.0.1:0")
	k.Screen = term
	term.Run("-chat", k.URL(), "alice", "-max-wait", "100ms")
	c := k.Client()
	term.Shows(`^alice >$`)
	term.Types("half")
	term.Shows(`^alice > half$`)
	c.WriteMessage(wsproto.OpBinary, []byte(bobPDU))
	term.Shows(`^bob\(40 bytes\) > hi é there\nalice > half$`)
	term.Keys("Enter")
	k.Wants("binary text 68616c66\nuser 616c696365\n")
	address := k.Ln.Addr().String()
	k.Stop()
	term.Shows(`^\(not connected\) alice >$`)
	term.Types("lost")
	term.Keys("Enter")
	term.Shows(`^socketsrv: not sent: not connected$`)
	if k = kit.NewTalker(t, address); k.Ln.Addr().String() != address {
		t.Skip("somebody else listens there now")
	}
	k.Client()
	term.Shows(`^alice >$`)
	term.Keys("C-d")
	k.Wants("close 1000 ")
	term.Shows(`^exit 0`)
}
