package httpmini

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// startNginx starts an nginx with that in its server block, and returns the Unix socket
// it listens on.
func startNginx(t *testing.T, server string) (sock string) {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx"
	}
	if _, err := os.Stat(nginx); err != nil {
		t.Skip("nginx is not installed")
	}
	dir, err := os.MkdirTemp("", "nginx")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	sock = filepath.Join(dir, "sock")
	conf := strings.NewReplacer("{dir}", dir, "{server}", server, "{sock}", sock).Replace(`daemon off; master_process off; pid {dir}/pid; error_log {dir}/err;
events {} http { access_log off; default_type application/octet-stream;
client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
server { listen unix:{sock}; {server} } }`)
	must(t, os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644))
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), nginx, "-p", dir, "-c", filepath.Join(dir, "conf"))
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	for {
		c, err := net.Dial("unix", sock)
		if err == nil {
			c.Close()
			return sock
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("nginx: %v: %s", err, said.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A witness notes what its server hands out, and what it refuses.
type witness struct {
	mu      sync.Mutex
	served  []string // method, path, body, in order
	ids     []string // that nginx gave
	refused []error
}

func (w *witness) take() (served, ids []string, refused []error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	served, ids, refused = w.served, w.ids, w.refused
	w.served, w.ids, w.refused = nil, nil, nil
	return served, ids, refused
}

func (w *witness) refuse(_ net.Addr, _ string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = append(w.refused, err)
}

func (w *witness) handle(x *Exchange) {
	body, err := io.ReadAll(x.Request.Body)
	if err != nil { // the server refuses it
		w.refuse(nil, "", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids = append(w.ids, x.Request.Header.Values("X-Id")...)
	w.served = append(w.served, fmt.Sprintf("%s %s %q", x.Request.Method, x.Request.Path(), body))
	x.Respond(200, nil, nil)
}

// say sends wire and the end, and reads to the end.
func say(t *testing.T, network, addr string, wire []byte) {
	t.Helper()
	c, err := net.Dial(network, addr)
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	c.Write(wire)
	c.(interface{ CloseWrite() error }).CloseWrite()
	if _, err := io.Copy(io.Discard, c); err != nil && os.IsTimeout(err) {
		t.Errorf("%.200q: %v", wire, err)
	}
}

// nginxMends are the faults that nginx forgives: it forwards a request of its own
// without them. What makes two readers disagree where a message ends is not among them.
var nginxMends = []error{ErrRequestLine, ErrVersion, ErrHost, ErrField, ErrLineEnd, ErrChunk, ErrExpect}

func isMended(why error) bool {
	return slices.ContainsFunc(nginxMends, func(mended error) bool { return errors.Is(why, mended) })
}

// TestNginxInFront: behind nginx as a proxy, each request that it forwards is one to us,
// and what we serve of it is what we serve without it.
func TestNginxInFront(t *testing.T) {
	var w witness
	addr := serve(t, &Server{Handler: w.handle, OnBadRequest: w.refuse})
	front := startNginx(t, `location / { proxy_pass http://`+addr+`; proxy_http_version 1.1; proxy_set_header Connection "";
proxy_set_header X-Id $connection-$connection_requests; proxy_request_buffering off; proxy_ignore_client_abort on; proxy_next_upstream off; }`)
	found, _ := filepath.Glob("testdata/fuzz/FuzzReadRequest/*")
	seeds := requestSeeds()
	for _, name := range found {
		text, err := os.ReadFile(name)
		must(t, err)
		seed, err := strconv.Unquote(strings.TrimSuffix(strings.TrimPrefix(strings.Split(string(text), "\n")[1], "[]byte("), ")"))
		must(t, err)
		seeds = append(seeds, []byte(seed))
	}
	forwarded, same := 0, 0
	for _, wire := range seeds {
		say(t, "tcp", addr, wire)
		direct, _, why := w.take()
		say(t, "unix", front, wire)
		through, ids, _ := w.take()
		forwarded += len(through)
		if distinct := slices.Compact(slices.Sorted(slices.Values(ids))); len(distinct) != len(through) || len(ids) != len(through) {
			t.Errorf("%.200q: nginx forwarded the requests %q, we read %q with the ids %q", wire, distinct, through, ids)
		}
		switch {
		case len(through) > 0 && len(direct) > 0:
			same++
			if through[0] != direct[0] {
				t.Errorf("%.200q: through nginx we read %s, without it %s", wire, through[0], direct[0])
			}
		case len(through) > 0 && !slices.ContainsFunc(why, isMended): // nginx may have cut off the request before only now
			t.Errorf("%.200q: through nginx we read %s, without it %v", wire, through[0], why)
		}
	}
	t.Logf("%d seeds, %d requests came through, %d of them are served without nginx", len(seeds), forwarded, same)
	if len(seeds) < 100 || same < 20 {
		t.Errorf("only %d of %d seeds were compared", same, len(seeds))
	}
}
