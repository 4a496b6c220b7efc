package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"socketsrv/internal/event"
	"socketsrv/wsproto"
)

// Plural is n of a unit, in words.
func Plural(n int64, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	if stem, ok := strings.CutSuffix(unit, "y"); ok {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// EndReason says in words why a connection ended; "" for the normal end of the
// stream.
func EndReason(err error) string {
	if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	return ErrorText(err)
}

// Closed is who's Close by a Close frame.
func Closed(who event.Event, ce *wsproto.CloseError) event.Event {
	text := ""
	if ce.Cut {
		if text = "in the middle of a message"; ce.Begun != "" {
			text += fmt.Sprintf(" that begins %q", ce.Begun)
		}
	}
	e := event.OfEnd(who, int(ce.Code), ce.Reason, text)
	e.Payload = []byte(ce.Begun)
	return e
}

// Ended is who's Close: the code and reason of a Close frame, the rule that the peer
// broke with the bytes that broke it, or what else went wrong.
func Ended(who event.Event, err error) event.Event {
	if closed, ok := errors.AsType[*wsproto.CloseError](err); ok {
		return Closed(who, closed)
	}
	broken, ok := errors.AsType[*wsproto.ProtocolError](err)
	if !ok {
		return event.OfEnd(who, 0, "", EndReason(err))
	}
	e := event.OfEnd(who, int(broken.Code), "", broken.Err.Error())
	e.Payload, e.Offset = broken.Bytes, broken.Offset-int64(broken.Before)
	return e
}

var ErrIdle = errors.New("idle for too long")

// OpcodeName is the type of a message in an event.
func OpcodeName(op wsproto.Opcode) string {
	if op == 0 {
		return ""
	}
	return op.String()
}

// WriteStall is how long a peer may take nothing of what is written to it.
const WriteStall = 30 * time.Second

// MaxDatagram is the largest UDP payload over IPv4.
const MaxDatagram = 65507

// MaxQueue is how many bytes may wait for a client.
const MaxQueue = 1 << 20
