package wsproto

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// jsonText returns n bytes such as chat servers send.
func jsonText(n int) []byte {
	names := []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"}
	x := uint32(12345)
	next := func(n uint32) uint32 { x = x*1664525 + 1013904223; return x >> 8 % n }
	var s strings.Builder
	for s.WriteByte('['); s.Len() < n; {
		fmt.Fprintf(&s, `{"id":%d,"user":"%s","room":"general","ts":17%08d,"text":"message number %d from %s","ok":true},`,
			next(1000000), names[next(8)%8], next(100000000), next(100000), names[next(8)%8])
	}
	return []byte(s.String()[:n])
}

// inflateStd is the oracle: what compress/flate makes of a payload.
func inflateStd(p []byte, dict []byte) ([]byte, error) {
	return io.ReadAll(flate.NewReaderDict(io.MultiReader(bytes.NewReader(p), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")), dict))
}

// deflateStd compresses p with a level of compress/flate.
func deflateStd(t testing.TB, p []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(p)
	w.Flush()
	return b.Bytes()[:b.Len()-4]
}

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serverChoices are offers of clients and what a server answers to them.
var serverChoices = []struct {
	offer    string
	takeover bool
	want     string // "" for none
}{
	{"permessage-deflate", false, "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
	{"permessage-deflate", true, "permessage-deflate"},
	{"permessage-deflate; client_max_window_bits", true, "permessage-deflate"},
	{"permessage-deflate; client_max_window_bits=15", true, "permessage-deflate"},
	{"permessage-deflate; client_max_window_bits=10", true, "permessage-deflate; client_max_window_bits=10"},
	{"permessage-deflate; client_max_window_bits=\"8\"", true, "permessage-deflate; client_max_window_bits=8"},
	{"permessage-deflate; server_max_window_bits=15", true, "permessage-deflate; server_max_window_bits=15"},
	{"permessage-deflate; server_max_window_bits=8", true, "permessage-deflate; server_max_window_bits=8"},
	{"permessage-deflate; server_max_window_bits=\"1\\0\"", true, "permessage-deflate; server_max_window_bits=10"},
	{"permessage-deflate; server_no_context_takeover", true, "permessage-deflate; server_no_context_takeover"},
	{"permessage-deflate; client_no_context_takeover", true, "permessage-deflate; client_no_context_takeover"},
	{"permessage-deflate ;\tserver_max_window_bits = 9 ; client_max_window_bits", false,
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9"},
	{"permessage-deflate;client_max_window_bits=9;server_max_window_bits=10;client_no_context_takeover;server_no_context_takeover", true,
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9"},
	// RFC 7692 §7.1.3
	{"permessage-deflate; client_max_window_bits; server_max_window_bits=10", true, "permessage-deflate; server_max_window_bits=10"},
	{"permessage-deflate; server_max_window_bits=16, permessage-deflate; client_max_window_bits", true, "permessage-deflate"},
	{"permessage-deflate; nonsense, x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=9", true, "permessage-deflate; server_max_window_bits=9"},
	{"permessage-deflate, permessage-deflate; server_max_window_bits=9", true, "permessage-deflate"},
	{"permessage-bzip2; client_max_compression_level=9", true, ""},
	{"Permessage-Deflate", true, ""},
	// What cannot be used.
	{"permessage-deflate; server_max_window_bits", true, ""},
	{"permessage-deflate; server_max_window_bits=7", true, ""},
	{"permessage-deflate; server_max_window_bits=16", true, ""},
	{"permessage-deflate; server_max_window_bits=08", true, ""},
	{"permessage-deflate; server_max_window_bits=010", true, ""},
	{"permessage-deflate; server_max_window_bits=+9", true, ""},
	{"permessage-deflate; server_max_window_bits=9x", true, ""},
	{"permessage-deflate; server_max_window_bits=1x", true, ""},
	{"permessage-deflate; server_max_window_bits=100", true, ""},
	{"permessage-deflate; client_max_window_bits=7", true, ""},
	{"permessage-deflate; client_max_window_bits=16", true, ""},
	{"permessage-deflate; client_max_window_bits=\"16\"", true, ""},
	{"permessage-deflate; client_max_window_bits=a", true, ""},
	{"permessage-deflate; server_no_context_takeover=1", true, ""},
	{"permessage-deflate; client_no_context_takeover=true", true, ""},
	{"permessage-deflate; client_no_context_takeover; client_no_context_takeover", true, ""},
	{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", true, ""},
	{"permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", true, ""},
	{"permessage-deflate; client_max_window_bits; client_max_window_bits=9", true, ""},
	{"permessage-deflate; mem_level=9", true, ""},
	{"permessage-deflate; Server_No_Context_Takeover", true, ""},
}

func TestAcceptDeflate(t *testing.T) {
	for _, tt := range serverChoices {
		got := ""
		p, err := acceptDeflate([]string{tt.offer}, tt.takeover)
		if p != nil {
			got = p.String()
		}
		if got != tt.want || err != nil {
			t.Errorf("offer %q, takeover %v: answered %q, %v; want %q", tt.offer, tt.takeover, got, err, tt.want)
		}
	}
}

// A broken list is broken, however good the offer before the fault.
func TestAcceptDeflateBroken(t *testing.T) {
	for _, lines := range [][]string{{"permessage-deflate, ="}, {"permessage-deflate", "a b"}, {"permessage-deflate; ="}} {
		if _, err := acceptDeflate(lines, false); !errors.Is(err, ErrExtensionList) {
			t.Errorf("acceptDeflate(%q): %v; want %v", lines, err, ErrExtensionList)
		}
	}
}

// clientAnswers are what servers may answer to a client, and what it agrees to.
var clientAnswers = []struct {
	answer []string
	want   *DeflateParams
	err    error
}{
	{nil, nil, nil},
	{[]string{"permessage-deflate"}, &DeflateParams{}, nil},
	{[]string{"permessage-deflate; server_no_context_takeover"}, &DeflateParams{ServerNoContextTakeover: true}, nil},
	{[]string{"permessage-deflate; client_no_context_takeover"}, &DeflateParams{ClientNoContextTakeover: true}, nil},
	{[]string{"permessage-deflate; server_max_window_bits=8"}, &DeflateParams{ServerMaxWindowBits: 8}, nil},
	{[]string{"permessage-deflate; client_max_window_bits=15"}, &DeflateParams{ClientMaxWindowBits: 15}, nil},
	{[]string{"permessage-deflate;client_max_window_bits=\"9\" ; server_max_window_bits = 10;\tserver_no_context_takeover"},
		&DeflateParams{true, false, 10, 9}, nil},
	{[]string{"", ", permessage-deflate,"}, &DeflateParams{}, nil},
	{[]string{"permessage-deflate; client_max_window_bits"}, nil, ErrDeflateParams},
	{[]string{"permessage-deflate; server_max_window_bits"}, nil, ErrDeflateParams},
	{[]string{"permessage-deflate; client_max_window_bits=7"}, nil, ErrDeflateParams},
	{[]string{"permessage-deflate; client_max_window_bits=16"}, nil, ErrDeflateParams},
	{[]string{"permessage-deflate; server_max_window_bits=08"}, nil, ErrDeflateParams},
	{[]string{"permessage-deflate; server_no_context_takeover=yes"}, nil, ErrDeflateParams},
	{[]string{"permessage-deflate; server_no_context_takeover; server_no_context_takeover"}, nil, ErrDeflateParams},
	{[]string{"permessage-deflate; x"}, nil, ErrDeflateParams},
	{[]string{"permessage-deflate, permessage-deflate"}, nil, ErrExtension},
	{[]string{"permessage-deflate", "permessage-deflate"}, nil, ErrExtension},
	{[]string{"permessage-deflate, x"}, nil, ErrExtension},
	{[]string{"x-webkit-deflate-frame"}, nil, ErrExtension},
	{[]string{"Permessage-deflate"}, nil, ErrExtension},
	{[]string{""}, nil, ErrExtensionList},
	{[]string{"permessage-deflate; ="}, nil, ErrExtensionList},
}

func TestAgreeDeflate(t *testing.T) {
	for _, tt := range clientAnswers {
		got, err := agreeDeflate(tt.answer, true, true)
		if !reflect.DeepEqual(got, tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("answer %q: agreed on %v, %v; want %v, %v", tt.answer, got, err, tt.want, tt.err)
		}
		// What was said in the offer holds, though the answer does not repeat it.
		if got, _ := agreeDeflate(tt.answer, true, false); got != nil && !got.ClientNoContextTakeover {
			t.Errorf("answer %q, offered to keep no context: agreed on %v", tt.answer, got)
		}
		if got, err := agreeDeflate(tt.answer, false, true); len(tt.answer) > 0 && (got != nil || err == nil) {
			t.Errorf("answer %q, nothing offered: agreed on %v", tt.answer, got)
		}
	}
	// Our server accepts what our client offers, whatever they want.
	for _, takeover := range []bool{false, true} {
		want, err := acceptDeflate([]string{offerDeflate(takeover)}, takeover)
		if want == nil || err != nil {
			t.Fatalf("%q is accepted as %v, %v", offerDeflate(takeover), want, err)
		}
		got, err := agreeDeflate([]string{want.String()}, true, takeover)
		if !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("takeover %v: the server agreed on %v, the client on %v, %v", takeover, want, got, err)
		}
	}
}

// deflateVectors are payloads, each on a connection of its own.
var deflateVectors = []struct{ name, wire, want string }{
	{"one block (RFC 7692 §7.2.3.1)", "f2 48 cd c9 c9 07 00", "Hello"},
	{"no compression (§7.2.3.3)", "00 05 00 fa ff 48 65 6c 6c 6f 00", "Hello"},
	{"BFINAL (§7.2.3.4)", "f3 48 cd c9 c9 07 00 00", "Hello"},
	{"two blocks (§7.2.3.5)", "f2 48 05 00 00 00 ff ff ca c9 c9 07 00", "Hello"},
	{"empty (§7.2.3.6)", "00", ""},
	{"no payload at all", "", ""},
	{"BFINAL and no compression", "01 05 00 fa ff 48 65 6c 6c 6f 00", "Hello"},
	{"blocks after one with BFINAL", "f3 48 cd c9 c9 07 00 f2 48 cd c9 c9 07 00", "HelloHello"},
	{"BFINAL and no 00 after it", "f3 48 cd c9 c9 07 00", "Hello"},
	{"two blocks with BFINAL, no 00", "f3 48 cd c9 c9 07 00 01 01 00 fe ff 21", "Hello!"},
	{"an empty block with BFINAL, no 00", "03 00", ""},
	{"three blocks with BFINAL", "f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 00", "HelloHelloHello"},
	{"a reference to before BFINAL", "f3 48 cd c9 c9 07 00 02 13 00 00", "HelloHello"},
	{"empty blocks with BFINAL", "03 00 03 00 f2 48 cd c9 c9 07 00", "Hello"},
	{"an empty block more", "f2 48 cd c9 c9 07 00 00 00 ff ff 00", "Hello"},
	{"a reference that overlaps itself", "4a 44 00 00 00", "aaaaaaaaaaa"},
	{"a dynamic block", "3c8c810900300cc26e8df6ff1ba6ac9b90a2220550e468a2a63ae407d608078dc5a4d13d4d4b42e7ea78cddfb47a3f0e00",
		"aaaabbbbccccddddaabbccddabcdabcdabcacbdbacdbabdcbadbcabdbcabdcbadcbadcbabdcabcdbacbdabcdbacdbcabdcbacbdacbdbacdb"},
	{"X00 of the hardening cases", "ca48cdc9c90700", "hello"},
	{"X10 of the hardening cases", "cb48cdc9c9070000", "hello"},
}

func TestDecompressVectors(t *testing.T) {
	for _, tt := range deflateVectors {
		p := fromHex(t, tt.wire)
		for _, role := range []Role{RoleServer, RoleClient} {
			got, err := newDeflate(role, DeflateParams{}).Decompress([]byte("before"), p, 1<<20)
			if string(got) != "before"+tt.want || err != nil {
				t.Errorf("%s: Decompress(%x) as %v = %q, %v; want %q", tt.name, p, role, got, err, "before"+tt.want)
			}
		}
	}
}

// Of a payload that was cut nothing may come out as a message, also where the rest
// takes the tail that is put behind it for codes or data.
func TestDecompressCut(t *testing.T) {
	random := make([]byte, 3000)
	rand.NewChaCha8([32]byte{1}).Read(random)
	var whole [][]byte
	for _, tt := range deflateVectors {
		if len(tt.want) > 0 {
			whole = append(whole, fromHex(t, tt.wire))
		}
	}
	for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 2, 6, 9} {
		for _, n := range []int{1, 3, 4, 5, 8, 60, 300, 900} {
			whole = append(whole, deflateStd(t, jsonText(n), level), deflateStd(t, random[:n], level))
			few := bytes.Clone(random[:n]) // codes of one to three bits
			for i := range few {
				few[i] = "aaaab"[few[i]%5]
			}
			whole = append(whole, deflateStd(t, few, level))
		}
	}
	for _, p := range whole {
		d := newDeflate(RoleServer, DeflateParams{})
		message, err := d.Decompress(nil, p, -1)
		if err != nil {
			t.Fatalf("Decompress(%x): %v", p, err)
		}
		for n := 1; n < len(p); n++ {
			d := newDeflate(RoleServer, DeflateParams{})
			got, err := d.Decompress(nil, p[:n], -1)
			if pe, ok := errors.AsType[*ProtocolError](err); ok && pe.Code == StatusInvalidFramePayloadData && errors.Is(err, ErrCompressedData) && len(got) == 0 {
				continue
			}
			// What ends before the lengths of a stored block is a message of its own.
			if n+4 <= len(p) && p[n]^p[n+2] == 0xff && p[n+1]^p[n+3] == 0xff && bytes.HasPrefix(message, got) {
				continue
			}
			if endsFinal(p[:n]) && bytes.HasPrefix(message, got) { // so does what ends with BFINAL
				continue
			}
			t.Errorf("the first %d of %d bytes %x: Decompress = %q, %v; want 1007", n, len(p), p[:min(len(p), 100)], got, err)
		}
	}
}

// endsFinal reports whether p ends with a block that has BFINAL, as compress/flate
// reads it.
func endsFinal(p []byte) bool {
	r := bytes.NewReader(p)
	for r.Len() > 0 {
		if _, err := io.Copy(io.Discard, flate.NewReader(r)); err != nil {
			return false
		}
	}
	return true
}

// A cut in a stored block is the case in which the tail fits best: four bytes
// missing, and it is taken for them.
func TestDecompressTailAsData(t *testing.T) {
	for missing := 1; missing <= 12; missing++ {
		p := fromHex(t, "00 14 00 eb ff 30 31 32 33 34 35 36 37 38 39 30 31 32 33 34 35 36 37 38 39")
		got, err := newDeflate(RoleServer, DeflateParams{}).Decompress(nil, p[:len(p)-missing], -1)
		if !errors.Is(err, ErrCompressedData) {
			t.Errorf("%d bytes missing in a stored block: Decompress = %q, %v; want %v", missing, got, err, ErrCompressedData)
		}
	}
	p := fromHex(t, "00 04 00 fb ff") // and where all data is missing
	if got, err := newDeflate(RoleServer, DeflateParams{}).Decompress(nil, p, -1); !errors.Is(err, ErrCompressedData) {
		t.Errorf("Decompress(%x) = %q, %v; want %v", p, got, err, ErrCompressedData)
	}
}

func TestDecompressInvalid(t *testing.T) {
	for _, tt := range []struct{ name, wire string }{
		{"reserved block type (X04)", "07"},
		{"garbage (X03)", strings.Repeat("ff", 20)},
		{"lengths of a stored block that differ (X14)", "000500000068656c6c6f"},
		{"a reference to before the start (X12)", "032100"},
		{"a reference to before the start, in a later block", "f2 48 05 00 00 00 ff ff 02 13 00 00"},
		{"a reference to before the start, after BFINAL", "f3 48 05 00 02 13 00 00"},
		{"the tail not left out", "f2 48 cd c9 c9 07 00 00 00 ff ff"},
		{"a dynamic block with 287 lengths", "f4 00 00 00"},
	} {
		p := fromHex(t, tt.wire)
		got, err := newDeflate(RoleServer, DeflateParams{}).Decompress([]byte("ab"), p, 1<<20)
		if pe, ok := errors.AsType[*ProtocolError](err); !ok || pe.Code != StatusInvalidFramePayloadData || !errors.Is(err, ErrCompressedData) || string(got) != "ab" {
			t.Errorf("%s: Decompress(%x) = %q, %v; want nothing added and 1007", tt.name, p, got, err)
		}
	}
}

func TestDecompressLimit(t *testing.T) {
	for _, n := range []int{0, 1, 511, 512, 513, 40000, 200000} {
		p, _ := newDeflate(RoleClient, DeflateParams{}).Compress(nil, make([]byte, n))
		for _, tt := range []struct {
			limit int64
			fits  bool
		}{{int64(n), true}, {int64(n) + 1, true}, {int64(n) - 1, n == 0}, {-1, true}, {0, n == 0}, {math.MaxInt64, true}} {
			got, err := newDeflate(RoleServer, DeflateParams{}).Decompress(nil, p, tt.limit)
			if tt.fits {
				if len(got) != n || err != nil {
					t.Errorf("%d bytes, limit %d: Decompress = %d bytes, %v", n, tt.limit, len(got), err)
				}
				continue
			}
			if pe, ok := errors.AsType[*ProtocolError](err); !ok || pe.Code != StatusMessageTooBig || !errors.Is(err, ErrMessageTooBig) {
				t.Errorf("%d bytes, limit %d: Decompress = %d bytes, %v; want 1009", n, tt.limit, len(got), err)
			}
		}
	}
}

// Of 64 MiB in 64 KiB (X06) no more is made than the limit, and what follows the
// limit need not even be valid.
func TestDecompressBomb(t *testing.T) {
	mega := append(deflateStd(t, make([]byte, 1<<20), 9), syncTail...)
	p := append(bytes.Repeat(mega, 64), 0xff, 0xff)
	d := newDeflate(RoleServer, DeflateParams{ClientNoContextTakeover: true})
	got, err := d.Decompress(make([]byte, 0, 512), p, 1<<20)
	if !errors.Is(err, ErrMessageTooBig) {
		t.Fatalf("Decompress of a bomb = %d bytes, %v; want %v", len(got), err, ErrMessageTooBig)
	}
	if cap(got) > 2<<20 {
		t.Errorf("it took %d bytes of memory; want no more than twice the limit", cap(got))
	}
}

func TestDecompressManyStreams(t *testing.T) {
	p := append(bytes.Repeat([]byte{0x03, 0x00}, maxStreams-1), 0)
	if got, err := newDeflate(RoleServer, DeflateParams{}).Decompress(nil, p, -1); len(got) > 0 || err != nil {
		t.Errorf("%d streams: Decompress = %q, %v; want an empty message", maxStreams, got, err)
	}
	p = append([]byte{0x03, 0x00}, p...)
	if _, err := newDeflate(RoleServer, DeflateParams{}).Decompress(nil, p, -1); !errors.Is(err, errStreams) {
		t.Errorf("%d streams: Decompress: %v; want %v", maxStreams+1, err, errStreams)
	}
}

// Whether a message is whole is also found out where flate asks for the tail
// otherwise than we expect.
func TestEndsWith(t *testing.T) {
	z := inflaters.Get().(*inflater)
	whole := deflateStd(t, jsonText(300), 1)
	for n := range len(whole) {
		out, _ := z.inflate(nil, payload{p: whole[:n], tail: syncTail + finalBlock}, nil, -1)
		if z.endsWith(whole[:n], len(out), nil) {
			continue // then inflate has an error, see TestDecompressCut
		}
	}
	if !z.endsWith(whole, 300, nil) {
		t.Errorf("endsWith(all of 300 bytes) = false")
	}
	if z.endsWith(whole, 299, nil) || z.endsWith(whole, 301, nil) {
		t.Errorf("endsWith(300 bytes) = true for 299 or 301")
	}
}

// flows are what can be agreed on, from the point of view of the sender.
var flows = func() (all []DeflateParams) {
	for _, takeover := range []bool{false, true} {
		for _, bits := range []int{0, 8, 9, 10, 12, 14, 15} {
			all = append(all, DeflateParams{!takeover, !takeover, bits, bits})
		}
	}
	return all
}()

func messages() [][]byte {
	random := make([]byte, 35000)
	rand.NewChaCha8([32]byte{2}).Read(random)
	text := jsonText(50000)
	return [][]byte{nil, []byte("a"), []byte("Hello"), text[:100], text[:100], text[:255], text[:256], text[:257], text[:1000], text[100:1100],
		text[:20000], random[:5000], random[:5000], random, make([]byte, 70000), text, text[:32768], text[1:32769], text[:5]}
}

func TestDeflateRoundTrip(t *testing.T) {
	for i, p := range flows {
		sender := Role(i % 2)
		from, to := newDeflate(sender, p), newDeflate(1-sender, p)
		std := []byte(nil) // what the reader has seen
		for i, m := range messages() {
			z, err := from.Compress([]byte("before"), m)
			if err != nil || !bytes.HasPrefix(z, []byte("before")) || len(z) == 6 {
				t.Fatalf("%v: Compress(message %d) = %d bytes, %v", p, i, len(z), err)
			}
			z = z[6:]
			got, err := to.Decompress(nil, z, int64(len(m)))
			if err != nil || !bytes.Equal(got, m) {
				t.Fatalf("%v: message %d of %d bytes: Decompress = %d bytes, %v", p, i, len(m), len(got), err)
			}
			want, err := inflateStd(z, std)
			if err != nil || !bytes.Equal(want, m) {
				t.Fatalf("%v: message %d of %d bytes: compress/flate has %d bytes, %v", p, i, len(m), len(want), err)
			}
			if from.send.takeover {
				std = append(std, m...)
				std = std[max(0, len(std)-from.send.window):]
			}
		}
	}
}

// Messages that do not go compressed, and control frames, are not in the window.
func TestDeflateContext(t *testing.T) {
	p := DeflateParams{}
	from, to := newDeflate(RoleServer, p), newDeflate(RoleClient, p)
	m := jsonText(500)
	first, _ := from.Compress(nil, m)
	to.Decompress(nil, first, -1)
	second, _ := from.Compress(nil, m)
	if len(second) > len(first)/4 {
		t.Errorf("a message again takes %d bytes after %d: no context was kept", len(second), len(first))
	}
	if _, err := newDeflate(RoleClient, p).Decompress(nil, second, -1); !errors.Is(err, ErrCompressedData) {
		t.Errorf("the second message alone: %v; want %v", err, ErrCompressedData)
	}
	if got, err := to.Decompress(nil, second, -1); !bytes.Equal(got, m) || err != nil {
		t.Errorf("the second message: %d bytes, %v; want %d", len(got), err, len(m))
	}
	// The message after one with BFINAL in it.
	if _, err := to.Decompress(nil, fromHex(t, "f3 48 cd c9 c9 07 00 02 13 00 00"), -1); err != nil {
		t.Fatal(err)
	}
	if got, err := to.Decompress(nil, fromHex(t, "02 13 00 00"), -1); string(got) != "Hello" || err != nil {
		t.Errorf("a reference to the message before, which had BFINAL: %q, %v; want Hello", got, err)
	}
}

func TestDeflateNoContext(t *testing.T) {
	to := newDeflate(RoleServer, DeflateParams{ClientNoContextTakeover: true})
	to.Decompress(nil, fromHex(t, "f2 48 cd c9 c9 07 00"), -1)
	if got, err := to.Decompress(nil, fromHex(t, "02 13 00 00"), -1); !errors.Is(err, ErrCompressedData) {
		t.Errorf("a reference to the message before: %q, %v; want %v", got, err, ErrCompressedData)
	}
	// Nor may it reach further than the window that was agreed.
	to = newDeflate(RoleServer, DeflateParams{ClientMaxWindowBits: 8})
	far := append([]byte("Hello, and"), make([]byte, 300)...)
	p, _ := newDeflate(RoleClient, DeflateParams{}).Compress(nil, far)
	if _, err := to.Decompress(nil, p, -1); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, _ := flate.NewWriterDict(&b, 9, far)
	w.Write([]byte("Hello, and"))
	w.Flush()
	if got, err := to.Decompress(nil, b.Bytes()[:b.Len()-4], -1); !errors.Is(err, ErrCompressedData) {
		t.Errorf("a reference 310 bytes back, the window having 256: %q, %v; want %v", got, err, ErrCompressedData)
	}
}

// With BFINAL in a message, references go on into the messages before.
func TestDecompressFinalThenHistory(t *testing.T) {
	to := newDeflate(RoleServer, DeflateParams{})
	for _, m := range [][]byte{[]byte("Hello"), jsonText(40000), jsonText(3000)} {
		p, _ := newDeflate(RoleClient, DeflateParams{ClientNoContextTakeover: true}).Compress(nil, m)
		if got, err := to.Decompress(nil, append(fromHex(t, "03 00"), p...), -1); !bytes.Equal(got, m) || err != nil {
			t.Fatalf("%d bytes after an empty block with BFINAL: %d, %v", len(m), len(got), err)
		}
		tail := m[max(0, len(m)-1000):]
		var b bytes.Buffer
		w, _ := flate.NewWriterDict(&b, 9, m)
		w.Write(tail)
		w.Flush()
		p = append(fromHex(t, "03 00"), b.Bytes()[:b.Len()-4]...)
		if got, err := to.Decompress(nil, p, -1); !bytes.Equal(got, tail) || err != nil {
			t.Fatalf("references to %d bytes, after BFINAL: %d, %v; want %d bytes", len(m), len(got), err, len(tail))
		}
	}
}

// TestFinalMessages: a sender that ends each message with BFINAL and nothing after
// it, as zlib does with Z_FINISH, is understood (hw-44), also where the next message
// refers to the one before (RFC 7692 §7.2.3.4).
func TestFinalMessages(t *testing.T) {
	wire := slices.Concat(frame(RoleClient, 0xc1, string(unhex("4bcbcc4bcc5148cac94fce0600"))), frame(RoleClient, 0xc1, string(unhex("4bcc4b5148cccb2fc9482d0200"))),
		frame(RoleClient, 0x81, "plain"), frame(RoleClient, 0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"))
	got, err := readsOf(RoleClient, deflated, Config{}, wire)
	if err != io.EOF || fmt.Sprintf("%s", got) != "[{text final block} {text and another} {text plain} {text Hello}]" {
		t.Errorf("got %s, %v", got, err)
	}
	wire = slices.Concat(frame(RoleServer, 0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00"), frame(RoleServer, 0xc1, "\x03\x13\x00"))
	got, err = readsOf(RoleServer, Agreement{Deflate: &DeflateParams{}}, Config{}, wire)
	if err != io.EOF || fmt.Sprintf("%s", got) != "[{text Hello} {text Hello}]" {
		t.Errorf("with context: got %s, %v", got, err)
	}
}

// The history holds what may be referred to and little more.
func TestHistory(t *testing.T) {
	d := newDeflate(RoleServer, DeflateParams{ClientMaxWindowBits: 10})
	var all []byte
	for i := range 2000 {
		m := bytes.Repeat([]byte{byte(i)}, i*7%1500)
		d.remember(m)
		all = append(all, m...)
		want := all[max(0, len(all)-1024):]
		if !bytes.Equal(d.window(), want) {
			t.Fatalf("after %d messages the window has %d bytes, not the last %d", i+1, len(d.window()), len(want))
		}
		if cap(d.history) > 1024+256 || len(all) < 100 && cap(d.history) > 200 {
			t.Fatalf("after %d bytes the history takes %d", len(all), cap(d.history))
		}
	}
}

func TestWantsToCompress(t *testing.T) {
	for _, tt := range []struct {
		p    DeflateParams
		n    int
		want bool
	}{
		{DeflateParams{ServerNoContextTakeover: true}, 127, false},
		{DeflateParams{ServerNoContextTakeover: true}, 128, true},
		{DeflateParams{}, 15, false},
		{DeflateParams{}, 16, true},
		{DeflateParams{ServerMaxWindowBits: 9}, 16, false},
		{DeflateParams{ServerMaxWindowBits: 15}, 16, true},
	} {
		if got := newDeflate(RoleServer, tt.p).wants(tt.n); got != tt.want {
			t.Errorf("%v: wants(%d) = %v", tt.p, tt.n, got)
		}
	}
}

func TestWindowBitsPanic(t *testing.T) {
	for _, bits := range []int{-1, 7, 16} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a window of %d bits did not panic", bits)
				}
			}()
			newDeflate(RoleServer, DeflateParams{ServerMaxWindowBits: bits})
		}()
	}
}

// Both directions at once, for the race detector.
func TestDeflateBothDirections(t *testing.T) {
	for _, p := range []DeflateParams{{}, {true, true, 0, 0}, {false, false, 9, 9}} {
		d, peer := newDeflate(RoleServer, p), newDeflate(RoleClient, p)
		in := make([][]byte, 50)
		for i := range in {
			in[i], _ = peer.Compress(nil, jsonText(100*i))
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range in {
				if got, err := d.Decompress(nil, in[i], -1); err != nil || !bytes.Equal(got, jsonText(100*i)) {
					t.Errorf("message %d: %d bytes, %v", i, len(got), err)
				}
			}
		})
		wg.Go(func() {
			for i := range in {
				d.Compress(nil, jsonText(100*i))
			}
		})
		wg.Wait()
	}
}

func TestDeflateAllocations(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("under the race detector a sync.Pool forgets at random")
	}
	m := jsonText(1024)
	for _, p := range []DeflateParams{{}, {true, true, 0, 0}} {
		d, peer := newDeflate(RoleServer, p), newDeflate(RoleClient, DeflateParams{ClientNoContextTakeover: true})
		z, _ := peer.Compress(nil, m)
		var in, out []byte
		n := testing.AllocsPerRun(200, func() {
			in, _ = d.Decompress(in[:0], z, 1<<20)
			out, _ = d.Compress(out[:0], m)
		})
		if n > 0 {
			t.Errorf("%v: %v allocations a message of 1 KiB; want 0", p, n)
		}
	}
}

// TestDeflateZlib lets Python's zlib read what we write and write what we read, with
// every window it knows (it has no 8 when writing).
func TestDeflateZlib(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	type exchange struct {
		Bits     int
		Takeover bool
		Plain    [][]byte
		Ours     [][]byte // compressed by us
		Theirs   [][]byte // compressed by zlib
		Failed   string
	}
	var all []exchange
	for _, p := range flows {
		if p.ServerMaxWindowBits == 10 || p.ServerMaxWindowBits == 14 {
			continue
		}
		e := exchange{Bits: cmp.Or(p.ServerMaxWindowBits, 15), Takeover: !p.ServerNoContextTakeover, Plain: messages()}
		d := newDeflate(RoleServer, p)
		for _, m := range e.Plain {
			z, _ := d.Compress(nil, m)
			e.Ours = append(e.Ours, z)
		}
		all = append(all, e)
	}
	cmd := exec.Command(python, "testdata/zlib_peer.py")
	in, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Failed != "" {
			t.Errorf("window of %d bits, takeover %v: zlib on what we wrote: %s", e.Bits, e.Takeover, e.Failed)
		}
		d := newDeflate(RoleClient, DeflateParams{!e.Takeover, !e.Takeover, e.Bits, e.Bits})
		for i, z := range e.Theirs {
			if got, err := d.Decompress(nil, z, -1); err != nil || !bytes.Equal(got, e.Plain[i]) {
				t.Errorf("window of %d bits, takeover %v: message %d from zlib: %d bytes, %v; want %d", e.Bits, e.Takeover, i, len(got), err, len(e.Plain[i]))
				break
			}
		}
	}
}

func FuzzDeflate(f *testing.F) {
	for i, m := range messages() {
		f.Add(m[:min(len(m), 2000)], byte(i), uint16(i*100))
	}
	f.Fuzz(func(t *testing.T, data []byte, kind byte, cut uint16) {
		p := flows[int(kind)%len(flows)]
		from, to := newDeflate(RoleServer, p), newDeflate(RoleClient, p)
		n := min(int(cut), len(data))
		for _, m := range [][]byte{data[:n], data[n:], data} {
			z, err := from.Compress(nil, m)
			if err != nil || len(z) == 0 {
				t.Fatalf("%v: Compress(%q) = %x, %v", p, m, z, err)
			}
			got, err := to.Decompress(nil, z, int64(len(m)))
			if err != nil || !bytes.Equal(got, m) {
				t.Fatalf("%v: Decompress(%x) = %q, %v; want %q", p, z, got, err, m)
			}
		}
	})
}

func FuzzDecompress(f *testing.F) {
	for _, tt := range deflateVectors {
		f.Add(fromHex(f, tt.wire), byte(0), uint16(100))
	}
	for _, m := range messages() {
		f.Add(deflateStd(f, m[:min(len(m), 2000)], 6), byte(9), uint16(500))
	}
	f.Fuzz(func(t *testing.T, data []byte, kind byte, limit uint16) {
		d := newDeflate(RoleClient, flows[int(kind)%len(flows)])
		n := min(int(kind), len(data))
		for _, p := range [][]byte{data, data[n:]} {
			history := bytes.Clone(d.window())
			got, err := d.Decompress([]byte("ab"), p, int64(limit))
			if !bytes.HasPrefix(got, []byte("ab")) || len(got)-2 > int(limit) {
				t.Fatalf("Decompress(%x, limit %d) = %d bytes, %.10q…", p, limit, len(got)-2, got)
			}
			if err != nil {
				pe, ok := errors.AsType[*ProtocolError](err)
				if !ok || len(got) != 2 || (pe.Code != StatusInvalidFramePayloadData) == errors.Is(err, ErrCompressedData) {
					t.Fatalf("Decompress(%x) = %q, %v", p, got, err)
				}
				return
			}
			// compress/flate agrees as far as it reads: to the first BFINAL.
			if want, err := inflateStd(p, history); len(p) > 0 && (err != nil || !bytes.HasPrefix(got[2:], want)) {
				t.Fatalf("Decompress(%x) = %q; compress/flate: %q, %v", p, got[2:], want, err)
			}
		}
	})
}

var benchSizes = []int{64, 128, 1024, 16384}

func BenchmarkCompress(b *testing.B) {
	for _, n := range benchSizes {
		msg := jsonText(n)
		for _, takeover := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/takeover=%v", n, takeover), func(b *testing.B) {
				d := newDeflate(RoleServer, DeflateParams{ServerNoContextTakeover: !takeover})
				dst := make([]byte, 0, 2*n+512)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					dst, _ = d.Compress(dst[:0], msg)
				}
				b.ReportMetric(float64(len(dst)), "B/msg")
			})
		}
	}
}

func BenchmarkDecompress(b *testing.B) {
	for _, n := range benchSizes {
		p, _ := newDeflate(RoleClient, DeflateParams{ClientNoContextTakeover: true}).Compress(nil, jsonText(n))
		for _, takeover := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/takeover=%v", n, takeover), func(b *testing.B) {
				d := newDeflate(RoleServer, DeflateParams{ClientNoContextTakeover: !takeover})
				dst := make([]byte, 0, 2*n+512)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					var err error
					if dst, err = d.Decompress(dst[:0], p, 1<<20); err != nil || len(dst) != n {
						b.Fatal(len(dst), err)
					}
				}
			})
		}
	}
}

// BenchmarkPlainFlate is what to compare with: pooled readers and writers, used
// as the documentation of compress/flate shows.
func BenchmarkPlainFlate(b *testing.B) {
	for _, n := range benchSizes {
		msg := jsonText(n)
		for _, level := range []int{flate.HuffmanOnly, 1, 2, 3, 6} {
			b.Run("Deflate/"+strconv.Itoa(n)+"/"+strconv.Itoa(level), func(b *testing.B) {
				var buf bytes.Buffer
				w, _ := flate.NewWriter(&buf, level)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					buf.Reset()
					w.Reset(&buf)
					w.Write(msg)
					w.Flush()
				}
				b.ReportMetric(float64(buf.Len()-4), "B/msg")
			})
		}
		p, _ := newDeflate(RoleClient, DeflateParams{ClientNoContextTakeover: true}).Compress(nil, msg)
		b.Run("Inflate/"+strconv.Itoa(n), func(b *testing.B) {
			r := flate.NewReader(nil)
			var out bytes.Buffer
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				r.(flate.Resetter).Reset(io.MultiReader(bytes.NewReader(p), strings.NewReader(syncTail+finalBlock)), nil)
				if _, err := io.Copy(&out, r); err != nil || out.Len() != n {
					b.Fatal(out.Len(), err)
				}
			}
		})
	}
}
