package term

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is also a program with a prompt, for what needs one: a shell
// that stops it, a terminal that is not made by us.

const beProgram = "TERM_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beProgram) != "" {
		if err := program(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// program says what was typed until Ctrl-D.
func program() error {
	e, err := NewEditor(os.Stdin, os.Stdout, Options{Prompt: "> "})
	if err != nil {
		return err
	}
	defer e.Close()
	fmt.Fprintf(e, "pid %d\n", os.Getpid())
	for {
		line, err := e.ReadLine()
		switch {
		case err == io.EOF:
			fmt.Fprintln(e, "bye")
			return nil
		case err != nil:
			return err
		}
		fmt.Fprintf(e, "got %q\n", line)
	}
}

// shell is a bash in its own session on p that can start the program as $PROGRAM.
func shell(t *testing.T) *pty {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash, whose job control this needs")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := openPTY(t, 100, 24)
	cmd := exec.Command(bash, "--norc", "--noprofile", "--noediting", "-i")
	cmd.Env = append(os.Environ(), beProgram+"=1", "PROGRAM="+exe, "PS1=$ ", "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.tty, p.tty, p.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	p.shows("$", 2)
	return p
}

// pid waits for the program to say its number.
func (p *pty) pid() (pid int) {
	p.t.Helper()
	p.until("the program", func(v *vt) bool {
		_, after, ok := strings.Cut(v.String(), "pid ")
		number, _, whole := strings.Cut(after, "\n")
		pid, _ = strconv.Atoi(number)
		return ok && (whole || v.at().col == 0)
	})
	return pid
}

const rawBits = syscall.ICANON | syscall.ECHO | syscall.ISIG | syscall.IEXTEN

func (p *pty) isRaw() bool { return p.modes().Lflag&rawBits == 0 }

// Ctrl-Z gives the shell its terminal back; fg gives the line back.
func TestShellCtrlZ(t *testing.T) {
	p := shell(t)
	before := p.modes()
	p.send("$PROGRAM\r")
	p.shows(">", 2)
	p.send("typed" + left + ctrlZ)
	p.until("the shell", func(v *vt) bool { return strings.Contains(v.String(), "Stopped") && strings.HasSuffix(v.String(), "$") })
	if p.modes() != before {
		t.Error("stopped, and the terminal is not as it was")
	}
	time.Sleep(2 * stopWait) // which goes by for who is stopped, too
	p.send("fg\r")
	p.shows("> typed", 6)
	if !p.isRaw() {
		t.Error("going on, and the terminal is not in raw mode")
	}
	p.send("!\r")
	p.shows("> type!d\ngot \"type!d\"\n>", 2)
	p.send(ctrlD)
	p.shows("bye\n$", 2)
	if p.modes() != before {
		t.Error("ended, and the terminal is not as it was")
	}
}

// Stopped from elsewhere, the program finds the terminal in the shell's mode.
func TestShellStop(t *testing.T) {
	p := shell(t)
	before := p.modes()
	p.send("$PROGRAM\r")
	pid := p.pid()
	p.shows(">", 2)
	p.send("typed")
	p.shows("> typed", 7)
	syscall.Kill(pid, syscall.SIGSTOP)
	p.until("the shell", func(v *vt) bool { return strings.Contains(v.String(), "Stopped") && strings.HasSuffix(v.String(), "$") })
	p.send("bg\r")
	p.until("the shell", func(v *vt) bool { return strings.HasSuffix(v.String(), "&\n$") })
	p.send("echo mine\r") // the shell's, not the program's
	p.until("the shell", func(v *vt) bool { return strings.HasSuffix(v.String(), "\nmine\n$") })
	p.send("fg\r")
	p.shows("> typed", 7)
	p.send("\r")
	p.shows("got \"typed\"\n>", 2)
	p.send(ctrlD)
	p.shows("bye\n$", 2)
	if p.modes() != before {
		t.Error("ended, and the terminal is not as it was")
	}
}

// Started in the background it runs there, and is given the terminal later.
func TestShellBackground(t *testing.T) {
	p := shell(t)
	p.send("$PROGRAM &\r")
	p.pid()
	p.send("jobs\r")
	p.until("a running job", func(v *vt) bool { return strings.Contains(v.String(), "Running") })
	p.send("fg\r")
	p.shows(">", 2)
	p.send("typed\r")
	p.shows("got \"typed\"\n>", 2)
	p.send(ctrlD)
	p.shows("bye\n$", 2)
}

// tmux is a terminal that others wrote.
type tmux struct {
	t      *testing.T
	socket string
}

func (m *tmux) run(args ...string) string {
	m.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-u", "-S", m.socket, "-f", os.DevNull}, args...)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return strings.TrimRight(string(out), "\n")
}

// openTmux has the program run in a window of that size.
func openTmux(t *testing.T, cols, rows int) *tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("no tmux to try this in")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("TMUX", "")
	m := &tmux{t, t.TempDir() + "/s"}
	m.run("new-session", "-d", "-x", strconv.Itoa(cols), "-y", strconv.Itoa(rows),
		"-e", beProgram+"=1", "exec '"+exe+"'")
	t.Cleanup(func() { m.run("kill-server") })
	return m
}

// shows waits for the last rows and the cursor's place, in any row if row is -1.
func (m *tmux) shows(rows string, col, row int) {
	m.t.Helper()
	want := fmt.Sprint(col, ",", row)
	for late := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		screen := m.run("capture-pane", "-p")
		at := m.run("display-message", "-p", "#{cursor_x},#{cursor_y}")
		if row < 0 {
			want = fmt.Sprint(col, at[strings.IndexByte(at, ','):])
		}
		if strings.HasSuffix("\n"+screen, "\n"+rows) && at == want {
			return
		}
		if time.Now().After(late) {
			m.t.Fatalf("tmux shows\n%s\n%s; want\n%s\n%s", screen, at, rows, want)
		}
	}
}

func (m *tmux) send(keys string) {
	m.t.Helper()
	var hex []string
	for i := range len(keys) {
		hex = append(hex, fmt.Sprintf("%02x", keys[i]))
	}
	m.run(append([]string{"send-keys", "-H"}, hex...)...)
}

func TestTmux(t *testing.T) {
	m := openTmux(t, 20, 8)
	m.shows(">", 2, 1)
	m.send(ctrlL)
	for _, step := range []struct {
		keys, rows string
		col, row   int
	}{
		{"abcdefghijklmnopqr", "> abcdefghijklmnopqr", 0, 1},
		{"s", "> abcdefghijklmnopqr\ns", 1, 1},
		{ctrlH, "> abcdefghijklmnopqr", 0, 1},
		{ctrlH, "> abcdefghijklmnopq", 19, 0},
		{"日", "> abcdefghijklmnopq\n日", 2, 1},
		{left, "> abcdefghijklmnopq\n日", 0, 1},
		{left, "> abcdefghijklmnopq\n日", 18, 0},
		{"x", "> abcdefghijklmnopxq\n日", 19, 0},
		{ctrlE + "本語👍é", "> abcdefghijklmnopxq\n日本語👍é", 9, 1},
		{ctrlA, "> abcdefghijklmnopxq\n日本語👍é", 2, 0},
		{"語", "> 語abcdefghijklmnop\nxq日本語👍é", 4, 0},
		{ctrlE + "\x1b[D\x1b[D\x7f", "> 語abcdefghijklmnop\nxq日本👍é", 6, 1},
		{ctrlU + ctrlK + "\x16\x03\x16\x1b한글e\u0301!", "> ^C^[한글e\u0301!", 12, 0},
		{ctrlU + "12345678日\r", "got \"12345678日\"\n>", 2, 2},
	} {
		m.send(step.keys)
		m.shows(step.rows, step.col, step.row)
	}
	m.send("012345678901234567890123456789012345678")
	m.shows("got \"12345678日\"\n> 012345678901234567\n89012345678901234567\n8", 1, 4)
	for _, step := range []struct {
		cols int
		rows string // with one more character
		col  int
	}{
		{30, "> 0123456789012345678901234567\n890123456789", 12},
		{42, "> 0123456789012345678901234567890123456789\n0", 1},
		{41, "> 012345678901234567890123456789012345678\n901", 3},
		{22, "> 01234567890123456789\n0123456789012345678901\n2", 1},
		{60, "> 0123456789012345678901234567890123456789012" + "3", 46},
	} {
		m.resize(step.cols, 8)
		m.send(string(step.rows[len(step.rows)-1]))
		m.shows("got \"12345678日\"\n"+step.rows, step.col, -1) // tmux may bring back rows from above
	}
}

// resize returns when the program can know the new size. A key after that has it
// drawn with both sides agreeing.
func (m *tmux) resize(cols, rows int) {
	m.t.Helper()
	tty, err := os.OpenFile(m.run("display-message", "-p", "#{pane_tty}"), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	defer tty.Close()
	m.run("resize-window", "-x", strconv.Itoa(cols), "-y", strconv.Itoa(rows))
	for late := time.Now().Add(patience); Width(tty) != cols; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			m.t.Fatalf("the window has %d columns; want %d", Width(tty), cols)
		}
	}
}

// Pastes through tmux's own paste, bracketed and not.
func TestTmuxPaste(t *testing.T) {
	m := openTmux(t, 40, 10)
	m.shows(">", 2, 1)
	name := t.TempDir() + "/paste"
	text := strings.Repeat("0123456789", 1000)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.run("load-buffer", name)
	for _, flag := range []string{"-p", "-r"} {
		m.run("paste-buffer", flag)
		m.shows(strings.Repeat("8901234567890123456789012345678901234567\n", 8)+"89", 2, 9)
		m.send(ctrlU + "next\r")
		m.shows("> next\ngot \"next\"\n>", 2, 3)
	}
	m.send("ab" + ctrlZ + "c\r") // no shell here that could go on with it: nothing stops
	m.shows("> ab\n> abc\ngot \"abc\"\n>", 2, -1)
}
