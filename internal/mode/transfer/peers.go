package transfer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/wire"
	"socketsrv/wsproto"
)

// A sendStream is a connection and the goroutine that reads it.
type sendStream struct {
	conn  *wsproto.Conn
	ended chan struct{} // closed when nothing more comes
	err   error         // why; set before
}

// attach begins to read a connection.
func (s *sending) attach(conn *wsproto.Conn) {
	st := &sendStream{conn: conn, ended: make(chan struct{})}
	s.stream = st
	go func() {
		defer close(st.ended)
		for {
			m, err := conn.ReadMessage()
			if err != nil {
				st.err = lost(err)
				return
			}
			if s.peers.take(&s.code, m) {
				s.good.Store(true)
			}
		}
	}()
}

// detach ends the connection and waits for its goroutine.
func (s *sending) detach(politely bool) {
	if politely {
		s.stream.conn.CloseWrite(wsproto.StatusNormalClosure, "")
		select {
		case <-s.stream.ended:
		case <-time.After(dial.CutTime):
		}
	} else {
		s.stream.conn.CloseWrite(wsproto.StatusGoingAway, "")
	}
	s.stream.conn.NetConn().SetReadDeadline(time.Now().Add(dial.CutTime))
	<-s.stream.ended
	s.stream.conn.NetConn().Close()
	s.stream.conn.Close(0, "")
}

func (st *sendStream) write(b []byte) error {
	if err := st.conn.WriteMessage(wsproto.OpBinary, b); err != nil {
		return st.writeFailed(err)
	}
	return nil
}

// writeFailed prefers what the server said to the error of a write.
func (st *sendStream) writeFailed(err error) error {
	select {
	case <-st.ended:
		return st.err
	case <-time.After(dial.CutTime):
		return lost(err)
	}
}

// maxPeers is how many receivers a sender keeps book of; it ignores others.
const maxPeers = 256

// maxTries is how often a receiver may accept anew before it has more.
const maxTries = 8

type peerState uint8

const (
	peerKnown    peerState = iota // had an earlier file, or this one before the connection broke
	peerAccepted                  // waits for a start
	peerActive                    // is being sent to
	peerProven                    // has it all, and puts it on the disk
	peerSaved
	peerRefused
	peerFailed
)

// peerMoves are what the messages of a receiver do in each of its states. What is not
// here only shows that it lives.
var peerMoves = map[string]map[peerState]func(*sendPeers, *sendPeer, *control){
	"accept": {peerKnown: (*sendPeers).join, peerAccepted: (*sendPeers).join, peerActive: (*sendPeers).rejoin, peerProven: (*sendPeers).rejoin},
	"refuse": {peerKnown: (*sendPeers).refused, peerAccepted: (*sendPeers).refused},
	"ack":    {peerActive: (*sendPeers).acked},
	"have":   {peerActive: (*sendPeers).proven, peerProven: (*sendPeers).proven},
	"saved":  {peerKnown: (*sendPeers).saved, peerProven: (*sendPeers).saved}, // known: before the connection broke
	"failed": {peerKnown: (*sendPeers).failed, peerAccepted: (*sendPeers).failed, peerActive: (*sendPeers).failed, peerProven: (*sendPeers).failed},
}

// A sendPeer is a receiver as the sender sees it.
type sendPeer struct {
	id     string
	state  peerState
	offset int64  // what it has
	proof  string // that it has that
	best   int64  // the most it had when it accepted
	tries  int    // how often it accepted since
	asks   bool   // to be told what the whole is
	heard  time.Time
	seq    int64 // of its last message
	reason string
}

// sendPeers are the receivers of the file under way. The goroutine that reads
// writes them, the one that sends looks at them.
type sendPeers struct {
	news chan struct{} // something changed

	mu    sync.Mutex
	id    fileID
	peers map[string]*sendPeer
	asked int    // how often the offer was repeated
	sent  int64  // up to where chunks went out since the last start
	sum   string // of the whole file; "" until that is known
	tool  string // the -wire that a receiver seems to want; "" if none does
}

func (ps *sendPeers) init() {
	ps.news = make(chan struct{}, 1)
	ps.peers = make(map[string]*sendPeer)
}

// next begins a file: who had the last one is expected to want this one.
func (ps *sendPeers) next(id fileID) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.id, ps.asked, ps.sum, ps.tool = id, 0, "", ""
	for _, p := range ps.peers {
		if p.state == peerSaved || p.state == peerRefused {
			*p = sendPeer{id: p.id, state: peerKnown, heard: time.Now(), seq: p.seq}
		} else {
			delete(ps.peers, p.id)
		}
	}
}

// forget is for a connection that broke: who did not end must accept again.
func (ps *sendPeers) forget() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.asked = 0
	for _, p := range ps.peers {
		if p.state == peerAccepted || p.state == peerActive || p.state == peerProven {
			p.state, p.heard = peerKnown, time.Now()
		}
	}
}

// repeated notes that the offer goes out again.
func (ps *sendPeers) repeated() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.asked++
}

// take looks at a message; false: it is not for us.
func (ps *sendPeers) take(k *code, m wsproto.Message) bool {
	c, err := k.parse(m.Data)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch {
	case err != nil:
		return ps.notOurs(k, m.Data)
	case m.Opcode != wsproto.OpText || c.id != ps.id || c.receiver == "":
		return false
	}
	p := ps.peers[c.receiver]
	if p == nil {
		if (c.kind != "accept" && c.kind != "refuse") || len(ps.peers) >= maxPeers {
			return false
		}
		p = &sendPeer{id: c.receiver}
		ps.peers[c.receiver] = p
	}
	if k.key != nil && c.seq <= p.seq {
		return false // somebody repeats it
	}
	p.heard, p.seq = time.Now(), c.seq
	if move := peerMoves[c.kind][p.state]; move != nil {
		move(ps, p, &c)
	}
	ps.changed()
	return true
}

func (ps *sendPeers) changed() {
	select {
	case ps.news <- struct{}{}:
	default:
	}
}

// notOurs looks for a receiver of the ws tool, which says that it cannot read an offer.
func (ps *sendPeers) notOurs(k *code, b []byte) bool {
	fields, format, err := wire.Parse(b)
	if a, ok := fields.Answer(); err == nil && ok && a.Err != "" && k.key == nil {
		ps.tool = format.String()
		ps.changed()
	}
	return false
}

func (ps *sendPeers) join(p *sendPeer, c *control) {
	p.state, p.offset, p.proof = peerAccepted, c.offset, c.proof
}

// rejoin has the sender begin again where a receiver is, which lost its connection or
// a start. One that never gets any further would have it begin for ever.
func (ps *sendPeers) rejoin(p *sendPeer, c *control) {
	if p.tries++; c.offset > p.best {
		p.best, p.tries = c.offset, 0
	}
	if ps.join(p, c); p.tries > maxTries {
		p.state, p.reason = peerFailed, "it accepts again and again, and has no more than before"
	}
}

func (ps *sendPeers) refused(p *sendPeer, c *control) { p.state, p.reason = peerRefused, c.reason }
func (ps *sendPeers) failed(p *sendPeer, c *control)  { p.state, p.reason = peerFailed, c.reason }

// acked notes what a receiver has, which cannot be more than was sent.
func (ps *sendPeers) acked(p *sendPeer, c *control) { p.offset = max(p.offset, min(c.offset, ps.sent)) }

// proven compares what a receiver has with what the file is.
func (ps *sendPeers) proven(p *sendPeer, c *control) {
	switch {
	case ps.sum == "": // it cannot have it yet
	case c.proof == c.proofOf(ps.sum):
		p.state, p.asks = peerProven, true
	default:
		p.state, p.reason, p.asks = peerFailed, errSum.Error(), true
	}
}

func (ps *sendPeers) saved(p *sendPeer, c *control) {
	if ps.sum != "" && c.proof == c.proofOf(ps.sum) {
		p.state = peerSaved
	}
}

// expect has who says what the whole is checked against sum from here on.
func (ps *sendPeers) expect(sum string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.sum = sum
}

// asking are those who are to be told what the whole is; they are returned once.
func (ps *sendPeers) asking() (ids []string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.peers {
		if p.asks {
			ids, p.asks = append(ids, p.id), false
		}
	}
	return ids
}

// drop gives up those in the given states who have been silent for too long. The
// caller holds mu.
func (ps *sendPeers) drop(timeout time.Duration, states ...peerState) {
	for _, p := range ps.peers {
		if slices.Contains(states, p.state) && time.Since(p.heard) > timeout {
			p.state, p.reason = peerFailed, silent(timeout).Error()
		}
	}
}

// gathered says whether there are wanted receivers, and none that still may
// answer.
func (ps *sendPeers) gathered(wanted int, timeout time.Duration) (bool, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.drop(timeout, peerKnown)
	n := ps.tally()
	switch {
	case n[peerKnown] > 0:
		return false, nil
	case n[peerAccepted]+n[peerSaved] >= wanted:
		return true, nil
	case ps.asked > 0 && (n[peerRefused]+n[peerFailed] > 0 || ps.tool != ""):
		return false, ps.reasons() // the others have had their time to accept
	}
	return false, nil
}

// accepted are those who wait for a start, those with the smallest offset first.
func (ps *sendPeers) accepted() (list []sendPeer) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.peers {
		if p.state == peerAccepted {
			list = append(list, *p)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].offset < list[j].offset })
	return list
}

// reset notes that a receiver was told to begin anew.
func (ps *sendPeers) reset(id string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.peers[id].offset = 0
}

// start makes those who accepted active, and returns what all active ones have.
func (ps *sendPeers) start() int64 {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.peers {
		if p.state == peerAccepted {
			p.state = peerActive
		}
	}
	ps.sent, _ = ps.lowest()
	return ps.sent
}

// lowest is the smallest offset of those active. The caller holds mu.
func (ps *sendPeers) lowest() (offset int64, any bool) {
	for _, p := range ps.peers {
		if p.state == peerActive && (!any || p.offset < offset) {
			offset, any = p.offset, true
		}
	}
	return offset, any
}

// A roomState is what there is to do before the next chunk.
type roomState uint8

const (
	roomNone     roomState = iota // wait
	roomEnough                    // send it
	roomRejoined                  // somebody accepted: begin again
	roomNobody                    // nobody wants it any more
)

// room says whether the window, which begins at what all active receivers have,
// reaches to end; then it is sent up to there.
func (ps *sendPeers) room(end, window int64, wanted int, timeout time.Duration) (roomState, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	n := ps.tally()
	if n[peerAccepted] > 0 {
		return roomRejoined, nil
	}
	if lowest, any := ps.lowest(); any && lowest >= end-window {
		ps.sent = end
		return roomEnough, nil
	}
	ps.drop(timeout, peerActive)
	switch n = ps.tally(); {
	case n[peerActive] > 0:
		return roomNone, nil
	case n[peerProven] > 0 || n[peerSaved] >= wanted:
		return roomNobody, nil
	}
	return roomNone, ps.reasons()
}

// outcome says whether all who got the file have it.
func (ps *sendPeers) outcome(wanted int, timeout time.Duration) (over, rejoined bool, err error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.drop(timeout, peerActive, peerProven)
	n := ps.tally()
	switch {
	case n[peerAccepted] > 0:
		return false, true, nil
	case n[peerActive]+n[peerProven] > 0:
		return false, false, nil
	case n[peerSaved] < wanted:
		return false, false, ps.reasons()
	}
	return true, false, nil
}

// tally counts the receivers by state. The caller holds mu.
func (ps *sendPeers) tally() (n [peerFailed + 1]int) {
	for _, p := range ps.peers {
		n[p.state]++
	}
	return n
}

func (ps *sendPeers) count(state peerState) int {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.tally()[state]
}

// reasons is what those said who do not take the file. The caller holds mu.
func (ps *sendPeers) reasons() error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(ps.peers)) {
		p := ps.peers[id]
		switch p.state {
		case peerRefused:
			errs = append(errs, fmt.Errorf("refused: %s", cli.Field(p.reason)))
		case peerFailed:
			errs = append(errs, fmt.Errorf("receiver %s: %s", id, cli.Field(p.reason)))
		}
	}
	if ps.tool != "" {
		errs = append(errs, fmt.Errorf("a receiver speaks the format of IXWebSocket's ws: want -wire %s", ps.tool))
	}
	if len(errs) == 0 {
		return errors.New("too few receivers are left")
	}
	return cli.Fail(cli.ExitFailure, joinLines(errs))
}

// joinLines is errors.Join in one line.
func joinLines(errs []error) error {
	err := errs[0]
	for _, e := range errs[1:] {
		err = fmt.Errorf("%w; %w", err, e)
	}
	return err
}
