package term

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestHistoryAdd(t *testing.T) {
	tests := []struct {
		name      string
		add, want []string
	}{
		{"lines", []string{"one", "two"}, []string{"one", "two"}},
		{"empty ones are left out", []string{"", "one", ""}, []string{"one"}},
		{"the same again is left out", []string{"one", "one", "two", "one"}, []string{"one", "two", "one"}},
		{"64 KiB fit", []string{strings.Repeat("x", 64<<10)}, []string{strings.Repeat("x", 64<<10)}},
		{"more do not", []string{strings.Repeat("x", 64<<10+1)}, nil},
	}
	for _, tt := range tests {
		h := &History{}
		for _, line := range tt.add {
			h.Add(line)
		}
		if !slices.Equal(h.all(), tt.want) {
			t.Errorf("%s: %.60q", tt.name, h.all())
		}
	}
}

func numbered(what string, from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(what, i))
	}
	return out
}

func TestHistoryBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	h := load(t, path)
	for _, line := range numbered("line", 0, 3000) {
		h.Add(line)
	}
	save(t, h)
	if want := numbered("line", 2000, 3000); !slices.Equal(h.all(), want) || !slices.Equal(load(t, path).all(), want) {
		t.Errorf("holds %d lines, the file %d; want the last 1000 in both", len(h.all()), len(load(t, path).all()))
	}

	long := strings.Repeat("x", 60<<10)
	for i := range 40 {
		h.Add(fmt.Sprint(i, long))
	}
	save(t, h)
	total := 0
	for _, line := range load(t, path).all() {
		total += len(line)
	}
	if total > maxHistoryBytes || total < maxHistoryBytes-70<<10 {
		t.Errorf("the file holds %d bytes; want just under %d", total, maxHistoryBytes)
	}
}

func load(t *testing.T, path string) *History {
	t.Helper()
	h := &History{}
	if err := h.Load(path); err != nil {
		t.Fatalf("Load: %v", err)
	}
	return h
}

func save(t *testing.T, h *History) {
	t.Helper()
	if err := h.Save(); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

func TestHistoryFileMode(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "history")
	h := load(t, path)
	h.Add("secret")
	h.Add("two\nlines") // not kept in the file
	h.Add("invalid \xff")
	save(t, h)
	if got := load(t, path).all(); !slices.Equal(got, []string{"secret", "invalid \xff"}) {
		t.Errorf("loads %q", got)
	}
	if _, err := os.Stat(path + ".new"); err == nil {
		t.Error("the file written beside is still there")
	}
	if runtime.GOOS == "windows" {
		return
	}
	for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		if st, err := os.Stat(p); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", p, st.Mode(), err, want)
		}
	}
}

// Programs that run at the same time lose nothing that they wrote.
func TestHistoryTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	a, b := load(t, path), load(t, path)
	a.Add("a1")
	b.Add("b1")
	save(t, a)
	save(t, b)
	a.Add("a2")
	save(t, a)
	save(t, a)
	if got, want := load(t, path).all(), []string{"a1", "b1", "a2"}; !slices.Equal(got, want) {
		t.Errorf("the file holds %q; want %q", got, want)
	}

	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			h := &History{}
			h.Load(path)
			for _, line := range numbered(fmt.Sprint("p", i, "-"), 0, 20) {
				h.Add(line)
				for h.Save() != nil { // busy: tried again, as a program does at the next line
				}
			}
		})
	}
	all.Wait()
	got := load(t, path).all()
	for i := range 4 {
		for _, want := range numbered(fmt.Sprint("p", i, "-"), 0, 20) {
			if !slices.Contains(got, want) {
				t.Errorf("%q is lost", want)
			}
		}
	}
}

// What a crash left beside does not keep others out for ever.
func TestHistoryStaleLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := load(t, path)
	h.Add("line")
	if err := h.Save(); err == nil || !strings.Contains(err.Error(), errHistoryBusy.Error()) {
		t.Errorf("Save while another writes: %v; want busy", err)
	}
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(path+".new", old, old); err != nil {
		t.Fatal(err)
	}
	save(t, h)
	if got := load(t, path).all(); !slices.Equal(got, []string{"line"}) {
		t.Errorf("the file holds %q", got)
	}
}

// What the path leads to, and what Load and Save make of it.
func TestHistoryPlaces(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	os.WriteFile(at("file"), []byte("kept"), 0o600)
	os.Mkdir(at("dir"), 0o700)
	os.WriteFile(at("big"), []byte(strings.Repeat("0123456789abcde\n", 200_000)), 0o600)
	if err := os.Symlink("file", at("link")); err != nil {
		t.Skip(err)
	}
	os.Symlink(os.DevNull, at("null"))
	tests := []struct {
		name, path string
		loaded     int
		saved      bool // the line is in the file afterwards
		fails      bool
	}{
		{"no path", "", 0, false, false},
		{"new", at("new"), 0, true, false},
		{"without LF at its end", at("file"), 1, true, false},
		{"larger than ever written", at("big"), maxHistory, true, false},
		{"link", at("link"), 2, true, false},
		{"link to /dev/null", at("null"), 0, false, false},
		{"directory", at("dir"), 0, false, false},
		{"below a file", at("file/x"), 0, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &History{}
			err := h.Load(tt.path)
			if len(h.all()) != tt.loaded || err != nil && !tt.fails {
				t.Fatalf("Load: %d lines, %v; want %d", len(h.all()), err, tt.loaded)
			}
			h.Add("added " + tt.name)
			if err := h.Save(); (err != nil) != tt.fails {
				t.Fatalf("Save: %v; fails: want %v", err, tt.fails)
			}
			again := &History{}
			again.Load(tt.path)
			if got := slices.Contains(again.all(), "added "+tt.name); got != tt.saved {
				t.Errorf("in the file: %v; want %v", got, tt.saved)
			}
		})
	}
	if st, err := os.Lstat(at("link")); err != nil || st.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link to the history is none any more")
	}
	if st, err := os.Stat(os.DevNull); err == nil && st.Mode().IsRegular() {
		t.Error("the null device was replaced")
	}
}

func TestHistoryFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("other variables there")
	}
	tests := []struct{ state, home, want string }{
		{"/state", "/home/a", "/state/socketsrv/dump"},
		{"", "/home/a", "/home/a/.local/state/socketsrv/dump"},
		{"relative", "/home/a", "/home/a/.local/state/socketsrv/dump"},
		{"", "", ""},
		{"", "relative", ""},
	}
	for _, tt := range tests {
		t.Setenv("XDG_STATE_HOME", tt.state)
		t.Setenv("HOME", tt.home)
		if got := HistoryFile("dump"); got != tt.want {
			t.Errorf("XDG_STATE_HOME=%s HOME=%s: %q; want %q", tt.state, tt.home, got, tt.want)
		}
	}
}
