package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/wire"
	"socketsrv/wsproto"
)

// An other is all the other clients of a relay, as the program under test sees them.
type other struct {
	t    *testing.T
	conn *wsproto.Conn
	in   chan wsproto.Message // closed when the program has left
	k    code
}

// against runs a command line whose server is talk, by a clock that waits for nobody.
func against(t *testing.T, m cli.Mode, talk func(o *other), args ...string) (r kit.Ran) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		serve := kit.WSPeer(func(c *wsproto.Conn) {
			o := &other{t: t, conn: c, in: make(chan wsproto.Message, 1<<12)}
			go func() {
				defer close(o.in)
				for {
					msg, err := c.ReadMessage()
					if err != nil {
						return
					}
					o.in <- wsproto.Message{Opcode: msg.Opcode, Data: bytes.Clone(msg.Data)}
				}
			}()
			talk(o)
			for range o.in { // until the program leaves
			}
		})
		var stdout, stderr bytes.Buffer
		env := kit.PipeEnv(func(nc net.Conn) { serve(nc) }, nil, &stdout, &stderr)
		start := time.Now()
		code := cli.Table{m}.Run(t.Context(), append([]string{"socketsrv", "-" + m.Name}, args...), env)
		r = kit.Ran{Code: code, Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(start)}
		time.Sleep(time.Hour) // until the other end has finished, too
	})
	return r
}

func (o *other) say(c control) { o.conn.WriteMessage(wsproto.OpText, o.k.append(nil, c)) }

func (o *other) chunk(stream string, offset int64, data []byte) {
	b := make([]byte, chunkHead)
	var id fileID
	parseID(&id, stream)
	putChunkHead(b, id, offset)
	o.conn.WriteMessage(wsproto.OpBinary, append(b, data...))
}

// hear returns the next control message of a kind.
func (o *other) hear(kind string) control {
	late := time.After(2 * time.Minute)
	for {
		select {
		case m, ok := <-o.in:
			if !ok {
				o.t.Errorf("the program left before it said %s", kind)
				return control{}
			}
			if c, err := o.k.parse(m.Data); err == nil && c.kind == kind {
				return c
			}
		case <-late:
			o.t.Errorf("the program does not say %s", kind)
			return control{}
		}
	}
}

// send is an honest sender of content, which says mischief between the chunks.
func (o *other) send(name string, content []byte, mischief func(receiver string)) {
	o.offer(name, int64(len(content)))
	a := o.hear("accept")
	o.say(control{kind: "start", id: testID, stream: testBatch, offset: a.offset, window: 4 << 20})
	for at := a.offset; at < int64(len(content)); at += chunkSize {
		o.chunk(testBatch, at, content[at:min(at+chunkSize, int64(len(content)))])
		mischief(a.receiver)
	}
	o.confirm(name, content, a.receiver)
	o.hear("saved")
	o.say(control{kind: "over", id: testID})
}

func (o *other) offer(name string, size int64) {
	o.say(control{kind: "offer", id: testID, batch: testBatch, file: 1, files: 1, name: name, size: size})
}

// confirm says that content is all, and what it is.
func (o *other) confirm(name string, content []byte, receiver string) {
	o.say(control{kind: "done", id: testID, stream: testBatch, name: name, size: int64(len(content))})
	if have := o.hear("have"); have.proof != have.proofOf(sumOf(content)) {
		o.t.Errorf("the receiver has something else: %+v", have)
	}
	o.say(proven(control{kind: "confirm", id: testID, receiver: receiver}, content))
}

// proven is c with the proof that content is known.
func proven(c control, content []byte) control {
	c.proof = c.proofOf(sumOf(content))
	return c
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestReceiveMischief has messages that are valid and come when they should not. What
// an honest sender sends arrives for all of them.
func TestReceiveMischief(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	for name, mischief := range map[string]func(o *other, receiver string){
		"reset in the stream": func(o *other, receiver string) {
			o.say(control{kind: "reset", id: testID, receiver: receiver})
		},
		"a foreign file of ws": func(o *other, receiver string) {
			o.conn.WriteMessage(wsproto.OpBinary, wire.AppendFile(nil, wire.PDU, wire.File{Name: "foreign", Content: []byte("abc")}))
			time.Sleep(3 * time.Second)
		},
		"a file of ws of the same name": func(o *other, receiver string) {
			o.conn.WriteMessage(wsproto.OpBinary, wire.AppendFile(nil, wire.PDU, wire.File{Name: "x", Content: []byte("abc")}))
		},
		"another file of the batch that is aborted": func(o *other, receiver string) {
			other := fileID{7}
			o.say(control{kind: "offer", id: other, batch: testBatch, file: 1, files: 1, name: "other", size: 1})
			o.say(control{kind: "abort", id: other, reason: "mischief"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			once := true
			r := against(t, Receive, func(o *other) {
				o.send("x", content, func(receiver string) {
					if once {
						mischief(o, receiver)
					}
					once = false
				})
			}, "-overwrite", "ws://relay/", dir)
			os.Remove(filepath.Join(dir, "foreign"))
			if strings.Count(r.Stderr, "received x") != 1 {
				t.Errorf("the receiver ends with %d: %s", r.Code, r.Stderr)
			}
			wantFile(t, dir, "x", content)
		})
	}
}

// TestReceiveWhileReading has what can end a file come while its part is read.
func TestReceiveWhileReading(t *testing.T) {
	t.Parallel()
	for name, mischief := range map[string]func(o *other){
		"abort": func(o *other) { o.say(control{kind: "abort", id: testID, reason: "interrupted"}) },
		"reset": func(o *other) {
			o.say(control{kind: "reset", id: testID, receiver: testBatch})
			o.say(control{kind: "abort", id: testID, reason: "interrupted"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			part := filepath.Join(dir, ".x.AAAAAAAA.part")
			if err := os.WriteFile(part, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			os.Truncate(part, 64<<20)
			r := against(t, Receive, func(o *other) {
				o.offer("x", 65<<20)
				mischief(o)
			}, "-resume", "ws://relay/", dir)
			if r.Code != cli.ExitFailure || !strings.Contains(r.Stderr, "interrupted") {
				t.Errorf("the receiver ends with %d: %s", r.Code, r.Stderr)
			}
			if left := filesIn(t, dir, ".x."); len(left) != 1 {
				t.Errorf("there is left %q, want the part", left)
			}
		})
	}
}

// TestReceiveWhileSaving resets a file that is being saved.
func TestReceiveWhileSaving(t *testing.T) {
	content := bytes.Repeat([]byte("x"), chunkSize)
	dir := t.TempDir()
	r := against(t, Receive, func(o *other) {
		o.offer("x", int64(len(content)))
		a := o.hear("accept")
		o.say(control{kind: "start", id: testID, stream: testBatch, window: 4 << 20})
		o.chunk(testBatch, 0, content)
		o.confirm("x", content, a.receiver)
		o.say(control{kind: "reset", id: testID, receiver: a.receiver})
		o.say(control{kind: "abort", id: testID, reason: "interrupted"})
	}, "ws://relay/", dir)
	if r.Code != cli.ExitOK {
		t.Errorf("the receiver ends with %d: %s", r.Code, r.Stderr)
	}
	wantFile(t, dir, "x", content)
}

// accept is a receiver that takes what comes and says what it is told to.
func (o *other) accept(receiver string) (id fileID) {
	c := o.hear("offer")
	o.say(proven(control{kind: "accept", id: c.id, receiver: receiver}, nil))
	return c.id
}

// TestSendForged has clients that have seen no more than what is said, and say that
// they have the file. The sender then waits for who accepted, who has no more to say.
func TestSendForged(t *testing.T) {
	path, content := fileOf(t, "x", 100_000)
	for name, forge := range map[string]func(o *other, id fileID){
		"saved at once": func(o *other, id fileID) {
			o.say(control{kind: "saved", id: id, receiver: testBatch, proof: sumOf(nil)})
		},
		"saved without have": func(o *other, id fileID) {
			o.hear("done")
			o.say(proven(control{kind: "saved", id: id, receiver: testBatch}, content))
		},
		"another's have": func(o *other, id fileID) {
			o.hear("done")
			o.say(proven(control{kind: "have", id: id, receiver: testSum[:16]}, content))
			o.say(control{kind: "have", id: id, receiver: testBatch, proof: proven(control{kind: "have", id: id, receiver: testSum[:16]}, content).proof})
			o.say(proven(control{kind: "saved", id: id, receiver: testBatch}, content))
		},
		"what the sender says": func(o *other, id fileID) {
			o.hear("done")
			o.say(proven(control{kind: "have", id: id, receiver: testBatch}, content))
			confirm := o.hear("confirm")
			o.say(control{kind: "saved", id: id, receiver: testBatch, proof: confirm.proof})
		},
	} {
		r := against(t, Send, func(o *other) { forge(o, o.accept(testBatch)) }, "ws://relay/", path)
		if r.Code == cli.ExitOK {
			t.Errorf("%s: the sender ends with 0, and nobody has the file: %s", name, r.Stderr)
		}
	}
}

// TestSendToRestless has a receiver that accepts anew five times a second.
func TestSendToRestless(t *testing.T) {
	path, _ := fileOf(t, "x", 3<<20)
	r := against(t, Send, func(o *other) {
		id := o.accept(testBatch)
		stop := time.After(time.Hour)
		for tick := time.NewTicker(200 * time.Millisecond); ; {
			select {
			case <-tick.C:
				o.say(proven(control{kind: "accept", id: id, receiver: testBatch}, nil))
			case _, ok := <-o.in:
				if !ok {
					return
				}
			case <-stop:
				o.t.Error("the sender goes on for ever")
				return
			}
		}
	}, "-window", "64k", "ws://relay/", path)
	if r.Code != cli.ExitFailure || r.Took > time.Minute {
		t.Errorf("the sender ends with %d after %v: %s", r.Code, r.Took, r.Stderr)
	}
}

// TestReceiveCode has others on the relay: without the code, with another one, and
// one that says again what was said.
func TestReceiveCode(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	key, err := newCode("tangerine")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := against(t, Receive, func(o *other) {
		o.offer("y", 1)
		o.conn.WriteMessage(wsproto.OpBinary, wire.AppendFile(nil, wire.PDU, wire.File{Name: "z", Content: []byte("abc")}))
		o.k = key
		o.send("x", content, func(receiver string) {
			for _, k := range []code{{}, {key: []byte("another"), seq: 1000}, {key: key.key, seq: 1}} {
				again := other{t, o.conn, o.in, k}
				again.say(control{kind: "start", id: testID, stream: testBatch, window: 4 << 20})
				again.k = k
				again.say(control{kind: "abort", id: testID, reason: "mischief"})
			}
		})
	}, "-code", "tangerine", "ws://relay/", dir)
	if r.Code != cli.ExitOK || !strings.Contains(r.Stderr, "a -code that the other has not") {
		t.Errorf("the receiver ends with %d: %s", r.Code, r.Stderr)
	}
	wantFile(t, dir, "x", content)
	if names := filesIn(t, dir, ""); len(names) != 1 {
		t.Errorf("there is %q, want x alone", names)
	}
}

// TestSendCode has a receiver without the code, and one with it.
func TestSendCode(t *testing.T) {
	url := relay(t)
	path, content := fileOf(t, "x", 300_000)
	deaf, nothing := receiver(t, url)
	r, dir := receiver(t, url, "-code", "tangerine")
	kit.Background(t, Send, "-code", "tangerine", url, path).WantEnd(cli.ExitOK, "sent x: .* 1 receiver,")
	r.WantEnd(cli.ExitOK, "received x")
	wantFile(t, dir, "x", content)
	deaf.Stderr.WaitFor(t, "one end has a -code that the other has not")
	if names := filesIn(t, nothing, ""); len(names) > 0 {
		t.Errorf("a receiver without the code has %q", names)
	}
	kit.Background(t, Send, "-code", "x", "-wire", "pdu", url, path).WantEnd(cli.ExitUsage, "-code is for our format")
}

// TestSendToSilent has a receiver of which nothing is heard any more.
func TestSendToSilent(t *testing.T) {
	path, _ := fileOf(t, "x", 3)
	r := against(t, Send, func(o *other) { o.accept(testBatch) }, "-timeout", "5s", "ws://relay/", path)
	if r.Code != cli.ExitFailure || r.Took < 5*time.Second || r.Took > 10*time.Second || !strings.Contains(r.Stderr, "nothing heard for 5s") {
		t.Errorf("the sender ends with %d after %v: %s", r.Code, r.Took, r.Stderr)
	}
}

// TestSendToToolAtOnce has a receiver that answers as ws receive does to what it
// cannot read.
func TestSendToToolAtOnce(t *testing.T) {
	path, _ := fileOf(t, "x", 3)
	for _, format := range []wire.Format{wire.PDU, wire.Msgpack} {
		r := against(t, Send, func(o *other) {
			o.hear("offer")
			o.conn.WriteMessage(wsproto.OpBinary, wire.AppendAnswer(nil, format, wire.Answer{Err: "ws_receive: Invalid pdu"}))
		}, "ws://relay/", path)
		if r.Code != cli.ExitFailure || r.Took > 10*time.Second || !strings.Contains(r.Stderr, "-wire "+format.String()) {
			t.Errorf("the sender ends with %d after %v: %s", r.Code, r.Took, r.Stderr)
		}
	}
}

// TestNoPathsTold has a disk that fails: the other end is told of that, not of where.
func TestNoPathsTold(t *testing.T) {
	for _, err := range []error{
		&fs.PathError{Op: "openat", Path: "/home/me/secret", Err: syscall.ENOSPC},
		cli.Fail(cli.ExitWrite, fmt.Errorf("x: %w", &os.LinkError{Op: "linkat", Old: "/home/me/secret", New: "x", Err: syscall.ENOSPC})),
	} {
		if got := told(err); got != syscall.ENOSPC.Error() {
			t.Errorf("%v is told as %q", err, got)
		}
	}
	dir := t.TempDir()
	reason := ""
	against(t, Receive, func(o *other) {
		os.Remove(dir)
		o.offer("x", 1)
		reason = o.hear("refuse").reason
		o.conn.NetConn().Close()
	}, "-reconnect", "0", "ws://relay/", dir)
	if reason != syscall.ENOENT.Error() {
		t.Errorf("the sender is told %q", reason)
	}
}

// TestReceiveDelay pauses after each message.
func TestReceiveDelay(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 10*chunkSize)
	dir := t.TempDir()
	r := against(t, Receive, func(o *other) { o.send("x", content, func(string) {}) }, "-delay", "300", "ws://relay/", dir)
	if r.Code != cli.ExitOK || r.Took < 3*time.Second {
		t.Errorf("the receiver ends with %d after %v: %s", r.Code, r.Took, r.Stderr)
	}
	wantFile(t, dir, "x", content)
}

// A stuck record takes no line about a client until the gate opens.
type stuck struct {
	*cli.Record
	gate chan struct{}
}

func (s stuck) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("client ")) {
		<-s.gate
	}
	return s.Record.Write(b)
}

// TestRelayUnread has a relay whose status lines nobody reads.
func TestRelayUnread(t *testing.T) {
	stderr := stuck{cli.NewRecord(), make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		cli.Table{Transfer}.Run(ctx, []string{"socketsrv", "-transfer", "-port", "0"}, kit.ListenEnv(io.Discard, stderr))
	}()
	url := "ws://" + kit.Written{Record: stderr.Record}.WaitFor(t, `listening on ws (\S+)`)[1] + "/"
	path, content := fileOf(t, "x", 100_000)
	r, dir := receiver(t, url)
	kit.Background(t, Send, url, path).WantEnd(cli.ExitOK, "sent x")
	r.WantEnd(cli.ExitOK, "received x")
	wantFile(t, dir, "x", content)
	close(stderr.gate)
	stop()
	<-done
}
