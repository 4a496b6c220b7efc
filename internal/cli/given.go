package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/event"
)

// A Given has the sockets that the process was started with, by systemd or by inetd.
// They are listened on in place of those that flags name, in the order that they come
// in, each for the first listener that it fits.
type Given struct {
	files []*os.File
	conn  net.Conn // of inetd
}

// ErrNotGiven says that none of the sockets that were given is for a listener.
var ErrNotGiven = errors.New("no socket was given for it")

// givenBySystemd returns the sockets of sd_listen_fds(3), nil where there are none. The
// programs that we start are not told of them.
func givenBySystemd() *Given {
	pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID"))
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if pid != os.Getpid() || n <= 0 || n > 1<<10 {
		return nil
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	g := new(Given)
	for fd := range n {
		g.files = append(g.files, os.NewFile(uintptr(3+fd), fmt.Sprintf("socket %d of LISTEN_FDS", fd+1)))
	}
	return g
}

// use has env listen on nothing but what is given.
func (g *Given) use(env *Env) {
	env.Given, env.Listen, env.ListenPacket = g, g.listen, g.listenPacket
}

// Left is how many were given and are not listened on.
func (g *Given) Left() int {
	if g == nil {
		return 0
	}
	return len(g.files)
}

func (g *Given) listen(context.Context, string, string) (net.Listener, error) {
	if g.conn != nil {
		ln := accept.One(g.conn)
		g.conn = nil
		return ln, nil
	}
	for i, f := range g.files {
		if c, err := net.FileConn(f); err == nil {
			if c.RemoteAddr() != nil && c.LocalAddr().Network() != "udp" { // Accept=yes
				g.took(i)
				return accept.One(c), nil
			}
			c.Close()
		}
		ln, err := net.FileListener(f)
		if err == nil {
			g.took(i)
			return ln, nil
		}
	}
	return nil, ErrNotGiven
}

func (g *Given) listenPacket(context.Context, string, string) (net.PacketConn, error) {
	for i, f := range g.files {
		if pc, err := net.FilePacketConn(f); err == nil {
			g.took(i)
			return pc, nil
		}
	}
	return nil, ErrNotGiven
}

// took closes a file that has been made a socket.
func (g *Given) took(i int) {
	g.files[i].Close()
	g.files = append(g.files[:i:i], g.files[i+1:]...)
}

// onStdin makes stdin and stdout the one connection that env listens for: a socket, as
// inetd has it, or two pipes. What else would go to stdout goes to stderr, and where
// that is the connection as well, nowhere.
func (env *Env) onStdin() {
	in, isFile := env.Stdin.(*os.File)
	var conn net.Conn
	if isFile && isSocket(in) {
		conn, _ = net.FileConn(in)
	}
	if conn == nil {
		conn = Stdio(env.Stdin, env.Stdout)
	}
	(&Given{conn: conn}).use(env)
	if isFile && sameFile(in, env.Stderr) {
		env.Stderr = io.Discard
	}
	env.Stdin, env.Stdout = strings.NewReader(""), env.Stderr
	env.TTYIn, env.TTYOut = nil, nil
}

// isSocket is asked before FileConn, which has every file not block, and leaves those so
// that are no socket: a read of a pipe would fail where nothing has come yet.
func isSocket(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeSocket != 0
}

// sameFile tells whether w writes to what f is.
func sameFile(f *os.File, w io.Writer) bool {
	if s, ok := w.(*event.Stream); ok {
		w = s.Unwrap()
	}
	other, ok := w.(*os.File)
	if !ok {
		return false
	}
	a, err := f.Stat()
	b, err2 := other.Stat()
	return err == nil && err2 == nil && os.SameFile(a, b)
}

// Stdio makes a connection of what is read from in and written to out. Its end of
// the stream closes out, where that is a file. Who reads in cannot be ended, and is
// left behind.
func Stdio(in io.Reader, out io.Writer) net.Conn {
	ours, theirs := net.Pipe()
	go func() {
		io.Copy(theirs, in)
		theirs.Close()
	}()
	return &stdio{Conn: ours, out: out}
}

type stdio struct {
	net.Conn // brings stdin
	out      io.Writer
	once     sync.Once
}

func (s *stdio) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *stdio) SetDeadline(t time.Time) error    { return s.SetReadDeadline(t) }
func (s *stdio) SetWriteDeadline(time.Time) error { return nil }
func (s *stdio) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "stdin", Net: "unix"} }
func (s *stdio) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "@", Net: "unix"} }

// CloseWrite closes stdout, so that who reads it knows.
func (s *stdio) CloseWrite() (err error) {
	s.once.Do(func() {
		out, ok := s.out.(*event.Stream)
		if !ok {
			return
		}
		err = out.Flush(WriteStall)
		if f, ok := out.Unwrap().(*os.File); ok {
			err = errors.Join(err, f.Close())
		}
	})
	return err
}
