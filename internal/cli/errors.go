package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"socketsrv/httpmini"
	"socketsrv/internal/event"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// The exit codes. Those between 6 and 63 that curl has mean what they mean there.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitName        = 6
	ExitConnect     = 7
	ExitPeerClosed  = 9
	ExitExpect      = 10
	ExitProtocol    = 11
	ExitPartial     = 18
	ExitRefused     = 22
	ExitWrite       = 23
	ExitRead        = 26
	ExitTimeout     = 28
	ExitTLS         = 35
	ExitRedirects   = 47
	ExitEmpty       = 52
	ExitSend        = 55
	ExitReceive     = 56
	ExitCertificate = 60
	ExitTooLarge    = 63
	ExitSignal      = 128 // plus the number of the signal
)

// An Exit is an exit code and what it means.
type Exit struct {
	Code    int
	Meaning string
}

// exits is the table of the program: the codes of all modes in their order, and
// those that a mode has for itself.
func (t Table) exits() []Exit {
	all := slices.Clone(exitCodes)
	for _, m := range t {
		for _, e := range m.Exits {
			all = append(all, Exit{e.Code, m.Name + ": " + e.Meaning})
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Code < all[j].Code })
	return all
}

// exitCodes is the table that -help exit-codes and the man page print.
var exitCodes = []Exit{
	{ExitOK, "done; a server stopped by a signal"},
	{ExitFailure, "any other failure"},
	{ExitUsage, "wrong usage"},
	{ExitName, "name not resolved"},
	{ExitConnect, "connection refused or unreachable"},
	{ExitPeerClosed, "the peer closed with a code other than 1000, 1001 or none"},
	{ExitExpect, "an expectation was not met (-expect, -count)"},
	{ExitProtocol, "the peer broke the protocol"},
	{ExitPartial, "a body shorter than promised"},
	{ExitRefused, "HTTP status 400 or more with -f; a refused WebSocket handshake"},
	{ExitWrite, "cannot write the output"},
	{ExitRead, "cannot read the input"},
	{ExitTimeout, "timed out"},
	{ExitTLS, "TLS failed"},
	{ExitRedirects, "too many redirects"},
	{ExitEmpty, "empty reply"},
	{ExitSend, "send failed"},
	{ExitReceive, "receive failed"},
	{ExitCertificate, "certificate not trusted"},
	{ExitTooLarge, "too large"},
	{ExitSignal + int(syscall.SIGINT), "a client cut short by SIGINT"},
	{ExitSignal + int(syscall.SIGTERM), "a client cut short by SIGTERM"},
}

// A Failure is an error that says what the program exits with. Err is what is
// printed; nil means that the mode has said all there is to say.
type Failure struct {
	Code int
	Err  error
}

// Fail makes a Failure.
func Fail(code int, err error) error { return &Failure{code, err} }

func (f *Failure) Error() string {
	if f.Err == nil {
		return fmt.Sprintf("exit code %d", f.Code)
	}
	return f.Err.Error()
}

func (f *Failure) Unwrap() error { return f.Err }

// A UsageError is a mistake on the command line: one line that says what was
// wrong and what would be right.
type UsageError struct {
	Text string
	help string // the command that prints help
	err  error  // what it wraps
}

func (e *UsageError) Error() string { return e.Text }
func (e *UsageError) Unwrap() error { return e.err }

// Usagef makes a UsageError, which wraps what %w stands for. Words of the user belong
// in %q: they may hold anything.
func Usagef(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &UsageError{Text: err.Error(), err: errors.Unwrap(err)}
}

// ExitCode says what the program exits with after err. This is the one place
// where errors become exit codes.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Code
	}
	for _, class := range classes {
		if class.holds(err) {
			return class.code
		}
	}
	if e, ok := errors.AsType[*wsproto.CloseError](err); ok {
		return CloseCode(e.Code)
	}
	return ExitFailure
}

// CloseCode is the exit code for a closing code of the peer's.
func CloseCode(code wsproto.StatusCode) int {
	switch code {
	case wsproto.StatusNormalClosure, wsproto.StatusGoingAway, wsproto.StatusNoStatusReceived:
		return ExitOK
	}
	return ExitPeerClosed
}

// classes is looked through from the top: a time-out while dialing is a time-out.
var classes = []struct {
	code  int
	holds func(error) bool
}{
	{ExitUsage, As[*UsageError]},
	{ExitCertificate, Is(tlsconf.ErrCertificate)},
	{ExitTimeout, IsTimeout},
	{ExitTimeout, Is(wsproto.ErrPongTimeout, wsproto.ErrCloseTimeout, wsproto.ErrIdleTimeout)},
	{ExitTLS, Is(tlsconf.ErrTLS)},
	{ExitName, As[*net.DNSError]},
	{ExitConnect, duringOp("dial")},
	{ExitTooLarge, Is(wsproto.ErrMessageTooBig)},
	{ExitReceive, Is(wsproto.ErrMessageCut)},
	{ExitProtocol, As[*wsproto.ProtocolError]},
	{ExitProtocol, isBadAnswer},
	{ExitRefused, IsRefusal},
	{ExitProtocol, As[*httpmini.Error]},
	{ExitSend, duringOp("write")},
	{ExitReceive, duringOp("read")},
	{ExitReceive, Is(io.ErrUnexpectedEOF)},
	{ExitEmpty, Is(io.EOF)},
}

func As[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func Is(targets ...error) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
}

// IsRefusal says whether a server answered a handshake with something else than 101.
func IsRefusal(err error) bool {
	e, ok := errors.AsType[*wsproto.HandshakeError](err)
	return ok && e.Response != nil && e.Response.Status != 101
}

// isBadAnswer says whether it answered with a 101 that breaks the rules.
func isBadAnswer(err error) bool {
	e, ok := errors.AsType[*wsproto.HandshakeError](err)
	return ok && e.Response != nil && e.Response.Status == 101
}

func IsTimeout(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && e.Timeout()
}

// duringOp tells the errors of a network operation from those of a file, which
// has an Op too.
func duringOp(op string) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*net.OpError](err)
		return ok && e.Op == op
	}
}

const MaxErrorLine = 800 // bytes; the whole of what is printed stays below 1 KiB

// ErrorLine is err in one line that is safe for a terminal.
func ErrorLine(err error) string {
	text := ErrorText(err)
	if As[*UsageError](err) && strings.IndexFunc(text, Unprintable) < 0 {
		return Clip(text, MaxErrorLine) // what came from outside is quoted already
	}
	return string(event.AppendCut(nil, text, MaxErrorLine))
}

// ErrorText is the text of err without system calls: "listen tcp 127.0.0.1:80:
// permission denied" says it all.
func ErrorText(err error) string {
	text := err.Error()
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		text = strings.Replace(text, call.Syscall+": ", "", 1)
	}
	return text
}

func Unprintable(r rune) bool { return !strconv.IsPrint(r) }
