package answer

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSplitWords(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string // nil: an error
	}{
		{"cat", []string{"cat"}},
		{"  tr  a-z\tA-Z\n", []string{"tr", "a-z", "A-Z"}},
		{`sh -c 'a "b" \c $d'`, []string{"sh", "-c", `a "b" \c $d`}},
		{`x "a 'b' \" \\ c"`, []string{"x", `a 'b' " \ c`}},
		{`x a\ b '' ""`, []string{"x", "a b", "", ""}},
		{`x'y'"z"`, []string{"xyz"}},
		{"héllo 'wörld'", []string{"héllo", "wörld"}},
		{"", nil}, {" \t", nil}, {`'a`, nil}, {`"a`, nil}, {`a\`, nil},
	} {
		got, err := SplitWords(tt.in)
		if (err != nil) != (tt.want == nil) || !slices.Equal(got, tt.want) {
			t.Errorf("splitWords(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

// TestOutputLeftOpen: what a program left behind may keep its stdout: the answer is what had
// come a second later, and that is said.
func TestOutputLeftOpen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no sh")
	}
	var said []string
	p := Exec{Command: "sh -c 'sleep 1000 & echo answer'", Timeout: time.Minute, Warn: func(line string) { said = append(said, line) }}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	out, err := p.Run(t.Context(), nil, nil, 100)
	if string(out) != "answer\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "sh: its output was not at its end") {
		t.Errorf("said %q", said)
	}
}

// TestOutputLate: what lies in the pipe when the time is over is taken, also by a reader
// that has had no turn before.
func TestOutputLate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("pipes have no deadlines")
	}
	for _, ends := range []bool{true, false} {
		o, err := newOutput(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		held := o.writer
		want := strings.Repeat("x", 60000)
		if _, err := held.WriteString(want); err != nil {
			t.Fatal(err)
		}
		if !ends { // something holds it open
			if o.writer, err = os.Open(os.DevNull); err != nil {
				t.Fatal(err)
			}
			defer held.Close()
		}
		o.reader.SetReadDeadline(time.Unix(1, 0))
		go o.read()
		if whole := o.finish(false, func() {}); whole != ends || string(o.b) != want {
			t.Errorf("it ends: %v: %d bytes, whole: %v", ends, len(o.b), whole)
		}
	}
}
