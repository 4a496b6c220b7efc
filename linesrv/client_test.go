package linesrv

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// client returns a Client of a peer that is played by the test.
func client(t *testing.T, opt ClientOptions) (*Client, net.Conn) {
	nc, peer := net.Pipe()
	t.Cleanup(func() { nc.Close(); peer.Close() })
	return NewClient(nc, opt), peer
}

// What comes from a server, and what Receive makes of it: answers, then an error.
var receiveTests = []struct {
	name   string
	opt    ClientOptions
	in     string
	want   []string
	atEnd  error // when the server ends the connection
	atTime error // when it does not
}{
	{"nothing", ClientOptions{}, "", nil, io.EOF, os.ErrDeadlineExceeded},
	{"one", ClientOptions{}, "pong\n", []string{"pong"}, io.EOF, os.ErrDeadlineExceeded},
	{"an empty answer is not the end", ClientOptions{}, "\n", []string{""}, io.EOF, os.ErrDeadlineExceeded},
	{"spaces belong to it", ClientOptions{}, " \ta b \n", []string{" \ta b "}, io.EOF, os.ErrDeadlineExceeded},
	{"CR LF", ClientOptions{}, "pong\r\n", []string{"pong"}, io.EOF, os.ErrDeadlineExceeded},
	{"CR kept", ClientOptions{KeepCR: true}, "pong\r\n", []string{"pong\r"}, io.EOF, os.ErrDeadlineExceeded},
	{"two", ClientOptions{}, "pong\nack\n", []string{"pong", "ack"}, io.EOF, os.ErrDeadlineExceeded},
	{"cut", ClientOptions{}, "pong\nac", []string{"pong"}, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded},
	{"not UTF-8", ClientOptions{}, "\xff\x00\n", []string{"\xff\x00"}, io.EOF, os.ErrDeadlineExceeded},
	{"too long", ClientOptions{MaxLine: 4}, "1234\n12345", []string{"1234"}, ErrLineTooLong, ErrLineTooLong},
}

func TestReceive(t *testing.T) {
	for _, tt := range receiveTests {
		in := []byte(tt.in)
		pieces := [][][]byte{{in}, single(in)}
		for i := range in {
			pieces = append(pieces, [][]byte{in[:i], in[i:]})
		}
		for _, p := range pieces {
			for end, want := range map[bool]error{true: tt.atEnd, false: tt.atTime} {
				synctest.Test(t, func(t *testing.T) {
					c, peer := client(t, tt.opt)
					go func() {
						for _, b := range p {
							peer.Write(b)
						}
						if end {
							peer.Close()
						}
					}()
					var got []string
					for {
						line, err := c.Receive(time.Second)
						if err == nil {
							got = append(got, line)
							continue
						}
						if !errors.Is(err, want) || !slices.Equal(got, tt.want) {
							t.Errorf("%s, in %d pieces: %q, %v; want %q, %v", tt.name, len(p), got, err, tt.want, want)
						}
						break
					}
					c.Close()
					if _, err := c.Receive(time.Second); err == nil || errors.Is(want, io.EOF) && err != io.EOF {
						t.Errorf("%s: then %v", tt.name, err)
					}
				})
			}
		}
	}
}

// A last line without LF is returned, once, with the error that says so (A12).
func TestReceiveCut(t *testing.T) {
	for _, end := range []error{io.EOF, os.ErrClosed} {
		want := end
		if end == io.EOF {
			want = io.ErrUnexpectedEOF
		}
		c := NewClient(&readsOnce{b: "one\nERROR 17", err: end}, ClientOptions{})
		one, err := c.Receive(0)
		cut, cutErr := c.Receive(0)
		then, thenErr := c.Receive(0)
		if one != "one" || err != nil || cut != "ERROR 17" || cutErr != want || then != "" || thenErr != want {
			t.Errorf("%v: %q, %v, then %q, %v, then %q, %v", end, one, err, cut, cutErr, then, thenErr)
		}
	}
}

// Who asks for it says "disconnect" at its end.
func TestSayDisconnect(t *testing.T) {
	for say, want := range map[bool]string{true: "disconnect\n", false: ""} {
		c, peer := client(t, ClientOptions{SayDisconnect: say})
		got := make(chan string)
		go func() {
			b, _ := io.ReadAll(peer)
			got <- string(b)
		}()
		c.Close()
		if got := <-got; got != want {
			t.Errorf("SayDisconnect %v: %q, want %q", say, got, want)
		}
	}
}

// After a time-out nothing is lost.
func TestReceiveAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := client(t, ClientOptions{})
		go func() {
			peer.Write([]byte("po"))
			time.Sleep(10 * time.Second)
			peer.Write([]byte("ng\n"))
		}()
		start := time.Now()
		if _, err := c.Receive(0); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("Receive(0): %v after %v", err, time.Since(start))
		}
		if got, err := c.Receive(-1); got != "pong" || err != nil {
			t.Errorf("Receive(-1) = %q, %v", got, err)
		}
	})
}

// Some connections return bytes together with an error.
func TestReceiveBytesWithError(t *testing.T) {
	for _, tt := range []struct {
		err  error
		then error
	}{
		{io.EOF, io.EOF},
		{os.ErrDeadlineExceeded, io.EOF},
	} {
		c := NewClient(&readsOnce{b: "pong\nack\n", err: tt.err}, ClientOptions{})
		var got []string
		for {
			line, err := c.Receive(0)
			if err != nil {
				if err != tt.then || strings.Join(got, " ") != "pong ack" {
					t.Errorf("%v together with answers: %q, %v", tt.err, got, err)
				}
				break
			}
			got = append(got, line)
		}
	}
}

// readsOnce returns b and err, then io.EOF.
type readsOnce struct {
	net.Conn
	b   string
	err error
}

func (r *readsOnce) SetReadDeadline(time.Time) error { return nil }
func (r *readsOnce) Read(p []byte) (n int, err error) {
	n, err = copy(p, r.b), r.err
	r.b, r.err = "", io.EOF
	return n, err
}

func TestRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &Server{Handler: sample}
		h := newHouse(t, server.Serve)
		nc, theirs := net.Pipe()
		h.ln.conns <- theirs
		c := NewClient(nc, ClientOptions{})
		for _, tt := range []struct {
			command string
			n       int
			want    string
			err     error
		}{
			{"ping", 1, "pong", nil},
			{"none", 0, "", nil},
			{"many", 4, "1|2|3|4", nil},
			{"ping\ncmd01", 2, "pong|ack", nil},
			{"ping", 2, "pong", os.ErrDeadlineExceeded},
			{"bye", 1, "", io.EOF},
		} {
			got, err := c.Request(tt.command, tt.n, time.Second)
			if strings.Join(got, "|") != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Request(%q, %d) = %q, %v", tt.command, tt.n, got, err)
			}
		}
		c.Close()
		if got, err := c.Request("ping", 1, time.Second); err == nil {
			t.Errorf("Request on a closed client = %q", got)
		}
		if err := c.Disconnect(); err == nil {
			t.Error("Disconnect on a closed client says nothing")
		}
		server.Close()
		<-h.served
	})
}

// dialPipe serves as ClientOptions.Dial.
func dialPipe(peer func(nc net.Conn)) dialFunc {
	return func(context.Context, string, string) (net.Conn, error) {
		nc, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			peer(theirs)
		}()
		return nc, nil
	}
}

func TestDial(t *testing.T) {
	read := func(nc net.Conn) { nc.Read(make([]byte, 100)) }
	answer := func(s string) func(net.Conn) {
		return func(nc net.Conn) { read(nc); nc.Write([]byte(s)); read(nc) }
	}
	for _, tt := range []struct {
		name string
		peer func(net.Conn)
		opt  ClientOptions
		err  error
		text string
		took time.Duration
	}{
		{"a server", answer("pong\n"), ClientOptions{}, nil, "", 0},
		{"a server that says CR LF", answer("pong\r\n"), ClientOptions{}, nil, "", 0},
		{"something else", answer("220 mail\x1b[2J\r\n"), ClientOptions{}, ErrNoPong, `no pong came back: x:1: "220 mail\x1b[2J" instead`, 0},
		{"nobody", read, ClientOptions{}, ErrNoPong, "no pong came back: x:1: EOF", 0},
		{"nobody reads", func(net.Conn) {}, ClientOptions{}, ErrNoPong, "no pong came back: x:1: io: read/write on closed pipe", 0},
		{"a server that serves another", func(nc net.Conn) { read(nc); read(nc) }, ClientOptions{}, context.DeadlineExceeded, "no pong came back: x:1: context deadline exceeded", 3 * time.Second},
		{"the same, less patience", func(nc net.Conn) { read(nc); read(nc) }, ClientOptions{Timeout: time.Second}, ErrNoPong, "no pong came back: x:1: context deadline exceeded", time.Second},
		{"no proof", func(nc net.Conn) { read(nc) }, ClientOptions{NoPing: true}, nil, "", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			tt.opt.Dial = dialPipe(tt.peer)
			start := time.Now()
			c, err := Dial(t.Context(), "x:1", tt.opt)
			if !errors.Is(err, tt.err) || err != nil && err.Error() != tt.text {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.text)
			}
			if took := time.Since(start); took != tt.took {
				t.Errorf("%s: took %v", tt.name, took)
			}
			if c != nil {
				c.Close()
			}
		})
	}
}

// A Dial that failed leaves nothing behind: the original said "already connected".
func TestDialRefused(t *testing.T) {
	ln := listen(t)
	addr := ln.Addr().String()
	ln.Close()
	if c, err := Dial(t.Context(), addr, ClientOptions{}); c != nil || err == nil {
		t.Errorf("Dial to nobody: %v, %v", c, err)
	}
	if s, err := DialSocket(t.Context(), addr, SocketOptions{}); s != nil || err == nil {
		t.Errorf("DialSocket to nobody: %v, %v", s, err)
	}
}

func TestDialCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := Dial(ctx, "x:1", ClientOptions{Dial: dialPipe(func(nc net.Conn) { io.Copy(io.Discard, nc) })})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Dial: %v", err)
		}
	})
}

// What the last word brings.
func TestLastWord(t *testing.T) {
	says := func(s string) func(net.Conn) {
		return func(nc net.Conn) { nc.Read(make([]byte, 100)); nc.Write([]byte(s)) }
	}
	stays := func(s string) func(net.Conn) {
		return func(nc net.Conn) { says(s)(nc); nc.Read(make([]byte, 100)) }
	}
	for _, tt := range []struct {
		name                 string
		peer                 func(net.Conn)
		disconnect, shutdown error
	}{
		{"the server goes", says(""), nil, nil},
		{"after answers not yet received", says("1\n2\n"), nil, nil},
		{"in the middle of one", says("1\n2"), io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		{"the server stays", stays(""), os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
		{"the server refuses", stays("1\ndenied\n"), nil, ErrDenied},
	} {
		synctest.Test(t, func(t *testing.T) {
			for word, want := range map[string]error{"disconnect": tt.disconnect, "shutdown": tt.shutdown} {
				c, err := Dial(t.Context(), "x:1", ClientOptions{NoPing: true, Dial: dialPipe(tt.peer)})
				if err != nil {
					t.Fatal(err)
				}
				end := c.Disconnect
				if word == "shutdown" {
					end = c.Shutdown
				}
				if err := end(); !errors.Is(err, want) {
					t.Errorf("%s: %s: %v, want %v", tt.name, word, err, want)
				}
				if err := c.Send("x"); err == nil {
					t.Errorf("%s: not closed after %s", tt.name, word)
				}
			}
		})
	}
}

// A second client that gives up does not stay in the way: the original answered it
// later, and failed.
func TestSecondClientGivesUp(t *testing.T) {
	addr := start(t, &Server{OneAtATime: true}, listen(t))
	first, err := Dial(t.Context(), addr, ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), addr, ClientOptions{Timeout: 20 * time.Millisecond}); !errors.Is(err, ErrNoPong) {
		t.Errorf("the second: %v", err)
	}
	if got, err := first.Request("ping", 1, patience); err != nil || got[0] != "pong" {
		t.Errorf("the first: %q, %v", got, err)
	}
	if first.Addr().String() != addr {
		t.Errorf("connected to %v", first.Addr())
	}
	first.Close()
	wantPong(t, addr)
}

// One goroutine sends while another receives.
func TestClientBothWays(t *testing.T) {
	addr := start(t, &Server{Handler: sample}, listen(t))
	c, err := Dial(t.Context(), addr, ClientOptions{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 50<<10)
	sent := make(chan error, 1)
	go func() {
		for range 100 {
			if err := c.Send("echo " + long + "\nping"); err != nil {
				sent <- err
				return
			}
		}
		sent <- c.Send("echo " + strings.Repeat("y\necho ", 50<<10))
	}()
	for i := range 200 {
		if got, err := c.Receive(0); err != nil || got != [2]string{long, "pong"}[i%2] {
			t.Fatalf("answer %d: %.10q, %v", i, got, err)
		}
	}
	for i := range 50<<10 + 1 {
		if got, err := c.Receive(0); err != nil || len(got) > 1 {
			t.Fatalf("answer y %d: %q, %v", i, got, err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if err := c.Disconnect(); err != nil {
		t.Error(err)
	}
}
