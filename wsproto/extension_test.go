package wsproto

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// extensionVectors are the lines of Sec-WebSocket-Extensions and what they list;
// nil is a broken list.
var extensionVectors = []struct {
	lines []string
	want  []Extension
}{
	{[]string{"foo"}, []Extension{{"foo", nil}}},
	{[]string{"bar; baz=2"}, []Extension{{"bar", []Param{{"baz", "2", true}}}}}, // RFC 6455 §9.1
	{[]string{"foo, bar; baz=2"}, []Extension{{"foo", nil}, {"bar", []Param{{"baz", "2", true}}}}},
	{[]string{"foo", "bar; baz=2"}, []Extension{{"foo", nil}, {"bar", []Param{{"baz", "2", true}}}}},
	{[]string{"deflate-stream"}, []Extension{{"deflate-stream", nil}}},
	{[]string{"mux; max-channels=4; flow-control, deflate-stream"},
		[]Extension{{"mux", []Param{{"max-channels", "4", true}, {"flow-control", "", false}}}, {"deflate-stream", nil}}},
	{[]string{"private-extension"}, []Extension{{"private-extension", nil}}},
	{[]string{"permessage-foo; x=10, permessage-foo"}, []Extension{{"permessage-foo", []Param{{"x", "10", true}}}, {"permessage-foo", nil}}}, // RFC 7692 §5.2
	{[]string{"permessage-foo; use_y, permessage-foo"}, []Extension{{"permessage-foo", []Param{{"use_y", "", false}}}, {"permessage-foo", nil}}},
	{[]string{`a; b="10"`}, []Extension{{"a", []Param{{"b", "10", true}}}}},
	{[]string{`a; b="1\0"`}, []Extension{{"a", []Param{{"b", "10", true}}}}},
	{[]string{" \ta\t ;\tb \t=\t c ; d\t"}, []Extension{{"a", []Param{{"b", "c", true}, {"d", "", false}}}}},
	{[]string{`a ; b = "c" , d`}, []Extension{{"a", []Param{{"b", "c", true}}}, {"d", nil}}},
	{[]string{",, a ,\t,b,"}, []Extension{{"a", nil}, {"b", nil}}},
	{[]string{"", "a", " "}, []Extension{{"a", nil}}},
	{[]string{"!#$%&'*+-.^_`|~09azAZ"}, []Extension{{"!#$%&'*+-.^_`|~09azAZ", nil}}},
	{[]string{"a;b;b;b=1"}, []Extension{{"a", []Param{{"b", "", false}, {"b", "", false}, {"b", "1", true}}}}},

	{nil, nil},
	{[]string{""}, nil},
	{[]string{" , ,"}, nil},
	{[]string{"a b"}, nil},
	{[]string{"a; b c"}, nil},
	{[]string{"a;"}, nil},
	{[]string{"a; ; b"}, nil},
	{[]string{"; b"}, nil},
	{[]string{"=b"}, nil},
	{[]string{"a=b"}, nil},
	{[]string{"permessage-deflate; ="}, nil}, // S25
	{[]string{"a; b="}, nil},
	{[]string{"a; b=,c"}, nil},
	{[]string{"a; b==c"}, nil},
	{[]string{"a; b=c d"}, nil},
	{[]string{`a; b=""`}, nil},
	{[]string{`a; b="c`}, nil},
	{[]string{`a; b="c\`}, nil},
	{[]string{`a; b="c\"`}, nil},
	{[]string{`a; b="c d"`}, nil},
	{[]string{`a; b="c,d"`}, nil},
	{[]string{`a; b="\""`}, nil},
	{[]string{`a; b="c"d`}, nil},
	{[]string{`a; b=c"d"`}, nil},
	{[]string{`"a"`}, nil},
	{[]string{`a; "b"`}, nil},
	{[]string{"a; b='c d'"}, nil},
	{[]string{"a", "b;"}, nil},
	{[]string{"a; b=\x00"}, nil},
	{[]string{"a; b=\xc3\xa9"}, nil},
	{[]string{"a\nb"}, nil},
	{[]string{"a/b"}, nil},
	{[]string{"a; b=1;"}, nil},
	{[]string{"a (comment)"}, nil},
}

func TestParseExtensions(t *testing.T) {
	for _, tt := range extensionVectors {
		got, err := ParseExtensions(tt.lines...)
		if !reflect.DeepEqual(got, tt.want) || (err == nil) != (tt.want != nil) || err != nil && !errors.Is(err, ErrExtensionList) {
			t.Errorf("ParseExtensions(%q) = %v, %v; want %v", tt.lines, got, err, tt.want)
		}
	}
}

func TestAppendExtensions(t *testing.T) {
	for _, tt := range []struct {
		list []Extension
		want string
	}{
		{nil, "before "},
		{[]Extension{{"a", nil}}, "before a"},
		{[]Extension{{"a", []Param{{"b", "", false}, {"c", "d", true}}}, {"e", nil}}, "before a; b; c=d, e"},
	} {
		if got := AppendExtensions([]byte("before "), tt.list); string(got) != tt.want {
			t.Errorf("AppendExtensions(%v) = %q; want %q", tt.list, got, tt.want)
		}
	}
}

// What is looked at has a bound, just within it all is read.
func TestExtensionBounds(t *testing.T) {
	for _, tt := range []struct {
		line string
		ok   bool
	}{
		{strings.Repeat("a,", maxExtensions), true},
		{strings.Repeat("a,", maxExtensions+1), false},
		{"a" + strings.Repeat(";b", maxParams), true},
		{"a" + strings.Repeat(";b", maxParams+1), false},
		{strings.Repeat(" ,", 4000) + "a", true},
	} {
		if _, err := ParseExtensions(tt.line); (err == nil) != tt.ok {
			t.Errorf("ParseExtensions(%.20q, %d bytes): %v; want accepted %v", tt.line, len(tt.line), err, tt.ok)
		}
	}
	a := strings.Repeat("a,", maxExtensions/2)
	if _, err := ParseExtensions(a, a, "a"); err == nil {
		t.Error("the bound does not count all lines")
	}
}

func FuzzExtensions(f *testing.F) {
	for _, tt := range extensionVectors {
		f.Add(strings.Join(tt.lines, "\n"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		lines := strings.Split(s, "\n")
		list, err := ParseExtensions(lines...)
		if err != nil {
			if list != nil || !errors.Is(err, ErrExtensionList) {
				t.Fatalf("ParseExtensions(%q) = %v, %v", lines, list, err)
			}
			return
		}
		line := string(AppendExtensions(nil, list))
		again, err := ParseExtensions(line)
		if !reflect.DeepEqual(again, list) || err != nil {
			t.Fatalf("ParseExtensions(%q) = %v; appended %q, which is %v, %v", lines, list, line, again, err)
		}
		for _, e := range list {
			for _, p := range e.Params {
				if !isToken(e.Name) || !isToken(p.Name) || isToken(p.Value) != p.HasValue {
					t.Fatalf("ParseExtensions(%q) = %v, with what is no token", lines, list)
				}
			}
		}
		if p, err := acceptDeflate(lines, true); err != nil {
			t.Fatalf("acceptDeflate(%q): %v", lines, err)
		} else if p != nil {
			newDeflate(RoleServer, *p) // does not panic
		}
	})
}

func ExampleParseExtensions() {
	list, err := ParseExtensions(`permessage-deflate; client_max_window_bits; server_max_window_bits="10"`, "x-other")
	fmt.Println(list, err)
	fmt.Printf("%s\n", AppendExtensions(nil, list))
	// Output:
	// [{permessage-deflate [{client_max_window_bits  false} {server_max_window_bits 10 true}]} {x-other []}] <nil>
	// permessage-deflate; client_max_window_bits; server_max_window_bits=10, x-other
}
