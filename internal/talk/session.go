package talk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/term"
	"socketsrv/wsproto"
)

// A Session holds a conversation over a dial.Link, and where it is asked to over the
// links after that one. Three goroutines work for it: the reader takes what is to be
// sent, so that Ctrl-C is heard whatever else waits; the writer sends it; the
// receiver, one for each link, hands out what comes. They tell a Conversation, and
// Run does what that says.
type Session struct {
	Rules
	Target dial.Target
	Con    *cli.Console
	Dial   func(ctx context.Context) (dial.Link, error)

	// Next returns what is to be sent next, io.EOF at the end: from then on Rules
	// holds, unless Listen. Nil: there is nothing.
	Next    func() (Outgoing, error)
	Listen  bool              // the end of Next is not ours: we go on until the peer's
	Opening []wsproto.Message // goes before all else, over each link
	Pulse   wsproto.Message   // goes over each link Every so often, until the input ends
	Every   time.Duration     // 0: never

	// Received shows m. It may return an answer, and whether -expect is met.
	Received func(m wsproto.Message) (answer *wsproto.Message, match bool)
	Sent     func(m wsproto.Message) // shows what goes; may be nil
	Ended    func(err error)         // sees why a link ended; may be nil

	Timeout, For, Wait time.Duration // bounds on all, on listening, on a first connection that is refused; 0: none

	Person    bool           // types: what cannot be sent is said, and does not wait
	Connected func(yes bool) // may be nil
	Reconnect bool           // until we end
	MaxWait   time.Duration  // the longest pause before that

	queue   queue         // read, and not yet sent
	changed chan struct{} // holds one: the Conversation was told something
	left    chan struct{} // closed: what Next brought is sent
	enough  chan struct{} // closed: -for is over

	mu         sync.Mutex
	linked     sync.Cond // link, broken or over changed
	link       dial.Link // to send over; nil: not connected
	broken     dial.Link // takes nothing more
	begunOn    dial.Link // where the first item of the queue was begun
	sending    int       // goroutines in Send
	unheard    error     // nobody listened for the last datagram
	over       bool
	code       wsproto.StatusCode // of our Close
	reason     string
	talk       Conversation
	on         dial.Link // what talk is about
	wake       time.Time // when Run looks again
	inputEnded bool      // all that Next brought is sent
	inputErr   error     // why Next brings no more, beside io.EOF
}

// Outgoing is what is to be sent: a message, or what a command does instead, whose
// error is said. Its l is nil where a person's is not connected.
type Outgoing struct {
	Message wsproto.Message
	Do      func(l dial.Link) error
}

var (
	errTimeUp      = errors.New("time is up")
	errInterrupted = errors.New("interrupted")
)

// Run converses until the end and says how it went.
func (s *Session) Run(ctx context.Context) error {
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.Timeout, errTimeUp)
		defer cancel()
	}
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	s.linked.L = &s.mu
	s.queue.more.L = &s.queue.mu
	s.changed, s.left, s.enough = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	if s.code == 0 {
		s.code = wsproto.StatusNormalClosure
	}
	l, err := s.first(ctx)
	if err != nil {
		return s.cutShort(ctx, err)
	}
	if s.For > 0 {
		defer time.AfterFunc(s.For, func() { close(s.enough) }).Stop()
	}
	if s.Next != nil { // they end with the input, or after the end of all
		go s.read(interrupt)
		go s.write()
	}
	err = s.converseAll(ctx, l)
	s.mu.Lock()
	s.over = true
	s.linked.Broadcast()
	s.mu.Unlock()
	s.queue.close(true)
	return err
}

// first connects, and tries again for -wait as long as nobody listens.
func (s *Session) first(ctx context.Context) (dial.Link, error) {
	pauses := Pauses{Max: time.Second}
	for until := time.Now().Add(s.Wait); ; {
		l, err := s.Dial(ctx)
		if cli.ExitCode(err) != cli.ExitConnect || !time.Now().Before(until) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(min(pauses.Next(), time.Until(until))):
		}
	}
}

// converseAll converses over l and, if need be, over the links after it.
func (s *Session) converseAll(ctx context.Context, l dial.Link) error {
	wait := Pauses{Max: s.MaxWait}
	for {
		since := time.Now()
		end := s.converse(ctx, l)
		if s.Ended != nil {
			s.Ended(end)
		}
		out, again := s.outcome(ctx)
		if !again {
			return s.verdict(ctx, out, end)
		}
		s.Con.Status("%s", dial.EndText(end, s.Target))
		if time.Since(since) > s.MaxWait {
			wait.Reset()
		}
		if l = s.again(ctx, &wait); l == nil {
			return s.cutShort(ctx, nil)
		}
	}
}

// lookTime is what input has to come that is there when the peer leaves.
const lookTime = 200 * time.Millisecond

// outcome is how it went over the last link, and whether another one is wanted.
func (s *Session) outcome(ctx context.Context) (out Outcome, again bool) {
	s.mu.Lock()
	begun := 0
	if s.begunOn == s.on {
		begun = 1
	}
	look := s.Next != nil && !s.Person && !s.inputEnded && s.talk.peer != nil && s.talk.Outcome() == Outcome{} && !s.talk.met
	s.mu.Unlock()
	if look { // the peer left: what stdin still holds may not have been read yet
		s.queue.await(begun, lookTime)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	leaving := !s.talk.enoughSince.IsZero() || s.inputEnded && !s.Listen
	if again = s.Reconnect && !leaving && ctx.Err() == nil; again || s.Person {
		return s.talk.Outcome(), again
	}
	rest, ended := s.queue.rest(begun) // it was read, and nobody gets it
	s.talk.queued += rest
	s.talk.inputEnded = s.talk.inputEnded || ended
	return s.talk.Outcome(), false
}

// verdict makes an error of an Outcome. end is what the link said.
func (s *Session) verdict(ctx context.Context, out Outcome, end error) error {
	s.mu.Lock()
	cut, lost, inputErr := s.talk.cut != nil, s.talk.owed(), s.inputErr
	if s.talk.met {
		inputErr = nil
	}
	s.mu.Unlock()
	if cli.As[*wsproto.CloseError](end) && out.Exit != cli.ExitPeerClosed {
		s.Con.Status("%s", dial.EndText(end, s.Target))
	}
	switch failed := cli.Fail(out.Exit, &outcomeError{out.Text, end}); {
	case inputErr != nil:
		return inputErr
	case out.Exit != 0 && cut:
		if lost > 0 && context.Cause(ctx) != errTimeUp {
			s.Con.Error(failed)
		}
		return s.cutShort(ctx, failed)
	case out.Exit != 0:
		return failed
	}
	return nil
}

// An outcomeError is the line of an Outcome, and the error that it came of.
type outcomeError struct {
	text string
	err  error
}

func (e *outcomeError) Error() string { return e.text }
func (e *outcomeError) Unwrap() error { return e.err }

// cutShort makes err what it is when ctx has ended.
func (s *Session) cutShort(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == errInterrupted:
		return cli.Fail(cli.ExitSignal+int(syscall.SIGINT), nil)
	case cause == errTimeUp && cli.As[*outcomeError](err):
		return err // with the numbers
	case cause == errTimeUp:
		return cli.Fail(cli.ExitTimeout, fmt.Errorf("%w: %v", errTimeUp, s.Timeout))
	case err == nil:
		return ctx.Err() // nil: the input ended while there was no link
	}
	return err
}

// converse does what the Conversation over l says, until that is over. It returns
// why l ended, nil if we closed it.
func (s *Session) converse(ctx context.Context, l dial.Link) (end error) {
	received := make(chan error, 1)
	s.begin(l)
	go func() { received <- s.receive(l) }()
	quiet := s.pulse(l)
	wake := time.NewTimer(0)
	defer wake.Stop()
	done, enough, saying := ctx.Done(), s.enough, false
	for step := s.tell(l, Event{What: Tick}); !step.Over; step = s.tell(l, Event{What: Tick}) {
		if step.Say && !saying {
			saying = true
			go s.finish(l, step.Away)
		}
		wake.Reset(step.next(time.Now()))
		select {
		case <-s.changed:
		case <-wake.C:
		case <-enough:
			enough = nil
			s.tell(l, Event{What: Enough, Text: fmt.Sprintf("the %v of -for are over", s.For)})
		case <-done:
			done = nil
			s.tell(l, s.cutEvent(ctx))
		}
	}
	s.use(nil)
	l.Close()
	quiet()
	select {
	case end = <-received:
	case <-time.After(cli.FlushTime): // stdout takes nothing
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.sending > 0 { // which finds l closed, or learns that all was taken
		s.linked.Wait()
	}
	if s.talk.peer == nil {
		end = nil // it was we who ended it
	}
	return end
}

// next is how long to wait for a step that nothing else brings.
func (s *Step) next(now time.Time) time.Duration {
	switch {
	case s.Watch:
		return 20 * time.Millisecond
	case s.Wake.IsZero():
		return time.Hour
	}
	return s.Wake.Sub(now)
}

func (s *Session) cutEvent(ctx context.Context) Event {
	if context.Cause(ctx) == errTimeUp {
		return Event{What: Cut, Exit: cli.ExitTimeout, Text: fmt.Sprintf("%v: %v", errTimeUp, s.Timeout)}
	}
	return Event{What: Cut, Exit: cli.ExitFailure, Text: context.Cause(ctx).Error()}
}

// begin makes l the link that is spoken on.
func (s *Session) begin(l dial.Link) {
	s.mu.Lock()
	s.talk, s.on = Conversation{Rules: s.Rules, messages: s.talk.messages, matched: s.talk.matched}, l
	s.talk.Tell(time.Now(), Event{What: Begun})
	ended := s.inputEnded && !s.Listen
	s.mu.Unlock()
	if ended {
		s.tell(l, Event{What: InputEnded})
	}
	if len(s.Opening) == 0 { // at once: a person types as soon as the prompt says so
		s.use(l)
	} else {
		go s.open(l)
	}
	if s.Connected != nil {
		s.Connected(true)
	}
}

// open sends what goes before all else.
func (s *Session) open(l dial.Link) {
	for _, m := range s.Opening {
		if s.Send(l, m) != nil {
			return // the receiver learns why
		}
	}
	s.use(l)
}

// pulse sends Pulse over l until the function it returns is called, which waits for
// the end of that.
func (s *Session) pulse(l dial.Link) (quiet func()) {
	if s.Every == 0 {
		return func() {}
	}
	quit := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		beat := time.NewTicker(s.Every)
		defer beat.Stop()
		for {
			select {
			case <-quit:
				return
			case <-beat.C:
			}
			s.mu.Lock()
			over := s.talk.said || s.talk.met || s.inputEnded && !s.Listen
			s.mu.Unlock()
			if over {
				return
			}
			if err := s.Send(l, s.Pulse); err != nil && !s.Person { // the receiver learns why; it is no part of what was to be delivered
				s.tell(l, Event{What: Taken, N: int64(len(s.Pulse.Data))})
			}
		}
	})
	return func() { close(quit); beating.Wait() }
}

func (s *Session) use(l dial.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l == nil || l == s.on {
		s.link = l
		s.linked.Broadcast()
	}
}

// tell tells the Conversation what happened on l, and what l knows about itself.
func (s *Session) tell(l dial.Link, ev Event) Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told(l, ev)
}

// told is tell for who holds s.mu.
func (s *Session) told(l dial.Link, ev Event) (step Step) {
	if l != s.on {
		return Step{} // of a link that is history
	}
	now := time.Now()
	switch ev.What {
	case Read, Shown, Queued, Taken:
	default:
		moved, held, err := l.Look(s.talk.peer != nil)
		s.talk.Tell(now, Event{What: Held, N: held})
		if !moved.IsZero() {
			s.talk.Tell(now, Event{What: Moved, At: moved})
		}
		if err != nil {
			s.talk.Tell(now, s.peerEnd(err))
		}
	}
	step = s.talk.Tell(now, ev)
	at := now.Add(step.next(now))
	switch {
	case ev.What == Tick:
		s.wake = at
	case step.Say || step.Over || at.Before(s.wake):
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	return step
}

// Progress is w, where what it takes counts as progress, a piece at a time.
func (s *Session) Progress(w io.Writer) io.Writer { return progress{s, w} }

type progress struct {
	s *Session
	w io.Writer
}

func (p progress) Write(b []byte) (done int, err error) {
	for more := true; more && err == nil; more = done < len(b) {
		var n int
		n, err = p.w.Write(b[done:min(done+piece, len(b))])
		done += n
		p.s.mu.Lock()
		p.s.talk.Tell(time.Now(), Event{What: Moved})
		p.s.mu.Unlock()
	}
	return done, err
}

// finish says our end.
func (s *Session) finish(l dial.Link, away bool) {
	s.mu.Lock()
	code, reason := s.code, s.reason
	s.mu.Unlock()
	if away {
		code, reason = wsproto.StatusGoingAway, ""
	}
	s.ended(event.Out)
	if err := l.Finish(code, reason); err != nil && s.Kind == Stream { // it was reset: something was not taken
		s.tell(l, Event{What: SendFailed, Text: cli.ErrorText(err)})
		return
	}
	s.tell(l, Event{What: Said})
}

// ended makes an event of one side's end, where a connection has sides.
func (s *Session) ended(dir string) {
	if s.Kind == Stream {
		s.Con.Event(event.Event{Event: event.End, Proto: s.Target.Scheme, Client: -1, Dir: dir})
	}
}

// receive hands out what comes on l until that ends, and says why it did.
func (s *Session) receive(l dial.Link) error {
	for {
		m, err := l.Receive()
		if errors.Is(err, dial.ErrUnheard) && s.goesOn(err) {
			continue
		}
		if err != nil {
			s.mu.Lock()
			end := s.peerEnd(err)
			s.mu.Unlock()
			if cli.ExitCode(err) == cli.ExitSend { // a reset, found in sending a pong
				s.tell(l, Event{What: SendFailed, Text: end.Text})
			}
			s.tell(l, end)
			s.mu.Lock()
			theirs := s.talk.peer != nil
			s.mu.Unlock()
			if err == io.EOF && theirs {
				s.ended(event.In)
			}
			return err
		}
		n := int64(len(m.Data))
		if s.tell(l, Event{What: Read, N: n}); s.isMet() {
			continue // only the end is waited for
		}
		answer, match := s.Received(m)
		s.Con.Flush(365 * 24 * time.Hour) // what other goroutines print may have held it up
		if answer != nil {                // before this message can be the last one, after which nothing is sent
			s.reply(l, *answer)
		}
		if match {
			s.tell(l, Event{What: Matched})
		}
		s.tell(l, Event{What: Shown, N: n})
	}
}

// goesOn says whether more is to be sent to a peer that does not listen: it may later.
// Else err is the end.
func (s *Session) goesOn(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Next == nil || s.inputEnded {
		return false
	}
	if s.unheard == nil {
		s.Con.Status("%v; who comes later gets the rest", err)
	}
	s.unheard = err
	return true
}

func (s *Session) isMet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.talk.met
}

func (s *Session) reply(l dial.Link, m wsproto.Message) {
	n := int64(len(m.Data))
	s.tell(l, Event{What: Queued, N: n})
	if s.Sent != nil {
		s.Sent(m)
	}
	switch err := l.Reply(m); {
	case err == nil, errors.Is(err, wsproto.ErrCloseSent):
		s.tell(l, Event{What: Taken, N: n})
	default:
		s.tell(l, Event{What: SendFailed, Text: cli.ErrorText(err)})
	}
}

// peerEnd makes an Event of why a link ended. s.mu is held.
func (s *Session) peerEnd(err error) Event {
	ev := Event{What: PeerEnded, Gone: true, Text: cli.ErrorText(err)}
	ce, closed := errors.AsType[*wsproto.CloseError](err)
	switch {
	case closed:
		if ev.Text = dial.CloseText(ce); cli.CloseCode(ce.Code) != cli.ExitOK && !(s.talk.said && ce.Code == s.code) {
			ev.Exit = cli.ExitPeerClosed
		}
		ev.Torn = ce.Cut
	case err == io.EOF && s.Kind == Message:
		ev.Text, ev.Torn = dial.EndText(err, s.Target), !s.talk.said && !(s.Person && s.inputEnded)
	case err == io.EOF:
		ev.Gone, ev.Text = false, ""
	case errors.Is(err, dial.ErrCut):
		ev.Gone, ev.Torn = false, true
	case cli.ExitCode(err) == cli.ExitReceive, cli.ExitCode(err) == cli.ExitSend:
		ev.Torn = true
	default:
		ev.Exit = cli.ExitCode(err)
	}
	return ev
}

// read queues what Next brings. A person is told what there is no room for, a pipe
// waits.
func (s *Session) read(interrupt context.CancelCauseFunc) {
	for closed := false; !closed; _, closed = s.queue.rest(0) {
		o, err := s.Next()
		switch {
		case err == nil && !s.queue.put(o, !s.Person):
			s.Con.Error(errors.New("not sent: too much waits to be sent already"))
		case err == nil:
		case err == term.ErrTooLong:
			s.Con.Error(err)
		case err == term.ErrInterrupted:
			interrupt(errInterrupted)
			return
		default:
			if err != io.EOF && !errors.Is(err, os.ErrClosed) { // os.ErrClosed: all is over
				s.mu.Lock()
				s.inputErr = err
				s.mu.Unlock()
			}
			s.queue.close(false)
		}
	}
}

// write sends what is queued, and at the end of it says so.
func (s *Session) write() {
	for {
		o, ok := s.queue.first()
		if !ok {
			break
		}
		l := s.current()
		if l == nil && !s.Person {
			return
		}
		err := s.deliver(l, o)
		if err != nil && !s.Person && o.Do == nil { // perhaps the next link takes it
			s.mu.Lock()
			s.broken = l
			s.mu.Unlock()
			s.tell(l, Event{What: SendFailed, Text: cli.ErrorText(err)})
			continue
		}
		if err != nil {
			s.Con.Error(err)
		}
		s.mu.Lock()
		s.begunOn = nil
		s.queue.drop()
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.inputEnded = true
	l, unheard := s.on, s.unheard
	s.mu.Unlock()
	close(s.left)
	if l != nil && !s.Listen {
		s.tell(l, Event{What: InputEnded})
	}
	if unheard != nil {
		s.tell(l, Event{What: PeerEnded, Gone: true, Exit: cli.ExitConnect, Text: cli.ErrorText(unheard)})
	}
}

// current returns the link there is. What a pipe brings waits for one that takes
// something; nil: all is over.
func (s *Session) current() dial.Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.Person && !s.over && (s.link == nil || s.link == s.broken) {
		s.linked.Wait()
	}
	if s.over {
		return nil
	}
	return s.link
}

// ErrNotConnected says why a person's line was not sent.
var ErrNotConnected = errors.New("not sent: not connected")

func (s *Session) deliver(l dial.Link, o Outgoing) error {
	if o.Do != nil {
		return o.Do(l)
	}
	return s.send(l, o.Message, true)
}

// piece is how much of a stream is sent at once: what is sent is known as exactly.
const piece = 64 << 10

// Send sends m over l, for a command. An error is said where a person typed m.
func (s *Session) Send(l dial.Link, m wsproto.Message) error { return s.send(l, m, false) }

// send is Send; first says that m is the first item of the queue.
func (s *Session) send(l dial.Link, m wsproto.Message, first bool) error {
	if l == nil {
		return ErrNotConnected
	}
	if s.Sent != nil {
		s.Sent(m)
	}
	data, stream := m.Data, s.Target.Stream()
	s.mu.Lock()
	if first { // from now on the Conversation counts it
		s.begunOn = l
	}
	s.told(l, Event{What: Queued, N: int64(len(data))})
	s.mu.Unlock()
	for more := true; more; more = len(data) > 0 {
		if m.Data, data = data, nil; stream && len(m.Data) > piece {
			m.Data, data = m.Data[:piece], m.Data[piece:]
		}
		s.inSend(1)
		err := l.Send(m)
		if err == nil || s.Person { // who is told of it
			s.tell(l, Event{What: Taken, N: int64(len(m.Data))})
		}
		s.inSend(-1)
		if err != nil && s.Person {
			return fmt.Errorf("not sent: %w", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) inSend(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sending += n; n > 0 {
		s.unheard = nil
	}
	s.linked.Broadcast()
}

// Leave ends the conversation with a Close of that code: nothing more is sent.
func (s *Session) Leave(code wsproto.StatusCode, reason string) {
	s.mu.Lock()
	s.code, s.reason = code, reason
	s.mu.Unlock()
	s.queue.close(true)
}

// again connects until it succeeds; nil: it is over before that.
func (s *Session) again(ctx context.Context, wait *Pauses) dial.Link {
	if s.Connected != nil {
		s.Connected(false)
	}
	for {
		pause := wait.Next()
		s.Con.Status("connecting again in %v", pause.Round(time.Millisecond))
		left := s.left
		if s.Listen {
			left = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.enough:
			return nil
		case <-left:
			return nil
		case <-time.After(pause):
		}
		l, err := s.Dial(ctx)
		if err == nil {
			return l
		}
		if ctx.Err() != nil {
			return nil
		}
		s.Con.Error(err)
	}
}
