package wsproto

import (
	"os"
	"sync"
	"syscall"
)

// A lot is where the connections wait that nobody waits with: an epoll instance
// of the server's own, and one goroutine that starts another for each connection
// with something to read. The zero value is an empty lot.
type lot struct {
	mu     sync.Mutex
	file   *os.File // the epoll instance; nil before the first user and after close
	ep     int      // its descriptor
	failed bool     // there is none to be had
	users  []*User  // by descriptor; nil where none is parked
	over   chan struct{}
}

// wakeEvents ask for one report, of input or of the end of the stream.
const wakeEvents = syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT

// open makes u known to the lot; false if it cannot be parked.
func (l *lot) open(u *User) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil && !l.failed {
		l.failed = !l.begin()
	}
	if l.failed {
		return false
	}
	u.conn.raw.Control(func(fd uintptr) { u.fd = int(fd) })
	event := syscall.EpollEvent{Events: syscall.EPOLLONESHOT, Fd: int32(u.fd)}
	if syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_ADD, u.fd, &event) != nil {
		return false
	}
	u.known = true
	u.conn.wake = func() { l.unpark(u) }
	return true
}

// begin makes the epoll instance. It is waited for as for any descriptor, by the
// runtime, so that no thread is spent on it.
func (l *lot) begin() bool {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return false
	}
	l.file, l.ep = os.NewFile(uintptr(fd), "epoll"), fd
	l.over = make(chan struct{})
	go l.run(l.file, l.over)
	return true
}

// park leaves u to the lot; false if that cannot be.
func (l *lot) park(u *User) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || u.conn.dead.Load() != nil {
		return false
	}
	event := syscall.EpollEvent{Events: wakeEvents, Fd: int32(u.fd)}
	if syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_MOD, u.fd, &event) != nil {
		return false
	}
	if n := u.fd + 1 - len(l.users); n > 0 {
		l.users = append(l.users, make([]*User, n)...)
	}
	l.users[u.fd] = u
	return true
}

// unpark starts a goroutine for u if it is parked.
func (l *lot) unpark(u *User) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u.fd < len(l.users) && l.users[u.fd] == u {
		l.users[u.fd] = nil
		go u.serve()
	}
}

// run starts the goroutines for what epoll reports, until the file is closed.
func (l *lot) run(file *os.File, over chan struct{}) {
	defer close(over)
	raw, err := file.SyscallConn()
	if err != nil {
		return
	}
	events := make([]syscall.EpollEvent, 128)
	n := 0
	wait := func(fd uintptr) bool {
		for {
			if n, err = syscall.EpollWait(int(fd), events, 0); err != syscall.EINTR {
				return n > 0
			}
		}
	}
	for raw.Read(wait) == nil {
		l.mu.Lock()
		for _, e := range events[:n] {
			if fd := int(e.Fd); fd < len(l.users) && l.users[fd] != nil {
				go l.users[fd].serve()
				l.users[fd] = nil
			}
		}
		l.mu.Unlock()
	}
}

// close ends the lot, in which nobody is any more.
func (l *lot) close() {
	l.mu.Lock()
	file := l.file
	l.file, l.users = nil, nil
	l.mu.Unlock()
	if file != nil {
		file.Close()
		<-l.over
	}
}
