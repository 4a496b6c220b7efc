package kit

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"socketsrv/internal/cli"
)

// A Process is the built program.
type Process struct {
	t      *testing.T
	cmd    *exec.Cmd
	Stderr Written
	ended  chan struct{}
}

// StartProcess starts a program, to the end of the test.
func StartProcess(t *testing.T, bin string, args ...string) *Process {
	t.Helper()
	p := newProcess(t, exec.Command(bin, args...))
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.watch()
	return p
}

// StartCommand starts cmd, or skips the test where that is not allowed.
func StartCommand(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := newProcess(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	p.watch()
	return p
}

func newProcess(t *testing.T, cmd *exec.Cmd) *Process {
	p := &Process{t: t, cmd: cmd, Stderr: Written{cli.NewRecord()}, ended: make(chan struct{})}
	cmd.Stderr = p.Stderr
	return p
}

// watch notes the end of p, which the test brings about if nobody else does.
func (p *Process) watch() {
	go func() {
		defer close(p.ended)
		p.cmd.Wait()
	}()
	p.t.Cleanup(p.Kill)
}

// Limit is what prlimit(1) does to p.
func (p *Process) Limit(option string) {
	p.t.Helper()
	if out, err := exec.Command("prlimit", "--pid", strconv.Itoa(p.cmd.Process.Pid), option).CombinedOutput(); err != nil {
		p.t.Skipf("prlimit: %v %s", err, out)
	}
}

// End sends SIGTERM and wants an end with 0.
func (p *Process) End() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("exit %d: %s", code, p.Stderr)
	}
}

// Memory is a figure of /proc/PID/status, in bytes.
func (p *Process) Memory(name string) int {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\n"+name+":")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		p.t.Fatal(err)
	}
	return n << 10
}

func (p *Process) WaitFor(pattern string) []string {
	p.t.Helper()
	return p.Stderr.WaitFor(p.t, pattern)
}

func (p *Process) Kill() {
	p.cmd.Process.Kill()
	p.Wait()
}

func (p *Process) Wait() {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Patience):
		p.t.Fatalf("the process does not end: %s", p.Stderr)
	}
}

// A foreignServer is one in another language. The first line it prints is its
// port; it ends by itself, or with the test.
type foreignServer struct {
	Port string
	Rest chan string // what it prints after that, when it has ended
}

func StartForeign(t *testing.T, language, script string, args ...string) foreignServer {
	t.Helper()
	path, err := exec.LookPath(language)
	if err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{file}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	s := foreignServer{Rest: make(chan string, 1)}
	r := bufio.NewReader(out)
	line, _ := r.ReadString('\n')
	s.Port = strings.TrimSpace(line)
	go func() {
		rest, _ := io.ReadAll(r)
		s.Rest <- string(rest)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return s
}

// A foreignPeer is a program of somebody else's that talks to a dump.
type foreignPeer struct {
	t   *testing.T
	cmd *exec.Cmd
	In  io.WriteCloser
	out *Transcript
}

// StartPeer starts a program, or skips the test where it is missing.
func StartPeer(t *testing.T, name string, args ...string) *foreignPeer {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("no %s here", name)
	}
	p := &foreignPeer{t: t, cmd: exec.Command(name, args...), out: NewTranscript()}
	var err error
	if p.In, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.In.Close()
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	return p
}

func (p *foreignPeer) Send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.In, s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *foreignPeer) Want(pattern string) {
	p.t.Helper()
	p.out.Want(p.t, pattern)
}

// WantEnd waits until the program has ended well.
func (p *foreignPeer) WantEnd() {
	p.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			p.t.Errorf("%s: %v: %s", p.cmd.Path, err, p.out)
		}
	case <-time.After(Patience):
		p.t.Errorf("%s does not end", p.cmd.Path)
	}
}

// RunPeer runs a script of another language with args and returns what it prints.
func RunPeer(t *testing.T, language, script string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(language)
	if err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "peer")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, append([]string{file}, args...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v", language, err)
	}
	return string(out)
}

// A Transcript is a stdout or stderr that a test reads while it is written.
type Transcript struct {
	Mu   sync.Mutex
	text []byte
	at   int // what comes before was wanted and found
	grew chan struct{}
	Fail error // what Write returns
}

func NewTranscript() *Transcript { return &Transcript{grew: make(chan struct{}, 1)} }

func (w *Transcript) Write(p []byte) (int, error) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	if w.Fail != nil {
		return 0, w.Fail
	}
	w.text = append(w.text, p...)
	select {
	case w.grew <- struct{}{}:
	default:
	}
	return len(p), nil
}

// Want waits until what was written after the last one matches, and returns the match.
func (w *Transcript) Want(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	late := time.NewTimer(Patience)
	defer late.Stop()
	for {
		w.Mu.Lock()
		rest := w.text[w.at:]
		loc := re.FindIndex(rest)
		if loc != nil {
			w.at += loc[1]
		}
		w.Mu.Unlock()
		if loc != nil {
			return string(rest[loc[0]:loc[1]])
		}
		select {
		case <-w.grew:
		case <-late.C:
			t.Fatalf("nothing matches %q in %.2000q", pattern, rest)
		}
	}
}

func (w *Transcript) String() string {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return string(w.text)
}
