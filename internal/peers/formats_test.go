package peers

import (
	"os"
	"strings"
	"testing"

	"socketsrv/internal/event"
)

// TestFormats reads every event of doc/formats.md and writes it again.
func TestFormats(t *testing.T) {
	b, err := os.ReadFile("../../doc/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(string(b), "`", "")
	for _, row := range event.Keys {
		if want := "\n| " + row[0] + " | " + row[1] + " |\n"; !strings.Contains(page, want) {
			t.Errorf("doc/formats.md lacks %s", want)
		}
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		_, line, ok := strings.Cut(line, "`{")
		if !ok || !strings.Contains(line, `"event":`) {
			continue
		}
		line = "{" + line[:strings.LastIndexByte(line, '`')]
		e, err := event.Parse([]byte(line))
		if again := strings.TrimSpace(string(event.AppendJSON(nil, &e))); err != nil || again != line {
			t.Errorf("%s\nis read as %+v, %v, and written as\n%s", line, e, err, again)
		}
		n++
	}
	if n < 12 {
		t.Errorf("%d events in doc/formats.md", n)
	}
}

// TestDocumentLines: no line of a document is longer than 120 characters, but for
// tables, which cannot be broken.
func TestDocumentLines(t *testing.T) {
	names := []string{"../../README.md"}
	entries, err := os.ReadDir("../../doc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".md") {
			names = append(names, "../../doc/"+e.Name())
		}
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(string(b), "\n") {
			if len([]rune(line)) > 120 && (!strings.HasPrefix(line, "|") || strings.HasSuffix(name, "README.md")) {
				t.Errorf("%s:%d: %d characters", name, n+1, len([]rune(line)))
			}
		}
	}
}
