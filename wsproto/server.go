package wsproto

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
)

// DefaultQueue is how many bytes may wait for a user that does not read.
const DefaultQueue = 1 << 20

// A Server accepts WebSocket connections and calls handlers for what happens on
// them. The handlers of one user are called one after another, those of
// different users at the same time; a handler that blocks holds up its user only,
// one that panics ends it. The zero value with an OnMessage works. The fields must
// not be changed once Serve or ServeExchange was called.
type Server struct {
	// OnHandshake may refuse a handshake that Answer would accept: its error is
	// answered with 403, or with the Status of a *HandshakeError.
	OnHandshake func(req *httpmini.Request, remote net.Addr) error
	// OnRefuse hears of each handshake that was refused, after the answer to it, and
	// what for.
	OnRefuse func(x *httpmini.Exchange, err error)
	// OnBadRequest hears of what no handshake could be read from: see httpmini.Server.
	OnBadRequest func(peer net.Addr, raw string, err error)
	// OnConnect comes first for each user, OnDisconnect last, with an error as
	// Conn.ReadMessage returns it. Each is called once.
	OnConnect    func(u *User, req *httpmini.Request)
	OnMessage    func(u *User, m Message)
	OnDisconnect func(u *User, err error)
	// OnPause comes when all messages that were read have been handled, before more
	// is read: the time to send what was gathered.
	OnPause func(u *User)
	// OnFrame is Config.Tap, told whose frame it is.
	OnFrame func(u *User, received bool, h Header, payload []byte)
	// OnFault, if not nil, makes Config.Lenient, told whose fault it is.
	OnFault func(u *User, err error)
	// HTTP answers the requests that do not ask for a WebSocket. If nil they get
	// the refusal of Answer.
	HTTP httpmini.Handler

	Accept           AcceptOptions
	Config           Config
	Queue            int           // bytes that may wait for a user; 0 means DefaultQueue
	MaxConns         int           // connections open at once in Serve, those beyond get 503; 0 means no bound
	HandshakeTimeout time.Duration // for the whole of it; 0 means 10 s
	ErrorLog         func(error)   // what no handler is told: accept errors, panics in handlers

	mu        sync.Mutex
	users     map[uint64]*User
	joined    uint64
	listeners map[net.Listener]struct{}
	closing   bool
	http      *httpmini.Server // does the opening handshakes of Serve
	active    sync.WaitGroup   // connections that are not yet closed, of users and of those that may become some
	loops     loops
}

// ErrServerClosed is what Serve returns when the server was shut down before, and what
// a user's connection ends with when Shutdown or Close cuts it off.
var ErrServerClosed = errors.New("wsproto: the server was shut down")

// A User is a connection of a Server. Its methods may be called from any
// goroutine, also in handlers, if not said otherwise.
type User struct {
	conn   Conn
	server *Server
	id     uint64
	data   atomic.Pointer[any]
	closed atomic.Bool // by Close: messages are no longer wanted

	// Of the turns in a loop.
	phase   atomic.Uint32
	since   int64 // it was accepted, as time.Time.UnixNano
	due     bool  // OnPause is
	lingers bool  // waits for the peer's end before it is closed
	cutting bool  // a timer cuts off what is not sent in time
}

// ID is the number of the user, counted from 0 for each Server.
func (u *User) ID() uint64 { return u.id }

// SetData keeps v for the handlers' own use.
func (u *User) SetData(v any) { u.data.Store(&v) }

// Data returns what SetData was given last, nil before that: OnFrame may come while
// OnConnect still runs, for what somebody else sends.
func (u *User) Data() any {
	if v := u.data.Load(); v != nil {
		return *v
	}
	return nil
}

// Subprotocol returns the subprotocol agreed on, "" if none.
func (u *User) Subprotocol() string { return u.conn.ag.Subprotocol }

// Agreement returns what the opening handshake settled.
func (u *User) Agreement() Agreement { return u.conn.ag }

// RemoteAddr returns the peer's address.
func (u *User) RemoteAddr() net.Addr { return u.conn.nc.RemoteAddr() }

// NetConn returns the stream underneath, for its addresses and the like.
func (u *User) NetConn() net.Conn { return u.conn.nc }

// Send sends p as one message and never waits for the user: what the socket does
// not take is queued, Server.Queue bytes at most and beside them one message.
// Beyond that it fails with ErrQueueFull, and the message is not sent. Opcode and text
// are as for Conn.WriteMessage.
func (u *User) Send(op Opcode, p []byte) error {
	if !op.isMessage() {
		return errNoMessage
	}
	return u.conn.post(op, p, u.server.queue())
}

// Reply sends p as one message, together with what else the handler replies and
// as soon as there is no more input of this user. Where the user does not read, no
// more is read from it either, and a handler that replies more than some 64 KiB waits
// for it. It is for OnConnect and OnMessage only.
func (u *User) Reply(op Opcode, p []byte) error { return u.conn.Reply(op, p) }

// Ping sends a ping of at most 125 bytes; OnFrame sees the pong.
func (u *User) Ping(p []byte) error {
	if len(p) > maxControl {
		return ErrControlTooLong
	}
	return u.conn.post(OpPing, p, u.server.queue())
}

// Waiting returns how many bytes of frames the system has not taken yet, at least 1 while
// any are being written. The error is why nothing more can be sent: what waited then is
// lost.
func (u *User) Waiting() (n int, err error) {
	o := &u.conn.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if n = o.len(); o.writing {
		n = max(n, 1)
	}
	return n, o.err
}

// Close sends a Close frame, unless one was sent, and returns. No OnMessage comes
// after it; the connection ends with the user's answer or when Config.CloseTimeout
// is over. Code and reason are as for Conn.Close.
func (u *User) Close(code StatusCode, reason string) {
	u.closed.Store(true)
	c := &u.conn
	c.closeWith(code, reason)
	time.AfterFunc(c.cfg.closeTimeout(), func() { c.abort(ErrCloseTimeout) })
}

// Abort ends the connection without a closing handshake; OnDisconnect gets err.
func (u *User) Abort(err error) { u.conn.abort(err) }

func (s *Server) queue() int {
	if s.Queue <= 0 {
		return DefaultQueue
	}
	return s.Queue
}

// Users returns the users connected at this moment, in no order.
func (s *Server) Users() []*User {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*User, 0, len(s.users))
	for _, u := range s.users {
		list = append(list, u)
	}
	return list
}

// User returns the connected user with the given id, nil if there is none.
func (s *Server) User(id uint64) *User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[id]
}

// Broadcast sends p to every user as Send does and returns how many did not get
// it because they have too much waiting for them or are gone.
func (s *Server) Broadcast(op Opcode, p []byte) (missed int) {
	for _, u := range s.Users() {
		if u.Send(op, p) != nil {
			missed++
		}
	}
	return missed
}

// Serve accepts connections of ln, does their opening handshakes and serves them.
// It returns nil after Shutdown or Close, or when ln was closed, else the error that
// broke ln; the users stay until Shutdown, Close or their end. It may be called for
// several listeners. It closes ln. A stopped server stays so: ErrServerClosed.
func (s *Server) Serve(ln net.Listener) error {
	ln = s.listen(ln)
	if !s.track(ln) {
		ln.Close()
		return ErrServerClosed
	}
	defer s.untrack(ln)
	return s.serve(ln)
}

// serveConns is Serve with a goroutine for each connection, at least until its
// opening handshake is over.
func (s *Server) serveConns(ln net.Listener) error {
	return accept.Serve(accept.Limit(ln, s.MaxConns, httpmini.Refuse), s.http.ServeConn, s.ErrorLog)
}

// track notes a listener for Shutdown to close; false if that came first.
func (s *Server) track(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]struct{})
	}
	s.listeners[ln] = struct{}{}
	if s.http == nil {
		s.http = &httpmini.Server{Handler: s.ServeExchange, HeadTimeout: s.HandshakeTimeout, ErrorLog: s.ErrorLog, OnBadRequest: s.OnBadRequest}
	}
	return true
}

func (s *Server) untrack(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
}

// Shutdown closes the listeners, sends every user a Close frame with code 1001 and
// waits until all connections are closed. When ctx ends before that, Shutdown does
// what Close does and returns the error of ctx. Not to be called by a handler, which it
// would wait for.
func (s *Server) Shutdown(ctx context.Context) error {
	http := s.stop()
	for _, u := range s.Users() {
		u.Close(StatusGoingAway, "")
	}
	if http != nil {
		http.Shutdown(ctx)
	}
	stop := context.AfterFunc(ctx, s.abort)
	defer stop()
	s.active.Wait()
	s.loops.close()
	return ctx.Err()
}

// Close ends everything now: listeners and connections. It does not wait; Shutdown
// after it does. The error is nil.
func (s *Server) Close() error {
	if http := s.stop(); http != nil {
		http.Close()
	}
	s.abort()
	return nil
}

// stop has nobody come any more. It returns what does the opening handshakes, nil if
// there was none yet.
func (s *Server) stop() *httpmini.Server {
	s.mu.Lock()
	s.closing = true
	for ln := range s.listeners {
		ln.Close()
	}
	http := s.http
	s.mu.Unlock()
	s.refuseHeads()
	return http
}

func (s *Server) abort() {
	for _, u := range s.Users() {
		u.Abort(ErrServerClosed)
	}
}

// ServeExchange answers one HTTP request: a good opening handshake makes the
// connection a user's, everything else is Server.HTTP's.
func (s *Server) ServeExchange(x *httpmini.Exchange) {
	req := x.Request
	if s.HTTP != nil && !req.Header.HasToken("Upgrade", "websocket") {
		s.HTTP(x)
		return
	}
	res, ag, err := s.judge(req, x.RemoteAddr)
	if err != nil {
		s.refuse(x, res, err)
		return
	}
	x.Send(res)
	x.Takeover(func(nc net.Conn, buffered []byte) {
		u := &User{server: s}
		u.init(nc, buffered, ag)
		if !s.hold() { // Shutdown came between the answer and this
			u.conn.queueClose(AppendClose(nil, StatusGoingAway, ""))
			u.conn.hangUp()
			return
		}
		inLoop := s.loops.adopt(u)
		u.begin(req)
		if inLoop {
			u.serveInLoop()
		} else {
			go u.serve() // on a stack of its own: that of a handshake has grown, and serves the next one
		}
	})
}

// judge is Answer, and what OnHandshake says.
func (s *Server) judge(req *httpmini.Request, remote func() net.Addr) (*httpmini.Response, Agreement, error) {
	res, ag, err := Answer(req, s.Accept)
	if err == nil && s.OnHandshake != nil {
		if err = s.OnHandshake(req, remote()); err != nil {
			if _, ok := errors.AsType[*HandshakeError](err); !ok {
				err = &HandshakeError{Status: 403, Err: err}
			}
			res = s.Accept.refuse(err, nil)
		}
	}
	return res, ag, err
}

// refuse answers a handshake that judge refused.
func (s *Server) refuse(x *httpmini.Exchange, res *httpmini.Response, err error) {
	if res == nil {
		panic(err)
	}
	x.Send(res)
	if s.OnRefuse != nil {
		s.OnRefuse(x, err)
	}
}

func (u *User) init(nc net.Conn, buffered []byte, ag Agreement) {
	s := u.server
	cfg := &s.Config
	if s.OnFrame != nil || s.OnFault != nil {
		own := s.Config
		cfg = &own
	}
	if s.OnFrame != nil {
		cfg.Tap = func(received bool, h Header, payload []byte) {
			if !received { // on anybody's goroutine, with outbox.mu held
				defer func() {
					if s.panicked(recover()) {
						time.AfterFunc(0, func() { u.Abort(errHandler) })
					}
				}()
			}
			s.OnFrame(u, received, h, payload)
		}
	}
	if s.OnFault != nil {
		cfg.Lenient = func(err error) { s.OnFault(u, err) }
	}
	u.conn.init(nc, buffered, RoleServer, ag, cfg)
}

// hold keeps Shutdown waiting until active.Done; false after Shutdown.
func (s *Server) hold() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.active.Add(1)
	}
	return !s.closing
}

// begin makes u a user. After Shutdown, which came since hold, it is one that is
// closed with 1001.
func (u *User) begin(req *httpmini.Request) {
	s, c := u.server, &u.conn
	s.mu.Lock()
	if s.users == nil {
		s.users = make(map[uint64]*User)
	}
	u.id, s.joined = s.joined, s.joined+1
	s.users[u.id] = u
	closing := s.closing
	s.mu.Unlock()
	c.startKeepalive()
	if s.OnConnect != nil {
		c.Flush()
		s.call(u, func() { s.OnConnect(u, req) })
	}
	if closing {
		u.Close(StatusGoingAway, "")
	}
}

// depart makes u a user no more.
func (u *User) depart() {
	s := u.server
	s.mu.Lock()
	delete(s.users, u.id)
	s.mu.Unlock()
	if s.OnDisconnect != nil {
		s.call(u, func() { s.OnDisconnect(u, u.conn.ended) })
	}
}

// leave ends u, of which this is the goroutine.
func (u *User) leave() {
	u.depart()
	defer u.server.active.Done()
	cut := time.AfterFunc(u.conn.cfg.closeTimeout(), func() { u.conn.abort(ErrCloseTimeout) })
	defer cut.Stop()
	u.conn.hangUp()
}

// call runs a handler; a panic ends the user.
func (s *Server) call(u *User, handler func()) {
	defer s.recover(u)
	handler()
}

func (s *Server) recover(u *User) {
	if s.panicked(recover()) && u.conn.ended == nil {
		u.conn.fail(&ProtocolError{Code: StatusInternalError, Err: errHandler})
	}
}

// panicked logs what recover returned, if there was a panic.
func (s *Server) panicked(v any) bool {
	if v != nil && s.ErrorLog != nil {
		s.ErrorLog(fmt.Errorf("wsproto: panic in a handler: %v\n%s", v, debug.Stack()))
	}
	return v != nil
}

var errHandler = errors.New("a handler panicked")

// deliver calls OnMessage for every message that is whole in the input, as long as
// the peer takes the answers, and reports whether the connection goes on.
func (u *User) deliver() bool {
	c, s := &u.conn, u.server
	if s.OnPause != nil && len(c.p) > 0 {
		if c.loop != nil {
			u.due = true
		} else {
			defer s.OnPause(u)
		}
	}
	for c.ended == nil {
		m, ok, err := c.next()
		if err != nil {
			c.fail(err)
			break
		}
		if !ok {
			return true
		}
		if s.OnMessage != nil && !u.closed.Load() {
			s.OnMessage(u, m)
		}
		if c.asm.buf != nil && c.asm.buf.shared() { // it is being sent
			c.asm.release()
		}
		if c.out.full.Load() {
			c.stop()
			return true
		}
	}
	return false
}

// serve serves a connection that is in no loop until it ends.
func (u *User) serve() {
	defer func() { u.server.panicked(recover()) }() // no handler gets this far: a fault of ours
	defer u.leave()
	defer u.server.recover(u)
	for u.deliver() {
		if err := u.conn.fill(); err != nil {
			u.conn.fail(err)
		}
	}
}

// handshakeTimeout is that of all the opening handshake.
func (s *Server) handshakeTimeout() time.Duration {
	return orDefault(s.HandshakeTimeout, 10*time.Second)
}
