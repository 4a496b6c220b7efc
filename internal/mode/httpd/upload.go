package httpd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/files"
	"socketsrv/internal/listen"
)

// uploads are what the flags about them said.
type uploads struct {
	on, overwrite bool
	limit         int64 // bytes of a request's body

	publishing sync.RWMutex // a conditional request has it alone
}

// What a request that brings files is refused for; status says how.
var (
	errTooMuch    = errors.New("more than -max-upload allows")
	errManyParts  = errors.New("too many files or fields in one form")
	errPartial    = errors.New("a part of a file cannot be put in its place")
	errState      = errors.New("the file is not as the request wants it to be")
	errNoFolder   = errors.New("there is no such folder")
	errFormEmpty  = errors.New("no file in the request")
	errNameTwice  = errors.New("two files of one name in the request")
	errPostFolder = errors.New("POST to a folder: want multipart/form-data")
	errFormFolder = errors.New("a form goes to a folder: want a path that ends in a slash")
	errUnwelcome  = errors.New("want a body without Content-Encoding")
)

// receive takes a file by PUT or POST, or several by a form, into the folder that
// the path names. They are written under names of their own and get theirs when the
// whole request has come, so that of one that is cut nothing is left.
func (h *httpd) receive(x *httpmini.Exchange) {
	req := x.Request
	body := &limitedBody{r: req.Body, left: h.upload.limit}
	boundary, form := uploadBoundary(req)
	t, err := h.takes(req, form)
	if err == nil {
		defer t.close()
		if form {
			err = t.form(body, boundary)
		} else {
			err = t.file(t.name, body)
		}
	}
	if err == nil {
		err = h.publish(req, t)
	}
	if err != nil {
		if body.err == nil { // else the client is gone, and hears nothing
			h.refuse(x, err, t)
		}
		return
	}
	h.taken(x, t, form)
}

// takes says where the request's files go, before its body is asked for.
func (h *httpd) takes(req *httpmini.Request, form bool) (*taking, error) {
	name, dir, err := httpmini.FileName(req.Path(), h.files.Dotfiles)
	coded := func(coding string) bool { return !strings.EqualFold(coding, "identity") }
	switch {
	case err != nil:
		return nil, err
	case req.ContentLength > h.upload.limit:
		return nil, errTooMuch
	case req.Header.Has("Content-Range"):
		return nil, errPartial
	case slices.ContainsFunc(req.Header.List("Content-Encoding"), coded):
		return nil, errUnwelcome
	case form && !dir:
		return nil, errFormFolder
	case dir && req.Method == "PUT":
		return nil, files.ErrNotAFile
	case dir && !form:
		return nil, errPostFolder
	}
	folder, file := name, ""
	if !dir {
		folder, file = path.Dir(name), name
		if status := h.files.Precondition(req, name); status != 0 {
			return nil, &httpmini.Error{Status: status, Err: errState}
		}
	}
	info, err := h.files.Root.Stat(folder)
	if err != nil || !info.IsDir() { // a FIFO would keep OpenRoot waiting
		return nil, errNoFolder
	}
	root, err := h.files.Root.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	t := &taking{root: root, overwrite: h.upload.overwrite, name: path.Base(name), path: file}
	if !dir {
		if err = checkTarget(root, t.name, t.overwrite); err != nil {
			root.Close()
			return nil, err
		}
	}
	return t, nil
}

// publish gives the files their names, if the file is still as the request wants it
// to be: another one may have come while the body did.
func (h *httpd) publish(req *httpmini.Request, t *taking) error {
	conditional := slices.ContainsFunc([]string{"If-Match", "If-None-Match", "If-Unmodified-Since"}, req.Header.Has)
	if t.path == "" || !conditional {
		h.upload.publishing.RLock()
		defer h.upload.publishing.RUnlock()
		return t.publish()
	}
	h.upload.publishing.Lock()
	defer h.upload.publishing.Unlock()
	if status := h.files.Precondition(req, t.path); status != 0 {
		return &httpmini.Error{Status: status, Err: errState}
	}
	return t.publish()
}

// refuse answers what was wrong, and what would allow it; also what of a form had its
// name when something came between.
func (h *httpd) refuse(x *httpmini.Exchange, err error, t *taking) {
	status := uploadStatus(err)
	text := err.Error()
	if status >= 500 {
		h.con.Error(fmt.Errorf("%v: %w", x.RemoteAddr(), err))
		text = httpmini.StatusText(status) // and not what our disk says
	}
	if status == 409 && errors.Is(err, files.ErrFileExists) {
		text += "; -overwrite lets it be replaced"
	}
	if t != nil && t.published > 0 {
		text += "\ntaken before that:\n" + h.tell(x, t)
	}
	h.text(x, status, text)
}

func uploadStatus(err error) int {
	if e, ok := errors.AsType[*httpmini.Error](err); ok {
		return e.Status
	}
	switch {
	case cli.Is(errTooMuch, errManyParts)(err):
		return 413
	case cli.Is(errUnwelcome)(err):
		return 415
	case cli.Is(files.ErrFileExists, files.ErrNotAFile, errNoFolder)(err):
		return 409
	case cli.Is(errPartial, errFormEmpty, errNameTwice, errPostFolder, errFormFolder, errForm)(err), cli.As[files.NameError](err):
		return 400
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return 403
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return 507
	}
	return 500
}

// taken answers who brought files. A browser that sent a form sees the folder again.
func (h *httpd) taken(x *httpmini.Exchange, t *taking, form bool) {
	text := h.tell(x, t)
	switch {
	case form && listen.WantsPage(&httpmini.Request{Method: "GET", Header: x.Request.Header}):
		h.text(x, 303, text, httpmini.Field{Name: "Location", Value: "./"})
	case t.replaced:
		h.text(x, 200, text)
	default:
		h.text(x, 201, text, httpmini.Field{Name: "Location", Value: x.Request.Target})
	}
}

// tell counts and logs what was published, and returns it as text for the client.
func (h *httpd) tell(x *httpmini.Exchange, t *taking) string {
	folder := x.Request.Path()
	folder = folder[:strings.LastIndexByte(folder, '/')+1]
	var lines []string
	for _, p := range t.parts[:t.published] {
		h.counts.uploads.Add(1)
		h.con.Status("%v: took %s%s, %d bytes", x.RemoteAddr(), folder, p.Name, p.Size)
		lines = append(lines, fmt.Sprintf("%s %s %d", p.Sum(), p.Name, p.Size))
	}
	return strings.Join(lines, "\n")
}

// A taking is the files that one request brings.
type taking struct {
	root      *os.Root
	name      string // of the one that is not in a form
	path      string // its, below the root; "" for a form
	overwrite bool
	parts     []*files.Part
	replaced  bool // one was there before
	published int
}

// file writes a file under a name of its own.
func (t *taking) file(name string, body io.Reader) error {
	if slices.ContainsFunc(t.parts, func(p *files.Part) bool { return p.Name == name }) {
		return errNameTwice
	}
	if err := checkTarget(t.root, name, t.overwrite); err != nil {
		return err
	}
	p, err := files.NewPart(t.root, name)
	if err != nil {
		return err
	}
	t.parts = append(t.parts, p)
	_, err = io.Copy(p, body)
	return err
}

// checkTarget is files.CheckTarget, but that a colon is fine where it parts nothing:
// names often hold a time.
func checkTarget(root *os.Root, name string, overwrite bool) error {
	plain := name
	if runtime.GOOS != "windows" {
		plain = strings.ReplaceAll(name, ":", "-")
	}
	if err := files.CheckName(plain); err != nil {
		return err
	}
	return files.CheckFree(root, name, overwrite)
}

// publishPart is Publish but for tests of a disk that fails.
var publishPart = (*files.Part).Publish

// publish gives the files their names.
func (t *taking) publish() error {
	for _, p := range t.parts {
		if _, err := t.root.Lstat(p.Name); err == nil {
			t.replaced = true
		}
		if err := publishPart(p, t.overwrite); err != nil {
			return err
		}
		t.published++
	}
	return nil
}

// close removes what was not published.
func (t *taking) close() {
	for _, p := range t.parts[t.published:] {
		p.Discard(false)
	}
	t.root.Close()
}

// A limitedBody is a request's body up to a limit.
type limitedBody struct {
	r    io.Reader
	left int64
	err  error // of r, but for its end
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:b.left+1] // the one more shows that there is more
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooMuch
	}
	if err != io.EOF {
		b.err = err
	}
	return n, err
}
