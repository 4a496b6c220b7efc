package httpmini

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// os.Root follows relative links that stay inside and refuses all absolute ones,
// also those to a file beside them. What an absolute link names below the root is
// found here, by names alone; it is opened through the root as ever, so a link that
// changes meanwhile leads nowhere new.

// rootNames are the absolute names of a root: as it was opened, and without links.
type rootNames struct {
	once sync.Once
	list []string
}

// maxLinks is how many links stand between a name and its file, as on Linux.
const maxLinks = 40

// stat is Root.Stat, for names behind absolute links too: real is without them.
func (f *Files) stat(name string) (real string, info fs.FileInfo, err error) {
	info, err = f.Root.Stat(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return name, info, err
	}
	if inside, ok := f.follow(name); ok && inside != name {
		if info, err := f.Root.Stat(inside); err == nil {
			return inside, info, nil
		}
	}
	if f.Outside {
		info, err = os.Stat(f.outside(name))
	}
	return name, info, err
}

// open opens what stat found.
func (f *Files) open(name string) (*os.File, error) {
	file, err := f.Root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil && f.Outside {
		return os.OpenFile(f.outside(name), os.O_RDONLY|openFlags, 0)
	}
	return file, err
}

// outside is the name for the system of what is below the root.
func (f *Files) outside(name string) string {
	return filepath.Join(f.Root.Name(), filepath.FromSlash(name))
}

// follow resolves the links of a name; ok says that all of them stay inside.
func (f *Files) follow(name string) (real string, ok bool) {
	var done []string
	todo := strings.Split(name, "/")
	for links := 0; len(todo) > 0; {
		element := todo[0]
		todo = todo[1:]
		switch element {
		case "", ".":
			continue
		case "..":
			if len(done) == 0 {
				return "", false
			}
			done = done[:len(done)-1]
			continue
		}
		done = append(done, element)
		to, err := f.Root.Readlink(strings.Join(done, "/"))
		if err != nil {
			continue // it is none
		}
		if links++; links > maxLinks {
			return "", false
		}
		done = done[:len(done)-1]
		if filepath.IsAbs(to) {
			if to, ok = f.below(to); !ok {
				return "", false
			}
			done = nil
		}
		todo = append(strings.Split(filepath.ToSlash(to), "/"), todo...)
	}
	return cmp.Or(strings.Join(done, "/"), "."), true
}

// below returns an absolute name as one below the root, if it is.
func (f *Files) below(name string) (string, bool) {
	f.names.once.Do(func() {
		if dir, err := filepath.Abs(f.Root.Name()); err == nil {
			f.names.list = append(f.names.list, dir)
			if dir, err = filepath.EvalSymlinks(dir); err == nil {
				f.names.list = append(f.names.list, dir)
			}
		}
	})
	for _, dir := range f.names.list {
		if rel, err := filepath.Rel(dir, name); err == nil && filepath.IsLocal(rel) {
			return rel, true
		}
	}
	return "", false
}
