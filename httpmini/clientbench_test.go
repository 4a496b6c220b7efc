package httpmini

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// One request at a time over a kept connection, beside net/http's client; 20 bytes
// of answer from the same server.
func BenchmarkClient(b *testing.B) {
	body := []byte("hello, hello, hello!")
	h := Header{{"Content-Type", "text/plain"}}
	url := "http://" + serve(b, &Server{Handler: func(x *Exchange) { x.Respond(200, h, body) }}) + "/"
	b.Run("httpmini", func(b *testing.B) {
		c := &Client{}
		defer c.CloseIdle()
		r := &Request{Method: "GET", Header: Header{{"Accept", "*/*"}, {"User-Agent", "x"}}}
		buf := make([]byte, 100)
		b.ReportAllocs()
		for b.Loop() {
			a, err := c.Do(b.Context(), url, r)
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.ReadFull(a.Body, buf[:20]); n != 20 || err != nil {
				b.Fatal(n, err)
			}
			a.Close()
		}
	})
	b.Run("nethttp", func(b *testing.B) {
		c := &http.Client{Transport: &http.Transport{DisableCompression: true}}
		defer c.CloseIdleConnections()
		buf := make([]byte, 100)
		b.ReportAllocs()
		for b.Loop() {
			r, _ := http.NewRequestWithContext(b.Context(), "GET", url, nil)
			r.Header.Set("Accept", "*/*")
			r.Header.Set("User-Agent", "x")
			a, err := c.Do(r)
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.ReadFull(a.Body, buf[:20]); n != 20 || err != nil {
				b.Fatal(n, err)
			}
			a.Body.Close()
		}
	})
}

// 256 MiB to a file, from a file of the same server.
func BenchmarkClientToFile(b *testing.B) {
	const size = 256 << 20
	name := filepath.Join(b.TempDir(), "from")
	if err := os.WriteFile(name, bytes.Repeat([]byte("0123456789abcdef"), size/16), 0o600); err != nil {
		b.Fatal(err)
	}
	url := "http://" + serve(b, &Server{Handler: func(x *Exchange) {
		file, err := os.Open(name)
		if err != nil {
			b.Error(err)
			return
		}
		defer file.Close()
		x.Send(&Response{Status: 200, Body: file, ContentLength: size})
	}}) + "/"
	to, err := os.Create(filepath.Join(b.TempDir(), "to"))
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	b.Run("httpmini", func(b *testing.B) {
		c := &Client{}
		defer c.CloseIdle()
		b.ReportAllocs()
		b.SetBytes(size)
		for b.Loop() {
			to.Seek(0, io.SeekStart)
			a, err := c.Do(b.Context(), url, &Request{})
			if err != nil {
				b.Fatal(err)
			}
			if n, err := a.WriteTo(to); n != size || err != nil {
				b.Fatal(n, err)
			}
			a.Close()
		}
	})
	b.Run("nethttp", func(b *testing.B) {
		c := &http.Client{Transport: &http.Transport{}}
		defer c.CloseIdleConnections()
		b.ReportAllocs()
		b.SetBytes(size)
		for b.Loop() {
			to.Seek(0, io.SeekStart)
			a, err := c.Get(url)
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(to, a.Body); n != size || err != nil {
				b.Fatal(n, err)
			}
			a.Body.Close()
		}
	})
}
