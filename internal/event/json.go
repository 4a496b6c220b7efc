package event

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends e as one JSON object and a line feed. The keys, in this
// order and left out where they have nothing to say: time (RFC 3339, UTC,
// microseconds), event, proto, client, id, peer, path, addr, dir, opcode, size,
// text or base64, cut (bytes of size that are not shown), code, reason, error,
// head (head_base64 if it is not UTF-8), fragments, compressed, offset, and those
// of Fields.
//
// The payload is text if it is a WebSocket text message, or has no type and
// consists of printable characters, tabs and line ends; anything else is
// base64. Strings hold printable characters only, the others are \uNNNN; a byte
// that is not UTF-8 in a name becomes U+FFFD.
func AppendJSON(dst []byte, e *Event) []byte {
	dst = append(dst, '{')
	if !e.Time.IsZero() {
		dst = e.Time.UTC().AppendFormat(dst, `"time":"2006-01-02T15:04:05.000000Z",`) // six decimals always, so that lines sort
	}
	dst = append(dst, `"event":`...)
	dst = appendJSONString(dst, []byte(e.Event))
	dst = appendJSONText(dst, "proto", e.Proto)
	if e.Client >= 0 {
		dst = appendJSONInt(dst, "client", int64(e.Client))
	}
	dst = appendJSONText(dst, "id", e.ID)
	dst = appendJSONText(dst, "peer", e.Peer)
	dst = appendJSONText(dst, "path", e.Path)
	dst = appendJSONText(dst, "addr", e.Addr)
	dst = appendJSONText(dst, "dir", e.Dir)
	dst = appendJSONText(dst, "opcode", e.Opcode)
	if e.size() > 0 || e.isMessage() {
		dst = appendJSONPayload(dst, e)
	}
	if e.Code != 0 {
		dst = appendJSONInt(dst, "code", int64(e.Code))
	}
	dst = appendJSONText(dst, "reason", e.Reason)
	dst = appendJSONText(dst, "error", e.Err)
	if e.Head != "" {
		dst = appendJSONHead(dst, e.Head)
	}
	if e.Fragments != 0 {
		dst = appendJSONInt(dst, "fragments", int64(e.Fragments))
	}
	if e.Compressed {
		dst = append(dst, `,"compressed":true`...)
	}
	if e.hasOffset() {
		dst = appendJSONInt(dst, "offset", e.Offset)
	}
	for i := range e.Fields {
		dst = appendJSONData(dst, &e.Fields[i])
	}
	return append(dst, '}', '\n')
}

func appendJSONHead(dst []byte, head string) []byte {
	if utf8.ValidString(head) {
		return appendJSONText(dst, "head", head)
	}
	return appendJSONText(dst, "head_base64", base64.StdEncoding.EncodeToString([]byte(head)))
}

func appendJSONPayload(dst []byte, e *Event) []byte {
	dst = appendJSONInt(dst, "size", e.size())
	if isJSONText(e) {
		dst = append(dst, `,"text":`...)
		dst = appendJSONString(dst, e.Payload)
	} else {
		dst = append(dst, `,"base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Payload)
		dst = append(dst, '"')
	}
	if n := e.size() - int64(len(e.Payload)); n > 0 {
		dst = appendJSONInt(dst, "cut", n)
	}
	return dst
}

// isJSONText tells whether the payload can be a JSON string and means to be one.
func isJSONText(e *Event) bool {
	switch e.Opcode {
	case "text":
		return utf8.Valid(e.Payload)
	case "binary":
		return false
	}
	return IsPrintable(e.Payload)
}

// IsPrintable tells whether p is made of printable characters, tabs and line
// ends.
func IsPrintable(p []byte) bool {
	for {
		n := plainLen(p, shown)
		if p = p[n:]; len(p) == 0 {
			return true
		}
		switch c := p[0]; {
		case c == '\n', c == '\r', c == '\t':
			p = p[1:]
		case c < utf8.RuneSelf:
			return false
		default:
			n := wideLen(p)
			if n == 0 {
				return false
			}
			p = p[n:]
		}
	}
}

// appendJSONString appends p in quotes.
func appendJSONString(dst, p []byte) []byte {
	return append(appendSafe(append(dst, '"'), p, '"'), '"')
}

// appendJSONKey appends a key that needs no escape.
func appendJSONKey(dst []byte, key string) []byte {
	return append(append(append(dst, `,"`...), key...), `":`...)
}

// appendJSONText appends a member, unless v is empty.
func appendJSONText(dst []byte, key, v string) []byte {
	if v == "" {
		return dst
	}
	return appendJSONString(appendJSONKey(dst, key), []byte(v))
}

func appendJSONInt(dst []byte, key string, v int64) []byte {
	return strconv.AppendInt(appendJSONKey(dst, key), v, 10)
}

func appendJSONData(dst []byte, d *Data) []byte {
	dst = append(appendJSONString(append(dst, ','), []byte(d.Key)), ':')
	if d.kind == kindText {
		return appendJSONString(dst, []byte(d.text))
	}
	return appendNumber(dst, d)
}

// appendNumber appends a Data that is not text.
func appendNumber(dst []byte, d *Data) []byte {
	switch {
	case d.kind == kindRaw:
		return append(dst, d.text...)
	case d.kind == kindInt:
		return strconv.AppendInt(dst, d.num, 10)
	case math.IsNaN(d.float) || math.IsInf(d.float, 0):
		return append(dst, '0')
	}
	return strconv.AppendFloat(dst, d.float, 'f', 3, 64)
}
