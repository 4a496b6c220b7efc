package curl

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"strings"
)

// connected, sent and received are what the client tells while it works.

func (t *transfer) connected(way httpmini.Connection) {
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

func (t *transfer) sent(r *httpmini.Request) {
	t.asked = r.Method
	head := r.AppendHead(nil)
	t.requestSize += int64(len(head))
	if t.verbose {
		line, _, _ := strings.Cut(string(head), "\r\n")
		t.verboseHead("> ", line, r.Header, httpmini.IsSecret)
	}
}

func (t *transfer) received(r *httpmini.Response) {
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
func (t *transfer) dumpHead(head []byte) error {
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
func (t *transfer) verboseHead(mark, line string, h httpmini.Header, secret func(name string) bool) {
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
func (t *transfer) info(format string, args ...any) {
	if t.verbose {
		fmt.Fprintf(t.env.Stderr, "* %s\n", event.AppendCut(nil, fmt.Sprintf(format, args...), cli.MaxErrorLine))
	}
}

// summary is what ws prints at the end of -v.
func (t *transfer) summary() {
	fmt.Fprintf(t.env.Stderr, "Upload size: %d\nDownload size: %d\nStatus: %d\n", t.up, t.down, t.status())
}
