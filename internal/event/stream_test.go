package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestStreamStalls: while nobody reads who writes waits, until the program is to end
// and patience is over; then all go on, with one error that is told once.
func TestStreamStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{pass: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		told := 0
		s := NewStream(&g, StreamOptions{Context: ctx, Patience: 2 * time.Second, OnError: func(error) { told++ }})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				for range 10 {
					s.Write(make([]byte, 100_000))
				}
			})
		}
		time.Sleep(time.Hour)
		if err := s.Err(); err != nil {
			t.Errorf("before the end: %v", err)
		}
		cancel()
		began := time.Now()
		wg.Wait()
		if _, err := s.Write([]byte("x")); err != ErrNotRead || s.Err() != err || told != 1 || time.Since(began) != 2*time.Second {
			t.Errorf("Write = %v, Err = %v, told %d times, after %v", err, s.Err(), told, time.Since(began))
		}
		if n, err := s.Do(func() (int64, error) { t.Error("the job is done"); return 1, nil }); n != 0 || err != ErrNotRead {
			t.Errorf("Do = %d, %v", n, err)
		}
		close(g.pass)
	})
}

// TestStreamSlow: who reads slowly loses nothing at the end, who stops is given up.
func TestStreamSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		s := NewStream(out, StreamOptions{Context: ctx, Patience: 2 * time.Second})
		const lines = 2000
		read := make(chan int)
		go func() {
			n, buf := 0, make([]byte, 64<<10)
			for range lines * 100 / len(buf) {
				time.Sleep(1500 * time.Millisecond)
				m, _ := io.ReadAtLeast(r, buf, len(buf))
				n += m
			}
			time.Sleep(1500 * time.Millisecond)
			m, _ := io.ReadFull(r, buf[:lines*100%len(buf)])
			read <- n + m
		}()
		go func() {
			for range lines {
				s.Write([]byte(strings.Repeat("x", 99) + "\n"))
			}
		}()
		synctest.Wait()
		cancel()
		if n := <-read; n != lines*100 {
			t.Errorf("%d bytes were read", n)
		}
		if err := s.Flush(2 * time.Second); err != nil {
			t.Errorf("Flush = %v", err)
		}
		go s.Write([]byte("x"))
		synctest.Wait()
		if err := s.Flush(time.Second); err != ErrNotRead {
			t.Errorf("Flush while nobody reads = %v", err)
		}
		r.Close()
	})
}

// TestStreamBegins: the patience for a Write counts from when it is begun, not from the one before.
func TestStreamBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := NewStream(io.Discard, StreamOptions{Context: ctx, Patience: time.Second})
		cancel()
		synctest.Wait()
		time.Sleep(time.Second - time.Nanosecond) // of the bubble
		s.mu.Lock()
		s.pending = append(s.pending, "late"...)
		s.run()
		if waited := time.Since(s.began); waited > 0 {
			t.Errorf("a write that begins has waited for %v", waited)
		}
		s.mu.Unlock()
		if err := s.Flush(time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestStreamFails: the first error of a real output is the last.
func TestStreamFails(t *testing.T) {
	r, closed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	outs := map[string]*os.File{"closed pipe": closed}
	want := map[string]error{"closed pipe": syscall.EPIPE, "full disk": syscall.ENOSPC}
	if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		outs["full disk"] = full
	}
	for name, out := range outs {
		told := make(chan error, 2)
		s := NewStream(out, StreamOptions{OnError: func(err error) { told <- err }})
		_, err := s.Write([]byte("x"))
		_, again := s.Write([]byte("x"))
		if !errors.Is(err, want[name]) && runtime.GOOS != "windows" || err == nil || again != err || <-told != err || len(told) > 0 || s.Flush(time.Hour) != err {
			t.Errorf("%s: %v, then %v, want %v", name, err, again, want[name])
		}
		out.Close()
	}
}

// TestStreamTells: who flushes at the end of a program goes on when the error has
// been told.
func TestStreamTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Bool
		failed := errors.New("failed")
		s := NewStream(&gate{err: failed}, StreamOptions{OnError: func(error) { time.Sleep(time.Second); told.Store(true) }})
		if _, err := s.Write([]byte("x")); err != failed || told.Load() {
			t.Errorf("Write = %v, told %v", err, told.Load())
		}
		if err := s.Flush(2 * time.Second); err != failed || !told.Load() {
			t.Errorf("Flush = %v, told %v", err, told.Load())
		}
	})
}

// TestStreamFile: a file on a disk has what was written when Write returns.
func TestStreamFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := NewStream(f, StreamOptions{})
	if s.Unwrap() != f {
		t.Error("Unwrap is not the file")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				s.Write([]byte("line\n"))
			}
		})
	}
	wg.Wait()
	if err := s.Flush(time.Hour); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(f.Name()); string(b) != strings.Repeat("line\n", 4000) {
		t.Errorf("%d bytes in the file", len(b))
	}
}

// TestStreamDo: a job has its place among what is written, and runs alone.
func TestStreamDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		ctx, cancel := context.WithCancel(t.Context())
		s := NewStream(&g, StreamOptions{Context: ctx, Patience: time.Second})
		begun, release := make(chan bool), make(chan bool)
		failed := errors.New("of the job")
		var wg sync.WaitGroup
		s.Write([]byte("1 "))
		wg.Go(func() {
			n, err := s.Do(func() (int64, error) { close(begun); <-release; g.Write([]byte("2 ")); return 2, failed })
			if n != 2 || err != failed {
				t.Errorf("Do = %d, %v", n, err)
			}
		})
		<-begun
		wg.Go(func() { s.Do(func() (int64, error) { g.Write([]byte("4 ")); return 0, nil }) })
		s.Write([]byte("3 ")) // waits for its turn, not here
		synctest.Wait()
		close(release)
		wg.Wait()
		if got := g.all(); got != "1 2 3 4 " || s.Err() != nil {
			t.Errorf("%q, %v", got, s.Err())
		}
		cancel()
		stuck := make(chan bool)
		if n, err := s.Do(func() (int64, error) { <-stuck; return 1, nil }); n != 0 || err != ErrNotRead {
			t.Errorf("a job that is stuck: %d, %v", n, err)
		}
		close(stuck)
	})
}

// TestStreamPieces: one Write gets whole lines, some 64 KiB of them.
func TestStreamPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{pass: make(chan struct{})}
		s := NewStream(&g, StreamOptions{})
		go s.Write([]byte("first\n"))
		synctest.Wait()
		var want strings.Builder
		want.WriteString("first\n")
		for i := range 12 {
			line := fmt.Sprintf("%d%s\n", i, strings.Repeat("x", 10_000+i/10*100_000))
			want.WriteString(line)
			s.Write([]byte(line))
		}
		close(g.pass)
		if err := s.Flush(time.Hour); err != nil || g.all() != want.String() {
			t.Errorf("%v, %d bytes, want %d", err, len(g.all()), want.Len())
		}
		for i, p := range g.writes {
			if last := strings.LastIndexByte(strings.TrimSuffix(p, "\n"), '\n') + 1; !strings.HasSuffix(p, "\n") || last > piece {
				t.Errorf("piece %d: %d bytes, %d lines", i, len(p), strings.Count(p, "\n"))
			}
		}
	})
}

// TestWritersShare: two Writers on one Stream, one of which waits for nobody.
func TestWritersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{pass: make(chan struct{})}
		s := NewStream(&g, StreamOptions{})
		lossy := NewWriter(s, Options{Lossy: true})
		for range 100 {
			if n, err := lossy.Write(make([]byte, 10_000)); n != 10_000 || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
			synctest.Wait() // the first is being written
		}
		lossy.Emit(errorEvent("no room"))
		if n := lossy.Dropped(); n < 40 {
			t.Errorf("%d dropped", n)
		}
		done := false
		go func() { NewWriter(s, Options{}).Emit(errorEvent("waits")); done = true }()
		synctest.Wait()
		if done {
			t.Error("the other Writer does not wait")
		}
		close(g.pass)
		synctest.Wait()
		if !strings.HasSuffix(g.all(), "X waits\n") {
			t.Error("what waited is not written")
		}
	})
}
