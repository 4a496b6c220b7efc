//go:build unix

package linesrv

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// Serve goes on after errors of Accept that pass, and says so.
func TestAcceptErrors(t *testing.T) {
	var logged []error
	server := &Server{OneAtATime: true, ErrorLog: func(err error) { logged = append(logged, err) }}
	ln := listen(t)
	addr := start(t, server, &faultyListener{Listener: ln, faults: 2})
	wantPong(t, addr)
	server.Close()
	if len(logged) != 1 {
		t.Errorf("logged %v", logged)
	}
}

type faultyListener struct {
	net.Listener
	faults int
}

func (l *faultyListener) Accept() (net.Conn, error) {
	if l.faults--; l.faults >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// What cannot be asked is not watched.
func TestLostFunc(t *testing.T) {
	pipe, _ := net.Pipe()
	if lostFunc(pipe) != nil {
		t.Error("a pipe is watched")
	}
}
