package mode

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
	"syscall"
	"unicode/utf8"
)

// A partFile is a file on its way into a folder. It has a hidden name,
// .NAME.XXXXXXXX.part, until it is whole: publish gives it its own. Nothing that
// is there is ever opened for writing but a part, and a part only by one program
// at a time.
type partFile struct {
	root *os.Root
	name string // the file's own
	temp string
	f    *os.File
	hash hash.Hash
	size int64 // bytes written and hashed
}

const (
	partMode   = 0o644 // before the umask; a sender's bits are not taken over
	partSuffix = ".part"
	maxStem    = 200 // bytes of a name that its part's has, so that it is not too long
)

var (
	errFileExists = errors.New("a file of that name exists")
	errNotAFile   = errors.New("what has that name is no file")
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

// newPart begins a file.
func newPart(root *os.Root, name string) (*partFile, error) {
	temp := randomPart(name)
	f, err := root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL|openLarge, partMode)
	if err != nil {
		return nil, err
	}
	lockFile(f) // ours anyway: a lock only tells the others so
	return &partFile{root: root, name: name, temp: temp, f: f, hash: sha256.New()}, nil
}

// resumePart goes on with the largest part of the file, of at most size bytes,
// that is not in use, and reads what it has. It is nil if there is none.
func resumePart(root *os.Root, name string, size int64) *partFile {
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
func claimPart(root *os.Root, name, temp string) (*partFile, error) {
	f, err := root.OpenFile(temp, os.O_RDWR|openNonblock|openLarge, 0)
	if err != nil {
		return nil, err
	}
	p := &partFile{root: root, name: name, temp: randomPart(name), f: f, hash: sha256.New()}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular() || hasLinks(info): // it may be a file that was published
		err = errPartTaken
	default:
		err = lockFile(f)
	}
	if err == nil {
		err = root.Rename(temp, p.temp)
	}
	if err == nil {
		p.size, err = io.Copy(p.hash, f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

// Write appends to the file.
func (p *partFile) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	p.hash.Write(b[:n])
	p.size += int64(n)
	return n, err
}

// reset forgets what is there.
func (p *partFile) reset() error {
	p.hash.Reset()
	p.size = 0
	if err := p.f.Truncate(0); err != nil {
		return err
	}
	_, err := p.f.Seek(0, io.SeekStart)
	return err
}

// sum is the SHA-256 of what is there, in hexadecimal digits.
func (p *partFile) sum() string { return hex.EncodeToString(p.hash.Sum(nil)) }

// discard ends the file without giving it its name; where keep, the part stays.
func (p *partFile) discard(keep bool) {
	if keep && p.size > 0 {
		p.f.Close()
		return
	}
	if runtime.GOOS == "windows" { // which does not remove what is open
		p.f.Close()
	}
	p.root.Remove(p.temp)
	p.f.Close()
}

// publish puts the file on the disk and gives it its name; one that is there
// stays, unless overwrite. After an error discard is still to be called.
func (p *partFile) publish(overwrite bool) error {
	if err := p.f.Sync(); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		p.f.Close()
	}
	if err := p.rename(overwrite); err != nil {
		return err
	}
	p.f.Close() // and with it the lock
	if dir, err := p.root.Open("."); err == nil {
		dir.Sync() // not every system can
		dir.Close()
	}
	return nil
}

func (p *partFile) rename(overwrite bool) error {
	if overwrite {
		return p.root.Rename(p.temp, p.name)
	}
	err := linkPart(p.root, p.temp, p.name)
	if err == nil {
		return p.root.Remove(p.temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return errFileExists
	}
	if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EMLINK) {
		return err
	}
	// No links here: take the name with an empty file, which only we can do, and
	// replace that.
	f, err := p.root.OpenFile(p.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, partMode)
	if errors.Is(err, fs.ErrExist) {
		return errFileExists
	}
	if err != nil {
		return err
	}
	f.Close()
	if err := p.root.Rename(p.temp, p.name); err != nil {
		p.root.Remove(p.name)
		return err
	}
	return nil
}

// linkPart is os.Root.Link but for tests of file systems without links.
var linkPart = (*os.Root).Link

// checkTarget says why a file of that name cannot be taken.
func checkTarget(root *os.Root, name string, overwrite bool) error {
	if err := checkFileName(name); err != nil {
		return err
	}
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !overwrite:
		return errFileExists
	case !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink: // a link is replaced, not followed
		return errNotAFile
	}
	return nil
}
