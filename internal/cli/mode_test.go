package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"
)

// spoken is what the modes of testTable were asked to do.
type spoken struct {
	name     string
	n        int
	d        time.Duration
	size     int64
	port     string
	on, loud bool
	words    []string
	list     []string
	pick     string
	request  string
	args     []string
}

// serverFlags adds flags of the kinds that servers have.
func serverFlags(fs *Flags) {
	port := []string{"1234", "1234", "1235"}
	text, on := make([]string, 4), make([]bool, 2)
	fs.Group("Listening")
	for i, proto := range []string{"tcp", "udp", "ws"} {
		fs.String(&text[i], proto+"-addr", "A", "address")
	}
	for i, proto := range []string{"tcp", "udp", "ws"} {
		fs.Port(&port[i], proto+"-port", true, "Listens there.")
	}
	fs.Switch(&on[0], "tls ssl", "TLS")
	fs.Switch(&on[1], "x", "no compression")
	fs.String(&text[3], "greet", "TEXT", "first message to every client")
}

// testTable is a program with one mode of each kind; what runs fills in *got.
func testTable(got *spoken) Table {
	serve := func(name string) func(fs *Flags) Func {
		return func(fs *Flags) Func {
			serverFlags(fs)
			fs.Output()
			return func(ctx context.Context, env *Env, args []string) error {
				got.name, got.args = name, args
				return nil
			}
		}
	}
	return Table{
		{Name: "dump", Brief: "show what comes", Examples: []string{"socketsrv -tcp-port 4000"}, Setup: serve("dump")},
		{Name: "echo", Brief: "send it back", Examples: []string{"socketsrv -echo -port 9000"}, Setup: serve("echo"),
			Aliases: []Alias{{Name: "echo_server", Defaults: []string{"-ws-port", "8008", "-x"}}}},
		{Name: "fetch", Args: "URL [DIR]", Brief: "a client", Examples: []string{"socketsrv -fetch ws://localhost:8008"},
			Setup: func(fs *Flags) Func {
				var v spoken
				v.n, v.d, v.size, v.port, v.pick = 3, time.Second, 64<<10, "80", "one"
				fs.Group("Fetching")
				fs.Int(&v.n, "count c", "N", -10, 1000, "How many.")
				fs.Duration(&v.d, "wait w", "How long.")
				fs.Size(&v.size, "size", "How much.")
				fs.Port(&v.port, "port p", true, "Where.")
				fs.Switch(&v.on, "s silent", "Say nothing.")
				fs.Switch(&v.loud, "S show-error", "But errors.")
				fs.Strings(&v.words, "m", "TEXT", "Messages.")
				fs.List(&v.list, "list", "A,B", "A list.")
				fs.Choice(&v.pick, "pick", "One of them.", "one", "two")
				fs.String(&v.request, "X request", "METHOD", "Method.")
				var fields []string
				follow := false
				fs.Strings(&fields, "H header", "'N: V'", "A field.")
				fs.Switch(&follow, "L location", "Follow redirects.")
				fs.Output()
				return func(ctx context.Context, env *Env, args []string) error {
					v.name, v.args = "fetch", args
					*got = v
					return nil
				}
			}},
		{Name: "send", Args: "URL FILE...", Brief: "another", Examples: []string{"socketsrv -send ws://h f"},
			Setup: func(fs *Flags) Func {
				return func(ctx context.Context, env *Env, args []string) error {
					got.name, got.args = "send", args
					return nil
				}
			}},
	}
}

// runTable runs a command line over t.
func runTable(t Table, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = t.Run(context.Background(), append([]string{"/usr/bin/socketsrv"}, args...), testEnv(&out, &err))
	return code, out.String(), err.String()
}

func testEnv(stdout, stderr io.Writer) *Env {
	return &Env{
		Stdin: new(bytes.Buffer), Stdout: stdout, Stderr: stderr,
		Now: time.Now, Getenv: func(string) string { return "" },
		Exit: func(code int) { panic(fmt.Sprintf("exit %d", code)) },
	}
}
