package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/files"
)

// An incoming is a file on its way to us, from its offer to its end.
type incoming struct {
	offer     control
	state     incomingState
	part      *files.Part
	stream    fileID // of the last start
	next      int64  // where the next chunk begins
	acked     int64
	stride    int64 // from one acknowledgement to the next
	began     time.Time
	heard     time.Time // of its sender
	contested time.Time // another sender has a file of that name
	seq       int64     // of its sender's last message
}

type incomingState uint8

const (
	incomingReads incomingState = iota // what is there of it; part is nil
	incomingWaits                      // for a start
	incomingFlows
	incomingProves // all is here: waits for its sender to confirm it
	incomingSaves  // to the disk
)

// moves are what the messages of a sender do in each state of a file. What is not
// here changes nothing: it comes late, or from somebody who means no good.
var moves = map[string]map[incomingState]func(*receiving, *incoming, *control){
	"offer":   {incomingWaits: (*receiving).again, incomingFlows: (*receiving).again, incomingProves: (*receiving).again}, // it lost us, or our answer
	"start":   {incomingWaits: (*receiving).start, incomingFlows: (*receiving).start, incomingProves: (*receiving).start},
	"reset":   {incomingWaits: (*receiving).reset},
	"done":    {incomingWaits: (*receiving).again, incomingFlows: (*receiving).done, incomingProves: (*receiving).prove}, // waits: the start was lost
	"confirm": {incomingProves: (*receiving).confirmed},
	"abort": {incomingReads: (*receiving).aborted, incomingWaits: (*receiving).aborted, incomingFlows: (*receiving).aborted,
		incomingProves: (*receiving).aborted},
}

// An outcome is how a file ended, to be said again to who did not hear it.
type outcome struct {
	id     fileID
	answer control
}

const (
	maxIncoming = 64
	maxOutcomes = 64
	// takeover is how long a sender must be silent before another may send a file
	// of the same name; it is heard every second.
	takeover = 3 * beat
	// farewell is how long a receiver that has it all stays for a sender who may not
	// have heard that.
	farewell = 10 * time.Second
)

// What ends a transfer.
var (
	errOrder     = errors.New("a chunk is missing, comes twice or too late")
	errBeyond    = errors.New("more comes than was offered")
	errShort     = errors.New("less came than was offered")
	errDifferent = errors.New("done is not of what was offered")
	errSum       = errors.New("sha256 mismatch")
	errTooBig    = errors.New("larger than -max-size")
	errBusy      = errors.New("busy with another sender")
	errUnderWay  = errors.New("exists: a file of that name is being received")
)

func (g *receiving) control(c *control) {
	t := g.incoming[c.id]
	switch {
	case c.receiver != "" && c.receiver != g.id:
		return // what another receiver says, or is told
	case t != nil && g.code.key != nil && c.seq <= t.seq:
		return // somebody repeats it
	case t != nil:
		t.heard, t.seq = g.con.Now(), c.seq
		if move := moves[c.kind][t.state]; move != nil {
			move(g, t, c)
		}
	case c.kind == "offer":
		g.offered(c)
	case c.kind == "done" || c.kind == "confirm":
		g.repeat(c.id)
	case c.kind == "over" && !g.leaving.IsZero() && c.id == g.last:
		g.leaving = g.con.Now()
		g.rest(nil)
	}
}

// offered answers an offer of a file that is not on its way.
func (g *receiving) offered(c *control) {
	if g.repeat(c.id) || !g.leaving.IsZero() {
		return
	}
	err := files.CheckTarget(g.root, c.name, g.overwrite)
	switch {
	case err != nil:
	case c.size > g.maxSize:
		err = errTooBig
	case !g.keep && g.batch != "" && g.batch != c.batch && !g.gone():
		err = errBusy
	case len(g.incoming) >= maxIncoming:
		err = errBusy
	default:
		var wait bool
		if wait, err = g.contest(c.name); wait {
			return
		}
	}
	if err == nil {
		err = g.begin(c)
	}
	if err != nil {
		g.refuse(c, err)
	}
}

// gone says whether the sender whose files we take is silent.
func (g *receiving) gone() bool {
	for _, t := range g.incoming {
		if t.state == incomingSaves || g.con.Now().Sub(t.heard) < takeover {
			return false
		}
	}
	return len(g.incoming) > 0
}

// contest settles whose file of a name we take. While the other sender may be
// gone, nothing is said; the offer comes again.
func (g *receiving) contest(name string) (wait bool, err error) {
	for _, t := range g.incoming {
		if t.offer.name != name {
			continue
		}
		now := g.con.Now()
		switch {
		case t.state != incomingSaves && now.Sub(t.heard) >= takeover:
			g.drop(t, errors.New("its sender is gone, and another has come"))
			return false, nil
		case t.contested.IsZero():
			t.contested = now
			return true, nil
		case t.heard.After(t.contested):
			return false, errUnderWay
		}
		return true, nil
	}
	return false, nil
}

func (g *receiving) refuse(c *control, err error) {
	reason := told(err)
	if nameErr := files.CheckName(c.name); nameErr != nil {
		reason = "unsafe name: " + reason
	} else if errors.Is(err, files.ErrFileExists) {
		reason = "exists: " + reason
	}
	g.con.Status("refused %s: %s", cli.Field(c.name), reason)
	g.remember(&control{kind: "refuse", id: c.id, receiver: g.id, reason: reason})
	if c.batch == g.batch && c.file == c.files && g.got > 0 {
		g.rest(fmt.Errorf("%s: refused: %s", cli.Field(c.name), reason)) // no more will come
	}
}

// begin makes room for a file and accepts it.
func (g *receiving) begin(c *control) error {
	now := g.con.Now()
	t := &incoming{offer: *c, state: incomingReads, heard: now, began: now, seq: c.seq}
	if !g.resume {
		part, err := files.NewPart(g.root, c.name)
		if err != nil {
			return err
		}
		t.part = part
		g.ready(t)
		return nil
	}
	g.incoming[c.id] = t
	g.batch = c.batch
	g.tasks.Go(func() { // what is there may be long, and is read whole
		part := files.ResumePart(g.root, c.name, c.size)
		var err error
		if part == nil {
			part, err = files.NewPart(g.root, c.name)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		switch {
		case g.incoming[c.id] != t: // it was given up meanwhile
			if err == nil {
				part.Discard(true)
			}
		case err != nil:
			delete(g.incoming, c.id)
			g.refuse(c, err)
		default:
			t.part = part
			g.ready(t)
		}
	})
	return nil
}

// ready accepts a file whose part is open.
func (g *receiving) ready(t *incoming) {
	g.incoming[t.offer.id] = t
	g.batch = t.offer.batch
	g.bar.Begin(t.offer.name, t.offer.size)
	g.con.Detail("receiving %s: %d bytes, %d of them here", cli.Field(t.offer.name), t.offer.size, t.part.Size)
	g.accept(t)
}

// claim says what is here of a file, and proves it.
func (g *receiving) claim(kind string, t *incoming) *control {
	c := &control{kind: kind, id: t.offer.id, receiver: g.id, offset: t.part.Size}
	c.proof = c.proofOf(t.part.Sum())
	return c
}

func (g *receiving) accept(t *incoming) {
	t.state = incomingWaits
	g.tell(g.claim("accept", t))
}

func (g *receiving) again(t *incoming, _ *control) { g.accept(t) }

// start says where the next chunk begins. It cannot be beyond what is here.
func (g *receiving) start(t *incoming, c *control) {
	switch {
	case c.offset <= t.part.Size:
		t.state, t.next, t.acked = incomingFlows, c.offset, t.part.Size
		t.stride = c.window / 4
		parseID(&t.stream, c.stream) // which was looked at before
	case t.state != incomingWaits: // else it is for others, sent before our answer came
		g.give(t, errOrder)
	}
}

// reset forgets what is here, which is not of this file.
func (g *receiving) reset(t *incoming, _ *control) {
	if err := t.part.Reset(); err != nil {
		g.give(t, cli.Fail(cli.ExitWrite, err))
	}
}

func (g *receiving) aborted(t *incoming, c *control) {
	g.give(t, fmt.Errorf("the sender gave up: %s", cli.Field(c.reason)))
}

// flowing returns the file that comes as stream.
func (g *receiving) flowing(stream fileID) *incoming {
	for _, t := range g.incoming {
		if t.state == incomingFlows && t.stream == stream {
			return t
		}
	}
	return nil
}

// chunk takes a part of a file.
func (g *receiving) chunk(c chunk) {
	t := g.flowing(c.stream)
	if t == nil {
		return // somebody else's, or of a start that counts no more
	}
	t.heard = g.con.Now()
	end := c.offset + int64(len(c.data))
	switch {
	case c.offset != t.next:
		g.give(t, errOrder)
		return
	case end > t.offer.size:
		g.give(t, errBeyond)
		return
	}
	t.next = end
	if end <= t.part.Size {
		return
	}
	if _, err := t.part.Write(c.data[t.part.Size-c.offset:]); err != nil {
		g.give(t, cli.Fail(cli.ExitWrite, err))
		return
	}
	g.bar.At(t.part.Size)
	if t.part.Size-t.acked >= t.stride {
		g.ack(t)
	}
}

func (g *receiving) ack(t *incoming) {
	t.acked = t.part.Size
	g.tell(&control{kind: "ack", id: t.offer.id, receiver: g.id, offset: t.part.Size})
}

// done checks what came.
func (g *receiving) done(t *incoming, c *control) {
	switch {
	case c.stream != t.stream.String(): // of a start that counts no more
	case c.name != t.offer.name || c.size != t.offer.size:
		g.give(t, errDifferent)
	case t.part.Size < t.offer.size:
		g.give(t, errShort)
	default:
		t.state = incomingProves
		g.prove(t, c)
	}
}

func (g *receiving) prove(t *incoming, _ *control) { g.tell(g.claim("have", t)) }

// confirmed saves what is here, if that is what the sender has.
func (g *receiving) confirmed(t *incoming, c *control) {
	if c.proof != c.proofOf(t.part.Sum()) {
		t.part.Reset() // worth nothing
		g.give(t, errSum)
		return
	}
	t.state = incomingSaves
	g.tasks.Go(func() { // putting it on the disk may take long
		err := t.part.Publish(g.overwrite)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.publish(t, err)
	})
}

func (g *receiving) publish(t *incoming, err error) {
	if err != nil {
		if !errors.Is(err, files.ErrFileExists) && !errors.Is(err, fs.ErrExist) {
			err = cli.Fail(cli.ExitWrite, err)
		}
		g.give(t, err)
		return
	}
	delete(g.incoming, t.offer.id)
	g.saved(t.offer.name, t.offer.size, t.part.Sum(), g.con.Now().Sub(t.began))
	g.remember(g.claim("saved", t))
	if t.offer.file == t.offer.files && !g.keep {
		g.last, g.leaving = t.offer.id, g.con.Now().Add(farewell)
	}
}

// give gives a file up and tells its sender.
func (g *receiving) give(t *incoming, err error) {
	g.drop(t, err)
	g.remember(&control{kind: "failed", id: t.offer.id, receiver: g.id, reason: told(err)})
	if err = g.failed(t.offer.name, err); t.offer.batch == g.batch {
		g.rest(err)
	} else if !g.keep {
		g.con.Status("%v", err) // another sender has come since
	}
}

// drop gives a file up.
func (g *receiving) drop(t *incoming, err error) {
	delete(g.incoming, t.offer.id)
	g.con.Detail("dropped %s: %v", cli.Field(t.offer.name), err)
	if t.part != nil {
		t.part.Discard(g.resume)
	} // else who reads it finds out
}

// rest ends the program when nothing is coming any more; unless -keep, and with the
// first error that there was.
func (g *receiving) rest(err error) {
	if g.outcome == nil {
		g.outcome = err
	}
	if !g.keep && len(g.incoming) == 0 && g.wireJobs == 0 {
		g.end()
	}
}

// remember answers for good; the answer is repeated to a sender who asks again.
func (g *receiving) remember(c *control) {
	if len(g.ended) == maxOutcomes {
		g.ended = g.ended[1:]
	}
	g.ended = append(g.ended, outcome{c.id, *c})
	g.heard = g.con.Now()
	g.tell(c)
}

func (g *receiving) repeat(id fileID) bool {
	for _, o := range g.ended {
		if o.id == id {
			g.tell(&o.answer)
			return true
		}
	}
	return false
}

// tick is what there is to do once a second: senders hear from us, and those that
// were not heard are given up.
func (g *receiving) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.con.Now()
	switch {
	case len(g.incoming) > 0:
		g.heard = now
	case !g.leaving.IsZero():
		if now.After(g.leaving) {
			g.rest(nil)
		}
	case g.batch != "" && now.Sub(g.heard) > g.timeout:
		g.rest(silent(g.timeout)) // in the middle of the sender's files
	}
	for _, t := range g.incoming {
		switch {
		case t.state == incomingReads:
		case t.state != incomingSaves && now.Sub(t.heard) > g.timeout:
			g.give(t, silent(g.timeout))
		default:
			g.ack(t)
		}
	}
}
