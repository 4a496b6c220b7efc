package peers

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"socketsrv/internal/kit"
	"socketsrv/internal/mode/httpd"
)

// TestHttpdBrowser: Chromium shows a list, sorted by its links, and a file.
func TestHttpdBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	dir := kit.WebRoot(t, map[string]string{"small.txt": "text of a file", "large.bin": strings.Repeat("x", 5000), "middle <b>&.txt": strings.Repeat("x", 100), "sub/x": ""})
	p := kit.Background(t, httpd.Mode, "-port", "0", dir)
	open := func(url string) {
		t.Helper()
		b.call("Page.navigate", map[string]any{"url": url}, new(struct{}))
		b.eval(`await new Promise(done => { const look = () => location.href === ` + fmt.Sprintf("%q", url) + ` && document.readyState === 'complete' ? done() : setTimeout(look, 20); look(); }); return '';`)
	}
	const names = `return [...document.querySelectorAll('tbody a')].map(a => a.textContent).join('|');`
	base := "http://" + p.Addr("http")
	open(base + "/")
	if got, want := b.eval(names), "sub/|large.bin|middle <b>&.txt|small.txt"; got != want {
		t.Errorf("the list: %s, want %s", got, want)
	}
	open(base + "/" + "?sort=size&order=desc")
	if got, want := b.eval(names), "sub/|large.bin|middle <b>&.txt|small.txt"; got != want {
		t.Errorf("by size: %s, want %s", got, want)
	}
	if got := b.eval(`return getComputedStyle(document.querySelector('table')).borderCollapse + ' ' + document.querySelector('th[aria-sort]').textContent;`); got != "collapse Size ▼" {
		t.Errorf("style and order: %s", got)
	}
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": true}, new(struct{}))
	for _, scheme := range []string{"dark", "light"} {
		b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, new(struct{}))
		got := b.eval(`return document.documentElement.scrollWidth <= 360 ? getComputedStyle(document.querySelector('tbody a')).color : 'too wide: ' + document.documentElement.scrollWidth;`)
		if want := map[string]string{"dark": "rgb(138, 180, 248)", "light": "rgb(11, 87, 208)"}[scheme]; got != want {
			t.Errorf("%s, on a phone: links %s, want %s", scheme, got, want)
		}
	}
	open(base + "/small.txt")
	if got := b.eval(`return document.body.textContent;`); got != "text of a file" {
		t.Errorf("the file: %q", got)
	}
	open(base + "/middle%20%3Cb%3E%26.txt")
	if got := b.eval(`return document.contentType + document.body.textContent.length;`); got != "text/plain100" {
		t.Errorf("the other file: %q", got)
	}
	p = kit.Background(t, httpd.Mode, "-port", "0", "-upload", dir)
	base = "http://" + p.Addr("http")
	open(base + "/sub/")
	got := b.eval(`const d = new DataTransfer(); d.items.add(new File(['from a "form"'], 'ä "new".txt')); document.querySelector('input').files = d.files;
		setTimeout(() => document.querySelector('button').click(), 0);
		return await new Promise(done => setTimeout(() => done('clicked'), 0));`)
	p.Stderr.WaitFor(t, `took /sub/`)
	if c := kit.Contents(t, filepath.Join(dir, "sub")); len(c) != 2 || c["x"] != "" || got != "clicked" {
		t.Errorf("after the form was sent there is %q", c)
	}
	p.Stdout.WaitFor(t, `"POST /sub/ HTTP/1\.1" 303 (?s:.*)"GET /sub/ HTTP/1\.1" 200`)
}
