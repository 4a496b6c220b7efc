package event

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// capture has talk happen on two ends of a connection of network, one of which is
// recorded, and returns the file.
func capture(t *testing.T, network, address string, accepted bool, secret bool, client, server func(c net.Conn)) string {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Skip(err)
	}
	defer ln.Close()
	name := filepath.Join(t.TempDir(), "r.pcapng")
	r, err := NewRecorder(name, RecordOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dressed := func(c net.Conn, ours, server bool) net.Conn {
		if ours {
			c = r.Conn(c, server)
		}
		if !secret {
			return c
		}
		config := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{certificate(t)}}
		if ours {
			config.KeyLogWriter = r.KeyLog()
		}
		if server {
			return tls.Server(c, config)
		}
		return tls.Client(c, config)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		if c, err := ln.Accept(); err == nil {
			c = dressed(c, accepted, true)
			server(c)
			c.Close()
		}
	}()
	c, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c = dressed(c, !accepted, false)
	client(c)
	c.Close()
	<-done
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return name
}

func certificate(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// says writes each of lines that begins with >, and reads what the others are.
func says(c net.Conn, lines ...string) {
	for _, line := range lines {
		if text, ours := strings.CutPrefix(line, ">"); ours {
			io.WriteString(c, text)
		} else {
			io.ReadFull(c, make([]byte, len(line)))
		}
	}
}

const (
	upgrade = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	accept  = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	hello   = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58" // RFC 6455 5.7
	answer  = "\x81\x05Hello"
	bye     = "\x88\x82\x00\x00\x00\x00\x03\xe8"
	byeToo  = "\x88\x02\x03\xe8"
)

func talkClient(c net.Conn) { says(c, ">"+upgrade, accept, ">"+hello, answer, ">"+bye, byeToo) }
func talkServer(c net.Conn) { says(c, upgrade, ">"+accept, hello, ">"+answer, bye, ">"+byeToo) }

// captured is what the packets of a file carry: the bytes from each address. It
// checks lengths, sequence numbers and checksums.
func captured(t *testing.T, name string) (streams map[string]string, secrets string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	le, be := binary.LittleEndian, binary.BigEndian
	streams = make(map[string]string)
	next := make(map[string]uint32)
	for n := 0; len(b) > 0; b = b[n:] {
		n = int(le.Uint32(b[4:]))
		if n%4 != 0 || le.Uint32(b[n-4:]) != uint32(n) {
			t.Fatalf("a block of %d bytes ends in %d", n, le.Uint32(b[n-4:]))
		}
		switch le.Uint32(b) {
		case 10:
			secrets += string(b[16 : 16+le.Uint32(b[12:])])
		case 6:
			p := b[28 : 28+le.Uint32(b[20:])]
			at, proto, addr := 20, p[9], p[12:20]
			if p[0]>>4 == 6 {
				at, proto, addr = 40, p[6], p[8:40]
			} else if checksum(0, p[:20]) != 0 || int(be.Uint16(p[2:])) != len(p) {
				t.Fatalf("IP header % x", p[:20])
			}
			if checksum(sumOf(uint32(proto)+uint32(len(p)-at), addr), p[at:]) != 0 {
				t.Fatalf("checksum of % x", p)
			}
			from := string(addr[:len(addr)/2]) + string(p[at:at+2])
			if proto == protoUDP {
				streams[from] += string(p[at+8:])
				continue
			}
			if be.Uint32(p[at+4:]) != next[from] {
				t.Fatalf("sequence number %d, want %d", be.Uint32(p[at+4:]), next[from])
			}
			next[from] += uint32(len(p) - at - 20)
			if p[at+13]&(syn|fin) != 0 {
				next[from]++
			}
			streams[from] += string(p[at+20:])
		}
	}
	return streams, secrets
}

// both fails t unless the file carries exactly these two streams.
func both(t *testing.T, name, one, other string) {
	t.Helper()
	streams, _ := captured(t, name)
	found := 0
	for _, s := range streams {
		if s == one || s == other {
			found++
		}
	}
	if found != 2 || len(streams) != 2 {
		t.Errorf("streams %.300q, want %.100q and %.100q", streams, one, other)
	}
}

// tshark has it read the file, and returns the fields of each packet that has one of
// them. What it finds worth a warning fails t.
func tshark(t *testing.T, name string, fields ...string) (rows []string) {
	t.Helper()
	program, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark here")
	}
	args := []string{"-n", "-r", name, "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
		"-T", "fields", "-E", "separator=|", "-e", "_ws.expert.severity", "-e", "_ws.expert.message"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const warning = 0x600000
	for row := range strings.Lines(string(out)) {
		severities, rest, _ := strings.Cut(strings.TrimSuffix(row, "\n"), "|")
		message, rest, _ := strings.Cut(rest, "|")
		for s := range strings.SplitSeq(severities, ",") {
			if n, err := strconv.Atoi(s); s != "" && err != nil || n >= warning {
				t.Errorf("tshark warns (%s): %s", severities, message)
			}
		}
		if strings.Trim(rest, "|") != "" {
			rows = append(rows, rest)
		}
	}
	return rows
}

func TestCaptureWebSocket(t *testing.T) {
	for _, tt := range []struct {
		network, address string
		accepted         bool
	}{{"tcp4", "127.0.0.1:0", true}, {"tcp4", "127.0.0.1:0", false}, {"tcp6", "[::1]:0", true}, {"unix", filepath.Join(t.TempDir(), "s"), true}} {
		t.Run(tt.network, func(t *testing.T) {
			t.Parallel()
			name := capture(t, tt.network, tt.address, tt.accepted, false, talkClient, talkServer)
			both(t, name, upgrade+hello+bye, accept+answer+byeToo)
			rows := tshark(t, name, "http.request.uri", "http.response.code", "websocket.payload.text", "websocket.payload.close.status_code")
			if got, want := strings.Join(rows, " "), "/chat||| |101|| ||Hello| ||Hello| |||1000 |||1000"; got != want {
				t.Errorf("tshark sees %s, want %s", got, want)
			}
		})
	}
}

func TestCaptureTLS(t *testing.T) {
	t.Parallel()
	const request, response = "GET /secret HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nword"
	for _, accepted := range []bool{true, false} {
		name := capture(t, "tcp4", "127.0.0.1:0", accepted, true,
			func(c net.Conn) { says(c, ">"+request, response) }, func(c net.Conn) { says(c, request, ">"+response) })
		if _, secrets := captured(t, name); !strings.Contains(secrets, "CLIENT_TRAFFIC_SECRET_0 ") {
			t.Errorf("secrets %q", secrets)
		}
		rows := tshark(t, name, "http.request.uri", "http.response.code", "http.content_length")
		if got, want := strings.Join(rows, " "), "/secret|| |200|4"; got != want {
			t.Errorf("accepted %v: tshark sees %s, want %s", accepted, got, want)
		}
	}
}

// TestCaptureLong sends a megabyte one way, so that windows could fill, then ends
// its side, and gets one back.
func TestCaptureLong(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 1<<20), strings.Repeat("b", 1<<20+1)
	name := capture(t, "tcp4", "127.0.0.1:0", false, false,
		func(c net.Conn) {
			io.WriteString(c, a)
			c.(interface{ CloseWrite() error }).CloseWrite()
			io.Copy(io.Discard, c)
		},
		func(c net.Conn) { io.Copy(io.Discard, c); io.WriteString(c, b) })
	both(t, name, a, b)
	tshark(t, name)
}

// TestCaptureHalf: a FIN stands where a side ended, in TLS its close_notify.
func TestCaptureHalf(t *testing.T) {
	t.Parallel()
	ask := func(c net.Conn) {
		io.WriteString(c, "question")
		c.(interface{ CloseWrite() error }).CloseWrite()
		io.Copy(io.Discard, c)
	}
	reply := func(c net.Conn) { io.Copy(io.Discard, c); io.WriteString(c, "answer") }
	for _, secret := range []bool{false, true} {
		for _, accepted := range []bool{true, false} {
			name := capture(t, "tcp4", "127.0.0.1:0", accepted, secret, ask, reply)
			end := map[bool]string{false: "1|", true: "0|0"}[secret]
			var order []string
			for _, row := range tshark(t, name, "data.data", "tcp.flags.fin", "tls.alert_message.desc") {
				data, what, _ := strings.Cut(row, "|")
				if words, _ := hex.DecodeString(data); len(words) > 0 {
					order = append(order, string(words))
				}
				if what == end {
					order = append(order, "end")
				}
			}
			if got := strings.Join(order, " "); got != "question end answer end" {
				t.Errorf("TLS %v, accepted %v: %s", secret, accepted, got)
			}
		}
	}
}

func TestCaptureDatagrams(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r.pcapng")
	r, err := NewRecorder(name, RecordOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := &net.UDPAddr{IP: net.IPv6unspecified, Port: 1234}
	for _, host := range []string{"127.0.0.1", "::1"} {
		peer := &net.UDPAddr{IP: net.ParseIP(host), Port: 40000}
		r.Datagram(peer, all, true, []byte("question"))
		r.Datagram(peer, all, false, bytes.Repeat([]byte("x"), 1001))
	}
	r.Datagram(nil, nil, true, nil)
	r.Datagram(nil, nil, true, []byte{0xe9, 0x9b}) // whose checksum is 0
	r.Close()
	streams, _ := captured(t, name)
	if n := len(streams); n != 6 {
		t.Errorf("%d sources of datagrams", n)
	}
	if got, want := strings.Join(tshark(t, name, "udp.length"), " "), "16 1009 16 1009 8 10"; got != want {
		t.Errorf("tshark sees %s, want %s", got, want)
	}
}

func TestCaptureReset(t *testing.T) {
	name := capture(t, "tcp4", "127.0.0.1:0", false, false,
		func(c net.Conn) { io.WriteString(c, "x"); io.ReadAll(c) },
		func(c net.Conn) { io.ReadFull(c, make([]byte, 1)); c.(*net.TCPConn).SetLinger(0) })
	b, err := os.ReadFile(name)
	if err != nil || !bytes.Contains(b, []byte{5 << 4, rst | ack, 0xff, 0xff}) {
		t.Errorf("no RST in % x, %v", b, err)
	}
}
