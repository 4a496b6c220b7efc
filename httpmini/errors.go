package httpmini

import "errors"

// Error says that the peer sent something that is not HTTP/1.1 or more than is
// taken of it.
type Error struct {
	Status int   // for requests the status to answer with, for responses 502
	Err    error // one of the errors below, or os.ErrDeadlineExceeded with status 408
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
