package listen

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/kit"
)

func TestListeningEvents(t *testing.T) {
	_, stdout, stderr := open(t, nil, nothing, "three", "-json")
	var protos []string
	for line := range strings.Lines(stdout) {
		var e struct{ Event, Proto, Addr, Time string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Event != "listening" || e.Time == "" {
			t.Errorf("%q: %v", line, err)
		}
		protos = append(protos, e.Proto)
	}
	if stderr != "" {
		t.Errorf("with -json words are said: %q", stderr)
	}
	if got := strings.Join(protos, " "); got != "tcp udp ws" {
		t.Errorf("events of %q", got)
	}
}

func TestOutput(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	tests := []struct {
		flags          string
		stdout, stderr string // patterns
	}{
		{"", `^< received payload on TCP connection #0: hi\\x00x+… \(\+4467 bytes\)\n$`, `^listening .*\nstatus a\\x1b\[2J\nsocketsrv: trouble\\n\n$`},
		{"-v", `^<`, `^listening .*\nstatus .*\ndetail\nsocketsrv: .*\n$`},
		{"-q", `^<`, `^socketsrv: trouble\\n\n$`},
		{"-format text -max-show 4", `^< received payload on TCP connection #0: hi\\x00x… \(\+69999 bytes\)\n$`, ``},
		{"-format text -max-show 0", `^< received payload on TCP connection #0: hi\\x00x{1000}x+\n$`, ``},
		{"-format raw", "^hi\x00x{1000}x+$", ``},
		{"-format text -max-show 2 -t", `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} < received payload`, `^2000-01-02 03:04:05.000006 listening`},
		{"-format text -max-show 2 -color always", `^\x1b\[36m< received`, ``},
		{"-json", `^{"time":"[^"]*","event":"listening".*}\n{.*"event":"error".*"error":"trouble\\n".*}\n{.*"size":70003.*}\n$`, `^$`},
		{"-json -max-show 1", `"size":70003,"text":"h","cut":70002}\n$`, ``},
		{"-log " + log, `^<`, `^$`},
	}
	for _, tt := range tests {
		code, stdout, stderr := open(t, func(env *cli.Env) {
			env.Now = func() time.Time { return time.Date(2000, 1, 2, 3, 4, 5, 6000, time.UTC) }
		}, talk, append([]string{"one"}, strings.Fields(tt.flags)...)...)
		if code != 0 || !regexp.MustCompile(tt.stdout).MatchString(stdout) || !regexp.MustCompile(tt.stderr).MatchString(stderr) {
			t.Errorf("%s: exit %d\n%.200q\n%q", tt.flags, code, stdout, stderr)
		}
	}
	b, err := os.ReadFile(log)
	if want := regexp.MustCompile(`^listening .*\nstatus .*\nsocketsrv: trouble\\n\n$`); err != nil || !want.Match(b) {
		t.Errorf("-log: %q, %v", b, err)
	}
}

// talk says one thing of each kind.
func talk(o opened) error {
	o.con.Status("status %s", "a\x1b[2J")
	o.con.Detail("detail")
	o.con.Error(errors.New("trouble\n"))
	o.con.Emit(&event.Event{Event: event.Message, Proto: "tcp", Payload: []byte("hi\x00" + strings.Repeat("x", 70000))})
	return nil
}

func TestColor(t *testing.T) {
	for _, tt := range []struct {
		color    string
		terminal bool
		env      map[string]string
		want     bool
	}{
		{"auto", true, nil, true},
		{"auto", false, nil, false},
		{"auto", true, map[string]string{"NO_COLOR": "1"}, false},
		{"auto", true, map[string]string{"NO_COLOR": ""}, true},
		{"auto", true, map[string]string{"TERM": "dumb"}, false},
		{"always", false, map[string]string{"NO_COLOR": "1"}, true},
		{"never", true, nil, false},
	} {
		env := kit.Env(nil, nil)
		env.Getenv = func(name string) string { return tt.env[name] }
		if tt.terminal {
			env.TTYOut = os.Stdout
		}
		if got := (&cli.Output{Color: tt.color}).Colored(env); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestStatusLineIsBounded(t *testing.T) {
	_, _, stderr := open(t, nil, func(o opened) error {
		o.con.Status("%s", strings.Repeat("x", 1<<20))
		return nil
	}, "one")
	if _, line, _ := strings.Cut(stderr, "\n"); len(line) > 5000 || !strings.HasSuffix(line, "…(+1044480)\n") {
		t.Errorf("a line of %d bytes", len(line))
	}
}
