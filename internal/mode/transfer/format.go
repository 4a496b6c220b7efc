package transfer

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"socketsrv/internal/cli"
)

// The format of -send and -receive. Its messages, their keys and the course of a
// transfer are described in doc/formats.md, which a test holds beside this file; what
// a message does in which state is in the tables moves (stream.go) and peerMoves
// (peers.go). What is for somebody else, or in no format known, is ignored.
const version = 2

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
	proof    string
	receiver string
	reason   string
	seq      int64 // with -code; else 0
}

// controlKeys are the keys of each kind, in the order they are written.
var controlKeys = map[string][]string{
	"offer":   {"batch", "file", "files", "name", "size"},
	"start":   {"stream", "offset", "window"},
	"reset":   {"receiver"},
	"alive":   {},
	"done":    {"stream", "name", "size"},
	"confirm": {"receiver", "proof"},
	"over":    {},
	"abort":   {"reason"},
	"accept":  {"receiver", "offset", "proof"},
	"refuse":  {"receiver", "reason"},
	"ack":     {"receiver", "offset"},
	"have":    {"receiver", "proof"},
	"saved":   {"receiver", "proof"},
	"failed":  {"receiver", "reason"},
}

// value returns where the value of a key is kept: a *string or an *int64.
func (c *control) value(key string) any {
	return map[string]any{
		"batch": &c.batch, "stream": &c.stream, "file": &c.file, "files": &c.files, "name": &c.name, "size": &c.size, "offset": &c.offset,
		"window": &c.window, "proof": &c.proof, "receiver": &c.receiver, "reason": &c.reason, "seq": &c.seq,
	}[key]
}

// proofOf shows that who says c knows sum, a SHA-256 in hexadecimal digits. It is of
// this kind, file and receiver, and tells nobody who does not know sum what that is.
func (c *control) proofOf(sum string) string {
	proof := sha256.Sum256([]byte(c.kind + c.id.String() + c.receiver + sum))
	return hex.EncodeToString(proof[:])
}

// appendControl appends c as it is sent.
func appendControl(dst []byte, c *control) []byte {
	dst = fmt.Appendf(dst, `{"transfer":%d,"kind":%q,"id":%q`, version, c.kind, c.id)
	keys := controlKeys[c.kind]
	if c.seq > 0 {
		keys = append(slices.Clip(keys), "seq")
	}
	for _, key := range keys {
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
	errVersion   = errors.New("another version of the format: want 2")
	errKind      = errors.New("unknown kind")
	errKeyTwice  = errors.New("a key comes twice")
	errKeyLacks  = errors.New("a key is missing")
	errBadValue  = errors.New("a value is not such as it must be")
	errNotFlat   = errors.New("not one flat JSON object")
	errTooLong   = errors.New("longer than 4 KiB")
	errFileCount = errors.New("want 1 <= file <= files <= 1048576")
	errCode      = errors.New("one end has a -code that the other has not")
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
	case values["transfer"] != json.Number("2"):
		return c, errVersion
	case idErr != nil:
		return c, fmt.Errorf("id: %w", idErr)
	}
	c.kind, _ = values["kind"].(string)
	keys, known := controlKeys[c.kind]
	if !known {
		return c, errKind
	}
	if _, there := values["seq"]; there {
		keys = append(slices.Clip(keys), "seq")
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
		case "proof":
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

// A code is what the flag -code gives to control messages: a number that grows and a
// MAC. The zero value is no code: it adds neither, and takes only messages without.
type code struct {
	key []byte
	seq int64 // of the last message
}

// newCode makes the key of a word. It takes its time, so that whoever has a message
// with a MAC cannot try many words.
func newCode(word string) (code, error) {
	if word == "" {
		return code{}, nil
	}
	key, err := pbkdf2.Key(sha256.New, word, []byte("socketsrv transfer"), 1<<16, sha256.Size)
	return code{key: key}, err
}

const macKey = `,"mac":"`

// append appends c as it is sent. One goroutine at a time may call it.
func (k *code) append(dst []byte, c control) []byte {
	if k.key == nil {
		return appendControl(dst, &c)
	}
	k.seq++
	c.seq = k.seq
	b := appendControl(nil, &c)
	return fmt.Appendf(append(dst, b[:len(b)-1]...), `%s%x"}`, macKey, k.mac(b))
}

// mac is of the message without its key "mac".
func (k *code) mac(b []byte) []byte {
	h := hmac.New(sha256.New, k.key)
	h.Write(b)
	return h.Sum(nil)
}

// parse reads a control message if it has the right MAC.
func (k *code) parse(b []byte) (control, error) {
	c, err := parseControl(b)
	if errors.Is(err, errForeign) {
		return c, err
	}
	at := len(b) - len(macKey) - 2*sha256.Size - len(`"}`)
	sealed := at > 0 && string(b[at:at+len(macKey)]) == macKey
	if sealed && k.key != nil {
		mac, _ := hex.DecodeString(string(b[at+len(macKey) : len(b)-len(`"}`)]))
		sealed = hmac.Equal(mac, k.mac(append(slices.Clip(b[:at]), '}')))
	}
	if sealed != (k.key != nil) {
		return control{}, errCode
	}
	return c, err
}
