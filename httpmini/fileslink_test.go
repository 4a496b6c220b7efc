package httpmini

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Absolute links count as what they name below the root, whatever way that is spelled.
func TestAbsoluteLinks(t *testing.T) {
	root := plant(t, tree{"a.txt": "content of a", "dir/x.txt": "content of x", "with/index.html": "<p>index", "chain": "-> rel", "rel": "-> abs", "updir": "-> dir/sub/../x.txt", "dir/sub/": ""})
	dir := root.Name()
	other := filepath.Join(t.TempDir(), "other")
	must(t, os.Symlink(dir, other))
	for link, to := range map[string]string{
		"abs": dir + "/a.txt", "absdir": dir + "/dir", "self": dir, "dir/up": dir + "/dir/../a.txt", "page": dir + "/with", "idx/index.html": dir + "/with/index.html",
		"out": filepath.Dir(dir) + "/secret", "beside": dir + "/../secret", "prefix": dir + "-x/secret", "loop": dir + "/loop", "dangling": dir + "/nothing", "sneaky": dir + "/absdir/../../secret",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o755))
		must(t, os.Symlink(to, filepath.Join(dir, link)))
	}
	must(t, os.Mkdir(dir+"-x", 0o755))
	must(t, os.WriteFile(dir+"-x/secret", []byte(secret), 0o644))
	byLink, err := os.OpenRoot(other)
	must(t, err)
	defer byLink.Close()
	must(t, os.Symlink(other+"/a.txt", filepath.Join(dir, "spelled")))
	for _, root := range []*os.Root{root, byLink} {
		addr := serveFiles(t, &Files{Root: root}, nil)
		for target, want := range map[string]string{
			"/abs": "content of a", "/absdir/x.txt": "content of x", "/self/self/a.txt": "content of a", "/dir/up": "content of a", "/page/": "<p>index", "/idx/": "<p>index",
			"/chain": "content of a", "/updir": "content of x", "/absdir/up": "content of a",
			"/out": "", "/beside": "", "/prefix": "", "/loop": "", "/dangling": "", "/sneaky": "", "/abs/x": "",
		} {
			r := ask(t, addr, "GET "+target)
			if want != "" && (r.Status != 200 || r.body != want) || want == "" && r.Status != 404 || strings.Contains(r.body, secret) {
				t.Errorf("GET %s: %d %.80q, want %q", target, r.Status, r.body, want)
			}
		}
		if r := ask(t, addr, "GET /absdir"); r.Status != 301 || r.Header.Get("Location") != "/absdir/" {
			t.Errorf("GET /absdir: %d %v", r.Status, r.Header)
		}
		list := ask(t, addr, "GET /").body
		for name, shown := range map[string]bool{"./abs": true, "./absdir/": true, "./out": false, "./loop": false, "./sneaky": false} {
			if strings.Contains(list, `"`+name+`"`) != shown {
				t.Errorf("%s is listed: %v, want %v", name, !shown, shown)
			}
		}
	}
	if r := ask(t, serveFiles(t, &Files{Root: byLink}, nil), "GET /spelled"); r.body != "content of a" {
		t.Errorf("a link by the name the root was opened with: %d %q", r.Status, r.body)
	}
}

// Outside follows links that lead out, through folders too, and opens nothing but files.
func TestOutside(t *testing.T) {
	root := plant(t, tree{"in.txt": "in", "out": "-> ../secret"})
	beside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(beside, "x"), []byte("content of x"), 0o644))
	must(t, os.Symlink(beside, filepath.Join(root.Name(), "dir")))
	must(t, os.Symlink(os.DevNull, filepath.Join(root.Name(), "device")))
	must(t, os.Symlink("nowhere", filepath.Join(root.Name(), "dangling")))
	addr := serveFiles(t, &Files{Root: root, Outside: true}, nil)
	for target, want := range map[string]string{"/in.txt": "in", "/out": secret, "/dir/x": "content of x", "/device": "Forbidden\n", "/dangling": "Not Found\n", "/dir/../../secret": "Bad Request\n"} {
		if r := ask(t, addr, "GET "+target); r.body != want {
			t.Errorf("GET %s: %d %q, want %q", target, r.Status, r.body, want)
		}
	}
	if list := ask(t, addr, "GET /dir/").body; !strings.Contains(list, `"./x"`) {
		t.Errorf("the folder outside is listed as %s", list)
	}
}

// S6: one file is served, by its name and without.
func TestOnlyFile(t *testing.T) {
	root := plant(t, tree{"one.txt": "the one", "two.txt": "hidden", ".dot": "dot", "d/x": "hidden"})
	for _, tt := range []struct {
		only, target, want string
	}{
		{"one.txt", "/", "the one"}, {"one.txt", "/one.txt", "the one"}, {"one.txt", "//one.txt", "the one"}, {".dot", "/", "dot"}, {".dot", "/.dot", "dot"},
		{"one.txt", "/two.txt", ""}, {"one.txt", "/d/x", ""}, {"one.txt", "/d/", ""}, {"one.txt", "/.dot", ""}, {"one.txt", "/one.txt/", ""}, {"nothing", "/", ""},
	} {
		r := ask(t, serveFiles(t, &Files{Root: root, Only: tt.only}, nil), "GET "+tt.target)
		if tt.want == "" && r.Status != 404 || tt.want != "" && r.body != tt.want {
			t.Errorf("%s, GET %s: %d %q, want %q", tt.only, tt.target, r.Status, r.body, tt.want)
		}
	}
}

// Lists come as JSON to those who would rather have that, and say what they leave out.
func TestListingJSON(t *testing.T) {
	addr := serveFiles(t, &Files{Root: plant(t, tree{"a b.txt": "12345", "\xff": "1", "sub/x": "", ".env": "hidden", "out": "-> ../secret", "back\\slash": ""})}, nil)
	for accept, want := range map[string]bool{
		"application/json": true, "Application/JSON;q=0.5": true, "text/html;q=0.4, application/json": true,
		"*/*": false, "text/html, application/json;q=0.9": false, "application/json;q=0": false, "text/*, application/json": false,
	} {
		r := ask(t, addr, "GET /?sort=size", "Accept: "+accept)
		if got := r.Header.Get("Content-Type") == "application/json"; got != want || r.Header.Get("Vary") != "Accept" {
			t.Errorf("Accept: %s gives %s", accept, r.Header)
		}
	}
	r := ask(t, addr, "GET /", "Accept: application/json")
	var list []map[string]any
	must(t, json.Unmarshal([]byte(r.body), &list))
	want := `[{"mtime":"` + oldDate + `","name":"a b.txt","size":5,"type":"file","url":"./a%20b.txt"},{"mtime":"` + oldDate + `","name":"\ufffd","size":1,"type":"file","url":"./%FF"}]`
	if len(list) != 3 || list[0]["type"] != "directory" || list[0]["url"] != "./sub/" || list[0]["size"] != nil {
		t.Fatalf("%s", r.body)
	}
	if got, _ := json.Marshal(list[1:]); string(got) != strings.ReplaceAll(want, `\ufffd`, "\ufffd") {
		t.Errorf("%s, want %s", got, want)
	}
	if r.Header.Get("X-Left-Out") != "3" {
		t.Errorf("left out: %v, want 3", r.Header)
	}
	if page := ask(t, addr, "GET /").body; !strings.Contains(page, "Left out: 3 ") {
		t.Errorf("the page does not say what it leaves out: %s", page)
	}
}

// FilePath is the reverse of FileName, and no Location of another host.
func TestFilePath(t *testing.T) {
	for name := range paths {
		path := FilePath(strings.TrimSuffix(name, "/"))
		if got, _, err := FileName(path, true); err != nil || got != strings.TrimSuffix(name, "/") || strings.HasPrefix(path, "//") || !validTarget("GET", path) {
			t.Errorf("FilePath(%q) = %q, which FileName reads as %q, %v", name, path, got, err)
		}
	}
}
