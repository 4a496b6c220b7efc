// Package listen is what servers have in common: the flags of listeners, TLS and
// WebSocket, the opening of listeners, UDP sockets that answer from the address they
// were asked at, and the page for browsers.
//
// AddListener or AddListeners adds the flags, Open opens what they say, WebSocket's
// Server makes the server for one of them, ServeAll runs all until the end.
package listen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/rawio"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// Serving is what the flags that all servers share said. A duration of 0 means
// no limit.
type Serving struct {
	MaxConns         int   // on each listener at once; Open lowers it to what the system allows
	MaxMessage       int64 // bytes, after inflating
	MaxMemory        int64 // see Memory
	MessageTimeout   time.Duration
	IdleTimeout      time.Duration
	HandshakeTimeout time.Duration
	PingInterval     time.Duration
	PingTimeout      time.Duration
	Grace            time.Duration // for clients to end politely
	Pidfile          string
	ProxyProtocol    bool // connections begin with who they are of

	// Refuse answers a TCP or Unix connection beyond MaxConns; nil: it is just
	// closed. Bound, unless nil, takes its place and counts them. Spare is how many
	// descriptors the mode needs beside those of clients. Not set by flags.
	Refuse func(net.Conn)
	Bound  *accept.Bound
	Spare  int

	memory struct {
		sync.Once
		*wsproto.Budget
	}
}

// Memory is where messages count that are not whole yet, or inflated: MaxMemory bytes
// for those of all clients, of whatever protocol.
func (s *Serving) Memory() *wsproto.Budget {
	s.memory.Do(func() { s.memory.Budget = wsproto.NewBudget(s.MaxMemory) })
	return s.memory.Budget
}

func (s *Serving) addTo(fs *cli.Flags) {
	s.MaxConns, s.MaxMessage, s.MaxMemory, s.MessageTimeout = 1024, 16<<20, memoryForMessages(debug.SetMemoryLimit(-1), cgroupLimits...), time.Minute
	s.HandshakeTimeout, s.PingTimeout, s.Grace = 10*time.Second, 20*time.Second, 3*time.Second
	fs.Int(&s.MaxConns, "max-conns", "N", 1, 1<<24, "Serves at most N clients on each listener and turns others away.")
	fs.Size(&s.MaxMessage, "max-message", "Refuses messages of more than SIZE bytes, after inflating.")
	fs.Size(&s.MaxMemory, "max-memory", "Holds at most SIZE bytes of unfinished and inflated messages of all clients; who sends more is closed, a WebSocket with 1013.")
	fs.Duration(&s.MessageTimeout, "message-timeout", "Ends a WebSocket client whose message takes longer than D from its first byte to its last.")
	fs.Duration(&s.IdleTimeout, "idle-timeout", "Ends a client that sends nothing for D.")
	fs.Duration(&s.HandshakeTimeout, "handshake-timeout", "Ends a client whose handshake or request head takes longer than D.")
	fs.Duration(&s.PingInterval, "ping-interval", "Sends WebSocket clients a ping every D.")
	fs.Duration(&s.PingTimeout, "ping-timeout", "Ends a WebSocket client that does not answer a ping within D.")
	fs.Duration(&s.Grace, "grace", "Gives clients D to close politely when the server stops.")
	fs.Switch(&fs.Inetd, "inetd", "Serves one client, which is on stdin and stdout, and ends with it, as inetd wants it.")
	fs.Switch(&s.ProxyProtocol, "proxy-protocol", "Reads who the client is from the PROXY header, version 1 or 2, that a proxy in front sends first; ends a connection without one.")
	fs.String(&s.Pidfile, "pidfile", "FILE", "Writes the process number to FILE while the server runs.")
}

// cgroupLimits are the files with the limit of a control group, of version 2 and of 1.
var cgroupLimits = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// memoryForMessages is a quarter of what this process may have, by limit (GOMEMLIMIT)
// or by its control group, else 256 MiB. Version 1 has a number for no limit, too.
func memoryForMessages(limit int64, files ...string) int64 {
	for _, name := range files {
		if text, err := os.ReadFile(name); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
				limit = min(limit, n)
			}
		}
	}
	if limit > 1<<60 {
		return 256 << 20
	}
	return max(limit/4, 1<<20)
}

// A Listener is what the flags of a server with one listener said.
type Listener struct {
	Serving
	at endpoint
}

// AddListener adds the flags of a server with one listener. An addr of "" is all
// interfaces.
func AddListener(fs *cli.Flags, addr, port string) *Listener {
	l := &Listener{at: endpoint{host: addr, port: port}}
	fs.Group("Listening")
	addHost(fs, &l.at.host, "host", "Listens on this address, or on a Unix socket: unix:/path.")
	fs.Port(&l.at.port, "port p", false, "Listens on this port; 0 picks a free one.")
	l.addTo(fs)
	return l
}

// Listen has it listen there, whatever the flags said.
func (l *Listener) Listen(host, port string) { l.at = endpoint{host: host, port: port} }

// Listeners are what the flags of a server for TCP, UDP and WebSocket said.
type Listeners struct {
	Serving
	tcp, udp, ws endpoint
}

// AddListeners adds the flags of a server for TCP, UDP and WebSocket: addr for all
// of them ("" is all interfaces), and a port each, which may be off. Where one of
// them alone is on, -port means that one.
func AddListeners(fs *cli.Flags, addr, tcp, udp, ws string) *Listeners {
	l := &Listeners{tcp: endpoint{port: tcp}, udp: endpoint{port: udp}, ws: endpoint{port: ws}}
	host := addr
	fs.Group("Listening")
	addHost(fs, &host, "host", "Listens on this address, or for streams alone on a Unix socket: unix:/path.")
	each := []struct {
		name, title string
		at          *endpoint
	}{{"tcp", "TCP", &l.tcp}, {"udp", "UDP", &l.udp}, {"ws", "WebSocket", &l.ws}}
	for _, e := range each {
		addHost(fs, &e.at.host, e.name+"-addr", "Listens for "+e.title+" on this address.")
	}
	on := slices.DeleteFunc([]string{tcp, udp, ws}, func(port string) bool { return port == "off" })
	for _, e := range each {
		names := e.name + "-port"
		if len(on) == 1 && !e.at.off() {
			names = "port p " + names
		}
		fs.Port(&e.at.port, names, true, "Listens for "+e.title+" on this port; 0 picks a free one, off listens for none.")
	}
	fs.String(&l.udp.iface, "udp-if", "NAME", "Joins the multicast group of -udp-addr on this network interface.")
	fs.Check(func() error {
		stream := strings.HasPrefix(host, "unix:") // which is one socket, for the first stream
		for _, e := range []int{0, 2, 1} {
			e := each[e]
			if fs.Given(e.name + "-addr") {
				continue
			}
			if e.at.host = host; strings.HasPrefix(host, "unix:") && !e.at.off() {
				if !stream {
					e.at.port = "off"
				}
				stream = false
			}
		}
		return nil
	})
	l.addTo(fs)
	return l
}

// host adds a flag with an address to listen on.
func addHost(fs *cli.Flags, p *string, name, usage string) {
	def := *p
	if def == "" && name == "host" {
		def = "all interfaces"
	}
	fs.Value(p, name, "A", def, usage, parseHost)
}

// parseHost takes an IP address with or without brackets and zone, a name, or
// unix:/path; * is all interfaces.
func parseHost(s string) (string, error) {
	if strings.HasPrefix(s, "unix:") {
		if s == "unix:" {
			return "", errors.New("want unix: and a path")
		}
		return s, nil
	}
	if s == "*" {
		return "", nil
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if _, err := netip.ParseAddr(bare); err != nil && strings.ContainsAny(bare, ":/[] ") {
		return "", errors.New("want an address or a name without port, or unix:/path")
	}
	return bare, nil
}

// An endpoint is where to listen: a host as parseHost returns it, and a port.
type endpoint struct {
	host, port string
	iface      string // of a multicast group
}

func (at endpoint) off() bool { return at.port == "off" }

// network returns what package net calls the endpoint; kind is tcp or udp.
func (at endpoint) network(kind string) (network, address string) {
	if path, ok := strings.CutPrefix(at.host, "unix:"); ok {
		if kind == "udp" {
			return "unixgram", path
		}
		return "unix", path
	}
	address = net.JoinHostPort(at.host, at.port)
	if at.host == "0.0.0.0" {
		return kind + "4", address // otherwise package net takes it for all addresses of IPv6 as well
	}
	return kind, address
}

// Open listens, says so once it does, and writes the pidfile. proto is tcp, ws,
// line or http. Closing the listener also removes what it left in the file
// system.
func (l *Listener) Open(ctx context.Context, env *cli.Env, con *cli.Console, proto string, secure *TLS) (net.Listener, error) {
	o := &opener{ctx: ctx, env: env, con: con, serving: &l.Serving}
	err := o.prepare(secure, l.at)
	var ln net.Listener
	if err == nil {
		ln, err = o.stream(proto, secure, l.at)
	}
	if ln == nil && err == nil {
		err = cli.Fail(cli.ExitFailure, cli.ErrNotGiven)
	}
	if err = o.finish(err); err != nil {
		return nil, err
	}
	return &ownListener{ln, sync.OnceValue(o.close)}, nil
}

// OpenPacket is Open for datagrams: of UDP, or on a Unix socket. close closes pc.
func (l *Listener) OpenPacket(ctx context.Context, env *cli.Env, con *cli.Console) (pc net.PacketConn, close func() error, err error) {
	o := &opener{ctx: ctx, env: env, con: con, serving: &l.Serving}
	if pc, err = o.packet(l.at); pc == nil && err == nil {
		err = cli.Fail(cli.ExitFailure, cli.ErrNotGiven)
	}
	return pc, sync.OnceValue(o.close), o.finish(err)
}

type ownListener struct {
	net.Listener
	close func() error
}

func (l *ownListener) Close() error { return l.close() }

// Sockets are what a server for several protocols listens on; nil: it is off.
type Sockets struct {
	TCP net.Listener
	UDP net.PacketConn
	WS  net.Listener

	close func() error
}

// Close closes them all and removes what they left in the file system.
func (s *Sockets) Close() error { return s.close() }

// Open listens on all that is not off, says so once it does, and writes the
// pidfile. One that fails closes the others.
func (l *Listeners) Open(ctx context.Context, env *cli.Env, con *cli.Console, secure *TLS) (*Sockets, error) {
	o := &opener{ctx: ctx, env: env, con: con, serving: &l.Serving}
	s := &Sockets{close: sync.OnceValue(o.close)}
	err := o.prepare(secure, l.tcp, l.ws)
	if err == nil && !l.tcp.off() {
		s.TCP, err = o.stream("tcp", secure, l.tcp)
	}
	if err == nil && !l.udp.off() {
		s.UDP, err = o.packet(l.udp)
	}
	if err == nil && !l.ws.off() {
		s.WS, err = o.stream("ws", secure, l.ws)
	}
	switch {
	case err != nil || len(o.open) > 0:
	case env.Given != nil:
		err = cli.Fail(cli.ExitFailure, cli.ErrNotGiven)
	default:
		err = cli.Usagef("all listeners are off")
	}
	if err = o.finish(err); err != nil {
		return nil, err
	}
	return s, nil
}

// An opener opens the listeners of one server and knows how to undo it.
type opener struct {
	ctx     context.Context
	env     *cli.Env
	con     *cli.Console
	serving *Serving
	secure  *tlsconf.Config // nil: without TLS

	open []struct{ proto, addr string }
	undo []func() error
}

// prepare does what all stream listeners, those that are not off, have in common.
func (o *opener) prepare(secure *TLS, streams ...endpoint) (err error) {
	streams = slices.DeleteFunc(streams, endpoint.off)
	o.shareDescriptors(len(streams))
	if secure.Enabled() {
		if o.secure, err = secure.config(o.serving.HandshakeTimeout, streams); err == nil {
			o.secure.AddKeyLog(o.con.KeyLog())
		}
	}
	return err
}

// Spare is how many descriptors are not for clients: files, listeners, standard
// streams, what the system's libraries hold.
const Spare = 64

// shareDescriptors lowers MaxConns to what each of n listeners can have open.
func (o *opener) shareDescriptors(n int) {
	if o.env.Descriptors == 0 || n == 0 {
		return
	}
	free := max(o.env.Descriptors-Spare, o.env.Descriptors/2)
	if o.serving.Spare > 0 {
		free = max(free-o.serving.Spare, o.env.Descriptors/8)
	}
	if most := max(free/n, 1); o.serving.MaxConns > most {
		o.serving.MaxConns = most
		o.con.Status("at most %d clients on each listener: only %d files may be open", most, o.env.Descriptors)
	}
}

// finish says where the server listens, or closes all after an error.
func (o *opener) finish(err error) error {
	if n := o.env.Given.Left(); n > 0 && err == nil {
		err = cli.Fail(cli.ExitFailure, fmt.Errorf("%s given by LISTEN_FDS that nothing here listens on", cli.Plural(int64(n), "socket")))
	}
	if err == nil && o.serving.Pidfile != "" {
		var remove func() error
		if remove, err = cli.WritePidfile(o.serving.Pidfile); err == nil {
			o.undo = append(o.undo, remove)
		}
	}
	if err != nil {
		o.close()
		return err
	}
	if o.secure != nil {
		for _, note := range o.secure.Notes() {
			o.con.Status("%s", note)
		}
		if own := o.secure.Fingerprint(); own != "" {
			o.con.Status("certificate %s", own)
		}
	}
	for _, at := range o.open {
		o.con.Listening(at.proto, at.addr)
	}
	return nil
}

func (o *opener) close() (err error) {
	for _, undo := range slices.Backward(o.undo) {
		err = errors.Join(err, undo())
	}
	return err
}

// notGiven tells that the process was started with sockets, and none for proto.
func (o *opener) notGiven(proto string, err error) bool {
	if !errors.Is(err, cli.ErrNotGiven) {
		return false
	}
	o.con.Detail("%s: %v", proto, err)
	return true
}

// stream opens a listener for connections, nil where others were given and none for it.
// Those of WebSocket are counted by wsproto.Server, which can answer the ones too many
// in HTTP.
func (o *opener) stream(proto string, secure *TLS, at endpoint) (net.Listener, error) {
	network, address := at.network("tcp")
	ln, err := o.env.Listen(o.ctx, network, address)
	if errors.Is(err, syscall.EADDRINUSE) && o.removeStale(network, address) {
		ln, err = o.env.Listen(o.ctx, network, address)
	}
	switch {
	case o.notGiven(proto, err):
		return nil, nil
	case err != nil:
		return nil, cli.Fail(listenCode(err), err)
	}
	if proto == "http" {
		accept.Deferred(ln)
		if o.secure == nil {
			ln = rawio.Early(ln)
		}
	}
	o.opened(secure.Proto(proto), ln.Addr(), ln.Close)
	if o.serving.ProxyProtocol {
		ln = accept.Named(o.bounded(proto, ln), cmp.Or(o.serving.HandshakeTimeout, tlsconf.HandshakeTimeout), o.con.Error)
		o.undo = append(o.undo, ln.Close)
	} else if proto != "ws" {
		ln = o.bounded(proto, ln)
	}
	if o.secure != nil {
		ln = o.secure.Listen(ln)
	}
	return ln, nil
}

// Full has con say that there are too many clients.
func Full(con *cli.Console) func() { return func() { con.Error(errFull) } }

var errFull = errors.New("as many clients as -max-conns allows, more are turned away")

// bounded bounds how many connections of ln are open.
func (o *opener) bounded(proto string, ln net.Listener) net.Listener {
	b := cmp.Or(o.serving.Bound, &accept.Bound{Refuse: o.serving.Refuse, Full: Full(o.con)})
	if proto == "ws" { // whose server has those two
		b = &accept.Bound{}
	}
	b.Max = o.serving.MaxConns
	return b.Listen(ln)
}

func (o *opener) packet(at endpoint) (net.PacketConn, error) {
	network, address := at.network("udp")
	pc, err := o.group(network, at)
	switch {
	case pc != nil:
		pc = o.con.Packets(pc)
	case err == nil:
		pc, err = o.env.ListenPacket(o.ctx, network, address)
	}
	if errors.Is(err, syscall.EADDRINUSE) && o.removeStale(network, address) {
		pc, err = o.env.ListenPacket(o.ctx, network, address)
	}
	switch {
	case o.notGiven("udp", err):
		return nil, nil
	case err != nil:
		return nil, cli.Fail(listenCode(err), err)
	}
	o.opened("udp", pc.LocalAddr(), pc.Close)
	if network == "unixgram" && o.env.Given == nil { // whose file package net leaves
		o.undo = append(o.undo, func() error { return os.Remove(address) })
	}
	return pc, nil
}

// group joins the multicast group that at is the address of; nil: it is none.
func (o *opener) group(network string, at endpoint) (net.PacketConn, error) {
	ip, err := netip.ParseAddr(at.host)
	if err != nil || !ip.IsMulticast() || !strings.HasPrefix(network, "udp") {
		return nil, nil
	}
	var from *net.Interface // nil: the system chooses
	name := cmp.Or(at.iface, ip.Zone())
	if name != "" {
		if from, err = net.InterfaceByName(name); err != nil {
			return nil, cli.Usagef("-udp-if %q: %v", name, cli.ErrorText(err))
		}
	}
	port, _ := strconv.Atoi(at.port)
	conn, err := net.ListenMulticastUDP("udp", from, &net.UDPAddr{IP: ip.WithZone("").AsSlice(), Port: port, Zone: name})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// listenCode keeps errors of listening apart from those of dialing, except for
// names.
func listenCode(err error) int {
	if code := cli.ExitCode(err); code == cli.ExitName {
		return code
	}
	return cli.ExitFailure
}

func (o *opener) opened(proto string, addr net.Addr, undo func() error) {
	text := addr.String()
	if strings.HasPrefix(addr.Network(), "unix") {
		text = "unix:" + text
	}
	o.open = append(o.open, struct{ proto, addr string }{proto, text})
	o.undo = append(o.undo, func() error {
		err := undo()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		return err
	})
}

const staleTimeout = time.Second

// removeStale removes a Unix socket that nobody answers on, and says whether it
// did.
func (o *opener) removeStale(network, path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	ctx, cancel := context.WithTimeout(o.ctx, staleTimeout)
	defer cancel()
	conn, err := o.env.Dial(ctx, network, path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
}
