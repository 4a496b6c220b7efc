package mode

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestSecretsAreNotShown: what was given to prove who one is is not shown, by client
// or server, however much they say (RL15).
func TestSecretsAreNotShown(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("me:s3cr3t"))
	server := background(t, Echo, "-port", "0", "-v", "-auth", "me:s3cr3t")
	dumper := background(t, Dump, "-host", "127.0.0.1", "-tcp-port", "off", "-udp-port", "off", "-ws-port", "0", "-v", "-reply", "{}", "-token", "s3cr3t")
	for _, tt := range []struct {
		mode Mode
		line string
		exit int
	}{
		{Connect, "-v -m x -count 1 -u me:s3cr3t ws://ECHO/", 0},
		{Connect, "-v -m x -count 1 ws://me:s3cr3t@ECHO/", 0},
		{Connect, "-v -json -m x -count 1 -H Authorization:Basic_" + basic + " ws://ECHO/", 0},
		{Connect, "-v -m x -u me:s3cr3tXs3cr3t ws://ECHO/", 22},
		{Connect, "-v -m x -count 1 -H Authorization:Bearer_s3cr3t ws://DUMP/", 0},
		{Connect, "-v -m x -H Cookie:a=s3cr3t ws://127.0.0.1:1/", 7},
		{Connect, "-v -m x ws://me:s3cr3t@127.0.0.1:1/", 7},
		{Connect, "-v -m x -proxy http://me:s3cr3t@127.0.0.1:1 ws://ECHO/", 7},
		{Connect, "-v -m x -proxy socks5://me:s3cr3t@127.0.0.1:1 ws://ECHO/", 7},
		{Ping, "-v -c 1 -u me:s3cr3t ws://ECHO/", 0},
		{Ping, "-v -c 1 ws://me:s3cr3t@127.0.0.1:1/", 7},
		{Send, "-v -u me:s3cr3t ws://127.0.0.1:1/ websocket_test.go", 7},
		{Receive, "-v -reconnect 1 -u me:s3cr3t ws://127.0.0.1:1/ " + t.TempDir(), 7},
	} {
		line := strings.NewReplacer("ECHO", server.addr("ws"), "DUMP", dumper.addr("ws")).Replace(tt.line)
		args := strings.Fields(line)
		for i := range args {
			args[i] = strings.NewReplacer("Basic_", "Basic ", "Bearer_", "Bearer ").Replace(args[i])
		}
		r := background(t, tt.mode, args...)
		code := r.wait()
		said := r.stdout.String() + r.stderr.String()
		if code != tt.exit {
			t.Errorf("%s %s: exit %d, want %d: %s", tt.mode.Name, line, code, tt.exit, said)
		}
		if strings.Contains(said, "s3cr3t") || strings.Contains(said, basic) {
			t.Errorf("%s %s says %s", tt.mode.Name, line, said)
		}
	}
	for _, r := range []*run{server, dumper} {
		r.stop()
		if said := r.stdout.String() + r.stderr.String(); strings.Contains(said, "s3cr3t") || strings.Contains(said, basic) {
			t.Errorf("the server says %s", said)
		}
	}
}
