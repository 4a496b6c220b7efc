package wsproto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// relayed is a conversation through a Relay, the test playing both ends.
type relayed struct {
	client, backend *talk
	relay           *Relay
	end             <-chan RelayEnd
}

// relayTalk runs a conversation through a Relay over pipes.
func relayTalk(t *testing.T, cfg RelayConfig, conversation func(t *testing.T, r *relayed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, c := newTalk(t)
		backend, b := newTalk(t)
		r := &relayed{client: client, backend: backend, relay: NewRelay(c, b, nil, nil, cfg)}
		end := make(chan RelayEnd, 1)
		r.end = end
		go func() { end <- r.relay.Run() }()
		conversation(t, r)
		client.peer.Close()
		backend.peer.Close()
		r.relay.Abort(io.ErrClosedPipe)
	})
}

// wantMasked wants frames with fresh masking keys; wire is what they are without.
func (k *talk) wantMasked(wire string) {
	k.t.Helper()
	got, _ := k.take()
	plain, err := unmasked(got)
	if err != nil || !bytes.Equal(plain, unhex(wire)) {
		k.t.Errorf("got %x, %v; want %s masked", got, err, strings.ReplaceAll(wire, " ", ""))
	}
}

// unmasked are masked frames without their masking.
func unmasked(b []byte) (plain []byte, err error) {
	for len(b) > 0 {
		h, n, err := ParseHeader(b)
		if err != nil || n == 0 || !h.Masked {
			return plain, errors.New("no whole header of a masked frame")
		}
		p := b[n:][:min(int(h.PayloadLen), len(b)-n)]
		mask(p, h.MaskingKey, 0)
		h.Masked = false
		plain = append(AppendHeader(plain, h), p...)
		b = b[n+len(p):]
	}
	return plain, nil
}

// ended waits for the end and returns it.
func (r *relayed) ended(t *testing.T) RelayEnd {
	t.Helper()
	time.Sleep(10 * time.Second) // of the bubble's: more than all time-outs of an end
	synctest.Wait()
	select {
	case end := <-r.end:
		return end
	default:
		t.Error("the relay goes on")
		return RelayEnd{}
	}
}

// relayWires are frames that pass as they are, without masking.
var relayWires = []string{
	"81 05 48656c6c6f",           // §5.7
	"01 03 48656c", "80 02 6c6f", // §5.7, fragmented
	"89 05 48656c6c6f",          // §5.7, ping
	"8a 05 48656c6c6f", "8a 00", // pongs
	"82 00", "02 00", "00 00", // empty
	"89 00", "80 01 ff", // a ping inside a message
	"81 02 c328", // text is not looked at
	"82 7e 0100" + strings.Repeat("ab", 256),
	"82 7f 0000000000010000" + strings.Repeat("cd", 65536),
}

func maskedWire(wire string) []byte {
	var b []byte
	for p := unhex(wire); len(p) > 0; {
		h, n, _ := ParseHeader(p)
		end := n + int(h.PayloadLen)
		b = append(b, frame(RoleServer, p[0], string(p[n:end]))...)
		p = p[end:]
	}
	return b
}

func TestRelayPasses(t *testing.T) {
	relayTalk(t, RelayConfig{}, func(t *testing.T, r *relayed) {
		for _, wire := range relayWires {
			r.client.sendBytes(maskedWire(wire))
			r.backend.wantMasked(wire)
			r.backend.send(wire)
			r.client.want(wire)
		}
	})
}

// TestRelayByteByByte: the cuts fall everywhere, and no bytes but a header's and
// a control frame's wait for more.
func TestRelayByteByByte(t *testing.T) {
	all := strings.Join(relayWires[:len(relayWires)-1], "")
	relayTalk(t, RelayConfig{}, func(t *testing.T, r *relayed) {
		for _, b := range maskedWire(all) {
			r.client.sendBytes([]byte{b})
		}
		r.backend.wantMasked(all)
		for _, b := range unhex(all) {
			r.backend.sendBytes([]byte{b})
		}
		r.client.want(all)
		r.client.send("82 85 00000000 41")
		r.backend.wantMasked("82 05 41") // of a message the first byte passes
	})
}

// TestRelayFreshKeys: a masking key is never one the client has seen or chosen
// (§5.3, §10.3).
func TestRelayFreshKeys(t *testing.T) {
	relayTalk(t, RelayConfig{}, func(t *testing.T, r *relayed) {
		seen := map[[4]byte]bool{{0x37, 0xfa, 0x21, 0x3d}: true}
		for range 200 {
			r.client.send("81 85 37fa213d 7f9f4d5158")
			got, _ := r.backend.take()
			h, n, err := ParseHeader(got)
			if err != nil || n == 0 || seen[h.MaskingKey] {
				t.Fatalf("%x, %v: no key of its own", got, err)
			}
			seen[h.MaskingKey] = true
			if mask(got[n:], h.MaskingKey, 0); string(got[n:]) != "Hello" {
				t.Fatalf("the payload is %q", got[n:])
			}
		}
	})
}

func TestRelayDeflate(t *testing.T) {
	relayTalk(t, RelayConfig{Deflate: true}, func(t *testing.T, r *relayed) {
		for _, wire := range []string{"c1 07 f248cdc9c90700", "41 03 f248cd", "80 04 c9c90700"} { // RFC 7692 §7.2.3.1
			r.client.sendBytes(maskedWire(wire))
			r.backend.wantMasked(wire)
			r.backend.send(wire)
			r.client.want(wire)
		}
	})
}

// TestRelayClose has PX16, and Close frames without a code.
func TestRelayClose(t *testing.T) {
	for _, code := range []StatusCode{0, 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4999} {
		for _, byBackend := range []bool{false, true} {
			relayTalk(t, RelayConfig{}, func(t *testing.T, r *relayed) {
				p := AppendClose(nil, code, "so long")
				wire := hex.EncodeToString(append([]byte{0x88, byte(len(p))}, p...))
				if byBackend {
					r.backend.send(wire)
					r.client.want(wire)
					r.client.sendBytes(maskedWire(wire))
					r.backend.wantMasked(wire)
				} else {
					r.client.sendBytes(maskedWire(wire))
					r.backend.wantMasked(wire)
					r.backend.send("81 01 61") // it may still send
					r.client.want("81 01 61")
					r.backend.send(wire)
					r.client.want(wire)
				}
				r.backend.peer.Close()
				want := CloseError{Code: StatusNoStatusReceived, Reason: ""}
				if code != 0 {
					want = CloseError{Code: code, Reason: "so long"}
				}
				end := r.ended(t)
				if ce, ok := end.Err.(*CloseError); !ok || *ce != want || end.ByBackend != byBackend {
					t.Errorf("code %d: it ended with %+v", code, end)
				}
				r.client.wantEnd()
			})
		}
	}
}

// TestRelayEnds has the ends that are not polite: PX17, PX18, PX19, and every rule of
// framing from both sides.
func TestRelayEnds(t *testing.T) {
	const protocol, badGateway, goingAway = "03ea", "03f6", "03e9"
	for _, tt := range []struct {
		name      string
		byBackend bool
		send      string // and then the end of the stream, if drop
		drop      bool
		client    string // code of the Close frame that the client gets; "" none
		backend   string
		err       error
	}{
		{"PX17: backend drops", true, "", true, badGateway, "", io.EOF},
		{"PX19: client drops", false, "", true, "", goingAway, io.EOF},
		{"backend drops between fragments", true, "01 01 61", true, badGateway, "", ErrMessageCut},
		{"client drops between fragments", false, "01 81 00000000 61", true, "", goingAway, ErrMessageCut},
		{"backend drops in a header", true, "81", true, badGateway, "", ErrMessageCut},
		{"backend drops in a frame", true, "81 02 61", true, "", "", ErrMessageCut},
		{"client drops in a frame", false, "81 82 00000000 61", true, "", "", ErrMessageCut},
		{"PX18: backend, RSV2", true, "a1 00", false, badGateway, protocol, ErrReservedBits},
		{"PX21: backend, RSV1 not agreed on", true, "c1 00", false, badGateway, protocol, ErrReservedBits},
		{"backend masks", true, "81 80 00000000", false, badGateway, protocol, ErrMasking},
		{"backend, opcode 3", true, "83 00", false, badGateway, protocol, ErrReservedOpcode},
		{"backend, long ping", true, "89 7e 007e", false, badGateway, protocol, ErrControlTooLong},
		{"backend, nothing to continue", true, "80 00", false, badGateway, protocol, ErrNoMessageToGoOn},
		{"backend, message in a message", true, "01 00 81 00", false, badGateway, protocol, ErrMessageNotEnded},
		{"backend, length of 2^63", true, "82 7f 8000000000000000", false, badGateway, protocol, ErrLengthEncoding},
		{"backend, close with one byte", true, "88 01 03", false, badGateway, protocol, ErrClosePayload},
		{"backend, close 1005", true, "88 02 03ed", false, badGateway, protocol, ErrStatusCode},
		{"client, RSV2", false, "a1 80 00000000", false, protocol, goingAway, ErrReservedBits},
		{"client, RSV1", false, "c1 80 00000000", false, protocol, goingAway, ErrReservedBits},
		{"client does not mask", false, "81 00", false, protocol, goingAway, ErrMasking},
		{"client, fragmented ping", false, "09 80 00000000", false, protocol, goingAway, ErrControlFragment},
		{"client, long length", false, "82 fe 0001", false, protocol, goingAway, ErrLengthEncoding},
		{"client, reason is not UTF-8", false, "88 83 00000000 03e8ff", false, "03ef", goingAway, ErrInvalidUTF8},
		{"client, too large", false, "82 ff 0000000000010000 00000000", false, "03f1", goingAway, ErrMessageTooBig},
	} {
		relayTalk(t, RelayConfig{MaxMessage: 65535}, func(t *testing.T, r *relayed) {
			guilty := r.client
			if tt.byBackend {
				guilty = r.backend
			}
			if tt.send != "" {
				guilty.send(tt.send)
			}
			if tt.drop {
				guilty.peer.Close()
			}
			end := r.ended(t)
			if end.ByBackend != tt.byBackend || !errors.Is(end.Err, tt.err) {
				t.Errorf("%s: it ended with %+v, want %v", tt.name, end, tt.err)
			}
			if got := closeCodeIn(r.client); got != tt.client {
				t.Errorf("%s: the client got Close %q, want %q", tt.name, got, tt.client)
			}
			if got := closeCodeIn(r.backend); got != tt.backend {
				t.Errorf("%s: the backend got Close %q, want %q", tt.name, got, tt.backend)
			}
		})
	}
}

// closeCodeIn is the code, in hex, of the Close frame at the end of what k got; ""
// if there is none.
func closeCodeIn(k *talk) (code string) {
	for b, _ := k.take(); len(b) > 0; {
		h, n, err := ParseHeader(b)
		if err != nil || n == 0 || int64(len(b)-n) < h.PayloadLen {
			return ""
		}
		p := b[n:][:h.PayloadLen]
		if h.Masked {
			mask(p, h.MaskingKey, 0)
		}
		if h.Opcode == OpClose {
			code = hex.EncodeToString(p[:2])
		}
		b = b[n+len(p):]
	}
	return code
}

// TestRelayVerdict: a client that broke a rule first gets the answers to what it sent
// before.
func TestRelayVerdict(t *testing.T) {
	relayTalk(t, RelayConfig{}, func(t *testing.T, r *relayed) {
		r.client.sendBytes(append(maskedWire("89 01 70 81 01 61"), 0xff, 0x80, 0, 0, 0, 0))
		if got, _ := r.backend.take(); len(got) < 14 || got[14] != 0x88 {
			t.Errorf("the backend got %x, want ping, text and Close", got)
		}
		r.client.wantIdle()
		r.backend.send("8a 01 70 81 01 61")
		r.client.want("8a 01 70 81 01 61")
		r.backend.send("88 02 03e9")
		if got := closeCodeIn(r.client); got != "03ea" {
			t.Errorf("the client got Close %q, want 1002", got)
		}
		if end := r.ended(t); end.ByBackend || !errors.Is(end.Err, ErrReservedBits) {
			t.Errorf("it ended with %+v", end)
		}
	})
}

// TestRelayAfterClose: what follows a Close frame is not passed on (§5.5.1).
func TestRelayAfterClose(t *testing.T) {
	relayTalk(t, RelayConfig{}, func(t *testing.T, r *relayed) {
		r.backend.send("88 00 81 01 61")
		r.client.want("88 00")
		r.backend.send("81 01 61 ff ff ff")
		r.client.wantIdle()
		r.client.sendBytes(maskedWire("88 00"))
		r.backend.wantMasked("88 00")
	})
}

func TestRelayStop(t *testing.T) {
	relayTalk(t, RelayConfig{}, func(t *testing.T, r *relayed) {
		r.client.send("82 82 00000000 61") // half a frame
		r.backend.wantMasked("82 02 61")
		r.relay.Close(StatusGoingAway, "")
		r.client.want("88 02 03e9")
		r.backend.wantIdle() // inside a frame nothing can be said
		r.client.send("62")
		got, _ := r.backend.take()
		if len(got) != 9 { // the rest and the Close frame
			t.Errorf("the backend got %x, want the rest of the frame and Close 1001", got)
		}
		r.client.sendBytes(maskedWire("88 02 03e9"))
		r.backend.send("88 02 03e9")
		r.client.wantIdle()
		r.backend.peer.Close()
		r.client.peer.Close()
		if end := r.ended(t); !errors.Is(end.Err, ErrServerClosed) {
			t.Errorf("it ended with %+v", end)
		}
	})
}

// TestRelayCloseUnanswered: nobody is waited for for ever.
func TestRelayCloseUnanswered(t *testing.T) {
	relayTalk(t, RelayConfig{CloseTimeout: 3 * time.Second}, func(t *testing.T, r *relayed) {
		r.client.sendBytes(maskedWire("88 02 03e8"))
		time.Sleep(3*time.Second - 1)
		r.backend.wantMasked("88 02 03e8")
		if got, end := r.client.take(); len(got) > 0 || end != nil {
			t.Errorf("after 3 s less a little: %x, %v", got, end)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		select {
		case end := <-r.end:
			if ce, ok := end.Err.(*CloseError); !ok || ce.Code != 1000 {
				t.Errorf("it ended with %+v", end)
			}
		default:
			t.Error("after 3 s it goes on")
		}
	})
}

// TestRelayIdle: messages count, pings do not.
func TestRelayIdle(t *testing.T) {
	relayTalk(t, RelayConfig{IdleTimeout: time.Minute}, func(t *testing.T, r *relayed) {
		time.Sleep(50 * time.Second)
		r.backend.send("81 01 61")
		r.client.want("81 01 61")
		time.Sleep(69 * time.Second)
		r.backend.send("89 00")
		r.client.want("89 00")
		time.Sleep(2 * time.Second)
		if got := closeCodeIn(r.client); got != "03e9" {
			t.Errorf("the client got Close %q, want 1001", got)
		}
		if got := closeCodeIn(r.backend); got != "03e9" {
			t.Errorf("the backend got Close %q, want 1001", got)
		}
		if end := r.ended(t); !errors.Is(end.Err, ErrIdleTimeout) {
			t.Errorf("it ended with %+v", end)
		}
	})
}

// TestRelayStall: who does not read for 30 s is cut off, and the other told.
func TestRelayStall(t *testing.T) {
	relayTalk(t, RelayConfig{}, func(t *testing.T, r *relayed) {
		synctest.Wait()
		hold := make(chan struct{})
		r.client.hold = hold
		r.backend.send("81 01 61") // the reader of the client is still in its read
		r.client.want("81 01 61")
		sent := make(chan error, 1)
		go func() { // more than is held for the client
			_, err := r.backend.peer.Write(bytes.Repeat(unhex("82 7e 1000"+strings.Repeat("00", 4096)), 64))
			sent <- err
		}()
		time.Sleep(29 * time.Second)
		if len(sent) > 0 {
			t.Error("256 KiB are taken of the backend though the client reads nothing")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := closeCodeIn(r.backend); got != "03e9" {
			t.Errorf("after 31 s the backend got Close %q, want 1001", got)
		}
		close(hold)
		if end := r.ended(t); end.ByBackend || !isTimeout(end.Err) {
			t.Errorf("it ended with %+v, want a time-out of the client", end)
		}
	})
}

// TestRelayTells has what -v shows.
func TestRelayTells(t *testing.T) {
	type told struct {
		fromBackend bool
		op          Opcode
		size        int64
		payload     string
	}
	var mu sync.Mutex
	var got []told
	cfg := RelayConfig{OnMessage: func(fromBackend bool, op Opcode, size int64, payload []byte) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, told{fromBackend, op, size, string(payload)})
	}}
	relayTalk(t, cfg, func(t *testing.T, r *relayed) {
		r.client.sendBytes(maskedWire("01 02 6161 89 01 70 00 01 61 80 03 616161"))
		synctest.Wait()
		r.backend.send("8a 01 70 82 02 0000")
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		want := []told{{false, OpPing, 1, "p"}, {false, OpText, 6, ""}, {true, OpPong, 1, "p"}, {true, OpBinary, 2, ""}}
		if len(got) != len(want) {
			t.Fatalf("told of %v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("told of %v, want %v", got[i], want[i])
			}
		}
	})
}

// TestRelayBuffered: frames that came with the handshakes are not lost.
func TestRelayBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, c := newTalk(t)
		backend, b := newTalk(t)
		r := NewRelay(c, b, maskedWire("81 01 61 82 01 62")[:9], unhex("81 01"), RelayConfig{})
		end := make(chan RelayEnd, 1)
		go func() { end <- r.Run() }()
		client.sendBytes(maskedWire("81 01 61 82 01 62")[9:])
		backend.send("63")
		backend.wantMasked("81 01 61 82 01 62")
		client.want("81 01 63")
		client.peer.Close()
		backend.peer.Close()
		<-end
	})
}

// tcpPair returns both ends of a connection over loopback.
func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); other.Close() })
	return nc.(*net.TCPConn), other.(*net.TCPConn)
}

// relayTCP relays between two sockets and returns the far ends.
func relayTCP(t testing.TB, cfg RelayConfig) (client, backend *net.TCPConn, end <-chan RelayEnd) {
	client, c := tcpPair(t)
	backend, b := tcpPair(t)
	ends := make(chan RelayEnd, 1)
	go func() { ends <- NewRelay(c, b, nil, nil, cfg).Run() }()
	for _, nc := range []net.Conn{client, backend} {
		nc.SetDeadline(time.Now().Add(time.Minute))
	}
	return client, backend, ends
}

// TestRelaySockets sends random messages both ways at once, over sockets, where
// short reads are trusted.
func TestRelaySockets(t *testing.T) {
	t.Parallel() // it waits
	client, backend, ends := relayTCP(t, RelayConfig{})
	var all sync.WaitGroup
	stream := func(from net.Conn, to net.Conn, role Role, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var wire, plain []byte
		for range 300 {
			p := make([]byte, rng.IntN(1<<(2+rng.IntN(16))))
			for i := range p {
				p[i] = byte(rng.Uint32())
			}
			wire = append(wire, frame(role, 0x82, string(p))...)
			plain = AppendHeader(plain, Header{Fin: true, Opcode: OpBinary, PayloadLen: int64(len(p))})
			plain = append(plain, p...)
		}
		all.Go(func() {
			for rest := wire; len(rest) > 0; {
				n, err := from.Write(rest[:min(len(rest), 1+rng.IntN(1<<16))])
				if err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
		})
		all.Go(func() {
			got := make([]byte, len(wire))
			if _, err := io.ReadFull(to, got); err != nil {
				t.Error(err)
				return
			}
			if role == RoleServer {
				got, _ = unmasked(got)
			}
			if !bytes.Equal(got, plain) {
				t.Errorf("what came is not what was sent")
			}
		})
	}
	stream(client, backend, RoleServer, 1)
	stream(backend, client, RoleClient, 2)
	all.Wait()
	client.Close()
	if end := <-ends; end.ByBackend || end.Messages != 600 {
		t.Errorf("it ended with %+v", end)
	}
}

// TestRelayUnnoticedEnd: the end of a stream that comes with the last bytes is
// noticed though the read that brought them was trusted.
func TestRelayUnnoticedEnd(t *testing.T) {
	t.Parallel() // it waits
	for range 20 {
		client, backend, ends := relayTCP(t, RelayConfig{})
		client.Write(maskedWire("81 01 61"))
		client.CloseWrite()
		b := make([]byte, 100)
		if _, err := io.ReadFull(backend, b[:7]); err != nil {
			t.Fatal(err)
		}
		if n, err := backend.Read(b); err != nil || b[0] != 0x88 {
			t.Fatalf("after the client's end: %x, %v; want a Close frame", b[:n], err)
		}
		backend.Close()
		if end := <-ends; end.ByBackend || end.Err != io.EOF {
			t.Errorf("it ended with %+v", end)
		}
	}
}

// BenchmarkRelay passes four messages of 1 KiB there and back, over sockets.
func BenchmarkRelay(b *testing.B) {
	client, backend, _ := relayTCP(b, RelayConfig{})
	wire := bytes.Repeat(frame(RoleServer, 0x82, strings.Repeat("a", 1024)), 4)
	plain := bytes.Repeat(frame(RoleClient, 0x82, strings.Repeat("a", 1024)), 4)
	room := make([]byte, len(wire))
	b.ReportAllocs()
	for b.Loop() {
		client.Write(wire)
		io.ReadFull(backend, room)
		backend.Write(plain)
		io.ReadFull(client, room[:len(plain)])
	}
}

// FuzzRelay: however the bytes are cut, the same goes through, and what goes to the
// backend is frames.
func FuzzRelay(f *testing.F) {
	for _, wire := range relayWires[:len(relayWires)-1] {
		f.Add(maskedWire(wire), uint8(3))
		f.Add(unhex(wire), uint8(1))
	}
	f.Add(maskedWire(strings.Join(relayWires[:10], "")), uint8(7))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		whole, wholeErr := relayFrames(b, len(b)+1)
		cut, cutErr := relayFrames(b, int(step)+1)
		if !bytes.Equal(whole, cut) || (wholeErr == nil) != (cutErr == nil) {
			t.Errorf("%x whole gives %x, %v; in steps of %d %x, %v", b, whole, wholeErr, int(step)+1, cut, cutErr)
		}
	})
}

// relayFrames is what the rules of a relay let through of a client's bytes, without
// the masking.
func relayFrames(b []byte, step int) (out []byte, err error) {
	c, other := net.Pipe()
	defer c.Close()
	defer other.Close()
	s := &NewRelay(c, other, nil, nil, RelayConfig{}).client
	var through, held []byte
	for len(b) > 0 && err == nil && !s.deaf {
		n := min(step, len(b))
		p := append(held, b[:n]...)
		b = b[n:]
		if n, err = s.frames(p); err == nil && !s.deaf && len(p)-n > len(s.held) {
			return nil, errors.New("more is held than there is room for")
		}
		through = append(through, p[:n]...)
		held = append([]byte(nil), p[n:]...)
	}
	out, uerr := unmasked(through)
	if uerr != nil {
		return out, uerr
	}
	return out, err
}
