package ping

import (
	"math"
	"math/bits"
	"time"
)

// roundTrips counts times in constant memory, however many: quantiles are right
// to within one part in 64. The zero value has none.
type roundTrips struct {
	n         int
	sum       time.Duration
	low, high time.Duration
	counts    []int // by bucketOf; as long as it must be
}

func (r *roundTrips) add(d time.Duration) {
	d = max(d, 0)
	if r.n == 0 || d < r.low {
		r.low = d
	}
	r.high = max(r.high, d)
	r.n++
	r.sum += d
	i := bucketOf(uint64(d))
	for len(r.counts) <= i {
		r.counts = append(r.counts, 0)
	}
	r.counts[i]++
}

// average returns 0 where there is nothing.
func (r *roundTrips) average() time.Duration {
	if r.n == 0 {
		return 0
	}
	return r.sum / time.Duration(r.n)
}

// quantile returns the time that the part q of all did not exceed.
func (r *roundTrips) quantile(q float64) time.Duration {
	left := int(math.Ceil(q*float64(r.n))) - 1 // how many are below the one that counts
	for i, n := range r.counts {
		if left -= n; left < 0 {
			return min(max(time.Duration(bucketTop(i)), r.low), r.high)
		}
	}
	return r.high
}

// A bucket holds the numbers that agree in their length and the bucketBits bits
// below the highest; those of up to bucketBits bits have one each.
const bucketBits = 6

func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-bucketBits-1, 0)
	return shift<<bucketBits + int(v>>shift)
}

// bucketTop is the largest number in bucket i.
func bucketTop(i int) uint64 {
	shift := max(i>>bucketBits-1, 0)
	return uint64(i-shift<<bucketBits+1)<<shift - 1
}
