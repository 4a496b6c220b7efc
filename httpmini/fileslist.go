package httpmini

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// maxListed is how many entries of a directory are listed. It is a variable for
// tests.
var maxListed = 10_000

// A list holds what it needs until it is sent, some MiB if it is long. So there are
// few of the long ones at once; who asks for more of them is told to come again.
const (
	shortList    = 512 // entries
	maxLongLists = 8
)

var (
	longLists    atomic.Int32
	errLongLists = errors.New("as many long lists are on their way as may be")
)

// An entry is a line of a list.
type entry struct {
	name     string
	dir      bool
	size     int64
	modified time.Time
}

// list answers with the entries of a directory that Serve would serve.
func (f *Files) list(x *Exchange, name string) {
	found, long, err := f.readDir(name)
	if long {
		defer longLists.Add(-1)
	}
	if err != nil {
		f.Refuse(x, statusOf(err))
		return
	}
	more := len(found) > maxListed
	entries, left := f.entries(name, found[:min(len(found), maxListed)])
	by, order := sortOrder(x.Request.Query())
	sortEntries(entries, by, order)
	if wantsJSON(x.Request.Header) {
		x.Respond(200, f.jsonFields(left, more), jsonList(entries))
		return
	}
	page := f.appendList(nil, name, entries, left, more, by, order)
	forms := "'none'"
	if f.Form {
		forms = "'self'"
	}
	h := f.with(Header{
		{"Content-Type", "text/html; charset=utf-8"},
		{"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action " + forms + "; frame-ancestors 'none'"},
		{"X-Content-Type-Options", "nosniff"},
		{"Referrer-Policy", "same-origin"}, // with no-referrer the form would come with Origin: null
		{"Cache-Control", "no-cache"},
		{"Vary", "Accept"},
	})
	x.Respond(200, h, page)
}

// wantsJSON says whether a client would rather have JSON than a page (RFC 9110
// §12.5.1).
func wantsJSON(h Header) bool {
	asJSON, asPage := 0.0, 0.0
	for _, element := range h.List("Accept") {
		name, params, _ := strings.Cut(element, ";")
		switch name = trim(name); {
		case equalFold(name, "application/json"):
			asJSON = weight(params)
		case equalFold(name, "text/html"), equalFold(name, "text/*"):
			asPage = max(asPage, weight(params))
		}
	}
	return asJSON > asPage
}

// jsonFields are those of a list in JSON. What is not in it is said beside it: the
// list is an array, as that of nginx.
func (f *Files) jsonFields(left int, more bool) Header {
	h := Header{{"Content-Type", "application/json"}, {"X-Content-Type-Options", "nosniff"}, {"Cache-Control", "no-cache"}, {"Vary", "Accept"}}
	if left > 0 {
		h.Add("X-Left-Out", strconv.Itoa(left))
	}
	if more {
		h.Add("X-Cut-At", strconv.Itoa(maxListed))
	}
	return f.with(h)
}

// jsonList makes a list with the keys of nginx's autoindex_format json, and url.
func jsonList(entries []entry) []byte {
	type line struct {
		Name     string `json:"name"`
		Type     string `json:"type"`
		Modified string `json:"mtime"`
		Size     int64  `json:"size,omitempty"`
		URL      string `json:"url"` // for a name that is no UTF-8, too
	}
	list := make([]line, 0, len(entries))
	for _, e := range entries {
		l := line{e.name, "file", formatDate(e.modified), e.size, string(appendEscapedPath([]byte("./"), e.name))}
		if e.dir {
			l.Type, l.Size, l.URL = "directory", 0, l.URL+"/"
		}
		list = append(list, l)
	}
	b, _ := json.Marshal(list)
	return append(b, '\n')
}

// readDir reads a directory, up to one entry more than are listed. long says that
// it counts in longLists until its list is sent.
func (f *Files) readDir(name string) (found []fs.DirEntry, long bool, err error) {
	dir, err := f.open(name)
	if err != nil {
		return nil, false, err
	}
	defer dir.Close()
	found, err = dir.ReadDir(min(shortList, maxListed+1))
	if len(found) == shortList {
		if longLists.Add(1) > maxLongLists {
			longLists.Add(-1)
			return nil, false, errLongLists
		}
		long = true
		var rest []fs.DirEntry
		rest, err = dir.ReadDir(maxListed + 1 - shortList)
		found = append(found, rest...)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return found, long, err
}

// entries are those of found, in the directory of that name, which Serve would serve;
// left says how many it would not.
func (f *Files) entries(name string, found []fs.DirEntry) (entries []entry, left int) {
	for _, d := range found {
		if !servable(d.Name(), f.Dotfiles) {
			continue
		}
		// By way of the root: a link counts as what it leads to, if that is inside.
		_, info, err := f.stat(name + "/" + d.Name())
		if err == nil && (info.IsDir() || info.Mode().IsRegular()) {
			entries = append(entries, newEntry(d.Name(), info))
		}
	}
	return entries, len(found) - len(entries)
}

func newEntry(name string, info fs.FileInfo) entry {
	return entry{name, info.IsDir(), info.Size(), info.ModTime()}
}

// sortOrder reads ?sort=name|size|time&order=asc|desc; what it does not know is
// by name, ascending.
func sortOrder(query string) (by, order string) {
	by, order = "name", "asc"
	for part := range strings.SplitSeq(query, "&") {
		switch part {
		case "sort=size", "sort=time":
			by = part[len("sort="):]
		case "order=desc":
			order = "desc"
		}
	}
	return by, order
}

// sortEntries puts directories first. Names decide where size or time do not.
func sortEntries(entries []entry, by, order string) {
	sort.Slice(entries, func(i, j int) bool {
		a, b := entries[i], entries[j]
		if a.dir != b.dir {
			return a.dir
		}
		c := cmp.Or(strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)), strings.Compare(a.name, b.name))
		switch {
		case by == "size" && !a.dir:
			c = cmp.Or(cmp.Compare(a.size, b.size), c)
		case by == "time":
			c = cmp.Or(a.modified.Compare(b.modified), c)
		}
		return c < 0 != (order == "desc") && c != 0
	})
}

const listHead = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>`

const listStyle = `</title><style>
:root{--dim:#667;--line:#8883;--link:#0b57d0;--hover:#8881}
@media(prefers-color-scheme:dark){:root{--dim:#99a;--link:#8ab4f8}}
body{font:16px/1.45 system-ui,sans-serif;max-width:64rem;margin:0 auto;padding:1rem}
h1{font-size:1.2rem;overflow-wrap:anywhere}
a{color:var(--link);text-decoration:none}a:hover,a:focus{text-decoration:underline}
table{width:100%;border-collapse:collapse}
th{text-align:left;font-weight:600;border-bottom:2px solid var(--line)}
td{border-bottom:1px solid var(--line)}
td a{display:block;padding:.55rem 0;overflow-wrap:anywhere}
th a{display:block;padding:.4rem 0;color:inherit}
.n{text-align:right;white-space:nowrap;padding-left:1rem;color:var(--dim);font-variant-numeric:tabular-nums}
tbody tr:hover{background:var(--hover)}
p{color:var(--dim)}
form{margin-top:1.2rem}input,button{font:inherit;max-width:100%;margin:.3rem 0}
th:first-child{width:99%}
@media(max-width:34rem){.n{font-size:.8rem;padding-left:.6rem}.t{white-space:normal;min-width:5.6rem}body{padding:.6rem}}
</style></head><body><h1>`

// appendList appends the page. Nothing in it comes from elsewhere, and it needs no
// script: the heads of the columns are links.
func (f *Files) appendList(dst []byte, dir string, entries []entry, left int, more bool, by, order string) []byte {
	title := "/"
	if dir != "." {
		title += dir + "/"
	}
	dst = appendHTML(append(dst, listHead...), title)
	dst = appendHTML(append(dst, listStyle...), title)
	dst = append(dst, "</h1>\n<table><thead><tr>"...)
	for _, c := range [...]struct{ by, title, class string }{{"name", "Name", ""}, {"size", "Size", "n"}, {"time", "Changed (UTC)", "n t"}} {
		dst = appendColumn(dst, c.by, c.title, c.class, by, order)
	}
	dst = append(dst, "</tr></thead>\n<tbody>\n"...)
	if dir != "." {
		dst = append(dst, `<tr><td><a href="./../">../</a></td><td></td><td class="t"></td></tr>`+"\n"...)
	}
	size := 0 // so that a long page grows once
	for i := range entries {
		size += 160 + 2*len(entries[i].name)
	}
	dst = slices.Grow(dst, size)
	for i := range entries {
		dst = appendEntry(dst, &entries[i])
	}
	dst = append(dst, "</tbody></table>\n"...)
	switch {
	case more:
		dst = append(dst, "<p>There are more than "+strconv.Itoa(maxListed)+" entries: these are some of them.</p>\n"...)
	case len(entries) == 0:
		dst = append(dst, "<p>Nothing here.</p>\n"...)
	}
	if left > 0 {
		dst = append(dst, "<p>Left out: "+strconv.Itoa(left)+" (hidden, no file or folder, or a link that leads outside or nowhere).</p>\n"...)
	}
	if f.Form {
		dst = append(dst, listForm...)
	}
	return append(dst, "</body></html>\n"...)
}

const listForm = `<form method="post" enctype="multipart/form-data" action="./"><label>Add files: <input type="file" name="file" multiple required></label> <button>Send</button></form>
`

// appendColumn appends the head of a column, which is a link to the list sorted
// by it, or the other way round where it is already.
func appendColumn(dst []byte, column, title, class, by, order string) []byte {
	next, sorted, arrow := "asc", "", ""
	if column == by {
		sorted, arrow = ` aria-sort="ascending"`, " ▲"
		if order == "desc" {
			sorted, arrow = ` aria-sort="descending"`, " ▼"
		} else {
			next = "desc"
		}
	}
	if class != "" {
		class = ` class="` + class + `"`
	}
	return append(dst, `<th`+class+sorted+`><a href="./?sort=`+column+`&amp;order=`+next+`">`+title+arrow+`</a></th>`...)
}

func appendEntry(dst []byte, e *entry) []byte {
	slash := ""
	if e.dir {
		slash = "/"
	}
	dst = append(dst, `<tr><td><a href="./`...)
	dst = append(appendEscapedPath(dst, e.name), slash+`">`...)
	dst = append(appendHTML(dst, e.name), slash+`</a></td><td class="n"`...)
	if !e.dir {
		dst = append(strconv.AppendInt(append(dst, ` title="`...), e.size, 10), ` bytes"`...)
	}
	dst = append(dst, '>')
	if !e.dir {
		dst = appendSize(dst, e.size)
	}
	dst = append(dst, `</td><td class="n t">`...)
	dst = e.modified.UTC().AppendFormat(dst, "2006-01-02 15:04")
	return append(dst, "</td></tr>\n"...)
}

// appendSize appends 17 B, 1.2 KiB, 35 MiB.
func appendSize(dst []byte, n int64) []byte {
	if n < 1024 {
		return append(strconv.AppendInt(dst, n, 10), " B"...)
	}
	unit, value := 0, float64(n)
	for ; value >= 1023.5 && unit < 6; unit++ {
		value /= 1024
	}
	decimals := 0
	if value < 9.95 {
		decimals = 1
	}
	dst = strconv.AppendFloat(dst, value, 'f', decimals, 64)
	return append(append(dst, ' ', "BKMGTPE"[unit]), "iB"...)
}

// appendHTML appends s as text of a page or of a value in double quotes: characters
// that would not be seen, and bytes that are not UTF-8, as \xNN and the like.
func appendHTML(dst []byte, s string) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			dst = appendHex(append(dst, `\x`...), uint32(s[0]), 2)
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '"':
			dst = append(dst, "&#34;"...)
		case strconv.IsPrint(r):
			dst = append(dst, s[:n]...)
		case r < 0x80:
			dst = appendHex(append(dst, `\x`...), uint32(r), 2)
		case r < 0x10000:
			dst = appendHex(append(dst, `\u`...), uint32(r), 4)
		default:
			dst = appendHex(append(dst, `\U`...), uint32(r), 8)
		}
		s = s[n:]
	}
	return dst
}

func appendHex(dst []byte, v uint32, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, "0123456789abcdef"[v>>(4*i)&15])
	}
	return dst
}
