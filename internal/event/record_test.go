package event

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// recorded are the events of a recording; the last line may be cut.
func recorded(t *testing.T, name string) (events []Event) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		e, err := Parse(line)
		if err != nil && bytes.HasSuffix(line, []byte("\n")) {
			t.Fatal(err)
		}
		if err == nil {
			events = append(events, e)
		}
	}
	return events
}

// TestGather: what is gathered goes out in one piece, with Release, with what is too much
// to be kept, or with Close.
func TestGather(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r.json")
	r, err := NewRecorder(name, RecordOptions{})
	if err != nil {
		t.Fatal(err)
	}
	has := func(when string, want int) {
		t.Helper()
		if got := len(recorded(t, name)); got != want {
			t.Errorf("%s the file has %d events, want %d", when, got, want)
		}
	}
	r.Gather(&Event{Event: Open})
	r.Gather(&Event{Event: Open})
	has("before Release", 0)
	r.Release()
	has("after Release", 2)
	r.Gather(&Event{Event: Message, Payload: make([]byte, piece)})
	has("after 64 KiB", 3)
	r.Gather(&Event{Event: Close})
	r.Record(&Event{Event: Close})
	has("after one that was not gathered", 5)
	r.Gather(&Event{Event: Summary})
	r.Close()
	has("after Close", 6)
}

// TestRecord has many connections record at once: all of it is there, each
// connection's events in order, payloads whole.
func TestRecord(t *testing.T) {
	const conns, each = 10, 200
	name := filepath.Join(t.TempDir(), "r.json")
	r, err := NewRecorder(name, RecordOptions{Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for c := range conns {
		wg.Go(func() {
			for i := range each {
				r.Record(&Event{Event: Message, Client: c, Code: i, Payload: make([]byte, 1000*c)})
			}
		})
	}
	wg.Wait()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	var next [conns]int
	for _, e := range recorded(t, name) {
		if e.Code != next[e.Client] || len(e.Payload) != 1000*e.Client || !e.Time.Equal(noon.Truncate(time.Microsecond)) {
			t.Fatalf("client %d: event %d with %d bytes, want %d", e.Client, e.Code, len(e.Payload), next[e.Client])
		}
		next[e.Client]++
	}
	for c, n := range next {
		if n != each {
			t.Errorf("client %d: %d events", c, n)
		}
	}
	if info, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestRecordMax: a recording ends with a whole line, and that is told once.
func TestRecordMax(t *testing.T) {
	for _, ext := range []string{".json", ".pcapng"} {
		name := filepath.Join(t.TempDir(), "r"+ext)
		told := 0
		var r *Recorder
		r, err := NewRecorder(name, RecordOptions{Max: 1000, OnStop: func(err error) {
			if told++; err != ErrRecordFull {
				t.Error(err)
			}
			r.Record(errorEvent("from within"))
		}})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			r.Record(errorEvent("x"))
			r.Datagram(nil, nil, true, []byte("x"))
		}
		r.Close()
		info, _ := os.Stat(name)
		if told != 1 || info.Size() > 1000 || info.Size() < 900 {
			t.Errorf("%s: told %d times, %d bytes", ext, told, info.Size())
		}
		if ext == ".json" && len(recorded(t, name)) < 10 {
			t.Errorf("%d events", len(recorded(t, name)))
		}
	}
}

func TestRecordFails(t *testing.T) {
	if _, err := NewRecorder(filepath.Join(t.TempDir(), "no", "r"), RecordOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	var told error
	r, err := NewRecorder("/dev/full", RecordOptions{OnStop: func(err error) { told = err }})
	if err != nil {
		t.Skip("no /dev/full here")
	}
	r.Record(errorEvent("x"))
	r.Record(errorEvent("x"))
	if err := r.Close(); !errors.Is(told, syscall.ENOSPC) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("told of %v; Close = %v", told, err)
	}
}

func TestNoRecorder(t *testing.T) {
	var r *Recorder
	r.Record(errorEvent("x"))
	r.Datagram(nil, nil, true, nil)
	if c := r.Conn(nil, true); c != nil || r.KeyLog() != nil || r.Close() != nil {
		t.Error("a nil Recorder does something")
	}
}

// TestRecordKilled has a program record, say so, and be killed: what it said it
// recorded is in the file.
func TestRecordKilled(t *testing.T) {
	if name := os.Getenv("EVENT_RECORD"); name != "" {
		r, err := NewRecorder(name, RecordOptions{})
		for i := 0; err == nil; i++ {
			r.Record(&Event{Event: Message, Client: -1, Code: i + 1, Payload: []byte("payload")})
			_, err = fmt.Println(i + 1)
		}
		os.Exit(1)
	}
	name := filepath.Join(t.TempDir(), "r.json")
	cmd := exec.Command(os.Args[0], "-test.run=^TestRecordKilled$")
	cmd.Env = append(os.Environ(), "EVENT_RECORD="+name)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Skip(err)
	}
	said := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Sscan(lines.Text(), &said)
		if said == 1000 {
			cmd.Process.Kill()
			break
		}
	}
	io.Copy(io.Discard, out)
	cmd.Wait()
	events := recorded(t, name)
	if said != 1000 || len(events) < said || events[len(events)-1].Code != len(events) {
		t.Errorf("%d events, %d were said", len(events), said)
	}
}
