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
	"socketsrv/internal/tlsconf"
)

// A said is what one side of a conversation sends, or that it ends.
type said struct {
	byServer bool
	end      bool
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

// halved is all, but that one side ends somewhere in it and the other one goes on.
func halved(r *rand.Rand, all []said) (half []said) {
	byServer, at := r.IntN(2) == 0, 1+r.IntN(len(all))
	half = append(half, all[:at]...)
	half = append(half, said{byServer: byServer, end: true})
	for _, s := range all[at:] {
		if s.byServer != byServer {
			half = append(half, s)
		}
	}
	return append(half, said{byServer: !byServer, end: true})
}

// side is the part of one side as a talk file, cut on the wire into pieces of size.
func side(all []said, server bool, size int, last string) string {
	steps := []talkfile.Step{{Verb: talkfile.Split, N: size}}
	if size == 0 {
		steps = nil
	}
	for _, s := range all {
		switch ours := s.byServer == server; {
		case s.end && ours:
			steps = append(steps, talkfile.Step{Verb: talkfile.End})
		case s.end:
			steps = append(steps, talkfile.Step{Verb: talkfile.WantEnd})
		case ours:
			steps = append(steps, talkfile.Step{Verb: talkfile.Send, Kind: s.kind, Payload: talkfile.Payload{{Bytes: s.data}}})
		default:
			steps = append(steps, talkfile.Step{Verb: talkfile.Expect, Kind: s.kind, Payload: talkfile.Payload{{Bytes: s.data}}})
		}
	}
	return string(talkfile.Append(nil, steps)) + last
}

// playTransports are those on which recordings are tried.
var playTransports = []struct{ scheme, framing string }{
	{"tcp", "none"}, {"tcp", "line"}, {"tcp", "delim:0d0a"}, {"tcp", "mllp"}, {"tcp", "length"}, {"tcp", "length:2le+2"}, {"tcp", "decimal"},
	{"tcp", "netstring"}, {"tcp", "slip"}, {"tcp", "idle:3ms"}, {"line", "none"}, {"tls", "none"}, {"unix", "none"}, {"udp", "none"}, {"ws", "none"},
}

// lasts is how conversations of a scheme end where neither side ended before.
func lasts(scheme string) string {
	switch scheme {
	case "udp":
		return ""
	case "ws":
		return "close 1000 bye\n< close 1000\n"
	}
	return "end\n< end\n"
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

// spec is where a server of the stage listens, url how to reach r there.
func (s *stage) spec() string {
	if s.n++; s.scheme == "unix" {
		return fmt.Sprintf("unix:%s/%d", s.dir, s.n)
	}
	return s.scheme + "://127.0.0.1:0"
}

func (s *stage) url(r *kit.Run) string {
	if s.scheme == "unix" {
		return r.Addr("tcp")
	}
	return s.scheme + "://" + r.Addr(s.scheme)
}

// run has server and client, files, play against each other, and records what both did,
// and what a proxy between them saw where there is one.
func (s *stage) run(server, client string, through bool) (recordings []string) {
	s.t.Helper()
	s.n++
	run := s.n
	name := func(who string) string { return filepath.Join(s.dir, fmt.Sprintf("%d.%s.jsonl", run, who)) }
	flags := []string{"-framing", s.framing, "-pace", "fast", "-record"}
	if s.scheme == "tls" {
		flags = append([]string{"-k"}, flags...)
	}
	ps := kit.Background(s.t, play.Mode, append([]string{server, "-once", "-listen", s.spec()}, append(flags, name("server"))...)...)
	url := s.url(ps)
	recordings = []string{name("server"), name("client")}
	var px *kit.Run
	if through {
		px = kit.Background(s.t, proxy.Mode, append([]string{"-listen", s.spec(), "-remote_host", url, "-record", name("proxy"), "-q=false"}, flags[:len(flags)-3]...)...)
		url = s.url(px)
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
	t.Parallel()
	for i, tr := range playTransports {
		if tr.scheme == "tls" && !tlsconf.Available {
			continue
		}
		r := rand.New(rand.NewPCG(uint64(i), 13))
		s := &stage{t: t, scheme: tr.scheme, framing: tr.framing, dir: t.TempDir()}
		for round := range 4 {
			idle := strings.HasPrefix(tr.framing, "idle")
			all := randomTalk(r, tr.scheme == "ws", idle)
			size := 0
			if tr.scheme != "udp" && !idle {
				size = r.IntN(9)
			}
			last := lasts(tr.scheme)
			if strings.HasPrefix(last, "end") && round < 3 && !idle { // where silence ends a message, nobody sends twice in a row
				all, last = halved(r, all), ""
			}
			server, client := s.write(side(all, true, size, last)), s.write(side(all, false, size, last))
			for _, rec := range s.run(server, client, round%2 == 0 && tr.scheme != "line" && !idle) {
				s.run(rec, client, false)
				s.run(server, rec, false)
				s.run(rec, rec, false)
			}
		}
	}
}
