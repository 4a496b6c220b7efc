package event

import (
	"reflect"
	"testing"
)

func TestOf(t *testing.T) {
	ws := Event{Proto: "ws", Client: 2, Peer: "p", ID: "i"}
	with := func(change func(e *Event)) Event {
		e := ws
		change(&e)
		return e
	}
	tcp := Event{Proto: "tcp", Client: -1}
	for _, tt := range []struct {
		name      string
		got, want Event
		end       string
	}{
		{"text", OfFrame(ws, true, "text", []byte("a")), with(func(e *Event) { e.Event, e.Dir, e.Opcode, e.Payload = Message, In, "text", []byte("a") }), ""},
		{"no opcode", OfFrame(ws, false, "", nil), with(func(e *Event) { e.Event, e.Dir = Message, Out }), ""},
		{"ping", OfFrame(ws, true, "ping", nil), with(func(e *Event) { e.Event, e.Dir, e.Opcode = Ping, In, "ping" }), ""},
		{"pong", OfFrame(ws, false, "pong", []byte("x")), with(func(e *Event) { e.Event, e.Dir, e.Opcode, e.Payload = Pong, Out, "pong", []byte("x") }), ""},
		{"close", OfFrame(ws, true, "close", []byte("\x03\xe9bye")),
			with(func(e *Event) { e.Event, e.Dir, e.Opcode, e.Code, e.Reason = Close, In, "close", 1001, "bye" }), `closed: code 1001 reason "bye"`},
		{"close without a code", OfFrame(ws, false, "close", nil), with(func(e *Event) { e.Event, e.Dir, e.Opcode, e.Code = Close, Out, "close", 1005 }), "closed: no code"},
		{"close with half a code", OfFrame(ws, true, "close", []byte("\x03")), with(func(e *Event) { e.Event, e.Dir, e.Opcode, e.Code = Close, In, "close", 1005 }), "closed: no code"},

		{"closed", OfEnd(ws, 1000, "", ""), with(func(e *Event) { e.Event, e.Code = Close, 1000 }), "closed: code 1000"},
		{"rule broken", OfEnd(ws, 1002, "", "masking"), with(func(e *Event) { e.Event, e.Code, e.Err = Close, 1002, "masking" }), "lost: code 1002, masking"},
		{"end without a close frame", OfEnd(ws, 0, "", ""),
			with(func(e *Event) { e.Event, e.Code, e.Err = Close, 1006, "no close frame" }), "closed: code 1006, there was no close frame"},
		{"reset", OfEnd(ws, 0, "", "reset"), with(func(e *Event) { e.Event, e.Err = Close, "reset" }), "lost: reset"},
		{"end of a stream", OfEnd(tcp, 0, "", ""), Event{Event: Close, Proto: "tcp", Client: -1}, "closed"},

		{"evidence", OfError(ws, 1007, "not UTF-8", []byte("\xff"), 3),
			with(func(e *Event) {
				e.Event, e.Code, e.Err, e.Payload, e.Offset = Error, 1007, "not UTF-8", []byte("\xff"), 3
			}), ""},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, tt.got, tt.want)
		}
		if got := EndText(&tt.got); tt.end != "" && got != tt.end {
			t.Errorf("%s: EndText = %q, want %q", tt.name, got, tt.end)
		}
	}
}
