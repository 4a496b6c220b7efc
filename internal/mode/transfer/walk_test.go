package transfer

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/wire"
	"socketsrv/wsproto"
)

// Dice decide on the way of a walk; a walk ends with them.
type dice []byte

// roll returns a number below n, and 0 when there is no more to roll.
func (d *dice) roll(n int) int {
	if len(*d) == 0 {
		return 0
	}
	b := (*d)[0]
	*d = (*d)[1:]
	return int(b) % n
}

// pick is one of some things.
func pick[T any](d *dice, things ...T) T { return things[d.roll(len(things))] }

// walks runs walk with some hundred dice, the same ones each time. Some of them have
// to come to a good end.
func walks(t *testing.T, walk func(t *testing.T, d dice) (good bool)) {
	r, ends := rand.NewChaCha8([32]byte{11}), 0
	for i := range 200 {
		d := make(dice, 50+i*2)
		r.Read(d)
		before := bytes.Clone(d)
		if walk(t, d) {
			ends++
		}
		if t.Failed() {
			t.Fatalf("walk %d: %x", i, before)
		}
	}
	if ends < 20 {
		t.Errorf("of 200 walks %d came to a good end", ends)
	}
}

var walkPauses = []time.Duration{0, 100 * time.Millisecond, time.Second, 4 * time.Second, 31 * time.Second}

// walkContents are the files that a receiver is offered on a walk.
var walkContents = [][]byte{[]byte("abc"), bytes.Repeat([]byte("0123456789"), 600)}

const (
	walkChunk = 1000    // bytes
	walkPart  = 2 << 20 // what a receiver has of a file, which takes its time to be read
)

// A senderWalk says what senders can say, in any order; half of the time it says what
// comes next.
type senderWalk struct {
	*other
	d        *dice
	file     int // that is spoken of
	receiver string
	heard    string   // the last kind
	at       [2]int64 // where the next chunk of a file begins
}

// next is what comes next.
func (w *senderWalk) next() string {
	next := map[string]string{"": "offer", "accept": "start", "ack": "chunk", "have": "confirm", "saved": "over"}[w.heard]
	if next == "start" {
		w.heard = "ack"
	}
	if next == "chunk" && w.at[w.file] == int64(len(walkContents[w.file])) {
		return "done"
	}
	return next
}

// step says something; false: it broke the connection.
func (w *senderWalk) step() bool {
	w.hearAll()
	content := walkContents[w.file]
	c := control{id: fileID{byte(w.file)}, stream: fmt.Sprintf("%016x", w.file), file: 1, files: 1, size: int64(len(content)), window: 1 << 20, reason: "walk"}
	c.batch, c.name, c.receiver, c.offset = testBatch, "x", w.receiver, w.at[w.file]
	c.kind = w.next()
	c.proof = sumOf(content)
	switch w.d.roll(12) {
	case 0, 7, 8:
		c.kind = pick(w.d, "offer", "start", "reset", "alive", "done", "confirm", "over", "abort", "chunk")
	case 1:
		c.batch, c.name, c.size = c.stream, pick(w.d, "x", "y"), pick(w.d, c.size, walkPart)
	case 2:
		c.receiver, c.proof = pick(w.d, w.receiver, testBatch), sumOf(nil)
	case 3:
		c.offset = pick(w.d, 0, c.size, 1<<40)
	case 4:
		w.file = pick(w.d, 0, 1, 1)
		return true
	case 5:
		f := wire.File{Name: pick(w.d, "x", "z"), Content: []byte("wire"), Hash: pick(w.d, "", "0")}
		w.conn.WriteMessage(wsproto.OpBinary, wire.AppendFile(nil, pick(w.d, wire.PDU, wire.Msgpack), f))
	case 6:
		if w.d.roll(16) == 0 {
			w.conn.NetConn().Close()
			return false
		}
		time.Sleep(pick(w.d, walkPauses...) / time.Duration(pick(w.d, 1, 10, 10, 10)))
	}
	if c.kind == "chunk" {
		end := int64(len(content))
		data := content[min(c.offset, end):min(c.offset+walkChunk, end)]
		w.at[w.file] = c.offset + int64(len(data))
		w.chunk(c.stream, c.offset, append(bytes.Clone(data), make([]byte, w.d.roll(40)/39)...))
		return true
	}
	c.proof = c.proofOf(c.proof)
	w.say(c)
	return true
}

// hearAll takes the name of the receiver from what it says.
func (w *senderWalk) hearAll() {
	if w.d.roll(3) > 0 {
		time.Sleep(time.Millisecond) // until it has come, and what is to be done is done
	}
	for {
		select {
		case m, ok := <-w.in:
			if !ok {
				*w.d = nil
				return
			}
			if c, err := parseControl(m.Data); err == nil && c.receiver != "" {
				w.receiver, w.heard = c.receiver, c.kind
				if c.kind == "accept" {
					w.at[c.id[0]&1] = c.offset
				}
			}
		default:
			return
		}
	}
}

var received = regexp.MustCompile(`(?m)^received (\S+): \d+ bytes in \S+, sha256 (\w+)$`)

// walkReceive walks a receiver and checks what has become of the files.
func walkReceive(t *testing.T, d dice) (good bool) {
	dir := t.TempDir()
	flags := []string{"-reconnect", "1s", "ws://relay/", dir}
	if d.roll(2) > 0 {
		flags = append([]string{"-resume"}, flags...)
		os.WriteFile(filepath.Join(dir, ".x.AAAAAAAA.part"), nil, 0o600)
		os.Truncate(filepath.Join(dir, ".x.AAAAAAAA.part"), walkPart)
	}
	keep, overwrite := d.roll(4) > 0, d.roll(2) > 0
	flags = append([]string{fmt.Sprintf("-keep=%v", keep), fmt.Sprintf("-overwrite=%v", overwrite)}, flags...)
	w := &senderWalk{d: &d, receiver: testBatch}
	r := against(t, Receive, func(o *other) {
		for w.other = o; len(d) > 0 && w.step(); {
		}
		o.conn.NetConn().Close()
	}, flags...)
	have := make(map[string]string)
	for _, m := range received.FindAllStringSubmatch(r.Stderr, -1) {
		have[m[1]] = m[2]
	}
	for name, sum := range have {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || sumOf(got) != sum {
			t.Errorf("%s was received, and holds %d bytes, %v: %s", name, len(got), err, r.Stderr)
		}
	}
	for _, name := range filesIn(t, dir, "") {
		if name[0] != '.' && have[name] == "" || name[0] == '.' && !slices.Contains(flags, "-resume") {
			t.Errorf("%s is there, and was not received: %s", name, r.Stderr)
		}
	}
	if r.Code == cli.ExitOK && len(have) == 0 {
		t.Errorf("exit 0, and nothing was received: %s", r.Stderr)
	}
	for _, sum := range have {
		good = good || sum != sumOf([]byte("wire"))
	}
	return good
}

func TestReceiveWalks(t *testing.T) { walks(t, walkReceive) }

func FuzzReceiveWalk(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 1, 0, 3, 0, 4, 4, 4, 4, 8, 9})
	f.Fuzz(func(t *testing.T, b []byte) { walkReceive(t, b) })
}

// A walker is a receiver that says anything, but proves only what it has.
type walker struct {
	id     string
	stream fileID
	data   []byte
	whole  bool // it said saved, and has the file
}

// A receiverWalk says what receivers can say, in any order.
type receiverWalk struct {
	*other
	d       *dice
	content []byte
	id      fileID
	proof   string // the last that was heard
	kind    string // of what was heard last
	walkers [3]walker
}

// step says something; false: it broke the connection.
func (w *receiverWalk) step() bool {
	w.hearAll()
	r := &w.walkers[w.d.roll(3)]
	c := control{id: w.id, receiver: r.id, offset: int64(len(r.data)), reason: "walk"}
	switch w.d.roll(20) {
	default:
		c.kind = map[string]string{"offer": "accept", "start": "ack", "done": "have", "confirm": "saved"}[w.kind]
	case 0, 1:
		c.kind, c.offset = "accept", pick(w.d, c.offset, c.offset, c.offset, 0, 1<<40)
	case 2, 3:
		c.kind, c.offset = "ack", pick(w.d, c.offset, c.offset, 1<<40)
	case 4, 5, 6:
		c.kind = "have"
	case 7, 8:
		c.kind = "saved"
	case 9:
		c.kind = pick(w.d, "refuse", "failed", "alive", "alive", "alive")
	case 10:
		time.Sleep(pick(w.d, walkPauses...))
	case 11:
		if w.d.roll(4) == 0 {
			w.conn.NetConn().Close()
			return false
		}
	}
	if c.kind == "" {
		return true
	}
	c.proof = pick(w.d, c.proofOf(sumOf(r.data)), c.proofOf(sumOf(r.data)), c.proofOf(sumOf(r.data)), w.proof, c.proofOf(""))
	if c.kind == "saved" && bytes.Equal(r.data, w.content) {
		r.whole = true
	}
	w.say(c)
	return true
}

// hearAll has the walkers take what comes, now and then.
func (w *receiverWalk) hearAll() {
	time.Sleep(time.Millisecond)
	for {
		select {
		case m, ok := <-w.in:
			if !ok {
				*w.d = nil
				return
			}
			w.hear(m)
		default:
			return
		}
	}
}

func (w *receiverWalk) hear(m wsproto.Message) {
	c, err := parseControl(m.Data)
	chunk, isChunk := parseChunk(m.Data)
	if err == nil {
		w.id, w.proof, w.kind = c.id, c.proof, c.kind
	}
	for i := range w.walkers {
		r := &w.walkers[i]
		switch {
		case c.kind == "start" && c.offset <= int64(len(r.data)) && i != 2:
			parseID(&r.stream, c.stream)
			r.data = r.data[:c.offset]
		case isChunk && chunk.stream == r.stream && chunk.offset == int64(len(r.data)):
			r.data = append(r.data, chunk.data...)
		}
	}
	if w.proof == "" {
		w.proof = testSum
	}
}

// walkSend walks a sender: it may end with 0 only where a receiver has the file.
func walkSend(t *testing.T, d dice) (good bool) {
	content := walkContents[d.roll(2)]
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	w := &receiverWalk{d: &d, content: content, proof: testSum}
	for i := range w.walkers {
		w.walkers[i].id = fmt.Sprintf("%016x", i)
	}
	r := against(t, Send, func(o *other) {
		for w.other = o; len(d) > 0 && w.step(); {
		}
		o.conn.NetConn().Close()
	}, "-window", "64k", "-wait", "5s", "-reconnect", "1s", "ws://relay/", path)
	whole := slices.ContainsFunc(w.walkers[:], func(r walker) bool { return r.whole })
	if r.Code == cli.ExitOK && !whole {
		t.Errorf("exit 0, and nobody has it: %s", r.Stderr)
	}
	return r.Code == cli.ExitOK
}

func TestSendWalks(t *testing.T) { walks(t, walkSend) }

func FuzzSendWalk(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 2, 0, 0, 4, 0, 0, 7, 0})
	f.Fuzz(func(t *testing.T, b []byte) { walkSend(t, b) })
}
