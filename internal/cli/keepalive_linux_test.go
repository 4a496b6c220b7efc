package cli

import (
	"net"
	"syscall"
	"testing"
)

// What a listener accepts has package net's keep-alive, also where its listener had it.
func TestKeepAlive(t *testing.T) {
	ln, err := System().Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	for name, o := range map[string][2]int{
		"SO_KEEPALIVE": {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE}, "TCP_KEEPIDLE": {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE},
		"TCP_KEEPINTVL": {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL}, "TCP_KEEPCNT": {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
	} {
		var got, want int
		value := func(nc net.Conn, into *int) {
			raw, _ := nc.(*net.TCPConn).SyscallConn()
			raw.Control(func(fd uintptr) { *into, _ = syscall.GetsockoptInt(int(fd), o[0], o[1]) })
		}
		value(accepted, &got)
		value(client, &want) // set by package net
		if got != want || got == 0 {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}
