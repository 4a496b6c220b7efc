package mode

import (
	"errors"
	"fmt"
	"io"
	"net"
	"socketsrv/wsproto"
	"time"
)

// peerName is an address; clients of Unix sockets mostly have none.
func peerName(addr net.Addr) string {
	if name := addr.String(); name != "@" {
		return name
	}
	return ""
}

func plural(n int64, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// endReason says in words why a connection ended; "" for the normal end of the
// stream.
func endReason(err error) string {
	if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	return errorText(err)
}

var errIdle = errors.New("idle for too long")

// opcodeName is the type of a message in an event.
func opcodeName(op wsproto.Opcode) string {
	if op == 0 {
		return ""
	}
	return op.String()
}

// writeStall is how long a peer may take nothing of what is written to it.
const writeStall = 30 * time.Second

// maxDatagram is the largest UDP payload over IPv4.
const maxDatagram = 65507

// maxQueue is how many bytes may wait for a client, or for a reader of stdout.
const maxQueue = 1 << 20
