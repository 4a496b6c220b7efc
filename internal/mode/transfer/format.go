package transfer

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"socketsrv/internal/cli"
)

// The format of -send and -receive, version 1.
//
// Sender and receivers are clients of a broadcast server, which hands every
// message to all others and knows nothing of files: any broadcast server will do,
// also one that gives a message back to who sent it. What is for somebody else, or
// in no format known, is ignored.
//
// Control messages are text: one flat JSON object of at most 4 KiB with
// "transfer":1 (the version), "kind", "id" and the keys of its kind, each once;
// unknown keys are ignored. An id, a batch, a stream and a receiver are 16 hexadecimal
// digits chosen at random, in lower case: of one file on its way, of the files of
// one command, of one receiving program.
//
//	from the sender
//	  offer   batch file files name size  file number file of files wants to be sent
//	  start   stream offset window        chunks follow, from there on
//	  reset   receiver offset             what you have is not of this file: forget it; offset is 0
//	  alive                               nothing to say, but here; once a second
//	  done    stream name size sha256     that was all of it
//	  over                                it is known who has it; a receiver may go
//	  abort   reason                      nothing more comes
//	from a receiver
//	  accept  receiver offset sha256      send it from offset on; sha256 is of what is here
//	  refuse  receiver reason             not this one
//	  ack     receiver offset             so much has arrived; once a second, and every quarter of the window
//	  saved   receiver sha256             it stands under its name
//	  failed  receiver reason             it does not, and will not
//
// A chunk is a binary message: the four bytes "sft1", the stream (8 bytes), the
// offset (8 bytes, big-endian), and 1 to 65,536 bytes of the file. The stream is
// another id, that of the start: what is still on its way from before it, over a
// connection that broke, is not taken for a part of this one. Chunks of a stream
// come in order and without gaps, from the offset of its start on; those of bytes
// that a receiver has already are checked for their order and passed over.
//
// The offer is repeated, at least every second, until there are receivers enough; done until
// all have answered. The sender is never more than a window (-window, 4 MiB) ahead
// of the slowest receiver's ack: that bounds what may wait in the server for a
// receiver that is slow, and nothing needs to be dropped. A connection that broke
// is made again: the sender then repeats its offer, a receiver its accept with the
// offset it has, and the sender goes back to the lowest offset of all. A receiver
// stays for ten seconds after the last file, to repeat saved to a sender who did not
// hear it, unless over comes. Who says nothing for the time of -timeout is given up.
//
// Names are one path element as checkFileName wants it; sizes and offsets go up
// to 2^63-1. The SHA-256 of done is of the whole file, and a file gets its name
// after name, size and hash were found right, never before.
const version = 1

const (
	chunkSize     = 64 << 10 // bytes of a file in a chunk at the most
	chunkHead     = 4 + 8 + 8
	maxControl    = 4 << 10
	maxReason     = 200 // bytes
	maxBatchFiles = 1 << 20
)

var chunkMagic = [4]byte{'s', 'f', 't', '1'}

// A fileID names a file on its way.
type fileID [8]byte

func (id fileID) String() string { return hex.EncodeToString(id[:]) }

// A chunk is a part of a file.
type chunk struct {
	stream fileID
	offset int64
	data   []byte
}

// putChunkHead fills the first chunkHead bytes of b.
func putChunkHead(b []byte, stream fileID, offset int64) {
	copy(b, chunkMagic[:])
	copy(b[4:], stream[:])
	binary.BigEndian.PutUint64(b[12:], uint64(offset))
}

// parseChunk returns the chunk in b, which it shares; false if b is none.
func parseChunk(b []byte) (c chunk, ok bool) {
	if len(b) <= chunkHead || len(b) > chunkHead+chunkSize || [4]byte(b) != chunkMagic {
		return c, false
	}
	offset := binary.BigEndian.Uint64(b[12:])
	if offset > math.MaxInt64-chunkSize {
		return c, false
	}
	return chunk{fileID(b[4:12]), int64(offset), b[chunkHead:]}, true
}

// A control is a control message; which fields count is a question of the kind.
type control struct {
	kind     string
	id       fileID
	batch    string
	stream   string
	file     int64
	files    int64
	name     string
	size     int64
	offset   int64
	window   int64
	sha256   string
	receiver string
	reason   string
}

// controlKeys are the keys of each kind, in the order they are written.
var controlKeys = map[string][]string{
	"offer":  {"batch", "file", "files", "name", "size"},
	"start":  {"stream", "offset", "window"},
	"reset":  {"receiver", "offset"},
	"alive":  {},
	"done":   {"stream", "name", "size", "sha256"},
	"over":   {},
	"abort":  {"reason"},
	"accept": {"receiver", "offset", "sha256"},
	"refuse": {"receiver", "reason"},
	"ack":    {"receiver", "offset"},
	"saved":  {"receiver", "sha256"},
	"failed": {"receiver", "reason"},
}

// value returns where the value of a key is kept: a *string or an *int64.
func (c *control) value(key string) any {
	switch key {
	case "batch":
		return &c.batch
	case "stream":
		return &c.stream
	case "file":
		return &c.file
	case "files":
		return &c.files
	case "name":
		return &c.name
	case "size":
		return &c.size
	case "offset":
		return &c.offset
	case "window":
		return &c.window
	case "sha256":
		return &c.sha256
	case "receiver":
		return &c.receiver
	case "reason":
		return &c.reason
	}
	return nil
}

// appendControl appends c as it is sent.
func appendControl(dst []byte, c *control) []byte {
	dst = fmt.Appendf(dst, `{"transfer":%d,"kind":%q,"id":%q`, version, c.kind, c.id)
	for _, key := range controlKeys[c.kind] {
		dst = fmt.Appendf(dst, `,%q:`, key)
		switch v := c.value(key).(type) {
		case *int64:
			dst = strconv.AppendInt(dst, *v, 10)
		case *string:
			quoted, _ := json.Marshal(*v) // of a string: cannot fail
			dst = append(dst, quoted...)
		}
	}
	return append(dst, '}')
}

// Why a message is no control message. errForeign is not even meant as one.
var (
	errForeign   = errors.New("not of a transfer")
	errVersion1  = errors.New("another version of the format: want 1")
	errKind      = errors.New("unknown kind")
	errKeyTwice  = errors.New("a key comes twice")
	errKeyLacks  = errors.New("a key is missing")
	errBadValue  = errors.New("a value is not such as it must be")
	errNotFlat   = errors.New("not one flat JSON object")
	errTooLong   = errors.New("longer than 4 KiB")
	errFileCount = errors.New("want 1 <= file <= files <= 1048576")
)

// parseControl reads a control message. An error other than errForeign comes with
// the id, if that is there.
func parseControl(b []byte) (c control, err error) {
	if len(b) > maxControl {
		if bytes.Contains(b[:maxControl], []byte(`"transfer"`)) {
			return c, errTooLong
		}
		return c, errForeign
	}
	values, err := flatObject(b)
	if _, ours := values["transfer"]; !ours {
		return c, errForeign
	}
	id, _ := values["id"].(string)
	idErr := parseID(&c.id, id)
	switch {
	case err != nil:
		return c, err
	case values["transfer"] != json.Number("1"):
		return c, errVersion1
	case idErr != nil:
		return c, fmt.Errorf("id: %w", idErr)
	}
	c.kind, _ = values["kind"].(string)
	keys, known := controlKeys[c.kind]
	if !known {
		return c, errKind
	}
	for _, key := range keys {
		v, there := values[key]
		if !there {
			return c, fmt.Errorf("%s: %w", key, errKeyLacks)
		}
		if !c.set(key, v) {
			return c, fmt.Errorf("%s: %w", key, errBadValue)
		}
	}
	if c.kind == "offer" && (c.file < 1 || c.file > c.files || c.files > maxBatchFiles) {
		return c, errFileCount
	}
	return c, nil
}

// set takes a value if it is of the right type and shape.
func (c *control) set(key string, v any) bool {
	switch p := c.value(key).(type) {
	case *int64:
		number, _ := v.(json.Number)
		n, err := strconv.ParseInt(string(number), 10, 64)
		*p = n
		return err == nil && n >= 0
	case *string:
		s, ok := v.(string)
		*p = s
		var id fileID
		switch key {
		case "batch", "stream", "receiver":
			return parseID(&id, s) == nil
		case "sha256":
			return len(s) == 64 && isLowerHex(s)
		case "reason":
			*p = cli.Clip(s, maxReason)
		}
		return ok
	}
	return false
}

func parseID(id *fileID, s string) error {
	if len(s) != 2*len(id) || !isLowerHex(s) {
		return errBadValue
	}
	hex.Decode(id[:], []byte(s))
	return nil
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// flatObject reads a JSON object whose values are strings, numbers and the like.
// What was read comes back with an error, too.
func flatObject(b []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	values := make(map[string]any)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotFlat
	}
	var twice error
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return values, errNotFlat
		}
		v, err := d.Token()
		if _, nested := v.(json.Delim); err != nil || nested {
			return values, errNotFlat
		}
		name := key.(string) // Token gives no other keys
		if _, there := values[name]; there {
			twice = errKeyTwice
		}
		values[name] = v
	}
	if _, err := d.Token(); err != nil || len(bytes.TrimSpace(b[d.InputOffset():])) > 0 {
		return values, errNotFlat
	}
	return values, twice
}
