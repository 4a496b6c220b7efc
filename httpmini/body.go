package httpmini

import (
	"bufio"
	"bytes"
	"io"
	"math/bits"
	"strconv"
	"strings"
)

// framing is what the fields say about the message's end, and the Host.
type framing struct {
	length   int64 // -1: chunked
	declared bool  // by Content-Length
	chunked  bool

	hosts int
	host  string

	lengthAt, codingAt, hostAt int // the last of these fields; where they stand in the head
}

// framing applies RFC 9112 §6.3 and refuses everything that section warns of.
func (s *scanner) framing(h Header) (f framing, err error) {
	codings, lengths, differ := 0, 0, false
	var coding, length string
	for i := range h {
		switch name := h[i].Name; len(name) {
		case len("Host"):
			if equalFold(name, "Host") {
				f.hosts, f.host, f.hostAt = f.hosts+1, h[i].Value, int(s.fields[i].name)
			}
		case len("Content-Length"):
			if equalFold(name, "Content-Length") {
				differ = lengths > 0 && (differ || h[i].Value != length)
				lengths, length, f.lengthAt = lengths+1, h[i].Value, int(s.fields[i].name)
			}
		case len("Transfer-Encoding"):
			if equalFold(name, "Transfer-Encoding") {
				codings, coding, f.codingAt = codings+1, h[i].Value, int(s.fields[i].name)
			}
		}
	}
	switch {
	case codings > 0 && lengths > 0:
		return f, s.fail(400, ErrTwoLengths, max(f.codingAt, f.lengthAt))
	case codings > 1, codings == 1 && s.minor == 0:
		return f, s.fail(400, ErrTransferEncoding, f.codingAt)
	case codings == 1:
		f.length, f.chunked = -1, true
		if status, err := checkCoding(coding); err != nil {
			return f, s.fail(status, err, f.codingAt)
		}
		return f, nil
	case lengths == 0:
		return f, nil
	}
	f.declared = true
	n, err := strconv.ParseUint(length, 10, 63) // refuses signs, underscores and 0x
	if err != nil || differ || lengths > 1 && !s.forgives(FaultLength) {
		return f, s.fail(400, ErrContentLength, f.lengthAt)
	}
	f.length = int64(n)
	return f, nil
}

// checkCoding accepts the one transfer coding that needs no decompression.
// Others are unknown (501), but wrongly placed ones are broken (400).
func checkCoding(list string) (status int, err error) {
	unknown := false
	for last := false; !last; {
		coding, rest, more := strings.Cut(list, ",")
		coding, list, last = trim(coding), rest, !more
		switch {
		case coding == "", equalFold(coding, "chunked") && !last:
			return 400, ErrTransferEncoding
		case !equalFold(coding, "chunked"):
			unknown = true
		}
	}
	if unknown {
		return 501, ErrCoding
	}
	return 0, nil
}

// noBody is the body of a message without one.
type noBody struct{}

func (noBody) Read([]byte) (int, error) { return 0, io.EOF }

// A body reads what belongs to one message: left bytes, or chunks, or, with
// left < 0, all that comes.
type body struct {
	br      *bufio.Reader
	left    int64 // of the message or of the chunk; -1 before the first chunk and without any length
	chunked bool
	err     error
	lim     Limits
	trailer *Header
	answer  *Response // whose body it is; nil for a request's
	link    *link     // what counts, for a client

	overhead int64 // see chunk
}

// Read returns io.EOF only when the body is whole.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if b.chunked && b.left <= 0 {
		if b.err = b.nextChunk(); b.err != nil {
			return 0, b.err
		}
	}
	if b.left >= 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.br.Read(p)
	if b.link != nil {
		b.link.count(int64(n))
	}
	if b.left < 0 {
		b.err = err
		return n, err
	}
	b.left -= int64(n)
	switch {
	case b.left == 0 && b.chunked:
		err = nil
	case b.left == 0:
		err = io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	b.err = err
	return n, err
}

// maxChunkLine bounds the line of a chunk's size, extensions included, and
// freeOverhead what all such lines may hold beyond 16 bytes and twice their
// chunk's data: a sender of extensions without end is after our time.
const (
	maxChunkLine = 4096
	freeOverhead = 16 << 10
)

// nextChunk reads what ends the last chunk and the line with the size of the
// next; if there is none also the trailer, and returns io.EOF (RFC 9112 §7.1).
func (b *body) nextChunk() error {
	if b.left == 0 {
		if err := b.crlf(); err != nil {
			return err
		}
	}
	size, n, err := b.readSize()
	switch {
	case err != nil:
		return err
	case size>>63 != 0:
		return b.fail(413, ErrChunkSize, strconv.AppendUint(nil, size, 16)...)
	case size == 0:
		return b.readTrailer()
	}
	b.left = int64(size)
	b.overhead = max(b.overhead+int64(n)-16-2*min(b.left, maxChunkLine), 0)
	if b.overhead > freeOverhead {
		return b.fail(400, ErrChunkOverhead)
	}
	return nil
}

// readSize reads chunk-size [chunk-ext] CRLF, n bytes without the CRLF.
func (b *body) readSize() (size uint64, n int, err error) {
	c, err := b.readByte()
	for ; err == nil && class[c]&isHex != 0; c, err = b.readByte() {
		if n++; n > 16 {
			return 0, n, b.fail(400, ErrChunk, c)
		}
		size = size<<4 | uint64(hexValue(c))
	}
	for ; err == nil && n > 0 && n <= maxChunkLine && isSpace(c) && b.forgives(FaultChunk); c, err = b.readByte() {
		n++
	}
	if err == nil && (n == 0 || c != '\r' && c != ';') {
		return 0, n, b.fail(400, ErrChunk, c)
	}
	for ; err == nil && c != '\r'; c, err = b.readByte() {
		if n++; n > maxChunkLine || class[c]&isText == 0 {
			return 0, n, b.fail(400, ErrChunk, c)
		}
	}
	if err == nil {
		err = b.lf()
	}
	return size, n, err
}

// readTrailer keeps the fields after the last chunk apart from the header: none
// of them can change what the message is (RFC 9110 §6.5.1).
func (b *body) readTrailer() error {
	s := getScanner(trailerFields, b.lim)
	defer s.release()
	s.client = b.answer != nil
	text, err := s.read(b.br)
	if err != nil {
		if e, ok := err.(*Error); ok {
			e.show(text)
			e.Raw, e.Offset = "", 0 // it is no head
		}
		return err
	}
	*b.trailer = s.header(text)
	if b.answer != nil {
		b.answer.RawTrailer = text
		b.answer.Faults |= s.faults
	}
	return io.EOF
}

func (b *body) crlf() error {
	c, err := b.readByte()
	if err == nil && c != '\r' {
		return b.fail(400, ErrChunk, c)
	}
	if err == nil {
		err = b.lf()
	}
	return err
}

func (b *body) lf() error {
	c, err := b.readByte()
	if err == nil && c != '\n' {
		return b.fail(400, ErrChunk, c)
	}
	return err
}

func (b *body) readByte() (byte, error) {
	c, err := b.br.ReadByte()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return c, err
}

// fail makes the error of a rule that the bytes broke that were read last.
func (b *body) fail(status int, err error, bytes ...byte) error {
	if b.answer != nil {
		status = 502
	}
	more, _ := b.br.Peek(min(64, b.br.Buffered()))
	return &Error{Status: status, Err: err, Bytes: cutLine(string(append(bytes, more...)))}
}

// forgives is as for a scanner.
func (b *body) forgives(fault Faults) bool {
	if b.answer == nil || b.lim.Strict {
		return false
	}
	b.answer.Faults |= fault
	return true
}

func hexValue(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// appendLastChunk appends what ends a chunked body.
func appendLastChunk(dst []byte, trailer Header) []byte {
	return append(trailer.append(append(dst, "0\r\n"...)), '\r', '\n')
}

// sendBody writes head, which is short, and body as it comes, in chunks if
// chunked (without the last one). What is ready together goes out together.
// sent counts the body's bytes.
func sendBody(write func([]byte) error, head []byte, body io.Reader, chunked bool) (sent int64, err error) {
	buf := streams.get()
	defer streams.put(buf)
	before, after := 0, 0
	if chunked {
		before, after = len("0000\r\n"), len("\r\n")
	}
	at := copy(buf[:], head)
	for {
		n, err := body.Read(buf[at+before : len(buf)-after])
		sent += int64(n)
		end := at
		if n > 0 {
			end += before + n
			if chunked {
				zeros := putChunkSize(buf[at:], n)
				copy(buf[at:], buf[at+zeros:end])
				end -= zeros
				end += copy(buf[end:], "\r\n")
			}
		}
		if end > 0 && (n > 0 || err == io.EOF) {
			if err := write(buf[:end]); err != nil {
				return sent, err
			}
			at = 0
		}
		if err != nil {
			return sent, unlessEOF(err)
		}
	}
}

// putChunkSize writes n in four digits and CRLF; zeros of them are before its first.
func putChunkSize(b []byte, n int) (zeros int) {
	const digits = "0123456789abcdef"
	b[0], b[1], b[2], b[3] = digits[n>>12], digits[n>>8&15], digits[n>>4&15], digits[n&15]
	b[4], b[5] = '\r', '\n'
	return (16 - bits.Len16(uint16(n))) / 4
}

func unlessEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// heldLength is how many bytes a reader of bytes or of a string has left.
func heldLength(r io.Reader) (n int64, ok bool) {
	switch r := r.(type) {
	case *bytes.Reader:
		return int64(r.Len()), true
	case *strings.Reader:
		return int64(r.Len()), true
	case *bytes.Buffer:
		return int64(r.Len()), true
	}
	return 0, false
}
