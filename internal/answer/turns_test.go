package answer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// TestTurns: who waits gets its place in the order of asking, but for those that have
// left by then, who come last.
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
			left bool
		}{{"left 1", true}, {"first", false}, {"left 2", true}, {"second", false}} {
			go func() {
				if err := q.wait(context.Background(), func() bool { return w.left }); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, w.name)
			}()
			synctest.Wait()
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
		if want := []string{"first", "second", "left 1", "left 2"}; !slices.Equal(got, want) {
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
