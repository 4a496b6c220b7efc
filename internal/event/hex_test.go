package event

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// TestAppendHexDump: the lines are those of hexdump -C (util-linux 2.38), which
// ends with one more for the length.
func TestAppendHexDump(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, tt := range []struct {
		in   []byte
		want string
	}{
		{nil, ""},
		{[]byte("hello\n"), "00000000  68 65 6c 6c 6f 0a                                 |hello.|\n"},
		{[]byte("12345678"), "00000000  31 32 33 34 35 36 37 38                           |12345678|\n"},
		{[]byte("123456789"), "00000000  31 32 33 34 35 36 37 38  39                       |123456789|\n"},
		{all[16:49], "00000000  10 11 12 13 14 15 16 17  18 19 1a 1b 1c 1d 1e 1f  |................|\n" +
			"00000010  20 21 22 23 24 25 26 27  28 29 2a 2b 2c 2d 2e 2f  | !\"#$%&'()*+,-./|\n" +
			"00000020  30                                                |0|\n"},
		{all[112:144], "00000000  70 71 72 73 74 75 76 77  78 79 7a 7b 7c 7d 7e 7f  |pqrstuvwxyz{|}~.|\n" +
			"00000010  80 81 82 83 84 85 86 87  88 89 8a 8b 8c 8d 8e 8f  |................|\n"},
	} {
		if got := string(AppendHexDump(nil, tt.in)); got != tt.want {
			t.Errorf("AppendHexDump(%x) =\n%swant\n%s", tt.in, got, tt.want)
		}
	}
	if got := string(appendHexLine(nil, 0x123456780, []byte("a"))); !strings.HasPrefix(got, "123456780  61 ") {
		t.Errorf("an offset beyond 4 GiB: %q", got)
	}
}

func FuzzHexDump(f *testing.F) {
	f.Add([]byte("hello"))
	f.Add(randomBytes(70))
	f.Fuzz(func(t *testing.T, in []byte) {
		var back []byte
		for line := range strings.Lines(string(AppendHexDump([]byte{}, in))) {
			if len(line) > 79 || strings.Trim(line[:60], "0123456789abcdef ") != "" {
				t.Fatalf("line %q", line)
			}
			p, err := hex.DecodeString(strings.ReplaceAll(line[8:60], " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			back = append(back, p...)
		}
		if !bytes.Equal(back, in) {
			t.Errorf("the dump of %x reads %x", in, back)
		}
	})
}
