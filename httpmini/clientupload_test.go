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
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func put(body io.Reader, length int64, fields ...Field) *Request {
	return &Request{Method: "PUT", Body: body, ContentLength: length, Header: fields}
}

// What a request looks like on the wire.
func TestClientRequests(t *testing.T) {
	stream := func(s string) io.Reader { return iotest.HalfReader(strings.NewReader(s)) }
	for _, tt := range []struct {
		name, url string
		r         *Request
		want      string
	}{
		{"plain", "http://a", &Request{}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"port and query", "http://a:8080/x?y", &Request{}, "GET /x?y HTTP/1.1\r\nHost: a:8080\r\n\r\n"},
		{"default port", "http://a:80/", &Request{}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"IPv6", "http://[::1]:8080/", &Request{}, "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"},
		{"zone", "http://[fe80::1%25eth0]:81/", &Request{}, "GET / HTTP/1.1\r\nHost: [fe80::1]:81\r\n\r\n"},
		{"fragment", "http://a/x#y", &Request{}, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"empty query", "http://a?", &Request{}, "GET /? HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"escapes stay", "http://a/%2f%41?%zz%20+", &Request{}, "GET /%2f%41?%zz%20+ HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"bytes are escaped", "http://a/ü?ö", &Request{}, "GET /%C3%BC?%C3%B6 HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"target given", "http://a/x", &Request{Method: "OPTIONS", Target: "*"}, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"Host given", "http://a/", &Request{Header: Header{{"A", "b"}, {"host", "c"}}}, "GET / HTTP/1.1\r\nA: b\r\nhost: c\r\n\r\n"},
		{"user in the URL", "http://Aladdin:open%20sesame@a/", &Request{}, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"}, // RFC 7617 §2
		{"Authorization wins", "http://u:p@a/", &Request{Header: Header{{"Authorization", "x"}}}, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\n\r\n"},
		{"POST of nothing", "http://a/", &Request{Method: "POST"}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
		{"POST without any body", "http://a/", &Request{Method: "POST", ContentLength: -1}, "POST / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"empty body", "http://a/", put(strings.NewReader(""), 0), "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
		{"length", "http://a/", put(strings.NewReader("tea"), 3), "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntea"},
		{"length of a part", "http://a/", put(strings.NewReader("teatime"), 3), "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntea"},
		{"length of a stream", "http://a/", put(stream("tea"), 3), "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntea"},
		{"chunks", "http://a/", put(strings.NewReader("tea"), -1), "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntea\r\n0\r\n\r\n"},
		{"chunks of nothing", "http://a/", put(stream(""), -1), "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"trailer", "http://a/", &Request{Method: "PUT", Body: strings.NewReader("x"), ContentLength: -1, Trailer: Header{{"Sum", "1"}}},
			"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nSum: 1\r\n\r\n"},
		{"framing is ours", "http://a/", put(strings.NewReader("tea"), 3, Field{"Content-Length", "9"}, Field{"transfer-encoding", "chunked"}),
			"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntea"},
	} {
		perform(t, func(s *stage) {
			a, err := s.c.Do(s.t.Context(), tt.url, tt.r)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				return
			}
			if err := a.Wait(); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			a.Close()
		}, func(p *part) {
			p.nc.SetReadDeadline(time.Now().Add(time.Second))
			wire, _ := io.ReadAll(p.br)
			if string(wire) != tt.want {
				t.Errorf("%s: sent %q, want %q", tt.name, wire, tt.want)
			}
			p.send(ok2)
		})
	}
}

// HC32: what cannot be sent as it is is an error, before a connection is made.
func TestClientRefuses(t *testing.T) {
	field := func(name, value string) *Request { return &Request{Header: Header{{name, value}}} }
	for _, tt := range []struct {
		name, url string
		r         *Request
		err       error
	}{
		{"CR LF in a value", "http://a/", field("A", "b\r\nX: y"), ErrField},
		{"LF in a name", "http://a/", field("A\n", "b"), ErrField},
		{"LF in a value", "http://a/", field("User-Agent", "a\nb"), ErrField},
		{"request in the method", "http://a/", &Request{Method: "GET /x HTTP/1.1\r\n"}, ErrRequestLine},
		{"space in the target", "http://a/", &Request{Target: "/a b"}, ErrTarget},
		{"LF in a trailer", "http://a/", &Request{Method: "PUT", Body: zeros{}, ContentLength: -1, Trailer: Header{{"A", "b\nc"}}}, ErrField},
		{"two Hosts", "http://a/", &Request{Header: Header{{"Host", "a"}, {"host", "b"}}}, ErrHost},
		{"URL", "http://a b/", &Request{}, ErrURL},
		{"scheme", "ftp://a/", &Request{}, ErrScheme},
		{"a body where none should be", "http://a/", put(iotest.OneByteReader(strings.NewReader("x")), 0), ErrBodyLength},
		{"proxy that is none", "http://p/", &Request{}, errNoScript},
	} {
		c := &Client{
			Dial: func(context.Context, string, string) (net.Conn, error) {
				t.Errorf("%s: dialed", tt.name)
				return nil, errNoScript
			},
			Proxy: proxyFails("p"),
		}
		if _, err := c.Do(t.Context(), tt.url, tt.r); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
	}
}

// Expect: 100-continue (RFC 9110 §10.1.1).
func TestClientExpect(t *testing.T) {
	const goOn = "HTTP/1.1 100 Continue\r\n\r\n"
	for _, tt := range []struct {
		name   string
		script func(p *part) (body string)
		want   string
		body   string
		took   time.Duration
		kept   bool
	}{
		{"Continue", func(p *part) string { p.send(goOn); return p.rest() }, "200 ok", "tea", 0, true},
		{"twice", func(p *part) string { p.send(goOn + goOn); return p.rest() }, "200 ok", "tea", 0, true},
		{"another interim head is none", func(p *part) string { p.send("HTTP/1.1 102 P\r\n\r\n"); return p.rest() }, "200 ok", "tea", time.Second, true},
		{"nothing (HC44)", func(p *part) string { return p.rest() }, "200 ok", "tea", time.Second, true},
		{"refused", func(p *part) string { p.send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"); p.stay(); return "" }, "417 ", "", 0, false},
		{"done without it", func(p *part) string { p.send(ok2); p.stay(); return "" }, "200 ok", "", 0, false},
	} {
		perform(t, func(s *stage) {
			var got string
			var err error
			took := lasting(func() { got, err = s.do(put(strings.NewReader("tea"), 3, Field{"Expect", "100-continue"})) })
			if got != tt.want || err != nil || took != tt.took {
				t.Errorf("%s: %q, %v after %v; want %q after %v", tt.name, got, err, took, tt.want, tt.took)
			}
			if kept := len(s.c.idle) == 1; kept != tt.kept {
				t.Errorf("%s: kept %v, want %v", tt.name, kept, tt.kept)
			}
		}, func(p *part) {
			r, err := ReadRequest(p.br, Limits{})
			if err != nil || r.Header.Get("Expect") != "100-continue" {
				t.Errorf("%s: %v, %v", tt.name, r, err)
				return
			}
			p.body = r.Body
			if body := tt.script(p); body != tt.body {
				t.Errorf("%s: body %q, want %q", tt.name, body, tt.body)
			}
			if tt.body != "" {
				p.send(ok2)
				p.stay()
			}
		})
	}
}

// An answer that did not wait for the body is no failure of the upload.
func TestClientWaitDeclined(t *testing.T) {
	perform(t, func(s *stage) {
		a, err := s.c.Do(s.t.Context(), "http://a/", put(strings.NewReader("tea"), 3, Field{"Expect", "100-continue"}))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if err := a.Wait(); a.Status != 200 || err != nil || a.Sent() != 0 {
			t.Errorf("answer %d, upload %v after %d bytes; want 200, nil, 0", a.Status, err, a.Sent())
		}
	}, func(p *part) {
		ReadRequest(p.br, Limits{})
		p.send(ok2)
		p.stay()
	})
}

// An answer may come while the body goes out. A good one does not stop it.
func TestClientBothWays(t *testing.T) {
	perform(t, func(s *stage) {
		body, feed := io.Pipe()
		a, err := s.c.Do(s.t.Context(), "http://a/", put(body, -1))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		for i := range 3 {
			word := fmt.Sprint("word ", i)
			io.WriteString(feed, word)
			if n, err := io.ReadFull(a.Body, b[:len(word)]); string(b[:n]) != word || err != nil {
				t.Errorf("read %q, %v; want %q", b[:n], err, word)
			}
			if int(a.Sent()) != 6*(i+1) || int(a.Received()) != 6*(i+1) {
				t.Errorf("sent %d, received %d; want %d", a.Sent(), a.Received(), 6*(i+1))
			}
		}
		feed.Close()
		if rest, err := io.ReadAll(a.Body); len(rest) > 0 || err != nil {
			t.Errorf("at the end %q, %v", rest, err)
		}
		a.Close()
		if len(s.c.idle) != 1 {
			t.Error("the connection is not kept")
		}
	}, func(p *part) {
		r, err := ReadRequest(p.br, Limits{})
		if err != nil {
			t.Error(err)
			return
		}
		p.send(okChunked)
		for b := make([]byte, 100); ; {
			n, err := r.Body.Read(b)
			if err != nil {
				break
			}
			p.send(fmt.Sprintf("%x\r\n%s\r\n", n, b[:n]))
		}
		p.send("0\r\n\r\n")
		p.stay()
	})
}

// An answer that is not pleased, or Close, ends an upload, and nothing stays
// behind.
func TestClientStopsUpload(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer string
		body   func() io.Reader
		status int
		closed bool // only Close ends it
	}{
		{"413, a body that can seek (HC43)", "HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno", func() io.Reader { return bytes.NewReader(make([]byte, 1<<20)) }, 413, false},
		{"413, a stream", "HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno", func() io.Reader { return zeros{} }, 413, false},
		{"302", "HTTP/1.1 302 There\r\nContent-Length: 2\r\n\r\nno", func() io.Reader { return zeros{} }, 302, false},
		{"200", okHead + "Content-Length: 2\r\n\r\nno", func() io.Reader { return zeros{} }, 200, true},
	} {
		for _, length := range []int64{1 << 20, -1} {
			perform(t, func(s *stage) {
				a, err := s.c.Do(s.t.Context(), "http://a/", put(tt.body(), length))
				if err != nil {
					t.Errorf("%s: %v", tt.name, err)
					return
				}
				if body, err := io.ReadAll(a.Body); string(body) != "no" || err != nil || a.Status != tt.status {
					t.Errorf("%s: %d %q, %v", tt.name, a.Status, body, err)
				}
				if tt.closed {
					a.Close()
				}
				if err := a.Wait(); err == nil {
					t.Errorf("%s: the upload ended well", tt.name)
				}
				a.Close()
				if len(s.c.idle) != 0 {
					t.Errorf("%s: the connection is kept", tt.name)
				}
			}, func(p *part) {
				p.br.Peek(100)
				p.send(tt.answer)
				time.Sleep(time.Hour)
			})
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A body that a person types does not hold up Close.
func TestClientAbandonsRead(t *testing.T) {
	perform(t, func(s *stage) {
		body, feed := io.Pipe()
		a, err := s.c.Do(s.t.Context(), "http://a/", put(body, -1))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		a.Close()
		io.WriteString(feed, "late") // read, and dropped
		synctest.Wait()
		if n := a.Sent(); n != 0 {
			t.Errorf("sent %d bytes", n)
		}
	}, func(p *part) { p.br.Peek(10); p.send(ok2); p.stay() })
}

// What is wrong with the body ends the request, and is told apart from what is wrong
// with the connection.
func TestClientBodyErrors(t *testing.T) {
	boom := errors.New("boom")
	broken := func() io.Reader { return io.MultiReader(strings.NewReader("te"), iotest.ErrReader(boom)) }
	for _, tt := range []struct {
		name   string
		r      *Request
		script func(p *part)
		op     string
		err    error
	}{
		{"fails", put(broken(), 3), func(p *part) { p.stay() }, "body", boom},
		{"fails in chunks", put(broken(), -1), func(p *part) { p.stay() }, "body", boom},
		{"too short", put(strings.NewReader("te"), 3), func(p *part) { p.stay() }, "body", ErrBodyLength},
		{"too short a file", put(tempFile(t, 2), 3), func(p *part) { p.stay() }, "body", ErrBodyLength},
		{"the server does not read", put(zeros{}, 1<<30), func(p *part) { p.br.Discard(100000); time.Sleep(time.Hour) }, "send", os.ErrDeadlineExceeded},
		{"the server does not answer", put(strings.NewReader("tea"), 3), func(p *part) { p.stay() }, "receive", os.ErrDeadlineExceeded},
	} {
		perform(t, func(s *stage) {
			_, err := s.do(tt.r)
			if e, _ := errors.AsType[*OpError](err); e == nil || e.Op != tt.op || !errors.Is(err, tt.err) {
				t.Errorf("%s: %v; want %s: %v", tt.name, err, tt.op, tt.err)
			}
		}, tt.script)
	}
}

// Where the server goes in the middle of an upload, writing or reading notices.
func TestClientServerGoes(t *testing.T) {
	for _, after := range []int{0, 10, 100000} {
		perform(t, func(s *stage) {
			_, err := s.do(put(zeros{}, -1))
			e, _ := errors.AsType[*OpError](err)
			if e == nil || !(e.Op == "send" && e.Err == io.ErrClosedPipe || e.Op == "receive" && e.Err == ErrNoAnswer) {
				t.Errorf("gone after %d bytes: %v", after, err)
			}
		}, func(p *part) { p.br.Discard(after) })
	}
}

// A body that fails behind the head of the answer ends that, too.
func TestClientBodyErrorLate(t *testing.T) {
	perform(t, func(s *stage) {
		body, feed := io.Pipe()
		a, err := s.c.Do(s.t.Context(), "http://a/", put(body, -1))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		boom := errors.New("boom")
		feed.CloseWithError(boom)
		if _, err := io.ReadAll(a.Body); !errors.Is(err, boom) {
			t.Errorf("read: %v, want %v", err, boom)
		}
		if err := a.Wait(); !errors.Is(err, boom) {
			t.Errorf("Wait: %v, want %v", err, boom)
		}
	}, func(p *part) { p.br.Peek(10); p.send(okChunked); p.stay() })
}

// Over sockets files go by the kernel; net/http says what arrives.
func TestClientSendsFile(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %v %v", r.ContentLength, err, string(b) == content(1 << 20)[100:])
	}))
	defer s.Close()
	var progress int64
	c := &Client{Trace: Trace{Progress: func(sent, received int64) { progress = max(progress, sent) }}}
	defer c.CloseIdle()
	file := tempFile(t, 1<<20)
	file.Seek(100, io.SeekStart)
	const length = 1<<20 - 100
	got, err := fetch(t.Context(), c, s.URL, put(file, length))
	if want := fmt.Sprintf("200 %d <nil> true", length); got != want || err != nil || progress != length {
		t.Errorf("got %q, %v, progress %d; want %q", got, err, progress, want)
	}
	if _, err = fetch(t.Context(), c, s.URL, put(file, 1)); !errors.Is(err, ErrBodyLength) {
		t.Errorf("a file at its end: %v, want %v", err, ErrBodyLength)
	}
}

// Files over sockets: a server that goes, one that does not read, one that had
// enough, and a client that ends.
func TestClientSendFileEnds(t *testing.T) {
	big := tempFile(t, 0)
	if err := big.Truncate(1 << 30); err != nil {
		t.Skip(err)
	}
	for _, tt := range []struct {
		name, op string
		err      error
		serve    func(nc net.Conn)
	}{
		{"goes", "", nil, func(nc net.Conn) { nc.Read(make([]byte, 1)) }},
		{"does not read", "send", os.ErrDeadlineExceeded, func(nc net.Conn) { io.Copy(io.Discard, io.LimitReader(nc, 1)); <-t.Context().Done() }},
		{"has enough", "", nil, func(nc net.Conn) {
			io.WriteString(nc, "HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n")
			<-t.Context().Done()
		}},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			if nc, err := ln.Accept(); err == nil {
				tt.serve(nc)
				nc.Close()
			}
		}()
		big.Seek(0, io.SeekStart)
		c := &Client{StallTimeout: 50 * time.Millisecond}
		a, err := c.Do(t.Context(), "http://"+ln.Addr().String(), put(big, 1<<30))
		if tt.name == "has enough" {
			if err != nil || a.Status != 413 || a.Wait() != nil || a.Sent() == 1<<30 {
				t.Errorf("%s: %+v, %v", tt.name, a, err)
				continue
			}
			a.Close()
			continue
		}
		if e, ok := errors.AsType[*OpError](err); !ok || tt.op != "" && e.Op != tt.op || tt.err != nil && !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
