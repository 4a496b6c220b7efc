package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gate is an output whose writes wait until they are let through.
type gate struct {
	pass   chan struct{} // nil: always open
	err    error
	short  bool
	mu     sync.Mutex
	writes []string
}

func (g *gate) Write(p []byte) (int, error) {
	if g.pass != nil {
		<-g.pass
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	g.writes = append(g.writes, string(p))
	if g.short {
		return len(p) - 1, nil
	}
	return len(p), nil
}

func (g *gate) all() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.writes, "")
}

func errorEvent(format string, args ...any) *Event {
	return &Event{Event: Error, Client: -1, Err: fmt.Sprintf(format, args...)}
}

func TestWriter(t *testing.T) {
	var g gate
	w := NewWriter(&g, Options{Now: func() time.Time { return noon }})
	w.Emit(errorEvent("one"))
	w.Add(errorEvent("two"))
	w.Add(errorEvent("three"))
	if len(g.writes) != 1 {
		t.Errorf("Add wrote: %q", g.writes)
	}
	w.Emit(errorEvent("four"))
	fmt.Fprintf(w, "answer\n")
	st := w.Style()
	st.Time = true
	w.SetStyle(st)
	w.Add(errorEvent("five"))
	if err := w.Flush(time.Hour); err != nil {
		t.Error(err)
	}
	if err := w.Flush(time.Hour); err != nil { // nothing to do
		t.Error(err)
	}
	want := []string{"X one\n", "X two\nX three\nX four\n", "answer\n", "2026-11-20 12:00:00.123456 X five\n"}
	if fmt.Sprintf("%q", g.writes) != fmt.Sprintf("%q", want) {
		t.Errorf("writes %q, want %q", g.writes, want)
	}
}

func TestWriterJSON(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, Options{JSON: true})
	big := bytes.Repeat([]byte("x"), 2*DefaultMaxShow)
	e := event(big)
	e.Time = time.Time{}
	w.Emit(e) // whole
	w.SetStyle(Style{MaxShow: 3})
	w.Emit(e)
	w.Emit(&Event{Event: Message, Payload: []byte("ab✓")})
	if !e.Time.IsZero() || len(e.Payload) != len(big) {
		t.Error("Emit changed the event")
	}
	dec := json.NewDecoder(&out)
	for i, want := range []struct {
		size, cut int
		text      string
	}{{len(big), 0, string(big)}, {len(big), len(big) - 3, "xxx"}, {5, 3, "ab"}} {
		var got struct {
			Time      time.Time
			Size, Cut int
			Text      string
		}
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.Size != want.size || got.Cut != want.cut || got.Text != want.text || got.Time.IsZero() {
			t.Errorf("object %d: size %d, cut %d, %d bytes of text, time %v", i, got.Size, got.Cut, len(got.Text), got.Time)
		}
	}
}

// TestWriterAtOnce has many goroutines write at once: every line must come out,
// whole, and those of each goroutine in order.
func TestWriterAtOnce(t *testing.T) {
	const goroutines, each = 20, 300
	var g gate
	w := NewWriter(&g, Options{})
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for n := range each {
				if n%3 == 0 {
					w.Add(errorEvent("%d %d %s", i, n, strings.Repeat("z", i)))
				} else {
					w.Emit(errorEvent("%d %d %s", i, n, strings.Repeat("z", i)))
				}
			}
		})
	}
	wg.Wait()
	if err := w.Flush(time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, p := range g.writes {
		if !strings.HasSuffix(p, "\n") {
			t.Fatalf("a write ends within a line: %q", p)
		}
	}
	var next [goroutines]int
	for line := range strings.Lines(g.all()) {
		var i, n int
		if _, err := fmt.Sscanf(line, "X %d %d", &i, &n); err != nil || n != next[i] ||
			line != fmt.Sprintf("X %d %d %s\n", i, n, strings.Repeat("z", i)) {
			t.Fatalf("line %q, want number %d (%v)", line, next[i], err)
		}
		next[i]++
	}
	for i, n := range next {
		if n != each {
			t.Errorf("%d lines of goroutine %d, want %d", n, i, each)
		}
	}
}

// TestWriterGathers holds the output: what comes meanwhile must go out in one
// write, and the one who writes must not stay for the others.
func TestWriterGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{pass: make(chan struct{})}
		w := NewWriter(&g, Options{})
		first := make(chan struct{})
		go func() { w.Emit(errorEvent("first")); close(first) }()
		synctest.Wait()
		for i := range 3 {
			w.Emit(errorEvent("then %d", i)) // does not wait
		}
		g.pass <- struct{}{}
		<-first
		if got := g.all(); got != "X first\n" {
			t.Errorf("after the first write: %q", got)
		}
		if err := w.Flush(time.Second); err != ErrNotRead {
			t.Errorf("Flush on an output that takes nothing: %v", err)
		}
		close(g.pass)
		if err := w.Flush(time.Hour); err != nil {
			t.Error(err)
		}
		if want := []string{"X first\n", "X then 0\nX then 1\nX then 2\n"}; fmt.Sprint(g.writes) != fmt.Sprint(want) {
			t.Errorf("writes %q, want %q", g.writes, want)
		}
	})
}

// TestWriterBound holds the output while a client floods: what is kept must
// stay bounded, and nothing be lost.
func TestWriterBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events = 100
		g := gate{pass: make(chan struct{})}
		w := NewWriter(&g, Options{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range events {
					w.Emit(event(bytes.Repeat([]byte("y"), 10_000)))
				}
			})
		}
		synctest.Wait()
		w.mu.Lock()
		if n := len(w.pending); n < backlog || n > backlog+11_000 {
			t.Errorf("%d bytes wait, want some %d", n, backlog)
		}
		w.mu.Unlock()
		close(g.pass)
		wg.Wait()
		if err := w.Flush(time.Hour); err != nil {
			t.Error(err)
		}
		if n := strings.Count(g.all(), "\n"); n != 4*events {
			t.Errorf("%d lines, want %d", n, 4*events)
		}
	})
}

// TestWriterLossy holds the output: nobody waits, what has no room is counted, and
// what has comes out whole once the output takes it.
func TestWriterLossy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events = 100
		g := gate{pass: make(chan struct{})}
		told := 0
		var w *Writer
		w = NewWriter(&g, Options{Lossy: true, OnDrop: func() { told++; w.Dropped() }})
		for range events {
			w.Emit(event(bytes.Repeat([]byte("y"), 10_000)))
			synctest.Wait() // the first is being written
		}
		dropped := w.Dropped()
		if dropped < events/2 || dropped >= events || told != 1 {
			t.Errorf("%d of %d dropped, told %d times", dropped, events, told)
		}
		close(g.pass)
		if err := w.Flush(time.Hour); err != nil {
			t.Error(err)
		}
		w.Write([]byte("there is room again\n"))
		if err := w.Flush(time.Hour); err != nil {
			t.Error(err)
		}
		if n := strings.Count(g.all(), "\n"); n != events-int(dropped)+1 || w.Dropped() != dropped {
			t.Errorf("%d lines, %d dropped; want %d, %d", n, w.Dropped(), events-int(dropped)+1, dropped)
		}
	})
}

func TestWriterAdd64K(t *testing.T) {
	var g gate
	w := NewWriter(&g, Options{})
	for range 7 {
		w.Add(event(bytes.Repeat([]byte("y"), 10_000)))
	}
	if len(g.writes) == 0 || len(g.all()) < piece {
		t.Errorf("%d writes, %d bytes, after adding 70,000", len(g.writes), len(g.all()))
	}
}

// TestWriterBigBuffer: one huge event must not stay in memory.
func TestWriterBigBuffer(t *testing.T) {
	w := NewWriter(io.Discard, Options{JSON: true})
	w.Emit(event(make([]byte, 2<<20)))
	w.Emit(event(make([]byte, 10)))
	if n := cap(w.pending) + cap(w.spare); n > 2*keep {
		t.Errorf("%d bytes kept", n)
	}
}

func TestWriterError(t *testing.T) {
	broken := errors.New("broken pipe")
	for _, tt := range []struct {
		name string
		out  *gate
		want error
	}{
		{"error", &gate{err: broken}, broken},
		{"short write", &gate{short: true}, io.ErrShortWrite},
	} {
		told := 0
		var w *Writer
		w = NewWriter(NewStream(tt.out, StreamOptions{OnError: func(err error) {
			told++
			if err != tt.want || w.Err() != tt.want {
				t.Errorf("%s: told of %v, want %v", tt.name, err, tt.want)
			}
		}}), Options{})
		for range 3 {
			w.Emit(errorEvent("x"))
			w.Add(errorEvent("x"))
			if n, err := w.Write([]byte("x")); n != 0 || err != tt.want {
				t.Errorf("%s: Write = %d, %v", tt.name, n, err)
			}
		}
		if err := w.Flush(time.Hour); err != tt.want || told != 1 || len(tt.out.writes) > 1 {
			t.Errorf("%s: Flush = %v, told %d times, %d writes", tt.name, err, told, len(tt.out.writes))
		}
	}
}

// TestWriterErrorFreesAll: those who wait for a stuck output go on when it fails.
func TestWriterErrorFreesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := io.Pipe()
		w := NewWriter(out, Options{})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 20 {
					w.Emit(event(bytes.Repeat([]byte("y"), 50_000)))
				}
			})
		}
		synctest.Wait()
		r.CloseWithError(io.ErrClosedPipe)
		wg.Wait()
		if err := w.Flush(time.Hour); err != io.ErrClosedPipe {
			t.Errorf("Flush = %v", err)
		}
	})
}

func TestWriterAllocatesNothing(t *testing.T) {
	w := NewWriter(io.Discard, Options{Style: Style{Time: true}})
	e := event(payloads[1].p)
	e.Time = time.Time{}
	if n := testing.AllocsPerRun(100, func() { w.Emit(e) }); n != 0 {
		t.Errorf("Emit allocates %v times", n)
	}
}
