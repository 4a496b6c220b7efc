package files

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

var fileNames = []struct {
	name string
	want error
}{
	{"a", nil},
	{"notes.txt", nil},
	{"Übersicht – 2 (neu).ods", nil},
	{"a..b", nil},
	{"console.log", nil},
	{"COM10", nil},
	{"comma", nil},
	{strings.Repeat("x", 255), nil},
	{"", errNameEmpty},
	{strings.Repeat("x", 256), errNameLong},
	{"\xff", errNameUTF8},
	{"a\xc0\xafb", errNameUTF8},
	{"x\x00y", errNameInvisible},
	{"x\ny", errNameInvisible},
	{"x\x1b[31m", errNameInvisible},
	{"cod\u202egpj.exe", errNameInvisible},
	{"a\u200bb", errNameInvisible},
	{"\ufeffa", errNameInvisible},
	{"a\u0085", errNameInvisible},
	{"a\ufffdb", errNameInvisible},
	{"a\U000e0041", errNameInvisible},
	{"a\u2800b", errNameInvisible},
	{"a\u3164", errNameInvisible},
	{"a\u034fb", errNameInvisible},
	{"a\ufe00b", errNameInvisible},
	{"9\u202fPM.png", nil}, // as macOS names its screenshots
	{"a\u3000b", nil},
	{"../../x", errNameSeparator},
	{"/etc/x", errNameSeparator},
	{"a/b", errNameSeparator},
	{`..\\x`, errNameSeparator},
	{`C:\\x`, errNameSeparator},
	{"a:b", errNameSeparator},
	{".", errNameStart},
	{"..", errNameStart},
	{".bashrc", errNameStart},
	{"-rf", errNameStart},
	{"x.", errNameEnd},
	{"x ", errNameEnd},
	{"CON", errNameReserved},
	{"nul.txt", errNameReserved},
	{"Aux.tar.gz", errNameReserved},
	{"nul .txt", errNameReserved},
	{"LPT1", errNameReserved},
	{"com¹.log", errNameReserved},
	{"CONOUT$", errNameReserved},
}

func TestCheckFileName(t *testing.T) {
	for _, tt := range fileNames {
		if err := CheckName(tt.name); err != tt.want {
			t.Errorf("CheckName(%q) = %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzFileName(f *testing.F) {
	for _, tt := range fileNames {
		f.Add(tt.name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) != nil {
			return
		}
		if filepath.Base(name) != name || !filepath.IsLocal(name) || strings.ContainsAny(name, "/\\:\x00") {
			t.Errorf("%q is taken for a name", name)
		}
		for _, suffix := range []string{".", " ", "\n", "/", "\x00"} {
			if CheckName(name+suffix) == nil {
				t.Errorf("%q is taken for a name", name+suffix)
			}
		}
		if part := randomPart(name); len(part) > maxFileName || !errors.Is(CheckName(part), errNameStart) {
			t.Errorf("the part of %q is called %q, which may be too long or a name to send", name, part)
		}
	})
}
