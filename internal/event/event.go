// Package event turns what happens on a connection into lines: one event, one
// line, as text for people (AppendText), or as a JSON object for programs
// (AppendJSON). Writer puts them out whole, from any number of goroutines.
//
// Nothing a peer sent reaches the output as it came, unless a Style asks for
// raw payloads: AppendEscaped lets printable characters through and writes the
// rest as escapes that can be undone, and whatever else a peer may choose (a
// path, a close reason, an address, an error that quotes him) goes through
// AppendField, which also bounds it.
package event

import "time"

// The kinds of events, as they stand in Event.Event and in JSON. A mode may
// have others of its own.
const (
	Listening = "listening" // Proto, Addr
	Open      = "open"      // Proto, Client, Peer, Path
	Message   = "message"   // Proto, Client, Dir, Opcode, Payload, Size
	Ping      = "ping"      // likewise; WebSocket only
	Pong      = "pong"
	Close     = "close"   // Proto, Client, Code, Reason; Err if it was no clean one
	Error     = "error"   // Err
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
	Event  string    // Listening, Open, ...
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
	Fields []Data // anything else, in this order; keys are not checked for being unique
}

// size returns how many bytes the message really had.
func (e *Event) size() int64 { return max(e.Size, int64(len(e.Payload))) }

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
)

// Int is a whole number.
func Int(key string, v int64) Data { return Data{Key: key, num: v} }

// Float is a number with three decimals; what JSON cannot hold counts as 0.
func Float(key string, v float64) Data { return Data{Key: key, kind: kindFloat, float: v} }

// Text is a string, which may come from a peer.
func Text(key, v string) Data { return Data{Key: key, kind: kindText, text: v} }
