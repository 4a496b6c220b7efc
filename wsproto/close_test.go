package wsproto

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestStatusCodeCanSend(t *testing.T) {
	for code := range 70000 {
		// §7.4.1, the registry it founded (1012 to 1014), and §7.4.2.
		want := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
		if code <= 65535 && StatusCode(code).CanSend() != want {
			t.Errorf("StatusCode(%d).CanSend() = %t, want %t", code, !want, want)
		}
	}
}

var closeVectors = []struct {
	name, wire string
	code       StatusCode
	reason     string
	err        error
	errCode    StatusCode
}{
	{"no code", "", StatusNoStatusReceived, "", nil, 0},
	{"normal", "03e8", 1000, "", nil, 0},
	{"with a reason", "03e8 627965", 1000, "bye", nil, 0},
	{"the largest of all", "1387" + strings.Repeat("61", 123), 4999, strings.Repeat("a", 123), nil, 0},
	{"one byte", "03", StatusNoStatusReceived, "", ErrClosePayload, StatusProtocolError},
	{"1005 on the wire", "03ed", 1005, "", ErrStatusCode, StatusProtocolError},
	{"1006 on the wire", "03ee", 1006, "", ErrStatusCode, StatusProtocolError},
	{"1015 on the wire", "03f7", 1015, "", ErrStatusCode, StatusProtocolError},
	{"0", "0000", 0, "", ErrStatusCode, StatusProtocolError},
	{"65535", "ffff", 65535, "", ErrStatusCode, StatusProtocolError},
	{"reason cut in a rune", "03e8 c3", 1000, "\xc3", ErrInvalidUTF8, StatusInvalidFramePayloadData},
	{"reason not UTF-8", "03e8 ff", 1000, "\xff", ErrInvalidUTF8, StatusInvalidFramePayloadData},
}

func TestParseClose(t *testing.T) {
	for _, tt := range closeVectors {
		code, reason, err := ParseClose(unhex(tt.wire))
		if code != tt.code || reason != tt.reason || !errors.Is(err, tt.err) {
			t.Errorf("%s: ParseClose(%s) = %d, %q, %v; want %d, %q, %v", tt.name, tt.wire, code, reason, err, tt.code, tt.reason, tt.err)
		}
		if pe, ok := errors.AsType[*ProtocolError](err); ok && pe.Code != tt.errCode {
			t.Errorf("%s: fails with code %d, want %d", tt.name, pe.Code, tt.errCode)
		}
		if tt.err == nil {
			if got := AppendClose(nil, tt.code, tt.reason); !bytes.Equal(got, unhex(tt.wire)) {
				t.Errorf("%s: AppendClose(%d, %q) = %x, want %s", tt.name, tt.code, tt.reason, got, tt.wire)
			}
		}
	}
}

func TestAppendCloseCuts(t *testing.T) {
	reason := strings.Repeat("a", 121) + "日本" // a rune of three bytes across the limit
	if got := AppendClose(nil, 1000, reason); len(got) != 2+121 {
		t.Errorf("AppendClose with a reason of 127 bytes gives %d bytes, want 123: cut before the rune", len(got))
	}
	if got := AppendClose(nil, 0, "ignored"); len(got) != 0 {
		t.Errorf("AppendClose(0) = %x, want nothing", got)
	}
}

func TestAppendCloseMisuse(t *testing.T) {
	for name, call := range map[string]func(){
		"code 1006":    func() { AppendClose(nil, 1006, "") },
		"not UTF-8":    func() { AppendClose(nil, 1000, "\xff") },
		"code 5000":    func() { AppendClose(nil, 5000, "") },
		"negative Add": func() { new(Assembler).Add([]byte{1}) },
	} {
		func() {
			defer func() {
				if v, _ := recover().(string); !strings.HasPrefix(v, "wsproto: ") {
					t.Errorf("%s: recovered %q, want a panic of the package", name, v)
				}
			}()
			call()
		}()
	}
}

func FuzzParseClose(f *testing.F) {
	for _, tt := range closeVectors {
		f.Add(unhex(tt.wire))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		code, reason, err := ParseClose(p)
		if err != nil || len(p) > maxControl {
			return
		}
		if again := AppendClose(nil, code, reason); !bytes.Equal(again, p) {
			t.Errorf("AppendClose(%d, %q) = %x, want %x", code, reason, again, p)
		}
	})
}
