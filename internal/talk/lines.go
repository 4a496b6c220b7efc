package talk

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/term"
	"socketsrv/wsproto"
)

// A queue holds what was read and not sent yet: what is typed up to some 16 MiB, of
// a pipe, which waits, 64 KiB.
type queue struct {
	mu     sync.Mutex
	more   sync.Cond // items or closed changed
	items  []Outgoing
	size   int
	closed bool
}

const (
	maxTyped     = 16 << 20 // bytes
	maxPiped     = 64 << 10
	lineOverhead = 16 // so that empty lines count
)

// put appends o. Where there is no room it waits, or returns false.
func (q *queue) put(o Outgoing, wait bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for wait && q.size >= maxPiped && !q.closed {
		q.more.Wait()
	}
	if q.size+len(o.Message.Data) > maxTyped && !wait {
		return false
	}
	if q.closed {
		return true
	}
	q.items, q.size = append(q.items, o), q.size+len(o.Message.Data)+lineOverhead
	q.more.Broadcast()
	return true
}

// first waits for the first item, and leaves it there; !ok: there will be none.
func (q *queue) first() (o Outgoing, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.more.Wait()
	}
	if len(q.items) == 0 {
		return o, false
	}
	return q.items[0], true
}

// drop removes the first item, if close has not.
func (q *queue) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) > 0 {
		q.size -= len(q.items[0].Message.Data) + lineOverhead
		q.items = q.items[1:]
		q.more.Broadcast()
	}
}

// close has first return what is there, unless that is to be dropped, and then no
// more.
func (q *queue) close(drop bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed = true; drop {
		q.items, q.size = nil, 0
	}
	q.more.Broadcast()
}

// await waits for an item behind the first from, or for the end, until d is over.
func (q *queue) await(from int, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	late := false
	defer time.AfterFunc(d, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		late = true
		q.more.Broadcast()
	}).Stop()
	for len(q.items) <= from && !q.closed && !late {
		q.more.Wait()
	}
}

// rest is how many bytes wait from the nth item on, and whether no more come.
func (q *queue) rest(from int) (n int64, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, o := range q.items[min(from, len(q.items)):] {
		n += int64(len(o.Message.Data))
	}
	return n, q.closed
}

// Pauses are the waits between attempts to connect: each twice the last one, from
// 100 ms to max, and each cut by up to a half at random, lest all clients of a
// server that comes back come at once.
type Pauses struct {
	Max, last time.Duration
}

const firstPause = 100 * time.Millisecond

func (w *Pauses) Next() time.Duration {
	w.last = min(max(2*w.last, firstPause), w.Max)
	return w.last - time.Duration(rand.Int64N(int64(w.last)/2+1))
}

func (w *Pauses) Reset() { w.last = 0 }

// Besides is env with what goes to the terminal printed above the line being
// typed.
func Besides(env *cli.Env, editor *term.Editor) *cli.Env {
	here := *env
	if env.TTYOut != nil {
		here.Stdout = editor
	}
	if env.TTYOut != nil && env.TTYErr != nil {
		here.Stderr = editor
	}
	return &here
}

// Prompt has a person type what s sends, as send says; a line is left out where it
// says nil. What is pasted in several lines is one. It returns env with what is printed above the line being
// typed. The editor is the caller's to close.
func (s *Session) Prompt(env *cli.Env, opt term.Options, send func(line string) func(l dial.Link) error) (*term.Editor, *cli.Env, error) {
	opt.Whole = true
	editor, err := term.NewEditor(env.TTYIn, env.TTYOut, opt) // where stdout is no terminal nothing is drawn
	if err != nil {
		return nil, nil, err
	}
	s.Person, s.Hold = true, true
	s.Next = func() (Outgoing, error) {
		for {
			line, err := editor.ReadLine()
			line = strings.TrimSuffix(line, "\n") // of a paste
			if do := send(line); err != nil || do != nil {
				return Outgoing{Message: wsproto.Message{Data: []byte(line)}, Do: do}, err
			}
		}
	}
	if env.TTYOut != nil && env.Getenv("TERM") != "dumb" { // else the output would not know that a prompt is there
		s.Connected = func(yes bool) {
			prompt := opt.Prompt
			if !yes {
				prompt = "(not connected) " + prompt
			}
			editor.SetPrompt(prompt)
		}
	}
	return editor, Besides(env, editor), nil
}

// Lines returns a Next that reads the lines of a pipe, each at most limit bytes long, and
// of which send makes what is sent.
func Lines(r io.Reader, limit int64, send func(line []byte) (Outgoing, error)) func() (Outgoing, error) {
	lines, n := bufio.NewReaderSize(r, 64<<10), 0
	return func() (Outgoing, error) {
		n++
		line, err := ReadLine(lines, limit)
		if err == io.EOF {
			return Outgoing{}, err
		}
		var o Outgoing
		if err == nil {
			o, err = send(bytes.Clone(line))
		}
		if err != nil {
			err = cli.Fail(cli.ExitRead, fmt.Errorf("stdin, line %d: %w", n, err))
		}
		return o, err
	}
}

// CompletePath returns the files whose path begins so; folders end in a slash.
func CompletePath(path string) (found []string) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || base == "" && strings.HasPrefix(name, ".") {
			continue
		}
		if e.IsDir() {
			name += string(filepath.Separator)
		}
		found = append(found, dir+name)
	}
	slices.Sort(found)
	return found
}

// ReadLine returns the next line without its LF or CR LF, valid until the next
// call, or io.EOF. A last line without LF is one.
func ReadLine(r *bufio.Reader, limit int64) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line = bytes.Clone(line)
		for err == bufio.ErrBufferFull && int64(len(line)) <= limit+2 {
			var more []byte
			more, err = r.ReadSlice('\n')
			line = append(line, more...)
		}
	}
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
	if err == bufio.ErrBufferFull || err == nil && int64(len(line)) > limit {
		err = fmt.Errorf("longer than %d bytes", limit)
	}
	return line, err
}

// LineEnds are the values of -eol.
var LineEnds = map[string]string{"lf": "\n", "crlf": "\r\n", "none": ""}

// Patience returns what sets *p to a duration, off to Forever.
func Patience(p *time.Duration) func(string) error {
	return func(s string) (err error) {
		if *p = Forever; s != "off" {
			*p, err = cli.ParseDuration(s)
		}
		return err
	}
}
