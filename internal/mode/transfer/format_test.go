package transfer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
)

const (
	testBatch = "00112233445566ff"
	testSum   = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of nothing
)

var testID = fileID{1, 2, 3, 4, 5, 6, 7, 0xff}

var controlVectors = []struct {
	wire string
	want control
}{
	{`{"transfer":2,"kind":"offer","id":"01020304050607ff","batch":"00112233445566ff","file":1,"files":2,"name":"a \"b\" é","size":9223372036854775807}`,
		control{kind: "offer", id: testID, batch: testBatch, file: 1, files: 2, name: `a "b" é`, size: math.MaxInt64}},
	{`{"transfer":2,"kind":"start","id":"01020304050607ff","stream":"00112233445566ff","offset":65536,"window":4194304}`, control{kind: "start", id: testID, stream: testBatch, offset: 65536, window: 4 << 20}},
	{`{"transfer":2,"kind":"reset","id":"01020304050607ff","receiver":"00112233445566ff"}`, control{kind: "reset", id: testID, receiver: testBatch}},
	{`{"transfer":2,"kind":"alive","id":"01020304050607ff"}`, control{kind: "alive", id: testID}},
	{`{"transfer":2,"kind":"over","id":"01020304050607ff"}`, control{kind: "over", id: testID}},
	{`{"transfer":2,"kind":"done","id":"01020304050607ff","stream":"00112233445566ff","name":"a","size":0}`,
		control{kind: "done", id: testID, stream: testBatch, name: "a"}},
	{`{"transfer":2,"kind":"confirm","id":"01020304050607ff","receiver":"00112233445566ff","proof":"` + testSum + `"}`,
		control{kind: "confirm", id: testID, receiver: testBatch, proof: testSum}},
	{`{"transfer":2,"kind":"have","id":"01020304050607ff","receiver":"00112233445566ff","proof":"` + testSum + `"}`,
		control{kind: "have", id: testID, receiver: testBatch, proof: testSum}},
	{`{"transfer":2,"kind":"abort","id":"01020304050607ff","reason":"no more"}`, control{kind: "abort", id: testID, reason: "no more"}},
	{`{"transfer":2,"kind":"accept","id":"01020304050607ff","receiver":"00112233445566ff","offset":5,"proof":"` + testSum + `"}`,
		control{kind: "accept", id: testID, receiver: testBatch, offset: 5, proof: testSum}},
	{`{"transfer":2,"kind":"refuse","id":"01020304050607ff","receiver":"00112233445566ff","reason":""}`, control{kind: "refuse", id: testID, receiver: testBatch}},
	{`{"transfer":2,"kind":"ack","id":"01020304050607ff","receiver":"00112233445566ff","offset":1}`, control{kind: "ack", id: testID, receiver: testBatch, offset: 1}},
	{`{"transfer":2,"kind":"saved","id":"01020304050607ff","receiver":"00112233445566ff","proof":"` + testSum + `"}`,
		control{kind: "saved", id: testID, receiver: testBatch, proof: testSum}},
	{`{"transfer":2,"kind":"failed","id":"01020304050607ff","receiver":"00112233445566ff","reason":"disk full"}`,
		control{kind: "failed", id: testID, receiver: testBatch, reason: "disk full"}},
}

func TestControlVectors(t *testing.T) {
	for _, tt := range controlVectors {
		if got := string(appendControl(nil, &tt.want)); got != tt.wire {
			t.Errorf("appendControl(%+v) = %s\nwant %s", tt.want, got, tt.wire)
		}
		if got, err := parseControl([]byte(tt.wire)); got != tt.want || err != nil {
			t.Errorf("parseControl(%s) = %+v, %v\nwant %+v", tt.wire, got, err, tt.want)
		}
		for n := range len(tt.wire) {
			if _, err := parseControl([]byte(tt.wire[:n])); err == nil {
				t.Errorf("parseControl(%s), which is cut, is taken", tt.wire[:n])
			}
		}
	}
	if len(controlVectors) != len(controlKeys) {
		t.Errorf("%d vectors for %d kinds", len(controlVectors), len(controlKeys))
	}
}

// offerWith is the offer of the vectors with one thing changed.
func offerWith(old, new string) string { return strings.Replace(controlVectors[0].wire, old, new, 1) }

func TestBadControl(t *testing.T) {
	for _, tt := range []struct {
		wire string
		want error
	}{
		{"", errForeign},
		{"hello", errForeign},
		{"[1]", errForeign},
		{`{"kind":"offer"}`, errForeign},
		{strings.Repeat("x", 10<<20), errForeign},
		{offerWith(`{`, `{"pad":"`+strings.Repeat("x", maxControl)+`",`), errForeign},
		{offerWith(`a \"b\" é`, strings.Repeat("x", 10<<20)), errTooLong},
		{offerWith(`"transfer":2`, `"transfer":1`), errVersion},
		{offerWith(`"transfer":2`, `"transfer":2.0`), errVersion},
		{offerWith(`"transfer":2`, `"transfer":"2"`), errVersion},
		{offerWith(`"offer"`, `"gift"`), errKind},
		{offerWith(`"offer"`, `7`), errKind},
		{offerWith(`"offer"`, `["offer"]`), errNotFlat},
		{offerWith(`"offer"`, `{"offer":1}`), errNotFlat},
		{offerWith(`}`, `}}`), errNotFlat},
		{offerWith(`}`, `} x`), errNotFlat},
		{offerWith(`}`, `,"size":1}`), errKeyTwice},
		{offerWith(`}`, `,"transfer":2}`), errKeyTwice},
		{offerWith(`"name":"a \"b\" é",`, ``), errKeyLacks},
		{offerWith(`,"size":9223372036854775807`, ``), errKeyLacks},
		{offerWith(`9223372036854775807`, `9223372036854775808`), errBadValue},
		{offerWith(`9223372036854775807`, `-1`), errBadValue},
		{offerWith(`9223372036854775807`, `1e400`), errBadValue},
		{offerWith(`9223372036854775807`, `1.5`), errBadValue},
		{offerWith(`9223372036854775807`, `"5"`), errBadValue},
		{offerWith(`9223372036854775807`, `null`), errBadValue},
		{offerWith(`"a \"b\" é"`, `null`), errBadValue},
		{offerWith(`01020304050607ff`, `01020304050607FF`), errBadValue},
		{offerWith(`01020304050607ff`, `0102`), errBadValue},
		{offerWith(testBatch, `../../etc/passwd`), errBadValue},
		{offerWith(`"file":1`, `"file":0`), errFileCount},
		{offerWith(`"file":1`, `"file":3`), errFileCount},
		{offerWith(`"files":2`, `"files":1048577`), errFileCount},
	} {
		if _, err := parseControl([]byte(tt.wire)); !errors.Is(err, tt.want) {
			t.Errorf("parseControl(%.200s) gives %v, want %v", tt.wire, err, tt.want)
		}
	}
}

func FuzzControl(f *testing.F) {
	for _, tt := range controlVectors {
		f.Add([]byte(tt.wire))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseControl(b)
		if err != nil {
			return
		}
		if again, err := parseControl(appendControl(nil, &c)); again != c || err != nil {
			t.Errorf("%s is %+v, and that again %+v, %v", b, c, again, err)
		}
	})
}

func TestChunk(t *testing.T) {
	wire, _ := hex.DecodeString("73667431" + "01020304050607ff" + "0000000000010000" + "6869")
	var head [chunkHead]byte
	putChunkHead(head[:], testID, 65536)
	if !bytes.Equal(head[:], wire[:chunkHead]) {
		t.Errorf("the head of a chunk is %x, want %x", head, wire[:chunkHead])
	}
	if c, ok := parseChunk(wire); !ok || c.stream != testID || c.offset != 65536 || string(c.data) != "hi" {
		t.Errorf("parseChunk(%x) = %+v, %v", wire, c, ok)
	}
	for n := range chunkHead + 1 {
		if _, ok := parseChunk(wire[:n]); ok {
			t.Errorf("%x, which is cut, is taken for a chunk", wire[:n])
		}
	}
	for i, change := range map[int]byte{0: 'S', 3: '2', 12: 0x80} {
		bad := bytes.Clone(wire)
		bad[i] = change
		if _, ok := parseChunk(bad); ok {
			t.Errorf("%x is taken for a chunk", bad)
		}
	}
	if _, ok := parseChunk(append(head[:], make([]byte, chunkSize)...)); !ok {
		t.Error("a chunk of 64 KiB is not taken")
	}
	if _, ok := parseChunk(append(head[:], make([]byte, chunkSize+1)...)); ok {
		t.Error("a chunk of more than 64 KiB is taken")
	}
}
