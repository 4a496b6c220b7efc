package wsproto

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/rawio"
)

// RelayConfig says how a Relay passes frames on. The zero value works.
type RelayConfig struct {
	Deflate      bool          // both ends agreed on permessage-deflate: RSV1 may be set
	MaxMessage   int64         // bytes of a message as it goes over the wire; 0 means no bound
	WriteTimeout time.Duration // for each 256 KiB that are sent, or what there is of it; 0 means 30 s
	CloseTimeout time.Duration // how long the closing handshakes may take; 0 means 5 s
	IdleTimeout  time.Duration // ends a relay that no message passed for so long; 0 means never

	// OnMessage, if not nil, is told of each message when its last frame begins to
	// pass, and of each control frame. size is in bytes on the wire, payload is there
	// for control frames, and for messages as Payloads says, and valid until it
	// returns. Each direction calls it from a goroutine of its own.
	OnMessage func(fromBackend bool, op Opcode, size int64, payload []byte)

	// OnRead, if not nil, is called when OnMessage has been told of all that one read
	// brought, before that passes.
	OnRead func()

	// Payloads is the length of the longest message whose payload OnMessage gets,
	// inflated where it was compressed, and then when the last byte of the message is
	// there. It gets nil for one that is longer, is not valid DEFLATE, has no room in
	// Memory, or refers to such a one. Nothing is held, and nothing inflated, where
	// Payloads is 0.
	Payloads int64
	Memory   *Budget // what the payloads take counts in it; nil: no bound for all together
}

// A RelayEnd says how a relay ended.
type RelayEnd struct {
	ByBackend bool // whose doing it was; see Err
	// Err is a *CloseError or a *ProtocolError, io.EOF where the stream ended without
	// a Close frame, an error that wraps ErrMessageCut, an error of the stream,
	// ErrIdleTimeout, ErrServerClosed or what Abort was given. The last three are
	// nobody's doing.
	Err             error
	Messages, Bytes int64 // that passed, both ways
}

// A Relay stands between a client and a backend whose opening handshakes are done
// and passes their frames on as they are: opcode, fragmentation, RSV1 and control
// frames stay, only the masking is made anew (RFC 6455 §5.1, §5.5). It answers no
// ping, and holds no more than what one read brought; who does not read stalls the
// other.
//
// The rules of framing hold for both, as does the masking of their role; text is
// not looked at. Who breaks a rule is sent its code; a client gets the answers to
// what it sent before that first. The other one is sent 1014 if it was the backend,
// 1001 if it was the client; likewise when one vanishes without a Close frame. Where that happens inside a frame nothing can be said any
// more, and the connection just ends.
type Relay struct {
	cfg     Config
	more    RelayConfig
	client  relaySide
	backend relaySide

	writers sync.WaitGroup // of Close frames that the socket did not take at once
	keeper  *time.Timer
	armed   atomic.Bool // keeper runs

	mu      sync.Mutex
	end     RelayEnd
	ended   bool        // end is known
	closing *time.Timer // cuts off what does not end by itself
	verdict *time.Timer // tells a client that it broke a rule
}

// A relaySide is one connection of a Relay: read by one goroutine, which writes to
// the other side.
type relaySide struct {
	conn  Conn // used for its socket and its rules
	relay *Relay
	peer  *relaySide

	// Of the goroutine that reads.
	held     [MaxHeaderLen + maxControl]byte // a header or a control frame that is not whole yet
	holding  int                             // bytes of it
	frame    Header                          // of the data frame under way
	left     int64                           // bytes of its payload still to come
	key      [4]byte                         // both maskings in one
	size     int64                           // of the message so far
	deaf     bool                            // nothing more of it is passed on
	probe    bool                            // trust no read: see relayPeriod
	stepped  error
	view     *relayView // nil: nobody wants to see messages
	keys     []byte     // random bytes for keys to come, at the end of keyRoom
	keyRoom  [256]byte
	messages atomic.Int64
	bytes    atomic.Int64

	trusting atomic.Bool // waits after a read that was trusted

	mu        sync.Mutex // never held while waiting
	seen      uint32     // heard when the keeper last looked
	writing   bool       // somebody writes to it
	mid       bool       // what was written last ends inside a frame
	last      []byte     // a Close frame that waits for the end of that
	verdict   error      // the rule it broke, if it has not been told yet
	closeSent bool       // nothing may follow
	gone      bool       // nobody is there to be written to
	over      bool       // nothing more is wanted from it
	settled   bool       // it has only to end the stream
}

// relaySize is how much is read, and passed on, at once; plainRelaySize is that
// where a read that waits must hold its buffer.
const (
	relaySize      = 64 << 10
	plainRelaySize = 16 << 10
)

// relayPeriod is how long the end of a stream can go unnoticed. A side reads within one
// call of RawConn.Read, so a read that did not fill its buffer may be trusted to have
// emptied the socket: what comes later wakes that call. That saves the read that finds
// nothing. The end of the stream gives no event of its own, though, where it comes with
// the last bytes; so the keeper pokes a side that trusted a read and has heard nothing
// for a while, and that reads until there is nothing.
const relayPeriod = 500 * time.Millisecond

// relayDeflate tells the rules that RSV1 has a meaning; it is not used otherwise.
var relayDeflate = new(Deflate)

// NewRelay returns a Relay, which owns both streams from now on. What was read of
// them beyond the handshakes is given along.
func NewRelay(client, backend net.Conn, fromClient, fromBackend []byte, cfg RelayConfig) *Relay {
	r := &Relay{more: cfg, cfg: Config{WriteTimeout: cfg.WriteTimeout, CloseTimeout: cfg.CloseTimeout}}
	r.client.init(r, &r.backend, client, fromClient, RoleServer)
	r.backend.init(r, &r.client, backend, fromBackend, RoleClient)
	return r
}

func (s *relaySide) init(r *Relay, peer *relaySide, nc net.Conn, buffered []byte, role Role) {
	s.relay, s.peer = r, peer
	s.conn.init(nc, buffered, role, Agreement{}, &r.cfg)
	s.conn.asm.MaxFragments = math.MaxInt
	if r.more.Deflate {
		s.conn.asm.Deflate = relayDeflate
	}
	s.conn.step = s.step
	if r.more.OnMessage != nil {
		s.view = newRelayView(r.more.Payloads, r.more.Memory)
	}
}

// Run relays until both connections have ended, closes them and says how it came to
// that. It is called once.
func (r *Relay) Run() RelayEnd {
	r.keeper = time.AfterFunc(relayPeriod, r.look)
	r.armed.Store(true)
	defer r.keeper.Stop()
	if r.more.IdleTimeout > 0 {
		defer r.watchIdle().Stop()
	}
	var readers sync.WaitGroup
	readers.Go(func() { r.guard(r.backend.run) })
	r.guard(r.client.run)
	readers.Wait()
	r.client.leave()
	r.backend.leave()
	r.writers.Wait()
	for _, s := range []*relaySide{&r.client, &r.backend} {
		s.conn.nc.Close()
		if s.view != nil {
			s.view.release()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, timer := range []*time.Timer{r.closing, r.verdict} {
		if timer != nil {
			timer.Stop()
		}
	}
	r.end.Messages = r.messages()
	r.end.Bytes = r.client.bytes.Load() + r.backend.bytes.Load()
	return r.end
}

// guard runs what reads one side; a panic ends the relay.
func (r *Relay) guard(run func()) {
	if err := accept.Guard(func() error { run(); return nil }); err != nil {
		r.Abort(err)
	}
}

// Close sends both sides a Close frame, as soon as they are between two frames, and
// returns. The relay ends with their answers, at the latest after CloseTimeout.
func (r *Relay) Close(code StatusCode, reason string) { r.close(code, reason, ErrServerClosed) }

func (r *Relay) close(code StatusCode, reason string, cause error) {
	r.because(false, cause)
	r.client.sendClose(code, reason)
	r.backend.sendClose(code, reason)
	r.bound()
}

// Abort ends both connections at once.
func (r *Relay) Abort(err error) {
	r.because(false, err)
	r.client.conn.abort(err)
	r.backend.conn.abort(err)
}

// because notes how the relay ends, if it is the first to know.
func (r *Relay) because(byBackend bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.ended, r.end.ByBackend, r.end.Err = true, byBackend, err
	}
}

// bound lets the end take CloseTimeout at the most.
func (r *Relay) bound() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing == nil {
		r.closing = time.AfterFunc(r.cfg.closeTimeout(), func() { r.Abort(ErrCloseTimeout) })
	}
}

func (r *Relay) messages() int64 { return r.client.messages.Load() + r.backend.messages.Load() }

// watchIdle closes the relay when no message passed for IdleTimeout.
func (r *Relay) watchIdle() *time.Timer {
	var seen int64
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(r.more.IdleTimeout, func() {
		<-ready
		now := r.messages()
		if now == seen {
			r.close(StatusGoingAway, "idle", ErrIdleTimeout)
			return
		}
		seen = now
		timer.Reset(r.more.IdleTimeout)
	})
	close(ready)
	return timer
}

// look is the keeper's round: whoever waits after a read that was trusted, and has
// heard nothing since the last round, is made to look again.
func (r *Relay) look() {
	r.armed.Store(false)
	again := false
	for _, s := range []*relaySide{&r.client, &r.backend} {
		if !s.trusting.Load() {
			continue
		}
		s.mu.Lock()
		if heard := s.conn.heard.Load(); heard != s.seen {
			s.seen, again = heard, true
		} else if !s.settled {
			s.conn.nc.SetReadDeadline(longAgo)
		}
		s.mu.Unlock()
	}
	if again && !r.armed.Swap(true) {
		r.keeper.Reset(relayPeriod)
	}
}

// run reads s to its end and lets the other side know.
func (s *relaySide) run() {
	if b := s.conn.p; len(b) > 0 {
		s.take(b)
		s.conn.p = nil
		s.conn.giveBack()
	}
	err := s.read()
	if err != io.EOF { // else it may still read
		s.conn.abort(err) // wakes up who writes to it
		s.leave()
	}
	if s.deaf {
		s.peer.finish() // what it may still say would reach nobody
		return
	}
	if err == io.EOF && (s.left > 0 || s.holding > 0 || s.conn.asm.message != 0) {
		err = cutError{}
	}
	s.relay.because(s.isBackend(), err)
	s.relay.bound()
	code, reason := s.blame("closed without close frame")
	s.peer.sendClose(code, reason)
	s.peer.finish()
	if s.left > 0 {
		s.peer.conn.abort(ErrMessageCut) // the rest of that frame will not come
	}
}

func (s *relaySide) isBackend() bool { return s == &s.relay.backend }

// blame says to the other side that s is the reason for the end.
func (s *relaySide) blame(why string) (StatusCode, string) {
	if s.isBackend() {
		return StatusBadGateway, "backend " + why
	}
	return StatusGoingAway, "client " + why
}

// read passes on what comes until the stream ends.
func (s *relaySide) read() error {
	if s.conn.raw == nil {
		return s.readPlain()
	}
	for {
		if dead := s.conn.dead.Load(); dead != nil {
			return *dead
		}
		s.stepped = nil
		err := s.conn.raw.Read(s.conn.step)
		if err == nil {
			err = s.stepped
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || !s.poked() {
			return err
		}
	}
}

// poked reports whether the deadline that passed was the keeper's.
func (s *relaySide) poked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled {
		return false
	}
	s.probe = true
	s.conn.nc.SetReadDeadline(time.Time{}) // before the look at dead: abort sets dead first
	return true
}

func (s *relaySide) readPlain() error {
	v := getBlock(plainRelaySize)
	defer putBlock(v)
	for b := v.b[:cap(v.b)]; ; {
		n := copy(b, s.held[:s.holding])
		got, err := s.conn.nc.Read(b[n:])
		if got > 0 {
			s.take(b[:n+got])
		}
		if err != nil {
			return err
		}
	}
}

// step runs when there may be something to read; true ends RawConn.Read.
func (s *relaySide) step(fd uintptr) bool {
	v := getBlock(relaySize)
	defer putBlock(v)
	for b := v.b[:cap(v.b)]; ; {
		n := copy(b, s.held[:s.holding])
		got, err := rawio.Read(fd, b[n:])
		if err == rawio.ErrAgain {
			s.probe = false
			s.trusting.Store(false)
			return false
		}
		if err != nil {
			s.stepped = err
			return true
		}
		s.conn.heard.Add(1)
		s.take(b[:n+got])
		if n+got < len(b) && !s.probe && !s.deaf { // after a Close frame the end is near
			s.trust()
			return false
		}
	}
}

// trust notes that the next wait begins without having seen the socket empty.
func (s *relaySide) trust() {
	if !s.trusting.Load() {
		s.trusting.Store(true)
	}
	if r := s.relay; !r.armed.Load() && !r.armed.Swap(true) {
		r.keeper.Reset(relayPeriod)
	}
}

// take passes on the frames in b, which it changes, and keeps a beginning that
// cannot be passed on yet.
func (s *relaySide) take(b []byte) {
	s.holding = 0
	if s.deaf {
		return
	}
	n, err := s.frames(b)
	if s.relay.more.OnRead != nil {
		s.relay.more.OnRead()
	}
	if n > 0 {
		s.pass(b[:n])
	}
	switch {
	case err == errVerdict:
		s.deaf = true
		s.peer.sendClose(0, "")
		s.finish()
	case err != nil:
		s.fail(err)
	case !s.deaf:
		s.holding = copy(s.held[:], b[n:])
	}
}

// errVerdict is a Close frame in whose place the other side is told what it did.
var errVerdict = errors.New("close frame not passed on")

// frames makes the frames in b fit for the other side and returns how much of it
// can be sent there: all but a header or a control frame that is not whole, what a
// rule was broken with, and what follows a Close frame.
func (s *relaySide) frames(b []byte) (n int, err error) {
	for n < len(b) && !s.deaf {
		if s.left > 0 {
			p := b[n:][:min(s.left, int64(len(b)-n))]
			if s.view != nil {
				s.view.add(s.frame, p, s.frame.PayloadLen-s.left)
			}
			if s.frame.Masked {
				mask(p, s.key, s.frame.PayloadLen-s.left)
			}
			s.left -= int64(len(p))
			n += len(p)
			s.show()
			continue
		}
		k, err := s.begin(b[n:])
		if k == 0 || err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

// begin deals with the header at the start of b, and with a control frame as a
// whole; n == 0 wants more.
func (s *relaySide) begin(b []byte) (n int, err error) {
	h, n, err := ParseHeader(b)
	if err != nil || n == 0 {
		return 0, err
	}
	if err := s.check(h); err != nil {
		return 0, inFrame(showInput(err, b), h)
	}
	if !h.Opcode.IsControl() {
		s.frame, s.left = h, h.PayloadLen
		s.renew(b[:n], h)
		if s.view != nil {
			s.view.begin(h)
			s.show()
		}
		return n, nil
	}
	end := n + int(h.PayloadLen)
	if len(b) < end {
		return 0, nil
	}
	if err := s.control(h, b[n:end]); err != nil {
		return 0, err
	}
	if h.Masked { // control has unmasked it
		s.renew(b[:n], h)
		mask(b[n:end], [4]byte(b[n-4:n]), 0)
	}
	return end, nil
}

// renew gives the frame whose header is head a masking key of our own, and notes
// what leads from the old one to it.
func (s *relaySide) renew(head []byte, h Header) {
	if !h.Masked {
		return
	}
	if len(s.keys) < 4 {
		rand.Read(s.keyRoom[:])
		s.keys = s.keyRoom[:]
	}
	key := head[len(head)-4:]
	copy(key, s.keys)
	s.keys = s.keys[4:]
	binary.NativeEndian.PutUint32(s.key[:], binary.NativeEndian.Uint32(key)^binary.NativeEndian.Uint32(h.MaskingKey[:]))
}

// check applies the rules of framing to the next header, and counts messages.
func (s *relaySide) check(h Header) error {
	bare := h
	if !h.Opcode.IsControl() {
		bare.PayloadLen = 0 // nothing is put together here: the length is not the rules' business
	}
	a := &s.conn.asm
	if err := a.Check(bare); err != nil || h.Opcode.IsControl() {
		return err
	}
	if h.Opcode != OpContinuation {
		s.size = 0
	}
	s.size += min(h.PayloadLen, math.MaxInt64-s.size)
	if limit := s.relay.more.MaxMessage; limit > 0 && s.size > limit {
		return broke(StatusMessageTooBig, ErrMessageTooBig, h)
	}
	if !h.Fin {
		return nil
	}
	s.messages.Add(1)
	s.bytes.Add(s.size)
	if tell := s.relay.more.OnMessage; tell != nil && s.view == nil {
		tell(s.isBackend(), a.message, s.size, nil)
	}
	a.message = 0
	return nil
}

// show tells of a message whose last byte is there.
func (s *relaySide) show() {
	if s.view != nil && s.left == 0 && s.frame.Fin {
		s.relay.more.OnMessage(s.isBackend(), s.view.op, s.size, s.view.end())
		s.view.release()
	}
}

// control unmasks the payload of a control frame and looks at it.
func (s *relaySide) control(h Header, p []byte) error {
	if h.Masked {
		mask(p, h.MaskingKey, 0)
	}
	if h.Opcode == OpClose {
		code, reason, err := ParseClose(p)
		if err != nil {
			return inFrame(err, h)
		}
		s.relay.because(s.isBackend(), &CloseError{Code: code, Reason: reason})
		s.peer.mu.Lock()
		judged := s.peer.verdict != nil
		s.peer.mu.Unlock()
		if judged {
			return errVerdict
		}
		s.deaf = true
	}
	if tell := s.relay.more.OnMessage; tell != nil {
		tell(s.isBackend(), h.Opcode, h.PayloadLen, p)
	}
	return nil
}

// pass sends b to the other side, waiting for it if need be. Where it is gone, or
// has been sent a Close frame, b is dropped.
func (s *relaySide) pass(b []byte) {
	to := s.peer
	to.mu.Lock()
	if to.closeSent || to.gone {
		to.mu.Unlock()
	} else {
		to.writing = true
		to.mu.Unlock()
		n, err := to.conn.tryWrite(b)
		if err == nil && n < len(b) {
			err = to.conn.writeAll(b[n:])
		}
		to.mu.Lock()
		to.writing, to.mid = false, s.left > 0
		to.closeSent = s.deaf
		if err != nil {
			to.gone = true
		}
		to.sendLast()
		to.settle()
		to.mu.Unlock()
		if err != nil {
			s.relay.because(to.isBackend(), err)
			to.conn.abort(err) // its reader does the rest
		}
	}
	if s.deaf {
		s.relay.bound()
		s.finish()
	}
}

// fail tells both sides that s broke a rule: a client when the backend has closed in
// its turn, so that what it still answers arrives.
func (s *relaySide) fail(err error) {
	r := s.relay
	r.because(s.isBackend(), err)
	r.bound()
	s.deaf = true
	s.mu.Lock()
	s.verdict = err
	s.mu.Unlock()
	why := err
	if pe, ok := errors.AsType[*ProtocolError](err); ok {
		why = pe.Err
	}
	s.peer.sendClose(s.blame("broke the protocol: " + why.Error()))
	s.finish()
	if s.isBackend() {
		s.sendClose(0, "")
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdict = time.AfterFunc(lingerTime, func() { s.sendClose(0, "") })
}

// finish notes that nothing more is wanted from s.
func (s *relaySide) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.settle()
}

// leave notes that nobody is there any more.
func (s *relaySide) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
}

// sendClose sends s a Close frame unless it was sent one; if it broke a rule, with
// the code of that. Inside a frame it waits for the end of that.
func (s *relaySide) sendClose(code StatusCode, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeSent || s.last != nil || s.gone {
		return
	}
	if s.verdict != nil {
		code, reason = StatusProtocolError, s.verdict.Error()
		if pe, ok := errors.AsType[*ProtocolError](s.verdict); ok {
			code, reason = pe.Code, pe.Err.Error()
		}
	}
	p := AppendClose(nil, code, closeReason(reason))
	h := Header{Fin: true, Opcode: OpClose, PayloadLen: int64(len(p))}
	if s.conn.role == RoleClient {
		h.Masked = true
		rand.Read(h.MaskingKey[:])
		mask(p, h.MaskingKey, 0)
	}
	s.last = append(AppendHeader(nil, h), p...)
	s.sendLast()
	s.settle()
}

// sendLast sends the Close frame that waits, if it can be sent now. The caller
// holds mu.
func (s *relaySide) sendLast() {
	b := s.last
	if b == nil || s.writing || s.mid || s.gone || s.closeSent {
		return
	}
	s.last, s.closeSent = nil, true
	n, err := s.conn.tryWrite(b)
	if err != nil || n == len(b) {
		return // an error is seen by the reader, too
	}
	s.writing = true
	s.relay.writers.Go(func() {
		s.conn.writeAll(b[n:])
		s.mu.Lock()
		defer s.mu.Unlock()
		s.writing = false
		s.settle()
	})
}

// settle ends our half of the stream when both Close frames have passed, or would
// have, and waits for the other half a little: to close while there is input nobody
// reads would reset the connection, and what was sent could be lost. The server
// ends first (RFC 6455 §7.1.1). The caller holds mu.
func (s *relaySide) settle() {
	if s.settled || !s.over || !s.closeSent || s.writing {
		return
	}
	s.settled = true
	if s.conn.role == RoleServer {
		endWriting(s.conn.nc)
	}
	s.conn.nc.SetReadDeadline(time.Now().Add(lingerTime))
	if s.conn.dead.Load() != nil {
		s.conn.nc.SetDeadline(longAgo)
	}
}
