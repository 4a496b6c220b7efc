package mode

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
)

// A process is the built program.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr written
	ended  chan struct{}
}

func startProcess(t *testing.T, bin string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(bin, args...), stderr: written{newRecord()}, ended: make(chan struct{})}
	p.cmd.Stderr = p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.cmd.Wait()
	}()
	t.Cleanup(p.kill)
	return p
}

// limit is what prlimit(1) does to p.
func (p *process) limit(option string) {
	p.t.Helper()
	if out, err := exec.Command("prlimit", "--pid", strconv.Itoa(p.cmd.Process.Pid), option).CombinedOutput(); err != nil {
		p.t.Skipf("prlimit: %v %s", err, out)
	}
}

// end sends SIGTERM and wants an end with 0.
func (p *process) end() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("exit %d: %s", code, p.stderr)
	}
}

// memory is a figure of /proc/PID/status, in bytes.
func (p *process) memory(name string) int {
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

func (p *process) waitFor(pattern string) []string {
	p.t.Helper()
	return p.stderr.waitFor(p.t, pattern)
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.wait()
}

func (p *process) wait() {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("the process does not end: %s", p.stderr)
	}
}

// A foreignServer is one in another language. The first line it prints is its
// port; it ends by itself, or with the test.
type foreignServer struct {
	port string
	rest chan string // what it prints after that, when it has ended
}

func startForeign(t *testing.T, language, script string, args ...string) foreignServer {
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
	s := foreignServer{rest: make(chan string, 1)}
	r := bufio.NewReader(out)
	line, _ := r.ReadString('\n')
	s.port = strings.TrimSpace(line)
	go func() {
		rest, _ := io.ReadAll(r)
		s.rest <- string(rest)
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
	in  io.WriteCloser
	out *transcript
}

// startPeer starts a program, or skips the test where it is missing.
func startPeer(t *testing.T, name string, args ...string) *foreignPeer {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("no %s here", name)
	}
	p := &foreignPeer{t: t, cmd: exec.Command(name, args...), out: newTranscript()}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.in.Close()
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	return p
}

func (p *foreignPeer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *foreignPeer) want(pattern string) {
	p.t.Helper()
	p.out.want(p.t, pattern)
}

// wantEnd waits until the program has ended well.
func (p *foreignPeer) wantEnd() {
	p.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			p.t.Errorf("%s: %v: %s", p.cmd.Path, err, p.out)
		}
	case <-time.After(dumpPatience):
		p.t.Errorf("%s does not end", p.cmd.Path)
	}
}

// runPeer runs a script of another language with args and returns what it prints.
func runPeer(t *testing.T, language, script string, args ...string) string {
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

// A transcript is a stdout or stderr that a test reads while it is written.
type transcript struct {
	mu   sync.Mutex
	text []byte
	at   int // what comes before was wanted and found
	grew chan struct{}
	fail error // what Write returns
}

func newTranscript() *transcript { return &transcript{grew: make(chan struct{}, 1)} }

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return 0, w.fail
	}
	w.text = append(w.text, p...)
	select {
	case w.grew <- struct{}{}:
	default:
	}
	return len(p), nil
}

// want waits until what was written after the last one matches, and returns the match.
func (w *transcript) want(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	late := time.NewTimer(dumpPatience)
	defer late.Stop()
	for {
		w.mu.Lock()
		rest := w.text[w.at:]
		loc := re.FindIndex(rest)
		if loc != nil {
			w.at += loc[1]
		}
		w.mu.Unlock()
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

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

const dumpPatience = 20 * time.Second
