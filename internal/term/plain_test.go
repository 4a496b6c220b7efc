package term

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// readAll returns the lines of r, a line that is too long as "TOO LONG", and
// the error at the end.
func readAll(r io.Reader) ([]string, error) {
	l := &lineReader{read: r.Read}
	var lines []string
	for {
		switch line, err := l.next(); err {
		case nil:
			lines = append(lines, line)
		case ErrTooLong:
			lines = append(lines, "TOO LONG")
		default:
			return lines, err
		}
	}
}

func TestPlainLines(t *testing.T) {
	full, more := strings.Repeat("x", MaxLine), strings.Repeat("x", MaxLine+1)
	tests := []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"lines", "one\ntwo\n", []string{"one", "two"}},
		{"the last without LF", "one\ntwo", []string{"one", "two"}},
		{"empty lines", "\n\none\n\n", []string{"", "", "one", ""}},
		{"CR LF", "one\r\n\r\ntwo\r\n", []string{"one", "", "two"}},
		{"CR elsewhere is kept", "o\rne\r\r\ntwo\r", []string{"o\rne\r", "two\r"}},
		{"any bytes", "\x00\xff\x1b[2J\n\xc3", []string{"\x00\xff\x1b[2J", "\xc3"}},
		{"1 MiB", full + "\n" + full + "\r\n" + full, []string{full, full, full}},
		{"longer", "one\n" + more + "\ntwo\n", []string{"one", "TOO LONG", "two"}},
		{"longer by its CR", full + "\r\r\ntwo\n", []string{"TOO LONG", "two"}},
		{"much longer, with CR LF", more + more + more + "\r\n\ntwo", []string{"TOO LONG", "", "two"}},
		{"longer, and the last", "one\n" + more, []string{"one", "TOO LONG"}},
		{"much longer, and the last", "one\n" + more + more, []string{"one", "TOO LONG"}},
		{"two that are longer", more + "\n" + more + "\n", []string{"TOO LONG", "TOO LONG"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			readers := map[string]io.Reader{"whole": strings.NewReader(tt.in), "in halves": iotest.HalfReader(strings.NewReader(tt.in)),
				"end with data": iotest.DataErrReader(strings.NewReader(tt.in))}
			if len(tt.in) < 1000 {
				readers["byte by byte"] = iotest.OneByteReader(strings.NewReader(tt.in))
			}
			for how, r := range readers {
				if got, err := readAll(r); !slices.Equal(got, tt.want) || err != io.EOF {
					t.Errorf("%s: %.60q, %v; want %.60q, EOF", how, got, err, tt.want)
				}
			}
		})
	}
}

// A reader's error comes after the lines before it, and again when asked again.
func TestPlainError(t *testing.T) {
	bad := errors.New("bad sector")
	l := &lineReader{read: io.MultiReader(strings.NewReader("one\ntwo"), iotest.ErrReader(bad)).Read}
	for _, want := range []string{"one", "two"} {
		if line, err := l.next(); line != want || err != nil {
			t.Errorf("next = %q, %v; want %q", line, err, want)
		}
	}
	for range 2 {
		if line, err := l.next(); err != bad || line != "" {
			t.Errorf("next = %q, %v; want %v", line, err, bad)
		}
	}
}

// plainEditor is an Editor at the end of a pipe.
func plainEditor(t *testing.T) (*Editor, *os.File, *os.File) {
	t.Helper()
	in, feed := pipe(t)
	shown, out := pipe(t)
	e, err := NewEditor(in, out, Options{Prompt: "> "})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, feed, shown
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// At a pipe there is no prompt, and Write is a plain write.
func TestEditorPlain(t *testing.T) {
	e, feed, shown := plainEditor(t)
	go func() {
		io.WriteString(feed, "one\ntwo\x03\x04\ttabs\nthree")
		feed.Close()
	}()
	for _, want := range []string{"one", "two\x03\x04\ttabs", "three"} {
		if line, err := e.ReadLine(); line != want || err != nil {
			t.Errorf("ReadLine = %q, %v; want %q", line, err, want)
		}
	}
	if line, err := e.ReadLine(); err != io.EOF {
		t.Errorf("ReadLine = %q, %v; want EOF", line, err)
	}
	e.SetPrompt("other> ")
	e.Write([]byte("out"))
	e.Close()
	e.out.Close()
	if got, _ := io.ReadAll(shown); string(got) != "out" {
		t.Errorf("written: %q; want out", got)
	}
}

func TestEditorPlainClose(t *testing.T) {
	e, _, _ := plainEditor(t)
	ended := make(chan error, 1)
	go func() {
		_, err := e.ReadLine()
		ended <- err
	}()
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	select {
	case err := <-ended:
		if err != os.ErrClosed {
			t.Errorf("ReadLine = %v; want os.ErrClosed", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("ReadLine goes on after Close")
	}
	if _, err := e.ReadLine(); err != os.ErrClosed {
		t.Errorf("ReadLine after Close = %v; want os.ErrClosed", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	if _, err := e.Write([]byte("x")); err != nil {
		t.Errorf("Write after Close: %v", err)
	}
}

func TestEditorOnFile(t *testing.T) {
	name := t.TempDir() + "/in"
	if err := os.WriteFile(name, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		want []string
	}{{name, []string{"one", "two"}}, {os.DevNull, nil}} {
		f, err := os.Open(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		e, err := NewEditor(f, f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		var got []string
		for {
			line, err := e.ReadLine()
			if err != nil {
				if err != io.EOF {
					t.Errorf("%s ends with %v", tt.name, err)
				}
				break
			}
			got = append(got, line)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q; want %q", tt.name, got, tt.want)
		}
		if IsTerminal(f) || Width(f) != 80 {
			t.Errorf("%s: terminal %v, width %d; want false, 80", tt.name, IsTerminal(f), Width(f))
		}
	}
}

func TestEditorClosedFile(t *testing.T) {
	r, _ := pipe(t)
	r.Close()
	if e, err := NewEditor(r, r, Options{}); err == nil {
		t.Errorf("NewEditor on a closed file: %v, no error", e)
	}
	if IsTerminal(r) || Width(r) != 80 {
		t.Errorf("a closed file: terminal %v, width %d", IsTerminal(r), Width(r))
	}
}

// The input for files that cannot be waited for, and the one for those that can.
func TestInputs(t *testing.T) {
	inputs := map[string]func(f *os.File) input{
		"pump":    func(f *os.File) input { return newPump(f) },
		"of here": func(f *os.File) input { return newInput(f, false) },
	}
	for name, open := range inputs {
		t.Run(name, func(t *testing.T) {
			r, w := pipe(t)
			in, p := open(r), make([]byte, 4)
			check := func(what string, timeout time.Duration, want string, wantErr error) {
				t.Helper()
				if n, err := in.read(p, timeout); string(p[:n]) != want || err != wantErr {
					t.Errorf("%s: read %q, %v; want %q, %v", what, p[:n], err, want, wantErr)
				}
			}
			check("nothing there", 0, "", errTimeout)
			check("nothing coming", time.Millisecond, "", errTimeout)
			in.wake()
			in.wake()
			check("woken twice", forever, "", errWoken)
			check("woken once", 0, "", errTimeout)
			io.WriteString(w, "abcdef")
			check("first part", forever, "abcd", nil)
			check("second part", forever, "ef", nil)
			go in.wake()
			check("woken while waiting", forever, "", errWoken)
			w.Close()
			check("end", forever, "", io.EOF)
			check("after the end", forever, "", io.EOF)
			in.close()
			check("closed", forever, "", os.ErrClosed)
			in.wake()
			in.close()
		})
	}
}

func BenchmarkPlainLines(b *testing.B) {
	in := strings.Repeat("a line of some thirty-two bytes\n", 1<<15)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if lines, err := readAll(strings.NewReader(in)); len(lines) != 1<<15 || err != io.EOF {
			b.Fatal(len(lines), err)
		}
	}
}
