package peers

import (
	"encoding/base64"
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/connect"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/mode/ping"
	"socketsrv/internal/mode/transfer"
)

// TestSecretsAreNotShown: what was given to prove who one is is not shown, by client
// or server, however much they say (RL15).
func TestSecretsAreNotShown(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("me:s3cr3t"))
	server := kit.Background(t, echo.Mode, "-port", "0", "-v", "-auth", "me:s3cr3t")
	dumper := kit.Background(t, dump.Mode, "-host", "127.0.0.1", "-tcp-port", "off", "-udp-port", "off", "-ws-port", "0", "-v", "-reply", "{}", "-token", "s3cr3t")
	for _, tt := range []struct {
		mode cli.Mode
		line string
		exit int
	}{
		{connect.Mode, "-v -m x -count 1 -u me:s3cr3t ws://ECHO/", 0},
		{connect.Mode, "-v -m x -count 1 ws://me:s3cr3t@ECHO/", 0},
		{connect.Mode, "-v -json -m x -count 1 -H Authorization:Basic_" + basic + " ws://ECHO/", 0},
		{connect.Mode, "-v -m x -u me:s3cr3tXs3cr3t ws://ECHO/", 22},
		{connect.Mode, "-v -m x -count 1 -H Authorization:Bearer_s3cr3t ws://DUMP/", 0},
		{connect.Mode, "-v -m x -H Cookie:a=s3cr3t ws://127.0.0.1:1/", 7},
		{connect.Mode, "-v -m x ws://me:s3cr3t@127.0.0.1:1/", 7},
		{connect.Mode, "-v -m x -proxy http://me:s3cr3t@127.0.0.1:1 ws://ECHO/", 7},
		{connect.Mode, "-v -m x -proxy socks5://me:s3cr3t@127.0.0.1:1 ws://ECHO/", 7},
		{ping.Mode, "-v -c 1 -u me:s3cr3t ws://ECHO/", 0},
		{ping.Mode, "-v -c 1 ws://me:s3cr3t@127.0.0.1:1/", 7},
		{transfer.Send, "-v -u me:s3cr3t ws://127.0.0.1:1/ secrets_test.go", 7},
		{transfer.Receive, "-v -reconnect 1 -u me:s3cr3t ws://127.0.0.1:1/ " + t.TempDir(), 7},
	} {
		line := strings.NewReplacer("ECHO", server.Addr("ws"), "DUMP", dumper.Addr("ws")).Replace(tt.line)
		args := strings.Fields(line)
		for i := range args {
			args[i] = strings.NewReplacer("Basic_", "Basic ", "Bearer_", "Bearer ").Replace(args[i])
		}
		r := kit.Background(t, tt.mode, args...)
		code := r.Wait()
		said := r.Stdout.String() + r.Stderr.String()
		if code != tt.exit {
			t.Errorf("%s %s: exit %d, want %d: %s", tt.mode.Name, line, code, tt.exit, said)
		}
		if strings.Contains(said, "s3cr3t") || strings.Contains(said, basic) {
			t.Errorf("%s %s says %s", tt.mode.Name, line, said)
		}
	}
	for _, r := range []*kit.Run{server, dumper} {
		r.Stop()
		if said := r.Stdout.String() + r.Stderr.String(); strings.Contains(said, "s3cr3t") || strings.Contains(said, basic) {
			t.Errorf("the server says %s", said)
		}
	}
}
