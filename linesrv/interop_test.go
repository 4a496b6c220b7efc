package linesrv

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// The peers of these tests, in testdata, speak what the originals put on the wire.
//
// What the originals did wrong, and where it is seen that it is not done here:
//
//	socket-oneline
//	  a client that goes without a word, a reset, a failing callback end the service  TestClientsLeaving
//	  a second client fails, and is answered after it has gone                        TestSecondClientGivesUp, TestQueue
//	  the end of the stream is an empty answer, waited for in a busy loop             TestReceive
//	  answers lose their white space                                                  TestReceive
//	  UTF-8 is mangled, a bad byte makes a ping, lines have no limit                  TestConversations
//	  a system call for each byte                                                     TestGathering, BenchmarkPing
//	  anybody can end the server                                                      TestLocalShutdown
//	  a server that was ended starts again and does not work                          TestShutdownGraceful
//	gruv_socks
//	  the end in mid-message is a busy loop                                           TestStreams
//	  an empty message is not sent                                                    TestSendAndReceive
//	  a length in two segments is an error                                            TestStreams
//	  the last bytes are lost in short writes                                         TestSendAndReceive, TestGruvServer
//	  a time-out in mid-message loses the place                                       TestReceiveAfterTimeout
//	  a failed connect is "already connected"                                         TestDialRefused
//	  an error is a message of one byte, and is echoed as one                         TestStreams, TestSocketServer
//	  a length of 4 GB is believed                                                    TestLengthIsAClaim
//	  IPv4 only                                                                       TestSocketsOverTCP
//	  the self-test prints its text and returns nothing                               TestSelfTest

// python starts a script of testdata and returns its standard output and a function
// that waits for its end.
func python(t *testing.T, script string, args ...string) (out *bufio.Reader, wait func()) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3 for its peer: ", err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{"testdata/" + script}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("python3 does not start: ", err)
	}
	out = bufio.NewReader(pipe)
	return out, func() {
		t.Helper()
		rest, _ := io.ReadAll(out)
		if err := cmd.Wait(); err != nil || len(rest) > 0 {
			t.Errorf("%s %q: %v, %s%s", script, args, err, rest, stderr.String())
		}
	}
}

// address reads the port that a server prints.
func address(t *testing.T, out *bufio.Reader) string {
	t.Helper()
	port, err := out.ReadString('\n')
	if err != nil {
		t.Fatalf("the server says %q, %v", port, err)
	}
	return "127.0.0.1:" + strings.TrimSpace(port)
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

func TestOnelineServer(t *testing.T) {
	out, wait := python(t, "oneline.py", "server")
	addr := address(t, out)
	for _, last := range []string{"disconnect", "shutdown"} {
		c, err := Dial(t.Context(), addr, ClientOptions{Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct{ command, want string }{
			{"ping", "pong"},
			{"cmd01", "ack"},
			{"cmd02", "nak - unknown cmd"},
			{"ping\ncmd01", "pong|ack"},
			{"none\nmany", "1||3"},
			{"ab\xedcd", "invalid abcd"},
			{"", "nak - unknown cmd"},
		} {
			n := strings.Count(tt.want, "|") + 1
			got, err := c.Request(tt.command, n, patience)
			if err != nil || strings.Join(got, "|") != tt.want {
				t.Errorf("%q answered %q, %v; want %q", tt.command, got, err, tt.want)
			}
		}
		end := c.Disconnect
		if last == "shutdown" {
			end = c.Shutdown
		}
		if err := end(); err != nil {
			t.Errorf("%s: %v", last, err)
		}
	}
	wait()
}

func TestOnelineClient(t *testing.T) {
	ln := listen(t)
	server := &Server{OneAtATime: true, Handler: sample}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	defer server.Close()
	for _, last := range []string{"disconnect", "disconnect", "shutdown"} {
		out, wait := python(t, "oneline.py", "client", port(ln.Addr().String()),
			"cmd01:1", "cmd02:1", "ping\ncmd01:2", "none", "many:4", "echo héllo:1", last)
		for _, want := range []string{"ack", "nak - unknown cmd", "pong", "ack", "1", "2", "3", "4", "héllo"} {
			if got, err := out.ReadString('\n'); got != want+"\n" {
				t.Errorf("the client got %q, %v; want %q", got, err, want)
			}
		}
		wait()
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

var interopSizes = []int{0, 1, 5, 4096, 65536, 3_000_001}

func TestGruvServer(t *testing.T) {
	out, wait := python(t, "gruv.py", "server", fmt.Sprint(len(interopSizes)))
	addr := address(t, out)
	for _, size := range interopSizes {
		s, err := DialSocket(t.Context(), addr, SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("x"), size)
		if err := s.Send(want); err != nil {
			t.Errorf("Send of %d bytes: %v", size, err)
		}
		if got, err := s.Receive(patience); err != nil || !bytes.Equal(got, want) {
			t.Errorf("echo of %d bytes: %d bytes, %v", size, len(got), err)
		}
		if _, err := s.Receive(patience); err != io.EOF {
			t.Errorf("after the echo: %v", err)
		}
		s.Close()
	}
	wait()
}

func TestGruvClient(t *testing.T) {
	addr := start(t, new(SocketServer), listen(t))
	args := []string{"client", port(addr)}
	for _, size := range interopSizes {
		args = append(args, fmt.Sprint(size))
	}
	out, wait := python(t, "gruv.py", args...)
	for _, size := range interopSizes {
		if got, err := out.ReadString('\n'); got != fmt.Sprintln(size) {
			t.Errorf("the client got %q, %v; want %d", got, err, size)
		}
	}
	wait()
}
