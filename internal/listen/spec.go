package listen

import (
	"errors"
	"net"
	"strings"

	"socketsrv/internal/cli"
)

// A Spec is where clients come from: the value of -listen.
type Spec struct {
	Scheme     string // ws tcp udp line stdio; "": none was given
	Secure     bool   // TLS is below
	Host, Port string // as Listen takes them
}

var errSpec = errors.New("want [ws://]HOST:PORT, wss://…, tcp://…, tls://…, udp://…, unix:/PATH or what else -h lists")

// ParseSpec reads stdio:, unix:/PATH, or a scheme (ws, which may be left out, wss, tcp,
// tls, udp, line), HOST and PORT. Without a HOST it is loopback; * is all interfaces.
func ParseSpec(s string) (Spec, error) {
	if s == "stdio:" || s == "stdio" || s == "-" {
		return Spec{Scheme: "stdio"}, nil
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok && path != "" {
		return Spec{Scheme: "tcp", Host: s, Port: "0"}, nil
	}
	scheme, address, ok := strings.Cut(s, "://")
	if !ok {
		scheme, address = "ws", s
	}
	spec, known := map[string]Spec{"ws": {Scheme: "ws"}, "wss": {Scheme: "ws", Secure: true}, "tcp": {Scheme: "tcp"},
		"tls": {Scheme: "tcp", Secure: true}, "udp": {Scheme: "udp"}, "line": {Scheme: "line"}}[scheme]
	host, port, err := net.SplitHostPort(strings.TrimSuffix(address, "/"))
	if err == nil {
		spec.Port, err = cli.ParsePort(port)
	}
	if spec.Host = host; host == "*" {
		spec.Host = ""
	} else if host == "" {
		spec.Host = "127.0.0.1"
	}
	if !known || err != nil || strings.ContainsAny(host, "/ ") {
		return spec, errSpec
	}
	return spec, nil
}
