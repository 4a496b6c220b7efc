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
	"socketsrv/internal/tlsconf"
	"strings"
	"syscall"
)

// The numbers that only curl has.
const (
	exitUnsupported = 1
	exitBadURL      = 3
	exitNoProxy     = 5
	exitWeird       = 8
	exitUpload      = 25
	exitRange       = 33
	exitLocalCert   = 58
	exitEncoding    = 61
	exitInterface   = 45
	exitOption      = 49
	exitUser        = 67
	exitCAFile      = 77
	exitPin         = 90
	exitProxy       = 97
)

// exits is what they mean.
var exits = []cli.Exit{
	{Code: exitBadURL, Meaning: "malformed URL"},
	{Code: exitNoProxy, Meaning: "name of the proxy not resolved, or no proxy's"},
	{Code: exitWeird, Meaning: "an answer that breaks the rules"},
	{Code: exitUpload, Meaning: "-0 cannot send what has no length beforehand"},
	{Code: exitRange, Meaning: "the server cannot resume"},
	{Code: exitLocalCert, Meaning: "our own certificate cannot be used"},
	{Code: exitEncoding, Meaning: "unknown or broken content coding"},
	{Code: exitInterface, Meaning: "the address or port of -interface or -local-port cannot be used"},
	{Code: exitOption, Meaning: "a value of -resolve or -connect-to that says nothing"},
	{Code: exitUser, Meaning: "a URL with a user, which --disallow-username-in-url refuses"},
	{Code: exitPin, Meaning: "the server has another key than --pinnedpubkey wants"},
	{Code: exitProxy, Meaning: "the SOCKS proxy refused or broke the rules"},
	{Code: exitCAFile, Meaning: "the file of -cacert cannot be used"},
}

// A failure is an error in curl's words with curl's number.
type failure struct {
	code int
	text string
}

func (e *failure) Error() string { return e.text }

func failf(code int, format string, args ...any) error {
	return &failure{code, fmt.Sprintf(format, args...)}
}

var errSlow = errors.New("too slow")

// explain puts err in curl's words.
func (t *transfer) explain(err error) *failure {
	e := &failure{code: cli.ExitCode(err), text: cli.ErrorText(err)}
	op, _ := errors.AsType[*httpmini.OpError](err)
	own, isOwn := errors.AsType[*failure](err)
	usage, isUsage := errors.AsType[*cli.UsageError](err) // a proxy that the environment names
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isOwn:
		return own
	case isUsage:
		e.code, e.text = proxyExit(err), usage.Text
	case cli.As[*errInput](err):
		e.code, e.text = cli.ExitRead, "Failed to open/read local data from file/application: "+cli.ErrorText(err)
	case cli.As[*errOutput](err) && cli.IsClosedPipe(err):
		e.code, e.text = cli.ExitWrite, "" // whoever read it has had enough
	case errors.Is(err, errBinary):
		t.warn(`Binary output can mess up your terminal. Use "--output -" to have it there all the same, or "--output FILE".`)
		e.code, e.text = cli.ExitWrite, "Failure writing output to destination"
	case cli.As[*errOutput](err):
		e.code, e.text = cli.ExitWrite, "Failure writing output to destination: "+cli.ErrorText(err)
	case errors.Is(err, errSlow):
		e.code = cli.ExitTimeout
		e.text = fmt.Sprintf("Operation too slow. Less than %d bytes/sec transferred the last %d seconds", t.o.speedLimit, int(t.o.speedTime.Seconds()))
	case cli.IsTimeout(err), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		e.code, e.text = cli.ExitTimeout, t.timeoutText(op)
	case isDNS && t.proxy != nil:
		e.code, e.text = exitNoProxy, "Could not resolve proxy: "+dns.Name
	case isDNS:
		e.code, e.text = cli.ExitName, "Could not resolve host: "+dns.Name
	case errors.Is(err, tlsconf.ErrCertificate) && t.pinned:
		e.code, e.text = exitPin, "SSL: public key does not match pinned public key"
	case errors.Is(err, tlsconf.ErrCertificate):
		e.code, e.text = cli.ExitCertificate, "SSL certificate problem: "+lastText(err, tlsconf.ErrCertificate)+" (-k goes on all the same)"
	case errors.Is(err, tlsconf.ErrTLS):
		e.code, e.text = cli.ExitTLS, "TLS connect error: "+lastText(err, tlsconf.ErrTLS)
	default:
		t.explainHTTP(e, err, op)
	}
	return e
}

// explainHTTP is for what the connection and the peer did.
func (t *transfer) explainHTTP(e *failure, err error, op *httpmini.OpError) {
	proxy, isProxy := errors.AsType[*httpmini.ProxyError](err)
	bad, isBad := errors.AsType[*httpmini.Error](err)
	failure, isFailure := errors.AsType[*cli.Failure](err)
	switch {
	case isProxy:
		t.connectStatus = proxy.Response.Status
		e.code, e.text = cli.ExitReceive, fmt.Sprintf("CONNECT tunnel failed, response %d", proxy.Response.Status)
	case isFailure:
		e.code = failure.Code
	case errors.Is(err, httpmini.ErrNoAnswer) && op != nil:
		e.code, e.text = cli.ExitEmpty, "Empty reply from server"
	case errors.Is(err, httpmini.ErrTooManyRedirects):
		e.code, e.text = cli.ExitRedirects, fmt.Sprintf("Maximum (%d) redirects followed", t.o.maxRedirects)
	case errors.Is(err, httpmini.ErrDowngrade):
		e.code, e.text = exitUnsupported, "The redirect leads from https to http (--allow-downgrade follows it)"
	case errors.Is(err, httpmini.ErrScheme):
		e.code, e.text = exitUnsupported, "Protocol of the redirect not supported: only http and https are"
	case errors.Is(err, httpmini.ErrRedirect):
		e.code, e.text = exitUnsupported, strings.TrimPrefix(cli.ErrorText(err), "http: ")+" (--location-trusted sends it)"
	case errors.Is(err, httpmini.ErrURL):
		e.code, e.text = exitBadURL, "URL using bad/illegal format or missing URL"
	case errors.Is(err, httpmini.ErrContentCoding):
		e.code, e.text = exitEncoding, "Unrecognized or bad HTTP Content or Transfer-Encoding"
	case errors.Is(err, httpmini.ErrTooLarge):
		e.code, e.text = cli.ExitTooLarge, "Maximum file size exceeded"
	case errors.Is(err, httpmini.ErrChunk), errors.Is(err, httpmini.ErrChunkSize), errors.Is(err, httpmini.ErrChunkOverhead),
		errors.Is(err, httpmini.ErrLineTooLong), errors.Is(err, httpmini.ErrTooManyFields), errors.Is(err, httpmini.ErrHeadTooLarge):
		e.code, e.text = cli.ExitReceive, "Failure when receiving data from the peer: "+bad.Err.Error()
	case errors.Is(err, httpmini.ErrVersion):
		e.code, e.text = exitUnsupported, "Unsupported HTTP version in response"
	case errors.Is(err, httpmini.ErrNotHTTP):
		e.code, e.text = exitUnsupported, "Received HTTP/0.9 when not allowed"
	case errors.Is(err, httpmini.ErrSpeaksTLS):
		e.code, e.text = exitUnsupported, "Received TLS where plain HTTP was expected: is it https://?"
	case isBad:
		e.code, e.text = exitWeird, "Weird server reply: "+bad.Err.Error()
	case errors.Is(err, io.ErrUnexpectedEOF) && op == nil:
		e.code, e.text = cli.ExitPartial, t.partialText()
	case op != nil:
		t.explainOp(e, op)
	}
}

// explainOp is for errors of the connection.
func (t *transfer) explainOp(e *failure, op *httpmini.OpError) {
	reason := reasonOf(op.Err)
	switch op.Op {
	case "connect":
		e.code = cli.ExitConnect
		e.text = fmt.Sprintf("Failed to connect to %s port %s after %d ms: %s", t.at.Host, t.at.DialPort(), t.env.Now().Sub(t.begun).Milliseconds(), reason)
		if errors.Is(op.Err, syscall.ECONNREFUSED) {
			t.refused = true
		}
	case "tls":
		e.code, e.text = cli.ExitTLS, "TLS connect error: "+reason
	case "send":
		e.code, e.text = cli.ExitSend, "Send failure: "+reason
	case "body":
		e.code, e.text = cli.ExitRead, "Failed to open/read local data from file/application: "+reason
	default:
		e.code, e.text = cli.ExitReceive, "Recv failure: "+reason
	}
}

// reasonOf is the innermost error.
func reasonOf(err error) string {
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		return no.Error()
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err.Error()
	}
	return cli.ErrorText(err)
}

// lastText is the text of err after that of class.
func lastText(err, class error) string {
	text := cli.ErrorText(err)
	if i := strings.Index(text, class.Error()+": "); i >= 0 {
		return text[i+len(class.Error())+2:]
	}
	return text
}

// timeoutText says what took too long.
func (t *transfer) timeoutText(op *httpmini.OpError) string {
	took := t.env.Now().Sub(t.begun).Milliseconds()
	if op != nil && op.Op == "connect" {
		return fmt.Sprintf("Connection timed out after %d milliseconds", took)
	}
	of := ""
	if t.response.ContentLength > 0 {
		of = fmt.Sprintf(" out of %d", t.response.ContentLength)
	}
	return fmt.Sprintf("Operation timed out after %d milliseconds with %d%s bytes received", took, t.down, of)
}

// partialText says how much of a body is missing.
func (t *transfer) partialText() string {
	if t.response.ContentLength > 0 {
		return fmt.Sprintf("transfer closed with %d bytes remaining to read", t.response.ContentLength-t.down)
	}
	return "transfer closed with outstanding read data remaining"
}
