package httpmini

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Files serves the files below a directory. Its method Serve is a Handler; the
// fields are set before the first call and not changed later. The zero value
// answers 404 to everything.
//
// Nothing outside Root is reached, by links neither unless Outside is set: os.Root
// sees to that. An absolute link is followed to what it names below Root. Only regular files are opened; the rest (FIFOs, devices, sockets) is 403. FileName
// says which paths stand for which files.
//
// Every file has a strong ETag, made of its size and the time it was changed in
// nanoseconds, and a Last-Modified. What is sent compressed has the same ETag as a
// weak one. Ranges, several as multipart/byteranges too, are always of the file as
// it is.
//
// A file is sent as long as it was when it was opened. One that gets shorter
// meanwhile ends the connection, so that nobody takes it for whole.
type Files struct {
	Root     *os.Root // stays the caller's
	Only     string   // if not "": the one file of Root that is served, by its name and as /
	Header   Header   // added to every answer, in place of a field of the same name
	Dotfiles bool     // names that begin with a dot are served, too
	Outside  bool     // links that lead out of Root are followed, too
	NoList   bool     // a directory without index.html is 403 in place of a list
	NoGzip   bool     // text is sent as it is to those who accept gzip, too
	Allow    string   // the methods that Allow names; "" means GET, HEAD, OPTIONS
	Form     bool     // lists have a form that posts files to them; to take those is the caller's

	cache fileCache
	names rootNames
}

// A representation is what a file is served as.
type representation struct {
	name        string // below the root
	size        int64
	modified    time.Time
	etag        string
	contentType string
	text        bool
	content     []byte // of a small file, once it was read
	fields      []byte // field lines of a plain 200, ready to be sent; nil if it is not kept
}

// Serve answers GET and HEAD with files and lists, OPTIONS with what there is,
// and other methods with 405 or 501.
func (f *Files) Serve(x *Exchange) {
	switch x.Request.Method {
	case "GET", "HEAD":
		f.get(x)
	case "OPTIONS":
		x.Respond(204, f.with(Header{{"Allow", cmp.Or(f.Allow, allowed)}}), nil)
	case "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT",
		"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK":
		f.Refuse(x, 405)
	default:
		f.Refuse(x, 501)
	}
}

const allowed = "GET, HEAD, OPTIONS"

// Refuse answers with a status of 400 or more and what goes with it.
func (f *Files) Refuse(x *Exchange, status int) {
	h := Header{{"Content-Type", plain}, {"X-Content-Type-Options", "nosniff"}}
	switch status {
	case 405:
		h.Add("Allow", cmp.Or(f.Allow, allowed))
	case 503:
		h.Add("Retry-After", "1")
	}
	x.Respond(status, f.with(h), []byte(StatusText(status)+"\n"))
}

// with adds f.Header to h.
func (f *Files) with(h Header) Header {
	h = slices.DeleteFunc(h, func(field Field) bool { return f.Header.Has(field.Name) })
	return append(h, f.Header...)
}

func (f *Files) get(x *Exchange) {
	asked, dir, err := FileName(x.Request.Path(), f.Dotfiles || f.Only != "")
	if err != nil {
		f.Refuse(x, err.(*Error).Status)
		return
	}
	if f.Only != "" && asked == "." {
		asked, dir = f.Only, false
	}
	if f.Root == nil || f.Only != "" && asked != f.Only {
		f.Refuse(x, 404)
		return
	}
	name, info, err := f.stat(asked)
	switch {
	case err != nil:
		f.Refuse(x, statusOf(err))
	case info.IsDir() && dir:
		f.directory(x, name)
	case info.IsDir():
		f.redirect(x, asked)
	case dir:
		f.Refuse(x, 404)
	default:
		f.file(x, name, info)
	}
}

// statusOf is what the client is told of an error of the file system, and all it
// is told.
func statusOf(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return 403
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM), errors.Is(err, errLongLists):
		return 503
	case errors.Is(err, syscall.EIO):
		return 500
	}
	return 404 // it does not exist, or is a link to the outside or to itself
}

// redirect leads to the directory's name with a slash at its end. Nothing of what
// the client sent stands there but its query.
func (f *Files) redirect(x *Exchange, name string) {
	to := FilePath(name) + "/"
	if query := x.Request.Query(); query != "" {
		to += "?" + strings.ReplaceAll(query, `\`, "%5C")
	}
	x.Respond(301, f.with(Header{{"Location", to}, {"Content-Type", plain}}), []byte("The directory is at "+to+"\n"))
}

// directory answers with index.html or a list.
func (f *Files) directory(x *Exchange, name string) {
	const index = "index.html"
	file := index
	if name != "." {
		file = name + "/" + index
	}
	if file, info, err := f.stat(file); err == nil && info.Mode().IsRegular() {
		f.file(x, file, info)
		return
	}
	if f.NoList {
		f.Refuse(x, 403)
		return
	}
	f.list(x, name)
}

func (f *Files) file(x *Exchange, name string, info fs.FileInfo) {
	if !info.Mode().IsRegular() {
		f.Refuse(x, 403)
		return
	}
	mark, stamped := stampOf(info)
	rep := f.cache.get(name, mark)
	if stamped && rep != nil && rep.content != nil {
		f.answer(x, rep, nil)
		return
	}
	file, err := f.open(name)
	if err != nil {
		f.Refuse(x, statusOf(err))
		return
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil || !info.Mode().IsRegular() { // another one by now
		f.Refuse(x, 403)
		return
	}
	if now, ok := stampOf(info); rep == nil || !ok || now != mark {
		if rep = represent(name, info); ok && now.settled(time.Now()) {
			f.remember(rep, now, file)
		}
	}
	f.answer(x, rep, file)
}

func represent(name string, info fs.FileInfo) *representation {
	rep := &representation{name: name, size: info.Size(), modified: info.ModTime()}
	rep.contentType, rep.text = contentType(name)
	b := strconv.AppendInt([]byte{'"'}, rep.modified.UnixNano(), 16)
	b = strconv.AppendInt(append(b, '-'), rep.size, 16)
	rep.etag = string(append(b, '"'))
	return rep
}

// remember keeps what was found out about a file, and a small one itself, for those
// who ask next.
func (f *Files) remember(rep *representation, mark stamp, file *os.File) {
	if rep.size <= maxCached {
		content := make([]byte, rep.size)
		if n, err := file.ReadAt(content, 0); err != nil || int64(n) < rep.size {
			return
		}
		rep.content = content
	}
	rep.fields = f.fields(rep, false).append(nil)
	f.cache.put(rep, mark)
}

// fields are those of a 200; coded is for gzip.
func (f *Files) fields(rep *representation, coded bool) Header {
	modified := rep.modified
	if now := time.Now(); modified.After(now) {
		modified = now // RFC 9110 §8.8.2.1
	}
	h := make(Header, 0, 8+len(f.Header))
	h = append(h, Field{"Content-Type", rep.contentType}, Field{"Last-Modified", formatDate(modified)})
	if coded {
		h = append(h, Field{"ETag", "W/" + rep.etag}, Field{"Content-Encoding", "gzip"})
	} else {
		h = append(h, Field{"ETag", rep.etag}, Field{"Accept-Ranges", "bytes"})
	}
	if f.codes(rep) {
		h = append(h, Field{"Vary", "Accept-Encoding"})
	}
	return f.with(append(h, Field{"X-Content-Type-Options", "nosniff"}))
}

// codes says whether the file is sent compressed to those who accept that.
func (f *Files) codes(rep *representation) bool { return rep.text && rep.size >= minGzip && !f.NoGzip }

// answer sends rep, whole, in parts or not at all. file is open unless rep has its
// content.
func (f *Files) answer(x *Exchange, rep *representation, file *os.File) {
	h := x.Request.Header
	coded := f.codes(rep) && x.Request.Minor > 0 && acceptsGzip(h)
	switch evaluate(h, rep.etag, rep.modified) {
	case 304:
		x.Respond(304, slices.DeleteFunc(f.fields(rep, coded), isContentField), nil)
		return
	case 412:
		f.Refuse(x, 412)
		return
	}
	if x.Request.Method == "GET" && h.Has("Range") && ifRange(h, rep.etag, rep.modified, time.Now()) {
		ranges, outcome := parseRanges(strings.Join(h.Values("Range"), ","), rep.size)
		switch {
		case outcome == unsatisfiable:
			fields := Header{{"Content-Range", "bytes */" + strconv.FormatInt(rep.size, 10)}, {"Content-Type", plain}, {"ETag", rep.etag}}
			x.Respond(416, f.with(fields), []byte(StatusText(416)+"\n"))
			return
		case outcome == someRanges:
			f.partial(x, rep, file, ranges)
			return
		}
	}
	f.whole(x, rep, file, coded)
}

// Precondition says what the preconditions of a request that changes the file of
// that name come to: 412, or 0 to go on (RFC 9110 §13.2.2). What is no regular file
// does not exist.
func (f *Files) Precondition(r *Request, name string) (status int) {
	rep := new(representation)
	if info, err := f.Root.Stat(name); err == nil && info.Mode().IsRegular() {
		rep = represent(name, info)
	}
	switch status = evaluate(r.Header, rep.etag, rep.modified); {
	case status == 304 && r.Header.Has("If-None-Match"):
		return 412
	case status == 304: // If-Modified-Since is for GET and HEAD alone
		return 0
	}
	return status
}

// isContentField holds for the fields that a 304 leaves out (RFC 9110 §15.4.5).
func isContentField(field Field) bool {
	return field.Name == "Content-Type" || field.Name == "Content-Encoding"
}

func (f *Files) whole(x *Exchange, rep *representation, file *os.File, coded bool) {
	if coded {
		if x.Request.Method == "HEAD" {
			x.Send(&Response{Status: 200, Header: f.fields(rep, true), ContentLength: -1})
			return
		}
		if body := newGzipBody(&exactly{rep.reader(file), rep.size}); body != nil {
			x.Send(&Response{Status: 200, Header: f.fields(rep, true), Body: body, ContentLength: -1})
			body.close()
			return
		}
	}
	if rep.content != nil {
		x.fields = rep.fields
		x.Respond(200, nil, rep.content)
		return
	}
	if rep.size == 0 {
		x.Respond(200, f.fields(rep, false), nil)
		return
	}
	r := &Response{Status: 200, Body: file, ContentLength: rep.size}
	if x.fields = rep.fields; x.fields == nil {
		r.Header = f.fields(rep, false)
	}
	x.Send(r)
}

// partial sends ranges of the file.
func (f *Files) partial(x *Exchange, rep *representation, file *os.File, ranges []byteRange) {
	h := f.fields(rep, false)
	if len(ranges) > 1 {
		body, length, boundary := multipart(rep.readerAt(file), ranges, rep.size, rep.contentType)
		h.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
		x.Send(&Response{Status: 206, Header: h, Body: body, ContentLength: length})
		return
	}
	r := ranges[0]
	h.Add("Content-Range", r.contentRange(rep.size))
	if rep.content != nil {
		x.Respond(206, h, rep.content[r.start:r.start+r.length])
		return
	}
	if _, err := file.Seek(r.start, io.SeekStart); err != nil {
		f.Refuse(x, 500)
		return
	}
	x.Send(&Response{Status: 206, Header: h, Body: file, ContentLength: r.length})
}

func (rep *representation) reader(file *os.File) io.Reader {
	if rep.content != nil {
		return bytes.NewReader(rep.content)
	}
	return file
}

func (rep *representation) readerAt(file *os.File) io.ReaderAt {
	if rep.content != nil {
		return bytes.NewReader(rep.content)
	}
	return file
}

// exactly reads left bytes of r: no more, and fewer are an error.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if err == io.EOF && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
