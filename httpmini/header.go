package httpmini

import "slices"

// A Field is one field line: its name as written, its value without the white
// space around it.
type Field struct{ Name, Value string }

// Header holds field lines in their order on the wire. Names are compared
// without regard to ASCII case; a name may occur more than once.
type Header []Field

// Fields makes a Header of names and values in turn; it panics where a name has none.
//
//	httpmini.Fields("Content-Type", "text/plain", "Cache-Control", "no-store")
func Fields(namesAndValues ...string) Header {
	h := make(Header, len(namesAndValues)/2)
	for i := range h {
		h[i] = Field{namesAndValues[2*i], namesAndValues[2*i+1]}
	}
	if len(namesAndValues)%2 != 0 {
		panic("httpmini: a field without a value")
	}
	return h
}

// Get returns the value of the first field of that name, or "".
func (h Header) Get(name string) string {
	if i := h.index(name); i >= 0 {
		return h[i].Value
	}
	return ""
}

// Has reports whether there is a field of that name.
func (h Header) Has(name string) bool { return h.index(name) >= 0 }

// Values returns the values of all fields of that name, in order.
func (h Header) Values(name string) []string {
	var values []string
	for _, f := range h {
		if equalFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

// Count returns how many fields have that name.
func (h Header) Count(name string) int {
	n := 0
	for _, f := range h {
		if equalFold(f.Name, name) {
			n++
		}
	}
	return n
}

// List returns the elements of a field defined as a comma-separated list
// (RFC 9110 §5.6.1), over all lines of that name, without the white space around
// them. Empty elements are dropped; a comma in a quoted string does not separate.
func (h Header) List(name string) []string {
	var list []string
	for _, f := range h {
		if !equalFold(f.Name, name) {
			continue
		}
		for rest := f.Value; rest != ""; {
			var element string
			if element, rest = cutElement(rest); element != "" {
				list = append(list, element)
			}
		}
	}
	return list
}

// HasToken reports whether token is an element of the list that List would
// return for name, without regard to ASCII case.
func (h Header) HasToken(name, token string) bool {
	for _, f := range h {
		if !equalFold(f.Name, name) {
			continue
		}
		for rest := f.Value; rest != ""; {
			var element string
			if element, rest = cutElement(rest); equalFold(element, token) {
				return true
			}
		}
	}
	return false
}

// Add appends a field.
func (h *Header) Add(name, value string) { *h = append(*h, Field{name, value}) }

// Set gives the first field of that name the value and removes the others, or
// appends the field if there is none.
func (h *Header) Set(name, value string) {
	i := h.index(name)
	if i < 0 {
		h.Add(name, value)
		return
	}
	(*h)[i].Value = value
	rest := (*h)[i+1:]
	rest.Del(name)
	*h = (*h)[:i+1+len(rest)]
}

// Del removes all fields of that name.
func (h *Header) Del(name string) {
	*h = slices.DeleteFunc(*h, func(f Field) bool { return equalFold(f.Name, name) })
}

// Check returns ErrField if a name is not a token or a value holds a control
// character other than a tab (RFC 9110 §5.1, §5.5): such fields are not sent.
func (h Header) Check() error {
	for _, f := range h {
		if !isToken(f.Name) || !isValue(f.Value) {
			return ErrField
		}
	}
	return nil
}

func (h Header) index(name string) int {
	for i := range h {
		if equalFold(h[i].Name, name) {
			return i
		}
	}
	return -1
}

// append appends the field lines. A field whose name is not a token is left
// out, and a control character in a value becomes a space, so that no value
// can begin a line of its own.
func (h Header) append(dst []byte) []byte {
	for _, f := range h {
		dst = appendField(dst, f.Name, f.Value)
	}
	return dst
}

func appendField(dst []byte, name, value string) []byte {
	if !isToken(name) {
		return dst
	}
	dst = append(dst, name...)
	// Nothing is no value: a blank would stand before none.
	dst = append(dst, ": "[:min(1+len(value), 2)]...)
	return append(appendClean(dst, value), '\r', '\n')
}

func appendClean(dst []byte, s string) []byte {
	from := len(dst)
	dst = append(dst, s...)
	if !isValue(s) {
		for i, c := range dst[from:] {
			if class[c]&isText == 0 {
				dst[from+i] = ' '
			}
		}
	}
	return dst
}

// cutElement splits s after the first comma that is not in a quoted string.
func cutElement(s string) (element, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == ',' && !quoted:
			return trim(s[:i]), s[i+1:]
		}
	}
	return trim(s), ""
}

// trim removes optional white space (RFC 9110 §5.6.3) from both ends.
func trim(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// equalFold compares without regard to ASCII case; unlike strings.EqualFold it
// does not take U+212A for a k.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x |= 0x20; x != y|0x20 || x < 'a' || x > 'z' {
			return false
		}
	}
	return true
}

// The classes of bytes that the grammar knows.
const (
	isTchar = 1 << iota // RFC 9110 §5.6.2
	isText              // of a field value, with the white space in it: RFC 9110 §5.5
	isVisib             // of a request line, apart from its spaces
	isReg               // of a host's name: RFC 3986 §3.2.2, with the percent sign
	isHex
)

var class = func() (t [256]uint8) {
	for c := range t {
		if c == '\t' || c >= ' ' && c != 0x7f {
			t[c] |= isText
		}
		if c > ' ' && c < 0x7f {
			t[c] |= isVisib
		}
	}
	const alnum = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	mark := func(chars string, bit uint8) {
		for i := range len(chars) {
			t[chars[i]] |= bit
		}
	}
	mark(alnum+"!#$%&'*+-.^_`|~", isTchar)
	mark(alnum+"-._~!$&'()*+,;=%", isReg)
	mark("0123456789abcdefABCDEF", isHex)
	return t
}()

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

func isToken(s string) bool { return s != "" && all(s, isTchar) }

func isValue(s string) bool { return all(s, isText) }

func all[T string | []byte](s T, bits uint8) bool {
	for i := range len(s) {
		if class[s[i]]&bits == 0 {
			return false
		}
	}
	return true
}
