// Package wsproto is WebSocket: RFC 6455 and permessage-deflate, RFC 7692, for
// both roles, on the standard library alone.
//
// It has three floors, and each can be used without those above it:
//
//   - Bytes. ParseHeader, AppendHeader, ParseClose, AppendClose, ParseExtensions,
//     AcceptKey: values from bytes and back, no I/O. For tools that look at frames.
//   - Rules. Answer judges an opening handshake and makes the response. An
//     Assembler judges frames and puts them together to messages, a Deflate inflates
//     and compresses them. No I/O either. For an event loop of your own.
//   - Connections. Dial opens one, Accept takes one over from a handler of net/http and
//     AcceptExchange from one of package httpmini, and a Conn is a plain blocking
//     connection that one goroutine reads: whole messages, or with NextReader as they come. A Server calls
//     handlers for any number of users, a Group sends to many of them, and a Relay
//     joins two streams. For everything else.
//
// A client is a Dial, then ReadMessage in a loop, then Close. A server is a Server
// with an OnMessage; its users cost no goroutine on Linux while they are silent, and
// no buffer on any Unix. In a handler use User.Reply to answer, because answers to
// what was received together are sent together; use User.Send from anywhere else,
// because it never waits for a peer that does not read.
//
// Every length from the network is compared with a limit before anything is
// allocated for it, limits count what comes out of the decompressor, text is checked
// as it arrives, and every wait has a deadline. An error of the peer is a
// *ProtocolError that wraps the rule it broke, by name, and shows the bytes that did;
// its Close frame is a *CloseError. Config.Lenient goes on where nothing depends on it.
package wsproto
