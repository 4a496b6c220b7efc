package answer

import (
	"errors"
	"io"
	"os"
	"time"

	"socketsrv/internal/rawio"
)

// leftTime is for what a program left behind to print the rest of its output.
const leftTime = time.Second

// An output takes what a program prints, limit bytes of it. It reads the pipe itself:
// package exec would close it at the end of a time, whatever lies in it.
type output struct {
	b      []byte
	limit  int64
	beyond bool // there was more

	reader, writer *os.File
	whole          bool          // it came to its end
	done           chan struct{} // closed when nothing more is read
}

func newOutput(limit int64) (*output, error) {
	r, w, err := os.Pipe()
	return &output{limit: limit, reader: r, writer: w, done: make(chan struct{})}, err
}

func (o *output) Write(p []byte) (int, error) {
	if int64(len(o.b)+len(p)) > o.limit {
		o.beyond = true
		return 0, errors.New("too much")
	}
	o.b = append(o.b, p...)
	return len(p), nil
}

// read reads until the end, the limit, or a deadline, and then what lies there: it may
// have had no turn since that came.
func (o *output) read() {
	defer close(o.done)
	defer o.reader.Close()
	_, err := io.Copy(struct{ io.Writer }{o}, o.reader)
	o.whole = err == nil
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	o.reader.SetReadDeadline(time.Time{})
	raw, err := o.reader.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 64<<10)
	raw.Read(func(fd uintptr) bool {
		for n := 0; err == nil; _, err = o.Write(buf[:n]) {
			if n, err = rawio.Read(fd, buf); err != nil {
				break
			}
		}
		return true
	})
	o.whole = err == io.EOF
}

// finish is called when the program has ended. Where it waits, what that left behind has
// leftTime to end its output; then it takes what has come, and ends that. It returns
// whether that is all.
func (o *output) finish(waits bool, endAll func()) (whole bool) {
	o.writer.Close() // the program's own is closed
	if waits {
		timer := time.NewTimer(leftTime)
		defer timer.Stop()
		select {
		case <-o.done:
		case <-timer.C:
		}
	}
	if err := o.reader.SetReadDeadline(time.Unix(1, 0)); errors.Is(err, os.ErrNoDeadline) {
		o.reader.Close() // as package exec does it there
	}
	<-o.done // before what would end the output is ended
	endAll()
	return o.whole
}
