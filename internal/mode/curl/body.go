package curl

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
)

// A body is the body of a request: pieces one after the other, text or files,
// which are opened when it is their turn. Seek to its start makes it ready to be
// sent again, unless standard input is part of it.
type body struct {
	pieces []piece
	stdin  io.Reader

	at   int       // the piece being read
	open io.Reader // it; nil before its first byte
	file *os.File  // what open reads from, if that is ours to close
	sent atomic.Int64
}

// A piece is a text or, where file is not empty, size bytes of that file from an
// offset on; "-" is standard input. size -1: to its end, wherever that is.
type piece struct {
	text       string
	file       string
	from, size int64
}

func textPiece(s string) piece { return piece{text: s, size: int64(len(s))} }

// wholeFile is a whole file as it is now. What has no size that could be relied on
// (pipes, devices, files made up by the kernel) is read to its end.
func wholeFile(name string) (piece, error) {
	p := piece{file: name, size: -1}
	if name == "-" {
		return p, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return p, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return p, err
	case info.IsDir():
		return p, &os.PathError{Op: "read", Path: name, Err: errors.New("is a folder")}
	case info.Mode().IsRegular() && info.Size() > 0:
		p.size = info.Size()
	case info.Mode().IsRegular():
		if n, err := f.Read(make([]byte, 1)); n == 0 && err == io.EOF {
			p.size = 0 // it is really empty
		}
	}
	return p, nil
}

// size is the length in bytes, -1 if nobody knows.
func (b *body) size() int64 {
	var n int64
	for _, p := range b.pieces {
		if p.size < 0 {
			return -1
		}
		n += p.size
	}
	return n
}

// errInput wraps what goes wrong with a local file, to tell it from the network.
type errInput struct{ err error }

func (e *errInput) Error() string { return e.err.Error() }
func (e *errInput) Unwrap() error { return e.err }

func (b *body) Read(p []byte) (int, error) {
	for b.at < len(b.pieces) {
		if b.open == nil {
			if err := b.begin(b.pieces[b.at]); err != nil {
				return 0, &errInput{err}
			}
		}
		n, err := b.open.Read(p)
		b.sent.Add(int64(n))
		if err == io.EOF {
			err = b.end()
		}
		if n > 0 || err != nil {
			if err != nil {
				err = &errInput{err}
			}
			return n, err
		}
	}
	return 0, io.EOF
}

// begin opens a piece.
func (b *body) begin(p piece) error {
	switch p.file {
	case "":
		b.open = &remaining{strings.NewReader(p.text), p.size}
		return nil
	case "-":
		b.open = &remaining{b.stdin, p.size}
		return nil
	}
	f, err := os.Open(p.file)
	if err == nil && p.from > 0 {
		_, err = f.Seek(p.from, io.SeekStart)
	}
	b.open, b.file = &remaining{f, p.size}, f
	return err
}

func (b *body) end() error {
	b.open = nil
	b.at++
	return b.Close()
}

// Close closes the file that is being read.
func (b *body) Close() error {
	if b.file == nil {
		return nil
	}
	err := b.file.Close()
	b.file = nil
	return err
}

var errRewind = errors.New("what came from standard input cannot be sent again")

// Seek goes back to the start, or says that it is there; that is all it does.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	began := b.at > 0 || b.open != nil
	switch {
	case b.hasStdin():
		return 0, errRewind
	case offset != 0, whence == io.SeekCurrent && began, whence == io.SeekEnd:
		return 0, errors.New("only to the start")
	}
	b.Close()
	b.at, b.open = 0, nil
	b.sent.Store(0)
	return 0, nil
}

func (b *body) hasStdin() bool {
	return slices.ContainsFunc(b.pieces, func(p piece) bool { return p.file == "-" })
}

// spent says whether something was read that does not come again.
func (b *body) spent() bool { return b.hasStdin() && (b.at > 0 || b.open != nil) }

// remaining reads size bytes, less being an error: the length went out already.
// size < 0: all there is.
type remaining struct {
	r    io.Reader
	size int64
}

var errShrunk = errors.New("the file became shorter while it was sent")

func (r *remaining) Read(p []byte) (int, error) {
	if r.size < 0 {
		return r.r.Read(p)
	}
	if r.size == 0 {
		return 0, io.EOF
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.size)])
	if r.size -= int64(n); err == io.EOF && r.size > 0 {
		err = errShrunk
	}
	return n, err
}
