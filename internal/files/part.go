// Package files puts what comes from a peer on the disk: under a name that is one
// element of a path (name.go), in a part that nobody takes for the whole, which gets
// its own name when it is whole (part.go), with a bar that shows how far it is
// (bar.go).
package files

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"unicode/utf8"
)

// A Part is a file on its way into a folder. It has a hidden name,
// .NAME.XXXXXXXX.part, until it is whole: publish gives it its own. Nothing that
// is there is ever opened for writing but a part, and a part only by one program
// at a time.
type Part struct {
	root *os.Root
	Name string // the file's own
	Temp string
	F    *os.File
	hash hash.Hash
	Size int64 // bytes written and hashed
}

const (
	partMode   = 0o644 // before the umask; a sender's bits are not taken over
	partSuffix = ".part"
	maxStem    = 200 // bytes of a name that its part's has, so that it is not too long
)

var (
	ErrFileExists = errors.New("a file of that name exists")
	ErrNotAFile   = errors.New("what has that name is no file")
)

// partPrefix is what the parts of a file have in front of their random letters.
func partPrefix(name string) string {
	if len(name) > maxStem {
		n := maxStem
		for !utf8.RuneStart(name[n]) {
			n--
		}
		name = name[:n]
	}
	return "." + name + "."
}

func randomPart(name string) string { return partPrefix(name) + rand.Text()[:8] + partSuffix }

// NewPart begins a file.
func NewPart(root *os.Root, name string) (*Part, error) {
	temp := randomPart(name)
	f, err := root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL|openLarge, partMode)
	if err != nil {
		return nil, err
	}
	lockFile(f) // ours anyway: a lock only tells the others so
	return &Part{root: root, Name: name, Temp: temp, F: f, hash: sha256.New()}, nil
}

// ResumePart goes on with the largest part of the file, of at most size bytes,
// that is not in use, and reads what it has. It is nil if there is none.
func ResumePart(root *os.Root, name string, size int64) *Part {
	best, most := "", int64(0)
	dir, err := root.Open(".")
	if err != nil {
		return nil
	}
	defer dir.Close()
	for err == nil {
		var entries []os.DirEntry
		entries, err = dir.ReadDir(256)
		for _, e := range entries {
			stem, isPart := strings.CutSuffix(e.Name(), partSuffix)
			letters, isOurs := strings.CutPrefix(stem, partPrefix(name))
			if !isPart || !isOurs || len(letters) != 8 || !e.Type().IsRegular() {
				continue
			}
			if info, err := e.Info(); err == nil && info.Size() > most && info.Size() <= size {
				best, most = e.Name(), info.Size()
			}
		}
	}
	if best == "" {
		return nil
	}
	p, err := claimPart(root, name, best)
	if err != nil {
		return nil
	}
	return p
}

var errPartTaken = errors.New("the part is not ours")

// claimPart makes a part that was left ours: locked, and under a new name.
func claimPart(root *os.Root, name, temp string) (*Part, error) {
	f, err := root.OpenFile(temp, os.O_RDWR|OpenNonblock|openLarge, 0)
	if err != nil {
		return nil, err
	}
	p := &Part{root: root, Name: name, Temp: randomPart(name), F: f, hash: sha256.New()}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular() || hasLinks(info): // it may be a file that was published
		err = errPartTaken
	default:
		err = lockFile(f)
	}
	if err == nil {
		err = root.Rename(temp, p.Temp)
	}
	if err == nil {
		p.Size, err = io.Copy(p.hash, f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

// Write appends to the file.
func (p *Part) Write(b []byte) (int, error) {
	n, err := p.F.Write(b)
	p.hash.Write(b[:n])
	p.Size += int64(n)
	return n, err
}

// Reset forgets what is there.
func (p *Part) Reset() error {
	p.hash.Reset()
	p.Size = 0
	if err := p.F.Truncate(0); err != nil {
		return err
	}
	_, err := p.F.Seek(0, io.SeekStart)
	return err
}

// Sum is the SHA-256 of what is there, in hexadecimal digits.
func (p *Part) Sum() string { return hex.EncodeToString(p.hash.Sum(nil)) }

// Discard ends the file without giving it its name; where keep, the part stays.
func (p *Part) Discard(keep bool) {
	if keep && p.Size > 0 {
		p.F.Close()
		return
	}
	if runtime.GOOS == "windows" { // which does not remove what is open
		p.F.Close()
	}
	p.root.Remove(p.Temp)
	p.F.Close()
}

// Publish puts the file on the disk and gives it its name; one that is there
// stays, unless overwrite. After an error discard is still to be called.
func (p *Part) Publish(overwrite bool) error {
	if err := p.F.Sync(); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		p.F.Close()
	}
	if err := Publish(p.root, p.Temp, p.Name, overwrite); err != nil {
		return err
	}
	p.F.Close() // and with it the lock
	if dir, err := p.root.Open("."); err == nil {
		dir.Sync() // not every system can
		dir.Close()
	}
	return nil
}

// A Place is where names are: a folder, by *os.Root, or wherever paths lead, by Paths.
type Place interface {
	Link(from, to string) error
	Rename(from, to string) error
	Remove(name string) error
	OpenFile(name string, flag int, mode os.FileMode) (*os.File, error)
}

// Paths is the Place where names are paths as package os takes them.
type Paths struct{}

func (Paths) Link(from, to string) error   { return os.Link(from, to) }
func (Paths) Rename(from, to string) error { return os.Rename(from, to) }
func (Paths) Remove(name string) error     { return os.Remove(name) }
func (Paths) OpenFile(name string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, mode)
}

// Publish gives the file temp the name it is to have. What has that name already is
// replaced if overwrite, else it stays and the error is ErrFileExists: the name is
// never taken from another program that takes it at the same time. After an error
// temp is still there.
func Publish(in Place, temp, name string, overwrite bool) error {
	if overwrite {
		return in.Rename(temp, name)
	}
	err := in.Link(temp, name)
	if err == nil {
		return in.Remove(temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return ErrFileExists
	}
	// No links here, it seems: take the name with an empty file, which only we can do,
	// and replace that.
	f, err := in.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, partMode)
	if errors.Is(err, fs.ErrExist) {
		return ErrFileExists
	}
	if err != nil {
		return err
	}
	f.Close()
	if err := in.Rename(temp, name); err != nil {
		in.Remove(name)
		return err
	}
	return nil
}

// CheckTarget says why a file of that name cannot be taken.
func CheckTarget(root *os.Root, name string, overwrite bool) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return CheckFree(root, name, overwrite)
}

// CheckFree says why a file cannot have that name, whatever it looks like.
func CheckFree(root *os.Root, name string, overwrite bool) error {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !overwrite:
		return ErrFileExists
	case !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink: // a link is replaced, not followed
		return ErrNotAFile
	}
	return nil
}
