package event

// Keys are those of an event as AppendJSON writes them, in their order, and what
// they hold.
var Keys = [][2]string{
	{"time", "RFC 3339, microseconds, UTC"},
	{"event", "listening, open, message, ping, pong, end, close, error, summary; case, check, file, request, lost of single modes"},
	{"proto", "tcp udp tls unix ws wss line http https"},
	{"client, id", "its number, its name where clients have names"},
	{"peer, path, addr", "the peer's address, the request target, the address listened on"},
	{"dir, opcode", "in or out; text, binary, ping …"},
	{"size", "bytes of the payload"},
	{"text or base64, cut", "the payload, or the bytes that broke a rule; cut bytes of it are not shown"},
	{"code, reason, error", "of a close, or the status of an answer or a refused handshake; what went wrong"},
	{"head or head_base64", "start line and fields of an open, as they came; servers other than the dumper hide credentials"},
	{"fragments, compressed", "of a WebSocket message"},
	{"offset", "where the bytes that broke a rule begin, in the frame or head"},
}
