package httpmini

import (
	"errors"
	"math"
	"strings"
)

// Error says that the peer sent something that is not HTTP/1.1 or more than is
// taken of it. The bytes are as they came: nothing in them is fit for a terminal.
type Error struct {
	Status int    // for requests the status to answer with, for responses 502
	Err    error  // one of the errors below, or os.ErrDeadlineExceeded with status 408
	Raw    string // what came of the head, Limits.Head at most; "" where it is the body that broke a rule
	Offset int    // where in Raw the rule was broken
	Bytes  string // from there on, to the end of the line, 64 at the most; in a body likewise
}

// atEnd is the Offset of what broke no rule but stopped.
const atEnd = math.MaxInt

// show keeps what came, which the caller of fail does not see.
func (e *Error) show(came string) {
	e.Raw, e.Offset = came, min(e.Offset, len(came))
	e.Bytes = cutLine(came[e.Offset:])
}

// cutLine returns s to the end of its line, at most 64 bytes.
func cutLine(s string) string {
	s = s[:min(len(s), 64)]
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i+1]
	}
	return s
}

func (e *Error) Error() string { return "http: " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// The rules that a message can break. Sections without a name are RFC 9112's.
var (
	ErrRequestLine      = errors.New("malformed request line")                                 // §3
	ErrTarget           = errors.New("invalid request-target")                                 // §3.2
	ErrHost             = errors.New("missing, repeated or invalid Host")                      // §3.2
	ErrStatusLine       = errors.New("malformed status line")                                  // §4
	ErrNotHTTP          = errors.New("the answer is not HTTP/1")                               // §4
	ErrVersion          = errors.New("HTTP version not supported")                             // §2.3
	ErrLineEnd          = errors.New("line does not end in CRLF")                              // §2.2
	ErrField            = errors.New("malformed field line")                                   // §5
	ErrFold             = errors.New("folded field line")                                      // §5.2
	ErrReason           = errors.New("no blank behind the status code")                        // §4
	ErrChunkBlanks      = errors.New("blanks behind the size of a chunk")                      // §7.1
	ErrLineTooLong      = errors.New("line too long")                                          // Limits.Line
	ErrTooManyFields    = errors.New("too many fields")                                        // Limits.Fields
	ErrHeadTooLarge     = errors.New("head too large")                                         // Limits.Head
	ErrContentLength    = errors.New("invalid or repeated Content-Length")                     // §6.3
	ErrTransferEncoding = errors.New("invalid Transfer-Encoding")                              // §6.1
	ErrCoding           = errors.New("transfer coding not implemented")                        // §6.1
	ErrTwoLengths       = errors.New("both Transfer-Encoding and Content-Length")              // §6.3
	ErrChunk            = errors.New("malformed chunk")                                        // §7.1
	ErrChunkSize        = errors.New("chunk size beyond 63 bits")                              // §7.1
	ErrChunkOverhead    = errors.New("chunks carry more overhead than data")                   // §7.1.1
	ErrExpect           = errors.New("expectation other than 100-continue")                    // RFC 9110 §10.1.1
	ErrInterim          = errors.New("more than ten interim responses")                        // RFC 9110 §15.2
	ErrSwitch           = errors.New("the answer switches protocols though nothing asked for") // RFC 9110 §15.2.2
)
