package httpmini

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The client against net/http's server, plain and with TLS.
func TestClientAgainstNetHTTP(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.Path)
		io.Copy(w, r.Body)
	}))
	defer s.Close()
	c := &Client{}
	defer c.CloseIdle()
	for i := range 3 {
		a, err := c.Do(t.Context(), s.URL+"/tea", &Request{Method: "POST", Body: strings.NewReader("hello"), ContentLength: 5})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(a.Body)
		if string(b) != "hello" || err != nil || a.Status != 200 || a.Header.Get("X-Path") != "/tea" || a.Conn.Reused != (i > 0) {
			t.Errorf("%d %q, %v, reused %v", a.Status, b, err, a.Conn.Reused)
		}
		a.Close()
	}
}
