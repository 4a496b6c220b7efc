package peers

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"socketsrv/internal/kit"
	"socketsrv/internal/mode/echo"
	"socketsrv/wsproto"
)

// A browser is a headless Chromium, driven over its debugging socket, which is a
// WebSocket, by our own client.
type browser struct {
	t       *testing.T
	conn    *wsproto.Conn
	id      int
	session string

	complaints []string // errors and warnings that came while call waited, after watch
}

// chromium is the one that all tests share, each in a context of its own, as private
// windows are.
var chromium struct {
	start sync.Once
	url   string // of its debugging socket
	stop  func() // nil: it does not run
	err   error
}

// TestMain ends Chromium.
func TestMain(m *testing.M) {
	code := kit.Main(m, program...)
	if chromium.stop != nil {
		chromium.stop()
	}
	os.Exit(code)
}

// pages bounds the tests that have a page at once: each keeps a processor busy.
var pages = make(chan struct{}, 2)

// newBrowser returns an empty page in Chromium, one started with those flags if there
// are some, and skips the test where there is none.
func newBrowser(t *testing.T, flags ...string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	pages <- struct{}{}
	t.Cleanup(func() { <-pages })
	var url string
	if len(flags) == 0 {
		chromium.start.Do(func() { chromium.url, chromium.stop, chromium.err = startChromium(path) })
		url, err = chromium.url, chromium.err
	} else {
		var stop func()
		if url, stop, err = startChromium(path, flags...); err == nil {
			t.Cleanup(stop)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t}
	if b.conn, _, err = wsproto.Dial(t.Context(), url, wsproto.DialOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.conn.Close(wsproto.StatusNormalClosure, "") })
	var own struct{ BrowserContextID string }
	b.call("Target.createBrowserContext", map[string]any{"disposeOnDetach": true}, &own)
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": own.BrowserContextID}, &target)
	var session struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	return b
}

// startChromium runs it, headless.
func startChromium(path string, flags ...string) (url string, stop func(), err error) {
	profile, err := os.MkdirTemp("", "chromium")
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(path, append(flags, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+profile, "--remote-debugging-port=0", "--remote-allow-origins=*", "about:blank")...)
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(profile) // what a process of it still writes does not matter
	}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", nil, err
	}
	lines := bufio.NewScanner(stderr)
	for url == "" {
		if !lines.Scan() {
			stop()
			return "", nil, errors.New("chromium ended without a debugging socket")
		}
		_, url, _ = strings.Cut(lines.Text(), "DevTools listening on ")
	}
	go func() {
		for lines.Scan() { // so that it never waits for us
		}
	}()
	return url, stop, nil
}

// call does one command of the DevTools protocol.
func (b *browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	b.id++
	request := map[string]any{"id": b.id, "method": method, "params": params}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	text, err := json.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.conn.WriteMessage(wsproto.OpText, text); err != nil {
		b.t.Fatal(err)
	}
	b.conn.SetReadDeadline(time.Now().Add(time.Minute)) // a browser that takes so long hangs
	for {
		m, err := b.conn.ReadMessage()
		if err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
			complaint
		}
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			b.t.Fatal(err)
		}
		if answer.ID != b.id {
			b.complain(&answer.complaint)
			continue
		}
		if answer.Error != nil {
			b.t.Fatalf("%s: %s", method, answer.Error.Message)
		}
		if err := json.Unmarshal(answer.Result, result); err != nil {
			b.t.Fatal(err)
		}
		return
	}
}

// A complaint is what the browser says unasked, as far as it tells of trouble.
type complaint struct {
	Method string
	Params struct {
		Entry            struct{ Level, Source, Text, URL string }
		Type             string
		Args             []struct{ Value, Description string }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
	}
}

func (b *browser) complain(e *complaint) {
	p := &e.Params
	switch {
	case e.Method == "Log.entryAdded" && (p.Entry.Level == "error" || p.Entry.Level == "warning"):
		b.complaints = append(b.complaints, p.Entry.Source+": "+p.Entry.Text+" "+p.Entry.URL)
	case e.Method == "Runtime.exceptionThrown":
		b.complaints = append(b.complaints, p.ExceptionDetails.Text+" "+p.ExceptionDetails.Exception.Description)
	case e.Method == "Runtime.consoleAPICalled" && p.Type != "log":
		b.complaints = append(b.complaints, fmt.Sprint("console.", p.Type, ": ", p.Args))
	}
}

// watch begins to collect complaints.
func (b *browser) watch() {
	b.t.Helper()
	for _, domain := range []string{"Log", "Runtime", "Page"} {
		b.call(domain+".enable", map[string]any{}, new(struct{}))
	}
}

// open loads a page and waits until its scripts have run.
func (b *browser) open(url string) {
	b.t.Helper()
	var outcome struct{ ErrorText string }
	b.call("Page.navigate", map[string]any{"url": url}, &outcome)
	if outcome.ErrorText != "" {
		b.t.Fatalf("%s: %s", url, outcome.ErrorText)
	}
	b.until(`document.readyState === 'complete' && location.href.startsWith('http')`)
}

// until waits until a JavaScript expression is true.
func (b *browser) until(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(kit.Patience)
	for b.eval("return String(Boolean("+expression+"))") != "true" {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s does not come true; the page shows %q", expression, b.eval("return document.body.innerText.slice(0, 2000)"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// keys are the codes of keys that are not letters.
var keys = map[string]int{"Enter": 13, "Escape": 27, "Tab": 9, "ArrowUp": 38, "ArrowDown": 40, "Space": 32, "ArrowRight": 39, "k": 75}

// Modifiers of press.
const (
	withCtrl  = 2
	withShift = 8
)

// press presses a key; what it writes is known for Enter and Space.
func (b *browser) press(key string, modifiers int) {
	b.t.Helper()
	text := map[string]string{"Enter": "\r", "Space": " "}[key]
	name := key
	if key == "Space" {
		name = " "
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		b.call("Input.dispatchKeyEvent", map[string]any{
			"type": kind, "key": name, "code": key, "text": text, "windowsVirtualKeyCode": keys[key], "modifiers": modifiers,
		}, new(struct{}))
		text = ""
	}
}

// write types text where the focus is.
func (b *browser) write(text string) {
	b.t.Helper()
	b.call("Input.insertText", map[string]any{"text": text}, new(struct{}))
}

// files chooses files in an input.
func (b *browser) files(selector string, names ...string) {
	b.t.Helper()
	var found struct{ Result struct{ ObjectID string } }
	b.call("Runtime.evaluate", map[string]any{"expression": fmt.Sprintf("document.querySelector(%q)", selector)}, &found)
	b.call("DOM.setFileInputFiles", map[string]any{"files": names, "objectId": found.Result.ObjectID}, new(struct{}))
}

// screen makes the page that large, on a phone or not.
func (b *browser) screen(width, height int, phone bool) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}, new(struct{}))
	b.call("Emulation.setTouchEmulationEnabled", map[string]any{"enabled": phone}, new(struct{}))
}

// prefer sets what the system prefers: light or dark.
func (b *browser) prefer(scheme string) {
	b.t.Helper()
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, new(struct{}))
}

// shot writes a picture of the page to the directory that $SOCKETSRV_SHOTS names,
// for somebody to look at.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("SOCKETSRV_SHOTS")
	if dir == "" {
		return
	}
	var picture struct{ Data []byte }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &picture)
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// eval runs the body of an async function in the page and returns the string
// that it returns.
func (b *browser) eval(body string) string {
	b.t.Helper()
	var outcome struct {
		Result           struct{ Value string }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	b.call("Runtime.evaluate", map[string]any{
		"expression": "(async () => {" + body + "})()", "awaitPromise": true, "returnByValue": true,
	}, &outcome)
	if e := outcome.ExceptionDetails; e != nil {
		b.t.Fatalf("in the page: %s %s", e.Text, e.Exception.Description)
	}
	return outcome.Result.Value
}

// browserEcho opens a WebSocket, sends text, binary and a long text, and closes
// with a code when all of them came back.
const browserEcho = `
	const ws = new WebSocket(%q);
	ws.binaryType = 'arraybuffer';
	const got = [], sent = ['héllo 日本', new Uint8Array([0, 255, 1]).buffer, 'z'.repeat(300000), ''];
	const show = d => typeof d === 'string' ? 't' + (d.length > 50 ? d.length : d) : 'b' + new Uint8Array(d).join(',');
	return await new Promise((done, fail) => {
		ws.onopen = () => sent.forEach(d => ws.send(d));
		ws.onerror = () => fail(new Error('no connection'));
		ws.onmessage = e => {
			got.push(show(e.data));
			if (got.length == sent.length) { deflated = ws.extensions; ws.close(4321, 'grüße'); }
		};
		let deflated = '';
		ws.onclose = e => done([got.join(' '), deflated, e.code, e.reason, e.wasClean].join('|'));
	});`

// TestEchoBrowser: what a page sends comes back, compressed, and closing is clean.
func TestEchoBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for name, flags := range map[string][]string{
		"permessage-deflate": nil,
		"":                   {"-x"},
	} {
		p := kit.Background(t, echo.Mode, append(flags, "-port", "0")...)
		got := strings.Split(b.eval(fmt.Sprintf(browserEcho, "ws://"+p.Addr("ws")+"/a?b")), "|")
		want := []string{"théllo 日本 b0,255,1 t300000 t", name, "4321", "grüße", "true"}
		if !strings.HasPrefix(got[1], name) || name == "" && got[1] != "" {
			t.Errorf("extensions %q, want %q", got[1], name)
		}
		got[1] = name
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("the page saw %q, want %q", got, want)
		}
		p.Stderr.WaitFor(t, "code 4321 reason grüße")
	}
}
