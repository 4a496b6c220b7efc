package httpmini

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sender answers with big, whose end each path says in another way. Where something is
// to follow the head alone, headRead says that the client has it.
func sender(big string, headRead <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/length":
			w.Header().Set("Content-Length", fmt.Sprint(len(big)))
			io.WriteString(w, big)
		case "/late":
			w.Header().Set("Content-Length", fmt.Sprint(len(big)))
			w.(http.Flusher).Flush()
			<-headRead
			io.WriteString(w, big)
		case "/chunks":
			w.(http.Flusher).Flush()
			io.WriteString(w, big)
		case "/end", "/cut", "/reset":
			nc, _, _ := w.(http.Hijacker).Hijack()
			head := okHead + "\r\n"
			if r.URL.Path != "/end" {
				head = okHead + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(big)+1)
			}
			io.WriteString(nc, head+big)
			if r.URL.Path == "/reset" {
				<-headRead // else the reset may overtake it
				nc.(*net.TCPConn).SetLinger(0)
			}
			nc.Close()
		case "/small":
			io.WriteString(w, "small")
		}
	}
}

// Bodies to files: whole, at the right place, with every way of framing, and also
// where the kernel does not take part.
func TestClientToFile(t *testing.T) {
	big := content(3 << 20)
	headRead := make(chan struct{})
	s := httptest.NewServer(sender(big, headRead))
	defer s.Close()
	defer close(headRead)
	dir := t.TempDir()
	for _, tt := range []struct {
		path, want string
		err        error
	}{
		{"/length", big, nil}, {"/late", big, nil}, {"/chunks", big, nil}, {"/end", big, nil}, {"/small", "small", nil}, {"/none", "", nil}, {"/cut", big, io.ErrUnexpectedEOF}, {"/reset", "", errAny},
	} {
		for _, flag := range []int{0, os.O_APPEND} {
			name := filepath.Join(dir, "f")
			os.WriteFile(name, []byte("before "), 0o600)
			file, err := os.OpenFile(name, os.O_WRONLY|flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			file.Seek(0, io.SeekEnd)
			var last int64
			c := &Client{Trace: Trace{Progress: func(_, received int64) { last = received }}}
			a, err := c.Do(t.Context(), s.URL+tt.path, &Request{})
			if err != nil {
				t.Fatal(err)
			}
			if tt.path == "/late" || tt.path == "/reset" {
				headRead <- struct{}{}
			}
			n, err := a.WriteTo(file)
			if !errors.Is(err, tt.err) && (tt.err != errAny || err == nil) || n != last || n != a.Received() {
				t.Errorf("%s, %x: %d bytes, progress %d, %d received, %v; want %v", tt.path, flag, n, last, a.Received(), err, tt.err)
			}
			if err != nil && errors.As(err, new(*os.PathError)) {
				t.Errorf("%s: %v is the connection's fault, not the file's", tt.path, err)
			}
			a.Close()
			file.Close()
			got, _ := os.ReadFile(name)
			if int64(len(got)) != n+7 || string(got) != "before "+big[:min(n, int64(len(big)))] && string(got) != "before "+tt.want || tt.err != errAny && string(got) != "before "+tt.want {
				t.Errorf("%s, %x: the file has %d bytes, want %d", tt.path, flag, len(got), len(tt.want)+7)
			}
			if kept := len(c.idle) == 1; kept != (tt.err == nil && tt.path != "/end") {
				t.Errorf("%s: kept %v", tt.path, kept)
			}
			c.CloseIdle()
		}
	}
}

var errAny = errors.New("any error")

// A file that cannot be written is told apart from a connection that broke.
func TestClientToBadFile(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(1<<20))
		w.Write(make([]byte, 1<<20))
	}))
	defer s.Close()
	readOnly, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	files := []*os.File{readOnly}
	if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		defer full.Close()
		files = append(files, full)
	}
	for _, file := range files {
		c := &Client{}
		a, err := c.Do(t.Context(), s.URL, &Request{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.WriteTo(file)
		if _, ok := errors.AsType[*os.PathError](err); !ok {
			t.Errorf("%s: %v, want an error of the file", file.Name(), err)
		}
		a.Close()
		if len(c.idle) > 0 {
			t.Errorf("%s: the connection is kept", file.Name())
		}
	}
}

// A stall, or the end of the context, ends a copy by the kernel, too.
func TestClientToFileStalls(t *testing.T) {
	for _, stall := range []bool{true, false} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		go func() {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			io.WriteString(nc, okHead+"Content-Length: 1000000000\r\n\r\n"+strings.Repeat("x", 100000))
			<-release
			nc.Close()
		}()
		c := &Client{}
		ctx, cancel := context.WithCancel(t.Context())
		if stall {
			c.StallTimeout = 20 * time.Millisecond
		} else {
			time.AfterFunc(20*time.Millisecond, cancel)
		}
		a, err := c.Do(ctx, "http://"+ln.Addr().String(), &Request{})
		if err != nil {
			t.Fatal(err)
		}
		want := os.ErrDeadlineExceeded
		if !stall {
			want = context.Canceled
		}
		n, err := a.WriteTo(tempFile(t, 0))
		if e, ok := errors.AsType[*OpError](err); !ok || e.Op != "receive" || !errors.Is(err, want) || stall && n != 100000 {
			t.Errorf("stalled %v: %d bytes, %v; want %v", stall, n, err, want)
		}
		a.Close()
		cancel()
		close(release)
		ln.Close()
	}
}

// WriteTo to what is no file, and over what is no socket.
func TestClientWriteTo(t *testing.T) {
	big := content(200 << 10)
	boom := errors.New("boom")
	perform(t, func(s *stage) {
		for _, w := range []io.Writer{new(bytes.Buffer), tempFile(t, 0)} {
			a, err := s.c.Do(s.t.Context(), "http://a/", &Request{})
			if err != nil {
				t.Fatal(err)
			}
			if n, err := a.WriteTo(w); int(n) != len(big) || err != nil {
				t.Errorf("%T: %d bytes, %v; want %d", w, n, err, len(big))
			}
			if n, err := a.WriteTo(w); n != 0 || err != nil {
				t.Errorf("%T, behind the end: %d bytes, %v", w, n, err)
			}
			a.Close()
		}
		a, err := s.c.Do(s.t.Context(), "http://a/", &Request{})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := a.WriteTo(failing{boom}); n != 1 || err != boom {
			t.Errorf("%d bytes, %v; want 1, %v", n, err, boom)
		}
		a.Close()
		synctest.Wait()
	}, staying(okHead+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(big))+big, okChunked+fmt.Sprintf("%x\r\n", len(big))+big+"\r\n0\r\n\r\n",
		okHead+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(big))+big))
}

type failing struct{ err error }

func (f failing) Write(p []byte) (int, error) { return 1, f.err }

// What comes is written at once, however it is framed; small chunks that come
// together are written together.
func TestClientWriteToStream(t *testing.T) {
	perform(t, func(s *stage) {
		for range 2 {
			a, err := s.c.Do(s.t.Context(), "http://a/", &Request{})
			if err != nil {
				t.Fatal(err)
			}
			w := &noting{start: time.Now()}
			if _, err := a.WriteTo(w); err != nil {
				t.Error(err)
			}
			a.Close()
			if want := "0s 3, 1s 3, 2s 10000, "; !strings.HasPrefix(w.note, want) {
				t.Errorf("written %q, want %q", w.note, want)
			}
		}
	}, func(p *part) {
		p.request()
		p.send(okChunked)
		p.send("3\r\nabc\r\n")
		time.Sleep(time.Second)
		p.send("3\r\nabc\r\n")
		time.Sleep(time.Second)
		p.send(rep("3e8\r\n"+rep("x", 1000)+"\r\n", 14) + "0\r\n\r\n")
		p.request()
		p.send(okHead + "Content-Length: 20006\r\n\r\n")
		for _, n := range []int{3, 3, 10000} {
			p.send(rep("x", n))
			time.Sleep(time.Second)
		}
		p.send(rep("x", 10000))
	})
}

// noting notes when how much is written.
type noting struct {
	start time.Time
	note  string
}

func (w *noting) Write(p []byte) (int, error) {
	w.note += fmt.Sprint(time.Since(w.start), " ", len(p), ", ")
	return len(p), nil
}

// Pauses that are no stalls end no copy by the kernel, in either direction, and
// what moved before them is reported meanwhile.
func TestClientPauses(t *testing.T) {
	const size = 16 << 20
	paused, reported := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" {
			n, err := io.CopyN(io.Discard, r.Body, size/2)
			paused <- struct{}{}
			<-reported
			rest, err2 := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n+rest, err, err2)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		w.Write(make([]byte, size/2))
		w.(http.Flusher).Flush()
		paused <- struct{}{}
		<-reported
		w.Write(make([]byte, size/2))
	}))
	defer s.Close()
	file := tempFile(t, 0)
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*Request{{}, put(file, size)} {
		var moved atomic.Int64
		go func() {
			<-paused
			for deadline := time.Now().Add(20 * time.Second); moved.Load() < size/2 && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(600 * time.Millisecond) // two pieces without a byte
			reported <- struct{}{}
		}()
		c := &Client{Trace: Trace{Progress: func(sent, received int64) { moved.Store(max(sent, received)) }}}
		a, err := c.Do(t.Context(), s.URL, r)
		if err != nil {
			t.Fatal(err)
		}
		n, err := a.WriteTo(tempFile(t, 0))
		if want := int64(size); err != nil || moved.Load() != size || r.Body == nil && n != want {
			t.Errorf("%q: %d bytes, %v, reported %d", r.Method, n, err, moved.Load())
		}
		a.Close()
		c.CloseIdle()
	}
}
