package peers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/kit"
	"socketsrv/internal/mode/connect"
	"socketsrv/internal/mode/play"
	"socketsrv/internal/mode/proxy"
)

// talks are what the files of doc/talks are tried on.
var talks = map[string]func(t *testing.T, file string){
	"smtp.talk":      talkSMTP,
	"redis.talk":     talkRedis,
	"memcached.talk": talkMemcached,
	"mllp.talk":      talkMLLP,
	"modbus.talk":    talkModbus,
	"ntp.talk":       talkNTP,
	"engineio.talk":  talkEngineIO,
	"mqtt.talk":      talkMQTT,
	"scpi.talk":      talkSCPI,
	"drip.talk":      talkDrip,
	"rules.talk":     talkRules,
	"late.talk":      talkLate,
}

// TestTalks plays each file of doc/talks with the software it is for.
func TestTalks(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../doc/talks/*")
	if err != nil || len(files) != len(talks) {
		t.Fatalf("%d files in doc/talks, %d tests, %v", len(files), len(talks), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { talks[filepath.Base(file)](t, file) })
	}
}

// mock plays a talk as a server and returns its address.
func mock(t *testing.T, file, scheme string, flags ...string) (r *kit.Run, host, port string) {
	t.Helper()
	r = kit.Background(t, play.Mode, append([]string{file, "-listen", scheme + "://:0"}, flags...)...)
	host, port, _ = net.SplitHostPort(r.Addr(scheme))
	return r, host, port
}

// met wants a talk to have been played to its end.
func met(t *testing.T, r *kit.Run, code int) {
	t.Helper()
	if code != 0 {
		t.Errorf("exit %d\n%s%s", code, r.Stdout, r.Stderr)
	}
}

// tool runs a program to its end, or skips the test where it is missing.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(err)
	}
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// against plays a talk as a client and wants it to be met.
func against(t *testing.T, file, url string, flags ...string) {
	t.Helper()
	r := kit.Background(t, play.Mode, append([]string{file, url}, flags...)...)
	met(t, r, r.Wait())
}

func talkSMTP(t *testing.T, file string) {
	r, host, port := mock(t, file, "tcp", "-once")
	letter := filepath.Join(t.TempDir(), "letter")
	if err := os.WriteFile(letter, []byte("Subject: hello\r\n\r\nHow are you?\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "curl", "-sS", "smtp://"+net.JoinHostPort(host, port), "--mail-from", "me@example.org", "--mail-rcpt", "you@example.org", "-T", letter)
	met(t, r, r.Wait())
}

func talkRedis(t *testing.T, file string) {
	port := freePort(t)
	foreign(t, port, "redis-server", "bind 127.0.0.1\nport "+port+"\nsave \"\"\n")
	against(t, file, "tcp://127.0.0.1:"+port)
}

func talkMemcached(t *testing.T, file string) {
	port := freePort(t)
	foreign(t, port, "memcached", "", "-l", "127.0.0.1", "-p", port, "-U", "0", "-u", "nobody")
	against(t, file, "tcp://127.0.0.1:"+port)
}

func talkMLLP(t *testing.T, file string) {
	r, host, port := mock(t, file, "tcp", "-framing", "mllp")
	got := kit.RunPeer(t, "python3", `
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for n in (b'1', b'22'):
    s.sendall(b'\x0bMSH|^~\\&|LAB|HOSP|EHR|CITY|20261129||ORU^R01|' + n + b'|P|2.5\rPID|1\r\x1c\r')
    got = b''
    while not got.endswith(b'\x1c\r'): got += s.recv(100)
    print(got)
`, host, port)
	if want := `b'\x0bMSH|^~\\&|EHR|CITY|LAB|HOSP|20261129||ACK|1|P|2.5\rMSA|AA|1\r\x1c\r'` + "\n"; !strings.HasPrefix(got, want) || got != want+strings.ReplaceAll(want, "|1", "|22") {
		t.Errorf("the sender got %s, want %s twice", got, want)
	}
	met(t, r, r.Stop())
}

func talkModbus(t *testing.T, file string) {
	r, host, port := mock(t, file, "tcp")
	got := tool(t, "mbpoll", "-m", "tcp", "-p", port, "-r", "1", "-c", "1", "-1", host)
	got += tool(t, "mbpoll", "-m", "tcp", "-p", port, "-r", "7", host, "--", "13")
	if !strings.Contains(got, "[1]: \t42") || !strings.Contains(got, "Written 1 references") {
		t.Errorf("mbpoll says %s", got)
	}
	met(t, r, r.Stop())
}

func talkNTP(t *testing.T, file string) {
	if os.Getuid() != 0 {
		t.Skip("chronyd wants to be root")
	}
	port, dir := freePort(t), t.TempDir()
	conf := fmt.Sprintf("port %s\nbindaddress 127.0.0.1\nallow 127.0.0.1\nlocal stratum 10\ncmdport 0\nbindcmdaddress /\npidfile %s/pid\n", port, dir)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("chronyd")
	if err != nil {
		t.Skip(err)
	}
	kit.StartCommand(t, exec.Command(path, "-d", "-x", "-f", filepath.Join(dir, "conf"), "-u", "root"))
	for tries := 0; ; tries++ { // nothing tells when it listens
		r := kit.Background(t, play.Mode, file, "udp://127.0.0.1:"+port)
		if code := r.Wait(); code == 0 || tries == 20 {
			met(t, r, code)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func talkEngineIO(t *testing.T, file string) {
	module := filepath.Join(filepath.Dir(os.Getenv("SOCKETSRV_NODE_WS")), "socket.io")
	if _, err := os.Stat(module); err != nil {
		t.Skip("no socket.io beside SOCKETSRV_NODE_WS")
	}
	s := kit.StartForeign(t, "node", `
const http = require('http').createServer();
const io = new (require(process.argv[2]).Server)(http, { pingInterval: 100, pingTimeout: 5000 });
io.on('connection', c => c.on('echo', (...args) => c.emit('echo', ...args)));
http.listen(0, '127.0.0.1', () => console.log(http.address().port));
`, module)
	against(t, file, "ws://127.0.0.1:"+s.Port+"/socket.io/?EIO=4&transport=websocket")
}

// talkMQTT has a proxy in front of mosquitto, whose own WebSockets need a library that does
// not start everywhere.
func talkMQTT(t *testing.T, file string) {
	port := freePort(t)
	foreign(t, port, "mosquitto", "listener "+port+" 127.0.0.1\nallow_anonymous true\nuser root\n", "-c")
	ws := kit.Background(t, proxy.Mode, "-remote-host", "tcp://127.0.0.1:"+port, "-port", "0").Addr("ws")
	against(t, file, "ws://"+ws+"/mqtt", "-subprotocol", "mqtt")
}

func talkSCPI(t *testing.T, file string) {
	r, host, port := mock(t, file, "line")
	for ask, want := range map[string]string{"*IDN?": "SOCKETSRV,MOCK METER,0001,1.0", "MEASURE:VOLT?": "+1.23450E+00", "VOLT?": `-113,"Undefined header"`} {
		if got := strings.TrimSpace(tool(t, "lxi", "scpi", "--address", host, "--port", port, "--raw", ask)); got != want {
			t.Errorf("%s: %q, want %q", ask, got, want)
		}
	}
	met(t, r, r.Stop())
}

func talkDrip(t *testing.T, file string) {
	r, host, port := mock(t, file, "tcp", "-once")
	if got := tool(t, "curl", "-sS", "-N", "http://"+net.JoinHostPort(host, port)+"/"); got != "drip, drip, $\n" {
		t.Errorf("curl got %q", got)
	}
	met(t, r, r.Wait())
}

func talkRules(t *testing.T, file string) {
	r, host, port := mock(t, file, "ws")
	rules := []string{"mask", "rsv", "opcode", "length", "long-control", "fragmented-control", "continuation", "interleaved", "utf8", "code"}
	for _, rule := range rules {
		c := kit.Background(t, connect.Mode, "ws://"+net.JoinHostPort(host, port), "-m", rule, "-count", "2")
		if code := c.Wait(); code != 11 {
			t.Errorf("%s: connect exits with %d: %s", rule, code, c.Stderr)
		}
	}
	if module := os.Getenv("SOCKETSRV_NODE_WS"); module != "" {
		got := kit.RunPeer(t, "node", `
const WebSocket = require(process.argv[2]);
for (const rule of process.argv.slice(4)) {
  const c = new WebSocket(process.argv[3]);
  c.on('open', () => c.send(rule));
  c.on('error', e => console.log(rule, e.code));
  c.on('message', () => { console.log(rule, 'taken'); c.terminate(); });
}
`, append([]string{module, "ws://" + net.JoinHostPort(host, port)}, rules...)...)
		if n := strings.Count(got, " WS_ERR_"); n != len(rules)-1 || !strings.Contains(got, "length taken") { // which it does not look at
			t.Errorf("node's ws found %s", got)
		}
	}
	met(t, r, r.Stop())
}

func talkLate(t *testing.T, file string) {
	r, host, port := mock(t, file, "line")
	url := "line://" + net.JoinHostPort(host, port)
	for args, want := range map[string]int{"-timeout 100ms": 28, "-expect ^volt.is.42$": 0} {
		c := kit.Background(t, connect.Mode, append([]string{url, "-m", "volt?", "-count", "1"}, strings.Fields(args)...)...)
		if code := c.Wait(); code != want {
			t.Errorf("%s: exit %d, want %d: %s", args, code, want, c.Stderr)
		}
	}
	met(t, r, r.Stop())
}
