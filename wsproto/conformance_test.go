package wsproto_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The conformance suite plays every case of Autobahn's public fuzzing catalogue,
// under the same numbers, and the probes of this project against an echo
// endpoint, in both roles. It shares no code with wsproto.
//
// The environment points it elsewhere:
//
//	SOCKETSRV_PROBE_SERVER=ws://127.0.0.1:9001/  play against this echo server
//	SOCKETSRV_PROBE_CLIENT='prog {url}'          start this echo client for each case
//	SOCKETSRV_PROBE_FULL=1                       all sizes and counts of the catalogue
//	SOCKETSRV_PROBE_WAIT=2s                      how long an answer may take (10s)
//	SOCKETSRV_PROBE_LIMIT=16777216               the endpoint's largest message
//	SOCKETSRV_PROBE_HOUSE=0                      leave out what is stricter than the RFCs
//	SOCKETSRV_PROBE_REPORT=FILE                  one line a case: id, role, grade, finding

// probeSuite is how the cases are played.
type probeSuite struct {
	wait     time.Duration
	limit    int64
	full     bool
	house    bool
	external bool // the client is a program
	report   *os.File

	mu     sync.Mutex
	counts map[grade]int
}

func newProbeSuite(t *testing.T) *probeSuite {
	s := &probeSuite{wait: 10 * time.Second, limit: 16 << 20, house: true, counts: map[grade]int{}}
	s.full = os.Getenv("SOCKETSRV_PROBE_FULL") == "1"
	s.house = os.Getenv("SOCKETSRV_PROBE_HOUSE") != "0"
	if v := os.Getenv("SOCKETSRV_PROBE_WAIT"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			t.Fatal(err)
		}
		s.wait = d
	}
	if v := os.Getenv("SOCKETSRV_PROBE_LIMIT"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s.limit = n
	}
	if v := os.Getenv("SOCKETSRV_PROBE_REPORT"); v != "" {
		f, err := os.OpenFile(v, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		s.report = f
	}
	return s
}

// catalogue is every case there is.
func (s *probeSuite) catalogue() []probe {
	all := slices.Concat(autobahnFraming(), autobahnText(), autobahnClosing(), s.autobahnLimits(), s.autobahnCompression(),
		hardeningProbes(s.limit), frameProbes(), closeProbes(), streamProbes(), textProbes(), deflateProbes(), controlProbes(), offerProbes())
	return all
}

// play runs the cases that suit one side of a connection.
func (s *probeSuite) play(t *testing.T, side probeSide, run func(t *testing.T, p probe) error) {
	t.Run("case", func(t *testing.T) {
		for _, p := range s.catalogue() {
			if p.only != nil && *p.only != side || p.house && !s.house || p.heavy && raceDetector {
				continue
			}
			t.Run(p.id, func(t *testing.T) {
				t.Parallel()
				err := run(t, p)
				if g := s.record(p, side, err); g > gradeInformational {
					t.Errorf("%s\n%v", p.about, err)
				}
			})
		}
	})
	t.Logf("%v", s.counts)
}

func (s *probeSuite) record(p probe, side probeSide, err error) grade {
	g := gradeOK
	var f *finding
	if errors.As(err, &f) {
		g = f.grade
	} else if err != nil {
		g = gradeFailed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[g]++
	if s.report != nil {
		fmt.Fprintf(s.report, "%s\t%s\t%v\t%v\t%s\n", p.id, [...]string{"server", "client"}[side], g, err, p.about)
	}
	return g
}

func probeSeed(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return h.Sum64()
}

// converse plays the steps of a case on a connection whose handshake is done.
func (s *probeSuite) converse(p *prober, c probe) error {
	for _, st := range c.steps {
		if err := st(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *probeSuite) prober(nc net.Conn, br *bufio.Reader, side probeSide, c probe) *prober {
	wait := s.wait
	if c.wait > 0 {
		wait = max(wait, c.wait)
	}
	p := newProber(nc, br, side, wait, probeSeed(c.id))
	p.limit = s.limit
	return p
}

// runAgainstServer plays a case with the echo server at host.
func (s *probeSuite) runAgainstServer(host, path string, c probe) error {
	nc, err := net.DialTimeout("tcp", host, s.wait)
	if err != nil {
		return failed("%v", err)
	}
	br := bufio.NewReader(nc)
	p := s.prober(nc, br, probedServer, c)
	defer p.close()
	_ = nc.SetDeadline(time.Now().Add(s.wait))
	offer := cmp.Or(c.offer, offerAll(c.ext))
	answer, err := openAsClient(nc, br, host, path, offer, p.encode(c.early), probeSeed(c.id))
	if no, ok := err.(*refusal); ok && c.status != "" && strings.HasPrefix(no.start, "HTTP/1.1 "+c.status) {
		return nil
	}
	if err == nil && c.status != "" {
		return failed("the offer %q is taken, want status %s (RFC 6455 §9.1)", offer, c.status)
	}
	if err == nil {
		err = p.agreed(answer, offer)
	}
	if err != nil {
		return err
	}
	return s.converse(p, c)
}

// runAgainstClient plays a case with an echo client: start has it connect to a
// URL and returns when it has ended.
func (s *probeSuite) runAgainstClient(ctx context.Context, start func(ctx context.Context, url string) error, c probe) (judged error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return failed("%v", err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- start(ctx, "ws://"+ln.Addr().String()+"/"+c.id) }()
	defer func() {
		linger := s.wait
		if s.external {
			linger = time.Second // it may want to connect again
		}
		select {
		case <-ended:
		case <-time.After(linger):
			cancel()
			<-ended
			if judged == nil && !s.external {
				judged = failed("the client goes on after its connection has ended")
			}
		}
		cancel()
	}()
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(s.wait))
	nc, err := ln.Accept()
	if err != nil {
		return failed("the client does not connect: %v", err)
	}
	br := bufio.NewReader(nc)
	p := s.prober(nc, br, probedClient, c)
	defer p.close()
	_ = nc.SetDeadline(time.Now().Add(s.wait))
	err = openAsServer(nc, br, p.encode(c.early), func(offer string) (string, error) {
		if c.answer != "" {
			return p.insist(offer, c.answer), nil
		}
		return p.accept(offer, c.ext)
	})
	if err != nil {
		return err
	}
	return s.converse(p, c)
}

// TestConformanceOfServer plays the catalogue against an echo server.
func TestConformanceOfServer(t *testing.T) {
	host, path := "", "/"
	if v := os.Getenv("SOCKETSRV_PROBE_SERVER"); v != "" {
		u, err := url.Parse(v)
		if err != nil || u.Scheme != "ws" {
			t.Fatalf("SOCKETSRV_PROBE_SERVER = %q, want ws://host:port/path", v)
		}
		host, path = u.Host, u.RequestURI()
	} else {
		host = startEchoServer(t, false)
	}
	s := newProbeSuite(t)
	s.play(t, probedServer, func(t *testing.T, c probe) error { return s.runAgainstServer(host, path, c) })
}

// TestConformanceOfTakeover plays the cases with compression against an echo
// server that lets messages refer to earlier ones.
func TestConformanceOfTakeover(t *testing.T) {
	if os.Getenv("SOCKETSRV_PROBE_SERVER") != "" {
		t.Skip("the other server decides that by itself")
	}
	host := startEchoServer(t, true)
	s := newProbeSuite(t)
	s.play(t, probedServer, func(t *testing.T, c probe) error {
		if c.ext == nil {
			t.Skip("without compression")
		}
		return s.runAgainstServer(host, "/", c)
	})
}

// TestConformanceOfClient plays the catalogue against an echo client.
func TestConformanceOfClient(t *testing.T) {
	s := newProbeSuite(t)
	start := echoClient
	if v := os.Getenv("SOCKETSRV_PROBE_CLIENT"); v != "" {
		s.external = true
		start = func(ctx context.Context, url string) error {
			cmd := exec.CommandContext(ctx, "sh", "-c", "exec "+strings.ReplaceAll(v, "{url}", url))
			return cmd.Run()
		}
	}
	s.play(t, probedClient, func(t *testing.T, c probe) error { return s.runAgainstClient(t.Context(), start, c) })
}
