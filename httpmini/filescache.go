package httpmini

import (
	"sync"
	"time"
)

// Small files are kept in memory, so that an answer costs one stat in place of
// opening, looking, reading and closing; of larger ones the fields of an answer are. The stat goes the whole way of the name
// through the root each time, and what is kept counts only if it finds the same
// file, unchanged: device, inode, size, time of the last write and of the last
// change of any kind, which no program can set back. A file that was changed so
// lately that another change may get the same time is not kept. (What a program
// writes by mmap has no time before the system notes it: then it shows late here,
// as it does in ETag and Last-Modified.)
const (
	maxCached  = 64 << 10 // bytes of a file
	cacheFiles = 128
)

// settling is more than a tick of any clock that files are stamped by. It is a
// variable for tests.
var settling = 2 * time.Second

// A stamp tells a state of a file from all others.
type stamp struct {
	device, inode    uint64
	size             int64
	written, changed int64 // ns since 1970
}

// settled says whether a change from now on would have another stamp.
func (s stamp) settled(now time.Time) bool {
	return now.UnixNano()-max(s.written, s.changed) > int64(settling)
}

// A fileCache holds what was read lately. The zero value is empty.
type fileCache struct {
	mu    sync.RWMutex
	files map[string]cached
}

type cached struct {
	mark stamp
	rep  *representation
}

// get returns what is kept of the file that has that name and stamp now, or nil.
func (c *fileCache) get(name string, mark stamp) *representation {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if kept, ok := c.files[name]; ok && kept.mark == mark {
		return kept.rep
	}
	return nil
}

// put keeps rep; any other makes room for it.
func (c *fileCache) put(rep *representation, mark stamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files == nil {
		c.files = make(map[string]cached)
	}
	if len(c.files) >= cacheFiles {
		for name := range c.files {
			delete(c.files, name)
			break
		}
	}
	c.files[rep.name] = cached{mark, rep}
}
