package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"socketsrv/internal/event"
)

// Output is what the flags about output said.
type Output struct {
	JSON    bool
	Verbose bool
	Quiet   bool
	Log     string // file for the status lines; "" is stderr
	Record  string // file for all events, or a capture; "" is none
	Color   string // auto, always, never
	Style   event.Style

	Lossy bool // the mode goes on where nobody reads its words; those without room are counted

	recordMax int64
}

// Events reports whether anybody wants events: -json or -record.
func (o *Output) Events() bool { return o.JSON || o.Record != "" }

// Output adds the flags about what is printed, and how.
func (fs *Flags) Output() *Output {
	o := &Output{Color: "auto", recordMax: 1 << 30}
	o.Style.MaxShow = event.DefaultMaxShow
	format := event.FormatAuto.String()
	fs.Group("Output")
	fs.Switch(&o.JSON, "json", "Prints every event as a JSON object on a line of stdout.")
	fs.Choice(&format, "format", "Shows payloads so; auto is text where it is UTF-8, else a hex dump.", "auto", "text", "hex", "raw")
	fs.Switch(&o.Style.Raw, "raw", "Prints payloads as they are, control characters too.")
	fs.Size(&o.Style.MaxShow, "max-show", "Shows at most SIZE bytes of a payload; 0 shows all.")
	fs.Switch(&o.Style.Time, "t timestamps", "Puts the time before each line.")
	fs.Choice(&o.Color, "color", "Uses colours: on a terminal, always or never.", "auto", "always", "never")
	fs.String(&o.Log, "log", "FILE", "Appends status lines to FILE instead of stderr.")
	fs.Alias("log", "logfile")
	fs.String(&o.Record, "record", "FILE", "Keeps every event with its whole payload in FILE, as JSON lines; FILE.pcapng is a capture for Wireshark.")
	fs.Size(&o.recordMax, "record-max", "Ends the recording when FILE has SIZE bytes.")
	fs.Switch(&o.Verbose, "v verbose", "Shows handshakes, header fields and control frames too.")
	fs.Switch(&o.Quiet, "q quiet", "Prints errors only.")
	fs.Check(func() (err error) {
		if o.Verbose && o.Quiet {
			return Usagef("-v and -q exclude each other")
		}
		if o.JSON && !fs.Given("max-show") || o.Style.MaxShow == 0 {
			o.Style.MaxShow = -1
		}
		o.Style.Format, err = event.ParseFormat(format)
		return err
	})
	return o
}

// Open begins the output of a mode. What env.Stdout and env.Stderr are at that
// time is what it writes to.
func (o *Output) Open(env *Env) (*Console, error) {
	style := o.Style
	style.Color = o.Colored(env)
	c := &Console{flags: o, Now: env.Now, status: env.Stderr}
	if o.Log != "" {
		f, err := opened(env, func() (*os.File, error) {
			return os.OpenFile(o.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		})
		if err != nil {
			return nil, err
		}
		c.log = f
		c.status = event.NewStream(f, event.StreamOptions{OnError: func(err error) {
			fmt.Fprintf(env.Stderr, "%s: %s\n", Program, ErrorLine(err))
		}})
	}
	if o.Lossy {
		c.waiting = event.NewWriter(c.status, event.Options{Lossy: true})
		c.status = c.waiting
	}
	c.Writer = event.NewWriter(env.Stdout, event.Options{Style: style, JSON: o.JSON, Now: env.Now, Lossy: o.Lossy, OnDrop: func() {
		c.Line(Program + ": stdout is not read: what has no room is dropped until it is")
	}})
	if o.Record != "" {
		if err := c.record(env); err != nil {
			c.Close()
			return nil, err
		}
	}
	if env.opened != nil {
		*env.opened = c
	}
	return c, nil
}

// opened is what open returns, for output; the first signal ends the wait for the reader
// of a FIFO, and leaves the goroutine behind.
func opened[T any](env *Env, open func() (T, error)) (file T, err error) {
	type result struct {
		file T
		err  error
	}
	done := make(chan result, 1)
	go func() {
		f, err := open()
		done <- result{f, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return file, &Failure{ExitWrite, r.err}
		}
		return r.file, nil
	case <-env.ended:
		return file, context.Canceled
	}
}

func (o *Output) Colored(env *Env) bool {
	switch o.Color {
	case "always":
		return true
	case "never":
		return false
	}
	return env.TTYOut != nil && env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb"
}

// A Console is where a mode's words go: events to stdout by the methods of
// event.Writer, status lines to stderr or to the file of -log. Its methods may be
// called from any goroutine.
type Console struct {
	*event.Writer
	flags *Output
	rec   *event.Recorder // nil: nothing is recorded
	erred string          // the last error that was an event

	recordLost bool // and told; rec.Close orders it

	Now func() time.Time
	log io.Closer

	waiting *event.Writer // status, of a mode that does not wait for it

	mu     sync.Mutex
	status io.Writer
}

// record begins the recording. What env dials and listens on from now on is below it.
func (c *Console) record(env *Env) (err error) {
	c.rec, err = opened(env, func() (*event.Recorder, error) {
		return event.NewRecorder(c.flags.Record, event.RecordOptions{Max: c.flags.recordMax, Now: env.Now, OnStop: c.notKept})
	})
	if err != nil {
		return err
	}
	dial, listen, packets := env.Dial, env.Listen, env.ListenPacket
	env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := dial(ctx, network, address)
		if err == nil {
			nc = c.rec.Conn(nc, false)
		}
		return nc, err
	}
	env.Listen = func(ctx context.Context, network, address string) (net.Listener, error) {
		ln, err := listen(ctx, network, address)
		if err == nil {
			ln = &recordedListener{ln, c.rec}
		}
		return ln, err
	}
	env.ListenPacket = func(ctx context.Context, network, address string) (net.PacketConn, error) {
		pc, err := packets(ctx, network, address)
		if err == nil {
			pc = c.rec.Packets(pc)
		}
		return pc, err
	}
	return nil
}

// notKept tells why the recording goes no further; a disk error names the file itself.
func (c *Console) notKept(err error) {
	if err == event.ErrRecordFull {
		err = fmt.Errorf("%s: %w", c.flags.Record, err)
	} else {
		c.recordLost = true
	}
	c.Error(err)
}

type recordedListener struct {
	net.Listener
	rec *event.Recorder
}

func (l *recordedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		nc = l.rec.Conn(nc, true)
	}
	return nc, err
}

// Packets is pc, below the recording: for a socket that env did not open.
func (c *Console) Packets(pc net.PacketConn) net.PacketConn { return c.rec.Packets(pc) }

// KeyLog gets the secrets of TLS connections for a capture; nil: there is none.
func (c *Console) KeyLog() io.Writer { return c.rec.KeyLog() }

// finish says as an event what the program ends with, unless one said it already,
// and ends the recording, which is output too. What it returns is still to be said.
func (c *Console) finish(err error) error {
	err = c.finalEvent(err)
	lost := c.rec.Close()
	if lost != nil && !c.recordLost {
		c.notKept(lost)
	}
	if lost != nil && err == nil {
		return &Failure{ExitWrite, nil}
	}
	return err
}

func (c *Console) finalEvent(err error) error {
	if f, ok := errors.AsType[*Failure](err); err == nil || ExitCode(err) == ExitOK || ok && f.Err == nil {
		return err
	}
	if text := ErrorText(err); text != c.erred {
		c.Event(event.Event{Event: event.Error, Client: -1, Err: text})
	}
	if c.wordless() && c.Flush(FlushTime) == nil && ExitCode(err) != ExitUsage {
		return &Failure{ExitCode(err), nil}
	}
	return err
}

// wordless says whether events are all that is said.
func (c *Console) wordless() bool { return c.flags.JSON && c.flags.Log == "" }

// Emit prints an event, and records it.
func (c *Console) Emit(e *event.Event) {
	c.note(e)
	c.Writer.Emit(e)
}

// Show is Emit for what -q does not print, but -json and -record have.
func (c *Console) Show(e *event.Event) {
	if c.flags.Quiet && !c.flags.JSON {
		c.note(e)
		return
	}
	c.Emit(e)
}

// Gather is Emit, or Event where it is not to be shown, for one of several that come at
// once: they go out with Release.
func (c *Console) Gather(e *event.Event, shown bool) {
	c.rec.Gather(e)
	if shown || c.flags.JSON {
		c.Writer.Add(e)
	}
}

// Release has what was gathered go out, as Emit does.
func (c *Console) Release() {
	c.rec.Release()
	c.Writer.Release()
}

func (c *Console) note(e *event.Event) {
	c.rec.Record(e)
	if e.Event == event.Error {
		c.mu.Lock()
		c.erred = e.Err
		c.mu.Unlock()
	}
}

// Status prints a line of status, unless -q; with -json only to the file of -log. It
// is escaped as a whole, so that args may come from a peer.
func (c *Console) Status(format string, args ...any) {
	if !c.flags.Quiet && !c.wordless() {
		c.Line(fmt.Sprintf(format, args...))
	}
}

// Detail is Status for what only -v shows.
func (c *Console) Detail(format string, args ...any) {
	if c.flags.Verbose && !c.wordless() {
		c.Line(fmt.Sprintf(format, args...))
	}
}

// Error says what went wrong without ending the program.
func (c *Console) Error(err error) {
	text := ErrorText(err)
	if !c.wordless() {
		c.Line(Program + ": " + text)
	}
	c.Event(event.Event{Event: event.Error, Client: -1, Err: text})
}

// Event prints an event with -json, records it with -record, and does nothing
// without: what status lines say otherwise.
func (c *Console) Event(e event.Event) {
	if c.flags.JSON {
		c.Emit(&e)
	} else {
		c.note(&e)
	}
}

// A Count is a counter of a summary: its name in events, and in words one of what it
// counts, if that is not clear, and what became of them.
type Count struct {
	Key        string
	N          int64
	Unit, Fate string
}

// Counted makes a Count.
func Counted(key string, n int64, unit, fate string) Count { return Count{key, n, unit, fate} }

// Report is Summary for somebody who asked, with -q too.
func (c *Console) Report(counts ...Count) {
	c.Line(inWords(counts))
	c.Event(summary(counts))
}

// Summary prints counters as words, an event as well.
func (c *Console) Summary(counts ...Count) {
	c.Status("%s", inWords(counts))
	c.Event(summary(counts))
}

func inWords(counts []Count) string {
	var words []string
	for _, n := range counts {
		word := strconv.FormatInt(n.N, 10)
		if n.Unit != "" {
			word = Plural(n.N, n.Unit)
		}
		words = append(words, strings.TrimSuffix(word+" "+n.Fate, " "))
	}
	return strings.Join(words, ", ")
}

func summary(counts []Count) event.Event {
	e := event.Event{Event: event.Summary, Client: -1}
	for _, n := range counts {
		e.Fields = append(e.Fields, event.Int(n.Key, n.N))
	}
	return e
}

// Listening says that the server accepts connections on addr; with -json it is
// an event as well.
func (c *Console) Listening(proto, addr string) {
	c.Status("listening on %s %s", proto, addr)
	c.Event(event.Event{Event: event.Listening, Client: -1, Proto: proto, Addr: addr})
}

// Field is s, which a peer may have chosen, as a part of a status line or of an
// error, which are escaped as a whole.
func Field(s string) string { return event.Cut(s, event.FieldMax) }

const MaxStatusLine = 4 << 10 // bytes, before escaping

// Print writes text where status lines go, as it is.
func (c *Console) Print(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Write([]byte(text))
}

func (c *Console) Line(text string) {
	var b []byte
	if c.flags.Style.Time {
		b = c.Now().AppendFormat(b, event.TimeLayout)
	}
	b = append(event.AppendCut(b, text, MaxStatusLine), '\n')
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Write(b)
}

const FlushTime = 2 * time.Second // for a reader that stalls to take some more

// Close waits for what is still being written, though not for ever.
func (c *Console) Close() error {
	err := c.Flush(FlushTime)
	if n := c.Dropped(); n > 0 {
		c.Line(fmt.Sprintf("%s: stdout was not read: %s dropped", Program, Plural(n, "line")))
	}
	if c.waiting != nil {
		c.waiting.Flush(FlushTime) // in a time of its own: stdout may have used up the other
		if n := c.waiting.Dropped(); n > 0 {
			c.Line(fmt.Sprintf("%s: this was not read: %s dropped", Program, Plural(n, "line")))
			c.waiting.Flush(FlushTime)
		}
	}
	if c.log != nil {
		c.log.Close()
	}
	return err
}
