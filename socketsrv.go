// Command socketsrv tests and debugs low-level network protocols: it listens,
// shows what comes and talks back; it echoes, broadcasts, serves files and lines;
// it is a client for all of that, and for HTTP. Its help says how:
//
//	socketsrv -h
//	socketsrv -help MODE
//
// What a mode does is one file in internal/mode; here stands which there are.
package main

import (
	"context"
	"os"

	"socketsrv/internal/mode"
)

// modes is what the program can do. The first is what it does when not told.
var modes = mode.Table{
	mode.Dump,
	mode.Echo,
	mode.Broadcast,
	mode.Line,
	mode.Curl,
	mode.Httpd,
	mode.Connect,
	mode.Ping,
	mode.Chat,
	mode.Transfer,
	mode.Send,
	mode.Receive,
	mode.Proxy,
	mode.Selftest,
}

func main() {
	env := mode.System()
	env.Signals = mode.Signals()
	os.Exit(run(context.Background(), os.Args, env))
}

// run runs a command line, the program's name first, and returns the exit code.
func run(ctx context.Context, argv []string, env *mode.Env) int {
	return modes.Run(ctx, argv, env)
}
