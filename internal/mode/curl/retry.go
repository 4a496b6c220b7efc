package curl

import (
	"context"
	"slices"
	"socketsrv/internal/cli"
	"strconv"
	"time"
)

// sleep waits, and says whether it could.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retryAfter says whether curl would try again, why, and when.
func (t *transfer) retryAfter(why *failure, pause time.Duration) (wait time.Duration, reason string) {
	if t.o.retries == 0 || t.body != nil && t.body.spent() {
		return 0, ""
	}
	if t.o.retryDelay > 0 {
		pause = t.o.retryDelay
	}
	switch {
	case why != nil && slices.Contains([]int{cli.ExitTimeout, cli.ExitName, exitNoProxy}, why.code):
		return pause, "timeout"
	case why != nil && why.code == cli.ExitConnect && t.refused && t.o.retryRefused:
		return pause, "connection refused"
	case (why == nil || why.code == cli.ExitRefused) && slices.Contains(transient, t.response.Status):
		if at := retryAfter(t.response.Header.Get("Retry-After"), t.env.Now()); at > 0 {
			pause = at
		}
		return pause, "HTTP error"
	case why != nil && t.o.retryAll:
		return pause, "(retrying all errors)"
	}
	return 0, ""
}

// again makes ready for another try, which with -C - goes on where the answer broke off.
func (t *transfer) again(why *failure) {
	t.retried++
	keep := t.o.resume == "-" && t.out.append && t.method == "GET" && t.response.Status/100 == 2 &&
		why != nil && why.code != cli.ExitWrite && why.code != exitRange
	if keep && t.out.start == t.kept {
		t.kept += t.out.written
	}
	t.out.again(keep)
}

var transient = []int{408, 429, 500, 502, 503, 504, 522, 524}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3); 0 is neither. A server
// has no more than six hours of us, as of curl.
func retryAfter(s string, now time.Time) (wait time.Duration) {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		wait = time.Duration(n) * time.Second
	} else if at, err := time.Parse(httpDate, s); err == nil {
		wait = max(at.Sub(now), 0)
	}
	return min(wait, 6*time.Hour)
}
