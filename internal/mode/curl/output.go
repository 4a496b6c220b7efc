package curl

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/files"
	"strings"
	"time"
)

// A output is where what comes of one URL goes: stdout or a file, which is
// opened at the first byte.
//
// A regular file is written under a temporary name beside its own and renamed when
// it is whole; a transfer that fails leaves what was there. With -C, and where
// there is no place for another name or the target is no regular file, it is
// written straight.
type output struct {
	env       *cli.Env
	name      string // "" is stdout
	exclusive bool   // the server chose the name: nothing is overwritten
	append    bool   // -C
	folders   bool   // --create-dirs
	raw       bool   // to a terminal, too

	w       io.Writer // nil: not open yet
	file    *os.File  // w where that is a file of ours
	temp    string    // its name if it is not to stay
	target  string    // what temp becomes
	start   int64     // where it began, with append
	written int64
}

// errOutput wraps what goes wrong with a local file, to tell it from the network.
type errOutput struct{ err error }

func (e *errOutput) Error() string { return e.err.Error() }
func (e *errOutput) Unwrap() error { return e.err }

func (o *output) Write(p []byte) (int, error) {
	if err := o.open(); err != nil {
		return 0, err
	}
	n, err := o.w.Write(p)
	o.written += int64(n)
	if err != nil {
		err = &errOutput{err}
	}
	return n, err
}

// take writes a body to w, at the speed of the kernel where both allow it.
func (o *output) take(a *httpmini.Answer) (int64, error) {
	if err := o.open(); err != nil {
		return 0, err
	}
	w := &outputWriter{w: o.w}
	var n int64
	var err error
	if f := o.direct(); f != nil && f == o.file {
		n, err = a.WriteTo(f)
	} else if f != nil {
		n, err = o.w.(*event.Stream).Do(func() (int64, error) { return a.WriteTo(f) })
	} else {
		n, err = a.WriteTo(w)
	}
	o.written += n
	if path, ok := errors.AsType[*os.PathError](err); ok {
		err = path
		w.failed = true
	}
	if err != nil && w.failed {
		err = &errOutput{err}
	}
	return n, err
}

// outputWriter notes whose error it was.
type outputWriter struct {
	w      io.Writer
	failed bool
}

func (w *outputWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.failed = err != nil
	return n, err
}

// direct is the file that is written, or the one behind stdout; nil if there is
// none, or it has failed before.
func (o *output) direct() *os.File {
	if o.file != nil {
		return o.file
	}
	out, ok := o.w.(*event.Stream)
	if !ok || out.Err() != nil {
		return nil
	}
	f, _ := out.Unwrap().(*os.File)
	return f
}

func (o *output) open() (err error) {
	if o.w != nil {
		return nil
	}
	if o.name == "" {
		o.w = o.env.Stdout
		if o.env.TTYOut != nil && !o.raw {
			o.w = &ttyWriter{w: o.env.Stdout}
		}
		return nil
	}
	if o.folders {
		if err := os.MkdirAll(filepath.Dir(o.name), 0o777); err != nil {
			return &errOutput{err}
		}
	}
	if o.append {
		err = o.openEnd()
	} else {
		err = o.openFresh()
	}
	if err != nil {
		return &errOutput{fmt.Errorf("failed to open the file: %w", err)}
	}
	o.w = o.file
	return nil
}

func (o *output) openEnd() (err error) {
	if o.file, err = os.OpenFile(o.name, os.O_WRONLY|os.O_CREATE, 0o666); err != nil {
		return err
	}
	o.start, err = o.file.Seek(0, io.SeekEnd)
	return err
}

// openFresh opens a temporary file, or the target itself where that is right.
func (o *output) openFresh() (err error) {
	if strings.HasPrefix(o.name, "/dev/") {
		return o.openStraight() // /dev/stderr may lead to a file that others have open
	}
	o.target = o.name
	info, err := os.Lstat(o.name)
	if err == nil && info.Mode()&os.ModeSymlink != 0 && !o.exclusive {
		if o.target, err = filepath.EvalSymlinks(o.name); err == nil {
			info, err = os.Stat(o.target)
		}
		if err != nil { // a link that leads nowhere yet
			return o.openStraight()
		}
	}
	mode := os.FileMode(0o666)
	switch {
	case err != nil: // there is none
	case o.exclusive:
		return os.ErrExist
	case !info.Mode().IsRegular():
		return o.openStraight()
	default:
		mode = info.Mode().Perm()
	}
	o.temp = filepath.Join(filepath.Dir(o.target), ".curl-"+rand.Text()+".part")
	if o.file, err = os.OpenFile(o.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode); err != nil {
		o.temp = ""
		return o.openStraight()
	}
	if info != nil {
		o.file.Chmod(mode)
	}
	return nil
}

func (o *output) openStraight() (err error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if o.exclusive {
		flags |= os.O_EXCL
	}
	o.file, err = os.OpenFile(o.name, flags, 0o666)
	return err
}

// again forgets what was written, for another try, or closes it to go on there.
func (o *output) again(keep bool) {
	switch {
	case o.file == nil:
		return // what went to stdout is gone
	case keep:
		o.file.Close()
		o.w, o.file = nil, nil
	case o.temp != "":
		o.abandon()
	default:
		o.restart(o.start)
	}
	o.written = 0
}

// restart goes back to there, and forgets what came behind.
func (o *output) restart(at int64) error {
	if err := o.open(); err != nil || o.file == nil {
		return err
	}
	o.start = at
	_, err := o.file.Seek(at, io.SeekStart)
	return errors.Join(err, o.file.Truncate(at))
}

// abandon closes the file and removes it if it is not to stay.
func (o *output) abandon() {
	if t, ok := o.w.(*ttyWriter); ok {
		t.flush()
	}
	if o.file != nil {
		o.file.Close()
	}
	if o.temp != "" {
		os.Remove(o.temp)
	}
	o.w, o.file, o.temp = nil, nil, ""
}

// finish gives the file its name. A file without a byte is made, too. at, if not
// zero, is the time of its last change.
func (o *output) finish(at time.Time) (err error) {
	if err = o.open(); err != nil {
		return err
	}
	if t, ok := o.w.(*ttyWriter); ok {
		err = t.flush()
	}
	if o.file != nil {
		err = o.file.Close()
		if !at.IsZero() {
			os.Chtimes(cmp.Or(o.temp, o.name), at, at)
		}
	}
	if err == nil && o.temp != "" {
		if err = files.Publish(files.Paths{}, o.temp, o.target, !o.exclusive); err == nil {
			o.temp = ""
		}
	}
	o.file = nil
	if err != nil {
		return &errOutput{err}
	}
	return nil
}
