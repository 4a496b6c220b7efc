package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/files"
	"socketsrv/wsproto"
)

// Send sends files through a transfer server.
var Send = cli.Mode{
	Name: "send", Args: "URL FILE...",
	Brief: "send files through a transfer server; 0 when a receiver has them",
	Examples: []string{
		"socketsrv -send ws://localhost:8008 disk.img",
		"socketsrv -send -receivers 2 ws://localhost:8008 *.log",
		"socketsrv -send -wire pdu ws://localhost:8008 notes.txt",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		s := &send{wire: "stream", receivers: 1, wait: time.Minute, window: 4 << 20}
		fs.Group("Sending")
		fs.Choice(&s.wire, "wire", "Speaks our format, or one of IXWebSocket's ws: pdu since 2026, msgpack up to 12.0.1.", "stream", "pdu", "msgpack")
		fs.Int(&s.receivers, "receivers", "N", 1, maxPeers, "Begins when N receivers accept a file, and ends when they have it.")
		fs.Duration(&s.wait, "wait", "Waits D for receivers to come.")
		fs.String(&s.name, "name", "NAME", "Sends the one file under this name.")
		fs.SizeFrom(&s.window, "window", chunkSize, "Is never more than SIZE bytes ahead of the slowest receiver.")
		s.flags(fs)
		fs.Check(func() error {
			if s.word != "" && s.wire != "stream" {
				return cli.Usagef("-code is for our format: -wire %s has no place for it", s.wire)
			}
			return nil
		})
		return fs.WithPidfile(s.run)
	},
}

// send is what the flags said.
type send struct {
	endpoint
	wire      string
	receivers int
	wait      time.Duration
	name      string
	window    int64
}

// A source is a file to send.
type source struct {
	f       *os.File
	name    string // as receivers see it
	size    int64
	changed time.Time
	id      fileID
	stream  fileID // of the last start

	hash   hash.Hash
	hashed int64 // bytes
}

var errChanged = errors.New("file changed during transfer")

func openSource(path, name string) (*source, error) {
	if name == "" {
		name = filepath.Base(path)
	}
	err := files.CheckName(name)
	if err != nil {
		return nil, cli.Fail(cli.ExitRead, fmt.Errorf("%s: %w; -name gives it another", cli.Field(path), err))
	}
	f, err := os.OpenFile(path, os.O_RDONLY|files.OpenNonblock, 0)
	if err != nil {
		return nil, cli.Fail(cli.ExitRead, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", cli.Field(path))
	}
	if err != nil {
		f.Close()
		return nil, cli.Fail(cli.ExitRead, err)
	}
	return &source{f: f, name: name, size: info.Size(), changed: info.ModTime(), id: newTransferID(), hash: sha256.New()}, nil
}

// read fills b with the bytes at offset and hashes what was not hashed before.
func (f *source) read(b []byte, offset int64) error {
	n, err := f.f.ReadAt(b, offset)
	if n < len(b) {
		if err == io.EOF {
			return errChanged
		}
		return cli.Fail(cli.ExitRead, err)
	}
	if fresh := f.hashed - offset; fresh < int64(n) {
		f.hash.Write(b[max(fresh, 0):])
		f.hashed = offset + int64(n)
	}
	return nil
}

func (f *source) sum() string { return hex.EncodeToString(f.hash.Sum(nil)) }

// unchanged says whether the file still is what it was.
func (f *source) unchanged() error {
	info, err := f.f.Stat()
	if err != nil {
		return cli.Fail(cli.ExitRead, err)
	}
	if info.Size() != f.size || !info.ModTime().Equal(f.changed) {
		return errChanged
	}
	return nil
}

// openSources opens all files, so that what cannot be sent is found out at once.
func (s *send) openSources(paths []string) (sources []*source, err error) {
	defer func() {
		if err != nil {
			closeSources(sources)
		}
	}()
	if s.name != "" && len(paths) > 1 {
		return nil, cli.Usagef("-name is for one file")
	}
	for _, path := range paths {
		f, err := openSource(path, s.name)
		if err != nil {
			return sources, err
		}
		sources = append(sources, f)
		if i := slices.IndexFunc(sources, func(g *source) bool { return g.name == f.name }); i < len(sources)-1 {
			return sources, cli.Usagef("two files are called %q", f.name)
		}
	}
	return sources, nil
}

func closeSources(sources []*source) {
	for _, f := range sources {
		f.f.Close()
	}
}

func (s *send) run(ctx context.Context, env *cli.Env, args []string) error {
	t, err := dial.ParseWebSocket(args[0])
	if err != nil {
		return err
	}
	sources, err := s.openSources(args[1:])
	if err != nil {
		return err
	}
	defer closeSources(sources)
	bar := files.NewProgress(env, s.Output)
	con, err := s.Output.Open(bar.Env)
	if err != nil {
		return err
	}
	defer con.Close()
	defer bar.Clear()
	conn, err := s.open(ctx, env, con, t)
	if err != nil {
		return err
	}
	if s.wire != "stream" {
		return s.sendWire(ctx, con, conn, sources)
	}
	r := &sending{send: s, ctx: ctx, env: env, con: con, bar: bar, target: t, batch: newTransferID().String(),
		files: len(sources), buf: make([]byte, chunkHead+chunkSize)}
	r.peers.init()
	r.attach(conn)
	err = r.all(sources)
	r.detach(err == nil)
	return err
}

// A sending is one command's files on their way.
type sending struct {
	*send
	ctx    context.Context
	env    *cli.Env
	con    *cli.Console
	bar    *files.Progress
	target dial.Target
	batch  string
	files  int
	buf    []byte
	stream *sendStream // the connection
	peers  sendPeers
}

func (s *sending) all(sources []*source) error {
	for i, f := range sources {
		started := s.con.Now()
		if err := s.one(f, i+1); err != nil {
			return fmt.Errorf("%s: %w", cli.Field(f.name), err)
		}
		s.bar.Clear()
		s.con.Status("sent %s: %d bytes in %v, %s, sha256 %s",
			cli.Field(f.name), f.size, files.RoundTime(s.con.Now().Sub(started)), cli.Plural(int64(s.peers.count(peerSaved)), "receiver"), f.sum())
		if s.Output.JSON {
			s.con.Emit(fileEvent(event.Out, f.name, f.size, f.sum()))
		}
	}
	return nil
}

func fileEvent(dir, name string, size int64, sum string) *event.Event {
	return &event.Event{Event: "file", Proto: "ws", Client: -1, Dir: dir, Size: size,
		Fields: []event.Data{event.Text("name", name), event.Text("sha256", sum)}}
}

// one sends a file, over as many connections as it takes.
func (s *sending) one(f *source, number int) error {
	s.peers.next(f.id)
	s.bar.Begin(f.name, f.size)
	err := s.attempt(f, number)
	for err != nil {
		conn, rerr := s.reopen(s.ctx, s.env, s.con, s.target, err)
		if rerr != nil {
			break
		}
		s.detach(false)
		s.attach(conn)
		s.peers.forget()
		err = s.attempt(f, number)
	}
	if err != nil {
		s.tell(&control{kind: "abort", id: f.id, reason: told(err)}) // if it still can
	}
	return err
}

// attempt sends a file over one connection; of an earlier one receivers have
// what they have.
func (s *sending) attempt(f *source, number int) error {
	if err := s.offer(f, number); err != nil {
		return err
	}
	if len(s.peers.accepted()) == 0 {
		s.tell(&control{kind: "over", id: f.id})
		return nil // all have said that they have it, before the connection broke
	}
	for {
		pos, err := s.begin(f)
		if err != nil {
			return err
		}
		done, err := s.transmit(f, pos)
		if err == nil && done {
			done, err = s.confirm(f)
		}
		if err != nil {
			return err
		}
		if done {
			s.tell(&control{kind: "over", id: f.id}) // who does not hear it waits for a while
			return nil
		}
	}
}

// offer repeats the offer until there are receivers enough.
func (s *sending) offer(f *source, number int) error {
	m := &control{kind: "offer", id: f.id, batch: s.batch, file: int64(number), files: int64(s.files), name: f.name, size: f.size}
	deadline := never
	if s.wait > 0 {
		deadline = s.con.Now().Add(s.wait)
	}
	for interval := beat / 16; ; interval = min(2*interval, beat) {
		if err := s.tell(m); err != nil {
			return err
		}
		for again := time.NewTimer(interval); ; {
			ready, err := s.peers.gathered(s.receivers, s.timeout)
			if ready || err != nil {
				again.Stop()
				return err
			}
			if !s.pause(again) {
				break
			}
		}
		switch err := s.fault(); {
		case err != nil:
			return err
		case s.con.Now().After(deadline):
			return cli.Fail(cli.ExitTimeout, fmt.Errorf("no receiver within %v", s.wait))
		}
		s.peers.repeated()
	}
}

var never = time.Unix(1<<40, 0)

// pause waits for news of the receivers; false when it is time to say something
// again, or when it is over.
func (s *sending) pause(again *time.Timer) bool {
	select {
	case <-again.C:
		return false
	case <-s.ctx.Done():
		return false
	case <-s.stream.ended:
		return false
	case <-s.peers.news:
		return true
	}
}

// fault says why it cannot go on, if so.
func (s *sending) fault() error {
	select {
	case <-s.ctx.Done():
		return s.ctx.Err()
	case <-s.stream.ended:
		return s.stream.err
	default:
		return nil
	}
}

// tell sends a control message.
func (s *sending) tell(m *control) error {
	if err := s.stream.conn.WriteMessage(wsproto.OpText, s.code.append(nil, *m)); err != nil {
		return s.stream.writeFailed(err)
	}
	return nil
}

// begin agrees with those who accepted on where to go on, and returns that.
func (s *sending) begin(f *source) (pos int64, err error) {
	for _, p := range s.peers.accepted() {
		wrong := p.offset > f.size
		if !wrong && p.offset >= f.hashed { // else the hash over the whole will tell
			if err := s.hashTo(f, p.offset); err != nil {
				return 0, err
			}
			claim := control{kind: "accept", id: f.id, receiver: p.id}
			wrong = p.proof != claim.proofOf(f.sum())
		}
		if !wrong {
			continue
		}
		if err := s.tell(&control{kind: "reset", id: f.id, receiver: p.id}); err != nil {
			return 0, err
		}
		s.peers.reset(p.id)
	}
	pos = s.peers.start()
	f.stream = newTransferID()
	return pos, s.tell(&control{kind: "start", id: f.id, stream: f.stream.String(), offset: pos, window: s.window})
}

// hashTo hashes the file up to offset, for those who have it; meanwhile they hear
// from us.
func (s *sending) hashTo(f *source, offset int64) error {
	spoke := s.con.Now()
	for f.hashed < offset {
		b := s.buf[:min(int64(len(s.buf)), offset-f.hashed)]
		if err := f.read(b, f.hashed); err != nil {
			return err
		}
		if now := s.con.Now(); now.Sub(spoke) >= beat {
			spoke = now
			if err := s.tell(&control{kind: "alive", id: f.id}); err != nil {
				return err
			}
			if err := s.fault(); err != nil {
				return err
			}
		}
	}
	return nil
}

// transmit sends chunks from pos to the end of the file. It is not done when somebody
// accepted meanwhile.
func (s *sending) transmit(f *source, pos int64) (done bool, err error) {
	for pos < f.size {
		n := min(chunkSize, f.size-pos)
		switch room, err := s.makeRoom(f, pos+n); {
		case err != nil:
			return false, err
		case room != roomEnough:
			return room == roomNobody, nil
		}
		b := s.buf[:chunkHead+n]
		if err := f.read(b[chunkHead:], pos); err != nil {
			return false, err
		}
		putChunkHead(b, f.stream, pos)
		if err := s.stream.write(b); err != nil {
			return false, err
		}
		pos += n
		s.bar.At(pos)
	}
	return true, f.unchanged()
}

// makeRoom waits until the window reaches to end, or something else is to be done.
func (s *sending) makeRoom(f *source, end int64) (roomState, error) {
	var again *time.Timer
	for {
		if err := s.fault(); err != nil {
			return roomNone, err
		}
		room, err := s.peers.room(end, s.window, s.receivers, s.timeout)
		if err != nil || room != roomNone {
			return room, err
		}
		if again == nil {
			again = time.NewTimer(beat)
			defer again.Stop()
		}
		if !s.pause(again) {
			again.Reset(beat)
			if err := s.tell(&control{kind: "alive", id: f.id}); err != nil {
				return roomNone, err
			}
		}
	}
}

// confirm says what the file was and waits for those who got it to say that they
// have it. It is not done when somebody accepted meanwhile.
func (s *sending) confirm(f *source) (done bool, err error) {
	sum := f.sum()
	s.peers.expect(sum) // before anybody can say that it has it
	m := &control{kind: "done", id: f.id, stream: f.stream.String(), name: f.name, size: f.size}
	for {
		if err := s.tell(m); err != nil {
			return false, err
		}
		for again := time.NewTimer(beat); ; {
			for _, id := range s.peers.asking() {
				c := &control{kind: "confirm", id: f.id, receiver: id}
				c.proof = c.proofOf(sum)
				if err := s.tell(c); err != nil {
					return false, err
				}
			}
			over, rejoined, err := s.peers.outcome(s.receivers, s.timeout)
			if over || rejoined || err != nil {
				again.Stop()
				return over, err
			}
			if !s.pause(again) {
				break
			}
		}
		if err := s.fault(); err != nil {
			return false, err
		}
	}
}
