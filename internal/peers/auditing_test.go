package peers

import (
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/mode/httpd"
	"socketsrv/internal/mode/line"
	"socketsrv/internal/mode/proxy"
	"socketsrv/internal/mode/transfer"
)

var update = flag.Bool("update", false, "write doc/auditing.md anew")

// watched are the imports that an audit looks for first.
var watched = []string{"net", "os/exec", "unsafe", "syscall", "embed"}

// listeners are the modes that listen when they are told nothing more.
var listeners = cli.Table{dump.Mode, echo.Mode, broadcast.Mode, line.Mode, httpd.Mode, transfer.Transfer, proxy.Mode}

// TestAuditing compares doc/auditing.md with what the tree is, lines to a tenth, so
// that not each change writes it anew; -update does.
func TestAuditing(t *testing.T) {
	const name = "../../doc/auditing.md"
	want := auditing(t)
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(strings.Fields(string(got)), strings.Fields(want), alike) {
		t.Error("doc/auditing.md is not what the tree is: go test ./internal/peers -run TestAuditing -update")
	}
}

// alike says whether two words are the same, or numbers that are nearly.
func alike(a, b string) bool {
	n, err := strconv.Atoi(strings.Trim(a, "("))
	m, again := strconv.Atoi(strings.Trim(b, "("))
	return a == b || err == nil && again == nil && 10*max(n-m, m-n) <= m+200
}

// A room is a package, as an audit sees it.
type room struct {
	lines   int
	imports map[string]bool
}

func auditing(t *testing.T) string {
	rooms := readRooms(t)
	var b strings.Builder
	b.WriteString("# For those who audit it\n\nA test writes this page (`go test ./internal/peers -run TestAuditing -update`) and fails where it is stale.\n\n")
	b.WriteString("## Packages\n\nLines of Go without tests, and the imports to look for first. TestFloors holds who may import whom.\n\n")
	b.WriteString("| package | lines | " + strings.Join(watched, " | ") + " |\n|---|---|" + strings.Repeat("---|", len(watched)) + "\n")
	total := 0
	for _, name := range slices.Sorted(maps.Keys(rooms)) {
		r := rooms[name]
		total += r.lines
		fmt.Fprintf(&b, "| %s | %d |", name, r.lines)
		for _, w := range watched {
			b.WriteString(map[bool]string{true: " x |", false: " |"}[r.imports[w]])
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "| all | %d |%s\n", total, strings.Repeat(" |", len(watched)))
	b.WriteString("\n`os/exec` starts the programs of `-exec`; `unsafe` is for the terminals of Windows and the BSDs; `embed` is the page\nfor browsers, and the cases of the judge. " +
		"internal/kit is\nfor tests alone. There is no module, no cgo, and no net/http outside tests.\n\n## What listens, when nothing is said\n\n| mode | flags and their defaults |\n|---|---|\n")
	for _, m := range listeners {
		b.WriteString("| " + m.Name + " | " + defaults(t, m) + " |\n")
	}
	b.WriteString("\n## A reading order\n\nAn afternoon is some 3,000 lines. Each of these is one, with what lies below it to look things up in.\n\n")
	for _, tour := range []struct {
		what  string
		rooms []string
	}{
		{"what a command line does", []string{".", "internal/cli"}},
		{"a server", []string{"internal/accept", "internal/rawio", "internal/listen", "internal/mode/echo"}},
		{"the line server", []string{"linesrv", "internal/mode/line"}},
		{"what is shown and recorded", []string{"internal/event"}},
		{"the dumper", []string{"internal/mode/dump", "internal/answer"}},
		{"the client", []string{"internal/dial", "internal/talk", "internal/mode/connect"}},
		{"WebSocket, the rules (header.go, assembler.go, close.go, extension.go, deflate.go, handshake.go)", []string{"wsproto"}},
		{"HTTP (scan.go, head.go, body.go, then server.go, conn.go, exchange.go or client.go)", []string{"httpmini"}},
		{"files from here to there", []string{"internal/wire", "internal/files", "internal/mode/transfer"}},
	} {
		lines := 0
		for _, name := range tour.rooms {
			if rooms[name] == nil {
				t.Fatalf("no package %s", name)
			}
			lines += rooms[name].lines
		}
		fmt.Fprintf(&b, "- %s: %s (%d lines)\n", tour.what, strings.Join(tour.rooms, ", "), lines)
	}
	return b.String()
}

// defaults are the flags of a mode that say where it listens.
func defaults(t *testing.T, m cli.Mode) string {
	_, help, _ := kit.Command(cli.Table{m}, "-help", m.Name)
	var found []string
	for line := range strings.Lines(strings.ReplaceAll(help, "\n                ", " ")) {
		flag := strings.Fields(line)
		_, def, ok := strings.Cut(strings.Join(flag, " "), " Default ")
		if ok && len(flag) > 1 && (strings.Contains(line, "-host A") || strings.Contains(line, "port N")) {
			found = append(found, strings.Join(flag[:slices.Index(flag, "Listens")], " ")+": "+strings.TrimSuffix(def, "."))
		}
	}
	if len(found) == 0 {
		t.Errorf("-help %s does not say where it listens:\n%s", m.Name, help)
	}
	return strings.Join(found, "; ")
}

func readRooms(t *testing.T) map[string]*room {
	rooms := map[string]*room{}
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, b, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("../..", name)
		at := path.Dir(filepath.ToSlash(rel))
		if rooms[at] == nil {
			rooms[at] = &room{imports: map[string]bool{}}
		}
		rooms[at].lines += strings.Count(string(b), "\n")
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			rooms[at].imports[imported] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rooms
}
