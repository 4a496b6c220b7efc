package files

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestPartIsOnesOwn(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the system sees to it")
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	p, err := NewPart(root, "x")
	if err != nil {
		t.Fatal(err)
	}
	p.Write([]byte("abc"))
	if q := ResumePart(root, "x", 10); q != nil {
		t.Error("a part that is in use is taken")
	}
	p.Discard(true)
	q := ResumePart(root, "x", 10)
	if q == nil || q.Size != 3 || q.Temp == p.Temp {
		t.Fatalf("the part that was left is taken as %+v", q)
	}
	if ResumePart(root, "x", 10) != nil || ResumePart(root, "y", 10) != nil {
		t.Error("a part is taken twice, or for another file")
	}
	if err := q.Publish(false); err != nil {
		t.Error(err)
	}
	if got, err := root.ReadFile("x"); string(got) != "abc" {
		t.Errorf("published was %q, %v", got, err)
	}
}

// TestPartIsLarge matters where a machine word has 32 bits.
func TestPartIsLarge(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	p, err := NewPart(root, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Discard(false)
	if _, err := p.F.WriteAt([]byte{1}, 1<<31); err != nil { // a hole before it
		t.Error(err)
	}
}

// noLinks is a Place on a file system that has none.
type noLinks struct{ Place }

func (noLinks) Link(string, string) error { return errors.ErrUnsupported }

// TestPublish gives a file its name twice: what has a name stays, unless it is to be
// replaced.
func TestPublish(t *testing.T) {
	for _, links := range []bool{true, false} {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		for i, tt := range []struct {
			in        Place
			at        string
			overwrite bool
			want      error
			holds     string
		}{
			{root, "", false, nil, "0"},
			{root, "", false, ErrFileExists, "0"},
			{Paths{}, dir, false, ErrFileExists, "0"},
			{Paths{}, dir, true, nil, "3"},
			{root, "", true, nil, "4"},
		} {
			if !links {
				tt.in = noLinks{tt.in}
			}
			temp := filepath.Join(dir, "temp")
			os.WriteFile(temp, []byte{'0' + byte(i)}, 0o600)
			if err := Publish(tt.in, filepath.Join(tt.at, "temp"), filepath.Join(tt.at, "x"), tt.overwrite); err != tt.want {
				t.Errorf("%d: Publish = %v, want %v", i, err, tt.want)
			}
			if got, err := root.ReadFile("x"); string(got) != tt.holds {
				t.Errorf("%d: x holds %q, %v; want %q", i, got, err, tt.holds)
			}
			if _, err := os.Stat(temp); (err == nil) != (tt.want != nil) {
				t.Errorf("%d: after %v temp: %v", i, tt.want, err)
			}
		}
	}
}
