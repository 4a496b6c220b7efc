//go:build !custom

// Command socketsrv tests and debugs low-level network protocols: it listens,
// shows what comes and talks back; it echoes, broadcasts, serves files and lines;
// it is a client for all of that, and for HTTP. Its help says how:
//
//	socketsrv -h
//	socketsrv -help MODE
//
// What a mode does is one folder in internal/mode; here stands which there are. A
// smaller program leaves modes out: delete their rows, or build with -tags custom
// and a main of your own that gives cli.Main another table.
package main

import (
	"socketsrv/internal/cli"
	"socketsrv/internal/mode/broadcast"
	"socketsrv/internal/mode/chat"
	"socketsrv/internal/mode/conform"
	"socketsrv/internal/mode/connect"
	"socketsrv/internal/mode/curl"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/mode/httpd"
	"socketsrv/internal/mode/line"
	"socketsrv/internal/mode/ping"
	"socketsrv/internal/mode/play"
	"socketsrv/internal/mode/proxy"
	"socketsrv/internal/mode/selftest"
	"socketsrv/internal/mode/transfer"
	"socketsrv/internal/topics"
)

// modes is what the program can do. The first is what it does when not told.
var modes = cli.Table{
	dump.Mode,
	echo.Mode,
	broadcast.Mode,
	line.Mode,
	curl.Mode,
	httpd.Mode,
	connect.Mode,
	ping.Mode,
	chat.Mode,
	transfer.Transfer,
	transfer.Send,
	transfer.Receive,
	proxy.Mode,
	play.Mode,
	conform.Mode,
	selftest.Mode,
}

func main() { cli.Main(modes, topics.All...) }
