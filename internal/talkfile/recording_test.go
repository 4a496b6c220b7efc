package talkfile

import (
	"io"
	"strings"
	"testing"
)

// written is what a recording says as a talk file.
func written(src string, opt RecordingOptions) (string, error) {
	r, err := NewRecording(strings.NewReader(src), opt)
	var all []byte
	for err == nil {
		var s *Step
		if s, err = r.Next(); err == nil {
			all = Append(all, []Step{*s})
		}
	}
	if err == io.EOF {
		err = nil
	}
	return string(all), err
}

const ofServer = `{"time":"2026-11-29T08:00:00Z","event":"listening","proto":"tcp","addr":"127.0.0.1:1"}
{"time":"2026-11-29T08:00:01Z","event":"open","proto":"tcp","client":0,"peer":"127.0.0.1:2"}
{"time":"2026-11-29T08:00:01Z","event":"open","proto":"tcp","client":1,"peer":"127.0.0.1:3"}
{"time":"2026-11-29T08:00:01.5Z","event":"message","proto":"tcp","client":1,"dir":"in","size":3,"text":"hi\n"}
{"time":"2026-11-29T08:00:01.6Z","event":"message","proto":"tcp","client":0,"dir":"in","size":1,"text":"?"}
{"time":"2026-11-29T08:00:02Z","event":"message","proto":"tcp","client":1,"dir":"out","size":2,"base64":"AP8="}
{"time":"2026-11-29T08:00:02.25Z","event":"close","proto":"tcp","client":1}
{"time":"2026-11-29T08:00:03Z","event":"message","proto":"tcp","client":0,"dir":"out","size":1,"text":"!"}
`

// ofProxy saw the client end its side first, and the target reset what it had said.
const ofProxy = `{"event":"listening","proto":"tcp"}
{"event":"open","proto":"tcp","client":0}
{"event":"message","proto":"tcp","client":0,"dir":"in","size":1,"text":"a"}
{"event":"end","proto":"tcp","client":0,"dir":"in"}
{"event":"message","proto":"tcp","client":0,"dir":"out","size":1,"text":"b"}
`

func ws(lines ...string) string {
	return `{"event":"open","proto":"ws","dir":"out"}` + "\n" + `{"event":"message","proto":"ws","dir":"out","opcode":"text","size":1,"text":"a"}` + "\n" + strings.Join(lines, "\n")
}

func TestRecording(t *testing.T) {
	first := RecordingOptions{Client: -1}
	for _, tt := range []struct {
		name, src string
		opt       RecordingOptions
		want      string
	}{
		{"as the client", ofServer, first, "wait 500ms\n> hi\\n\nwait 500ms\n< bytes 00 ff\nwait 250ms\nend\n< end\n"},
		{"as the server", ofServer, RecordingOptions{true, -1}, "wait 500ms\n< hi\\n\nwait 500ms\n> bytes 00 ff\nwait 250ms\nend\n< end\n"},
		{"another connection", ofServer, RecordingOptions{true, 0}, "wait 600ms\n< ?\nwait 1.4s\n> !\n"},
		{"stopped in the middle of a line", ofServer + `{"time":"2026-11-29T`, RecordingOptions{false, 0}, "wait 600ms\n> ?\nwait 1.4s\n< !\n"},
		{"of a client", ws(`{"event":"message","proto":"ws","dir":"in","opcode":"binary","size":1,"base64":"YQ=="}`), first, "> a\n< bytes 61\n"},
		{"pings", ws(`{"event":"ping","proto":"ws","dir":"out","opcode":"ping","size":1,"text":"p"}`, `{"event":"pong","proto":"ws","dir":"in","opcode":"pong","size":1,"text":"p"}`,
			`{"event":"ping","proto":"ws","dir":"in","opcode":"ping","size":1,"text":"q"}`), first, "> a\n> ping p\n"},
		{"a code", ws(`{"event":"close","proto":"ws","code":1000,"reason":"bye"}`, "junk"), first, "> a\nclose 1000 bye\n< close 1000\n"},
		{"no code", ws(`{"event":"close","proto":"ws","code":1005}`), first, "> a\nclose\n< close\n"},
		{"no Close frame", ws(`{"event":"close","proto":"ws","code":1006,"error":"no close frame"}`), first, "> a\nend\n< end\n"},
		{"half-closed", ofProxy + `{"event":"close","proto":"tcp","client":0,"dir":"in"}`, first, "> a\nend\n< b\n< end\n"},
		{"half-closed by the other", ofProxy + `{"event":"end","proto":"tcp","client":0,"dir":"out"}` + "\n" + `{"event":"close","proto":"tcp","client":0,"dir":"in"}`,
			RecordingOptions{true, -1}, "< a\n< end\n> b\nend\n"},
		{"reset by the target", ofProxy + `{"event":"close","proto":"tcp","client":0,"dir":"out","error":"connection reset by peer"}`,
			RecordingOptions{true, -1}, "< a\n< end\n> b\nreset\n"},
		{"reset by the peer", ws(`{"event":"close","proto":"ws","error":"read: connection reset by peer"}`), first, "> a\n< reset\n"},
		{"the peer that resets", ws(`{"event":"close","proto":"ws","error":"read: connection reset by peer"}`), RecordingOptions{true, -1}, "< a\nreset\n"},
	} {
		if got, err := written(tt.src, tt.opt); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestBadRecording(t *testing.T) {
	for _, tt := range []struct {
		src  string
		opt  RecordingOptions
		want string
	}{
		{"", RecordingOptions{Client: -1}, "1: no connection with a message"},
		{ofServer, RecordingOptions{Client: 7}, "9: no connection 7 with a message"},
		{"hello\n", RecordingOptions{Client: -1}, "1: not an event"},
		{ws("junk\n"), RecordingOptions{Client: -1}, "3: not an event"},
		{ws(`{"event":"message","proto":"ws","dir":"in","opcode":"text","size":9,"text":"a","cut":8}`), RecordingOptions{Client: -1}, "3: only 1 of 9 bytes of this message were kept"},
		{strings.Repeat(" ", maxLine+1), RecordingOptions{Client: -1}, "1: more than"},
	} {
		if got, err := written(tt.src, tt.opt); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%.30q: %q, %v; want %s", tt.src, got, err, tt.want)
		}
	}
}
