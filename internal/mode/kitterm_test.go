package mode

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A terminal is a tmux with the program in it.
type terminal struct {
	t      *testing.T
	socket string
	state  string // XDG_STATE_HOME
}

// newTerminal returns a terminal with nothing in it yet.
func newTerminal(t *testing.T) *terminal {
	t.Helper()
	if testing.Short() {
		t.Skip("starts programs")
	}
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("no tmux: ", err)
	}
	dir, err := os.MkdirTemp("", "tmux") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, socket: filepath.Join(dir, "s"), state: filepath.Join(dir, "state")}
	t.Cleanup(func() {
		term.tmux("kill-server")
		os.RemoveAll(dir)
	})
	return term
}

func (term *terminal) tmux(args ...string) string {
	cmd := exec.Command("tmux", append([]string{"-S", term.socket, "-f", "/dev/null"}, args...)...)
	cmd.Env = append(os.Environ(), "TMUX=", "LANG=C.UTF-8", "LC_ALL=C.UTF-8")
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// run starts the program in a window of its own.
func (term *terminal) run(args ...string) {
	term.t.Helper()
	self, err := os.Executable()
	if err != nil {
		term.t.Fatal(err)
	}
	script := `"$0" "$@"; echo "exit $?"; exec cat`
	command := []string{"new-session", "-d", "-x", "80", "-y", "24", "env", "SOCKETSRV_TEST_PROGRAM=connect", "XDG_STATE_HOME=" + term.state,
		"NO_COLOR=1", "TERM=xterm", "GOCOVERDIR=" + term.t.TempDir(), "sh", "-c", script, self, "-connect"}
	if out := term.tmux(append(command, args...)...); out != "" {
		term.t.Fatalf("tmux: %s", out)
	}
}

// keys types the names of keys, as tmux has them.
func (term *terminal) keys(keys ...string) { term.tmux(append([]string{"send-keys"}, keys...)...) }

// types types text as it is.
func (term *terminal) types(text string) { term.tmux("send-keys", "-l", "--", text) }

// paste pastes text, marked as such.
func (term *terminal) paste(text string) {
	name := filepath.Join(term.t.TempDir(), "paste")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		term.t.Fatal(err)
	}
	term.tmux("load-buffer", name)
	term.tmux("paste-buffer", "-p")
}

// text is the screen with what has left it at the top.
func (term *terminal) text() string {
	if term == nil {
		return ""
	}
	return strings.TrimRight(term.tmux("capture-pane", "-p", "-S", "-"), "\n")
}

// shows waits until the screen, with what has left it at the top, matches.
func (term *terminal) shows(pattern string) {
	term.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	deadline := time.Now().Add(patience)
	for {
		screen := term.text()
		if re.MatchString(screen) {
			return
		}
		if time.Now().After(deadline) {
			term.t.Fatalf("the screen never shows %s; it is\n%s", pattern, screen)
		}
	}
}

// buildProgram builds the program, or skips the test.
func buildProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socketsrv")
	if out, err := exec.Command("go", "build", "-o", path, "socketsrv").CombinedOutput(); err != nil {
		t.Skipf("the program cannot be built here: %v: %s", err, out)
	}
	return path
}
