package peers

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// openPage starts m and opens its page, which connects.
func openPage(t *testing.T, m cli.Mode, flags ...string) (*browser, *kit.Run) {
	t.Helper()
	b := newBrowser(t)
	p := kit.Background(t, m, flags...)
	b.openPage("http://" + p.Addr("ws") + "/a/b?c=d")
	return b, p
}

const pageConnected = `document.querySelector('#state').textContent === 'Connected'`

func (b *browser) openPage(url string) {
	b.t.Helper()
	b.watch()
	b.open(url)
	b.until(pageConnected)
}

// rows is what the list shows of messages of a kind: in, out or note.
func (b *browser) rows(kind string) []string {
	b.t.Helper()
	all := b.eval(`return [...document.querySelectorAll('#log li.` + kind + ` .body')].map(e => e.textContent).join('\x1f')`)
	if all == "" {
		return nil
	}
	return strings.Split(all, "\x1f")
}

// rowCount waits until the list has n messages of a kind.
func (b *browser) rowCount(kind string, n int) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelectorAll('#log li.%s').length === %d`, kind, n))
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.eval(fmt.Sprintf(`document.querySelector(%q).click()`, selector))
}

func (b *browser) text(selector string) string {
	b.t.Helper()
	return b.eval(fmt.Sprintf(`return document.querySelector(%q).textContent`, selector))
}

// send has the page send a text or, in its notation, bytes.
func (b *browser) send(kind, text string) {
	b.t.Helper()
	b.click(`[value=` + kind + `]`)
	b.eval(fmt.Sprintf(`const t = document.querySelector('#text'); t.value = %q; document.querySelector('#form').requestSubmit()`, text))
}

// content checks that the browser had nothing to complain about.
func (b *browser) content() {
	b.t.Helper()
	b.eval("") // what it has to say comes before the answer
	if len(b.complaints) > 0 {
		b.t.Errorf("the browser complains: %q", b.complaints)
	}
}

// TestPageEcho: text, bytes and files go out and come back.
func TestPageEcho(t *testing.T) {
	t.Parallel()
	b, p := openPage(t, echo.Mode, "-port", "0", "-subprotocol", "chat", "-max-message", "1M")
	p.Stderr.WaitFor(t, `Uri: /a/b\?c=d`)
	b.send("text", "héllo 日本")
	b.rowCount("in", 1)
	b.send("hex", "00 ff,0x41:42")
	b.rowCount("in", 2)

	dir := t.TempDir()
	small, large := filepath.Join(dir, "small.bin"), filepath.Join(dir, "large.bin")
	os.WriteFile(small, []byte("0123456789abcdef\x80"), 0o644)
	os.WriteFile(large, make([]byte, 1<<20+1), 0o644)
	b.files("#file", small)
	b.rowCount("in", 3)
	b.files("#file", large)
	b.until(`document.querySelector('#problem').textContent !== ''`)
	if got := b.text("#problem"); got != "large.bin has 1.0 MiB: this server takes messages of up to 1.0 MiB." {
		t.Errorf("a large file: %q", got)
	}
	b.eval(`
		const dt = new DataTransfer();
		dt.items.add(new File(['dropped'], 'drop.txt'));
		document.querySelector('main').dispatchEvent(new DragEvent('dragover', {dataTransfer: dt, bubbles: true}));
		document.querySelector('main').dispatchEvent(new DragEvent('drop', {dataTransfer: dt, bubbles: true}))`)
	b.rowCount("in", 4)

	want := []string{
		"héllo 日本",
		"00000000  00 ff 41 42                                      ..AB",
		"00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef\n" +
			"00000010  80                                               .",
		"00000000  64 72 6f 70 70 65 64                             dropped",
	}
	if got := b.rows("in"); !slices.Equal(got, want) {
		t.Errorf("the list has %q, want %q", got, want)
	}
	want[2], want[3] = "small.bin\n"+want[2], "drop.txt\n"+want[3]
	if got := b.rows("out"); !slices.Equal(got, want) {
		t.Errorf("of what was sent the list has %q, want %q", got, want)
	}
	// 13 bytes of UTF-8, 4, 17, 7
	if got := b.text("#counts"); strings.Join(strings.Fields(got), " ") != "received ↓ 4 41 B sent ↑ 4 41 B" {
		t.Errorf("it counts %q", got)
	}
	b.content()
}

// TestPageHex: what is no hex is named and not sent.
func TestPageHex(t *testing.T) {
	t.Parallel()
	b, _ := openPage(t, echo.Mode, "-port", "0")
	for _, tt := range []struct{ hex, problem string }{
		{"c0 ff 0g", "“g” is not a hex digit."},
		{"c0 😀", "“😀” is not a hex digit."},
		{"c0f", "3 hex digits: half a byte is missing."},
	} {
		b.send("hex", tt.hex)
		if got := b.text("#problem"); got != tt.problem {
			t.Errorf("%q: %q, want %q", tt.hex, got, tt.problem)
		}
	}
	if got := b.rows("out"); got != nil {
		t.Errorf("sent %q", got)
	}
	b.send("hex", "")
	b.rowCount("in", 1)
	if got := b.rows("in")[0]; got != "empty" {
		t.Errorf("an empty message shows as %q", got)
	}
	b.content()
}

// TestPageClose: the code, what it means and the reason, whoever closes.
func TestPageClose(t *testing.T) {
	t.Parallel()
	b, p := openPage(t, dump.Mode, "-host", "127.0.0.1", "-tcp-port", "off", "-udp-port", "off", "-ws-port", "0")
	b.click("#reconnect")
	for i, tt := range []struct{ command, note string }{
		{"4321 grüße <b>", "Closed: 4321 private use, “grüße <b>”"},
		{"1009", "Closed: 1009 message too big"},
		{"1000 done", "Closed: 1000 normal closure, “done”"},
	} {
		if i > 0 {
			b.click("#connect")
			b.until(pageConnected)
		}
		p.Stdout.WaitFor(t, fmt.Sprintf("new WebSocket connection #%d", i))
		fmt.Fprintf(p.Stdin, "close ws %d %s\n", i, tt.command)
		b.until(`document.querySelector('#state').textContent === 'Not connected'`)
		b.rowCount("note", 2*i+2)
		if got := b.rows("note"); got[2*i+1] != tt.note {
			t.Errorf("%s: %q, want %q", tt.command, got, tt.note)
		}
	}
	if got := b.eval(`return String(document.querySelector('.primary').disabled)`); got != "true" {
		t.Error("without a connection Send is not grey")
	}
	b.send("text", "too late")
	if got := b.text("#problem"); got != "Not connected: nothing was sent." {
		t.Errorf("sending without a connection: %q", got)
	}
	b.click("#connect")
	b.until(pageConnected)
	b.eval(`document.querySelector('#code').value = '1001'`)
	b.click("#connect")
	if got := b.text("#problem"); !strings.HasPrefix(got, "Cannot close with 1001") {
		t.Errorf("a code that pages may not send: %q", got)
	}
	if got := p.Stderr.String(); strings.Contains(got, "refused") || strings.Contains(got, "error") {
		t.Errorf("the server says %q", got)
	}
	b.eval(`document.querySelector('#code').value = '3456'; document.querySelector('#reason').value = 'enough'`)
	b.click("#connect")
	p.Stdout.WaitFor(t, "end of WebSocket connection #3.*3456.*enough")
	b.content()
}

// TestPageReconnect: a server that comes back has its page back.
func TestPageReconnect(t *testing.T) {
	t.Parallel()
	b, p := openPage(t, echo.Mode, "-port", "0")
	addr := p.Addr("ws")
	p.Stop()
	b.until(`document.querySelectorAll('#log li.note').length > 3`)
	if got := b.rows("note"); got[1] != "Closed: 1001 going away" || !strings.HasPrefix(got[2], "Reconnecting in ") {
		t.Errorf("the list has %q", got)
	}
	if got := b.rows("note"); len(got) != 4 || !strings.HasPrefix(got[3], "No connection") { // however often it tries
		t.Errorf("the list has %q", got)
	}
	_, port, _ := strings.Cut(addr, ":")
	p = kit.Background(t, echo.Mode, "-port", port)
	p.Addr("ws")
	b.until(pageConnected)
	b.send("text", "again")
	b.rowCount("in", 1)

	p.Stop()
	b.until(`document.querySelector('#state').textContent.startsWith('Reconnecting in')`)
	b.eval(`const r = document.querySelector('#reconnect'); r.click()`)
	b.until(`['Not connected', 'Connecting…'].includes(document.querySelector('#state').textContent)`)
	b.until(`document.querySelector('#state').textContent === 'Not connected'`)
}

// TestPageHostile: a message is text, whatever it would like to be.
func TestPageHostile(t *testing.T) {
	t.Parallel()
	b, p := openPage(t, broadcast.Mode, "-port", "0", "-no-announce")
	c, _, err := wsproto.Dial(t.Context(), "ws://"+p.Addr("ws")+"/", wsproto.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(wsproto.StatusNormalClosure, "")
	for _, tt := range []struct{ sent, shown string }{
		{`<script>document.title='x'</script><img src=x onerror="document.title='x'">`, ""},
		{`</pre><style>*{display:none}</style>&lt;`, ""},
		{"a\x1b[31mb\x00\u009bc\r\n\td", `a\x1b[31mb\x00\x9bc` + "\\r\n\td"},
		{"abc\u202egnp.exe\u2066\u2069\u200b\ufeff", `abc\u202egnp.exe\u2066\u2069\u200b\ufeff`},
		{"a\U000e0041\u3164b\u2800\uffa0\u115f\ufe00c\U0001d173", `a\U000e0041\u3164b\u2800\uffa0\u115f\ufe00c\U0001d173`},
		{"👩\u200d👧 e\u0301 ❤\ufe0f", ""}, // joined, combined, chosen
		{strings.Repeat("\x01a", 450), strings.Repeat(`\x01a`, 450)},
	} {
		b.click("#clear")
		if err := c.WriteMessage(wsproto.OpText, []byte(tt.sent)); err != nil {
			t.Fatal(err)
		}
		b.rowCount("in", 1)
		want := tt.shown
		if want == "" {
			want = tt.sent
		}
		if got := b.rows("in"); got[0] != want {
			t.Errorf("%q shows as %q, want %q", tt.sent, got[0], want)
		}
		if got := b.eval(`return [...document.querySelector('#log li.in .body').querySelectorAll('*')].map(e => e.tagName).filter(t => t !== 'EM' && t !== 'MARK').join()`); got != "" {
			t.Errorf("%q became elements: %s", tt.sent, got)
		}
		if got := b.eval(`return String(document.querySelectorAll('#log li.in .body *').length < 202)`); got != "true" {
			t.Errorf("%q became too many elements", tt.sent)
		}
	}
	// What hides is spelled out here as it is everywhere.
	var hides strings.Builder
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if strconv.IsPrint(r) && !event.IsPrint(r) {
			hides.WriteRune(r)
		}
	}
	list, _ := json.Marshal(hides.String())
	if got := b.eval(fmt.Sprintf(`return [...%s].filter(c => visible(c).length < 3).map(c => c.codePointAt(0).toString(16)).join()`, list)); got != "" {
		t.Errorf("shown as they are: %s", got)
	}
	// Were there a hole, the policy would close it.
	if got := b.eval(`try { document.body.innerHTML = '<p>'; return 'set' } catch (e) { return e.name }`); got != "TypeError" {
		t.Errorf("innerHTML: %s, want TypeError", got)
	}
}

// TestPageMany: of 5,000 messages the last 1,000 stay, and it says so.
func TestPageMany(t *testing.T) {
	t.Parallel()
	b, p := openPage(t, broadcast.Mode, "-port", "0", "-no-announce", "-queue", "16M")
	c, _, err := wsproto.Dial(t.Context(), "ws://"+p.Addr("ws")+"/", wsproto.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(wsproto.StatusNormalClosure, "")
	go io.Copy(io.Discard, c.NetConn()) // our own, too, come back
	send := func(n int) {
		t.Helper()
		for i := range n {
			if err := c.WriteMessage(wsproto.OpText, fmt.Appendf(nil, "message %d", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(5000)
	b.until(`document.querySelector('#in-count').textContent === '5,000'`)
	if got := b.rows("in"); len(got) != 1000 || got[0] != "message 4000" || got[999] != "message 4999" {
		t.Errorf("the list has %d messages, %q to %q", len(got), got[0], got[len(got)-1])
	}
	if got := b.text("#status"); got != "the oldest 4,001 dropped" { // and the event
		t.Errorf("it says %q", got)
	}
	b.eval(`const f = document.querySelector('#filter'); f.value = 'AGE 499'; f.oninput()`)
	if got := b.text("#status"); got != "10 of 1,000 match · the oldest 4,001 dropped" {
		t.Errorf("with a filter it says %q", got)
	}
	b.eval(`const f = document.querySelector('#filter'); f.value = ''; f.oninput()`)

	b.click("#clear")
	b.click("#pause")
	send(1500)
	b.until(`document.querySelector('#in-count').textContent === '1,500'`)
	if got, rows := b.text("#status"), b.rows("in"); got != "paused, 1,000 wait · the oldest 500 dropped" || rows != nil {
		t.Errorf("a pause: %q and %q", got, rows)
	}
	b.click("#pause")
	b.rowCount("in", 1000)
	b.content()
}

// TestPageLong: a long message is cut, and shown step by step.
func TestPageLong(t *testing.T) {
	t.Parallel()
	b, _ := openPage(t, echo.Mode, "-port", "0")
	b.eval(`const t = document.querySelector('#text'); t.value = 'x'.repeat(600000); document.querySelector('#form').requestSubmit()`)
	b.rowCount("in", 1)
	for i, tt := range []struct {
		length int
		button string
	}{{1000, "Show 256.0 KiB more of 585.9 KiB"}, {1000 + 256<<10, "Show 256.0 KiB more of 585.9 KiB"}, {1000 + 512<<10, "Show 74,712 characters more"}, {600000, ""}} {
		if i > 0 {
			b.click("#log li.in .more")
		}
		if got := len(b.rows("in")[0]); got != tt.length {
			t.Errorf("after %d clicks %d characters, want %d", i, got, tt.length)
		}
		if got := b.eval(`return document.querySelector('#log li.in .more')?.textContent || ''`); got != tt.button {
			t.Errorf("after %d clicks %q, want %q", i, got, tt.button)
		}
	}
	b.click("#clear")
	b.send("hex", strings.Repeat("00", 1000))
	b.rowCount("in", 1)
	if got := strings.Count(b.rows("in")[0], "\n") + 1; got != 512/16 {
		t.Errorf("of 1,000 bytes it shows %d lines, want 32 whole ones", got)
	}
	if got := b.text("#log li.in .more"); got != "Show 488 bytes more" {
		t.Errorf("behind 512 of 1,000 bytes it says %q", got)
	}
	b.click("#clear")
	b.send("text", strings.Repeat("line\n", 100))
	b.rowCount("in", 1)
	if got := strings.Count(b.rows("in")[0], "\n"); got != 19 {
		t.Errorf("of 101 lines it shows %d", got+1)
	}
	b.content()
}

// TestPageCopySave: what goes to the clipboard and to a file is the message itself.
func TestPageCopySave(t *testing.T) {
	t.Parallel()
	b, _ := openPage(t, echo.Mode, "-port", "0")
	b.send("hex", "00ff41")
	b.rowCount("in", 1)
	got := b.eval(`
		const blob = new Promise(done => { URL.createObjectURL = b => { done(b); return 'data:,' }; });
		let name;
		HTMLAnchorElement.prototype.click = function () { name = this.download; };
		const [copy, save] = document.querySelectorAll('#log li.in button');
		save.click();
		const saved = new Uint8Array(await (await blob).arrayBuffer());
		let copied;
		navigator.clipboard.writeText = async text => { copied = text; };
		copy.click();
		await null;
		navigator.clipboard.writeText = async () => { throw new Error('denied'); };
		document.execCommand = () => { copied += ' or ' + document.activeElement.value; };
		copy.click();
		await null; await null;
		return [saved, name.replace(/\d/g, '9'), copied].join('|');`)
	if want := "0,255,65|message-999999999.bin|00 ff 41 or 00 ff 41"; got != want {
		t.Errorf("saved and copied %q, want %q", got, want)
	}
}

// TestPageKeyboard uses nothing but keys.
func TestPageKeyboard(t *testing.T) {
	t.Parallel()
	b, _ := openPage(t, echo.Mode, "-port", "0")
	value := func(want string) {
		t.Helper()
		if got := b.eval(`return document.activeElement.value`); got != want {
			t.Fatalf("the field has %q, want %q", got, want)
		}
	}
	b.write("first")
	b.press("Enter", 0)
	b.rowCount("in", 1)
	b.write("line one")
	b.press("Enter", withShift)
	b.write("line two")
	b.press("Enter", 0)
	b.rowCount("in", 2)
	if got := b.rows("in"); got[1] != "line one\nline two" {
		t.Errorf("sent %q", got)
	}
	b.write("draft")
	b.press("ArrowUp", 0)
	value("line one\nline two")
	b.eval(`document.activeElement.setSelectionRange(0, 0)`) // Up goes up a line first
	b.press("ArrowUp", 0)
	value("first")
	b.press("ArrowUp", 0) // there is no more
	value("first")
	b.press("ArrowDown", 0)
	b.eval(`const t = document.activeElement; t.setSelectionRange(99, 99)`)
	b.press("ArrowDown", 0)
	value("draft")
	b.press("Escape", 0)
	value("")
	b.press("k", withCtrl)
	b.rowCount("in", 0)

	// Tab reaches everything in the order of the page.
	var order []string
	b.eval(`document.activeElement.blur(); getSelection().removeAllRanges(); document.querySelector('#connect').focus()`)
	for range 12 {
		order = append(order, b.eval(`const e = document.activeElement; return e.id || e.value || e.textContent`))
		b.press("Tab", 0)
	}
	want := "connect Options filter kind pause clear log text text attach Send"
	if got := strings.Join(order, " "); !strings.HasPrefix(got, want) {
		t.Errorf("Tab goes %s, want %s", got, want)
	}
	b.eval(`document.querySelector('summary').focus()`)
	b.press("Enter", 0)
	b.until(`document.querySelector('#options').open`)
	b.press("Escape", 0)
	b.until(`!document.querySelector('#options').open`)
	b.content()
}

// TestPageNames: what a screen reader calls things.
func TestPageNames(t *testing.T) {
	t.Parallel()
	b, _ := openPage(t, echo.Mode, "-port", "0")
	b.send("text", "hello")
	b.rowCount("in", 1)
	b.eval(`document.querySelector('#options').open = true`)
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name struct{ Value any }
		}
	}
	b.call("Accessibility.getFullAXTree", map[string]any{}, &tree)
	found := map[any][]string{}
	for _, n := range tree.Nodes {
		if !n.Ignored {
			found[n.Role.Value] = append(found[n.Role.Value], fmt.Sprint(n.Name.Value))
		}
	}
	for _, role := range []string{"button", "textbox", "searchbox", "combobox", "checkbox", "radio", "list", "form", "toolbar"} {
		if len(found[role]) == 0 || slices.Contains(found[role], "") {
			t.Errorf("each %s should have a name: %q", role, found[role])
		}
	}
	for _, landmark := range []string{"banner", "main", "form"} {
		if len(found[landmark]) != 1 {
			t.Errorf("%d landmarks %s, want one", len(found[landmark]), landmark)
		}
	}
	if got := b.text("#live"); !strings.Contains(got, "hello") {
		t.Errorf("it announces %q", got)
	}
}

// TestPageSubprotocol: what is offered, and what is no subprotocol.
func TestPageSubprotocol(t *testing.T) {
	t.Parallel()
	b, _ := openPage(t, echo.Mode, "-port", "0", "-subprotocol", "chat,v2")
	b.eval(`document.querySelector('#protocols').value = 'x, v2'`)
	b.click("#connect")
	b.until(`document.querySelector('#state').textContent === 'Not connected'`)
	b.click("#connect")
	b.until(pageConnected)
	b.rowCount("note", 3)
	if got := b.rows("note")[2]; got != "Connected, subprotocol v2, compressed" {
		t.Errorf("it says %q", got)
	}
	b.click("#connect")
	b.until(`document.querySelector('#state').textContent === 'Not connected'`)
	b.eval(`document.querySelector('#protocols').value = 'no token'`)
	b.click("#connect")
	b.rowCount("note", 5)
	if got := b.rows("note")[4]; !strings.Contains(got, "no token") {
		t.Errorf("it says %q", got)
	}
}

// TestPagePassword: who gave the password for the page need not for the WebSocket.
func TestPagePassword(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for _, tt := range []struct{ flag, secret, user string }{
		{"-auth", "me:pw", "me:pw"},
		{"-token", "s3cret", ":s3cret"},
	} {
		p := kit.Background(t, broadcast.Mode, "-port", "0", tt.flag, tt.secret)
		b.openPage("http://" + tt.user + "@" + p.Addr("ws") + "/")
		b.send("text", "hello")
		b.rowCount("in", 2) // and the announcement
	}
	p := kit.Background(t, echo.Mode, "-port", "0", "-http-authorization-header", "s3cret") // which no browser can send
	b.open("http://" + p.Addr("ws") + "/")
	b.until(`document.querySelectorAll('#log li.note').length > 1`)
	if got := b.rows("note")[1]; got != "Closed: 4001 private use, “Permission denied”" {
		t.Errorf("it says %q", got)
	}
}

// TestPageTLS: a page that came by https connects by wss.
func TestPageTLS(t *testing.T) {
	t.Parallel()
	if !tlsconf.Available {
		t.Skip("this build has no TLS")
	}
	b := newBrowser(t)
	p := kit.Background(t, broadcast.Mode, "-port", "0", "-tls", "-no-announce")
	b.call("Security.setIgnoreCertificateErrors", map[string]any{"ignore": true}, new(struct{}))
	b.openPage("https://" + p.Addr("wss") + "/")
	if got := b.text("#url"); !strings.HasPrefix(got, "wss://") {
		t.Errorf("it connects to %s", got)
	}
	b.send("text", "hello")
	b.rowCount("in", 1)
}

// TestPageIPv6: 'self' covers the WebSocket of a host that a policy cannot name.
func TestPageIPv6(t *testing.T) {
	t.Parallel()
	if ln, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6: ", err)
	} else {
		ln.Close()
	}
	b, _ := openPage(t, broadcast.Mode, "-host", "::1", "-port", "0")
	b.content()
}

// TestPageLooks: nothing is wider than the screen, whatever its size, and what is
// to be read stands out from what is behind it (WCAG 2.1, 1.4.3).
func TestPageLooks(t *testing.T) {
	t.Parallel()
	b, p := openPage(t, broadcast.Mode, "-port", "0")
	b.send("text", `{"op":"subscribe","channel":"prices","id":17}`)
	b.send("text", "Hello, is anybody there?\nA second line, and an escape: \x1b[31mred\x1b[0m")
	b.send("hex", "16030100c8010000c40303"+strings.Repeat("0123456789abcdef", 5))
	b.send("text", strings.Repeat("A long text. ", 200))
	b.send("text", "متن فارسی, grüße")
	b.send("text", "")
	b.rowCount("in", 7)
	p.Stop()
	b.until(`document.querySelector('#state').textContent.startsWith('Reconnecting in')`)
	b.send("hex", "c0 ff ee 0g")
	for _, scheme := range []string{"light", "dark"} {
		b.prefer(scheme)
		for _, at := range []struct {
			width, height int
			phone         bool
		}{{1280, 800, false}, {760, 600, false}, {360, 740, true}, {320, 568, true}} {
			b.screen(at.width, at.height, at.phone)
			name := fmt.Sprintf("%dx%d-%s", at.width, at.height, scheme)
			b.eval(`document.querySelector('#log').scrollTop = 1e9`)
			b.shot(name)
			b.eval(`document.querySelector('#log').scrollTop = 0`)
			b.shot(name + "-top")
			b.eval(`document.querySelector('#options').open = true`)
			b.shot(name + "-options")
			if shown := b.eval(`return String(document.querySelector('#shut').offsetHeight > 0)`); shown != fmt.Sprint(at.width <= 760) {
				t.Errorf("%s: there is a cross to close the options: %s", name, shown)
			}
			if found := b.eval(pageFaults); found != "" {
				t.Errorf("%s: %s", name, found)
			}
			b.click("#shut")
			if open := b.eval(`return String(document.querySelector('#options').open)`); open != "false" {
				t.Errorf("%s: the cross does not close the options", name)
			}
		}
	}
}

// pageFaults finds what sticks out to the right and what is hard to read.
const pageFaults = `
	await new Promise(done => setTimeout(done, 50));
	const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
	const rgb = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
	const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
	const faults = [];
	for (const e of document.querySelectorAll('body *')) {
		if (e.closest('.hidden, pre.hex, script, noscript') || !e.getClientRects().length) continue;
		const name = e.tagName + (e.id && '#' + e.id) + (e.className && '.' + e.className);
		const box = e.getBoundingClientRect();
		if (box.right > innerWidth + 1 || box.left < -1) faults.push(name + ' sticks out');
		if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && e.tagName !== 'INPUT') continue;
		const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((a, b) => b - a);
		if ((a + 0.05) / (b + 0.05) < 4.5) faults.push(name + ' has a contrast of ' + ((a + 0.05) / (b + 0.05)).toFixed(2));
	}
	if (document.documentElement.scrollWidth > innerWidth) faults.push('the page scrolls sideways');
	return faults.join(', ');`

// TestPageRequests: who gets the page, and who the short answer of before.
func TestPageRequests(t *testing.T) {
	const html = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n"
	echoes := kit.Background(t, echo.Mode, "-port", "0").Addr("ws")
	narrow := kit.Background(t, broadcast.Mode, "-port", "0", "-origin", "http://good.example").Addr("ws")
	secret := kit.Background(t, broadcast.Mode, "-port", "0", "-auth", "me:pw").Addr("ws")
	for _, tt := range []struct {
		addr, head string
		status     int
		has        string
	}{
		{echoes, "GET / HTTP/1.1\r\nHost: HERE\r\n" + html, 200, "</html>"},
		{echoes, "GET /any/path?q HTTP/1.1\r\nHost: localhost:8008\r\n" + html, 200, "</html>"},
		{echoes, "GET / HTTP/1.1\r\nHost: HERE\r\nAccept: TEXT/HTML;level=1\r\n", 200, "</html>"},
		{echoes, "HEAD / HTTP/1.1\r\nHost: HERE\r\n" + html, 200, ""},
		{echoes, "GET / HTTP/1.1\r\nHost: HERE\r\n", 426, "upgrade"},
		{echoes, "GET / HTTP/1.1\r\nHost: HERE\r\nAccept: */*\r\n", 426, "upgrade"},
		{echoes, "GET /favicon.ico HTTP/1.1\r\nHost: HERE\r\nAccept: image/avif,image/*\r\n", 426, "upgrade"},
		{echoes, "HEAD / HTTP/1.1\r\nHost: HERE\r\nAccept: */*\r\n", 405, ""},
		{echoes, "POST / HTTP/1.1\r\nHost: HERE\r\nContent-Length: 0\r\n" + html, 405, "GET"},
		{echoes, "OPTIONS * HTTP/1.1\r\nHost: HERE\r\n" + html, 405, "GET"},
		{echoes, "GET / HTTP/1.1\r\nHost: evil.example\r\n" + html, 403, "-allow-host"},
		{echoes, "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n" + html, 403, "-allow-host"},
		{echoes, "GET / HTTP/1.0\r\n" + html, 403, "-allow-host"},
		{narrow, "GET / HTTP/1.1\r\nHost: HERE\r\n" + html, 403, "-origin"}, // it could not connect
		{secret, "GET / HTTP/1.1\r\nHost: HERE\r\n" + html, 401, "not authorized"},
		{secret, "HEAD / HTTP/1.1\r\nHost: HERE\r\n" + html, 401, ""},
		{secret, "GET / HTTP/1.1\r\nHost: HERE\r\nAuthorization: Basic bWU6cHc=\r\n" + html, 200, "</html>"},
	} {
		nc := kit.DialTCP(t, tt.addr)
		head := strings.ReplaceAll(tt.head, "HERE", tt.addr)
		io.WriteString(nc, head+"Connection: close\r\n\r\n")
		answer, err := io.ReadAll(nc)
		if err != nil {
			t.Fatal(err)
		}
		fields, body, _ := strings.Cut(string(answer), "\r\n\r\n")
		if !strings.HasPrefix(fields, fmt.Sprintf("HTTP/1.1 %d ", tt.status)) || !strings.Contains(body, tt.has) || tt.has == "" && body != "" {
			t.Errorf("%q is answered %q and a body of %d bytes, want %d and a body with %q", head, fields, len(body), tt.status, tt.has)
		}
		if tt.status == 401 && !strings.Contains(fields, "WWW-Authenticate: Basic ") {
			t.Errorf("%q is not asked for a password: %q", head, fields)
		}
		if tt.status == 200 {
			wantPageFields(t, fields, tt.addr)
		}
	}
}

// wantPageFields checks what keeps the page to itself.
func wantPageFields(t *testing.T, fields, addr string) {
	t.Helper()
	for _, want := range []string{
		"Content-Type: text/html; charset=utf-8", "Referrer-Policy: no-referrer", "X-Content-Type-Options: nosniff", "Cache-Control: no-store",
	} {
		if !strings.Contains(fields+"\r\n", "\r\n"+want+"\r\n") {
			t.Errorf("the page comes without %s: %q", want, fields)
		}
	}
	_, policy, _ := strings.Cut(fields, "Content-Security-Policy: ")
	policy, _, _ = strings.Cut(policy, "\r\n")
	for _, want := range []string{"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		if !slices.Contains(strings.Split(policy, "; "), want) {
			t.Errorf("the policy is %s, without %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("the policy is %s", policy)
	}
	if strings.Contains(policy, "localhost") == strings.Contains(policy, addr) {
		t.Errorf("the policy allows connections to %s", policy)
	}
}
