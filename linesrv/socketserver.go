package linesrv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"time"

	"socketsrv/internal/accept"
)

// A SocketServer gives each client a Socket and a goroutine. The zero value sends
// every message back. Fields are not changed once Serve was called.
type SocketServer struct {
	// Handler serves one client; the connection is closed when it returns. Its error,
	// or a *PanicError, goes to OnDisconnect and ends nobody else. nil is EchoHandler.
	Handler func(s *Socket) error
	Options SocketOptions // of each Socket

	OnConnect    func(s *Socket)
	OnDisconnect func(s *Socket, reason error) // after OnConnect, once; io.EOF where Handler returned nil
	ErrorLog     func(error)                   // told of errors of Accept that pass, once for each spell

	crew accept.Table
}

// EchoHandler sends every message back until the client ends the connection.
func EchoHandler(s *Socket) error {
	for {
		p, err := s.Receive(0)
		if err != nil {
			return err
		}
		if err := s.Send(p); err != nil {
			return err
		}
	}
}

// Serve serves the connections of ln until Shutdown, Close, or the end of ln, and
// returns when all of them are done: nil, or the error that broke ln. It may be
// called for several listeners. It closes ln. A stopped server stays so:
// ErrServerClosed.
func (s *SocketServer) Serve(ln net.Listener) error {
	return serve(&s.crew, ln, s.serveConn, s.ErrorLog)
}

// Shutdown closes the listeners and makes every Receive that waits, or has to,
// return ErrShutdown. It returns when Serve has nothing left to do. When ctx ends
// before that, Shutdown does what Close does and returns the error of ctx. Not to be
// called by a handler, which it would wait for.
func (s *SocketServer) Shutdown(ctx context.Context) error { return s.crew.Shutdown(ctx) }

// Close makes every Receive and Send return now. It does not wait for handlers;
// Serve does. The error is nil.
func (s *SocketServer) Close() error {
	s.crew.Kill()
	return nil
}

func (s *SocketServer) serveConn(nc net.Conn) {
	sock := NewSocket(nc, s.Options)
	defer s.crew.Remove(&sock.nc) // at the end: Shutdown waits for it
	defer nc.Close()
	id, ok := s.crew.Add(&sock.nc)
	if !ok {
		return
	}
	sock.id = id
	if s.OnConnect != nil {
		s.OnConnect(sock)
	}
	reason := s.call(sock)
	if s.OnDisconnect != nil {
		s.OnDisconnect(sock, reason)
	}
	sock.linger()
}

func (s *SocketServer) call(sock *Socket) (reason error) {
	defer func() {
		if v := recover(); v != nil {
			reason = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	handle := s.Handler
	if handle == nil {
		handle = EchoHandler
	}
	if err := handle(sock); err != nil {
		return err
	}
	return io.EOF
}

// linger reads what the peer still sends: closing over it would be a reset, which
// can take the last messages from the peer.
func (s *Socket) linger() {
	s.mu.Lock()
	broken := s.writeErr != nil
	s.mu.Unlock()
	if broken || s.readErr != nil && !errors.Is(s.readErr, ErrMessageTooLong) {
		return
	}
	s.nc.SetDeadline(time.Now().Add(lingerTime))
	if s.nc.Killed() == nil { // looked at after its deadline may have been replaced
		drain(s.nc.Conn, make([]byte, socketBuffer))
	}
}

const selfTestText = "If you can read this, linesrv's message sockets work."

// SelfTest runs a SocketServer and a Socket against each other on port 0 of the
// loopback interface, and returns a text that has been there and back. It takes 3 s
// at the most.
func SelfTest(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultClientTimeout)
	defer cancel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		if ln, err = net.Listen("tcp", "[::1]:0"); err != nil {
			return "", err
		}
	}
	var server SocketServer
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	text, err := selfTest(ctx, ln.Addr().String())
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	server.Close()
	if err2 := <-served; err == nil {
		err = err2
	}
	return text, err
}

// selfTest sends an empty message, the text, and one that takes many packets.
func selfTest(ctx context.Context, addr string) (string, error) {
	s, err := DialSocket(ctx, addr, SocketOptions{})
	if err != nil {
		return "", err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, s.nc.Kill)()
	var text string
	for _, want := range []string{"", string(make([]byte, 1<<20)), selfTestText} {
		if err := s.Send([]byte(want)); err != nil {
			return "", err
		}
		got, err := s.Receive(0)
		if err != nil {
			return "", err
		}
		if text = string(got); text != want {
			return "", fmt.Errorf("a message of %d bytes came back as another one of %d", len(want), len(text))
		}
	}
	return text, nil
}
