package dump

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"socketsrv/internal/answer"
	"socketsrv/internal/cli"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// answers makes the answers of -reply and -exec.
type answers struct {
	answer.Answerer
	asked atomic.Int64   // messages that wait for their answer
	late  sync.WaitGroup // goroutines that nobody reads for meanwhile
}

// answerTo returns the answer to m, of the same type if it can be, at most limit
// bytes. What fails is shown. It waits for its turn where many programs run; nc is nil
// where there is no connection.
func (d *dump) answerTo(ctx context.Context, c *client, m wsproto.Message, limit int64, nc net.Conn) (wsproto.Message, bool) {
	d.asked.Add(1)
	defer d.asked.Add(-1)
	back, err := d.Answer(ctx, nc, m, limit, "SOCKETSRV_PROTO="+c.proto, "SOCKETSRV_CLIENT="+strconv.Itoa(c.number), "SOCKETSRV_PEER="+c.peer)
	if err != nil && err != answer.ErrNoAnswer && ctx.Err() == nil {
		d.fault(c, cli.ErrorText(err))
	}
	return back, err == nil
}

// isHTTP reports whether a stream begins as a browser's do, which a page can have
// connect to any port: what leads to a program is not for those. The first line may
// not be whole.
func isHTTP(p []byte) bool {
	line, _, whole := bytes.Cut(p, []byte{'\n'})
	if !whole {
		line = append(bytes.Clone(line), " HTTP/1.1"...)
	}
	return linesrv.LooksLikeHTTP(line)
}
