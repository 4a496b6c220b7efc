package dump

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/kit"
)

// stillDump is a dump that listens nowhere, for commands: three TCP clients that
// are named, and one of WebSocket.
func stillDump(out *bytes.Buffer) *dump {
	env := kit.Env(out, out)
	d := &dump{output: &cli.Output{Color: "never"}, now: env.Now}
	d.con, _ = d.output.Open(env)
	for _, name := range []string{"udp", "tcp", "ws"} {
		d.protocols = append(d.protocols, &protocol{name: name, noun: name, listens: true})
	}
	for range 3 {
		c := &tcpClient{}
		c.protocol, c.number = d.protocols[1], d.protocols[1].next()
		d.protocols[1].join(c)
	}
	c := &wsClient{}
	c.protocol = d.protocols[2]
	d.protocols[2].join(c)
	return d
}

func TestDumpComplete(t *testing.T) {
	d := stillDump(new(bytes.Buffer))
	dir := t.TempDir() + string(filepath.Separator)
	for _, name := range []string{"alpha", "al beta", ".hidden"} {
		if err := os.WriteFile(dir+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir+"folder", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		line  string // the cursor is at |
		start int
		want  string
	}{
		{"|", 0, "help list_clients send sendb sendf ping close format stats quit"},
		{"  s|", 2, "send sendb sendf stats"},
		{"send|", 0, "send sendb sendf"},
		{"se|xyz", 0, "send sendb sendf"},
		{"bogus |", 6, ""},
		{"help f|", 5, "format"},
		{"send |", 5, "udp tcp ws"},
		{"sendb  t|", 7, "tcp"},
		{"close w|", 6, "ws"},
		{"ping |", 5, "ws"},
		{"send tcp |", 9, "all 0 1 2"},
		{"send t a|", 7, "all"},
		{"ping ws |", 8, "all 0"},
		{"send udp |", 9, "all"},
		{"send foo |", 9, ""},
		{"send tcp 0 h|", 11, ""},
		{"send tcp 0 hello w|", 17, ""},
		{"f |", 2, "auto text hex raw"},
		{"format te|", 7, "text"},
		{"stats |", 6, ""},
		{"sendf tcp 0 " + dir + "al|", 12, dir + "al beta," + dir + "alpha"},
		{"sendf tcp 0 " + dir + "al b|", 12, dir + "al beta"},
		{"sendf tcp 0 " + dir + "|", 12, dir + "al beta," + dir + "alpha," + dir + "folder/"},
		{"sendf tcp 0 " + dir + ".|", 12, dir + ".hidden"},
		{"sendf tcp 0 " + dir + "no/such/|", 12, ""},
	} {
		pos := strings.Index(tt.line, "|")
		want := strings.Fields(tt.want)
		if strings.HasPrefix(tt.line, "sendf tcp 0 ") {
			want = strings.FieldsFunc(tt.want, func(r rune) bool { return r == ',' })
		}
		start, got := d.complete(strings.Replace(tt.line, "|", "", 1), pos)
		if start != tt.start || !slices.Equal(got, want) {
			t.Errorf("%q: %d %q; want %d %q", tt.line, start, got, tt.start, want)
		}
	}
}

// FuzzDumpCommand: any line is carried out or refused in one line of printable
// characters that names a column within it; what Tab offers begins with what was typed.
func FuzzDumpCommand(f *testing.F) {
	for _, line := range []string{"help", "s tcp 0 x", "sendb tcp 0 00 ff4", "close ws 0 1000 bye", "format hex", "l\tx", "ping ws all é", "\xff \x1b", "stats  "} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var out bytes.Buffer
		d := stillDump(&out)
		d.protocols[1].open, d.protocols[2].open = nil, nil // nobody to send to
		d.command(line)
		if s := out.String(); strings.HasPrefix(s, "X ") {
			if strings.Count(s, "\n") != 1 || strings.ContainsFunc(strings.TrimSuffix(s, "\n"), cli.Unprintable) {
				t.Errorf("%q is refused with %q", line, s)
			}
		}
		if len(line) > 100 || strings.Contains(line, "sendf") { // which looks at files
			return
		}
		for pos := range line {
			start, words := d.complete(line, pos)
			if start > pos {
				t.Fatalf("completing %q at %d begins at %d", line, pos, start)
			}
			for _, w := range words {
				if !strings.HasPrefix(w, line[start:pos]) {
					t.Errorf("completing %q at %d offers %q", line, pos, w)
				}
			}
		}
	})
}

func TestIsClientHello(t *testing.T) {
	for in, want := range map[string]bool{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc": true,
		"\x16\x03\x03\x00\x7a\x01":             true,
		"\x16\x03\x01\x02\x00\x02":             false, // a ServerHello
		"\x16\x03\x01\x02\x00":                 false, // cut
		"\x17\x03\x03\x00\x05\x01":             false,
		"\x16\x03\x05\x00\x05\x01":             false,
		"GET / HTTP/1.1\r\n":                   false,
		"":                                     false,
	} {
		if got := isClientHello([]byte(in)); got != want {
			t.Errorf("isClientHello(%q) = %v", in, got)
		}
	}
}

func TestPlural(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 2: "2 bytes"} {
		if got := cli.Plural(n, "byte"); got != want {
			t.Errorf("plural(%d) = %q; want %q", n, got, want)
		}
	}
}

// TestDumpRefuseEscapes: what a peer chose stands in no error as it came.
func TestDumpRefuseEscapes(t *testing.T) {
	var out bytes.Buffer
	d := stillDump(&out)
	d.refuse("a\x1b[2J\n\u202e")
	if want := `X a\x1b[2J\n\u202e` + "\n"; out.String() != want {
		t.Errorf("%q; want %q", out.String(), want)
	}
	out.Reset()
	style := d.con.Style()
	style.Format = event.FormatRaw
	d.con.SetStyle(style)
	d.refuse("a\x1b") // to stderr: stdout has payloads alone
	if want := `X a\x1b` + "\n"; out.String() != want {
		t.Errorf("raw: %q; want %q", out.String(), want)
	}
}
