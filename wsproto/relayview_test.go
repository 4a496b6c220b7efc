package wsproto

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// TestRelayPayloads: who asks sees what is in messages, whole, unmasked and inflated,
// and they pass as they are.
func TestRelayPayloads(t *testing.T) {
	var told []string
	cfg := RelayConfig{Deflate: true, Payloads: 1000, OnMessage: func(fromBackend bool, op Opcode, size int64, p []byte) {
		line := fmt.Sprintf("%t %v %d %.20q", fromBackend, op, size, p)
		if p == nil {
			line = fmt.Sprintf("%t %v %d nil", fromBackend, op, size)
		}
		told = append(told, line)
	}}
	relayTalk(t, cfg, func(t *testing.T, r *relayed) {
		say := func(wire string, want ...string) {
			t.Helper()
			for _, fromBackend := range []bool{false, true} {
				told = nil
				if fromBackend {
					r.backend.send(wire)
					r.client.want(wire)
				} else {
					r.client.sendBytes(maskedWire(wire))
					r.backend.wantMasked(wire)
				}
				synctest.Wait()
				for i, line := range want {
					want[i] = strings.TrimPrefix(strings.TrimPrefix(line, "true "), "false ")
					want[i] = fmt.Sprintf("%t %s", fromBackend, want[i])
				}
				if !slices.Equal(told, want) {
					t.Errorf("%.40s from the backend %t: told %q, want %q", wire, fromBackend, told, want)
				}
			}
		}
		say("81 05 48656c6c6f", `text 5 "Hello"`)
		say("01 03 48656c 89 01 70 80 02 6c6f 82 00 02 00 80 00", `ping 1 "p"`, `text 5 "Hello"`, `binary 0 ""`, `binary 0 ""`)

		z := newDeflate(RoleServer, DeflateParams{})
		compressed := func(text string) string {
			p, _ := z.Compress(nil, []byte(text))
			h := Header{Fin: true, Rsv1: true, Opcode: OpText, PayloadLen: int64(len(p))}
			return hex.EncodeToString(append(AppendHeader(nil, h), p...))
		}
		size := func(wire string) int { _, n, _ := ParseHeader(unhex(wire)); return len(unhex(wire)) - n }
		long := strings.Repeat("the same again, ", 20)
		first, second := compressed(long), compressed(long)
		if size(second) >= size(first) {
			t.Fatal("the second message does not refer to the first")
		}
		want := func(wire string) string { return fmt.Sprintf("text %d %.20q", size(wire), long) }
		say(first, want(first))
		say(second, want(second))
		big := compressed(strings.Repeat("x", 1001))
		say(big, fmt.Sprintf("text %d nil", size(big)))
		third := compressed(long)
		say(third, fmt.Sprintf("text %d nil", size(third))) // it refers to that
		say("82 7e 03e9"+strings.Repeat("78", 1001), "binary 1001 nil")
		say("c1 01 ff", "text 1 nil")
		z = newDeflate(RoleServer, DeflateParams{})
		again := compressed(long)
		say(again, want(again))
	})
}

// TestRelayMemory: what is put together to be seen counts, in parts and inflated; what has
// no room passes unseen, and nothing stays counted.
func TestRelayMemory(t *testing.T) {
	memory := NewBudget(4000)
	var told []bool
	cfg := RelayConfig{Deflate: true, Payloads: 100 << 10, Memory: memory, OnMessage: func(_ bool, _ Opcode, _ int64, p []byte) {
		told = append(told, p != nil)
	}}
	relayTalk(t, cfg, func(t *testing.T, r *relayed) {
		say := func(wire string, shown bool) {
			t.Helper()
			r.backend.send(wire)
			r.client.want(wire)
			synctest.Wait()
			if len(told) != 1 || told[0] != shown || memory.Used() != 0 {
				t.Errorf("%.40s: told %v, want %t; %d bytes stay counted", wire, told, shown, memory.Used())
			}
			told = nil
		}
		z := newDeflate(RoleServer, DeflateParams{})
		compressed := func(n int) string {
			p, _ := z.Compress(nil, bytes.Repeat([]byte{'x'}, n))
			return hex.EncodeToString(append(AppendHeader(nil, Header{Fin: true, Rsv1: true, Opcode: OpText, PayloadLen: int64(len(p))}), p...))
		}
		say(compressed(1000), true)
		say(compressed(90<<10), false)
		say("82 7e 03e8"+strings.Repeat("78", 1000), true)
		say("82 7e 2710"+strings.Repeat("78", 10000), false)
		r.backend.send("02 7e 03e8" + strings.Repeat("78", 1000)) // and no more comes
		r.client.want("02 7e 03e8" + strings.Repeat("78", 1000))
		synctest.Wait()
		if memory.Used() == 0 {
			t.Error("a message that is not whole does not count")
		}
	})
	if used := memory.Used(); used != 0 {
		t.Errorf("after the end %d bytes stay counted", used)
	}
}

// TestRelayOnRead: it is called once for the messages of a read, after all of them.
func TestRelayOnRead(t *testing.T) {
	var got bytes.Buffer
	cfg := RelayConfig{Payloads: 100, OnMessage: func(_ bool, _ Opcode, _ int64, p []byte) { got.Write(p) }, OnRead: func() { got.WriteByte('|') }}
	relayTalk(t, cfg, func(t *testing.T, r *relayed) {
		r.client.sendBytes(append(maskedWire("81 01 61"), maskedWire("81 01 62 81 01 63")...))
		synctest.Wait()
		r.client.sendBytes(maskedWire("81 01 64"))
		synctest.Wait()
	})
	if text := got.String(); !strings.HasPrefix(text, "abc|d|") {
		t.Errorf("told of %q, want abc|d|", text)
	}
}

// TestRelayPayloadsByteByByte: where the stream is cut changes nothing.
func TestRelayPayloadsByteByByte(t *testing.T) {
	var got bytes.Buffer
	cfg := RelayConfig{Payloads: 100, OnMessage: func(_ bool, _ Opcode, _ int64, p []byte) { got.Write(p) }}
	relayTalk(t, cfg, func(t *testing.T, r *relayed) {
		for _, b := range maskedWire("01 03 48656c 80 03 6c6f20 81 05 776f726c64") {
			r.client.sendBytes([]byte{b})
		}
		synctest.Wait()
	})
	if got.String() != "Hello world" {
		t.Errorf("told of %q, want Hello world", got.String())
	}
}
