package httpmini

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"socketsrv/internal/rawio"
)

// HC37 and more: at each of its bytes the answer ends, by a reset or politely, and
// what came is never taken for whole.
func TestClientCutAnywhere(t *testing.T) {
	const wire = "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n"
	for _, tt := range []struct{ name, wire string }{
		{"length", wire + "Content-Length: 10\r\n\r\n0123456789"},
		{"chunks", wire + "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5;x=y\r\n56789\r\n0\r\nA: b\r\n\r\n"},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cuts := make(chan int, 1)
		done := make(chan struct{})
		go func() { // cuts at n, or by a reset at -n
			defer close(done)
			for n := range cuts {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				ReadRequest(bufio.NewReader(nc), Limits{})
				if n < 0 {
					nc.(*net.TCPConn).SetLinger(0)
				}
				io.WriteString(nc, tt.wire[:max(n, -n)])
				nc.Close()
			}
		}()
		c := &Client{}
		for n := 1; n <= len(tt.wire); n++ {
			for _, cut := range []int{n, -n} {
				cuts <- cut
				got, err := fetch(t.Context(), c, "http://"+ln.Addr().String(), &Request{})
				whole := n == len(tt.wire)
				if cut > 0 && whole != (err == nil) || err == nil && (!whole || got != "200 0123456789") {
					t.Errorf("%s, cut at %d: %q, %v", tt.name, cut, got, err)
				}
				if e, ok := errors.AsType[*OpError](err); err != nil && err != io.ErrUnexpectedEOF && (!ok || e.Op != "receive") {
					t.Errorf("%s, cut at %d: %v", tt.name, cut, err)
				}
				c.CloseIdle()
			}
		}
		close(cuts)
		<-done
		ln.Close()
	}
}

// A server that sends without end: the client takes no more than its limits.
func TestClientEndless(t *testing.T) {
	for _, tt := range []struct {
		name, start, unit string
		err               error
		most              int
	}{
		{"status line", "HTTP/1.1 200 ", "x", ErrLineTooLong, 17 << 10},
		{"garbage", "", "x", ErrNotHTTP, 1 << 10},
		{"line", okHead + "A: ", "x", ErrLineTooLong, 17 << 10},
		{"fields", okHead, "A: b\r\n", ErrTooManyFields, 4 << 10},
		{"large fields", okHead, "A: " + rep("b", 10000) + "\r\n", ErrHeadTooLarge, 80 << 10},
		{"empty lines", "", "\r\n", ErrStatusLine, 1 << 10},
		{"interim heads", "", "HTTP/1.1 100 C\r\n\r\n", ErrInterim, 1 << 10},
		{"large interim heads", "", "HTTP/1.1 100 C\r\nA: " + rep("b", 16000) + "\r\n\r\n", ErrInterim, 200 << 10},
		{"chunk size", okChunked, "0", ErrChunk, 1 << 10},
		{"chunk extension", okChunked + "1;", "x", ErrChunk, 8 << 10},
		{"chunk extensions", okChunked, "1;" + rep("x", 1000) + "\r\ny\r\n", ErrChunkOverhead, 30 << 10},
		{"trailer", okChunked + "0\r\n", "A: b\r\n", ErrTooManyFields, 5 << 10},
	} {
		sent := 0
		perform(t, func(s *stage) {
			if got, err := s.do(&Request{}); !errors.Is(err, tt.err) {
				t.Errorf("%s: %q, %v; want %v", tt.name, got, err, tt.err)
			}
		}, func(p *part) {
			p.request()
			w := bufio.NewWriterSize(countingWriter{p.nc, &sent}, 512)
			io.WriteString(w, tt.start)
			for {
				if _, err := io.WriteString(w, tt.unit); err != nil {
					return
				}
			}
		})
		if sent > tt.most {
			t.Errorf("%s: took %d bytes, want %d at the most", tt.name, sent, tt.most)
		}
	}
}

type countingWriter struct {
	w io.Writer
	n *int
}

func (c countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	*c.n += n
	return n, err
}

// A slow drip of interim heads, chunks and bytes, each in time: as a whole, the head
// has its bound, and the body as long as its bytes come.
func TestClientDrip(t *testing.T) {
	perform(t, func(s *stage) {
		took := lasting(func() { s.want(&Request{}, "200 "+rep("x", 100), nil) })
		if took != 100*59*time.Second {
			t.Errorf("took %v", took)
		}
	}, func(p *part) {
		p.request()
		p.send(okChunked)
		for range 100 {
			time.Sleep(59 * time.Second)
			p.send("1\r\nx\r\n")
		}
		p.send("0\r\n\r\n")
	})
}

// A server that closes its half, and one that speaks before it is asked.
func TestClientHalfClosed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	got := make(chan int64, 1)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		io.WriteString(nc, ok2) // before the request
		nc.(*net.TCPConn).CloseWrite()
		n, _ := io.Copy(io.Discard, nc)
		got <- n
	}()
	c := &Client{}
	answer, err := fetch(t.Context(), c, "http://"+ln.Addr().String(), put(strings.NewReader(rep("x", 1000)), 1000))
	if answer != "200 ok" || err != nil {
		t.Errorf("%q, %v", answer, err)
	}
	c.CloseIdle()
	next(t, got)
}

// A kept connection over a socket that ended, or holds something nobody asked for,
// is not used: not even a POST notices.
func TestClientKeptDies(t *testing.T) {
	for _, extra := range []string{"", "HTTP/1.1 408 Request Timeout\r\n\r\n"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan bool)
		go func() {
			for range 2 {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				br := bufio.NewReader(nc)
				ReadRequest(br, Limits{})
				io.WriteString(nc, ok2)
				<-ended // the client has read it
				io.WriteString(nc, extra)
				nc.Close()
				ended <- true
			}
		}()
		c := &Client{}
		for i := range 2 {
			a, err := c.Do(t.Context(), "http://"+ln.Addr().String(), &Request{Method: "POST"})
			if err != nil {
				t.Fatalf("%q, request %d: %v", extra, i, err)
			}
			io.Copy(io.Discard, a.Body)
			a.Close()
			if a.Conn.Reused {
				t.Errorf("%q: reused", extra)
			}
			ended <- true
			<-ended
			if rawio.Socket(c.idle[0].raw) != nil {
				for deadline := time.Now().Add(10 * time.Second); c.idle[0].alive() && time.Now().Before(deadline); {
					time.Sleep(time.Millisecond) // loopback has its own pace
				}
			}
		}
		c.CloseIdle()
		ln.Close()
	}
}

// An answer over a Unix socket, and to a file by the kernel.
func TestClientUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Skip(err)
	}
	big := content(1 << 20)
	serveOn(t, &Server{Handler: func(x *Exchange) { x.Respond(200, nil, []byte(big)) }}, ln)
	c := &Client{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer c.CloseIdle()
	a, err := c.Do(t.Context(), "http://box/", &Request{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	file := tempFile(t, 0)
	if n, err := a.WriteTo(file); int(n) != len(big) || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if got, _ := os.ReadFile(file.Name()); string(got) != big {
		t.Errorf("the file has %d other bytes", len(got))
	}
}

// Our client, our server: what is said on one side is heard on the other.
func TestClientAgainstServer(t *testing.T) {
	addr := serve(t, &Server{Handler: func(x *Exchange) {
		if x.Request.Header.Has("Expect") && x.Request.Path() == "/no" {
			x.Respond(417, nil, nil)
			return
		}
		x.Send(&Response{Status: 200, Header: Header{{"X-Method", x.Request.Method}}, Body: x.Request.Body, ContentLength: x.Request.ContentLength})
	}})
	c := &Client{}
	defer c.CloseIdle()
	for _, size := range []int{0, 1, 5000, 1 << 20} {
		body := content(size)
		for _, length := range []int64{int64(size), -1} {
			for _, h := range []Header{nil, {{"Expect", "100-continue"}}} {
				got, err := fetch(t.Context(), c, "http://"+addr, &Request{Method: "POST", Body: strings.NewReader(body), ContentLength: length, Header: h})
				if got != "200 "+body || err != nil {
					t.Errorf("%d bytes, length %d, %v: %d bytes, %v", size, length, h, len(got), err)
				}
			}
		}
	}
	if got, err := fetch(t.Context(), c, "http://"+addr+"/no", put(strings.NewReader("x"), 1, Field{"Expect", "100-continue"})); got != "417 " || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := fetch(t.Context(), c, "http://"+addr, &Request{Method: "HEAD"}); got != "200 " || err != nil {
		t.Errorf("HEAD: %q, %v", got, err)
	}
}

// Several goroutines share a client.
func TestClientShared(t *testing.T) {
	addr := serve(t, &Server{Handler: func(x *Exchange) { x.Respond(200, nil, []byte(x.Request.Path())) }})
	c := &Client{MaxIdle: 3}
	defer c.CloseIdle()
	errs := make(chan error)
	for i := range 8 {
		go func() {
			for k := range 50 {
				want := fmt.Sprintf("200 /%d/%d", i, k)
				if got, err := fetch(t.Context(), c, "http://"+addr+want[4:], &Request{}); got != want || err != nil {
					errs <- fmt.Errorf("%q, %w; want %q", got, err, want)
					return
				}
			}
			errs <- nil
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// A storm of faults over sockets leaves no goroutine behind.
func TestClientLeavesNothing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for i := 0; ; i++ {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(20 * time.Second))
				if i%2 == 0 {
					ReadRequest(bufio.NewReader(nc), Limits{})
				}
				io.WriteString(nc, []string{"", "x", okHead, ok2, okChunked + "5\r\nab", "HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"}[i%7])
				switch i % 3 {
				case 0:
					nc.(*net.TCPConn).SetLinger(0)
				case 1:
					nc.(*net.TCPConn).CloseWrite()
				}
				if i%5 == 0 {
					io.Copy(io.Discard, nc)
				}
			})
		}
	})
	before := runtime.NumGoroutine()
	c := &Client{HeadTimeout: 20 * time.Millisecond, StallTimeout: 20 * time.Millisecond, ExpectWait: time.Millisecond}
	for i := range 300 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%30)*time.Millisecond)
		r := []*Request{{}, put(strings.NewReader(rep("x", 100000)), 100000), put(zeros{}, -1), put(strings.NewReader("x"), 1, Field{"Expect", "100-continue"})}[i%4]
		fetch(ctx, c, "http://"+ln.Addr().String(), r)
		cancel()
	}
	c.CloseIdle()
	ln.Close()
	served.Wait()
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // those of context.AfterFunc end on their own
	}
	if now := runtime.NumGoroutine(); now > before {
		b := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", now, before, b[:runtime.Stack(b, true)])
	}
}
