package peers

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"socketsrv/internal/kit"
)

func goTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false") // all else as go test has it, which has built the packages
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func needGo(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
}

// TestDiscard builds the mode of doc/architecture.md, by -tags custom, and runs it.
func TestDiscard(t *testing.T) {
	t.Parallel()
	needGo(t)
	doc, err := os.ReadFile("../../doc/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(doc), "```go\n")
	code, _, ok := strings.Cut(code, "```\n")
	if !ok {
		t.Fatal("doc/architecture.md shows no mode")
	}
	dir, root := t.TempDir(), filepath.Join("..", "..")
	replace := map[string]string{}
	for name, text := range map[string]string{
		"internal/mode/discard/discard.go": code,
		"custom.go": "//go:build custom\n\npackage main\n\nimport (\n\t\"socketsrv/internal/cli\"\n\t\"socketsrv/internal/mode/discard\"\n)\n\n" +
			"func main() { cli.Main(cli.Table{discard.Mode}) }\n",
	} {
		file, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		replace[file] = filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(replace[file], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json") // as if the files were in the tree
	if err := os.WriteFile(overlay, b, 0o644); err != nil {
		t.Fatal(err)
	}
	goTool(t, root, "build", "-overlay", overlay, "-tags", "custom", "-o", filepath.Join(dir, "program"), ".")
	p := kit.StartProcess(t, filepath.Join(dir, "program"), "-discard", "-port", "0")
	kit.Swap(t, kit.DialTCP(t, p.WaitFor(`listening on tcp (\S+)`)[1]), "hello", "")
	p.End()
}

// TestOutside builds a program of another module that imports the three packages, as
// README says how.
func TestOutside(t *testing.T) {
	t.Parallel()
	needGo(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/device\n\ngo 1.26\n\nrequire socketsrv v0.0.0\n\nreplace socketsrv => " + root + "\n",
		"main.go": "package main\n\nimport (\n\t\"fmt\"\n\n\t\"socketsrv/httpmini\"\n\t\"socketsrv/linesrv\"\n\t\"socketsrv/wsproto\"\n)\n\n" +
			"func main() {\n\tfmt.Println(wsproto.AcceptKey(\"dGhlIHNhbXBsZSBub25jZQ==\"), httpmini.Header(nil).Has(\"a\"), linesrv.Framing{})\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := goTool(t, dir, "run", "."), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo= false line\n"; got != want {
		t.Errorf("it prints %q, want %q", got, want)
	}
}

// TestVersion: the changelog begins with the version that the program has.
func TestVersion(t *testing.T) {
	b, err := os.ReadFile("../../doc/changelog.md")
	if err != nil {
		t.Fatal(err)
	}
	_, first, _ := strings.Cut(string(b), "\n## ")
	first, _, _ = strings.Cut(first, "\n")
	if code, out, _ := kit.Command(listeners, "-V"); code != 0 || !strings.HasPrefix(out, "socketsrv "+first+",") {
		t.Errorf("-V prints %q, the changelog begins with %s", out, first)
	}
}
