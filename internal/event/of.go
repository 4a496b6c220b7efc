package event

import (
	"encoding/binary"
	"fmt"
)

// noStatus and abnormal stand for a Close frame without a code, and for none (RFC
// 6455 §7.4.1).
const noStatus, abnormal = 1005, 1006

// OfFrame is who with a WebSocket message or control frame that came or went: a
// Message, Ping, Pong, or Close with the code and reason of the frame.
func OfFrame(who Event, received bool, opcode string, p []byte) Event {
	who.Event, who.Dir, who.Opcode, who.Payload = Message, Out, opcode, p
	if received {
		who.Dir = In
	}
	switch {
	case opcode == Ping, opcode == Pong:
		who.Event = opcode
	case opcode == Close && len(p) < 2:
		who.Event, who.Payload, who.Code = Close, nil, noStatus
	case opcode == Close:
		who.Event, who.Payload, who.Code, who.Reason = Close, nil, int(binary.BigEndian.Uint16(p)), string(p[2:])
	}
	return who
}

// OfEnd is who with the end of the connection: the code and reason of a Close frame,
// or what went wrong, with its code if there is one. Nothing at all is a clean end,
// but on a WebSocket the code 1006 and words for it.
func OfEnd(who Event, code int, reason, err string) Event {
	if code == 0 && err == "" && (who.Proto == "ws" || who.Proto == "wss") {
		code, err = abnormal, "no close frame"
	}
	who.Event, who.Code, who.Reason, who.Err = Close, code, reason, err
	return who
}

// OfError is who with what went wrong, the bytes that broke a rule and where in the
// frame or head they stood; none if it was none of those.
func OfError(who Event, code int, err string, bytes []byte, offset int64) Event {
	who.Event, who.Code, who.Err, who.Payload, who.Offset = Error, code, err, bytes, offset
	return who
}

// EndText says in words how the connection of e, a Close, ended: what follows
// "connection " in a status line, which escapes it.
func EndText(e *Event) string {
	switch {
	case e.Code == abnormal && e.Err == "no close frame":
		return "closed: code 1006, there was no close frame"
	case e.Err != "" && e.Code != 0:
		return fmt.Sprintf("lost: code %d, %s", e.Code, e.Err)
	case e.Err != "":
		return "lost: " + e.Err
	case e.Code == 0:
		return "closed"
	case e.Code == noStatus:
		return "closed: no code"
	case e.Reason == "":
		return fmt.Sprintf("closed: code %d", e.Code)
	}
	return fmt.Sprintf("closed: code %d reason \"%s\"", e.Code, e.Reason)
}
