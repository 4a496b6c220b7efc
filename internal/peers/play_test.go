package peers

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/play"
	"socketsrv/internal/mode/proxy"
	"socketsrv/internal/talkfile"
)

// A said is what one side of a conversation sends.
type said struct {
	byServer bool
	kind     talkfile.Kind
	data     []byte
}

// randomTalk is a conversation: who speaks, and what. The bytes are such as every framing
// can carry. Where silence ends a message they take turns, so that nothing depends on how
// long it is.
func randomTalk(r *rand.Rand, websocket, turns bool) (all []said) {
	alphabet := []byte("abc \xff\x00\x80$\\#")
	for i := range 1 + r.IntN(8) {
		s := said{byServer: turns && i%2 == 0 || !turns && r.IntN(2) == 0, kind: talkfile.Binary, data: make([]byte, 1+r.IntN(1+r.IntN(300)))}
		for i := range s.data {
			s.data[i] = alphabet[r.IntN(len(alphabet))]
		}
		if websocket && r.IntN(2) == 0 {
			s.kind, s.data = talkfile.Text, []byte(strings.ToValidUTF8(string(s.data), "\u00fc"))
		}
		all = append(all, s)
	}
	return append([]said{{kind: talkfile.Binary, data: []byte{1}}}, all...) // datagrams begin with the client's
}

// side is the part of one side as a talk file, cut on the wire into pieces of size.
func side(all []said, server bool, size int, last string) string {
	steps := []talkfile.Step{{Verb: talkfile.Split, N: size}}
	if size == 0 {
		steps = nil
	}
	for _, s := range all {
		verb := talkfile.Expect
		if s.byServer == server {
			verb = talkfile.Send
		}
		steps = append(steps, talkfile.Step{Verb: verb, Kind: s.kind, Payload: talkfile.Payload{{Bytes: s.data}}})
	}
	return string(talkfile.Append(nil, steps)) + last
}

// transports are those on which recordings are tried, each with how it ends.
var playTransports = []struct{ scheme, framing, end string }{
	{"tcp", "none", "end\n< end\n"}, {"tcp", "line", "end\n< end\n"}, {"tcp", "delim:0d0a", "end\n< end\n"}, {"tcp", "mllp", "end\n< end\n"},
	{"tcp", "length", "end\n< end\n"}, {"tcp", "length:2le+2", "end\n< end\n"}, {"tcp", "decimal", "end\n< end\n"},
	{"tcp", "netstring", "end\n< end\n"}, {"tcp", "slip", "end\n< end\n"}, {"tcp", "idle:3ms", "end\n< end\n"},
	{"line", "none", "end\n< end\n"}, {"udp", "none", ""}, {"ws", "none", "close 1000 bye\n< close 1000\n"},
}

// A stage plays files on one transport.
type stage struct {
	t               *testing.T
	scheme, framing string
	dir             string
	n               int
}

func (s *stage) write(text string) string {
	s.n++
	name := filepath.Join(s.dir, fmt.Sprintf("%d.talk", s.n))
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// run has server and client, files, play against each other, and records what both did,
// and what a proxy between them saw where there is one.
func (s *stage) run(server, client string, through bool) (recordings []string) {
	s.t.Helper()
	s.n++
	name := func(who string) string { return filepath.Join(s.dir, fmt.Sprintf("%d.%s.jsonl", s.n, who)) }
	flags := []string{"-framing", s.framing, "-pace", "fast", "-record"}
	ps := kit.Background(s.t, play.Mode, append([]string{server, "-once", "-listen", s.scheme + "://:0"}, append(flags, name("server"))...)...)
	url := s.scheme + "://" + ps.Addr(s.scheme)
	recordings = []string{name("server"), name("client")}
	var px *kit.Run
	if through {
		px = kit.Background(s.t, proxy.Mode, "-listen", s.scheme+"://:0", "-remote_host", url, "-framing", s.framing, "-record", name("proxy"), "-q=false")
		url = s.scheme + "://" + px.Addr(s.scheme)
		recordings = append(recordings, name("proxy"))
	}
	pc := kit.Background(s.t, play.Mode, append([]string{client, url}, append(flags, name("client"))...)...)
	for _, r := range []*kit.Run{pc, ps} {
		if code := r.Wait(); code != cli.ExitOK {
			a, _ := os.ReadFile(server)
			b, _ := os.ReadFile(client)
			s.t.Fatalf("%s, -framing %s: exit %d\n%s%s\n%s\n%s", s.scheme, s.framing, code, r.Stdout, r.Stderr, a, b)
		}
	}
	if px != nil {
		px.Stop()
	}
	return recordings
}

// TestPlayRecordings: any recording of a conversation plays to the byte, as either side,
// against the real other side and against itself.
func TestPlayRecordings(t *testing.T) {
	for i, tr := range playTransports {
		r := rand.New(rand.NewPCG(uint64(i), 13))
		s := &stage{t: t, scheme: tr.scheme, framing: tr.framing, dir: t.TempDir()}
		for round := range 4 {
			idle := strings.HasPrefix(tr.framing, "idle")
			all := randomTalk(r, tr.scheme == "ws", idle)
			size := 0
			if tr.scheme != "udp" && !idle {
				size = r.IntN(9)
			}
			server, client := s.write(side(all, true, size, tr.end)), s.write(side(all, false, size, tr.end))
			for _, rec := range s.run(server, client, round%2 == 0 && tr.scheme != "line" && !idle) {
				s.run(rec, client, false)
				s.run(server, rec, false)
				s.run(rec, rec, false)
			}
		}
	}
}
