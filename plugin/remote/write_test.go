package remote

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
	"golang.org/x/sys/unix"
)

// BenchmarkABatchOneByOne is what Jaeger's collector from v1.66 on does with a batch of OTLP: a WriteSpan for each span, one after another, each fsynced before
// the next is sent. It gives up after 5 seconds, and the rest of the batch is lost.
func BenchmarkABatchOneByOne(b *testing.B) {
	const batch = 5000
	s := serve(b, openStore(b), Options{})
	writer := shared.NewGRPCClient(dial(b, s.Address(), nil)).SpanWriter()
	disk, err := os.Create(filepath.Join(b.TempDir(), "disk"))
	if err != nil {
		b.Fatal(err)
	}
	defer disk.Close()
	if _, err := disk.Write(make([]byte, 1<<20)); err != nil { // it is there: a sync is of the data alone, as that of the log
		b.Fatal(err)
	}
	slowest, synced, syncs := time.Duration(0), time.Duration(0), 0
	for i := 0; b.Loop(); i++ {
		for j := range batch {
			if j%10 == 0 { // what the disk takes by itself, at the same time
				b.StopTimer()
				began := time.Now()
				if _, err := disk.WriteAt(make([]byte, 512), int64(j)*128); err != nil {
					b.Fatal(err)
				}
				if err := unix.Fdatasync(int(disk.Fd())); err != nil {
					b.Fatal(err)
				}
				synced, syncs = synced+time.Since(began), syncs+1
				b.StartTimer()
			}
			span := spanOf(uint64(i*batch+j)/20+1, uint64(j)+1)
			span.Tags = []model.KeyValue{model.String("http.method", "GET"), model.Int64("http.status_code", 200), model.String("http.url", "http://shop/cart/17")}
			began := time.Now()
			if err := writer.WriteSpan(b.Context(), span); err != nil {
				b.Fatal(err)
			}
			slowest = max(slowest, time.Since(began))
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/batch")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/span")
	b.ReportMetric(float64(synced.Microseconds())/float64(syncs), "µs/fdatasync")
	b.ReportMetric(float64(slowest.Microseconds())/1e3, "ms-slowest")
}
