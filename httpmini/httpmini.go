// Package httpmini reads, writes, serves and fetches HTTP/1.1 messages (RFC 9110,
// RFC 9112), strictly and by hand.
//
// It has four layers. ReadRequest, ReadResponse and the AppendHead methods turn
// bytes into messages and back; a message keeps its fields in the order and the
// case they came in. Bodies are readers over the connection, framed by
// Content-Length, by chunks or by the end of the connection. Server answers the
// requests of a connection one after the other with a Handler, and hands the
// connection out where the handler takes it (Upgrade); Files is a handler that
// serves a directory. Client sends requests over connections that it keeps,
// directly or by a proxy, with a body going out while the answer comes in;
// Redirects, Jar and Answer.Decoded are what its user may want on top, and
// Client.Get is all that for a program that wants a page.
//
// One parser is strict in two degrees. A server refuses whatever two
// implementations could read differently: it may stand behind one that does. A
// client takes what devices send and other clients read, and notes it in
// Response.Faults, as long as the message ends where it does for everybody:
//
//	                                            client          server   RFC 9112
//	a line of a head ends in LF alone           FaultLineEnd    400      §2.2
//	a field goes on in the next line            FaultFold       400      §5.2
//	a name is no token, or has blanks behind    FaultName       400      §5.1
//	no blank behind the status code             FaultReason     -        §4
//	blanks behind the size of a chunk           FaultChunk      400      §7.1
//	the same length twice                       FaultLength     400      §6.3
//	these of Content-Length, Transfer-Encoding  502             400      §6.3
//	two lengths, a length beside a coding       502             400      §6.3
//	a chunk's line or data ends in LF alone     502             400      §7.1
//	a line before the first field has a blank   502             400      §2.2
//	CR alone, NUL, other control characters     502             400      §2.2, §5.5
//	a head or a body that is cut                an error        an error §8
//
// 400 and 502 are the status of an *Error, which has the bytes that are wrong and
// what came of the head: a server can show what it refuses (Server.OnBadRequest),
// and a client the answer that was none. Limits.Strict makes a client a strict one,
// Limits.Lenient has a server take the first row as a client does.
//
// Lengths are 64 bits wide on every system, and none of them is allocated for.
package httpmini
