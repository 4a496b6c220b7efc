package httpmini

import (
	"bufio"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// maxDecoded is what Decoded lets out where it is not told.
const maxDecoded = 64 << 20

var errTrailing = errors.New("data after its end")

// Decoded returns a reader of the body without its Content-Encoding (RFC 9110
// §8.4.1): gzip, x-gzip, deflate (in the zlib format or, as some send it, without)
// or none. At most max bytes come out, 64 MiB if max is 0, and any number if it is
// negative; a longer body gives ErrTooLarge behind them.
//
// Other codings, and more than one, are ErrContentCoding at once. What is malformed,
// cut short or has something but zeros behind its end gives an error that wraps
// ErrContentCoding, unless the body itself failed: its errors come as they are.
func (a *Answer) Decoded(max int64) (io.Reader, error) {
	if a.Body == io.Reader(noBody{}) {
		return a.Body, nil
	}
	d := &decoder{body: a.Body, left: cmp.Or(max, maxDecoded)}
	for _, coding := range a.Header.List("Content-Encoding") {
		switch {
		case equalFold(coding, "identity"):
		case d.open != nil:
			return nil, fmt.Errorf("%w: more than one", ErrContentCoding)
		case equalFold(coding, "gzip"), equalFold(coding, "x-gzip"):
			d.open = newGunzipper
		case equalFold(coding, "deflate"):
			d.open = inflate
		default:
			return nil, fmt.Errorf("%w: %.40q", ErrContentCoding, coding)
		}
	}
	return d, nil
}

// A decoder decodes a body, once its first byte is there.
type decoder struct {
	body io.Reader
	open func(*bufio.Reader) (io.Reader, error) // nil: no coding
	left int64                                  // bytes that may come out; negative: any number

	in       *bufio.Reader
	out      io.Reader
	err      error
	inputErr error // of body, but for io.EOF
}

func (d *decoder) Read(p []byte) (n int, err error) {
	if d.err != nil || len(p) == 0 {
		return 0, d.err
	}
	if d.out == nil {
		d.err = d.start()
	}
	if d.err == nil && d.left == 0 {
		var more [1]byte
		if n, d.err = io.ReadFull(d.out, more[:]); n > 0 {
			d.err = ErrTooLarge
		}
		n = 0
	} else if d.err == nil {
		if d.left > 0 && int64(len(p)) > d.left {
			p = p[:d.left]
		}
		n, d.err = d.out.Read(p)
		if d.left > 0 {
			d.left -= int64(n)
		}
	}
	d.err = d.judge(d.err)
	return n, d.err
}

// start opens the coding. A body without a byte is not even empty in it, and
// means the same.
func (d *decoder) start() (err error) {
	if d.out = d.body; d.open == nil {
		return nil
	}
	d.in = bufio.NewReader((*decoderInput)(d))
	if _, err := d.in.Peek(1); err != nil {
		return err
	}
	d.out, err = d.open(d.in)
	return midway(err)
}

// judge returns what an error of the coding means.
func (d *decoder) judge(err error) error {
	if err == io.EOF && d.in != nil {
		if _, more := d.in.ReadByte(); more == nil {
			err = errTrailing
		}
	}
	switch {
	case d.inputErr != nil:
		return d.inputErr
	case err == nil, err == io.EOF, err == ErrTooLarge, d.open == nil:
		return err
	}
	return fmt.Errorf("%w: %w", ErrContentCoding, err)
}

// decoderInput is what the coding reads.
type decoderInput decoder

func (d *decoderInput) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	if err != io.EOF {
		d.inputErr = err
	}
	return n, err
}

// inflate reads deflate in the zlib format, which it should have (RFC 9110
// §8.4.1.2), or without.
func inflate(br *bufio.Reader) (io.Reader, error) {
	b, _ := br.Peek(2)
	if len(b) == 2 && b[0]&0x0f == 8 && (int(b[0])<<8|int(b[1]))%31 == 0 { // RFC 1950 §2.2
		return zlib.NewReader(br)
	}
	return flate.NewReader(br), nil
}

// A gunzipper reads gzip (RFC 1952), one member after the other. It takes comments
// of any length, and zeros behind the last member, with which some fill up their
// blocks: compress/gzip takes neither.
type gunzipper struct {
	br  *bufio.Reader
	r   io.ReadCloser // inflates a member
	sum uint32        // of what came out of it
	n   uint32
}

func newGunzipper(br *bufio.Reader) (io.Reader, error) {
	g := &gunzipper{br: br, r: flate.NewReader(br)}
	return g, g.head()
}

// head reads the head of a member (§2.3); its own checksum says nothing that the
// member's does not.
func (g *gunzipper) head() error {
	const extra, name, comment, checksum, reserved = 4, 8, 16, 2, 0xe0
	b := make([]byte, 12)
	if _, err := io.ReadFull(g.br, b[:10]); err != nil {
		return err
	}
	flags := b[3]
	if b[0] != 0x1f || b[1] != 0x8b || b[2] != 8 || flags&reserved != 0 {
		return gzip.ErrHeader
	}
	var err error
	if flags&extra != 0 {
		if _, err = io.ReadFull(g.br, b[10:]); err == nil {
			_, err = g.br.Discard(int(binary.LittleEndian.Uint16(b[10:])))
		}
	}
	for _, flag := range [...]byte{name, comment} {
		for c := byte(1); c != 0 && flags&flag != 0 && err == nil; {
			c, err = g.br.ReadByte()
		}
	}
	if flags&checksum != 0 && err == nil {
		_, err = g.br.Discard(2)
	}
	g.sum, g.n = 0, 0
	return err
}

func (g *gunzipper) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil {
		n, err = g.r.Read(p)
		g.sum, g.n = crc32.Update(g.sum, crc32.IEEETable, p[:n]), g.n+uint32(n)
		if err == io.EOF {
			err = g.next()
		}
	}
	return n, err
}

// next checks the end of a member and begins with the next, if there is one.
func (g *gunzipper) next() error {
	var b [8]byte
	if _, err := io.ReadFull(g.br, b[:]); err != nil {
		return midway(err)
	}
	if binary.LittleEndian.Uint32(b[:]) != g.sum || binary.LittleEndian.Uint32(b[4:]) != g.n {
		return gzip.ErrChecksum
	}
	c, err := g.br.ReadByte()
	if err == nil && c != 0 {
		g.br.UnreadByte()
		g.r.(flate.Resetter).Reset(g.br, nil)
		return midway(g.head())
	}
	for err == nil && c == 0 {
		c, err = g.br.ReadByte()
	}
	if err == nil {
		err = errTrailing
	}
	return err
}

// midway is for what ends where it may not.
func midway(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
