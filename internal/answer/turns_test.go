package answer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"socketsrv/internal/rawio"
)

// TestTurns: who waits gets its place in the order of asking, but for those that have
// ended their side by then, who come last, and those that are gone, who get none.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q turns
		for range MaxPrograms {
			if err := q.wait(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var got []string
		for _, w := range []struct {
			name string
			peer rawio.Peer
		}{{"ended 1", rawio.Ended}, {"gone 1", rawio.Gone}, {"first", rawio.Here}, {"ended 2", rawio.Ended}, {"gone 2", rawio.Gone}, {"second", rawio.Here}} {
			go func() {
				asked := false
				err := q.wait(context.Background(), func() rawio.Peer {
					if !asked { // it leaves only later
						asked = true
						return rawio.Here
					}
					return w.peer
				})
				if (err == errGone) != (w.peer == rawio.Gone) {
					t.Errorf("%s: %v", w.name, err)
				}
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, w.name)
				}
			}()
			synctest.Wait()
		}
		if err := q.wait(t.Context(), func() rawio.Peer { return rawio.Gone }); err != errGone {
			t.Errorf("wait of who is gone: %v", err)
		}
		gone, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("stopped")
		cancel(cause)
		if err := q.wait(gone, nil); err != cause {
			t.Errorf("wait of who is stopped: %v", err)
		}
		for range 4 {
			q.pass()
			synctest.Wait()
		}
		if want := []string{"first", "second", "ended 1", "ended 2"}; !slices.Equal(got, want) {
			t.Errorf("turns %q, want %q", got, want)
		}
		for range MaxPrograms {
			q.pass()
		}
		if q.running != 0 || len(q.queue) != 0 {
			t.Errorf("%d run, %d wait", q.running, len(q.queue))
		}
	})
}
