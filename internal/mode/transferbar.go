package mode

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"socketsrv/internal/event"
	"socketsrv/internal/term"
)

// A progress is the line at the bottom of a terminal that says how far a file is.
// Its methods may be called from any goroutine; they do nothing where there is no
// terminal. What else is written to env.Stderr goes above the line.
type progress struct {
	env *Env // what the program writes to

	mu    sync.Mutex
	out   io.Writer // nil: no terminal
	now   func() time.Time
	width func() int
	drawn bool
	name  string
	size  int64
	done  int64
	first int64 // what was there before
	began time.Time
	shown time.Time
}

const barPeriod = 100 * time.Millisecond

func newProgress(env *Env, output *Output) *progress {
	here := *env
	p := &progress{env: &here, now: env.Now}
	terminal := (env.TTYIn != nil || env.TTYOut != nil) && term.IsTerminal(os.Stderr)
	if terminal && !output.Quiet && env.Getenv("TERM") != "dumb" {
		p.out = env.Stderr
		p.width = func() int { return term.Width(os.Stderr) }
		here.Stderr = (*aboveBar)(p)
	}
	return p
}

// aboveBar writes what is no part of the line.
type aboveBar progress

func (a *aboveBar) Write(b []byte) (int, error) {
	p := (*progress)(a)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	return p.out.Write(b)
}

// begin begins a file of size bytes.
func (p *progress) begin(name string, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.size, p.done, p.first, p.began, p.shown = name, size, 0, -1, time.Time{}, time.Time{}
}

// at says how many bytes are there.
func (p *progress) at(done int64) {
	if p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.first < 0 || done < p.done {
		p.first, p.began = done, now // begun, or gone back
	}
	p.done = done
	if now.Sub(p.shown) < barPeriod && done < p.size {
		return
	}
	p.shown = now
	p.erase()
	io.WriteString(p.out, clip(p.line(now), max(p.width()-1, 20)))
	p.drawn = true
}

// line is the line: name, share, bytes, rate, time left.
func (p *progress) line(now time.Time) string {
	share := 100
	if p.size > 0 {
		share = int(float64(p.done) / float64(p.size) * 100)
	}
	text := fmt.Sprintf("%3d%% %s/%s", share, shortSize(p.done), shortSize(p.size))
	if took := now.Sub(p.began).Seconds(); took > 0.2 && p.done > p.first {
		rate := float64(p.done-p.first) / took
		left := time.Duration(float64(p.size-p.done) / rate * float64(time.Second))
		text += fmt.Sprintf(" %s/s %s left", shortSize(int64(rate)), roundTime(left))
	}
	return text + " " + event.Field(p.name)
}

// clear takes the line away.
func (p *progress) clear() {
	if p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

func (p *progress) erase() {
	if p.drawn {
		io.WriteString(p.out, "\r\x1b[J")
		p.drawn = false
	}
}

// shortSize is a number of bytes for people: 1.5M.
func shortSize(n int64) string {
	for i, unit := range []string{"T", "G", "M", "k"} {
		if one := int64(1) << (40 - 10*i); n >= one {
			return fmt.Sprintf("%.1f%s", float64(n)/float64(one), unit)
		}
	}
	return fmt.Sprint(n)
}

// roundTime leaves out what nobody wants to know.
func roundTime(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(time.Second)
	case d > time.Second:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
