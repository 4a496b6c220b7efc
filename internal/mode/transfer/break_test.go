package transfer

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/wsproto"
)

// A tunnel leads to a relay; the test cuts its connections, or holds them up.
type tunnel struct {
	t    *testing.T
	ln   net.Listener
	to   string
	down func(tn *tunnel, n int64)

	mu    sync.Mutex
	conns []net.Conn
}

// newTunnel makes one; down, if not nil, is called for what comes down.
func newTunnel(t *testing.T, url string, down func(tn *tunnel, n int64)) *tunnel {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tn := &tunnel{t: t, ln: ln, to: strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/"), down: down}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { tn.carry(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		tn.cut()
		running.Wait()
	})
	return tn
}

func (tn *tunnel) url() string { return "ws://" + tn.ln.Addr().String() + "/" }

func (tn *tunnel) carry(c net.Conn) {
	up, err := net.Dial("tcp", tn.to)
	if err != nil {
		c.Close()
		return
	}
	tn.mu.Lock()
	tn.conns = append(tn.conns, c, up)
	tn.mu.Unlock()
	go func() {
		io.Copy(up, c)
		up.Close()
		c.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := up.Read(buf)
		if n > 0 {
			tn.down(tn, int64(n))
			c.Write(buf[:n])
		}
		if err != nil {
			c.Close()
			up.Close()
			return
		}
	}
}

// cut breaks all connections.
func (tn *tunnel) cut() {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	for _, c := range tn.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	tn.conns = nil
}

// cutEvery cuts each time so many bytes more have come down.
func cutEvery(bytes, times int64) func(tn *tunnel, n int64) {
	var total, cuts atomic.Int64
	return func(tn *tunnel, n int64) {
		if at := total.Add(n); at/bytes > cuts.Load() && cuts.Load() < times {
			cuts.Add(1)
			tn.cut()
		}
	}
}

func TestTransferGoesOn(t *testing.T) {
	t.Parallel()
	path, content := fileOf(t, "x", 20<<20)
	url := relay(t)

	// The receiver loses its connection, three times.
	tn := newTunnel(t, url, cutEvery(5<<20, 3))
	r, dir := receiver(t, tn.url())
	kit.Background(t, Send, url, path).WantEnd(cli.ExitOK, "sent x")
	r.WantEnd(cli.ExitOK, "(?s)connecting again.*received x")
	wantFile(t, dir, "x", content)

	// Now the sender does; what comes down to it are acknowledgements.
	tn = newTunnel(t, url, cutEvery(2000, 3))
	r, dir = receiver(t, url)
	kit.Background(t, Send, "-window", "256k", tn.url(), path).WantEnd(cli.ExitOK, "(?s)connecting again.*sent x")
	r.WantEnd(cli.ExitOK, "received x")
	wantFile(t, dir, "x", content)
}

// TestTransferNoHelp: a server that ends each connection at once is not tried for
// ever, nor without pauses.
func TestTransferNoHelp(t *testing.T) {
	path, _ := fileOf(t, "x", 5)
	for _, m := range []cli.Mode{Send, Receive} {
		var conns atomic.Int64
		arg := path
		if m.Name == "receive" {
			arg = t.TempDir()
		}
		r := against(t, m, func(o *other) {
			conns.Add(1)
			o.conn.NetConn().Close()
		}, "-reconnect", "500ms", "ws://relay/", arg)
		if n := conns.Load(); n < 2 || n > 20 || r.Code != cli.ExitReceive {
			t.Errorf("%s: %d connections in half a second, exit %d: %s", m.Name, n, r.Code, r.Stderr)
		}
	}
}

func TestTransferServerRestarts(t *testing.T) {
	path, content := fileOf(t, "x", 8<<20)
	var s *wsproto.Server
	var chunks atomic.Int64
	var addr string
	stopped := make(chan struct{})
	s, addr = testRelay(t, "127.0.0.1:0", func(m wsproto.Message) [][]byte {
		if _, ok := parseChunk(m.Data); ok && chunks.Add(1) == 40 {
			go func() {
				s.Shutdown(t.Context())
				close(stopped)
			}()
		}
		return [][]byte{m.Data}
	})
	r, dir := receiver(t, "ws://"+addr+"/")
	x := kit.Background(t, Send, "ws://"+addr+"/", path)
	<-stopped
	testRelay(t, addr, func(m wsproto.Message) [][]byte { return [][]byte{m.Data} })
	x.WantEnd(cli.ExitOK, "(?s)connecting again.*sent x")
	r.WantEnd(cli.ExitOK, "received x")
	wantFile(t, dir, "x", content)
}

func TestTransferServerStays(t *testing.T) {
	t.Parallel()
	path, _ := fileOf(t, "x", 8<<20)
	var s *wsproto.Server
	var chunks atomic.Int64
	var addr string
	s, addr = testRelay(t, "127.0.0.1:0", func(m wsproto.Message) [][]byte {
		if _, ok := parseChunk(m.Data); ok && chunks.Add(1) == 40 {
			go s.Shutdown(t.Context())
		}
		return [][]byte{m.Data}
	})
	r, dir := receiver(t, "ws://"+addr+"/", "-reconnect", "100ms")
	kit.Background(t, Send, "-reconnect", "0", "ws://"+addr+"/", path).WantEnd(cli.ExitReceive, "connection closed: code 1001")
	r.WantEnd(cli.ExitReceive, "connection closed: code 1001")
	if left := filesIn(t, dir, ""); len(left) > 0 {
		t.Errorf("there is left: %q", left)
	}
}

// TestTransferStopped has a receiver that is told to stop in the middle: it leaves
// nothing behind (RL04).
func TestTransferStopped(t *testing.T) {
	t.Parallel()
	path, _ := fileOf(t, "x", 8<<20)
	var r *kit.Run
	var chunks atomic.Int64
	_, addr := testRelay(t, "127.0.0.1:0", func(m wsproto.Message) [][]byte {
		if _, ok := parseChunk(m.Data); ok && chunks.Add(1) == 40 {
			r.Running.Stop()
			<-r.Done
		}
		return [][]byte{m.Data}
	})
	dir := t.TempDir()
	r = receiverInto(t, dir, "ws://"+addr+"/")
	s := kit.Background(t, Send, "ws://"+addr+"/", path)
	r.WantEnd(cli.ExitSignal+15, "")
	s.Running.Stop()
	s.WantEnd(cli.ExitSignal+15, "")
	if left := filesIn(t, dir, ""); len(left) > 0 {
		t.Errorf("there is left: %q", left)
	}
}

// TestTransferResumes has a receiver that ends in the middle and keeps the part.
func TestTransferResumes(t *testing.T) {
	t.Parallel()
	path, content := fileOf(t, "x", 20<<20)
	url := relay(t)
	dir := t.TempDir()
	tn := newTunnel(t, url, cutEvery(8<<20, 1))
	r := receiverInto(t, dir, tn.url(), "-resume", "-reconnect", "0")
	s := kit.Background(t, Send, url, path)
	r.WantEnd(cli.ExitReceive, "socketsrv: ")
	s.Running.Stop()
	s.WantEnd(cli.ExitSignal+15, "")
	parts := filesIn(t, dir, "")
	if len(parts) != 1 || !regexp.MustCompile(`^\.x\.\w{8}\.part$`).MatchString(parts[0]) {
		t.Fatalf("there is left %q, want a part", parts)
	}

	r = receiverInto(t, dir, url, "-resume", "-v")
	kit.Background(t, Send, url, path).WantEnd(cli.ExitOK, "sent x")
	r.WantEnd(cli.ExitOK, `receiving x: 20971520 bytes, [1-9]\d{5,} of them here`)
	wantFile(t, dir, "x", content)
}

// TestTransferResumesAnother has a part that is of another file, one that is too
// long, and one that is a second name of what was published.
func TestTransferResumesAnother(t *testing.T) {
	t.Parallel()
	path, content := fileOf(t, "x", 1<<20)
	url := relay(t)
	dir := t.TempDir()
	other, _ := fileOf(t, "other", 500_000)
	if err := os.Rename(other, filepath.Join(dir, ".x.AAAAAAAA.part")); err != nil {
		t.Fatal(err)
	}
	r := receiverInto(t, dir, url, "-resume")
	kit.Background(t, Send, url, path).WantEnd(cli.ExitOK, "sent x")
	r.WantEnd(cli.ExitOK, "received x")
	wantFile(t, dir, "x", content)

	if err := os.Link(filepath.Join(dir, "x"), filepath.Join(dir, ".y.AAAAAAAA.part")); err != nil {
		t.Skip(err)
	}
	os.WriteFile(filepath.Join(dir, ".y.BBBBBBBB.part"), make([]byte, 2<<20), 0o600)
	y, changed := fileOf(t, "y", 1<<20+1)
	r = receiverInto(t, dir, url, "-resume")
	kit.Background(t, Send, url, y).WantEnd(cli.ExitOK, "sent y")
	r.WantEnd(cli.ExitOK, "received y")
	for name, want := range map[string][]byte{"x": content, "y": changed} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what was sent: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestTwoSenders have a file of the same name.
func TestTwoSenders(t *testing.T) {
	t.Parallel()
	url := relay(t)
	r, dir := receiver(t, url, "-keep")
	var paths [2]string
	var contents [2][]byte
	for i := range paths {
		paths[i], contents[i] = fileOf(t, "x", 3_000_000+i)
	}
	var senders [2]*kit.Run
	for i, path := range paths {
		senders[i] = kit.Background(t, Send, url, path)
	}
	exits := [2]int{senders[0].Wait(), senders[1].Wait()}
	if exits != [2]int{cli.ExitOK, cli.ExitFailure} && exits != [2]int{cli.ExitFailure, cli.ExitOK} {
		t.Fatalf("the senders end with %v: %s, %s", exits, senders[0].Stderr, senders[1].Stderr)
	}
	winner := 0
	if exits[1] == cli.ExitOK {
		winner = 1
	}
	senders[1-winner].Stderr.WaitFor(t, "refused: exists")
	r.Stop()
	wantFile(t, dir, "x", contents[winner])
}

// TestSourceChanges changes a file while it is sent.
func TestSourceChanges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"cut":    func(path string) error { return os.Truncate(path, 1<<20) },
		"longer": func(path string) error { return os.Truncate(path, 9<<20) },
	} {
		path, _ := fileOf(t, "x", 8<<20)
		var once sync.Once
		url := spoiled(t, func(m wsproto.Message) [][]byte {
			if _, ok := parseChunk(m.Data); ok {
				once.Do(func() {
					if err := change(path); err != nil {
						t.Error(err)
					}
				})
			}
			return [][]byte{m.Data}
		})
		r, dir := receiver(t, url)
		kit.Background(t, Send, "-window", "64k", url, path).WantEnd(cli.ExitFailure, "x: file changed during transfer")
		r.WantEnd(cli.ExitFailure, "the sender gave up: file changed during transfer")
		if left := filesIn(t, dir, ""); len(left) > 0 {
			t.Errorf("%s: there is left: %q", name, left)
		}
	}
}

// TestSlowReceiver lets through to the receiver what it may have at a time; the
// sender waits for it, and the server holds no more than the window.
func TestSlowReceiver(t *testing.T) {
	t.Parallel()
	const window, size = 256 << 10, 4 << 20
	path, content := fileOf(t, "x", size)
	var sent atomic.Int64
	url := spoiled(t, func(m wsproto.Message) [][]byte {
		if c, ok := parseChunk(m.Data); ok {
			sent.Store(c.offset + int64(len(c.data)))
		}
		return [][]byte{m.Data}
	})
	var through, most atomic.Int64
	tn := newTunnel(t, url, func(_ *tunnel, n int64) {
		through.Add(n)
		most.Store(max(most.Load(), sent.Load()-through.Load()))
	})
	r, dir := receiver(t, tn.url())
	kit.Background(t, Send, "-window", "256k", url, path).WantEnd(cli.ExitOK, "sent x")
	r.WantEnd(cli.ExitOK, "received x")
	wantFile(t, dir, "x", content)
	if most.Load() > window {
		t.Errorf("%d bytes were ahead of the receiver, want at most %d", most.Load(), window)
	}
}

// TestTransferKilled kills each of the three programs in the middle; a second send
// then goes on.
func TestTransferKilled(t *testing.T) {
	t.Parallel()
	path, content := fileOf(t, "x", 24<<20)
	for _, victim := range []string{"server", "sender", "receiver"} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			killOne(t, victim, path, content)
		})
	}
}

// killOne kills one of them in the middle.
func killOne(t *testing.T, victim, path string, content []byte) {
	dir := t.TempDir()
	start := func(args ...string) *kit.Process { return kit.StartProcess(t, kit.Program(t), args...) }
	server := start("-transfer", "-port", "0")
	url := "ws://" + server.WaitFor(`listening on ws (\S+)`)[1] + "/"
	halfway := make(chan struct{})
	var total atomic.Int64
	tn := newTunnel(t, url, func(_ *tunnel, n int64) {
		if at := total.Add(n); at > 12<<20 && at-n <= 12<<20 {
			close(halfway)
		}
	})
	recv := start("-receive", "-resume", "-reconnect", "1", "-timeout", "2", tn.url(), dir)
	recv.WaitFor("connected to")
	sender := start("-send", "-reconnect", "1", "-timeout", "2", url, path)
	<-halfway
	map[string]*kit.Process{"server": server, "sender": sender, "receiver": recv}[victim].Kill()
	for _, p := range []*kit.Process{sender, recv} {
		p.Wait()
	}
	if name := filesIn(t, dir, "x"); len(name) > 0 {
		if got, _ := os.ReadFile(filepath.Join(dir, "x")); !bytes.Equal(got, content) {
			t.Fatalf("%s killed: there is a file of %d bytes", victim, len(got))
		}
		return // it came through before the kill
	}
	server.Kill()

	url = relay(t)
	r := receiverInto(t, dir, url, "-resume", "-v")
	kit.Background(t, Send, url, path).WantEnd(cli.ExitOK, "sent x")
	r.WantEnd(cli.ExitOK, `receiving x: 25165824 bytes, [1-9]\d{4,} of them here`)
	wantFile(t, dir, "x", content)
}
