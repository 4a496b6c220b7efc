package wsproto

import (
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
)

// A ProtocolError says that the peer broke a rule of RFC 6455 or RFC 7692, or
// one of our limits. Code is the status code the connection was failed with.
type ProtocolError struct {
	Code StatusCode
	Err  error // wraps the rule's sentinel
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
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("websocket: closed by the peer: code %d reason %q", e.Code, e.Reason)
}

// A HandshakeError says why an opening handshake failed. On the server, Status
// is the status to answer with. On the client, Status and Response are what came
// instead of a usable 101, Body at most its first MiB; both are zero when
// nothing came or it could not be read.
type HandshakeError struct {
	Status   int
	Response *httpmini.Response
	Body     []byte
	Err      error
}

func (e *HandshakeError) Error() string { return "websocket: handshake refused: " + e.Err.Error() }

func (e *HandshakeError) Unwrap() error { return e.Err }
