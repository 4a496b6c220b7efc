package httpmini

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestListing: SF19: names cannot become part of the page, and every link leads
// where it says.
func TestListing(t *testing.T) {
	names := []string{
		"<img src=x onerror=alert(1)>.txt", "javascript:alert(1)", `"x`, "a\nb", "\x1b[2J", "\xff\xfe", "&amp;", "'single'", "日本.txt", "\u202egnp.exe",
		"a?b#c", "a%41b", "a+b", ";", "\U000e0041tag", "tilde~", "%2e%2e",
	}
	hidden := tree{".env": "", "back\\slash": "", "out": "-> ../secret", "root": "-> /", "loop": "-> loop", "dangling": "-> nothing"}
	files := tree{"sub/x": "1", "link": "-> sub"}
	for _, name := range names {
		files["d/"+name] = "content of " + name
	}
	for name, content := range hidden {
		files["d/"+name] = content
	}
	addr := serveFiles(t, &Files{Root: plant(t, files)}, nil)
	r := ask(t, addr, "GET /d/")
	for name, value := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
	} {
		if r.Header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, r.Header.Get(name), value)
		}
	}
	if csp := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'unsafe-inline'; ") {
		t.Errorf("Content-Security-Policy: %s", csp)
	}
	for _, want := range []string{`name="viewport"`, "prefers-color-scheme:dark", "<!doctype html>", `<meta charset="utf-8">`} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for i, c := range []byte(r.body) {
		if c < ' ' && c != '\n' || c == 0x7f {
			t.Fatalf("byte %d is %#x", i, c)
		}
	}
	if strings.Contains(r.body, "<img") || strings.Contains(r.body, "<script") || strings.ContainsRune(r.body, '\u202e') || strings.ContainsRune(r.body, '\U000e0041') {
		t.Errorf("a name is part of the page: %s", r.body)
	}
	testRows(t, addr, r.body, names)
	for _, want := range []string{`>&lt;img src=x onerror=alert(1)&gt;.txt<`, `>&#34;x<`, `>a\x0ab<`, `>\x1b[2J<`, `>\xff\xfe<`, `>&amp;amp;<`, `>\u202egnp.exe<`, `>\U000e0041tag<`, `>日本.txt<`} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	top := ask(t, addr, "GET /").body
	for _, want := range []string{`<a href="./sub/">sub/</a>`, `<a href="./link/">link/</a>`, `<a href="./d/">d/</a>`, "<title>/</title>"} {
		if !strings.Contains(top, want) {
			t.Errorf("the list of the root lacks %s: %s", want, top)
		}
	}
	if strings.Contains(top, "../") {
		t.Error("the list of the root leads out")
	}
	if all := ask(t, serveFiles(t, &Files{Root: plant(t, hidden), Dotfiles: true}, nil), "GET /").body; !strings.Contains(all, `"./.env"`) || strings.Contains(all, "secret") || strings.Contains(all, `"./out"`) {
		t.Errorf("with Dotfiles: %s", all)
	}
}

// testRows: the page has a row for each name, which leads to its file.
func testRows(t *testing.T, addr, page string, names []string) {
	rows := regexp.MustCompile(`(?m)^<tr><td><a href="(.*?)">(.*?)</a>`).FindAllStringSubmatch(page, -1)
	if len(rows) != len(names)+1 || rows[0][1] != "./../" {
		t.Fatalf("%d rows, want %d: %q", len(rows), len(names)+1, rows)
	}
	var seen []string
	for _, row := range rows[1:] {
		href := html.UnescapeString(row[1])
		if !strings.HasPrefix(href, "./") || strings.ContainsAny(href[2:], "/:?#\\\"'<> ") {
			t.Errorf("href %q", href)
		}
		name, ok := unescape(href[2:])
		if got := ask(t, addr, "GET /d/"+href[2:]); !ok || got.body != "content of "+name {
			t.Errorf("%s leads to %d %q", href, got.Status, got.body)
		}
		seen = append(seen, name)
	}
	slices.Sort(names)
	slices.Sort(seen)
	if !slices.Equal(seen, names) {
		t.Errorf("listed: %q, want %q", seen, names)
	}
}

func TestListingAnswers(t *testing.T) {
	root := plant(t, tree{"empty/": "", "with/index.html": "<p>index", "a": "1"})
	addr := serveFiles(t, &Files{Root: root, NoList: true, Header: Header{{"X-Own", "1"}}}, nil)
	for target, want := range map[string]int{"/": 403, "/empty/": 403, "/with/": 200, "/a": 200, "/with": 301} {
		if r := ask(t, addr, "GET "+target); r.Status != want || r.Header.Get("X-Own") != "1" {
			t.Errorf("NoList, GET %s: %d %v, want %d", target, r.Status, r.Header, want)
		}
	}
	if r := ask(t, serveFiles(t, &Files{Root: root, Form: true}, nil), "GET /"); !strings.Contains(r.body, `<form method="post" enctype="multipart/form-data" action="./">`) || !strings.Contains(r.Header.Get("Content-Security-Policy"), "form-action 'self'") {
		t.Errorf("no form, or one that may not be used: %v %s", r.Header, r.body)
	}
	addr = serveFiles(t, &Files{Root: root}, nil)
	if r := ask(t, addr, "GET /"); strings.Contains(r.body, "<form") {
		t.Error("a form that nobody wanted")
	}
	if r := ask(t, addr, "GET /empty/"); !strings.Contains(r.body, "Nothing here.") {
		t.Errorf("an empty directory: %s", r.body)
	}
	get, head := ask(t, addr, "GET /"), ask(t, addr, "HEAD /")
	if head.Header.Get("Content-Length") != strconv.Itoa(len(get.body)) || head.body != "" {
		t.Errorf("HEAD /: %v", head.Header)
	}
	if os.Getuid() == 0 || os.Getuid() < 0 {
		t.Skip("whoever runs this may read everything")
	}
	must(t, os.Chmod(filepath.Join(root.Name(), "empty"), 0))
	must(t, os.Chmod(filepath.Join(root.Name(), "a"), 0))
	for _, target := range []string{"/empty/", "/a"} {
		if r := ask(t, addr, "GET "+target); r.Status != 403 { // SF26
			t.Errorf("GET %s, which may not be read: %d, want 403", target, r.Status)
		}
	}
}

// TestListingMany: no more than maxListed of a directory are shown.
func TestListingMany(t *testing.T) {
	defer func(was int) { maxListed = was }(maxListed)
	maxListed = 20
	f := &Files{Root: plant(t, tree{})}
	for i := range maxListed + 1 {
		file, err := f.Root.Create(strconv.Itoa(i))
		must(t, err)
		file.Close()
	}
	if found, long, err := f.readDir("."); err != nil || long || len(found) != maxListed+1 {
		t.Errorf("%d entries, %v, %v", len(found), long, err)
	}
	if page := ask(t, serveFiles(t, f, nil), "GET /").body; strings.Count(page, "<tr><td>") != maxListed || !strings.Contains(page, "more than 20 entries") {
		t.Errorf("the list is %s", page)
	}
	f.Root.Close()
	if _, _, err := f.readDir("."); err == nil {
		t.Error("a closed root has entries")
	}
}

// TestLongLists: only so many are built and sent at once.
func TestLongLists(t *testing.T) {
	files := tree{"few/a": ""}
	for i := range shortList {
		files[strconv.Itoa(i)] = ""
	}
	addr := serveFiles(t, &Files{Root: plant(t, files)}, nil)
	want := func(target string, status int, retry string) {
		t.Helper()
		if r := ask(t, addr, "GET "+target); r.Status != status || r.Header.Get("Retry-After") != retry {
			t.Errorf("GET %s: %d %v, want %d", target, r.Status, r.Header, status)
		}
	}
	longLists.Add(maxLongLists)
	want("/", 503, "1")
	want("/few/", 200, "")
	longLists.Add(-maxLongLists)
	want("/", 200, "")
	if page := ask(t, addr, "GET /").body; strings.Count(page, "<tr><td>") != shortList+1 {
		t.Errorf("%d entries, want %d", strings.Count(page, "<tr><td>"), shortList+1)
	}
	for end := time.Now().Add(10 * time.Second); longLists.Load() != 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d lists are still on their way", longLists.Load())
		}
	}
}

func TestListingOrder(t *testing.T) {
	at := func(days int) time.Time { return old.AddDate(0, 0, days) }
	entries := []entry{
		{"b", false, 10, at(3)}, {"A", false, 30, at(2)}, {"c", false, 20, at(1)}, {"a", false, 10, at(4)}, {"z", true, 5, at(0)}, {"Y", true, 9, at(9)},
	}
	for query, want := range map[string]string{
		"":                         "Y z A a b c",
		"sort=name&order=asc":      "Y z A a b c",
		"sort=name&order=desc":     "z Y c b a A",
		"sort=size":                "Y z a b c A",
		"sort=size&order=desc":     "z Y A c b a",
		"sort=time":                "z Y c A b a",
		"order=desc&sort=time":     "Y z a b A c",
		"sort=evil&order=sideways": "Y z A a b c",
		"x&&=;sort":                "Y z A a b c",
	} {
		by, order := sortOrder(query)
		sortEntries(entries, by, order)
		var got []string
		for _, e := range entries {
			got = append(got, e.name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("?%s: %s, want %s", query, strings.Join(got, " "), want)
		}
	}
	page := string(new(Files).appendList(nil, "d", entries, 0, false, "size", "asc"))
	for _, want := range []string{
		`<th class="n" aria-sort="ascending"><a href="./?sort=size&amp;order=desc">Size ▲</a>`, `<th><a href="./?sort=name&amp;order=asc">Name</a>`,
		`<td class="n" title="30 bytes">30 B</td>`, `2024-03-01 12:34`, "<title>/d/</title>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if page := string(new(Files).appendList(nil, "d", entries, 0, false, "time", "desc")); !strings.Contains(page, `aria-sort="descending"><a href="./?sort=time&amp;order=asc">Changed (UTC) ▼`) {
		t.Error("by time, descending: the head of the column does not say so")
	}
}

func TestAppendSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1234: "1.2 KiB", 10187: "9.9 KiB", 10189: "10 KiB", 1048063: "1023 KiB", 1048576: "1.0 MiB", 1048064: "1.0 MiB",
		5 << 30: "5.0 GiB", 1<<63 - 1: "8.0 EiB", 300 << 40: "300 TiB",
	} {
		if got := string(appendSize(nil, n)); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func ExampleFiles() {
	root, err := os.OpenRoot(".")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer root.Close()
	files := &Files{Root: root}
	server := &Server{Handler: files.Serve, Date: true}
	_ = server // and server.Serve(listener)
}
