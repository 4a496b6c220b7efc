package httpmini

import (
	"bufio"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
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
// cut short or has something behind its end gives an error that wraps
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
			d.open = func(br *bufio.Reader) (io.Reader, error) { return gzip.NewReader(br) }
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
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
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
