package talk

import (
	"bufio"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"socketsrv/wsproto"
)

func TestQueue(t *testing.T) {
	var q queue
	q.more.L = &q.mu
	big := Outgoing{Message: wsproto.Message{Data: make([]byte, 1<<20)}}
	n := 0
	for q.put(big, false) {
		n++
	}
	if n != 15 {
		t.Errorf("%d lines of 1 MiB; want 15", n)
	}
	if rest, closed := q.rest(1); rest != 14<<20 || closed {
		t.Errorf("behind the first wait %d bytes, closed %v; want %d", rest, closed, 14<<20)
	}
	q.drop()
	last := Outgoing{Message: wsproto.Message{Data: []byte("last")}}
	if !q.put(last, false) {
		t.Error("no room for a line in place of one of 1 MiB")
	}
	q.close(false)
	for range n - 1 {
		if o, ok := q.first(); !ok || len(o.Message.Data) != 1<<20 {
			t.Errorf("%d bytes, %v; want 1 MiB", len(o.Message.Data), ok)
		}
		q.drop()
	}
	if o, ok := q.first(); !ok || string(o.Message.Data) != "last" {
		t.Errorf("%q, %v; want last", o.Message.Data, ok)
	}
	q.drop()
	if _, ok := q.first(); ok || q.size != 0 {
		t.Errorf("more than the last line, or %d bytes of nothing", q.size)
	}
}

// What a pipe brings waits for room, and for no more once all is over.
func TestQueueWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q queue
		q.more.L = &q.mu
		big := Outgoing{Message: wsproto.Message{Data: make([]byte, maxPiped)}}
		put := make(chan bool)
		go func() {
			for range 3 {
				put <- q.put(big, true)
			}
		}()
		<-put
		synctest.Wait()
		if rest, _ := q.rest(0); rest != maxPiped {
			t.Errorf("%d bytes wait; want %d", rest, maxPiped)
		}
		q.drop()
		<-put
		q.close(true)
		<-put
		if rest, closed := q.rest(0); rest != 0 || !closed {
			t.Errorf("after the end %d bytes wait, closed %v", rest, closed)
		}
	})
}

func TestPauses(t *testing.T) {
	w := Pauses{Max: time.Second}
	for _, most := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		most *= time.Millisecond
		if got := w.Next(); got < most/2 || got > most {
			t.Errorf("%v; want %v to %v", got, most/2, most)
		}
	}
	w.Reset()
	if got := w.Next(); got > 100*time.Millisecond {
		t.Errorf("%v after reset; want 100ms at most", got)
	}
	zero := Pauses{}
	if got := zero.Next(); got != 0 {
		t.Errorf("%v; want none", got)
	}
}

func TestReadLine(t *testing.T) {
	for _, tt := range []struct {
		in    string
		lines []string
		err   string
	}{
		{"", nil, "EOF"},
		{"a\r\n\nb", []string{"a", "", "b"}, "EOF"},
		{strings.Repeat("x", 100) + "\n", []string{strings.Repeat("x", 100)}, "EOF"},
		{strings.Repeat("x", 100) + "\r\ny\n", []string{strings.Repeat("x", 100), "y"}, "EOF"},
		{"a\n" + strings.Repeat("x", 101) + "\n", []string{"a"}, "longer than 100 bytes"},
		{strings.Repeat("x", 1000), nil, "longer than 100 bytes"},
	} {
		r := bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(tt.in)), 16)
		var lines []string
		line, err := ReadLine(r, 100)
		for ; err == nil; line, err = ReadLine(r, 100) {
			lines = append(lines, string(line))
		}
		if !slices.Equal(lines, tt.lines) || err.Error() != tt.err {
			t.Errorf("%q: %q, %v; want %q, %v", tt.in, lines, err, tt.lines, tt.err)
		}
	}
}
