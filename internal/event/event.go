// Package event holds what happened on a connection as one value, and turns it
// into lines: one event, one line, as text for people (AppendText), or as a JSON
// object for programs (AppendJSON), which Parse reads again.
//
// A mode makes an Event, with OfFrame, OfEnd and OfError where those fit, and gives
// it to a Writer, from any number of goroutines. That appends its line to what a
// Stream is to write, whose one goroutine deals with a stdout that nobody reads. A
// Recorder keeps the same events in a file, or the bytes on the wire as a capture.
// To read the code begin with Event, then text.go and json.go.
//
// Nothing a peer sent reaches the output as it came, unless a Style asks for
// payloads raw or untouched: AppendEscaped lets printable characters through and
// writes the rest as escapes, and whatever else a peer may choose (a path, a close
// reason, an address, an error that quotes it) goes through AppendField, which also
// bounds it.
package event

import "time"

// Kind is what happened, as it stands in Event.Event and in JSON. A mode may have
// others of its own.
type Kind = string

// The kinds that all modes share, and what of an Event they use.
const (
	Listening = "listening" // Proto, Addr
	Open      = "open"      // Proto, Client, Peer, Path, Head
	Message   = "message"   // Proto, Client, Dir, Opcode, Payload, Size, Fragments, Compressed
	Ping      = "ping"      // likewise; WebSocket only
	Pong      = "pong"
	End       = "end"     // Proto, Client, Dir: that side of a stream sends no more, the other may go on
	Close     = "close"   // Proto, Client, Code, Reason; Err if it was no clean one, and as for an Error
	Error     = "error"   // Err; Payload and Offset are the bytes that broke a rule
	Summary   = "summary" // Fields
)

// In and Out are the values of Event.Dir: from the peer, to the peer.
const (
	In  = "in"
	Out = "out"
)

// Event is something to tell. Only Event must be set, and Client where there is
// no number: its zero value is client 0.
type Event struct {
	Time   time.Time // zero: not shown; Writer fills it in
	Event  Kind      // Listening, Open, ...
	Proto  string    // tcp udp tls unix ws wss line http https
	Client int       // number of the client; negative if it has none
	ID     string    // its name, where clients have names
	Peer   string    // its address
	Path   string    // request target of a WebSocket or HTTP client
	Addr   string    // address listened on
	Dir    string    // In or Out; empty counts as In
	Opcode string    // text, binary, continuation, ping, ...; empty if messages have no type

	Payload []byte // what is shown; only read, and only during the call
	Size    int64  // in bytes, whole; if less than len(Payload), that counts

	Code   int    // WebSocket or HTTP status; 0 if none
	Reason string // of a close
	Err    string // what went wrong

	Head       string // of an Open: start line and fields, as they came
	Fragments  int    // frames that a WebSocket message came in; 0 if nobody counted
	Compressed bool   // the message was, on its way
	Offset     int64  // where the Payload of an Error or Close stood in the frame or head, in bytes

	Fields []Data // anything else, in this order; keys are not checked for being unique
}

// size returns how many bytes the message really had.
func (e *Event) size() int64 { return max(e.Size, int64(len(e.Payload))) }

// isMessage tells whether e has a payload even if that is empty.
func (e *Event) isMessage() bool { return e.Event == Message || e.Event == Ping || e.Event == Pong }

// hasOffset tells whether e's payload is evidence, whose place counts also where
// it is 0.
func (e *Event) hasOffset() bool {
	return e.Offset != 0 || (e.Event == Error || e.Event == Close) && e.size() > 0
}

// Data is a named value of an Event: a counter, a time, a name.
type Data struct {
	Key   string
	kind  uint8
	num   int64
	float float64
	text  string
}

const (
	kindInt = iota
	kindFloat
	kindText
	kindRaw // JSON in text, of a kind that none of ours has
)

// Int is a whole number.
func Int(key string, v int64) Data { return Data{Key: key, num: v} }

// Float is a number with three decimals; what JSON cannot hold counts as 0.
func Float(key string, v float64) Data { return Data{Key: key, kind: kindFloat, float: v} }

// Text is a string, which may come from a peer.
func Text(key, v string) Data { return Data{Key: key, kind: kindText, text: v} }
