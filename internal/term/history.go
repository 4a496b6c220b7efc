package term

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxHistory      = 1000    // lines
	maxHistoryBytes = 1 << 20 // of all lines together; one line: a sixteenth
)

var errHistoryBusy = errors.New("another program is writing it")

// History is the lines typed before, oldest first: the last 1000, and no more
// than 1 MiB. The zero value is empty and in memory alone. Its methods may be
// called from any goroutine.
type History struct {
	mu    sync.Mutex
	path  string
	lines []string
	added []string // not yet in the file
}

// HistoryFile returns where a program keeps its history: the file name in
// $XDG_STATE_HOME/socketsrv, else in ~/.local/state/socketsrv, on Windows in
// %LocalAppData%\socketsrv. "" means that there is no such place.
func HistoryFile(name string) string {
	dir := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) { // the specification has relative ones ignored
		home, err := os.UserHomeDir()
		if err != nil || !filepath.IsAbs(home) {
			return ""
		}
		dir = filepath.Join(home, ".local", "state")
		if runtime.GOOS == "windows" {
			if dir = os.Getenv("LocalAppData"); !filepath.IsAbs(dir) {
				return ""
			}
		}
	}
	return filepath.Join(dir, "socketsrv", name)
}

// Load reads the lines kept at path and has Save write there. With path "", or
// without such a file, the history begins empty and that is no error.
func (h *History) Load(path string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.path = path
	if path == "" {
		return nil
	}
	lines, err := readHistory(path)
	h.lines = bound(slices.Concat(lines, h.lines))
	return err
}

// Add appends a line, unless it is empty, over 64 KiB or the same as the last one.
func (h *History) Add(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if line == "" || len(line) > maxHistoryBytes/16 || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	h.lines = bound(append(h.lines, line))
	if h.path != "" && !strings.Contains(line, "\n") { // one line in the file is one line
		h.added = bound(append(h.added, line))
	}
}

// all returns the lines; they are not to be changed.
func (h *History) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clip(h.lines)
}

// Save appends what was added to the file, which by now may hold lines of other
// programs, and drops its oldest beyond the bound. The file, mode 0600, is
// written beside and renamed. Without a path, or when the path is something
// other than a file, as a link to /dev/null is, Save does nothing. What could
// not be saved is tried again by the next Save.
func (h *History) Save() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.path == "" || len(h.added) == 0 {
		return nil
	}
	if err := h.save(); err != nil {
		return fmt.Errorf("history %s: %w", h.path, err)
	}
	h.added = nil
	return nil
}

func (h *History) save() error {
	path := h.path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link to a file stays a link
	}
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return bare(err)
	}
	beside := path + ".new"
	f, err := lockNew(beside)
	if err != nil {
		return bare(err)
	}
	lines, err := readHistory(path)
	if err == nil {
		err = writeLines(f, bound(slices.Concat(lines, h.added)))
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(beside, path)
	}
	if err != nil {
		os.Remove(beside)
	}
	return bare(err)
}

// bare drops the path from err; the message has it already.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// lockNew creates the file that is to replace the history. As long as it is
// there, no other program reads the history in order to write it. One that was
// left behind by a crash is removed after 5 s.
func lockNew(name string) (*os.File, error) {
	const patience, pause, stale = time.Second, 10 * time.Millisecond, 5 * time.Second
	for begin := time.Now(); ; time.Sleep(pause) {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		if st, err := os.Lstat(name); err == nil && time.Since(st.ModTime()) > stale {
			os.Remove(name)
		} else if time.Since(begin) > patience {
			return nil, errHistoryBusy
		}
	}
}

// readHistory reads the last lines of the file at path; none if there is none.
func readHistory(path string) ([]string, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
		return nil, nil // opening a FIFO would block
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	const room = maxHistoryBytes + maxHistory // with the LF of each line
	from := max(st.Size()-room, 0)
	buf := make([]byte, min(st.Size(), room))
	n, err := f.ReadAt(buf, from)
	if err != nil && err != io.EOF {
		return nil, err
	}
	buf = buf[:n]
	if from > 0 { // begins within a line
		buf = buf[bytes.IndexByte(buf, '\n')+1:]
	}
	var lines []string
	for line := range strings.Lines(string(buf)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return bound(lines), nil
}

func writeLines(f *os.File, lines []string) error {
	_, err := f.WriteString(strings.Join(lines, "\n") + "\n")
	return err
}

// bound drops the oldest lines that are too many or too much.
func bound(lines []string) []string {
	i, room := len(lines), maxHistoryBytes
	for i > 0 && len(lines)-i < maxHistory && len(lines[i-1]) <= room {
		i--
		room -= len(lines[i])
	}
	return lines[i:]
}
