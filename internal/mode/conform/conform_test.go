package conform

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// echoServer is the URL of an echo server, which answers with what change makes of a
// message.
func echoServer(t *testing.T, change func(p []byte) []byte) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &wsproto.Server{OnMessage: func(u *wsproto.User, m wsproto.Message) { u.Reply(m.Opcode, change(m.Data)) }}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() { s.Shutdown(t.Context()); <-served })
	return "ws://" + ln.Addr().String() + "/"
}

func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	in := cli.StartInside(t.Context(), cli.Table{Mode}, append([]string{"conform", "-wait", "30s"}, args...)...)
	code, err := in.Wait(t.Context())
	if err != nil {
		t.Error(err)
	}
	return code, in.Stdout.String(), in.Stderr.String()
}

// insecure is TLS that trusts everybody.
func insecure(_ context.Context, c net.Conn, _ string) (net.Conn, error) {
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true}), nil
}

func same(p []byte) []byte { return p }

func TestServer(t *testing.T) {
	t.Parallel()
	good := echoServer(t, same)
	upper := echoServer(t, func(p []byte) []byte { return []byte(strings.ToUpper(string(p))) })
	dir := t.TempDir()
	junit := filepath.Join(dir, "junit.xml")
	for _, c := range []struct {
		args string
		code int
		want []string // on stdout or stderr
	}{
		{"-cases 2.* " + good, 0, []string{"2.1                      OK             §5.5.2", "\n2                       11             0", "\nall                     11 "}},
		{"-cases 7.1.1,2.1 -junit " + junit + " " + upper, cli.ExitExpect, []string{
			"7.1.1                    FAILED", `event 1 is text of 12 bytes "HELLO WORLD!", want text of 12 bytes "Hello World!"`, "    sent ", "    came ", "1 of 2 cases failed"}},
		{"-tap -cases 7.1.1,2.1 " + upper, cli.ExitExpect, []string{"TAP version 13\nok 1 - 2.1 ", "\nnot ok 2 - 7.1.1 ", "\n1..2\n"}},
		{"-json -cases 7.1.1 -agent me " + good, 0, []string{`"event":"case"`, `"peer":"me"`, `"id":"7.1.1"`, `"behavior":"OK"`}},
		{"-cases 1.1.1 -out " + dir + " " + good, 0, nil},
		{"-cases 1.1.1 ws://127.0.0.1:1/", cli.ExitConnect, []string{"127.0.0.1:1"}},
		{"-cases 1.1.1 " + good + " ws://127.0.0.1:1/", cli.ExitConnect, []string{"1.1.1", "server 2: "}},
		{"-cases 1.1.1 tcp://127.0.0.1:1", cli.ExitUsage, []string{"want a ws or wss URL"}},
		{"-tap -json " + good, cli.ExitUsage, []string{"-tap and -json exclude each other"}},
		{"-spec " + filepath.Join(dir, "none") + " " + good, cli.ExitRead, nil},
		{"-m fuzzingclient", cli.ExitRead, []string{"fuzzingclient.json"}},
		{"-out " + junit + " " + good, cli.ExitWrite, []string{"not a directory"}},
	} {
		code, stdout, stderr := command(t, strings.Fields(c.args)...)
		if code != c.code {
			t.Errorf("%s: exit %d, want %d: %s %s", c.args, code, c.code, stdout, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%s: no %q: %s %s", c.args, want, stdout, stderr)
			}
		}
	}
	if b, err := os.ReadFile(junit); err != nil || !strings.Contains(string(b), `tests="2" failures="1"`) {
		t.Errorf("junit.xml is %s, %v", b, err)
	}
	if names := kit.Contents(t, dir); names["index.html"] == "" || names["unknownserver_case_1_1_1.json"] == "" {
		t.Errorf("the reports are %v", names)
	}
}

// TestInterrupt ends a run in the middle, which leaves reports of what was done.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	dir, goOn := t.TempDir(), make(chan struct{})
	url := echoServer(t, func(p []byte) []byte {
		if len(p) == 126 {
			<-goOn
		}
		return p
	})
	t.Cleanup(func() { close(goOn) })
	p := kit.Background(t, Mode, "-j", "1", "-wait", "30s", "-cases", "1.1.*", "-out", dir, url)
	p.Stdout.WaitFor(t, `(?m)^1\.1\.2 .*$`)
	if code := p.Stop(); code != 143 {
		t.Errorf("exit %d, want 143", code)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "index.json")); err != nil || !strings.Contains(string(b), `"1.1.2": {`) || strings.Contains(string(b), `"1.1.4": {`) {
		t.Errorf("index.json is %s, %v", b, err)
	}
}

// TestSpec has the files of wstest read as they are, for both sides.
func TestSpec(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spec, out := filepath.Join(dir, "fuzzing.json"), filepath.Join(dir, "reports")
	write := func(v any) {
		b, _ := json.Marshal(v)
		if err := os.WriteFile(spec, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(map[string]any{"outdir": out, "servers": []any{map[string]any{"agent": "first", "url": echoServer(t, same), "options": map[string]any{"version": 18}}, map[string]any{"agent": "second", "url": echoServer(t, same)}},
		"cases": []string{"1.1.*", "2.*"}, "exclude-cases": []string{"2.*"}, "exclude-agent-cases": map[string]any{"second": []string{"1.1.2"}}})
	if code, stdout, stderr := command(t, "--mode", "fuzzingclient", "--spec", spec); code != 0 {
		t.Errorf("exit %d: %s %s", code, stdout, stderr)
	}
	var index map[string]map[string]struct{ Behavior, BehaviorClose, ReportFile string }
	b, _ := os.ReadFile(filepath.Join(out, "index.json"))
	if err := json.Unmarshal(b, &index); err != nil || len(index["first"]) != 8 || len(index["second"]) != 7 || index["first"]["1.1.1"].Behavior != "OK" {
		t.Errorf("index.json is %s, %v", b, err)
	}
	scheme := "ws"
	if tlsconf.Available {
		scheme = "wss"
	}
	write(map[string]any{"url": scheme + "://127.0.0.1:9001", "outdir": out, "cases": []string{"1.1.[12]", "1.1.3"}})
	p := kit.Background(t, Mode, "-spec", spec, "-port", "0", "-once")
	url := scheme + "://" + p.Addr(scheme)
	echo := func(path string) (last string) {
		c, _, err := wsproto.Dial(t.Context(), url+path, wsproto.DialOptions{TLS: insecure})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(wsproto.StatusNormalClosure, "")
		for {
			m, err := c.ReadMessage()
			if err != nil || c.Reply(m.Opcode, m.Data) != nil {
				return last
			}
			last = string(m.Data)
		}
	}
	n, _ := strconv.Atoi(echo("/getCaseCount"))
	if info := echo("/getCaseInfo?case=1"); n != 1 || !strings.Contains(info, `"id":"1.1.3"`) {
		t.Fatalf("%d cases, the first is %s; want 1.1.3 alone", n, info)
	}
	for range 2 { // what a client does again counts once
		echo("/runCase?case=1&agent=a%0ab")
	}
	if s := echo("/getCaseStatus?case=1&agent=a%0ab"); s != `{"behavior":"OK"}` {
		t.Errorf("/getCaseStatus sends %s", s)
	}
	echo("/updateReports?agent=a%0ab")
	p.WantEnd(0, `reports for a\\nb`)
	if b, _ = os.ReadFile(filepath.Join(out, "index.json")); !strings.Contains(string(b), `"a\\nb": {`) {
		t.Errorf("index.json is %s", b)
	}
	if b, _ = os.ReadFile(filepath.Join(out, "index.html")); strings.Count(string(b), "1.1.3 ") != 1 {
		t.Errorf("index.html is %s", b)
	}
}
