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
// Whatever two implementations could read differently is an error here: line
// ends other than CRLF, folded lines, white space before the colon, control
// characters, two lengths, a length beside a transfer coding, chunk sizes with
// anything but digits. A request gets the status that its *Error names; a
// response that is broken is no response, and a body that is shorter than promised
// ends in an error.
//
// Lengths are 64 bits wide on every system, and none of them is allocated for.
package httpmini
