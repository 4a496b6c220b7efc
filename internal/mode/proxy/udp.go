package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"

	"socketsrv/internal/accept"
	"socketsrv/internal/listen"
)

// serveUDP serves clients whose datagrams pass. One that must not be answered is not
// passed on: its answer could not be.
func (p *proxy) serveUDP(ctx context.Context) error {
	pc, end, err := p.listener.OpenPacket(ctx, p.env, p.con)
	if err != nil {
		return err
	}
	defer end()
	p.own = pc.LocalAddr()
	peers := &listen.Peers{
		Datagrams: listen.NewDatagrams(pc), Max: p.listener.MaxConns, ErrorLog: p.con.Error,
		Handle: p.carryDatagrams,
		Refused: func(at listen.Source, why error) {
			p.con.Error(fmt.Errorf("datagrams of %v are not passed on: %w", at, why))
		},
	}
	return p.until(ctx, end, nil, peers.Serve)
}

func (p *proxy) carryDatagrams(nc net.Conn, at listen.Source) {
	if _, err := p.carry(&packets{Conn: nc}, "udp", at.String(), accept.Header{}); err != nil {
		p.counts.refused.Add(1)
		if !errors.Is(err, context.Canceled) {
			p.con.Error(fmt.Errorf("%v: %w", at, err))
		}
	}
}
