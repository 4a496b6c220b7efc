package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// Parse reads a line that AppendJSON wrote, with its line feed or without: parsed
// and appended again it is the same line. Keys may stand in any order, and those
// that are unknown, as another version writes them, become Fields. Where there is
// no client its number is -1. The error says what is wrong, and shows the beginning
// of the line unescaped.
func Parse(line []byte) (Event, error) {
	p := parsed{Event: Event{Client: -1}}
	err := p.object(json.NewDecoder(bytes.NewReader(line)))
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // EOF would be the end of a file of lines
	}
	if err != nil {
		return Event{}, fmt.Errorf("not an event: %w: %s", err, Cut(string(bytes.TrimSpace(line)), FieldMax))
	}
	return p.Event, nil
}

// parsed is an Event that is being read, with what of JSON has no place in it.
type parsed struct {
	Event
	text       string
	headBase64 []byte
	cut        int64
}

func (p *parsed) object(dec *json.Decoder) error {
	if t, err := dec.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return errors.New("not an object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		if err := p.member(key.(string), dec); err != nil { // where More is true in an object there is a key
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return p.finish()
}

// member reads the value of key.
func (p *parsed) member(key string, dec *json.Decoder) error {
	to := p.place(key)
	if to == nil {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if err == nil {
			p.Fields = append(p.Fields, data(key, raw))
		}
		return err
	}
	err := dec.Decode(to)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s where %v belongs", wrong.Value, wrong.Type)
	}
	return err
}

// place is where the value of key goes; nil if key is none of ours.
func (p *parsed) place(key string) any {
	for _, m := range [...]struct {
		key string
		to  any
	}{
		{"time", &p.Time}, {"event", &p.Event.Event}, {"proto", &p.Proto}, {"client", &p.Client}, {"id", &p.ID},
		{"peer", &p.Peer}, {"path", &p.Path}, {"addr", &p.Addr}, {"dir", &p.Dir}, {"opcode", &p.Opcode},
		{"size", &p.Size}, {"text", &p.text}, {"base64", &p.Payload}, {"cut", &p.cut}, {"code", &p.Code},
		{"reason", &p.Reason}, {"error", &p.Err}, {"head", &p.Head}, {"head_base64", &p.headBase64},
		{"fragments", &p.Fragments}, {"compressed", &p.Compressed}, {"offset", &p.Offset},
	} {
		if m.key == key {
			return m.to
		}
	}
	return nil
}

// finish puts what was read into the form in which AppendJSON writes it.
func (p *parsed) finish() error {
	if p.Event.Event == "" {
		return errors.New(`no "event"`)
	}
	if p.Time = p.Time.UTC(); p.Time.Year() < 0 || p.Time.Year() > 9999 {
		return errors.New("a year that has no four digits")
	}
	if p.text != "" {
		p.Payload = []byte(p.text)
	}
	if len(p.Payload) == 0 {
		p.Payload = nil
	}
	if p.headBase64 != nil {
		p.Head = string(p.headBase64)
	}
	n := int64(len(p.Payload))
	if p.Size == 0 {
		p.Size = n + p.cut
	}
	if p.cut != max(p.Size-n, 0) {
		return fmt.Errorf(`"cut": %d of %d bytes, but %d are there`, p.cut, p.Size, n)
	}
	p.Size = p.size()
	return nil
}

// data is the value raw as AppendJSON would write it: as a number or text, else as
// it stands, but without white space and with escapes for what is not printable.
func data(key string, raw []byte) Data {
	s := string(raw)
	var text string
	if json.Unmarshal(raw, &text) == nil && s != "null" {
		return Text(key, text)
	}
	if v, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(v, 10) == s {
		return Int(key, v)
	}
	if v, err := strconv.ParseFloat(s, 64); err == nil && strconv.FormatFloat(v, 'f', 3, 64) == s {
		return Float(key, v)
	}
	var b bytes.Buffer
	json.Compact(&b, raw) // what the decoder took is JSON
	var dst []byte
	for _, r := range b.String() {
		switch {
		case IsPrint(r):
			dst = utf8.AppendRune(dst, r)
		case r == 0x7f: // other controls are nowhere in JSON
			dst = appendControl(dst, byte(r), '"')
		default:
			dst, _ = appendWide(dst, []byte(string(r)), '"')
		}
	}
	return Data{Key: key, kind: kindRaw, text: string(dst)}
}
