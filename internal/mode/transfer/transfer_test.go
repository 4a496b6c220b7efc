package transfer

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/files"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// relay is the URL of a transfer server.
func relay(t *testing.T, flags ...string) string {
	t.Helper()
	r := kit.Background(t, Transfer, append(flags, "-port", "0")...)
	url := "ws://" + r.Addr("ws") + "/"
	relays.Store(url, r)
	return url
}

// receiver runs -receive into a folder that it makes until it is connected.
func receiver(t *testing.T, url string, flags ...string) (r *kit.Run, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "new")
	return receiverInto(t, dir, url, flags...), dir
}

func receiverInto(t *testing.T, dir, url string, flags ...string) *kit.Run {
	t.Helper()
	wait := joining(t, url)
	r := kit.Background(t, Receive, append(flags, url, dir)...)
	r.Stderr.WaitFor(t, "connected to")
	wait()
	return r
}

// joining returns what waits for another client of the transfer server at url: who
// is connected need not be heard yet.
func joining(t *testing.T, url string) (wait func()) {
	v, _ := relays.Load(url)
	server, ok := v.(*kit.Run)
	if !ok {
		return func() {}
	}
	clients := len(joined.FindAllString(server.Stderr.String(), -1))
	return func() {
		t.Helper()
		server.Stderr.WaitFor(t, fmt.Sprintf(`(?s)(client \d+: \d.*){%d}`, clients+1))
	}
}

// joined is what a transfer server says of a client that came.
var joined = regexp.MustCompile(`client \d+: \d`)

// relays are the transfer servers by URL.
var relays sync.Map

// fileOf makes a file of size bytes.
func fileOf(t *testing.T, name string, size int) (path string, content []byte) {
	t.Helper()
	content = make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(content)
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o6777); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// wantFile checks that the folder holds the file, and nothing hidden.
func wantFile(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%s: %d bytes, %v; want the %d that were sent", name, len(got), err, len(content))
	}
	if parts := filesIn(t, dir, "."); len(parts) > 0 {
		t.Errorf("there is left: %q", parts)
	}
}

func TestMain(m *testing.M) { os.Exit(kit.Main(m, Transfer, Send, Receive)) }

// filesIn are the names in a folder that begin with prefix.
func filesIn(t *testing.T, dir, prefix string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestTransferSizes(t *testing.T) {
	t.Parallel()
	url := relay(t)
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 9 << 20} {
		name := fmt.Sprintf("f%d", size)
		path, content := fileOf(t, name, size)
		r, dir := receiver(t, url)
		kit.Background(t, Send, url, path).WantEnd(cli.ExitOK, "sent "+name)
		r.WantEnd(cli.ExitOK, "received "+name)
		wantFile(t, dir, name, content)
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode()&^0o644 != 0 {
			t.Errorf("%s has mode %v, %v; want at most 0644", name, info.Mode(), err)
		}
	}
}

// TestTransferToSome sends three files to three receivers, one of which stays.
func TestTransferToSome(t *testing.T) {
	url := relay(t)
	var paths []string
	var contents [][]byte
	for i := range 3 {
		path, content := fileOf(t, fmt.Sprintf("f%d", i), 300_000*i)
		paths, contents = append(paths, path), append(contents, content)
	}
	var runs []*kit.Run
	var dirs []string
	for _, flags := range [][]string{{"-keep"}, nil, {"-resume"}} {
		r, dir := receiver(t, url, flags...)
		runs, dirs = append(runs, r), append(dirs, dir)
	}
	kit.Background(t, Send, append([]string{"-receivers", "3", url}, paths...)...).WantEnd(cli.ExitOK, "(?s)f0: .*f1: .*f2: .* 3 receivers")
	runs[1].WantEnd(cli.ExitOK, "received f2")
	runs[2].WantEnd(cli.ExitOK, "received f2")
	another, content := fileOf(t, "another", 5)
	kit.Background(t, Send, url, another).WantEnd(cli.ExitOK, "sent another")
	if exit := runs[0].Stop(); exit != cli.ExitSignal+15 {
		t.Errorf("a receiver that stays ends with %d", exit)
	}
	wantFile(t, dirs[0], "another", content)
	for _, dir := range dirs {
		for i, content := range contents {
			wantFile(t, dir, fmt.Sprintf("f%d", i), content)
		}
	}
}

func TestTransferExists(t *testing.T) {
	url := relay(t)
	path, content := fileOf(t, "x", 100_000)
	dir := t.TempDir()
	old := []byte("old bytes")
	if err := os.WriteFile(filepath.Join(dir, "x"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	r := receiverInto(t, dir, url)
	kit.Background(t, Send, url, path).WantEnd(cli.ExitFailure, "x: refused: exists")
	wantFile(t, dir, "x", old)
	r.Stop()

	r = receiverInto(t, dir, url, "-overwrite")
	kit.Background(t, Send, url, path).WantEnd(cli.ExitOK, "sent x")
	r.WantEnd(cli.ExitOK, "received x")
	wantFile(t, dir, "x", content)
}

func TestSendRefusesAtOnce(t *testing.T) {
	path, _ := fileOf(t, "x", 1)
	for _, tt := range []struct {
		args    []string
		exit    int
		pattern string
	}{
		{[]string{filepath.Join(t.TempDir(), "none")}, cli.ExitRead, "no such file"},
		{[]string{t.TempDir()}, cli.ExitRead, "not a regular file"},
		{[]string{os.DevNull}, cli.ExitRead, "not a regular file"},
		{[]string{path, path}, cli.ExitUsage, "two files are called"},
		{[]string{"-name", "-rf", path}, cli.ExitRead, "begins with a dot or a dash"},
		{[]string{"-name", "y", path, path}, cli.ExitUsage, "-name is for one file"},
		{[]string{"-window", "1", path}, cli.ExitUsage, "-window"},
	} {
		// Nobody listens on port 1: it must not even be tried.
		kit.Background(t, Send, append([]string{"ws://127.0.0.1:1/"}, tt.args...)...).WantEnd(tt.exit, tt.pattern)
	}
	kit.Background(t, Send, "ws://127.0.0.1:1/", path).WantEnd(cli.ExitConnect, "refused")
	kit.Background(t, Send, "-wait", "100ms", relay(t), path).WantEnd(cli.ExitTimeout, "no receiver within 100ms")
	kit.Background(t, Send, "udp://127.0.0.1:1", path).WantEnd(cli.ExitUsage, "want a ws or wss URL")
	kit.Background(t, Receive, "ws://127.0.0.1:1/", filepath.Join(t.TempDir(), "none", "none")).WantEnd(cli.ExitWrite, "no such file")
}

// A spoiler is a relay that may change what it relays: it returns what to send.
type spoiler func(m wsproto.Message) [][]byte

// spoiled is the URL of such a relay.
func spoiled(t *testing.T, change spoiler) string {
	t.Helper()
	_, addr := testRelay(t, "127.0.0.1:0", change)
	return "ws://" + addr + "/"
}

// testRelay relays until the test ends.
func testRelay(t *testing.T, addr string, change spoiler) (*wsproto.Server, string) {
	t.Helper()
	ln, err := cli.System().Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var g wsproto.Group
	g.ExcludeSender, g.Queue = true, 64<<20
	s := &wsproto.Server{
		OnMessage: func(u *wsproto.User, m wsproto.Message) {
			for _, p := range change(m) {
				g.Send(u, m.Opcode, p)
			}
		},
		OnDisconnect: func(u *wsproto.User, err error) { g.Remove(u) },
	}
	s.OnConnect = func(u *wsproto.User, _ *httpmini.Request) { g.Add(u) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(ln)
	}()
	t.Cleanup(func() {
		s.Shutdown(t.Context())
		<-done
	})
	return s, ln.Addr().String()
}

// nthChunk makes a spoiler of the chunk with the number n, from 0.
func nthChunk(n int64, change func(p []byte) [][]byte) spoiler {
	var count atomic.Int64
	return func(m wsproto.Message) [][]byte {
		if _, ok := parseChunk(m.Data); ok && count.Add(1)-1 == n {
			return change(m.Data)
		}
		return [][]byte{m.Data}
	}
}

// spoiledKind makes a spoiler of the messages of a kind.
func spoiledKind(kind, from, to string) spoiler {
	return func(m wsproto.Message) [][]byte {
		if bytes.Contains(m.Data, []byte(`"kind":"`+kind+`"`)) {
			return [][]byte{bytes.Replace(m.Data, []byte(from), []byte(to), 1)}
		}
		return [][]byte{m.Data}
	}
}

func TestSpoiledChunks(t *testing.T) {
	path, content := fileOf(t, "x", 300_000)
	var held []byte
	for _, tt := range []struct {
		name   string
		change spoiler
		reason string
	}{
		{"dropped", nthChunk(2, func(p []byte) [][]byte { return nil }), errOrder.Error()},
		{"the last dropped", nthChunk(4, func(p []byte) [][]byte { return nil }), errShort.Error()},
		{"repeated", nthChunk(1, func(p []byte) [][]byte { return [][]byte{p, p} }), errOrder.Error()},
		{"cut", nthChunk(1, func(p []byte) [][]byte { return [][]byte{p[:1000]} }), errOrder.Error()},
		{"the last longer", nthChunk(4, func(p []byte) [][]byte { return [][]byte{append(bytes.Clone(p), 1)} }), errBeyond.Error()},
		{"swapped", func() spoiler {
			first := nthChunk(1, func(p []byte) [][]byte { held = bytes.Clone(p); return nil })
			second := nthChunk(2, func(p []byte) [][]byte { return [][]byte{p, held} })
			return func(m wsproto.Message) [][]byte {
				if out := first(m); len(out) == 0 {
					second(m)
					return out
				}
				return second(m)
			}
		}(), errOrder.Error()},
		{"done of another size", spoiledKind("done", `"size":300000`, `"size":299999`), errDifferent.Error()},
		{"offer of another name", spoiledKind("offer", `"name":"x"`, `"name":"y"`), errDifferent.Error()},
	} {
		url := spoiled(t, tt.change)
		r, dir := receiver(t, url)
		kit.Background(t, Send, url, path).WantEnd(cli.ExitFailure, "receiver .*: "+tt.reason)
		r.WantEnd(cli.ExitFailure, tt.reason)
		if left := filesIn(t, dir, ""); len(left) > 0 {
			t.Errorf("%s: there is left: %q", tt.name, left)
		}
	}

	// What is lost on the way but can be asked for again is no loss.
	var starts atomic.Int64
	url := spoiled(t, func(m wsproto.Message) [][]byte {
		if bytes.Contains(m.Data, []byte(`"kind":"start"`)) && starts.Add(1) == 1 {
			return nil
		}
		return [][]byte{m.Data}
	})
	r, dir := receiver(t, url)
	kit.Background(t, Send, url, path).WantEnd(cli.ExitOK, "sent x")
	r.WantEnd(cli.ExitOK, "received x")
	wantFile(t, dir, "x", content)
}

// TestFlippedBits flips one bit of a chunk in each of many transfers.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	const flips = 100
	url := spoiled(t, func(m wsproto.Message) [][]byte {
		if c, ok := parseChunk(m.Data); ok {
			bit := rand.IntN(8 * len(c.data))
			c.data[bit/8] ^= 1 << (bit % 8)
		}
		return [][]byte{m.Data}
	})
	r, dir := receiver(t, url, "-keep")
	path, _ := fileOf(t, "x", 5000)
	for range flips {
		kit.Background(t, Send, url, path).WantEnd(cli.ExitFailure, errSum.Error())
	}
	r.Stop()
	if left := filesIn(t, dir, ""); len(left) > 0 {
		t.Errorf("there is left: %q", left)
	}
	if n := strings.Count(r.Stderr.String(), errSum.Error()); n != flips {
		t.Errorf("%d bits were flipped, %d found", flips, n)
	}
}

// TestSpoiledOffers has names and sizes on the way that are not for us.
func TestSpoiledOffers(t *testing.T) {
	t.Parallel()
	var offer atomic.Value // what stands in place of the name and the size
	url := spoiled(t, func(m wsproto.Message) [][]byte {
		return [][]byte{bytes.Replace(m.Data, []byte(`"name":"x","size":7}`), []byte(offer.Load().(string)+"}"), 1)}
	})
	r, dir := receiver(t, url, "-max-size", "1G")
	path, _ := fileOf(t, "x", 7)
	tests := []struct{ offer, want string }{
		{`"name":"x","size":9223372036854775807`, "refused: larger than -max-size"},
		{`"name":"x","size":-1`, "refused: bad offer: size"},
		{`"name":"x","size":1e400`, "refused: bad offer: size"},
		{`"size":7`, "refused: bad offer: name: a key is missing"},
		{`"name":"x","size":7,"size":8`, "refused: bad offer: a key comes twice"},
		{`"name":"a\ud800","size":7`, "refused: unsafe name"},
	}
	for _, name := range []string{"", "../../x", "a/b", "a:b", `C:\\x`, "..", ".bashrc", "-rf", "x.", "CON", "nul.txt", "x\x1b[31m", "cod\u202egpj.exe", strings.Repeat("x", 256)} {
		quoted := string(appendControl(nil, &control{kind: "done", name: name}))
		_, quoted, _ = strings.Cut(quoted, `"name":`)
		quoted, _, _ = strings.Cut(quoted, `,"size"`)
		tests = append(tests, struct{ offer, want string }{`"name":` + quoted + `,"size":7`, "refused: unsafe name"})
	}
	for _, tt := range tests {
		offer.Store(tt.offer)
		kit.Background(t, Send, url, path).WantEnd(cli.ExitFailure, tt.want)
		if left := filesIn(t, dir, ""); len(left) > 0 {
			t.Fatalf("%s: there is %q", tt.offer, left)
		}
	}
	select {
	case <-r.Done:
		t.Errorf("the receiver ended: %s", r.Stderr)
	default:
	}
	if escapes := strings.ContainsAny(r.Stderr.String(), "\x1b\u202e"); escapes {
		t.Errorf("a name came through unescaped: %q", r.Stderr)
	}
}

// TestTransferOverBroadcast has a server that gives everything back to who sent
// it, and says who comes and goes.
func TestTransferOverBroadcast(t *testing.T) {
	url := "ws://" + kit.Background(t, broadcast.Mode, "-port", "0").Addr("ws") + "/"
	path, content := fileOf(t, "x", 5<<20)
	r, dir := receiver(t, url)
	kit.Background(t, Send, "-window", "256k", url, path).WantEnd(cli.ExitOK, "sent x")
	r.WantEnd(cli.ExitOK, "received x")
	wantFile(t, dir, "x", content)
}

func TestTransferTLSAndToken(t *testing.T) {
	if !tlsconf.Available {
		t.Skip("this build has no TLS")
	}
	server := kit.Background(t, Transfer, "-port", "0", "-tls", "-token", "s3cret")
	url := "wss://" + server.Addr("wss") + "/"
	path, content := fileOf(t, "x", 300_000)
	r, dir := receiver(t, url, "-k", "-H", "Authorization: Bearer s3cret")
	kit.Background(t, Send, "-k", url, path).WantEnd(cli.ExitRefused, "401")
	kit.Background(t, Send, "-k", "-H", "Authorization: Bearer s3cret", url, path).WantEnd(cli.ExitOK, "sent x")
	r.WantEnd(cli.ExitOK, "received x")
	wantFile(t, dir, "x", content)
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := &files.Progress{Out: &out, Now: func() time.Time { return now }, Width: func() int { return 60 }}
	p.Begin("a\x1b.bin", 10<<20)
	p.At(0)
	now = now.Add(time.Second)
	p.At(2 << 20)
	p.At(3 << 20) // too soon after the last
	now = now.Add(time.Second)
	p.At(1 << 20) // it went back
	(*files.AboveBar)(p).Write([]byte("status\n"))
	p.Clear()
	want := `  0% 0/10.0M a\x1b.bin` + "\r\x1b[J" + ` 20% 2.0M/10.0M 2.0M/s 4s left a\x1b.bin` + "\r\x1b[J" +
		` 10% 1.0M/10.0M a\x1b.bin` + "\r\x1b[Jstatus\n"
	if out.String() != want {
		t.Errorf("the terminal gets %q\nwant %q", &out, want)
	}
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1 << 10: "1.0k", 3 << 29: "1.5G", 1 << 62: "4194304.0T"} {
		if got := files.ShortSize(n); got != want {
			t.Errorf("shortSize(%d) = %s, want %s", n, got, want)
		}
	}
}

// TestTransferUnix: clients of a Unix socket have no address.
func TestTransferUnix(t *testing.T) {
	path := t.TempDir() + "/s"
	p := kit.Background(t, Transfer, "-host", "unix:"+path, "-json")
	p.Stdout.WaitFor(t, `"listening"`)
	c, _, err := wsproto.Dial(t.Context(), "ws+unix:"+path, wsproto.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close(wsproto.StatusNormalClosure, "")
	p.Stdout.WaitFor(t, `"event":"open","proto":"ws","client":0,"path":"/"`)
	p.Stdout.WaitFor(t, `"event":"close","proto":"ws","client":0,"code":1000`)
}
