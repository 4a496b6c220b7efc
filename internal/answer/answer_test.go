package answer

import (
	"slices"
	"testing"
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
