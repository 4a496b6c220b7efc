package httpmini

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A browser's opening handshake, 15 fields.
const handshake = "GET /chat HTTP/1.1\r\nHost: localhost:1235\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\nOrigin: http://localhost:8000\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-US,en;q=0.9\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"

const response = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/html\r\n" +
	"Content-Length: 5\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"abc\"\r\nAccept-Ranges: bytes\r\n\r\nhello"

func benchmarkRead(b *testing.B, wire string, read func(br *bufio.Reader) error) {
	src := strings.NewReader(wire)
	br := bufio.NewReader(src)
	b.ReportAllocs()
	b.SetBytes(int64(len(wire)))
	for b.Loop() {
		src.Reset(wire)
		br.Reset(src)
		if err := read(br); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadRequest(b *testing.B) {
	for _, bb := range []struct{ name, wire string }{
		{"small", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8008\r\nUser-Agent: wrk\r\n\r\n"},
		{"browser", handshake},
	} {
		b.Run(bb.name, func(b *testing.B) {
			benchmarkRead(b, bb.wire, func(br *bufio.Reader) error { _, err := ReadRequest(br, Limits{}); return err })
		})
		b.Run(bb.name+"-nethttp", func(b *testing.B) {
			benchmarkRead(b, bb.wire, func(br *bufio.Reader) error { _, err := http.ReadRequest(br); return err })
		})
	}
}

func BenchmarkReadResponse(b *testing.B) {
	benchmarkRead(b, response, func(br *bufio.Reader) error { _, err := ReadResponse(br, "GET", ClientLimits); return err })
}

// One client, one request at a time: 20 bytes of answer.
func BenchmarkKeepAlive(b *testing.B) {
	body := []byte("hello, hello, hello!")
	h := Header{{"Content-Type", "text/plain"}}
	benchmarkKeepAlive(b, serve(b, &Server{Handler: func(x *Exchange) { x.Respond(200, h, body) }}), 1)
}

// The same, 16 requests in flight; the figures are those of one request.
func BenchmarkPipelined(b *testing.B) {
	body := []byte("hello, hello, hello!")
	h := Header{{"Content-Type", "text/plain"}}
	benchmarkKeepAlive(b, serve(b, &Server{Handler: func(x *Exchange) { x.Respond(200, h, body) }}), 16)
}

func BenchmarkKeepAliveNetHTTP(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	body := []byte("hello, hello, hello!")
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) })}
	go s.Serve(ln)
	b.Cleanup(func() { s.Close() })
	benchmarkKeepAlive(b, ln.Addr().String(), 1)
}

func benchmarkKeepAlive(b *testing.B, addr string, depth int) {
	c := dial(b, addr)
	br := bufio.NewReaderSize(c, 64<<10)
	request := []byte(strings.Repeat("GET / HTTP/1.1\r\nHost: 127.0.0.1:8008\r\nUser-Agent: wrk\r\n\r\n", depth))
	exchange := func(n int) {
		if _, err := c.Write(request[:n*len(request)/depth]); err != nil {
			b.Fatal(err)
		}
		for range n {
			length := 0
			for {
				line, err := br.ReadSlice('\n')
				if err != nil {
					b.Fatal(err)
				}
				if len(line) == 2 {
					break
				}
				if n := len("Content-Length: "); len(line) == n+4 && string(line[:n]) == "Content-Length: " {
					length = int(line[n]-'0')*10 + int(line[n+1]-'0')
				}
			}
			if length != 20 {
				b.Fatalf("Content-Length %d, want 20", length)
			}
			br.Discard(length)
		}
	}
	exchange(depth)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += depth {
		exchange(min(depth, b.N-done))
	}
}

// What a connection with one request costs, from dial to close.
func BenchmarkConnect(b *testing.B) {
	answer := &Response{Status: 101, Header: Header{{"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}}}
	addr := serve(b, &Server{Handler: func(x *Exchange) {
		x.Send(answer)
		x.Takeover(func(c net.Conn, buffered []byte) { c.Close() })
	}})
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		io.WriteString(c, handshake)
		for err == nil {
			_, err = c.Read(buf)
		}
		c.Close()
	}
}
