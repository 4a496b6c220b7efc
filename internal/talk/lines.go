package talk

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
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
	"socketsrv/internal/term"
	"socketsrv/wsproto"
)

// A LineQueue holds lines that were typed and not sent yet, some 16 MiB of them.
type LineQueue struct {
	Mu     sync.Mutex
	More   sync.Cond
	lines  []string
	Size   int
	closed bool
}

const (
	maxTyped     = 16 << 20 // bytes
	lineOverhead = 16       // so that empty lines count
)

// Put appends a line; false if there is no room.
func (q *LineQueue) Put(line string) bool {
	q.Mu.Lock()
	defer q.Mu.Unlock()
	if q.Size+len(line) > maxTyped {
		return false
	}
	q.lines, q.Size = append(q.lines, line), q.Size+len(line)+lineOverhead
	q.More.Signal()
	return true
}

// Get waits for a line; !ok: there will be none.
func (q *LineQueue) Get() (line string, ok bool) {
	q.Mu.Lock()
	defer q.Mu.Unlock()
	for len(q.lines) == 0 && !q.closed {
		q.More.Wait()
	}
	if len(q.lines) == 0 {
		return "", false
	}
	line, q.lines = q.lines[0], q.lines[1:]
	q.Size -= len(line) + lineOverhead
	return line, true
}

// Close has get return what is there, unless that is to be dropped, and then no
// more.
func (q *LineQueue) Close(drop bool) {
	q.Mu.Lock()
	defer q.Mu.Unlock()
	if q.closed = true; drop {
		q.lines = nil
	}
	q.More.Broadcast()
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

// PromptFile is the terminal where lines are edited. Where stdout is none, and
// goes perhaps to a program that writes to the same one, nothing is drawn: nil.
func PromptFile(env *cli.Env) *os.File { return env.TTYOut }

// WaitFor waits for the goroutines of wg, but not longer for one that writes to a
// terminal that has stopped than for the last words there.
func WaitFor(wg *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(cli.FlushTime):
	}
}

// LeavingCode is the outcome of an end that we began.
func LeavingCode(err error) error {
	if _, ok := errors.AsType[*wsproto.CloseError](err); ok || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

var ErrNotConnected = errors.New("not sent: not connected")

// LineSource is a source of lines; *term.Editor is one.
type LineSource interface {
	ReadLine() (string, error)
	Close() error // ReadLine returns
}

// NewScannedLines is a LineSource for a stdin that is no file, as in tests.
func NewScannedLines(s *bufio.Scanner, from io.Reader) LineSource { return scannedLines{s, from} }

type scannedLines struct {
	*bufio.Scanner
	from io.Reader
}

func (s scannedLines) ReadLine() (string, error) {
	if s.Scan() {
		return s.Text(), nil
	}
	if err := s.Err(); err != nil {
		return "", err
	}
	return "", io.EOF
}

// Close ends ReadLine where the reader can be closed.
func (s scannedLines) Close() error {
	if c, ok := s.from.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// NoLines is for a process without stdin.
type NoLines struct{}

func (NoLines) ReadLine() (string, error) { return "", io.EOF }

func (NoLines) Close() error { return nil }

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

var LineEnds = map[string]string{"lf": "\n", "crlf": "\r\n", "none": ""}
