package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"socketsrv/httpmini"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

func opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Err: err}
}

func answered(status int) error {
	return &wsproto.HandshakeError{Status: status, Response: &httpmini.Response{Status: status}, Err: errors.New("x")}
}

var errorCodes = []struct {
	err  error
	want int
}{
	{nil, 0},
	{errors.New("anything"), 1},
	{&fs.PathError{Op: "open", Path: "f", Err: syscall.ENOENT}, 1},
	{&fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}, 1}, // a file is not the peer
	{Usagef("x"), 2},
	{&net.DNSError{Err: "no such host", Name: "h", IsNotFound: true}, 6},
	{opError("dial", &net.DNSError{Err: "no such host", Name: "h"}), 6},
	{&net.DNSError{Err: "i/o timeout", IsTimeout: true}, 28},
	{opError("dial", os.NewSyscallError("connect", syscall.ECONNREFUSED)), 7},
	{opError("dial", os.NewSyscallError("connect", syscall.EHOSTUNREACH)), 7},
	{opError("dial", os.NewSyscallError("connect", syscall.ETIMEDOUT)), 28},
	{opError("dial", os.ErrDeadlineExceeded), 28},
	{opError("read", os.ErrDeadlineExceeded), 28},
	{opError("read", syscall.ECONNRESET), 56},
	{opError("write", syscall.EPIPE), 55},
	{opError("accept", syscall.EMFILE), 1},
	{context.DeadlineExceeded, 28},
	{context.Canceled, 1},
	{io.EOF, 52},
	{io.ErrUnexpectedEOF, 56},
	{&wsproto.CloseError{Code: 1000}, 0},
	{&wsproto.CloseError{Code: 1001}, 0},
	{&wsproto.CloseError{Code: 1005}, 0},
	{&wsproto.CloseError{Code: 1011}, 9},
	{&wsproto.CloseError{Code: 4001, Reason: "Permission denied"}, 9},
	{&wsproto.ProtocolError{Code: 1002, Err: wsproto.ErrMasking}, 11},
	{&wsproto.ProtocolError{Code: 1009, Err: wsproto.ErrMessageTooBig}, 63},
	{wsproto.ErrMessageCut, 56},
	{wsproto.ErrPongTimeout, 28},
	{answered(401), 22},
	{answered(302), 22},
	{answered(101), 11}, // an upgrade that breaks the rules
	{&wsproto.HandshakeError{Err: opError("read", syscall.ECONNRESET)}, 56},
	{&wsproto.HandshakeError{Err: context.DeadlineExceeded}, 28},
	{&httpmini.Error{Status: 502, Err: errors.New("x")}, 11},
	{tlsconf.ErrTLS, 35},
	{tlsconf.ErrCertificate, 60},
	{&Failure{ExitExpect, nil}, 10},
	{&Failure{ExitRead, io.EOF}, 26},
}

func TestExitCode(t *testing.T) {
	for _, tt := range errorCodes {
		for _, err := range []error{tt.err, fmt.Errorf("connect ws://h: %w", tt.err)} {
			if tt.err == nil {
				err = nil
			}
			if got := ExitCode(err); got != tt.want {
				t.Errorf("ExitCode(%T %v) = %d; want %d", tt.err, err, got, tt.want)
			}
		}
	}
}

func TestExitCodesAreListed(t *testing.T) {
	listed := map[int]bool{}
	for _, c := range exitCodes {
		if listed[c.Code] {
			t.Errorf("%d is listed twice", c.Code)
		}
		listed[c.Code] = true
	}
	for _, class := range classes {
		if !listed[class.code] {
			t.Errorf("%d is not listed", class.code)
		}
	}
}

func TestErrorLine(t *testing.T) {
	listen := &net.OpError{Op: "listen", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1234}}
	listen.Err = os.NewSyscallError("bind", syscall.EADDRINUSE)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{listen, "listen tcp 127.0.0.1:1234: address already in use"},
		{errors.New("a\nb\x1b[2J\u202e"), `a\nb\x1b[2J\u202e`},
		{Usagef("-x %q: want", "\x1b"), `-x "\x1b": want`}, // quoted once
		{Usagef("raw \x1b"), `raw \x1b`},
	} {
		if got := ErrorLine(tt.err); got != tt.want {
			t.Errorf("errorLine(%q) = %s; want %s", tt.err, got, tt.want)
		}
	}
	if got := ErrorLine(errors.New(strings.Repeat("x", 5000))); len(got) > 1000 || !strings.HasSuffix(got, "…(+4200)") {
		t.Errorf("a line of %d bytes, ending in %s", len(got), got[len(got)-20:])
	}
}
