package wsproto

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A StatusCode tells why a connection was closed (RFC 6455 §7.4).
type StatusCode uint16

// The codes of RFC 6455 §7.4.1 and of the registry it founded.
const (
	StatusNormalClosure           StatusCode = 1000
	StatusGoingAway               StatusCode = 1001
	StatusProtocolError           StatusCode = 1002
	StatusUnsupportedData         StatusCode = 1003
	StatusNoStatusReceived        StatusCode = 1005 // never on the wire: the Close frame had no code
	StatusAbnormalClosure         StatusCode = 1006 // never on the wire: there was no Close frame
	StatusInvalidFramePayloadData StatusCode = 1007
	StatusPolicyViolation         StatusCode = 1008
	StatusMessageTooBig           StatusCode = 1009
	StatusMandatoryExtension      StatusCode = 1010
	StatusInternalError           StatusCode = 1011
	StatusServiceRestart          StatusCode = 1012
	StatusTryAgainLater           StatusCode = 1013
	StatusBadGateway              StatusCode = 1014
	StatusTLSHandshake            StatusCode = 1015 // never on the wire
)

// MaxReason is the length in bytes of the longest reason a Close frame can hold.
const MaxReason = maxControl - 2

// maxControl is the largest payload of a control frame (§5.5).
const maxControl = 125

// CanSend reports whether c may stand in a Close frame: the codes that are
// defined for endpoints, and 3000 to 4999 (§7.4.2).
func (c StatusCode) CanSend() bool {
	switch {
	case c >= 3000 && c <= 4999:
		return true
	case c < 1000 || c > 1014:
		return false
	}
	return c != 1004 && c != StatusNoStatusReceived && c != StatusAbnormalClosure
}

// AppendClose appends the payload of a Close frame (§5.5.1). Code
// StatusNoStatusReceived, or 0, gives the empty payload. A reason of more than
// MaxReason bytes is cut there, at the end of a rune. It panics with a code that
// may not be sent or a reason that is not UTF-8.
func AppendClose(dst []byte, code StatusCode, reason string) []byte {
	if code == 0 || code == StatusNoStatusReceived {
		return dst
	}
	if !code.CanSend() {
		panic(fmt.Sprintf("wsproto: AppendClose: code %d may not be sent", code))
	}
	if !utf8.ValidString(reason) {
		panic("wsproto: AppendClose: the reason is not UTF-8")
	}
	if len(reason) > MaxReason {
		n := MaxReason
		for !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// ParseClose reads the payload of a Close frame. An empty one gives
// StatusNoStatusReceived. The error is a *ProtocolError: 1002 wrapping
// ErrClosePayload or ErrStatusCode, 1007 wrapping ErrInvalidUTF8; code and reason are
// then as they stand there.
func ParseClose(p []byte) (StatusCode, string, error) {
	switch len(p) {
	case 0:
		return StatusNoStatusReceived, "", nil
	case 1:
		return StatusNoStatusReceived, "", brokeAt(StatusProtocolError, ErrClosePayload, p, 0)
	}
	code, reason := StatusCode(binary.BigEndian.Uint16(p)), p[2:]
	if !code.CanSend() {
		return code, string(reason), brokeAt(StatusProtocolError, fmt.Errorf("%w: %d", ErrStatusCode, code), p, 0)
	}
	if n := validText(reason); n < len(reason) {
		return code, string(reason), brokeAt(StatusInvalidFramePayloadData, fmt.Errorf("reason of the close frame: %w", ErrInvalidUTF8), p, 2+n)
	}
	return code, string(reason), nil
}

// closeReason makes any text fit for a reason.
func closeReason(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
