package curl

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"strings"
)

// connected, sent and received are what the client tells while it works.

func (t *transfer) connected(way httpmini.Connection) {
	t.conn = way
	if way.Reused {
		t.info("Re-using existing connection with host %s", t.at.Host)
		return
	}
	t.connects++
	host, port := t.at.Host, t.at.DialPort()
	if way.Remote != nil {
		host, port, _ = net.SplitHostPort(way.Remote.String())
	}
	t.info("Connected to %s (%s) port %s", t.at.Host, host, port)
}

func (t *transfer) sent(r *httpmini.Request) {
	t.asked = r.Method
	head := r.AppendHead(nil)
	t.requestSize += int64(len(head))
	if c := t.tap(); c != nil {
		c.heads, c.heading, c.begun, c.came = len(head), true, false, nil
	}
	if t.verbose {
		t.verboseHead("> ", string(head), httpmini.IsSecret)
	}
}

func (t *transfer) received(r *httpmini.Response) {
	t.headerSize += int64(len(r.Raw))
	t.fields = len(r.Header)
	t.toCome.Store(r.ContentLength)
	if t.asked == "CONNECT" {
		t.connectStatus = r.Status
		if t.o.suppressConnect {
			return
		}
	}
	if c := t.tap(); c != nil {
		c.headCame(r.Raw, r.Status >= 200)
	}
	if r.Raw != madeHead {
		t.showHead(r.Raw)
	}
	t.showFaults(r)
}

// showFaults tells which rules the server has broken so far.
func (t *transfer) showFaults(r *httpmini.Response) {
	for _, err := range (r.Faults &^ t.faults).Errors() {
		t.info("The server breaks a rule, which is forgiven: %v", err)
	}
	t.faults |= r.Faults
}

// showHead passes on what came of a head, byte for byte.
func (t *transfer) showHead(head string) {
	if t.verbose {
		t.verboseHead("< ", head, func(name string) bool { return strings.EqualFold(name, "Set-Cookie") })
	}
	wanted := t.o.include || t.o.head
	if wanted {
		t.headShown += int64(len(head))
	}
	if wanted && t.o.remoteHeader && t.target.remote {
		t.held = append(t.held, head...) // until the server has named the file
	} else if wanted {
		if _, err := t.out.Write([]byte(head)); err != nil {
			t.headErr = err
		}
	}
	if t.o.dumpHeader != "" {
		if err := t.dumpHead([]byte(head)); err != nil {
			t.headErr = &errOutput{err}
		}
	}
}

// showRefused shows the head that err refuses, or what came of it.
func (t *transfer) showRefused(err error) {
	if op, ok := errors.AsType[*httpmini.OpError](err); ok && op.Raw != "" {
		t.showHead(op.Raw)
	} else if bad, ok := errors.AsType[*httpmini.Error](err); ok && bad.Raw != "" && bad.Err != httpmini.ErrNotHTTP {
		t.showHead(bad.Raw)
	}
}

// dumpHead is for -D. The first head of an option set begins the file.
func (t *transfer) dumpHead(head []byte) error {
	t.o.dumps++
	return t.writeBeside(t.o.dumpHeader, t.o.dumps > 1, head)
}

// writeBeside writes what is no body to a file, at its end or in its place; - is stdout,
// % stderr.
func (t *transfer) writeBeside(name string, more bool, p []byte) error {
	switch name {
	case "-", "/dev/stdout":
		_, err := t.env.Stdout.Write(t.o.forTTY(t.env.TTYOut, p))
		return err
	case "%", "/dev/stderr":
		_, err := t.env.Stderr.Write(t.o.forTTY(t.env.TTYErr, p))
		return err
	}
	if t.o.createDirs {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if more {
		flags = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	f, err := os.OpenFile(name, flags, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(p)
	return errors.Join(err, f.Close())
}

// verboseHead shows a head, what is secret in it concealed.
func (t *transfer) verboseHead(mark, head string, secret func(name string) bool) {
	var b strings.Builder
	for line := range strings.Lines(head) {
		line = strings.TrimRight(line, "\r\n")
		if name, _, ok := strings.Cut(line, ":"); ok && secret(strings.TrimSpace(name)) && !t.showSecrets {
			line = name + ": ***"
		}
		b.WriteString(mark + event.Escape(line) + "\n")
	}
	io.WriteString(t.env.Stderr, b.String())
}

// info is a line of -v that begins with a star.
func (t *transfer) info(format string, args ...any) {
	t.traced("== Info", fmt.Appendf(nil, format, args...))
	if t.verbose {
		fmt.Fprintf(t.env.Stderr, "* %s\n", event.AppendCut(nil, fmt.Sprintf(format, args...), cli.MaxErrorLine))
	}
}

// summary is what ws prints at the end of -v.
func (t *transfer) summary() {
	fmt.Fprintf(t.env.Stderr, "Upload size: %d\nDownload size: %d\nStatus: %d\n", t.up, t.down, t.response.Status)
}
