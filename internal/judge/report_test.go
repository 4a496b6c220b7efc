package judge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sample is a result of each kind, with what a peer could put into it.
func sample() []Result {
	turn := []Turn{{Sent: true, Size: 3, Head: []byte("\x81\x01a")}, {At: time.Millisecond, Size: 300, Head: bytes.Repeat([]byte("b"), 256)}}
	return []Result{
		{Case: newCase("1.1.1", "text (§5.6)"), Agent: "Über <Agent> 1.0", RemoteCode: 1000, Duration: 2 * time.Millisecond},
		{Case: newCase("7.9.1", "close #0 (§7.4)"), Agent: "Über <Agent> 1.0", Behavior: Failed, Close: Failed, Finding: "text \"<b>\x1b\" & more", Turns: turn},
		{Case: newCase("13.3.1", "a window"), Agent: "Über <Agent> 1.0", Behavior: Unimplemented},
		{Case: newCase("x.close.octets", "codes"), Agent: "Über <Agent> 1.0", Close: WrongCode, Finding: "close 1001"},
	}
}

func TestReports(t *testing.T) {
	text, tap := "", ""
	for i, r := range sample() {
		text += string(r.AppendText(nil, false))
		tap += string(r.AppendTAP(nil, i+1))
	}
	for _, want := range []string{
		"7.9.1                    FAILED         §7.4             close #0\n    text \"<b>\x1b\" & more\n    sent     0.0 ms 81 01 61\n    came     1.0 ms 62 62", "62 and 44 bytes more\n",
		"x.close.octets           OK, WRONG CODE",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("text has no %q: %s", want, text)
		}
	}
	want := "ok 1 - 1.1.1 text\nnot ok 2 - 7.9.1 close \\#0\n# FAILED: text \"<b>\x1b\" & more\nok 3 - 13.3.1 a window # SKIP UNIMPLEMENTED\n# UNIMPLEMENTED: \nok 4 - x.close.octets codes\n# OK, WRONG CODE: close 1001\n"
	if tap != want {
		t.Errorf("TAP is %q, want %q", tap, want)
	}
	if got := string(AppendSummary(nil, sample())); !strings.Contains(got, "\nx.close                  1             0             0             0             0\n") {
		t.Errorf("summary: %s", got)
	}
	two := sample()
	two[3].Agent = "other"
	if got := string(AppendSummary(nil, two)); !strings.Contains(got, "\nall                      1             0             0             1             1\nother\nsection ") {
		t.Errorf("summary of two agents: %s", got)
	}
	var junit struct {
		Suites []struct {
			Name     string `xml:"name,attr"`
			Failures int    `xml:"failures,attr"`
			Cases    []struct {
				Failure struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	var b bytes.Buffer
	if err := WriteJUnit(&b, sample()); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(b.Bytes(), &junit); err != nil || len(junit.Suites) != 1 || junit.Suites[0].Failures != 1 || len(junit.Suites[0].Cases) != 4 ||
		junit.Suites[0].Cases[1].Failure.Message != "text \"<b>\ufffd\" & more" {
		t.Errorf("JUnit is %+v, %v: %s", junit, err, b.String())
	}
	page := string(AppendHTML(nil, sample()))
	if strings.Contains(page, "<Agent>") || strings.Contains(page, "<b>\x1b") || strings.Contains(page, "http") {
		t.Errorf("the page is not escaped, or needs a network: %s", page)
	}
}

// TestIndex has index.json as Autobahn writes it.
func TestIndex(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reports", "servers")
	if err := WriteDir(dir, sample()); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(filepath.Join(dir, "index.json"))
	want := "{\n   \"Über \\u003cAgent\\u003e 1.0\": {\n      \"1.1.1\": {\n         \"behavior\": \"OK\",\n         \"behaviorClose\": \"OK\",\n         \"duration\": 2,\n" +
		"         \"remoteCloseCode\": 1000,\n         \"reportfile\": \"ber__agent__1_0_case_1_1_1.json\"\n      },\n      \"13.3.1\": {\n"
	if !strings.HasPrefix(string(got), want) {
		t.Errorf("index.json is %s, want %s", got, want)
	}
	var one record
	got, err := os.ReadFile(filepath.Join(dir, "ber__agent__1_0_case_7_9_1.json"))
	if err != nil || json.Unmarshal(got, &one) != nil || one.Behavior != "FAILED" || len(one.Wirelog) != 2 || one.Wirelog[0].Hex != "810161" || one.RemoteCode != nil {
		t.Errorf("the report of 7.9.1 is %s, %v", got, err)
	}
}

func TestSpec(t *testing.T) {
	s, err := ReadSpec(strings.NewReader(`{"options": {"failByDrop": false}, "outdir": "./reports/servers", "servers": [{"agent": "AutobahnServer", "url": "ws://localhost:9001", "options": {"version": 18}}],
   "cases": ["1.*", "x.close.*"], "exclude-cases": ["1.2.*"], "exclude-agent-cases": {"Foo*": ["6.*"]}}`))
	if err != nil || s.Outdir != "./reports/servers" || len(s.Servers) != 1 || s.Servers[0].URL != "ws://localhost:9001" || s.Servers[0].Agent != "AutobahnServer" {
		t.Errorf("fuzzingclient.json is %+v, %v", s, err)
	}
	o := Options{Cases: s.Cases, Exclude: s.Exclude, Except: s.Except}
	cases := Select(ServerSide, o)
	if len(cases) == 0 || cases[7].ID != "1.1.8" || !strings.HasPrefix(cases[8].ID, "x.close.") {
		t.Errorf("%d cases, the ninth is %s; want 1.1.1 to 1.1.8 and x.close", len(cases), cases[8].ID)
	}
	if !o.excepted("Foobar", "6.1.1") || o.excepted("Foobar", "5.1") || o.excepted("Bar", "6.1.1") {
		t.Errorf("exclude-agent-cases %v does not hold", o.Except)
	}
	if got := len(Select(ServerSide, Options{Cases: []string{"*"}})); got != 517 {
		t.Errorf(`"*" is %d cases, want the 517 of the catalogue`, got)
	}
	if _, err := ReadSpec(strings.NewReader(`{"cases": ["*"]}`)); err == nil {
		t.Errorf("a file without url and servers is accepted")
	}
}

// hostile is servers that do not end by themselves. Each gets what the judge sends.
var hostile = map[string]func(w io.Writer){
	"says nothing":         func(w io.Writer) {},
	"floods with pings":    func(w io.Writer) { flood(w, "", "\x89\x00") },
	"floods with text":     func(w io.Writer) { flood(w, "", "\x81\x01a") },
	"never ends a message": func(w io.Writer) { flood(w, "\x01\x00", "\x00\x00") },
	"fills a message":      func(w io.Writer) { flood(w, "\x01\x00", "\x00\x7d"+strings.Repeat("a", 125)) },
	"announces much":       func(w io.Writer) { _, _ = io.WriteString(w, "\x82\x7f\x00\x00\x00\x00\x01\x00\x00\x00") },
	"drips": func(w io.Writer) {
		for err := error(nil); err == nil; time.Sleep(time.Second) {
			_, err = io.WriteString(w, "\x01")
		}
	},
}

func flood(w io.Writer, first, frame string) {
	_, _ = io.WriteString(w, first)
	b := []byte(strings.Repeat(frame, 1000))
	for {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// came is how many bytes the endpoint sent.
func came(r Result) (n int64) {
	for _, u := range r.Turns {
		if !u.Sent {
			n += u.Size
		}
	}
	return n
}

// TestHostile has every case end in its time, and FAILED, whatever the server does,
// and not read for ever.
func TestHostile(t *testing.T) {
	for name, do := range hostile {
		synctest.Test(t, func(t *testing.T) {
			var servers sync.WaitGroup
			defer servers.Wait()
			dial := func(context.Context) (net.Conn, error) {
				judge, nc := newDuplex()
				servers.Go(func() {
					defer nc.Close()
					br := bufio.NewReader(nc)
					_, f, err := readHead(br)
					if err != nil {
						return
					}
					fmt.Fprint(nc, fill(response, "", "", "{accept}", acceptFor(f["sec-websocket-key"])))
					do(nc)
					_, _ = io.Copy(io.Discard, br)
				})
				return judge, nil
			}
			results, err := Server(t.Context(), dial, "127.0.0.1", "/", Options{Cases: []string{"1.1.1", "2.10", "3.1", "7.9.1", "9.1.6", "x.limit.pings"}})
			if err != nil || len(results) != 6 {
				t.Fatalf("server that %s: %d results, %v", name, len(results), err)
			}
			for _, r := range results {
				if r.Behavior != Failed && !r.open || r.Duration > max(r.total, 2*time.Minute) {
					t.Errorf("server that %s: case %s is %v after %v: %s", name, r.ID, r.Behavior, r.Duration, r.Finding)
				}
				if most := map[bool]int64{false: large, true: largest}[r.heavy]; came(r) > most*5/4 {
					t.Errorf("server that %s: case %s reads %d bytes, want little more than a message of %d", name, r.ID, came(r), most)
				}
			}
		})
	}
}

// counted is a connection that says when it is closed.
type counted struct {
	net.Conn
	closed func()
}

func (c counted) Close() error { c.closed(); return c.Conn.Close() }

// TestJobs counts how many cases a server that says nothing has at once.
func TestJobs(t *testing.T) {
	for _, c := range []struct {
		cases      string
		jobs, want int
	}{{"2.*", 3, 3}, {"9.1.*", 8, 5}, {"9.3.*", 5, 2}, {"2.1", 3, 1}} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			now, most := 0, 0
			count := func(n int) {
				mu.Lock()
				defer mu.Unlock()
				now += n
				most = max(most, now)
			}
			dial := func(context.Context) (net.Conn, error) {
				count(1)
				judge, nc := newDuplex()
				go io.Copy(io.Discard, nc)
				return counted{judge, sync.OnceFunc(func() { count(-1); nc.Close() })}, nil
			}
			results, err := Server(t.Context(), dial, "127.0.0.1", "/", Options{Cases: []string{c.cases}, Jobs: c.jobs})
			if err != nil || most != c.want {
				t.Errorf("%s with -j %d: %d of %d cases at once, %v; want %d", c.cases, c.jobs, most, len(results), err, c.want)
			}
		})
	}
}

// TestGone has a server that ends in the middle: what was not played has no result.
func TestGone(t *testing.T) {
	dialed := 0
	dial := func(context.Context) (net.Conn, error) {
		if dialed++; dialed > 3 {
			return nil, io.ErrClosedPipe
		}
		judge, nc := newDuplex()
		return judge, nc.Close()
	}
	results, err := Server(t.Context(), dial, "127.0.0.1", "/", Options{Cases: []string{"2.*"}, Jobs: 1})
	if !errors.Is(err, ErrGone) || !errors.Is(err, io.ErrClosedPipe) || len(results) != 2 || results[1].ID != "2.2" || results[1].Passed() {
		t.Errorf("%d results, %v; want those of 2.1 and 2.2, and then no server", len(results), err)
	}
}

// TestAgents has clients with ever new names: there is room for so many of them.
func TestAgents(t *testing.T) {
	d := &driven{results: map[string]map[string]Result{}}
	admitted := 0
	for i := range 2 * maxAgents {
		if d.admit(fmt.Sprint(i)) {
			admitted++
		}
	}
	if admitted != maxAgents || !d.admit("0") {
		t.Errorf("%d clients have results, and the first one again: %t; want %d", admitted, d.admit("0"), maxAgents)
	}
}
