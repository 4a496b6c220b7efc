package curl

import (
	"cmp"
	"io"
	"path/filepath"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"strconv"
	"strings"
	"time"
)

// deliver judges an answer and passes its body on.
func (t *transfer) deliver(a *httpmini.Answer) error {
	if t.o.fail && a.Status >= 400 && !t.wasWhole(a) {
		return t.refusal()
	}
	skip, err := t.judge(a)
	if err != nil {
		return err
	}
	if t.o.remoteHeader && t.target.remote {
		if err := t.nameByServer(a); err != nil {
			return err
		}
	}
	if t.held != nil {
		if _, err := t.out.Write(t.held); err != nil {
			return err
		}
	}
	if !skip && !t.o.head { // -I with -X GET: the body is not waited for
		err := t.copy(a)
		t.showFaults(a.Response)
		if err != nil {
			return err
		}
		if a.RawTrailer != "" {
			if t.showHead(strings.TrimSuffix(a.RawTrailer, "\r\n")); t.headErr != nil {
				return t.headErr
			}
		}
	}
	if a.Status < 300 {
		if err := a.Wait(); err != nil {
			return err
		}
	}
	if t.o.failBody && a.Status >= 400 {
		return t.refusal()
	}
	return nil
}

func (t *transfer) refusal() error {
	return failf(cli.ExitRefused, "The requested URL returned error: %d", t.response.Status)
}

// judge says whether the body is to be skipped, and which answers are errors.
func (t *transfer) judge(a *httpmini.Answer) (skip bool, err error) {
	if a.Status == 304 {
		return true, nil // what is there stays
	}
	if !t.condition.IsZero() && a.Status == 200 && t.unmet(a) {
		simulated := *a.Response
		simulated.Status = 304
		t.response = &simulated
		return true, nil
	}
	if max := t.o.maxFile; max > 0 && a.ContentLength > max && !t.o.head {
		return false, failf(cli.ExitTooLarge, "Maximum file size exceeded")
	}
	if t.resumeAt == 0 || t.body != nil || t.o.head {
		return false, nil
	}
	from, _, _ := strings.Cut(strings.TrimLeft(a.Header.Get("Content-Range"), "bytes: "), "-")
	switch {
	case a.Status/100 == 2 && from == strconv.FormatInt(t.resumeAt, 10):
		return false, nil
	case t.wasWhole(a):
		return true, nil
	case a.Status == 416:
		return false, t.refusal() // what is there is longer: it is not the same file
	case a.Status == 200 && t.kept > 0 && t.kept == t.resumeAt && !a.Header.HasToken("Accept-Ranges", "bytes"):
		t.resumeAt = 0 // all that is there came in this run: it may go
		return false, t.out.restart(0)
	}
	return false, failf(exitRange, "HTTP server doesn't seem to support byte ranges. Cannot resume.")
}

// wasWhole says whether the answer to a request for the rest tells that there is none.
func (t *transfer) wasWhole(a *httpmini.Answer) bool {
	whole, ok := strings.CutPrefix(a.Header.Get("Content-Range"), "bytes */")
	return t.resumeAt > 0 && t.body == nil && (a.Status == 416 && (!ok || whole == strconv.FormatInt(t.resumeAt, 10)) ||
		a.Status == 200 && a.ContentLength == t.resumeAt)
}

// unmet says whether a server that does not know conditions sent what -z did not
// want.
func (t *transfer) unmet(a *httpmini.Answer) bool {
	changed, err := time.Parse(httpDate, a.Header.Get("Last-Modified"))
	if err != nil {
		return false
	}
	if strings.HasPrefix(t.o.timeCond, "-") {
		return changed.After(t.condition)
	}
	return !changed.After(t.condition)
}

// nameByServer gives the file the name in Content-Disposition.
func (t *transfer) nameByServer(a *httpmini.Answer) error {
	name, err := serverFileName(a.Header)
	switch {
	case err != nil:
		return failf(cli.ExitWrite, "Failed to write a file of the name the server gave: %v", err)
	case name == "" && t.redirects > 0:
		if name, err = urlFileName(t.at); err != nil {
			return failf(cli.ExitWrite, "Remote file name: %v", err)
		}
		fallthrough
	case name != "":
		t.out.name, t.out.exclusive = filepath.Join(t.o.outputDir, name), !t.o.clobber
	}
	return nil
}

// copy passes the body on.
func (t *transfer) copy(a *httpmini.Answer) (err error) {
	max := t.o.maxFile
	if c := t.tap(); t.o.raw && c != nil {
		raw := rawWriter{c, t.out}
		t.down, err = io.Copy(raw, a.Body)
		_, werr := raw.Write(nil)
		return cmp.Or(err, werr)
	}
	decode := t.o.compressed && !strings.EqualFold(a.Header.Get("Content-Encoding"), "none") // which some send for identity
	if !decode && t.o.limitRate == 0 && (max == 0 || a.ContentLength >= 0) {
		t.down, err = t.out.take(a)
		return err
	}
	var body io.Reader = a.Body
	if decode {
		if body, err = a.Decoded(cmp.Or(max, -1)); err != nil {
			return err
		}
	} else if max > 0 {
		body = io.LimitReader(body, max+1)
	}
	if t.o.limitRate > 0 {
		body = &slowReader{r: body, rate: t.o.limitRate}
	}
	n, err := io.Copy(t.out, body)
	t.down = a.Received()
	if err == nil && max > 0 && n > max {
		err = httpmini.ErrTooLarge
	}
	return err
}

// A slowReader reads no more than rate bytes a second.
type slowReader struct {
	r     io.Reader
	rate  int64
	begun time.Time
	n     int64
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.begun.IsZero() {
		s.begun = time.Now()
	}
	n, err := s.r.Read(p[:min(int64(len(p)), max(s.rate/10, 1))])
	s.n += int64(n)
	time.Sleep(time.Duration(float64(s.n)/float64(s.rate)*float64(time.Second)) - time.Since(s.begun))
	return n, err
}
