//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package term

import (
	"os"
	"testing"
)

// TestWakeIsNotLost: however wakes and reads meet, the next wake is heard.
func TestWakeIsNotLost(t *testing.T) {
	file, end, err := os.Pipe() // nothing comes
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	defer end.Close()
	in := newInput(file, false)
	defer in.close()
	done := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-done:
				return
			default:
				in.wake()
			}
		}
	}()
	var p [1]byte
	for range 100_000 {
		in.read(p[:], 0)
	}
	close(done)
	<-over
	in.read(p[:], 0) // one that was late
	in.wake()
	if _, err := in.read(p[:], 0); err != errWoken {
		t.Fatalf("read after a wake: %v", err)
	}
}
