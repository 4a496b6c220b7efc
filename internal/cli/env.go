package cli

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"socketsrv/internal/term"
)

// Env is all that a mode sees of the world outside.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer // safe for concurrent use

	Listen       func(ctx context.Context, network, address string) (net.Listener, error)
	ListenPacket func(ctx context.Context, network, address string) (net.PacketConn, error)
	Dial         func(ctx context.Context, network, address string) (net.Conn, error)
	Lookup       func(ctx context.Context, host string) ([]netip.Addr, error)

	Now    func() time.Time
	Getenv func(name string) string

	TTYIn, TTYOut, TTYErr *os.File // what the three are where they are terminals, else nil

	Signals     <-chan os.Signal // nil: none come; see the function of that name
	SameSignal  time.Duration    // one that comes so soon after the first is no second: timeout(1) sends each twice, to its child and to its group
	OnCut       func(do func())  // has do called when a second signal ends the process, and given half a second; set by Run
	Exit        func(code int)   // ends the process at once
	Descriptors int              // how many may be open; 0: nobody knows

	Given  *Given          // sockets that the process was started with; nil: none
	opened **Console       // of the mode that runs, also where Env is a copy
	ended  <-chan struct{} // closed when the program is to end; nil: nobody says
	Modes  Table           // of the program that runs
	Topics []Topic         // what its -help has beside modes

	// Reports begins to catch the signal that asks a server how things stand,
	// SIGUSR1 where the system has it; stop ends that.
	Reports func() (asked <-chan os.Signal, stop func())
}

// Signals catches SIGINT, SIGTERM and SIGHUP, which tells that the terminal is lost:
// they come out of the channel it returns. Where SIGHUP was ignored, as below nohup, it
// stays so.
// From then on a write to a closed pipe is an error in place of a death.
func Signals() <-chan os.Signal {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	// Asked for and never looked at: an ignored SIGPIPE would be inherited by
	// the programs that -exec starts, this is not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return signals
}

// System is the Env of a real process, without its signals.
func System() *Env {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // what listens here is to be plain TCP to who looks at it
	keepAlive(&lc)
	env := &Env{
		Stdin:        os.Stdin,
		Stdout:       os.Stdout,
		Stderr:       os.Stderr,
		Listen:       lc.Listen,
		ListenPacket: lc.ListenPacket,
		Dial:         new(net.Dialer).DialContext,
		Lookup:       Lookup,
		Now:          time.Now,
		Getenv:       os.Getenv,
		TTYIn:        ifTerminal(os.Stdin),
		TTYOut:       ifTerminal(os.Stdout),
		TTYErr:       ifTerminal(os.Stderr),
		Exit:         os.Exit,
		Descriptors:  descriptors(),
		Reports:      reportSignals,
	}
	if given := givenBySystemd(); given != nil {
		given.use(env)
	}
	return env
}

// Lookup asks the system, but for localhost and the names below it, which are
// loopback everywhere (RFC 6761 §6.3), also where nobody could be asked.
func Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	name := "." + strings.ToLower(strings.TrimSuffix(host, "."))
	if strings.HasSuffix(name, ".localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func ifTerminal(f *os.File) *os.File {
	if term.IsTerminal(f) {
		return f
	}
	return nil
}
