package httpmini

import (
	"bufio"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// deadlines notes what deadlines a connection is given.
type deadlines struct {
	net.Conn
	mu   sync.Mutex
	seen []time.Time
}

func (d *deadlines) note(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, t)
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.note(t); return d.Conn.SetReadDeadline(t) }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.note(t); return d.Conn.SetWriteDeadline(t) }

// HT11: a clock that is set back ends no connection, because all deadlines have a
// monotonic reading.
func TestMonotonicDeadlines(t *testing.T) {
	client, server := net.Pipe()
	d := &deadlines{Conn: server}
	s := &Server{Handler: func(x *Exchange) { x.Respond(200, nil, make([]byte, 100_000)) }}
	var all sync.WaitGroup
	all.Go(func() { s.ServeConn(d) })
	b := make([]byte, 200_000)
	for range 2 {
		client.Write([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"))
		for n := 0; n < 100_000; {
			m, err := client.Read(b)
			must(t, err)
			n += m
		}
	}
	client.Close()
	all.Wait()
	if len(d.seen) < 3 {
		t.Errorf("%d deadlines were set", len(d.seen))
	}
	for _, at := range d.seen {
		if !strings.Contains(at.String(), " m=") {
			t.Errorf("the deadline %v moves with the clock", at)
		}
	}
}

// TestFilesServerCases: the cases of the parser against the whole file server. Where
// the head is good a POST is 405, whatever its body is.
func TestFilesServerCases(t *testing.T) {
	root := plant(t, tree{"index.html": "<p>index", "next": "next", "x": "x"})
	addr := serveFiles(t, &Files{Root: root}, nil)
	for _, tt := range serverCases {
		expect := strings.Split(tt.expect, "+")
		_, afterHead, _ := strings.Cut(tt.wire, "\r\n\r\n")
		post := strings.HasPrefix(tt.wire, "POST ") && afterHead != ""
		t.Run(tt.id, func(t *testing.T) {
			t.Parallel()
			c := dial(t, addr)
			var sender sync.WaitGroup
			sender.Go(func() {
				io.WriteString(c, tt.wire) // fails where the server ended first
				if !strings.HasSuffix(tt.expect, "x") {
					c.CloseWrite()
				}
			})
			got := strings.Split(statuses(c), "+")
			c.Close()
			sender.Wait()
			if post && strings.HasPrefix(got[0], "405") || strings.HasPrefix(got[0], "405") && expect[0] == "200" || tt.expect == "100" {
				return
			}
			if !slices.Equal(got, expect) {
				t.Errorf("%s: answers %q, want %q", tt.input, got, expect)
			}
		})
	}
}

// TestFilesPipelined: many requests at once have their answers in order, of files
// in memory and not, small and large.
func TestFilesPipelined(t *testing.T) { warmAndCold(t, testFilesPipelined) }

func testFilesPipelined(t *testing.T) {
	root := plant(t, tree{"a": "content of a", "big": string(noise), "mid": string(noise[:20_000])})
	c := dial(t, serveFiles(t, &Files{Root: root}, nil))
	targets := []string{"/a", "/big", "/a", "/mid", "/missing", "/mid", "/a", "/big"}
	var requests strings.Builder
	for range 10 {
		for _, target := range targets {
			requests.WriteString("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		}
	}
	var sender sync.WaitGroup
	sender.Go(func() { io.WriteString(c, requests.String()) })
	defer sender.Wait()
	br := bufio.NewReader(c)
	want := map[string]string{"/a": "content of a", "/big": string(noise), "/mid": string(noise[:20_000]), "/missing": "Not Found\n"}
	for range 10 {
		for _, target := range targets {
			r, err := ReadResponse(br, "GET", ClientLimits)
			must(t, err)
			body, err := io.ReadAll(r.Body)
			if string(body) != want[target] || err != nil {
				t.Fatalf("%s: %d, %d bytes, %v", target, r.Status, len(body), err)
			}
		}
	}
}
