package transfer

import (
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
)

// wireDoc is the section of doc/formats.md about the wire.
func wireDoc(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../../doc/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n## The wire of send and receive\n")
	if !ok {
		t.Fatal("doc/formats.md has no section about the wire")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// tables are the rows of the tables that begin with a cell in the first column.
func tables(section string) (rows [][]string) {
	for line := range strings.Lines(section) {
		if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) > 2 && !strings.Contains(line, "---") {
			cells = cells[1 : len(cells)-1]
			for i := range cells {
				cells[i] = strings.Trim(cells[i], " `")
			}
			rows = append(rows, cells)
		}
	}
	return rows
}

// TestDocKinds holds the kinds of messages and their keys beside the page.
func TestDocKinds(t *testing.T) {
	documented := make(map[string]bool)
	for _, row := range tables(wireDoc(t)) {
		keys, known := controlKeys[row[0]]
		if !known {
			continue
		}
		documented[row[0]] = true
		if got := strings.Fields(row[1]); !slices.Equal(got, keys) {
			t.Errorf("doc/formats.md: %s has the keys %q; it has %q", row[0], got, keys)
		}
	}
	for kind := range controlKeys {
		if !documented[kind] {
			t.Errorf("doc/formats.md lacks %s", kind)
		}
	}
}

// TestDocMoves holds the tables of states beside the page.
func TestDocMoves(t *testing.T) {
	section := wireDoc(t)
	_, receiver, _ := strings.Cut(section, "| a file at the receiver ")
	receiver, sender, _ := strings.Cut("| receiver "+receiver, "| a receiver at the sender ")
	sender, _, _ = strings.Cut("| sender "+sender, "\n\n")
	rows := tables(receiver)
	checkMoves(t, rows, len(moves), func(kind string, state int) bool { return moves[kind][incomingState(state)] != nil })
	if len(rows) != int(incomingSaves)+2 {
		t.Errorf("doc/formats.md has %d states of a file", len(rows)-1)
	}
	rows = tables(sender)
	checkMoves(t, rows, len(peerMoves), func(kind string, state int) bool { return peerMoves[kind][peerState(state)] != nil })
	if last := rows[len(rows)-1][0]; len(rows) != int(peerSaved)+2 || last != "saved, refused, failed" {
		t.Errorf("doc/formats.md has %d states of a receiver, and at last %q", len(rows)-1, last)
	}
}

func checkMoves(t *testing.T, rows [][]string, kinds int, moves func(kind string, state int) bool) {
	t.Helper()
	if len(rows[0])-1 != kinds {
		t.Errorf("doc/formats.md has %d kinds in %q, want %d", len(rows[0])-1, rows[0], kinds)
	}
	for state, row := range rows[1:] {
		for i, kind := range rows[0][1:] {
			if got, want := row[i+1] == "yes", moves(kind, state); got != want {
				t.Errorf("doc/formats.md: %s, %s: %v, want %v", row[0], kind, got, want)
			}
		}
	}
}

// TestDocExample reads the messages of the page and writes them again.
func TestDocExample(t *testing.T) {
	key, err := newCode("tangerine")
	if err != nil {
		t.Fatal(err)
	}
	_, examples, _ := strings.Cut(wireDoc(t), "an exchange |")
	lines := tables(examples)
	for _, row := range lines {
		line := row[1]
		if b, err := hex.DecodeString(strings.ReplaceAll(line, " ", "")); err == nil {
			if c, ok := parseChunk(b); !ok || string(c.data) != "hi" {
				t.Errorf("doc/formats.md: %s is %+v, %v", line, c, ok)
			}
			continue
		}
		k := new(code)
		if strings.Contains(line, `"seq"`) {
			k = &key
		}
		c, err := k.parse([]byte(line))
		if again := string(k.append(nil, c)); err != nil || again != line {
			t.Errorf("doc/formats.md: %s\nis read as %+v, %v, and written as %s", line, c, err, again)
		}
		content := "hi"
		if c.kind == "accept" {
			content = ""
		}
		if c.proof != "" && c.proof != proven(c, []byte(content)).proof {
			t.Errorf("doc/formats.md: the proof of %s is wrong", c.kind)
		}
	}
	if len(lines) != 11 {
		t.Errorf("doc/formats.md has %d lines of an exchange", len(lines))
	}
}
