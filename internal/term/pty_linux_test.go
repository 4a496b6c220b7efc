package term

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// pty is a pseudo-terminal with a screen: tty is the end of a program, the
// methods are the person in front of it.
type pty struct {
	t       *testing.T
	master  *os.File
	tty     *os.File
	changed chan struct{} // the screen did, since someone looked

	mu     sync.Mutex
	screen *vt
}

const patience = 20 * time.Second // for what should happen at once

// openPTY opens a pseudo-terminal in the mode a login gives it.
func openPTY(t *testing.T, cols, rows int) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	p := &pty{t: t, master: master, screen: newVT(t, cols, rows), changed: make(chan struct{}, 1)}
	var watcher sync.WaitGroup
	t.Cleanup(func() {
		master.Close()
		watcher.Wait()
	})
	var unlock, n int32
	for request, arg := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &n} {
		if err := control(master, request, unsafe.Pointer(arg)); err != nil {
			t.Skipf("no pseudo-terminals here: %v", err)
		}
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { tty.Close() })
	p.tty = tty
	p.setSize(cols, rows)
	watcher.Go(p.watch)
	return p
}

// watch has the screen show what is sent to it.
func (p *pty) watch() {
	buf := make([]byte, 16<<10)
	for {
		n, err := p.master.Read(buf)
		p.mu.Lock()
		p.screen.Write(buf[:n])
		p.mu.Unlock()
		select {
		case p.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func control(f *os.File, request uintptr, arg unsafe.Pointer) (err error) {
	withFD(f, func(fd uintptr) { err = ioctl(fd, request, arg) })
	return err
}

func (p *pty) setSize(cols, rows int) {
	ws := struct{ row, col, x, y uint16 }{uint16(rows), uint16(cols), 0, 0}
	if err := control(p.master, syscall.TIOCSWINSZ, unsafe.Pointer(&ws)); err != nil {
		p.t.Fatal(err)
	}
}

// modes are the terminal's, to be compared.
func (p *pty) modes() syscall.Termios {
	var m syscall.Termios
	if err := control(p.tty, ioctlGet, unsafe.Pointer(&m)); err != nil {
		p.t.Fatal(err)
	}
	return m
}

// send types s.
func (p *pty) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.master, s); err != nil {
		p.t.Fatal(err)
	}
}

// until waits for the screen to be as ok says.
func (p *pty) until(what string, ok func(v *vt) bool) {
	p.t.Helper()
	late := time.After(patience)
	for {
		p.mu.Lock()
		done, screen := ok(p.screen), fmt.Sprint(p.screen, "\n", p.screen.at())
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-p.changed:
		case <-late:
			p.t.Fatalf("waiting for %s; the screen:\n%s", what, screen)
		}
	}
}

// shows waits for the last rows to be these, and for the cursor to be in column
// col of the last, or with col 0 in the row below.
func (p *pty) shows(rows string, col int) {
	p.t.Helper()
	p.until(fmt.Sprintf("%q, column %d", rows, col), func(v *vt) bool {
		return strings.HasSuffix("\n"+v.String(), "\n"+rows) && v.at().col == col
	})
}

// editing is an Editor on a pty, and what its ReadLine returned.
type editing struct {
	*pty
	*Editor
	lines chan string // or "error: …"
}

// edit has lines read until the first error that ends them.
func edit(t *testing.T, cols, rows int, opt Options) *editing {
	t.Helper()
	return openPTY(t, cols, rows).edit(opt)
}

func (p *pty) edit(opt Options) *editing {
	t := p.t
	t.Helper()
	setTerminal(t)
	e, err := NewEditor(p.tty, p.tty, opt)
	if err != nil {
		t.Fatal(err)
	}
	ed := &editing{p, e, make(chan string, 1<<17)}
	var reader sync.WaitGroup
	reader.Go(ed.readLines)
	t.Cleanup(func() {
		e.Close()
		reader.Wait()
	})
	ed.shows(strings.TrimSpace(opt.Prompt), len(opt.Prompt))
	return ed
}

func setTerminal(t *testing.T) {
	for k, v := range map[string]string{"TERM": "xterm", "TMUX": "", "STY": "", "XTERM_VERSION": ""} {
		t.Setenv(k, v)
	}
}

func (ed *editing) readLines() {
	for {
		line, err := ed.ReadLine()
		switch {
		case err == nil:
			ed.lines <- line
		case err == ErrInterrupted:
			ed.lines <- "error: interrupted"
		default:
			ed.lines <- "error: " + err.Error()
			return
		}
	}
}

// returns waits for ReadLine to return these.
func (ed *editing) returns(want ...string) {
	ed.t.Helper()
	late := time.After(patience)
	for _, w := range want {
		select {
		case got := <-ed.lines:
			if got != w {
				ed.t.Fatalf("ReadLine = %.200q; want %.200q", got, w)
			}
		case <-late:
			ed.t.Fatalf("ReadLine does not return %.200q", w)
		}
	}
}

func TestPTYTyping(t *testing.T) {
	ed := edit(t, 40, 10, Options{Prompt: "> "})
	for _, step := range []struct {
		keys, shows string
		col         int
	}{
		{"hello", "> hello", 7},
		{left + left, "> hello", 5},
		{"日", "> hel日lo", 7},
		{ctrlA + "é", "> éhel日lo", 3},
		{ctrlE + ctrlW + quote + "\x03", "> ^C", 4},
		{ctrlU + strings.Repeat("0123456789", 5), "> " + strings.Repeat("0123456789", 3) + "01234567\n890123456789", 12},
		{ctrlA, "> " + strings.Repeat("0123456789", 3) + "01234567\n890123456789", 2},
		{ctrlK + "done", "> done", 6},
	} {
		ed.send(step.keys)
		ed.shows(step.shows, step.col)
	}
	ed.send("\r")
	ed.returns("done")
	ed.shows("> done\n>", 2)
	ed.send("\xff\xfe\r") // bytes that are no UTF-8 are kept
	ed.returns("\xff\xfe")
}

func TestPTYHistory(t *testing.T) {
	h := &History{}
	h.Add("from before")
	ed := edit(t, 40, 10, Options{Prompt: "> ", History: h})
	ed.send("first\rsecond\r")
	ed.returns("first", "second")
	ed.send("typing" + up)
	ed.shows("> second", 8)
	ed.send(up + up)
	ed.shows("> from before", 13)
	ed.send(down + down + down)
	ed.shows("> typing", 8)
	ed.send(ctrlR + "fi")
	ed.shows("(search 'fi'): first", 15)
	ed.send("x")
	ed.shows("(not found 'fix'): first", 19)
	ed.send("\x1b") // on its own it is the key
	ed.shows("> typing", 8)
	ed.send(ctrlR + "bef\r")
	ed.returns("from before")
	if got := fmt.Sprint(h.all()); got != "[from before first second from before]" {
		t.Errorf("the history is %s", got)
	}
}

func TestPTYTab(t *testing.T) {
	words := []string{"send", "sendb", "sendf", "stats"}
	ed := edit(t, 40, 10, Options{Prompt: "> ", Complete: func(line string, pos int) (int, []string) {
		start := strings.LastIndexByte(line[:pos], ' ') + 1
		var may []string
		for _, w := range words {
			if strings.HasPrefix(w, line[start:pos]) {
				may = append(may, w)
			}
		}
		return start, may
	}})
	ed.send("x se\t")
	ed.shows("> x send", 8)
	ed.send("\t")
	ed.shows("send   sendb  sendf\n> x send", 8)
	ed.send(ctrlW + "st\t")
	ed.shows("> x stats", 10)
	ed.send("zz\t")
	ed.until("the bell", func(v *vt) bool { return v.bells == 1 })
	ed.send("\r")
	ed.returns("x stats zz")
}

// Output that arrives while a line is typed: the line stays whole, nothing typed
// and nothing written is lost.
func TestPTYOutputWhileTyping(t *testing.T) {
	ed := edit(t, 30, 10, Options{Prompt: "> "})
	const writers, each = 4, 50
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				fmt.Fprintf(ed, "writer %d message %d\n", w, i)
			}
		})
	}
	typed := strings.Repeat("all of the keys; ", 8)
	for _, r := range typed {
		ed.send(string(r))
	}
	all.Wait()
	var rows []string
	for text := "> " + typed; text != ""; text = text[min(30, len(text)):] {
		rows = append(rows, strings.TrimRight(text[:min(30, len(text))], " "))
	}
	ed.shows(strings.Join(rows, "\n"), (2+len(typed))%30)
	ed.send("\r")
	ed.returns(typed)
	ed.until("all output", func(v *vt) bool {
		for w := range writers {
			at := -1
			for i := range each {
				next := strings.Index(v.all()+"\n", fmt.Sprintf("\nwriter %d message %d\n", w, i))
				if next <= at && i > 0 {
					return false
				}
				at = next
			}
		}
		return true
	})
}

func TestPTYCtrlC(t *testing.T) {
	ed := edit(t, 40, 10, Options{Prompt: "> "})
	ed.send("dropped" + left + ctrlC)
	ed.returns("error: interrupted")
	ed.shows("> dropped^C\n>", 2)
	ed.send("next\r")
	ed.returns("next")
}

func TestPTYCtrlD(t *testing.T) {
	ed := edit(t, 40, 10, Options{Prompt: "> "})
	before := ed.modes()
	ed.send("ab" + ctrlD + ctrlA + ctrlD)
	ed.shows("> b", 2)
	ed.send(ctrlD + ctrlD)
	ed.returns("error: EOF")
	if err := ed.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	ed.until("the end of bracketed paste", func(v *vt) bool { return !v.paste })
	if before.Lflag&syscall.ICANON != 0 || ed.modes().Lflag&syscall.ICANON == 0 {
		t.Errorf("canonical mode while editing %v, after Close %v", before.Lflag&syscall.ICANON != 0, ed.modes().Lflag&syscall.ICANON != 0)
	}
}

func TestPTYResize(t *testing.T) {
	for _, rigid := range []bool{false, true} {
		t.Run(fmt.Sprint("rigid ", rigid), func(t *testing.T) {
			ed := edit(t, 40, 12, Options{Prompt: "> "})
			ed.Editor.mu.Lock()
			ed.Editor.screen.rigid = rigid
			ed.Editor.mu.Unlock()
			resize := func(cols int) {
				ed.pty.mu.Lock()
				ed.pty.screen.resize(cols, rigid)
				ed.setSize(cols, 12)
				ed.pty.mu.Unlock()
				syscall.Kill(os.Getpid(), syscall.SIGWINCH) // this terminal is not the test's own
			}
			fmt.Fprintln(ed, "above")
			ed.send("0123456789012345678901234567890")
			ed.shows("above\n> 0123456789012345678901234567890", 33)
			resize(20)
			ed.shows("above\n> 012345678901234567\n8901234567890", 13)
			ed.send(ctrlA + "x")
			ed.shows("above\n> x01234567890123456\n78901234567890", 3)
			resize(60)
			ed.shows("above\n> x0123456789012345678901234567890", 3)
			fmt.Fprintln(ed, "more")
			ed.shows("above\nmore\n> x0123456789012345678901234567890", 3)
			ed.send("\r")
			ed.returns("x0123456789012345678901234567890")
		})
	}
}

// Pastes of this size cost no more than their bytes: what is drawn is bounded by
// what is read at once and by the screen.
func TestPTYPaste(t *testing.T) {
	for _, size := range []int{10_000, 64 << 10} {
		for _, bracketed := range []bool{false, true} {
			t.Run(fmt.Sprint(size, " bracketed ", bracketed), func(t *testing.T) {
				ed := edit(t, 80, 24, Options{Prompt: "> "})
				text := strings.Repeat("the text of a paste 日本 ", size/24+1)[:size]
				text = strings.ToValidUTF8(text, "")
				if bracketed {
					ed.send("\x1b[200~" + text + "\x1b[201~")
				} else {
					ed.send(text)
				}
				ed.send("!" + ctrlA + "?\r")
				ed.returns("?" + text + "!")
			})
		}
	}
}

func TestPTYPasteLines(t *testing.T) {
	ed := edit(t, 40, 10, Options{Prompt: "> "})
	var want []string
	paste := "\x1b[200~"
	for i := range 2000 {
		want = append(want, fmt.Sprintf("line\t%d", i))
		paste += want[i] + "\r"
	}
	ed.send(paste + "rest\x1b[201~")
	ed.returns(want...)
	ed.shows("> line^I1999\n> rest", 6)
	ed.until("every line", func(v *vt) bool { return strings.Count(v.all(), "> line^I") == 2000 })
	ed.until("few erasures", func(v *vt) bool { return v.erased < 200 })
	ed.send("\r")
	ed.returns("rest")
}

func TestPTYPrompt(t *testing.T) {
	ed := edit(t, 40, 10, Options{Prompt: "> "})
	ed.send("abc" + left)
	ed.shows("> abc", 4)
	ed.SetPrompt("\x1b[32mother>\x1b[0m ")
	ed.shows("other> abc", 9)
	ed.send(ctrlL)
	ed.until("a clear screen", func(v *vt) bool { return v.String() == "other> abc" && v.at() == place{0, 9} })
	ed.send("\r")
	ed.returns("abc")
}

// Close while a line is typed: ReadLine ends, the line stays, what comes next
// begins below it, the terminal is as it was, nothing is left behind.
func TestPTYClose(t *testing.T) {
	setTerminal(t)
	p := openPTY(t, 40, 10)
	first := make(chan os.Signal, 1)
	signal.Notify(first, syscall.SIGWINCH) // the first Notify starts a goroutine that stays
	signal.Stop(first)
	before, goroutines := p.modes(), runtime.NumGoroutine()
	e, err := NewEditor(p.tty, p.tty, Options{Prompt: "> "})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := e.ReadLine()
		ended <- err
	}()
	p.send("typed" + left)
	p.shows("> typed", 6)
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-ended; err != os.ErrClosed {
		t.Errorf("ReadLine = %v; want os.ErrClosed", err)
	}
	p.until("the next line", func(v *vt) bool { return v.String() == "> typed" && v.at() == place{1, 0} && !v.paste })
	if after := p.modes(); after != before {
		t.Errorf("the terminal's modes were %+v, are %+v", before, after)
	}
	fmt.Fprint(e, "written after\n")
	p.shows("> typed\nwritten after", 0)
	if _, err := e.ReadLine(); err != os.ErrClosed {
		t.Errorf("ReadLine after Close = %v; want os.ErrClosed", err)
	}
	for late := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Now().After(late) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
		}
	}
}

// A panic in what the owner gave leaves the terminal as it was, if he deferred Close.
func TestPTYPanic(t *testing.T) {
	setTerminal(t)
	p := openPTY(t, 40, 10)
	before := p.modes()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		e, err := NewEditor(p.tty, p.tty, Options{Prompt: "> ", Complete: func(string, int) (int, []string) { panic("asked for") }})
		if err != nil {
			t.Error(err)
			return
		}
		defer e.Close()
		e.ReadLine()
	}()
	p.shows(">", 2)
	p.send("x\t")
	if r := <-done; r != "asked for" {
		t.Errorf("recovered %v", r)
	}
	if after := p.modes(); after != before {
		t.Errorf("the terminal's modes were %+v, are %+v", before, after)
	}
}

// The terminal goes away.
func TestPTYHangup(t *testing.T) {
	ed := edit(t, 40, 10, Options{Prompt: "> "})
	ed.send("typed")
	ed.shows("> typed", 7)
	ed.master.Close()
	ed.returns("error: EOF")
}

// A terminal that takes nothing does not keep the program from ending.
func TestPTYStalled(t *testing.T) {
	setTerminal(t)
	p := openPTY(t, 40, 10)
	e, err := NewEditor(p.tty, p.tty, Options{Prompt: "> "})
	if err != nil {
		t.Fatal(err)
	}
	before := p.modes()
	p.mu.Lock() // the screen shows nothing more: soon all that lies between is full
	var writer sync.WaitGroup
	writer.Go(func() { e.Write(bytes.Repeat([]byte("output\n"), 1<<16)) })
	for e.mu.TryLock() {
		e.mu.Unlock()
		runtime.Gosched()
	}
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if after := p.modes(); after == before {
		t.Error("the terminal is still in raw mode")
	}
	p.mu.Unlock()
	writer.Wait()
}

func TestPTYDumb(t *testing.T) {
	setTerminal(t)
	t.Setenv("TERM", "dumb")
	p := openPTY(t, 40, 10)
	before := p.modes()
	e, err := NewEditor(p.tty, p.tty, Options{Prompt: "> "})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if p.modes() != before {
		t.Error("the terminal's mode was changed")
	}
	p.send("line\n")
	if line, err := e.ReadLine(); line != "line" || err != nil {
		t.Errorf("ReadLine = %q, %v", line, err)
	}
	p.until("the prompt", func(v *vt) bool { return strings.Contains(v.String(), ">") && !v.paste })
	p.send("\x04")
	if line, err := e.ReadLine(); err != io.EOF {
		t.Errorf("ReadLine = %q, %v; want EOF", line, err)
	}
}

// Output that is no terminal: plain lines, no prompt.
func TestPTYOutputElsewhere(t *testing.T) {
	setTerminal(t)
	p := openPTY(t, 40, 10)
	shown, out := pipe(t)
	e, err := NewEditor(p.tty, out, Options{Prompt: "> "})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p.send("line\n")
	if line, err := e.ReadLine(); line != "line" || err != nil {
		t.Errorf("ReadLine = %q, %v", line, err)
	}
	out.Close()
	if got, _ := io.ReadAll(shown); len(got) > 0 {
		t.Errorf("written: %q", got)
	}
}

func TestPTYSize(t *testing.T) {
	p := openPTY(t, 123, 45)
	if !IsTerminal(p.tty) || Width(p.tty) != 123 || sizeOf(p.tty) != (size{123, 45}) {
		t.Errorf("terminal %v, width %d, size %v; want true, 123, 123×45", IsTerminal(p.tty), Width(p.tty), sizeOf(p.tty))
	}
	p.setSize(0, 0) // a serial line
	if sizeOf(p.tty) != (size{80, 24}) {
		t.Errorf("size %v when unknown; want 80×24", sizeOf(p.tty))
	}
}

// Another program may leave a terminal that they share non-blocking.
func TestPTYNonblocking(t *testing.T) {
	p := openPTY(t, 40, 10)
	nonblock := func(on bool) {
		withFD(p.tty, func(fd uintptr) {
			if err := syscall.SetNonblock(int(fd), on); err != nil {
				t.Fatal(err)
			}
		})
	}
	nonblock(false) // as a program is given it; that makes Go not wait for it by epoll
	withFD(p.tty, func(fd uintptr) {
		own, err := syscall.Dup(int(fd))
		if err != nil {
			t.Fatal(err)
		}
		p.tty = os.NewFile(uintptr(own), "tty")
	})
	defer p.tty.Close()
	ed := p.edit(Options{Prompt: "> "})
	nonblock(true)
	text := strings.Repeat("0123456789\n", 20000)
	if n, err := ed.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("Write = %d, %v; want %d", n, err, len(text))
	}
	ed.send("typed\r")
	ed.returns("typed")
	ed.until("all output", func(v *vt) bool { return len(v.gone) > 19990 && strings.Count(v.all(), "0123456789") == 20000 })
}

// What cannot be done rings the bell, and no more.
func TestPTYBell(t *testing.T) {
	ed := edit(t, 40, 10, Options{Prompt: "> "})
	for i, keys := range []string{"\t", up, down, ctrlT, ctrlR + "x", ctrlR + strings.Repeat("y", 300)} {
		ed.send(keys)
		ed.until(fmt.Sprintf("a bell after %q", keys), func(v *vt) bool { return v.bells > i })
	}
	ed.send(ctrlG + "fine\r")
	ed.returns("fine")
}
