package httpd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"socketsrv/httpmini"
)

// Bounds of multipart/form-data (RFC 7578); the body as a whole has its own.
const (
	maxBoundary   = 70 // RFC 2046 §5.1.1
	maxPartLine   = 4 << 10
	maxPartFields = 16
	maxFormFiles  = 64
	maxFormParts  = 256
)

// errForm wraps what is wrong with a form.
var errForm = errors.New("malformed multipart/form-data")

// uploadBoundary returns the boundary of a body that is a form.
func uploadBoundary(req *httpmini.Request) (boundary string, form bool) {
	kind, params, _ := strings.Cut(req.Header.Get("Content-Type"), ";")
	if req.Method != "POST" || !strings.EqualFold(strings.TrimSpace(kind), "multipart/form-data") {
		return "", false
	}
	boundary, _ = parameter(params, "boundary")
	return boundary, true
}

// parameter returns the value of a parameter in "; a=b; c=\"d\"".
func parameter(params, name string) (value string, ok bool) {
	for params != "" {
		key, rest, found := strings.Cut(params, "=")
		if !found {
			return "", false
		}
		key = strings.Trim(key, "; \t")
		if value, params = cutValue(strings.TrimLeft(rest, " \t")); strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}

// cutValue cuts a token or a quoted string off s. In the latter \" is a quote, and
// any other backslash itself, as browsers mean it.
func cutValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return strings.TrimRight(value, " \t"), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// form takes the files of a form; its other fields are skipped.
func (t *taking) form(body io.Reader, boundary string) error {
	if boundary == "" || len(boundary) > maxBoundary {
		return errForm
	}
	f := &formReader{
		br:        bufio.NewReaderSize(io.MultiReader(strings.NewReader("\r\n"), body), 32<<10),
		delimiter: []byte("\r\n--" + boundary),
	}
	if _, err := io.Copy(io.Discard, f); err != nil { // what comes before the first part
		return err
	}
	for range maxFormParts {
		name, last, err := f.next()
		if err != nil {
			return err
		}
		if last {
			if len(t.parts) == 0 {
				return errFormEmpty
			}
			_, err = io.Copy(io.Discard, f.br) // the end shows that the request is whole
			return err
		}
		switch {
		case name == "":
			_, err = io.Copy(io.Discard, f)
		case len(t.parts) == maxFormFiles:
			err = errManyParts
		default:
			err = t.file(name, f)
		}
		if err != nil {
			return err
		}
	}
	return errManyParts
}

// A formReader reads a part of a form up to its delimiter.
type formReader struct {
	br        *bufio.Reader
	delimiter []byte
	ended     bool // the delimiter was read
}

func (f *formReader) Read(p []byte) (int, error) {
	if f.ended {
		return 0, io.EOF
	}
	b, err := f.br.Peek(max(f.br.Buffered(), len(f.delimiter)))
	if len(b) < len(f.delimiter) {
		return 0, cutShort(err)
	}
	i := bytes.Index(b, f.delimiter)
	n := i
	if i < 0 {
		n = len(b) - len(f.delimiter) + 1 // the rest may be the start of it
	}
	n = copy(p, b[:n])
	f.br.Discard(n)
	if n == i {
		f.br.Discard(len(f.delimiter))
		f.ended = true
	}
	return n, nil
}

// next reads the head of the next part. name is that of its file, "" if it is none.
func (f *formReader) next() (name string, last bool, err error) {
	end, err := f.br.Peek(2)
	if err != nil {
		return "", false, cutShort(err)
	}
	if string(end) == "--" {
		return "", true, nil
	}
	f.ended = false
	for i := range maxPartFields {
		line, err := f.br.ReadSlice('\n')
		switch {
		case err == bufio.ErrBufferFull, err == nil && len(line) > maxPartLine, err == nil && !bytes.HasSuffix(line, []byte("\r\n")):
			return "", false, errForm
		case err != nil:
			return "", false, cutShort(err)
		}
		text := strings.TrimRight(string(line), " \t\r\n")
		if i == 0 && text != "" { // behind the boundary
			return "", false, errForm
		}
		if i > 0 && text == "" {
			return name, false, nil
		}
		field, value, _ := strings.Cut(text, ":")
		if strings.EqualFold(field, "Content-Disposition") {
			kind, params, _ := strings.Cut(value, ";")
			if !strings.EqualFold(strings.TrimSpace(kind), "form-data") {
				return "", false, errForm
			}
			name, _ = parameter(params, "filename")
		}
	}
	return "", false, errForm
}

// cutShort is what the end of a body within a part means.
func cutShort(err error) error {
	if err == io.EOF {
		return errForm
	}
	return err
}
