package dump

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"socketsrv/internal/answer"
	"socketsrv/internal/cli"
	"socketsrv/wsproto"
)

// answers makes the answers of -reply and -exec.
type answers struct {
	answer.Answerer
	asked atomic.Int64   // messages that wait for their answer
	late  sync.WaitGroup // goroutines that nobody reads for meanwhile
}

// answerTo returns the answer to m, of the same type if it can be, at most limit
// bytes. What fails is shown. It waits for its turn where many programs run.
func (d *dump) answerTo(ctx context.Context, c *client, m wsproto.Message, limit int64) (wsproto.Message, bool) {
	d.asked.Add(1)
	defer d.asked.Add(-1)
	back, err := d.Answer(ctx, m, limit, "SOCKETSRV_PROTO="+c.proto, "SOCKETSRV_CLIENT="+strconv.Itoa(c.number), "SOCKETSRV_PEER="+c.peer)
	if err != nil && err != answer.ErrNoAnswer && ctx.Err() == nil {
		d.refuse(fmt.Sprintf("%v: %s", c, cli.ErrorText(err)))
	}
	return back, err == nil
}
