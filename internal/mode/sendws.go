package mode

import (
	"context"
	"errors"

	"socketsrv/wsproto"
)

func (s *send) sendWire(ctx context.Context, con *Console, conn *wsproto.Conn, files []*source) error {
	return errors.New("not yet")
}
