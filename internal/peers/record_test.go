package peers

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/connect"
	"socketsrv/internal/mode/dump"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/mode/play"
	"socketsrv/internal/mode/proxy"
	"socketsrv/internal/tlsconf"
)

// TestRecord: a recording has every event of both directions, with and without -json,
// and each line can be read again.
func TestRecord(t *testing.T) {
	dir := t.TempDir()
	server := kit.Background(t, echo.Mode, "-port", "0", "-q", "-record", filepath.Join(dir, "server"))
	url := "ws://" + kit.Background(t, echo.Mode, "-port", "0").Addr("ws")
	if code := kit.Background(t, connect.Mode, url, "-m", "hi", "-count", "1", "-record", filepath.Join(dir, "client")).Wait(); code != 0 {
		t.Fatalf("connect: exit %d", code)
	}
	if code := kit.Background(t, connect.Mode, "ws://127.0.0.1:1/", "-m", "hi", "-record", filepath.Join(dir, "refused")).Wait(); code != 7 {
		t.Fatalf("connect to nobody: exit %d", code)
	}
	server.Stop()
	for name, want := range map[string]string{
		"server":  "summary",
		"client":  "open, message out hi, message in hi, close",
		"refused": "error",
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range bytes.Lines(b) {
			e, err := event.Parse(line)
			if err != nil {
				t.Fatalf("%s: %q: %v", name, line, err)
			}
			if e.Event == event.Message {
				e.Event += " " + e.Dir + " " + string(e.Payload)
			}
			if e.Event != event.Ping && e.Event != event.Pong && e.Event != event.Listening {
				got = append(got, e.Event)
			}
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%s: %s; want %s", name, text, want)
		}
	}
}

// TestRecordQuietly: -q leaves nothing out of a recording, and that prints nothing.
func TestRecordQuietly(t *testing.T) {
	dir := t.TempDir()
	server := kit.Background(t, dump.Mode, "-host", "unix:"+filepath.Join(dir, "s"), "-reply", "{}!", "-q", "-record", filepath.Join(dir, "r"))
	if code := kit.Background(t, connect.Mode, "unix:"+filepath.Join(dir, "s"), "-wait", "10s", "-m", "hi", "-count", "1").Wait(); code != 0 {
		t.Fatalf("connect: exit %d", code)
	}
	server.Stop()
	b, err := os.ReadFile(filepath.Join(dir, "r"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"event":"open"`, `"dir":"in","size":3,"text":"hi\n"`, `"dir":"out","size":4,"text":"hi\n!"`, `"event":"close"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
	if out := server.Stdout.String(); out != "" {
		t.Errorf("-q prints %q", out)
	}
}

// TestCapture: Wireshark reads a capture, decrypts it, and finds nothing to complain of.
func TestCapture(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark: ", err)
	}
	if !tlsconf.Available {
		t.Skip("this build leaves TLS out; what is decrypted is what is tried")
	}
	capture := filepath.Join(t.TempDir(), "c.pcapng")
	server := kit.Background(t, echo.Mode, "-port", "0", "-tls", "-record", capture)
	url := "wss://" + server.Addr("wss") + "/path"
	if code := kit.Background(t, connect.Mode, url, "-k", "-x", "-m", "hello", "-count", "1").Wait(); code != 0 {
		t.Fatalf("connect: exit %d", code)
	}
	server.Stop()
	out, err := exec.Command(tshark, "-r", capture, "-Y", "websocket || http || _ws.expert.severity >= 6291456", "-d", "tcp.port==1-65535,tls").CombinedOutput()
	for _, want := range []string{"GET /path HTTP/1.1", "101 Switching Protocols", "WebSocket Text"} {
		if !strings.Contains(string(out), want) || err != nil {
			t.Errorf("tshark does not show %q: %v\n%s", want, err, out)
		}
	}
}

// TestCaptureEnds: one side's end and a reset are what they are where a capture is below
// them, also through a proxy, and stand in it.
func TestCaptureEnds(t *testing.T) {
	for i, tt := range []struct{ server, client, flag, seen string }{
		{"< a\n< end\n> b\n", "> a\nend\n< b\n< end\n", "tcp.flags.fin", "1 1"},
		{"< a\nreset\n", "> a\n< reset\n", "tcp.flags.reset", "1"},
	} {
		s := &stage{t: t, dir: t.TempDir()}
		capture := func(who string) string { return filepath.Join(s.dir, who+".pcapng") }
		server := kit.Background(t, play.Mode, s.write(tt.server), "-once", "-listen", "tcp://127.0.0.1:0", "-record", capture("server"))
		between := kit.Background(t, proxy.Mode, "-listen", "tcp://127.0.0.1:0", "-remote_host", "tcp://"+server.Addr("tcp"), "-record", capture("proxy"))
		client := kit.Background(t, play.Mode, s.write(tt.client), "tcp://"+between.Addr("tcp"), "-record", capture("client"))
		if code := client.Wait() + server.Wait(); code != 0 {
			t.Fatalf("%d: %s%s%s%s", i, client.Stdout, client.Stderr, server.Stdout, server.Stderr)
		}
		between.Stop()
		tshark, err := exec.LookPath("tshark")
		if err != nil {
			continue
		}
		for who, want := range map[string]string{"server": tt.seen, "client": tt.seen, "proxy": tt.seen + " " + tt.seen} {
			out, err := exec.Command(tshark, "-r", capture(who), "-Y", tt.flag+" == 1", "-T", "fields", "-e", tt.flag).Output()
			if got := strings.Join(strings.Fields(string(out)), " "); got != want || err != nil {
				t.Errorf("%s of the %s: %q, %v; want %q", tt.flag, who, got, err, want)
			}
		}
	}
}

// TestCaptureMulticast: what was sent to a group that the dumper joined has the group as
// its destination.
func TestCaptureMulticast(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark: ", err)
	}
	name := filepath.Join(t.TempDir(), "r.pcapng")
	server := kit.Background(t, dump.Mode, "-udp-addr", "239.9.9.8", "-udp-if", "lo", "-udp-port", "0", "-tcp-port", "off", "-ws-port", "off", "-record", name)
	_, port, _ := net.SplitHostPort(server.Addr("udp"))
	group, err := net.ResolveUDPAddr("udp4", "239.9.9.8:"+port)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, group)
	if err == nil {
		defer nc.Close()
		_, err = nc.Write([]byte("hello"))
	}
	if err != nil {
		t.Skip("no multicast over lo here: ", err)
	}
	server.Stdout.WaitFor(t, "hello")
	server.Stop()
	out, err := exec.Command(tshark, "-r", name, "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-T", "fields", "-E", "separator=,", "-e", "ip.src",
		"-e", "ip.dst", "-e", "udp.dstport", "-e", "udp.payload", "-e", "udp.checksum.status", "-e", "ip.checksum.status", "-e", "_ws.expert.message").Output()
	if want := "127.0.0.1,239.9.9.8," + port + ",68656c6c6f,1,1,\n"; string(out) != want || err != nil {
		t.Errorf("the capture has %q, %v; want %q", out, err, want)
	}
}

// TestCaptureUDP: the datagrams of a server and of a client are datagrams in a capture,
// from and to the addresses they had.
func TestCaptureUDP(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark: ", err)
	}
	dir := t.TempDir()
	server := kit.Background(t, echo.Mode, "-host", "0.0.0.0", "-udp-port", "0", "-ws-port", "off", "-record", filepath.Join(dir, "server.pcapng"))
	_, port, _ := net.SplitHostPort(server.Addr("udp"))
	client := kit.Background(t, connect.Mode, "udp://127.0.0.1:"+port, "-m", "hello", "-count", "1", "-record", filepath.Join(dir, "client.pcapng"))
	if code := client.Wait(); code != 0 {
		t.Fatalf("connect: exit %d, %s", code, client.Stderr)
	}
	server.Stop()
	want := regexp.MustCompile(`^(\d+),` + port + `,68656c6c6f\n` + port + `,(\d+),68656c6c6f\n$`)
	for _, name := range []string{"server", "client"} {
		out, err := exec.Command(tshark, "-r", filepath.Join(dir, name+".pcapng"), "-Y", "ip.addr == 127.0.0.1", "-T", "fields", "-E", "separator=,",
			"-e", "udp.srcport", "-e", "udp.dstport", "-e", "udp.payload").Output()
		if ports := want.FindSubmatch(out); ports == nil || string(ports[1]) != string(ports[2]) || err != nil {
			t.Errorf("the capture of the %s has %q, %v", name, out, err)
		}
	}
}

// TestFullDisk: a recording that was lost is told once and is no success; that status
// lines are lost is told.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	const noSpace = "socketsrv: write /dev/full: no space left on device\n"
	server := kit.Background(t, echo.Mode, "-port", "0")
	url := "ws://" + server.Addr("ws")
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"-record", "/dev/full", "-q"}, cli.ExitWrite},
		{[]string{"-log", "/dev/full"}, 0},
	} {
		p := kit.Background(t, connect.Mode, append(tt.args, url, "-m", "hi", "-count", "1")...)
		if code := p.Wait(); code != tt.code || p.Stderr.String() != noSpace {
			t.Errorf("connect %q: exit %d, %q; want %d, %q", tt.args, code, p.Stderr.String(), tt.code, noSpace)
		}
	}
	lost := kit.Background(t, echo.Mode, "-port", "0", "-json", "-record", "/dev/full")
	lost.Addr("ws")
	if code := lost.Stop(); code != cli.ExitWrite || !strings.Contains(lost.Stdout.String(), `"event":"error","error":"write /dev/full`) {
		t.Errorf("echo -json: exit %d, %s; want %d and an event", code, lost.Stdout, cli.ExitWrite)
	}
}
