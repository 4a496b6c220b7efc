package curl

import (
	"context"
	"fmt"
	"io"
	"os"
	"socketsrv/internal/files"
	"socketsrv/internal/term"
	"strings"
	"sync"
	"time"
)

// watches says whether anybody looks at how far a transfer is.
func (r *session) watches() bool {
	for _, o := range r.ops {
		if o.speedTime > 0 {
			return true
		}
	}
	return r.env.TTYErr != nil && !r.silent && r.meter
}

func (t *transfer) progress(sent, received int64) {
	t.gone.Store(sent)
	t.got.Store(received)
}

// watch draws the meter and looks for what is too slow, until the function that it
// returns is called.
func (t *transfer) watch(cancel context.CancelCauseFunc) (stop func()) {
	if !t.watches() {
		return func() {}
	}
	m := &meter{t: t, begun: time.Now()}
	if t.env.TTYErr != nil && !t.silent && t.meter && (t.out.name != "" || t.upload != "") {
		m.out = t.env.Stderr
	}
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case now := <-ticker.C:
				m.draw(now)
				if m.tooSlow(now) {
					cancel(errSlow)
					return
				}
			}
		}
	})
	return func() {
		close(done)
		watcher.Wait()
		m.end()
	}
}

// A meter is the line that says how far a transfer is.
type meter struct {
	t     *transfer
	out   io.Writer // nil: no line
	begun time.Time
	drawn bool

	at    time.Time // of the last look
	bytes int64     // then
	speed float64   // since the look before
	slow  time.Time // since when it is too slow; zero: it is not
}

// tooSlow is for -y and -Y.
func (m *meter) tooSlow(now time.Time) bool {
	limit := m.t.o.speedTime
	if limit == 0 || m.at.IsZero() || m.speed >= float64(m.t.o.speedLimit) {
		m.slow = time.Time{}
		return false
	}
	if m.slow.IsZero() {
		m.slow = now
	}
	return now.Sub(m.slow) >= limit
}

// draw looks once a second, and draws what there is.
func (m *meter) draw(now time.Time) {
	bytes := m.t.got.Load() + m.t.gone.Load()
	if since := now.Sub(m.at); m.at.IsZero() || since >= time.Second {
		from := m.at
		if from.IsZero() {
			from, m.bytes = m.begun, 0
		}
		m.speed = float64(bytes-m.bytes) / max(now.Sub(from).Seconds(), 0.001)
		m.at, m.bytes = now, bytes
	}
	if m.out == nil || now.Sub(m.begun) < 500*time.Millisecond {
		return
	}
	if !m.drawn && !m.t.bar {
		io.WriteString(m.out, "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n"+
			"                                 Dload  Upload   Total   Spent    Left  Speed\n")
	}
	m.drawn = true
	if m.t.bar {
		io.WriteString(m.out, m.barLine())
		return
	}
	io.WriteString(m.out, m.line(now))
}

// end draws the line for the last time.
func (m *meter) end() {
	if m.drawn {
		m.draw(time.Now())
		io.WriteString(m.out, "\n")
	}
}

func (m *meter) line(now time.Time) string {
	got, gone := m.t.got.Load(), m.t.gone.Load()
	down, up := max(m.t.toCome.Load(), 0), max(m.t.toGo.Load(), 0)
	took := now.Sub(m.begun).Seconds()
	total, left := "--:--:--", "--:--:--"
	if done := got + gone; down+up > 0 && done > 0 && done <= down+up {
		whole := took * float64(down+up) / float64(done)
		total, left = clockTime(whole), clockTime(whole-took)
	}
	return fmt.Sprintf("\r%3d %5s  %3d %5s  %3d %5s %6s %6s %s %s %s %6s", share(got+gone, down+up), files.ShortSize(down+up),
		share(got, down), files.ShortSize(got), share(gone, up), files.ShortSize(gone),
		files.ShortSize(int64(float64(got)/took)), files.ShortSize(int64(float64(gone)/took)), total, clockTime(took), left, files.ShortSize(int64(m.speed)))
}

// share is a part in percent, 0 where the whole is not known.
func share(part, whole int64) int {
	if whole <= 0 {
		return 0
	}
	return int(float64(part) / float64(whole) * 100)
}

// clockTime is h:mm:ss, as wide as it is short.
func clockTime(seconds float64) string {
	s := int64(seconds)
	if s < 0 || s > 99*3600 {
		return "--:--:--"
	}
	return fmt.Sprintf("%2d:%02d:%02d", s/3600, s/60%60, s%60)
}

// barLine is the bar of -#.
func (m *meter) barLine() string {
	width := max(term.Width(os.Stderr)-8, 10)
	part := share(m.t.got.Load()+m.t.gone.Load(), max(m.t.toCome.Load(), 0)+max(m.t.toGo.Load(), 0))
	filled := min(part, 100) * width / 100
	return fmt.Sprintf("\r%s%s %3d%%", strings.Repeat("#", filled), strings.Repeat(" ", width-filled), part)
}
