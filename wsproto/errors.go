package wsproto

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"socketsrv/httpmini"
)

// The rules by name, each with its section of RFC 6455. A *ProtocolError wraps
// the one that was broken.
var (
	ErrReservedBits     = errors.New("reserved bit set that no extension defines")             // §5.2
	ErrReservedOpcode   = errors.New("reserved opcode")                                        // §5.2
	ErrLengthEncoding   = errors.New("payload length not in its shortest form, or negative")   // §5.2
	ErrMasking          = errors.New("masking does not match the sender's role")               // §5.1
	ErrControlFragment  = errors.New("control frame is fragmented")                            // §5.5
	ErrControlTooLong   = errors.New("control frame has more than 125 bytes")                  // §5.5
	ErrNoMessageToGoOn  = errors.New("continuation frame without a message to continue")       // §5.4
	ErrMessageNotEnded  = errors.New("data frame inside a fragmented message")                 // §5.4
	ErrInvalidUTF8      = errors.New("text is not valid UTF-8")                                // §8.1
	ErrClosePayload     = errors.New("close frame with one byte of payload")                   // §5.5.1
	ErrStatusCode       = errors.New("status code that may not be sent")                       // §7.4
	ErrMessageTooBig    = errors.New("message is larger than the limit")                       // §7.4.1, 1009
	ErrTooManyFragments = errors.New("message has more fragments than the limit")              // §10.4
	ErrCompressedData   = errors.New("compressed data is corrupt or cut short")                // RFC 7692 §7.2.2
	ErrMessageCut       = errors.New("connection ended in the middle of a message or a frame") // §7.1.5
)

// Errors of our own side of a connection.
var (
	ErrCloseSent    = errors.New("wsproto: a close frame was sent, nothing may follow it") // §5.5.1
	ErrPongTimeout  = errors.New("wsproto: nothing came in answer to a ping in time")
	ErrCloseTimeout = errors.New("wsproto: the peer did not do its part of the closing handshake in time")
	ErrIdleTimeout  = errors.New("wsproto: nothing came for the idle timeout")
	ErrQueueFull    = errors.New("wsproto: the peer does not read: its queue is full")
	ErrClosed       = errors.New("wsproto: the connection is closed")
	ErrMessageOpen  = errors.New("wsproto: a message of NextWriter is not ended") // §5.4
)

// A ProtocolError says that the peer broke a rule of RFC 6455 or RFC 7692, or
// one of our limits, and shows the bytes that did.
type ProtocolError struct {
	Code   StatusCode // the connection was failed with
	Err    error      // wraps the rule's sentinel
	Header Header     // of the frame, the last one of the message; zero where it could not be known

	// Bytes is a copy of at most 64 bytes of what came. Where the header broke the rule
	// they begin with it and go on with what followed, all as it was on the wire. Else
	// they are a piece of the payload, unmasked, with the fault in it: of the message as
	// it was put together, before inflating where the compressed data are the fault.
	Bytes  []byte
	Before int   // how many of Bytes come before the fault
	Offset int64 // of the fault in the frame, or in that payload
}

// maxShown is how much of what broke a rule an error shows.
const maxShown = 64

// broke makes the error of a header that breaks a rule.
func broke(code StatusCode, err error, h Header) *ProtocolError {
	return &ProtocolError{Code: code, Err: err, Header: h, Bytes: AppendHeader(nil, h)}
}

// brokeAt makes the error of a payload that breaks a rule at p[at].
func brokeAt(code StatusCode, err error, p []byte, at int) *ProtocolError {
	from := max(0, at-maxShown/2)
	b := bytes.Clone(p[from:min(len(p), from+maxShown)])
	return &ProtocolError{Code: code, Err: err, Bytes: b, Before: at - from, Offset: int64(at)}
}

// inFrame notes the header of the frame in an error about its payload.
func inFrame(err error, h Header) error {
	if pe, ok := err.(*ProtocolError); ok {
		pe.Header = h
	}
	return err
}

// showInput has an error about a header show all of the input from it on, b.
func showInput(err error, b []byte) error {
	if pe, ok := err.(*ProtocolError); ok {
		pe.Bytes = bytes.Clone(b[:min(len(b), maxShown)])
	}
	return err
}

func (e *ProtocolError) Error() string {
	return "websocket: " + e.Err.Error() + " (close " + strconv.Itoa(int(e.Code)) + ")"
}

func (e *ProtocolError) Unwrap() error { return e.Err }

// A CloseError says that the peer sent a Close frame: its status code, 1005 if
// it had none, and its reason.
type CloseError struct {
	Code   StatusCode
	Reason string
	Cut    bool   // the frame came in the middle of a message, which has no end
	Begun  string // at most 64 bytes of that one, if they are kept and not compressed
}

func (e *CloseError) Error() string {
	text := fmt.Sprintf("websocket: closed by the peer: code %d reason %q", e.Code, e.Reason)
	if e.Cut {
		text += " in the middle of a message"
	}
	return text
}

// A HandshakeError says why an opening handshake failed. On the server, Status
// is the status to answer with. On the client, Status and Response are what came
// instead of a usable 101, Body at most its first MiB; both are zero when what came
// could not be read.
type HandshakeError struct {
	Status   int
	Response *httpmini.Response
	Body     []byte
	Head     string // what came of the peer's head, as it came: httpmini.ClientLimits.Head bytes at most
	Err      error
}

func (e *HandshakeError) Error() string {
	if e.Status == 0 {
		return "websocket: handshake failed: " + e.Err.Error()
	}
	return "websocket: handshake refused: " + e.Err.Error()
}

func (e *HandshakeError) Unwrap() error { return e.Err }
