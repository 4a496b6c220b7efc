package ping

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/linesrv"
)

// A probe asks once and waits for the answer. It returns how long that took and what
// there is to say of it.
type probe func(ctx context.Context) (took time.Duration, detail string, err error)

// probes asks one after another, until it is enough or ctx ends.
func (p *pinger) probes(ctx context.Context) error {
	ask, hangUp := p.prober()
	defer hangUp()
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	for n := 0; p.count == 0 || n < p.count; n++ {
		if n > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
		if err := p.probeOnce(ctx, ask); err != nil {
			return err
		}
	}
	return nil
}

// probeOnce returns an error only where another attempt makes no sense.
func (p *pinger) probeOnce(ctx context.Context, ask probe) error {
	one, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	ping := p.begin(func(int) string { return "" })
	took, detail, err := ask(one)
	hopeless := ping.seq == 0 && (cli.As[*cli.UsageError](err) || cli.As[*net.DNSError](err))
	switch {
	case ctx.Err() != nil:
		p.takeBack()
		return nil
	case hopeless:
		p.takeBack()
		return err
	case ping.seq == 0:
		p.title(p.target.Address)
	}
	if err != nil {
		p.lost(err)
	} else {
		p.answered(ping.at.Add(took), func(openPing) bool { return true }, nil, detail)
	}
	return nil
}

// takeBack forgets the ping that was cut short.
func (p *pinger) takeBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent--
	p.open = nil
}

// prober returns how the target is asked, and what ends that.
func (p *pinger) prober() (ask probe, hangUp func()) {
	switch p.target.Scheme {
	case "http", "https":
		h := &headProber{pinger: p}
		return h.probe, h.close
	case "line":
		l := &lineProber{pinger: p}
		return l.probe, l.close
	}
	return p.probeDial, func() {}
}

// dial connects, TLS included where the target has it, and returns how long that
// took since the name was resolved.
func (p *pinger) dial(ctx context.Context) (net.Conn, time.Duration, error) {
	var start time.Time
	env := *p.env
	env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if start.IsZero() {
			start = time.Now()
		}
		return p.env.Dial(ctx, network, address)
	}
	network := "tcp"
	if p.target.Scheme == "unix" {
		network = "unix"
	}
	nc, err := p.ws.For(&env, p.target.Scheme)(ctx, network, p.target.Address)
	if secure := p.target.Scheme == "tls" || p.target.Scheme == "https"; err == nil && secure {
		nc, err = p.client.StartTLS(ctx, p.con, nc, p.target.Address)
	}
	return nc, time.Since(start), err
}

// probeDial times connecting.
func (p *pinger) probeDial(ctx context.Context) (time.Duration, string, error) {
	nc, took, err := p.dial(ctx)
	if err != nil {
		return 0, "", err
	}
	nc.Close()
	return took, "", nil
}

// A headProber times HEAD requests on a connection that it keeps as long as the
// server does.
type headProber struct {
	*pinger
	nc net.Conn // nil: none
	br *bufio.Reader
}

func (h *headProber) probe(ctx context.Context) (took time.Duration, detail string, err error) {
	for kept := h.nc != nil; ; kept = false {
		if h.nc == nil {
			if h.nc, _, err = h.dial(ctx); err != nil {
				h.nc = nil
				return 0, "", err
			}
			h.br = bufio.NewReader(h.nc)
		}
		start := time.Now()
		var res *httpmini.Response
		err = dial.Within(ctx, h.nc, func() (err error) {
			res, err = h.ask()
			return err
		})
		took = time.Since(start)
		switch {
		case err == nil:
			if !res.KeepAlive() {
				h.close()
			}
			return took, fmt.Sprintf(" status=%d %s", res.Status, cmp.Or(res.Reason, httpmini.StatusText(res.Status))), nil
		case kept && ctx.Err() == nil:
			h.close() // the server may have given it up, as it may
			continue
		}
		h.close()
		return 0, "", err
	}
}

func (h *headProber) ask() (*httpmini.Response, error) {
	req := httpmini.Request{Method: "HEAD", Target: h.target.Where.Target(), Minor: 1}
	if !h.ws.Header.Has("Host") {
		req.Header.Add("Host", h.target.Where.Authority())
	}
	if !h.ws.Header.Has("User-Agent") {
		req.Header.Add("User-Agent", cli.Program)
	}
	if user := h.target.Where.Credentials(); user != "" && !h.ws.Header.Has("Authorization") {
		req.Header.Add("Authorization", httpmini.Basic(user))
	}
	req.Header.Add("Accept", "*/*")
	req.Header = append(req.Header, h.ws.Header...)
	if _, err := h.nc.Write(req.AppendHead(nil)); err != nil {
		return nil, err
	}
	return httpmini.ReadFinal(h.br, "HEAD", false, httpmini.ClientLimits)
}

func (h *headProber) close() {
	if h.nc != nil {
		h.nc.Close()
		h.nc = nil
	}
}

// A lineProber sends "ping" to a line server and wants "pong".
type lineProber struct {
	*pinger
	client *linesrv.Client // nil: none
	nc     net.Conn
}

func (l *lineProber) probe(ctx context.Context) (took time.Duration, detail string, err error) {
	if l.client == nil {
		if l.nc, _, err = l.dial(ctx); err != nil {
			return 0, "", err
		}
		l.client = linesrv.NewClient(l.nc, linesrv.ClientOptions{Timeout: l.wait})
	}
	start := time.Now()
	answer := ""
	err = dial.Within(ctx, l.nc, func() (err error) {
		if err = l.client.Send("ping"); err == nil {
			answer, err = l.client.Receive(l.wait)
		}
		return err
	})
	took = time.Since(start)
	if err == nil && answer != "pong" {
		err = cli.Fail(cli.ExitProtocol, fmt.Errorf("%w but %s", linesrv.ErrNoPong, answer))
	}
	if err == io.EOF {
		err = errors.New("the server ended the connection")
	}
	if err != nil {
		l.close() // an answer that still comes would be taken for the next one's
		return 0, "", err
	}
	return took, "", nil
}

// close says goodbye, so that the server is free for the next client.
func (l *lineProber) close() {
	if l.client == nil {
		return
	}
	l.client.Send("disconnect")
	l.client.Close()
	l.client = nil
}
