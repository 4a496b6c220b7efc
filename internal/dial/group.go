package dial

import (
	"context"
	"net"
	"net/netip"

	"socketsrv/internal/cli"
)

// What is sent to a broadcast address or a multicast group is answered by whoever is
// there: a connected socket would hear none of them.

// isGroup tells whether addr is such an address, of a network that we are in.
func isGroup(addr netip.Addr) bool {
	if addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return true
	}
	ours, _ := net.InterfaceAddrs()
	for _, a := range ours {
		if network, ok := a.(*net.IPNet); ok && addr.Is4() && isBroadcast(addr.As4(), network) {
			return true
		}
	}
	return false
}

// isBroadcast tells whether addr is the last one of network.
func isBroadcast(addr [4]byte, network *net.IPNet) bool {
	ip := network.IP.To4()
	if ones, bits := network.Mask.Size(); ip == nil || bits-ones < 2 {
		return false
	}
	mask := network.Mask[len(network.Mask)-4:]
	for i := range addr {
		if addr[i] != ip[i]|^mask[i] {
			return false
		}
	}
	return true
}

// dialGroup opens a socket that sends to address and hears all.
func (d *Dialer) dialGroup(ctx context.Context, env *cli.Env, address string) (net.Conn, error) {
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	from := ":0"
	if d.from != nil && d.from.Addr().IsValid() {
		from = d.from.String()
	} else if d.from != nil {
		from = net.UDPAddrFromAddrPort(*d.from).String()
	}
	network := "udp4"
	if to.IP.To4() == nil {
		network = "udp6"
	}
	pc, err := env.ListenPacket(ctx, network, from)
	if err != nil {
		return nil, err
	}
	return &groupConn{pc, to}, nil
}

// A groupConn is a socket that is not connected, as one that is.
type groupConn struct {
	net.PacketConn
	to net.Addr
}

func (g *groupConn) Read(p []byte) (int, error) {
	n, _, err := g.ReadFrom(p)
	return n, err
}

func (g *groupConn) Write(p []byte) (int, error) { return g.WriteTo(p, g.to) }
func (g *groupConn) RemoteAddr() net.Addr        { return g.to }
