package curl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/files"
	"socketsrv/internal/term"
	"strings"
	"sync"
	"time"
)

// connected, sent and received are what the client tells while it works.

func (t *curlTransfer) connected(way httpmini.Connection) {
	t.way = way
	if way.Reused {
		t.info("Re-using existing connection with host %s", t.at.host)
		return
	}
	t.connects++
	host, port := t.at.host, t.at.realPort()
	if way.Remote != nil {
		host, port, _ = net.SplitHostPort(way.Remote.String())
	}
	t.info("Connected to %s (%s) port %s", t.at.host, host, port)
}

func (t *curlTransfer) sent(r *httpmini.Request) {
	t.asked = r.Method
	head := r.AppendHead(nil)
	t.requestSize += int64(len(head))
	if t.verbose {
		line, _, _ := strings.Cut(string(head), "\r\n")
		t.verboseHead("> ", line, r.Header, httpmini.IsSecret)
	}
}

func (t *curlTransfer) received(r *httpmini.Response) {
	head := []byte(statusText(r) + "\r\n")
	for _, f := range r.Header {
		head = fmt.Appendf(head, "%s: %s\r\n", f.Name, f.Value)
	}
	head = append(head, "\r\n"...)
	t.headerSize += int64(len(head))
	t.fields = len(r.Header)
	t.toCome.Store(r.ContentLength)
	if t.verbose {
		t.verboseHead("< ", statusText(r), r.Header, func(name string) bool { return strings.EqualFold(name, "Set-Cookie") })
	}
	if t.o.include || t.o.head {
		if _, err := t.out.Write(head); err != nil {
			t.headErr = err
		}
	}
	if t.o.dumpHeader != "" {
		if err := t.dumpHead(head); err != nil {
			t.headErr = &errOutput{err}
		}
	}
	if t.asked == "CONNECT" {
		t.connectStatus = r.Status
	}
}

// statusText is the status line as it came.
func statusText(r *httpmini.Response) string {
	return fmt.Sprintf("HTTP/1.%d %d %s", r.Minor, r.Status, r.Reason)
}

// dumpHead is for -D. The first head of an option set begins the file.
func (t *curlTransfer) dumpHead(head []byte) error {
	switch t.o.dumpHeader {
	case "-", "/dev/stdout":
		_, err := t.env.Stdout.Write(t.o.forTTY(t.env.TTYOut, head))
		return err
	case "/dev/stderr":
		_, err := t.env.Stderr.Write(t.o.forTTY(t.env.TTYErr, head))
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if t.o.dumps++; t.o.dumps == 1 {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(t.o.dumpHeader, flags, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(head)
	return errors.Join(err, f.Close())
}

// verboseHead shows a head, what is secret in it concealed.
func (t *curlTransfer) verboseHead(mark, line string, h httpmini.Header, secret func(name string) bool) {
	var b strings.Builder
	b.WriteString(mark + event.Escape(line) + "\n")
	for _, f := range h {
		if secret(f.Name) && !t.showSecrets {
			f.Value = "***"
		}
		b.WriteString(mark + event.Escape(f.Name+": "+f.Value) + "\n")
	}
	io.WriteString(t.env.Stderr, b.String()+mark+"\n")
}

// info is a line of -v that begins with a star.
func (t *curlTransfer) info(format string, args ...any) {
	if t.verbose {
		fmt.Fprintf(t.env.Stderr, "* %s\n", event.AppendCut(nil, fmt.Sprintf(format, args...), cli.MaxErrorLine))
	}
}

// summary is what ws prints at the end of -v.
func (t *curlTransfer) summary() {
	fmt.Fprintf(t.env.Stderr, "Upload size: %d\nDownload size: %d\nStatus: %d\n", t.up, t.down, t.status())
}

// watches says whether anybody looks at how far a transfer is.
func (r *curlRun) watches() bool {
	for _, o := range r.ops {
		if o.speedTime > 0 {
			return true
		}
	}
	return r.env.TTYErr != nil && !r.silent && r.meter
}

func (t *curlTransfer) progress(sent, received int64) {
	t.gone.Store(sent)
	t.got.Store(received)
}

// watch draws the meter and looks for what is too slow, until the function that it
// returns is called.
func (t *curlTransfer) watch(cancel context.CancelCauseFunc) (stop func()) {
	if !t.watches() {
		return func() {}
	}
	m := &curlMeter{t: t, begun: time.Now()}
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

// A curlMeter is the line that says how far a transfer is.
type curlMeter struct {
	t     *curlTransfer
	out   io.Writer // nil: no line
	begun time.Time
	drawn bool

	at    time.Time // of the last look
	bytes int64     // then
	speed float64   // since the look before
	slow  time.Time // since when it is too slow; zero: it is not
}

// tooSlow is for -y and -Y.
func (m *curlMeter) tooSlow(now time.Time) bool {
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
func (m *curlMeter) draw(now time.Time) {
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
func (m *curlMeter) end() {
	if m.drawn {
		m.draw(time.Now())
		io.WriteString(m.out, "\n")
	}
}

func (m *curlMeter) line(now time.Time) string {
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
func (m *curlMeter) barLine() string {
	width := max(term.Width(os.Stderr)-8, 10)
	part := share(m.t.got.Load()+m.t.gone.Load(), max(m.t.toCome.Load(), 0)+max(m.t.toGo.Load(), 0))
	filled := min(part, 100) * width / 100
	return fmt.Sprintf("\r%s%s %3d%%", strings.Repeat("#", filled), strings.Repeat(" ", width-filled), part)
}
