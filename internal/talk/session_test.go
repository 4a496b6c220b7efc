package talk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/term"
	"socketsrv/wsproto"
)

// A fakeLink is a connection whose peer is the test.
type fakeLink struct {
	in     chan any // a string comes as a message, an error ends
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	log   []string      // what was done to it: "send a", "end 1000 ", "close"
	full  chan struct{} // not nil: Send waits for it
	fail  error         // of Send
	moved time.Time
	held  int64
}

func newFakeLink() *fakeLink {
	return &fakeLink{in: make(chan any, 100), closed: make(chan struct{})}
}

func (l *fakeLink) Receive() (wsproto.Message, error) {
	select {
	case v := <-l.in:
		if err, ok := v.(error); ok {
			return wsproto.Message{}, err
		}
		return wsproto.Message{Data: []byte(v.(string))}, nil
	case <-l.closed:
		return wsproto.Message{}, net.ErrClosed
	}
}

func (l *fakeLink) Send(m wsproto.Message) error {
	l.mu.Lock()
	full, err := l.full, l.fail
	l.mu.Unlock()
	if full != nil {
		select {
		case <-full:
		case <-l.closed:
			return net.ErrClosed
		}
	}
	if err == nil {
		l.note("send %s", m.Data)
	}
	return err
}

func (l *fakeLink) Reply(m wsproto.Message) error { return l.Send(m) }

func (l *fakeLink) Finish(code wsproto.StatusCode, reason string) error {
	l.note("end %d %s", code, reason)
	return nil
}

func (l *fakeLink) Close() {
	l.once.Do(func() { close(l.closed); l.note("close") })
}

func (l *fakeLink) Look(bool) (moved time.Time, held int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moved, l.held, nil
}

func (l *fakeLink) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = append(l.log, fmt.Sprintf(format, args...))
}

func (l *fakeLink) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.log, "|")
}

// A scene is a Session in a bubble, over the links that it dials one after another.
type scene struct {
	*Session
	mu     sync.Mutex // of links
	links  []*fakeLink
	refuse int // so many dials before each link
	shown  bytes.Buffer
	status bytes.Buffer
	input  chan any // a string is a line, an error the end
	ctx    context.Context
	done   chan error
}

func inScene(t *testing.T, change func(s *scene), play func(s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{input: make(chan any, 1000), done: make(chan error, 1), ctx: t.Context()}
		s.Session = &Session{Rules: ws, MaxWait: time.Second, Target: dial.Target{Scheme: "ws"}}
		env := &cli.Env{Stdout: s.Progress(&s.shown), Stderr: &s.status, Now: time.Now, Getenv: func(string) string { return "" }}
		con, err := (&cli.Output{}).Open(env)
		if err != nil {
			t.Fatal(err)
		}
		defer con.Close()
		s.Con = con
		s.Session.Dial = s.dial
		s.Received = func(m wsproto.Message) (*wsproto.Message, bool) {
			con.Write(append(m.Data[:len(m.Data):len(m.Data)], '\n'))
			if string(m.Data) == "ask" {
				return &wsproto.Message{Data: []byte("answer")}, false
			}
			return nil, string(m.Data) == "match"
		}
		s.Next = func() (Outgoing, error) {
			switch v := (<-s.input).(type) {
			case error:
				return Outgoing{}, v
			case func(dial.Link) error:
				return Outgoing{Do: v}, nil
			case string:
				return Outgoing{Message: wsproto.Message{Data: []byte(v)}}, nil
			}
			return Outgoing{}, os.ErrClosed
		}
		change(s)
		go func() { s.done <- s.Run(s.ctx) }()
		synctest.Wait()
		play(s)
		close(s.input) // the reader may still wait there
		for _, l := range s.links {
			l.Close()
		}
		time.Sleep(2 * time.Hour) // who sleeps wakes up
	})
}

func (s *scene) dial(context.Context) (dial.Link, error) {
	if s.refuse > 0 {
		s.refuse--
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	l := newFakeLink()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = append(s.links, l)
	return l, nil
}

// does gives what happens, one after the other: a line to send, with < what comes.
func (s *scene) does(events ...any) {
	for _, ev := range events {
		if text, ok := ev.(string); ok && strings.HasPrefix(text, "<") {
			s.mu.Lock()
			last := s.links[len(s.links)-1]
			s.mu.Unlock()
			last.in <- text[1:]
		} else {
			s.input <- ev
		}
		synctest.Wait()
	}
}

func (s *scene) peerEnds(err error) {
	synctest.Wait()
	s.links[len(s.links)-1].in <- err
	synctest.Wait()
}

// ends checks how it ends, and what was done to the links.
func (s *scene) ends(t *testing.T, code int, text string, links ...string) {
	t.Helper()
	err := <-s.done
	if cli.ExitCode(err) != code || err != nil && !strings.Contains(err.Error(), text) {
		t.Errorf("it ends with %v; want exit %d, %s", err, code, text)
	}
	for i, l := range s.links {
		if i >= len(links) || l.String() != links[i] {
			t.Errorf("link %d of %d: %s; want %q", i, len(s.links), l, links)
		}
	}
}

func closed(code wsproto.StatusCode) error { return &wsproto.CloseError{Code: code} }

func asPerson(s *scene) { s.Person, s.Hold, s.Linger, s.Reconnect = true, true, 0, true }

func again(s *scene) { s.Reconnect, s.Hold = true, true }

var sessions = []struct {
	name   string
	change func(s *scene)
	play   func(s *scene)
	code   int
	text   string
	links  []string
}{
	{"lines, an answer, the end", func(s *scene) {}, func(s *scene) {
		s.does("a", "<ask", "b", io.EOF)
		time.Sleep(time.Second)
		s.peerEnds(closed(1000))
	}, 0, "", []string{"send a|send answer|send b|end 1000 |close"}},
	{"what is said every now and then ends with the input", func(s *scene) {
		s.Pulse, s.Every = wsproto.Message{Data: []byte("here")}, 400*time.Millisecond
	}, func(s *scene) {
		time.Sleep(time.Second)
		s.does("a", io.EOF)
		time.Sleep(time.Second)
		s.peerEnds(closed(1000))
	}, 0, "", []string{"send here|send here|send a|end 1000 |close"}},
	{"the peer closes with a code", func(s *scene) {}, func(s *scene) { s.does("a"); s.peerEnds(closed(4001)) }, 9, "code 4001", []string{"send a|close"}},
	{"what was read and not sent is missing", func(s *scene) {}, func(s *scene) {
		l := s.links[0]
		l.mu.Lock()
		l.full = make(chan struct{})
		l.mu.Unlock()
		s.does("abc", "de", "f", io.EOF)
		s.peerEnds(closed(1000))
	}, 55, "not delivered: 6 of 6 bytes", []string{"close"}},
	{"…so is what stdin still holds when the peer closes", func(s *scene) {}, func(s *scene) {
		s.peerEnds(closed(1000))
		s.does("abc")
	}, 55, "not delivered: 3 of 3 bytes and the rest of the input", []string{"close"}},
	{"…and what we are about to send", func(s *scene) { s.Sent = func(wsproto.Message) { time.Sleep(time.Hour) } }, func(s *scene) {
		s.does("abc", io.EOF)
		s.peerEnds(closed(1000))
	}, 55, "not delivered: 3 of 3 bytes", []string{"close"}},
	{"the peer closes and stdin brings nothing", func(s *scene) {}, func(s *scene) { s.peerEnds(closed(1000)) }, 0, "", []string{"close"}},
	{"a reset that is found in sending a pong", func(s *scene) {}, func(s *scene) {
		s.does("abc")
		s.peerEnds(&net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.ECONNRESET)})
	}, 55, "connection reset by peer: bytes sent: 3, and it may not have got them all", []string{"send abc|close"}},
	{"the input cannot be read", func(s *scene) {}, func(s *scene) {
		s.does("a", cli.Fail(cli.ExitRead, errors.New("line 2: too long")))
		time.Sleep(time.Second)
		s.peerEnds(closed(1000))
	}, 26, "line 2: too long", []string{"send a|end 1000 |close"}},
	{"lines wait for the next connection", again, func(s *scene) {
		s.does("a")
		l := s.links[0]
		l.mu.Lock()
		l.fail = errors.New("broken pipe")
		l.mu.Unlock()
		s.does("b", "c")
		s.peerEnds(io.EOF)
		time.Sleep(2 * time.Second)
		s.does(io.EOF)
		time.Sleep(time.Second)
		s.peerEnds(closed(1000))
	}, 0, "", []string{"send a|close", "send b|send c|end 1000 |close"}},
	{"-resend, and counts over connections", func(s *scene) {
		again(s)
		s.Next, s.Count, s.Opening = nil, 2, []wsproto.Message{{Data: []byte("sub")}}
	}, func(s *scene) {
		s.does("<1")
		s.refuse = 2
		s.peerEnds(closed(1001))
		time.Sleep(10 * time.Second)
		s.does("<2")
		s.peerEnds(closed(1000))
	}, 0, "", []string{"send sub|close", "send sub|end 1000 |close"}},
	{"nothing more to send while offline", again, func(s *scene) {
		s.refuse = 1000
		s.peerEnds(io.EOF)
		s.does(io.EOF)
	}, 0, "", []string{"close"}},
	{"-for", func(s *scene) { s.For = time.Minute }, func(s *scene) {
		time.Sleep(time.Minute)
		synctest.Wait()
		s.peerEnds(closed(1000))
	}, 0, "", []string{"end 1000 |close"}},
	{"-for while offline", func(s *scene) { again(s); s.For = time.Minute }, func(s *scene) { s.refuse = 1000; s.peerEnds(io.EOF) }, 0, "", []string{"close"}},
	{"-timeout", func(s *scene) { s.Timeout = 2 * time.Second }, func(s *scene) { s.does("<a") }, 28, "time is up: 2s, messages received: 1",
		[]string{"end 1001 |close"}},
	{"-timeout while offline", func(s *scene) { again(s); s.Timeout = 2 * time.Second }, func(s *scene) { s.refuse = 1000; s.peerEnds(io.EOF) }, 28, "time is up: 2s",
		[]string{"close"}},
	{"-wait", func(s *scene) { s.refuse, s.Wait = 3, time.Minute }, func(s *scene) { time.Sleep(10 * time.Second); s.peerEnds(closed(1000)) }, 0, "",
		[]string{"close"}},
	{"-wait in vain", func(s *scene) { s.refuse, s.Wait = 1000, time.Minute }, func(s *scene) {}, 7, "refused", nil},
	{"-timeout in -wait", func(s *scene) { s.refuse, s.Wait, s.Timeout = 1000, time.Minute, time.Second }, func(s *scene) {}, 28, "time is up: 1s", nil},
	{"a match", func(s *scene) { s.Expect = true }, func(s *scene) { s.does("a", "<match"); s.peerEnds(closed(1000)) }, 0, "", []string{"send a|end 1000 |close"}},
	{"a stream in pieces", func(s *scene) {
		s.Rules, s.Target = stream, dial.Target{Scheme: "tcp"}
		s.Target, _ = dial.ParseTarget("tcp://h:1", "none")
	}, func(s *scene) {
		s.does(strings.Repeat("x", piece)+"y", io.EOF)
		s.peerEnds(io.EOF)
	}, 0, "", []string{"send " + strings.Repeat("x", piece) + "|send y|end 1000 |close"}},
	{"the system holds some, and then no more", func(s *scene) { s.Rules, s.Target = stream, dial.Target{Scheme: "tcp"} }, func(s *scene) {
		l := s.links[0]
		l.mu.Lock()
		l.held = 1
		l.mu.Unlock()
		s.does("ab", io.EOF)
		s.peerEnds(io.EOF)
		time.Sleep(20 * time.Second)
		l.mu.Lock()
		l.held = 0
		l.mu.Unlock()
	}, 0, "", []string{"send ab|end 1000 |close"}},
	{"nobody listens, then somebody does, then nobody", func(s *scene) { s.Rules, s.Target = udp, dial.Target{Scheme: "udp"} }, func(s *scene) {
		s.does("a")
		s.peerEnds(cli.Fail(cli.ExitConnect, dial.ErrUnheard))
		s.does("b", "<c")
		s.peerEnds(cli.Fail(cli.ExitConnect, dial.ErrUnheard))
		s.does(io.EOF)
	}, 7, "nobody listens", []string{"send a|send b|close"}},

	{"a person types, and leaves", asPerson, func(s *scene) {
		s.does("a", term.ErrTooLong, func(l dial.Link) error { return s.Send(l, wsproto.Message{Data: []byte("b")}) }, io.EOF)
		s.peerEnds(closed(1000))
	}, 0, "", []string{"send a|send b|end 1000 |close"}},
	{"a person is not connected", asPerson, func(s *scene) {
		s.refuse = 1
		s.peerEnds(closed(1001))
		s.does("lost")
		time.Sleep(5 * time.Second)
		s.does("a", io.EOF)
		s.peerEnds(io.EOF)
	}, 0, "", []string{"close", "send a|end 1000 |close"}},
	{"a person leaves with a code", asPerson, func(s *scene) {
		s.does(func(dial.Link) error { s.Leave(4001, "bye"); return nil })
		s.peerEnds(closed(4001))
	}, 0, "", []string{"end 4001 bye|close"}},
	{"Ctrl-C", asPerson, func(s *scene) { s.does(term.ErrInterrupted) }, 130, "", []string{"end 1001 |close"}},
}

func TestSession(t *testing.T) {
	for _, tt := range sessions {
		t.Run(tt.name, func(t *testing.T) {
			inScene(t, tt.change, func(s *scene) {
				tt.play(s)
				s.ends(t, tt.code, tt.text, tt.links...)
			})
		})
	}
}

// What is said on the way, and what is shown.
func TestSessionSays(t *testing.T) {
	inScene(t, func(s *scene) { s.Person, s.Reconnect, s.Linger = true, true, 0 }, func(s *scene) {
		s.refuse = 1
		s.does("<hello")
		s.peerEnds(closed(1012))
		s.does("lost")
		time.Sleep(time.Second)
		s.does(strings.Repeat("x", maxTyped+1), io.EOF)
		s.peerEnds(closed(1000))
		s.ends(t, 0, "", "close", "end 1000 |close")
		for _, want := range []string{"connection closed: code 1012\n", "connecting again in ", "connection refused\n", "not sent: not connected\n", "not sent: too much waits"} {
			if !strings.Contains(s.status.String(), want) {
				t.Errorf("stderr has no %q: %q", want, s.status.String())
			}
		}
		if s.shown.String() != "hello\n" {
			t.Errorf("shown is %q", s.shown.String())
		}
	})
}
